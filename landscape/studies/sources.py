"""Data, teachers and lines of studies: random, given as text, or from a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.host import files
from landscape.records import InputError, must_fit, whole

if TYPE_CHECKING:
    import numpy as np


def random_data(rows: int, dimension: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian inputs [rows, dimension] and targets [rows]."""
    import numpy as np

    # A run on them keeps some 2000 bytes a number: 1.2 GB with 300,000 rows of 2 in `zero-subnetwork`.
    must_fit(f"{rows} rows of {dimension} numbers", 2048 * whole("rows", rows, 1) * whole("dimension", dimension, 1))
    rng = np.random.default_rng(whole("draw", draw, 0, most=2**63 - 1))
    x = rng.normal(size=(whole("rows", rows, 1), whole("dimension", dimension, 1)))
    return x, rng.normal(size=rows)


def read_arrays(file: str, inputs: bool) -> tuple[Any, Any]:
    """x and y of a JSON or npz file, or of a JSON object itself; x is None where there are no inputs.

    Raises:
        InputError: The file cannot be read, or lacks them.
    """
    content = files.json_of(file, "the data") if file.startswith("{") else files.read(Path(file))
    try:
        return (content["x"] if inputs else None), content["y"]
    except (KeyError, TypeError, IndexError):
        raise InputError(f"{file} must hold {'x and y' if inputs else 'y'} by name.") from None


def read_rows(text: str, what: str) -> Any:
    """Rows of a teacher or of lines as a number of them, the rows, or the rows in a file.

    Args:
        text: A whole number, rows like [[1, 0], [0, 1]], or a JSON or npz file.
        what: Their name in a file that holds an object.

    Raises:
        InputError: The file is missing, is neither JSON nor npz, or does not have them.
    """
    text = str(text).strip()
    if text.isascii() and text.lstrip("+-").isdigit():
        return files.json_of(text.lstrip("+"), f"the {what}")
    if text.startswith("["):
        return files.json_of(text, f"the {what}")
    path = Path(text)
    if not files.is_file(path):
        raise InputError(
            f"{what} {text!r} is no file; give a JSON or npz file, rows like [[1, 0], [0, 1]], or a number."
        )
    content = files.read(path)
    if not isinstance(content, dict):
        return content
    if what not in content:
        raise InputError(f"{path} holds {', '.join(map(repr, content)) or 'nothing'}, but no {what!r}.")
    return content[what]
