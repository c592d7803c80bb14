"""Minima and the barriers between them, each barrier an interval.

The barrier h(i, j) is the least loss to which a path from minimum i to minimum j must rise. A path bounds it from
above, a wall from below. Barriers are an ultrametric, h(i, k) <= max(h(i, j), h(j, k)), which carries both bounds on: a
pair is joined by the best chain of known paths; and where i and j are joined below a wall between i and k, the wall
stands between j and k too. Barriers between orbits under a symmetry, the least ones between copies, are one as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from landscape.records import InputError, Interval, Label

ROUNDING = 1e-9  # a bound from below may exceed one from above by this, times the larger of the loss and 1
AT_LEVEL = 1e-12  # a path that rises above a level by no more than this, times the larger of it and 1, is at the level
NO_PATH, HIGHER_END = "no path is known", "the higher minimum"


@runtime_checkable
class Path(Protocol):
    """A path between two minima: a bound from above on their barrier. `paths.edge.Edge` is one."""

    @property
    def first(self) -> int:
        """Index of a minimum."""
        ...

    @property
    def second(self) -> int:
        """Index of another; paths to a copy of the same one say nothing of orbits."""
        ...

    @property
    def high(self) -> float:
        """The largest loss on the path."""
        ...

    @property
    def by(self) -> str:
        """What found it."""
        ...


class Minimum(NamedTuple):
    """A minimum, or an orbit of minima.

    Attributes:
        name: Restart that first ended there.
        loss: Its loss.
        label: Its label.
        share: Of restarts that ended there.
        strict: Whether no other point of its loss is near, its symmetry apart.
    """

    name: int
    loss: float
    label: str
    share: float
    strict: bool = False


class Wall(NamedTuple):
    """A bound from below on the barrier between two minima, or between one and everything else.

    Attributes:
        first: Index of a minimum.
        second: Index of another; None for all others.
        low: No path between them stays below this.
        by: What says so.
    """

    first: int
    second: int | None
    low: float
    by: str


class Way(NamedTuple):
    """A path, as it is kept."""

    first: int
    second: int
    high: float
    by: str


@dataclass(frozen=True, eq=False)
class Graph:
    """Minima with the bounds on all their barriers. Made by `graph`.

    Attributes:
        minima: Ascending in loss.
        ways: Known paths.
        walls: Known bounds from below.
        low: No path between a pair stays below this, [k, k]; the loss itself on the diagonal.
        high: Some path between a pair stays at or below this, [k, k]; inf where none is known.
        low_by: Index of the wall that `low` rests on, [k, k]; -1 for the higher minimum.
        high_by: Index of the path that `high` rests on, the highest of its chain, [k, k]; -1 where there is none.
        copies: Whether minima are single points, and not orbits under the symmetry.
    """

    minima: tuple[Minimum, ...]
    ways: tuple[Way, ...]
    walls: tuple[Wall, ...]
    low: np.ndarray = field(repr=False)
    high: np.ndarray = field(repr=False)
    low_by: np.ndarray = field(repr=False)
    high_by: np.ndarray = field(repr=False)
    copies: bool = False

    def barrier(self, i: int, j: int) -> Interval:
        """The barrier between two minima with its two grounds."""
        low_by, high_by = int(self.low_by[i, j]), int(self.high_by[i, j])
        return Interval(
            float(self.low[i, j]),
            float(self.high[i, j]),
            HIGHER_END if low_by < 0 else self.walls[low_by].by,
            NO_PATH if high_by < 0 else self.ways[high_by].by,
        )


def graph(
    minima: Sequence[Minimum], paths: Sequence[Path] = (), walls: Sequence[Wall] = (), copies: bool = False
) -> Graph:
    """The graph of these minima, with all bounds carried on to all pairs.

    Args:
        minima: Ascending in loss.
        paths: Bounds from above.
        walls: Bounds from below.
        copies: Whether minima are single points, and not orbits under the symmetry.

    Raises:
        InputError: Minima are not in order, an index is none, or a wall stands above a path.
    """
    losses = np.array([one.loss for one in minima], np.float64)
    if not np.all(np.isfinite(losses)) or np.any(np.diff(losses) < 0):
        raise InputError("minima must have finite losses, in ascending order.")
    ways = tuple(Way(one.first, one.second, float(one.high), one.by) for one in paths if one.first != one.second)
    for index in [i for one in (*ways, *walls) for i in (one.first, one.second) if i is not None]:
        if not 0 <= index < len(minima):
            raise InputError(f"a path or wall names minimum {index}, and there are {len(minima)}.")
    high, high_by = _joined(losses, ways)
    low, low_by = _separated(losses, tuple(walls), high)
    worst = low - high
    if np.any(worst > ROUNDING * np.maximum(1.0, np.abs(low))):
        i, j = np.unravel_index(int(np.argmax(worst)), worst.shape)
        raise InputError(
            f"bounds contradict each other: no path between minima {i} and {j} stays below {low[i, j]:.12g}, and one "
            f"rises to {high[i, j]:.12g} only."
        )
    return Graph(tuple(minima), ways, tuple(walls), np.minimum(low, high), high, low_by, high_by, copies)


def _joined(losses: np.ndarray, ways: tuple[Way, ...]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest chains of paths between all pairs: high [k, k], and the index of the highest path of each."""
    k = len(losses)
    high, by = np.full((k, k), np.inf), np.full((k, k), -1)
    high[np.diag_indices(k)] = losses
    group = [[i] for i in range(k)]
    of = np.arange(k)
    for index in sorted(range(len(ways)), key=lambda i: ways[i].high):
        a, b = int(of[ways[index].first]), int(of[ways[index].second])
        if a == b:
            continue
        for rows, columns in ((group[a], group[b]), (group[b], group[a])):
            high[np.ix_(rows, columns)] = ways[index].high
            by[np.ix_(rows, columns)] = index
        group[a] += group[b]
        of[group[b]] = a
    return high, by


def _separated(losses: np.ndarray, walls: tuple[Wall, ...], high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest walls between all pairs, low [k, k], and the index of each."""
    k = len(losses)
    low, by = np.maximum(losses[:, None], losses), np.full((k, k), -1)

    def raised(rows: object, columns: object, index: int) -> None:
        better = low[rows, columns] < walls[index].low  # type: ignore[index]
        low[rows, columns] = np.where(better, walls[index].low, low[rows, columns])  # type: ignore[index]
        by[rows, columns] = np.where(better, index, by[rows, columns])  # type: ignore[index]

    for index, one in enumerate(walls):
        others = np.delete(np.arange(k), one.first) if one.second is None else np.array([one.second])
        raised(one.first, others, index)
        raised(others, one.first, index)
    # Where i and j are joined below the wall between i and l, it stands between j and l.
    while True:
        before = low.copy()
        for i in range(k):
            carried = np.where(high[i][:, None] < low[i][None, :], low[i][None, :], -np.inf)
            carried[np.diag_indices(k)] = -np.inf
            better = carried > low
            low, by = np.where(better, carried, low), np.where(better, by[i][None, :], by)
            low, by = np.where(better.T, carried.T, low), np.where(better.T, by[i][:, None], by)
        if np.array_equal(low, before):
            return low, by


# -- questions ---------------------------------------------------------------------------------------------------------


def with_global(graph: Graph, i: int, level: float | None = None) -> bool | None:
    """Whether minimum i shares its component of the sublevel set with a global minimum of the graph; None: not decided.

    At its own loss a strict minimum is alone.

    Args:
        graph: Minima and barriers.
        i: Index of a minimum.
        level: Of the sublevel set; the minimum's own loss by default.

    Raises:
        InputError: The level is below the minimum.
    """
    level = graph.minima[i].loss if level is None else level
    if level < graph.minima[i].loss:
        raise InputError(f"minimum {i} has loss {graph.minima[i].loss:.12g}, above the level {level:.12g}.")
    goals = [j for j, one in enumerate(graph.minima) if one.label == Label.GLOBAL]
    if i in goals:
        return True
    if goals and level == graph.minima[i].loss and graph.minima[i].strict:
        return False
    if any(graph.high[i, j] <= level + AT_LEVEL * max(1.0, abs(level)) for j in goals):
        return True
    return False if goals and all(graph.low[i, j] > level for j in goals) else None


def depth(graph: Graph, i: int) -> Interval | None:
    """How far the loss must rise from minimum i on the way to a lower one of the graph; None for the lowest.

    A global minimum has no lower one. Minima whose losses differ by no more than rounding may be lower or not: they
    count for the bound from below and not for the one from above.
    """
    own = graph.minima[i].loss
    if graph.minima[i].label == Label.GLOBAL:
        return None
    blur = ROUNDING * max(1.0, abs(own))
    maybe = [j for j, one in enumerate(graph.minima) if one.loss != own and one.loss < own + blur]
    lower = [j for j in maybe if graph.minima[j].loss < own - blur]
    if not maybe:
        return None
    low = graph.barrier(i, min(maybe, key=lambda j: graph.low[i, j]))
    if not lower:
        return Interval(low.low - own, np.inf, low.low_by, NO_PATH)
    high = graph.barrier(i, min(lower, key=lambda j: graph.high[i, j]))
    return Interval(low.low - own, high.high - own, low.low_by, high.high_by)


def components(graph: Graph, level: float) -> tuple[int, int]:
    """Bounds on the number of components of the sublevel set that hold minima of the graph.

    At most so many: those that known paths join are one. At least so many: minima of which all pairs are behind walls
    (taken greedily, so that the bound may be improved).
    """
    here = [i for i, one in enumerate(graph.minima) if one.loss <= level]
    heads: list[int] = []
    apart: list[int] = []
    for i in here:
        if not any(graph.high[i, j] <= level for j in heads):
            heads.append(i)
        if all(graph.low[i, j] > level for j in apart):
            apart.append(i)
    return len(apart), len(heads)
