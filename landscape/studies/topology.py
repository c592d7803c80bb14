"""The topology of a run folder, or of a census: made where it is not kept yet, and read where it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.records import InputError
from landscape.studies.folders import load, study_of

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.host.topology import Topology
    from landscape.problems.problem import Problem


def topology_of(
    run: str | Path | Census,
    problem: Problem | None = None,
    *,
    searches: int = 400,
    steps: int = 400,
    seed: int = 0,
    **given: Any,
) -> Topology:
    """The minima of a run and the barriers between them, each an interval with its two grounds.

    Args:
        run: The folder of a run, or a census. A folder keeps the topology, and what it keeps is not made again.
        problem: The landscape, for a run of a loss from Python.
        searches: For transition states, from the minima of each of two rounds.
        steps: Of the string method.
        seed: Of the searches.
        **given: As for `load`.

    Raises:
        InputError: It is no run folder, holds no census or no finished restart, or the problem is missing or another.
    """
    from landscape.census.census import Census
    from landscape.host import topology
    from landscape.host.barriers import topology as made
    from landscape.host.kept import one_writer

    folder = None if isinstance(run, Census) else Path(run)
    census = run if isinstance(run, Census) else load(run, problem, **given)
    if not isinstance(census, Census):
        assert folder is not None
        if not (folder / topology.FILE).exists():
            raise InputError(f"{folder} holds no census; give the folder of one run.")
        return topology.read(folder)  # of a study that makes its own
    if not census.finished:
        raise InputError("no restart is finished yet; minima come from finished restarts.")
    problem = _problem(census, problem, folder)
    if folder is None:
        return made(problem, census, searches, steps, seed)
    asked = {"finished": census.finished, "searches": searches, "steps": steps, "seed": seed}
    if (folder / topology.FILE).exists() and (held := topology.read(folder)).asked == asked:
        return held
    with one_writer(folder):
        found = made(problem, census, searches, steps, seed)
        topology.keep(folder, found)
    return replace(found, folder=str(folder))


def _problem(census: Census, problem: Problem | None, folder: Path | None) -> Problem:
    """The landscape of a census: the one that is brought, or that of its plan or study.

    Raises:
        InputError: It is not known.
    """
    if problem is not None:
        return problem
    if census.plan is not None:
        return census.plan.problem
    if folder is not None:
        return study_of(folder).plan().problem
    raise InputError("the census does not hold its loss; bring it: problem=.")
