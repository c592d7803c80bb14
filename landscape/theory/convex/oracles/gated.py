"""Gated ReLU networks: the cone program of ReLU training without its cones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.problems.datafit import SQUARED, Data, loss_value, minus_gradient
from landscape.records import InputError
from landscape.theory.convex.oracles.bounds import check_positive, ray_bound, ray_rounding
from landscape.theory.convex.oracles.proximal import accelerated


class Gated(NamedTuple):
    """Optimum of a gated ReLU training problem.

    Attributes:
        value: Value of the convex program at `blocks`, attained, so above the optimum.
        lower_bound: Below the optimum; below p* of the ReLU network too if the gates hold every activation cell.
        blocks: One linear model a gate, [q, d]; a gated network has the neuron a = sqrt|u|, w = u / sqrt|u| for each.
        b0: Outer bias, 0.0 without one.
        output: Output of the network, [n].
        nu: Minus the gradient of the loss there, [n].
    """

    value: float
    lower_bound: float
    blocks: np.ndarray
    b0: float
    output: np.ndarray
    nu: np.ndarray


def gated_relaxation(data: Data, patterns: np.ndarray, accuracy: float = 1e-12, most: int = 100_000) -> Gated:
    """Least value of loss(sum_i D_i x w_i + b0) + beta sum_i |w_i|: the cone program without its cones.

    Equals the optimum over gated ReLU networks sum_j a_j D_(j) x w_j, whose gates are the given patterns and do not
    move, with weight decay (beta / 2) (|w_j|^2 + a_j^2), at any width of at least the number of gates (Mishkin, Sahiner
    and Pilanci 2022). With *all* activation cells of x as gates it is a relaxation of ReLU training and `lower_bound`
    is below p*; with some of them it bounds nothing but the gated problem.

    Args:
        data: Squared or logistic loss, any outer bias.
        patterns: Gates, bool [q, n].
        accuracy: Duality gap, relative to 1 + |value|, at which to stop.
        most: Steps of the accelerated proximal gradient method; the gap tells what they reached.

    Raises:
        InputError: The gates do not fit the data, or the weight decay is not positive.
    """
    x, n = data.x, len(data.x)
    gates = np.asarray(patterns)
    if gates.ndim != 2 or gates.shape[1] != n or gates.dtype != bool or len(gates) == 0:
        raise InputError(
            f"gates must be a bool array [q, {n}], one column a row of x; found {gates.dtype} {gates.shape}."
        )
    check_positive(data.weight_decay)
    beta, (q, d) = data.weight_decay, (len(gates), x.shape[1])
    masks = gates.astype(float)
    free = data.outer_bias != "none"
    ridge = beta if data.outer_bias == "regularised" else 0.0

    def output(v: np.ndarray) -> np.ndarray:
        return np.sum(masks * (v[:-1].reshape(q, d) @ x.T), axis=0) + v[-1]

    def gradient(v: np.ndarray) -> np.ndarray:
        nu = minus_gradient(data, output(v))
        return -np.append(((masks * nu) @ x).ravel(), nu.sum() - ridge * v[-1] if free else 0.0)

    def proximal(v: np.ndarray, step: float) -> np.ndarray:
        blocks = v[:-1].reshape(q, d)
        length = np.linalg.norm(blocks, axis=1, keepdims=True)
        shrunk = blocks * np.maximum(0.0, 1.0 - step * beta / np.maximum(length, 1e-300))
        return np.append(shrunk.ravel(), v[-1] if free else 0.0)

    def bounds(v: np.ndarray) -> tuple[float, float, float]:
        f = output(v)
        blocks = v[:-1].reshape(q, d)
        value = loss_value(data, f) + beta * float(np.sum(np.linalg.norm(blocks, axis=1))) + 0.5 * ridge * v[-1] ** 2
        nu = _centred(data, minus_gradient(data, f))
        polar = float(np.max(np.linalg.norm((masks * nu) @ x, axis=1)))
        return value, ray_bound(data, nu, polar), ray_rounding(data, nu)

    # Of sum_i D_i x x' D_i, plus the bias column: the curvature of the loss, 1 or 1/4, times the norm of the design.
    gram = (x @ x.T) * (masks.T @ masks) + (1.0 if free else 0.0)
    curvature = float(np.linalg.eigvalsh(gram)[-1]) * data.fit.most_curved + ridge
    v = accelerated(gradient, proximal, bounds, np.zeros(q * d + 1), curvature, accuracy, most)
    value, lower, _ = bounds(v)
    f = output(v)
    return Gated(value, lower, v[:-1].reshape(q, d), float(v[-1]), f, minus_gradient(data, f))


def _centred(data: Data, nu: np.ndarray) -> np.ndarray:
    """A dual point near nu with sum zero, which a free outer bias asks for."""
    if data.outer_bias != "free":
        return nu
    if data.fit is SQUARED:
        return nu - nu.mean()
    # The two classes carry equal mass; shrinking the heavier one keeps every probability in [0, 1].
    mass = nu * data.y
    up, down = float(mass[data.y > 0].sum()), float(mass[data.y < 0].sum())
    least = min(up, down)
    return np.where(data.y > 0, nu * (least / up if up > 0 else 0.0), nu * (least / down if down > 0 else 0.0))
