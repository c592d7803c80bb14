"""Labels for points that someone brings: the point as given, and the stationary point it leads to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from landscape import classify
from landscape.host.lanes import REACH, TARGET
from landscape.polish import batch_size, evaluate, newton_to_stationary, polish
from landscape.problems.empirical import Empirical
from landscape.problems.network import Params
from landscape.problems.population import TeacherStudent
from landscape.problems.porcupine import Porcupine
from landscape.problems.problem import Problem
from landscape.records import InputError, Label, Point, Status, Verdict
from landscape.spectrum import spectrum
from landscape.theory import porcupine as lines
from landscape.theory.convex import stationary as convex

NEAR = 1e-6  # a point this close to stationary, times the scale, is polished whatever its index


def label(problem: Problem, params: Any) -> Verdict | list[Verdict]:
    """The verdict of a point, or of several, with `polished`: that of the stationary point it leads to.

    The point is judged as given: weights from a training run are rarely stationary to 1e-12 and are then
    `unconverged`, with their loss, bound and excess. `polished` is the stationary point that a second-order descent
    of no more than a tenth of the problem's scale reaches from there, and None where it reaches none.

    Args:
        problem: The landscape.
        params: What the problem's chart reads: `Params(hidden=[width, d])` or the bare matrix for teacher-student
            problems, `Params(hidden=[width, d], outer=[width])` for data sets, the coefficients [p] for porcupines,
            else the user's pytree; with one more axis in front, [points, ...], for several points.

    Raises:
        InputError: The shape is wrong or a number is not finite.
    """
    if isinstance(problem, Porcupine):
        if np.ndim(params) == 2:
            return [label_one(problem, problem.write(one)) for one in params]
        return label_one(problem, problem.write(params))
    if isinstance(problem, TeacherStudent):
        hidden = params.hidden if isinstance(params, Params) else params
        if np.ndim(hidden) == 3:
            return [label_one(problem, problem.write(one)) for one in np.asarray(hidden)]
    if isinstance(problem, Empirical) and isinstance(params, Params) and np.ndim(params.hidden) == 3:
        return [label_one(problem, problem.write(one)) for one in points_of(params)]
    return label_one(problem, problem.write(params))


def points_of(params: Params) -> list[Params]:
    """Many networks, each part with an axis of points in front, one by one."""
    parts = [None if part is None else np.asarray(part) for part in params]
    return [Params(*(None if part is None else part[i] for part in parts)) for i in range(len(params.hidden))]  # pyright: ignore[reportArgumentType]


def label_one(problem: Problem, theta: np.ndarray) -> Verdict:
    """The verdict of one flat point, [p]; see `label`."""
    if not np.all(np.isfinite(theta)):
        raise InputError(f"coordinate {int(np.flatnonzero(~np.isfinite(theta))[0])} of the point is not finite.")
    if isinstance(problem, Porcupine):
        return _label_at_kinks(problem, theta, lines.label, lines.finish)
    if isinstance(problem, Empirical):
        problem = convex.bounded(problem)
        if problem.kinked:
            return _label_at_kinks(problem, theta, convex.label, convex.finish)
    given = _judge(problem, theta, moved=0.0, target=TARGET * problem.gradient_scale)
    if given.label != Label.UNCONVERGED:
        return replace(given, polished=None, moved=0.0)
    end = _stationary(problem, theta)
    polished = _judge(problem, end, moved=float(np.linalg.norm(end - theta)), target=TARGET * problem.gradient_scale)
    if polished.label == Label.UNCONVERGED:
        return given
    return replace(given, polished=polished, moved=float(np.linalg.norm(end - theta)))


def _label_at_kinks(
    problem: Any, theta: np.ndarray, judge: Callable[..., Verdict], finish: Callable[..., np.ndarray | None]
) -> Verdict:
    """The same by slopes on both sides of the kinks; the finish goes as far down as a descent would."""
    given = judge(problem, theta)
    if given.label != Label.UNCONVERGED:
        return replace(given, polished=None, moved=0.0)
    end = finish(problem, theta)
    polished = given if end is None else judge(problem, end)
    if polished.label == Label.UNCONVERGED:
        return given
    assert end is not None
    return replace(given, polished=polished, moved=float(np.linalg.norm(end - theta)))


def _stationary(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """The stationary point next to theta: of any index if theta is nearly one, else down the loss."""
    scale = problem.scale
    grad, _ = evaluate(problem, theta)
    if np.linalg.norm(grad) <= NEAR * problem.gradient_scale:
        end, grad_norm = newton_to_stationary(problem, theta, TARGET * problem.gradient_scale, 0.01 * scale)
        if grad_norm <= TARGET * problem.gradient_scale:
            return end
    # As many as the driver polishes at once: no second program.
    many = np.tile(theta, (batch_size(len(theta)), 1))
    return polish(
        problem, many, TARGET * problem.gradient_scale, REACH * scale, problem.loss_error(theta), scale
    ).theta[0]


def _judge(problem: Problem, theta: np.ndarray, moved: float, target: float) -> Verdict:
    grad, hessian = evaluate(problem, theta)
    norm = float(np.linalg.norm(grad))
    loss = float(classify.losses(problem, theta[None])[0])
    status = Status.CONVERGED if norm <= target else Status.BUDGET
    point = Point(theta, loss, problem.loss_error(theta), norm, moved, status)
    if status == Status.CONVERGED:
        found = spectrum(problem, theta, hessian)
        return replace(classify.classify(problem, point, found), min_curvature=found.min_curvature)
    # The lower bound comes first: a loss at zero is global however large a one-sided gradient looks.
    at_bound = classify.at_lower_bound(problem, point)
    if at_bound is not None and at_bound.label == Label.GLOBAL:
        return at_bound
    reason = f"not stationary: gradient norm {norm:.2g}, {target:.0e} is asked for"
    return replace(classify.unconverged(problem, point), label=Label.UNCONVERGED, evidence=None, by=None, reason=reason)
