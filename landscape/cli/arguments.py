"""Arguments of the command: studies and their fields from options and TOML files, flags, positions."""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import io
import sys
import tomllib
from pathlib import Path
from typing import Any

from landscape.records import InputError, shortened
from landscape.studies import DEFAULT, STUDIES, given
from landscape.studies.given import meant
from landscape.studies.own_losses import Gallery
from landscape.studies.sweep import sweep_of

OK, BAD_INPUT, STOPPED = 0, 2, 3


@dataclasses.dataclass(frozen=True)
class Output:
    """Where a run goes.

    Attributes:
        out: A new folder to keep the run in; it can be resumed, shown and plotted.
        json: Print one JSON object on standard output and nothing else there.
        quiet: No progress bar.
        workers: Do it in so many processes of this machine.
        scheduler: Do it on the workers of the dask scheduler at this address, or in this scheduler file.
        trace: Look along the descents too, 200 times at equal ratios of the step; kept in DIR/looks, with --out DIR.
    """

    out: str | None = None
    json: bool = False
    quiet: bool = False
    workers: int | None = None
    scheduler: str | None = None
    trace: bool = False


def ascii_digits(arguments: list[str]) -> None:
    """Raises InputError where an argument is a number in the digits of another script, which Python would take."""
    for argument in arguments:
        value = argument.partition("=")[2] or argument
        if not value.isascii() and value.strip("+-.eE").isnumeric():
            raise InputError(f"{value!r} is no number in the digits 0 to 9.")


def parse_run(arguments: list[str]) -> tuple[Any, Output]:
    """Study and output options from `run`'s arguments; a TOML file gives defaults that options override."""
    ascii_digits(arguments)
    study, said = DEFAULT, {}
    if arguments and not arguments[0].startswith("-"):
        first, arguments = arguments[0], arguments[1:]
        if first.endswith(".toml"):
            study, said = _read_toml(Path(first))
        else:
            study = study_named(first)
        if study is Gallery and arguments and not arguments[0].startswith("-"):
            said["loss"], arguments = arguments[0], arguments[1:]
    # An option overrides a list of the file as it does a value.
    options = {argument.partition("=")[0].lstrip("-").replace("-", "_") for argument in arguments}
    axes = {name: values for name, values in given.lists_in(study, said).items() if name not in options}
    first_of = {name: one for name, one in said.items() if name.replace("-", "_") not in {*axes, *options}}
    first_of |= {name: values[0] for name, values in axes.items()}
    parsed, output = _tyro(study, given.build(study, first_of), arguments)
    return sweep_of(parsed, axes) if axes else parsed, output


def _tyro(study: Any, default: Any, arguments: list[str]) -> tuple[Any, Output]:
    """tyro's reading of the options, its errors as one line."""
    import tyro

    known = {f"--{field.name.replace('_', '-')}" for one in (study, Output) for field in dataclasses.fields(one)}
    known |= {f"--no-{name[2:]}" for name in known} | {"--help"}
    for argument in arguments:
        name = argument.partition("=")[0].replace("_", "-")
        if argument.startswith("--") and name not in known:
            near = meant(name, known)
            where = f"`landscape studies {study.name}` lists them"
            raise InputError(f"option {shortened(name)!r} of {study.name} is unknown; {near}{where}.")

    # One flat list of options from two records.
    options = dataclasses.make_dataclass(
        "Options", [("study", study, default), ("output", Output, dataclasses.field(default=Output()))], frozen=True
    )
    kind, more = tyro.conf.OmitArgPrefixes[options], "`landscape studies NAME` lists the fields"
    read = read_options(kind, arguments, f"landscape run {study.name}", study.about, more)
    return read.study, read.output


def read_options(kind: Any, arguments: list[str], prog: str, description: str | None, more: str) -> Any:
    """A record of this kind from options.

    Raises:
        InputError: tyro's error as one line, and `more`, which says where to read on.
    """
    import tyro

    errors = io.StringIO()
    try:
        with contextlib.redirect_stderr(errors):
            return tyro.cli(kind, args=arguments, prog=prog, description=description)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(_one_line(errors.getvalue(), more)) from None


def _one_line(message: str, more: str) -> str:
    """tyro's framed message without its frame, title and repeated help text, and where to read more."""
    # Frames are of ASCII where the terminal has no other characters.
    lines = [line.strip("│| ") for line in message.splitlines() if not line.startswith(("╭", "╰", "+-"))]
    lines = [line for line in lines if line.strip("─-")]
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
    return study_named(content.pop("study")), content


def study_named(name: Any) -> Any:
    return given.study_named(name, STUDIES)


def flag(arguments: list[str], name: str) -> bool:
    """Whether the flag is there; takes it out."""
    if name in arguments:
        arguments.remove(name)
        return True
    return False


def option(arguments: list[str], name: str) -> str | None:
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


def positional(arguments: list[str], usage: str, exactly: int | None = None, at_most: int | None = None) -> list[str]:
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"usage: landscape {usage}")
        sys.exit(OK)
    wrong = [a for a in arguments if a.startswith("-")]
    if wrong:
        raise InputError(f"option {wrong[0]!r} is unknown; usage: landscape {usage}.")
    if (exactly is not None and len(arguments) != exactly) or (at_most is not None and len(arguments) > at_most):
        raise InputError(f"{len(arguments)} arguments were given; usage: landscape {usage}.")
    return arguments


def purpose(study: Any) -> str:
    """What a study does: its docstring up to the attributes."""
    lines = inspect.getdoc(study) or ""
    return lines.split("\nAttributes:")[0].strip()


def field_help(study: Any) -> dict[str, str]:
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


def use_64_bits(alone: bool = True) -> None:
    """Has JAX compute in 64 bits, on the host only where workers have the accelerators.

    Raises:
        InputError: There is no device of the kind that JAX_PLATFORMS asks for.
    """
    import jax

    jax.config.update("jax_enable_x64", True)
    asked = jax.config.values.get("jax_platforms")
    if not alone:
        jax.config.update("jax_platforms", "cpu")
    elif asked and "cpu" not in asked.split(","):
        jax.config.update("jax_platforms", f"{asked},cpu")  # starts are drawn on the host, the same for all devices
    none = InputError(f"JAX finds no device for JAX_PLATFORMS={asked}; set it to cpu, or leave it out.")
    try:
        there = {device.platform for device in jax.local_devices()}
    except (RuntimeError, AssertionError) as error:  # either, depending on why
        raise none from error
    if alone and asked and "cpu" not in asked.split(",") and there == {"cpu"}:
        raise none  # with a CPU to fall back on JAX does so in silence
