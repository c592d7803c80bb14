"""Accelerated proximal gradient steps until a duality gap is closed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def accelerated(
    gradient: Callable[[np.ndarray], np.ndarray],
    proximal: Callable[[np.ndarray, float], np.ndarray],
    bounds: Callable[[np.ndarray], tuple[float, float, float]],
    start: np.ndarray,
    curvature: float,
    accuracy: float,
    most: int,
) -> np.ndarray:
    """Accelerated proximal gradient steps, momentum dropped where it points uphill, until the duality gap is closed.

    FISTA (Beck and Teboulle 2009) with the gradient restart of O'Donoghue and Candes 2015.
    """
    step = 1.0 / max(curvature, 1e-300)
    point = ahead = start
    momentum = 1.0
    for count in range(most):
        if count % 25 == 0:
            value, lower, rounding = bounds(point)
            if value - lower <= accuracy * (1 + abs(value)) + 2 * rounding:  # the bound has rounding taken off
                break
        new = proximal(ahead - step * gradient(ahead), step)
        if float(np.sum((ahead - new) * (new - point))) > 0:
            momentum, ahead = 1.0, new
        else:
            following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
            ahead = new + (momentum - 1) / following * (new - point)
            momentum = following
        point = new
    return point
