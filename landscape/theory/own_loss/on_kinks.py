"""The stationary point of a loss on the kinks that meet near a point, by Newton steps along them.

On the kinks, where the switches that are zero stay zero, a piecewise smooth loss is smooth, and the same for every
branch: a stationary point of it there is one of the Lagrangian of any branch (Lewis and Wright 2011, Mifflin and
Sagastizabal 2005: the U-Lagrangian). A quasi-Newton descent comes to 1e-8 of such a point, these steps to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.theory.own_loss.view import Loss

MOST = 256  # switches that are looked at: those of the least values
CUTS = np.geomspace(1e-9, 1e-3, 7)  # kinks closer than this are taken to meet at the point
ROUNDS = 12
RANK = 1e-9  # kinks whose normals are parallel to this part are one
FLAT = 1e-10  # curvature below this part of the largest along the kinks: nothing is asked of such directions
BESIDE = 1e-6  # scales off its kinks at which a loss is asked for derivatives that it does not have on them
SETTLED = 1e-12  # the last step, in units of the scale


class Near(NamedTuple):
    """Switches near a point, ascending in their distance.

    Attributes:
        numbers: Which, [k].
        distances: To where they are zero, by their slopes, [k].
        normals: Their slopes, unit vectors, [k, p].
        level: Which others are zero without a slope, as what the largest of some numbers is above itself: along a
            Newton step another one may become the largest.
    """

    numbers: np.ndarray
    distances: Float[np.ndarray, " k"]
    normals: Float[np.ndarray, "k p"]
    level: np.ndarray


def nearest(loss: Loss, u: np.ndarray) -> Near:
    """The switches nearest to a point, `MOST` of them at most.

    Args:
        loss: The loss.
        u: A point, [p].
    """
    values = np.abs(loss.switches(u[None])[0])
    some = np.argsort(values)[:MOST]
    if not len(some):
        return Near(some, np.zeros(0), np.zeros((0, len(u))), some)
    slopes = loss.switch_slopes(u, some)
    norms = np.linalg.norm(slopes, axis=1)
    level = some[(norms == 0) & (values[some] == 0)]
    some, slopes, norms = some[norms > 0], slopes[norms > 0], norms[norms > 0]
    distances = values[some] / norms
    order = np.argsort(distances)
    return Near(some[order], distances[order], (slopes / norms[:, None])[order], level)


def on_kinks(loss: Loss, u: np.ndarray, reach: float) -> Iterator[Float[np.ndarray, " p"]]:
    """Stationary points on the kinks that meet near u, those of the fewest kinks first.

    Args:
        loss: The loss.
        u: A point, [p].
        reach: They are nearer to u than this.
    """
    near = nearest(loss, u)
    for count in sorted({int(np.sum(near.distances <= cut)) for cut in CUTS} - {0}):
        end = _newton(loss, u, np.append(near.numbers[:count], near.level), reach)
        if end is not None:
            yield end


def _newton(loss: Loss, u: np.ndarray, active: np.ndarray, reach: float) -> np.ndarray | None:
    here = u
    for _ in range(ROUNDS):
        step = _step(loss, here, active)
        if step is None:
            return None
        here = here + step
        if np.linalg.norm(here - u) > reach:
            return None
        if np.linalg.norm(step) <= SETTLED * (1.0 + np.linalg.norm(here)):
            return here
    return None


def _step(loss: Loss, here: np.ndarray, active: np.ndarray) -> np.ndarray | None:
    """The Newton step to the stationary point of the loss where the active switches are zero."""
    slopes, values = loss.switch_slopes(here, active), loss.switches(here[None])[0][active]
    norms = np.linalg.norm(slopes, axis=1)
    if not np.all(np.isfinite(slopes)) or not np.any(norms > 0):
        return None
    active, slopes, values, norms = (one[norms > 0] for one in (active, slopes, values, norms))
    left, sizes, right = np.linalg.svd(slopes / norms[:, None])
    rank = int(np.sum(sizes > RANK * sizes[0]))
    onto = -right[:rank].T @ (left[:, :rank].T @ (values / norms) / sizes[:rank])
    along = right[rank:].T
    off = np.sum(slopes, axis=0) / max(float(np.linalg.norm(np.sum(slopes, axis=0))), 1e-300)
    for place in (here, here + BESIDE * off):  # on the kinks derivatives of a norm, and of eigenvalues, are 0 / 0
        gradient = loss.gradients(place[None])[0]
        if not np.all(np.isfinite(gradient)):
            continue
        if not along.size:
            return onto
        weights = (left[:, :rank] @ ((right[:rank] @ gradient) / sizes[:rank])) / norms
        bend = loss.bend(place, active, weights)
        if np.all(np.isfinite(bend)):
            break
    else:
        return None
    curvature, vectors = np.linalg.eigh(along.T @ bend @ along)
    # That of |x y - 1| along its kink is rounding, beside its slope.
    size = max(float(np.max(np.abs(curvature), initial=0.0)), float(np.linalg.norm(gradient)))
    kept = np.abs(curvature) > FLAT * size
    pull = vectors.T @ (along.T @ (gradient + bend @ onto))
    return onto - along @ (vectors[:, kept] @ (pull[kept] / curvature[kept]))
