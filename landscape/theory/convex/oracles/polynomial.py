"""Polynomial activation of degree two: a semidefinite program."""

from __future__ import annotations

from typing import Any

import clarabel as _clarabel
import numpy as np
from scipy import sparse

from landscape.problems.datafit import Data
from landscape.theory.convex.oracles.bounds import EPS, Network, check_positive, checked_data, ray_bound

clarabel: Any = _clarabel  # a compiled module without type information


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
    x, y = checked_data(x, y)
    check_positive(weight_decay)
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
    return Network(value, ray_bound(Data(x, y, weight_decay), nu, polar), w, a)


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


def _solve(quadratic: Any, linear: np.ndarray, rows: Any, right: np.ndarray, cones: list) -> np.ndarray:
    """What clarabel's interior point gives; its accuracy is judged by the caller's duality gap."""
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    solver = clarabel.DefaultSolver(
        sparse.triu(quadratic, format="csc"), linear, sparse.csc_matrix(rows), right, cones, settings
    )
    return np.asarray(solver.solve().x)
