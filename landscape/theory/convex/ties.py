"""Slopes of one neuron across the rows that it is tied to: the least subgradient, and the steepest descent.

Ties on one line count together: on their own, two of opposite signs have more subgradients than the loss.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog, lsq_linear

from landscape.theory.arrangement.cells import cells
from landscape.theory.convex.forward_pass import TIE


def merged_ties(tied: np.ndarray, jumps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ties by line: unit vectors [l, d], and what the slope jumps by on their positive and negative sides, [l] each."""
    lines: list[np.ndarray] = []
    plus: list[float] = []
    minus: list[float] = []
    for row, jump in zip(tied, jumps, strict=True):
        length = float(np.linalg.norm(row))
        unit = row / length
        for k, line in enumerate(lines):
            side = float(np.sign(line @ unit))
            if np.linalg.norm(unit - side * line) <= TIE:
                plus[k] += jump * length * (side > 0)
                minus[k] += jump * length * (side < 0)
                break
        else:
            lines.append(unit)
            plus.append(jump * length)
            minus.append(0.0)
    return np.array(lines).reshape(-1, tied.shape[1]), np.array(plus), np.array(minus)


def least_subgradient(g: np.ndarray, lines: np.ndarray, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """The shortest of g + sum t_l e_l over unit lines e_l [l, d], each t_l between plus_l and -minus_l."""
    if not len(lines):
        return g
    first = g + np.minimum(plus, -minus) @ lines
    columns = np.abs(plus + minus)[:, None] * lines
    if len(columns) == 1:
        c = columns[0]
        tau = float(np.clip(-(first @ c) / max(float(c @ c), 1e-300), 0.0, 1.0))
        return first + tau * c
    tau = lsq_linear(columns.T, -first, (0.0, 1.0), method="bvls", tol=1e-14).x
    return first + tau @ columns


def one_sided_slope(g: np.ndarray, lines: np.ndarray, plus: np.ndarray, minus: np.ndarray, delta: np.ndarray) -> float:
    """The one-sided slope along delta."""
    along = lines @ delta
    return float(g @ delta + plus @ np.maximum(along, 0.0) + minus @ np.maximum(-along, 0.0))


def steepest_descent(
    g: np.ndarray, lines: np.ndarray, plus: np.ndarray, minus: np.ndarray, weak: float
) -> tuple[float, np.ndarray | None, bool]:
    """The steepest slope found along unit directions, its direction, and whether the signs that decide are clear."""
    bends = plus + minus  # q(e) + q(-e) of each line: its kink is convex where this is not negative
    if np.all((bends > weak) | ((plus == 0) & (minus == 0))):
        return 0.0, None, True
    if np.linalg.matrix_rank(lines, tol=1e-9) == len(lines):
        if np.min(bends) > -weak:
            return 0.0, None, False
        k = int(np.argmin(bends))
        delta = np.linalg.pinv(lines)[:, k]  # moves off this line's plane and along all others
        delta /= np.linalg.norm(delta)
        sides = [(one_sided_slope(g, lines, plus, minus, s * delta), s * delta) for s in (1.0, -1.0)]
        slope, delta = min(sides, key=lambda one: one[0])
        return slope, delta, True
    # Dependent lines: in each of their cells the slope is linear.
    basis = np.linalg.svd(lines, full_matrices=False)[2][: np.linalg.matrix_rank(lines, tol=1e-9)]
    inside = lines @ basis.T
    best, where = 0.0, None
    for pattern in cells(inside).patterns:
        sign = np.where(pattern, 1.0, -1.0)
        cost = basis @ g + np.where(pattern, plus, -minus) @ inside
        cost = cost / max(float(np.max(np.abs(cost))), 1e-300)
        found = linprog(cost, A_ub=-sign[:, None] * inside, b_ub=np.zeros(len(lines)), bounds=(-1, 1), method="highs")
        if found.x is None:
            return 0.0, None, False
        delta = basis.T @ found.x
        slope = one_sided_slope(g, lines, plus, minus, delta)
        if slope < best:
            best, where = slope, delta
    if where is None or best > -weak:
        return 0.0, None, best == 0.0 or best > -1e-3 * weak
    length = float(np.linalg.norm(where))
    return best / length, where / length, True
