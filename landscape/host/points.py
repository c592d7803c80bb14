"""Points that someone brings, from a JSON or npz file."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from landscape.problems.population import TeacherStudent, teacher_student
from landscape.records import InputError

FIELDS = ("teacher", "hidden", "activation", "slope")


def read_points(path: Path) -> tuple[TeacherStudent, np.ndarray]:
    """The problem and the points of a file: {"teacher": [[...]], "activation": "relu", "hidden": [[...]]}.

    Returns:
        The problem, and hidden weights [points, width, d].

    Raises:
        InputError: The file cannot be read, misses a field, has an unknown one, or a shape does not fit.
    """
    content = _read(path)
    unknown = sorted(set(content) - set(FIELDS))
    if unknown:
        raise InputError(f"{path} has a field {unknown[0]!r} that is not understood; known are {', '.join(FIELDS)}.")
    for name in ("teacher", "hidden"):
        if name not in content:
            raise InputError(f"{path} has no {name!r}.")
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
