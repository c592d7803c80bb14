"""Restarts on their way, as columns: those that wait for a lane, and those that are offered as nearly stationary."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from landscape.descent import Lane


@dataclass(eq=False)
class Parked:
    """Lanes that left a group in one look, where they were computed: what goes on is put back from here.

    Attributes:
        rows: One lane a row; those behind the last restart are padding. None while the lanes stand where they stood.
        places: In the group, [m], while the lanes stand there.
    """

    rows: Lane | None
    places: np.ndarray | None = None


class Restarts(NamedTuple):
    """Some restarts, a column for each fact, [m].

    Attributes:
        number: Of the restart; what it starts from hangs on that and the seed alone.
        steps: Gradients taken.
        threshold: Gradient norm at which it is offered next, times the problem's gradient scale.
        step_scale: Multiplies every update.
        mark: Loss at the last look for a fall.
        rest: Gradients before which it is not offered.
        begun: Gradients that went into descents that diverged, before the one it is on.
        start: Where it goes on in float64, [p], its descent in float32 being at its end; else None.
        parked: The `Parked` that holds its lane; None while it has a place in a group, and before its first step.
        row: Of its lane among those.
    """

    number: np.ndarray
    steps: np.ndarray
    threshold: np.ndarray
    step_scale: np.ndarray
    mark: np.ndarray
    rest: np.ndarray
    begun: np.ndarray
    start: np.ndarray
    parked: np.ndarray
    row: np.ndarray

    @classmethod
    def new(cls, numbers: np.ndarray, threshold: float = 0.0) -> Restarts:
        """Restarts before their first step."""
        m = len(numbers)
        none, ones, whole = np.full(m, None, object), np.ones(m), np.zeros(m, np.int64)
        return cls(
            number=np.array(numbers, np.int64),
            steps=whole,
            threshold=threshold * ones,
            step_scale=ones,
            mark=np.inf * ones,
            rest=whole.copy(),
            begun=whole.copy(),
            start=none,
            parked=none.copy(),
            row=whole.copy(),
        )

    def at(self, which: np.ndarray) -> Restarts:
        """Those of them, by places or by a mask; the columns are copies."""
        return Restarts(*(column[which] for column in self))

    def put(self, which: np.ndarray, others: Restarts) -> None:
        """Writes others over those of them."""
        for column, new in zip(self, others, strict=True):
            column[which] = new

    def held_by(self, one: Parked) -> np.ndarray:
        """Whose lanes this one holds, boolean [m]."""
        return np.array([held is one for held in self.parked], bool)

    def batches(self) -> Iterator[tuple[Parked, np.ndarray]]:
        """What holds their lanes, each with the places of those that it holds."""
        found: dict[int, tuple[Parked, list[int]]] = {}
        for i, one in enumerate(self.parked):
            if one is not None:
                found.setdefault(id(one), (one, []))[1].append(i)
        for one, places in found.values():
            yield one, np.array(places)


def parked(restarts: Restarts, by: Parked) -> Restarts:
    """Restarts [m] whose lanes are the first m of those that this one holds."""
    m = len(restarts.number)
    held = np.full(m, None, object)
    held[:] = by
    return restarts._replace(parked=held, row=np.arange(m))


class Candidates(NamedTuple):
    """Restarts that may be at their ends.

    Attributes:
        restarts: Which, m of them.
        theta: Where they stand, [m, p] float64.
        loss: Loss there, [m].
        grad_norm: Gradient norm there, [m].
        guess: The known orbit whose point an accelerator has laid over each already, [m]; -1 where none is.
        image: That point, [m, p]; [m, 0] beside no accelerator.
    """

    restarts: Restarts
    theta: np.ndarray
    loss: np.ndarray
    grad_norm: np.ndarray
    guess: np.ndarray
    image: np.ndarray

    @classmethod
    def of(cls, restarts: Restarts, theta: np.ndarray, loss: np.ndarray, grad_norm: np.ndarray) -> Candidates:
        """Candidates over which nothing is laid yet."""
        m = len(loss)
        return cls(restarts, theta, loss, grad_norm, np.full(m, -1), np.zeros((m, 0)))

    @classmethod
    def none(cls, p: int) -> Candidates:
        """No candidates, of a problem with p coordinates."""
        return cls.of(Restarts.new(np.zeros(0, np.int64)), np.zeros((0, p)), np.zeros(0), np.zeros(0))

    def at(self, which: np.ndarray) -> Candidates:
        """Those of them, by places or by a mask."""
        return Candidates(self.restarts.at(which), *(column[which] for column in self[1:]))

    def __bool__(self) -> bool:
        return len(self.loss) > 0


def joined(parts: list[Candidates]) -> Candidates:
    """Several as one, in this order."""
    parts = [part for part in parts if part] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    restarts = Restarts(*map(np.concatenate, zip(*(part.restarts for part in parts), strict=True)))
    columns = map(np.concatenate, zip(*(part[1:] for part in parts), strict=True))
    return Candidates(restarts, *columns)


class Queue:
    """The restarts that have no lane: those that are to go on, in float64 if not before, and those not yet begun.

    Attributes:
        total: Number of restarts in all.
    """

    def __init__(self, numbers: np.ndarray, threshold: float):
        self._numbers, self._threshold, self._next = numbers, threshold, 0
        self.total = len(numbers)
        self._back: dict[bool, deque[Restarts]] = {False: deque(), True: deque()}

    @property
    def new(self) -> int:
        """How many have not begun."""
        return self.total - self._next

    @property
    def double(self) -> bool:
        """Whether restarts wait that go on in float64 after a descent in float32."""
        return bool(self._back[True])

    @property
    def back(self) -> list[Restarts]:
        """Those that are to go on."""
        return [*self._back[False], *self._back[True]]

    def upcoming(self, most: int) -> np.ndarray:
        """Numbers of the next ones to begin, so many at most."""
        return self._numbers[self._next : self._next + most]

    def put(self, restarts: Restarts) -> None:
        """Takes in restarts that are to go on."""
        double = np.array([start is not None for start in restarts.start], bool)
        for kind in (False, True):
            if np.any(double == kind):
                self._back[kind].append(restarts.at(double == kind))

    def __bool__(self) -> bool:
        return bool(self._back[False] or self._back[True])

    def take(self, most: int, double: bool) -> Restarts:
        """So many restarts at most, those that go on first.

        Args:
            most: How many.
            double: Only those that go on in float64.
        """
        parts, back = [], self._back[double]
        while back and most:
            part = back.popleft()
            if len(part.number) > most:
                back.appendleft(part.at(np.arange(most, len(part.number))))
                part = part.at(np.arange(most))
            parts.append(part)
            most -= len(part.number)
        if not double:
            numbers = self.upcoming(most)
            self._next += len(numbers)
            parts.append(Restarts.new(numbers, self._threshold))
        if not parts:
            return Restarts.new(np.zeros(0, np.int64))
        return Restarts(*map(np.concatenate, zip(*parts, strict=True)))
