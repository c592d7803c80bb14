"""Runs: to begin, go on with, show and draw one."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

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
    purpose,
    study_named,
    use_64_bits,
)
from landscape.cli.brought import BRINGING, problem_in
from landscape.records import InputError
from landscape.studies import DEFAULT, STUDIES
from landscape.studies.folders import check_shared, draw, holds_run_of, lacks_problem, study_of
from landscape.studies.folders import load as stored
from landscape.studies.folders import report as write_report
from landscape.studies.folders import resume as go_on
from landscape.studies.study import Result, Study


def run(arguments: list[str]) -> int:
    from landscape.host.cluster import pool

    study, output = parse_run(arguments)
    folder = None if output.out is None else Path(output.out)
    check_traced(study, output)
    if folder is not None:
        from landscape.host import store

        if holds_run_of(folder, study, looks_of(study, output)):
            print(f"landscape: {folder} holds this run already; what is done is not done again.", file=sys.stderr)
            progress = False if output.quiet else None
            return _gone_on(folder, progress, output.workers, output.scheduler, output.json)
        store.check_new(folder)
    check_shared(study, output.workers, output.scheduler)
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
            return _told(study.run(folder, False if output.quiet else None, processes), folder, output.json)


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


def _told(result: Result, folder: Path | None, as_json: bool) -> int:
    """Prints a result; the status."""
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
        print(f"{study.name}: {study.about}\n\n{purpose(study)}\n")
        print(f"Takes: {study.takes}\nDraws: {study.draws}\n")
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
    as_json, brought = flag(arguments, "--json"), option(arguments, "--problem")
    usage = f"show DIR [DIR ...] [--json] {BRINGING}"
    folders = positional(arguments, usage)
    if not folders:
        raise InputError(f"0 arguments were given; usage: landscape {usage}.")
    use_64_bits()
    problem = problem_in(brought)
    results = [stored(Path(folder), problem) for folder in folders]
    if len(results) == 1:
        _print(results[0], as_json)
        return OK
    from landscape.census.census import Census
    from landscape.census.compare import compare

    for folder, one in zip(folders, results, strict=True):
        if not isinstance(one, Census):
            raise InputError(f"{folder} holds no census to compare; of a table name the folder of a cell.")
    found = [compare(results[0], one) for one in results[1:]]  # all of them before one is printed
    if as_json:
        said = [one.as_dict() for one in found]
        print(json.dumps(said[0] if len(said) == 1 else said, allow_nan=False))
        return OK
    for i, (folder, one) in enumerate(zip(folders[1:], found, strict=True)):
        print(f"{chr(10) if i else ''}a is {folders[0]}, b is {folder}\n{one}")
    return OK


def resume(arguments: list[str]) -> int:
    as_json, quiet, brought = flag(arguments, "--json"), flag(arguments, "--quiet"), option(arguments, "--problem")
    workers, scheduler = option(arguments, "--workers"), option(arguments, "--scheduler")
    usage = f"resume DIR [--json] [--workers N | --scheduler ADDRESS] {BRINGING}"
    (where,) = positional(arguments, usage, exactly=1)
    ascii_digits(arguments if workers is None else [*arguments, workers])
    if workers is not None and not workers.lstrip("+-").isdigit():
        raise InputError(f"workers must be a whole number of at least 1, found {workers}.")
    folder, many = Path(where), None if workers is None else int(workers)
    progress = False if quiet else None
    if brought is not None:
        use_64_bits(alone=many is None and scheduler is None)
        problem = problem_in(brought)
        return _told(go_on(folder, problem, progress=progress, workers=many, scheduler=scheduler), folder, as_json)
    return _gone_on(folder, progress, many, scheduler, as_json)


def _gone_on(folder: Path, progress: bool | None, workers: int | None, scheduler: str | None, as_json: bool) -> int:
    """Goes on with the study of a run folder; the status."""
    from landscape.host.cluster import pool

    study = study_of(folder, go_on=True)
    check_shared(study, workers, scheduler)
    with pool(workers, scheduler) as processes:
        use_64_bits(alone=processes is None)
        return _told(study.run(folder, progress, processes), folder, as_json)


def plot(arguments: list[str]) -> int:
    brought = option(arguments, "--problem")
    (where,) = positional(arguments, f"plot DIR {BRINGING}", exactly=1)
    use_64_bits()
    folder = Path(where)
    result = stored(folder, problem_in(brought))
    for path in draw(result, folder, folder / "figures"):
        print(path)
    if lacks_problem(result):
        said = f"spectra and descents need its loss: `landscape plot {folder} --problem FILE.py`"
        print(f"landscape: {folder} does not hold the problem of its run; {said}.", file=sys.stderr)
    return OK


def export(arguments: list[str]) -> int:
    brought, kind, out = (option(arguments, name) for name in ("--problem", "--format", "--out"))
    usage = f"export DIR [--format csv|json|parquet|netcdf] [--out FILE] {BRINGING}"
    (where,) = positional(arguments, usage, exactly=1)
    use_64_bits()
    from landscape.studies.export import export as write

    folder = Path(where)
    default = folder / f"restarts.{'nc' if kind == 'netcdf' else kind or 'csv'}"
    print(write(stored(folder, problem_in(brought)), default if out is None else out, kind))
    return OK


def report(arguments: list[str]) -> int:
    brought, out = option(arguments, "--problem"), option(arguments, "--out")
    (where,) = positional(arguments, f"report DIR [--out FILE.html] {BRINGING}", exactly=1)
    use_64_bits()
    print(write_report(Path(where), problem_in(brought), out))
    return OK
