"""What the functions of an arrangement return: cells, the largest correlation phi, and its local maxima."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Cells(NamedTuple):
    """Activation cells of a data set.

    Attributes:
        patterns: x_k.u > 0 on the full-dimensional cell, bool [P, n]; a zero row is False.
        interior: A unit vector inside each cell, [P, d]; every sign has been verified there.
        complete: All cells (wider than `RESOLUTION`) are here, certified by a count.
        by: The method, and what certifies the count.
        margin: The smallest distance |x_k.u| / |x_k| of any interior point to any hyperplane.
    """

    patterns: np.ndarray
    interior: np.ndarray
    complete: bool
    by: str
    margin: float


class Phi(NamedTuple):
    """phi(nu), between what is attained and what is proved.

    Attributes:
        value: |nu' relu(x u)| at u, to rounding: attained, a lower bound.
        upper: A rigorous upper bound, rounding errors included.
        u: The best unit vector found, [d].
        sign: The sign of nu' relu(x u).
        by: "faces", "cells" (value is the maximum), "branch and bound" (the maximum where the two meet, otherwise an
            interval), "spectral bound", "norm bound" (an interval).
    """

    value: float
    upper: float
    u: np.ndarray
    sign: int
    by: str


class Phis(NamedTuple):
    """phi of R residuals: the fields of `Phi` as arrays value [R], upper [R], u [R, d], sign [R]."""

    value: np.ndarray
    upper: np.ndarray
    u: np.ndarray
    sign: np.ndarray


class Maxima(NamedTuple):
    """Distinct local maxima of |nu' relu(x u)| on the unit sphere, highest first: u [k, d], sign [k], value [k]."""

    u: np.ndarray
    sign: np.ndarray
    value: np.ndarray
