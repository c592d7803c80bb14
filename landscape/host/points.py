"""Points that someone brings, from a JSON or npz file."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape.problems.population import TeacherStudent, teacher_student
from landscape.problems.porcupine import Porcupine, porcupine
from landscape.records import InputError, Verdict

FIELDS = ("teacher", "hidden", "activation", "slope")
ON_LINES = ("lines", "teacher", "line_of", "coefficient")


def read_points(path: Path) -> tuple[TeacherStudent | Porcupine, np.ndarray, np.ndarray | None]:
    """The problem and the points of a file.

    Free networks: {"teacher": [[...]], "activation": "relu", "hidden": [[...]]}; neurons on lines: {"lines": [[...]],
    "teacher": [[...]], "line_of": [...], "coefficient": [...]}, the line and the coefficient of each neuron.

    Returns:
        The problem; hidden weights [points, width, d], or coefficients [points, p] line by line; and then the place of
        each of these neurons in the file, [p].

    Raises:
        InputError: The file cannot be read, misses a field, has an unknown one, or a shape does not fit.
    """
    content = _read(path)
    on_lines = "lines" in content
    fields = ON_LINES if on_lines else FIELDS
    unknown = sorted(set(content) - set(fields))
    if unknown:
        raise InputError(f"{path} has a field {unknown[0]!r} that is not understood; known are {', '.join(fields)}.")
    for name in ON_LINES if on_lines else ("teacher", "hidden"):
        if name not in content:
            raise InputError(f"{path} has no {name!r}.")
    return _on_lines(content, path) if on_lines else (*_free(content, path), None)


def in_order(verdict: Verdict, order: np.ndarray | None) -> Verdict:
    """The verdict with escapes in the order of the file's neurons."""
    if order is None:
        return verdict
    polished = None if verdict.polished is None else in_order(verdict.polished, order)
    escape = None if verdict.escape is None else np.asarray(verdict.escape)[np.argsort(order)]
    return replace(verdict, escape=escape, polished=polished)


def _on_lines(content: dict[str, Any], path: Path) -> tuple[Porcupine, np.ndarray, np.ndarray]:
    try:
        line_of, points = np.asarray(content["line_of"], np.float64), np.asarray(content["coefficient"], np.float64)
    except (TypeError, ValueError):
        raise InputError(f"line_of and coefficient in {path} must be numbers, one a neuron.") from None
    count = len(content["lines"]) if np.ndim(content["lines"]) == 2 else 0
    points = points[None] if points.ndim == 1 else points
    if line_of.ndim != 1 or points.ndim != 2 or points.shape[1:] != line_of.shape or not points.size:
        raise InputError(
            "line_of must be [p] and coefficient [p] or [points, p], "
            f"found shapes {line_of.shape} and {np.shape(content['coefficient'])}."
        )
    if np.any(line_of != np.floor(line_of)) or np.any(line_of < 0) or (count and np.any(line_of >= count)):
        raise InputError(f"line_of must be whole numbers from 0 to {count - 1}, the place of a line in lines.")
    order = np.argsort(line_of, kind="stable")
    neurons = np.bincount(line_of.astype(int), minlength=count)
    return porcupine(content["lines"], neurons, content["teacher"]), points[:, order], order


def _free(content: dict[str, Any], path: Path) -> tuple[TeacherStudent, np.ndarray]:
    try:
        hidden = np.asarray(content["hidden"], np.float64)
    except (TypeError, ValueError):
        raise InputError(f"hidden in {path} must be rows of numbers, all of one length.") from None
    if hidden.ndim == 2:
        hidden = hidden[None]
    if hidden.ndim != 3 or 0 in hidden.shape:
        raise InputError(f"hidden must be [width, d] or [points, width, d], found shape {hidden.shape}.")
    name = str(content.get("activation", "relu"))
    problem = teacher_student(content["teacher"], hidden.shape[1], name, float(content.get("slope", 0.01)))
    if hidden.shape[2] != problem.d:
        raise InputError(f"hidden has rows of {hidden.shape[2]} numbers and the teacher of {problem.d}.")
    return problem, hidden


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise InputError(f"{path} is no file.")
    try:
        if path.suffix == ".npz":
            with np.load(path) as data:
                return {name: data[name] for name in data}
        content = json.loads(path.read_text())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} is neither JSON nor npz: {error}.") from error
    if not isinstance(content, dict):
        raise InputError(f'{path} must hold an object like {{"teacher": [[...]], "hidden": [[...]]}}.')
    return content
