"""Sets of k of a number of things, numbered in colexicographic order."""

from __future__ import annotations

import math

import numpy as np


def _binomials(k: int, count: int) -> np.ndarray:
    return np.array([math.comb(c, k) for c in range(count + 1)], np.int64)


def rank(members: np.ndarray) -> np.ndarray:
    """Number of each set, rows of ascending members [c, k]."""
    ranks = np.zeros(len(members), np.int64)
    for j in range(members.shape[1]):
        ranks += _binomials(j + 1, int(members[:, j].max(initial=0)))[members[:, j]]
    return ranks


def unrank(ranks: np.ndarray, k: int, count: int) -> np.ndarray:
    """The sets with these numbers, [c, k]."""
    members, left = np.empty((len(ranks), k), np.int64), ranks.astype(np.int64)
    for j in range(k, 0, -1):
        table = _binomials(j, count)
        members[:, j - 1] = np.searchsorted(table, left, side="right") - 1
        left = left - table[members[:, j - 1]]
    return members
