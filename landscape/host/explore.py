"""A whole run: from a problem to a census, stored as it goes, resumable, with progress."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np

from landscape import classify
from landscape.census import assemble
from landscape.census.assemble import census
from landscape.census.census import Census
from landscape.engine.driver import Driver, environment
from landscape.engine.settings import Progress, Settings
from landscape.host import store
from landscape.problems.problem import Problem
from landscape.problems.teacher_student import TeacherStudent
from landscape.records import InputError, whole

if TYPE_CHECKING:
    from landscape.host.cluster import Pool

SHARD_SECONDS = 5.0  # finished restarts are written at least this often ...
SHARD_ROWS = 2000  # ... and whenever so many wait


def explore(
    problem: Problem,
    restarts: int = 1000,
    seed: int = 0,
    *,
    starts: np.ndarray | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    **settings: Any,
) -> Census:
    """A census of where gradient descent from random starts ends, every end with its label.

    Args:
        problem: The landscape.
        restarts: How many descents.
        seed: Of the starting points; restart i of a seed is always the same.
        starts: Given starting points, [restarts, p], instead of random ones.
        out: A folder to keep the run in, made here; none by default.
        resume: Go on with the run that `out` holds instead, if it is this very run.
        progress: Show a progress bar; by default if standard error is a terminal.
        workers: Do it in so many processes of this machine, which share its cores. For CPUs: one process drives all
            accelerators of a machine.
        scheduler: Do it on the workers of the dask scheduler at this address; they must see `out`.
        **settings: Fields of `Settings`: init, optimiser (a name or an optax transformation), step_size, budget, ...
            What is left out is as the problem's own defaults say (`problem.defaults()`).

    Returns:
        The census. After Ctrl-C, that of the restarts that are done.

    Raises:
        InputError: A setting makes no sense; `out` holds something already (with `resume`: another run); the problem
            cannot be sent to workers; or the scheduler does not answer.
    """
    from landscape.host.cluster import pool

    chosen = Settings.of(problem, **settings)
    if starts is not None:
        starts = np.asarray(starts, np.float64).reshape(len(starts), -1)
        if starts.shape[1] != problem.p or not np.all(np.isfinite(starts)):
            raise InputError(f"starts must be finite and of shape [restarts, {problem.p}], found {starts.shape}.")
        restarts = len(starts)
    check_counts(restarts, seed)
    problem = classify.bounded(problem)
    said = _own_manifest(problem, chosen, restarts, seed, starts)
    folder = None if out is None else Path(out)
    goes_on = folder is not None and resume and (folder / store.MANIFEST).exists()
    if folder is not None and goes_on:
        held = store.read_manifest(folder)
        # Where and in how many lanes a run goes on makes no difference to it.
        for one in (held, said):
            one["settings"].pop("lanes")
            one["fields"].pop("lanes", None)
        differs = [name for name in held if name != "environment" and held[name] != said.get(name)]
        if differs:
            raise InputError(f"{folder} holds another run: its {differs[0]} differs. Choose another folder.")
    elif folder is not None:
        store.check_free(folder)
    with pool(workers, scheduler, kept=folder is not None):
        if folder is not None and not goes_on:
            begin(folder, said)
        return run(
            problem, chosen, restarts, seed, study=said["study"], folder=folder, starts=starts, progress=progress
        )


def begin(folder: Path, said: dict[str, Any]) -> None:
    """Makes the run folder; its manifest names the device of those who will do the run."""
    pool = POOL.get()
    where = said["environment"] if pool is None else pool.environment(said["environment"]["dtype"])
    store.create(folder, {**said, "environment": {**said["environment"], **where}})


def _own_manifest(
    problem: Problem, settings: Settings, restarts: int, seed: int, starts: np.ndarray | None
) -> dict[str, Any]:
    """The manifest of a run from Python: that of a named study where it is one, so that `landscape resume` knows it."""
    from landscape.studies.teachers import TeacherStudy

    if isinstance(problem, TeacherStudent) and isinstance(settings.optimiser, str) and starts is None:
        return TeacherStudy(
            restarts=restarts,
            seed=seed,
            teacher=json.dumps(problem.teacher.tolist()),
            width=problem.width,
            activation=problem.activation.name,
            slope=problem.activation.slope,
            **settings._asdict(),
        ).manifest()
    fields = {} if starts is None else {"starts": hashlib.sha256(starts.tobytes()).hexdigest()}
    fields["fingerprint"] = problem.fingerprint()
    return manifest("explore", fields, problem, settings, restarts, seed)


def check_counts(restarts: int, seed: int) -> None:
    """Nothing, if these numbers make sense.

    Raises:
        InputError: They do not.
    """
    whole("restarts", restarts, 1)
    if whole("seed", seed, 0) >= 2**63:
        raise InputError(f"seed must be below 2^63, found {seed}.")


def manifest(
    study: str, fields: dict[str, Any], problem: Problem, settings: Settings, restarts: int, seed: int
) -> dict[str, Any]:
    """What a run folder says about its run, before anything is run."""
    said = {
        name: value if isinstance(value, str | int | float) else repr(value)
        for name, value in settings._asdict().items()
    }
    return {
        "study": study,
        "fields": fields,
        "problem": problem.facts(),
        "restarts": restarts,
        "seed": seed,
        "settings": said,
        # Whose basins the shares are of.
        "environment": {**environment(settings), "dynamics": settings.method(problem.scale).dynamics},
    }


class Job(NamedTuple):
    """Which descents a run is made of: all that a process needs to do some of them.

    Attributes:
        problem: The landscape.
        settings: How to run.
        seed: Of the starting points.
        starts: Given starting points, [restarts, p], or None for random ones.
    """

    problem: Problem
    settings: Settings
    seed: int
    starts: np.ndarray | None = None

    def driver(self, done: store.Shards) -> Driver:
        """A driver that knows the orbits of what is done."""
        driver = Driver(*self)
        driver.restore(assemble.known_orbits(self.problem, done.rows, done.weights))
        return driver


# Who does the restarts of every `run` inside a `with` block of `cluster`: nobody but this process by default.
POOL: ContextVar[Pool | None] = ContextVar("POOL", default=None)


def run(
    problem: Problem,
    settings: Settings,
    restarts: int,
    seed: int,
    *,
    study: str,
    folder: Path | None = None,
    starts: np.ndarray | None = None,
    progress: bool | None = None,
    title: str = "",
    findings: Callable[[dict[str, np.ndarray]], dict[str, Any]] = lambda rows: {},
) -> Census:
    """Does what is still to be done of a run, and returns its census.

    Args:
        problem: The landscape.
        settings: How to run.
        restarts: Of the whole run; those in the folder are not done again.
        seed: Of the starting points.
        study: Name in the record.
        folder: An existing run folder, or None to keep nothing.
        starts: Given starting points.
        progress: Show a progress bar; by default if standard error is a terminal.
        title: Shown beside the progress bar.
        findings: What the study adds, from all rows.
    """
    begun = time.perf_counter()
    pool = POOL.get()
    job = Job(problem, settings, seed, starts)
    unit = assemble.loss_unit(problem)
    keep_one = partial(assemble.keepers, unit=unit)
    with _place(folder, pool) as place, _progress_bar(progress, title) as report:
        done = store.Shards({"restart": np.zeros(0, np.int64)}, {}, [])
        if place is not None:
            done = store.read(place, keep_one)
            for name in store.set_damaged_aside(place, done.damaged):
                print(
                    f"landscape: a shard of {place} was damaged; it is kept as {name}, its restarts are done again.",
                    file=sys.stderr,
                )
        todo = np.setdiff1d(np.arange(restarts), done.rows["restart"])
        where = environment(settings) if pool is None else pool.environment(settings.dtype)
        where["dynamics"] = settings.method(problem.scale).dynamics
        if pool is not None:
            assert place is not None
            seconds = pool.work(job, todo, place, report)
        else:
            with jax.enable_x64(True):
                driver = job.driver(done)
                memory = _Memory(unit)
                keep = memory.append if place is None else lambda rows, weights: store.append(place, rows, weights)
                if not drive(driver, todo, keep, report):
                    print("landscape: interrupted; what is done is kept.", file=sys.stderr)
            seconds = driver.clock.seconds
        if place is None:
            done = memory.shards()
        elif len(todo):
            done = store.read(place, keep_one)
    seconds = {**seconds, "total": time.perf_counter() - begun}
    return census(problem, done.rows, done.weights, restarts, seed, study, seconds, where, findings, folder)


@contextmanager
def _place(folder: Path | None, pool: Pool | None) -> Iterator[Path | None]:
    """The folder that a run is kept in: for a run by several processes a temporary one where none is given."""
    if folder is not None or pool is None:
        yield folder
        return
    with TemporaryDirectory(prefix="landscape-") as temporary:
        store.create(Path(temporary) / "run", {"study": "temporary"})
        yield Path(temporary) / "run"


def drive(
    driver: Driver,
    todo: np.ndarray,
    keep: Callable[[dict[str, np.ndarray], dict[int, np.ndarray]], Any],
    report: Callable[[Progress], None] | None,
    pace: tuple[float, int] | None = None,
) -> bool:
    """Does the restarts and hands them over as shards: rows, and the weights of one member of each orbit and class.

    Args:
        driver: Of the run.
        todo: Numbers of the restarts.
        keep: Takes a shard.
        report: Called between chunks.
        pace: Seconds and rows after which a shard is due; SHARD_SECONDS and SHARD_ROWS by default.

    Returns:
        Whether it came to its end; a KeyboardInterrupt ends it early, with all that is done handed over.
    """
    waiting: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
    written = time.perf_counter()
    seconds, most = pace or (SHARD_SECONDS, SHARD_ROWS)

    def flush() -> None:
        if waiting:
            rows = {name: np.concatenate([batch[0][name] for batch in waiting]) for name in waiting[0][0]}
            theta = np.concatenate([batch[1] for batch in waiting])
            chosen = np.flatnonzero(assemble.keepers(rows, assemble.loss_unit(driver.problem)))
            keep(rows, {int(rows["restart"][i]): theta[i] for i in chosen})
            waiting.clear()

    try:
        for batch in driver.run(todo, report):
            waiting.append(batch)
            if time.perf_counter() - written > seconds or sum(len(b[1]) for b in waiting) >= most:
                flush()
                written = time.perf_counter()
    except KeyboardInterrupt:
        flush()
        return False
    flush()
    return True


class _Memory:
    """Shards of a run that is kept nowhere: rows with equal texts as one object, weights of one member a class."""

    def __init__(self, unit: float = 1.0):
        self._unit = unit  # of the loss
        self._rows: list[dict[str, np.ndarray]] = []
        self._bearing: dict[str, np.ndarray] = {}  # the rows that have weights
        self._weights: dict[int, np.ndarray] = {}
        self._words: dict[str | None, str | None] = {}

    def append(self, rows: dict[str, np.ndarray], weights: dict[int, np.ndarray]) -> None:
        """Takes a shard."""
        rows = {name: self._shared(column) if column.dtype == object else column for name, column in rows.items()}
        self._rows.append(rows)
        new = np.isin(rows["restart"], list(weights))
        bearing = {
            name: np.concatenate([self._bearing[name], column[new]]) if self._bearing else column[new]
            for name, column in rows.items()
        }
        chosen = assemble.keepers(bearing, self._unit)
        self._bearing = {name: column[chosen] for name, column in bearing.items()}
        both = self._weights | weights
        self._weights = {int(i): both[int(i)] for i in self._bearing["restart"]}

    def _shared(self, column: np.ndarray) -> np.ndarray:
        entries = column.tolist()
        return np.array([self._words.setdefault(word, word) for word in entries], object)

    def shards(self) -> store.Shards:
        """All of it, each restart once, ascending."""
        if not self._rows:
            return store.Shards({"restart": np.zeros(0, np.int64)}, {}, [])
        restart = np.concatenate([rows["restart"] for rows in self._rows])
        # An interrupt between taking a shard and saying so makes it come twice.
        once = np.unique(restart, return_index=True)[1]
        names = list(self._rows[0])
        columns = {name: np.concatenate([rows.pop(name) for rows in self._rows])[once] for name in names}
        return store.Shards(columns, self._weights, [])


@contextmanager
def _progress_bar(progress: bool | None, title: str) -> Iterator[Callable[[Progress], None] | None]:
    """A live bar on standard error, fed between chunks from the host; nothing where nobody looks."""
    if progress is False or (progress is None and not sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[labels]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title or "restarts", total=None, rate="", labels="compiling")

        def report(now: Progress) -> None:
            bar.update(
                task,
                completed=now.done,
                total=now.total,
                rate=f"{now.done / max(now.seconds, 1e-9):.0f}/s",
                labels=", ".join(f"{label} {count}" for label, count in sorted(now.labels.items())),
            )

        yield report
