"""Is the loss smooth here, and what is the point if it is not? Its own quadratic model against its own values.

An automatic Hessian at a kink is that of one of the pieces that meet there, and says nothing of the others. Where the
loss leaves its quadratic model with a power of the distance below three, only evaluations on spheres about the point
and gradients of the pieces near it decide.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.records import Flavour
from landscape.theory.own_loss.along_kinks import along_kinks
from landscape.theory.own_loss.on_kinks import Near
from landscape.theory.own_loss.sphere import Function, Ray, Search, search
from landscape.theory.own_loss.subgradients import MEETS, PIECES, REST, Subgradients, steepest, subgradients
from landscape.theory.own_loss.view import Loss

PROBES = np.geomspace(1e-7, 1e-1, 13)
SMOOTH = 2.6  # the remainder of a quadratic model goes with the third power, that of a kink with the first or second
TORN = 1e-4  # of derivatives a tenth of a scale away; rounding in float32 moves them by 1e-6
RADII = np.geomspace(1e-6, 0.03, 19)  # from where a fall of second order clears rounding: kinks 3e-8 off show
CLOSE = 3e-3  # a fall with the fourth power shows at this distance, 1e-10 of the loss's own size
STEEP = 1e-3  # descents on spheres find a set of minima to this part of the rise elsewhere, and mostly far better
EXACT = 1e-12  # Newton steps on kinks come this near to their end, in scales
FIRST_ORDER = 1.4  # a fall with a power below this has a slope, unless it is a law of its own (`_sloped`)
LINEAR = 1.1  # a power below this is that of a slope, beside what second order adds to it
CLEAR = 1e3  # of its error: powers of a fall are then known to some 0.003


class Found(NamedTuple):
    """What a point at a kink is.

    Attributes:
        slope: Least norm of a convex combination of gradients of the pieces met near the point, over theta.
        rests: Whether that is zero beside the gradients of the pieces.
        flavour: Of a minimum: `STRICT_MINIMUM` or `MINIMUM_NOT_CLEAR`; None where it is not shown to be one.
        escape: A step to a lower loss, [p], and None where there is none.
        drop: How much lower, less errors.
        first_order: Whether the loss falls with a slope along it.
        reason: What could not be shown.
        left: How much lower a minimum here may be than the point, which stands beside its kink by rounding.
        flat: Directions in which no slope jumps, orthonormal columns; None where they have not been looked for.
    """

    slope: float
    rests: bool
    flavour: Flavour | None = None
    escape: Float[np.ndarray, " p"] | None = None
    drop: float | None = None
    first_order: bool = False
    reason: str | None = None
    left: float = 0.0
    flat: Float[np.ndarray, "p k"] | None = None


def kinked(loss: Loss, u: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> bool:
    """Whether the loss leaves its quadratic model at u as no smooth function does.

    Along each direction, the two smallest distances at which the remainder is clear of rounding give its power. A
    kink that is some way off shows as a remainder that is there from some distance on, and not below it.

    Args:
        loss: The loss.
        u: A point, [p].
        gradient: Its automatic gradient there, [p].
        hessian: Its automatic Hessian there, [p, p].
    """
    p = len(u)
    rng = np.random.default_rng(0)
    lines = rng.normal(size=(12, p))
    # Few coordinates at a time as well: in a random direction of many a weak kink is faint.
    axes = np.eye(p)[rng.permutation(p)[: min(p, 12)]]
    lines = np.concatenate([lines / np.linalg.norm(lines, axis=1)[:, None], axes])
    lines = np.concatenate([lines, -lines])
    steps = (lines[:, None, :] * PROBES[:, None]).reshape(-1, p)
    if not (np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian))):
        return True
    value, error = loss.loss(u)
    errors = slope_error, curvature_error = loss.derivative_errors(u)
    if _torn(loss.gradients(u + 0.1 * lines), hessian, errors, error):
        return True
    model = value + steps @ gradient + 0.5 * np.sum((steps @ hessian) * steps, axis=1)
    sizes = np.linalg.norm(steps, axis=1)
    losses, rounding = loss.measured(u + steps)
    remainder = np.abs(losses - model)
    noise = 4.0 * (rounding + error) + sizes * slope_error + 0.5 * sizes**2 * curvature_error
    # The model's own terms round, and so does u + step, which the slope there makes a change of the loss.
    there = np.linalg.norm(gradient) + np.linalg.norm(steps @ hessian, axis=1)
    noise += 8 * np.finfo(float).eps * (np.abs(steps @ gradient) + there * np.linalg.norm(u))
    rows = (x.reshape(len(lines), len(PROBES)) for x in (remainder, noise))
    return any(_bent(*one) for one in zip(*rows, strict=True))


def _torn(around: np.ndarray, hessian: np.ndarray, errors: tuple[float, float], loss_error: float) -> bool:
    """Whether rounding alone decides which piece a derivative is taken of: it changes by far more than by rounding.

    Args:
        around: Gradients a tenth of a scale away, [r, p].
        hessian: At the point, [p, p].
        errors: Of the gradient and of the Hessian.
        loss_error: Of the loss: it goes through to derivatives, and is no kink.
    """
    slopes = np.linalg.norm(around, axis=1)
    if not np.any(np.isfinite(slopes)):
        return True
    size = float(np.nanmax(slopes))
    bend = max(float(np.linalg.norm(hessian)), size)
    return errors[0] > max(TORN * size, 1e3 * loss_error) or errors[1] > max(TORN * bend, 1e3 * loss_error)


def _bent(remainder: np.ndarray, noise: np.ndarray) -> bool:
    """Whether a remainder on the line of `PROBES` begins at the point itself, with a power below `SMOOTH`."""
    if not np.all(np.isfinite(remainder)):
        return True
    seen = remainder > 10.0 * noise
    if not seen.any():
        return False
    first = int(np.argmax(seen))
    some = slice(first, first + 4)
    if first + 4 > len(PROBES) or not np.all(seen[some]):
        return False
    # Every power of three in a row: terms of a smooth function that cancel at one distance do not at the next.
    powers = np.diff(np.log(remainder[some])) / np.diff(np.log(PROBES[some]))
    if not np.all(powers < SMOOTH):
        return False
    before = max(first - 1, 0)
    expected = remainder[first] * (PROBES[before] / PROBES[first]) ** float(np.median(powers))
    return first == 0 or bool(expected <= 30.0 * noise[before] or remainder[before] > 0.3 * expected)


def at_kink(loss: Loss, u: np.ndarray, given: Subgradients | None = None) -> Found:
    """The kind of a point at a kink, by evaluations.

    Args:
        loss: The loss.
        u: A point, [p].
        given: Its subgradients, where it is on its kinks, and stationary along them, to rounding.
    """
    value, error = loss.loss(u)
    met = given or subgradients(loss, u)
    slopes, spread, combined, near = met
    exact = given is not None and not given.beside
    if not len(slopes):
        slope = float(np.linalg.norm(loss.gradients(u[None])[0] / loss.scale))  # nan, or infinite
        return Found(slope, False, reason="the automatic gradient is not finite about this point")
    slope = float(np.linalg.norm(combined / loss.scale))
    still = met.rest
    # Gradients at a distance r are eps-subgradients of a convex piece, with eps = 2 r times the steepest of them.
    beside = EXACT * (1.0 + float(np.linalg.norm(u))) if exact else PIECES
    left = 2.0 * beside * steepest(slopes) + float(np.linalg.norm(combined)) * beside
    floor = float(np.finfo(float).eps * np.linalg.norm(u) * steepest(slopes))

    def measured(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        losses, errors = loss.measured(u + z)
        return losses - value, errors + error + floor

    def sloped(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        gradients, losses = loss.slopes(u + z)
        return gradients, losses - value

    function = Function(
        values=lambda z: loss.losses(u + z) - value,
        measured=measured,
        slopes=sloped,
    )
    p = len(u)
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(int(np.clip(8 * p, 32, 96)), p)), np.eye(p)[: min(p, 64)], slopes[:: max(1, p // 8)]]
    starts += [combined[None], _bent_down(loss, u), _cells(near, rng)]
    many = np.concatenate([one for one in starts if len(one)])
    seen, along = _searched(function, many), along_kinks(loss, u, slopes, spread, near)
    down = None if seen.down is None else _down(loss, u, seen.down, lambda z: u + z, left)
    if along is not None and (down is None or seen.mixed):
        some = np.concatenate([np.eye(along.k), rng.normal(size=(int(np.clip(8 * along.k, 16, 96)), along.k))])
        held = _searched(along.function, some)
        found = None if held.down is None else _down(loss, u, held.down, along.points, left)
        if found is not None:
            return found._replace(slope=slope, rests=still)
        seen = seen._replace(hidden=seen.hidden or held.hidden)
    if down is not None:
        if seen.mixed and not down.first_order:
            return Found(
                slope, still, reason="falls about this kink begin at it in some directions and beside it in others"
            )
        return down._replace(slope=slope, rests=still)
    if seen.down is not None:  # as beside a sharp minimum, 2e-8 off
        return Found(slope, still, reason="the loss is lower near this kink by no more than a minimum beside it may be")
    # Where a minimum is not sharp a set of minima may pass through that searches on spheres come near to only.
    sharp = seen.power is not None and seen.power < FIRST_ORDER and seen.steep > STEEP
    if along is not None and not along.covered and not sharp:
        reason = "slopes jump here across kinks that the loss's program does not show: they could not be followed"
        return Found(slope, still, reason=reason)
    if seen.doubtful and seen.later:
        return Found(slope, still, Flavour.MINIMUM_NOT_CLEAR, left=left)
    if seen.doubtful:
        return Found(slope, still, reason="the loss is lower near this kink, but by no clear power of the distance")
    if seen.hidden:
        return Found(slope, still, reason="the loss is lower beside this kink, and nearer by less than rounding shows")
    strict = seen.rises and (p == 1 or sharp)
    flavour = Flavour.STRICT_MINIMUM if strict else Flavour.MINIMUM_NOT_CLEAR
    flat = spread.rows[spread.rank(REST * steepest(slopes)) :].T
    return Found(slope, still, flavour, left=left, flat=flat)


def _searched(function: Function, starts: np.ndarray) -> Search:
    """What spheres say, at a smaller distance where falls begin some way off at a larger: those are another kink's."""
    seen = search(function, starts, reach=RADII[-1], radii=RADII)
    if not seen.doubtful:
        return seen
    closer = search(function, starts, reach=CLOSE, radii=RADII)
    return closer._replace(hidden=(closer.hidden or seen.hidden) and not closer.rises)


def _down(loss: Loss, u: np.ndarray, ray: Ray, points: Callable[[np.ndarray], np.ndarray], left: float) -> Found | None:
    """The lower point that a ray leads to; None where it is not lower by more than errors, and than `left`."""
    assert ray.best is not None
    assert ray.power is not None
    end = points(ray.radii[ray.best] * ray.direction[None])[0]
    (value, error), (low, low_error) = loss.loss(u), loss.loss(end)
    drop = value - low - error - low_error
    return Found(np.nan, False, escape=end - u, drop=drop, first_order=_sloped(ray)) if drop > left else None


def _sloped(ray: Ray) -> bool:
    """Whether a fall has a slope at zero: -|x| - x^2 has one, and -|x|^(4/3) has none.

    The power q of s r + c r^2 grows by (q - 1)(2 - q) with the logarithm of r, and that of a law of its own does not.
    """
    assert ray.power is not None
    clear = np.flatnonzero(-ray.values > CLEAR * ray.errors)[:3]
    if ray.power >= FIRST_ORDER or len(clear) < 3:
        return ray.power < FIRST_ORDER
    steps = np.diff(np.log(ray.radii[clear]))
    first, second = np.diff(np.log(-ray.values[clear])) / steps
    return bool(first < LINEAR or second - first > 0.25 * (first - 1.0) * (2.0 - first) * steps[1])


def _cells(near: Near, rng: np.random.Generator) -> np.ndarray:
    """Directions into cells that the kinks through a point bound, [r, p]: narrow ones are seldom drawn by chance."""
    normals = near.normals[near.distances <= MEETS]
    if not len(normals):
        return np.zeros((0, normals.shape[1]))
    sides = rng.choice([-1.0, 1.0], size=(30, len(normals)))
    sides = np.concatenate([np.ones((1, len(normals))), -np.ones((1, len(normals))), sides])
    rows = np.concatenate([sides @ np.linalg.pinv(normals, rcond=1e-9).T, normals[:32], -normals[:32]])
    return rows[np.linalg.norm(rows, axis=1) > 0]


def _bent_down(loss: Loss, u: np.ndarray) -> np.ndarray:
    """Directions of least curvature of the pieces about u, [r, p]."""
    p = len(u)
    around = np.random.default_rng(2).normal(size=(8 if p <= 100 else 2, p))
    hessians = [loss.hessian(u + 1e-5 * one / np.linalg.norm(one)) for one in around]
    return np.array([np.linalg.eigh(h)[1][:, 0] for h in hessians if np.all(np.isfinite(h))]).reshape(-1, p)
