"""Is a loss level about a point, or level to within its rounding only? How it leaves its level further out says so.

1 - exp(-x^2) is 1 to the last digit at x = 30, and a search of a scale about that point sees a constant. A level that
the loss has ends at a kink, like a power of the distance to it; one that rounding makes ends like an exponential.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from landscape.theory.own_loss.view import Loss

OUT = np.geomspace(3e-3, 1e3, 32)  # scales: six to a decade; what is not level at the first is not asked about
WAYS = 8  # directions that are asked, both ways: 512 evaluations in all, one block
SEEN = 10.0  # errors by which a loss has left its level
PAST = 1.001  # times the distance at which it does: by then a power of the distance to a kink is far above rounding
POWER = 14.0  # more than this is no power of the distance from the point
ASKED = 4  # points at which directions are asked whether the loss is level along them everywhere
ALONG = np.array([-1e6, -1e3, -5.0, -0.5, 0.5, 5.0, 1e3, 1e6])  # scales: what starts say of them may be far too small
STEADY = 1.25  # a power of the distance from the point stays what it is; that of exp(r) grows with r


def only_rounding(loss: Loss, u: np.ndarray, flat: Float[np.ndarray, "p k"]) -> bool:
    """Whether the loss leaves its level about u, along directions without curvature, as an exponential does.

    Or falls from it by a steady power of the distance from u on, as a product of twelve does: then it is none.
    An exact level may end like an exponential too, at a steep pole: that of a norm with an eps of 1e-8 below its root
    ends near w = 0.

    Args:
        loss: The loss.
        u: A point, [p].
        flat: The directions, orthonormal columns.
    """
    if not flat.shape[1]:
        return False
    # Mixed ones too: a unit that is off and has no weight in the sum is level in both of these, and not in their sum.
    mixed = np.random.default_rng(0).normal(size=(WAYS // 2, flat.shape[1])) @ flat.T
    ways = np.concatenate([flat.T[: WAYS // 2], mixed / np.linalg.norm(mixed, axis=1, keepdims=True)])
    lines = np.concatenate([ways, -ways])
    value, error = loss.loss(u)
    ends = loss.losses((u + OUT[:, None, None] * lines).reshape(-1, len(u))).reshape(len(OUT), -1)
    for line, seen in zip(lines, (np.abs(ends - value) > SEEN * error).T, strict=True):
        first = int(np.argmax(seen))
        if first > 0 and _by_rounding(loss, u, line, value, OUT[first - 1], OUT[first]):
            return True
    return False


def _by_rounding(loss: Loss, u: np.ndarray, line: np.ndarray, value: float, low: float, high: float) -> bool:
    """Whether a level that ends between two distances ends neither at a kink nor in a rise by a power from u on."""
    floor = SEEN * float(np.max(loss.errors(u + np.array([[low], [high]]) * line)))

    def excess(radii: np.ndarray) -> np.ndarray:
        return loss.losses(u + radii[:, None] * line) - value

    if not abs(excess(np.array([high]))[0]) > floor:
        return False  # rounding grows on the way, and nothing else does
    for _ in range(40):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if abs(excess(np.array([middle]))[0]) > floor else (middle, high)
    above = excess(high * np.array([1.0, PAST, 1.15, 1.5, 1.725]))
    sizes = np.abs(above)
    if not np.all(np.isfinite(sizes)) or not np.all(sizes > 0.5 * floor) or sizes[1] > 5.0 * sizes[0]:
        return False
    near, further = np.log(sizes[[2, 4]] / sizes[[0, 3]]) / np.log(1.15)
    falls = bool(np.all(above < 0.0)) and near < STEADY * further
    return bool(near > POWER or further > STEADY * near or falls)


def level_everywhere(loss: Loss, flat: Float[np.ndarray, "p k"]) -> bool:
    """Whether the loss is level along directions at points far from all limits: then rounding has no part in it.

    So it is along a shift of all logits, of all particles. Points are starts, drawn in towards zero.

    Args:
        loss: The loss.
        flat: The directions, orthonormal columns.
    """
    if not flat.shape[1]:
        return False
    drawn = loss.starts[:ASKED]
    points = [one for one in np.concatenate([drawn, 0.3 * drawn, 0.1 * drawn]) if not loss.at_limits(one)]
    if len(points) < ASKED:
        return False
    # Where a single direction of them changes the loss a mixed one does, too.
    ways = np.random.default_rng(1).normal(size=(ASKED, flat.shape[1])) @ flat.T
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    for point in points[:ASKED]:
        ends = point + (ALONG[:, None, None] * ways).reshape(-1, len(point))
        value, error = loss.loss(point)
        digits = np.finfo(float).eps * np.sum(np.abs(loss.gradients(ends) * ends), axis=1)  # of the ends themselves
        if not np.all(np.abs(loss.losses(ends) - value) <= error + loss.errors(ends) + digits):
            return False
    return True
