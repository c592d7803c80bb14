"""Slices of a loss around the points of a file or a run, or through them, as a picture."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from landscape.cli.arguments import OK, read_options, use_64_bits
from landscape.records import InputError

if TYPE_CHECKING:
    import numpy as np

    from landscape.problems.problem import Problem

USAGE = "slice FILE | DIR [options]; `landscape slice --help` lists the options"


@dataclasses.dataclass(frozen=True)
class Asked:
    """Options of `landscape slice`.

    Attributes:
        points: Numbers of the points to take, as 0,1: of a file in its order, of a run the lowest loss first. All
            of a file by default, and of a run the first. One point: the slice is around it; two: on the line through
            them; three: on the plane through them; more: on the plane of their two first principal components.
        along: Around one point: random (filter-normalised directions), hessian (eigenvectors of the least and the
            largest curvature), or descent (the plane that holds most of the descent that starts there).
        dimensions: 1 or 2, around one point.
        steps: Points along each axis.
        reach: The axes go from -reach to reach around one point; 1 is the length of the point's own weights.
        seed: Of random directions.
        descent: Gradients of the descent that is followed.
        out: The PNG file to draw; with --json none by default.
        json: Print one JSON object and nothing else.
    """

    points: str | None = None
    along: str = "random"
    dimensions: int = 2
    steps: int = 51
    reach: float = 1.0
    seed: int = 0
    descent: int = 5000
    out: str | None = None
    json: bool = False


def slice_(arguments: list[str]) -> int:
    where = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    about = "A picture of the loss around the points of a file or a run, or through them."
    more = "`landscape slice --help` lists the options"
    asked = read_options(Asked, arguments, "landscape slice FILE | DIR", about, more)
    if where is None:
        raise InputError(f"slice needs a file of points or the folder of a run; usage: landscape {USAGE}.")
    use_64_bits()
    from landscape.host.slices import loss_slice

    problem, points = _points(Path(where), asked.points)
    out = asked.out if asked.out is not None or asked.json else "slice.png"
    found = loss_slice(
        problem, *map(problem.read, points), along=asked.along, dimensions=asked.dimensions, steps=asked.steps,
        reach=asked.reach, seed=asked.seed, descent=asked.descent, out=out,
    )  # fmt: skip
    if asked.json:
        print(json.dumps(found.as_dict(), allow_nan=False))
    else:
        print(f"{found}\n{out}")
    return OK


def _points(where: Path, chosen: str | None) -> tuple[Problem, np.ndarray]:
    """The problem, and the points that are asked for.

    Raises:
        InputError: The file or folder cannot be read, a folder is of several runs or of one from Python, or a number is
            that of no point.
    """
    from landscape.census.census import Census
    from landscape.host.slices import ends_of, points_of
    from landscape.studies.folders import load, study_of

    if where.is_dir():
        result = load(where)
        if not isinstance(result, Census):
            raise InputError(f"{where} holds several runs; give the folder of one of them.")
        study = study_of(where)
        problem, points = study.plan().problem, ends_of(result)
        chosen = chosen or "0"
    else:
        problem, points = points_of(where)
    if chosen is None:
        return problem, points
    numbers = chosen.replace(" ", "").split(",")
    for number in numbers:
        if not number.isdecimal() or int(number) >= len(points):
            last = f"0 to {len(points) - 1}" if len(points) > 1 else "0 alone"
            raise InputError(f"point {number!r} is none of those of {where}: {last}.")
    return problem, points[[int(number) for number in numbers]]
