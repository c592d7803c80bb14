"""The gallery, many restarts each: is every end what is known of the landscape, and how many ends stay undecided?

    python benchmarks/gallery.py [--names NAME ...] [--restarts 1000] [--seed 0] [--optimiser lbfgs] [--out FILE]

Of every loss the ends of all restarts are judged as a census does. An end is wrong if it is within 1e-6 of the scale of
a known point and has another kind; if it is called global above the least loss that is known, spurious at it, or at
infinity where all that is known of the loss is attained. Ends whose loss is that of a known
global or spurious point, or beside a known point, are of known type; of those the undecided ones are counted. Losses
in the file from the same settings are kept.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

BESIDE = 1e-6  # scales
SAME = 1e-9  # two losses, of the size of the losses at starts
TO_INFINITY = ("beale",)  # along y = 1 + 0.95 / -x to 0.452, above its least loss, which is attained
MINIMA = ("strict minimum", "flat minimum", "strict or flat minimum", "best seen")


def ends_of(name: str, restarts: int, seed: int, optimiser: str) -> tuple[dict[str, np.ndarray], np.ndarray, float]:
    """Rows and points of a census, and its seconds."""
    from landscape import gallery
    from landscape.census.assemble import settled
    from landscape.engine.driver import Driver
    from landscape.engine.settings import Settings
    from landscape.precision import float64

    problem = gallery.problem(name)
    begun = time.perf_counter()
    with float64():
        batches = list(Driver(problem, Settings.of(problem, optimiser=optimiser), seed).run(np.arange(restarts)))
    seconds = time.perf_counter() - begun
    order = np.argsort(np.concatenate([columns["restart"] for columns, _ in batches]))
    rows = {key: np.concatenate([columns[key] for columns, _ in batches])[order] for key in batches[0][0]}
    return settled(rows), np.concatenate([thetas for _, thetas in batches])[order], seconds


def compared(name: str, restarts: int, seed: int, optimiser: str) -> dict[str, Any]:
    """How the ends of a census compare with what is known of a loss of the gallery."""
    from landscape import gallery
    from landscape.theory.own_loss.view import view

    example, problem = gallery.examples()[name], gallery.problem(name)
    rows, thetas, seconds = ends_of(name, restarts, seed, optimiser)
    loss = view(problem)
    points = np.array([problem.write(one.params) for one in example.points]) / loss.scale
    losses = loss.losses(points)
    unit = float(np.median(np.abs(loss.losses(loss.starts))))
    attained = [value for value, one in zip(losses, example.points, strict=True) if str(one.label) == "global"]
    least = min(attained, default=None)
    infinite = any(str(one.label) == "at_infinity" for one in example.points) or not attained or name in TO_INFINITY
    kinds, wrong, undecided = Counter(), [], Counter()
    known_type = 0
    for i, theta in enumerate(thetas):
        said, flavour = str(rows["label"][i]), str(rows["flavour"][i])
        value = float(rows["loss"][i])
        kinds[said if flavour not in MINIMA else f"{said} ({flavour})"] += 1
        beside = np.flatnonzero(np.linalg.norm(points - theta / loss.scale, axis=1) <= BESIDE)
        level = [j for j in range(len(points)) if abs(losses[j] - value) <= SAME * unit]
        of = {str(example.points[int(j)].label) for j in beside}
        error = _error(said, flavour, of, value, least, infinite, SAME * unit)
        if error is not None:
            wrong.append({"restart": int(rows["restart"][i]), "said": said, "loss": value, "error": error})
        if (len(beside) or level) and not (said == "unconverged" and infinite):  # on its way to infinity
            known_type += 1
            if said == "unconverged" or (said == "undecided" and flavour not in MINIMA):
                undecided[str(rows["reason"][i])[:90]] += 1
    return {
        "labels": dict(kinds.most_common()),
        "wrong": wrong[:20],
        "wrong_count": len(wrong),
        "known_type": known_type,
        "undecided_of_known_type": sum(undecided.values()),
        "reasons": dict(undecided.most_common(5)),
        "unconverged_reasons": dict(
            Counter(str(r)[:90] for r, la in zip(rows["reason"], rows["label"], strict=True) if la == "unconverged")
        ),
        "seconds": round(seconds, 1),
    }


def _error(
    said: str, flavour: str, of: set[str], value: float, least: float | None, infinite: bool, same: float
) -> str | None:
    """What is wrong with a label, None if nothing is known to be."""
    if said in ("undecided", "unconverged"):
        return "a saddle called a minimum" if of and of <= {"saddle", "trap"} and "minimum" in flavour else None
    if of and said not in of and not (said == "spurious" and "global" in of and least is None):
        return f"beside a point that is {' or '.join(sorted(of))}"
    if said == "global" and least is not None and value > least + same:
        return f"global at {value}, the least known is {least}"
    if said == "spurious" and least is not None and value < least + same:
        return f"spurious at the least loss, {least}"
    if said == "at_infinity" and not infinite:
        return "at infinity, where the least loss is attained"
    return None


def main() -> None:
    """Compares, prints a line a loss and writes one JSON file."""
    from new_file import new_file

    from landscape import gallery
    from landscape.engine.environment import environment
    from landscape.engine.settings import Settings

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--names", nargs="+", default=list(gallery.examples()))
    parser.add_argument("--restarts", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--optimiser", default="lbfgs")
    parser.add_argument("--minutes", type=float, default=60.0, help="no loss is begun after so long")
    parser.add_argument("--out", type=Path, help="default: a new file in benchmarks/results; one that is there goes on")
    asked = parser.parse_args()
    of = {"restarts": asked.restarts, "seed": asked.seed, "optimiser": asked.optimiser}
    out = asked.out or new_file("gallery.json")
    before = json.loads(out.read_text()) if out.exists() else {}
    found = dict(before.get("losses", {})) if before.items() >= of.items() else {}
    begun = time.perf_counter()
    for name in asked.names:
        if name in found:
            continue
        if time.perf_counter() - begun > 60.0 * asked.minutes:
            break
        one = found[name] = compared(name, asked.restarts, asked.seed, asked.optimiser)
        open_ = f"{one['undecided_of_known_type']} of {one['known_type']} open"
        print(f"{name}: {one['wrong_count']} wrong, {open_}, {one['labels']}, {one['seconds']} s", flush=True)
        whole = {
            **of,
            "environment": environment(Settings()),
            "losses": {key: found[key] for key in gallery.examples() if key in found},
        }
        out.write_text(json.dumps(whole, indent=1) + "\n")


if __name__ == "__main__":
    main()
