"""Which candidates are at their end: by Newton steps to a smooth stationary point.

A restart near a saddle has a small gradient too. A candidate is accepted where the polish is shown to end where the
descent would; or at the lower bound; or at a clear minimum close by, with positive curvature all the way, where no
bound on the third derivative is known or, from the third rung on, the bound is too crude for a very flat minimum; or,
at the last rung, in any case: a descent that gets this close to a saddle has stopped there. Where minima are isolated
as a rule there is an early rung before the first, where only what is shown is accepted.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from landscape.descent import Method
from landscape.engine.clock import Clock
from landscape.engine.orbit_book import OrbitBook
from landscape.engine.queue import Candidates, Queue
from landscape.engine.rows import Batch, row, text
from landscape.engine.settings import Schedule, Settings, Tolerances
from landscape.polish import (
    Polished,
    all_definite,
    batch_size,
    curvature_needed,
    curved,
    levels,
    newton_to_stationary,
    polish,
)
from landscape.precision import double_on_cpu
from landscape.problems.problem import Problem
from landscape.records import Basin, Point, Status, Verdict
from landscape.theory.nearby import losses

EARLY = 10.0  # the early rung, in units of the first: by then most basins of k = n = 20 are shown
WAITING = 2**17  # coordinates of candidates that wait for each other at most: their lanes wait too
TOO_LARGE = 2500  # coordinates beyond which the polish is not compiled ahead: one Hessian is 50 MB there


class NewtonAcceptance:
    """Recognises candidates near known points, and polishes the others a batch at a time.

    Attributes:
        anywhere: Whether a descent out of budget is a candidate too: not here.
        first: Gradient norm at which a descent is first offered, times the gradient scale. Not early in float32, since
            what goes on does so in float64; nor where ends are in flat sets, and each would be polished again.
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
        early = problem.isolated and problem.third_derivative_known and not self._single
        self.first = (EARLY if early else 1.0) * settings.retire
        self._left = np.zeros(0, np.int64)  # restarts that the last deal left for later
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

    def laid_ahead(self, thetas: Any, loss: np.ndarray, grad_norm: np.ndarray) -> tuple[np.ndarray, Any] | None:
        """Known orbits laid over points that stay on the accelerator, while nobody waits (see `OrbitIndex`).

        Args:
            thetas: [m or more, p].
            loss: [m].
            grad_norm: [m].
        """
        if double_on_cpu():
            return None
        with np.errstate(over="ignore", invalid="ignore"):  # of descents that are on their way to infinity
            return self.book.index.laid_ahead(thetas, loss, self._slack(loss, grad_norm))

    def _slack(self, loss: np.ndarray, grad_norm: np.ndarray) -> np.ndarray:
        """How far the loss of a known point that is close may be from that of a candidate, [m]."""
        return grad_norm * self.tolerances.reach * self.problem.scale + 1e-9 * (1 + np.abs(loss))

    def _beside(self, orbit: np.ndarray, moved: np.ndarray, grad_norm: np.ndarray) -> np.ndarray:
        """Whether descents at such distances from a point of a known orbit need no polish to say so, [m].

        They do not where the orbit is close, and where it is so flat that its own curvature leaves them that far away:
        a polish would lead there, and be too long to be believed.
        """
        known = self.book.traps.at(orbit)
        far = (known.curvature > 0) & ~known.at_bound & (moved * known.curvature <= 3 * grad_norm)
        return (moved <= self.tolerances.close * self.problem.scale) | far

    def measured(self, candidates: Candidates) -> Candidates:
        """The candidates with loss and gradient norm in float64."""
        if not candidates or not self._single:
            return candidates
        loss, grad_norm = levels(self.problem, candidates.theta)
        return candidates._replace(loss=loss, grad_norm=grad_norm)

    def enough(self, candidates: Candidates, new: int) -> bool:
        """Whether a full batch waits: for its polish, and to be recognised while other restarts take the lanes.

        Args:
            candidates: Those that wait.
            new: How many restarts have not begun.
        """
        batch = batch_size(self.problem.p)
        together = min(self.schedule.together, WAITING // self.problem.p)
        return len(candidates.loss) >= (max(batch, together) if new else batch)

    @np.errstate(over="ignore", invalid="ignore")  # of descents that are on their way to infinity
    def accept(self, candidates: Candidates, queue: Queue, last: bool = True) -> tuple[list[Batch], Candidates]:
        """Rows of the candidates that are at their end: all that approach a known point, and one batch polished.

        Args:
            candidates: Those that wait.
            queue: Takes those that go on.
            last: Whether no lanes run, so that no candidates will come meanwhile. On an accelerator a polish waits for
                a full batch else: one of few points takes as long, and behind the chunks that are on their way.

        Returns:
            The rows, and the candidates that are still to be looked at; the others go on by the queue.
        """
        with self.clock.running("classify"):
            rows, rest = self._recognise(candidates, queue)
        with self.clock.running("polish"):
            rest = self._without_unclear(rest, queue)
            if not (last or double_on_cpu() or len(rest.loss) >= batch_size(self.problem.p)):
                return rows, rest
            batch, later = self._deal(self._without_passing(rest, queue))
            finished = self._polish(batch, queue) if batch else []
        with self.clock.running("classify"):
            for i, basin, point, polished in finished:
                alone = polished is not None and bool(polished.definite or polished.trapped)
                number = int(batch.restarts.number[i])
                rows.append(row(batch.restarts, i, point, *self.book.judge(point, number, isolated=alone), basin))
        return rows, later

    def _recognise(self, candidates: Candidates, queue: Queue) -> tuple[list[Batch], Candidates]:
        """Rows of the candidates that are shown to approach a known point, and the candidates that are near none."""
        if not self.book.count or not candidates:
            return [], candidates
        restarts, theta, loss, grad_norm, guess, ahead = candidates
        scale, reach = self.problem.scale, self.tolerances.reach * self.problem.scale
        slack = self._slack(loss, grad_norm)
        found, images, apart = self.book.index.images(theta, loss, slack, reach, guess, ahead)
        near = np.flatnonzero(found >= 0)
        near = near[self._beside(found[near], apart[near], grad_norm[near])]
        # As a rule every candidate is near one: nothing is copied then.
        here, image = (theta, images) if len(near) == len(loss) else (theta[near], images[near])
        orbit, moved = found[near], apart[near]
        known = self.book.traps.at(orbit)
        trapped = curvature_needed(known.radii, known.bounds, moved, grad_norm[near], scale) <= known.curvature
        threshold, definite = restarts.threshold[near], known.curvature > 0
        convex = known.convex(1.01 * moved + 1e-9 * scale)  # an image is exact to 1e-10 of a row
        basins = self._basins(here, threshold, image, trapped, known.at_bound, definite, moved, convex)
        ends = np.array([basin is not None for basin in basins], bool)
        accepted = near[ends]
        waits = np.zeros(len(loss), bool)
        waits[near[~ends]] = True
        waits &= self._goes_on(candidates)
        self._wait(candidates.at(waits), queue)
        waits[accepted] = True
        if not len(accepted):
            return [], candidates.at(~waits)
        columns = self.book.columns(orbit[ends], restarts.number[accepted])
        columns |= {
            "restart": restarts.number[accepted],
            "steps": restarts.steps[accepted],
            "step_scale": restarts.step_scale[accepted],
            "moved": moved[ends],
            "status": np.full(len(accepted), int(Status.CONVERGED)),
            "basin": np.array([text(basin) for basin in basins[ends]], object),
        }
        return [(columns, image if ends.all() else image[ends])], candidates.at(~waits)

    def _without_unclear(self, candidates: Candidates, queue: Queue) -> Candidates:
        """The candidates without those in float32 that were left to be recognised, and were not: they go on in float64.

        A few gradients there bring them close enough, and cost less than a polish each.
        """
        unclear = self._in_single(candidates) & np.isin(candidates.restarts.number, self._left)
        self._wait(candidates.at(unclear), queue)
        return candidates.at(~unclear)

    def _without_passing(self, candidates: Candidates, queue: Queue) -> Candidates:
        """The candidates without those that only pass a saddle, which go on.

        The polish would leave these as they are. On an accelerator, where a Hessian costs as much as a batch of them,
        they are not dealt to it.
        """
        passing = self._convex_only(candidates)
        if double_on_cpu() or not passing.any():
            return candidates
        passing[passing] = ~all_definite(self.problem, candidates.theta[passing][:, None])
        self._wait(candidates.at(passing), queue)
        return candidates.at(~passing)

    def _convex_only(self, candidates: Candidates) -> np.ndarray:
        """Whether a polish can be accepted only where the Hessian at the candidate is positive definite, [m].

        Elsewhere its descent is not shown to end close by, nor is the way there convex; and a global point within reach
        would take a curvature below minus one, in units of the scale. It goes on by itself.
        """
        problem, reach = self.problem, self.tolerances.reach * self.problem.scale
        least = -np.inf if problem.lower_bound is None else problem.lower_bound.value
        within = candidates.grad_norm * reach + 0.5 * reach**2 * problem.gradient_scale / problem.scale
        return self._goes_on(candidates) & (candidates.loss - within > least) & problem.third_derivative_known

    def _deal(self, candidates: Candidates) -> tuple[Candidates, Candidates]:
        """Those to polish now, of different losses as far as they can be recognised by them, and those for later."""
        m, most = len(candidates.loss), max(self.schedule.several, batch_size(self.problem.p))
        chosen = np.arange(m) < most
        if m > 1 and not self._loose and not callable(self.book.index.symmetry):
            order = np.argsort(candidates.loss, kind="stable")
            apart = np.diff(candidates.loss[order], prepend=-np.inf) > 1e-6 * self.problem.scale**2
            chosen = np.zeros(m, bool)
            chosen[order[apart][:most]] = True
            if not double_on_cpu():
                # A batch costs as much as one. Whoever was left to be recognised, and was not, is polished too.
                left = np.flatnonzero(~chosen & np.isin(candidates.restarts.number, self._left))
                chosen[left[: most - int(chosen.sum())]] = True
        self._left = candidates.restarts.number[~chosen]
        return candidates.at(chosen), candidates.at(~chosen)

    def _goes_on(self, candidates: Candidates) -> np.ndarray:
        """Whether there is a rung below, or the descent has been in float32 so far, [m]."""
        return (candidates.restarts.threshold > self.tolerances.stationary) | self._in_single(candidates)

    def _in_single(self, candidates: Candidates) -> np.ndarray:
        start = candidates.restarts.start
        return np.array([one is None for one in start], bool) if self._single else np.zeros(len(start), bool)

    def _wait(self, candidates: Candidates, queue: Queue) -> None:
        """Sends restarts on: in float64 from where they stand if they were in float32, else to the next rung."""
        if not candidates:
            return
        restarts, single = candidates.restarts, self._in_single(candidates)
        restarts.threshold[~single] = np.maximum(self.tolerances.stationary, restarts.threshold[~single] / 10)
        restarts.mark[single], restarts.parked[single] = np.inf, None
        for i in np.flatnonzero(single):
            restarts.start[i] = candidates.theta[i]
        queue.put(restarts)

    def _basins(
        self,
        theta: np.ndarray,
        threshold: np.ndarray,
        end: np.ndarray,
        trapped: np.ndarray,
        at_bound: np.ndarray,
        definite: np.ndarray,
        moved: np.ndarray,
        convex: np.ndarray | None = None,
    ) -> np.ndarray:
        """The ground on which each descent is taken to end at its stationary point, [m]; None without one.

        Args:
            theta: Where each stands, [m, p].
            threshold: Gradient norm at which it was offered, [m].
            end: The point it may end at, [m, p].
            trapped: Whether it is shown to converge to this point, [m].
            at_bound: Whether the point is at the lower bound of the loss, [m].
            definite: Whether the Hessian at the point is positive definite, [m].
            moved: Distance to the point, [m].
            convex: The least curvature where each stands with which the loss is convex on the way there, [m]; inf where
                none is known.
        """
        basins = np.full(len(moved), None, object)
        near = definite & (moved <= self.tolerances.close * self.problem.scale)
        # A method that does not descend all the way is never shown, and believed where a descent would be.
        believed = near & (trapped | (not self.problem.third_derivative_known))
        basins[believed] = Basin.NUMERICAL
        basins[at_bound & (trapped | (threshold <= 1.01 * self.settings.retire))] = Basin.LOWER_BOUND
        if self.method.descends:
            basins[trapped] = Basin.SHOWN
        # From the third rung on.
        third = (
            near & (threshold <= 1.01e-2 * self.settings.retire) & np.array([basin is None for basin in basins], bool)
        )
        if third.any():
            here = np.flatnonzero(third)
            needed = None if convex is None else convex[here]
            basins[here[self._convex_between(theta[here], end[here], needed)]] = Basin.NUMERICAL
        return basins

    def _convex_between(self, theta: np.ndarray, end: np.ndarray, needed: np.ndarray | None) -> np.ndarray:
        """Whether the way from the end of each descent to its polished point is convex.

        It is shown where the curvature at the descent's end is at least what is needed; else every Hessian that is seen
        on the way has to be positive definite.

        Args:
            theta: The ends of the descents, [m, p].
            end: The polished points, [m, p].
            needed: See `_basins`.
        """
        needed = np.full(len(theta), np.inf) if needed is None else needed
        convex, some = needed <= 0, np.flatnonzero((needed > 0) & np.isfinite(needed))
        if len(some):
            convex[some] = curved(self.problem, theta[some], needed[some])
        rest = np.flatnonzero(~convex)
        if len(rest):
            between = np.stack([theta[rest] + s * (end - theta)[rest] for s in (0.0, 0.25, 0.5, 0.75)], axis=1)
            convex[rest] = all_definite(self.problem, between)
        return convex

    def _polish(self, candidates: Candidates, queue: Queue) -> list[tuple[int, Basin, Point, Polished | None]]:
        """Of the candidates that are accepted: which, on what ground, and the polished points; the others go on."""
        problem, bound = self.problem, self.problem.lower_bound
        target = self.tolerances.target * problem.gradient_scale
        ends = self._polished(candidates, target)
        error = np.array([problem.loss_error(theta) for theta in ends.theta])
        at_bound = np.full(len(error), False) if bound is None else ends.loss - bound.value <= error
        converged = ends.grad_norm <= target
        theta, threshold, definite = candidates.theta, candidates.restarts.threshold, ends.definite & converged
        basins = self._basins(theta, threshold, ends.theta, ends.trapped, at_bound, definite, ends.moved)
        basins[~converged] = None
        alone = ends.definite | ends.trapped
        accepted = np.array([basin is not None for basin in basins], bool)
        self._loose = bool(np.any(accepted & ~alone))
        goes_on = ~accepted & self._goes_on(candidates)
        finished = []
        for i in range(len(error)):
            one = Polished(*(column[i] for column in ends))
            if accepted[i]:
                finished.append((i, basins[i], _point(one, error[i]), one))
            elif not goes_on[i]:
                finished.append((i, Basin.STOPPED, self._stopped(candidates.theta[i], target), None))
            elif converged[i] and one.definite:
                # A true minimum, if perhaps not this restart's: the next one near it need not be polished.
                self.book.judge(_point(one, error[i]), None, isolated=True)
        self._wait(candidates.at(goes_on), queue)
        return finished

    def _polished(self, candidates: Candidates, target: float) -> Polished:
        """The candidates polished, but for those whose polish cannot be accepted: they are left as they are."""
        problem, size, reach = self.problem, batch_size(self.problem.p), self.tolerances.reach * self.problem.scale
        convex_only = self._convex_only(candidates)
        ends = []
        for i in range(0, len(candidates.loss), size):
            # Padding repeats the points, which are stationary as soon as they are.
            batch = np.resize(candidates.theta[i : i + size], (size, problem.p))
            noise = np.resize([problem.loss_error(theta) for theta in candidates.theta[i : i + size]], size)
            only = np.resize(convex_only[i : i + size], size)
            ends.append(polish(problem, batch, target, reach, noise, problem.scale, convex_only=only))
            # At every look loss and gradient, at every step the step.
            self.clock.down += 8 * size * (2 * problem.p + 1) * (1 + int(ends[-1].steps.max()))
        return Polished(*(np.concatenate(columns)[: len(convex_only)] for columns in zip(*ends, strict=True)))

    def _stopped(self, theta: np.ndarray, target: float) -> Point:
        """The stationary point of any index beside a descent that has stopped."""
        problem = self.problem
        end, grad_norm = newton_to_stationary(problem, theta, target, self.tolerances.close * problem.scale)
        status = Status.CONVERGED if grad_norm <= target else Status.STALLED
        moved = float(np.linalg.norm(end - theta))
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
