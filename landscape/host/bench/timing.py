"""Seconds of a call, and the limits of the machine measured with them."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape.host.bench.machine import bytes_needed, ensure_memory


class Timed(NamedTuple):
    """Seconds of one call, and of its compilation.

    Attributes:
        seconds: Median over repeats; a repeat is as many calls in a row as take `least` seconds.
        compile_seconds: Tracing, lowering and compiling.
        rounds: Every repeat.
    """

    seconds: float
    compile_seconds: float
    rounds: tuple[float, ...]


def timed(function: Callable[..., Any], *arguments: Any, repeats: int = 7, least: float = 0.05) -> Timed:
    """Times a function of arrays, compiled for these very arguments.

    Raises:
        MemoryError: The program and its arguments need more than the machine has left.
    """
    begun = time.perf_counter()
    compiled = jax.jit(function).lower(*arguments).compile()
    compile_seconds = time.perf_counter() - begun
    ensure_memory(bytes_needed(compiled))

    def run(times: int) -> None:
        result = None
        for _ in range(times):
            result = compiled(*arguments)
        jax.block_until_ready(result)

    return repeated(run, compile_seconds, repeats, least)


def repeated(run: Callable[[int], Any], compile_seconds: float, repeats: int = 7, least: float = 0.05) -> Timed:
    """Times `run(times)`, which does its work so many times in a row and waits for the end of it."""
    run(1)
    begun = time.perf_counter()
    run(1)
    times = max(1, min(1000, math.ceil(least / max(time.perf_counter() - begun, 1e-7))))
    rounds = []
    for _ in range(repeats):
        begun = time.perf_counter()
        run(times)
        rounds.append((time.perf_counter() - begun) / times)
    return Timed(statistics.median(rounds), compile_seconds, tuple(rounds))


def limits(dtypes: tuple[str, ...], quick: bool = False) -> dict[str, Any]:
    """Measured limits of the device: `copy_gbytes`, and for each dtype `matmul_gflops` and `elementwise_gflops`.

    Products are of square matrices in full precision (no TF32), copies read and write an array that fits no cache,
    elementwise work is 128 multiply-adds a number on an array that fits the cache.
    """
    host = jax.local_devices()[0].platform == "cpu"
    repeats = 3 if quick else 7
    side = 1024 if quick else (2048 if host else 8192)
    large = 2**24 if quick else (2**25 if host else 2**29)
    small = 2**16 if host else 2**24
    found: dict[str, Any] = {}
    source = jnp.zeros(large, jnp.float32)
    # In a loop, so that new pages from the system, which cost more than the copy, are paid once.
    passes = 8
    copied = timed(lambda x: jax.lax.fori_loop(0, passes, lambda i, x: x + i, x), source, repeats=repeats)
    found["copy_gbytes"] = passes * 2 * source.nbytes / copied.seconds / 1e9
    del source
    for name in dtypes:
        a = jnp.asarray(np.random.default_rng(0).normal(size=(side, side)), name)
        product = timed(lambda a: jnp.matmul(a, a, precision=jax.lax.Precision.HIGHEST), a, repeats=repeats)

        def chain(x: Any) -> Any:
            # Eight chains hide the latency of a multiply-add; written out, so that they stay in registers.
            parts = [x * (1.0 + 0.1 * i) for i in range(8)]
            for _ in range(16):
                parts = [part * x + 0.5 for part in parts]
            return sum(parts)

        x = jnp.full(small, 0.5, name)
        elementwise = timed(chain, x, repeats=repeats)
        found[name] = {
            "matmul_gflops": 2 * side**3 / product.seconds / 1e9,
            "elementwise_gflops": (2 * 8 * 16 + 15) * small / elementwise.seconds / 1e9,
        }
    return found
