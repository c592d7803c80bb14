"""ReLU training on orthonormal rows, in closed form."""

from __future__ import annotations

import numpy as np

from landscape.problems.datafit import SQUARED, Data, objective
from landscape.records import InputError
from landscape.theory.convex.oracles.bounds import EPS, Network, check_positive, ray_bound


def whitened(data: Data) -> Network:
    """Optimum of ReLU training on data with orthonormal rows, x x' = I, in closed form: at most two neurons.

    Regulariser (weight_decay / 2) sum_j (|w_j|^2 + a_j^2), squared loss, no outer bias, every width of at least two.
    relu(x u) ranges over the positive part of the ball, hence phi(nu) = max(|nu_+|, |nu_-|), and each sign of y is
    fitted by one neuron, shrunk by beta: p* = sum over the signs of beta |y_s| - beta^2 / 2 where |y_s| > beta, else
    |y_s|^2 / 2 (derived here; such whitened closed forms go back to Ergen and Pilanci, JMLR 2021).

    Raises:
        InputError: The rows are not orthonormal, the loss is not squared, or there is an outer bias.
    """
    x, y, beta = data.x, data.y, data.weight_decay
    # 64 eps: rounding of an orthonormal basis computed in floating point, n dot products of length d.
    error = float(np.max(np.abs(x @ x.T - np.eye(len(x)))))
    if error > 64 * EPS * max(x.shape):
        raise InputError(
            f"the closed form needs orthonormal rows, x x' = I; x x' - I has an entry of size {error:.2g}."
        )
    if data.fit is not SQUARED or data.outer_bias != "none":
        raise InputError("the closed form is for squared loss without an outer bias; use the convex program.")
    check_positive(beta)
    hidden, outer = [], []
    for sign in (1.0, -1.0):
        part = np.maximum(sign * y, 0.0)
        length = float(np.linalg.norm(part))
        if length > beta:
            scale = np.sqrt(length - beta)
            hidden.append(scale * (part / length) @ x)
            outer.append(sign * scale)
    w, a = np.reshape(hidden, (len(hidden), x.shape[1])), np.array(outer)
    nu = y - np.maximum(x @ w.T, 0.0) @ a
    polar = max(float(np.linalg.norm(np.maximum(nu, 0.0))), float(np.linalg.norm(np.minimum(nu, 0.0))))
    return Network(objective(data, w, a), ray_bound(data, nu, polar), w, a)
