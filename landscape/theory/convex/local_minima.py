"""All local minima of a small training problem, by enumeration.

With weight decay a network without a zero neuron is a local minimum if and only if it is stationary in every direction.
It is then the optimum of the convex program on its own signed activation cells, (pattern, sign), one for each neuron,
and of every program on cells that touch its neurons (after Wang, Lacotte and Pilanci 2022; derived here for kinks). So
all local minima come out of the finitely many programs on sets of signed cells. Most sets need no program: with nu the
residual at the optimum of a set S, a cell t adds nothing to it unless its pull, the largest s nu' relu(x u) over unit
vectors u of the cell, exceeds beta; and a set has an optimum with all its blocks at work only if each of its cells
pulls on the optimum of the others. On eight points in the plane this leaves 1,201 of 41,448 sets of up to four cells.

A second neuron in the same signed cell can always be merged with the first at no cost, so sets without repetition do.
Networks are listed merged: one neuron per direction and sign. At a larger width the same minimum is there with neurons
split into collinear pieces, and is then not isolated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from landscape.problems.datafit import Data
from landscape.records import InputError, whole
from landscape.theory.arrangement.records import Cells
from landscape.theory.convex.signed_cells import IDLE, SOLVED, Minimum, SignedCells, slack
from landscape.theory.convex.subsets import rank, unrank

# Two optima are one point if their unit directions and weights agree to this: polished ones agree to 1e-10 or better.
SAME = 1e-7
GLOBAL, GLOBAL_AT_WIDTH = "global", "global at this width"
STRICT, FLAT = "strict spurious", "flat spurious"


class Minima(NamedTuple):
    """All local minima of one width that have no zero neuron.

    Attributes:
        width: m.
        minima: By value. Every set of local minima of equal output is represented by all its vertices of at most m
            neurons; a local minimum with a zero neuron is global, and is there without it: with no neuron at all where
            the best network is none.
        best: P_m, the least loss of width m.
        patterns: Activation cells, bool [P, n].
        sets: Sets of up to m signed cells that this covers.
        programs: Convex programs that were solved for it.
        undecided: Candidates on the edge of floating point, or programs not solved; 0: the list is complete.
        loss_size: Loss without a neuron, which differences of losses are measured by.
        output_size: |y|, the same for outputs.
    """

    width: int
    minima: tuple[Minimum, ...]
    best: float
    patterns: np.ndarray
    sets: int
    programs: int
    undecided: int
    loss_size: float
    output_size: float


def local_minima(data: Data, width: int, listed: Cells | None = None, most: int = 20_000_000) -> Minima:
    """Every local minimum of a two-layer ReLU network of exactly this width without a zero neuron.

    Args:
        data: Data set, positive weight decay; squared or logistic loss, any outer bias.
        width: m; beyond the number of data points no new minimum appears, they only become flat.
        listed: All cells of data.x, where they are at hand.
        most: Largest number of sets of signed cells to go through. A million sets or some 300 programs a second.

    Raises:
        InputError: The weight decay is not positive, the cells are not complete, or there are too many sets.
    """
    width = whole("width", width, 1)
    pairs = SignedCells.of(data, listed)
    count, deepest = len(pairs.signs), min(width, len(data.x))
    sets = sum(math.comb(count, k) for k in range(1, deepest + 1))
    if sets > most:
        raise InputError(
            f"width {width} has {sets:,} sets of its {count} signed cells to go through, more than {most:,}; ask for a "
            "smaller width, or use best_by_width for the least loss alone."
        )
    start = pairs.solve(())
    ids = [np.zeros(1, np.int32)]  # of the optimum of each set, level by level in colexicographic order
    pulls = [pairs.pulls(start.nu)]
    best, programs, undecided = start.value, 0, 0
    found: list[Minimum] = []
    none = float(np.max(pulls[0], initial=0.0)) / data.weight_decay
    if none <= 1 + IDLE:  # no neuron pays
        empty = np.zeros((0, data.x.shape[1])), np.zeros(0)
        found.append(Minimum(start.value, GLOBAL, True, *empty, start.b0, start.output, (), none))
    for k in range(1, deepest + 1):
        table = np.array(pulls) > data.weight_decay * (1 + IDLE)
        level = np.empty(math.comb(count, k), np.int32)
        for first in range(0, len(level), 1_000_000):
            ranks = np.arange(first, min(first + 1_000_000, len(level)))
            members = unrank(ranks, k, count)
            optimum = np.full(len(ranks), -1, np.int32)
            for j in range(k):
                rest = ids[-1][rank(np.delete(members, j, axis=1))]
                optimum = np.where((optimum < 0) & ~table[rest, members[:, j]], rest, optimum)
            for i in np.flatnonzero(optimum < 0):
                at = tuple(int(t) for t in members[i])
                point = pairs.solve(at)
                minimum, decided = pairs.judge(at, point)
                programs, undecided = programs + 1, undecided + (not decided)
                if point.residual <= SOLVED:
                    best = min(best, point.value)
                if k < deepest:
                    optimum[i] = len(pulls)
                    pulls.append(pairs.pulls(point.nu))
                if minimum is not None and not _listed(found, minimum):
                    pull = pulls[-1] if k < deepest else pairs.pulls(point.nu)
                    found.append(minimum._replace(phi_over_beta=float(np.max(pull)) / data.weight_decay))
            level[first : first + len(ranks)] = optimum
        ids.append(level)
    minima = [_named(m, width, best) for m in sorted(found, key=lambda m: m.value)]
    sizes = (start.value, float(np.linalg.norm(data.y)))
    return Minima(width, tuple(minima), best, pairs.patterns, sets, programs, undecided, *sizes)


def _listed(found: list[Minimum], new: Minimum) -> bool:
    """Whether the point is in the list, neurons in any order. One on a kink comes up with each cell that it touches."""
    mine = np.column_stack([new.hidden, new.outer])
    for old in found:
        if len(old.outer) != len(new.outer) or abs(old.value - new.value) > SAME * abs(new.value):
            continue
        distance = np.linalg.norm(np.column_stack([old.hidden, old.outer])[:, None] - mine, axis=2)
        nearest = np.argmin(distance, axis=1)
        if len(set(nearest)) == len(nearest) and np.max(distance.min(axis=1)) <= SAME * np.max(np.abs(mine)):
            return True
    return False


def _named(minimum: Minimum, width: int, best: float) -> Minimum:
    isolated = len(minimum.outer) == width
    if minimum.phi_over_beta <= 1 + IDLE:
        kind = GLOBAL
    elif minimum.value <= best + slack(best):
        kind = GLOBAL_AT_WIDTH
    else:
        kind = STRICT if isolated else FLAT
    return minimum._replace(kind=kind, isolated=isolated)
