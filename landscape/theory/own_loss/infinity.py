"""Does the loss keep falling while the parameters diverge? Along rays, and along the descent's own curve.

A ray counts from a point where no step of Newton's comes to an end, if the loss falls along it without a rise from the
first step up to a million scales, or comes to within rounding of its limit as an exponential does. Growth with time
plays no part: the norm of a separable logistic regression grows like log t.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.theory.own_loss.stationary import REACH
from landscape.theory.own_loss.view import Loss

DISTANCES = np.geomspace(1e-2, 1e6, 65)  # eight to a decade, in scales
FURTHER = np.geomspace(1e6, 1e15, 73)[1:]  # asked where the fall still grows from one distance to the next
BEFORE = 0.7  # of the way to where a loss is within rounding of its limit: an exponential stands 1e5 above that there
STEPS = 3  # Newton steps across the way: each takes an exponential by 1 / e only
ACROSS = 1e-6  # of the largest curvature: what is less is that along the way
FAR = 2.0  # scales: nearer to zero a bottom is an end at infinity only where an operation has come to its limit


class Escape(NamedTuple):
    """A way to infinity.

    Attributes:
        direction: Of escape, a unit vector in u, [p].
        limit: The loss that is approached.
        drop: How much of it is left to fall from the point.
    """

    direction: Float[np.ndarray, " p"]
    limit: float
    drop: float


def at_infinity(loss: Loss, u: np.ndarray, path: np.ndarray | None = None) -> Escape | None:
    """A ray from u along which the loss falls for ever; None if none is found.

    Args:
        loss: The loss.
        u: A point that is not stationary, [p].
        path: Earlier points of the descent that led to u, [n, p], if known: its last direction is tried too.
    """
    value, error = loss.loss(u)
    rays = _unit(_candidates(loss, u, path))
    points = u + rays[:, None, :] * DISTANCES[:, None]
    values = loss.losses(points.reshape(-1, len(u))).reshape(len(rays), -1)
    found = [_fall(loss, u, value, error, *one) for one in zip(rays, values, strict=True)]
    falls = [one for one in found if one is not None]
    ahead = _bottom_ahead(loss, u) if falls else None
    falls = [one for one in falls if ahead is None or ahead > one.limit]
    return max(falls, key=lambda one: one.drop) if falls else None


def _bottom_ahead(loss: Loss, u: np.ndarray) -> float | None:
    """The loss, less its error, where a step of Newton's from u comes to rest: a bottom, however far; else None.

    A ray that goes no lower ends there. On the way to infinity a step leaves a fixed part of the gradient, 1 / e of an
    exponential.
    """
    gradient = loss.gradients(u[None])[0]
    values, vectors = np.linalg.eigh(loss.hessian(u))
    if not np.all(np.isfinite(values)) or not np.all(np.isfinite(gradient)):
        return None
    up = values > 1e-12 * np.max(np.abs(values), initial=0.0)
    end = u - vectors[:, up] @ ((vectors[:, up].T @ gradient) / values[up])
    low, error = loss.loss(end)
    left = np.linalg.norm(loss.gradients(end[None])[0])
    return low - error if left <= 1e-3 * np.linalg.norm(gradient) else None


def _candidates(loss: Loss, u: np.ndarray, path: np.ndarray | None) -> np.ndarray:
    """Directions to try: down the gradient, on the path, outwards in all or some of the parameters, [r, p]."""
    rows = [-loss.gradients(u[None])[0]]
    rows += [rows[0] / max(float(np.linalg.norm(rows[0])), 1e-300)]
    values, vectors = np.linalg.eigh(loss.hessian(u))
    # A Newton step with the curvature's sign turned: down in every direction, and of the loss's own length.
    size = np.maximum(np.abs(values), 1e-12 * np.max(np.abs(values), initial=1e-300))
    rows.append(-vectors @ ((vectors.T @ -rows[0]) / size))
    rows += [u, *_followed(loss, u)]
    for count, leaf in enumerate(loss.leaves):
        for part in (leaf, np.concatenate(loss.leaves[count:]), np.concatenate(loss.leaves[: count + 1])):
            row = np.zeros_like(u)
            row[part] = u[part]
            rows.append(row)
    if path is not None and len(path):
        rows.append(u - path[-1])
    return np.array(rows)


def _followed(loss: Loss, u: np.ndarray, rounds: int = 40) -> list[np.ndarray]:
    """Where descent by normalised gradients leads, step lengths chosen from many at once: directions from u."""
    here, value = u, float(loss.losses(u[None])[0])
    seen = []
    lengths = np.geomspace(1e-3, 1e3, 25)
    for i in range(rounds):
        grad = loss.gradients(here[None])[0]
        size = float(np.linalg.norm(grad))
        if not np.isfinite(size) or size == 0.0:
            break
        trials = here - (lengths[:, None] * grad) / size
        values = loss.losses(trials)
        best = int(np.nanargmin(np.where(np.isfinite(values), values, np.inf)))
        if not values[best] < value:
            break
        here, value = trials[best], float(values[best])
        if i in (3, 9, 19, 39):
            seen.append(here - u)
    return [*seen, here - u] if np.any(here != u) else seen


def _fall(loss: Loss, u: np.ndarray, value: float, error: float, ray: np.ndarray, values: np.ndarray) -> Escape | None:
    whole = np.concatenate([[value], values])
    if not np.all(np.isfinite(whole)):
        return None
    limit = _limit(whole)
    # Cheap first: the errors of a ray are eight more runs a point.
    if not value - values[-1] > error or np.any(np.diff(whole) > 1e-6 * (value - values[-1]) + 4 * error):
        return None
    errors = loss.errors(u + ray * DISTANCES[:, None])
    steps = np.append(error, errors)
    if np.any(np.diff(whole) > steps[1:] + steps[:-1]) or not value - values[-1] > 4.0 * (error + errors[-1]):
        return None
    # Still falling at the last distance; or there before, and come to as an exponential comes to its limit. What
    # hinges, ramps and powers of them come to is attained, however far away.
    above = np.flatnonzero(values - values[-1] > errors + errors[-1])
    there = int(above[-1]) + 2 if len(above) else 1
    if there < len(values):
        way = DISTANCES[there] * ray
        sign, _ = _approached(loss, u + way, way, float(values[there]), float(errors[: there + 1].max()))
        if not sign > 0.0:
            return None
    elif _grows(values) and _ends_later(loss, u, ray, values[-1]):
        return None
    return Escape(ray, limit, value - limit)


def _grows(values: np.ndarray) -> bool:
    """Whether the last falls of a sequence at geometric distances grow: there may be a bottom at 1e8 scales."""
    return bool(values[-2] - values[-1] > values[-9] - values[-8])


def _ends_later(loss: Loss, u: np.ndarray, ray: np.ndarray, last: float) -> bool:
    """Whether the loss rises on a ray beyond `DISTANCES`, as far as it is finite, or does not change any more."""
    values = loss.losses(u + ray * FURTHER[:, None])
    values = np.append(last, values[: int(np.argmin(np.append(np.isfinite(values), False)))])
    level = len(values) == len(FURTHER) + 1 and values[-9] - values[-1] <= 1e-6 * (values[0] - values[-1])
    return bool(level or np.any(np.diff(values) > 1e-6 * np.abs(values[:-1])))


def _limit(values: np.ndarray) -> float:
    """The limit of a falling sequence at geometric distances, by Aitken's extrapolation of its last values."""
    a, b, c = (float(values[i]) for i in (-9, -5, -1))
    if not a - b > 1e-290 or not 0.0 < b - c < 0.999 * (a - b):
        return c
    return c - (c - b) ** 2 / ((c - b) - (b - a))


class Saturated(NamedTuple):
    """A direction in which a loss has come to its value by rounding alone.

    Attributes:
        direction: A unit vector in u, [p].
        falls: Whether it comes to its value from above; from below the way down is back.
    """

    direction: Float[np.ndarray, " p"]
    falls: bool


def saturated(loss: Loss, u: np.ndarray, within: float = 0.0) -> Saturated | None:
    """A direction in which the loss reaches its value at u by rounding alone, from below if any; None without one.

    On the line from zero to u, in all or some of the parameters, where does the loss come to its last value? One that
    is attained goes there like a power of the distance to that place, so that a thousandth of the way before it
    stands far above its rounding; one that is approached goes like an exponential and stands near its rounding still.

    Args:
        loss: The loss.
        u: A point, [p].
        within: Losses that differ by no more than this are one level, beside the error of the loss.
    """
    value, error = loss.loss(u)
    error = max(error, within)
    ways = [u]
    ways += [_part(u, leaf) for leaf in loss.leaves if len(loss.leaves) > 1]
    ways += [_part(u, np.array([i])) for i in np.argsort(-np.abs(u))[:32]]
    # Features of size 1e3 bring exp to its limit within a scale.
    near = 0.0 if loss.at_limits(u) else FAR
    ways = [way for way in ways if np.linalg.norm(way) > near]
    # Beyond u nothing may change: that leaves few ways, and none at a point that is isolated.
    ends = np.array([u + way * factor for way in ways for factor in (0.1, 1.0, 3.0)]).reshape(-1, len(u))
    if not len(ends):
        return None
    off = np.abs(loss.losses(ends) - value) - 10.0 * (error + loss.errors(ends))
    level = np.max(off.reshape(-1, 3), axis=1) <= 0.0
    found = None
    for way, one in zip(ways, level, strict=True):
        sign, part = _approached(loss, u, way, value, error) if one else (0.0, 0.0)
        if sign > 0.0 and (found is not None or _attained(loss, u - (1.0 - BEFORE * part) * way, value + error)):
            continue
        if sign:
            found = Saturated(way / np.linalg.norm(way), sign > 0.0)
    return found


def _attained(loss: Loss, place: np.ndarray, low: float) -> bool:
    """Whether the loss comes down to a value by Newton steps across, beside a place on the way where it is above it.

    Then the rest of the way is not what makes it low: f(w / |w|) stands above its least by what w is off in other
    directions, and a weight behind a saturated unit makes up for what the unit is short of its limit.
    """
    here = place
    for _ in range(STEPS):
        gradient, hessian = loss.gradients(here[None])[0], loss.hessian(here)
        if not (np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian))):
            return False
        values, vectors = np.linalg.eigh(hessian)
        across = values > ACROSS * max(float(values[-1]), 0.0)
        here = here - vectors[:, across] @ ((vectors[:, across].T @ gradient) / values[across])
    value, error = loss.loss(here)
    return bool(np.linalg.norm(here - place) <= REACH and value <= low + error)


def _part(u: np.ndarray, where: np.ndarray) -> np.ndarray:
    row = np.zeros_like(u)
    row[where] = u[where]
    return row


def _approached(loss: Loss, u: np.ndarray, way: np.ndarray, value: float, error: float) -> tuple[float, float]:
    """The sign of what the loss is above its value at u on the way there, where it goes as an exponential does; else 0.

    With the part of the way at which it comes to within rounding of that value.

    Args:
        loss: The loss.
        u: A point, [p].
        way: A line that ends at u, [p].
        value: The loss at u.
        error: Its error.
    """
    floor = max(10.0 * error, 1e-300)

    def excess(parts: np.ndarray) -> np.ndarray:
        return loss.losses(u - way * (1.0 - parts[:, None])) - value

    parts = np.linspace(0.0, 1.0, 401)
    sizes = np.abs(excess(parts))
    above = np.flatnonzero(sizes > floor)
    if not len(above) or above[-1] == len(parts) - 1:
        return 0.0, 0.0
    low, high = parts[above[-1]], parts[above[-1] + 1]
    for _ in range(50):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if abs(excess(np.array([middle]))[0]) > floor else (low, middle)
    before = float(excess(np.array([0.999 * low]))[0])
    # Differences of logarithms: a quotient by the least floor overflows.
    steep = np.log(max(abs(before), floor)) - np.log(floor) < 0.1 * (np.log(float(np.max(sizes))) - np.log(floor))
    return (float(np.sign(before)) if steep else 0.0), float(low)


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(rows, axis=1)
    good = np.isfinite(norms) & (norms > 0)
    return rows[good] / norms[good][:, None]
