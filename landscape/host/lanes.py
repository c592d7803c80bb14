"""The lane driver: restarts in lanes that are refilled, the jit boundary, devices.

Every restart keeps its own clock. It runs in whatever lane is free, in chunks of a fixed number of steps; at the end
of a chunk a lane whose gradient is small goes to the polish and its place goes to the next restart. Nothing that
happens to a restart depends on the others, so labels do not depend on the number of lanes or devices.
"""

from __future__ import annotations

import platform
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from landscape import classify, descent
from landscape.polish import Polished, evaluate, newton_to_stationary, polish
from landscape.problems.problem import Problem
from landscape.problems.symmetry import OrbitIndex
from landscape.records import InputError, Point, Spectrum, Status, Verdict, whole
from landscape.restart import start_points
from landscape.spectrum import spectrum

CHUNK = 100  # steps between looks at a lane: a look costs about one step of a thousand lanes
SETTLE = 2000  # a descent whose loss has not fallen in so many steps is going back and forth: its step is too long
HALVINGS = 10  # how often a diverging restart is begun again with half the step
STATIONARY = 1e-10  # the last rung of `retire`: below Safran and Shamir's stop, 1e-9 / (2 pi) a neuron
TARGET = 1e-12  # gradient norm after polish, times the problem's scale
REACH = 0.1  # the polish never moves further than this, times the problem's scale
SAME_POINT = 1e-7  # polished points of one orbit agree to TARGET / curvature, 1e-8 at a curvature of 1e-4


class Settings(NamedTuple):
    """How restarts are made, run and stopped. Defaults are Safran and Shamir's (2017) protocol where it says.

    Attributes:
        init: Distribution of the starts (see `start_points`); "xavier" is N(0, 1/d), the paper's.
        init_scale: Multiplies the starts.
        optimiser: A name of `descent.OPTIMISERS` or any optax transformation.
        step_size: 0.1, the paper's.
        budget: Steps of one restart before it is given up as unconverged. The paper has none; at width k + 1 its stop
            takes 200,000 steps and more.
        retire: A lane is first offered to the polish at this gradient norm, times the problem's scale; each time the
            polish refuses, at a tenth of it.
        lanes: Restarts that run at once. Labels do not depend on it.
        dtype: Of the descent; polish, spectrum and labels are always in float64.
    """

    init: str = "xavier"
    init_scale: float = 1.0
    optimiser: str | optax.GradientTransformation = "gradient-descent"
    step_size: float = 0.1
    budget: int = 200_000
    retire: float = 1e-5
    lanes: int = 512
    dtype: str = "float64"

    def check(self) -> Settings:
        """These settings, if they make sense.

        Raises:
            InputError: They do not.
        """
        for name in ("budget", "lanes"):
            whole(name, getattr(self, name), 1)
        for name in ("init_scale", "step_size", "retire"):
            value = getattr(self, name)
            if not 0 < value < np.inf:
                raise InputError(f"{name} must be a positive number, found {value}.")
        if self.dtype not in ("float32", "float64"):
            raise InputError(f"dtype must be float32 or float64, found {self.dtype!r}.")
        return self


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


@dataclass
class _Job:
    """One restart: where it stands while it has no lane."""

    restart: int
    steps: int = 0
    threshold: float = 0.0
    step_scale: float = 1.0
    mark: float = np.inf  # loss at the last multiple of SETTLE steps
    basin: str | None = None  # on what ground the polish was taken for the descent's own end
    state: Any = None  # its Lane as NumPy arrays, None before the first step


@dataclass
class Clock:
    """Seconds spent in each stage."""

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("compile", "descent", "polish", "classify"), 0.0)
    )

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        """Adds the time inside to the stage."""
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] += time.perf_counter() - begun


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
        if isinstance(settings.optimiser, str):
            self.optimiser = descent.optimiser(settings.optimiser, settings.step_size)
        else:
            self.optimiser = optax.with_extra_args_support(settings.optimiser)
        self.clock = Clock()
        self.orbits = OrbitIndex(problem.symmetry, SAME_POINT * problem.scale)
        self.known: list[tuple[int, Verdict]] = []  # name and verdict of each orbit, in the order of `orbits`
        self.devices = jax.local_devices()
        self.dtype = jnp.dtype(settings.dtype)
        # One polish at a time fits the cache and the memory: 2^22 numbers of Hessians, between 8 and 64 points.
        self.polish_batch = int(np.clip(2 ** int(np.log2(2**22 / max(1, problem.p) ** 2 + 1e-9)), 8, 64))
        self._compiled: dict[Any, Any] = {}

    # -- compiled pieces: the only place where vmap, jit and sharding are applied -------------------------------------

    def _compile(self, name: str, function: Callable, *arguments: Any) -> Any:
        """`function` compiled for arguments of these shapes, once; compile time is kept apart from run time."""
        shapes = jax.tree.map(lambda x: (jnp.shape(x), jnp.result_type(x)), arguments)
        key = (name, str(shapes))
        if key not in self._compiled:
            with self.clock.running("compile"):
                self._compiled[key] = jax.jit(function).lower(*arguments).compile()
        return self._compiled[key]

    def _lanes_sharding(self, lanes: int) -> NamedSharding:
        devices = self.devices if lanes % len(self.devices) == 0 else self.devices[:1]
        return NamedSharding(Mesh(np.array(devices), ("lanes",)), PartitionSpec("lanes"))

    def _init(self, theta: np.ndarray, step_scale: np.ndarray) -> Any:
        fresh = jax.vmap(partial(descent.init, self.problem, self.optimiser))
        arguments = (theta.astype(self.dtype), step_scale.astype(self.dtype))
        return self._compile("init", fresh, *arguments)(*arguments)

    def _advance(self, lanes: Any) -> Any:
        def chunk(problem: Problem, lanes: Any) -> Any:
            return jax.vmap(lambda lane: descent.advance(problem, self.optimiser, lane, CHUNK))(lanes)

        return self._compile("advance", chunk, self.problem, lanes)(self.problem, lanes)

    def _polish(self, theta: np.ndarray) -> Polished:
        """Polished points of any number of ends of descent, in padded batches of one size."""
        if not len(theta):
            raise ValueError("nothing to polish")
        scale = self.problem.scale
        noise = np.array([self.problem.loss_error(t) for t in theta])
        small = min(8, self.polish_batch)
        batch = self.polish_batch if len(theta) > small else small
        parts = []
        for i in range(0, len(theta), batch):
            # Padding repeats the last point, which is stationary as soon as it is.
            index = np.minimum(np.arange(i, i + batch), len(theta) - 1)
            arguments = (self.problem, jnp.asarray(theta[index]), jnp.asarray(noise[index]))

            def whole(problem: Problem, theta: Any, noise: Any) -> Polished:
                return jax.vmap(
                    lambda t, e: polish(problem, t, TARGET * scale, REACH * scale, e, scale),
                )(theta, noise)

            done = self._compile("polish", whole, *arguments)(*arguments)
            parts.append([np.asarray(column)[: len(theta) - i] for column in done])
        return Polished(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    # -- the loop ------------------------------------------------------------------------------------------------------

    def run(self, restarts: np.ndarray, report: Callable[[Progress], None] | None = None) -> Iterator[Batch]:
        """Finished restarts in batches: their columns, and theta of each.

        Args:
            restarts: Numbers of the restarts to do.
            report: Called between chunks.
        """
        begun = time.perf_counter()
        new = deque(int(i) for i in restarts)
        waiting: deque[_Job] = deque()
        size = self._lane_count(len(new))
        jobs: list[_Job | None] = [None] * size
        lanes: Any = None
        offered: list[tuple[_Job, np.ndarray, float, float]] = []
        counts: Counter[str] = Counter()
        total = len(new)
        while new or waiting or offered or any(job is not None for job in jobs):
            active = sum(job is not None for job in jobs)
            if not new and not waiting and 0 < active <= size // 4 and size > 4 * len(self.devices):
                lanes, jobs, size = self._shrink(lanes, jobs, size // 4)
            with self.clock.running("descent"):
                lanes = self._refill(lanes, jobs, new, waiting)
            finished: list[tuple[_Job, Point, Polished | None]] = []
            if any(job is not None for job in jobs):
                with self.clock.running("descent"):
                    compiled = self.clock.seconds["compile"]
                    lanes = jax.block_until_ready(self._advance(lanes))
                    self.clock.seconds["descent"] -= self.clock.seconds["compile"] - compiled
                finished += self._look(lanes, jobs, waiting, offered)
            # A full batch at a time while there is work for the lanes; at the end whatever there is.
            if len(offered) >= min(self.polish_batch, size) or (offered and not new and not waiting):
                with self.clock.running("polish"):
                    compiled = self.clock.seconds["compile"]
                    finished += self._offer(offered, waiting)
                    self.clock.seconds["polish"] -= self.clock.seconds["compile"] - compiled
                offered = []
            if finished:
                with self.clock.running("classify"):
                    batch = self._judge(finished)
                counts.update(batch[0]["label"])
                yield batch
            if report is not None:
                report(Progress(sum(counts.values()), total, dict(counts), time.perf_counter() - begun))

    def _lane_count(self, restarts: int) -> int:
        """A power of two: few sizes, few compilations, and full vector registers on every device."""
        wanted = min(self.settings.lanes, max(1, restarts))
        return max(4 * len(self.devices), 1 << (wanted - 1).bit_length())

    def _refill(self, lanes: Any, jobs: list[_Job | None], new: deque[int], waiting: deque[_Job]) -> Any:
        """Lanes with every empty place taken by a returned or a new restart."""
        empty = [slot for slot, job in enumerate(jobs) if job is None]
        if lanes is not None and (not empty or not (new or waiting)):
            return lanes
        fill: list[tuple[int, _Job]] = []
        for slot in empty:
            if waiting:
                fill.append((slot, waiting.popleft()))
            elif new:
                fill.append((slot, _Job(new.popleft(), threshold=self.settings.retire)))
        fresh = [(slot, job) for slot, job in fill if job.state is None]
        theta = np.zeros((len(jobs), self.problem.p))
        step_scale = np.ones(len(jobs))
        if fresh:
            slots = [slot for slot, _ in fresh]
            theta[slots] = self._starts(np.array([job.restart for _, job in fresh]))
            step_scale[slots] = [job.step_scale for _, job in fresh]
        entering = jax.tree.map(np.array, self._init(theta, step_scale))
        for slot, job in fill:
            jobs[slot] = job
            if job.state is not None:
                for leaf, row in zip(jax.tree.leaves(entering), jax.tree.leaves(job.state), strict=True):
                    leaf[slot] = row
                job.state = None
        mask = np.zeros(len(jobs), bool)
        mask[[slot for slot, _ in fill]] = True
        sharding = self._lanes_sharding(len(jobs))
        entering = jax.device_put(entering, sharding)
        if lanes is None:
            return entering
        mask = jax.device_put(mask, sharding)
        return self._compile("merge", _merge, mask, entering, lanes)(mask, entering, lanes)

    def _starts(self, restarts: np.ndarray) -> np.ndarray:
        if self.starts is not None:
            return self.starts[restarts]
        return start_points(self.problem, self.seed, restarts, self.settings.init, self.settings.init_scale)

    def _shrink(self, lanes: Any, jobs: list[_Job | None], size: int) -> tuple[Any, list[_Job | None], int]:
        """The active lanes alone, in a smaller batch: stragglers do not pay for empty places."""
        size = max(size, 4 * len(self.devices))
        slots = [slot for slot, job in enumerate(jobs) if job is not None]
        index = np.resize(np.array(slots), size)
        kept = jax.tree.map(lambda x: np.asarray(x)[index], lanes)
        return (
            jax.device_put(kept, self._lanes_sharding(size)),
            [jobs[s] for s in slots] + [None] * (size - len(slots)),
            size,
        )

    def _look(
        self,
        lanes: Any,
        jobs: list[_Job | None],
        waiting: deque[_Job],
        offered: list[tuple[_Job, np.ndarray, float, float]],
    ) -> list[tuple[_Job, Point, Polished | None]]:
        """Takes out of their lanes the restarts that are nearly stationary, diverged, or out of budget."""
        grad_norm, loss = np.asarray(lanes.grad_norm, np.float64), np.asarray(lanes.loss, np.float64)
        scale = self.problem.scale
        floor = 30 * float(np.sqrt(jnp.finfo(self.dtype).eps)) * scale
        finished = []
        host: Any = None
        for slot, job in enumerate(jobs):
            if job is None:
                continue
            job.steps += CHUNK
            wild = not (np.isfinite(loss[slot]) and grad_norm[slot] < 1e4 * scale)  # the paper's guard, 2 pi |g| > 1e4
            if job.steps % SETTLE == 0:
                # While |g| > floor, SETTLE steps of 0.1 lower the loss by 200 floor^2, far more than its rounding.
                wild = wild or bool(loss[slot] >= job.mark and grad_norm[slot] > floor)
                job.mark = float(loss[slot])
            if not wild and grad_norm[slot] > job.threshold * scale and job.steps < self.settings.budget:
                continue
            if host is None:
                host = jax.tree.map(np.asarray, lanes)
            state = jax.tree.map(lambda x, s=slot: np.array(x[s]), host)
            jobs[slot] = None
            if wild and job.step_scale > 0.5**HALVINGS:
                job.step_scale, job.mark, job.threshold = job.step_scale / 2, np.inf, self.settings.retire
                job.state = None
                waiting.append(job)
                continue
            theta = np.asarray(state.theta, np.float64)
            if not wild and grad_norm[slot] <= job.threshold * scale:
                job.state = state
                offered.append((job, theta, float(loss[slot]), float(grad_norm[slot])))
                continue
            status = Status.DIVERGED if wild else Status.BUDGET
            error = self.problem.loss_error(theta) if not wild else np.nan
            finished.append((job, Point(theta, loss[slot], error, grad_norm[slot], 0.0, status), None))
        return finished

    def _offer(
        self, offered: list[tuple[_Job, np.ndarray, float, float]], waiting: deque[_Job]
    ) -> list[tuple[_Job, Point, Polished | None]]:
        """Polishes; a point that the descent may not have been approaching is refused, and its restart goes on.

        A restart near a saddle has a small gradient too. It is accepted where the polish is shown to end where the
        descent would; or at the lower bound; or at a clear minimum close by, with positive curvature all the way, where
        no bound on the third derivative is known or, from the third rung on, the bound is too crude for a very flat
        minimum; or, at the last rung, in any case: a descent that gets this close to a saddle has stopped there.
        """
        scale, problem = self.problem.scale, self.problem
        polished = self._polish(np.stack([theta for _, theta, _, _ in offered]))
        finished = []
        for i, (job, theta, _, _) in enumerate(offered):
            one = Polished(*(column[i] for column in polished))
            reached = np.asarray(one.theta)
            error = problem.loss_error(reached)
            stationary = one.grad_norm <= TARGET * scale
            bound = problem.lower_bound
            at_bound = bound is not None and one.loss - bound.value <= error
            close = one.definite and one.moved <= 0.01 * scale
            basin = None
            if stationary and one.trapped:
                basin = "shown"
            elif stationary and at_bound:
                basin = "lower bound"
            elif stationary and close and (not self._bounded(theta) or self._convex_between(job, theta, reached)):
                basin = "numerical"
            if basin is not None:
                job.basin = basin
                finished.append((job, _point(one, error, Status.CONVERGED), one))
                continue
            if job.threshold > STATIONARY:
                job.threshold = max(STATIONARY, job.threshold / 10)
                waiting.append(job)
                continue
            job.basin = "stopped"
            end, grad_norm = newton_to_stationary(problem, theta, TARGET * scale, 0.01 * scale)
            loss = float(classify.losses(problem, end[None])[0])
            status = Status.CONVERGED if grad_norm <= TARGET * scale else Status.STALLED
            moved = float(np.linalg.norm(end - theta))
            finished.append((job, Point(end, loss, problem.loss_error(end), grad_norm, moved, status), None))
        return finished

    def _convex_between(self, job: _Job, theta: np.ndarray, end: np.ndarray) -> bool:
        """Whether every Hessian seen between the end of a descent and its polished point is positive definite."""
        if job.threshold > 1.01e-2 * self.settings.retire:
            return False
        between = [theta + s * (end - theta) for s in (0.0, 0.25, 0.5, 0.75)]
        return all(np.linalg.eigvalsh(evaluate(self.problem, t)[1])[0] > 0 for t in between)

    def _bounded(self, theta: np.ndarray) -> bool:
        """Whether the problem knows a bound on its third derivative, so that `trapped` can be shown."""
        if not hasattr(self, "_has_bound"):
            with jax.enable_x64(True):
                value = self.problem.third_derivative(jnp.asarray(theta), jnp.zeros(()))
            self._has_bound = bool(np.isfinite(value))
        return self._has_bound

    # -- labels --------------------------------------------------------------------------------------------------------

    def _judge(self, finished: list[tuple[_Job, Point, Polished | None]]) -> Batch:
        """Rows of these restarts; spectra and curvature labels are computed once an orbit."""
        rows = []
        for job, point, polished in finished:
            alone = polished is not None and bool(polished.definite or polished.trapped)
            verdict, orbit = self.judge(point, job.restart, isolated=alone)
            rows.append(
                {
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
            )
        return _columns(rows), np.stack([point.theta for _, point, _ in finished])

    def restore(self, orbits: list[tuple[int, np.ndarray, Verdict]]) -> None:
        """Makes orbits of an earlier part of the run known: (name, theta, verdict) of each."""
        for name, theta, verdict in orbits:
            assert verdict.loss is not None
            self.orbits.add(theta, verdict.loss)
            self.known.append((name, verdict))

    def judge(self, point: Point, restart: int, isolated: bool) -> tuple[Verdict, int]:
        """The verdict of one point, and the name of its orbit: its first member's restart, -1 for a point not isolated.

        Args:
            point: A polished (or unconverged) point.
            restart: Its number: the name of the orbit if it is the first member.
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
            if not isolated and found.zeros:
                return verdict, -1
            orbit = None if isolated else self.orbits.find(point.theta, point.loss, point.loss_error)
            if orbit is None:
                orbit = self.orbits.add(point.theta, point.loss)
                self.known.append((restart, verdict))
        name, verdict = self.known[orbit]
        return replace(verdict, loss=point.loss, loss_error=point.loss_error, grad_norm=point.grad_norm), name

    def _examine(self, point: Point) -> tuple[Verdict, Spectrum]:
        """The verdict of a point with its whole spectrum."""
        _, hessian = evaluate(self.problem, point.theta)
        found = spectrum(self.problem, point.theta, hessian)
        verdict = classify.classify(self.problem, point, found)
        return replace(verdict, min_curvature=found.min_curvature), found


def _merge(mask: Any, entering: Any, lanes: Any) -> Any:
    """Lanes with the masked ones replaced."""
    return jax.tree.map(lambda a, b: jnp.where(mask.reshape(mask.shape + (1,) * (a.ndim - 1)), a, b), entering, lanes)


def _point(polished: Polished, error: float, status: Status) -> Point:
    return Point(
        theta=np.array(polished.theta),
        loss=float(polished.loss),
        loss_error=error,
        grad_norm=float(polished.grad_norm),
        moved=float(polished.moved),
        status=status,
    )


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
