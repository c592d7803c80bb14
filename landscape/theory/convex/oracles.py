"""Training problems next to ours that a convex program of moderate size solves outright, each with its certificate.

Every function returns the best network it found, the true loss of that network (an upper bound on the optimum), and a
lower bound that holds whatever the solver did: the dual value of the network's own residual, scaled until it is
feasible. The two meet to `value - lower_bound`. They serve two ends: bounds and exact answers for users whose problem
fits, and independent values to hold the cone program against.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import clarabel as _clarabel
import numpy as np
from scipy import sparse

from landscape.problems.datafit import Data, dual_value, loss_value, minus_gradient, objective
from landscape.records import InputError

EPS = float(np.finfo(np.float64).eps)
clarabel: Any = _clarabel  # a compiled module without type information


class Gated(NamedTuple):
    """Optimum of a gated ReLU training problem.

    Attributes:
        value: Of the convex program at `blocks`, attained, so above the optimum.
        lower_bound: Below the optimum; below p* of the ReLU network too if the gates hold every activation cell.
        blocks: One linear model a gate, [q, d]; a gated network has the neuron a = sqrt|u|, w = u / sqrt|u| for each.
        b0: Outer bias, 0.0 without one.
        output: Of the network, [n].
        nu: Minus the gradient of the loss there, [n].
    """

    value: float
    lower_bound: float
    blocks: np.ndarray
    b0: float
    output: np.ndarray
    nu: np.ndarray


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


class Network(NamedTuple):
    """A network with its loss and a bound that no width goes below.

    Attributes:
        value: True loss of the network.
        lower_bound: Certified for every width.
        hidden: [m, d].
        outer: [m].
    """

    value: float
    lower_bound: float
    hidden: np.ndarray
    outer: np.ndarray


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
    _positive(data.weight_decay)
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
        return value, _dual_bound(data, nu, polar), _rounding(data, nu)

    # Of sum_i D_i x x' D_i, plus the bias column: the curvature of the loss, 1 or 1/4, times the norm of the design.
    gram = (x @ x.T) * (masks.T @ masks) + (1.0 if free else 0.0)
    curvature = float(np.linalg.eigvalsh(gram)[-1]) * (1.0 if data.loss == "squared" else 0.25) + ridge
    v = _accelerated(gradient, proximal, bounds, np.zeros(q * d + 1), curvature, accuracy, most)
    value, lower, _ = bounds(v)
    f = output(v)
    return Gated(value, lower, v[:-1].reshape(q, d), float(v[-1]), f, minus_gradient(data, f))


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
    _positive(weight_decay)
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
    lower = _dual_bound(data, nu - nu.mean(), float(np.max(np.abs(columns.T @ nu), initial=0.0)))
    keep = z != 0
    scale = np.sqrt(np.abs(z[keep]))
    slopes, outer = slope[keep] * scale, np.sign(z[keep]) * scale
    biases = -slopes * kinks[keep]
    f = np.maximum(np.outer(x, slopes) + biases, 0.0) @ outer + b0
    value = 0.5 * float(np.sum((f - y) ** 2)) + 0.5 * weight_decay * float(np.sum(slopes**2) + np.sum(outer**2))
    return Lasso(value, lower, slopes, biases, outer, b0)


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
    if data.loss != "squared" or data.outer_bias != "none":
        raise InputError("the closed form is for squared loss without an outer bias; use the convex program.")
    _positive(beta)
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
    return Network(objective(data, w, a), _dual_bound(data, nu, polar), w, a)


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
    x, y = _checked(x, y)
    _positive(weight_decay)
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
        return value, _dual_bound(data, nu, polar), _rounding(data, nu)

    curvature = float(np.linalg.eigvalsh((x @ x.T) ** 2)[-1])
    m = _accelerated(gradient, proximal, bounds, np.zeros((d, d)), curvature, accuracy, most)
    values, vectors = np.linalg.eigh(m)
    on = np.abs(values) > 64 * EPS * np.max(np.abs(values))  # the threshold leaves exact zeros, up to rounding
    outer = np.cbrt(values[on])
    hidden = (vectors[:, on] * np.abs(outer)).T
    nu = y - ((x @ hidden.T) ** 2) @ outer
    paid = float(np.sum(2 * np.linalg.norm(hidden, axis=1) ** 3 + np.abs(outer) ** 3)) / 3
    return Network(0.5 * float(nu @ nu) + weight_decay * paid, bounds(m)[1], hidden, outer)


def polynomial_activation(
    x: np.ndarray, y: np.ndarray, weight_decay: float, coefficients: tuple[float, float, float]
) -> Network:
    """Optimum over all widths of f(x) = sum_j a_j s(x . w_j), |w_j| = 1, s(z) = p z^2 + q z + r, squared loss.

    Regulariser weight_decay sum_j |a_j|, hidden weights of length one. Equals a semidefinite program in two matrices of
    size d + 1 (Bartan and Pilanci 2021, "Neural spectrahedra"), attained at width at most 2 (d + 1). The neurons come
    from writing each matrix as a sum of rank-one pieces (u, t), |u| = |t| (Sturm and Zhang 2003). The lower bound needs
    the largest |nu' s(x u)| on the sphere: an eigenvalue with one multiplier, a bound at every multiplier. An interior
    point method: value and lower bound meet to about 1e-8.

    Args:
        x: Inputs, [n, d].
        y: Targets, [n].
        weight_decay: Positive.
        coefficients: (p, q, r).

    Raises:
        InputError: x is not [n, d] and finite, y not [n], or the weight decay is not positive.
    """
    x, y = _checked(x, y)
    _positive(weight_decay)
    (n, d), (p, q, r) = x.shape, coefficients
    size = d + 1
    upper = [(i, j) for j in range(size) for i in range(j + 1)]  # the columns of the upper triangle, clarabel's order
    root = np.array([1.0 if i == j else np.sqrt(2.0) for i, j in upper])
    # One form a data point: (u, t)' form (u, t) = p (x.u)^2 + q (x.u) t + r t^2.
    lifted = np.zeros((n, size, size))
    lifted[:, :d, :d] = p * x[:, :, None] * x[:, None, :]
    lifted[:, :d, d] = lifted[:, d, :d] = 0.5 * q * x
    lifted[:, d, d] = r
    signature = np.diag(np.append(np.ones(d), -1.0))
    corner = np.zeros((size, size))
    corner[d, d] = 1.0

    def packed(matrix: np.ndarray) -> np.ndarray:
        return np.stack([matrix[..., i, j] for i, j in upper], axis=-1) * root

    t = len(upper)
    quadratic = sparse.diags(np.concatenate([np.zeros(2 * t), np.ones(n)]), format="csc")
    linear = np.concatenate([weight_decay * packed(corner), weight_decay * packed(corner), np.zeros(n)])
    zero = np.zeros((1, t))
    rows = sparse.vstack(
        [
            np.hstack([packed(lifted), -packed(lifted), -np.eye(n)]),
            np.hstack([packed(signature)[None], zero, np.zeros((1, n))]),
            np.hstack([zero, packed(signature)[None], np.zeros((1, n))]),
            np.hstack([-np.eye(2 * t), np.zeros((2 * t, n))]),
        ],
        format="csc",
    )
    cones = [clarabel.ZeroConeT(n + 2), clarabel.PSDTriangleConeT(size), clarabel.PSDTriangleConeT(size)]
    solution = _solve(quadratic, linear, rows, np.concatenate([y, np.zeros(2 + 2 * t)]), cones)
    hidden, outer = [], []
    for sign, part in ((1.0, solution[:t]), (-1.0, solution[t : 2 * t])):
        z = np.zeros((size, size))
        for value, (i, j) in zip(part / root, upper, strict=True):
            z[i, j] = z[j, i] = value
        for piece in _null_pieces(z, signature):
            length = float(np.linalg.norm(piece[:d]))
            hidden.append(piece[:d] / length * np.sign(piece[d]))
            outer.append(sign * piece[d] ** 2)
    w, a = np.reshape(hidden, (len(hidden), d)), np.array(outer)
    pre = x @ w.T
    nu = y - (p * pre**2 + q * pre + r) @ a
    value = 0.5 * float(nu @ nu) + weight_decay * float(np.sum(np.abs(a)))
    form = np.einsum("k,kij->ij", nu, lifted)
    polar = max(_largest_on_cone(form, signature), _largest_on_cone(-form, signature))
    return Network(value, _dual_bound(Data(x, y, weight_decay), nu, polar), w, a)


def _null_pieces(z: np.ndarray, signature: np.ndarray) -> list[np.ndarray]:
    """z = sum of v v' with v' G v = 0 each, for z positive semidefinite, trace(G z) = 0 (Sturm and Zhang 2003)."""
    values, vectors = np.linalg.eigh(z)
    # Rounding of a zero eigenvalue; what the interior point leaves of it stays, or the trace would no longer vanish.
    pieces = [
        np.sqrt(value) * vector for value, vector in zip(values, vectors.T, strict=True) if value > 1e-13 * values[-1]
    ]
    done: list[np.ndarray] = []
    while len(pieces) > 1:
        forms = [float(v @ signature @ v) for v in pieces]
        low, high = int(np.argmin(forms)), int(np.argmax(forms))
        if forms[high] <= 0 or forms[low] >= 0:
            break
        v, u = pieces[low], pieces[high]
        # (v + s u) / sqrt(1 + s^2) is null for a root s of v'Gv + 2 s v'Gu + s^2 u'Gu, whose ends have opposite signs.
        mixed = float(v @ signature @ u)
        s = (-mixed + np.sqrt(mixed**2 - forms[low] * forms[high])) / forms[high]
        done.append((v + s * u) / np.sqrt(1 + s * s))
        rest = (u - s * v) / np.sqrt(1 + s * s)
        pieces = [piece for index, piece in enumerate(pieces) if index not in (low, high)] + [rest]
    return [v for v in done + pieces if v[-1] != 0.0 and np.any(v[:-1] != 0.0)]


def _largest_on_cone(form: np.ndarray, signature: np.ndarray) -> float:
    """An upper bound, tight, on v' form v over v = (u, 1), |u| = 1: the least 2 lambda_max(form - m G) over m."""

    def bound(m: float) -> float:
        return 2.0 * float(np.linalg.eigvalsh(form - m * signature)[-1])

    # Convex in m and growing at least like |m|; golden section, every value of which is a bound.
    reach = 4.0 * float(np.linalg.norm(form)) + 1e-300
    low, high, ratio = -reach, reach, (np.sqrt(5.0) - 1) / 2
    for _ in range(100):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if bound(left) < bound(right) else (left, high)
    return bound(0.5 * (low + high)) + 64 * EPS * reach


def _centred(data: Data, nu: np.ndarray) -> np.ndarray:
    """nu moved to sum nu = 0, which a free outer bias asks of a dual point."""
    if data.outer_bias != "free":
        return nu
    if data.loss == "squared":
        return nu - nu.mean()
    # The two classes carry equal mass; shrinking the heavier one keeps every probability in [0, 1].
    mass = nu * data.y
    up, down = float(mass[data.y > 0].sum()), float(mass[data.y < 0].sum())
    least = min(up, down)
    return np.where(data.y > 0, nu * (least / up if up > 0 else 0.0), nu * (least / down if down > 0 else 0.0))


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


def _dual_bound(data: Data, nu: np.ndarray, polar: float) -> float:
    """The best dual value on the ray through nu, whose polar is at most `polar`, less what rounding may have added."""
    beta = data.weight_decay
    reach = beta / (polar * (1 + 1e-12)) if polar > 0 else np.inf
    total = float(nu.sum()) ** 2 / beta if data.outer_bias == "regularised" else 0.0
    length = float(nu @ nu) + total
    if data.loss == "squared":
        t = float(np.clip(float(nu @ data.y) / length, -reach, reach)) if length > 0 else 0.0
    else:
        t = min(1.0, reach)
    return dual_value(data, t * nu) - _rounding(data, nu)


def _rounding(data: Data, nu: np.ndarray) -> float:
    """What floating point may add to a dual value on the ray through nu: 64 n units in the last place of its terms."""
    terms = abs(float(nu @ data.y)) + float(nu @ nu) + float(np.log(2.0))
    if data.outer_bias == "regularised":
        terms += float(nu.sum()) ** 2 / data.weight_decay
    return 64 * EPS * len(nu) * terms


def _accelerated(
    gradient: Callable[[np.ndarray], np.ndarray],
    proximal: Callable[[np.ndarray, float], np.ndarray],
    bounds: Callable[[np.ndarray], tuple[float, float, float]],
    start: np.ndarray,
    curvature: float,
    accuracy: float,
    most: int,
) -> np.ndarray:
    """Accelerated proximal gradient steps, momentum dropped where it points uphill, until the duality gap is closed.

    FISTA (Beck and Teboulle 2009) with the gradient restart of O'Donoghue and Candes 2015.
    """
    step = 1.0 / max(curvature, 1e-300)
    point = ahead = start
    momentum = 1.0
    for count in range(most):
        if count % 25 == 0:
            value, lower, rounding = bounds(point)
            if value - lower <= accuracy * (1 + abs(value)) + 2 * rounding:  # the bound has rounding taken off
                break
        new = proximal(ahead - step * gradient(ahead), step)
        if float(np.sum((ahead - new) * (new - point))) > 0:
            momentum, ahead = 1.0, new
        else:
            following = 0.5 * (1 + np.sqrt(1 + 4 * momentum**2))
            ahead = new + (momentum - 1) / following * (new - point)
            momentum = following
        point = new
    return point


def _solve(quadratic: Any, linear: np.ndarray, rows: Any, right: np.ndarray, cones: list) -> np.ndarray:
    """What clarabel's interior point gives; its accuracy is judged by the caller's duality gap."""
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    solver = clarabel.DefaultSolver(
        sparse.triu(quadratic, format="csc"), linear, sparse.csc_matrix(rows), right, cones, settings
    )
    return np.asarray(solver.solve().x)


def _positive(weight_decay: float) -> None:
    if not (np.isfinite(weight_decay) and weight_decay > 0):
        raise InputError(f"weight decay must be positive and finite here; found {weight_decay}.")


def _checked(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1] or x.size == 0 or not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise InputError(f"x must be finite [n, d] and y finite [n]; found shapes {x.shape} and {y.shape}.")
    return x, y
