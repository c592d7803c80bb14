"""Which candidates are at their end: by Newton steps to a smooth stationary point.

A restart near a saddle has a small gradient too. A candidate is accepted where the polish is shown to end where the
descent would; or at the lower bound; or at a clear minimum close by, with positive curvature all the way, where no
bound on the third derivative is known or, from the third rung on, the bound is too crude for a very flat minimum; or,
at the last rung, in any case: a descent that gets this close to a saddle has stopped there.
"""

from __future__ import annotations

from collections import deque

import jax.numpy as jnp
import numpy as np

from landscape.descent import Method
from landscape.engine.clock import Clock
from landscape.engine.orbit_book import Orbit, OrbitBook
from landscape.engine.queue import Candidate, Queue, Restart
from landscape.engine.rows import Row, row
from landscape.engine.settings import Schedule, Settings, Tolerances
from landscape.polish import (
    Polished,
    batch_size,
    curvature_needed,
    levels,
    newton_to_stationary,
    polish,
    positive_definite,
)
from landscape.problems.problem import Problem
from landscape.records import Basin, Label, Point, Status, Verdict
from landscape.theory.nearby import losses

TOO_LARGE = 2500  # coordinates beyond which the polish is not compiled ahead: one Hessian is 50 MB there


class NewtonAcceptance:
    """Recognises candidates near known points, and polishes the others a batch at a time.

    Attributes:
        anywhere: Whether a descent out of budget is a candidate too: not here.
        period: Gradients between two looks at whether the loss of a descent has fallen.
    """

    anywhere = False

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        method: Method,
        clock: Clock,
        tolerances: Tolerances,
        schedule: Schedule,
    ):
        self.problem, self.settings, self.method, self.clock = problem, settings, method, clock
        self.tolerances, self.schedule = tolerances, schedule
        self.book = OrbitBook(problem, tolerances.same_point * problem.scale)
        self.period = schedule.settle
        self._single = jnp.dtype(settings.dtype) == jnp.float32
        self._loose = False  # whether the last polish met points that are not isolated, which nobody can recognise

    def warm(self) -> None:
        """Compiles the polish while the first lanes run."""
        problem = self.problem
        if problem.p <= TOO_LARGE:
            theta = np.random.default_rng(0).normal(size=(batch_size(problem.p), problem.p))
            polish(problem, theta, 0.0, 1.0, 0.0, problem.scale, max_steps=1)

    def restore(self, orbits: list[tuple[int, np.ndarray, Verdict]]) -> None:
        """Makes orbits of an earlier part of the run known: (name, theta, verdict) of each."""
        for name, theta, verdict in orbits:
            self.book.add(name, theta, verdict)

    def measured(self, candidates: list[Candidate]) -> list[Candidate]:
        """The candidates with loss and gradient norm in float64."""
        if not candidates or not self._single:
            return candidates
        exact = zip(*levels(self.problem, np.stack([one.theta for one in candidates])), strict=True)
        return [
            Candidate(one.restart, one.theta, *map(float, both)) for one, both in zip(candidates, exact, strict=True)
        ]

    def enough(self, candidates: deque[Candidate]) -> bool:
        """Whether a full batch waits for its polish."""
        return len(candidates) >= batch_size(self.problem.p)

    def accept(self, candidates: deque[Candidate], queue: Queue) -> list[Row]:
        """Rows of the candidates that are at their end: all that approach a known point, and one batch polished.

        Takes out of `candidates` those that are done with; the others go on by the queue.
        """
        with self.clock.running("classify"):
            rows, rest = self._recognise(list(candidates), queue)
        candidates.clear()
        batch, later = self._deal(rest)
        candidates.extend(later)
        if not batch:
            return rows
        with self.clock.running("polish"):
            finished = self._polish(batch, queue)
        with self.clock.running("classify"):
            for restart, point, polished in finished:
                alone = polished is not None and bool(polished.definite or polished.trapped)
                rows.append(row(restart, point, *self.book.judge(point, restart.number, isolated=alone)))
        return rows

    def _recognise(self, candidates: list[Candidate], queue: Queue) -> tuple[list[Row], list[Candidate]]:
        """Rows of the candidates that are shown to approach a known point, and the candidates that are near none."""
        if not self.book.orbits:
            return [], candidates
        scale, close = self.problem.scale, self.tolerances.close * self.problem.scale
        thetas = np.stack([one.theta for one in candidates])
        grad_norms = np.array([one.grad_norm for one in candidates])
        levels = np.array([one.loss for one in candidates])
        slack = grad_norms * close + 1e-9 * (1 + np.abs(levels))
        found, images = self.book.index.images(thetas, levels, slack, close)
        rows, rest = [], []
        for one, place, image in zip(candidates, found, images, strict=True):
            if place < 0:
                rest.append(one)
                continue
            restart, orbit = one.restart, self.book.orbits[place]
            moved = float(np.linalg.norm(image - one.theta))
            needed = float(curvature_needed(orbit.bound, moved, one.grad_norm, scale))
            trapped = needed <= min(orbit.curvature, orbit.bound * orbit.radius)
            definite, at_bound = orbit.curvature > 0, orbit.verdict.label == Label.GLOBAL
            restart.basin = self._basin(one, image, trapped, at_bound, definite, moved)
            if restart.basin is not None:
                rows.append(self._recognised(restart, orbit, image, moved))
            elif self._goes_on(restart):
                self._wait(one, queue)
            else:
                rest.append(one)
        return rows, rest

    def _recognised(self, restart: Restart, orbit: Orbit, image: np.ndarray, moved: float) -> Row:
        """The row of a restart that ends at the image of a known point."""
        verdict = orbit.verdict
        assert verdict.loss is not None
        assert verdict.loss_error is not None
        assert verdict.grad_norm is not None
        point = Point(image, verdict.loss, verdict.loss_error, verdict.grad_norm, moved, Status.CONVERGED)
        return row(restart, point, verdict, orbit.named(restart.number))

    def _deal(self, candidates: list[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
        """Those to polish now, of different losses as far as they can be recognised by them, and those for later."""
        most = max(self.schedule.several, batch_size(self.problem.p))
        if len(candidates) <= 1 or self._loose or callable(self.book.index.symmetry):
            return candidates[:most], candidates[most:]
        order = sorted(range(len(candidates)), key=lambda i: candidates[i].loss)
        apart = [
            i for before, i in zip([None, *order], order, strict=False)
            if before is None or candidates[i].loss - candidates[before].loss > 1e-6 * self.problem.scale**2
        ]  # fmt: skip
        chosen = set(apart[:most])
        return [candidates[i] for i in sorted(chosen)], [one for i, one in enumerate(candidates) if i not in chosen]

    def _goes_on(self, restart: Restart) -> bool:
        """Whether there is a rung below, or the descent has been in float32 so far."""
        return restart.threshold > self.tolerances.stationary or self._in_single(restart)

    def _in_single(self, restart: Restart) -> bool:
        return self._single and restart.start is None

    def _wait(self, one: Candidate, queue: Queue) -> None:
        """Sends the restart on: in float64 from where it stands if it was in float32, else to the next rung."""
        restart = one.restart
        if self._in_single(restart):
            restart.start, restart.state, restart.mark = one.theta, None, np.inf
        else:
            restart.threshold = max(self.tolerances.stationary, restart.threshold / 10)
        queue.put(restart)

    def _basin(
        self, one: Candidate, end: np.ndarray, trapped: bool, at_bound: bool, definite: bool, moved: float
    ) -> Basin | None:
        """The ground on which the candidate's descent is taken to end at this stationary point; None without one."""
        if trapped and self.method.descends:
            return Basin.SHOWN
        if at_bound:
            return Basin.LOWER_BOUND
        # A method that does not descend all the way is never shown, and believed where a descent would be.
        if definite and moved <= self.tolerances.close * self.problem.scale and (
            trapped or not self.problem.third_derivative_known or self._convex_between(one, end)
        ):  # fmt: skip
            return Basin.NUMERICAL
        return None

    def _convex_between(self, one: Candidate, end: np.ndarray) -> bool:
        """Whether every Hessian seen between the end of a descent and its polished point is positive definite."""
        if one.restart.threshold > 1.01e-2 * self.settings.retire:
            return False
        between = np.stack([one.theta + s * (end - one.theta) for s in (0.0, 0.25, 0.5, 0.75)])
        return bool(positive_definite(self.problem, between).all())

    def _polish(self, candidates: list[Candidate], queue: Queue) -> list[tuple[Restart, Point, Polished | None]]:
        """The candidates that are accepted, polished; the others go on."""
        problem, bound = self.problem, self.problem.lower_bound
        target = self.tolerances.target * problem.gradient_scale
        finished = []
        self._loose = False
        for one, end in zip(candidates, self._polished(candidates, target), strict=True):
            restart = one.restart
            error = problem.loss_error(end.theta)
            at_bound = bound is not None and bool(end.loss - bound.value <= error)
            converged = end.grad_norm <= target
            basin = None
            if converged:
                ends = bool(end.trapped), at_bound, bool(end.definite), float(end.moved)
                basin = self._basin(one, end.theta, *ends)
            self._loose |= basin is not None and not (end.definite or end.trapped)
            if basin is not None:
                restart.basin = basin
                finished.append((restart, _point(end, error), end))
            elif self._goes_on(restart):
                if converged and end.definite:
                    # A true minimum, if perhaps not this restart's: the next one near it need not be polished.
                    self.book.judge(_point(end, error), None, isolated=True)
                self._wait(one, queue)
            else:
                finished.append((restart, self._stopped(one, target), None))
        return finished

    def _polished(self, candidates: list[Candidate], target: float) -> list[Polished]:
        """The candidates polished, one record each."""
        problem, size = self.problem, batch_size(self.problem.p)
        ends = []
        for i in range(0, len(candidates), size):
            # Padding repeats the points, which are stationary as soon as they are.
            thetas = np.resize(np.stack([one.theta for one in candidates[i : i + size]]), (size, problem.p))
            noise = np.array([problem.loss_error(theta) for theta in thetas])
            polished = polish(problem, thetas, target, self.tolerances.reach * problem.scale, noise, problem.scale)
            ends += [Polished(*(column[j] for column in polished)) for j in range(size)]
        return ends[: len(candidates)]

    def _stopped(self, one: Candidate, target: float) -> Point:
        """The stationary point of any index beside a descent that has stopped."""
        problem, restart = self.problem, one.restart
        restart.basin = Basin.STOPPED
        end, grad_norm = newton_to_stationary(problem, one.theta, target, self.tolerances.close * problem.scale)
        status = Status.CONVERGED if grad_norm <= target else Status.STALLED
        moved = float(np.linalg.norm(end - one.theta))
        return Point(end, float(losses(problem, end[None])[0]), problem.loss_error(end), grad_norm, moved, status)


def _point(end: Polished, error: float) -> Point:
    return Point(
        theta=np.array(end.theta),
        loss=float(end.loss),
        loss_error=error,
        grad_norm=float(end.grad_norm),
        moved=float(end.moved),
        status=Status.CONVERGED,
    )
