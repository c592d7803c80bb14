"""Data of studies: random, or from a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.records import InputError, whole

if TYPE_CHECKING:
    import numpy as np


def random_data(rows: int, dimension: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian inputs [rows, dimension] and targets [rows]."""
    import numpy as np

    rng = np.random.default_rng(draw)
    x = rng.normal(size=(whole("rows", rows, 1), whole("dimension", dimension, 1)))
    return x, rng.normal(size=rows)


def read_arrays(file: str, inputs: bool) -> tuple[Any, Any]:
    """x and y of a JSON or npz file.

    Raises:
        InputError: The file cannot be read, or lacks them.
    """
    import numpy as np

    try:
        if file.endswith(".npz"):
            with np.load(file) as read:
                content = {name: read[name] for name in read.files}
        else:
            content = json.loads(Path(file).read_text())
        return (content["x"] if inputs else None), content["y"]
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {file}: {error}.") from error
    except (KeyError, TypeError):
        raise InputError(f"{file} must hold {'x and y' if inputs else 'y'} by name.") from None
