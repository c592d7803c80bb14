"""What is known about teacher-student losses with outer weights: their exact zero set, and who attains it.

Beyond the zero set there is no theorem here: spurious minima rest on curvature and on the teacher as a witness.
"""

from __future__ import annotations

import numpy as np

from landscape.problems.outer_weights import OuterWeights
from landscape.records import Claim, Label, Point
from landscape.theory.room import Room, Witness
from landscape.theory.zero_loss import WEAK, at_zero_loss


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
    return at_zero_loss(problem, point, lambda theta: zero_set_gap(problem, theta))


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
