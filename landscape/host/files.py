"""JSON and npz files that someone brings, bounded before they are read."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from landscape.records import InputError

LIMIT = 2**27  # bytes of a file, and of the arrays of an archive together: sixteen million numbers


def read(path: Path) -> Any:
    """What a JSON or npz file holds: of an archive the arrays by name.

    An archive says in a few bytes how large its arrays are. What it says is looked at, and compared with what it holds,
    before memory is given to it.

    Raises:
        InputError: The file cannot be read, is neither, or is larger than LIMIT.
    """
    if not path.is_file():
        raise InputError(f"{path} is no file.")
    try:
        _small(path, path.stat().st_size)
        if path.suffix == ".npz":
            with zipfile.ZipFile(path) as archive:
                _look(path, archive)
            with np.load(path, allow_pickle=False) as data:
                return {name: data[name] for name in data}
        return json.loads(path.read_text())
    except RecursionError:
        raise InputError(f"{path} is nested too deeply.") from None
    except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        if isinstance(error, InputError):
            raise
        reason = error if path.suffix == ".npz" else f"as text it is not JSON ({error})"
        raise InputError(f"{path} is neither JSON nor npz: {reason}.") from error


def _look(path: Path, archive: zipfile.ZipFile) -> None:
    """Looks at the headers of all arrays, without reading any.

    Raises:
        InputError: They are too large, or larger than the archive says.
    """
    members = archive.infolist()
    _small(path, sum(member.file_size for member in members))
    for member in members:
        with archive.open(member) as file:
            version = np.lib.format.read_magic(file)
            reader = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version not in reader:
                raise InputError(f"{member.filename} in {path} has npy format {version}; known are 1.0 and 2.0.")
            shape, _, dtype = reader[version](file)
        count = 1
        for length in shape:  # Python's integers do not overflow
            count *= length
        if not dtype.hasobject and count * dtype.itemsize > member.file_size:
            raise InputError(f"{member.filename} in {path} says that it has shape {shape} and holds less.")


def _small(path: Path, size: int) -> None:
    if size > LIMIT:
        raise InputError(f"{path} holds {size / 2**20:.0f} MiB, and {LIMIT // 2**20} MiB are the most that is read.")
