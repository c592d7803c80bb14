"""Ranks of matrices of float64 numbers, without rounding: every such number is a whole number over a power of two."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

PRIME = 2**31 - 1  # products of two residues fit into 64 bits
WORK = 3_000_000  # multiplications of whole numbers, some microseconds each, that an exact elimination may take

Whole = list[list[int]]


def whole_numbers(x: np.ndarray) -> Whole:
    """The rows of x [n, d] as whole numbers, all of them multiplied with one power of two."""
    fractions = [[float(value).as_integer_ratio() for value in row] for row in np.asarray(x, np.float64)]
    common = max((below for row in fractions for _, below in row), default=1)
    return [[above * (common // below) for above, below in row] for row in fractions]


def primitive(row: Sequence[int]) -> tuple[tuple[int, ...], int]:
    """The ray of a row that is not zero: its shortest whole vector, up to sign with a positive first entry; the sign.

    Raises:
        ValueError: The row is zero.
    """
    first = next(value for value in row if value) if any(row) else 0
    if not first:
        raise ValueError("a zero row has no direction.")
    sign, divisor = (1 if first > 0 else -1), math.gcd(*row)
    return tuple(sign * value // divisor for value in row), sign


def rank_bounds(rows: Whole) -> tuple[int, int]:
    """Bounds of the rank of whole numbers [n, q]: equal unless the matrix is large and its rank not full.

    The rank modulo a prime is at most the rank: a minor that is not zero there is not zero. Where it is less than full,
    elimination in whole numbers decides.
    """
    if not rows or not rows[0]:
        return 0, 0
    full = min(len(rows), len(rows[0]))
    low = _rank_modulo_prime(rows)
    if low == full:
        return full, full
    if low * len(rows) * len(rows[0]) > WORK:
        return low, full
    exact = _rank(rows)
    return exact, exact


def rank(x: np.ndarray) -> tuple[int, int]:
    """Bounds of the rank of x [n, d], of the very numbers that it holds."""
    return rank_bounds(whole_numbers(x))


def _rank_modulo_prime(rows: Whole) -> int:
    left = np.array([[value % PRIME for value in row] for row in rows], np.int64)
    done = 0
    for column in range(left.shape[1]):
        below = np.flatnonzero(left[done:, column])
        if not len(below):
            continue
        pivot = done + int(below[0])
        left[[done, pivot]] = left[[pivot, done]]
        left[done] = left[done] * pow(int(left[done, column]), -1, PRIME) % PRIME
        left[done + 1 :] = (left[done + 1 :] - left[done + 1 :, column : column + 1] * left[done] % PRIME) % PRIME
        done += 1
        if done == len(left):
            break
    return done


def _rank(rows: Whole) -> int:
    """Elimination without fractions (Bareiss 1968): every division is exact."""
    left = [list(row) for row in rows]
    done, before = 0, 1
    for column in range(len(left[0])):
        pivot = next((i for i in range(done, len(left)) if left[i][column]), None)
        if pivot is None:
            continue
        left[done], left[pivot] = left[pivot], left[done]
        top = left[done]
        for i in range(done + 1, len(left)):
            factor = left[i][column]
            left[i] = [(top[column] * a - factor * b) // before for a, b in zip(left[i], top, strict=True)]
        before, done = top[column], done + 1
        if done == len(left):
            break
    return done
