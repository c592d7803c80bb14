"""Starting points that depend on the seed and the restart's number only: not on batch, device, run or precision."""

from __future__ import annotations

from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, UInt

from landscape.arrays import AnyArray
from landscape.precision import float64, host
from landscape.problems.problem import QUICK, Problem, is_landscape
from landscape.records import InputError, dimensions, numbers, one_of, real, whole

INITS = ("xavier", "he", "gaussian", "sphere")


@partial(jax.jit, static_argnames=("init",), compiler_options=QUICK)
def _draw(problem: Problem, keys: Any, init: str, scale: jax.Array) -> jax.Array:
    """A start for each key: keys come from one program for all problems, as threefry takes long to compile."""
    keys = jax.random.wrap_key_data(keys, impl="threefry2x32")
    return jax.vmap(lambda key: problem.start(key, init, scale))(keys)


@lru_cache(maxsize=64)
def _key(seed: int) -> UInt[np.ndarray, "2"]:
    """The key of a seed, two words of threefry: made once, by several programs."""
    return np.asarray(jax.random.key_data(jax.random.key(seed, impl="threefry2x32")))


NOISE = 2**32 - 1  # folded into the key of a seed for what descents draw; no restart has this number


def noise_key(seed: int) -> UInt[np.ndarray, "2"]:
    """The key, two words of threefry, from which descents of a run draw: apart from that of its starting points."""
    cpu = host()
    with float64(), nullcontext() if cpu is None else jax.default_device(cpu):
        return np.asarray(jax.random.key_data(jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), NOISE)))


def keys_of(key: UInt[AnyArray, "2"], numbers: UInt[AnyArray, " r"]) -> UInt[Array, "r 2"]:
    """The keys of the restarts with these numbers, each its own, from that of the run."""
    whole_run = jax.random.wrap_key_data(jnp.asarray(key), impl="threefry2x32")
    return jax.vmap(lambda i: jax.random.key_data(jax.random.fold_in(whole_run, i)))(jnp.asarray(numbers))


_keys_of = jax.jit(keys_of, compiler_options=QUICK)


def start_points(
    problem: Problem, seed: int, indices: np.ndarray, init: str = "xavier", init_scale: float = 1.0
) -> np.ndarray:
    """Starting points of the restarts with these numbers, [r, p] float64.

    Drawn on the host CPU in float64 from `fold_in(key(seed), index)` with the threefry generator, so that the same
    restart starts alike everywhere; a float32 descent rounds these. Where JAX_PLATFORMS leaves out the CPU the device
    draws them: the same random bits, and numbers that may differ in the last bit.

    Args:
        problem: The landscape.
        seed: Of the run.
        indices: Restart numbers, [r].
        init: "xavier": N(0, 1/d), Safran and Shamir's choice; "he": N(0, 2/d); "gaussian": N(0, 1); "sphere": unit
            rows. Ignored by `from_loss`, which brings its own.
        init_scale: Multiplies the draw.

    Raises:
        InputError: The name of the initialisation is unknown, or a number makes no sense.
    """
    is_landscape(problem)
    one_of("init", init, INITS)
    seed = whole("seed", seed, 0, most=2**63 - 1)
    init_scale = real("init_scale", init_scale, above=0)
    if dimensions(indices) != 1:
        raise InputError("indices must be a list of restart numbers, as np.arange(restarts) is.")
    indices = numbers(indices, "indices")
    if np.any((indices != np.floor(indices)) | (indices < 0) | (indices >= 2**32)):
        raise InputError("indices must be whole numbers of at least 0, below 2^32.")
    if not len(indices):
        return np.zeros((0, problem.p))
    # One compiled size: the draw of a restart is elementwise in its number, so padding changes nothing.
    size = 256
    padded = np.resize(np.asarray(indices, np.uint32), -(-len(indices) // size) * size)
    starts, cpu = np.empty((len(indices), problem.p)), host()
    with float64(), nullcontext() if cpu is None else jax.default_device(cpu):
        for i in range(0, len(padded), size):  # one block is let go before the next one takes its memory
            keys = _keys_of(_key(seed), padded[i : i + size])
            starts[i : i + size] = np.asarray(_draw(problem, keys, init, init_scale))[: len(indices) - i]
    return starts
