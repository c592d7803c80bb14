"""phi as an interval: an ascent from below; branch and bound, a spectral bound and a norm bound from above."""

from __future__ import annotations

import math

import numpy as np

from landscape.theory.arrangement.ascent import ascend
from landscape.theory.arrangement.branch_and_bound import branch_and_bound
from landscape.theory.arrangement.records import Phi
from landscape.theory.arrangement.rows import normalised, rounding_units, weighted_rows

# Above this rank branch and bound does not beat the spectral bound in any bearable time.
BRANCHABLE = 8


def phi_interval(x: np.ndarray, nu: np.ndarray, boxes: int) -> Phi:
    """phi between an ascent and the best of three upper bounds."""
    reduced, weight, length, slack = weighted_rows(x, nu)
    z = reduced.rows
    value, u = ascend(z, weight)
    bounds = {"norm bound": norm_bound(z, weight), "spectral bound": spectral_bound(z, weight)}
    if z.shape[1] <= BRANCHABLE and boxes > 0:
        better, bounds["branch and bound"] = branch_and_bound(z, weight, u, value, boxes)
        for start in (better, *ascend(z, weight, better[None])[1:]):
            h = abs(float(weight @ np.maximum(z @ start, 0.0)))
            if h > value:
                value, u = h, start
    by = min(bounds, key=lambda name: bounds[name])
    direction = normalised(reduced.basis @ u)
    h = float(nu @ np.maximum(x @ direction, 0.0))
    upper = max(bounds[by], value) + rounding_units(len(z)) * length + slack
    return Phi(value=abs(h), upper=max(upper, abs(h)), u=direction, sign=1 if h >= 0 else -1, by=by)


def norm_bound(z: np.ndarray, weight: np.ndarray) -> float:
    """max over signs of sum_{+-nu_k > 0} |nu_k| |x_k|: h is at most its positive part."""
    size = np.abs(weight) * np.linalg.norm(z, axis=1)
    return float(max(np.sum(size[weight > 0]), np.sum(size[weight < 0])))


def spectral_bound(z: np.ndarray, weight: np.ndarray) -> float:
    """|x' nu| / 2 + max over signs of sqrt(sum w_k lambda_max(sum w_k e_k e_k')) / 2.

    Here w_k = nu_+- |x_k| and e_k = x_k / |x_k|: relu(t) = (t + |t|) / 2, and by Cauchy-Schwarz
    (sum w_k |e_k.u|)^2 <= sum w_k sum w_k (e_k.u)^2. Unit rows, so that the bound does not depend on how a product
    nu_k x_k is shared out.
    """
    norms = np.linalg.norm(z, axis=1)
    unit, half = z / norms[:, None], 0.0
    for w in (np.maximum(weight, 0.0) * norms, np.maximum(-weight, 0.0) * norms):
        half = max(half, float(np.sum(w)) * float(np.linalg.norm((unit * w[:, None]).T @ unit, 2)))
    return 0.5 * float(np.linalg.norm(z.T @ weight)) + 0.5 * math.sqrt(half)
