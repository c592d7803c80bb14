"""Runs: to begin, go on with, show and draw one."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.cli.arguments import (
    OK,
    STOPPED,
    Output,
    ascii_digits,
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
from landscape.studies.study import Result, Study

if TYPE_CHECKING:
    from landscape.host.cluster import Pool


def run(arguments: list[str]) -> int:
    from landscape.host.cluster import pool

    study, output = parse_run(arguments)
    folder = None if output.out is None else Path(output.out)
    if folder is not None:
        from landscape.host import store

        store.check_new(folder)
    check_shared(study, output.workers, output.scheduler)
    check_traced(study, output)
    with pool(output.workers, output.scheduler, kept=folder is not None) as processes:
        use_64_bits(alone=processes is None)
        from landscape.host import files, interrupt, kept

        study, origin = files.taken_in(study)
        content = study.manifest() | ({"files": origin} if origin else {}) | looks_of(study, output)
        interrupt.check()
        with kept.withdrawn_if_refused(folder):
            if folder is not None:
                from landscape.host.run import begin

                begin(folder, content, processes)
            return _finish(study, folder, output.json, False if output.quiet else None, processes)


def check_shared(study: Study, workers: Any, scheduler: Any) -> None:
    """Raises InputError unless the study can be done by several processes, where that is asked for."""
    if (workers is not None or scheduler is not None) and study.one_process:
        raise InputError(f"{study.name} runs in one process; leave out --workers and --scheduler.")


def check_traced(study: Study, output: Output) -> None:
    """Raises InputError unless the looks along descents can be made and kept, where they are asked for."""
    if not output.trace:
        return
    if not study.traced:
        raise InputError(f"{study.name} has no descents that --trace could look along; leave it out.")
    if output.out is None:
        raise InputError("--trace needs --out DIR: looks along descents are kept in a run folder.")
    if output.workers is not None or output.scheduler is not None:
        raise InputError("looks along descents are written by one process; leave out --workers and --scheduler.")


def looks_of(study: Any, output: Output) -> dict[str, Any]:
    """What the manifest says of looks along the descents; nothing where there are none."""
    if not output.trace:
        return {}
    from landscape.engine.looks import Looks, log_spaced

    return {"looks": Looks(log_spaced(200, study.budget)).as_dict()}


def _finish(study: Study, folder: Path | None, as_json: bool, progress: bool | None, pool: Pool | None) -> int:
    """Runs what is left of a study and prints its result."""
    result = study.run(folder, progress, pool)
    _print(result, as_json)
    if result.finished < result.restarts:
        if folder is not None:
            print(f"landscape: stopped; `landscape resume {folder}` goes on.", file=sys.stderr)
        return STOPPED
    return OK


def _print(result: Result, as_json: bool) -> None:
    print(json.dumps(result.as_dict(), allow_nan=False) if as_json else result)


def list_studies(arguments: list[str]) -> int:
    names = positional(arguments, "studies [NAME]", at_most=1)
    if names:
        study = study_named(names[0])
        print(f"{study.name}: {study.about}\n")
        for name, meaning in field_help(study).items():
            default = next(f for f in dataclasses.fields(study) if f.name == name).default
            known = study().built_in(name)
            known = f" Built in: {', '.join(known)}." if known else ""
            print(f"  --{name.replace('_', '-')}  {meaning} Default: {default}.{known}")
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
    ascii_digits(arguments if workers is None else [*arguments, workers])
    if workers is not None and not workers.lstrip("+-").isdigit():
        raise InputError(f"workers must be a whole number of at least 1, found {workers}.")
    study = stored_study(Path(where), go_on=True)
    check_shared(study, workers, scheduler)
    with pool(None if workers is None else int(workers), scheduler) as processes:
        use_64_bits(alone=processes is None)
        return _finish(study, Path(where), as_json, False if quiet else None, processes)


def plot(arguments: list[str]) -> int:
    (where,) = positional(arguments, "plot DIR", exactly=1)
    use_64_bits()
    folder = Path(where)
    result, study = stored(folder), stored_study(folder)
    figures = folder / "figures"
    try:
        figures.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write figures to {figures}: {error.strerror}.") from error
    for path in study.figures(result, figures):
        print(path)
    return OK


def stored_study(folder: Path, go_on: bool = False) -> Study:
    """The study of a run folder.

    Args:
        folder: Of the run.
        go_on: Whether the run goes on; then its input files may not have changed.

    Raises:
        InputError: There is none; it was made from Python with a problem that cannot be written down, or by a newer
            version; or an input file is not what it was.
    """
    from landscape.host import files, store

    manifest = store.read_manifest(folder)
    if manifest["study"] not in STUDIES:
        raise InputError(f"{folder} was made by {manifest['study']!r} from Python: go on there with landscape.explore.")
    study = STUDIES[manifest["study"]]
    unknown = sorted(set(manifest["fields"]) - {field.name for field in dataclasses.fields(study)})  # pyright: ignore[reportArgumentType]
    if unknown:
        version = manifest["environment"]["landscape"]
        raise InputError(
            f"{folder} has a field {unknown[0]!r} that this version does not know; landscape {version} made it."
        )
    files.check_origin(folder, manifest, go_on)
    return study.of(manifest)


def stored(folder: Path) -> Result:
    """The result in a run folder, without running anything; a damaged shard is named on standard error and left out."""
    from landscape.host import store
    from landscape.host.load import load

    if store.read_manifest(folder)["study"] in STUDIES:
        return stored_study(folder).stored(folder)
    return load(folder)
