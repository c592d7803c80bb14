"""The room of networks without kinks on data, without weight decay: what the span of all neurons says of a point.

Networks with kinks are judged in the room of hidden convexity, by the same theorem.
"""

from __future__ import annotations

from landscape.problems.empirical import Empirical
from landscape.problems.problem import Problem
from landscape.records import Claim, Evidence, Label, LowerBound, Point, Spectrum
from landscape.theory import nearby
from landscape.theory.room import Room
from landscape.theory.wide_enough import BY_SPAN, least_of_span, wide_enough


def _applies(problem: Problem) -> bool:
    return isinstance(problem, Empirical) and not problem.kinked and float(problem.weight_decay) == 0


def _bound(problem: Empirical) -> LowerBound:
    """Half the squared distance of the targets to the outputs of all networks, where it is above the problem's own."""
    span = least_of_span(problem)
    if span is None or span.value - span.error <= problem.lower_bound.value:
        return problem.lower_bound
    return LowerBound(span.value - span.error, BY_SPAN)


def _at_bound(problem: Empirical, point: Point) -> Claim | None:
    """GLOBAL, numerical, at the lower bound, to within what rounding leaves open of the bound itself."""
    claim, span = nearby.at_bound(problem, point), least_of_span(problem)
    if claim is not None or span is None:
        return claim
    margin = point.loss_error + span.error - (point.loss - span.value)
    if not margin >= 0:
        return None
    return Claim(Label.GLOBAL, evidence=Evidence.NUMERICAL, by=BY_SPAN, margin=margin)


def _certificate(problem: Empirical, point: Point, spectrum: Spectrum) -> Claim | None:
    """UNDECIDED for what curvature takes for a minimum above the least loss, where the theorem has no strict one."""
    found = wide_enough(problem)
    if not found.holds:
        return None
    reason = f"no direction of negative curvature, and yet no strict minimum: {found.sentence.removesuffix('.')}"
    return Claim(Label.UNDECIDED, reason=reason)


ROOM = Room("spurious valleys", applies=_applies, bound=_bound, at_bound=_at_bound, certificate=_certificate)
