"""Records of a run folder beside its shards: JSON files, each with the identity of its run and a digest of its own."""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from landscape.host import disk, store
from landscape.host.identity import RUN
from landscape.records import InputError

try:
    import fcntl
except ImportError:  # Windows has other locks, and gets none
    fcntl = None


def keep(folder: Path, name: str, content: Mapping[str, Any]) -> None:
    """The record is in the run folder, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    run = _run(folder)
    try:
        disk.write(folder / name, disk.render({**content, RUN: run}))
    except OSError as error:
        raise InputError(f"cannot write {folder / name}: {error.strerror}.") from error


def read(folder: Path, name: str) -> dict[str, Any] | None:
    """The record of this name as it was given, None if there is none.

    Raises:
        InputError: A bit of it is wrong, or it is that of another run.
    """
    path = folder / name
    run = _run(folder)
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error
    found = disk.parsed(content, digest=run is not None)  # folders of older versions have none
    if found is None:
        raise InputError(f"{path} is damaged; `landscape resume {folder}` does again what it held.")
    if found.pop(RUN, run) != run:
        raise InputError(f"{path} is of another run; `landscape resume {folder}` does again what it held.")
    return found


def read_or_set_aside(folder: Path, name: str) -> dict[str, Any] | None:
    """The record of this name; a damaged one is renamed, said so on standard error, and counts as none."""
    try:
        return read(folder, name)
    except InputError:
        store.read_manifest(folder)  # where that is damaged no record can be told from another run's
        endings = (".damaged" if count == 1 else f".{count}.damaged" for count in itertools.count(1))
        aside = next(path for end in endings if not (path := folder / f"{name}{end}").exists())
        (folder / name).rename(aside)
        print(f"landscape: {folder / name} was damaged; it is kept as {aside.name}, and done again.", file=sys.stderr)
        return None


def sweep(folder: Path) -> None:
    """Looks at everything below a finished run, and says on standard error what is damaged: nobody else reads it."""
    for path in sorted(folder.rglob("*.json")):
        if path.name != store.MANIFEST and path.parent == folder:
            read_or_set_aside(folder, path.name)
    for path in sorted(folder.glob(f"*/{store.MANIFEST}")):
        try:
            damaged = store.read(path.parent).damaged
        except InputError as error:
            print(f"landscape: {error}", file=sys.stderr)
            continue
        for name in store.set_damaged_aside(path.parent, damaged):
            print(f"landscape: a shard of {path.parent} was damaged; it is kept as {name}.", file=sys.stderr)


def _run(folder: Path) -> str | None:
    """The identity of the folder's run; None where it has none, or is no run folder."""
    return store.read_manifest(folder).get(RUN) if (folder / store.MANIFEST).exists() else None


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Inside, no other process writes to the run folder: the lock is the system's, and a dead process holds none.

    Raises:
        InputError: Another process is at work there.
    """
    with contextlib.ExitStack() as stack:
        if fcntl is not None:
            try:
                file = stack.enter_context((folder / store.MANIFEST).open("r+b"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InputError(f"another process is at work on {folder}; wait for it, or stop it.") from None
            except OSError:
                pass  # a file system without locks, or one that cannot be written to: what writes says so
        yield


@contextlib.contextmanager
def withdrawn_if_refused(folder: Path | None) -> Iterator[None]:
    """Takes back a new folder where what is inside is refused before anything is done: the next command may have it."""
    try:
        yield
    except InputError:
        if folder is not None:
            withdraw(folder)
        raise


def withdraw(folder: Path) -> None:
    """Removes the manifests and empty folders of a run in which nothing was done; nothing if there is anything else."""
    with contextlib.suppress(OSError):
        paths = sorted(folder.rglob("*"), reverse=True)  # what is inside before what holds it
        if any(path.is_file() and path.name != store.MANIFEST for path in paths):
            return
        for path in paths:
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()
