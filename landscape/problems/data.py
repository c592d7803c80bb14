"""A finite data set, what is paid on it, and the dual of that: what the convex room sees of a problem."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import entr, expit, huber


class Data(NamedTuple):
    """A data set with its loss and weight decay, in the package's normalisation.

    L = loss(f) + (weight_decay / 2) (sum_j (|w_j|^2 + a_j^2) + b0^2), f = sum_j a_j relu(x w_j) + b0, where b0^2 is
    there for a regularised outer bias only.

    Attributes:
        x: The design, [n, d], float64: the inputs, with a column of ones where the hidden bias is regularised.
        y: Targets, [n]; +-1 for the logistic loss.
        weight_decay: beta.
        loss: "squared", 1/2 |f - y|^2; "logistic", sum log(1 + exp(-y f)); or "huber", sum of Huber losses of f - y
            with the bend at 1, which has no dual here.
        outer_bias: "none", "regularised" or "free".
    """

    x: np.ndarray
    y: np.ndarray
    weight_decay: float
    loss: str = "squared"
    outer_bias: str = "none"


def loss_value(data: Data, f: np.ndarray) -> float:
    """What the outputs f [n] cost, without the weight decay."""
    if data.loss == "squared":
        return float(0.5 * np.sum((f - data.y) ** 2))
    if data.loss == "huber":
        return float(np.sum(huber(1.0, f - data.y)))
    return float(np.sum(np.logaddexp(0.0, -data.y * f)))


def minus_gradient(data: Data, f: np.ndarray) -> np.ndarray:
    """nu, minus the gradient of the loss in the outputs, [n]; the residual y - f for squared loss."""
    if data.loss == "squared":
        return data.y - f
    if data.loss == "huber":
        return np.clip(data.y - f, -1.0, 1.0)
    return data.y * expit(-data.y * f)


def dual_value(data: Data, nu: np.ndarray) -> float:
    """-loss*(-nu), less (sum nu)^2 / (2 beta) for a regularised outer bias: a bound from below where phi(nu) <= beta.

    -inf outside the domain of the conjugate; sum nu = 0 for a free outer bias is the caller's.
    """
    if data.loss == "squared":
        value = float(nu @ data.y - 0.5 * nu @ nu)
    else:
        p = nu * data.y
        value = float(np.sum(entr(p) + entr(1 - p)))  # entr is -inf outside [0, 1]
    if data.outer_bias == "regularised":
        value -= float(np.sum(nu)) ** 2 / (2 * data.weight_decay)
    return value


def objective(data: Data, hidden: np.ndarray, outer: np.ndarray, b0: float = 0.0) -> float:
    """The loss L of a network: hidden [m, d], outer [m]."""
    f = np.maximum(data.x @ hidden.T, 0.0) @ outer + b0
    paid = float(np.sum(hidden * hidden) + np.sum(outer * outer))
    if data.outer_bias == "regularised":
        paid += b0 * b0
    return loss_value(data, f) + 0.5 * data.weight_decay * paid
