"""A network without weight decay in units of its own: any linear map of the columns of x leaves its loss as it is.

Without weight decay the columns of x have no common unit: with x = q r, q of orthonormal columns, the weights r w are
those of the same network on q. And a neuron's layers can be rescaled against each other. So tests for ties, zero slopes
and zero neurons are made on q, with both layers of a neuron of one size: then they are the same in all units, and for
columns that are nearly dependent (time stamps beside a constant).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.theory.convex.forward_pass import ZERO, theta_of

EPS = float(np.finfo(float).eps)


class Standard(NamedTuple):
    """A network in its own units.

    Attributes:
        problem: The landscape with x replaced by q, [n, r]; the given one where there is weight decay, which has units.
        theta: The network there.
        columns: Hidden weights of the given network for those on q, [d, r]; None where the problem is the given one.
        ratio: What each neuron's hidden weights were multiplied with, and its outer weight divided by, [m].
    """

    problem: Empirical
    theta: np.ndarray
    columns: np.ndarray | None
    ratio: np.ndarray

    def given(self, step: np.ndarray) -> np.ndarray:
        """The move of the given weights, [p], that a move of theta stands for."""
        if self.columns is None:
            return step
        m, r = len(self.ratio), self.problem.d
        hidden = (step[: m * r].reshape(m, r) / self.ratio[:, None]) @ self.columns.T
        return np.concatenate([hidden.reshape(-1), step[m * r : m * (r + 1)] * self.ratio, step[m * (r + 1) :]])


def column_space(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """q [n, r] of orthonormal columns and `there` [r, d] with x = q there, and the pseudo-inverse of `there`, [d, r].

    Columns are scaled to length one first; what is dependent to rounding then is left out.
    """
    length = np.linalg.norm(x, axis=0)
    length = np.where(length > 0, length, 1.0)
    q, size, turn = np.linalg.svd(x / length, full_matrices=False)
    kept = size > max(x.shape) * EPS * np.max(size, initial=0.0)
    q, size, turn = q[:, kept], size[kept], turn[kept]
    return q, size[:, None] * turn * length, (turn.T / size) / length[:, None]


def standard(problem: Empirical, theta: np.ndarray) -> Standard:
    """The network at theta [p] in its own units; as it is with weight decay, or where all inputs are zero."""
    theta, m, d = np.asarray(theta, np.float64), problem.width, problem.d
    if float(problem.weight_decay) > 0 or not np.any(problem.x):
        return Standard(problem, theta, None, np.ones(m))
    q, there, back = column_space(problem.x)
    own = replace(problem, x=q)
    w, a = theta[: m * d].reshape(m, d) @ there.T, theta[m * d : m * (d + 1)]
    norms = np.linalg.norm(w, axis=1)
    # A neuron that adds nothing to the outputs keeps its layers: where only one is zero, its slopes are the other's.
    alive = norms * np.abs(a) > (ZERO * own.scale) ** 2
    ratio = np.where(alive, np.sqrt(np.where(alive, np.abs(a), 1.0) / np.where(alive, norms, 1.0)), 1.0)
    b0 = float(theta[-1]) if problem.outer_bias != "none" else 0.0
    return Standard(own, theta_of(own, ratio[:, None] * w, a / ratio, b0), back, ratio)
