"""Losses over Gaussian inputs that are a mean of squares: when a point is at zero, and when a neuron is.

Shared by the rooms of students with outer weights of one, with outer weights of their own, and with tied ones.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from landscape.problems.problem import Problem
from landscape.records import Claim, Evidence, Label, Point
from landscape.theory.nearby import below_bound

# A point belongs to the zero set if it misses it by less than this fraction of the lightest thing the teacher has.
# It is not what makes a loss zero (that is the loss's own rounding error) but a second, independent test, which has
# to allow for how flat the loss is there: at a width above the teacher's it grows like angle^3, so that a loss
# within its error of zero, 1e-14, fixes angles to some 1e-5 only.
ZERO_SET_TOLERANCE = 1e-3
MOVING = 1e-6  # a mean of squares that is zero to 1e-14 has a gradient below sqrt(2e-14), a tenth of this
DEAD = 1e-9  # a neuron of this norm or less, times the scale, is at the cone at zero
WEAK = 1e-6  # a neuron of this norm or less, times the scale, is too close to the cone for a Hessian to be trusted


def at_zero_loss(problem: Problem, point: Point, gap: Callable[[np.ndarray], float]) -> Claim | None:
    """GLOBAL if the loss is within its rounding error of zero and the network lies on the exact zero set.

    Comes before anything else, because curvature never overrules it: at a width above the teacher's the global set is
    degenerate, and polished points on it show eigenvalues down to -0.1.

    Long neurons that cancel make a loss uncertain by the square of their length. Their gradient is not, so that a point
    with a gradient beyond `MOVING` is none at zero, whatever the rounding error of its loss.

    Args:
        problem: The landscape.
        point: A point.
        gap: How far theta is from the exact zero set, in units of the lightest part of the teacher.
    """
    moves = not point.grad_norm <= MOVING * problem.gradient_scale
    if not np.isfinite(point.loss) or point.loss > point.loss_error or moves:
        return None
    wrong = below_bound(problem, point)
    if wrong is not None:
        return wrong
    missed = gap(point.theta)
    if missed <= ZERO_SET_TOLERANCE:
        return Claim(Label.GLOBAL, evidence=Evidence.CERTIFIED, by="zero loss, zero set", margin=missed)
    reason = f"the loss is within its rounding error of 0, but the network misses the exact zero set by {missed:.2g}"
    return Claim(Label.UNDECIDED, reason=reason)
