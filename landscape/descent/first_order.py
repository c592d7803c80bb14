"""First-order methods: gradient descent, on all rows or on a few at a time, and any optax optimiser."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from landscape.descent.lane import GradientAt, Method
from landscape.descent.structure import structure


@dataclass(frozen=True)
class GradientDescent(Method):
    """theta <- theta - step_size * gradient."""

    step_size: float

    on_chip: ClassVar[bool] = True

    @property
    def dynamics(self) -> str:
        """Whose basins these are, in words."""
        return f"gradient descent, step {self.step_size:g}"

    def init(self, theta: Array, key: Array) -> Any:
        """Nothing is remembered."""
        return ()

    def step(
        self, gradient: GradientAt, theta: Array, memory: Any, step_scale: Array, number: Array
    ) -> tuple[Array, Any]:
        """A step down the gradient."""
        return theta - (self.step_size * step_scale) * gradient(theta), memory

    def elapsed(self, before: Any, after: Any, steps: int | Array, step_scale: Array) -> Array:
        """Step size times steps: plain descent is Euler's method for the flow."""
        return jnp.asarray(steps, step_scale.dtype) * (self.step_size * step_scale)


MINIBATCH_STEPS = 9600  # noisy ones, hundreds of times 1 / curvature at our step sizes; then all rows, to an end


@dataclass(frozen=True)
class Minibatch(Method):
    """Descent on `size` rows at a time, drawn anew at each step without replacement, and later on all rows.

    With noise it would come to no end: after MINIBATCH_STEPS it goes on as plain descent.
    """

    step_size: float
    size: int

    trailing: ClassVar[bool] = False
    descends: ClassVar[bool] = False
    noisy: ClassVar[float] = MINIBATCH_STEPS

    @property
    def dynamics(self) -> str:
        """Whose basins these are, in words."""
        return f"{MINIBATCH_STEPS} steps on {self.size} rows at a time, then descent on all, step {self.step_size:g}"

    def init(self, theta: Array, key: Array) -> tuple[Array, Array]:
        """Key of the draws, and the number of steps taken."""
        return key, jnp.zeros((), jnp.int32)

    def step(self, gradient: Any, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        """A step down the gradient of some rows."""
        key, count = memory
        rows = jnp.where(count < MINIBATCH_STEPS, self.size, jnp.iinfo(jnp.int32).max)
        grad = gradient.some(theta, _key_of_step(key, count), rows)
        return theta - self.step_size * step_scale * grad, (key, count + 1)


@dataclass(frozen=True)
class Sgd(Method):
    """Stochastic gradient descent on a loss over Gaussian inputs: `size` fresh ones at each step, for ever.

    Where the student can be the teacher, the noise vanishes with the loss, and a descent comes to an end there. At any
    other minimum it never settles, and is unconverged when its budget is over.
    """

    step_size: float
    size: int

    trailing: ClassVar[bool] = False
    descends: ClassVar[bool] = False
    noisy: ClassVar[float] = float("inf")

    @property
    def dynamics(self) -> str:
        """Whose basins these are, in words."""
        return f"stochastic gradient descent, {self.size} fresh inputs a step, step {self.step_size:g}"

    def init(self, theta: Array, key: Array) -> tuple[Array, Array]:
        """Key of the draws, and the number of steps taken."""
        return key, jnp.zeros((), jnp.int32)

    def step(self, gradient: Any, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        """A step down the gradient of the mean over fresh inputs."""
        key, count = memory
        grad = gradient.fresh(theta, _key_of_step(key, count), self.size)
        return theta - self.step_size * step_scale * grad, (key, count + 1)

    def elapsed(self, before: Any, after: Any, steps: int | Array, step_scale: Array) -> Array:
        """Step size times steps, as of plain descent, which it is on average."""
        return jnp.asarray(steps, step_scale.dtype) * (self.step_size * step_scale)


def _key_of_step(key: Array, count: Array) -> Array:
    return jax.random.fold_in(jax.random.wrap_key_data(key, impl="threefry2x32"), count)


@dataclass(frozen=True)
class Optax(Method):
    """Any optax optimiser. Line searches of its own cost gradients that are not counted.

    Attributes:
        transformation: The optimiser.
        words: Its name in records of runs.
        key: What it is made of: optimisers of equal keys are equal (see `structure`).
    """

    transformation: optax.GradientTransformation = field(compare=False)
    words: str = "an optax optimiser"
    key: Hashable = field(init=False, repr=False)

    trailing: ClassVar[bool] = False
    descends: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", structure(self.transformation))

    @property
    def dynamics(self) -> str:
        """Whose basins these are, in words."""
        return self.words

    def init(self, theta: Array, key: Array) -> Any:
        """The optimiser's own state."""
        return self.transformation.init(theta)

    def step(self, gradient: Any, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        """An update of the optimiser's own."""
        extended = optax.with_extra_args_support(self.transformation)
        grad, value = gradient(theta), gradient.loss
        # `value` is dead code, and removed, for optimisers that do not look at it.
        updates, memory = extended.update(grad, memory, theta, value=value(theta), grad=grad, value_fn=value)
        return theta + step_scale * jnp.asarray(updates), memory
