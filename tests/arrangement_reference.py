"""Slow references for arrangements: data with known numbers of cells, and phi by routes that share no code with it."""

from itertools import product

import numpy as np
from scipy.optimize import lsq_linear, nnls


def braid(d):
    """e_i - e_j: the cells are the orders of d numbers."""
    eye = np.eye(d)
    return np.array([eye[i] - eye[j] for i in range(d) for j in range(i)])


def signed_braid(d):
    """e_i and e_i +- e_j: the cells are the orders of d numbers with signs."""
    eye = np.eye(d)
    return np.array([*eye, *(eye[i] + s * eye[j] for i in range(d) for j in range(i) for s in (1, -1))])


GRID = np.array(list(product((-1.0, 0.0, 1.0), repeat=2)))


DECIMAL = np.array(list(product((0.1, 0.2, 0.3, 0.6, 0.9), repeat=2)))


# Name: data, number of cells (by hand, or the order of a reflection group).
DEGENERATE = {
    "one row": (np.array([[2.0, 1.0, 0.5]]), 2),
    "one dimension": (np.array([[2.0], [-1.0], [0.0]]), 2),
    "all zero": (np.zeros((3, 2)), 1),
    "zero rows": (np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [2.0, -1.0]]), 4),
    "duplicates": (np.array([[1.0, 2.0], [1.0, 2.0], [2.0, -1.0]]), 4),
    "antipodal": (np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], [0.0, 1.0, 0.0]]), 4),
    "collinear to rounding": (np.array([[0.1, 0.2], [0.3, 0.6], [-0.7, -1.4], [1.0, 0.0]]), 4),
    "one-hot": (np.eye(4)[[0, 1, 2, 3, 2, 0]], 16),
    "grid": (GRID, 8),
    "decimal grid": (DECIMAL, 2 * len({round(a / b, 9) for a, b in DECIMAL})),
    "coplanar rows in space": (np.array([[1.0, 0, 1], [0, 1.0, 1], [1, 1, 2], [1, -1, 0]]), 8),
    "bias and repeated samples": (np.array([[0.0, 1], [0, 1], [1, 1], [1, 1], [2, 1]]), 6),
    "orders of 3": (braid(3), 6),
    "orders of 4": (braid(4), 24),
    "orders of 5": (braid(5), 120),
    "orders of 6": (braid(6), 720),
    "signed orders of 3": (signed_braid(3), 48),
    "signed orders of 4": (signed_braid(4), 384),
    "turned signed orders of 4": (signed_braid(4) @ np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0], 384),
}


def total(x, nu):
    """The scale of h: rounding is a multiple of it."""
    return float(np.abs(nu) @ np.linalg.norm(x, axis=1)) + 1e-300


def h(x, nu, u):
    return np.maximum(x @ u, 0) @ nu


def phi_by_patterns(x, nu):
    """phi over all 2^n sign patterns, realised or not: max of the projections of the gradient on their cones."""
    best = 0.0
    for pattern in product((0, 1), repeat=len(x)):
        faces = (2 * np.array(pattern) - 1)[:, None] * x
        for sign in (1, -1):
            best = max(best, nnls(faces.T, -sign * (np.array(pattern) * nu) @ x)[1])
    return best


def zonotope_distances(x, nu, subsets):
    """(distance of sum_S nu_k x_k from the zonotope of the rows nu < 0, S, direction) for each S of rows nu > 0."""
    up, down = nu > 0, nu < 0
    b = -nu[down, None] * x[down]
    for s in subsets:
        p = (np.array(s) * nu[up]) @ x[up]
        rho = lsq_linear(b.T, p, bounds=(0, 1), method="bvls", tol=1e-15).x if len(b) else np.zeros(0)
        yield np.linalg.norm(p - rho @ b), np.array(s, bool), p - rho @ b


def phi_by_zonotopes(x, nu):
    """phi as the Hausdorff distance of two zonotopes, over all subsets."""
    return max(
        distance
        for sign in (1, -1)
        for distance, _, _ in zonotope_distances(x, sign * nu, product((0, 1), repeat=int(np.sum(sign * nu > 0))))
    )
