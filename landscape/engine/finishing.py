"""Which candidates are at their end: by the exact finish of a room, for descents that end at kinks."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from landscape import classify
from landscape.engine.clock import Clock
from landscape.engine.orbit_book import NOT_ISOLATED
from landscape.engine.queue import Candidate, Queue, Restart
from landscape.engine.rows import Row, row
from landscape.engine.settings import Schedule, Settings, Tolerances
from landscape.problems.problem import Problem
from landscape.records import Basin, Point, Status, Verdict
from landscape.theory.room import End, Finish, NotYet


class ExactAcceptance:
    """Finishes every candidate exactly, or sends it on.

    The ground of a basin is SHOWN where the room shows that plain descent ends in the same place, else FINISHED.

    Attributes:
        anywhere: Whether a descent out of budget is a candidate too.
        period: Gradients between two looks at whether the loss of a descent has fallen.
    """

    def __init__(
        self,
        problem: Problem,
        finish: Finish,
        settings: Settings,
        clock: Clock,
        tolerances: Tolerances,
        schedule: Schedule,
    ):
        self.problem, self.finish, self.settings, self.clock = problem, finish, settings, clock
        self.tolerances, self.schedule = tolerances, schedule
        self.anywhere, self.period = finish.anywhere, schedule.still
        self._cache: dict[bytes, Any] = {}  # the room's own
        self._names: dict[bytes, int] = {}  # of isolated ends, by their keys
        plain = settings.optimiser == "gradient-descent"
        self._stable = finish.stable_step(problem) if plain else 0.0

    def warm(self) -> None:
        """Nothing is to be compiled."""

    def restore(self, orbits: list[tuple[int, np.ndarray, Verdict]]) -> None:
        """Makes orbits of an earlier part of the run known: (name, theta, verdict) of each."""
        for name, theta, _ in orbits:
            self._names[self.finish.key(self.problem, theta)] = name

    def measured(self, candidates: list[Candidate]) -> list[Candidate]:
        """The candidates as they are: the finish measures them itself."""
        return candidates

    def enough(self, candidates: deque[Candidate]) -> bool:
        """Whether candidates wait: every finish is for one of them."""
        return bool(candidates)

    def accept(self, candidates: deque[Candidate], queue: Queue) -> list[Row]:
        """Rows of the candidates that the finish leads to an end; the others go on by the queue."""
        batch = list(candidates)
        candidates.clear()
        with self.clock.running("classify"):
            steps = np.array([self.settings.step_size * one.restart.step_scale for one in batch])
            thetas = np.stack([one.theta for one in batch])
            ends = self.finish.ends(self.problem, thetas, self._cache, steps)
            rows = []
            for one, end in zip(batch, ends, strict=True):
                if isinstance(end, NotYet):
                    self._wait(one.restart, end.shorter, queue)
                else:
                    rows.append(self._finished(one, end))
        return rows

    def _wait(self, restart: Restart, shorter: bool, queue: Queue) -> None:
        """Sends a restart on, with a shorter step where it only jumps to and fro."""
        # A small gradient is no news any more; what is slow is asked again when it has gone on by a tenth.
        low = self.tolerances.stationary
        restart.threshold = restart.threshold / 10 if restart.threshold > low else 0.0
        restart.rest = restart.steps + restart.steps // 10
        if shorter and restart.step_scale > 0.5**self.schedule.halvings:
            assert restart.state is not None
            restart.step_scale /= 4
            restart.state = restart.state._replace(step_scale=restart.state.step_scale / 4)
        queue.put(restart)

    def _finished(self, one: Candidate, end: End) -> Row:
        restart, claim = one.restart, end.claim
        assert claim.loss is not None
        assert claim.loss_error is not None
        moved = float(np.linalg.norm(end.theta - one.theta))
        grad_norm = 0.0 if claim.grad_norm is None else claim.grad_norm
        point = Point(end.theta, claim.loss, claim.loss_error, grad_norm, moved, Status.CONVERGED)
        steady = self.settings.step_size * restart.step_scale < self._stable
        restart.basin = Basin.SHOWN if end.kept and steady else Basin.FINISHED
        orbit = NOT_ISOLATED if end.orbit is None else self._names.setdefault(end.orbit, restart.number)
        return row(restart, point, classify.complete(self.problem, point, claim), orbit)
