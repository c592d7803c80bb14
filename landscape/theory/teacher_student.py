"""What is known about teacher-student losses: their exact zero set, a certificate of spurious minima, dead neurons.

Sources: Safran and Shamir 2017 (certificate), Safran, Yehudai and Shamir 2021 (dead neurons). The zero
sets are elementary: a homogeneous activation is odd z + even |z|, its odd part sees the sum of the neurons only and its
even part the mass on every line; ridge functions of erf, and of the even part of gelu, along distinct lines or of
distinct length are linearly independent because infinitely many of their Taylor coefficients do not vanish.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from landscape.polish import evaluate
from landscape.precision import float64
from landscape.problems.problem import third_derivative_at
from landscape.problems.teacher_student import TeacherStudent
from landscape.records import Claim, Evidence, Flavour, Label, Point, Spectrum
from landscape.spectrum import spectrum
from landscape.theory.ball import Rise, rise
from landscape.theory.birth import steepest_birth
from landscape.theory.nearby import lower_point
from landscape.theory.room import Room, Witness
from landscape.theory.zero_loss import DEAD, WEAK, at_zero_loss


def zero_set_gap(problem: TeacherStudent, theta: np.ndarray) -> float:
    """How far theta is from the exact set {F = 0}, in units of the lightest part of the teacher.

    ReLU: same sum of neurons, same mass sum |w| on every line. Absolute value: same mass on every line. Linear:
    same sum. Quadratic: same sum of w w^T. Erf: same neurons up to cancelling pairs. GELU: same neurons up to sign,
    and same sum. See `problems.zero_set`.
    """
    w = np.asarray(theta, np.float64).reshape(problem.width, problem.d)
    return problem.activation.over_gaussian.gap(w, np.asarray(problem.teacher, np.float64))


def realisable(problem: TeacherStudent) -> bool:
    """Whether some student of this width is known to have loss zero: one neuron for every distinct teacher ray."""
    if problem.width >= len(problem.teacher):
        return True
    if not problem.activation.homogeneous:
        return False
    if problem.activation.parts[1] == 0.0:  # linear: the sum of the neurons is all
        return True
    unit = problem.teacher / np.linalg.norm(problem.teacher, axis=1, keepdims=True)
    rays: list[np.ndarray] = []
    for u in unit:
        # Bitwise after normalisation up to rounding: 1e-15 is 4 ulp of a unit vector.
        same_line = problem.activation.even and any(np.linalg.norm(u + r) < 1e-15 for r in rays)
        if not same_line and not any(np.linalg.norm(u - r) < 1e-15 for r in rays):
            rays.append(u)
    return problem.width >= len(rays)


class Certificate(NamedTuple):
    """A ball that must hold a local minimum whose loss is above zero.

    Attributes:
        radius: Of the ball around the point; inf if the inequality fails.
        margin: Lower bound on the loss of the minimum in it; not positive if the certificate fails.
    """

    radius: float
    margin: float

    @property
    def holds(self) -> bool:
        """Whether a spurious minimum is certified."""
        return bool(np.isfinite(self.radius) and self.margin > 0)


def spurious_certificate(
    problem: TeacherStudent,
    theta: np.ndarray,
    loss: float,
    loss_error: float,
    grad_norm: float,
    min_curvature: float,
    hessian_norm: float,
) -> Certificate:
    """The inequality of Safran and Shamir 2017, evaluated in floating point with its rounding.

    If the gradient is at most g, the Hessian at least lambda > 0 and its Lipschitz constant B within R, then on a
    sphere of radius r <= R the loss exceeds that of the centre by r (lambda r / 2 - B r^2 / 6 - g). Where this is
    positive for some r, the ball holds a local minimum, with a loss of at least F - g r - |H| r^2 / 2 - B r^3 / 6.

    Args:
        problem: The landscape.
        theta: A polished point, [p].
        loss: Its loss.
        loss_error: Bound on the rounding error of the loss.
        grad_norm: Norm of the gradient, as computed; its rounding is added here.
        min_curvature: A lower bound on the least Hessian eigenvalue, errors taken off.
        hessian_norm: An upper bound on the largest one.
    """
    nothing = Certificate(np.inf, -np.inf)
    w = np.asarray(theta, np.float64).reshape(problem.width, problem.d)
    norms = np.linalg.norm(w, axis=1)
    limit = 0.1 * float(np.min(norms)) if problem.activation.kinked else 0.1 * problem.scale
    if not problem.activation.homogeneous or min_curvature <= 0 or limit <= 0:
        return nothing
    with float64():
        bound = float(third_derivative_at(problem, jnp.asarray(theta, jnp.float64), jnp.asarray(limit)))
    grad = grad_norm + _gradient_error(problem, norms)
    # The smallest r with g <= lambda r / 2 - B r^2 / 6, enlarged by a hundredth to be strict.
    root = 9 * min_curvature**2 - 24 * grad * bound
    if root <= 0:
        return nothing
    radius = 1.01 * 4 * grad / (min_curvature + np.sqrt(root) / 3)
    if radius > limit or grad >= min_curvature * radius / 2 - bound * radius**2 / 6:
        return nothing
    drop = grad * radius + hessian_norm * radius**2 / 2 + bound * radius**3 / 6
    return Certificate(radius=float(radius), margin=float(loss - loss_error - drop))


def _gradient_error(problem: TeacherStudent, norms: np.ndarray) -> float:
    """Bound on the rounding error of the gradient at neurons of these norms.

    A row of the gradient is a sum of d + 16 + n + k roundings of terms no larger than the norms they sum.
    """
    roundings = problem.d + 16 + problem.width + len(problem.teacher)
    total = float(np.sum(norms) + np.sum(np.linalg.norm(problem.teacher, axis=1)))
    return float(roundings * np.finfo(float).eps * total * np.sqrt(problem.width))


RADII = 0.5 ** np.arange(1, 8)  # of the ball in which the third derivative is bounded, over the least neuron


def strict_rise(problem: TeacherStudent, theta: np.ndarray) -> Rise | None:
    """The rise of the loss on a sphere about a strict minimum; None where theta [p] is not shown to be beside one."""
    if not problem.activation.homogeneous:
        return None
    grad, hessian = evaluate(problem, theta)
    seen = spectrum(problem, theta, hessian)
    if seen is None or seen.min_curvature <= seen.error:
        return None
    norms = np.linalg.norm(np.reshape(theta, (problem.width, problem.d)), axis=1)
    least = float(np.min(norms)) if problem.activation.kinked else problem.scale
    slope = float(np.linalg.norm(grad)) + _gradient_error(problem, norms)
    found = []
    for radius in (RADII * least).tolist():
        with float64():
            bound = float(third_derivative_at(problem, jnp.asarray(theta, jnp.float64), jnp.asarray(radius)))
        found.append(rise(slope, seen.min_curvature - seen.error, bound, radius))
    return max((one for one in found if one is not None), key=lambda one: one.height, default=None)


# -- the room ----------------------------------------------------------------------------------------------------------


def _at_bound(problem: TeacherStudent, point: Point) -> Claim | None:
    return at_zero_loss(problem, point, lambda theta: zero_set_gap(problem, theta))


def _dead_neuron(problem: TeacherStudent, point: Point) -> Claim | None:
    """TRAP or UNDECIDED where a neuron is zero and the loss has a cone there; None if all neurons are alive."""
    if not problem.activation.kinked:
        return None
    w = point.theta.reshape(problem.width, problem.d)
    norms = np.linalg.norm(w, axis=1)
    dead = np.flatnonzero(norms <= DEAD * problem.scale)
    if not len(dead):
        weak = int(np.argmin(norms))
        if norms[weak] < WEAK * problem.scale:
            reason = f"neuron {weak} has norm {norms[weak]:.1g}: too close to the cone at zero to trust a Hessian"
            return Claim(Label.UNDECIDED, reason=reason)
        return None
    u, slope = steepest_birth(problem, point.theta)
    direction = np.zeros_like(w)
    direction[dead[0]] = u
    found = lower_point(problem, point, direction.reshape(-1)) if slope < 0 else None
    if found is not None:
        return Claim(
            Label.TRAP, Flavour.DEAD_NEURON, Evidence.NUMERICAL, by="birth of a neuron", margin=-slope, escape=found[0]
        )
    reason = "a neuron is zero and no first-order descent brings it to life: the loss is not differentiable here"
    return Claim(Label.UNDECIDED, reason=reason)


def _certificate(problem: TeacherStudent, point: Point, spectrum: Spectrum) -> Claim | None:
    """SPURIOUS, certified, if a small ball around the point is shown to hold a minimum above zero."""
    if not realisable(problem):
        return None
    certificate = spurious_certificate(
        problem,
        point.theta,
        loss=point.loss,
        loss_error=point.loss_error,
        grad_norm=point.grad_norm,
        min_curvature=spectrum.min_curvature - spectrum.error,
        hessian_norm=float(np.max(np.abs(spectrum.eigenvalues))) + spectrum.error,
    )
    if not certificate.holds:
        return None
    by = "ball with a minimum above zero"
    return Claim(Label.SPURIOUS, Flavour.STRICT, Evidence.CERTIFIED, by=by, margin=certificate.margin)


def _witness(problem: TeacherStudent) -> Witness | None:
    """The teacher, where a student of this width is known to equal it."""
    return Witness(0.0, "teacher as witness") if realisable(problem) else None


ROOM = Room(
    "teacher and student",
    applies=lambda problem: isinstance(problem, TeacherStudent),
    at_bound=_at_bound,
    judge=_dead_neuron,
    certificate=_certificate,
    witness=_witness,
)
