"""One-dimensional ReLU training with free biases: a Lasso over ramps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.problems.datafit import Data
from landscape.records import InputError
from landscape.theory.convex.oracles.bounds import check_positive, ray_bound


class Lasso(NamedTuple):
    """Optimum of one-dimensional ReLU training with biases that cost nothing.

    Attributes:
        value: Loss of the network below, weight decay on the weights only.
        lower_bound: Dual value: no network of any width goes below it.
        slopes: Hidden weights w, [m].
        biases: Hidden biases b, [m]: a kink of the network lies at -b / w, a data point.
        outer: Outer weights a, [m].
        b0: Outer bias.
    """

    value: float
    lower_bound: float
    slopes: np.ndarray
    biases: np.ndarray
    outer: np.ndarray
    b0: float


def lasso_1d(x: np.ndarray, y: np.ndarray, weight_decay: float) -> Lasso:
    """Optimum over all widths of f(x) = sum_j a_j relu(w_j x + b_j) + b0, biases unpenalised, loss 1/2 |f - y|^2.

    Regulariser (weight_decay / 2) sum_j (w_j^2 + a_j^2). Equals a Lasso with a free intercept, whose columns are the
    2 n ramps relu(x - x_j) and relu(x_j - x): for a dual point, whose entries sum to zero, |nu' relu(+-x + b)| is
    bounded and piecewise linear in b, so it peaks where the kink is on a data point (dictionary of "A library of
    mirrors", arXiv 2403.01046, at two layers; derived here with the intercept). Without an outer bias the infimum is
    the same but in general not attained: a = w = eps, b = c / eps gives the constant c at no cost.

    Args:
        x: Inputs, [n]; repeats are allowed.
        y: Targets, [n].
        weight_decay: Positive.

    Raises:
        InputError: x and y are not two finite vectors of one length, or the weight decay is not positive.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape or len(x) == 0 or not np.all(np.isfinite(x) & np.isfinite(y)):
        raise InputError(f"x and y must be finite vectors of one length; found shapes {x.shape} and {y.shape}.")
    check_positive(weight_decay)
    knots = np.unique(x)
    # The last right ramp and the first left ramp are zero on the data.
    kinks = np.concatenate([knots[:-1], knots[1:]])
    slope = np.concatenate([np.ones(len(knots) - 1), -np.ones(len(knots) - 1)])
    columns = np.maximum(slope * (x[:, None] - kinks), 0.0)  # [n, k]
    centre = columns.mean(axis=0)
    z = _lasso(columns - centre, y - y.mean(), weight_decay)
    data = Data(x[:, None], y, weight_decay)
    b0 = float(np.mean(y - columns @ z))  # the best intercept
    nu = y - columns @ z - b0
    lower = ray_bound(data, nu - nu.mean(), float(np.max(np.abs(columns.T @ nu), initial=0.0)))
    keep = z != 0
    scale = np.sqrt(np.abs(z[keep]))
    slopes, outer = slope[keep] * scale, np.sign(z[keep]) * scale
    biases = -slopes * kinks[keep]
    f = np.maximum(np.outer(x, slopes) + biases, 0.0) @ outer + b0
    value = 0.5 * float(np.sum((f - y) ** 2)) + 0.5 * weight_decay * float(np.sum(slopes**2) + np.sum(outer**2))
    return Lasso(value, lower, slopes, biases, outer, b0)


def _lasso(columns: np.ndarray, y: np.ndarray, penalty: float) -> np.ndarray:
    """The least 1/2 |A z - y|^2 + penalty |z|_1, by the feature-sign search of Lee, Battle, Raina and Ng 2007.

    With its signs fixed the problem on the support is a linear system. The way there stops at the best of the points
    where a coefficient changes sign; every step lowers the objective, so that no support and signs come twice.
    """
    z = np.zeros(columns.shape[1])
    # Correlations with the residual are known to this.
    rounding = 1e-14 * float(np.max(np.linalg.norm(columns, axis=0), initial=0.0)) * float(np.linalg.norm(y))

    def paid(z: np.ndarray) -> float:
        return 0.5 * float(np.sum((columns @ z - y) ** 2)) + penalty * float(np.sum(np.abs(z)))

    value, settled = paid(z), True  # settled: optimal with the support and signs that it has
    for _ in range(100 * (len(z) + 1)):
        correlation = columns.T @ (y - columns @ z)
        signs = np.sign(z)
        if settled:
            idle = np.where(z == 0, np.abs(correlation), 0.0)
            enter = int(np.argmax(idle)) if len(z) else 0
            if not len(z) or idle[enter] <= penalty + rounding:
                return z
            signs[enter] = np.sign(correlation[enter])
        on = np.flatnonzero(signs)
        left, size, right = np.linalg.svd(columns[:, on])
        move = np.zeros(len(z))
        if len(size) < len(on) or size[-1] <= 1e-12 * size[0]:
            # Dependent columns: a way along which the fit stays and the penalty falls.
            kernel = right[-1] * (-1.0 if right[-1] @ signs[on] > 0 else 1.0)
            move[on] = kernel * 2 * (1 + np.sum(np.abs(z))) / np.min(np.abs(kernel[np.abs(kernel) > 1e-9]))
        else:
            target = (left[:, : len(on)].T @ y - penalty * (right @ signs[on]) / size) / size
            move[on] = right.T @ target - z[on]
        crossing = np.flatnonzero(z * (z + move) < 0)
        trials = z + np.append(1.0, -z[crossing] / move[crossing])[:, None] * move
        # Several may get to zero at once; rounding would leave them with an arbitrary sign.
        trials[np.abs(trials) <= 1e-14 * (np.abs(z) + np.abs(move))] = 0.0
        values = [paid(trial) for trial in trials]
        best = int(np.argmin(values))
        if values[best] < value:
            z, value, settled = trials[best], values[best], False
        elif settled:
            return z  # as far as floating point goes
        else:
            settled = True
    return z
