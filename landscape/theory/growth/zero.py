"""Which subnetworks of a network count as zero."""

from __future__ import annotations

import numpy as np

from landscape.problems.parallel import Homogeneous

ZERO = 1e-9  # weights below this, times the scale, are zero

CRAWLING = 0.02  # ... and below which descents of degree above two have stopped on their way to zero


def zero_subnetworks(problem: Homogeneous, theta: np.ndarray) -> np.ndarray:
    """Which subnetworks are zero, [width]."""
    w = np.asarray(theta).reshape(problem.width, -1)
    return np.linalg.norm(w, axis=1) <= ZERO * problem.scale
