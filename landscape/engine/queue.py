"""Restarts on their way: those that wait for a lane, and those that are offered as nearly stationary."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from landscape.descent import Lane
from landscape.records import Basin


@dataclass
class Restart:
    """One restart: where it stands while it has no lane.

    Attributes:
        number: Of the restart; what it starts from hangs on that and the seed alone.
        steps: Gradients taken.
        threshold: Gradient norm at which it is offered next, times the problem's gradient scale.
        step_scale: Multiplies every update.
        mark: Loss at the last look for a fall.
        rest: Gradients before which it is not offered.
        begun: Gradients that went into descents that diverged, before the one it is on.
        basin: Ground on which its polished point is taken for the descent's own end.
        state: Its lane as NumPy arrays, None before the first step.
        start: Where it goes on in float64, its descent in float32 being at its end; else None.
    """

    number: int
    steps: int = 0
    threshold: float = 0.0
    step_scale: float = 1.0
    mark: float = np.inf
    rest: int = 0
    begun: int = 0
    basin: Basin | None = None
    state: Lane | None = None
    start: np.ndarray | None = None


class Candidate(NamedTuple):
    """A restart that may be at its end.

    Attributes:
        restart: Which.
        theta: Where it stands, [p] float64.
        loss: Loss there.
        grad_norm: Gradient norm there.
    """

    restart: Restart
    theta: np.ndarray
    loss: float
    grad_norm: float


class Queue:
    """The restarts that have no lane: those that are to go on, in float64 if not before, and those not yet begun.

    Attributes:
        total: Number of restarts in all.
        back: Those that go on in the dtype of the descent.
        double: Those that go on in float64 after a descent in float32.
    """

    def __init__(self, numbers: np.ndarray, threshold: float):
        self._numbers, self._threshold, self._next = numbers, threshold, 0
        self.total = len(numbers)
        self.back: deque[Restart] = deque()
        self.double: deque[Restart] = deque()

    @property
    def new(self) -> int:
        """How many have not begun."""
        return self.total - self._next

    def put(self, restart: Restart) -> None:
        """Takes in a restart that is to go on."""
        (self.back if restart.start is None else self.double).append(restart)

    def __bool__(self) -> bool:
        return bool(self.back or self.double)

    def take(self, most: int, double: bool) -> list[Restart]:
        """So many restarts at most, those that go on first.

        Args:
            most: How many.
            double: Only those that go on in float64.
        """
        if double:
            return [self.double.popleft() for _ in range(min(len(self.double), most))]
        restarts = [self.back.popleft() for _ in range(min(len(self.back), most))]
        numbers = self._numbers[self._next : self._next + most - len(restarts)]
        self._next += len(numbers)
        return restarts + [Restart(int(i), threshold=self._threshold) for i in numbers]
