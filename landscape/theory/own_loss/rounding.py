"""How far rounding may move the result of a JAX function: every operation is disturbed by an eps of its own type.

Stochastic arithmetic (Vignes 1978, CESTAC): the same program is run several times, each result of a rounded operation
multiplied by 1 + eps or 1 - eps at random; the spread is the error. It sees what a nudge of the arguments does not: a
large constant that is added and taken away, 1 - p beside p = 1, and parts that run in float32.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.problems.walk import LOOKED_INTO, OfArguments, bind, values_of, walk, within

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
BITS = 16  # of a word, the upper half: operations that one word serves
ROUND = 1_000_003  # between the seeds of two rounds of a loop
# Sums of many terms: the error goes with the terms and not with their sum, so that the terms are disturbed.
SUMS = frozenset(["dot_general", "reduce_sum", "cumsum", "conv_general_dilated", "scatter-add", "reduce_window_sum"])


def disturbed(function: Callable[..., Any], seed: Array, *args: Array) -> Any:
    """The value of a function with every rounding replaced by a random one of relative size eps.

    Bodies of `while` are run as they are and their results disturbed. What is computed without the arguments is a
    number of the function's own, as the place of a median among its entries is, and is not disturbed.

    Args:
        function: A JAX function of arrays.
        seed: Which disturbance, a whole number.
        args: Its arguments.
    """
    closed, shape = jax.make_jaxpr(function, return_shape=True)(*args)
    count = itertools.count()
    words: dict[tuple[int, tuple[int, ...], int], tuple[Array, Array]] = {}

    def jolt(value: Any, seed: Array) -> Any:
        if not jnp.issubdtype(jnp.result_type(value), jnp.floating):
            return value
        number, bit = divmod(next(count), BITS)
        key = id(seed), jnp.shape(value), number
        if key not in words:  # with its seed, so that no other one takes the id while the word is there
            words[key] = seed, _word(seed, np.uint32((number + 1) * 0xC2B2AE35 & 0xFFFFFFFF), jnp.shape(value))
        return _jolted(value, words[key][1], np.uint32(bit + 32 - BITS))

    def step(eqn: Any, ins: list[Any], seed: Array) -> list[Any]:
        if not any(isinstance(one, OfArguments) for one in ins):
            return bind(eqn, ins)
        name, known = eqn.primitive.name, values_of(ins)
        if name in LOOKED_INTO:

            def run(program: Any, consts: Any, args: list[Any], number: Any) -> tuple[list[Any], tuple[()]]:
                other = seed + number * ROUND
                return walk(program, consts, args, lambda eqn, ins: step(eqn, ins, other)), ()

            return within(eqn, ins, run)[0]
        if name in SUMS:
            known = [jolt(_as_wide(known[0], eqn.outvars[0].aval.dtype), seed), *known[1:]]
        outs = bind(eqn, known)
        return [OfArguments(jolt(out, seed) if name not in EXACT or _narrowed(eqn) else out) for out in outs]

    start = [OfArguments(one) for one in jax.tree.leaves(args)]
    out = walk(closed.jaxpr, closed.consts, start, lambda eqn, ins: step(eqn, ins, seed))
    return jax.tree.unflatten(jax.tree.structure(shape), values_of(out))


@partial(jax.jit, static_argnums=2)  # traced once a shape, and not once an operation
def _word(seed: Array, salt: Array, shape: tuple[int, ...]) -> Array:
    """A mixed hash of seed, salt and place: random keys cost far more."""
    place = jnp.arange(int(np.prod(shape)), dtype=jnp.uint32).reshape(shape)
    word = place * jnp.uint32(0x9E3779B1) + seed.astype(jnp.uint32) * jnp.uint32(0x85EBCA6B) + salt
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D)
    return (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)


@jax.jit
def _jolted(value: Array, word: Array, bit: Array) -> Array:
    """A value times 1 + eps or 1 - eps, by one bit of each number's word."""
    signs = jnp.where((word >> bit) & 1, 1, -1).astype(value.dtype)
    return value * (1 + jnp.finfo(value.dtype).eps * signs)


def _as_wide(value: Any, dtype: Any) -> Any:
    """A factor in the type that its sum is made in, where that has more digits: float32 data round nothing there."""
    if not (jnp.issubdtype(value.dtype, jnp.floating) and jnp.issubdtype(dtype, jnp.floating)):
        return value
    return value.astype(dtype) if jnp.finfo(dtype).eps < jnp.finfo(value.dtype).eps else value


def _narrowed(eqn: Any) -> bool:
    """Whether an equation makes numbers of a type with fewer digits."""
    if eqn.primitive.name != "convert_element_type":
        return False
    old, new = eqn.invars[0].aval.dtype, eqn.outvars[0].aval.dtype
    both = jnp.issubdtype(old, jnp.floating) and jnp.issubdtype(new, jnp.floating)
    return bool(both and jnp.finfo(new).eps > jnp.finfo(old).eps)
