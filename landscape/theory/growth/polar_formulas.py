"""Polars of subnetworks that have a formula, and upper bounds where a formula gives only those."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from landscape.problems.parallel import Homogeneous, parts_at, with_width
from landscape.problems.problem import EPS
from landscape.records import InputError
from landscape.theory.arrangement.cells import cells

SUPPORTED = 3000  # cells up to which the upper bound of a vector-valued ReLU polar is computed


class Polar(NamedTuple):
    """Omega(Z), between what is attained and what is proved.

    Attributes:
        value: <Z, phi(V)> at a V with g(V) = 1: a lower bound, the polar itself where `upper` says so.
        upper: The polar is no larger, rounding included; inf where only an estimate from below is known.
        weights: V, [q].
        by: How it was computed.
    """

    value: float
    upper: float
    weights: np.ndarray
    by: str


def line_polar(problem: Homogeneous, z: np.ndarray) -> Polar:
    """Of a subnetwork of one weight: the better of its two signs."""
    pair = with_width(problem, 2)
    f, g = parts_at(pair, np.array([1.0, -1.0]))
    heights = np.tensordot(f, z, z.ndim) / g
    i = int(np.argmax(heights))
    size = float(np.sum(np.abs(f[i] * z)) / g[i])
    value = max(float(heights[i]), 0.0)
    weights = np.array([1.0, -1.0])[[i]] / g[i] ** (1 / problem.net.degree)
    # A user's function may round as it likes; what it computes at +-1 is taken to be right to 64 eps.
    return Polar(value, value + (z.size + 64) * EPS * size, weights, "both signs of one weight")


def quadratic_polar(x: np.ndarray, z: np.ndarray) -> Polar:
    """The spectral norm of sum z_k x_k x_k': |w|^2 |a| <= 2/3 |w|^3 + 1/3 |a|^3, equal at |w| = |a|."""
    values, vectors = np.linalg.eigh(x.T @ (z[:, None] * x))
    i = int(np.argmax(np.abs(values)))
    # An entry is a sum of n products; its rounding, and the solver's, over the size of the terms.
    size = float(np.abs(z) @ np.sum(x * x, axis=1))
    upper = abs(float(values[i])) + (len(z) + 16 * x.shape[1]) * EPS * size
    return Polar(abs(float(values[i])), upper, np.append(vectors[:, i], np.sign(values[i]) or 1.0), "spectral norm")


def quadratics_bound(x: np.ndarray, z: np.ndarray) -> float:
    """An upper bound for several outputs: max_w |(w'S_c w)_c| <= (sum |S_c|^2)^(1/2)."""
    return float(np.linalg.norm([quadratic_polar(x, column).upper for column in z.T]))


def plane_polar(x: np.ndarray, z: np.ndarray) -> Polar:
    """max over |u| <= 1 of |Z' relu(x u)|, x [n, 2], Z [n, c]: the walls, and the best direction of each arc.

    On an arc the height is |G u|, largest at an end or at the leading right singular vector of G. A candidate outside
    its arc does no harm, as the true height is compared.
    """
    angle = np.arctan2(x[:, 1], x[:, 0])
    walls = np.sort(np.concatenate([angle + np.pi / 2, angle - np.pi / 2]) % (2 * np.pi))
    middle = 0.5 * (walls + np.roll(walls, -1))
    middle[-1] += np.pi
    unit = lambda t: np.stack([np.cos(t), np.sin(t)], axis=1)  # noqa: E731
    active = unit(middle) @ x.T > 0
    top = np.array([np.linalg.svd(z.T @ (on[:, None] * x))[2][0] for on in active])
    candidates = np.concatenate([unit(walls), top, -top])
    heights = np.maximum(candidates @ x.T, 0.0) @ z
    sizes = np.linalg.norm(heights, axis=1)
    i = int(np.argmax(sizes))
    a = heights[i] / sizes[i] if sizes[i] > 0 else np.eye(z.shape[1])[0]
    # Candidates are right to a few eps, and the height is Lipschitz with this constant.
    slope = float(np.linalg.norm(z, axis=1) @ np.linalg.norm(x, axis=1))
    upper = float(sizes[i]) + (len(x) + 64) * EPS * slope
    return Polar(float(sizes[i]), upper, np.concatenate([candidates[i], a]), "arcs")


def cellwise_bound(x: np.ndarray, z: np.ndarray) -> float:
    """An upper bound beyond the plane: the largest singular value of Z'D x over all cells; inf if they are too many."""
    try:
        listed = cells(x, most=SUPPORTED)
    except InputError:
        return math.inf
    if not listed.complete:
        return math.inf
    slope = float(np.linalg.norm(z, axis=1) @ np.linalg.norm(x, axis=1))
    gated = np.einsum("nc,pn,nd->pcd", z, listed.patterns.astype(float), x)
    return float(np.max(np.linalg.svd(gated, compute_uv=False))) + (len(x) + 64) * EPS * slope
