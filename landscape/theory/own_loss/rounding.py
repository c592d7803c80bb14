"""How far rounding may move the result of a JAX function: every operation is disturbed by an eps of its own type.

Stochastic arithmetic (Vignes 1978, CESTAC): the same program is run several times, each result of a rounded operation
multiplied by 1 + eps or 1 - eps at random; the spread is the error. It sees what a nudge of the arguments does not: a
large constant that is added and taken away, 1 - p beside p = 1, and parts that run in float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

# Operations whose result is one of their arguments, or whose rounding is none.
EXACT = frozenset(
    [
        "neg",
        "reshape",
        "broadcast_in_dim",
        "squeeze",
        "expand_dims",
        "transpose",
        "slice",
        "dynamic_slice",
        "dynamic_update_slice",
        "concatenate",
        "pad",
        "rev",
        "select_n",
        "select_and_gather_add",
        "max",
        "min",
        "abs",
        "sign",
        "floor",
        "ceil",
        "round",
        "clamp",
        "stop_gradient",
        "gather",
        "scatter",
        "copy",
        "copy_p",
        "copy_to",
        "real",
        "imag",
        "reduce_max",
        "reduce_min",
        "sort",
        "argmax",
        "argmin",
        "iota",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "and",
        "or",
        "not",
        "xor",
        "is_finite",
        "split",
        "optimization_barrier",
        "convert_element_type",
        "device_put",
        "symbolic_zeros",
        "zeros_like",
    ]
)
# Sums of many terms: the error goes with the terms and not with their sum, so that the terms are disturbed.
SUMS = frozenset(["dot_general", "reduce_sum", "cumsum", "conv_general_dilated", "scatter-add", "reduce_window_sum"])


def disturbed(function: Callable[..., Any], seed: Array, *args: Array) -> Any:
    """The value of a function with every rounding replaced by a random one of relative size eps.

    Bodies of loops and branches are run as they are and their results disturbed.

    Args:
        function: A JAX function of arrays.
        seed: Which disturbance, a whole number.
        args: Its arguments.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    count = iter(range(1, 1 << 30))

    def jolt(value: Any) -> Any:
        if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
            return value
        return value * (1 + jnp.finfo(value.dtype).eps * _signs(seed, next(count), jnp.shape(value), value.dtype))

    out = _run(closed.jaxpr, closed.consts, jax.tree.leaves(args), jolt)
    return jax.tree.unflatten(jax.tree.structure(shape), out)


def _signs(seed: Array, count: int, shape: tuple[int, ...], dtype: Any) -> Array:
    """Plus or minus one by a mixed hash of seed, operation and place: a random key an operation costs far more."""
    place = jnp.arange(int(np.prod(shape)), dtype=jnp.uint32).reshape(shape)
    word = place * jnp.uint32(0x9E3779B1) + seed.astype(jnp.uint32) * jnp.uint32(0x85EBCA6B)
    word = word + jnp.uint32((count * 0xC2B2AE35) & 0xFFFFFFFF)
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return jnp.where((word >> 16) & 1, 1, -1).astype(dtype)


def _run(jaxpr: Any, consts: Any, args: Any, jolt: Callable[[Any], Any]) -> list[Any]:
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jax.extend.core.Literal) else values[atom]

    for eqn in jaxpr.eqns:
        ins, name = [read(atom) for atom in eqn.invars], eqn.primitive.name
        inner = _inner(eqn)
        if inner is not None:
            outs = _run(inner.jaxpr, inner.consts, ins, jolt)
        else:
            if name in SUMS:
                ins[0] = jolt(ins[0])
            params = eqn.primitive.get_bind_params(eqn.params)
            outs = eqn.primitive.bind(*ins, **params)
            outs = list(outs) if eqn.primitive.multiple_results else [outs]
            if name not in EXACT or _narrowed(eqn):
                outs = [jolt(out) for out in outs]
        values.update(zip(eqn.outvars, outs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _inner(eqn: Any) -> Any:
    """The program that an equation calls once, closed; None for an operation."""
    if eqn.primitive.name not in ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "checkpoint"):
        return None
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = eqn.params.get(key)
        if inner is not None:
            closed = isinstance(inner, jax.extend.core.ClosedJaxpr)
            return inner if closed else jax.extend.core.ClosedJaxpr(inner, ())
    return None


def _narrowed(eqn: Any) -> bool:
    """Whether an equation makes numbers of a type with fewer digits."""
    if eqn.primitive.name != "convert_element_type":
        return False
    old, new = eqn.invars[0].aval.dtype, eqn.outvars[0].aval.dtype
    both = jnp.issubdtype(old, jnp.floating) and jnp.issubdtype(new, jnp.floating)
    return bool(both and jnp.finfo(new).eps > jnp.finfo(old).eps)
