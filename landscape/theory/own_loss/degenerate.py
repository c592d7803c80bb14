"""What a stationary point is where curvature vanishes: the loss reduced to the null space decides.

By the splitting lemma (Gromoll and Meyer 1969) a point with no negative curvature is a minimum, strict or not, exactly
if zero is one of h(z) = min over w of the loss at u + V0 z + V1 w, with V0 the null space of the Hessian and V1 the
rest. The terms of h of third and fourth order, and of every other, show in how it goes with the radius: Peano's
(y - x^2)(y - 2 x^2) rises along every straight line, and h(x) = -x^4 / 4.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.records import Flavour
from landscape.theory.own_loss.sphere import Function, search
from landscape.theory.own_loss.stationary import Rest
from landscape.theory.own_loss.view import Loss

REACHES = (0.3, 0.03, 0.003)  # a fall with the fourth power shows at the last, 1e-10 of the loss's own size
RADII = np.geomspace(3e-3, 1.0, 16)  # of each reach; six to a decade
CUBIC = 2.6  # without curvature the first power is three: a fall with less is that of a kink close by
CHORDS = 12  # simplified Newton steps in w: each gains a factor of the radius
STEEP = 1e-3  # descents on spheres find a set of minima to this part of the rise elsewhere, and mostly far better
AXES = 64  # directions without curvature that descents on spheres begin at, beside random ones
FINE = 1e-6  # a loss whose rounding is above this part of its own variation cannot be said to be constant


class Found(NamedTuple):
    """What a degenerate stationary point is.

    Attributes:
        flavour: Of a minimum, strict, flat or not clear; None where it is not shown to be one.
        escape: A step to a lower loss, [p], and None where there is none.
        drop: How much lower, less errors.
        power: The power of the distance that the loss falls with.
        reason: What could not be shown.
        left: How much lower a minimum here may be than the point: Newton steps say nothing of the null space, and
            within the least radius asked only the slope there does.
    """

    flavour: Flavour | None = None
    escape: Float[np.ndarray, " p"] | None = None
    drop: float | None = None
    power: float | None = None
    reason: str | None = None
    left: float = 0.0


def degenerate(loss: Loss, point: Rest) -> Found:
    """The kind of a stationary point with zero curvature and none that is negative.

    Args:
        loss: The loss.
        point: A stationary point.
    """
    null = np.abs(point.values) <= point.curvature_error
    flat = point.vectors[:, null]
    known = _tangents(loss, point)
    if len(known):
        sizes, back = np.linalg.svd(known @ flat)[1:]
        flat = flat @ back[int(np.sum(sizes > 0.9)) :].T  # the rest of the null space
    if not flat.shape[1]:
        return Found(Flavour.FLAT_MINIMUM)
    reduced = _Reduced(loss, point, flat)
    k = flat.shape[1]
    rng = np.random.default_rng(0)
    some = rng.permutation(k)[:AXES]
    starts = np.concatenate([np.eye(k)[np.sort(some)], rng.normal(size=(int(np.clip(8 * k, 16, 64)), k))])
    function, seen, bent = Function(reduced.values, reduced.measured, reduced.slopes), None, False
    left, hidden = 0.0, False
    for reach in REACHES:
        radii = reach * RADII[reach * RADII >= 30.0 * point.step]
        if len(radii) < 6:
            break
        seen = search(function, starts, reach=reach, radii=radii)
        errors = reduced.measured(radii[0] * np.eye(k))[1]
        left = float(np.linalg.norm(flat.T @ point.gradient) * radii[0] + errors.max())
        bent = seen.down is not None and seen.down.power is not None and seen.down.power < CUBIC
        if not seen.doubtful and not bent:  # else a fall that begins some way off is another place's
            break
        hidden = hidden or seen.hidden
    if seen is None:
        return Found(reason=f"a Newton step of {point.step:.1g} is left beside directions of zero curvature")
    if seen.down is not None and not bent:
        assert seen.down.best is not None
        z = seen.down.radii[seen.down.best] * seen.down.direction
        end = reduced.points(z[None])[0]
        value, error = loss.loss(end)
        drop = point.loss - value - point.error - error
        if drop > 0:
            return Found(escape=end - point.u, drop=drop, power=seen.down.power)
    if seen.doubtful and seen.later:
        return Found(Flavour.MINIMUM_NOT_CLEAR, left=left)
    if seen.down is not None or seen.doubtful:
        return Found(reason=f"of {k} directions without curvature some lead lower, by no clear power of the distance")
    if hidden and not seen.rises:
        return Found(
            reason=f"of {k} directions without curvature some lead lower, and nearer by less than rounding shows"
        )
    symmetric = k < int(np.sum(null))
    if seen.rises:
        strict = Flavour.STRICT_MINIMUM if k == 1 or seen.steep > STEEP else Flavour.MINIMUM_NOT_CLEAR
        return Found(Flavour.FLAT_MINIMUM if symmetric else strict, left=left)
    if seen.flat and np.median(np.abs(loss.losses(loss.starts) - point.loss)) * FINE > point.error:
        return Found(Flavour.FLAT_MINIMUM, left=left)
    return Found(Flavour.MINIMUM_NOT_CLEAR, left=left)


def _tangents(loss: Loss, point: Rest) -> np.ndarray:
    """Unit tangents of the declared symmetries that leave the loss as it is here, orthonormal rows, [g, p]."""
    rows = []
    for moved in loss.invariances:
        tangent = (moved(point.u, 1e-4) - moved(point.u, -1e-4)) / 2e-4
        ends = np.stack([moved(point.u, small) for small in (0.1, -0.1, 1e-3)])
        losses, errors = loss.measured(ends)
        kept = np.abs(losses - point.loss) <= 4.0 * (errors + point.error)
        if np.linalg.norm(tangent) > 1e-9 and np.all(kept):
            rows.append(tangent / np.linalg.norm(tangent))
    if not rows:
        return np.zeros((0, len(point.u)))
    _, sizes, basis = np.linalg.svd(np.array(rows), full_matrices=False)
    return basis[sizes > 1e-6]


class _Reduced:
    """h(z), its gradient, and the points where it is taken."""

    def __init__(self, loss: Loss, point: Rest, flat: np.ndarray):
        curved = point.values > point.curvature_error
        self.loss, self.point, self.flat = loss, point, flat
        self.curved, self.curvature = point.vectors[:, curved], point.values[curved]
        self.last: tuple[bytes, np.ndarray, np.ndarray] | None = None

    def points(self, z: np.ndarray) -> np.ndarray:
        """u + V0 z + V1 w, with w from simplified Newton steps, [r, p]."""
        return self._solved(z)[0]

    def _solved(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = z.tobytes()
        if self.last is not None and self.last[0] == key:
            return self.last[1:]
        here = self.point.u + z @ self.flat.T
        slopes = self.loss.gradients(here)
        for _ in range(CHORDS if self.curvature.size else 0):
            trial = here - (slopes @ self.curved / self.curvature) @ self.curved.T
            new = self.loss.gradients(trial)
            better = self._slack(new) < self._slack(slopes)
            if not better.any():
                break
            here[better], slopes[better] = trial[better], new[better]
        self.last = (key, here, slopes)
        return here, slopes

    def _slack(self, slopes: np.ndarray) -> np.ndarray:
        """What the loss could lose in w, by its curvature at the point, [r]."""
        return 0.5 * np.sum((slopes @ self.curved) ** 2 / self.curvature, axis=1)

    def values(self, z: np.ndarray) -> np.ndarray:
        """h(z) less the loss at the point, [r]."""
        return self.loss.losses(self.points(z)) - self.point.loss

    def measured(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """h(z) less the loss at the point, and its error, [r] each.

        The error is the rounding of both losses, what the point could lose, and what w is short of its minimum.
        """
        here, slopes = self._solved(z)
        losses, errors = self.loss.measured(here)
        return losses - self.point.loss, errors + self.point.error + self.point.left + 2.0 * self._slack(slopes)

    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of h, [r, k], and h(z) less the loss at the point, [r]."""
        return self._solved(z)[1] @ self.flat, self.values(z)
