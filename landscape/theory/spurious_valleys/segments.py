"""The highest loss on a straight way between two networks, bounded from above between the way-points too.

Three kinds of ways need no sampling (derived here). (1) Hidden weights stay: outputs are linear along the way and the
loss is convex, so that an end is highest. (2) Only neurons of outer weight zero turn: outputs stay. (3) The activation
is piecewise linear: between two changes of sign of a pre-activation the outputs are quadratic polynomials of the
fraction of the way, hence convex combinations of their three Bezier control points, and a convex loss is nowhere above
its largest value at those. Weight decay is convex and has control points alike.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.records import InputError
from landscape.theory.wide_enough import features

CUTS = 64  # equal parts that a way is cut into beside its kinks: control points are above the loss by 1 / parts^2


class Verified(NamedTuple):
    """The loss along way-points.

    Attributes:
        loss: At the way-points, [t].
        high: No loss from way-point i to i + 1 is above this, rounding included, [t - 1].
        rise: Largest rise above an earlier way-point, less the rounding: 0 for a way that never rises.
    """

    loss: np.ndarray
    high: np.ndarray
    rise: float

    @property
    def highest(self) -> float:
        """No loss on the whole way is above this."""
        return float(np.max(self.high))


class _Network(NamedTuple):
    w: np.ndarray
    a: np.ndarray
    b0: float


def _split(problem: Empirical, theta: np.ndarray) -> _Network:
    m, d = problem.width, problem.d
    b0 = float(theta[-1]) if problem.outer_bias != "none" else 0.0
    return _Network(theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)], b0)


def loss_at(problem: Empirical, theta: np.ndarray) -> float:
    """The loss of a network, on the host."""
    w, a, b0 = _split(problem, theta)
    outputs = features(problem.activation, problem.x @ w.T) @ a + b0
    return float(np.sum(problem.fit.paid(outputs, problem.y))) + _decay(problem, theta)


def _decay(problem: Empirical, theta: np.ndarray) -> float:
    return 0.5 * float(problem.weight_decay) * float(problem.penalised @ (theta * theta))


def highest(problem: Empirical, start: np.ndarray, end: np.ndarray) -> float:
    """No loss on the straight way from start [p] to end [p] is above this; rounding is included.

    Exact to rounding for ways of the first two kinds and where only hidden weights move, else too high by some
    1 / CUTS^2 of the change of the loss.

    Raises:
        InputError: The way is of none of the three kinds.
    """
    start, end = np.asarray(start, np.float64), np.asarray(end, np.float64)
    one, two = _split(problem, start), _split(problem, end)
    # Outputs between the ends are off by what they are at the ends, and kinks by as much again.
    slack = 4 * max(problem.loss_error(start), problem.loss_error(end))
    ends = max(loss_at(problem, start), loss_at(problem, end))
    turned = np.any(one.w != two.w, axis=1)
    if not np.any(turned & ((one.a != 0) | (two.a != 0))):
        return ends + slack
    if problem.activation.odd_and_even is None:
        raise InputError(
            f"between way-points where hidden weights of {problem.activation} move nothing bounds the loss; move "
            "outer weights alone, or neurons of outer weight zero."
        )
    return max(ends, _control_points(problem, start, end, one, two)) + slack


def _control_points(problem: Empirical, start: np.ndarray, end: np.ndarray, one: _Network, two: _Network) -> float:
    """The largest loss at the control points of all pieces."""
    z0, z1 = problem.x @ one.w.T, problem.x @ two.w.T  # [n, m]
    with np.errstate(divide="ignore", invalid="ignore"):
        kinks = z0 / (z0 - z1)
    kinks = kinks[(kinks > 0) & (kinks < 1)]
    t = np.unique(np.concatenate([np.linspace(0.0, 1.0, CUTS + 1), kinks]))
    before, after = t[:-1], t[1:]
    at = lambda s, u, v: u + s.reshape((-1,) + (1,) * np.ndim(u)) * (v - u)  # noqa: E731
    middle = at(0.5 * (before + after), z0, z1)  # [pieces, n, m]
    odd, even = problem.activation.parts
    slope = np.where(middle > 0, odd + even, odd - even)
    left, right = (slope * at(s, z0, z1) for s in (before, after))
    a_left, a_right = (at(s, one.a, two.a) for s in (before, after))
    b_left, b_right = (at(s, np.asarray(one.b0), np.asarray(two.b0))[:, None] for s in (before, after))
    along = lambda h, a: np.einsum("pnm,pm->pn", h, a)  # noqa: E731
    outputs = [
        along(left, a_left) + b_left,
        0.5 * (along(left, a_right) + along(right, a_left) + b_left + b_right),
        along(right, a_right) + b_right,
    ]
    theta_left, theta_right = (at(s, start, end) for s in (before, after))
    weights = [theta_left, 0.5 * (theta_left + theta_right), theta_right]
    beta, counted = 0.5 * float(problem.weight_decay), problem.penalised
    return max(
        float(np.max(np.sum(problem.fit.paid(f, problem.y), axis=1) + beta * (w * w) @ counted))
        for f, w in zip(outputs, weights, strict=True)
    )


def verify(problem: Empirical, points: np.ndarray) -> Verified:
    """The loss along straight ways through way-points [t, p], bounded from above everywhere.

    Raises:
        InputError: There are fewer than two, or a way between two of them is of none of the three kinds.
    """
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or len(points) < 2 or points.shape[1] != problem.p:
        raise InputError(f"way-points must be of shape [2 or more, {problem.p}], found {points.shape}.")
    loss = np.array([loss_at(problem, point) for point in points])
    errors = np.array([problem.loss_error(point) for point in points])
    high = np.array([highest(problem, *pair) for pair in pairwise(points)])
    so_far = np.minimum.accumulate(loss[:-1] + errors[:-1])
    rise = float(np.max(high - 5 * np.maximum(errors[:-1], errors[1:]) - so_far))
    return Verified(loss, high, max(rise, 0.0))
