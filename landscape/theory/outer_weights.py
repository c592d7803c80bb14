"""What is known about teacher-student losses with outer weights: their exact zero set, and who attains it.

Beyond the zero set there is no theorem here: spurious minima rest on curvature and on the teacher as a witness.
"""

from __future__ import annotations

import numpy as np

from landscape.problems.outer_weights import OuterWeights
from landscape.records import Claim, Evidence, Label, Point
from landscape.theory.nearby import below_bound, moves
from landscape.theory.room import Room, Witness

ZERO_SET_TOLERANCE = 1e-3  # as for outer weights of one: a second test beside the loss, which fixes angles to 1e-5
WEAK = 1e-6  # a neuron of this norm or less, times the scale, is too close to the cone at zero for a Hessian


def zero_set_gap(problem: OuterWeights, theta: np.ndarray) -> float:
    """How far theta is from the exact set {F = 0}, in units of the lightest teacher neuron.

    ReLU: same sum of a w and, on every line, same mass sum a|w|. Other activations: see `problems.zero_set`.
    """
    hidden, outer = problem.parts(np.asarray(theta, np.float64))
    return problem.activation.over_gaussian.signed_gap(hidden, outer, problem.teacher, problem.teacher_outer)


def realisable(problem: OuterWeights) -> bool:
    """Whether some student is known to have loss zero: a neuron for every teacher neuron, others at zero.

    A fixed outer weight stands for a teacher's if it is equal, or, for homogeneous activations, of the same sign.
    """
    if problem.trained:
        return problem.width >= len(problem.teacher)
    own, wanted = np.asarray(problem.outer), np.asarray(problem.teacher_outer)
    if problem.activation.homogeneous:
        own, wanted = np.sign(own), np.sign(wanted)
    return all(np.sum(own == value) >= np.sum(wanted == value) for value in np.unique(wanted))


def _at_bound(problem: OuterWeights, point: Point) -> Claim | None:
    """GLOBAL if the loss is within its rounding error of zero and the network lies on the exact zero set."""
    if not np.isfinite(point.loss) or point.loss > point.loss_error or moves(problem, point):
        return None
    wrong = below_bound(problem, point)
    if wrong is not None:
        return wrong
    gap = zero_set_gap(problem, point.theta)
    if gap <= ZERO_SET_TOLERANCE:
        return Claim(Label.GLOBAL, evidence=Evidence.CERTIFIED, by="zero loss, zero set", margin=gap)
    reason = f"the loss is within its rounding error of 0, but the network misses the exact zero set by {gap:.2g}"
    return Claim(Label.UNDECIDED, reason=reason)


def _dead_neuron(problem: OuterWeights, point: Point) -> Claim | None:
    """UNDECIDED where a neuron is at, or too close to, the cone at zero."""
    norms = np.linalg.norm(problem.parts(point.theta)[0], axis=1)
    weak = int(np.argmin(norms))
    if not problem.activation.kinked or norms[weak] >= WEAK * problem.scale:
        return None
    reason = f"neuron {weak} has norm {norms[weak]:.1g}: too close to the cone at zero to trust a Hessian"
    return Claim(Label.UNDECIDED, reason=reason)


def _witness(problem: OuterWeights) -> Witness | None:
    """The teacher, where a student is known to equal it."""
    return Witness(0.0, "teacher as witness") if realisable(problem) else None


ROOM = Room(
    "teacher and student with outer weights",
    applies=lambda problem: isinstance(problem, OuterWeights),
    at_bound=_at_bound,
    judge=_dead_neuron,
    witness=_witness,
)
