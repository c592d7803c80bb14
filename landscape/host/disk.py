"""Files that are whole or absent after a kill, and JSON files that carry their own digest."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMAT = 1
STALE = 3600.0  # seconds; a shard is written in far less, so an older temporary has lost its writer
TEMPORARY = re.compile(r"\.writing-(?P<host>.+)-(?P<pid>\d{1,9})-[0-9a-f]{16}\.tmp")


def write(path: Path, content: bytes, fresh: bool = False) -> None:
    """The file is on disk, complete, under its name; if `fresh`, FileExistsError where the name is taken."""
    temporary = path.parent / f".writing-{_host()}-{os.getpid()}-{secrets.token_hex(8)}.tmp"
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if not fresh:
            os.replace(temporary, path)
        else:
            try:
                os.link(temporary, path)  # unlike a rename it never replaces: of two creators one wins
            except OSError:
                if path.exists():
                    raise
                os.replace(temporary, path)  # a file system without hard links
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """The folder and its parents exist, on disk."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """The names in the folder are on disk, where the system can do that."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems cannot
            raise
    finally:
        os.close(handle)


def remove_leftovers(folder: Path) -> None:
    """No temporary of a killed writer is left in the folder; those of live writers are."""
    for path in folder.iterdir():
        if (match := TEMPORARY.fullmatch(path.name)) is None:
            continue
        with contextlib.suppress(OSError):  # another was faster, or it is not ours to remove: no reason to stop
            dead = match["host"] == _host() and not _alive(int(match["pid"]))
            if dead or time.time() - path.stat().st_mtime > STALE:
                path.unlink()


def _alive(pid: int) -> bool:
    """Whether a process of this machine has that number; True where that cannot be asked."""
    if os.name != "posix":  # os.kill(pid, 0) ends the process on Windows
        return True
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno != errno.ESRCH  # EPERM: it lives, and is someone else's
    return True


def _host() -> str:
    """The name of this machine, fit for a file name."""
    return re.sub(r"[^\w.-]", "_", platform.node()) or "unknown"


def _digest(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of the canonical JSON of a manifest without its digest, in hex; the rule is the same in every format."""
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def render(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of a JSON file, its digest last."""
    return (json.dumps({**manifest, "digest": _digest(manifest)}, indent=1) + "\n").encode()


def parsed(content: bytes, digest: bool = True) -> dict[str, Any] | None:
    """The object that `render` made these bytes of, None if a bit of them is wrong.

    Args:
        content: Of a file.
        digest: Whether it must have one.
    """
    try:
        found = json.loads(content.decode())
        if not isinstance(found, dict):
            return None
        if "digest" not in found and not digest:
            return found
        whole = found.pop("digest") == _digest(found)
        # The digest sees values only: 1e-05 and 1E-05 are a bit apart and equal. Of our format, so must the bytes be.
        whole = whole and (found.get("format", FORMAT) != FORMAT or render(found) == content)
    except (ValueError, KeyError, TypeError, RecursionError):  # not text, not JSON, no digest
        return None
    return found if whole else None
