"""`loss_slice`: pictures of a loss from Python and from files, and the points that they go through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from landscape.census.census import Census
from landscape.engine.settings import Settings
from landscape.host import overflow
from landscape.host.points import read_points
from landscape.paths import slices
from landscape.paths.slices import Slice
from landscape.problems.problem import Problem
from landscape.records import InputError
from landscape.trajectory import looks

DESCENT = 5000  # gradients of the descent that a slice follows


def loss_slice(
    problem: Problem,
    *params: Any,
    along: str | np.ndarray = "random",
    dimensions: int = 2,
    steps: int = 51,
    reach: float = 1.0,
    seed: int = 0,
    modes: tuple[int, ...] | None = None,
    descent: int = DESCENT,
    out: str | Path | None = None,
    **settings: Any,
) -> Slice:
    """A slice of the loss, one- or two-dimensional, and its picture.

    Around one point: along "random" filter-normalised directions (Li et al. 2018), along eigenvectors of the "hessian",
    along given directions [p] or [1 or 2, p], or on the plane of the first two principal components of the "descent"
    that starts there. Through several points: the line through two, the plane through three, the plane of the first two
    principal components of more.

    Args:
        problem: The landscape.
        *params: The points, each what the problem's chart reads, or several at once with one more axis in front.
        along: Of one point only; see above.
        dimensions: 1 or 2, of random directions and eigenvectors.
        steps: Points along each axis.
        reach: The axes go from -reach to reach around one point; 1 is the length of the point's own weights.
        seed: Of random directions.
        modes: Which eigenvectors, 0 the one of the least eigenvalue and -1 that of the largest.
        descent: Gradients of the descent that is followed.
        out: A PNG file to draw the slice into.
        **settings: Of the descent, as for `explore`.

    Returns:
        The slice: coordinates, losses, points. It prints itself; `landscape.figures.slices.loss_slice` draws it.

    Raises:
        InputError: There is no point, a point does not fit the problem, points lie on fewer dimensions than asked for,
            or an option makes no sense.
    """
    thetas = _points(problem, params)
    with overflow.quiet():
        if len(thetas) > 1:
            if not (isinstance(along, str) and along == "random"):
                raise InputError(f"along is for slices around one point, found {len(thetas)} points.")
            found = slices.between(problem, np.stack(thetas), steps)
        elif isinstance(along, str) and along == "descent":
            found = slices.between(problem, looks(problem, Settings.of(problem, **settings), thetas[0], descent), steps)
        else:
            found = slices.around(problem, thetas[0], along, dimensions, steps, reach, seed, modes)
    if out is not None:
        from landscape.figures import slices as figures
        from landscape.figures.style import save

        save(figures.loss_slice(found), out)
    return found


def _points(problem: Problem, params: tuple[Any, ...]) -> list[np.ndarray]:
    """Theta of each point; raises InputError where there is none, or one is not finite."""
    thetas = [theta for one in params for theta in _flat(problem, one)]
    if not thetas:
        raise InputError("a slice needs a point to go through, found none.")
    if not np.all(np.isfinite(thetas)):
        raise InputError("a slice goes through finite points; a coordinate is not finite.")
    return thetas


def _flat(problem: Problem, params: Any) -> list[np.ndarray]:
    many = problem.points(params)
    return [problem.write(params)] if many is None else many


def points_of(path: Path) -> tuple[Problem, np.ndarray]:
    """The problem and the points, [m, p], of a file of points as `landscape label` reads it.

    Raises:
        InputError: It cannot be read, or a field makes no sense.
    """
    problem, params, _ = read_points(path)
    return problem, np.stack([problem.write(one) for one in params])


def ends_of(census: Census) -> np.ndarray:
    """One end of descents of every class that a census kept weights of, the lowest loss first, [m, p].

    Raises:
        InputError: There is none.
    """
    kept = [i for i, restart in enumerate(census.rows["restart"]) if int(restart) in census.weights]
    if not kept:
        raise InputError("the run has no end of a descent yet.")
    kept.sort(key=lambda i: float(census.rows["loss"][i]))
    return np.stack([census.weights[int(census.rows["restart"][i])] for i in kept])
