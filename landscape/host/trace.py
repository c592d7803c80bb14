"""`trace`: a run from Python with looks along its descents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape.census.census import Census
from landscape.engine.looks import Looks, Observable, Watch, log_spaced
from landscape.engine.settings import Settings
from landscape.host import look_store, store
from landscape.host.explore import carried_out, planned
from landscape.problems.problem import Problem
from landscape.records import InputError
from landscape.trajectory import Trace, traced


def trace(
    problem: Problem,
    restarts: int = 1000,
    seed: int = 0,
    *,
    looks: int | Sequence[int] = 200,
    observables: Mapping[str, Observable] | None = None,
    theta: bool = False,
    starts: np.ndarray | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    **settings: Any,
) -> Trace:
    """What is seen along the descents of a census: loss, gradient norm, and whatever one asks for.

    Args:
        problem: The landscape.
        restarts: How many descents.
        seed: Of the starting points; restart i of a seed is always the same.
        looks: When to look, in gradients since the start of a descent: how many times, log-spaced up to the budget; or
            the numbers themselves, ascending, 0 being the start. A descent that has ended is not looked at any more.
        observables: Names, and JAX functions of theta [p] that give a number or a vector.
        theta: Keep theta at every look too, [p] numbers each.
        starts: Given starting points, [restarts, p], instead of random ones.
        out: A folder to keep the run and its looks in, streamed as they come; none by default.
        resume: Go on with the run that `out` holds instead, if it is this very run.
        progress: Show a progress bar; by default if standard error is a terminal.
        **settings: As for `explore`. To follow descents far down, lower `retire`: they end where they are accepted.

    Returns:
        The looks, with the census of the run.

    Raises:
        InputError: As for `explore`; or a look makes no sense, or the dtype is float32.
    """
    own = Settings.of(problem, **settings)
    at = log_spaced(looks, own.budget) if isinstance(looks, int) else tuple(looks)
    wanted = Looks(at, Watch(tuple((observables or {}).items()), theta))
    plan = replace(planned(problem, restarts, seed, starts, own), looks=wanted)
    if out is not None:
        census = carried_out(plan, Path(out), resume, progress)
        return traced(census, wanted.at, look_store.read(Path(out)))
    seen: list[dict[str, np.ndarray]] = []
    census = carried_out(plan, None, False, progress, keep_looks=seen.append)
    columns = {name: np.concatenate([one[name] for one in seen]) for name in seen[0]} if seen else {}
    return traced(census, wanted.at, look_store.once(columns) if seen else {})


def stored_trace(folder: str | Path, census: Census, names: Sequence[str] | None = None) -> Trace:
    """The looks that a run folder holds.

    Args:
        folder: Of the run.
        census: What the folder holds.
        names: Columns to read, "time", "loss" and "grad_norm" among them; all by default.

    Raises:
        InputError: The run was made without looks.
    """
    said = store.read_manifest(Path(folder)).get("looks")
    if said is None:
        raise InputError(f"{folder} was made without looks; run it with --trace.")
    return traced(census, tuple(said["at"]), look_store.read(Path(folder), names))
