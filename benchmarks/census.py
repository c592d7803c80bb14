"""What this machine does: gradients, Hessians, polishes and whole censuses a second, compilation apart.

    python benchmarks/census.py [--sizes 6 10 20] [--restarts 1000] [--out benchmarks/results]

Every kernel is timed after one warm-up call, `block_until_ready`, as the median of several calls; a census is timed
whole, with what it found beside it. The result is JSON with the environment; committed results are in
`benchmarks/results`, one file a machine.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import landscape as ls
from landscape.host.lanes import Settings, environment
from landscape.polish import polish


def median_seconds(function: Any, *arguments: Any, repeats: int = 7) -> float:
    """Median time of a compiled call, the first one left out."""
    jax.block_until_ready(function(*arguments))
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        jax.block_until_ready(function(*arguments))
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def machine() -> dict[str, float]:
    """The machine's own limits in this run: float64 matrix product rate and copy bandwidth."""
    a = jnp.asarray(np.random.default_rng(0).normal(size=(2000, 2000)))
    product = median_seconds(jax.jit(lambda a: a @ a), a)
    b = jnp.zeros(32_000_000)
    copy = median_seconds(jax.jit(lambda b: b + 1.0), b)
    return {"matmul_gflops": 2 * 2000**3 / product / 1e9, "copy_gbytes": 2 * b.nbytes / copy / 1e9}


def kernels(k: int, batch: int) -> dict[str, float]:
    """Microseconds a restart for one gradient, Hessian and polish at k = n."""
    problem = ls.orthonormal_teacher(k)
    theta = jnp.asarray(ls.start_points(problem, 0, np.arange(batch)))
    few = theta[: max(8, min(64, 2**20 // problem.p**2))]
    over = lambda f: jax.jit(jax.vmap(f, in_axes=(None, 0)))  # noqa: E731
    near = jnp.asarray(np.eye(k).reshape(-1) + 1e-4 * np.random.default_rng(0).normal(size=few.shape))
    done = over(lambda problem, t: polish(problem, t, 1e-12, 0.1, 1e-12, 1.0))
    return {
        "gradient_us": 1e6 * median_seconds(over(lambda p, t: p.gradient(t)), problem, theta) / len(theta),
        "loss_us": 1e6 * median_seconds(over(lambda p, t: p.loss(t)), problem, theta) / len(theta),
        "hessian_us": 1e6 * median_seconds(over(lambda p, t: p.hessian(t)), problem, few) / len(few),
        "polish_us": 1e6 * median_seconds(done, problem, near) / len(near),
    }


def whole(k: int, restarts: int) -> dict[str, Any]:
    """A census of k = n: seconds by stage and what it found."""
    census = ls.explore(ls.orthonormal_teacher(k), restarts, progress=False)
    return {
        "restarts": restarts,
        "seconds": census.seconds,
        "restarts_per_second": restarts / census.seconds["total"],
        "labels": census.labels(),
        "steps": int(census.rows["steps"].sum()),
    }


def main() -> None:
    """Measures and writes one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[6, 10, 20])
    parser.add_argument("--restarts", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    jax.config.update("jax_enable_x64", True)
    result: dict[str, Any] = {
        "environment": environment(Settings())
        | {"machine": platform.processor() or platform.machine(), "cores": os.cpu_count()},
        "machine": machine(),
        "cells": {},
    }
    for k in arguments.sizes:
        result["cells"][f"k{k}"] = kernels(k, arguments.restarts) | {"census": whole(k, arguments.restarts)}
        print(f"k = n = {k}: {json.dumps(result['cells'][f'k{k}'])}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = f"{result['environment']['platform']}-{result['environment']['device']}".replace(" ", "-").lower()
    path = arguments.out / f"census-{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(path)


if __name__ == "__main__":
    main()
