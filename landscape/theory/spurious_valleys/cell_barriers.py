"""Barriers between relu networks from both sides, cell by cell: the least highest face on the way.

See `component` for why cells and faces tell. Cells are entered in the order of the highest face on the way to them:
with the dual bounds of the faces that gives a bound from below, and with the losses that are attained a path.
"""

from __future__ import annotations

import heapq
import itertools
import math
from typing import NamedTuple

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.theory.spurious_valleys.component import (
    CellGraph,
    Entered,
    State,
    cell_graph,
    key_of,
    start_in,
    way_through,
)
from landscape.theory.spurious_valleys.segments import loss_at, verify
from landscape.theory.spurious_valleys.walls import has_walls

MOST = 200  # cells that are entered from one network
BY = "cell by cell"


class Barrier(NamedTuple):
    """What cells tell of the barrier between two networks, up to the order of neurons.

    Attributes:
        first: Number of one network.
        second: Number of the other.
        low: No path between them stays below it.
        high: Verified highest loss of a path; inf where none was found.
    """

    first: int
    second: int
    low: float
    high: float


def cell_barriers(problem: Empirical, thetas: np.ndarray, most: int = MOST) -> list[Barrier]:
    """The barriers between all pairs of networks [k, p]; empty for problems whose cells do not tell."""
    known = cell_graph(problem) if has_walls(problem) else None
    if known is None:
        return []
    starts = [start_in(problem, known, theta) for theta in thetas]
    losses = [loss_at(problem, theta) - problem.loss_error(theta) for theta in thetas]
    out = []
    for i, start in enumerate(starts):
        others = {j: one for j, one in enumerate(starts) if j > i and one is not None}
        if start is None or not others:
            continue
        keys = {key_of(one.states) for one in others.values()}
        lows, beyond, _ = _levels(known, start, keys, most, sure=False)
        highs, _, entered = _levels(known, start, keys, most, sure=True)
        for j, one in others.items():
            low = max(lows.get(key_of(one.states), beyond), losses[i], losses[j])
            high = math.inf
            if key_of(one.states) in highs:
                last = entered[key_of(one.states)]
                way = way_through(problem, entered, last, thetas[i], _in_order(last, one), one.b0)
                high = verify(problem, way).highest
            out.append(Barrier(i, j, low, high))
    return out


def _in_order(last: Entered, one: Entered) -> np.ndarray:
    """|a| w of a network with its neurons in the order in which its cell was entered, [m, d]."""
    u = np.zeros_like(one.u)
    to = sorted(range(len(u)), key=lambda j: last.states[j])
    u[to] = one.u[sorted(range(len(u)), key=lambda j: one.states[j])]
    return u


def _levels(
    known: CellGraph, start: Entered, keys: set[tuple[State, ...]], most: int, sure: bool
) -> tuple[dict[tuple[State, ...], float], float, dict[tuple[State, ...], Entered]]:
    """The least highest face on the way from a cell to others; what is known of cells not reached; how each is entered.

    Args:
        known: The cells.
        start: The cell to begin at.
        keys: Of the cells that are asked for.
        most: Cells that are entered at most.
        sure: Whether a face is as high as the loss attained on it, or else as its bound from below.
    """
    turn, level = itertools.count(), -math.inf
    waiting: list[tuple[float, int, Entered]] = [(level, next(turn), start)]
    entered: dict[tuple[State, ...], Entered] = {}
    found: dict[tuple[State, ...], float] = {}
    while waiting and len(entered) < most and len(found) < len(keys):
        level, _, here = heapq.heappop(waiting)
        key = key_of(here.states)
        if key in entered:
            continue
        entered[key] = here
        if key in keys:
            found[key] = level
        for face, behind in (pair for j in range(len(here.states)) for pair in known.beyond(here.states, j)):
            if key_of(behind) in entered:
                continue
            best, order = known.best(face)
            height = max(level, best.value if sure else best.lower_bound)
            if height < math.inf:
                u = np.zeros_like(start.u)
                u[order] = best.u
                heapq.heappush(waiting, (height, next(turn), Entered(behind, True, key, u, best.b0)))
    # All that is not entered lies behind faces no lower than those that were passed.
    return found, level if waiting else math.inf, entered
