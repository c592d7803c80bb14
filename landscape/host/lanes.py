"""The lane driver: restarts in lanes that are refilled, the jit boundary, devices.

Every restart keeps its own clock. It runs in whatever lane is free, in chunks of a fixed number of gradients; at the
end of a chunk a lane whose gradient is small is recognised as on its way to a known minimum, or polished, and its place
goes to the next restart. What a restart finds does not depend on the others.

Lanes stand in blocks (see `blocks`), and the blocks are dealt to groups: on a CPU one group a core, each in its own
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
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import monitoring
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from threadpoolctl import threadpool_limits

from landscape import classify, descent
from landscape.descent import Method
from landscape.host.blocks import Group
from landscape.host.blocks import Job as _Job
from landscape.polish import (
    Polished,
    ball,
    batch_size,
    curvature_needed,
    evaluate,
    float64,
    levels,
    newton_to_stationary,
    polish,
    positive_definite,
)
from landscape.problems.problem import Problem
from landscape.problems.symmetry import OrbitIndex
from landscape.records import InputError, Point, Spectrum, Status, Verdict, whole
from landscape.restart import start_points
from landscape.spectrum import spectrum
from landscape.theory.convex.stationary import Onward

SETTLE = 2040  # a descent whose loss has not fallen in so many gradients is going back and forth: its step is too long
STILL = 480  # gradients between two looks at whether the loss of a descent on a kinked problem falls at all
FALL = 1e-3  # of its excess, in so many gradients: at less it stands between kinks; 1e-9 leads to the same minima
SEVERAL = 16  # offers of different losses that are polished before the others are looked at again
TAIL = 4  # lanes of the block for the last stragglers ...
PATIENCE = 4800  # ... which is made when they have had a wide one for so many gradients
HALVINGS = 10  # how often a diverging restart is begun again with half the step
STATIONARY = 1e-10  # the last rung of `retire`: below Safran and Shamir's stop, 1e-9 / (2 pi) a neuron
SINGLE = 2.4e-7  # 2 eps: a float32 gradient of p numbers below p times this may be rounding (seen: a tenth of it)
TARGET = 1e-12  # gradient norm after polish, times the problem's gradient scale
REACH = 0.1  # the polish never moves further than this, times the problem's scale
CLOSE = 0.01  # a known minimum is recognised, and a numerical basin believed, no further away than this
SAME_POINT = 1e-7  # polished points of one orbit agree to TARGET / curvature, 1e-8 at a curvature of 1e-4


class Settings(NamedTuple):
    """How restarts are made, run and stopped. Defaults are Safran and Shamir's (2017) protocol where it says.

    Attributes:
        init: Distribution of the starts (see `start_points`); "xavier" is N(0, 1/d), the paper's.
        init_scale: Multiplies the starts.
        optimiser: A name of `descent.OPTIMISERS` or any optax transformation.
        step_size: 0.1, the paper's.
        tolerance: Largest local error of a step of "flow", times the problem's scale. At 0.003, 99% of restarts and
            more end where descent with step 0.02 does, and smaller ones bring no more.
        budget: Gradients of one restart before it is given up as unconverged, or finished where that leads to a minimum
            from anywhere: on lines. The paper has none; at width k + 1 its stop takes 200,000 steps and more.
        retire: A lane is first offered to the polish at this gradient norm, times the problem's own; each time the
            polish refuses, at a tenth of it.
        lanes: Restarts that run at once; 0 for 512 on a CPU and 16384 elsewhere. Labels do not depend on it.
        dtype: Of the descent; polish, spectrum and labels are always in float64, and so is the end of a descent in
            float32 whose gradient there is rounding.
    """

    init: str = "xavier"
    init_scale: float = 1.0
    optimiser: str | optax.GradientTransformation = "gradient-descent"
    step_size: float = 0.1
    tolerance: float = 0.003
    budget: int = 200_000
    retire: float = 1e-5
    lanes: int = 0
    dtype: str = "float64"

    def check(self) -> Settings:
        """These settings, if they make sense.

        Raises:
            InputError: They do not.
        """
        whole("budget", self.budget, 1)
        whole("lanes", self.lanes, 0)
        for name in ("init_scale", "step_size", "tolerance", "retire"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise InputError(f"{name} must be a positive number, found {value}.")
        if self.dtype not in ("float32", "float64"):
            raise InputError(f"dtype must be float32 or float64, found {self.dtype!r}.")
        return self

    def method(self, scale: float = 1.0) -> Method:
        """The way down these settings name.

        Args:
            scale: Of the problem.

        Raises:
            InputError: There is none of that name.
        """
        if isinstance(self.optimiser, str):
            return descent.method(self.optimiser, self.step_size, self.tolerance * scale)
        return descent.Optax(self.optimiser)


class Progress(NamedTuple):
    """What is known between two chunks.

    Attributes:
        done: Restarts finished in this call.
        total: Restarts to do in this call.
        labels: How many have each label so far.
        seconds: Since the call began.
    """

    done: int
    total: int
    labels: dict[str, int]
    seconds: float


Batch = tuple[dict[str, np.ndarray], np.ndarray]  # columns of finished restarts, and their theta [r, p]


class _Offer(NamedTuple):
    """A nearly stationary restart."""

    job: _Job
    theta: np.ndarray
    loss: float
    grad_norm: float


@dataclass
class _Orbit:
    """A known isolated stationary point, and what traps a descent near it (see `polish`)."""

    name: int | None  # the first restart accepted there, None while there is none
    verdict: Verdict
    curvature: float  # a lower bound on every eigenvalue
    radius: float
    bound: float  # on the third derivative within the radius


_compiling = [0.0]  # seconds that this process has spent in tracing, lowering and compiling


def _heard(event: str, duration_secs: float, **_: str | int) -> None:
    if event.startswith("/jax/core/compile/") and event.endswith("_duration"):
        _compiling[0] += duration_secs


monitoring.register_event_duration_secs_listener(_heard)


@dataclass
class Clock:
    """Seconds spent in each stage, compilation apart; `descent` is the time in which the host had nothing to do."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("compile", "descent", "polish", "classify"), 0.0)
    )

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        """Adds the time inside to the stage, less what went into compilation."""
        begun, compiled = time.perf_counter(), _compiling[0]
        try:
            yield
        finally:
            spent, compiled = time.perf_counter() - begun, _compiling[0] - compiled
            # Two programs may compile at once: no more than the time there was.
            self.seconds["compile"] += min(compiled, spent)
            self.seconds[stage] += max(0.0, spent - compiled)


class _Queue:
    """The restarts that have no lane: those that are to go on, in float64 if not before, and those not yet begun."""

    def __init__(self, restarts: np.ndarray, threshold: float):
        self.restarts, self.threshold, self.total = restarts, threshold, len(restarts)
        self.next = 0  # the first of the restarts that has not begun
        self.back: deque[_Job] = deque()
        self.double: deque[_Job] = deque()

    @property
    def new(self) -> int:
        """How many have not begun."""
        return self.total - self.next

    def put(self, job: _Job) -> None:
        """It is to go on."""
        (self.back if job.start is None else self.double).append(job)

    def __bool__(self) -> bool:
        return bool(self.back or self.double)

    def take(self, most: int, double: bool) -> list[_Job]:
        """So many at most, those that go on first.

        Args:
            most: So many.
            double: Only those that go on in float64.
        """
        if double:
            return [self.double.popleft() for _ in range(min(len(self.double), most))]
        jobs = [self.back.popleft() for _ in range(min(len(self.back), most))]
        numbers = self.restarts[self.next : self.next + most - len(jobs)]
        self.next += len(numbers)
        return jobs + [_Job(int(i), threshold=self.threshold) for i in numbers]


class Driver:
    """Runs restarts of one problem to their labels. `run` yields finished rows; see `explore` for a whole run."""

    def __init__(self, problem: Problem, settings: Settings, seed: int, starts: np.ndarray | None = None):
        """Nothing is compiled or run yet.

        Args:
            problem: The landscape.
            settings: How to run.
            seed: Of the starting points.
            starts: Given starting points, [restarts, p], instead of random ones.
        """
        settings = settings.check()
        self.problem, self.settings, self.seed, self.starts = problem, settings, seed, starts
        self.method = settings.method(problem.scale)
        self.clock = Clock()
        self.orbits = OrbitIndex(problem.symmetry, SAME_POINT * problem.scale)
        self.known: list[_Orbit] = []  # in the order of `orbits`
        self.devices = jax.local_devices()
        if self.devices[0].platform == "tpu" and settings.dtype != "float32":
            raise InputError(
                "a TPU has no float64: set dtype to float32; polish and labels are in float64 on the host."
            )
        self.dtype = jnp.dtype(settings.dtype)
        self._ends: dict[bytes, Any] = {}  # of a kinked problem, by pattern of signs
        self._names: dict[bytes, int] = {}  # of its isolated ones
        self._on_devices = problem  # its arrays where the programs want them, once the run begins
        self.polish_first = False  # which of its two large programs a process with one core compiles first
        self._loose = False  # whether the last polish met points that are not isolated, which nobody can recognise

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self, restarts: np.ndarray, report: Callable[[Progress], None] | None = None) -> Iterator[Batch]:
        """Finished restarts in batches: their columns, and theta of each.

        Args:
            restarts: Numbers of the restarts to do.
            report: Called between chunks.
        """
        begun = time.perf_counter()
        queue = _Queue(np.asarray(restarts), self.settings.retire)
        offered: deque[_Offer] = deque()
        counts: Counter[str] = Counter()
        if not queue.total:
            return
        if self.problem.kinked and len(self.devices) == 1:  # kernels can be large, and NumPy's are copied at every call
            with jax.enable_x64(True):
                self._on_devices = jax.device_put(self.problem, self.devices[0])
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
            with self.clock.running("descent"):
                # The polish is compiled beside the lanes. One core makes it first or last, never half of both.
                warm = pool.submit(self._warm) if _cores() > 1 or self.polish_first else None
                if warm is not None and _cores() == 1:
                    warm.result()
                idle = self._started(idle, queue, pool, running)
                warm = pool.submit(self._warm) if warm is None else warm
                if queue.new:
                    warm.result()  # short runs have no use for it
            while running or offered or queue:
                finished: list[tuple[_Job, Point, Polished | None]] = []
                with self.clock.running("descent"):
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        group = running.pop(future)
                        group.lanes = future.result()
                        finished += self._look(group, queue, offered)
                        idle.append(group)
                    if not host_first:
                        idle = self._started(idle, queue, pool, running)
                rows = self._judge(finished) if finished else []
                # A full batch at a time while there is work for the lanes; at the end whatever there is.
                enough = len(offered) >= batch_size(self.problem.p) or not running
                while offered and enough:
                    rows += self._offer(offered, queue)
                if queue.double and not all_double:
                    idle, all_double = idle + self._groups(queue.total, jnp.dtype(jnp.float64)), True
                idle = self._started(idle, queue, pool, running)
                if rows:
                    batch = _columns([row for row, _ in rows]), np.stack([theta for _, theta in rows])
                    counts.update(batch[0]["label"])
                    yield batch
                if report is not None:
                    report(Progress(sum(counts.values()), queue.total, dict(counts), time.perf_counter() - begun))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
            limits.restore_original_limits()

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
        return [Group(self.problem, self.method, dtype, blocks, size, sharding) for _ in range(count)]

    def _warm(self) -> None:
        """Compiles the polish while the first lanes run."""
        theta = np.random.default_rng(0).normal(size=(batch_size(self.problem.p), self.problem.p))
        if self.problem.p <= 2500 and not self.problem.kinked:
            polish(self.problem, theta, 0.0, 1.0, 0.0, self.problem.scale, max_steps=1)

    def _started(
        self, groups: list[Group], queue: _Queue, pool: ThreadPoolExecutor, running: dict[Future, Group]
    ) -> list[Group]:
        """Fills free places of groups and sends them on their next chunk; those with no lane to run are returned."""
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
        devices, few = group.sharding.mesh.size, np.flatnonzero(group.taken)
        if group.size <= TAIL or len(few) > TAIL * devices or group.idle < PATIENCE:
            return group
        narrow = Group(self.problem, self.method, group.dtype, devices, TAIL, group.sharding)
        rows = group.rows(few)
        for place, old in zip(narrow.order, few, strict=False):
            narrow.put(int(place), group.leave(int(old)))
        narrow.place(narrow.order[: len(few)], rows)
        return narrow

    def _refill(self, group: Group, queue: _Queue) -> None:
        """Every free place is taken by a returned or a new restart, while there are any."""
        free = group.free()
        jobs = queue.take(len(free), group.dtype != self.dtype)
        fresh, old = ([job for job in jobs if (job.state is None) == new] for new in (True, False))
        if fresh:
            theta = self._starts(np.array([job.restart for job in fresh]))
            theta = np.stack([one if job.start is None else job.start for job, one in zip(fresh, theta, strict=True)])
            group.begin(self._on_devices, free[: len(fresh)], theta, np.array([job.step_scale for job in fresh]))
        if old:
            group.place(free[len(fresh) : len(jobs)], _stacked([job.state for job in old]))
        for place, job in zip(free, fresh + old, strict=False):
            job.state = None
            group.put(int(place), job)

    def _starts(self, restarts: np.ndarray) -> np.ndarray:
        if self.starts is not None:
            return self.starts[restarts]
        return start_points(self.problem, self.seed, restarts, self.settings.init, self.settings.init_scale)

    def _there(self, group: Group) -> AbstractContextManager[None]:
        """Inside, what is computed for a group is computed where it is: float64 on the host of a TPU."""
        return float64() if group.dtype != self.dtype else nullcontext()

    def _look(self, group: Group, queue: _Queue, offered: deque[_Offer]) -> list[tuple[_Job, Point, Polished | None]]:
        """Takes out of their lanes the restarts that are nearly stationary, diverged, or out of budget."""
        grad_norm = np.asarray(group.lanes.grad_norm, np.float64).reshape(-1)
        loss = np.asarray(group.lanes.loss, np.float64).reshape(-1)
        steep = self.problem.gradient_scale
        floor = 30 * float(np.sqrt(jnp.finfo(group.dtype).eps)) * steep
        group.steps += self.method.chunk
        wild = ~(np.isfinite(loss) & (grad_norm < 1e4 * steep))  # the paper's guard, 2 pi |g| > 1e4
        still = np.zeros_like(wild)
        if self.problem.kinked:
            settled = group.steps % STILL == 0
            least = 0.0 if self.problem.lower_bound is None else self.problem.lower_bound.value
            # Between kinks the loss may go up and down a little: no fall is enough.
            with np.errstate(invalid="ignore"):
                still = settled & ~wild & (group.mark < np.inf) & (group.mark - loss <= FALL * (group.mark - least))
        else:
            settled = group.steps % SETTLE == 0
        idles = settled & ~still & (loss >= group.mark)
        # While |g| > floor, SETTLE steps of 0.1 lower the loss by 200 floor^2, far more than its rounding.
        wild |= idles & (grad_norm > floor)
        calm = (group.steps >= self.method.noisy) & (group.steps >= group.rest)
        still, wild = still & calm, wild & ((group.steps >= self.method.noisy) | ~np.isfinite(loss))
        group.mark[settled] = loss[settled]
        near = calm & ~wild & (still | (grad_norm <= group.threshold * steep))
        if group.dtype == jnp.float32 and not self.problem.kinked:
            # A gradient of rounding gets no smaller. Where it is that of ReLU networks see `SINGLE`; elsewhere the loss
            # stands still.
            near |= calm & ~wild & (idles | (grad_norm <= SINGLE * self.problem.p * steep))
        leaving = np.flatnonzero(group.taken & (wild | near | (group.steps >= self.settings.budget)))
        if not len(leaving):
            return []
        with self._there(group):
            rows = group.rows(leaving)
        finished, offers = [], []
        for i, place in enumerate(leaving):
            job = group.leave(int(place))
            if wild[place] and job.step_scale > 0.5**HALVINGS:
                job.step_scale, job.mark, job.threshold = job.step_scale / 2, np.inf, self.settings.retire
                queue.put(job)
                continue
            theta = np.array(rows.theta[i], np.float64)
            if near[place] or (not wild[place] and classify.finishes(self.problem)):
                job.state = jax.tree.map(lambda x, i=i: x[i], rows)
                offers.append(_Offer(job, theta, float(loss[place]), float(grad_norm[place])))
                continue
            status = Status.DIVERGED if wild[place] else Status.BUDGET
            error = self.problem.loss_error(theta) if not wild[place] else np.nan
            finished.append((job, Point(theta, loss[place], error, grad_norm[place], 0.0, status), None))
        if offers and group.dtype == jnp.float32 and not self.problem.kinked:
            exact = zip(*levels(self.problem, np.stack([offer.theta for offer in offers])), strict=True)
            offers = [
                _Offer(offer.job, offer.theta, *map(float, one)) for offer, one in zip(offers, exact, strict=True)
            ]
        offered.extend(offers)
        return finished

    def _offer(self, offered: deque[_Offer], queue: _Queue) -> list[tuple[dict[str, Any], np.ndarray]]:
        """Rows of the offered restarts that can be accepted: all that approach a known minimum, and one batch polished.

        A restart near a saddle has a small gradient too. It is accepted where the polish is shown to end where the
        descent would; or at the lower bound; or at a clear minimum close by, with positive curvature all the way, where
        no bound on the third derivative is known or, from the third rung on, the bound is too crude for a very flat
        minimum; or, at the last rung, in any case: a descent that gets this close to a saddle has stopped there.
        """
        if self.problem.kinked:
            return self._finish(offered, queue)
        with self.clock.running("classify"):
            rows, rest = self._recognise(list(offered), queue)
        offered.clear()
        batch, later = self._deal(rest)
        offered.extend(later)
        if not batch:
            return rows
        with self.clock.running("polish"):
            finished = self._polish(batch, queue)
        return rows + self._judge(finished)

    def _finish(self, offered: deque[_Offer], queue: _Queue) -> list[tuple[dict[str, Any], np.ndarray]]:
        """Rows of descents on a kinked problem: the point that each leads to by its room's exact finish.

        The ground is "shown" where the room shows that plain descent ends in the same sign region, else "finished":
        descents that run out of budget on lines are finished where they stand.
        """
        batch = [offered.popleft() for _ in range(len(offered))]
        with self.clock.running("classify"):
            steps = np.array([self.settings.step_size * offer.job.step_scale for offer in batch])
            found = classify.ends(self.problem, np.stack([offer.theta for offer in batch]), self._ends, steps)
            rows = []
            for offer, end in zip(batch, found, strict=True):
                job = offer.job
                if isinstance(end, Onward):
                    # A small gradient is no news any more; what is slow is asked again when it has gone on by a tenth.
                    job.threshold = job.threshold / 10 if job.threshold > STATIONARY else 0.0
                    job.rest = job.steps + job.steps // 10
                    if end.shorter and job.step_scale > 0.5**HALVINGS:
                        assert job.state is not None
                        job.step_scale /= 4
                        job.state = job.state._replace(step_scale=job.state.step_scale / 4)
                    queue.put(job)
                    continue
                verdict = end.verdict
                assert verdict.loss is not None
                assert verdict.loss_error is not None
                moved = float(np.linalg.norm(end.theta - offer.theta))
                grad_norm = 0.0 if verdict.grad_norm is None else verdict.grad_norm
                point = Point(end.theta, verdict.loss, verdict.loss_error, grad_norm, moved, Status.CONVERGED)
                job.basin = "shown" if end.kept and self._steady(job) else "finished"
                orbit = -1 if end.orbit is None else self._names.setdefault(end.orbit, job.restart)
                rows.append((_row(job, point, verdict, orbit), end.theta))
        return rows

    def _steady(self, job: _Job) -> bool:
        """Whether this is plain gradient descent with a step that is stable on a kinked problem everywhere."""
        if not hasattr(self, "_most"):
            self._most = 2 / float(self.problem.curvature())  # type: ignore[attr-defined]
        plain = self.settings.optimiser == "gradient-descent"
        return plain and self.settings.step_size * job.step_scale < self._most

    def _recognise(
        self, offered: list[_Offer], queue: _Queue
    ) -> tuple[list[tuple[dict[str, Any], np.ndarray]], list[_Offer]]:
        """Rows of the restarts that are shown to approach a known point, and the restarts that are near none."""
        if not self.known:
            return [], offered
        scale = self.problem.scale
        thetas = np.stack([offer.theta for offer in offered])
        grad_norms = np.array([offer.grad_norm for offer in offered])
        losses = np.array([offer.loss for offer in offered])
        slack = grad_norms * CLOSE * scale + 1e-9 * (1 + np.abs(losses))
        found, images = self.orbits.images(thetas, losses, slack, CLOSE * scale)
        rows, rest = [], []
        for offer, number, image in zip(offered, found, images, strict=True):
            if number < 0:
                rest.append(offer)
                continue
            job, orbit = offer.job, self.known[number]
            moved = float(np.linalg.norm(image - offer.theta))
            needed = float(curvature_needed(orbit.bound, moved, offer.grad_norm, scale))
            trapped = needed <= min(orbit.curvature, orbit.bound * orbit.radius)
            definite, at_bound = orbit.curvature > 0, orbit.verdict.label == "global"
            job.basin = self._basin(job, offer.theta, image, trapped, at_bound, definite, moved)
            if job.basin is None and self._goes_on(offer):
                self._wait(offer, queue)
            elif job.basin is None:
                rest.append(offer)
            else:
                verdict = orbit.verdict
                assert verdict.loss is not None
                assert verdict.loss_error is not None
                assert verdict.grad_norm is not None
                point = Point(image, verdict.loss, verdict.loss_error, verdict.grad_norm, moved, Status.CONVERGED)
                rows.append((_row(job, point, verdict, self._named(orbit, job.restart)), image))
        return rows, rest

    def _deal(self, offered: list[_Offer]) -> tuple[list[_Offer], list[_Offer]]:
        """Those to polish now, of different losses as far as they can be recognised by them, and those for later."""
        most = max(SEVERAL, batch_size(self.problem.p))
        if len(offered) <= 1 or self._loose or callable(self.orbits.symmetry):
            return offered[:most], offered[most:]
        order = sorted(range(len(offered)), key=lambda i: offered[i].loss)
        apart = [
            i for before, i in zip([None, *order], order, strict=False)
            if before is None or offered[i].loss - offered[before].loss > 1e-6 * self.problem.scale**2
        ]  # fmt: skip
        chosen = set(apart[:most])
        return [offered[i] for i in sorted(chosen)], [offer for i, offer in enumerate(offered) if i not in chosen]

    def _goes_on(self, offer: _Offer) -> bool:
        """Whether there is a rung below, or the descent has been in float32 so far."""
        return offer.job.threshold > STATIONARY or self._single(offer.job)

    def _single(self, job: _Job) -> bool:
        return self.dtype == jnp.float32 and job.start is None

    def _wait(self, offer: _Offer, queue: _Queue) -> None:
        """The restart goes on: in float64 from where it stands if it was in float32, else to the next rung."""
        job = offer.job
        if self._single(job):
            job.start, job.state, job.mark = offer.theta, None, np.inf
        else:
            job.threshold = max(STATIONARY, job.threshold / 10)
        queue.put(job)

    def _basin(
        self, job: _Job, theta: np.ndarray, end: np.ndarray, trapped: bool, at_bound: bool, definite: bool, moved: float
    ) -> str | None:
        """On what ground the descent at theta is taken to end at this stationary point, None if on none."""
        if trapped and self.method.descends:
            return "shown"
        if at_bound:
            return "lower bound"
        # A method that does not descend all the way is never shown, and believed where a descent would be.
        if definite and moved <= CLOSE * self.problem.scale and (
            trapped or not self._bounded(theta) or self._convex_between(job, theta, end)
        ):  # fmt: skip
            return "numerical"
        return None

    def _polish(self, offered: list[_Offer], queue: _Queue) -> list[tuple[_Job, Point, Polished | None]]:
        """The offered restarts that are accepted, polished; the others go on."""
        scale, problem = self.problem.scale, self.problem
        target = TARGET * problem.gradient_scale
        size = batch_size(problem.p)
        ends = []
        for i in range(0, len(offered), size):
            # Padding repeats the points, which are stationary as soon as they are.
            thetas = np.resize(np.stack([offer.theta for offer in offered[i : i + size]]), (size, problem.p))
            noise = np.array([problem.loss_error(theta) for theta in thetas])
            polished = polish(problem, thetas, target, REACH * scale, noise, scale)
            ends += [Polished(*(column[j] for column in polished)) for j in range(size)]
        finished = []
        self._loose = False
        for offer, one in zip(offered, ends, strict=False):
            job, theta = offer.job, offer.theta
            error = problem.loss_error(one.theta)
            bound = problem.lower_bound
            at_bound = bound is not None and bool(one.loss - bound.value <= error)
            basin = None
            if one.grad_norm <= target:
                basin = self._basin(
                    job, theta, one.theta, bool(one.trapped), at_bound, bool(one.definite), float(one.moved)
                )
            self._loose |= basin is not None and not (one.definite or one.trapped)
            if basin is not None:
                job.basin = basin
                finished.append((job, _point(one, error, Status.CONVERGED), one))
                continue
            if self._goes_on(offer):
                if one.grad_norm <= target and one.definite:
                    # A true minimum, if perhaps not this restart's: the next one near it need not be polished.
                    self.judge(_point(one, error, Status.CONVERGED), None, isolated=True)
                self._wait(offer, queue)
                continue
            job.basin = "stopped"
            end, grad_norm = newton_to_stationary(problem, theta, target, CLOSE * scale)
            loss = float(classify.losses(problem, end[None])[0])
            status = Status.CONVERGED if grad_norm <= target else Status.STALLED
            moved = float(np.linalg.norm(end - theta))
            finished.append((job, Point(end, loss, problem.loss_error(end), grad_norm, moved, status), None))
        return finished

    def _convex_between(self, job: _Job, theta: np.ndarray, end: np.ndarray) -> bool:
        """Whether every Hessian seen between the end of a descent and its polished point is positive definite."""
        if job.threshold > 1.01e-2 * self.settings.retire:
            return False
        between = np.stack([theta + s * (end - theta) for s in (0.0, 0.25, 0.5, 0.75)])
        return bool(positive_definite(self.problem, between).all())

    def _bounded(self, theta: np.ndarray) -> bool:
        """Whether the problem knows a bound on its third derivative, so that `trapped` can be shown."""
        if not hasattr(self, "_has_bound"):
            with jax.enable_x64(True):
                self._has_bound = bool(np.isfinite(self.problem.third_derivative(jnp.asarray(theta), jnp.zeros(()))))
        return self._has_bound

    # -- labels --------------------------------------------------------------------------------------------------------

    def _judge(self, finished: list[tuple[_Job, Point, Polished | None]]) -> list[tuple[dict[str, Any], np.ndarray]]:
        """Rows of these restarts; spectra and curvature labels are computed once an orbit."""
        rows = []
        with self.clock.running("classify"):
            for job, point, polished in finished:
                alone = polished is not None and bool(polished.definite or polished.trapped)
                verdict, orbit = self.judge(point, job.restart, isolated=alone)
                rows.append((_row(job, point, verdict, orbit), point.theta))
        return rows

    def restore(self, orbits: list[tuple[int, np.ndarray, Verdict]]) -> None:
        """Makes orbits of an earlier part of the run known: (name, theta, verdict) of each."""
        for name, theta, verdict in orbits:
            if self.problem.kinked:
                self._names[classify.signs(self.problem, theta)] = name
                continue
            self._add(name, theta, verdict)

    def _named(self, orbit: _Orbit, restart: int | None) -> int:
        """The name of an orbit, this restart's number if it has none yet."""
        orbit.name = restart if orbit.name is None else orbit.name
        return -1 if orbit.name is None else orbit.name

    def _add(self, name: int | None, theta: np.ndarray, verdict: Verdict) -> int:
        """The place of a new orbit."""
        assert verdict.loss is not None
        with float64():
            radius, bound = (float(x[0]) for x in ball(self.problem, np.asarray(theta, np.float64)[None]))
        # A stored verdict has no error of its eigenvalue: a thousandth covers it wherever it is a minimum at all.
        least = -np.inf if verdict.min_curvature is None else verdict.min_curvature
        self.known.append(_Orbit(name, verdict, 0.999 * least if least > 1e-9 else -np.inf, radius, bound))
        return self.orbits.add(theta, verdict.loss)

    def judge(self, point: Point, restart: int | None, isolated: bool) -> tuple[Verdict, int]:
        """The verdict of one point, and the name of its orbit: its first member's restart, -1 for a point not isolated.

        Args:
            point: A polished (or unconverged) point.
            restart: Its number: the name of the orbit if it is the first member; None to leave a new orbit unnamed.
            isolated: Whether it is known to be alone in its neighbourhood.
        """
        if point.status not in (Status.CONVERGED, Status.STALLED):
            return classify.unconverged(self.problem, point), -1
        if not isolated:
            verdict = classify.at_lower_bound(self.problem, point)
            if verdict is not None:
                return verdict, -1
        orbit = self.orbits.find(point.theta, point.loss, point.loss_error) if isolated else None
        if orbit is None:
            verdict, found = self._examine(point)
            if found is None or (not isolated and found.zeros):
                return verdict, -1
            orbit = None if isolated else self.orbits.find(point.theta, point.loss, point.loss_error)
            if orbit is None:
                orbit = self._add(None, point.theta, verdict)
        known = self.known[orbit]
        verdict = replace(known.verdict, loss=point.loss, loss_error=point.loss_error, grad_norm=point.grad_norm)
        return verdict, self._named(known, restart)

    def _examine(self, point: Point) -> tuple[Verdict, Spectrum | None]:
        """The verdict of a point with its whole spectrum, None where the Hessian is not finite."""
        _, hessian = evaluate(self.problem, point.theta)
        found = spectrum(self.problem, point.theta, hessian)
        verdict = classify.classify(self.problem, point, found)
        return replace(verdict, min_curvature=None if found is None else found.min_curvature), found


def _cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _stacked(rows: list[Any]) -> Any:
    return jax.tree.map(lambda *x: np.stack(x), *rows)


def _point(polished: Polished, error: float, status: Status) -> Point:
    return Point(
        theta=np.array(polished.theta),
        loss=float(polished.loss),
        loss_error=error,
        grad_norm=float(polished.grad_norm),
        moved=float(polished.moved),
        status=status,
    )


def _row(job: _Job, point: Point, verdict: Verdict, orbit: int) -> dict[str, Any]:
    return {
        "restart": job.restart,
        "status": int(point.status),
        "steps": job.steps,
        "step_scale": job.step_scale,
        "loss": float(point.loss),
        "loss_error": float(point.loss_error),
        "grad_norm": float(point.grad_norm),
        "moved": float(point.moved),
        "min_curvature": np.nan if verdict.min_curvature is None else verdict.min_curvature,
        "label": str(verdict.label),
        "flavour": verdict.flavour,
        "evidence": None if verdict.evidence is None else str(verdict.evidence),
        "by": verdict.by,
        "margin": np.nan if verdict.margin is None else float(verdict.margin),
        "reason": verdict.reason,
        "basin": job.basin,
        "orbit": orbit,
    }


TEXT = ("label", "flavour", "evidence", "by", "reason", "basin")
WHOLE = ("restart", "status", "steps", "orbit")


def _columns(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Rows as columns of one type each."""
    kind = {**dict.fromkeys(TEXT, object), **dict.fromkeys(WHOLE, np.int64)}
    return {name: np.array([row[name] for row in rows], kind.get(name, np.float64)) for name in rows[0]}


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
