"""Points and data sets that someone brings, from a JSON or npz file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape.host import files, overflow
from landscape.problems.empirical import BIASES, Empirical, converted, empirical
from landscape.problems.params import Params
from landscape.problems.porcupine import Porcupine, porcupine, unit_lines
from landscape.problems.teacher_student import TeacherStudent, teacher_student
from landscape.records import InputError, Verdict, numbers, real, shortened

FIELDS = ("teacher", "hidden", "activation", "slope")
ON_LINES = ("lines", "teacher", "line_of", "coefficient")
WEIGHTS = ("hidden", "outer", "hidden_bias", "outer_bias")
ON_DATA = ("name", "x", "y", "loss", "weight_decay", "bias", "reduction", "activation", "slope", *WEIGHTS, "source")


def read_points(
    path: Path,
) -> tuple[TeacherStudent | Porcupine | Empirical, np.ndarray | list[Params], np.ndarray | None]:
    """The problem and the points of a file.

    Free networks: {"teacher": [[...]], "activation": "relu", "hidden": [[...]]}; neurons on lines: {"lines": [[...]],
    "teacher": [[...]], "line_of": [...], "coefficient": [...]}, the line and the coefficient of each neuron; networks
    on a data set: {"x": [[...]], "y": [...], "weight_decay": 0.1, "hidden": [[...]], "outer": [...], ...}, see
    `data_problem`.

    Returns:
        The problem; hidden weights [points, width, d], coefficients [points, p] line by line, or `Params`, one a point;
        and, on lines, the place of each of these neurons in the file, [p].

    Raises:
        InputError: The file cannot be read, misses a field, has an unknown one, or a shape does not fit.
    """
    content = _object(path)
    if "x" in content:
        _known(content, path, ON_DATA)
        points = _networks(content, path)
        return data_problem(content, path, len(points[0].hidden)), points, None
    on_lines = "lines" in content
    if any(name.rpartition(".")[2] in ("weight", "kernel") for name in content):
        raise InputError(f"{path} holds the weights of a model; its data go along: --data FILE with x and y.")
    _known(content, path, ON_LINES if on_lines else FIELDS)
    for name in ON_LINES if on_lines else ("teacher", "hidden"):
        if name not in content:
            raise InputError(f"{path} has no {name!r}.")
    return _on_lines(content, path) if on_lines else (*_free(content, path), None)


def read_data(path: Path | str) -> dict[str, Any]:
    """The fields of a data file, or of the JSON object itself, by name.

    Raises:
        InputError: It cannot be read, has no x or y, or a field that is not understood.
    """
    if isinstance(path, str) and path.startswith("{"):
        content, path = files.json_of(path, "the data set"), "the data set"
    else:
        content = _object(Path(path))
    _known(content, path, ON_DATA)
    for name in ("x", "y"):
        if name not in content:
            raise InputError(f"{path} has no {name!r}.")
    return content


def data_problem(content: dict[str, Any], path: Path | str, width: int, **given: Any) -> Empirical:
    """The landscape of networks of some width on the data set of a file.

    Args:
        content: Fields of the file: x [n, d], y [n], loss (squared), weight_decay, reduction (sum_half; the loss that
            weight_decay goes with, see `empirical.converted`), activation (relu), slope, and bias (none): how biases
            are penalised, for both or as {"hidden": ..., "outer": ...}. Where the file has weights, one word is about
            the biases that are there.
        path: Where it came from, for messages.
        width: Number of neurons.
        **given: Fields that take the place of the file's; None for those that do not. Here outer_bias is how that bias
            is penalised.

    Raises:
        InputError: A field makes no sense.
    """
    given = {name: value for name, value in given.items() if value is not None}
    for name in ("x", "y", "weight_decay"):
        if name not in content and name not in given:
            said = ' (give "weight_decay": 0 if there was none)' if name == "weight_decay" else ""
            raise InputError(f"{path} has no {name!r}{said}.")
    loss = given.get("loss", _text(content, "loss", "squared"))
    hidden, outer = _penalties(content, path)
    hidden, outer = given.get("bias", hidden), given.get("outer_bias", outer)
    decay = given.get("weight_decay")
    if decay is None:
        # What the framework calls weight decay belongs to its own reduction of the loss.
        decay = converted(
            _number(content, "weight_decay", path),
            numbers(content["y"], "y").size,
            loss,
            _text(content, "reduction", "sum_half"),
        )
    problem = empirical(
        content["x"], content["y"], width, given.get("activation", _text(content, "activation", "relu")), loss, decay,
        hidden, outer, _number(content, "slope", path) if "slope" in content else 0.01,
    )  # fmt: skip
    overflow.data(x=problem.x, y=problem.y)
    return problem


def _penalties(content: dict[str, Any], path: Path | str) -> tuple[str, str]:
    """How the hidden and the outer bias are penalised."""
    said: Any = content.get("bias", "none")
    said = said.item() if isinstance(said, np.ndarray) and said.ndim == 0 else said
    if isinstance(said, dict):
        wrong = sorted(set(said) - {"hidden", "outer"})
        if wrong:
            raise InputError(f"bias in {path} is for 'hidden' and 'outer', found {wrong[0]!r}.")
        both = (said.get("hidden", "none"), said.get("outer", "none"))
    elif "hidden" in content:  # with weights: of the biases that are there
        both = (said if "hidden_bias" in content else "none", said if "outer_bias" in content else "none")
    else:
        both = (said, said)
    for one in both if isinstance(said, dict) else (said, *both):
        if not isinstance(one, str) or one not in BIASES:
            raise InputError(f"bias {shortened(one)!r} in {path} is unknown; known are {', '.join(BIASES)}.")
    return both


def _networks(content: dict[str, Any], path: Path) -> list[Params]:
    """The weights of a file, one network a point."""
    for name in ("hidden", "outer"):
        if name not in content:
            raise InputError(f"{path} has no {name!r}; a data set alone is for `landscape run hidden-convex --data`.")
    parts = {name: numbers(content[name], name) for name in WEIGHTS if name in content}
    hidden = parts["hidden"]
    many = hidden.ndim == 3
    if hidden.ndim not in (2, 3) or 0 in hidden.shape:
        raise InputError(f"hidden must be [width, d] or [points, width, d], found shape {list(hidden.shape)}.")
    points, width, d = hidden.shape if many else (1, *hidden.shape)
    shapes = {"outer": (width,), "hidden_bias": (width,), "outer_bias": ()}
    for name, shape in shapes.items():
        if name not in parts:
            continue
        wanted = (points, *shape) if many else shape
        if name == "outer_bias" and parts[name].shape == (1,) and not many:
            parts[name] = parts[name].reshape(())  # PyTorch has it as [1]
        if parts[name].shape != wanted:
            said = "; of a PyTorch Linear it is the only row, weight[0]" if name == "outer" else ""
            raise InputError(
                f"{name} must be of shape {list(wanted)} beside hidden {list(hidden.shape)}, found "
                f"{list(parts[name].shape)}{said}."
            )
    x = numbers(content["x"], "x")
    columns = x.shape[1] if x.ndim == 2 else 1
    if d != columns:
        said = "; Flax keeps kernels as [d, width], so transpose them" if width == columns else ""
        raise InputError(f"hidden has rows of {d} numbers and x of {columns}{said}.")
    each = [{name: part[i] if many else part for name, part in parts.items()} for i in range(points)]
    return [Params(**one) for one in each]  # pyright: ignore[reportArgumentType]


def _text(content: dict[str, Any], name: str, default: str) -> str:
    return str(content.get(name, default))


def _number(content: dict[str, Any], name: str, path: Path | str) -> float:
    return real(f"{name} in {path}", content[name])


def _known(content: dict[str, Any], path: Path | str, fields: tuple[str, ...]) -> None:
    unknown = sorted(set(content) - set(fields))
    if unknown:
        raise InputError(f"{path} has a field {unknown[0]!r} that is not understood; known are {', '.join(fields)}.")


def in_order(verdict: Verdict, order: np.ndarray | None) -> Verdict:
    """The verdict with escapes in the order of the file's neurons."""
    if order is None:
        return verdict
    polished = None if verdict.polished is None else in_order(verdict.polished, order)
    escape = None if verdict.escape is None else np.asarray(verdict.escape)[np.argsort(order)]
    return replace(verdict, escape=escape, polished=polished)


def _on_lines(content: dict[str, Any], path: Path) -> tuple[Porcupine, np.ndarray, np.ndarray]:
    line_of, points = numbers(content["line_of"], "line_of"), numbers(content["coefficient"], "coefficient")
    count = len(unit_lines(content["lines"]))
    points = points[None] if points.ndim == 1 else points
    if line_of.ndim != 1 or points.ndim != 2 or points.shape[1:] != line_of.shape or not points.size:
        raise InputError(
            "line_of must be [p] and coefficient [p] or [points, p], "
            f"found shapes {line_of.shape} and {np.shape(content['coefficient'])}."
        )
    if np.any(line_of != np.floor(line_of)) or np.any(line_of < 0) or np.any(line_of >= count):
        raise InputError(f"line_of must be whole numbers from 0 to {count - 1}, the place of a line in lines.")
    order = np.argsort(line_of, kind="stable")
    neurons = np.bincount(line_of.astype(int), minlength=count)
    overflow.data(teacher=numbers(content["teacher"], "teacher"))
    return porcupine(content["lines"], neurons, content["teacher"]), points[:, order], order


def _free(content: dict[str, Any], path: Path) -> tuple[TeacherStudent, np.ndarray]:
    hidden = numbers(content["hidden"], "hidden")
    if hidden.ndim == 2:
        hidden = hidden[None]
    if hidden.ndim != 3 or 0 in hidden.shape:
        raise InputError(f"hidden must be [width, d] or [points, width, d], found shape {hidden.shape}.")
    name = _text(content, "activation", "relu")
    slope = _number(content, "slope", path) if "slope" in content else 0.01
    overflow.data(teacher=numbers(content["teacher"], "teacher"))
    problem = teacher_student(content["teacher"], hidden.shape[1], name, slope)
    if hidden.shape[2] != problem.d:
        raise InputError(f"hidden has rows of {hidden.shape[2]} numbers and the teacher of {problem.d}.")
    return problem, hidden


def _object(path: Path) -> dict[str, Any]:
    """The fields of a JSON or npz file.

    Raises:
        InputError: It cannot be read, or is no object.
    """
    content = files.read(path)
    if not isinstance(content, dict):
        raise InputError(f'{path} must hold an object like {{"teacher": [[...]], "hidden": [[...]]}}.')
    return content
