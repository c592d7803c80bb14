"""Bounds and maximisers of w' relu(x u) on single cells, where it is linear.

In the cell of pattern D the maximum of g.u, g = x' D w, is the length of the projection of g on the cone, the minimum
over rho >= 0 of |g + x' (2D - 1) rho|; any rho bounds from above. Before that, cells are screened in groups. With S a
pattern of the rows with w > 0 alone, w' relu(x u) <= p_S.u - sum_{w_k < 0} rho_k |w_k| x_k.u for every rho in [0, 1],
so |p_S - sum rho_k |w_k| x_k| is a bound (the Hausdorff distance of two zonotopes; Bach 2017).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls

from landscape.theory.arrangement.rows import EPS, pattern_keys


def screened(x: np.ndarray, w: np.ndarray, patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper bounds of max w' relu(x u) on each cell [P], and directions [Q, d] worth trying.

    Cells that agree on the rows with w > 0 share the bound |p_S - rho b| of the module's head, rho from a few sweeps
    of coordinate descent.
    """
    up, down = w > 0, w < 0
    _, index, group = np.unique(pattern_keys(patterns[:, up]), return_index=True, return_inverse=True)
    p = (patterns[index][:, up] * w[up]) @ x[up]
    b = -w[down, None] * x[down]
    rho = shrunk(p, b, patterns[index][:, down].astype(float), None, 30)
    left = p - rho @ b
    size = np.linalg.norm(left, axis=1)
    bound = size + sum_error(x, w)
    return bound[group.reshape(-1)], left[size > 0] / size[size > 0, None]


def sum_error(x: np.ndarray, w: np.ndarray) -> float:
    """Bound on the rounding error of the length of a computed sum of fractions of the vectors w_k x_k."""
    return 4 * (len(x) + 8) * EPS * float(np.abs(w) @ np.linalg.norm(x, axis=1))


def shrunk(p: np.ndarray, b: np.ndarray, rho: np.ndarray, free: np.ndarray | None, sweeps: int) -> np.ndarray:
    """rho in [0, 1] [Q, m] that makes |p - rho b| small, p [Q, d], b [m, d]: coordinate descent, where `free`."""
    rho, left = rho.copy(), p - rho @ b
    square = np.sum(b * b, axis=1)
    square[square == 0] = np.inf  # underflow: such a row moves nothing
    columns = range(len(b)) if free is None else np.flatnonzero(np.any(free, axis=0))
    for _ in range(sweeps):
        moved = 0.0
        for k in columns:
            move = np.clip(rho[:, k] + left @ b[k] / square[k], 0.0, 1.0) - rho[:, k]
            if free is not None:
                move *= free[:, k]
            rho[:, k] += move
            left -= move[:, None] * b[k]
            moved = max(moved, float(np.max(np.abs(move), initial=0.0)))
        if moved < 1e-9:
            break
    return rho


def projected(
    x: np.ndarray, w: np.ndarray, patterns: np.ndarray, bound: np.ndarray, above: float
) -> tuple[np.ndarray, np.ndarray]:
    """For each cell a bound of max w' relu(x u) on it [P], and its maximiser [P, d] (zero where not looked for).

    Only cells whose bound exceeds `above` are solved: by non-negative least squares, whose multipliers give the bound
    whatever their accuracy; the rows with positive multipliers are the hyperplanes of the maximiser, which is
    recomputed as the projection of the gradient on their intersection.
    """
    g = (patterns * w) @ x
    size = np.linalg.norm(g, axis=1)
    norms = np.linalg.norm(x, axis=1)
    unit, round_off = x / norms[:, None], sum_error(x, w)
    upper = np.minimum(bound, size + round_off)
    u = np.zeros_like(g)
    todo = (upper > above) & (size > 0)
    signed = np.where(patterns, 1.0, -1.0)
    inside = todo & np.all(signed * (g @ unit.T) >= 0, axis=1)
    u[inside] = g[inside] / size[inside, None]
    for i in np.flatnonzero(todo & ~inside):
        faces = signed[i][:, None] * unit
        try:
            rho = np.maximum(nnls(faces.T, -g[i])[0], 0.0)
        except RuntimeError:  # out of iterations: the bound already known stands
            continue
        left = g[i] + rho @ faces
        upper[i] = min(upper[i], np.linalg.norm(left) + round_off + sum_error(unit, rho))
        if upper[i] <= above:
            continue
        normal = np.linalg.qr(unit[rho > 0].T)[0]
        best = g[i] - normal @ (normal.T @ g[i])
        best = best - normal @ (normal.T @ best)  # twice is enough: orthogonal to rounding
        length = np.linalg.norm(best)
        if length > round_off:
            u[i] = best / length
    return upper, u
