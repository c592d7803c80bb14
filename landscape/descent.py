"""Gradient descent and its kin: one lane is one restart; `advance` takes it a fixed number of steps further."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from landscape.problems.problem import Problem
from landscape.records import InputError

OPTIMISERS = ("gradient-descent", "momentum", "nesterov", "adam", "rmsprop", "lbfgs")


class Lane(NamedTuple):
    """One restart on its way down.

    Attributes:
        theta: Coordinates, [p], in the dtype of the descent.
        memory: State of the optimiser.
        step_scale: Multiplies every update; halved each time the restart diverges.
        loss: Loss at theta.
        grad_norm: Euclidean norm of the gradient at theta.
    """

    theta: Float[Array, " p"]
    memory: Any
    step_scale: Float[Array, ""]
    loss: Float[Array, ""]
    grad_norm: Float[Array, ""]


@lru_cache(maxsize=64)  # the same object for the same settings, so that compiled programs are found again
def optimiser(name: str = "gradient-descent", step_size: float = 0.1) -> optax.GradientTransformationExtraArgs:
    """An optax optimiser by name.

    Args:
        name: One of `OPTIMISERS`. Plain gradient descent is the default because its basins are the paper's.
        step_size: 0.1 by default (Safran and Shamir 2017); stable while curvature is below 2 / step_size = 20, and
            the curvature at an orthonormal teacher of k neurons is about k/4 + 0.85.

    Raises:
        InputError: The name is unknown or the step size is not positive.
    """
    if not step_size > 0 or step_size == float("inf"):
        raise InputError(f"step_size must be a positive number, found {step_size}.")
    made = {
        "gradient-descent": lambda: optax.sgd(step_size),
        "momentum": lambda: optax.sgd(step_size, momentum=0.9),
        "nesterov": lambda: optax.sgd(step_size, momentum=0.9, nesterov=True),
        "adam": lambda: optax.adam(step_size),
        "rmsprop": lambda: optax.rmsprop(step_size),
        "lbfgs": lambda: optax.lbfgs(),  # its line search chooses the step
    }
    if name not in made:
        raise InputError(f"optimiser {name!r} is unknown; known are {', '.join(OPTIMISERS)}, or pass any optax one.")
    return optax.with_extra_args_support(made[name]())


def init(
    problem: Problem,
    optimiser: optax.GradientTransformationExtraArgs,
    theta: Float[Array, " p"],
    step_scale: Float[Array, ""],
) -> Lane:
    """A lane at the start of its descent; loss and gradient norm are not evaluated yet."""
    inf = jnp.full((), jnp.inf, theta.dtype)
    return Lane(theta, optimiser.init(theta), jnp.asarray(step_scale, theta.dtype), loss=inf, grad_norm=inf)


def advance(problem: Problem, optimiser: optax.GradientTransformationExtraArgs, lane: Lane, steps: int) -> Lane:
    """The lane `steps` steps later, with its loss and gradient norm there.

    Pure, for one lane: it cannot see the others, so a restart's path does not depend on its batch. A lane that
    diverges carries inf or NaN in its own numbers and nobody else's.
    """

    def step(_: int, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        theta, memory = carry
        grad = problem.gradient(theta)
        # `value` is dead code, and removed, for optimisers that do not look at it.
        updates, memory = optimiser.update(
            grad, memory, theta, value=problem.loss(theta), grad=grad, value_fn=problem.loss
        )
        return theta + lane.step_scale * jnp.asarray(updates), memory

    theta, memory = jax.lax.fori_loop(0, steps, step, (lane.theta, lane.memory))
    grad_norm = jnp.linalg.norm(problem.gradient(theta))
    return Lane(theta, memory, lane.step_scale, loss=problem.loss(theta), grad_norm=grad_norm)
