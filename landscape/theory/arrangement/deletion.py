"""A point in each cell of distinct hyperplanes and their number, by deletion and restriction (Zaslavsky 1975)."""

from __future__ import annotations

import math

import numpy as np

from landscape.theory.arrangement.rows import BLOCK, EPS, RESOLUTION, normalised, pattern_keys


def first_on_line(unit: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Whether each unit row [m, r], known to within blur [m], is the first on its line through the origin."""
    m, r = unit.shape
    first = np.ones(m, bool)
    block = max(1, BLOCK // max(1, m * r))
    for start in range(0, m, block):
        rows = slice(start, start + block)
        # Differences, not cosines: a cosine cannot tell angles below 1e-8 from zero.
        apart = np.minimum(
            np.sum((unit[rows, None] - unit) ** 2, axis=2), np.sum((unit[rows, None] + unit) ** 2, axis=2)
        )
        near = apart <= (blur[rows, None] + blur) ** 2
        first[rows] = ~np.any(np.tril(near, start - 1), axis=1)
    return first


def interior_points(a: np.ndarray, blur: np.ndarray, most: float = math.inf) -> tuple[np.ndarray | None, int]:
    """A unit vector in each cell of the distinct hyperplanes with unit normals a [m, r], and the number of cells.

    blur [m] is how well each normal is known (it grows when rows are projected along a close neighbour). Returns None
    for the points once there are more than `most`. The number is counted apart from the points, by deletion and
    restriction: the two agree unless a decision about near-dependent rows was inconsistent.
    """
    m, r = a.shape
    if m == 0:
        return np.eye(r)[:1] if r else np.zeros((1, 0)), 1
    if r == 1:
        return np.array([[1.0], [-1.0]]), 2
    if r == 2:
        return _sectors(a, blur)
    if m <= r and 2**m <= most:
        left, size, right = np.linalg.svd(a, full_matrices=False)
        if size[-1] > 0.05:  # independent: all sign patterns s, at the solutions of a u = s
            signs = 1.0 - 2.0 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1)
            return normalised(((signs @ left) / size) @ right), 2**m
    found, expected = [], 1
    for k in range(m):
        complement = _complement(a[k])
        shadow = a[:k] @ complement
        length = np.linalg.norm(shadow, axis=1)  # above the blur: the lines are distinct
        shadow, shadow_blur = shadow / length[:, None], blur[:k] / length
        first = first_on_line(shadow, shadow_blur)
        traces, number = interior_points(shadow[first], shadow_blur[first], most - expected)
        expected += number
        if traces is None or expected > most:
            return None, expected
        w = traces @ complement.T if k else np.zeros((1, r))
        # Off the hyperplane, to w +- t a_k, until it is as far from row k as from the row it comes closest to.
        along = a[:k] @ a[k]
        product = w @ a[:k].T
        distance, slope = np.abs(product), np.sign(product) * along
        for side in (1.0, -1.0):
            t = np.min(distance / np.maximum(1 - side * slope, EPS), axis=1, initial=1.0)
            found.append(w + side * t[:, None] * a[k])
    points = deepest_points(a, normalised(np.concatenate(found)))
    return points, expected


def _sectors(a: np.ndarray, blur: np.ndarray) -> tuple[np.ndarray, int]:
    """`interior_points` in the plane: unit vectors in the middle of the sectors between lines, from sorted angles."""
    angle = np.arctan2(a[:, 1], a[:, 0]) % np.pi
    order = np.argsort(angle)
    angle, blur = angle[order], blur[order]
    gap = np.diff(angle, append=angle[0] + np.pi)
    wide = gap > blur + np.roll(blur, -1) if len(angle) > 1 else np.ones(1, bool)
    middle = (angle + gap / 2)[wide] + np.pi / 2
    half = np.stack([np.cos(middle), np.sin(middle)], axis=1)
    return np.concatenate([half, -half]), 2 * int(np.sum(wide))


def _complement(a: np.ndarray) -> np.ndarray:
    """Orthonormal basis [r, r-1] of the complement of a unit vector [r] (Householder: exact for unit axes)."""
    v = a.copy()
    v[0] += np.copysign(1.0, a[0])
    return (np.eye(len(a)) - np.outer(v, 2 * v / (v @ v)))[:, 1:]


def deepest_points(a: np.ndarray, points: np.ndarray) -> np.ndarray:
    """One point of each sign pattern, the one deepest in its cell; points on a hyperplane are dropped.

    A point that belongs to a cell wider than RESOLUTION, by the construction in `interior_points`, is at least
    RESOLUTION / 2^r deep; whatever is shallower came from a cell cut later, which has another point.
    """
    m, r = a.shape
    kept = []
    for start in range(0, len(points), block := max(1, BLOCK // max(1, m))):
        part = points[start : start + block]
        product = part @ a.T
        depth = np.min(np.abs(product), axis=1, initial=1.0)
        kept.append((product > 0, depth, part, depth > max(RESOLUTION / 2**r, 8 * r * EPS)))
    if not kept:
        return points
    pattern, depth, points, inside = (np.concatenate(field) for field in zip(*kept, strict=True))
    pattern, depth, points = pattern[inside], depth[inside], points[inside]
    order = np.argsort(-depth, kind="stable")
    _, index = np.unique(pattern_keys(pattern)[order], return_index=True)
    return points[order[index]]
