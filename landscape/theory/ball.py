"""A ball about a strict minimum on whose sphere the loss is higher: no path leaves it below that."""

from __future__ import annotations

from typing import NamedTuple


class Rise(NamedTuple):
    """By how much the loss is above that of the centre on a sphere.

    Attributes:
        height: At least by this.
        radius: Of the sphere.
    """

    height: float
    radius: float


def rise(grad: float, curvature: float, bound: float, limit: float) -> Rise | None:
    """The rise on the largest sphere within which the loss is shown to be convex; None where nothing rises.

    With a gradient of at most g, curvature of at least lambda and a Hessian of Lipschitz constant B within `limit`, the
    loss at distance r is above that of the centre by lambda r^2 / 2 - B r^3 / 6 - g r, and the Hessian is positive up
    to r = lambda / B: no other minimum is in the ball.

    Args:
        grad: g, rounding included.
        curvature: lambda, errors taken off.
        bound: B.
        limit: Largest radius for which B holds.
    """
    if not (curvature > 0 and 0 < bound < float("inf") and limit > 0):
        return None
    radius = min(limit, curvature / bound)
    height = radius * (curvature * radius / 2 - bound * radius**2 / 6 - grad)
    return Rise(height, radius) if height > 0 else None
