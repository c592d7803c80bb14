"""Slices: the loss along a line or on a plane through given points, or around one along chosen directions.

A slice is a picture of two of many dimensions. What looks like a minimum in it may be a saddle of the whole loss, and a
ridge between two points of it need not be one: barriers have functions of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from landscape.polish import eigensystem, evaluate
from landscape.precision import float64
from landscape.problems.problem import Problem, losses_at
from landscape.records import InputError, whole

AROUND = ("random", "hessian")
BLOCK = 512  # points a call, so that one program does for any number of steps
NUMBERS = 2**24  # rows times coordinates times points of a call: 128 MB of float64
MARGIN = 0.25  # of the span of the given points, on each side of them


@dataclass(frozen=True)
class Slice:
    """The loss on a line or a plane. Prints itself.

    Attributes:
        title: What the slice shows.
        origin: Point of theta at coordinates zero, [p].
        directions: Step of theta for one unit of each coordinate, [1 or 2, p].
        names: What each coordinate means.
        axes: Where the loss was taken: the coordinates, one array an axis.
        loss: Loss at origin + sum axes_i directions_i, [steps] or [steps, steps], first axis first; not finite where
            the loss is not.
        points: Coordinates of the given points, [m, 1 or 2]; of one off the slice, of the nearest point on it.
        off: Distance of each given point from the slice, [m].
        point_loss: Loss at each given point itself, [m].
    """

    title: str
    origin: Float[np.ndarray, " p"]
    directions: Float[np.ndarray, "k p"]
    names: tuple[str, ...]
    axes: tuple[np.ndarray, ...]
    loss: np.ndarray
    points: Float[np.ndarray, "m k"]
    off: Float[np.ndarray, " m"]
    point_loss: Float[np.ndarray, " m"]

    @property
    def finite(self) -> np.ndarray:
        """The finite losses of the slice, flat."""
        return self.loss[np.isfinite(self.loss)]

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape slice --json` prints; a loss that is not finite is null."""
        flat = [float(x) if np.isfinite(x) else None for x in self.loss.ravel()]
        rows = len(self.axes[-1])
        return {
            "title": self.title,
            "names": list(self.names),
            "axes": [axis.tolist() for axis in self.axes],
            "loss": flat if self.loss.ndim == 1 else [flat[i : i + rows] for i in range(0, len(flat), rows)],
            "points": self.points.tolist(),
            "off": self.off.tolist(),
            "point_loss": [float(x) if np.isfinite(x) else None for x in self.point_loss],
            "origin": self.origin.tolist(),
            "directions": self.directions.tolist(),
        }

    def __str__(self) -> str:
        seen = self.finite
        span = f"loss from {_number(seen.min())} to {_number(seen.max())}" if len(seen) else "no finite loss"
        lost = self.loss.size - len(seen)
        lines = [self.title, f"{' x '.join(str(len(axis)) for axis in self.axes)} points, {span}"]
        if lost and len(seen):
            lines[1] += f", not finite at {lost} points"
        shown = range(len(self.points)) if len(self.points) <= 8 else (0, len(self.points) - 1)
        for i in shown:
            where = ", ".join(_number(x, 4) for x in self.points[i])
            away = f", {self.off[i]:.2g} off the slice" if self.off[i] > 1e-9 * np.linalg.norm(self.origin) else ""
            lines.append(f"point {i}: loss {_number(self.point_loss[i])} at ({where}){away}")
        return "\n".join(lines)


def _number(x: float, digits: int = 6) -> str:
    """To twelve places at most, without the sign that rounding leaves on a zero."""
    return f"{round(float(x), 12) + 0.0:.{digits}g}"


def around(
    problem: Problem,
    theta: Float[np.ndarray, " p"],
    along: str | np.ndarray = "random",
    dimensions: int = 2,
    steps: int = 51,
    reach: float = 1.0,
    seed: int = 0,
    modes: tuple[int, ...] | None = None,
) -> Slice:
    """The slice around a point.

    Args:
        problem: The landscape.
        theta: The point, [p].
        along: "random": normal directions, filter-normalised; "hessian": eigenvectors of the Hessian; or directions
            [p] or [1 or 2, p], taken as they are.
        dimensions: 1 or 2; of given directions, their number.
        steps: Points along each axis.
        reach: The axes go from -reach to reach.
        seed: Of the random directions.
        modes: Which eigenvectors, 0 the one of the least eigenvalue and -1 of the largest; by default the least, and in
            two dimensions the largest too.

    Raises:
        InputError: A direction is zero or of the wrong shape, the Hessian is not finite, or a number makes no sense.
    """
    if isinstance(along, str):
        whole("dimensions", dimensions, 1)
        if dimensions > 2:
            raise InputError(f"dimensions must be 1 or 2, found {dimensions}.")
        if along not in AROUND:
            raise InputError(f"along {along!r} is unknown; known are {', '.join(AROUND)}, or an array of directions.")
        if along == "random":
            directions = random_directions(problem, theta, dimensions, seed)
            names = tuple(f"random direction {i + 1}" for i in range(dimensions))
            title = f"Around a point, along filter-normalised random directions (seed {seed})"
        else:
            directions, values = eigenvectors(problem, theta, modes or ((0,) if dimensions == 1 else (0, -1)))
            names = tuple(f"eigenvector of curvature {value:.3g}" for value in values)
            title = "Around a point, along eigenvectors of the Hessian scaled to its length"
    else:
        directions = np.atleast_2d(np.asarray(along, np.float64))
        names = tuple(f"given direction {i + 1}" for i in range(len(directions)))
        title = "Around a point, along given directions"
    if not 0 < reach < np.inf:
        raise InputError(f"reach must be a positive number, found {reach}.")
    axis = np.linspace(-reach, reach, whole("steps", steps, 2))
    return _taken(problem, title, theta, directions, names, (axis,) * len(directions), theta[None])


def between(problem: Problem, thetas: Float[np.ndarray, "m p"], steps: int = 51) -> Slice:
    """The slice through several points: the line through two, the plane through three, the best plane of more.

    Two points: the coordinate is 0 at the first and 1 at the second. Three: the plane through them, in units of theta.
    More, as along a descent: the plane of their two first principal components about the last one (Li et al. 2018,
    section 7), in units of theta, with the share of the squared distances that it holds.

    Args:
        problem: The landscape.
        thetas: The points, in their order.
        steps: Points along each axis.

    Raises:
        InputError: There is one point only, or all lie on fewer dimensions than the slice has.
    """
    count = len(thetas)
    if count < 2:
        raise InputError(f"a slice between points needs at least 2, found {count}.")
    origin = thetas[-1] if count > 3 else thetas[0]
    spans = np.delete(thetas, count - 1 if count > 3 else 0, axis=0) - origin
    if count == 2:
        if not np.any(spans):
            raise InputError("the two points are equal; a slice between points needs two different ones.")
        axis = np.linspace(-MARGIN, 1 + MARGIN, whole("steps", steps, 2))
        title = f"Between two points, {np.linalg.norm(spans):.3g} apart"
        names = ("share of the way from point 0 to point 1",)
        return _taken(problem, title, origin, spans, names, (axis,), thetas)
    if count == 3:
        directions, triangle = np.linalg.qr(spans.T)
        directions, sizes = directions.T * np.sign(np.diagonal(triangle))[:, None], np.abs(np.diagonal(triangle))
        title = "On the plane through three points"
        names = ("towards point 1", "across, towards point 2")
    else:
        _, sizes, basis = np.linalg.svd(spans, full_matrices=False)
        directions = basis[:2] * np.sign(basis[:2] @ spans[0])[:, None]  # the first point is up and to the right
        held = sizes[:2] ** 2 / max(np.sum(sizes**2), np.finfo(float).tiny)
        title = f"Along {count} points: their principal components hold {100 * held.sum():.3g}% of the distances"
        names = tuple(f"principal component {i + 1} ({100 * share:.3g}%)" for i, share in enumerate(held))
    if len(directions) < 2 or sizes[1] <= 1e-9 * sizes[0]:
        raise InputError(f"the {count} points lie on a line; give two of them for the slice along it.")
    where = (thetas - origin) @ directions.T
    wide = np.ptp(where, axis=0)
    lowest, highest = where.min(axis=0) - MARGIN * wide, where.max(axis=0) + MARGIN * wide
    axes = tuple(np.linspace(lowest[i], highest[i], whole("steps", steps, 2)) for i in range(2))
    return _taken(problem, title, origin, directions, names, axes, thetas)


def random_directions(problem: Problem, theta: np.ndarray, count: int, seed: int) -> Float[np.ndarray, "count p"]:
    """Normal directions, each filter of which is as long as that of the point (Li et al. 2018, section 4).

    So a step of one is as large for a network as for its rescaled copies, and slices of them can be compared. Of a
    filter that is zero at the point the direction is zero too.

    Raises:
        InputError: The point is zero.
    """
    if not np.any(theta):
        raise InputError("filter normalisation gives no direction at theta = 0; give directions.")
    filters = problem.filters()
    drawn = np.random.default_rng(seed).normal(size=(count, len(theta)))
    own = np.sqrt(np.bincount(filters, theta**2))
    for direction in drawn:
        direction *= (own / np.sqrt(np.bincount(filters, direction**2)))[filters]
    return drawn


def eigenvectors(
    problem: Problem, theta: np.ndarray, modes: tuple[int, ...]
) -> tuple[Float[np.ndarray, "k p"], Float[np.ndarray, " k"]]:
    """Eigenvectors of the Hessian scaled to the length of the point (to the problem's scale at zero), and eigenvalues.

    Raises:
        InputError: The Hessian has none, or a number is not that of an eigenvector.
    """
    found = eigensystem(evaluate(problem, theta)[1])
    if found is None:
        raise InputError("the Hessian at the point is not finite; take random directions.")
    values, vectors = found
    for mode in modes:
        if not -len(values) <= mode < len(values):
            raise InputError(f"mode {mode} is none of the {len(values)} eigenvectors, 0 to {len(values) - 1}.")
    if len({mode % len(values) for mode in modes}) < len(modes) or len(modes) > 2:
        raise InputError(f"modes must be one or two different eigenvectors, found {', '.join(map(str, modes))}.")
    length = float(np.linalg.norm(theta)) or problem.scale
    return length * vectors[:, list(modes)].T, values[list(modes)]


def _taken(
    problem: Problem,
    title: str,
    origin: np.ndarray,
    directions: np.ndarray,
    names: tuple[str, ...],
    axes: tuple[np.ndarray, ...],
    points: np.ndarray,
) -> Slice:
    """The slice with its losses."""
    if directions.shape != (len(axes), problem.p) or len(axes) not in (1, 2):
        raise InputError(f"directions must be of shape [1 or 2, {problem.p}], found {list(directions.shape)}.")
    sizes = np.linalg.svd(directions, compute_uv=False)
    if not np.all(np.isfinite(directions)) or sizes[-1] <= 1e-9 * sizes[0]:
        raise InputError("the directions must be finite, and neither zero nor parallel.")
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    loss = losses(problem, origin + grid.reshape(-1, len(axes)) @ directions)
    where = np.linalg.lstsq(directions.T, (points - origin).T, rcond=None)[0].T
    return Slice(
        title=title,
        origin=np.asarray(origin, np.float64),
        directions=directions,
        names=names,
        axes=axes,
        loss=loss.reshape(grid.shape[:-1]),
        points=where,
        off=np.linalg.norm(points - origin - where @ directions, axis=1),
        point_loss=losses(problem, points),
    )


def losses(problem: Problem, thetas: Float[np.ndarray, "m p"]) -> Float[np.ndarray, " m"]:
    """The loss at many points in float64, [m]; in blocks, so that memory suffices and one program does."""
    size = int(np.clip(NUMBERS // (problem.p * max(problem.rows or 1, 1)), 1, BLOCK))
    found = []
    with float64():
        for i in range(0, len(thetas), size):
            part = np.resize(np.asarray(thetas[i : i + size], np.float64), (size, thetas.shape[1]))
            found.append(np.asarray(losses_at(problem, part), np.float64))
    return np.concatenate(found)[: len(thetas)]
