"""`explore`: a run from Python."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape import classify
from landscape.census.census import Census
from landscape.engine.plan import Plan
from landscape.engine.settings import Settings
from landscape.host import interrupt, kept, overflow, store
from landscape.host.cluster import pool
from landscape.host.identity import difference
from landscape.host.manifest import fields_of, manifest
from landscape.host.run import begin, run
from landscape.problems.problem import Problem, is_landscape
from landscape.records import InputError, numbers, whole


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
            Left out, they are the problem's own (`defaults`), as in its studies, else those of `Settings`.

    Returns:
        The census. After Ctrl-C, that of the restarts that are done.

    Raises:
        InputError: A setting makes no sense; `out` holds something already (with `resume`: another run); the problem
            cannot be sent to workers; or the scheduler does not answer.
    """
    is_landscape(problem)
    plan = planned(problem, restarts, seed, starts, Settings.of(problem, **settings))
    return carried_out(plan, None if out is None else Path(out), resume, progress, workers, scheduler)


def carried_out(
    plan: Plan,
    folder: Path | None,
    resume: bool = False,
    progress: bool | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    keep_looks: Callable[[dict[str, np.ndarray]], Any] | None = None,
) -> Census:
    """The census of a plan, for a run from Python; see `explore`.

    Args:
        plan: Of the run.
        folder: To keep it in.
        resume: As for `explore`.
        progress: As for `explore`.
        workers: As for `explore`.
        scheduler: As for `explore`.
        keep_looks: Takes columns of looks, where there is no folder.
    """
    said = {} if folder is None else manifest(plan, fields_of(plan)[1])
    goes_on = folder is not None and resume and (folder / store.MANIFEST).exists()
    if folder is not None and goes_on:
        differs = difference(store.read_manifest(folder), said)
        if differs is not None:
            raise InputError(f"{folder} holds another run: its {differs} differs. Choose another folder.")
    elif folder is not None:
        store.check_new(folder)
    with pool(workers, scheduler, kept=folder is not None) as processes, interrupt.heeded():
        if folder is not None and not goes_on:
            begin(folder, said, processes)
        with kept.withdrawn_if_refused(None if goes_on else folder):
            return run(plan, folder, processes, progress, keep_looks)


def planned(problem: Problem, restarts: int, seed: int, starts: Any, settings: Settings) -> Plan:
    """The plan of a run from Python.

    Raises:
        InputError: A setting or the shape of the starts makes no sense.
    """
    if starts is not None:
        starts = numbers(starts, "starts")
        if not starts.ndim or not starts.size or starts.reshape(len(starts), -1).shape[1:] != (problem.p,):
            raise InputError(f"starts must be of shape [restarts, {problem.p}], found {starts.shape}.")
        starts = starts.reshape(len(starts), -1)
        restarts = len(starts)
    restarts, seed = whole("restarts", restarts, 1), whole("seed", seed, 0, most=2**63 - 1)
    with overflow.quiet():
        problem = overflow.bounded(classify.bounded(problem))
    plan = Plan(problem, settings, restarts, seed, starts=starts)
    return replace(plan, study=fields_of(plan)[0])
