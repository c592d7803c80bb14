"""The least of a function on spheres about a point: where a loss is neither smooth nor curved, evaluations decide.

A way down shows as a fall that grows like one power of the radius, over a decade of radii at least; a minimum as a
rise on whole spheres. Directions are looked for by descents on the sphere from many starts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RADII = np.geomspace(1e-5, 0.1, 17)  # four to a decade
POWERS = (0.7, 14.0)  # powers of the radius that are taken for a law
COMES_DOWN = 0.06  # (r - r0)^2 has power 2.06 at r = 34 r0
MOST = 64  # starts that are asked at all distances as well as what descents from them find
HALVED, STAY = 5, 48  # rounds that all starts of a descent on a sphere take, and how many of the lowest go on
ENDS = 16  # directions that a descent on a sphere gives
STOPS = 1.4  # from one power of (r - r0)^k to the next a step shrinks by 1.8 or more, of r^j exp(-c / r) by 1.2 at most
HIDDEN = 24.0  # a fall with this power of the distance, or with less, may begin at zero and be below rounding nearer
STEADY = 0.5  # how much the power may change from a radius to the next
BENDS = 16  # coordinates: a fall along a curve is looked for in no more
KEPT, TURN = 4, 0.2  # directions that such a curve is followed in, and how far others are from them


class Function(NamedTuple):
    """A function of z about a point, zero there.

    Attributes:
        values: At rows, [r, k] -> [r].
        measured: Values and their error bounds, [r, k] -> ([r], [r]).
        slopes: Gradients at rows, and values beside them, [r, k] -> ([r, k], [r]).
    """

    values: Callable[[np.ndarray], np.ndarray]
    measured: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    slopes: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Ray(NamedTuple):
    """A function along one direction.

    Attributes:
        direction: Unit vector, [k].
        radii: Distances, [n].
        values: The function there, [n].
        errors: Their error bounds, [n].
        power: The power of the radius that it falls with; None where it does not fall, or by no steady power.
        best: Index of the radius of the clearest fall; None likewise.
    """

    direction: Float[np.ndarray, " k"]
    radii: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]
    errors: Float[np.ndarray, " n"]
    power: float | None
    best: int | None


class Search(NamedTuple):
    """What was found on spheres.

    Attributes:
        down: The direction of the clearest fall, or None; of a fall along a curve, that to its lowest point.
        mixed: Whether some direction falls, with no rise before, by no steady power.
        doubtful: Whether some direction falls by no steady power, or behind a rise.
        rises: Whether all that was met on every sphere from some radius on is above zero by more than its error, and
            by a steady power of the radius.
        flat: Whether nothing anywhere is above zero by more than its error.
        steep: The least rise over the median one, both at the largest radius: of the order of one at a minimum that
            is strict alike in all directions, and next to zero where a set of minima passes through the sphere.
        power: The power of the radius that the least rise goes with over all radii; None where it does not rise.
        later: Of doubtful ones, whether every fall begins some way off: nothing below it, and powers of the radius that
            come down from high ones, as those of (r - r0)^2 do and those of r^4 do not.
        hidden: Of doubtful ones, whether some fall may begin at zero and not show nearer, as that of r^12 does not.
    """

    down: Ray | None
    mixed: bool
    doubtful: bool
    rises: bool
    flat: bool
    steep: float
    power: float | None
    later: bool
    hidden: bool


def search(function: Function, starts: np.ndarray, reach: float = 0.1, radii: np.ndarray = RADII) -> Search:
    """Looks for ways down from zero.

    Args:
        function: A function of z, zero at zero.
        starts: Directions to descend from on the sphere, [r, k]; each is taken with both signs.
        reach: Nothing is asked beyond this distance.
        radii: Distances asked about, ascending.
    """
    units = _unit(np.concatenate([starts, -starts]))
    radii = radii[radii <= reach * (1 + 1e-12)]
    all_ends = function.values(radii[-1] * units)
    if units.shape[1] == 1:
        lows = np.array([[1.0], [-1.0]])
    else:
        some = [units[: min(2 * units.shape[1], MOST)]]
        if not _level(function, radii[-1] * units, all_ends):  # else no descent leads anywhere
            some = [*_descend(function, units, radii[[-1, len(radii) // 2]]), *some]
        lows = _distinct(np.concatenate(some))
    points = (lows[:, None, :] * radii[:, None]).reshape(-1, lows.shape[1])
    values, errors = (numbers.reshape(len(lows), -1) for numbers in function.measured(points))
    rays = [_ray(*one, radii) for one in zip(lows, values, errors, strict=True)]
    falls = [one for one in rays if one.power is not None]
    down = min(falls, key=_clearness) if falls else None
    lower = [one for one in rays if np.any(one.values < -one.errors)]
    if down is None and lower and 1 < units.shape[1] <= BENDS:
        down = _bent(function, lows[np.argsort([one.values[-1] for one in rays])], radii)
    least = np.min([one.values - one.errors for one in rays], axis=0)
    top = np.max([np.abs(one.values) - one.errors for one in rays], axis=0)
    low = np.min([one.values for one in rays], axis=0)
    rises = _is_power(radii, np.where(least > 0, low, 0.0), least > 0)
    return Search(
        down=down,
        mixed=any(one.power is None and not _barred(one.values, one.errors) for one in lower),
        doubtful=down is None and bool(lower),
        rises=rises,
        power=_power(radii[least > 0], low[least > 0]) if rises else None,
        flat=bool(np.all(top <= 0)),
        steep=min(rays, key=lambda one: one.values[-1]).values[-1] / max(float(np.median(all_ends)), 1e-300),
        later=down is None and bool(lower) and all(_begins_later(function, one) for one in lower),
        hidden=down is None and any(_hidden(function, one) for one in lower),
    )


def _bent(function: Function, lows: np.ndarray, radii: np.ndarray) -> Ray | None:
    """A fall along a curve, by the least value met on each sphere from the largest inwards; None without one.

    Between y^3 and 2 y^3 in x^2 a fall is on no line through zero: it leaves each behind a rise.

    Args:
        function: A function of z, zero at zero.
        lows: Directions that are low on the largest sphere, the lowest first, [r, k].
        radii: Distances, ascending.
    """
    here, rng, found = lows[:KEPT], np.random.default_rng(0), []
    for radius in radii[::-1]:
        beside = _unit(here + TURN * rng.normal(size=here.shape))
        here = _descend(function, np.concatenate([here, beside]), radius[None])[0][:KEPT]
        found.append(here[0])
    directions = np.array(found[::-1])
    points = radii[:, None] * directions
    ray = _ray(directions[-1], *function.measured(points), radii)
    return None if ray.best is None else ray._replace(direction=directions[ray.best])


def _level(function: Function, points: np.ndarray, values: np.ndarray) -> bool:
    """Whether nothing is above or below zero by more than its error: a few points are asked first, as errors cost."""
    some = (slice(8), slice(None))
    return all(bool(np.all(np.abs(values[one]) <= function.measured(points[one])[1])) for one in some)


def _clearness(ray: Ray) -> float:
    """The value at the clearest fall: less is clearer."""
    assert ray.best is not None
    return float(ray.values[ray.best] / ray.radii[ray.best])


def _ray(direction: np.ndarray, values: np.ndarray, errors: np.ndarray, radii: np.ndarray) -> Ray:
    seen = values < -errors
    power, best = None, None
    first = int(np.argmax(seen)) if seen.any() else len(radii)
    # On the way from zero nothing rises by more than the errors before the fall shows.
    if seen.any() and not np.any(values[:first] > errors[:first]):
        run = first + int(np.argmin(np.append(seen[first:], False)))
        inside = np.arange(len(radii)) < run
        sizes = np.where(seen & inside, -values, 0.0)
        if _is_power(radii, sizes, seen & inside) and not _displaced(radii[first:run], -values[first:run]):
            powers = np.diff(np.log(-values[first:run])) / np.diff(np.log(radii[first:run]))
            power = float(np.median(powers[: max(3, len(powers) // 2)]))
            best = first + int(np.argmin(values[first:run]))
    return Ray(direction, radii, values, errors, power, best)


def _power(radii: np.ndarray, sizes: np.ndarray) -> float:
    """The power of the radius between the least and the largest that is seen."""
    return float(np.log(sizes[-1] / sizes[0]) / np.log(radii[-1] / radii[0]))


def _barred(values: np.ndarray, errors: np.ndarray) -> bool:
    """Whether a rise stands before the first fall."""
    return bool(np.any((values > errors)[: int(np.argmax(values < -errors))]))


def _displaced(radii: np.ndarray, sizes: np.ndarray) -> bool:
    """Whether powers come to a whole number as the radius grows, as those of (r - r0)^2 do: a fall from r0, not zero.

    A fall that begins at zero has a whole power there, or half of one, and leaves it as the radius grows.
    """
    powers = np.diff(np.log(sizes[1:])) / np.diff(np.log(radii[1:]))  # the first size may be half error
    if len(powers) < 2:
        return False
    off = np.abs(2.0 * powers - np.round(2.0 * powers))
    comes = len(powers) > 3 and off[0] > COMES_DOWN and off[3] < 0.5 * off[0]
    return bool(comes or powers[0] - powers[1] > COMES_DOWN)


def _begins_later(function: Function, ray: Ray) -> bool:
    """Whether a fall begins at a distance: level for half a decade, then powers that come down as (r - r0)^k does.

    Those of exp(-c / r), a fall that begins at zero and is below rounding near it, come down by one factor all the way.
    """
    seen = ray.values < -ray.errors
    first = int(np.argmax(seen))
    if first < 4 or np.any(np.abs(ray.values[:first]) > ray.errors[:first]):
        return False
    ratio = ray.radii[1] / ray.radii[0]
    sizes = -function.values(ray.radii[first] * ratio ** np.arange(5)[:, None] * ray.direction)
    if not np.all(sizes > 0):
        return False
    powers = np.diff(np.log(sizes)) / np.log(ratio)
    comes = powers[0] > 4.5 and powers[1] < powers[0] - 0.5 and powers[2] < powers[1]
    # The first size may be half error.
    return bool(comes and powers[1] / powers[2] - 1.0 > STOPS * (powers[2] / powers[3] - 1.0))


def _hidden(function: Function, ray: Ray) -> bool:
    """Whether a fall that follows a level may begin at zero: with a power up to `HIDDEN` errors covered it before.

    One that begins some way off is above what they cover at some nearer radius, or grows by more than such a power to
    the next one, or begins as (r - r0)^k does.
    """
    first = int(np.argmax(ray.values < -ray.errors))
    if first == 0 or np.any(np.abs(ray.values[:first]) > ray.errors[:first]):
        return False
    if -ray.values[first] > np.min(ray.errors[:first] * (ray.radii[first] / ray.radii[:first]) ** HIDDEN):
        return False
    beyond, size = ray.radii[first : first + 2], ray.errors[first] - ray.values[first]
    if len(beyond) == 2 and -ray.values[first + 1] > size * (beyond[1] / beyond[0]) ** HIDDEN:
        return False
    return not _begins_later(function, ray)


def _is_power(radii: np.ndarray, sizes: np.ndarray, seen: np.ndarray) -> bool:
    """Whether positive sizes, where seen, go with one power of the radius for half a decade from the first on."""
    index = np.flatnonzero(seen)
    if len(index) < 3 or np.any(np.diff(index[:3]) != 1):
        return False
    index = index[:5] if len(index) >= 5 and np.all(np.diff(index[:5]) == 1) else index[:3]
    # The first size may be half error: laws are read from the second on where there are enough.
    index = index[1:] if len(index) > 3 else index
    powers = np.diff(np.log(sizes[index])) / np.diff(np.log(radii[index]))
    return bool(np.all((powers > POWERS[0]) & (powers < POWERS[1])) and np.ptp(powers) <= STEADY)


def _descend(function: Function, units: np.ndarray, radii: np.ndarray, rounds: int = 30) -> list[np.ndarray]:
    """Directions from descents on spheres, by projected gradients with a step for each lane, the lowest first.

    Args:
        function: A function of z, zero at zero.
        units: Directions to descend from, [r, k].
        radii: Of the spheres, [s]; all descend together.
        rounds: Steps.

    Returns:
        [at most ENDS, k] of each sphere.
    """
    sphere, here = np.repeat(np.arange(len(radii)), len(units)), np.tile(units, (len(radii), 1))
    step = np.full(len(here), 0.5)
    grad, values = function.slopes(radii[sphere, None] * here)
    for i in range(rounds):
        if i == HALVED and len(units) > STAY:
            kept = np.concatenate(_lowest(values, sphere, STAY))
            here, grad, values, step, sphere = here[kept], grad[kept], values[kept], step[kept], sphere[kept]
        grad = np.where(np.isfinite(grad), grad, 0.0)  # at the tip of a norm automatic derivatives are 0 / 0
        along = grad - np.einsum("ij,ij->i", grad, here)[:, None] * here
        size = _norms(along)
        if not np.any(size > 0):
            break
        trial = _unit(here - (step / np.where(size > 0, size, 1.0))[:, None] * along)
        new_grad, new = function.slopes(radii[sphere, None] * trial)
        good = new < values
        here[good], grad[good], values[good] = trial[good], new_grad[good], new[good]
        step = np.where(good, np.minimum(1.6 * step, 1.0), 0.4 * step)
        if np.all(step < 1e-4):
            break
    return [here[some] for some in _lowest(values, sphere, ENDS)]


def _lowest(values: np.ndarray, sphere: np.ndarray, count: int) -> list[np.ndarray]:
    """Numbers of the `count` least values of each sphere, ascending."""
    order = np.argsort(values)
    return [order[sphere[order] == one][:count] for one in np.unique(sphere)]


def _norms(rows: np.ndarray) -> np.ndarray:
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def _unit(rows: np.ndarray) -> np.ndarray:
    norms = _norms(rows)
    return rows[norms > 0] / norms[norms > 0][:, None]


def _distinct(rows: np.ndarray) -> np.ndarray:
    """Unit rows without those that are within 1e-3 of one before."""
    near = 1.0 - rows @ rows.T < 0.5e-6
    kept: list[int] = []
    for i in range(len(rows)):
        if not near[i, kept].any():
            kept.append(i)
    return rows[kept]
