"""Least squares without weight decay: the least loss of a width, by enumeration.

Without weight decay a network of given cells and signs is a linear model of u_i = |a_i| w_i in the cells' closed cones,
so that P_m is the least of one cone-constrained least squares problem for every set of m signed cells (derived here).
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from scipy.optimize import nnls

from landscape.problems.data import Data, objective
from landscape.records import InputError
from landscape.theory.arrangement import Cells, cells
from landscape.theory.convex.local_minima import Best

EPS = float(np.finfo(float).eps)


def best(data: Data, width: int, known: Cells | None = None, most: int = 20_000) -> Best:
    """The least squared loss of networks of this width.

    Args:
        data: Squared loss, no weight decay; an outer bias, if there is one, is free.
        width: m.
        known: All cells of data.x.
        most: Sets of signed cells at most; some 3000 a second.

    Raises:
        InputError: The loss is another one, or there are too many sets.
    """
    if data.loss != "squared" or data.weight_decay != 0:
        raise InputError("without weight decay only squared loss can be enumerated.")
    found = cells(data.x) if known is None else known
    active = found.patterns.any(axis=1)
    patterns = found.patterns[active]
    count = math.comb(2 * len(patterns) + width - 1, width)
    if not found.complete or count > most:
        raise InputError(f"width {width} has {count} sets of signed cells, at most {most} are gone through.")
    # Every output of a cell is a combination, with weights >= 0, of outputs of directions in it.
    x, y = np.asarray(data.x, float), np.asarray(data.y, float)
    rays = [_rays(x, pattern) for pattern in patterns]
    least = 0.5 * float(y @ y)
    hidden, outer, b0, programs = np.zeros((0, x.shape[1])), np.zeros(0), 0.0, 0
    constant = [] if data.outer_bias == "none" else [np.ones((len(x), 1)), -np.ones((len(x), 1))]
    pairs = [(i, s) for i in range(len(patterns)) for s in (1.0, -1.0)]
    enough = EPS * float(y @ y)
    for chosen in itertools.combinations(pairs, min(width, len(pairs))):  # a cell twice does no more than once
        if least <= enough:
            break
        programs += 1
        blocks = [rays[i] for i, _ in chosen]
        heights = [s * np.maximum(x @ block.T, 0.0) for block, (_, s) in zip(blocks, chosen, strict=True)]
        atoms = np.concatenate([*heights, *constant], axis=1)
        weights, distance = nnls(atoms, y)
        if 0.5 * distance**2 < least - enough:
            ends = np.cumsum([0] + [len(block) for block in blocks])
            u = np.array([weights[a:b] @ block for a, b, block in zip(ends, ends[1:], blocks, strict=False)])
            norms = np.linalg.norm(u, axis=1)
            keep = norms > 0
            w, a = (
                u[keep] / np.sqrt(norms[keep])[:, None],
                np.array([s for _, s in chosen])[keep] * np.sqrt(norms[keep]),
            )
            shift = float(weights[-2] - weights[-1]) if constant else 0.0
            value = objective(data, w, a, shift)
            if value < least:
                least, hidden, outer, b0 = value, w, a, shift
    slack = 1e-12 * float(y @ y)  # nnls is exact to rounding of its normal equations
    return Best(width, least, hidden, outer, b0, max(least - slack, 0.0), programs, "enumeration of cells")


def _rays(x: np.ndarray, pattern: np.ndarray) -> np.ndarray:
    """Directions whose combinations with weights >= 0 make up the closed cell: its extreme rays, and +- its lines."""
    rows = x[np.linalg.norm(x, axis=1) > 0]
    sides = np.where(pattern[np.linalg.norm(x, axis=1) > 0], 1.0, -1.0)[:, None] * rows
    _, size, v = np.linalg.svd(rows)
    rank = int(np.sum(size > 1e-10 * size[0]))
    basis, lines = v[:rank], v[rank:]
    inside = sides @ basis.T
    out = []
    for some in itertools.combinations(range(len(rows)), rank - 1):
        _, value, turned = np.linalg.svd(inside[list(some)].reshape(-1, rank))
        if rank > 1 and value[-1] <= 1e-10 * max(value[0], 1e-300):
            continue
        for sign in (1.0, -1.0):
            ray = sign * turned[-1]
            if np.all(inside @ ray >= -1e-10 * np.linalg.norm(inside, axis=1)) and not any(
                np.linalg.norm(ray - other) < 1e-9 for other in out
            ):
                out.append(ray)
    return np.concatenate([np.array(out).reshape(-1, rank) @ basis, lines, -lines])
