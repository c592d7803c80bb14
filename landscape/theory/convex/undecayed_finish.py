"""The nearest minimum of squared loss within a network's own cells, without weight decay: a least squares problem."""

from __future__ import annotations

from typing import Any

import clarabel as _clarabel
import numpy as np
from scipy.linalg import block_diag, lstsq, null_space
from scipy.sparse import csc_matrix

from landscape.problems.datafit import SQUARED
from landscape.problems.empirical import Empirical
from landscape.theory.convex.forward_pass import TIE, Forward, forward, loss_is_known, sides_of, theta_of
from landscape.theory.convex.slopes import slopes
from landscape.theory.convex.standard import standard

clarabel: Any = _clarabel  # a compiled module without type information


def least_squares(problem: Empirical, here: Forward) -> np.ndarray | None:
    """Without weight decay: the nearest minimum of squared loss in the network's own closed cells, if there is one.

    In a cell the loss is a least squares problem in u = a w and b0. theta moves along the shortest way to its solution,
    and where that leaves the cell along the shortest way within it.
    """
    alive = np.flatnonzero(here.a != 0)
    if float(problem.weight_decay) > 0 or problem.fit is not SQUARED or not len(alive):
        return None
    low, high = sides_of(problem)
    n, d, b = len(problem.y), problem.d, int(problem.outer_bias != "none")
    pattern, a = here.z[:, alive] > 0, here.a[alive]
    columns = (np.where(pattern, high, low)[:, :, None] * problem.x[:, None, :] * a[:, None]).reshape(n, -1)
    columns = np.concatenate([columns, np.ones((n, b))], axis=1)
    sides = np.where(pattern, 1.0, -1.0).T[:, :, None] * problem.x  # [alive, n, d]
    free = [np.eye(d)] * len(alive)
    for move in (_shortest(columns, here.nu, free, b), *_within(columns, here, alive, sides, b)):
        w = here.w.copy()
        w[alive] += move[: len(alive) * d].reshape(-1, d)
        end = theta_of(problem, w, here.a, here.b0 + (move[-1] if b else 0.0))
        there = forward(problem, end)
        own = standard(problem, end)
        seen = forward(own.problem, own.theta)
        found = slopes(own.problem, seen)
        height = np.where(pattern, 1.0, -1.0) * seen.z[:, alive]
        wide = np.linalg.norm(own.problem.x, axis=1)[:, None] * np.linalg.norm(seen.w[alive], axis=1)
        inside = np.all(height >= -TIE * wide)
        fits = there.loss <= 2 * there.loss_error  # what is left of nu is rounding, and so is the gradient
        lower = there.loss <= here.loss + here.loss_error + there.loss_error
        if inside and lower and loss_is_known(problem, there) and (fits or found.stationary):
            return end
    return None


def shortest_solution(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The shortest least squares solution."""
    return np.asarray(lstsq(a, b, cond=1e-12)[0])  # pyright: ignore[reportOptionalSubscript]


def _shortest(columns: np.ndarray, nu: np.ndarray, bases: list[np.ndarray], b: int) -> np.ndarray:
    """The shortest move, each neuron's within its basis [d, k], that takes as much of nu as one can."""
    turn = np.asarray(block_diag(*bases, np.eye(b)))
    return turn @ shortest_solution(columns @ turn, nu)


def _within(columns: np.ndarray, here: Forward, alive: np.ndarray, sides: np.ndarray, b: int) -> list[np.ndarray]:
    """The shortest move within the closed cells, found by an interior point and finished on the walls it comes to."""
    p, walls = columns.shape[1], sides.shape[0] * sides.shape[1]
    wall = np.zeros((walls, p))
    for j, rows in enumerate(sides):
        wall[j * len(rows) : (j + 1) * len(rows), j * rows.shape[1] : (j + 1) * rows.shape[1]] = rows
    slack = wall[:, : p - b] @ here.w[alive].reshape(-1)
    gram = columns.T @ columns
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    solved = clarabel.DefaultSolver(
        csc_matrix(np.triu(gram + 1e-7 * np.trace(gram) / p * np.eye(p))), -columns.T @ here.nu,
        csc_matrix(-wall), slack, [clarabel.NonnegativeConeT(walls)], settings,
    ).solve()  # fmt: skip
    tied = (np.asarray(solved.s) < np.asarray(solved.z)).reshape(sides.shape[:2])
    bases, back = [], []
    for rows, some, w in zip(sides, tied, here.w[alive], strict=True):
        off = rows[some]
        basis = np.eye(len(w)) if not len(off) else np.asarray(null_space(off, rcond=1e-9))
        bases.append(basis)
        back.append(basis @ (basis.T @ w) - w)
    onto = np.concatenate([*back, np.zeros(b)])
    return [onto + _shortest(columns, here.nu - columns @ onto, bases, b)]
