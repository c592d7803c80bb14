"""What a point on finite data is: its label, kinks included.

At a stationary point with weight decay beta every neuron is balanced or zero, and (w, a) -> u = |a| w makes the loss a
convex function on every product of activation cells, with the penalty beta |u|. So (derived from Wang, Lacotte and
Pilanci 2022 and Yun, Sra and Jadbabaie 2019):

- a point where no neuron is zero is a local minimum if and only if no one-sided slope is negative, at its ties
  x_k.w_j = 0 included; it is isolated, up to permutations, if and only if its neurons' outputs are independent;
- a zero neuron has curvature beta - phi(nu) along its best direction: global if phi <= beta, else a saddle.

The lower bound comes before all of this: tied rows can look like traps at a strict global minimum.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from landscape.problems.datafit import LOGISTIC
from landscape.problems.empirical import Empirical
from landscape.records import Claim, Evidence, Flavour, Label
from landscape.theory.arrangement.phi import phi
from landscape.theory.arrangement.records import Phi
from landscape.theory.convex.branch_and_bound import LeastLoss
from landscape.theory.convex.column_generation import CertifiedOptimum
from landscape.theory.convex.dual import lower_bound
from landscape.theory.convex.forward_pass import (
    NEAR_TIE,
    STATIONARY,
    ZERO,
    Forward,
    forward,
    in_programs,
    independent,
    loss_is_known,
    sides_of,
)
from landscape.theory.convex.least_loss import best_of_width, certified_optimum
from landscape.theory.convex.slopes import Slopes, slopes
from landscape.theory.convex.standard import standard
from landscape.theory.wide_enough import BY_SPAN, least_of_span, wide_enough

EPS = float(np.finfo(float).eps)
EXACT = 1e-9  # an optimum is exact if its gap is at most this times its value


def label(problem: Empirical, theta: np.ndarray) -> Claim:
    """The label of a point as given: of the exact stationary point within rounding, UNCONVERGED if there is none.

    Args:
        problem: The landscape; relu.
        theta: A point, [p].
    """
    here = forward(problem, theta)
    best = certified_optimum(problem) if problem.certifiable else None
    bound = problem.lower_bound.value if best is None else max(best.lower_bound, problem.lower_bound.value)
    fields: dict[str, Any] = {
        "loss": here.loss,
        "loss_error": here.loss_error,
        "lower_bound": bound,
        "wider": None if best is None else max(here.loss - best.value, 0.0),
    }
    if not np.isfinite(here.loss) or not np.all(np.isfinite(problem.x.T @ (here.nu[:, None] * here.a))):
        return Claim(Label.UNCONVERGED, reason="the loss or its slopes are beyond float64", grad_norm=np.inf, **fields)
    fields["grad_norm"] = slopes(problem, here).norm
    claim = _global(problem, here, best, bound, fields)
    if claim is not None:
        return claim
    claim = _in_own_units(problem, theta, here, best, fields)
    return claim if claim.escape is None else _with_lower_loss(problem, theta, here, claim)


def _in_own_units(
    given: Empirical, theta: np.ndarray, seen: Forward, best: CertifiedOptimum | None, fields: dict[str, Any]
) -> Claim:
    """The label of a point that is not global by a bound, judged in its own units; escapes are in the given ones."""
    own = standard(given, theta)
    problem, theta = own.problem, own.theta
    here = forward(problem, theta)
    found = slopes(problem, here)
    if not found.stationary:
        reason = f"not stationary: the least subgradient has norm {fields['grad_norm']:.2g}"
        return Claim(label=Label.UNCONVERGED, reason=reason, **fields)
    if not loss_is_known(given, seen):
        reason = f"the weights are so large that rounding leaves the loss open by {here.loss_error:.1e}"
        return Claim(label=Label.UNDECIDED, reason=reason, **fields)
    if found.direction is not None:
        claim = _leaves(
            problem, theta, here, found.direction, Label.TRAP, "tie", "one-sided slope", -found.slope, fields
        )
    elif not found.clear or _side_unknown(given, seen, found):
        reason = "a slope at a tie is too small for its sign to be known"
        return Claim(label=Label.UNDECIDED, reason=reason, **fields)
    else:
        claim = _at_rest(given, problem, theta, here, best, _blur(problem, here, found), fields)
    if claim.evidence == Evidence.CERTIFIED and not found.sharp:
        claim = replace(claim, evidence=Evidence.NUMERICAL)
    return claim if claim.escape is None else replace(claim, escape=own.given(claim.escape))


def _with_lower_loss(problem: Empirical, theta: np.ndarray, here: Forward, claim: Claim) -> Claim:
    """The claim if the loss at the end of its escape is lower in the given weights too; else UNDECIDED."""
    there = forward(problem, theta + claim.escape)
    if there.loss + there.loss_error < here.loss - here.loss_error:
        return claim
    reason = f"a descent direction by {claim.by}, but no lower loss along it beyond rounding"
    return replace(
        claim, label=Label.UNDECIDED, flavour=None, evidence=None, by=None, margin=None, escape=None, reason=reason
    )


def _side_unknown(problem: Empirical, here: Forward, found: Slopes) -> bool:
    """Whether rounding of huge weights that cancel leaves open on which side of a neuron a row is that is no tie."""
    size = np.abs(problem.x) @ np.abs(here.w).T
    unknown = (np.abs(here.z) <= 2 * (problem.d + 2) * EPS * size) & (size > 0) & ~found.ties
    alive = np.any(here.w != 0, axis=1) & (here.a != 0)
    return float(problem.weight_decay) == 0 and bool(np.any(unknown[:, alive]))


def _blur(problem: Empirical, here: Forward, found: Slopes) -> float:
    """By how much the loss can be above that of the exact stationary point: beside a tie it is of first order."""
    low, high = sides_of(problem)
    jumps = abs(high - low) * np.abs(here.a) * np.abs(here.nu)[:, None]
    beside = float(np.sum(np.where(found.ties, jumps * np.abs(here.z), 0.0)))
    return beside + found.norm * NEAR_TIE * float(problem.scale)


def _at_rest(
    given: Empirical,
    problem: Empirical,
    theta: np.ndarray,
    here: Forward,
    best: CertifiedOptimum | None,
    blur: float,
    fields: dict[str, Any],
) -> Claim:
    """The label of a stationary point that no first-order direction leaves."""
    if best is None:
        return _without_certificate(given, problem, theta, here, blur, fields)
    least = here.loss <= best.value * (1 + EXACT) + here.loss_error  # else a better network is known
    if least and best.gap > EXACT * best.value and (claim := _by_own_bound(problem, here, fields)) is not None:
        return claim
    norms = np.linalg.norm(here.w, axis=1)
    zero = np.flatnonzero(np.maximum(norms, np.abs(here.a)) <= ZERO * problem.scale)
    if len(zero):
        return _beside_zero(problem, theta, here, int(zero[0]), fields)
    return _minimum(problem, here, best, blur, fields)


def _global(
    problem: Empirical, here: Forward, best: CertifiedOptimum | None, bound: float, fields: dict[str, Any]
) -> Claim | None:
    """GLOBAL if the loss is at the lower bound within rounding and the bound's own gap; None if it is above."""
    gap = 0.0 if best is None else max(best.gap, 0.0)
    if best is not None and gap > EXACT * best.value:
        gap = 0.0  # an interval, not an optimum: only a point at its very bottom is global
    if not here.loss - bound <= 2 * here.loss_error + gap or not loss_is_known(problem, here):
        return None
    if problem.fit is LOGISTIC and bound <= 0 and len(problem.y):
        return None  # log(1 + exp(-y f)) is positive: where its infimum is zero no point attains it
    by = "convex program, dual bound" if best is not None else BY_SPAN if bound > 0 else "sum of squares"
    return Claim(
        label=Label.GLOBAL, evidence=Evidence.CERTIFIED, by=by, margin=2 * here.loss_error + gap - (here.loss - bound),
        **fields,
    )  # fmt: skip


def _leaves(
    problem: Empirical, theta: np.ndarray, here: Forward, direction: np.ndarray, label_: Label, flavour: str, by: str,
    margin: float, fields: dict[str, Any],
) -> Claim:  # fmt: skip
    """TRAP or SADDLE, if a point along the direction has a lower loss by more than both rounding errors."""
    for t in problem.scale * np.geomspace(1e-1, 1e-7, 25):
        there = forward(problem, theta + t * direction)
        if there.loss + there.loss_error < here.loss - here.loss_error:
            return Claim(
                label=label_, flavour=flavour, evidence=Evidence.CERTIFIED, by=by, margin=margin,
                escape=t * direction, **fields,
            )  # fmt: skip
    reason = f"a descent direction by {by}, {margin:.1e}, but no lower loss along it beyond rounding"
    return Claim(label=Label.UNDECIDED, reason=reason, **fields)


def _beside_zero(problem: Empirical, theta: np.ndarray, here: Forward, j: int, fields: dict[str, Any]) -> Claim:
    """SADDLE, with its curvature beta - phi along the best new neuron."""
    beta = float(problem.weight_decay)
    found = _phi(problem, here.nu)
    fields["min_curvature"] = beta - found.value
    if found.value <= beta:
        reason = f"a neuron is zero and phi - beta lies in [{found.value - beta:.2g}, {found.upper - beta:.2g}]"
        return Claim(label=Label.UNDECIDED, reason=reason, **fields)
    direction = np.zeros(problem.p)
    m, d = here.w.shape
    direction[j * d : (j + 1) * d] = found.u
    direction[m * d + j] = found.sign
    margin = found.value - beta
    return _leaves(
        problem, theta, here, direction / np.sqrt(2), Label.SADDLE, "zero neuron", "beta - phi", margin, fields
    )


def _phi(problem: Empirical, nu: np.ndarray) -> Phi:
    """phi of the problem's own activation: s(z) = high relu(z) - low relu(-z) is relu on rows and their opposites."""
    low, high = sides_of(problem)
    if low == 0:
        found = phi(problem.x, nu)
        return found._replace(value=high * found.value, upper=high * found.upper)
    return phi(np.concatenate([problem.x, -problem.x]), np.concatenate([high * nu, -low * nu]))


class _Flavours(NamedTuple):
    """Names of a local minimum: where a network of lower loss has been found at its width, and where none has."""

    spurious: Flavour
    undecided: Flavour


def _flavours(isolated: bool | None) -> _Flavours:
    """Flavours of a minimum by whether it is isolated up to permutations; None where that is not clear."""
    if isolated is None:
        return _Flavours(Flavour.NOT_CLEAR, Flavour.MINIMUM_NOT_CLEAR)
    if isolated:
        return _Flavours(Flavour.STRICT, Flavour.STRICT_MINIMUM)
    return _Flavours(Flavour.ESCAPABLE, Flavour.FLAT_MINIMUM)


def _minimum(problem: Empirical, here: Forward, best: CertifiedOptimum, blur: float, fields: dict[str, Any]) -> Claim:
    """The label of a local minimum without a zero neuron, above the best of all widths: spurious if its width has one
    better."""
    flavours = _flavours(independent(problem, here, fields["grad_norm"]))
    exact = best.gap <= EXACT * best.value
    error = here.loss_error + max(best.gap, 0.0)
    if problem.width >= len(best.outer):
        above = here.loss - best.value - error
        if above > blur:
            evidence = Evidence.CERTIFIED if exact else Evidence.NUMERICAL
            return Claim(
                label=Label.SPURIOUS, flavour=flavours.spurious, evidence=evidence, by="slopes at ties, better network",
                margin=above - blur, **fields,
            )  # fmt: skip
        if above > 0:
            return _beside(blur, fields)
    own = best_of_width(problem)
    if own is not None:
        return _against(here, own, flavours, blur, fields)
    reason = "a local minimum; a wider network goes lower, and whether one of this width does is not known"
    return Claim(label=Label.UNDECIDED, flavour=flavours.undecided, reason=reason, **fields)


def _beside(blur: float, fields: dict[str, Any]) -> Claim:
    """UNCONVERGED: the loss of the exact stationary point beside may be as low as the least one."""
    reason = f"near a stationary point, whose loss may be {blur:.1e} lower: too near the least one to tell them apart"
    return Claim(label=Label.UNCONVERGED, reason=reason, **fields)


def _against(here: Forward, own: LeastLoss, flavours: _Flavours, blur: float, fields: dict[str, Any]) -> Claim:
    """The label of a local minimum by the best network found of its width: spurious above it, for this width at it."""
    above, error = here.loss - own.value, 2 * here.loss_error + EPS * own.value
    if above > error + blur:
        return Claim(
            label=Label.SPURIOUS, flavour=flavours.spurious, evidence=Evidence.CERTIFIED,
            by="slopes at ties, better network", margin=above - error - blur, **fields,
        )  # fmt: skip
    if above > error:
        return _beside(blur, fields)
    open_ = own.value - own.lower_bound
    if open_ > EXACT * own.value + error:
        reason = f"a local minimum; no network of this width is known to be better, but one may be by {open_:.2g}"
        return Claim(label=Label.UNDECIDED, flavour=flavours.undecided, reason=reason, **fields)
    return Claim(
        label=Label.GLOBAL,
        flavour=Flavour.FOR_THIS_WIDTH,
        evidence=Evidence.CERTIFIED,
        by=own.by,
        margin=error - above,
        **fields,
    )


def _own_bound(problem: Empirical, here: Forward) -> float:
    """The bound for every width that the residual of a point gives: phi of its activation takes the place of relu's."""
    steepest = max(1.0, *np.abs(sides_of(problem)))  # the rounding of phi goes with |x_k| times that
    return lower_bound(problem.data._replace(x=steepest * problem.x), here.nu, _phi(problem, here.nu))


def _by_own_bound(problem: Empirical, here: Forward, fields: dict[str, Any]) -> Claim | None:
    """GLOBAL if the dual bound of a stationary point's own residual reaches its loss; a better bound is kept."""
    bound = _own_bound(problem, here)
    if bound > fields["lower_bound"]:
        fields["lower_bound"] = bound
    slack = 2 * here.loss_error + EXACT * here.loss
    if here.loss - bound > slack:
        return None
    margin, by = slack - (here.loss - bound), "dual bound of its own residual"
    return Claim(label=Label.GLOBAL, evidence=Evidence.CERTIFIED, by=by, margin=margin, **fields)


def _at_span(given: Empirical, here: Forward, fields: dict[str, Any]) -> Claim | None:
    """GLOBAL at the least loss of all widths without weight decay; the bound is kept where it is the best one."""
    span = least_of_span(given)
    if span is None:
        return None
    fields["lower_bound"] = max(fields["lower_bound"], span.value - span.error)
    margin = 2 * here.loss_error + span.error - (here.loss - span.value)
    if not margin >= 0:
        return None
    return Claim(label=Label.GLOBAL, evidence=Evidence.CERTIFIED, by=BY_SPAN, margin=margin, **fields)


def _of_span(given: Empirical) -> LeastLoss | None:
    """The least loss of the width by the theorem on spurious valleys; None where that does not know it."""
    span = least_of_span(given)
    if span is None or not wide_enough(given).holds:
        return None
    nothing = np.zeros((0, given.d)), np.zeros(0), 0.0
    least, most = span.value - span.error, span.value + span.error
    return LeastLoss(given.width, most, *nothing, least, 0, "width at least the intrinsic dimension")


def _without_certificate(
    given: Empirical, problem: Empirical, theta: np.ndarray, here: Forward, blur: float, fields: dict[str, Any]
) -> Claim:
    """The label of a stationary point where no convex program bounds the loss of all widths.

    The least loss of the width is that of the given problem: the rank of its data is in doubt where it is near one.
    """
    decayed = float(problem.weight_decay) > 0
    norms, m, d = np.linalg.norm(here.w, axis=1), problem.width, problem.d
    zero = np.flatnonzero(np.maximum(norms, np.abs(here.a)) <= ZERO * problem.scale)
    if in_programs(problem) and (claim := _by_own_bound(problem, here, fields)) is not None:
        return claim
    if len(zero) and problem.bias != "free":  # without weight decay too: then the curvature is -phi
        return _beside_zero(problem, theta, here, int(zero[0]), fields)
    small = np.flatnonzero(np.minimum(norms, np.abs(here.a)) <= ZERO * problem.scale)
    for j in small:
        # A neuron whose outer weight is zero takes any part in the loss only with its hidden weights: no first-order
        # descent of those together keeps the loss convex in a w, else both leave at once.
        tied = np.any(np.abs(here.z[:, j]) <= NEAR_TIE * np.linalg.norm(problem.x, axis=1) * norms[j])
        if decayed or tied or norms[j] <= ZERO * problem.scale:
            reason = "stationary, but a layer of a neuron is zero: no theorem makes this a minimum"
            return Claim(label=Label.UNDECIDED, reason=reason, **fields)
        height = np.maximum(here.z[:, j], 0.0)
        pull = problem.x.T @ ((here.z[:, j] > 0) * here.nu)
        slope, size = float(np.linalg.norm(pull)), float(np.abs(here.nu) @ np.linalg.norm(problem.x, axis=1))
        if slope > STATIONARY * size:
            stretch = max(1.0, float(np.linalg.norm(height)) / np.sqrt(slope))
            direction = np.zeros(problem.p)
            direction[j * d : (j + 1) * d] = stretch * pull / slope
            direction[m * d + j] = 1 / stretch
            return _leaves(
                problem, theta, here, direction / np.linalg.norm(direction), Label.SADDLE, "escape neuron",
                "second-order slope", slope, fields,
            )  # fmt: skip
    if problem.bias == "free" and decayed:
        reason = "stationary, but with a free hidden bias: no theorem makes this a minimum"
        return Claim(label=Label.UNDECIDED, reason=reason, **fields)
    if decayed:
        flavours, own = _flavours(independent(problem, here, fields["grad_norm"])), best_of_width(given)
    else:
        if (claim := _at_span(given, here, fields)) is not None:
            return claim
        # The layers of a neuron can be rescaled against each other; at a width that is large enough a neuron can be
        # freed at constant loss too.
        escapable = wide_enough(given).holds
        flavours = _Flavours(Flavour.ESCAPABLE if escapable else Flavour.FLAT, Flavour.FLAT_MINIMUM)
        own = best_of_width(given) or _of_span(given)
    if own is not None:
        return _against(here, own, flavours, blur, fields)
    reason = "a local minimum, but no lower bound is known to be attained: the best loss is only the best seen"
    return Claim(label=Label.UNDECIDED, flavour=flavours.undecided, reason=reason, **fields)
