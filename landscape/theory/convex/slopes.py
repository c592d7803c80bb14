"""The subdifferential at a point: its least norm, whether it holds zero, and a way down at ties."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.theory.convex.forward_pass import NEAR_TIE, STATIONARY, TIE, ZERO, Forward, heights_of, sides_of
from landscape.theory.convex.ties import least_subgradient, merged_ties, steepest_descent

EPS = float(np.finfo(float).eps)
ROUNDING = 1e-13  # a slope below this, over the size of its terms, cannot be told from zero in floating point


class Slopes(NamedTuple):
    """The subdifferential at a point.

    Attributes:
        norm: Its least Euclidean norm.
        size: Of its terms: `norm` is rounding below a few hundred eps of this.
        stationary: Whether it holds zero as far as floating point goes: for each neuron, in units of its own size.
        ties: Which rows are tied to which neuron, [n, m].
        direction: A first-order descent direction at ties, [p]; None if there is none.
        slope: The slope along it.
        clear: False where a tie is so weak, or a row so nearly tied, that the sign of its slope is not known.
        sharp: False where a slope within rounding of zero was taken for zero.
    """

    norm: float
    size: float
    stationary: bool
    ties: np.ndarray
    direction: np.ndarray | None
    slope: float
    clear: bool
    sharp: bool


def slopes(problem: Empirical, here: Forward) -> Slopes:
    """The least subgradient at a point, and a first-order descent at its ties if there is one.

    The slope along delta of neuron j is g.delta + sum_k c_k relu(x_k.delta) over its ties k, c_k = -a_j nu_k and g the
    derivative with all ties inactive. Ties on one line count together: on their own, two of opposite signs have more
    subgradients than the loss. Where the lines are independent it is least at zero if and only if all of them bend up;
    where they are dependent, a linear program decides in each cell of them.
    """
    x, beta = problem.x, float(problem.weight_decay)
    d = here.w.shape[1]
    norms, rows = np.linalg.norm(here.w, axis=1), np.linalg.norm(x, axis=1)
    both = np.maximum(norms, np.abs(here.a))
    zero = both <= ZERO * problem.scale
    cosines = np.abs(here.z) / np.maximum(np.outer(rows, norms), 1e-300)
    ties = (cosines <= TIE) & (rows > 0)[:, None] & ~zero
    near = (cosines <= NEAR_TIE) & ~ties & (rows > 0)[:, None] & ~zero
    decay = np.ones(d)
    if problem.bias == "free":
        decay[-1] = 0.0
    low, high = sides_of(problem)
    active = np.where((here.z > 0) & ~ties, high, low)
    pull = x.T @ (active * here.nu[:, None])  # [d, m]
    g = beta * decay[:, None] * here.w.T - here.a * pull
    heights = heights_of(problem, here.z)
    outer = beta * here.a - here.nu @ heights
    reach = rows @ np.abs(here.nu)
    size = (beta + reach) * float(np.max(both, initial=0.0))
    # Of a neuron's gradient over its size, both of degree one: a small one that dwindles is not stationary. A tenth of
    # a per mille of beta tells such a one where the residual is large beside beta.
    enough = STATIONARY * (min(beta + reach, 1e5 * beta) if beta > 0 else reach)
    noise = 8 * EPS * (np.abs(problem.y) + np.abs(here.nu) + np.abs(heights) @ np.abs(here.a) + abs(here.b0))
    blur = float(rows @ noise)  # of a gradient, over the neuron's size: nu is known to its rounding
    total, stationary = 0.0, True
    clear, sharp = beta == 0 or blur <= 1e-3 * beta or bool(np.all(zero)), True
    if problem.outer_bias != "none":
        decayed = beta * here.b0 if problem.outer_bias == "regularised" else 0.0
        left, paid = abs(decayed - float(np.sum(here.nu))), float(np.sum(np.abs(here.nu)))
        total += left * left
        size += paid
        stationary &= left <= STATIONARY * (paid + abs(decayed)) + float(np.sum(noise))
    best: tuple[float, np.ndarray | None] = (0.0, None)
    for j in np.flatnonzero(~zero):
        tied = np.flatnonzero(ties[:, j])
        weak = STATIONARY * abs(here.a[j]) * float(np.max(np.abs(here.nu), initial=0.0))
        jumps = -(high - low) * here.a[j] * here.nu[tied]
        void = np.abs(jumps) <= weak * ROUNDING / STATIONARY
        sharp &= not np.any(void)
        jumps = np.where(void, 0.0, jumps)
        lines, plus, minus = merged_ties(x[tied], jumps)
        rest = least_subgradient(g[:, j], lines, plus, minus)
        own = float(np.hypot(np.linalg.norm(rest), outer[j]))
        total += own * own
        stationary &= own <= (enough + blur) * both[j]
        if np.any(near[:, j] & (-(high - low) * here.a[j] * here.nu < weak)):
            clear = False
        if not len(tied):
            continue
        slope, delta, sure = steepest_descent(g[:, j], lines, plus, minus, weak * float(np.max(rows[tied])))
        clear &= sure
        if delta is not None and slope < best[0]:
            direction = np.zeros(problem.p)
            direction[j * d : (j + 1) * d] = delta
            best = (slope, direction)
    return Slopes(float(np.sqrt(total)), size, stationary, ties, best[1], best[0], clear, sharp)
