"""What a gradient of a chunk costs in each form of lanes, on the device at hand, and how far the forms are apart.

    python benchmarks/kernels.py [--sizes 6 20] [--lanes 8192 65536] [--methods flow gradient-descent] [--out FILE]

Nanoseconds a lane and gradient, the method's own step included, compilation apart: the median of five chunks. The form
on chip is measured on GPUs that have it. `apart` is the median distance of theta from that of the first form after one
chunk: in float64 rounding alone; by the flow in float32 its steps are chosen by errors, which rounding changes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import landscape as ls
from landscape import descent
from landscape.engine import kernels, on_chip
from landscape.engine.environment import environment
from landscape.engine.kernels import Form
from landscape.engine.settings import Settings
from landscape.precision import float64


def seconds(run: Any, lanes: Any) -> float:
    """Of one call; the first is for compilation."""
    jax.block_until_ready(run(lanes))
    spent = []
    for _ in range(5):
        begun = time.perf_counter()
        jax.block_until_ready(run(lanes))
        spent.append(time.perf_counter() - begun)
    return median(spent)


def measured(k: int, dtype: str, name: str, count: int) -> Iterator[dict[str, Any]]:
    """One row for each form: of k = n, by this method, so many lanes."""
    problem = ls.orthonormal_teacher(k)
    method = Settings.of(problem, optimiser=name).method(problem.scale)
    theta = jnp.asarray(np.random.default_rng(0).normal(0, k**-0.5, (count, problem.p)), dtype)
    ones, first = jnp.ones(count, dtype), None
    begun = jax.jit(jax.vmap(lambda one, scale: descent.init(problem, method, one, scale)))(theta, ones)
    for form in Form:
        last = form is Form.LAST_AXIS
        there = on_chip.runs_on(jax.local_devices()[0]) and on_chip.applies(problem, method, dtype)
        if (last and not problem.trailing) or (form is Form.ON_CHIP and not there):
            continue
        lanes = jax.tree.map(lambda x: jnp.moveaxis(x, 0, -1), begun) if last else begun
        run = jax.jit(lambda lanes, form=form: kernels.advance(form, problem, method, lanes, method.chunk))
        ends = np.asarray(run(lanes).theta, np.float64)
        ends = ends.T if last else ends
        first = ends if first is None else first
        yield {
            "k": k,
            "dtype": dtype,
            "method": name,
            "lanes": count,
            "form": str(form),
            "ns": 1e9 * seconds(run, lanes) / (count * method.chunk),
            "apart": float(np.median(np.linalg.norm(ends - first, axis=1))),
        }


def main() -> None:
    """Measures, prints and writes; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[6, 20], help="k = n")
    parser.add_argument("--lanes", type=int, nargs="+", default=[8192, 65536])
    parser.add_argument("--methods", nargs="+", default=["flow", "gradient-descent"])
    parser.add_argument("--dtype", nargs="+", default=["float32", "float64"])
    parser.add_argument("--out", type=Path, help="write the result here, as JSON")
    asked = parser.parse_args()
    rows = []
    with float64():
        for k in asked.sizes:
            for dtype in asked.dtype:
                for name in asked.methods:
                    for count in asked.lanes:
                        for row in measured(k, dtype, name, count):
                            print(json.dumps(row), flush=True)
                            rows.append(row)
    if asked.out is not None:
        found = {"rows": rows, "environment": environment(Settings())}
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
