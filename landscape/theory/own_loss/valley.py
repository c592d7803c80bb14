"""Does the valley that a far point stands in go on down? Followed outwards, its walls minimised over at every length.

Far out a valley bends over lengths of the order of the distance itself: f = c / |x| falls by less than its rounding
within a scale, where it looks flat, and by half of what is left when the distance doubles. A straight ray leaves such
a valley as soon as it bends.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.theory.own_loss.plateau import level_everywhere
from landscape.theory.own_loss.stationary import Rest
from landscape.theory.own_loss.view import Loss

FAR = 100.0  # scales: what is nearer is judged within a scale
OUT = 1e6  # scales: as far as a valley is followed
GROWTH = 1.25  # of the distance, each time
WAYS = 8  # directions without curvature that are tried
ROUNDS = 8  # Newton steps onto the floor
STRIDE = 0.1  # of the distance from zero: a longer one leaves the floor where two neurons become the slope of one
INWARDS, OUTWARDS = 0.1 * FAR, 2.0  # scales and parts of the distance: to where a floor has to be level
EDGE = 100.0  # errors: a level that ends at an edge is left by so much at once, and by 1.1^k in a stride along 1 / x^k
STRAIGHT = 1e-12  # of each coordinate: Newton steps onto a floor that does not bend change its last digits only
FOLLOWED = 0.1  # of a point's size: what lies along directions without curvature


class Valley(NamedTuple):
    """What a valley does further out.

    Attributes:
        direction: Of escape, a unit vector in u, [p].
        limit: The lowest loss that was met.
        drop: How much lower than the point it is, less errors.
        endless: Whether it falls all the way to `OUT`.
    """

    direction: Float[np.ndarray, " p"]
    limit: float
    drop: float
    endless: bool


def valley(loss: Loss, there: Rest) -> Valley | None:
    """The way further down the valley at a point without curvature in some directions, None where none falls.

    Args:
        loss: The loss.
        there: A point that looks stationary, far out.
    """
    size = float(np.linalg.norm(there.u))
    if size < FAR:
        return None
    null = there.vectors[:, np.abs(there.values) <= there.curvature_error]
    if not null.shape[1]:
        return None
    outwards = null @ (null.T @ there.u)
    ways = [outwards, -null @ (null.T @ there.gradient), *null.T[:WAYS]]
    ways = [sign * way / np.linalg.norm(way) for way in ways if np.any(way) for sign in (1.0, -1.0)]
    found = [_followed(loss, there, way) for way in ways]
    falls = [one for one in found if one is not None]
    return max(falls, key=lambda one: (one.endless, one.drop)) if falls else None


def ends(loss: Loss, there: Rest) -> bool:
    """Whether a far point stands on a level floor that comes from nearby: then nothing is approached at infinity.

    Two neurons that come nearer to each other, with outer weights that grow against each other, become the slope of one
    neuron. The loss falls for ever on the way, by less than its rounding from some place on.

    Args:
        loss: The loss.
        there: A point that looks stationary.

    Returns:
        True as well of a point that is not far, or not along directions without curvature.
    """
    size = float(np.linalg.norm(there.u))
    null = there.vectors[:, np.abs(there.values) <= there.curvature_error]
    outwards = null @ (null.T @ there.u)
    if size < FAR or np.linalg.norm(outwards) <= FOLLOWED * size or level_everywhere(loss, null):
        return True
    way = outwards / np.linalg.norm(outwards)
    floor = _onto_floor(loss, there.u, way)
    return floor is not None and all(_level(loss, floor, sign * way) for sign in (1.0, -1.0))


def _level(loss: Loss, start: np.ndarray, way: np.ndarray) -> bool:
    """Whether the floor is level to within rounding from a point on it, outwards to `OUTWARDS` or in to `INWARDS`.

    Or up to an edge, as that of a hinge: such a level is attained. On a floor that bends, a loss that is off may be
    that of a place beside the floor.
    """
    value, error = loss.loss(start)
    here, size = start, float(np.linalg.norm(start))
    while INWARDS < np.linalg.norm(here) < OUTWARDS * size:
        ahead = here + STRIDE * np.linalg.norm(here) * way
        floor = _onto_floor(loss, ahead, way)
        if floor is None or np.linalg.norm(floor - here) > 2.0 * STRIDE * np.linalg.norm(here):
            return False
        new, rounding = loss.loss(floor)
        if not abs(new - value) <= error + rounding:
            straight = np.all(np.abs(floor - ahead) <= STRAIGHT * np.abs(ahead))
            return bool(straight) and abs(new - value) > EDGE * (error + rounding)
        way = (floor - here) / np.linalg.norm(floor - here)
        here = floor
    return True


def _followed(loss: Loss, there: Rest, way: np.ndarray) -> Valley | None:
    """The floor of the valley at growing lengths along a direction."""
    here, size = there.u, float(np.linalg.norm(there.u))
    values, errors, lengths = [there.loss], [there.error], [0.0]
    before = here
    while lengths[-1] < OUT:
        length = 0.25 * size if len(values) == 1 else GROWTH * lengths[-1] + 0.25 * size
        ahead = here + (length - lengths[-1]) * way
        if len(values) > 1:  # as the floor went on last
            slope = (here - before) / (lengths[-1] - lengths[-2])
            ahead = here + (length - lengths[-1]) * slope
        floor = _onto_floor(loss, ahead, way)
        if floor is None:
            break
        value, error = loss.loss(floor)
        if not np.isfinite(value) or value > values[-1] + error + errors[-1]:
            break
        before, here = here, floor
        values.append(value)
        errors.append(error)
        lengths.append(length)
    drop = values[0] - values[-1] - errors[0] - errors[-1]
    if len(values) < 4 or not drop > 0:
        return None
    moved, seen = here - there.u, -np.diff(values) > np.array(errors[1:]) + np.array(errors[:-1])
    # A loss that is level from some place on has its bottom there.
    endless = lengths[-1] >= OUT and bool(np.mean(seen) > 0.5)
    return Valley(moved / np.linalg.norm(moved), values[-1], drop, endless)


def _onto_floor(loss: Loss, here: np.ndarray, way: np.ndarray) -> np.ndarray | None:
    """The least of the loss across the valley, by Newton steps at right angles to it."""
    across = np.eye(len(here)) - np.outer(way, way)
    for _ in range(ROUNDS):
        gradient, hessian = loss.gradients(here[None])[0], loss.hessian(here)
        if not (np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian))):
            return None
        values, vectors = np.linalg.eigh(across @ hessian @ across)
        curved = np.abs(values) > 1e-12 * np.max(np.abs(values), initial=1e-300)
        slopes = vectors[:, curved].T @ (across @ gradient)
        step = -vectors[:, curved] @ (slopes / np.abs(values[curved]))
        here = here + step
        if float(np.sum(slopes**2 / np.abs(values[curved]))) <= loss.loss(here)[1]:
            return here
    return None
