"""Symmetric points, their random images, and the group by enumeration: what orbits are held against."""

from itertools import permutations, product

import numpy as np
from scipy.stats import ortho_group

from landscape.problems.symmetry import Symmetry

TOLERANCE = 1e-7


def teacher_symmetry(teacher, n, flips=False):
    """The symmetry of a relu-like loss: both ends of each teacher row, and the sum of the rows."""
    anchors = np.vstack([teacher, -teacher, teacher.sum(axis=0)])
    colours = np.r_[np.zeros(2 * len(teacher), int), 1]
    return Symmetry(anchors=anchors, colours=colours, shape=(n, teacher.shape[1]), flips=flips)


def orthonormal_symmetry(n, k, d=None, flips=False):
    return teacher_symmetry(np.eye(k, d), n, flips)


def random_image(rng, w, k, flips=False):
    """A random permutation of rows and of the first k coordinates, a random rotation or reflection of the others."""
    n, d = w.shape
    w = w[rng.permutation(n)]
    w = np.hstack([w[:, rng.permutation(k)], w[:, k:]])
    if d > k:
        turn = ortho_group.rvs(d - k, random_state=rng) if d - k > 1 else np.array([[-1.0]])
        w[:, k:] = w[:, k:] @ turn.T
    return w * rng.choice([-1.0, 1.0], (n, 1)) if flips else w


def block_matrix(k, p, entries):
    """The shape of the published families: [[a on the diagonal, f off it | b], [e | c on the diagonal, g off it]]."""
    a, b, c, e, f, g = entries
    w = np.full((k, k), f)
    np.fill_diagonal(w, a)
    w[: k - p, k - p :] = b
    w[k - p :, : k - p] = e
    w[k - p :, k - p :] = np.where(np.eye(p, dtype=bool), c, g)
    return w


def circulant(row):
    return np.array([np.roll(row, i) for i in range(len(row))])


def same_by_enumeration(a, b, column_maps, flips=False):
    """Whether some row order, one of the column maps [d, d] and (with flips) some signs take a to b."""
    rows = [list(order) for order in permutations(range(len(a)))]
    for q in column_maps:
        for order in rows:
            moved = (a @ q.T)[order]
            off = np.abs(moved - b).max(axis=1)
            if flips:
                off = np.minimum(off, np.abs(moved + b).max(axis=1))
            if off.max() <= TOLERANCE:
                return True
    return False


def permutation_matrices(k, signed=False):
    for order in permutations(range(k)):
        for signs in product([1, -1], repeat=k) if signed else [(1,) * k]:
            yield np.diag(signs) @ np.eye(k)[list(order)]


def tied_pair(rng, n, k, column_maps, flips):
    """Integer matrices with many ties: an image, half of the time with two entries exchanged."""
    a = rng.integers(-1, 2, (n, k)).astype(float)
    b = (a @ column_maps[rng.integers(len(column_maps))].T)[rng.permutation(n)]
    if flips:
        b = b * rng.choice([-1, 1], (n, 1))
    if rng.random() < 0.6:
        i, j = rng.integers(b.size, size=2)
        b.flat[i], b.flat[j] = b.flat[j], b.flat[i]
    return a, b
