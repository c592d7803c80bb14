"""Where the restarts of a run begin: given points, or random ones that are drawn ahead, many at a time."""

from __future__ import annotations

import numpy as np

from landscape.engine.settings import Settings
from landscape.problems.problem import Problem
from landscape.restart import start_points

BLOCK = 256  # points are drawn in multiples of so many: a draw of fewer costs as much
AHEAD = 2**22  # numbers that may be held ahead, 32 MB


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
        self._points = np.zeros((0, problem.p))
        self._numbers = self._rows = np.zeros(0, np.int64)  # of the drawn ones, ascending, and the row of each

    def of(self, numbers: np.ndarray, upcoming: np.ndarray) -> np.ndarray:
        """Where restarts with these numbers [m] begin, [m, p].

        Args:
            numbers: Of the restarts.
            upcoming: Numbers of those that will be asked for next: drawn along while some are drawn.
        """
        if self._given is not None:
            return self._given[numbers]
        at = np.searchsorted(self._numbers, numbers)
        drawn = (at < len(self._numbers)) & (np.append(self._numbers, -1)[at] == numbers)
        if not drawn.all():
            room = max(1, AHEAD // (BLOCK * self._problem.p)) * BLOCK
            fills = -len(numbers) % BLOCK  # the last block, at no cost
            now = np.concatenate([numbers, upcoming[: max(fills, room - len(numbers))]])
            init = self._settings.init, self._settings.init_scale
            self._points = start_points(self._problem, self._seed, now, *init)
            self._rows = np.argsort(now)
            self._numbers = now[self._rows]
            at = np.searchsorted(self._numbers, numbers)
        return self._points[self._rows[at]]
