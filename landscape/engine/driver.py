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
import platform
import time
from collections import Counter, deque
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
from landscape.engine.accept import NewtonAcceptance
from landscape.engine.clock import Clock
from landscape.engine.finishing import ExactAcceptance
from landscape.engine.lanes import Group
from landscape.engine.looks import Looks
from landscape.engine.orbit_book import NOT_ISOLATED
from landscape.engine.queue import Candidate, Queue
from landscape.engine.rows import Batch, Row, columns, row
from landscape.engine.settings import Progress, Schedule, Settings, Tolerances
from landscape.precision import float64
from landscape.problems.problem import Problem
from landscape.records import InputError, Point, Status, Verdict
from landscape.restart import start_points
from landscape.theory.rooms import room_of

WILD = 1e4  # a gradient norm beyond this, times the gradient scale, diverges: the paper's guard, 2 pi |g| > 1e4
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
        self.problem, self.settings, self.seed, self.starts, self.schedule = problem, settings, seed, starts, schedule
        self.tolerances = tolerances
        self.method = settings.method(problem.scale)
        self.clock = Clock()
        finish = room_of(problem).finish
        self.acceptance = (
            NewtonAcceptance(problem, settings, self.method, self.clock, tolerances, schedule)
            if finish is None
            else ExactAcceptance(problem, finish, settings, self.clock, tolerances, schedule)
        )
        self.exact = finish is not None
        self.devices = jax.local_devices()
        if self.devices[0].platform == "tpu" and settings.dtype != "float32":
            raise InputError(
                "a TPU has no float64: set dtype to float32; polish and labels are in float64 on the host."
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
        queue = Queue(np.asarray(restarts), self.settings.retire)
        candidates: deque[Candidate] = deque()
        counts: Counter[str] = Counter()
        if not queue.total:
            return
        self._place_problem()
        idle = self._groups(queue.total, self.dtype)
        pool = ThreadPoolExecutor(2 * len(idle) + 1)
        all_double = self.dtype == jnp.float64
        # On a CPU the host's own work takes a core: it comes before the next chunk of that core, which would make it
        # wait. Elsewhere the devices go on meanwhile.
        host_first = self.devices[0].platform == "cpu"
        # Every core has its lanes; BLAS threads that wait for a core made a polish 30 times slower.
        limits = threadpool_limits(1)
        running: dict[Future, Group] = {}
        try:
            idle = self._first(idle, queue, pool, running)
            while running or candidates or queue:
                rows: list[Row] = []
                with self.clock.running("descent"):
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        group = running.pop(future)
                        group.advanced(*future.result())
                        self._fetch_looks(group)
                        rows += self._look(group, queue, candidates)
                        idle.append(group)
                    if not host_first:
                        idle = self._started(idle, queue, pool, running)
                # A full batch at a time while there is work for the lanes; at the end whatever there is.
                enough = self.acceptance.enough(candidates) or not running
                while candidates and enough:
                    rows += self.acceptance.accept(candidates, queue)
                if queue.double and not all_double:
                    idle, all_double = idle + self._groups(queue.total, jnp.dtype(jnp.float64)), True
                idle = self._started(idle, queue, pool, running)
                if rows:
                    batch = columns(rows)
                    counts.update(batch[0]["label"])
                    yield batch
                if report is not None:
                    report(Progress(sum(counts.values()), queue.total, dict(counts), time.perf_counter() - begun))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            limits.restore_original_limits()

    def _place_problem(self) -> None:
        """Puts large arrays of the problem on the device: NumPy's are copied at every call."""
        large = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(self.problem)) >= KEPT_THERE
        if large and len(self.devices) == 1:
            with float64():
                self._on_devices = jax.device_put(self.problem, self.devices[0])

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
        on_tpu = self.devices[0].platform == "tpu"
        devices = jax.devices("cpu")[:1] if on_tpu and dtype == jnp.float64 else self.devices
        on_cpu = devices[0].platform == "cpu"
        count = (_cores() if len(devices) == 1 else 1) if on_cpu else 2
        wanted = min(self.settings.lanes or (512 if on_cpu else 2**14), restarts)
        count = max(1, min(count, wanted // 4))
        each = 1 << (-(-wanted // count) - 1).bit_length()
        share = -(-each // len(devices))
        size = min(self.problem.block, share) if on_cpu else share
        blocks = len(devices) * -(-share // size)
        sharding = NamedSharding(Mesh(np.array(devices), ("lanes",)), PartitionSpec("lanes"))
        make = partial(Group, self.problem, self.method, dtype, blocks, size, sharding, self.looks)
        return [make() for _ in range(count)]

    def _started(
        self, groups: list[Group], queue: Queue, pool: ThreadPoolExecutor, running: dict[Future, Group]
    ) -> list[Group]:
        """Fills free places of groups and sends them on their next chunk; returns those with no lane to run."""
        idle = []
        for group in groups:
            with self._there(group):
                self._refill(group, queue)
                if not group.taken.any():
                    idle.append(group)
                    continue
                group.idle = 0 if queue.new else group.idle + self.method.chunk
                group = self._narrowed(group)
                group.compact()
                running[pool.submit(group.chunk(self._on_devices))] = group
        return idle

    def _narrowed(self, group: Group) -> Group:
        """The same lanes in one small block, once a few stragglers have had a block for long: worth one compilation."""
        tail = self.schedule.tail
        devices, few = group.sharding.mesh.size, np.flatnonzero(group.taken)
        if group.size <= tail or len(few) > tail * devices or group.idle < self.schedule.patience:
            return group
        narrow = Group(self.problem, self.method, group.dtype, devices, tail, group.sharding, self.looks)
        rows = group.rows(few)
        for place, old in zip(narrow.order, few, strict=False):
            narrow.put(int(place), group.leave(int(old)))
        narrow.place(narrow.order[: len(few)], rows)
        return narrow

    def _refill(self, group: Group, queue: Queue) -> None:
        """Gives every free place to a returned or a new restart, while there are any."""
        free = group.free()
        restarts = queue.take(len(free), group.dtype != self.dtype)
        fresh, old = ([one for one in restarts if (one.state is None) == new] for new in (True, False))
        if fresh:
            theta = self._starts(np.array([one.number for one in fresh]))
            theta = np.stack([own if one.start is None else one.start for one, own in zip(fresh, theta, strict=True)])
            group.begin(self._on_devices, free[: len(fresh)], theta, np.array([one.step_scale for one in fresh]))
            group.look_at_starts(self._on_devices, theta, fresh)
            self._fetch_looks(group)
        if old:
            states = jax.tree.map(lambda *x: np.stack(x), *[one.state for one in old])
            group.place(free[len(fresh) : len(restarts)], states)
        for place, one in zip(free, fresh + old, strict=False):
            one.state = None
            group.put(int(place), one)

    def _fetch_looks(self, group: Group) -> None:
        self._looked += group.looked
        group.looked = []

    def _starts(self, numbers: np.ndarray) -> np.ndarray:
        if self.starts is not None:
            return self.starts[numbers]
        return start_points(self.problem, self.seed, numbers, self.settings.init, self.settings.init_scale)

    def _there(self, group: Group) -> AbstractContextManager[None]:
        """Inside, what is computed for a group is computed where it is: float64 on the host of a TPU."""
        return float64() if group.dtype != self.dtype else nullcontext()

    # -- a look --------------------------------------------------------------------------------------------------------

    def _look(self, group: Group, queue: Queue, candidates: deque[Candidate]) -> list[Row]:
        """Takes out of their lanes the restarts that may be at an end, diverged, or are out of budget.

        Returns:
            Rows of those that are given up; the others are among the candidates, or in the queue with a shorter step.
        """
        grad_norm = np.asarray(group.lanes.grad_norm, np.float64).reshape(-1)
        loss = np.asarray(group.lanes.loss, np.float64).reshape(-1)
        wild, near = self._seen(group, loss, grad_norm)
        leaving = np.flatnonzero(group.taken & (wild | near | (group.steps >= self.settings.budget)))
        if not len(leaving):
            return []
        with self._there(group):
            rows = group.rows(leaving)
        given_up, found = [], []
        for i, place in enumerate(leaving):
            restart = group.leave(int(place))
            if wild[place] and restart.step_scale > 0.5**self.schedule.halvings:
                restart.step_scale, restart.mark = restart.step_scale / 2, np.inf
                restart.threshold, restart.begun = self.settings.retire, restart.steps
                queue.put(restart)
                continue
            theta = np.array(rows.theta[i], np.float64)
            if near[place] or (not wild[place] and self.acceptance.anywhere):
                restart.state = jax.tree.map(lambda x, i=i: x[i], rows)
                found.append(Candidate(restart, theta, float(loss[place]), float(grad_norm[place])))
                continue
            status = Status.DIVERGED if wild[place] else Status.BUDGET
            error = self.problem.loss_error(theta) if not wild[place] else np.nan
            point = Point(theta, float(loss[place]), error, float(grad_norm[place]), 0.0, status)
            verdict = classify.classify(self.problem, point, lambda: None)
            given_up.append(row(restart, point, verdict, NOT_ISOLATED))
        candidates.extend(self.acceptance.measured(found))
        return given_up

    def _seen(self, group: Group, loss: np.ndarray, grad_norm: np.ndarray) -> _Seen:
        """Which lanes have diverged and which may be at an end, from losses and gradient norms [places] each."""
        steep = self.problem.gradient_scale
        floor = 30 * float(np.sqrt(jnp.finfo(group.dtype).eps)) * steep
        group.steps += self.method.chunk
        wild = ~(np.isfinite(loss) & (grad_norm < WILD * steep))
        settled = group.steps % self.acceptance.period == 0
        still = np.zeros_like(wild)
        if self.exact:
            bound, fall = self.problem.lower_bound, self.schedule.fall
            # Between kinks the loss may go up and down a little: no fall is enough.
            with np.errstate(invalid="ignore"):
                excess = np.abs(group.mark) if bound is None else group.mark - bound.value
                still = settled & ~wild & (group.mark < np.inf) & (group.mark - loss <= fall * excess)
        idles = settled & ~still & (loss >= group.mark)
        # While |g| > floor, a look's steps of 0.1 lower the loss by 200 floor^2, far more than its rounding.
        wild |= idles & (grad_norm > floor)
        calm = (group.steps >= self.method.noisy) & (group.steps >= group.rest)
        still, wild = still & calm, wild & ((group.steps >= self.method.noisy) | ~np.isfinite(loss))
        group.mark[settled] = loss[settled]
        near = calm & ~wild & (still | (grad_norm <= group.threshold * steep))
        if group.dtype == jnp.float32 and not self.exact:
            # A gradient of rounding gets no smaller. Where it is that of ReLU networks see `Tolerances.single`;
            # elsewhere the loss stands still.
            near |= calm & ~wild & (idles | (grad_norm <= self.tolerances.single * self.problem.p * steep))
        return _Seen(wild, near)


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def environment(settings: Settings) -> dict[str, Any]:
    """Versions, device and dtype, for the record of a run."""
    from importlib.metadata import version

    devices = jax.local_devices()
    return {
        "landscape": version("landscape"),
        "jax": jax.__version__,
        "jaxlib": version("jaxlib"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{len(devices)} x {devices[0].device_kind}" if len(devices) > 1 else devices[0].device_kind,
        "platform": devices[0].platform,
        "dtype": settings.dtype,
    }
