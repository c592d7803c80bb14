"""The kernels as the driver calls them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from landscape.engine.lanes import CPU
from landscape.host.bench.machine import bytes_needed, ensure_memory, usable_cores
from landscape.problems.problem import Problem


class BatchedGradient:
    """The gradients of a batch as the driver computes them: in its layout, in blocks that fit a cache, on every core.

    Called, it computes them once and waits. Arranging and `rows` are not part of a call: the driver arranges a lane
    once and keeps the layout for its whole descent.
    """

    def __init__(self, problem: Problem, thetas: Any):
        """Arranges thetas, [r, p], and compiles.

        Raises:
            MemoryError: The machine has not enough left.
        """
        begun = time.perf_counter()
        count = len(thetas)
        on_cpu = jax.local_devices()[0].platform == "cpu"
        size = min(problem.block, count) if on_cpu else count
        cores = min(usable_cores(), -(-count // size)) if on_cpu else 1
        blocks = cores * -(-count // (size * cores))
        self.restarts, self.trailing = count, problem.trailing
        rows = jnp.resize(thetas, (blocks * size, thetas.shape[1])).reshape(cores, -1, size, thetas.shape[1])
        self.shares = [jnp.swapaxes(share, 1, 2) if self.trailing else share for share in rows]
        one = problem.gradient_lanes if self.trailing else problem.gradients
        tiny = float(jnp.finfo(thetas.dtype).tiny)

        def repeated(share: Any, times: Any) -> Any:
            def block(theta: Any) -> Any:
                def step(_: Any, carry: Any) -> Any:
                    gradient = one(carry[0])
                    # Of no effect, and nothing that the compiler could see through: each gradient waits for the last.
                    return carry[0] - tiny * gradient, gradient

                return jax.lax.fori_loop(0, times, step, (theta, theta))[1]

            return jax.lax.map(block, share) if blocks > 1 else block(share[0])[None]

        made = jax.jit(repeated).lower(self.shares[0], 1)
        self.compiled = made.compile(compiler_options=CPU if on_cpu else None)
        ensure_memory(cores * bytes_needed(self.compiled))
        self.pool = ThreadPoolExecutor(cores)
        self.compile_seconds = time.perf_counter() - begun

    def __call__(self, times: int = 1) -> list[Any]:
        """The gradients, computed so many times in a row; a share for each core.

        As in the driver, a block is gone through so many times before the next one begins, and no core waits for
        another in between.
        """
        if len(self.shares) > 1:
            return list(self.pool.map(partial(self._repeated, times), self.shares))
        return [jax.block_until_ready(self.compiled(self.shares[0], times))]

    def _repeated(self, times: int, share: Any) -> Any:
        with jax.enable_x64(True):
            return jax.block_until_ready(self.compiled(share, times))

    def rows(self, shares: list[Any]) -> np.ndarray:
        """What a call returned as gradients [r, p]."""
        found = np.concatenate([np.asarray(share) for share in shares])
        found = np.swapaxes(found, 1, 2) if self.trailing else found
        return found.reshape(-1, found.shape[-1])[: self.restarts]


def newton_step(problem: Problem, theta: Any) -> Any:
    """One Newton step from theta, [p], by Cholesky factorisation: the inner step of every polish."""
    factor = jax.lax.linalg.cholesky(problem.hessian(theta), symmetrize_input=False)
    return theta - jax.scipy.linalg.cho_solve((factor, True), problem.gradient(theta))
