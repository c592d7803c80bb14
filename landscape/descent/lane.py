"""One lane is one restart on its way down; `advance` takes it a fixed number of gradients further.

Every method evaluates one gradient a step, whatever it is in the middle of, so that lanes at different stages share one
program and nobody waits. All of it is written for a theta [p], and read with a trailing axis, [p, lanes], for many:
scalars of a lane are then [lanes], and broadcasting does the rest.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt

from landscape.problems.problem import Loss
from landscape.records import InputError

GradientAt = Callable[[Array], Array]


@dataclass(frozen=True)
class Method(ABC):
    """One way down. Its settings are its fields: methods of equal settings are equal, and share compiled programs.

    Attributes:
        trailing: Whether theta may be [p, lanes].
        descends: Whether the loss falls along its path wherever it moves, as the argument of `polish` needs.
        noisy: Gradients for which it sees parts of the data only, so that a loss that stands still or rises means
            nothing yet; inf where the noise never ends.
        chunk: Gradients between two looks at a lane; a divisor of 120.
        on_chip: Whether its memory is vectors [p] and numbers, so that a kernel can hold all of a lane.
        unread: Fields of its memory that mean nothing at the start of a descent: what another one left there is
            written over before it is read, or read with weight zero. Starting costs a fraction of what `init` writes.
    """

    trailing: ClassVar[bool] = True
    descends: ClassVar[bool] = True
    noisy: ClassVar[float] = 0
    chunk: ClassVar[int] = 120
    on_chip: ClassVar[bool] = False
    unread: ClassVar[tuple[str, ...]] = ()

    @property
    def tables(self) -> tuple[np.ndarray, ...]:
        """What a step looks numbers up in (`gradient.entry`)."""
        return ()

    @property
    @abstractmethod
    def dynamics(self) -> str:
        """Whose basins a study with this method reports, in words."""

    @abstractmethod
    def init(self, theta: Array, key: Array) -> Any:
        """The memory of a restart that starts at theta.

        Args:
            theta: Coordinates.
            key: Of the random numbers of this restart, two words of threefry; see `restart.noise_key`.
        """

    @abstractmethod
    def step(
        self, gradient: GradientAt, theta: Array, memory: Any, step_scale: Array, number: Array
    ) -> tuple[Array, Any]:
        """Theta and memory one gradient later. Theta moves only when a step is accepted.

        Args:
            gradient: Called once.
            theta: Coordinates.
            memory: As `init` or the last step returned it.
            step_scale: Multiplies every update.
            number: Of the step in its chunk.
        """

    def gradient_in(self, memory: Any) -> Array | None:
        """The gradient at theta, from the memory of a restart that has taken a step; None if it is not kept."""
        return None

    def elapsed(self, before: Any, after: Any, steps: int | Array, step_scale: Array) -> Array:
        """Time of the gradient flow that passes between two memories, `steps` gradients apart; NaN where it has none.

        Methods that take no steps along the negative gradient (L-BFGS, momentum, Adam, ...) have none.
        """
        return jnp.full_like(step_scale, jnp.nan)


class Lane(NamedTuple):
    """One restart on its way down.

    Attributes:
        theta: Coordinates, [p], in the dtype of the descent.
        memory: State of the method.
        step_scale: Multiplies every update; halved each time the restart diverges.
        loss: Loss at theta.
        grad_norm: Euclidean norm of the gradient at theta.
        time: Of the gradient flow, since the start of the descent; NaN for methods without one.
    """

    theta: Float[Array, " p *lanes"]
    memory: Any
    step_scale: Float[Array, " *lanes"]
    loss: Float[Array, " *lanes"]
    grad_norm: Float[Array, " *lanes"]
    time: Float[Array, " *lanes"]


def init(
    problem: Loss,
    method: Method,
    theta: Float[Array, " p *lanes"],
    step_scale: Float[Array, " *lanes"],
    key: UInt[Array, "2"] | None = None,
) -> Lane:
    """A lane at the start of its descent; loss and gradient norm are not evaluated yet.

    Args:
        problem: The loss.
        method: The way down.
        theta: Where it starts.
        step_scale: Multiplies every update.
        key: Of its random numbers, for methods that draw some; zero by default.
    """
    inf = jnp.full(theta.shape[1:], jnp.inf, theta.dtype)
    scale = jnp.asarray(step_scale, theta.dtype)
    memory = method.init(theta, jnp.zeros(2, jnp.uint32) if key is None else key)
    return Lane(theta, memory, scale, loss=inf, grad_norm=inf, time=jnp.zeros_like(inf))


class _Gradient:
    """The gradient of a problem at theta [p] or [p, lanes], with its loss at hand for the optimisers that ask."""

    def __init__(self, problem: Loss, method: Method, dtype: Any, trailing: bool):
        self.tables, self.dtype = method.tables, dtype
        loss = jax.vmap(problem.loss, in_axes=-1) if trailing else problem.loss
        # A user's loss has the type of its last operation: float64 data make it float64, a cast inside float32.
        self.loss = lambda theta: loss(theta).astype(dtype)
        self.at = problem.gradient_lanes if trailing else partial(_gradient, problem)

        self.problem = problem

    def __call__(self, theta: Array) -> Array:
        return self.at(theta)

    def entry(self, table: int, *at: Array | int) -> Array:
        """The entry of the method's table of this number, in the dtype of the descent."""
        return jnp.asarray(self.tables[table], self.dtype)[at]

    def some(self, theta: Array, key: Array, size: Array) -> Array:
        """The gradient of so many random rows (all, if there are no more), weighted to be that of all on average."""
        problem, n = self.problem, self.problem.rows
        if n is None:
            raise InputError(
                "mini-batches need a data set; this loss is an expectation, or of unknown parts. Teacher-student "
                "losses over Gaussian inputs have sgd:8 instead, 8 fresh inputs a step."
            )
        order = jnp.argsort(jax.random.uniform(key, (n,)))
        weights = jnp.where(order < size, n / jnp.minimum(size, n), 0.0).astype(theta.dtype)
        return problem.weighted_gradient(theta, weights)

    def fresh(self, theta: Array, key: Array, size: int) -> Array:
        """The gradient of the mean over so many random inputs, drawn by this key."""
        x = jax.random.normal(key, (size, self.problem.inputs), theta.dtype)
        return jax.grad(lambda one: 0.5 * jnp.mean(jnp.square(self.problem.residual(one, x))))(theta)


@jax.custom_batching.custom_vmap
def _gradient(problem: Loss, theta: Array) -> Array:
    return problem.gradient(theta)


@_gradient.def_vmap
def _gradients(size: int, batched: Any, problem: Loss, theta: Array) -> tuple[Array, bool]:
    """Under `vmap` the lanes are rows, and a problem has its own way with many rows. Nothing differentiates this."""
    return problem.gradients(theta), True


def advance(problem: Loss, method: Method, lane: Lane, steps: int | Array, first: int | Array = 0) -> Lane:
    """The lane `steps` gradients later, with its loss, gradient norm and time there.

    Args:
        problem: The loss.
        method: The way down.
        lane: Where it stands.
        steps: Gradients to take.
        first: How many gradients of its chunk are taken already.
    """
    return evaluated(problem, method, moved(problem, method, lane, steps, first))


def moved(problem: Loss, method: Method, lane: Lane, steps: int | Array, first: int | Array = 0) -> Lane:
    """The lane `steps` gradients later, with its time there; its loss and gradient norm are those it had.

    Pure, and lanes cannot see each other, so a restart's path does not depend on its batch. A lane that diverges
    carries inf or NaN in its own numbers and nobody else's. Arguments are those of `advance`.
    """
    gradient = _Gradient(problem, method, lane.theta.dtype, lane.theta.ndim == 2)

    def step(number: Array, carry: tuple[Array, Any]) -> tuple[Array, Any]:
        return method.step(gradient, *carry, lane.step_scale, number)

    theta, memory = jax.lax.fori_loop(first, first + steps, step, (lane.theta, lane.memory))
    time = lane.time + method.elapsed(lane.memory, memory, steps, lane.step_scale)
    return lane._replace(theta=theta, memory=memory, time=time)


def evaluated(problem: Loss, method: Method, lane: Lane) -> Lane:
    """The lane with the loss and the gradient norm where it stands; it has taken a step."""
    gradient = _Gradient(problem, method, lane.theta.dtype, lane.theta.ndim == 2)
    last = method.gradient_in(lane.memory)
    last = gradient(lane.theta) if last is None else last
    return lane._replace(loss=gradient.loss(lane.theta), grad_norm=euclidean_norm(last))


def dot(a: Array, b: Array) -> Array:
    """Inner product over coordinates."""
    return jnp.sum(a * b, axis=0)


def euclidean_norm(a: Array) -> Array:
    """Length over coordinates."""
    return jnp.sqrt(dot(a, a))
