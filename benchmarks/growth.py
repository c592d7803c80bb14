"""How the cost of a restart grows with the network: seconds against k = n, and against n at a fixed teacher.

    python benchmarks/growth.py [--sizes 6 8 ...] [--teacher 6 --widths 6 7 ...] [--restarts 200] [--out FILE]
    python benchmarks/growth.py --draw FILE.json FILE.png

Every cell is a whole census, labels included, in a process of its own: nothing is left over from the cell before, its
peak memory is its own, and a cell that runs out of memory ends alone. Compilation is kept apart; short runs before do
most of it. A cell that the cells before it predict to take longer than `--limit` has fewer restarts, FEWEST at least;
one that would still take longer is left out, and the result says so. Orbits are examined once each: where most restarts
have one of their own, from k of about 40 on, a restart pays for it alone.
Seconds are the processor's, all cores added up: what else the machine does changes them little.
The exponent is the slope of log seconds against log size, with its 95% t interval; a slope over a whole range hides
that costs of different powers take turns, so the local slope between neighbours is recorded too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

FEWEST = 4  # restarts of a cell


def fit_exponent(sizes: Any, seconds: Any) -> dict[str, float | None]:
    """a in seconds ~ c size^a by least squares of the logarithms, with its 95% interval.

    Args:
        sizes: At least two different ones.
        seconds: Positive, one for each size.

    Returns:
        `exponent`, `low`, `high`, and `factor`, the c. With two sizes there is no interval: `low` and `high` are None.
    """
    from scipy.stats import t

    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(seconds, float))
    if len(x) < 2 or np.ptp(x) == 0:
        raise ValueError(f"an exponent needs at least two different sizes, found {list(sizes)}.")
    spread = np.sum((x - x.mean()) ** 2)
    slope = float(np.sum((x - x.mean()) * (y - y.mean())) / spread)
    level = float(y.mean() - slope * x.mean())
    found: dict[str, float | None] = {"exponent": slope, "low": None, "high": None, "factor": float(np.exp(level))}
    free = len(x) - 2
    if free > 0:
        error = np.sqrt(np.sum((y - level - slope * x) ** 2) / free / spread)
        half = float(t.ppf(0.975, free) * error)
        found |= {"low": slope - half, "high": slope + half}
    return found


def local_exponents(sizes: list[int], seconds: list[float]) -> list[float]:
    """Slopes of log seconds against log size between neighbours."""
    return [float(s) for s in np.diff(np.log(seconds)) / np.diff(np.log(sizes))]


def cell(k: int, width: int, restarts: int, optimiser: str) -> dict[str, Any]:
    """One census in this process: processor seconds of a restart, peak memory, labels."""
    import resource

    from peers import keep_compiled

    with tempfile.TemporaryDirectory() as folder:
        keep_compiled(Path(folder))
        import landscape as ls

        problem = ls.orthonormal_teacher(k, width)
        # Polish and labels are compiled by two whole descents, the lanes by as many restarts as the census has.
        ls.explore(problem, 2, seed=1, optimiser=optimiser, progress=False)
        ls.explore(problem, restarts, seed=1, optimiser=optimiser, budget=100, progress=False)
        begun = time.process_time()
        census = ls.explore(problem, restarts, optimiser=optimiser, progress=False)
        spent = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    rows = census.rows
    return {
        "k": k,
        "width": width,
        "restarts": restarts,
        "optimiser": optimiser,
        "seconds_per_restart": spent / restarts,
        "seconds": census.seconds,
        "gradients_per_restart": float(np.mean(rows["steps"])),
        "peak_gbytes": peak / 1e9,
        "labels": census.labels(),
    }


def own_process(k: int, width: int, restarts: int, optimiser: str) -> dict[str, Any]:
    """`cell` in a process of its own; a process that dies is a result."""
    arguments = ["--cell", str(k), str(width), str(restarts), optimiser]
    done = subprocess.run([sys.executable, __file__, *arguments], capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return {"k": k, "width": width, "restarts": restarts, "failed": f"exit status {done.returncode}: {last}"[:300]}


def series(cells: list[tuple[int, int]], by: str, restarts: int, optimiser: str, limit: float) -> dict[str, Any]:
    """Cells in ascending order until one fails or would take too long, with the fitted exponent.

    Args:
        cells: (k, width), ascending.
        by: "k" or "width": what the cost is fitted against.
        restarts: In each cell, where time allows.
        optimiser: Of the descents.
        limit: Processor seconds that a cell may take.
    """
    done: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for k, width in cells:
        size, count = {"k": k, "width": width}, restarts
        if len(done) >= 2:
            (x0, y0), (x1, y1) = [(one[by], one["seconds_per_restart"]) for one in done[-2:]]
            slope = max(1.0, np.log(y1 / y0) / np.log(x1 / x0))
            each = y1 * (size[by] / x1) ** slope
            count = min(restarts, int(limit / each))
            if count < FEWEST:
                why = f"{FEWEST} restarts expected to take {FEWEST * each:.0f} s, over the limit of {limit:.0f} s"
                left_out.append(size | {"why": why})
                break
        one = own_process(k, width, count, optimiser)
        if "failed" in one:
            left_out.append(size | {"why": one["failed"]})
            break
        done.append(one)
        print(
            f"k = {k}, n = {width}, {count} restarts: {1e3 * one['seconds_per_restart']:.3g} ms a restart, "
            f"{one['gradients_per_restart']:.0f} gradients, peak {one['peak_gbytes']:.2f} GB, {one['labels']}",
            flush=True,
        )
    for one in left_out:
        print(f"k = {one['k']}, n = {one['width']}: left out, {one['why']}", flush=True)
    found: dict[str, Any] = {"by": by, "cells": done, "left_out": left_out}
    if len(done) >= 2:
        sizes, seconds = [one[by] for one in done], [one["seconds_per_restart"] for one in done]
        found |= {"fit": fit_exponent(sizes, seconds), "local_exponents": local_exponents(sizes, seconds)}
        print(f"exponent in {by}: {_said(found['fit'])}", flush=True)
    return found


def _said(fit: dict[str, Any]) -> str:
    interval = "" if fit["low"] is None else f" ({fit['low']:.2f} to {fit['high']:.2f})"
    return f"{fit['exponent']:.2f}{interval}"


def draw(result: dict[str, Any], path: Path) -> None:
    """Seconds a restart against size on logarithmic axes, from point to point, as a PNG file."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter, ScalarFormatter

    from landscape.figures.style import save

    titles = {"k": "k = n", "width": f"n neurons, teacher of k = {result['arguments']['teacher']}"}
    drawn = [one for one in result["series"] if one["cells"]]
    figure = Figure(figsize=(5.2 * len(drawn), 3.9), layout="constrained")
    for ax, one in zip(figure.subplots(1, len(drawn), squeeze=False).flat, drawn, strict=True):
        sizes = np.array([cell[one["by"]] for cell in one["cells"]])
        seconds = np.array([cell["seconds_per_restart"] for cell in one["cells"]])
        # No single power goes through the points: costs of different powers take turns. So the line is piecewise.
        ax.loglog(sizes, seconds, "o-", color="#0072B2", linewidth=1.2, label="measured")
        if "fit" in one:
            local = one["local_exponents"]
            said = f"power {_said(one['fit'])} over all, {min(local):.1f} to {max(local):.1f} from point to point"
            ax.plot([], [], " ", label=said)
        ax.set_xticks(sizes)
        ax.xaxis.set_major_formatter(ScalarFormatter())
        ax.xaxis.set_minor_formatter(NullFormatter())
        ax.set_xlabel(titles[one["by"]])
        ax.set_ylabel("processor seconds a restart")
        ax.grid(color="#E4E4E4", linewidth=0.6)
        ax.spines[["top", "right"]].set_visible(False)
        ax.legend(frameon=False, fontsize=8)
    where = result["environment"]
    asked = f"{drawn[0]['cells'][0]['optimiser']}, {drawn[0]['cells'][0]['restarts']} restarts a cell or fewer"
    figure.suptitle(f"Cost of a restart: {asked}; {where['processor']}, {where['cores_used']} cores", fontsize=9)
    save(figure, path)


def main(arguments: list[str] | None = None) -> None:
    """Runs both series, writes JSON and its figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="*", default=[6, 8, 10, 14, 20, 28, 40, 56, 80, 100], help="k = n")
    parser.add_argument("--teacher", type=int, default=6, help="fixed k of the second series")
    parser.add_argument("--widths", type=int, nargs="*", default=[6, 7, 8, 10, 12, 16, 24, 32], help="its n")
    parser.add_argument("--restarts", type=int, default=200)
    parser.add_argument("--optimiser", default="flow")
    parser.add_argument("--limit", type=float, default=300.0, help="processor seconds that one cell may take")
    parser.add_argument("--out", type=Path, help="default: a new file in benchmarks/results")
    parser.add_argument("--draw", type=Path, nargs=2, metavar=("JSON", "PNG"), help="draw an earlier result and stop")
    parser.add_argument(
        "--cell", nargs=4, metavar=("K", "N", "RESTARTS", "OPTIMISER"), help="one cell, in this process"
    )
    asked = parser.parse_args(arguments)
    if asked.cell:
        k, width, restarts = map(int, asked.cell[:3])
        print(json.dumps(cell(k, width, restarts, asked.cell[3])))
        return
    if asked.draw:
        draw(json.loads(asked.draw[0].read_text()), asked.draw[1])
        return
    from new_file import new_file
    from peers import surroundings

    where = surroundings()
    asks = {name: value for name, value in vars(asked).items() if name not in ("out", "draw", "cell")}
    result: dict[str, Any] = {"environment": where, "arguments": asks, "series": []}
    out = asked.out or new_file(f"growth-{where['platform']}.json")
    teams = [
        ("k", [(k, k) for k in sorted(asked.sizes)]),
        ("width", [(asked.teacher, n) for n in sorted(asked.widths)]),
    ]
    for by, cells in teams:
        if cells:
            result["series"].append(series(cells, by, asked.restarts, asked.optimiser, asked.limit))
            out.write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    picture = out.with_suffix(".png")
    draw(result, picture)
    print(out, picture)


if __name__ == "__main__":
    main()
