"""Labels for points that someone brings: the point as given, and the stationary point it leads to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from landscape import classify, patience
from landscape.engine.driver import Driver
from landscape.engine.settings import Settings, Tolerances
from landscape.host import interrupt, overflow
from landscape.polish import batch_size, evaluate, newton_to_stationary, polish
from landscape.precision import float64
from landscape.problems.empirical import Empirical
from landscape.problems.params import Params
from landscape.problems.problem import Problem, is_landscape
from landscape.records import Claim, Flavour, InputError, Label, Point, Status, Verdict, real
from landscape.spectrum import spectrum
from landscape.theory.convex import labels as convex
from landscape.theory.convex.branch_and_bound import exact
from landscape.theory.convex.cell_finish import finish
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.least_loss import best_of_width, certified_optimum, forget, search_longer
from landscape.theory.convex.optimal_set import prune
from landscape.theory.nearby import losses
from landscape.theory.rooms import room_of

NEAR = 1e-6  # a point this close to stationary, times the scale, is polished whatever its index
TOLERANCES = Tolerances()


@contextmanager
def within(
    seconds: float | None, hear: Callable[[str], None] | None = None, stopped: Callable[[], bool] | None = None
) -> Iterator[patience.Watch]:
    """Inside, searches for optima take so many seconds at most, or end where someone asks; see `patience`.

    Raises:
        InputError: The number of seconds is not positive.
    """
    if seconds is not None:
        real("seconds", seconds, above=0)
    if seconds is None and hear is None and stopped is None:  # a budget further out goes on to hold
        yield patience.Watch(None, None, None)
        return
    with patience.watched(seconds, hear, stopped) as watch:
        yield watch
    if watch.ended:
        forget()


def label(problem: Problem, params: Any, *, seconds: float | None = None, **settings: Any) -> Verdict | list[Verdict]:
    """The verdict of a point, or of several, with `polished`: that of the stationary point it leads to.

    The point is judged as given: weights from a training run are rarely stationary to 1e-12 and are then
    `unconverged`, with their loss, bound and excess. `polished` is the stationary point that a second-order descent
    of no more than a tenth of the problem's scale reaches from there, and None where it reaches none; on lines and on
    finite data it is the one that an exact finish leads to. Where settings are given, and for a user's loss where that
    reaches none, it is the end of a whole descent from there.

    Args:
        problem: The landscape.
        params: What the problem's chart reads: `Params(hidden=[width, d])` or the bare matrix for teacher-student
            problems, `Params(hidden=[width, d], outer=[width])` for data sets, the coefficients [p] for porcupines,
            else the user's pytree; with one more axis in front, [points, ...], for several points.
        seconds: What searches for optima may take in all: the least loss of the width is searched for so long where
            the label of a network on finite data hangs on it. Bounds are intervals where the time is short, and labels
            that hang on them are undecided.
        **settings: Of the descent, as for `explore`: optimiser, step_size, budget, ...

    Raises:
        InputError: The shape is wrong, a number is not finite, float64 cannot hold the loss, its gradient or bound, or
            a setting makes no sense.
    """
    is_landscape(problem)
    many = problem.points(params)
    thetas = [problem.write(params)] if many is None else list(many)
    with within(seconds):
        verdicts = labels(problem, thetas, Settings.of(problem, **settings) if settings else None, seconds)
    return verdicts[0] if many is None else verdicts


def labels(
    problem: Problem, thetas: Sequence[np.ndarray], settings: Settings | None = None, seconds: float | None = None
) -> list[Verdict]:
    """The verdicts of flat points, [p] each, with the ends of descents from those that are not stationary; see `label`.

    Args:
        problem: The landscape.
        thetas: The points.
        settings: Of the descents; by default only points of a user's loss that lead nowhere near are descended from.
        seconds: The budget of `within`, most of which the least loss of a width is searched for where it is open.

    Returns:
        One a point; after Ctrl-C, of the points that were looked at.
    """
    if seconds is not None:
        search_longer(problem, 0.9 * seconds)
    found: list[Verdict] = []
    for i, theta in enumerate(thetas):
        if i and interrupt.requested():
            return found
        patience.say(f"point {i} of {len(thetas)}")
        found.append(label_one(problem, theta))
    far = [i for i, one in enumerate(found) if one.label == Label.UNCONVERGED]
    if settings is None:
        far = [i for i in far if found[i].polished is None and room_of(problem).everywhere]
    if far:
        ends = descended(problem, np.stack([thetas[i] for i in far]), settings or Settings.of(problem))
        for i, end in zip(far, ends, strict=True):
            found[i] = found[i] if end is None else _leading(problem, found[i], thetas[i], end)
    return found


def _leading(problem: Problem, given: Verdict, theta: np.ndarray, end: np.ndarray) -> Verdict:
    """The verdict of a point with that of the end of a descent from there."""
    return replace(given, polished=label_one(problem, end), moved=float(np.linalg.norm(end - theta)))


def descended(problem: Problem, thetas: np.ndarray, settings: Settings) -> list[np.ndarray | None]:
    """The ends of descents from points, None for those that come to no end.

    Args:
        problem: The landscape.
        thetas: The points, [r, p].
        settings: Of the descents.
    """
    ends: list[np.ndarray | None] = [None] * len(thetas)
    with float64(), overflow.quiet():
        bounded = overflow.bounded(classify.bounded(problem))
        driver = Driver(bounded, settings, seed=0, starts=thetas)
        for columns, points in driver.run(np.arange(len(thetas))):
            for number, said, end in zip(columns["restart"], columns["label"], points, strict=True):
                ends[number] = None if said == Label.UNCONVERGED else end
    return ends


def label_one(problem: Problem, theta: np.ndarray) -> Verdict:
    """The verdict of one flat point, [p]; see `label`.

    Raises:
        InputError: A coordinate is not finite.
    """
    if not np.all(np.isfinite(theta)):
        raise InputError(f"coordinate {int(np.flatnonzero(~np.isfinite(theta))[0])} of the point is not finite.")
    with overflow.quiet():
        return _label(problem, theta)


def _label(problem: Problem, theta: np.ndarray) -> Verdict:
    room, problem = room_of(problem), overflow.bounded(classify.bounded(problem))
    exact = room.finish
    judge = _judge if exact is None and not room.everywhere else _judge_exactly
    given = overflow.checked(problem, judge(problem, theta))
    if given.label != Label.UNCONVERGED:
        return replace(given, polished=None, moved=0.0)
    end = _stationary(problem, theta) if exact is None else exact.down(problem, theta)
    polished = given if end is None else judge(problem, end)
    if end is None or polished.label == Label.UNCONVERGED:  # a descent into a pole leads nowhere
        return given
    return replace(given, polished=polished, moved=float(np.linalg.norm(end - theta)))


def _judge_exactly(problem: Problem, theta: np.ndarray) -> Verdict:
    """The verdict where a room judges by slopes, on both sides of kinks, and not by the gradient."""
    point = Point(theta, np.nan, np.nan, np.nan, 0.0, Status.CONVERGED)
    return classify.classify(problem, point, lambda: None)


def _stationary(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """The stationary point next to theta: of any index if theta is nearly one, else down the loss."""
    scale, target = problem.scale, TOLERANCES.target * problem.gradient_scale
    grad, _ = evaluate(problem, theta)
    if np.linalg.norm(grad) <= NEAR * problem.gradient_scale:
        end, grad_norm = newton_to_stationary(problem, theta, target, TOLERANCES.close * scale)
        if grad_norm <= target:
            return end
    # As many as the driver polishes at once: no second program.
    many = np.tile(theta, (batch_size(len(theta)), 1))
    return polish(problem, many, target, TOLERANCES.reach * scale, problem.loss_error(theta), scale).theta[0]


def _judge(problem: Problem, theta: np.ndarray) -> Verdict:
    """The verdict of a smooth problem at theta as it is."""
    target = TOLERANCES.target * problem.gradient_scale
    grad, hessian = evaluate(problem, theta)
    norm = float(np.linalg.norm(grad))
    loss = float(losses(problem, theta[None])[0])
    status = Status.CONVERGED if norm <= target else Status.BUDGET
    point = Point(theta, loss, problem.loss_error(theta), norm, 0.0, status)
    if status == Status.CONVERGED:
        found = spectrum(problem, theta, hessian)
        least = None if found is None else found.min_curvature
        return replace(classify.classify(problem, point, lambda: found), min_curvature=least)
    # The lower bound comes first: a loss at zero is global however large a one-sided gradient looks.
    at_bound = classify.at_lower_bound(problem, point)
    if at_bound is not None and at_bound.label == Label.GLOBAL:
        return at_bound
    reason = f"not stationary: gradient norm {norm:.2g}, {target:.0e} is asked for"
    return classify.complete(problem, point, Claim(Label.UNCONVERGED, reason=reason))


# -- better networks on a data set -------------------------------------------------------------------------------------


class Network(NamedTuple):
    """A better network.

    Attributes:
        params: Its weights.
        loss: Its true loss.
        how: What it is, or how the given one leads to it.
    """

    params: Params
    loss: float
    how: str

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape label --improve --json` prints for it."""
        weights = {
            name: None if part is None else np.asarray(part).tolist() for name, part in self.params._asdict().items()
        }
        return {"neurons": len(self.params.hidden), "loss": self.loss, "how": self.how, **weights}


class Improvement(NamedTuple):
    """What is better than a network, on the same data.

    Attributes:
        optimum: A best network of all widths, with as few neurons as pruning leaves.
        lower_bound: No network of any width has a smaller loss.
        gap: Loss of the optimum less that bound.
        best_of_width: A best network of this width, as its `how` says; where that is not known, a better one of this
            width ("better, of this width") or None.
        next: Down from the given network without a rise of the loss, as far as its activation cells go; None from a
            global minimum and where there is no such way.
    """

    optimum: Network
    lower_bound: float
    gap: float
    best_of_width: Network | None
    next: Network | None

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape label --improve --json` prints for a point."""
        return {
            "optimum": {**self.optimum.as_dict(), "lower_bound": self.lower_bound, "gap": self.gap},
            "best_of_width": None if self.best_of_width is None else self.best_of_width.as_dict(),
            "next": None if self.next is None else self.next.as_dict(),
        }


def improve(problem: Empirical, params: Params, *, seconds: float | None = None) -> Improvement:
    """The best network of all widths, the best of this one, and the next better one, each with its loss.

    Args:
        problem: ReLU networks on a data set, with weight decay on the hidden biases too if there are any.
        params: A network.
        seconds: What searches for optima may take in all; where they end early the networks are the best that were
            seen, and `gap` says how much is left.

    Raises:
        InputError: No convex program knows the optimum of this problem, or params do not fit.
    """
    is_landscape(problem)
    if problem.rows is None or not problem.certifiable:
        raise InputError(
            "the optimum is known for ReLU networks on data with squared or logistic loss, positive weight decay and "
            "no unregularised hidden bias; here it is not."
        )
    with within(seconds):
        return _improved(problem, problem.write(params))


def _improved(problem: Empirical, theta: np.ndarray) -> Improvement:
    """The record of `improve`."""
    data, best = problem.data, certified_optimum(problem)
    least = prune(data, best.hidden, best.outer, best.b0)
    optimum = _network(problem, least.hidden, least.outer, least.b0, "best of all widths")
    own = None
    if len(least.outer) <= problem.width:
        own = _network(problem, least.hidden, least.outer, least.b0, "best of this width and of all", problem.width)
    else:
        found = best_of_width(problem)
        here = forward(problem, theta)
        if found is not None and exact(found):
            own = _network(problem, found.hidden, found.outer, found.b0, "best of this width", problem.width)
        elif found is not None and found.value < here.loss - 2 * here.loss_error:  # what an unfinished search has seen
            own = _network(problem, found.hidden, found.outer, found.b0, "better, of this width", problem.width)
    verdict = label_one(problem, theta)
    return Improvement(optimum, best.lower_bound, optimum.loss - best.lower_bound, own, _next(problem, theta, verdict))


def _network(
    problem: Empirical, hidden: np.ndarray, outer: np.ndarray, b0: float, how: str, width: int | None = None
) -> Network:
    """The record of a network, with zero neurons up to a width."""
    more = 0 if width is None else width - len(outer)
    hidden = np.concatenate([hidden, np.zeros((more, problem.d))])
    outer = np.concatenate([outer, np.zeros(more)])
    tail = [] if problem.outer_bias == "none" else [np.array([b0])]
    wide = replace(problem, width=len(outer))
    return _record(wide, np.concatenate([hidden.reshape(-1), outer, *tail]), how)


def _record(problem: Empirical, theta: np.ndarray, how: str) -> Network:
    return Network(problem.read(theta), forward(problem, theta).loss, how)


def _next(problem: Empirical, theta: np.ndarray, verdict: Verdict) -> Network | None:
    """Down from a network without a rise of the loss."""
    if verdict.polished is not None:
        end = finish(problem, theta)
        return None if end is None else _record(problem, end, "the stationary point that it leads to")
    if verdict.escape is not None:
        return _down(problem, theta, verdict, f"down from the {verdict.label}")
    if verdict.label == Label.SPURIOUS and verdict.flavour != Flavour.STRICT:
        here = forward(problem, theta)
        some = prune(problem.data, here.w, here.a, here.b0)
        merged = _network(problem, some.hidden, some.outer, some.b0, "", problem.width)
        same = problem.write(merged.params)
        there = convex.label(problem, same)
        if there.escape is not None and merged.loss <= here.loss + here.loss_error:
            return _down(problem, same, there, "neurons merged at constant loss until one is free, then down")
    return None


def _down(problem: Empirical, theta: np.ndarray, verdict: Claim, how: str) -> Network:
    """Along the escape, and on to the optimum of the cells there."""
    assert verdict.escape is not None
    there = theta + verdict.escape
    end = finish(problem, there)
    ends = [_record(problem, one, how) for one in (there, end) if one is not None]
    return min(ends, key=lambda network: network.loss)
