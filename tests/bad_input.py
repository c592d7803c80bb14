"""A generator of bad input: command lines, TOML, JSON and npz files, and calls from Python, none of them asked for.

Each case is valid input with one thing replaced. `trial` says what became of a case; nothing is run, since the studies
stop where their descents would begin.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import io
import json
import random
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

import landscape as ls
from landscape import cli
from landscape.host import cluster, interrupt
from landscape.host.bench import bench
from landscape.records import InputError
from landscape.studies import STUDIES

SECONDS = 10  # of processor time in one case, which a busy machine does not lengthen
WAITED = 60  # seconds on the clock: whoever waits for somebody uses no processor


class Late(BaseException):
    """A case took too long."""


class Accepted(BaseException):
    """The study would now begin."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One piece of bad input.

    Attributes:
        said: The input in words.
        call: Gives the input to the package; for the command line the status is what `cli.main` exits with.
        nonsense: Whether the input can only be refused: a word, a boolean or a list where a number must stand.
    """

    said: str
    call: Callable[[], Any]
    nonsense: bool = False


# Texts that stand where an option's value is wanted.
WORDS = """
- -- nan inf -inf NaN 1e400 -1e400 -1 0 0.0 -0 1e-320 1.5 2.0 1e3 1_000 0x10 0b1 1e e 1,2 True None null true
[] [[]] [[ ]] {}
99999999999999999999 -99999999999999999999 9223372036854775807 9223372036854775808 1e18 1000000 123456789 4294967296
[[1,2],[3]] [[1e999,0]] [[NaN,0]] [[true,0],[0,1]] [["1","2"]] [[null]] [1,2,3] [[[1]]] "x" {"x":1} {"x":[[1]],"y":[1]}
{"x":[[1,2]],"y":[1,2]} /dev/null /dev/full / . .. /nowhere/a/b $HOME ~ * ;ls %s%s%n
"""
LONG = ("1" + "0" * 400, "1" * 5000, "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"x": ' * 3000, "a" * 5000)
# An empty text, spaces, digits of other scripts, zero characters, half a character, a letter, a mark of direction.
ODD = ("", " ", "1 2", "\u0661\u0662", "\uff11\uff12", "\u00b2", "a\0b", "\0", "\ud800", "\u00e9", "\u202e")
TEXTS = (*WORDS.split(), *LONG, *ODD)
# Values that stand where a number of a JSON, TOML or Python object is wanted: none of them is one.
NO_NUMBER = ("", "1", "0.1", "x", "nan", True, False, None, [], [1], [[1.0]], {}, {"a": 1})
# Numbers that few fields can take.
NUMBERS = (
    0,
    -1,
    1,
    0.0,
    -0.0,
    0.5,
    1e308,
    -1e308,
    5e-324,
    1e400,
    -1e400,
    float("nan"),
    2**31,
    2**63,
    -(2**63) - 1,
    10**30,
    10**400,
    1e18,
    3e5,
)
OBJECTS: tuple[Any, ...] = (
    object(),
    1j,
    np.nan,
    np.inf,
    b"1",
    {1},
    range(3),
    lambda: 0,
    np.array("x"),
    np.array(None),
    np.array([1, None]),
    np.array([[1, 2], [3, 4]], complex),
    np.zeros((0, 2)),
    np.zeros((2, 0)),
    np.zeros(()),
    np.zeros((2, 2, 2, 2)),
    np.array([True]),
    np.datetime64("2020-01-01"),
    slice(3),
    int,
    "relu",
    Path("x"),
    Ellipsis,
)


def documents() -> list[Any]:
    """Valid files for `label`, as JSON objects."""
    x, y = [[1.0, 0.5], [-0.5, 1.0], [0.3, -1.2]], [1.0, -0.5, 0.25]
    hidden, outer = [[0.5, 0.1], [-0.2, 0.4]], [0.3, -0.6]
    return [
        {
            "x": x,
            "y": y,
            "weight_decay": 0.1,
            "hidden": hidden,
            "outer": outer,
            "loss": "squared",
            "bias": "none",
            "activation": "relu",
            "reduction": "sum_half",
            "name": "mine",
        },
        {
            "x": x,
            "y": [1.0, -1.0, 1.0],
            "weight_decay": 0.1,
            "hidden": hidden,
            "outer": outer,
            "loss": "logistic",
            "hidden_bias": [0.1, 0.2],
            "outer_bias": 0.1,
            "bias": "regularised",
        },
        {
            "x": x,
            "y": y,
            "weight_decay": 0.0,
            "hidden": [hidden, hidden],
            "outer": [outer, outer],
            "activation": "leaky_relu",
            "slope": 0.1,
        },
        {"teacher": [[1.0, 0.0], [0.0, 1.0]], "hidden": [hidden], "activation": "leaky_relu", "slope": 0.1},
        {"teacher": [[1.0, 0.0], [0.0, 1.0]], "hidden": hidden, "activation": "erf"},
        {"lines": [[1.0, 0.0], [0.6, 0.8]], "teacher": [[0.0, 1.0]], "line_of": [0, 1], "coefficient": [1.0, -0.5]},
    ]


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Ways into a JSON object, that to itself first."""
    yield at
    for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        yield from _places(value[key], (*at, key))


def _at(value: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        value = value[key]
    return value


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def mutant(draw: random.Random, document: Any) -> tuple[Any, str, bool]:
    """The document with one thing replaced, removed, added or nested; how; whether it can only be refused."""
    document = copy.deepcopy(document)
    place = draw.choice(list(_places(document))[1:])
    holder, key = _at(document, place[:-1]), place[-1]
    where = "".join(f"[{one!r}]" for one in place)
    what = draw.randrange(8)
    if what < 3:
        value = draw.choice(NO_NUMBER)
        nonsense = _number(holder[key])
        holder[key] = value
        return document, f"{where} = {value!r}", nonsense
    if what < 6:
        value = draw.choice(NUMBERS)
        holder[key] = value
        return document, f"{where} = {str(value)[:40]}", False
    if what == 6:
        del holder[key]
        return document, f"without {where}", False
    if isinstance(holder, dict):
        name = draw.choice(("", "X", "\0", "hidden ", "weight-decay", "outer", "lines"))
        holder[name] = draw.choice(NO_NUMBER + NUMBERS)
        return document, f"with {name!r} = {str(holder[name])[:40]}", False
    holder.append(copy.deepcopy(draw.choice(holder)) if holder else 1)
    return document, f"{where[: where.rfind('[')]} one longer", False


def _command(said: str, arguments: list[str], nonsense: bool = False) -> Case:
    return Case(said, lambda: cli.main(arguments), nonsense)


def label_case(draw: random.Random, folder: Path) -> Case:
    """A file for `landscape label`."""
    document, how, nonsense = mutant(draw, draw.choice(documents()))
    if draw.random() < 0.25 and isinstance(document, dict):
        path = folder / "points.npz"
        try:
            np.savez(path, **{name or "_": np.array(value) for name, value in document.items() if "\0" not in name})
            return _command(f"npz {how}", ["label", str(path), "--json"])  # true among numbers is 1 in an array
        except (ValueError, OverflowError):
            pass  # no such array: as JSON then
    path = folder / "points.json"
    text = json.dumps(document)
    if draw.random() < 0.1:
        cut = draw.randrange(len(text))
        text, how = (
            text[:cut] + draw.choice(("", "[" * 100_000, "\0", "1" * 5000, ",", "\ud7ff", "NaN")) + text[cut:],
            "torn",
        )
        nonsense = False
    path.write_text(text)
    return _command(f"json {how}", ["label", str(path), *draw.choice(([], ["--json"]))], nonsense)


def toml_case(draw: random.Random, folder: Path) -> Case:
    """A TOML file for `landscape run`."""
    study = draw.choice(sorted(STUDIES))
    field = draw.choice(dataclasses.fields(STUDIES[study])).name
    value = draw.choice(
        (
            "true",
            "false",
            '""',
            '"x"',
            '"1"',
            "nan",
            "inf",
            "-1",
            "0",
            "1e400",
            "99999999999999999999",
            "[]",
            "[[]]",
            "[1, 'a']",
            "[[1, 2], [3]]",
            "1979-05-27",
            "{a = 1}",
            "'\\u0000'",
            '"\\u0000"',
            "0.5",
            "1e18",
            "[true]",
            "[1e400]",
            "9223372036854775808",
        )
    )
    path = folder / "study.toml"
    path.write_text(f'study = "{study}"\n{field} = {value}\n')
    return _command(f"toml {study} {field} = {value}", ["run", str(path)])


def line_case(draw: random.Random, folder: Path) -> Case:
    """A command line."""
    what = draw.randrange(10)
    text = draw.choice(TEXTS)
    if what < 6:
        study = draw.choice(sorted(STUDIES))
        names = [field.name for field in dataclasses.fields(STUDIES[study])]
        name = draw.choice([*names, "out", "workers", "scheduler"])
        arguments = ["run", study, f"--{name.replace('_', '-')}={text}"]
        if name == "scheduler" and text:
            arguments.append("--restarts=10")
    elif what == 6:
        arguments = [
            draw.choice(("show", "resume", "plot", "label", "studies", "guide", "bench", "run", "nothing")),
            text,
        ]
    elif what == 7:
        arguments = [text, *draw.sample(("--json", "--out", "run", "x", "--restarts", "5"), 2)]
    elif what == 8:
        arguments = [
            "bench",
            f"--{draw.choice(('restarts', 'lanes', 'width', 'repeats', 'out', 'quick', 'json', 'seconds'))}={text}",
        ]
    else:
        arguments = ["run", f"--{draw.choice(('restart', 'Seed', 'teachers', text))}={draw.choice(TEXTS)}"]
    return _command("line " + " ".join(ascii(a)[:60] for a in arguments), arguments)


def _loss(p: Any) -> Any:
    return jnp.sum((p - 1.0) ** 2)


def _calls() -> dict[str, tuple[Callable[..., Any], dict[str, Any], tuple[str, ...]]]:
    """Functions of the package, good arguments of theirs, and those that are numbers or arrays of numbers."""
    v = [[1.0, 0.0], [0.0, 1.0]]
    x, y = [[1.0, 0.5], [-0.5, 1.0], [0.3, -1.2]], [1.0, -0.5, 0.25]
    teacher = ls.teacher_student(v)
    data = ls.empirical(x, y, 2, weight_decay=0.1)
    own = ls.from_loss(_loss, lambda key: jax.random.normal(key, (2,)))
    explore = dict(problem=own, restarts=2, seed=0, progress=False)
    return {
        "teacher_student": (
            ls.teacher_student,
            dict(teacher=v, width=2, activation="leaky_relu", slope=0.1),
            ("teacher", "width", "slope"),
        ),
        "orthonormal_teacher": (ls.orthonormal_teacher, dict(k=2, width=2, d=2), ("k", "width", "d")),
        "empirical": (
            ls.empirical,
            dict(
                x=x,
                y=y,
                width=2,
                activation="relu",
                loss="squared",
                weight_decay=0.1,
                bias="none",
                outer_bias="none",
                slope=0.1,
            ),
            ("x", "y", "width", "weight_decay", "slope"),
        ),
        "porcupine": (
            ls.porcupine,
            dict(lines=v, neurons_per_line=2, teacher=v),
            ("lines", "neurons_per_line", "teacher"),
        ),
        "parallel": (
            ls.parallel,
            dict(x=x, y=y, width=2, subnetwork="relu", regularisation=0.1, loss="squared", hidden=2),
            ("x", "y", "width", "regularisation", "hidden"),
        ),
        "matrix_factorisation": (
            ls.matrix_factorisation,
            dict(y=v, width=1, regularisation=0.1),
            ("y", "width", "regularisation"),
        ),
        "from_model": (
            ls.from_model,
            dict(
                model={"a.weight": np.eye(2), "b.weight": np.ones((1, 2))},
                x=x,
                y=y,
                weight_decay=0.1,
                reduction="mean",
                bias="free",
                activation="relu",
                loss="squared",
                slope=0.1,
            ),
            ("model", "x", "y", "weight_decay", "slope"),
        ),
        "from_loss": (
            ls.from_loss,
            dict(
                loss=_loss,
                init=lambda key: jax.random.normal(key, (2,)),
                lower_bound=0.0,
                symmetry=None,
                scale=1.0,
                invariances=(),
            ),
            ("loss", "init"),
        ),
        "explore": (ls.explore, explore, ("problem", "restarts", "seed")),
        "label of a teacher's": (ls.label, dict(problem=teacher, params=ls.Params(np.eye(2))), ("problem", "params")),
        "label of data": (ls.label, dict(problem=data, params=ls.Params(np.eye(2), np.ones(2))), ("problem", "params")),
        "label of an own loss": (ls.label, dict(problem=own, params=np.ones(2)), ("problem", "params")),
        "hidden weights": (lambda hidden: ls.label(teacher, ls.Params(hidden)), dict(hidden=np.eye(2)), ("hidden",)),
        "outer weights": (
            lambda outer: ls.label(data, ls.Params(np.eye(2), outer)),
            dict(outer=np.ones(2)),
            ("outer",),
        ),
        "Settings": (
            lambda **more: ls.explore(own, 2, settings=ls.Settings(**more), progress=False),
            dict(optimiser="gradient-descent", step_size=0.1, budget=100, lanes=2),
            ("step_size", "budget", "lanes"),
        ),
        "start_points": (
            lambda seed, indices: ls.start_points(own, seed, indices),
            dict(seed=0, indices=[0, 1]),
            ("seed", "indices"),
        ),
        "wilson": (ls.wilson, dict(count=1, total=2), ("count", "total")),
        "improve": (ls.improve, dict(problem=data, params=ls.Params(np.eye(2), np.ones(2))), ("problem", "params")),
        "explore, starts": (
            lambda starts: ls.explore(own, 2, starts=starts, progress=False),
            dict(starts=np.ones((2, 2))),
            ("starts",),
        ),
    }


CALLS = _calls()


def call_case(draw: random.Random, folder: Path) -> Case:
    """A call from Python."""
    name = draw.choice(sorted(CALLS))
    function, good, numeric = CALLS[name]
    field = draw.choice(sorted(good))
    value = draw.choice(NO_NUMBER + NUMBERS + OBJECTS)
    scalar = field in numeric and isinstance(good[field], int | float)
    nonsense = scalar and any(value is one for one in NO_NUMBER) and value is not None
    return Case(f"{name}({field}={str(value)[:60]!r})", lambda: function(**{**good, field: value}), nonsense)


KINDS = (label_case, toml_case, line_case, call_case)


def _accept(*_: Any) -> None:
    """In place of starting worker processes, of a benchmark, and of a run once its study has been read."""
    raise Accepted


@contextlib.contextmanager
def nothing_runs() -> Iterator[None]:
    """Stops studies before their descents and pools before their processes; schedulers must answer at once."""
    with (
        mock.patch.object(interrupt, "check", _accept),
        mock.patch.object(cluster, "_local", _accept),
        mock.patch.object(bench, "bench", _accept),
        mock.patch.object(cluster, "REACH_SECONDS", 0.2),
    ):
        yield


def _judged(said: str) -> str | None:
    """What is wrong with a refusal; None for one sentence."""
    good = len(said.splitlines()) == 1 and len(said) < 1200
    return None if good else f"{len(said.splitlines())} lines of {len(said)} characters are no sentence: {said[:80]}"


def trial(case: Case) -> str | None:
    """What is wrong with the answer to a case; None for a sentence or an acceptance that is none of a nonsense."""

    def late(*_: Any) -> None:
        raise Late

    out, errors, status = io.StringIO(), io.StringIO(), None
    before = {one: signal.signal(one, late) for one in (signal.SIGALRM, signal.SIGPROF)}
    signal.setitimer(signal.ITIMER_REAL, WAITED)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors), nothing_runs():
            case.call()
        return "accepted" if case.nonsense else None
    except SystemExit as stop:
        status = stop.code
    except Accepted:
        return "accepted" if case.nonsense else None
    except InputError as error:
        return _judged(str(error))
    except Late:
        return f"no answer in {SECONDS} s of work or {WAITED} s of waiting"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        for one, handler in before.items():
            signal.signal(one, handler)
    said = errors.getvalue()
    if status == 2:
        return _judged(said.removesuffix("\n")) if not out.getvalue() else "something on standard output"
    if status in (0, None, 3):
        return "accepted" if case.nonsense and status != 3 else None
    return f"status {status}"
