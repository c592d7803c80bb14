"""The units of an own loss, as its starts and the gradients there tell them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STEP = 0.1  # of gradient descent, of every problem that does not say another
ORDINARY = (1e-2, 1e3)  # curvatures between starts: below these STEP is slow, above them it would be halved too often
LARGE = 100.0  # starts of this size are in units of their own; small ones may stand beside a point that is no unit


class Units(NamedTuple):
    """What lengths, gradients and steps of a loss are measured by.

    Attributes:
        scale: Typical size of the parameters.
        steepness: Size of the gradient at starts where that is far from the scale, in units of the scale; else one.
        step_size: Of gradient descent, unless another is asked for.
    """

    scale: float = 1.0
    steepness: float = 1.0
    step_size: float = STEP


def units(draws: np.ndarray, slopes: np.ndarray, given: float | None) -> Units:
    """The units that starts and their gradients tell; where both are ordinary, one, one and 0.1.

    A loss in millionths or in millions, or of parameters in thousands, so ends where the same loss in other units does.
    The step is then the largest power of two up to 1 / curvature; too long a one is halved later, restart by restart.

    Args:
        draws: Starts, [m, p].
        slopes: Gradients there, [m, p].
        given: The scale that the user says, None without.
    """
    size, curvature = float(np.sqrt(np.mean(draws**2))), curvature_between(draws, slopes)
    ordinary = ORDINARY[0] <= curvature <= ORDINARY[1]
    own = 0 < size < np.inf and (not ordinary or size > LARGE)
    scale = given if given is not None else size if own else 1.0
    # A unit is what most starts say: beside a pole some are steep, and tolerances are none the coarser for it.
    with np.errstate(over="ignore"):  # a gradient beyond float64 in these units is none that a unit is made of
        sizes = np.sort(np.linalg.norm(slopes, axis=1)) / scale
    lower, median = float(sizes[len(sizes) // 4]), float(sizes[len(sizes) // 2])
    return Units(
        scale,
        lower if 1e3 <= lower < np.inf else median if 0 < median <= 1e-3 else 1.0,
        STEP if ordinary else float(2.0 ** np.floor(-np.log2(curvature))),
    )


def curvature_between(draws: np.ndarray, slopes: np.ndarray) -> float:
    """The median of |difference of gradients| / |difference of starts| over pairs of starts; 1 where there is none.

    Args:
        draws: Starts, [m, p].
        slopes: Gradients there, [m, p].
    """
    i, j = np.triu_indices(len(draws), 1)
    with np.errstate(all="ignore"):  # equal starts, or no finite gradient: no curvature
        far = np.linalg.norm(draws[i] - draws[j], axis=1)
        curvatures = np.linalg.norm(slopes[i] - slopes[j], axis=1) / far
    curvatures = curvatures[np.isfinite(curvatures) & (curvatures > 0)]
    return float(np.median(curvatures)) if len(curvatures) else 1.0
