"""Run folders, whoever made them: what they hold, how they go on, and their figures.

A folder of a study says all that its run needs. A loss from Python is known by its fingerprint only; whoever wants more
than the table of such a run brings the problem again.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.records import InputError
from landscape.studies import STUDIES
from landscape.studies.study import Result, Study

if TYPE_CHECKING:
    from landscape.problems.problem import Problem

BRING = "the folder does not hold its loss"  # a run of a loss from Python


def load(folder: str | Path, problem: Problem | None = None, **given: Any) -> Any:
    """What a run folder holds, without running anything: a census, a table of censuses, or the report of a study.

    A damaged shard is named on standard error and left out.

    Args:
        folder: Of a run, from the command line or from Python.
        problem: The landscape, for a run of a loss from Python: networks and figures need it. It is compared with the
            run's own by its fingerprint.
        **given: Starting points (`starts`) or optax optimiser (`optimiser`) of such a run, if it was given any.

    Raises:
        InputError: It is no run folder, or is damaged; or the problem is another one.
    """
    from landscape.host import store
    from landscape.host.load import load

    folder = Path(folder)
    if store.read_manifest(folder)["study"] not in STUDIES:
        return load(folder, None if problem is None else _brought(folder, problem, given))
    if problem is not None:
        _brought(folder, problem, given)
    return study_of(folder).stored(folder)


def resume(
    folder: str | Path,
    problem: Problem | None = None,
    *,
    progress: bool | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    **given: Any,
) -> Any:
    """Goes on with the run in a folder, from the command line or from Python; what it holds in the end.

    Args:
        folder: Of a run.
        problem: The landscape, for a run of a loss from Python.
        progress: Show a progress bar; by default if standard error is a terminal.
        workers: Do it in so many processes of this machine.
        scheduler: Do it on the workers of the dask scheduler at this address.
        **given: As for `load`.

    Raises:
        InputError: It is no run folder, or is damaged; the problem is missing or another one; or an input file of the
            run is not what it was.
    """
    from landscape.host import interrupt, store
    from landscape.host.cluster import pool
    from landscape.host.run import run

    folder = Path(folder)
    plan = None if problem is None else _brought(folder, problem, given)
    study = None
    if store.read_manifest(folder)["study"] in STUDIES:
        study = study_of(folder, go_on=True)
        check_shared(study, workers, scheduler)
    elif plan is None:
        raise InputError(f"{BRING}; give it: landscape.resume({str(folder)!r}, problem).")
    with pool(workers, scheduler) as processes, interrupt.heeded():
        if study is not None:
            return study.run(folder, progress, processes)
        assert plan is not None
        return run(plan, folder, processes, progress)


def _brought(folder: Path, problem: Problem, given: dict[str, Any]) -> Any:
    """The plan of a run whose problem is brought."""
    from landscape.host.explore import plan_in

    return plan_in(folder, problem, **given)


def study_of(folder: Path, go_on: bool = False) -> Study:
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
        raise InputError(
            f"{folder} was made from Python, and {BRING}; bring it: --problem FILE.py, or landscape.resume."
        )
    study = STUDIES[manifest["study"]]
    unknown = sorted(set(manifest["fields"]) - {field.name for field in dataclasses.fields(study)})  # pyright: ignore[reportArgumentType]
    if unknown:
        version = manifest["environment"]["landscape"]
        raise InputError(
            f"{folder} has a field {unknown[0]!r} that this version does not know; landscape {version} made it."
        )
    files.check_origin(folder, manifest, go_on)
    return study.of(manifest)


def holds_run_of(folder: Path, study: Study, looks: dict[str, Any]) -> bool:
    """Whether the folder holds the run of this very study: its fields, with the content of its input files, are equal.

    Args:
        folder: Of a run, or none yet.
        study: The study that is asked for.
        looks: What the manifest says of looks along its descents, see `Plan`.

    Raises:
        InputError: The manifest is damaged, or an input file cannot be read.
    """
    from landscape.host import files, store
    from landscape.host.identity import difference

    if not (folder / store.MANIFEST).exists():
        return False
    study, _ = files.taken_in(study)
    held = store.read_manifest(folder)
    same_looks = json.dumps(held.get("looks")) == json.dumps(looks.get("looks"))
    return same_looks and difference(held, {"study": study.name, "fields": study.fields()}) is None


def check_shared(study: Study, workers: Any, scheduler: Any) -> None:
    """Raises InputError unless the study can be done by several processes, where that is asked for."""
    if (workers is not None or scheduler is not None) and study.one_process:
        raise InputError(f"{study.name} runs in one process; leave out --workers and --scheduler.")


def lacks_problem(result: Any) -> bool:
    """Whether a result is a census whose problem is not known, so that some figures cannot be drawn."""
    from landscape.census.census import Census

    return isinstance(result, Census) and result.plan is None


def draw(result: Result, folder: Path, into: Path) -> list[Path]:
    """Draws what a run folder holds; the files.

    Args:
        result: What `load` gave.
        folder: Of the run.
        into: Where the figures go; made here.

    Raises:
        InputError: There is nothing to draw yet, or the figures cannot be written.
    """
    from landscape.host import store
    from landscape.studies.census_figures import plot, written
    from landscape.studies.study import check_drawable

    try:
        into.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write figures to {into}: {error.strerror}.") from error
    if store.read_manifest(folder)["study"] in STUDIES:
        return study_of(folder).figures(result, into)
    check_drawable(result, into)
    return written(plot(result), into)  # type: ignore[arg-type]


def report(folder: str | Path, problem: Problem | None = None, out: str | Path | None = None, **given: Any) -> Path:
    """Writes a run as one HTML page that needs no network; its path.

    Args:
        folder: Of a run.
        problem: The landscape, for a run of a loss from Python: without it weights and spectra are left out.
        out: The file; `report.html` in the folder by default.
        **given: As for `load`.

    Raises:
        InputError: It is no run folder, nothing is finished yet, or the page cannot be written.
    """
    from tempfile import TemporaryDirectory

    from landscape.host import store
    from landscape.report import again
    from landscape.report.page import page

    folder = Path(folder)
    result, manifest = load(folder, problem, **given), store.read_manifest(folder)
    with TemporaryDirectory(prefix="landscape-") as drawn:
        paths = draw(result, folder, Path(drawn)) if result.finished else []
        figures = [(path.stem, path.read_bytes()) for path in paths if path.suffix == ".png"]
    study = STUDIES.get(manifest["study"])
    defaults = None if study is None else {one.name: one.default for one in dataclasses.fields(study)}  # pyright: ignore[reportArgumentType]
    text = page(result, figures, again.commands(folder, manifest, defaults), again.notes(manifest))
    path = folder / "report.html" if out is None else Path(out)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
    return path
