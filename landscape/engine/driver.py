"""The lane driver: restarts in lanes that are refilled, on all devices of this machine.

Every restart keeps its own clock. It runs in whatever lane is free, in chunks of a fixed number of gradients; at the
end of a chunk a lane that may be at its end becomes a candidate, and its place goes to the next restart. What a restart
finds does not depend on the others. Which candidates are at their end is for `accept` and `finishing` to say; here is
the schedule only.

Lanes stand in blocks (see `lanes`), and the blocks are dealt to groups: on a CPU one group a core, each in its own
thread, elsewhere two, so that the host works on one while the devices work on the other. Within a group the blocks are
sharded over all local devices.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from threadpoolctl import threadpool_limits

from landscape import classify
from landscape.descent import Lane
from landscape.engine.accept import NewtonAcceptance
from landscape.engine.clock import Clock
from landscape.engine.finishing import ExactAcceptance
from landscape.engine.heap import keep_released
from landscape.engine.lanes import Group
from landscape.engine.looks import Looks
from landscape.engine.orbit_book import NOT_ISOLATED
from landscape.engine.queue import Candidates, Parked, Queue, Restarts, joined, parked
from landscape.engine.rows import Batch, row, together
from landscape.engine.settings import Progress, Schedule, Settings, Tolerances
from landscape.engine.starts import Starts
from landscape.precision import devices, double_devices, float64, has_float64
from landscape.problems.problem import Problem
from landscape.problems.restart import noise_key
from landscape.records import InputError, Point, Status, Verdict
from landscape.theory.rooms import room_of

WILD = 1e4  # a gradient norm beyond this, times the gradient scale, diverges: the paper's guard, 2 pi |g| > 1e4
WIDEST = 2**24  # coordinates of lanes that are computed as one: what they need meanwhile is some twenty times as much
ON_CPU = 2**21  # coordinates of all lanes on a CPU: a look costs as much for few lanes as for many
MANY = 128  # lanes of a group from which on what stops is read where it stands
KEPT_THERE = 2**16  # bytes of problem arrays from which they are put on the device once, and not copied at every call


class _Seen(NamedTuple):
    """What one look at a group says of its lanes, boolean [places] each.

    Attributes:
        wild: Diverged, or going back and forth.
        near: May be at an end.
    """

    wild: np.ndarray
    near: np.ndarray


class Driver:
    """Runs restarts of one problem to their labels. `run` yields finished rows; see `host.run` for a whole run."""

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        seed: int,
        starts: np.ndarray | None = None,
        tolerances: Tolerances = Tolerances(),  # noqa: B008 immutable
        schedule: Schedule = Schedule(),  # noqa: B008 immutable
        looks: Looks | None = None,
    ):
        """Nothing is compiled or run yet.

        Args:
            problem: The landscape.
            settings: How to run.
            seed: Of the starting points.
            starts: Given starting points, [restarts, p], instead of random ones.
            tolerances: What counts as an end.
            schedule: When lanes are looked at.
            looks: When and at what the descents are looked at on their way; what is seen is for `take_looks`.

        Raises:
            InputError: A setting makes no sense, or the device has no float64 and the descent asks for it.
        """
        settings = settings.check()
        if looks is not None and settings.dtype != "float64":
            raise InputError("looks along descents need dtype float64: a loss in float32 is rounding below 1e-6.")
        self.looks = looks
        self._looked: list[dict[str, np.ndarray]] = []
        self.problem, self.settings, self.schedule, self.tolerances = problem, settings, schedule, tolerances
        self.starts = Starts(problem, settings, seed, starts)
        self.method = settings.method(problem.scale)
        self.noise = noise_key(seed)
        self.clock = Clock()
        finish = room_of(problem).finish
        self.acceptance = (
            NewtonAcceptance(problem, settings, self.method, self.clock, tolerances, schedule)
            if finish is None
            else ExactAcceptance(problem, finish, settings, self.clock, tolerances, schedule)
        )
        self.exact = finish is not None
        self.devices = devices()
        if settings.dtype != "float32" and not has_float64(self.devices[0]):
            raise InputError(
                f"a {self.devices[0].platform.upper()} has no float64: set dtype to float32; polish and labels are in "
                "float64 on the host."
            )
        self.dtype = jnp.dtype(settings.dtype)
        self._on_devices = problem  # its arrays where the programs want them, once the run begins
        self.polish_first = False  # which of its two large programs a process with one core compiles first

    def restore(self, orbits: list[tuple[int, np.ndarray, Verdict]]) -> None:
        """Makes orbits of an earlier part of the run known: (name, theta, verdict) of each."""
        self.acceptance.restore(orbits)

    def take_looks(self) -> list[dict[str, np.ndarray]]:
        """Columns of all looks since the last call, in no order; whoever asks often keeps little in memory."""
        taken, self._looked = self._looked, []
        return taken

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self, restarts: np.ndarray, report: Callable[[Progress], None] | None = None) -> Iterator[Batch]:
        """Finished restarts in batches: their columns, and theta of each.

        Args:
            restarts: Numbers of the restarts to do.
            report: Called between chunks.
        """
        begun = time.perf_counter()
        queue = Queue(np.asarray(restarts), self.acceptance.first)
        candidates = Candidates.none(self.problem.p)
        counts: Counter[str] = Counter()
        if not queue.total:
            return
        self._place_problem()
        idle = self._groups(queue.total, self.dtype)
        pool = ThreadPoolExecutor(2 * len(idle) + 1)
        all_double = self.dtype == jnp.float64
        # On a CPU the host's own work takes a core: it comes before the next chunk of that core, which would make it
        # wait. Elsewhere the devices go on meanwhile.
        host_first = _on_cpu(self.devices)
        if host_first:
            keep_released()
        # Every core has its lanes; BLAS threads that wait for a core made a polish 30 times slower.
        limits = threadpool_limits(1)
        self.starts.meanwhile(None if host_first else pool)
        running: dict[Future, Group] = {}
        try:
            idle = self._first(idle, queue, pool, running)
            while running or candidates or queue:
                rows: list[Batch] = []
                with self.clock.running("descent"):
                    with self.clock.part("wait"):
                        done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        group = running.pop(future)
                        group.advanced(*future.result())
                        self._fetch_looks(group)
                        with self.clock.part("look"):
                            given_up, found = self._look(group, queue)
                        rows, candidates = rows + given_up, joined([candidates, found])
                        idle.append(group)
                    if not host_first:
                        idle = self._started(idle, queue, pool, running)
                finished, candidates = self._accepted(candidates, queue, last=not running)
                rows = rows + finished
                if queue.double and not all_double:
                    idle, all_double = idle + self._groups(queue.total, jnp.dtype(jnp.float64)), True
                idle = self._started(idle, queue, pool, running, candidates.restarts)
                if rows:
                    batch = together(rows)
                    counts.update(batch[0]["label"])
                    yield batch
                if report is not None:
                    report(Progress(sum(counts.values()), queue.total, dict(counts), time.perf_counter() - begun))
        finally:
            self.starts.meanwhile(None)
            pool.shutdown(wait=True, cancel_futures=True)
            limits.restore_original_limits()

    def _accepted(self, candidates: Candidates, queue: Queue, last: bool) -> tuple[list[Batch], Candidates]:
        """Rows of what is accepted, and the candidates that wait: for a full batch, while lanes have work."""
        rows: list[Batch] = []
        enough = self.acceptance.enough(candidates, queue.new) or last
        while candidates and enough:
            finished, waiting = self.acceptance.accept(candidates, queue, last=last)
            rows, enough = rows + finished, len(waiting.loss) < len(candidates.loss)
            candidates = waiting
        return rows, candidates

    def _place_problem(self) -> None:
        """Puts large arrays of the problem on the device: NumPy's are copied at every call.

        A device without float64 gets every array in float32, as the programs there would round it.
        """
        if not has_float64(self.devices[0]):
            self._on_devices = jax.tree.map(_in_float32, self.problem)
        large = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(self._on_devices)) >= KEPT_THERE
        if large and len(self.devices) == 1:
            with float64():
                self._on_devices = jax.device_put(self._on_devices, self.devices[0])

    def _first(
        self, idle: list[Group], queue: Queue, pool: ThreadPoolExecutor, running: dict[Future, Group]
    ) -> list[Group]:
        """Sends the groups on their first chunk, while the polish is compiled beside them."""
        with self.clock.running("descent"):
            # One core compiles the polish first or last, never half of both.
            warm = pool.submit(self.acceptance.warm) if _cores() > 1 or self.polish_first else None
            if warm is not None and _cores() == 1:
                warm.result()
            idle = self._started(idle, queue, pool, running)
            warm = pool.submit(self.acceptance.warm) if warm is None else warm
            if queue.new:
                warm.result()  # short runs have no use for it
        return idle

    # -- groups --------------------------------------------------------------------------------------------------------

    def _groups(self, restarts: int, dtype: np.dtype) -> list[Group]:
        """Lanes for so many restarts, in whole blocks; sizes are powers of two, so that few programs are compiled."""
        used = double_devices() if dtype == jnp.float64 else self.devices
        on_cpu = _on_cpu(used)
        count = (_cores() if len(used) == 1 else 1) if on_cpu else 2
        wanted = self.lanes(restarts, on_cpu)
        count = max(1, min(count, wanted // 4))
        each = 1 << (-(-wanted // count) - 1).bit_length()
        share = -(-each // len(used))
        size = min(self.problem.block if on_cpu else self.schedule.block, share)
        blocks = len(used) * -(-share // size)
        most = min(blocks // len(used), WIDEST // (size * self.problem.p))
        wide = () if on_cpu else tuple(many for many in self.schedule.wide if many <= most)
        sharding = NamedSharding(Mesh(np.array(used), ("lanes",)), PartitionSpec("lanes"))
        make = partial(Group, self.problem, self.method, dtype, blocks, size, sharding, wide, self.looks, self.noise)
        return [make() for _ in range(count)]

    def lanes(self, restarts: int, on_cpu: bool | None = None) -> int:
        """How many of so many restarts run at once, by default on the devices of the descents."""
        on_cpu = _on_cpu(self.devices) if on_cpu is None else on_cpu
        usual = int(np.clip(ON_CPU // self.problem.p, 512, 4096)) if on_cpu else 2**14
        return min(self.settings.lanes or usual, restarts)

    def _started(
        self,
        groups: list[Group],
        queue: Queue,
        pool: ThreadPoolExecutor,
        running: dict[Future, Group],
        waiting: Restarts | None = None,
    ) -> list[Group]:
        """Fills free places of groups and sends them on their next chunk; returns those with no lane to run.

        Args:
            groups: Those that do not run.
            queue: Of the restarts to fill them with.
            pool: Runs the chunks.
            running: Takes in what runs.
            waiting: Restarts that are still to be looked at.
        """
        idle = []
        placeless = [] if waiting is None else [waiting]
        for group in groups if len(groups) > 1 else []:  # a lane that stands in one may go on in another
            with self._there(group):
                group.settle([*queue.back, *placeless])
        for group in groups:
            with self.clock.part("start"), self._there(group):
                self._refill(group, queue, placeless)
                if not group.taken.any():
                    idle.append(group)
                    continue
                if self._dissolved(group, queue, running):
                    continue
                group.idle = 0 if queue.new else group.idle + self.method.chunk
                group = self._narrowed(group)
                group.compact()
                self.clock.own_steps += int(group.taken.sum()) * self.method.chunk
                self.clock.lane_steps += int(group.active().sum()) * group.size * self.method.chunk
                running[pool.submit(self.clock.chunk(group.chunk(self._problem_there(group))))] = group
        return idle

    def _dissolved(self, group: Group, queue: Queue, running: dict[Future, Group]) -> bool:
        """Whether the lanes of a group went to the queue, for another one on the same devices that has room for all.

        On a CPU a group is a core, and keeps its own.
        """
        if queue or queue.new or _on_cpu(list(group.sharding.device_set)):
            return False
        few = np.flatnonzero(group.taken)
        if not any(other.dtype == group.dtype and len(few) <= np.sum(~other.taken) for other in running.values()):
            return False
        lanes = group.rows(few)
        queue.put(parked(group.leave(few), Parked(lanes)))
        return True

    def _narrowed(self, group: Group) -> Group:
        """The same lanes in one small block, once a few stragglers have had a block for long: worth one compilation."""
        tail = self.schedule.tail
        devices, few = group.sharding.mesh.size, np.flatnonzero(group.taken)
        if group.size <= tail or len(few) > tail * devices or group.idle * group.size < self.schedule.patience:
            return group
        if not _on_cpu(list(group.sharding.device_set)):
            return group
        narrow = Group(
            self.problem, self.method, group.dtype, devices, tail, group.sharding, looks=self.looks, noise=self.noise
        )
        rows, places = group.rows(few), narrow.order[: len(few)]
        narrow.put(places, group.leave(few))
        narrow.place(places, rows, np.arange(len(few)))
        return narrow

    def _refill(self, group: Group, queue: Queue, placeless: list[Restarts]) -> None:
        """Gives every free place to a returned or a new restart, while there are any.

        Args:
            group: Which does not run.
            queue: Of the restarts to fill it with.
            placeless: Those that have no place beside the queue's.
        """
        restarts = queue.take(int(np.sum(~group.taken)), group.dtype != self.dtype)
        places = group.places_for(restarts)
        group.settle([*queue.back, *placeless])
        fresh = np.array([held is None for held in restarts.parked], bool)
        if fresh.any():
            begun = restarts.at(fresh)
            theta = self._begins(begun, queue)
            problem = self._problem_there(group)
            self.clock.up += group.begin(problem, places[fresh], theta, begun)
            group.look_at_starts(problem, theta, begun)
            self._fetch_looks(group)
        for held, which in restarts.batches():
            if held.rows is None:  # they stand in these places
                continue
            row = restarts.row[which]
            step_scale = np.ones(len(held.rows.loss), group.dtype)
            step_scale[row] = restarts.step_scale[which]  # an exact finish may have made it shorter
            group.place(places[which], held.rows._replace(step_scale=step_scale), row)
        group.put(places, restarts)

    def _fetch_looks(self, group: Group) -> None:
        self._looked += group.looked
        group.looked = []

    def _begins(self, restarts: Restarts, queue: Queue) -> np.ndarray:
        """Where restarts begin, [m, p]: at their starting points, or where their descent in float32 ended."""
        moved = np.array([start is not None for start in restarts.start], bool)
        if not moved.any():
            return self.starts.of(restarts.number, queue.upcoming(queue.new))
        theta = np.empty((len(moved), self.problem.p))
        if not moved.all():
            theta[~moved] = self.starts.of(restarts.number[~moved], queue.upcoming(queue.new))
        for i in np.flatnonzero(moved):
            theta[i] = restarts.start[i]
        return theta

    def _problem_there(self, group: Group) -> Problem:
        """The problem with its arrays as the programs of a group want them."""
        on_host = group.dtype != self.dtype and not has_float64(self.devices[0])
        return self.problem if on_host else self._on_devices

    def _there(self, group: Group) -> AbstractContextManager[None]:
        """Inside, what is computed for a group is computed where it is: float64 on the host of a TPU."""
        return float64() if group.dtype != self.dtype else nullcontext()

    # -- a look --------------------------------------------------------------------------------------------------------

    def _look(self, group: Group, queue: Queue) -> tuple[list[Batch], Candidates]:
        """Takes out of their lanes the restarts that may be at an end, diverged, or are out of budget.

        Those that diverged go back to the queue with a shorter step, while there is one.

        Returns:
            Rows of those that are given up, and the candidates.
        """
        grad_norm = np.asarray(group.lanes.grad_norm, np.float64).reshape(-1)
        loss = np.asarray(group.lanes.loss, np.float64).reshape(-1)
        self.clock.down += 2 * len(loss) * group.dtype.itemsize
        wild, near = self._seen(group, loss, grad_norm)
        places = np.flatnonzero(group.taken & (wild | near | (group.book.steps >= self.settings.budget)))
        if not len(places):
            return [], Candidates.none(self.problem.p)
        with self._there(group):
            if self._stands(group):
                held, lanes = group.stand(places), None
            else:
                lanes = group.rows(places)
                held = Parked(lanes)
            theta, guess, image = self._crossed(group, places, lanes, loss[places], grad_norm[places])
        restarts = parked(group.leave(places), held)
        wild, near, loss, grad_norm = wild[places], near[places], loss[places], grad_norm[places]
        again = wild & (restarts.step_scale > 0.5**self.schedule.halvings)
        if again.any():
            queue.put(self._slower(restarts.at(again)))
        offered = ~again & (near | (~wild & self.acceptance.anywhere))
        given_up = [
            self._given_up(restarts, int(i), theta[i], float(loss[i]), float(grad_norm[i]), bool(wild[i]))
            for i in np.flatnonzero(~again & ~offered)
        ]
        found = Candidates(restarts, theta, loss, grad_norm, guess, image)
        return given_up, self.acceptance.measured(found if offered.all() else found.at(offered))

    def _stands(self, group: Group) -> bool:
        """Whether lanes that stop stay where they are until it is known which of them go on.

        They do where the host shares the lanes' memory and looks at what stops before the next chunk, if there are many
        or this is the last block (else copies cost less than a program for some runs), and no finish changes them.
        """
        many = len(group.taken) >= MANY or len(group.taken) == self.schedule.tail
        return _on_cpu(self.devices) and group.sharding.mesh.size == 1 and not self.exact and many

    def _crossed(
        self, group: Group, places: np.ndarray, lanes: Lane | None, loss: np.ndarray, grad_norm: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of lanes that stop, on the host: theta [m, p], and the known orbits laid over them (see `Candidates`).

        Args:
            group: Where they were.
            places: In which, [m].
            lanes: They, as rows; those behind the m-th are padding. None where they stand in their places.
            loss: Of each, [m].
            grad_norm: Of each, [m].
        """
        m = len(loss)
        if _on_cpu(self.devices):  # nothing crosses at all
            self.clock.down += m * self.problem.p * group.dtype.itemsize
            theta = group.thetas(places) if lanes is None else np.asarray(lanes.theta)[:m]
            return theta.astype(np.float64, copy=False), np.full(m, -1), np.zeros((m, 0))
        assert lanes is not None
        # Laid over before the next chunk begins: what comes behind it would wait for it.
        there = group.dtype == self.dtype and len(self.devices) == 1
        ahead = self.acceptance.laid_ahead(lanes.theta, loss, grad_norm) if there else None
        # A power of two crosses, since every number would be a program of its own.
        few = 1 << (m - 1).bit_length()
        theta = np.asarray(lanes.theta[:few])
        self.clock.down += theta.nbytes
        if ahead is None:
            return theta[:m].astype(np.float64), np.full(m, -1), np.zeros((m, self.problem.p))
        image = np.asarray(ahead[1][:few])
        self.clock.down += image.nbytes
        return theta[:m].astype(np.float64), ahead[0], image[:m]

    def _slower(self, restarts: Restarts) -> Restarts:
        """Restarts that begin again, with half the step."""
        m = len(restarts.number)
        return restarts._replace(
            step_scale=restarts.step_scale / 2,
            mark=np.full(m, np.inf),
            threshold=np.full(m, self.acceptance.first),
            begun=restarts.steps,
            parked=np.full(m, None, object),
        )

    def _given_up(
        self, restarts: Restarts, i: int, theta: np.ndarray, loss: float, grad_norm: float, wild: bool
    ) -> Batch:
        """The row of a restart that diverged at every step size, or is out of budget."""
        error = np.nan if wild else self.problem.loss_error(theta)
        point = Point(theta, loss, error, grad_norm, 0.0, Status.DIVERGED if wild else Status.BUDGET)
        verdict = classify.classify(self.problem, point, lambda: None)
        return row(restarts, i, point, verdict, NOT_ISOLATED, None)

    def _seen(self, group: Group, loss: np.ndarray, grad_norm: np.ndarray) -> _Seen:
        """Which lanes have diverged and which may be at an end, from losses and gradient norms [places] each."""
        steep = self.problem.gradient_scale
        book, floor = group.book, 30 * float(np.sqrt(jnp.finfo(group.dtype).eps)) * steep
        book.steps[:] += self.method.chunk  # of free places too, where it means nothing
        wild = ~(np.isfinite(loss) & (grad_norm < WILD * steep))
        settled = book.steps % self.acceptance.period == 0
        still = np.zeros_like(wild)
        if self.exact:
            bound, fall = self.problem.lower_bound, self.schedule.fall
            # Between kinks the loss may go up and down a little: no fall is enough.
            with np.errstate(invalid="ignore"):
                excess = np.abs(book.mark) if bound is None else book.mark - bound.value
                still = settled & ~wild & (book.mark < np.inf) & (book.mark - loss <= fall * excess)
        idles = settled & ~still & (loss >= book.mark)
        # While |g| > floor, a look's steps of 0.1 lower the loss by 200 floor^2, far more than its rounding.
        wild |= idles & (grad_norm > floor)
        # Under noise a loss that does not fall says nothing; where it never ends, a small gradient of all still does.
        loud = book.steps < self.method.noisy
        calm = (~loud | np.isinf(self.method.noisy)) & (book.steps >= book.rest)
        still, idles, wild = still & calm & ~loud, idles & ~loud, wild & (~loud | ~np.isfinite(loss))
        book.mark[settled] = loss[settled]
        near = calm & ~wild & (still | (grad_norm <= book.threshold * steep))
        if group.dtype == jnp.float32 and not self.exact:
            # A gradient of rounding gets no smaller. Where it is that of ReLU networks see `Tolerances.single`;
            # elsewhere the loss stands still.
            near |= calm & ~wild & (idles | (grad_norm <= self.tolerances.single * self.problem.p * steep))
        return _Seen(wild, near)


def _on_cpu(devices: list[Any]) -> bool:
    """Whether lanes are laid out for the host's cores: small blocks, a group a core."""
    return devices[0].platform == "cpu"


def _in_float32(leaf: Any) -> Any:
    """An array of float64 rounded to float32; everything else as it is."""
    return np.asarray(leaf, np.float32) if getattr(leaf, "dtype", None) == np.float64 else leaf


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
