"""Many descents at once, all of one length: for those who need no schedule of lanes (`engine` has one)."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt

from landscape.descent.lane import Lane, Method, advance, init
from landscape.problems.problem import QUICK, Loss


@partial(jax.jit, static_argnames="method", compiler_options=QUICK)
def begun(
    problem: Loss,
    method: Method,
    theta: Float[Array, "r p"],
    step_scale: Float[Array, " r"] | None = None,
    keys: UInt[Array, "r 2"] | None = None,
) -> Lane:
    """Lanes at the start of their descents, one a row; `keys` are those of their random numbers, zero by default."""
    scale = jnp.ones(len(theta), theta.dtype) if step_scale is None else step_scale
    keys = jnp.zeros((len(theta), 2), jnp.uint32) if keys is None else keys
    return jax.vmap(partial(init, problem, method))(theta, scale, keys)


@partial(jax.jit, static_argnames="method", compiler_options=QUICK)
def advanced(problem: Loss, method: Method, lanes: Lane, steps: int | Array) -> Lane:
    """All lanes so many gradients later; one program for any number of them."""
    return jax.vmap(lambda lane: advance(problem, method, lane, steps))(lanes)
