"""The activation cells of a data set: all of them with a count that certifies the list, or a sample.

Rows that are dependent to `RESOLUTION` count as dependent: the list holds the cells that are wider than that.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from landscape.records import InputError
from landscape.theory.arrangement.deletion import deepest_points, first_on_line, interior_points
from landscape.theory.arrangement.records import Cells
from landscape.theory.arrangement.rows import (
    BLOCK,
    EPS,
    RESOLUTION,
    Reduced,
    as_matrix,
    normalised,
    pattern_keys,
    reduce_rows,
)
from landscape.theory.arrangement.threads import one_thread


def cover_count(n: int, r: int) -> int:
    """Largest number of cells of n hyperplanes through the origin in r dimensions: 2 sum_{k < r} C(n-1, k).

    Attained if and only if any r of the normals are independent (Cover 1965), so that a list of this many distinct
    cells is complete whatever else is known.
    """
    return 2 * sum(math.comb(n - 1, k) for k in range(r)) if n > 0 and r > 0 else 1


@one_thread
def cells(x: np.ndarray, most: int = 1_000_000) -> Cells:
    """All activation cells of x [n, d], in any position.

    Zero rows are left out, rows on one line merged, x reduced to its row space. Then by deletion and restriction: the
    hyperplane of row k cuts just those cells of rows 1 .. k-1 that hold a cell of their traces on it, and those traces
    are an arrangement of one dimension less (down to two, where angles are sorted). A point of the trace, moved off
    the hyperplane to both sides, is inside two cells; as every cell is cut out at some last k, these points hit all
    of them, and their number is 1 + sum_k (number of traces), which certifies the list. Work about P n r, and
    C(n, r-2) sorts.

    Args:
        x: Data, [n, d]; append a column of ones for a bias.
        most: The largest number of cells to list.

    Raises:
        InputError: There are more than `most` cells, or x is not a finite matrix.
    """
    x = as_matrix(x)
    reduced, lines = distinct_normals(x)
    m, r = lines.shape
    bound = cover_count(m, r)
    if bound > most and _at_least(lines, most) > most:
        raise InputError(_too_many(x, most, bound))
    points, expected = interior_points(lines, np.full(m, RESOLUTION / 2), most)
    if points is None:
        raise InputError(_too_many(x, most, bound))
    found = _cells_at(x, reduced, points)
    count = len(found.patterns)
    if count == bound:
        return found._replace(complete=True, by="deletion and restriction, Cover's count")
    return found._replace(complete=count == expected, by="deletion and restriction, Zaslavsky's count")


def sampled_cells(x: np.ndarray, draws: int, seed: int = 0) -> Cells:
    """The activation cells that `draws` Gaussian directions fall into: an approximation, small cells are missed.

    `complete` only if the count reaches Cover's bound.
    """
    x = as_matrix(x)
    reduced, lines = distinct_normals(x)
    m, r = lines.shape
    rng = np.random.default_rng(seed)
    block, points = max(1, BLOCK // max(1, m)), np.zeros((0, r))
    for start in range(0, draws, block):
        new = rng.normal(size=(min(block, draws - start), r))
        new /= np.linalg.norm(new, axis=1, keepdims=True)
        points = deepest_points(lines, np.concatenate([points, new]))
    found = _cells_at(x, reduced, points)
    return found._replace(complete=len(found.patterns) == cover_count(m, r), by=f"sampled, {draws} directions")


def _too_many(x: np.ndarray, most: int, bound: int) -> str:
    return (
        f"x has more than {most:,} activation cells ({len(x)} rows; at most {float(bound):.3g}): expected a number "
        "that can be listed; raise `most`, take sampled_cells, or let phi give its interval."
    )


def distinct_normals(x: np.ndarray) -> tuple[Reduced, np.ndarray]:
    """The reduced rows, and one unit normal [m, r] of each distinct hyperplane."""
    reduced = reduce_rows(x)
    if not len(reduced.rows):
        return reduced, np.zeros((0, x.shape[1]))
    unit = reduced.rows / np.linalg.norm(reduced.rows, axis=1, keepdims=True)
    return reduced, unit[first_on_line(unit, np.full(len(unit), RESOLUTION / 2))]


def _cells_at(x: np.ndarray, reduced: Reduced, points: np.ndarray) -> Cells:
    """The cells of x [n, d] at points [P, r] of its row space, each sign verified on x itself."""
    interior = normalised(points @ reduced.basis.T)
    rows = x[reduced.kept] / reduced.scale[:, None]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    patterns, margin = np.zeros((len(points), len(x)), bool), np.ones(len(points))
    for start in range(0, len(points), block := max(1, BLOCK // max(1, len(unit)))):
        part = slice(start, start + block)
        product = interior[part] @ unit.T
        patterns[part, reduced.kept] = product > 0
        margin[part] = np.min(np.abs(product), axis=1, initial=1.0)
    # A computed product of unit vectors is within (d + 4) eps of the true one.
    sure = margin > (x.shape[1] + 4) * EPS
    patterns, interior, margin = patterns[sure], interior[sure], margin[sure]
    return Cells(
        patterns=patterns,
        interior=interior,
        complete=False,
        by="",
        margin=float(np.min(margin, initial=1.0)),
    )


def _at_least(lines: np.ndarray, most: int) -> int:
    """A number of cells that surely exist: distinct patterns of random directions on at most 64 of the rows."""
    a, rng = lines[:64], np.random.default_rng(0)
    keys = np.zeros(0, np.uint64)
    for _ in range(8):
        draws = max(1000, most // 4)
        seen = []
        for start in range(0, draws, block := max(1, BLOCK // len(a))):
            product = normalised(rng.normal(size=(min(block, draws - start), a.shape[1]))) @ a.T
            seen.append(pattern_keys(product[np.min(np.abs(product), axis=1) > RESOLUTION] > 0))
        before, keys = len(keys), np.unique(np.concatenate([keys, *seen]))
        if len(keys) > most or len(keys) - before < draws // 4:
            break
    return len(keys)


@lru_cache(maxsize=4)
def remembered_cells(data: bytes, shape: tuple[int, int]) -> Cells:
    return cells(np.frombuffer(data).reshape(shape))
