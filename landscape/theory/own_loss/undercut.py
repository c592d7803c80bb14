"""Is the limit of a ray to infinity reached at a finite distance? Then nothing has to go to infinity for it.

A loss that depends on the direction of w only falls along u + t v for ever, because u + t v turns towards v like 1 / t,
and is as low at v itself: weight, layer, batch and RMS norms, Rayleigh quotients, cosines. The ray's end is scaled back
to where the ray began, whole or leaf by leaf; and a descent looks for as low a loss nearby.
"""

from __future__ import annotations

import numpy as np

from landscape.theory.own_loss.infinity import Escape, saturated
from landscape.theory.own_loss.view import Loss

OUT = 1e6  # scales: where a ray's end is
ROUNDS = 60  # of steepest descent: a ray's limit is mostly near to what the loss is where it begins
LENGTHS = np.geomspace(1e-4, 1.0, 16)  # of its steps, as parts of the radius of the ball that it stays in
SHORT = 0.5  # of what the ray's end is above its limit: a power of the distance does not come as near by at 1e5 scales


def undercut(loss: Loss, u: np.ndarray, way: Escape) -> bool:
    """Whether a loss no higher than the limit of a ray is met at a finite distance, and by more than rounding alone.

    Args:
        loss: The loss.
        u: Where the ray begins, [p].
        way: The ray.
    """
    last, error = loss.loss(u + OUT * way.direction)
    enough = way.limit + error + SHORT * max(last - way.limit, 0.0)
    back = _scaled_back(loss, u, way.direction)
    values = loss.losses(back)
    low = [one for one, value in zip(back, values, strict=True) if value <= enough + loss.loss(one)[1]]
    if not low:
        found = _descended(loss, u, enough)
        low = [] if found is None else [found]
    return any(not _by_rounding(loss, one) for one in low)


def _scaled_back(loss: Loss, u: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Where the ray leads to, with the norm that u has: of all coordinates, of each leaf, and of all leaves, [r, p]."""
    rows, every = [direction * np.linalg.norm(u)], u.copy()
    for leaf in loss.leaves:
        size = float(np.linalg.norm(direction[leaf]))
        if OUT * size > 1.0:  # else it goes nowhere
            row = u.copy()
            row[leaf] = every[leaf] = direction[leaf] * (np.linalg.norm(u[leaf]) / size)
            rows.append(row)
    return np.array([*rows, every])


def _descended(loss: Loss, u: np.ndarray, enough: float) -> np.ndarray | None:
    """A point with a loss that is low enough at the end of a descent from u that does not go far out; None without one.

    Normalised gradients, step lengths chosen from many at once, in a ball about zero that u lies well inside of.
    """
    here, value = u, float(loss.losses(u[None])[0])
    radius = 2.0 * float(np.linalg.norm(u)) + 1.0
    for _ in range(ROUNDS):
        gradient = loss.gradients(here[None])[0]
        size = float(np.linalg.norm(gradient))
        if not np.isfinite(size) or size == 0.0:
            return None
        trials = here - (radius * LENGTHS[:, None] * gradient) / size
        norms = np.linalg.norm(trials, axis=1, keepdims=True)
        trials = trials * np.minimum(1.0, radius / norms)
        values = loss.losses(trials)
        best = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
        if not values[best] < value:
            return None
        here, value = trials[best], float(values[best])
        if value <= enough:
            return here
    return None


def _by_rounding(loss: Loss, there: np.ndarray) -> bool:
    """Whether a loss has come to its value as an exponential does: from above, at no distance by itself."""
    way = saturated(loss, there)
    return loss.at_limits(there) or (way is not None and way.falls)
