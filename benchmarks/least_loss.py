"""Local minima of fresh data below the least optimal width: how many stay undecided because P_m is an interval?

    python benchmarks/least_loss.py [--problems 40] [--starts 12] [--seed 0] [--out FILE]

Rows n = 5..9 in d = 3 and 4 dimensions and targets are standard normal, weight decay 0.03, 0.1 or 0.3, widths 2, 3 and
4 below m*. From standard normal starts a quasi-Newton descent and the exact finish lead to local minima; different
losses of a width are different minima. Each is labelled as `landscape label` does.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize

WIDTHS = (2, 3, 4)
SAME = 1e-9  # of the loss: nearer losses are one minimum's


def minima_of(problem: Any, starts: int, rng: np.random.Generator) -> list[Any]:
    """Verdicts of the different local minima that descents from random starts lead to."""
    from landscape.host.label import label_one

    found: list[Any] = []
    for _ in range(starts):
        start = rng.normal(size=problem.p)
        end = minimize(lambda theta: _loss(problem, theta), start, jac=True, method="L-BFGS-B", options={"gtol": 1e-9})
        verdict = label_one(problem, end.x)
        for one in (verdict, verdict.polished):
            minimum = one is not None and (str(one.label) in ("global", "spurious") or "minimum" in str(one.flavour))
            if minimum and all(abs(one.loss - other.loss) > SAME * one.loss for other in found):
                found.append(one)
    return found


def _loss(problem: Any, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss and a gradient in NumPy: shapes differ from problem to problem, and no program is compiled for each."""
    x, y, beta, m = problem.x, problem.y, float(problem.weight_decay), problem.width
    w, a = theta[: m * x.shape[1]].reshape(m, -1), theta[m * x.shape[1] :]
    heights = np.maximum(x @ w.T, 0.0)
    left = heights @ a - y
    slopes = ((heights > 0) * left[:, None] * a).T @ x + beta * w
    value = 0.5 * float(left @ left) + 0.5 * beta * float(theta @ theta)
    return value, np.concatenate([slopes.ravel(), heights.T @ left + beta * a])


def main() -> None:
    """Draws, labels, and writes one JSON file and a line after every problem."""
    from new_file import new_file
    from peers import surroundings

    from landscape.problems.empirical import empirical
    from landscape.theory.convex.branch_and_bound import exact
    from landscape.theory.convex.least_loss import best_of_width, certified_optimum

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", type=int, default=40)
    parser.add_argument("--starts", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="default: a new file in benchmarks/results")
    asked = parser.parse_args()
    out = asked.out or new_file("least-loss-cpu.json")
    where = surroundings()
    labels, widths, intervals, below, programs, longest = Counter(), 0, 0, 0, [], 0.0
    for i in range(asked.problems):
        rng = np.random.default_rng([asked.seed, i])
        n, d, decay = int(rng.integers(5, 10)), int(rng.integers(3, 5)), float(rng.choice([0.03, 0.1, 0.3]))
        x, y = rng.normal(size=(n, d)), rng.normal(size=n)
        least = len(certified_optimum(empirical(x, y, 2, weight_decay=decay)).outer)
        for width in (one for one in WIDTHS if one < least):
            problem = empirical(x, y, width, weight_decay=decay)
            begun = time.process_time()
            best = best_of_width(problem)
            longest = max(longest, time.process_time() - begun)
            assert best is not None
            found = minima_of(problem, asked.starts, rng)
            widths, intervals = widths + 1, intervals + (not exact(best))
            below += sum(one.loss < best.lower_bound - one.loss_error for one in found)
            programs.append(best.programs)
            labels += Counter(str(one.label) for one in found)
        result = {
            "problems": i + 1, "starts": asked.starts, "seed": asked.seed, "widths": widths, "intervals": intervals,
            "minima": dict(labels), "minima_below_a_bound": below, "programs_median": float(np.median(programs or [0])),
            "programs_most": max(programs, default=0), "search_longest_cpu_seconds": round(longest, 2),
        }  # fmt: skip
        out.write_text(json.dumps({**result, "environment": where}, indent=1) + "\n")
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
