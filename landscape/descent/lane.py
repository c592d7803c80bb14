"""One lane is one restart on its way down; `advance` takes it a fixed number of gradients further.

Every method evaluates one gradient a step, whatever it is in the middle of, so that lanes at different stages share one
program and nobody waits. All of it is written for a theta [p], and read with a trailing axis, [p, lanes], for many:
scalars of a lane are then [lanes], and broadcasting does the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from landscape.problems.problem import Loss
from landscape.records import InputError

GradientAt = Callable[[Array], Array]


class Method(NamedTuple):
    """One way down.

    Attributes:
        init: theta -> memory.
        step: (gradient function, theta, memory, step_scale, number of the step in its chunk) -> (theta, memory), with
            one call of the gradient function. theta moves only when a step is accepted.
        dynamics: Whose basins a study with this method reports, in words.
        trailing: Whether theta may be [p, lanes].
        descends: Whether the loss falls along its path wherever it moves, as the argument of `polish` needs.
        noisy: For how many gradients it sees parts of the data only, and where it stands means nothing yet.
        chunk: Gradients between two looks at a lane; a divisor of 120.
        gradient_in: The gradient at theta, from the memory of one who has taken a gradient; None if it is not kept.
    """

    init: Callable[[Array], Any]
    step: Callable[[GradientAt, Array, Any, Array, Array], tuple[Array, Any]]
    dynamics: str
    trailing: bool = True
    descends: bool = True
    noisy: int = 0
    chunk: int = 120
    gradient_in: Callable[[Any], Array] | None = None


class Lane(NamedTuple):
    """One restart on its way down.

    Attributes:
        theta: Coordinates, [p], in the dtype of the descent.
        memory: State of the method.
        step_scale: Multiplies every update; halved each time the restart diverges.
        loss: Loss at theta.
        grad_norm: Euclidean norm of the gradient at theta.
    """

    theta: Float[Array, " p *lanes"]
    memory: Any
    step_scale: Float[Array, " *lanes"]
    loss: Float[Array, " *lanes"]
    grad_norm: Float[Array, " *lanes"]


def init(problem: Loss, method: Method, theta: Float[Array, " p *lanes"], step_scale: Float[Array, " *lanes"]) -> Lane:
    """A lane at the start of its descent; loss and gradient norm are not evaluated yet."""
    inf = jnp.full(theta.shape[1:], jnp.inf, theta.dtype)
    return Lane(theta, method.init(theta), jnp.asarray(step_scale, theta.dtype), loss=inf, grad_norm=inf)


class _Gradient:
    """The gradient of a problem at theta [p] or [p, lanes], with its loss at hand for the optimisers that ask."""

    def __init__(self, problem: Loss, trailing: bool):
        self.loss = jax.vmap(problem.loss, in_axes=-1) if trailing else problem.loss
        self.at = problem.gradient_lanes if trailing else partial(_gradient, problem)

        self.problem = problem

    def __call__(self, theta: Array) -> Array:
        return self.at(theta)

    def some(self, theta: Array, key: Array, size: Array) -> Array:
        """The gradient of so many random rows (all, if there are no more), weighted to be that of all on average."""
        problem, n = self.problem, self.problem.rows
        if n is None:
            raise InputError("mini-batches need a data set; this loss is an expectation, or of unknown parts.")
        order = jnp.argsort(jax.random.uniform(key, (n,)))
        weights = jnp.where(order < size, n / jnp.minimum(size, n), 0.0).astype(theta.dtype)
        return problem.weighted_gradient(theta, weights)


@jax.custom_batching.custom_vmap
def _gradient(problem: Loss, theta: Array) -> Array:
    return problem.gradient(theta)


@_gradient.def_vmap
def _gradients(size: int, batched: Any, problem: Loss, theta: Array) -> tuple[Array, bool]:
    """Under `vmap` the lanes are rows, and a problem has its own way with many rows. Nothing differentiates this."""
    return problem.gradients(theta), True


def advance(problem: Loss, method: Method, lane: Lane, steps: int) -> Lane:
    """The lane `steps` gradients later, with its loss and gradient norm there.

    Pure, and lanes cannot see each other, so a restart's path does not depend on its batch. A lane that diverges
    carries inf or NaN in its own numbers and nobody else's.
    """
    gradient = _Gradient(problem, lane.theta.ndim == 2)

    def step(number: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        return method.step(gradient, *carry, lane.step_scale, number)

    theta, memory = jax.lax.fori_loop(0, steps, step, (lane.theta, lane.memory))
    last = gradient(theta) if method.gradient_in is None else method.gradient_in(memory)
    return Lane(theta, memory, lane.step_scale, loss=gradient.loss(theta), grad_norm=euclidean_norm(last))


def dot(a: Array, b: Array) -> Array:
    """Inner product over coordinates."""
    return jnp.sum(a * b, axis=0)


def euclidean_norm(a: Array) -> Array:
    """Length over coordinates."""
    return jnp.sqrt(dot(a, a))
