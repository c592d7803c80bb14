"""The convex program of larger data beside a general modelling tool: same activation patterns, optimum and times.

    python benchmarks/convex.py                     # n = 1000, d = 20 by default; needs cvxpy for its column
    python benchmarks/convex.py --rows 200 --dimension 10 --patterns 10 20

For each number of patterns the program on these cells (both signs of each) is solved by `optimum(data, sampled)` and by
cvxpy with Clarabel; then the optimum over all cells is looked for, as `landscape label` does, with its interval.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from landscape.problems.datafit import Data
from landscape.theory.arrangement.cells import sampled_cells
from landscape.theory.convex.column_generation import optimum


def data_set(rows: int, dimension: int, seed: int = 0) -> Data:
    """Two ReLU neurons and noise of a tenth; weight decay a hundredth of the rows."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, dimension))
    teacher = rng.normal(size=(2, dimension))
    y = np.maximum(x @ teacher[0], 0.0) - np.maximum(x @ teacher[1], 0.0) + 0.1 * rng.normal(size=rows)
    return Data(x, y, 0.01 * rows)


def modelled(data: Data, patterns: np.ndarray) -> float | None:
    """The same program written for cvxpy; None where it is not installed."""
    try:
        import cvxpy as cp  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    blocks, outputs, walls = [], 0.0, []
    for pattern in patterns:
        for sign in (1.0, -1.0):
            u = cp.Variable(data.x.shape[1])
            outputs = outputs + sign * cp.multiply(pattern.astype(float), data.x @ u)
            walls.append(np.where(pattern, 1.0, -1.0)[:, None] * data.x @ u >= 0)
            blocks.append(cp.norm(u))
    loss = 0.5 * cp.sum_squares(outputs - data.y) + data.weight_decay * sum(blocks)
    program: Any = cp.Problem(cp.Minimize(loss), walls)
    return float(program.solve(solver=cp.CLARABEL))


def measure(rows: int, dimension: int, counts: list[int]) -> dict[str, Any]:
    """One record a number of patterns, and one for the search over all cells."""
    data = data_set(rows, dimension)
    out: list[dict[str, Any]] = []
    for count in counts:
        cells = sampled_cells(data.x, count)
        began = time.perf_counter()
        ours = optimum(data, listed=cells)
        middle = time.perf_counter()
        theirs = modelled(data, cells.patterns)
        ended = time.perf_counter()
        one = {
            "patterns": len(cells.patterns),
            "value": ours.value,
            "lower_bound": ours.lower_bound,
            "seconds": middle - began,
            "cvxpy_value": theirs,
            "cvxpy_seconds": None if theirs is None else ended - middle,
            "difference": None if theirs is None else abs(ours.value - theirs) / theirs,
        }
        said = "cvxpy is not installed" if theirs is None else f"cvxpy {theirs:.9g} in {one['cvxpy_seconds']:.1f} s"
        print(f"{one['patterns']} patterns: {ours.value:.9g} in {one['seconds']:.1f} s, {said}", flush=True)
        out.append(one)
    began = time.perf_counter()
    best = optimum(data)
    seconds = time.perf_counter() - began
    print(f"all cells: between {best.lower_bound:.6g} and {best.value:.6g}, {len(best.outer)} neurons, {seconds:.1f} s")
    return {
        "rows": rows,
        "dimension": dimension,
        "weight_decay": data.weight_decay,
        "sampled": out,
        "all": {
            "value": best.value,
            "lower_bound": best.lower_bound,
            "neurons": len(best.outer),
            "rounds": best.rounds,
            "seconds": seconds,
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--dimension", type=int, default=20)
    parser.add_argument("--patterns", type=int, nargs="+", default=[10, 25])
    parser.add_argument("--out", type=Path, help="default: a new file in benchmarks/results")
    args = parser.parse_args()
    from new_file import new_file
    from peers import surroundings

    out = args.out or new_file("convex-cpu.json")
    record = {"environment": surroundings(), **measure(args.rows, args.dimension, args.patterns)}
    out.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written to {out}")


if __name__ == "__main__":
    main()
