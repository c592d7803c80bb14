"""Do fast methods find what slow ones find? The same restarts by several methods, compared one by one.

    python benchmarks/agreement.py [--sizes 6 10 20] [--restarts 1000] [--out FILE]

The methods follow the same dynamics, the gradient flow, with different care: the error-controlled flow, and gradient
descent with steps 0.01, 0.02 and 0.1 (the paper's). Two of them agree on a restart if it ends with the same label at
the same level, losses within 1e-7. Restarts that one of the two did not finish are counted apart. The same is done for
float32 against float64 descents. Shares come with 95% Wilson intervals.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

SAME_LEVEL = 1e-7
REFERENCE = 200_000  # steps of 0.1 that a restart may take; as many times more of a smaller step
UNFINISHED = "unconverged"


def agreement(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> dict[str, Any]:
    """On how many restarts two methods agree.

    Args:
        one: Columns "restart", "loss" and "label" of a census.
        other: The same of another census.

    Returns:
        `restarts` that both finished, `unfinished` ones by either, and for `agree` (same level and label),
        `labels_differ` and `levels_differ` the count with its share and 95% Wilson interval.
    """
    from landscape.census.statistics import wilson

    shared, i, j = np.intersect1d(one["restart"], other["restart"], return_indices=True)
    labels, other_labels = np.asarray(one["label"])[i].astype(str), np.asarray(other["label"])[j].astype(str)
    loss, other_loss = np.asarray(one["loss"], float)[i], np.asarray(other["loss"], float)[j]
    both = (labels != UNFINISHED) & (other_labels != UNFINISHED)
    label = labels[both] == other_labels[both]
    level = np.abs(loss[both] - other_loss[both]) <= SAME_LEVEL
    total = int(both.sum())

    def share(count: int) -> dict[str, Any]:
        low, high = wilson(count, total)
        return {"count": count, "share": count / total if total else None, "low": low, "high": high}

    return {
        "restarts": total,
        "unfinished": len(shared) - total,
        "agree": share(int(np.sum(label & level))),
        "labels_differ": share(int(np.sum(~label))),
        "levels_differ": share(int(np.sum(~level))),
        "disagreeing": [int(r) for r in shared[both][~(label & level)][:50]],
    }


def methods(names: list[str]) -> dict[str, dict[str, Any]]:
    """Settings of each method, by its name."""
    from landscape.engine.settings import Settings

    known: dict[str, dict[str, Any]] = {"flow": {"optimiser": "flow", "tolerance": Settings().tolerance}}
    for step in (0.01, 0.02, 0.1):
        budget = round(REFERENCE * 0.1 / step)
        known[f"step-{step:g}"] = {"optimiser": "gradient-descent", "step_size": step, "budget": budget}
    for name in ("flow", "step-0.1"):
        known[f"{name}-float32"] = known[name] | {"dtype": "float32"}
    return {name: known[name] for name in names}


NAMES = ("flow", "step-0.01", "step-0.02", "step-0.1", "flow-float32", "step-0.1-float32")


def contest(k: int, restarts: int, seed: int, names: list[str]) -> dict[str, Any]:
    """All methods from the same starts at k = n, and their agreement in pairs."""
    import landscape as ls

    problem = ls.orthonormal_teacher(k)
    rows: dict[str, dict[str, np.ndarray]] = {}
    runs: dict[str, Any] = {}
    for name, settings in methods(names).items():
        census = ls.explore(problem, restarts, seed, progress=False, **settings)
        rows[name] = census.rows
        runs[name] = {
            "settings": settings,
            "labels": census.labels(),
            "seconds": census.seconds,
            "gradients_per_restart": float(np.mean(census.rows["steps"])),
        }
        print(f"k = n = {k}, {name}: {census.seconds['total']:.1f} s, {census.labels()}", flush=True)
    pairs = []
    for one, other in itertools.combinations(rows, 2):
        found = agreement(rows[one], rows[other])
        pairs.append({"pair": [one, other], **found})
        agree = found["agree"]
        if agree["share"] is not None:
            print(
                f"  {one} and {other}: agree on {agree['count']} of {found['restarts']} "
                f"({100 * agree['share']:.1f}%, {100 * agree['low']:.1f} to {100 * agree['high']:.1f}), "
                f"labels differ on {found['labels_differ']['count']}, unfinished {found['unfinished']}",
                flush=True,
            )
    return {"k": k, "restarts": restarts, "seed": seed, "runs": runs, "pairs": pairs}


def main(arguments: list[str] | None = None) -> None:
    """Compares and writes one JSON file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[6, 10, 14, 20], help="k = n")
    parser.add_argument("--restarts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--methods", nargs="+", choices=NAMES, default=list(NAMES))
    parser.add_argument("--out", type=Path, help="default: a new file in benchmarks/results")
    asked = parser.parse_args(arguments)
    from new_file import new_file
    from peers import surroundings

    where = surroundings()
    out = asked.out or new_file(f"agreement-{where['platform']}.json")
    result: dict[str, Any] = {"environment": where, "same_level": SAME_LEVEL, "sizes": []}
    for k in asked.sizes:
        result["sizes"].append(contest(k, asked.restarts, asked.seed, asked.methods))
        out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    print(out)


if __name__ == "__main__":
    main()
