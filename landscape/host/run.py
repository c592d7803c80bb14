"""From a plan to a census: restarts are done, stored as they are done, and gone on with where some are there."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.census import assemble
from landscape.census.census import Census
from landscape.engine.looks import Looks, Watch
from landscape.engine.plan import Plan
from landscape.engine.settings import Progress
from landscape.host import interrupt, kept, look_store, store
from landscape.host.drive import Job, drive
from landscape.host.identity import begun_by, difference, made_by, named
from landscape.host.manifest import whereabouts
from landscape.host.memory import NOTHING, Memory
from landscape.host.progress import bar
from landscape.mappings import spare
from landscape.precision import float64
from landscape.problems.problem import Problem
from landscape.records import InputError

if TYPE_CHECKING:
    from landscape.host.cluster import Pool


def run(
    plan: Plan,
    folder: Path | None = None,
    pool: Pool | None = None,
    progress: bool | None = None,
    keep_looks: Callable[[dict[str, np.ndarray]], Any] | None = None,
) -> Census:
    """Does what is still to be done of a run, and returns its census.

    Args:
        plan: Of the whole run; restarts that the folder holds are not done again.
        folder: An existing run folder, or None to keep nothing.
        pool: Who does the restarts; this process where there is none.
        progress: Show a progress bar; by default if standard error is a terminal.
        keep_looks: Takes columns of looks along the descents where there is no folder: a folder keeps its own.

    Raises:
        InputError: The folder holds a run on another problem, or with looks that only a program can make.
    """
    begun = time.perf_counter()
    spare()
    unit = assemble.loss_unit(plan.problem)
    keep_one = partial(assemble.keepers, unit=unit)
    with _place(folder, pool) as place, bar(progress, plan.title) as report:
        first = "" if folder is None else _same(folder, plan.problem)
        done = NOTHING if place is None else _done(place, keep_one)
        todo = np.setdiff1d(np.arange(plan.restarts), done.rows["restart"])
        if len(todo):  # all of it is read again at the end
            done = done._replace(rows=assemble.naming(done.rows, done.weights))
        if first not in ("", made_by()) and len(todo):
            print(f"landscape: {folder} was begun by {first} and goes on with {made_by()}.", file=sys.stderr)
        where = whereabouts(plan)
        if pool is not None:
            where |= pool.environment(plan.settings.dtype)
        interrupt.check()
        looks = _looks(plan, folder)
        if looks is not None and folder is not None:
            keep_looks = partial(look_store.append, folder)
        job = Job(plan.problem, plan.settings, plan.seed, plan.starts, looks)
        memory = Memory(unit)
        if pool is not None:
            assert place is not None
            if looks is not None:
                raise InputError("looks along descents are written by one process; leave out workers and scheduler.")
            seconds = pool.work(job, todo, place, report)
        else:
            keep = memory.append if place is None else partial(store.append, place, device=where["device"])
            seconds = _alone(job, done, todo, keep, report, keep_looks)
        if place is None:
            done = memory.shards()
        elif len(todo):
            done = store.read(place, keep_one)
    where |= versions(first, done)
    seconds = {**seconds, "total": time.perf_counter() - begun}
    return assemble.census(
        plan.problem, done.rows, done.weights, plan.restarts, plan.seed, plan.study, seconds, where, folder, plan=plan
    )


def _looks(plan: Plan, folder: Path | None) -> Looks | None:
    """When the descents of a run are looked at: as its folder says, which `--trace` and `resume` go by, or the plan."""
    said = None if folder is None else store.read_manifest(folder).get("looks")
    if said is None or plan.looks is not None:
        return plan.looks
    if said["observables"]:
        raise InputError(
            f"{folder} looks at {', '.join(said['observables'])}: go on from Python, with landscape.trace."
        )
    return Looks(tuple(said["at"]), Watch(theta=said["theta"]))


def _done(place: Path, keep: Callable[[dict[str, np.ndarray]], np.ndarray]) -> store.Shards:
    """What a run folder holds; damaged shards are set aside, so that their restarts are done again."""
    done = store.read(place, keep)
    for name in store.set_damaged_aside(place, done.damaged):
        print(
            f"landscape: a shard of {place} was damaged; it is kept as {name}, its restarts are done again.",
            file=sys.stderr,
        )
    return done


def _same(folder: Path, problem: Problem) -> str:
    """The versions by which the folder's run was begun, in the words of `made_by`.

    Raises:
        InputError: Its manifest says that it was on another problem.
    """
    held = store.read_manifest(folder)
    differs = difference(held, {"problem": problem.facts(), "fingerprint": problem.fingerprint()})
    if differs is not None:
        raise InputError(f"{folder} holds a run on another problem: its {differs} differs. Choose another folder.")
    return begun_by(held)


def versions(first: str, done: store.Shards) -> dict[str, Any]:
    """For the record of a run in which several versions or devices had a part: all of them, in words."""
    several = sorted({first, *done.versions} - {""})
    said = {"versions": several} if len(several) > 1 else {}
    return said | ({"devices": list(done.devices)} if len(done.devices) > 1 else {})


def _alone(
    job: Job,
    done: store.Shards,
    todo: np.ndarray,
    keep: Callable[[dict[str, np.ndarray], dict[int, np.ndarray]], Any],
    report: Callable[[Progress], None] | None,
    keep_looks: Callable[[dict[str, np.ndarray]], Any] | None,
) -> dict[str, float]:
    """Does the restarts in this process; returns the seconds of each stage."""
    with float64():
        driver = job.driver(done)
        if not drive(driver, todo, keep, report, keep_looks=keep_looks):
            print("landscape: interrupted; what is done is kept.", file=sys.stderr)
    return driver.clock.seconds


def begin(folder: Path, said: dict[str, Any], pool: Pool | None = None) -> None:
    """Makes the run folder with this manifest, which names the device of those who will do the run."""
    where = {} if pool is None else pool.environment(said["environment"]["dtype"])
    store.create(folder, named({**said, "environment": {**said["environment"], **where}}))


@contextmanager
def _place(folder: Path | None, pool: Pool | None) -> Iterator[Path | None]:
    """The folder that a run is kept in: for a run by several processes a temporary one where none is given."""
    if folder is not None:
        with kept.one_writer(folder):
            yield folder
        return
    if pool is None:
        yield None
        return
    with TemporaryDirectory(prefix="landscape-") as temporary:
        store.create(Path(temporary) / "run", {"study": "temporary"})
        yield Path(temporary) / "run"
