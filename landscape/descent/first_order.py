"""First-order methods: gradient descent, on all rows or on a few at a time, and any optax optimiser."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from landscape.descent.lane import GradientAt, Method


def gradient_descent(step_size: float) -> Method:
    """theta <- theta - step_size * gradient."""

    def step(gradient: GradientAt, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        return theta - (step_size * step_scale) * gradient(theta), memory

    return Method(lambda theta: (), step, f"gradient descent, step {step_size:g}")


MINIBATCH_STEPS = 9600  # noisy ones, hundreds of times 1 / curvature at our step sizes; then all rows, to an end


def minibatch(step_size: float, size: int) -> Method:
    """Descent on `size` rows at a time, drawn anew at each step without replacement, and later on all rows.

    With noise it would come to no end: after MINIBATCH_STEPS it goes on as plain descent. The draws of a restart follow
    from where it starts, so that it goes the same way in any lane.
    """

    def init(theta: Array) -> tuple[Array, Array]:
        seed = jax.lax.bitcast_convert_type(jnp.sum(theta).astype(jnp.float32), jnp.uint32)
        return jnp.stack([seed, jnp.uint32(0)]), jnp.zeros((), jnp.int32)

    def step(gradient: Any, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        seed, count = memory
        key = jax.random.fold_in(jax.random.wrap_key_data(seed, impl="threefry2x32"), count)
        rows = jnp.where(count < MINIBATCH_STEPS, size, jnp.iinfo(jnp.int32).max)
        return theta - step_size * step_scale * gradient.some(theta, key, rows), (seed, count + 1)

    dynamics = f"{MINIBATCH_STEPS} steps on {size} rows at a time, then descent on all, step {step_size:g}"
    return Method(init, step, dynamics, trailing=False, descends=False, noisy=MINIBATCH_STEPS)


def from_optax(transformation: optax.GradientTransformation, dynamics: str = "an optax optimiser") -> Method:
    """Any optax optimiser. Line searches of its own cost gradients that are not counted."""
    extended = optax.with_extra_args_support(transformation)

    def step(gradient: Any, theta: Array, memory: Any, step_scale: Array, number: Array) -> tuple[Array, Any]:
        grad, value = gradient(theta), gradient.loss
        # `value` is dead code, and removed, for optimisers that do not look at it.
        updates, memory = extended.update(grad, memory, theta, value=value(theta), grad=grad, value_fn=value)
        return theta + step_scale * jnp.asarray(updates), memory

    return Method(extended.init, step, dynamics, trailing=False, descends=False)
