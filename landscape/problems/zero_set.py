"""What a loss over Gaussian inputs sees of a set of neurons: when two sets are one function, and which vectors matter.

A homogeneous activation is odd z + even |z|: its odd part sees the sum of the neurons only, its even part the mass on
every line. A polynomial z^q sees the tensor sum of the q-th powers. Ridge functions of erf, and of the even part of
gelu, along distinct lines or of distinct length are linearly independent, because infinitely many of their Taylor
coefficients do not vanish.

A gap measures how far a student W [n, d] is from the exact set {F = 0} of a teacher V [k, d], in units of the lightest
part of the teacher. Anchors are vectors [q, d] with colours [q] whose symmetries are those of the loss
(`problems.symmetry`). Matching neurons to teachers one by one is neither: three relu teachers at 120 degrees have
W = -V as an exact global minimum that matches none of them.
"""

from __future__ import annotations

import numpy as np

SAME_LINE = 1e-12  # rad: vectors this close are on one line; rounding of the rows, not a tolerance of the loss
Anchors = tuple[np.ndarray, np.ndarray]


def lines_of(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct lines of some vectors, unit [l, d], and the mass sum |v| on each, [l]; zero vectors are left out."""
    directions: list[np.ndarray] = []
    mass: list[float] = []
    for v in vectors:
        norm = float(np.linalg.norm(v))
        if norm == 0:
            continue
        u = v / norm
        for i, other in enumerate(directions):
            if min(np.linalg.norm(u - other), np.linalg.norm(u + other)) < SAME_LINE:
                mass[i] += norm
                break
        else:
            directions.append(u)
            mass.append(norm)
    return np.array(directions).reshape(-1, vectors.shape[1]), np.array(mass)


def lightest(v: np.ndarray) -> float:
    """The least norm of a teacher neuron."""
    return float(np.min(np.linalg.norm(v, axis=1)))


# -- gaps --------------------------------------------------------------------------------------------------------------


def sum_gap(w: np.ndarray, v: np.ndarray) -> float:
    """Distance of the sums of the neurons: all that a linear part sees."""
    return float(np.linalg.norm(w.sum(0) - v.sum(0))) / lightest(v)


def line_gap(w: np.ndarray, v: np.ndarray) -> float:
    """Largest mismatch of mass on a teacher line, and all mass off the lines: what an even part |z| sees."""
    directions, mass = lines_of(v)
    along = w @ directions.T  # [n, l]
    # The residual vector, not |w|^2 - along^2, whose rounding is a neuron's own length times sqrt(eps).
    distance = np.linalg.norm(w[:, None] - along[:, :, None] * directions[None], axis=2)
    nearest = np.argmin(distance, axis=1)
    off_line, on_line = distance.min(axis=1), np.abs(along[np.arange(len(w)), nearest])
    carried = np.bincount(nearest, weights=on_line, minlength=len(mass))
    return float(max(np.max(np.abs(carried - mass)), np.sum(off_line)) / np.min(mass))


def second_moment_gap(w: np.ndarray, v: np.ndarray) -> float:
    """Distance of sum w w^T from sum v v^T: all that z^2 sees."""
    return float(np.linalg.norm(w.T @ w - v.T @ v)) / lightest(v) ** 2


def ridge_gap(w: np.ndarray, v: np.ndarray, odd: bool) -> float:
    """How far student minus teacher is from cancelling, pair by pair; a neuron may also cancel by being zero.

    Greedy: the closest two neurons that can cancel are paired first.

    Args:
        w: Student neurons, [n, d].
        v: Teacher neurons, [k, d].
        odd: Whether the ridge function is odd (erf); else it is even, and neurons count up to sign.
    """
    neurons = [(1, x) for x in w] + [(-1, x) for x in v]
    gap = 0.0
    while neurons:
        best = (float(np.linalg.norm(neurons[0][1])), 0, 0)  # pairing with itself: being zero
        for i, (si, x) in enumerate(neurons):
            best = min(best, (float(np.linalg.norm(x)), i, i))
            for j in range(i):
                sj, y = neurons[j]
                # si s(x) + sj s(y) vanishes: for odd s if x = -(si sj) y, for even s if si = -sj and x = +-y.
                distances = []
                if odd:
                    distances.append(np.linalg.norm(x + si * sj * y))
                elif si != sj:
                    distances.extend([np.linalg.norm(x - y), np.linalg.norm(x + y)])
                for distance in distances:
                    best = min(best, (float(distance), i, j))
        gap = max(gap, best[0])
        neurons = [neuron for index, neuron in enumerate(neurons) if index not in best[1:]]
    return gap / lightest(v)


# -- gaps of networks with outer weights -------------------------------------------------------------------------------
#
# w [n, d] with outer weights a [n] against v [k, d] with b [k]; the unit is the least |b||v|. Neurons are put on the
# nearest line or vector that is there already, teachers first, or on one of their own: whatever the assignment, what is
# moved and what is left over bound the distance from the exact zero set.

NEAR = 1e-3  # a neuron is put on a line where that moves it by less, in units of the lightest teacher neuron


def _unit(v: np.ndarray, b: np.ndarray) -> float:
    return float(np.min(np.abs(b) * np.linalg.norm(v, axis=1)))


def signed_sum_gap(w: np.ndarray, a: np.ndarray, v: np.ndarray, b: np.ndarray) -> float:
    """Distance of sum a w from sum b v: all that a linear part sees."""
    return float(np.linalg.norm(a @ w - b @ v)) / _unit(v, b)


def signed_second_moment_gap(w: np.ndarray, a: np.ndarray, v: np.ndarray, b: np.ndarray) -> float:
    """Distance of sum a w w^T from sum b v v^T: all that z^2 sees."""
    return float(np.linalg.norm((w.T * a) @ w - (v.T * b) @ v) / np.min(np.abs(b) * np.sum(v * v, axis=1)))


def signed_line_gap(w: np.ndarray, a: np.ndarray, v: np.ndarray, b: np.ndarray) -> float:
    """Largest mass sum a|w| - sum b|v| left on a line, or what neurons are moved by to lie on lines."""
    unit, moved = _unit(v, b), 0.0
    vectors, weights = np.concatenate([v, w]), np.concatenate([-b, a])
    heaviest = np.argsort(-np.abs(a) * np.linalg.norm(w, axis=1)) + len(v)
    directions: list[np.ndarray] = []
    mass: list[float] = []
    for i in [*range(len(v)), *heaviest]:
        x, weight = vectors[i], float(weights[i])
        away = [abs(weight) * float(np.linalg.norm(x - (x @ u) * u)) for u in directions]
        nearest = int(np.argmin(away)) if away else -1
        if away and away[nearest] <= (SAME_LINE if i < len(v) else NEAR) * unit:
            moved += away[nearest]
            mass[nearest] += weight * abs(float(x @ directions[nearest]))
        elif np.any(x):
            directions.append(x / np.linalg.norm(x))
            mass.append(weight * float(np.linalg.norm(x)))
    return max(moved, *(abs(m) for m in mass)) / unit


def signed_ridge_gap(w: np.ndarray, a: np.ndarray, v: np.ndarray, b: np.ndarray, odd: bool) -> float:
    """Largest weight left on a vector, times its length, or what neurons are moved by to coincide or vanish.

    Args:
        w: Student neurons, [n, d].
        a: Their outer weights, [n].
        v: Teacher neurons, [k, d].
        b: Their outer weights, [k].
        odd: Whether the ridge function is odd (erf); else it is even, and neurons count up to sign.
    """
    unit, moved = _unit(v, b), 0.0
    vectors, weights = np.concatenate([v, w]), np.concatenate([-b, a])
    heaviest = np.argsort(-np.abs(a) * np.linalg.norm(w, axis=1)) + len(v)
    centres: list[np.ndarray] = []
    left: list[float] = []
    for i in [*range(len(v)), *heaviest]:
        x, weight = vectors[i], float(weights[i])
        # (cost of moving there, which centre, sign); centre -1 is the zero vector, where a neuron does nothing.
        ways = [(abs(weight) * float(np.linalg.norm(x)), -1, 1.0)] if i >= len(v) else []
        for sign in (1.0, -1.0):
            ways += [(abs(weight) * float(np.linalg.norm(x - sign * u)), j, sign) for j, u in enumerate(centres)]
        cost, j, sign = min(ways, default=(np.inf, -1, 1.0))
        if cost > (SAME_LINE if i < len(v) else NEAR) * unit:
            centres.append(x)
            left.append(weight)
            continue
        moved += cost
        if j >= 0:
            left[j] += sign * weight if odd else weight
    return max(moved, *(abs(c) * float(np.linalg.norm(u)) for c, u in zip(left, centres, strict=True))) / unit


# -- anchors -----------------------------------------------------------------------------------------------------------


def homogeneous_anchors(v: np.ndarray, odd: float, even: float) -> Anchors:
    """Both ends of every line, as long as its mass (even part), and the sum of the neurons (odd part)."""
    directions, mass = lines_of(v)
    ends = mass[:, None] * directions
    parts = ([ends, -ends] if even else []) + ([v.sum(axis=0)[None]] if odd else [])
    colours = [0] * (2 * len(ends) if even else 0) + ([1] if odd else [])
    return np.concatenate(parts) if parts else np.zeros((0, v.shape[1])), np.array(colours, int)


def second_moment_anchors(v: np.ndarray) -> Anchors:
    """The eigenvectors of sum v v^T, up to sign, scaled by their eigenvalues.

    Equal eigenvalues would allow rotations of their eigenspace, which these finite anchors miss: orbits may split,
    never merge.
    """
    values, vectors = np.linalg.eigh(v.T @ v)
    ends = (values * vectors).T
    return np.concatenate([ends, -ends]), np.zeros(2 * v.shape[1], int)


def signed_anchors(v: np.ndarray) -> Anchors:
    """The neurons themselves: of an odd ridge function."""
    return v, np.zeros(len(v), int)


def unsigned_anchors(v: np.ndarray) -> Anchors:
    """The neurons up to sign, and their sum: of an even ridge function beside a linear part."""
    return np.concatenate([v, -v, v.sum(axis=0)[None]]), np.array([0] * (2 * len(v)) + [1])
