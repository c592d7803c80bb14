"""The porcupine loss and its one-sided slopes, from the positive and negative mass on each line.

On line j the neurons have positive mass a_j and negative mass b_j, sums of |c_i|. The loss is a convex quadratic of the
masses x = (a, b) >= 0; all losses are in the package's normalisation, half that of Feizi et al. (2017).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.problems.porcupine import Porcupine

EPS = float(np.finfo(float).eps)


class AtMasses(NamedTuple):
    """The loss and its slopes at masses x.

    Attributes:
        loss: F.
        loss_error: Bound on its rounding error.
        m: Sum of student minus sum of teacher neurons, [d].
        slopes: dF/da and dF/db, [2, r].
        error: Bound on the rounding error of every slope.
    """

    loss: float
    loss_error: float
    m: np.ndarray
    slopes: np.ndarray
    error: float


def masses(problem: Porcupine, theta: np.ndarray) -> np.ndarray:
    """Positive and negative mass on each line, (a, b), [2, r]."""
    c, r = np.asarray(theta, np.float64), len(problem.neurons)
    return np.stack([np.bincount(problem.line_of, np.maximum(side * c, 0.0), r) for side in (1, -1)])


def at_masses(problem: Porcupine, x: np.ndarray) -> AtMasses:
    """Loss and one-sided slopes at masses x [2, r]."""
    total, mass = x[0] - x[1], x[0] + x[1]
    ds, dq = total - problem.on_sum, mass - problem.on_mass
    some = np.flatnonzero((ds != 0) | (dq != 0))
    m = ds[some] @ problem.lines[some] - problem.off_sum
    even = (dq[some] @ problem.psi[some] if 2 * len(some) < len(dq) else problem.psi @ dq) - problem.off_even
    odd = problem.lines @ m
    loss = 0.125 * (m @ m + dq @ (even - problem.off_even) + problem.off_energy)
    error, loss_error = problem.rounding(total, mass)
    return AtMasses(float(loss), loss_error, m, 0.25 * np.stack([even + odd, even - odd]), error)


def decomposition(problem: Porcupine, theta: np.ndarray) -> tuple[float, float]:
    """Theorem 1: the linear part |m|^2 / 8 and the even part z' psi z / 8 of the loss, which is their sum.

    m is the sum of student minus teacher neurons, z the difference of their masses on each line of either.
    """
    at = at_masses(problem, masses(problem, theta))
    linear = float(at.m @ at.m) / 8
    return linear, at.loss - linear


def network(problem: Porcupine, x: np.ndarray) -> np.ndarray:
    """A network with masses x, [p]; on mixed lines the first neuron is positive and the others are negative."""
    first = np.concatenate([[True], np.diff(problem.line_of) > 0])
    positive, negative = (x > 0)[:, problem.line_of]
    return placed(problem, x, np.where(negative & ~(positive & first), -1.0, 1.0))


def placed(problem: Porcupine, x: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The network with masses x and these signs of neurons, mass shared equally, [p]."""
    side, line = np.where(signs > 0, 0, 1), problem.line_of
    count = np.stack([np.bincount(line, side == s, len(problem.neurons)) for s in (0, 1)])
    return signs * x[side, line] / count[side, line]
