"""An interior point method for the convex program: the optimum to about 1e-9, and the active set there."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import clarabel as _clarabel
import numpy as np
from scipy.sparse import csc_matrix, diags_array, eye_array, hstack, vstack

from landscape.problems.datafit import SQUARED, Data
from landscape.theory.convex.cone_program import Guess, Model, Pieces

clarabel: Any = _clarabel  # a compiled module without type information


def _settings() -> Any:
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    settings.presolve_enable = False
    return settings


_SETTINGS = _settings()


def interior_point(data: Data, cells: Pieces, model: Model | None = None) -> Guess:
    """(C) by Clarabel's second-order cones, in units where inputs and labels are of size one.

    The squared loss gets variables r = (f - y) / c of its own, c = min(beta, 1): near interpolation f - y is of the
    size of beta, and in units of c neither the residual nor the price of the blocks fades beside the other. With a
    `model` its squares take the place of the loss; there c is the root of beta, which weights are of the size of.
    """
    q, n, d = cells.features.shape
    walls = cells.walls.shape[1]
    extra = int(data.outer_bias != "none")
    size_x = float(np.abs(data.x).max(initial=0.0)) or 1.0
    squared = data.fit is SQUARED
    size_y = (float(np.abs(data.y).max(initial=0.0)) or 1.0) if squared else 1.0
    # u = size_y / size_x v keeps the program's shape with beta' = beta / (size_x size_y).
    beta = data.weight_decay / (size_x * size_y)
    design = np.empty((n, q * d + extra))
    design[:, : q * d] = cells.features.transpose(1, 0, 2).reshape(n, q * d) / size_x
    design[:, q * d :] = 1.0
    ridge = data.weight_decay if data.outer_bias == "regularised" else 0.0

    indices, starts = _layout(q, d, walls, extra)
    entries = np.empty((q * d, walls + 1))
    entries[:, :walls] = -cells.walls.transpose(0, 2, 1).reshape(q * d, walls)
    entries[:, walls] = -1.0
    a_data = np.concatenate([entries.ravel(), np.full(q, -1.0)])
    lead, rows = q * d + extra, q * (walls + d + 1)
    cones = ([clarabel.NonnegativeConeT(q * walls)] if walls else []) + [clarabel.SecondOrderConeT(d + 1)] * q
    constraint = csc_matrix((a_data, indices, starts), shape=(rows, lead + q))
    if squared or model is not None:
        unit = min(beta, 1.0) if squared else math.sqrt(min(beta, 1.0))
        price = unit if squared else unit * unit  # of the blocks: the objective is in these units
        linear = np.concatenate([np.zeros(lead), np.full(q, beta / price), np.zeros(n)])
        squares = np.concatenate([np.zeros(lead + q), np.full(n, unit * unit / price)])
        squares[q * d : lead] = ridge / price
        quadratic = diags_array(squares, format="csc")
        roots = np.ones(n) if model is None else model.roots
        fits = hstack([csc_matrix(roots[:, None] * design), csc_matrix((n, q)), -unit * eye_array(n)])
        constraint = vstack([hstack([constraint, csc_matrix((rows, n))]), fits], format="csc")
        offset = np.concatenate([np.zeros(rows), data.y / size_y if model is None else model.target])
        cones += [clarabel.ZeroConeT(n)]
        paid = beta / price
    else:
        paid = beta
        quadratic, linear, constraint, offset, more = _logistic(data, design, constraint, q, rows, ridge)
        linear[lead : lead + q] = beta
        cones += more
    solution = clarabel.DefaultSolver(quadratic, linear, constraint, offset, cones, _SETTINGS).solve()
    z, s = np.asarray(solution.z), np.asarray(solution.s)
    v = np.nan_to_num(np.asarray(solution.x)[: q * d].reshape(q, d))
    b0 = float(np.nan_to_num(solution.x[q * d])) if extra else 0.0
    # Complementary pairs: the smaller of the two is the one that is zero.
    cone_z = z[q * walls : q * (walls + d + 1)].reshape(q, d + 1)
    size = np.sqrt(np.einsum("qd,qd->q", v, v))
    pull = np.sqrt(np.einsum("qd,qd->q", cone_z[:, 1:], cone_z[:, 1:]))
    return Guess(
        u=v * (size_y / size_x),
        b0=b0 * size_y,
        alive=size > paid - pull,
        tied=s[: q * walls].reshape(q, walls) < z[: q * walls].reshape(q, walls),
    )


def _logistic(data: Data, design: np.ndarray, constraint: csc_matrix, q: int, rows: int, ridge: float) -> tuple:
    """The logistic loss as exponential cones: exp(-y f - s) <= e1, exp(-s) <= e2, e1 + e2 <= 1, cost sum s.

    Appends variables s, e1, e2 [n each] behind u, b0, t, and rows behind the cones of those.
    """
    n, lead = design.shape
    total = lead + q + 3 * n
    head = constraint.tocoo()
    k = np.arange(n)
    s, e1, e2 = lead + q + k, lead + q + n + k, lead + q + 2 * n + k
    margin = -data.y[:, None] * design
    first, second, last = rows + 3 * k, rows + 3 * n + 3 * k, rows + 6 * n + k
    one = np.ones(n)
    # Clarabel: offset - constraint x in the cone.
    row = np.concatenate([head.row, np.repeat(first, lead), first, first + 2, second, second + 2, last, last])
    col = np.concatenate([head.col, np.tile(np.arange(lead), n), s, e1, s, e2, e1, e2])
    val = np.concatenate([head.data, -margin.ravel(), one, -one, one, -one, one, one])
    constraint = csc_matrix((val, (row, col)), shape=(rows + 7 * n, total))
    offset = np.zeros(rows + 7 * n)
    offset[first + 1] = offset[second + 1] = offset[last] = 1.0
    linear = np.zeros(total)
    linear[s] = 1.0
    at = [lead - 1] if ridge > 0 else []
    quadratic = csc_matrix(([ridge] * len(at), (at, at)), shape=(total, total))
    cones = [clarabel.ExponentialConeT()] * (2 * n) + [clarabel.NonnegativeConeT(n)]
    return quadratic, linear, constraint, offset, cones


@lru_cache(maxsize=256)
def _layout(q: int, d: int, walls: int, extra: int) -> tuple[np.ndarray, ...]:
    """Where the cone rows' entries lie: variables u [q d], b0 [extra], t [q]; rows walls [q walls], then (t, u)."""
    i, j = np.divmod(np.arange(q * d), d)
    rows = np.empty((q * d, walls + 1), np.int64)
    rows[:, :walls] = i[:, None] * walls + np.arange(walls)
    rows[:, walls] = q * walls + i * (d + 1) + 1 + j
    starts = np.concatenate([
        np.arange(q * d + 1) * (walls + 1),
        np.full(extra, q * d * (walls + 1)),
        q * d * (walls + 1) + 1 + np.arange(q),
    ])  # fmt: skip
    indices = np.concatenate([rows.ravel(), q * walls + np.arange(q) * (d + 1)])
    return indices, starts
