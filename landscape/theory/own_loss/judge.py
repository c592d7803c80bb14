"""The verdict of a point of a user's loss: wrong bound, bound, infinity, kinks, curvature, and what is degenerate.

All of it is numerical: derivatives are automatic, the rounding error is an estimate, and a search on spheres has met
what it has met. What is not shown is undecided, with the reason.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from landscape.problems.composition import Curvature
from landscape.problems.from_loss import UserLoss
from landscape.records import LOWER_SEEN, WITNESSED, Claim, Evidence, Flavour, Label, Point, index_flavour
from landscape.theory.own_loss import kinks
from landscape.theory.own_loss.branches import branches
from landscape.theory.own_loss.degenerate import Found, degenerate
from landscape.theory.own_loss.infinity import at_infinity, saturated
from landscape.theory.own_loss.on_kinks import on_kinks
from landscape.theory.own_loss.plateau import level_everywhere, only_rounding
from landscape.theory.own_loss.slopes import false_gradient
from landscape.theory.own_loss.stationary import REACH, Rest, comes_to, rest
from landscape.theory.own_loss.subgradients import subgradients
from landscape.theory.own_loss.undercut import undercut
from landscape.theory.own_loss.valley import FAR, ends, valley
from landscape.theory.own_loss.view import OUT, Loss, about, view
from landscape.theory.own_loss.witness import witness

NOT_ATTAINED = (
    "a local minimum, but no lower loss was seen and no bound is reached: the best loss is only the best seen"
)
CURVATURE = "curvature"
DEGENERATE = "loss in the null space"
FAR_OUT = "the parameters are a million scales away, where the loss does not change any more"
NO_END = (
    "a hundred scales out, in a valley that is not level all the way from nearby: what it comes to may be at infinity"
)
NARROW = "the loss bends here as at a kink, and its program has none: what is here is narrower than could be asked"
NOWHERE = "beside this point, within a thousandth of the scale, the loss is not finite"
TOO_COARSE = "the loss has too few digits to tell a level or a bound that is reached: float32 or float64 has more"
IN_SINGLE = "level to within the rounding of the loss, which has the digits of float32: in float64 it may fall"
COARSE = 1e-4  # of the loss: what rounds by more, as in bfloat16, is level where float32 shows a fall
SINGLE = 1e-10  # of the loss: what rounds by more has the digits of float32, in which slopes of 1e-6 are level
BLURRED = 1e3  # a fall by a thousandth of what is left shows beside rounding


def judge(problem: UserLoss, point: Point, path: np.ndarray | None = None) -> Claim:
    """The label of a point of a user's loss, polished or not.

    A point within a thousandth of the scale of a stationary one is judged as that one.

    Args:
        problem: The landscape.
        point: A point; its theta alone is used.
        path: Earlier points of the descent, [n, p], if known.
    """
    # Far probes overflow where the loss does, and are asked whether they are finite.
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        claim = _judge(problem, point, path)
        said = claim.label in (Label.GLOBAL, Label.SPURIOUS, Label.AT_INFINITY)
        return _undecided(claim, TOO_COARSE) if said and witness(problem).rounding > COARSE else claim


def _undecided(claim: Claim, reason: str) -> Claim:
    return Claim(
        Label.UNDECIDED,
        reason=reason,
        loss=claim.loss,
        loss_error=claim.loss_error,
        lower_bound=claim.lower_bound,
        grad_norm=claim.grad_norm,
    )


def _judge(problem: UserLoss, point: Point, path: np.ndarray | None) -> Claim:
    theta = np.asarray(point.theta, np.float64)
    loss = about(problem, theta)
    u = theta / loss.scale
    value = float(loss.losses(u[None])[0]) if np.all(np.isfinite(u)) else np.nan
    if not np.isfinite(value):
        return Claim(Label.UNCONVERGED, loss=value, reason="the loss is not finite here")
    known = _known(loss, u)
    wrong = _wrong_bound(known)
    if wrong is not None:
        return wrong
    if loss.bound is not None and known["loss"] - loss.bound <= known["loss_error"]:
        return _at_bound(problem, loss, u, known, known["loss_error"])
    if false_gradient(loss, u):
        reason = "the automatic gradient is not the slope of the loss: a stop_gradient, or a derivative of your own"
        return Claim(label=Label.UNDECIDED, reason=reason, **known)
    there = rest(loss, u)
    if there is None or not there.stationary:
        return _moving(problem, loss, u, there, known, path)
    if there.jumps or kinks.kinked(loss, there.u, there.gradient, _hessian(there)):
        return _kink(problem, loss, u, known) if branches(problem) else _narrow(loss, there.u, known)
    short = there.error + 2.0 * there.left + _grain(loss, there.u)
    # Far out what Newton steps leave says nothing: of 1 / x^4 at 1e3 they leave more than all of it.
    if (
        loss.bound is not None
        and there.loss - loss.bound <= short
        and _near(there)
        and comes_to(loss, there.u, loss.bound)
    ):
        return _at_bound(problem, loss, there.u, known, short)
    return _smooth(problem, loss, there, known)


def _known(loss: Loss, u: np.ndarray) -> dict[str, Any]:
    value, error = loss.loss(u)
    norm = float(np.linalg.norm(loss.gradients(u[None])[0] / loss.scale))
    return {"loss": value, "loss_error": error, "lower_bound": loss.bound, "grad_norm": norm}


def _grain(loss: Loss, u: np.ndarray) -> float:
    """How much the loss changes when coordinates move by their last digit."""
    nudges = np.random.default_rng(0).choice([-1.0, 1.0], size=(16, len(u))) * np.finfo(float).eps * u
    values = loss.losses(np.concatenate([u[None], u + nudges]))
    return float(2.0 * np.max(np.abs(values - values[0])))


def _wrong_bound(known: dict[str, Any]) -> Claim | None:
    bound = known["lower_bound"]
    if bound is None or known["loss"] - bound >= -known["loss_error"]:
        return None
    below = bound - known["loss"]
    reason = f"the loss lies {below:.3g} below the lower bound that was given: the bound is wrong"
    return Claim(label=Label.UNDECIDED, reason=reason, **known)


def _at_bound(problem: UserLoss, loss: Loss, u: np.ndarray, known: dict[str, Any], short: float) -> Claim:
    """GLOBAL, unless the bound is reached by rounding alone and never attained, or starts lead to a loss below it.

    The least loss there may be lower than that of u by `short`: what goes to zero far below that is at its end.
    """
    if not np.isfinite(known["grad_norm"]):  # that of a norm at its tip is 0 / 0, that of a root at zero infinite
        known = {**known, "grad_norm": float(np.linalg.norm(subgradients(loss, u).combined / loss.scale))}
    best = witness(problem)
    assert loss.bound is not None
    if best.loss + best.error < loss.bound:
        reason = f"at the lower bound that was given, but a loss {loss.bound - best.loss:.3g} below it was seen"
        return Claim(label=Label.UNDECIDED, reason=reason, **known)
    way = saturated(loss, u, short)
    if way is not None and way.falls:
        return _runs_away(loss, way.direction, known, "bound within rounding, approached like an exponential", None)
    if np.linalg.norm(u) > OUT and loss.at_limits(u):
        return Claim(Label.UNCONVERGED, reason=FAR_OUT, **known)
    far = rest(loss, u) if np.linalg.norm(u) >= FAR else None
    if far is not None and far.stationary and not far.jumps and not ends(loss, far):
        return Claim(Label.UNDECIDED, reason=NO_END, **known)
    return Claim(Label.GLOBAL, evidence=Evidence.NUMERICAL, by="lower bound", margin=known["loss_error"], **known)


def _runs_away(loss: Loss, direction: np.ndarray, known: dict[str, Any], by: str, margin: float | None) -> Claim:
    return Claim(
        label=Label.AT_INFINITY,
        evidence=Evidence.NUMERICAL,
        by=by,
        margin=margin,
        escape=direction * loss.scale,
        **known,
    )


def _moving(
    problem: UserLoss, loss: Loss, u: np.ndarray, there: Rest | None, known: dict[str, Any], path: np.ndarray | None
) -> Claim:
    """A point that Newton steps do not hold: at a kink, on the way to infinity, or not at rest."""
    if there is None or (branches(problem) and kinks.kinked(loss, u, loss.gradients(u[None])[0], loss.hessian(u))):
        return _kink(problem, loss, u, known)
    way = at_infinity(loss, u, None if path is None else np.asarray(path) / loss.scale)
    if way is not None and not undercut(loss, u, way):
        return _runs_away(loss, way.direction, known, f"ray to a loss of {way.limit:.6g}", way.drop)
    reason = f"not stationary: gradient norm {known['grad_norm']:.2g}, and steps downhill do not come to an end here"
    return Claim(label=Label.UNCONVERGED, reason=reason, **known)


def _kink(problem: UserLoss, loss: Loss, u: np.ndarray, known: dict[str, Any]) -> Claim:
    there, met, nowhere = None, None, False
    for end in on_kinks(loss, u, REACH):
        if not np.isfinite(loss.losses(end[None])[0]):  # at the pole of 1 / |x|, at the tip of w / |w|
            nowhere = True
            continue
        slopes = subgradients(loss, end)
        if slopes.rest:
            there, met = end, slopes
            if not met.beside:
                break
    if there is not None:
        u, known = there, _known(loss, there)
        wrong = _wrong_bound(known)
        if wrong is not None:
            return wrong
        short = known["loss_error"] + _grain(loss, u)
        if loss.bound is not None and known["loss"] - loss.bound <= short:
            return _at_bound(problem, loss, u, known, short)
    found = kinks.at_kink(loss, u, met)
    automatic = known["grad_norm"]
    known = {**known, "grad_norm": min(found.slope, automatic) if np.isfinite(automatic) else found.slope}
    if found.escape is not None:
        if found.first_order and not found.rests and automatic != 0.0:
            reason = f"not stationary: at this kink the least subgradient has norm {found.slope:.2g}"
            return Claim(label=Label.UNCONVERGED, reason=reason, **known)
        # Of relu(x) - relu(-x), which is x, the automatic gradient at zero is zero, and descents stay there.
        by = "slope at a kink, lower point" if found.rests else "slope where the automatic gradient is 0, lower point"
        return Claim(
            label=Label.TRAP if found.first_order else Label.SADDLE,
            evidence=Evidence.NUMERICAL,
            by=by if found.first_order else "lower points about a kink",
            margin=found.drop,
            escape=found.escape * loss.scale,
            **known,
        )
    if nowhere and there is None:
        return Claim(label=Label.UNDECIDED, reason=NOWHERE, **known)
    if found.flavour is None:
        return Claim(label=Label.UNDECIDED, reason=found.reason, **known)
    flat = np.zeros((len(u), 0)) if found.flat is None else found.flat
    held = _Held(u, known["loss"] - known["loss_error"] - found.left, flat)
    if loss.bound is not None and there is not None and held.least <= loss.bound:
        return _at_bound(problem, loss, u, known, known["loss"] - held.least)
    return _minimum(problem, loss, held, found.flavour, "points about a kink", known)


def _narrow(loss: Loss, u: np.ndarray, known: dict[str, Any]) -> Claim:
    """A point where the loss bends and its program has no kink: rounding at a limit, or something too narrow to see."""
    return _at_limit(loss, u, known) or Claim(Label.UNDECIDED, reason=NARROW, **known)


def _at_limit(loss: Loss, u: np.ndarray, known: dict[str, Any]) -> Claim | None:
    """The claim where the loss has come, within rounding, to a limit that it approaches like an exponential."""
    way = saturated(loss, u)
    if way is None:
        return None
    if way.falls:
        return _runs_away(loss, way.direction, known, "limit within rounding, approached like an exponential", None)
    reason = "not stationary: the loss is level to within rounding only, and comes to this level from below"
    return Claim(Label.UNCONVERGED, reason=reason, **known)


def _smooth(problem: UserLoss, loss: Loss, there: Rest, known: dict[str, Any]) -> Claim:
    """A stationary point of a loss that is smooth there."""
    flat = there.vectors[:, np.abs(there.values) <= there.curvature_error]
    held = _Held(there.u, there.loss - there.error - there.left, flat)
    negative = there.values < -there.curvature_error
    known = {**known, "min_curvature": _least_curvature(there, loss.scale)}
    if negative.any():
        return _saddle(loss, there, int(np.sum(negative)), known)
    if np.all(there.values > there.curvature_error):
        return _minimum(problem, loss, held, Flavour.STRICT_MINIMUM, CURVATURE, known)
    further = valley(loss, there)
    if further is not None and further.endless:
        return _runs_away(loss, further.direction, known, f"valley to a loss of {further.limit:.6g}", further.drop)
    if further is not None:
        reason = f"the loss goes on falling along its valley, by {further.drop:.2g} and more"
        return Claim(label=Label.UNCONVERGED, reason=reason, **known)
    found = degenerate(loss, there)
    if found.escape is not None:
        return _degenerate_saddle(loss, there, found, known)
    if found.flavour is None:
        return Claim(label=Label.UNDECIDED, reason=found.reason, **known)
    held = held._replace(least=held.least - found.left)
    if loss.bound is not None and held.least <= loss.bound and _near(there) and comes_to(loss, there.u, loss.bound):
        return _at_bound(problem, loss, there.u, known, there.loss - held.least)
    claim = _minimum(problem, loss, held, found.flavour, DEGENERATE, known)
    a_minimum = claim.label in (Label.GLOBAL, Label.SPURIOUS) or claim.flavour is not None
    if a_minimum and found.flavour != Flavour.STRICT_MINIMUM and not ends(loss, there):
        return Claim(Label.UNDECIDED, reason=NO_END, **known)
    return claim


def _near(there: Rest) -> bool:
    """Whether a point is no further out than falls show within a scale, or held by curvature in every direction."""
    return bool(np.linalg.norm(there.u) < FAR or np.all(there.values > there.curvature_error))


def _least_curvature(there: Rest, scale: np.ndarray) -> float:
    """The least eigenvalue of the Hessian over theta = scale u, from the eigenvalues and vectors of that over u.

    It has the sign of the least eigenvalue over u (Sylvester). Where that is clear of zero, the inverse is formed: the
    least eigenvalue over theta is its largest, and rounding does not reach it however different the scales are.
    """
    if there.values[0] > there.curvature_error:
        vectors = there.vectors * scale[:, None]
        return float(1.0 / np.linalg.eigvalsh((vectors / there.values) @ vectors.T)[-1])
    vectors = there.vectors / scale[:, None]
    return float(np.linalg.eigvalsh((vectors * there.values) @ vectors.T)[0])


def _saddle(loss: Loss, there: Rest, index: int, known: dict[str, Any]) -> Claim:
    """SADDLE with the clearest fall along the direction of least curvature that the quadratic model foretells."""
    radii = np.geomspace(1e-6, 0.5, 48)
    best: tuple[float, np.ndarray] | None = None
    for sign in (1.0, -1.0):
        steps = sign * radii[:, None] * there.vectors[:, 0]
        losses, errors = loss.measured(there.u + steps)
        fall = there.loss - losses - errors - there.error
        model = -0.5 * there.values[0] * radii**2
        # Up to where the fall leaves its model: what lies further on is another place's.
        here = np.flatnonzero((fall > 0) & (fall > 0.1 * model) & (fall < 10.0 * model + there.left))
        for i in here:
            if best is None or fall[i] > best[0]:
                best = (float(fall[i]), steps[i])
    if best is None:
        reason = f"an eigenvalue of {there.values[0]:.2g} but no lower loss along its direction beyond rounding"
        return Claim(label=Label.UNDECIDED, reason=reason, **known)
    return Claim(
        label=Label.SADDLE,
        flavour=index_flavour(index),
        evidence=Evidence.NUMERICAL,
        by="curvature, lower point",
        margin=best[0],
        escape=best[1] * loss.scale,
        **known,
    )


def _degenerate_saddle(loss: Loss, there: Rest, found: Found, known: dict[str, Any]) -> Claim:
    assert found.escape is not None
    assert found.power is not None
    return Claim(
        label=Label.SADDLE,
        flavour=Flavour.DEGENERATE,
        evidence=Evidence.NUMERICAL,
        by=f"a fall with power {found.power:.2g} of the distance, lower point",
        margin=found.drop,
        escape=found.escape * loss.scale,
        **known,
    )


class _Held(NamedTuple):
    """Where a minimum is, [p] in u, the least loss that it can have, and directions without curvature, [p, k]."""

    u: np.ndarray
    least: float
    flat: np.ndarray


def _minimum(problem: UserLoss, loss: Loss, held: _Held, flavour: Flavour, by: str, known: dict[str, Any]) -> Claim:
    """GLOBAL where the loss is convex, SPURIOUS where a loss below the least that this minimum can have is seen.

    Else nobody knows. A level that rounding alone may make is no minimum.
    """
    if flavour != Flavour.STRICT_MINIMUM or by != CURVATURE:
        if _beside_nowhere(loss, held.u):
            return Claim(Label.UNDECIDED, reason=NOWHERE, **known)
        doubt = _rounded(problem, loss, held, flavour, known)
        if doubt is not None and not level_everywhere(loss, held.flat):
            return doubt
    # Two points beside one minimum are not told apart by what each is short of it.
    known = {**known, "loss_error": max(known["loss_error"], known["loss"] - held.least)}
    best = witness(problem)
    margin = held.least - best.loss - best.error
    lower = margin > 0 and np.isfinite(margin)
    if problem.curvature == Curvature.CONVEX or (problem.curvature == Curvature.QUADRATIC and by == CURVATURE):
        if lower:
            reason = f"the loss is convex and a loss {margin:.2g} below was seen: what is here is no minimum"
            return Claim(Label.UNDECIDED, reason=reason, **known)
        by = f"{by}, convex"
        return Claim(Label.GLOBAL, evidence=Evidence.NUMERICAL, by=by, margin=known["loss_error"], **known)
    sharp = flavour == Flavour.STRICT_MINIMUM and by != DEGENERATE  # by its curvature, or by slopes on all sides
    if not sharp and best.rounding > SINGLE:
        return Claim(label=Label.UNDECIDED, reason=IN_SINGLE, **known)
    if lower:
        return Claim(
            label=Label.SPURIOUS,
            flavour=WITNESSED[flavour],
            evidence=Evidence.NUMERICAL,
            by=f"{by}, {LOWER_SEEN}",
            margin=margin,
            **known,
        )
    return Claim(label=Label.UNDECIDED, flavour=flavour, reason=NOT_ATTAINED, **known)


def _beside_nowhere(loss: Loss, u: np.ndarray) -> bool:
    """Whether the loss is not finite where the coordinates of a point that are next to zero are zero.

    There is no minimum at zero of f(w / |w|) + |w|^2, and none beside it: from all directions the loss falls to zero.
    """
    near = np.abs(u) <= REACH
    return bool(near.any() and not np.isfinite(loss.losses(np.where(near, 0.0, u)[None])[0]))


def _rounded(problem: UserLoss, loss: Loss, held: _Held, flavour: Flavour, known: dict[str, Any]) -> Claim | None:
    """The claim of a point about which the loss may be level by rounding alone; None where nothing says so.

    Where all that is left above the bound is of the order of rounding nothing can be seen of a way down, and a loss
    that is level because it has come to its limit is no minimum.
    """
    far, limits = bool(np.linalg.norm(held.u) > OUT), loss.at_limits(held.u)
    if flavour != Flavour.STRICT_MINIMUM:  # in units of its own too: along a valley no coordinate has that of the place
        far |= bool(np.linalg.norm(held.u * loss.scale / view(problem).scale) > OUT)
    if far and limits:
        return Claim(Label.UNCONVERGED, reason=FAR_OUT, **known)
    limit = _at_limit(loss, held.u, known)
    if limit is not None:
        return limit
    if far:  # at a limit by rounding, or beyond what starts say of scales: a unit that is off, x = -1 after 1e-8
        return Claim(Label.UNDECIDED, reason=FAR_OUT, **known)
    if flavour != Flavour.STRICT_MINIMUM and only_rounding(loss, held.u, held.flat):
        leaves = "falls with a power of the distance, or leaves its level like an exponential or beside a pole"
        reason = f"level to within rounding, exactly or not: further out the loss {leaves}"
        return Claim(Label.UNDECIDED, reason=reason, **known)
    if flavour != Flavour.STRICT_MINIMUM and limits:
        reason = "level to within rounding only: an operation (exp, tanh, ...) has come to its limit here"
        return Claim(Label.UNDECIDED, reason=reason, **known)
    if loss.bound is not None and known["loss"] - loss.bound <= BLURRED * known["loss_error"]:
        reason = "what is left above the bound is of the order of rounding, and no way down could be seen"
        return Claim(Label.UNDECIDED, reason=reason, **known)
    return None


def _hessian(there: Rest) -> np.ndarray:
    return (there.vectors * there.values) @ there.vectors.T
