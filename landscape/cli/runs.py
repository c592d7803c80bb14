"""Runs: to begin, go on with, show and draw one."""

from __future__ import annotations

import dataclasses
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from landscape.cli.arguments import (
    OK,
    STOPPED,
    field_help,
    flag,
    option,
    parse_run,
    positional,
    study_named,
    use_64_bits,
)
from landscape.records import InputError
from landscape.studies import DEFAULT, STUDIES


def run(arguments: list[str]) -> int:
    from landscape.host.cluster import pool

    study, output = parse_run(arguments)
    folder = None if output.out is None else Path(output.out)
    if folder is not None:
        from landscape.host import store

        store.check_free(folder)
    check_shared(study, output.workers, output.scheduler)
    with pool(output.workers, output.scheduler, kept=folder is not None) as processes:
        use_64_bits(alone=processes is None)
        content = study.manifest()
        if folder is not None:
            from landscape.host.explore import begin

            begin(folder, content)
        return _finish(study, folder, output.json, False if output.quiet else None)


def check_shared(study: Any, workers: Any, scheduler: Any) -> None:
    """Nothing, if the study can be done by several processes where that is asked for."""
    if (workers is not None or scheduler is not None) and hasattr(study, "restored"):
        raise InputError(f"{study.name} runs in one process; leave out --workers and --scheduler.")


def _finish(study: Any, folder: Path | None, as_json: bool, progress: bool | None) -> int:
    """Runs what is left of a study and prints its result."""
    result = study.run(folder, progress)
    _print(result, as_json)
    if result.finished < result.restarts:
        if folder is not None:
            print(f"landscape: stopped; `landscape resume {folder}` goes on.", file=sys.stderr)
        return STOPPED
    return OK


def _print(result: Any, as_json: bool) -> None:
    print(json.dumps(result.as_dict(), allow_nan=False) if as_json else result)


def list_studies(arguments: list[str]) -> int:
    names = positional(arguments, "studies [NAME]", at_most=1)
    if names:
        study = study_named(names[0])
        print(f"{study.name}: {study.about}\n")
        for name, meaning in field_help(study).items():
            default = next(f for f in dataclasses.fields(study) if f.name == name).default
            print(f"  --{name.replace('_', '-')}  {meaning} Default: {default}.")
        return OK
    width = max(map(len, STUDIES))
    for study in STUDIES.values():
        print(f"{study.name:{width}}  {study.about}{' (default)' if study is DEFAULT else ''}")
    return OK


def show(arguments: list[str]) -> int:
    as_json = flag(arguments, "--json")
    (where,) = positional(arguments, "show DIR [--json]", exactly=1)
    use_64_bits()
    result = stored(Path(where))
    _print(result, as_json)
    return OK


def resume(arguments: list[str]) -> int:
    from landscape.host.cluster import pool

    as_json, quiet = flag(arguments, "--json"), flag(arguments, "--quiet")
    workers, scheduler = option(arguments, "--workers"), option(arguments, "--scheduler")
    usage = "resume DIR [--json] [--workers N | --scheduler ADDRESS]"
    (where,) = positional(arguments, usage, exactly=1)
    if workers is not None and not workers.lstrip("+-").isdigit():
        raise InputError(f"workers must be a whole number of at least 1, found {workers}.")
    study = stored_study(Path(where))
    check_shared(study, workers, scheduler)
    with pool(None if workers is None else int(workers), scheduler) as processes:
        use_64_bits(alone=processes is None)
        return _finish(study, Path(where), as_json, False if quiet else None)


def plot(arguments: list[str]) -> int:
    (where,) = positional(arguments, "plot DIR", exactly=1)
    use_64_bits()
    from landscape.figures.shares import shares_by_teacher
    from landscape.figures.style import save
    from landscape.studies.census_figures import census_figures
    from landscape.studies.table import Table

    folder = Path(where)
    result, study = stored(folder), stored_study(folder)
    figures = folder / "figures"
    try:
        figures.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write figures to {figures}: {error.strerror}.") from error
    if hasattr(study, "figures"):
        paths = study.figures(result, figures)
    elif isinstance(result, Table):
        from landscape.studies.teachers import PUBLISHED

        path = figures / "shares.png"
        save(shares_by_teacher(result.cell_dicts(), published=PUBLISHED), path)
        paths = [path]
    else:
        paths = census_figures(result, study.problem(), figures, settings=study.settings())  # pyright: ignore[reportArgumentType]
    for path in paths:
        print(path)
    return OK


def stored_study(folder: Path) -> Any:
    """The study of a run folder.

    Raises:
        InputError: There is none, or it was made from Python with a problem that cannot be written down.
    """
    from landscape.host import store

    manifest = store.read_manifest(folder)
    if manifest["study"] not in STUDIES:
        raise InputError(f"{folder} was made by {manifest['study']!r} from Python: go on there with landscape.explore.")
    fields = {name: tuple(v) if isinstance(v, list) else v for name, v in manifest["fields"].items()}
    return study_named(manifest["study"])(**fields)


def stored(folder: Path) -> Any:
    """The result in a run folder, without running anything; a damaged shard is named on standard error and left out."""
    from landscape.census.assemble import keepers, loss_unit, several_names
    from landscape.host import store
    from landscape.host.explore import census
    from landscape.studies.table import Table
    from landscape.studies.teachers import SafranShamirTable

    manifest = store.read_manifest(folder)
    if hasattr(STUDIES.get(manifest["study"]), "restored"):
        return stored_study(folder).restored(folder)
    if hasattr(STUDIES.get(manifest["study"]), "table") and manifest["problem"]["kind"] == "table":
        study = stored_study(folder)
        places = [folder / place for place in study.cells() if (folder / place / store.MANIFEST).exists()]
        if not places:
            raise InputError(f"{folder} has no finished cell yet; `landscape resume {folder}` runs it.")
        return study.table([stored(place) for place in places], folder)
    if manifest["study"] == SafranShamirTable.name:
        places = sorted(path.parent for path in folder.glob(f"*/{store.MANIFEST}"))
        if not places:
            raise InputError(f"{folder} has no finished cell yet; `landscape resume {folder}` runs it.")
        censuses = [stored(place) for place in places]
        censuses.sort(key=lambda c: (c.problem["width"] - c.problem["teacher"], c.problem["teacher"]))
        return Table(manifest["study"], censuses, manifest["problem"]["cells"], str(folder))
    study = stored_study(folder) if manifest["study"] in STUDIES else None
    problem = None if study is None else study.problem()
    done = store.read(folder, partial(keepers, unit=loss_unit(problem)))
    for name in done.damaged:
        print(
            f"landscape: shard {name} of {folder} is damaged and left out; `landscape resume {folder}` redoes it.",
            file=sys.stderr,
        )
    if study is None and several_names(done.rows):
        print(
            f"landscape: {folder} was made from Python, and some orbits may be one that several processes named; "
            "landscape.explore with resume=True unites them.",
            file=sys.stderr,
        )
    seconds: dict[str, float] = dict.fromkeys(("compile", "descent", "polish", "classify", "total"), 0.0)
    result = census(
        problem,
        done.rows,
        done.weights,
        manifest["restarts"],
        manifest["seed"],
        manifest["study"],
        seconds,
        manifest["environment"],
        study.findings if study is not None else lambda rows: {},
        folder,
        manifest["problem"],
    )
    return study.completed(result) if study is not None and hasattr(study, "completed") else result
