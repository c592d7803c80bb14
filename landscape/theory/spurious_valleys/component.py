"""Whether the component of a sublevel set of a relu network holds a global minimum, cell by cell.

Rectified linear networks, squared loss, no weight decay. With u = |a| w of each neuron, given signs of outer weights
and given active rows, outputs are linear in u and the loss is convex on a product of closed cones: the sublevel set of
such a cell is connected. Two cells whose active rows differ by those of one hyperplane, of one neuron, meet in a face;
an outer weight changes its sign where u of its neuron is zero. So the component of a network is all cells that can be
reached over faces on which the least loss is no higher than the level (derived here). Every least loss is a least
squares problem in a cone, with a dual bound. Cells that differ in the order of the neurons count as one.
"""

from __future__ import annotations

import heapq
import itertools
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from landscape.problems.datafit import Data
from landscape.problems.empirical import Empirical
from landscape.records import InputError
from landscape.theory.cell_least_squares import Cones, Fit, cones, fit
from landscape.theory.spurious_valleys.segments import loss_at

MOST = 300  # cells of a component that are entered; of a larger one nothing is known
TIE = 1e-12  # of |x| |w|: a smaller pre-activation counts as zero, and either side of it as the neuron's cell
KEPT = 200_000  # least squares problems whose answers are kept
DEAD = (-1, 0.0)  # the state of a neuron without output; else the index of its cell, and its sign

State = tuple[int, float]


class Found(NamedTuple):
    """What is known of a component.

    Attributes:
        holds: Whether it holds a global minimum; None where that is not decided.
        way: Way-points to one that stay below the level, [t, p], where it does.
        cells: Number of cells that were entered.
    """

    holds: bool | None
    way: np.ndarray | None
    cells: int


class Entered(NamedTuple):
    """How a cell was entered: the cell before it, and u [m, d] and outer bias at a least network of the face."""

    states: tuple[State, ...]
    sure: bool
    before: tuple[State, ...] | None
    u: np.ndarray
    b0: float


class CellGraph:
    """The cells of some data, and the least squares problems that were solved on them."""

    def __init__(self, data: Data):
        self.known: Cones = cones(data)
        self.clear = self.known.rays.clear
        self._fits: dict[tuple[State, ...], Fit] = {}
        side = self.known.rays.side
        signs = side * np.sign(side[np.argmax(side != 0, axis=0), np.arange(side.shape[1])])
        plane = np.unique(signs, axis=1, return_inverse=True)[1].ravel()  # the hyperplane of each row
        patterns, self.beside, self.rays = self.known.patterns, [], list(self.known.inside)
        self.faces: dict[tuple[int, int], int] = {}
        for i, one in enumerate(patterns):
            differs = patterns != one
            near = [j for j in np.flatnonzero(differs.any(axis=1)) if len(set(plane[differs[j]])) == 1]
            self.beside.append([int(j) for j in near])
            for j in near:
                if i < j:
                    self.faces[i, int(j)] = len(self.rays)
                    self.rays.append(np.intersect1d(self.known.inside[i], self.known.inside[j]))

    def best(self, states: tuple[State, ...]) -> tuple[Fit, list[int]]:
        """The least squares problem of neurons in these states, and which neuron each row of its u is of."""
        order = sorted((j for j, one in enumerate(states) if one != DEAD), key=lambda j: states[j])
        key = tuple(states[j] for j in order)
        if key not in self._fits:
            if len(self._fits) >= KEPT:
                self._fits.clear()
            self._fits[key] = fit(self.known, [(self.rays[i], s) for i, s in key])
        return self._fits[key], order

    def beyond(self, states: tuple[State, ...], j: int) -> list[tuple[tuple[State, ...], tuple[State, ...]]]:
        """What neuron j leads to: the states of the face, and those of the cell behind it."""
        now = states[j]

        def with_(one: State) -> tuple[State, ...]:
            return (*states[:j], one, *states[j + 1 :])

        if now == DEAD:
            return [(states, with_((i, s))) for i in range(len(self.beside)) for s in (1.0, -1.0)]
        i, s = now
        out = [(with_((self.faces[min(i, k), max(i, k)], s)), with_((k, s))) for k in self.beside[i]]
        return [*out, (with_(DEAD), with_(DEAD))]


@lru_cache(maxsize=16)
def _graph(x: bytes, y: bytes, n: int, outer_bias: str) -> CellGraph | None:
    try:
        return CellGraph(Data(np.frombuffer(x).reshape(n, -1), np.frombuffer(y), 0.0, "squared", outer_bias))
    except InputError:  # not all cells are known
        return None


def cell_graph(problem: Empirical) -> CellGraph | None:
    """The cells of a problem, made once; None where they, or their rays, are not known beyond doubt."""
    x, y = (np.ascontiguousarray(part, np.float64) for part in (problem.x, problem.y))
    found = _graph(x.tobytes(), y.tobytes(), len(y), problem.outer_bias)
    return found if found is not None and found.clear else None


def component(problem: Empirical, theta: np.ndarray, least: float, attained: bool = True, most: int = MOST) -> Found:
    """Whether the component of the sublevel set at the network's own loss, to rounding, holds a global minimum.

    Args:
        problem: A relu network with squared loss and no weight decay.
        theta: The network, [p].
        least: A loss that is attained; the least one of the width, to 1e-9, if `attained`.
        attained: Whether it is the least one.
        most: Cells that are entered at most.
    """
    known = cell_graph(problem)
    start = None if known is None else start_in(problem, known, theta)
    if known is None or start is None:
        return Found(None, None, 0)
    level = loss_at(problem, theta) + 8 * problem.loss_error(theta) + 1e-13 * float(problem.y @ problem.y)
    goal = least + 1e-9 * max(1.0, least)
    entered = {key_of(start.states): start}
    turn = itertools.count()
    waiting, count, may_hold = [(known.best(start.states)[0].value, next(turn), start.states)], 0, False
    while waiting:
        _, _, states = heapq.heappop(waiting)
        here = entered[key_of(states)]
        if here.states != states:
            continue  # entered again in another order, for sure
        count += 1
        if count > most:
            return Found(None, None, count)
        own, _ = known.best(states)
        if attained and here.sure and own.value <= goal:
            best, order = known.best(states)
            u = np.zeros_like(start.u)
            u[order] = best.u
            return Found(True, way_through(problem, entered, here, theta, u, best.b0), count)
        may_hold |= not own.lower_bound > goal
        for face, behind in (pair for j in range(problem.width) for pair in known.beyond(states, j)):
            best, order = known.best(face)
            if best.lower_bound > level:
                continue
            sure, key = here.sure and best.value <= level, key_of(behind)
            if key in entered and (entered[key].sure or not sure):
                continue
            u = np.zeros_like(start.u)
            u[order] = best.u
            entered[key] = Entered(behind, sure, key_of(states), u, best.b0)
            heapq.heappush(waiting, (known.best(behind)[0].value, next(turn), behind))
    return Found(None if may_hold else False, None, count)


def key_of(states: tuple[State, ...]) -> tuple[State, ...]:
    return tuple(sorted(states))


def start_in(problem: Empirical, known: CellGraph, theta: np.ndarray) -> Entered | None:
    """The cell of a network; None where its pre-activations are of no cell, as rounding may have them."""
    m, d = problem.width, problem.d
    w, a = theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)]
    b0 = float(theta[-1]) if problem.outer_bias != "none" else 0.0
    heights = w @ problem.x.T  # [m, n]
    tie = np.abs(heights) <= TIE * np.linalg.norm(w, axis=1)[:, None] * np.linalg.norm(problem.x, axis=1)
    states: list[State] = []
    for j in range(m):
        active = (heights[j] > 0) & ~tie[j]
        if a[j] == 0 or not active.any():
            states.append(DEAD)
            continue
        fitting = np.flatnonzero(np.all((known.known.patterns == active) | tie[j], axis=1))
        if not len(fitting):
            return None
        states.append((int(fitting[0]), float(np.sign(a[j]))))
    dead = np.array([one == DEAD for one in states])
    return Entered(tuple(states), True, None, np.where(dead[:, None], 0.0, np.abs(a)[:, None] * w), b0)


def way_through(
    problem: Empirical,
    entered: dict[tuple[State, ...], Entered],
    last: Entered,
    theta: np.ndarray,
    u: np.ndarray,
    b0: float,
) -> np.ndarray:
    """Way-points from the network to one of the last cell, [t, p]: straight in |a| w within every cell.

    Outer weights keep their size, and change their sign where the neuron is zero; one that is zero becomes 1.

    Args:
        problem: The landscape.
        entered: How each cell on the way was entered, by key.
        last: The last cell.
        theta: The network that the way begins at.
        u: |a| w of the network that it ends at, [m, d].
        b0: Its outer bias.
    """
    m, d = problem.width, problem.d
    chain = [last]
    while chain[-1].before is not None:
        chain.append(entered[chain[-1].before])
    chain.reverse()
    size = np.abs(theta[m * d : m * (d + 1)])
    size[size == 0] = 1.0
    signs = np.sign(theta[m * d : m * (d + 1)])
    points = [np.array(theta)]

    def go(u: np.ndarray, b0: float) -> None:
        point = np.array(theta)
        point[: m * d], point[m * d : m * (d + 1)] = (u / size[:, None]).reshape(-1), signs * size
        if problem.outer_bias != "none":
            point[-1] = b0
        points.append(point)

    for one in chain:
        # The neurons of an entry keep their places: a cell is entered in the order of the cell before it.
        go(one.u, one.b0)
        signs = np.array([s if s else old for (_, s), old in zip(one.states, signs, strict=True)])
        go(one.u, one.b0)
    go(u, b0)
    return np.array(points)
