"""Where the restarts of a run begin: given points, or random ones that are drawn ahead, many at a time."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from landscape.engine.settings import Settings
from landscape.problems.problem import Problem
from landscape.problems.restart import start_points

BLOCK = 256  # points are drawn in multiples of so many: a draw of fewer costs as much
AHEAD = 2**22  # numbers that may be held ahead where a thread draws them, 32 MB
NEXT = 2**18  # where none does, 2 MB: they are still in the cache when they are used


class _Drawn(NamedTuple):
    """Points of some restarts.

    Attributes:
        numbers: Of the restarts, [m] ascending.
        rows: Of each, its row of the points, [m].
        points: [m, p].
    """

    numbers: np.ndarray
    rows: np.ndarray
    points: np.ndarray

    def rows_of(self, numbers: np.ndarray) -> np.ndarray:
        """The row of each restart, [m], -1 where it is not there."""
        at = np.minimum(np.searchsorted(self.numbers, numbers), len(self.numbers) - 1)
        return np.where(self.numbers[at] == numbers, self.rows[at], -1)


class Starts:
    """Starting points of one run, by the numbers of its restarts."""

    def __init__(self, problem: Problem, settings: Settings, seed: int, given: np.ndarray | None):
        """Nothing is drawn yet.

        Args:
            problem: The landscape.
            settings: With the distribution of the starts.
            seed: Of the starting points.
            given: Starting points, [restarts, p], instead of random ones.
        """
        self._problem, self._settings, self._seed, self._given = problem, settings, seed, given
        self._drawn: list[_Drawn] = []  # two at most; in the last is what comes next
        self.meanwhile(None)

    def meanwhile(self, pool: ThreadPoolExecutor | None) -> None:
        """Has this pool draw points before they are asked for, from now on; None: no longer."""
        self._pool: ThreadPoolExecutor | None = pool
        self._coming: Future[_Drawn] | None = None
        most = NEXT if pool is None else AHEAD
        self._room = max(1, most // (BLOCK * self._problem.p)) * BLOCK

    def of(self, numbers: np.ndarray, upcoming: np.ndarray) -> np.ndarray:
        """Where restarts with these numbers [m] begin, [m, p].

        Args:
            numbers: Of the restarts.
            upcoming: Numbers of those that will be asked for next: drawn along while some are drawn.
        """
        if self._given is not None:
            return self._given[numbers]
        points, missing = self._found(numbers)
        if missing.any() and self._coming is not None:
            self._drawn = [*self._drawn[-1:], self._coming.result()]
            self._coming = None
            points, missing = self._found(numbers)
        if missing.any():
            # The last block is filled, at no cost; more is drawn where nothing of what comes next is there.
            wanted = numbers[missing]
            ready = len(self._drawn) > 0 and bool(np.all(self._drawn[-1].rows_of(upcoming[:1]) >= 0))
            along = max(-len(wanted) % BLOCK, 0 if ready else self._room - len(wanted))
            new = self._draw(np.concatenate([wanted, upcoming[:along]]))
            self._drawn = [new, *self._drawn[-1:]] if ready else [*self._drawn[-1:], new]
            points = points if len(points) else np.empty((len(numbers), self._problem.p))
            points[_as_slice(np.flatnonzero(missing))] = new.points[_as_slice(new.rows_of(wanted))]
        if self._pool is not None and self._coming is None:
            coming = upcoming[: 2 * self._room]
            coming = coming[self._drawn[-1].rows_of(coming) < 0][: self._room]
            if len(coming):
                self._coming = self._pool.submit(self._draw, coming)
        return points

    def _found(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Points of restarts that are drawn, [m, p], and which are not, [m]."""
        points, missing = np.empty((0, self._problem.p)), np.ones(len(numbers), bool)
        for drawn in self._drawn:
            rows = drawn.rows_of(numbers)
            there = rows >= 0
            if there.all():
                return drawn.points[_as_slice(rows)], ~there
            if there.any():
                points = points if len(points) else np.empty((len(numbers), self._problem.p))
                points[_as_slice(np.flatnonzero(there))] = drawn.points[_as_slice(rows[there])]
            missing &= ~there
        return points, missing

    def _draw(self, numbers: np.ndarray) -> _Drawn:
        rows = np.argsort(numbers)
        init = self._settings.init, self._settings.init_scale
        return _Drawn(numbers[rows], rows, start_points(self._problem, self._seed, numbers, *init))


def _as_slice(places: np.ndarray) -> slice | np.ndarray:
    """Places [m] as a slice where they follow each other, as those of new restarts do: what is read is not copied."""
    first = int(places[0])
    follow = np.array_equal(places, np.arange(first, first + len(places)))
    return slice(first, first + len(places)) if follow else places
