"""Ascents of u -> |nu' relu(x u)| on the unit sphere from random starts, where cells cannot be listed."""

from __future__ import annotations

import numpy as np

from landscape.theory.arrangement.projection import projected, shrunk
from landscape.theory.arrangement.records import Maxima
from landscape.theory.arrangement.rows import as_matrix, as_residual, normalised, weighted_rows
from landscape.theory.arrangement.threads import one_thread

# Cosine of the angle within which two ascents count as having come to one maximum.
DISTINCT = 0.9998


def ascend(z: np.ndarray, weight: np.ndarray, starts: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """The best local maximum of |weight' relu(z u)| met from some starts, 200 random ones by default: (value, u)."""
    best = (0.0, np.eye(z.shape[1])[0])
    for sign in (1, -1):
        w = sign * weight
        u, h = _climbed(z, w, _random_units(z.shape[1]) if starts is None else starts)
        top = u[np.argsort(-h)[:8]]
        u = np.concatenate([top, projected(z, w, top @ z.T > 0, np.full(len(top), np.inf), 0.0)[1]])
        h = np.maximum(u @ z.T, 0.0) @ w
        i = len(u) - 1 - int(np.argmax(h[::-1]))
        if h[i] > best[0]:
            best = (float(h[i]), u[i])
    return best


def _random_units(rank: int, seed: int = 0) -> np.ndarray:
    return normalised(np.random.default_rng(seed).normal(size=(200, rank)))


def _climbed(z: np.ndarray, w: np.ndarray, u: np.ndarray, sweeps: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Where ascents of w' relu(z u) on the ball lead from u [Q, rank] in six steps, and the heights there.

    Fixing the pattern S of the rows with w > 0 leaves a concave function below h and equal to it at u; its maximum on
    the ball is p_S - rho b, normalised. Each step goes there, so h never falls.
    """
    up, down = w > 0, w < 0
    b = -w[down, None] * z[down]
    for _ in range(6):
        product = u @ z.T
        p = (np.maximum(np.sign(product[:, up]), 0.0) * w[up]) @ z[up]
        rho = shrunk(p, b, (product[:, down] > 0).astype(float), None, sweeps)
        left = p - rho @ b
        size = np.linalg.norm(left, axis=1)
        u = np.where(size[:, None] > 0, left / np.maximum(size, 1e-300)[:, None], u)
    return u, np.maximum(u @ z.T, 0.0) @ w


@one_thread
def ascents(x: np.ndarray, nu: np.ndarray, above: float = 0.0, seed: int = 0) -> Maxima:
    """Local maxima of u -> |nu' relu(x u)| higher than `above`, as far as ascents from 200 random starts meet them.

    Highest first, no two of a sign within an angle of 0.02; each is a maximum to about 1e-3 of its height only, since
    the cells beside it are what it is good for. Not all of them, unlike `local_maxima`; but it needs no list of cells.
    """
    x, nu = as_matrix(x), as_residual(x, nu)
    reduced, weight, _, _ = weighted_rows(x, nu)
    z = reduced.rows
    tops: list[tuple[float, int, np.ndarray]] = []
    for sign in (1, -1) if len(z) and np.any(weight) else ():
        u, h = _climbed(z, sign * weight, _random_units(z.shape[1], seed), sweeps=3)
        distinct = np.zeros((0, z.shape[1]))
        for i in np.argsort(-h)[: int(np.sum(h > above))]:
            if np.max(distinct @ u[i], initial=-1.0) < DISTINCT:
                distinct = np.vstack([distinct, u[i]])
                tops.append((float(h[i]), sign, normalised(reduced.basis @ u[i])))
    tops.sort(key=lambda one: -one[0])
    return Maxima(
        u=np.array([u for _, _, u in tops]).reshape(-1, x.shape[1]),
        sign=np.array([sign for _, sign, _ in tops], int),
        value=np.array([h for h, _, _ in tops]),
    )
