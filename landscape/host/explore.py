"""A whole run: from a problem to a census, stored as it goes, resumable, with progress."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from landscape import classify
from landscape.census import Census, class_counts, class_of, levels_of, unseen_mass
from landscape.host import store
from landscape.host.lanes import Driver, Progress, Settings, environment
from landscape.problems.population import TeacherStudent
from landscape.problems.problem import Problem
from landscape.records import Evidence, InputError, Label, Verdict, whole

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
        **settings: Fields of `Settings`: init, optimiser (a name or an optax transformation), step_size, budget, ...

    Returns:
        The census. After Ctrl-C, that of the restarts that are done.

    Raises:
        InputError: A setting makes no sense, or `out` holds something already (with `resume`: another run).
    """
    unknown = sorted(set(settings) - set(Settings._fields))
    if unknown:
        raise InputError(f"setting {unknown[0]!r} is unknown; known are {', '.join(Settings._fields)}.")
    chosen = Settings(**settings).check()
    if starts is not None:
        starts = np.asarray(starts, np.float64).reshape(len(starts), -1)
        if starts.shape[1] != problem.p or not np.all(np.isfinite(starts)):
            raise InputError(f"starts must be finite and of shape [restarts, {problem.p}], found {starts.shape}.")
        restarts = len(starts)
    check_counts(restarts, seed)
    said = _own_manifest(problem, chosen, restarts, seed, starts)
    folder = None if out is None else Path(out)
    if folder is not None and resume and (folder / store.MANIFEST).exists():
        held = store.read_manifest(folder)
        # Where and in how many lanes a run goes on makes no difference to it.
        for one in (held, said):
            one["settings"].pop("lanes"), one["fields"].pop("lanes", None)
        differs = [name for name in held if name != "environment" and held[name] != said.get(name)]
        if differs:
            raise InputError(f"{folder} holds another run: its {differs[0]} differs. Choose another folder.")
    elif folder is not None:
        store.create(folder, said)
    return run(problem, chosen, restarts, seed, study=said["study"], folder=folder, starts=starts, progress=progress)


def _own_manifest(
    problem: Problem, settings: Settings, restarts: int, seed: int, starts: np.ndarray | None
) -> dict[str, Any]:
    """The manifest of a run from Python: that of a named study where it is one, so that `landscape resume` knows it."""
    from landscape.host.studies.teachers import TeacherStudy

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
    if isinstance(problem, TeacherStudent):
        fields["teacher"] = json.dumps(problem.teacher.tolist())
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
        "problem": facts(problem),
        "restarts": restarts,
        "seed": seed,
        "settings": said,
        "environment": environment(settings),
    }


def facts(problem: Problem) -> dict[str, Any]:
    """The facts of a problem, as in `--json`."""
    said: dict[str, Any] = {"kind": problem.kind, "width": problem.width, "parameters": problem.p}
    if isinstance(problem, TeacherStudent):
        said |= {"teacher": len(problem.teacher), "dimension": problem.d, "activation": str(problem.activation)}
    return said | {"normalisation": problem.normalisation}


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
    done = store.Shards({"restart": np.zeros(0, np.int64)}, {}, [])
    if folder is not None:
        done = store.read(folder)
        for name in store.set_damaged_aside(folder, done.damaged):
            print(
                f"landscape: a shard of {folder} was damaged; it is kept as {name}, its restarts are done again.",
                file=sys.stderr,
            )
    with jax.enable_x64(True):
        driver = Driver(problem, settings, seed, starts)
        driver.restore(_known_orbits(done))
        todo = np.setdiff1d(np.arange(restarts), done.rows["restart"])
        parts = [(done.rows, done.weights)] if len(done.rows["restart"]) else []
        parts += _collect(driver, todo, folder, progress, title)
    rows, weights = _join(parts)
    seconds = {**driver.clock.seconds, "total": time.perf_counter() - begun}
    return census(problem, rows, weights, restarts, seed, study, seconds, environment(settings), findings, folder)


def _collect(
    driver: Driver, todo: np.ndarray, folder: Path | None, progress: bool | None, title: str
) -> list[tuple[dict[str, np.ndarray], dict[int, np.ndarray]]]:
    """Runs the restarts, writing shards as it goes. Ctrl-C ends it early and keeps what is done."""
    shards: list[tuple[dict[str, np.ndarray], dict[int, np.ndarray]]] = []
    waiting: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
    written = time.perf_counter()

    def flush() -> None:
        if waiting:
            shard = _shard(waiting)
            if folder is not None:
                store.append(folder, *shard)
            shards.append(shard)
            waiting.clear()

    with _progress_bar(progress, title) as report:
        try:
            for batch in driver.run(todo, report):
                waiting.append(batch)
                if time.perf_counter() - written > SHARD_SECONDS or sum(len(b[1]) for b in waiting) >= SHARD_ROWS:
                    flush()
                    written = time.perf_counter()
        except KeyboardInterrupt:
            print("landscape: interrupted; what is done is kept.", file=sys.stderr)
        flush()
    return shards


def _shard(
    batches: list[tuple[dict[str, np.ndarray], np.ndarray]],
) -> tuple[dict[str, np.ndarray], dict[int, np.ndarray]]:
    """Batches as one shard, with the weights of one member of every orbit and class in it.

    Every shard holds a member of each of its orbits, so that a damaged one takes no other's orbits with it.
    """
    rows = {name: np.concatenate([batch[0][name] for batch in batches]) for name in batches[0][0]}
    theta = np.concatenate([batch[1] for batch in batches])
    weights: dict[Any, tuple[int, np.ndarray]] = {}
    for i, restart in enumerate(rows["restart"]):
        if rows["label"][i] != Label.UNCONVERGED:
            weights.setdefault(class_of(rows, i), (int(restart), theta[i]))
    return rows, dict(weights.values())


def _join(
    parts: list[tuple[dict[str, np.ndarray], dict[int, np.ndarray]]],
) -> tuple[dict[str, np.ndarray], dict[int, np.ndarray]]:
    """Rows of all parts, ascending in restart, and their weights."""
    if not parts:
        return {"restart": np.zeros(0, np.int64)}, {}
    rows = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    order = np.argsort(rows["restart"])
    return {name: column[order] for name, column in rows.items()}, {k: v for part in parts for k, v in part[1].items()}


def _known_orbits(done: store.Shards) -> list[tuple[int, np.ndarray, Verdict]]:
    """Name, weights and verdict of every orbit in a run folder, in the order of their names."""
    rows = done.rows
    known: dict[int, tuple[int, np.ndarray, Verdict]] = {}
    for i, restart in enumerate(rows["restart"]):
        if int(restart) in done.weights and rows["orbit"][i] >= 0:
            known.setdefault(
                int(rows["orbit"][i]), (int(rows["orbit"][i]), done.weights[int(restart)], verdict_of(rows, i))
            )
    return [known[name] for name in sorted(known)]


def verdict_of(rows: dict[str, np.ndarray], i: int) -> Verdict:
    """The verdict stored in row i."""
    number = lambda name: None if np.isnan(rows[name][i]) else float(rows[name][i])  # noqa: E731
    return Verdict(
        label=Label(rows["label"][i]),
        flavour=rows["flavour"][i],
        evidence=None if rows["evidence"][i] is None else Evidence(rows["evidence"][i]),
        by=rows["by"][i],
        margin=number("margin"),
        loss=number("loss"),
        loss_error=number("loss_error"),
        grad_norm=number("grad_norm"),
        min_curvature=number("min_curvature"),
        reason=rows["reason"][i],
    )


def census(
    problem: Problem | None,
    rows: dict[str, np.ndarray],
    weights: dict[int, np.ndarray],
    restarts: int,
    seed: int,
    study: str,
    seconds: dict[str, float],
    where: dict[str, Any],
    findings: Callable[[dict[str, np.ndarray]], dict[str, Any]] = lambda rows: {},
    folder: Path | None = None,
    said: dict[str, Any] | None = None,
) -> Census:
    """The census of these rows: labels that rest on a witness settled, orbits named by their first restart."""
    rows = settled(rows)
    finished = len(rows["restart"])
    bound = None if problem is None or problem.lower_bound is None else problem.lower_bound
    return Census(
        study=study,
        problem=facts(problem) if problem is not None else said or {},
        restarts=restarts,
        seed=seed,
        rows=rows,
        weights=_one_each(rows, weights),
        levels=levels_of(rows) if finished else [],
        lower_bound=None if bound is None else {"value": bound.value, "by": bound.by},
        unseen=unseen_mass(class_counts(rows)),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        environment=where,
        findings=_basins(rows) | findings(rows) if finished else {},
        folder=None if folder is None else str(folder),
    )


def _basins(rows: dict[str, np.ndarray]) -> dict[str, Any]:
    """How many polished points are shown to be where their descent would have ended, and how many on what else."""
    return {"basins": dict(sorted(Counter(str(ground) for ground in rows["basin"] if ground).items()))}


def _one_each(rows: dict[str, np.ndarray], weights: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    """Weights of one member, the one with the least number, of every orbit and class."""
    chosen: dict[Any, int] = {}
    for i, restart in enumerate(rows["restart"]):
        if int(restart) in weights:
            chosen.setdefault(class_of(rows, i), int(restart))
    return {restart: weights[restart] for restart in chosen.values()}


def settled(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The rows with minima above a loss that another restart reached labelled spurious, and orbits renamed.

    Needs all rows; changes none of the stored ones. An orbit's name becomes its least restart, so that a resumed run
    and an undisturbed one name alike.
    """
    if not len(rows["restart"]):
        return rows
    rows = {name: column.copy() for name, column in rows.items()}
    for name in np.unique(rows["orbit"][rows["orbit"] >= 0]):
        members = rows["orbit"] == name
        rows["orbit"][members] = np.min(rows["restart"][members])
    finite = np.isfinite(rows["loss"]) & np.isfinite(rows["loss_error"])
    if not np.any(finite):
        return rows
    best = int(np.flatnonzero(finite)[np.argmin(rows["loss"][finite])])
    for i in map(int, np.flatnonzero(rows["label"] == str(Label.UNDECIDED))):
        verdict = classify.settle(verdict_of(rows, i), float(rows["loss"][best]), float(rows["loss_error"][best]))
        rows["label"][i], rows["flavour"][i], rows["by"][i] = str(verdict.label), verdict.flavour, verdict.by
        rows["evidence"][i] = None if verdict.evidence is None else str(verdict.evidence)
        rows["reason"][i] = verdict.reason
        rows["margin"][i] = np.nan if verdict.margin is None else verdict.margin
    return rows


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
