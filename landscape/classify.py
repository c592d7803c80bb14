"""One verdict from a point, its spectrum and what theory says. The lower bound first, then kinks, then curvature."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from landscape.polish import eigensystem, evaluate, float64
from landscape.problems.empirical import Empirical
from landscape.problems.homogeneous import Homogeneous
from landscape.problems.population import TeacherStudent
from landscape.problems.porcupine import Porcupine
from landscape.problems.problem import Problem, losses_at
from landscape.records import Evidence, Label, Point, Spectrum, Status, Verdict
from landscape.theory import homogeneous_growth as growth
from landscape.theory import porcupine as lines
from landscape.theory import teacher_student as room
from landscape.theory.convex import stationary as convex

NOT_ATTAINED = (
    "a local minimum, but no lower bound is known to be attained at this width: the best loss is only the best seen"
)
NO_HESSIAN = "the Hessian is not finite here: second order cannot tell a minimum from a saddle"
NEARBY = 1e-3  # a Newton step longer than this, times the scale, does not point at a stationary point
MINIMA = {"strict minimum": "strict", "flat minimum": "flat"}  # flavours of undecided minima, and of spurious ones


def losses(problem: Problem, thetas: np.ndarray) -> np.ndarray:
    """The loss at several points [r, p], in float64, [r]."""
    # Blocks of one size: one program.
    blocks = [np.resize(thetas[i : i + 64], (64, thetas.shape[1])) for i in range(0, len(thetas), 64)]
    with float64():
        values = [np.asarray(losses_at(problem, jnp.asarray(block, jnp.float64)), np.float64) for block in blocks]
    return np.concatenate(values)[: len(thetas)]


def bounded(problem: Problem) -> Problem:
    """The problem with the best lower bound that its room knows, where that is not found with the problem itself."""
    return convex.bounded(problem) if isinstance(problem, Empirical) else problem


def ends(
    problem: Problem, thetas: np.ndarray, known: dict[bytes, Any], steps: np.ndarray
) -> Sequence[lines.End | convex.End | convex.Onward]:
    """Where descents on a kinked problem that stand at these points [n, p] end, with their labels: its room's word.

    Args:
        problem: The landscape.
        thetas: Points.
        known: What the room may use again; it adds to it.
        steps: Step sizes of the descents, [n].

    Returns:
        An end each, or `Onward` for those that are near none yet.
    """
    if isinstance(problem, Empirical):
        return convex.ends(problem, thetas, known, steps)
    assert isinstance(problem, Porcupine)
    return lines.ends(problem, thetas, known)


def finishes(problem: Problem) -> bool:
    """Whether `ends` has an end for every point: the exact finish of its room leads to a minimum from anywhere."""
    return isinstance(problem, Porcupine)


def signs(problem: Problem, theta: np.ndarray) -> bytes:
    """Which isolated minimum of a kinked problem theta is, as a key."""
    if isinstance(problem, Empirical):
        return convex.key(problem, theta)
    assert isinstance(problem, Porcupine)
    return lines.signs(problem, theta)


def at_lower_bound(problem: Problem, point: Point) -> Verdict | None:
    """GLOBAL if the loss is within its rounding error of a lower bound and theory agrees; None if it is above it.

    Comes before anything else, because curvature never overrules it: at a width above the teacher's the global set is
    degenerate and polished points on it show eigenvalues down to -0.1. Needs no Hessian.
    """
    if isinstance(problem, Homogeneous) and problem.matched:
        return growth.global_verdict(problem, point)
    bound = problem.lower_bound
    if bound is None or not np.isfinite(point.loss):
        return None
    excess = point.loss - bound.value
    if excess > point.loss_error:
        # A user's loss may be known far better than its polished point is stationary; a teacher-student one never is.
        if isinstance(problem, TeacherStudent) or excess > point.grad_norm * problem.scale:
            return None
        if excess > point.loss_error + (_left_to_fall(problem, point.theta) or 0.0):
            return None
    known = _known(problem, point)
    if bound.value - point.loss > point.loss_error:
        reason = (
            f"the loss lies {bound.value - point.loss:.3g} below the lower bound that was given: the bound is wrong"
        )
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    if not isinstance(problem, TeacherStudent):
        return Verdict(
            label=Label.GLOBAL, evidence=Evidence.NUMERICAL, by="lower bound", margin=point.loss_error, **known
        )
    gap = room.zero_set_gap(problem, point.theta)
    if gap <= room.ZERO_SET_TOLERANCE:
        return Verdict(label=Label.GLOBAL, evidence=Evidence.CERTIFIED, by="zero loss, zero set", margin=gap, **known)
    reason = f"the loss is within its rounding error of 0, but the network misses the exact zero set by {gap:.2g}"
    return Verdict(label=Label.UNDECIDED, reason=reason, **known)


def _left_to_fall(problem: Problem, theta: np.ndarray) -> float | None:
    """How far below theta the stationary point next to it can lie: g' |H|^-1 g; None where there is none next to it.

    Half of it is the Newton decrement, exact for a quadratic; a loss that grows like distance^m falls by (m - 1) / m of
    it. A long Newton step leads to no stationary point nearby: exp(-x) has decrement exp(-x) / 2 everywhere.
    """
    grad, hessian = evaluate(problem, theta)
    system = eigensystem(hessian)
    if system is None:
        return None
    values, vectors = system
    seen = np.abs(values) > len(values) * np.finfo(float).eps * np.max(np.abs(values))
    along = vectors[:, seen].T @ grad
    if np.linalg.norm(along / values[seen]) > NEARBY * problem.scale:
        return None
    return float(np.sum(along**2 / np.abs(values[seen])))


def classify(problem: Problem, point: Point, spectrum: Spectrum | None) -> Verdict:
    """The label of a stationary point, with its evidence.

    Args:
        problem: The landscape.
        point: A polished point.
        spectrum: Of the Hessian at it; None where the Hessian is not finite.
    """
    if point.status in (Status.BUDGET, Status.DIVERGED, Status.RUNNING):
        return unconverged(problem, point)
    if isinstance(problem, Porcupine):  # curvature says nothing here: minima are flat, and their slopes decide
        return lines.label(problem, point.theta)
    if isinstance(problem, Empirical) and problem.kinked:
        return convex.label(problem, point.theta)
    verdict = at_lower_bound(problem, point)
    if verdict is not None:
        return verdict
    if point.status == Status.STALLED:
        reason = f"polish stalled at gradient norm {point.grad_norm:.2g}: not stationary to the accuracy asked for"
        return Verdict(label=Label.UNDECIDED, reason=reason, **_known(problem, point))
    if isinstance(problem, Homogeneous):
        verdict = growth.zero_verdict(problem, point)
        if verdict is not None:
            return verdict
    if isinstance(problem, TeacherStudent):
        dead = _dead_neuron(problem, point)
        if dead is not None:
            return dead
    if spectrum is None:
        return Verdict(label=Label.UNDECIDED, reason=NO_HESSIAN, **_known(problem, point))
    known = {**_known(problem, point), "min_curvature": spectrum.min_curvature}
    if spectrum.min_curvature < -spectrum.error:
        return _saddle(problem, point, spectrum, known)
    minimum = _minimum(problem, point, spectrum, known)
    if minimum is not None:
        return minimum
    reason = (
        f"curvature vanishes in {spectrum.zeros} directions and symmetry explains {spectrum.explained}: "
        "second order cannot tell a minimum from a degenerate saddle"
    )
    return Verdict(label=Label.UNDECIDED, reason=reason, **known)


def unconverged(problem: Problem, point: Point) -> Verdict:
    """UNCONVERGED, or AT_INFINITY for a loss that is not coercive and parameters that have left every scale."""
    known = _known(problem, point)
    size = float(np.linalg.norm(point.theta)) if np.all(np.isfinite(point.theta)) else np.inf
    if point.status == Status.BUDGET and not problem.coercive and size > 1e3 * problem.scale:
        return Verdict(
            label=Label.AT_INFINITY, evidence=Evidence.NUMERICAL, by="norm", margin=size / problem.scale, **known
        )
    words = {Status.DIVERGED: "diverged, or went back and forth, at every step size tried"}
    reason = words.get(Status(point.status), f"the budget ran out at gradient norm {point.grad_norm:.2g}")
    return Verdict(label=Label.UNCONVERGED, reason=reason, **known)


def _known(problem: Problem, point: Point) -> dict:
    bound = problem.lower_bound
    return {
        "loss": float(point.loss),
        "loss_error": float(point.loss_error),
        "lower_bound": None if bound is None else bound.value,
        "excess": None if bound is None else float(point.loss) - bound.value,
        # Zero is the infimum over all widths of a teacher-student loss.
        "wider": max(float(point.loss), 0.0) if isinstance(problem, TeacherStudent) else None,
        "grad_norm": float(point.grad_norm),
    }


def _saddle(problem: Problem, point: Point, spectrum: Spectrum, known: dict) -> Verdict:
    """SADDLE if a point of lower loss is exhibited along the direction of most negative curvature."""
    assert spectrum.lowest is not None  # there is a negative eigenvalue
    found = _descend(problem, point, spectrum.lowest)
    if found is None:
        reason = f"an eigenvalue of {spectrum.min_curvature:.2g} but no lower loss along its direction beyond rounding"
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    escape, drop = found
    return Verdict(
        label=Label.SADDLE,
        flavour=f"index {spectrum.index}",
        evidence=Evidence.NUMERICAL,
        by="curvature, lower point",
        margin=drop,
        escape=escape,
        **known,
    )


def _descend(problem: Problem, point: Point, direction: np.ndarray) -> tuple[np.ndarray, float] | None:
    """A step along +-direction to a loss lower by more than both errors, and the rest of the drop.

    The loss may not rise on the way by more than the errors: what lies behind a barrier is another valley, and says
    nothing of this point.
    """
    sizes = problem.scale * np.geomspace(1e-6, 0.5, 48)
    best: tuple[np.ndarray, float] | None = None
    for sign in (1.0, -1.0):
        steps = sign * sizes[:, None] * direction
        values = losses(problem, point.theta + steps)
        before, error = point.loss, point.loss_error
        for step, value in zip(steps, values, strict=True):
            own = problem.loss_error(point.theta + step)
            if not value <= before + error + own:
                break
            drop = point.loss - value - point.loss_error - own
            if drop > 0 and (best is None or drop > best[1]):
                best = (step, float(drop))
            before, error = min(before, float(value)), own
    return best


def _minimum(problem: Problem, point: Point, spectrum: Spectrum, known: dict) -> Verdict | None:
    """SPURIOUS where a lower loss is known to exist at this width, undecided until the census closes elsewhere.

    None if the point cannot be shown to be a minimum: zero modes that no symmetry explains.
    """
    witnessed = False
    if isinstance(problem, TeacherStudent) and room.realisable(problem):
        witnessed = True
        certificate = room.spurious_certificate(
            problem,
            point.theta,
            loss=point.loss,
            loss_error=point.loss_error,
            grad_norm=point.grad_norm,
            min_curvature=spectrum.min_curvature - spectrum.error,
            hessian_norm=float(np.max(np.abs(spectrum.eigenvalues))) + spectrum.error,
        )
        if certificate.holds:
            return Verdict(
                label=Label.SPURIOUS,
                flavour="strict",
                evidence=Evidence.CERTIFIED,
                by="ball with a minimum above zero",
                margin=certificate.margin,
                **known,
            )
    if spectrum.zeros != spectrum.explained:
        return None
    flavour = "flat" if spectrum.zeros else "strict"
    fall = _left_to_fall(problem, point.theta)
    if fall is None:
        reason = f"not stationary: at gradient norm {point.grad_norm:.2g} the Newton step is long"
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    if witnessed and point.loss - point.loss_error <= fall:
        reason = f"a gradient norm of {point.grad_norm:.2g} can explain the whole loss: the minimum may be at zero"
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    if not witnessed:
        return Verdict(label=Label.UNDECIDED, flavour=f"{flavour} minimum", reason=NOT_ATTAINED, **known)
    return Verdict(
        label=Label.SPURIOUS,
        flavour=flavour,
        evidence=Evidence.NUMERICAL,
        by="curvature, teacher as witness",
        margin=float(spectrum.eigenvalues[spectrum.zeros]) - spectrum.error,
        **known,
    )


def _dead_neuron(problem: TeacherStudent, point: Point) -> Verdict | None:
    """The verdict where a neuron is zero and the loss has a cone there; None if all neurons are alive."""
    if not problem.activation.kinked:
        return None
    w = point.theta.reshape(problem.width, problem.d)
    norms = np.linalg.norm(w, axis=1)
    dead = np.flatnonzero(norms <= 1e-9 * problem.scale)
    known = _known(problem, point)
    if not len(dead):
        weak = int(np.argmin(norms))
        if norms[weak] < 1e-6 * problem.scale:
            reason = f"neuron {weak} has norm {norms[weak]:.1g}: too close to the cone at zero to trust a Hessian"
            return Verdict(label=Label.UNDECIDED, reason=reason, **known)
        return None
    u, slope = room.steepest_birth(problem, point.theta)
    direction = np.zeros_like(w)
    direction[dead[0]] = u
    found = _descend(problem, point, direction.reshape(-1)) if slope < 0 else None
    if found is not None:
        return Verdict(
            label=Label.TRAP,
            flavour="dead neuron",
            evidence=Evidence.NUMERICAL,
            by="birth of a neuron",
            margin=-slope,
            escape=found[0],
            **known,
        )
    reason = "a neuron is zero and no first-order descent brings it to life: the loss is not differentiable here"
    return Verdict(label=Label.UNDECIDED, reason=reason, **known)


def settle(verdict: Verdict, best_loss: float, best_error: float) -> Verdict:
    """What a verdict becomes when the census closes: a minimum above a loss that was seen is spurious, by witness.

    Args:
        verdict: As `classify` gave it.
        best_loss: The lowest loss seen by any restart.
        best_error: Bound on its rounding error.
    """
    if verdict.label != Label.UNDECIDED or verdict.flavour not in MINIMA:
        return verdict
    assert verdict.loss is not None
    assert verdict.loss_error is not None
    margin = verdict.loss - verdict.loss_error - best_loss - best_error
    if margin <= 0:
        return Verdict(**{**vars(verdict), "flavour": "best seen"})
    return Verdict(
        **{
            **vars(verdict),
            "label": Label.SPURIOUS,
            "flavour": MINIMA[verdict.flavour],
            "evidence": Evidence.NUMERICAL,
            "by": "witness",
            "margin": margin,
            "reason": None,
        }
    )
