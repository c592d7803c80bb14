"""Reading JSON and npz files that someone brings."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

from landscape.records import InputError


def read(path: Path, refusal: str = "is neither JSON nor npz") -> Any:
    """The content of a file: of JSON what it says, of npz its arrays by name.

    Args:
        path: The file; npz by its suffix, else JSON.
        refusal: What is said of a file that cannot be read as either.

    Raises:
        InputError: It is not there, or cannot be read.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file.")
    try:
        if path.suffix == ".npz":
            import numpy as np

            with np.load(path) as data:
                return {name: data[name] for name in data}
        return json.loads(path.read_text())
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} {refusal}: {error}.") from error
