"""The stationary values of matrix factorisation in closed form."""

from __future__ import annotations

import numpy as np

from landscape.problems.parallel import Homogeneous
from landscape.records import InputError


def matrix_values(problem: Homogeneous) -> list[tuple[float, tuple[int, ...]]]:
    """The loss at every kind of stationary point of squared matrix factorisation, ascending, with its singular values.

    Stationary points keep any set K of the singular values sigma_i > lambda, shrunk by lambda: the loss is
    sum_K (lambda sigma - lambda^2 / 2) + 1/2 sum_rest sigma^2. Those of width r have at most r in K.
    """
    sigma, lam = np.linalg.svd(problem.y, compute_uv=False), float(problem.regularisation)
    above = np.flatnonzero(sigma > lam)
    if len(above) > 16:
        raise InputError(f"{len(above)} singular values lie above lambda: more than 2^16 stationary values.")
    gains = 0.5 * (sigma[above] - lam) ** 2
    found = []
    for chosen in range(2 ** len(above)):
        kept = [i for i in range(len(above)) if chosen >> i & 1]
        found.append((float(0.5 * np.sum(sigma**2) - np.sum(gains[kept])), tuple(int(above[i]) for i in kept)))
    return sorted(found)


def matrix_point(problem: Homogeneous, kept: tuple[int, ...]) -> np.ndarray:
    """The stationary point, [p], that keeps these singular values; the other subnetworks are zero."""
    if problem.width < len(kept):
        raise InputError(f"width {problem.width} holds no point with {len(kept)} singular values.")
    u, s, vt = np.linalg.svd(problem.y)
    theta = np.zeros((problem.width, problem.q))
    for j, i in enumerate(kept):
        theta[j] = np.sqrt(s[i] - float(problem.regularisation)) * np.concatenate([u[:, i], vt[i]])
    return theta.reshape(-1)
