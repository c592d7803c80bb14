"""Quadratic activation with the regulariser of its own degree: a nuclear-norm program."""

from __future__ import annotations

import numpy as np

from landscape.problems.datafit import Data
from landscape.theory.convex.oracles.bounds import EPS, Network, check_positive, checked_data, ray_bound, ray_rounding
from landscape.theory.convex.oracles.proximal import accelerated


def quadratic_activation(
    x: np.ndarray, y: np.ndarray, weight_decay: float, accuracy: float = 1e-12, most: int = 100_000
) -> Network:
    """Optimum over all widths of f(x) = sum_j a_j (x . w_j)^2, squared loss, with the degree-matched regulariser.

    Regulariser weight_decay sum_j (2/3 |w_j|^3 + 1/3 |a_j|^3), of the network's own degree three. Equals
    min 1/2 sum_k (x_k' M x_k - y_k)^2 + weight_decay |M|_* over symmetric M, with the nuclear norm, attained at width
    rank M <= d (the framework of Haeffele and Vidal 2017; derived here). Ordinary weight decay, of degree two, does not
    match: no certificate of this kind holds for it, and training is then NP-hard (Bartan and Pilanci 2021).

    Args:
        x: Inputs, [n, d].
        y: Targets, [n].
        weight_decay: Positive.
        accuracy: Duality gap, relative to 1 + |value|, at which to stop.
        most: Steps of the accelerated proximal gradient method.

    Raises:
        InputError: x is not [n, d] and finite, y not [n], or the weight decay is not positive.
    """
    x, y = checked_data(x, y)
    check_positive(weight_decay)
    data, d = Data(x, y, weight_decay), x.shape[1]

    def output(m: np.ndarray) -> np.ndarray:
        return np.einsum("ki,ij,kj->k", x, m, x)

    def gradient(m: np.ndarray) -> np.ndarray:
        return (x.T * (output(m) - y)) @ x

    def proximal(m: np.ndarray, step: float) -> np.ndarray:
        values, vectors = np.linalg.eigh(m)
        return (vectors * np.sign(values) * np.maximum(np.abs(values) - step * weight_decay, 0.0)) @ vectors.T

    def bounds(m: np.ndarray) -> tuple[float, float, float]:
        nu = y - output(m)
        value = 0.5 * float(nu @ nu) + weight_decay * float(np.sum(np.abs(np.linalg.eigvalsh(m))))
        polar = float(np.max(np.abs(np.linalg.eigvalsh((x.T * nu) @ x))))
        return value, ray_bound(data, nu, polar), ray_rounding(data, nu)

    curvature = float(np.linalg.eigvalsh((x @ x.T) ** 2)[-1])
    m = accelerated(gradient, proximal, bounds, np.zeros((d, d)), curvature, accuracy, most)
    values, vectors = np.linalg.eigh(m)
    on = np.abs(values) > 64 * EPS * np.max(np.abs(values))  # the threshold leaves exact zeros, up to rounding
    outer = np.cbrt(values[on])
    hidden = (vectors[:, on] * np.abs(outer)).T
    nu = y - ((x @ hidden.T) ** 2) @ outer
    paid = float(np.sum(2 * np.linalg.norm(hidden, axis=1) ** 3 + np.abs(outer) ** 3)) / 3
    return Network(0.5 * float(nu @ nu) + weight_decay * paid, bounds(m)[1], hidden, outer)
