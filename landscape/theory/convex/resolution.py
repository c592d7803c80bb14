"""What counts as zero at an optimum of a program, and what as clearly not zero."""

from __future__ import annotations

import numpy as np

# A slope (in units of beta), an angle to a hyperplane, a share of the weight, a singular value: zero below the first
# number, as a polished optimum leaves 1e-13, not zero above the second. In between the point is undecided.
RESOLUTION = {"slope": (1e-9, 1e-6), "angle": (1e-10, 1e-7), "share": (1e-12, 1e-8), "rank": (1e-11, 1e-7)}


def at_work(weights: np.ndarray) -> np.ndarray:
    """Which blocks are not zero, bool."""
    return weights > RESOLUTION["share"][0] * weights.sum()


def clearly_positive(what: str, sizes: np.ndarray) -> bool | None:
    """Whether all sizes are clearly positive; False if one is clearly zero, None if one is in between."""
    zero, positive = RESOLUTION[what]
    if np.all(sizes >= positive):
        return True
    return False if np.any(sizes <= zero) else None
