"""The `landscape` command."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import signal
import sys
import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from landscape.records import InputError
from landscape.studies import DEFAULT, STUDIES

USAGE = """\
landscape: a census of where gradient descent ends, every end labelled global or spurious, with the evidence.

  landscape run [NAME | FILE.toml] [options]   run a study (default: {default}); landscape run NAME --help lists options
  landscape studies [NAME]                     the built-in studies; one in full
  landscape show DIR [--json]                  the census of a run again
  landscape resume DIR [--json]                go on where a run stopped
  landscape plot DIR                           figures of a run, as PNG files in DIR/figures
  landscape label FILE [--json] [--improve]    label the points in a JSON or npz file; --improve: better networks too
  landscape bench [--quick] [options]          what this machine does, beside its own limits; --help lists options
  landscape --version

Options of every run: --out DIR keeps the run in a new folder, --json prints one JSON object and nothing else,
--restarts N, --seed S. Of run and resume: --workers N does it in N processes of this machine, --scheduler ADDRESS on
the workers of a dask scheduler. Exit status: 0 done, 2 bad input, 3 stopped before the end (what is done is kept).
"""

OK, BAD_INPUT, STOPPED = 0, 2, 3


@dataclasses.dataclass(frozen=True)
class _Output:
    """Where a run goes.

    Attributes:
        out: A new folder to keep the run in; it can be resumed, shown and plotted.
        json: Print one JSON object on standard output and nothing else there.
        quiet: No progress bar.
        workers: Do it in so many processes of this machine.
        scheduler: Do it on the workers of the dask scheduler at this address, or in this scheduler file.
    """

    out: str | None = None
    json: bool = False
    quiet: bool = False
    workers: int | None = None
    scheduler: str | None = None


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits with its status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill keeps what is done, like Ctrl-C
    try:
        status = _dispatch(arguments)
        sys.stdout.flush()
    except InputError as error:
        print(f"landscape: {error}", file=sys.stderr)
        status = BAD_INPUT
    except KeyboardInterrupt:
        print("landscape: stopped.", file=sys.stderr)
        status = STOPPED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has gone: no traceback at exit
        status = OK
    sys.exit(status)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(USAGE.format(default=DEFAULT.name), end="")
        return OK
    if arguments[0] == "--version":
        from importlib.metadata import version

        print(f"landscape {version('landscape')}")
        return OK
    commands = {
        "run": _run,
        "studies": _studies,
        "show": _show,
        "resume": _resume,
        "plot": _plot,
        "label": _label,
        "bench": _bench,
    }
    if arguments[0] not in commands:
        raise InputError(f"command {arguments[0]!r} is unknown; known are {', '.join(commands)}.")
    return commands[arguments[0]](arguments[1:])


# -- commands ----------------------------------------------------------------------------------------------------------


def _run(arguments: list[str]) -> int:
    from landscape.host.cluster import pool

    study, output = _parse_run(arguments)
    folder = None if output.out is None else Path(output.out)
    if folder is not None:
        from landscape.host import store

        store.check_free(folder)
    _check_shared(study, output.workers, output.scheduler)
    with pool(output.workers, output.scheduler, kept=folder is not None) as processes:
        _use_64_bits(alone=processes is None)
        content = study.manifest()
        if folder is not None:
            from landscape.host.explore import begin

            begin(folder, content)
        return _finish(study, folder, output.json, False if output.quiet else None)


def _check_shared(study: Any, workers: Any, scheduler: Any) -> None:
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


def _studies(arguments: list[str]) -> int:
    names = _positional(arguments, "studies [NAME]", at_most=1)
    if names:
        study = _study(names[0])
        print(f"{study.name}: {study.about}\n")
        for name, meaning in _field_help(study).items():
            default = next(f for f in dataclasses.fields(study) if f.name == name).default
            print(f"  --{name.replace('_', '-')}  {meaning} Default: {default}.")
        return OK
    width = max(map(len, STUDIES))
    for study in STUDIES.values():
        print(f"{study.name:{width}}  {study.about}{' (default)' if study is DEFAULT else ''}")
    return OK


def _show(arguments: list[str]) -> int:
    as_json = _flag(arguments, "--json")
    (where,) = _positional(arguments, "show DIR [--json]", exactly=1)
    _use_64_bits()
    result = stored(Path(where))
    _print(result, as_json)
    return OK


def _resume(arguments: list[str]) -> int:
    from landscape.host.cluster import pool

    as_json, quiet = _flag(arguments, "--json"), _flag(arguments, "--quiet")
    workers, scheduler = _option(arguments, "--workers"), _option(arguments, "--scheduler")
    usage = "resume DIR [--json] [--workers N | --scheduler ADDRESS]"
    (where,) = _positional(arguments, usage, exactly=1)
    if workers is not None and not workers.lstrip("+-").isdigit():
        raise InputError(f"workers must be a whole number of at least 1, found {workers}.")
    study = stored_study(Path(where))
    _check_shared(study, workers, scheduler)
    with pool(None if workers is None else int(workers), scheduler) as processes:
        _use_64_bits(alone=processes is None)
        return _finish(study, Path(where), as_json, False if quiet else None)


def _plot(arguments: list[str]) -> int:
    (where,) = _positional(arguments, "plot DIR", exactly=1)
    _use_64_bits()
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


def _label(arguments: list[str]) -> int:
    as_json, better = _flag(arguments, "--json"), _flag(arguments, "--improve")
    (where,) = _positional(arguments, "label FILE [--json] [--improve]", exactly=1)
    _use_64_bits()
    from landscape.host.label import improve, label_one
    from landscape.host.points import in_order, read_points
    from landscape.problems.empirical import Empirical

    problem, points, order = read_points(Path(where))
    if better and not isinstance(problem, Empirical):
        raise InputError(f"--improve is for networks on a data set; {where} has none.")
    verdicts = [in_order(label_one(problem, problem.write(point)), order) for point in points]
    improved = [improve(problem, point) for point in points] if better else [None] * len(points)  # type: ignore[arg-type]
    if as_json:
        said = [
            v.as_dict() | ({} if i is None else {"improve": i.as_dict()})
            for v, i in zip(verdicts, improved, strict=True)
        ]
        print(json.dumps(said, allow_nan=False))
        return OK
    if isinstance(problem, Empirical):
        print(f"loss: {problem.normalisation}")
    for i, (verdict, found) in enumerate(zip(verdicts, improved, strict=True)):
        print(f"point {i}: {_sentence(verdict)}")
        _more(verdict, problem)
        if verdict.polished is not None:
            print(f"  leads, {verdict.moved:.2g} away, to: {_sentence(verdict.polished)}")
            _more(verdict.polished, problem, "    ")
        if found is not None:
            _improvement(found)
    return OK


def _more(verdict: Any, problem: Any, indent: str = "  ") -> None:
    """Bounds and ways out of a point on a data set, in lines."""
    from landscape.problems.empirical import Empirical

    if not isinstance(problem, Empirical):
        return
    bound = f"{indent}lower bound {verdict.lower_bound:.10g}, excess {verdict.excess:.3g}"
    if verdict.lower_bound > 0:
        bound += f" ({100 * verdict.excess / verdict.lower_bound:.3g}%)"
    if verdict.wider is not None and verdict.flavour == "for this width":
        bound += f"; wider networks go {verdict.wider:.3g} lower"
    print(bound)
    if verdict.min_curvature is not None:
        print(f"{indent}curvature {verdict.min_curvature:.3g} along a new neuron")
    if verdict.escape is not None:
        print(f"{indent}way out: {_where(problem, verdict.escape)}")
    elif verdict.label == "spurious" and verdict.flavour == "strict":
        print(f"{indent}way out: none without a rise of the loss; --improve prints a better network")
    elif verdict.label == "spurious":
        print(f"{indent}way out: merge neurons at constant loss until one is free, then down; --improve does it")


def _where(problem: Any, escape: Any) -> str:
    """Which weights a step changes, and how."""
    import numpy as np

    m, d = problem.width, problem.d
    hidden, outer = escape[: m * d].reshape(m, d), escape[m * d : m * (d + 1)]
    moved = np.flatnonzero(np.any(hidden != 0, axis=1) | (outer != 0))
    steps = [f"neuron {j}: hidden {_vector(hidden[j])}, outer {outer[j]:+.3g}" for j in moved[:3]]
    return "add to " + "; ".join(steps) + (f"; and {len(moved) - 3} more" if len(moved) > 3 else "")


def _vector(row: Any) -> str:
    return "[" + ", ".join(f"{x:+.3g}" for x in row[:6]) + (", ..." if len(row) > 6 else "") + "]"


def _improvement(found: Any) -> None:
    """Better networks, weights included."""
    print(f"  global optimum: loss {found.optimum.loss:.12g}, gap {max(found.gap, 0.0):.1e}, "
          f"{len(found.optimum.params.hidden)} neurons")  # fmt: skip
    for network in (found.optimum, found.best_of_width, found.next):
        if network is None or (network is found.best_of_width and network.loss <= found.optimum.loss * (1 + 1e-12)):
            continue
        if network is not found.optimum:
            print(f"  {network.how}: loss {network.loss:.12g}, {len(network.params.hidden)} neurons")
        for j, (w, a) in enumerate(zip(network.params.hidden, network.params.outer, strict=True)):
            b = "" if network.params.hidden_bias is None else f", bias {network.params.hidden_bias[j]:+.6g}"
            print(f"    hidden {_vector(w)}{b}, outer {a:+.6g}")
        if network.params.outer_bias is not None:
            print(f"    outer bias {network.params.outer_bias:+.6g}")


def _bench(arguments: list[str]) -> int:
    import tyro

    _use_64_bits()
    from landscape.host.bench import bench
    from landscape.host.bench.asked import Bench

    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            asked = tyro.cli(Bench, args=arguments, prog="landscape bench", description=bench.__doc__)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_one_line(errors.getvalue(), "`landscape bench --help` lists the options")) from None
    result = bench.bench(asked, None if asked.json else partial(print, flush=True))
    if asked.json:
        print(json.dumps(result, allow_nan=False))
    return OK


def _sentence(verdict: Any) -> str:
    """A verdict in one line."""
    ground = f"{verdict.evidence} by {verdict.by}" if verdict.evidence else verdict.reason
    flavour = f" ({verdict.flavour})" if verdict.flavour else ""
    return f"{verdict.label}{flavour}, loss {verdict.loss:.12g}, gradient norm {verdict.grad_norm:.1e}; {ground}"


# -- run folders -------------------------------------------------------------------------------------------------------


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
    return _study(manifest["study"])(**fields)


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


# -- arguments ---------------------------------------------------------------------------------------------------------


def _parse_run(arguments: list[str]) -> tuple[Any, _Output]:
    """Study and output options from `run`'s arguments; a TOML file gives defaults that options override."""
    study, given = DEFAULT, {}
    if arguments and not arguments[0].startswith("-"):
        first, arguments = arguments[0], arguments[1:]
        if first.endswith(".toml"):
            study, given = _read_toml(Path(first))
        else:
            study = _study(first)
    default = _build(study, given)
    parsed, output = _tyro(study, default, arguments)
    return parsed, output


def _tyro(study: Any, default: Any, arguments: list[str]) -> tuple[Any, _Output]:
    """tyro's reading of the options, its errors as one line."""
    import tyro

    # One flat list of options from two records.
    options = dataclasses.make_dataclass(
        "Options", [("study", study, default), ("output", _Output, dataclasses.field(default=_Output()))], frozen=True
    )
    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            read = tyro.cli(
                tyro.conf.OmitArgPrefixes[options],
                args=arguments,
                prog=f"landscape run {study.name}",
                description=study.about,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_one_line(errors.getvalue())) from None
    return read.study, read.output


def _one_line(message: str, more: str = "`landscape studies NAME` lists the fields") -> str:
    """tyro's framed message without its frame, title and repeated help text, and where to read more."""
    lines = [line.strip("│ ") for line in message.splitlines() if not line.startswith(("╭", "╰"))]
    lines = [line for line in lines if line.strip("─")]
    text = " ".join(lines).split(" Argument helptext:")[0].split(" For full helptext")[0]
    return f"{text.rstrip('. ')}. {more}."


def _read_toml(path: Path) -> tuple[Any, dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}.") from error
    if "study" not in content:
        raise InputError(f'{path} names no study; add a line like study = "{DEFAULT.name}".')
    return _study(content.pop("study")), content


def _build(study: Any, given: dict[str, Any]) -> Any:
    """The study with these fields, types checked: what a TOML file says goes by the names of the options."""
    fields = {f.name: f for f in dataclasses.fields(study)}
    values = {}
    for name, value in given.items():
        key = name.replace("-", "_")
        if key not in fields:
            raise InputError(f"study {study.name} has no field {name!r}; its fields are {', '.join(fields)}.")
        wanted = str(fields[key].type)
        if wanted.startswith("tuple"):
            good = isinstance(value, list) and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
            value = tuple(value) if good else value
        elif wanted.startswith("str"):
            # A matrix or a size is also a teacher.
            value = (
                json.dumps(value) if isinstance(value, list) or (key == "teacher" and isinstance(value, int)) else value
            )
            good = isinstance(value, str)
        elif wanted.startswith("float"):
            good = isinstance(value, int | float) and not isinstance(value, bool)
        else:
            good = isinstance(value, int) and not isinstance(value, bool)
        if not good:
            raise InputError(f"field {name!r} of {study.name} must be of type {wanted}, found {value!r}.")
        values[key] = value
    return study(**values)


def _study(name: Any) -> Any:
    if name not in STUDIES:
        raise InputError(f"study {name!r} is unknown; known are {', '.join(STUDIES)}.")
    return STUDIES[name]


def _flag(arguments: list[str], name: str) -> bool:
    """Whether the flag is there; takes it out."""
    if name in arguments:
        arguments.remove(name)
        return True
    return False


def _option(arguments: list[str], name: str) -> str | None:
    """What follows the option, None if it is not there; takes both out."""
    for i, argument in enumerate(arguments):
        if argument == name or argument.startswith(f"{name}="):
            del arguments[i]
            if argument != name:
                return argument.removeprefix(f"{name}=")
            if i == len(arguments):
                raise InputError(f"option {name} needs a value.")
            return arguments.pop(i)
    return None


def _positional(arguments: list[str], usage: str, exactly: int | None = None, at_most: int | None = None) -> list[str]:
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: landscape {usage}")
        sys.exit(OK)
    wrong = [a for a in arguments if a.startswith("-")]
    if wrong:
        raise InputError(f"option {wrong[0]!r} is unknown; usage: landscape {usage}.")
    if (exactly is not None and len(arguments) != exactly) or (at_most is not None and len(arguments) > at_most):
        raise InputError(f"{len(arguments)} arguments were given; usage: landscape {usage}.")
    return arguments


def _field_help(study: Any) -> dict[str, str]:
    """What each field means, from the docstrings' Attributes."""
    said: dict[str, str] = {}
    for cls in reversed(study.__mro__[:-1]):
        lines = (cls.__doc__ or "").splitlines()
        name = None
        for line in lines[lines.index("    Attributes:") + 1 :] if "    Attributes:" in lines else []:
            head, _, rest = line.strip().partition(": ")
            if line.startswith("        ") and not line.startswith("         ") and head.isidentifier():
                name, said[head] = head, rest
            elif name and line.strip():
                said[name] += " " + line.strip()
    return {f.name: said.get(f.name, "") for f in dataclasses.fields(study)}


def _use_64_bits(alone: bool = True) -> None:
    import jax

    jax.config.update("jax_enable_x64", True)
    if not alone:  # the accelerators belong to the workers
        jax.config.update("jax_platforms", "cpu")


if __name__ == "__main__":
    main()
