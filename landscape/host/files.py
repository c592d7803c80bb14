"""Files that someone brings: bounded before they are read, and taken into the run that they define."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from landscape.host import tensors
from landscape.records import InputError

LIMIT = 2**27  # bytes of a file, and of the arrays of an archive together: sixteen million numbers
KEPT = 2**16  # characters of a file's content that a manifest holds in full
FIELDS = ("teacher", "lines", "data")  # of studies: those that may name a file


def read(path: Path) -> Any:
    """What a JSON, npz, safetensors or PyTorch file holds: of all but JSON the arrays by name.

    An archive says in a few bytes how large its arrays are. What it says is looked at, and compared with what it holds,
    before memory is given to it.

    Raises:
        InputError: The file cannot be read, is neither, or is larger than LIMIT.
    """
    if not is_file(path):
        raise InputError(f"{path} is no file.")
    try:
        _small(path, path.stat().st_size)
        if path.suffix in tensors.SUFFIXES:
            return tensors.tensors(path)
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


def json_of(text: str, what: str) -> Any:
    """What a text in JSON says.

    Raises:
        InputError: It is no JSON, or nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise InputError(f"{what} is nested too deeply.") from None
    except ValueError as error:  # also of a whole number with thousands of digits
        raise InputError(f"{what} is not JSON: {error}.") from None


def is_file(path: Path | str) -> bool:
    """Whether there is such a file; no text is too long or too odd to ask."""
    try:
        return Path(path).is_file()
    except (OSError, ValueError):
        return False


def taken_in(study: Any) -> tuple[Any, dict[str, dict[str, str]]]:
    """The study with the content of its small input files in place of their names, and where it came from.

    A run that holds its teacher goes on, and is shown, wherever its folder is, and whatever becomes of the file.

    Returns:
        The study; by field the full path and the SHA-256 of the file. Of a file above KEPT the study has the full path.

    Raises:
        InputError: A file cannot be read.
    """
    origin: dict[str, dict[str, str]] = {}
    said: dict[str, str] = {}
    for field in FIELDS:
        text = getattr(study, field, None)
        if not isinstance(text, str) or text in study.built_in(field) or text.lstrip("+-").isdigit():
            continue
        path = Path(text)
        if is_file(path):
            before = _digest(path)
            content = _text(read(path), field, path)
            if before != _digest(path):
                raise InputError(f"{path} is being written to; wait until it is whole.")
            origin[field] = {"path": str(path.resolve()), "digest": before}
            said[field] = content if content is not None else str(path.resolve())
    return replace(study, **said), origin


def check_origin(folder: Path, manifest: Mapping[str, Any], go_on: bool) -> None:
    """Raises InputError unless those input files of a run that are needed are what they were when it was begun.

    Args:
        folder: Of the run.
        manifest: Its manifest.
        go_on: Whether the run goes on: then a file of other content is refused even where the old content is kept.
    """
    for field, said in manifest.get("files", {}).items():
        path = Path(said["path"])
        kept = manifest["fields"].get(field) != said["path"]
        if kept and not (go_on and is_file(path)):
            continue
        if not is_file(path):
            raise InputError(f"{path}, the {field} of {folder}, is gone, and too large to be kept; put it back.")
        if _digest(path) != said["digest"]:
            raise InputError(
                f"{path} is not what it was when {folder} was begun; choose another folder, or put it back."
            )


def _text(content: Any, field: str, path: Path) -> str | None:
    """The content as the field may say it itself; None where it may not, or is too long."""
    if isinstance(content, dict):
        content = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in content.items()}
        content = {"name": path.stem, **content} if field == "data" else content.get(field)
    if not isinstance(content, dict if field == "data" else list):
        return None  # whoever reads it says what is wrong
    text = json.dumps(content)
    return text if len(text) <= KEPT else None


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error


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
