"""What is known about students with tied top weights: their exact zero set, the teacher as witness, dead neurons.

With z_i = |w_i| w_i the network is a sum of absolute values at Z: it equals the teacher where both carry the same mass
on every line (Zhou, Ge and Jin 2021, theorem 3: at zero loss every student direction is a teacher direction).
"""

from __future__ import annotations

import numpy as np

from landscape.problems.teacher_student import teacher_student
from landscape.problems.tied import ABS, TiedStudent
from landscape.problems.zero_set import line_gap, lines_of
from landscape.records import Claim, Evidence, Label, Point
from landscape.theory.birth import steepest_birth
from landscape.theory.nearby import lower_point
from landscape.theory.room import Room, Witness
from landscape.theory.zero_loss import DEAD, WEAK, at_zero_loss


def zero_set_gap(problem: TiedStudent, theta: np.ndarray) -> float:
    """How far theta is from {L = 0}: the largest mismatch of mass on a line, in units of the lightest teacher."""
    return line_gap(problem.carried(theta), np.asarray(problem.teacher, np.float64))


def _at_bound(problem: TiedStudent, point: Point) -> Claim | None:
    return at_zero_loss(problem, point, lambda theta: zero_set_gap(problem, theta))


def _dead_neuron(problem: TiedStudent, point: Point) -> Claim | None:
    """SADDLE or UNDECIDED where a neuron is zero and the Hessian jumps; None if all neurons are alive.

    The gradient is zero at a zero neuron. Growing in the unit direction u changes the loss by |w|^2 times the birth
    slope of the absolute value there.
    """
    w = np.asarray(point.theta, np.float64).reshape(problem.width, problem.d)
    norms = np.linalg.norm(w, axis=1)
    weak = int(np.argmin(norms))
    if norms[weak] > WEAK * problem.scale:
        return None
    if norms[weak] > DEAD * problem.scale:
        reason = f"neuron {weak} has norm {norms[weak]:.1g}: too close to zero, where the Hessian jumps, to trust it"
        return Claim(Label.UNDECIDED, reason=reason)
    u, slope = steepest_birth(teacher_student(problem.teacher, problem.width, ABS), problem.carried(point.theta))
    direction = np.zeros_like(w)
    direction[weak] = u
    found = lower_point(problem, point, direction.reshape(-1)) if slope < 0 else None
    if found is None:
        reason = "a neuron is zero and no direction brings it to life: the Hessian jumps here"
        return Claim(Label.UNDECIDED, reason=reason)
    escape, drop = found
    by = "birth of a neuron, lower point"
    return Claim(Label.SADDLE, evidence=Evidence.NUMERICAL, by=by, margin=drop, escape=escape)


def _witness(problem: TiedStudent) -> Witness | None:
    """The teacher, where there is a student neuron for each of its lines."""
    lines, _ = lines_of(np.asarray(problem.teacher, np.float64))
    return Witness(0.0, "teacher as witness") if problem.width >= len(lines) else None


ROOM = Room(
    "tied top weights",
    applies=lambda problem: isinstance(problem, TiedStudent),
    at_bound=_at_bound,
    judge=_dead_neuron,
    witness=_witness,
)
