"""Which candidates are at their end: by the exact finish of a room, for descents that end at kinks."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape import classify
from landscape.engine.clock import Clock
from landscape.engine.orbit_book import NOT_ISOLATED
from landscape.engine.queue import Candidates, Queue
from landscape.engine.rows import Batch, row
from landscape.engine.settings import Schedule, Settings, Tolerances
from landscape.problems.problem import Problem
from landscape.records import Basin, Point, Status, Verdict
from landscape.theory.room import End, Finish, NotYet


class ExactAcceptance:
    """Finishes every candidate exactly, or sends it on.

    The ground of a basin is SHOWN where the room shows that plain descent ends in the same place, else FINISHED.

    Attributes:
        anywhere: Whether a descent out of budget is a candidate too.
        first: Gradient norm at which a descent is first offered, times the gradient scale.
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
        self.anywhere, self.period, self.first = finish.anywhere, schedule.still, settings.retire
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

    def laid_ahead(self, thetas: Any, loss: np.ndarray, grad_norm: np.ndarray) -> None:
        """Nothing is laid over anything."""

    def measured(self, candidates: Candidates) -> Candidates:
        """The candidates as they are: the finish measures them itself."""
        return candidates

    def enough(self, candidates: Candidates, new: int) -> bool:
        """Whether candidates wait: every finish is for one of them."""
        return bool(candidates)

    def accept(self, candidates: Candidates, queue: Queue, last: bool = True) -> tuple[list[Batch], Candidates]:
        """Rows of the candidates that the finish leads to an end, and none left; the others go on by the queue."""
        with self.clock.running("classify"):
            steps = self.settings.step_size * candidates.restarts.step_scale
            ends = self.finish.ends(self.problem, candidates.theta, self._cache, steps)
            rows = [self._finished(candidates, i, end) for i, end in enumerate(ends) if isinstance(end, End)]
            waits = np.array([isinstance(end, NotYet) for end in ends], bool)
            if waits.any():
                self._wait(
                    candidates.at(waits), np.array([end.shorter for end in ends if isinstance(end, NotYet)]), queue
                )
        return rows, Candidates.none(self.problem.p)

    def _wait(self, candidates: Candidates, shorter: np.ndarray, queue: Queue) -> None:
        """Sends restarts on, with a shorter step where they only jump to and fro."""
        restarts = candidates.restarts
        # A small gradient is no news any more; what is slow is asked again when it has gone on by a tenth.
        low = self.tolerances.stationary
        threshold = np.where(restarts.threshold > low, restarts.threshold / 10, 0.0)
        shorter = shorter & (restarts.step_scale > 0.5**self.schedule.halvings)
        step_scale = np.where(shorter, restarts.step_scale / 4, restarts.step_scale)
        rest = restarts.steps + restarts.steps // 10
        queue.put(restarts._replace(threshold=threshold, rest=rest, step_scale=step_scale))

    def _finished(self, candidates: Candidates, i: int, end: End) -> Batch:
        restarts, claim = candidates.restarts, end.claim
        assert claim.loss is not None
        assert claim.loss_error is not None
        moved = float(np.linalg.norm(end.theta - candidates.theta[i]))
        grad_norm = 0.0 if claim.grad_norm is None else claim.grad_norm
        point = Point(end.theta, claim.loss, claim.loss_error, grad_norm, moved, Status.CONVERGED)
        steady = self.settings.step_size * restarts.step_scale[i] < self._stable
        basin = Basin.SHOWN if end.kept and steady else Basin.FINISHED
        number = int(restarts.number[i])
        orbit = NOT_ISOLATED if end.orbit is None else self._names.setdefault(end.orbit, number)
        return row(restarts, i, point, classify.complete(self.problem, point, claim), orbit, basin)
