"""One verdict from a point, its spectrum and what its room says: one order of judgement, for runs and labels alike.

The lower bound first, then kinks, then curvature. No family of problems is named here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from landscape.problems.problem import Problem
from landscape.records import (
    WITNESSED,
    Claim,
    Evidence,
    Flavour,
    Label,
    Point,
    Spectrum,
    Status,
    Verdict,
    index_flavour,
)
from landscape.theory.nearby import left_to_fall, lower_point
from landscape.theory.room import Room
from landscape.theory.rooms import room_of

NOT_ATTAINED = (
    "a local minimum, but no lower bound is known to be attained at this width: the best loss is only the best seen"
)
NO_HESSIAN = "the Hessian is not finite here: second order cannot tell a minimum from a saddle"
OPEN = 1e-3  # a loss that is known no better than this part of the range of losses is not at its bound
FAR = 1e3  # parameters beyond this, times the scale, have left every scale


def at_lower_bound(problem: Problem, point: Point) -> Verdict | None:
    """GLOBAL if the loss is within its rounding error of a lower bound and theory agrees; None if it is above it.

    Comes before anything else, because curvature never overrules it. Needs no Hessian.
    """
    claim = room_of(problem).at_bound(problem, point)
    return None if claim is None else complete(problem, point, claim)


def bounded(problem: Problem) -> Problem:
    """The problem with the best lower bound that its room knows."""
    bound = room_of(problem).bound(problem)
    return problem if bound == problem.lower_bound else problem.with_bound(bound)


def classify(problem: Problem, point: Point, spectrum: Callable[[], Spectrum | None]) -> Verdict:
    """The label of a point, with its evidence.

    Args:
        problem: The landscape.
        point: A polished (or unconverged) point.
        spectrum: Makes the spectrum of the Hessian there, where it is needed; None where the Hessian is not finite.
    """
    return complete(problem, point, _claim(problem, point, spectrum))


def _claim(problem: Problem, point: Point, spectrum: Callable[[], Spectrum | None]) -> Claim:
    room = room_of(problem)
    if room.everywhere and np.all(np.isfinite(point.theta)):
        claim = room.judge(problem, point)
        assert claim is not None
        return claim
    if point.status not in (Status.CONVERGED, Status.STALLED):
        return unconverged(problem, point)
    claim = room.at_bound(problem, point)
    if claim is not None:
        return claim
    if point.status == Status.STALLED:
        reason = f"polish stalled at gradient norm {point.grad_norm:.2g}: not stationary to the accuracy asked for"
        return Claim(Label.UNDECIDED, reason=reason)
    return room.judge(problem, point) or _by_curvature(problem, point, spectrum(), room)


def complete(problem: Problem, point: Point, claim: Claim) -> Verdict:
    """The claim as a verdict, with what was measured at the point where the claim itself says nothing.

    A point is not global because rounding leaves its loss wide open: that is UNDECIDED.
    """
    bound, least = problem.lower_bound, problem.least_of_all_widths
    error = point.loss_error if claim.loss_error is None else claim.loss_error
    if claim.label == Label.GLOBAL and error > OPEN * problem.loss_range:
        reason = f"rounding leaves the loss open by {error:.1e}: the weights are too large, or digits too few"
        claim = replace(claim, label=Label.UNDECIDED, flavour=None, evidence=None, by=None, margin=None, reason=reason)
    return Verdict.of(
        claim,
        loss=float(point.loss),
        loss_error=float(point.loss_error),
        lower_bound=None if bound is None else bound.value,
        wider=None if least is None else max(float(point.loss) - least, 0.0),
        grad_norm=float(point.grad_norm),
    )


def unconverged(problem: Problem, point: Point) -> Claim:
    """UNCONVERGED, or AT_INFINITY for a loss that is not coercive and parameters that have left every scale."""
    size = float(np.linalg.norm(point.theta)) if np.all(np.isfinite(point.theta)) else np.inf
    if point.status == Status.BUDGET and not problem.coercive and size > FAR * problem.scale:
        return Claim(Label.AT_INFINITY, evidence=Evidence.NUMERICAL, by="norm", margin=size / problem.scale)
    words = {Status.DIVERGED: "diverged, or went back and forth, at every step size tried"}
    reason = words.get(Status(point.status), f"the budget ran out at gradient norm {point.grad_norm:.2g}")
    return Claim(Label.UNCONVERGED, reason=reason)


def _by_curvature(problem: Problem, point: Point, spectrum: Spectrum | None, room: Room) -> Claim:
    """SADDLE, a minimum, or UNDECIDED, by the signs of eigenvalues that clear their error."""
    if spectrum is None:
        return Claim(Label.UNDECIDED, reason=NO_HESSIAN)
    if spectrum.min_curvature < -spectrum.error:
        claim = _saddle(problem, point, spectrum)
    else:
        claim = room.certificate(problem, point, spectrum) or _minimum(problem, point, spectrum, room)
    return replace(claim, min_curvature=spectrum.min_curvature)


def _saddle(problem: Problem, point: Point, spectrum: Spectrum) -> Claim:
    """SADDLE if a point of lower loss is exhibited along the direction of most negative curvature."""
    assert spectrum.lowest is not None  # there is a negative eigenvalue
    found = lower_point(problem, point, spectrum.lowest)
    if found is None:
        reason = f"an eigenvalue of {spectrum.min_curvature:.2g} but no lower loss along its direction beyond rounding"
        return Claim(Label.UNDECIDED, reason=reason)
    escape, drop = found
    return Claim(
        Label.SADDLE,
        index_flavour(spectrum.index),
        Evidence.NUMERICAL,
        by="curvature, lower point",
        margin=drop,
        escape=escape,
    )


def _minimum(problem: Problem, point: Point, spectrum: Spectrum, room: Room) -> Claim:
    """SPURIOUS where a lower loss is known to be attained, UNDECIDED until the census closes elsewhere.

    Also UNDECIDED if the point cannot be shown to be a minimum: zero modes that no symmetry explains.
    """
    if spectrum.zeros != spectrum.explained:
        reason = (
            f"curvature vanishes in {spectrum.zeros} directions and symmetry explains {spectrum.explained}: "
            "second order cannot tell a minimum from a degenerate saddle"
        )
        return Claim(Label.UNDECIDED, reason=reason)
    fall, witness = left_to_fall(problem, point.theta), room.witness(problem)
    if fall is None:
        reason = f"not stationary: at gradient norm {point.grad_norm:.2g} the Newton step is long"
        return Claim(Label.UNDECIDED, reason=reason)
    if witness is None:
        flavour = Flavour.FLAT_MINIMUM if spectrum.zeros else Flavour.STRICT_MINIMUM
        return Claim(Label.UNDECIDED, flavour, reason=NOT_ATTAINED)
    if point.loss - point.loss_error - witness.loss <= fall:
        reason = (
            f"a gradient norm of {point.grad_norm:.2g} can explain the whole loss above {witness.loss:g}: the minimum "
            "may be there"
        )
        return Claim(Label.UNDECIDED, reason=reason)
    return Claim(
        Label.SPURIOUS,
        Flavour.FLAT if spectrum.zeros else Flavour.STRICT,
        Evidence.NUMERICAL,
        by=f"curvature, {witness.by}",
        margin=float(spectrum.eigenvalues[spectrum.zeros]) - spectrum.error,
    )


def settle(verdict: Verdict, best_loss: float, best_error: float) -> Verdict:
    """What a verdict becomes when the census closes: a minimum above a loss that was seen is spurious, by witness.

    Args:
        verdict: As `classify` gave it.
        best_loss: The lowest loss seen by any restart.
        best_error: Bound on its rounding error.
    """
    witnessed = {str(open_): known for open_, known in WITNESSED.items()}
    if verdict.label != Label.UNDECIDED or verdict.flavour not in witnessed:
        return verdict
    assert verdict.loss is not None
    assert verdict.loss_error is not None
    margin = verdict.loss - verdict.loss_error - best_loss - best_error
    if margin <= 0:
        return replace(verdict, flavour=Flavour.BEST_SEEN)
    return replace(
        verdict,
        label=Label.SPURIOUS,
        flavour=witnessed[verdict.flavour],
        evidence=Evidence.NUMERICAL,
        by="witness",
        margin=margin,
        reason=None,
    )
