"""The census that a run folder holds, without running anything."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from landscape.census import assemble
from landscape.census.census import Census
from landscape.engine.plan import Plan
from landscape.host import store
from landscape.host.identity import begun_by
from landscape.host.run import versions


def load(folder: Path, plan: Plan | None = None) -> Census:
    """The census in a run folder; a damaged shard is named on standard error and left out.

    Args:
        folder: Of the run.
        plan: Of the run; where it is None the problem is not known, and orbits are named as in the folder.

    Raises:
        InputError: It is no run folder, or its manifest is damaged.
    """
    manifest = store.read_manifest(folder)
    problem = None if plan is None else plan.problem
    done = store.read(folder, partial(assemble.keepers, unit=assemble.loss_unit(problem)))
    for name in done.damaged:
        print(
            f"landscape: shard {name} of {folder} is damaged and left out; `landscape resume {folder}` redoes it.",
            file=sys.stderr,
        )
    if plan is None and assemble.several_names(done.rows):
        print(
            f"landscape: {folder} was made from Python, and some orbits may be one that several processes named; "
            "landscape.explore with resume=True unites them.",
            file=sys.stderr,
        )
    return assemble.census(
        problem,
        done.rows,
        done.weights,
        manifest["restarts"],
        manifest["seed"],
        manifest["study"],
        dict.fromkeys(("compile", "descent", "polish", "classify", "total"), 0.0),
        manifest["environment"] | versions(begun_by(manifest), done),
        folder,
        manifest["problem"],
        plan,
        manifest.get("lower_bound"),
    )
