"""How a run is done again: commands or Python, versions, and what identifies it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

LONGEST = 160  # characters of a field that a command is given; longer ones are in the manifest


def commands(folder: Path, manifest: dict[str, Any], defaults: dict[str, Any] | None) -> list[tuple[str, str]]:
    """What each command is for, and the command.

    Args:
        folder: Of the run.
        manifest: Its manifest.
        defaults: Of the study's fields; None for a run of a loss from Python.
    """
    where = shlex.quote(str(folder))
    if defaults is None:
        settings = {name: value for name, value in manifest["settings"].items() if name != "lanes"}
        said = "".join(f", {name}={value!r}" for name, value in settings.items())
        call = f"landscape.explore(problem, restarts={manifest['restarts']}, seed={manifest['seed']}{said})"
        show = f"landscape show {where} --problem FILE.py"
        return [
            ("Again from Python, with the same loss:", call),
            ("What the folder holds, with the loss brought again (its fingerprint is compared):", show),
        ]
    given = {name: value for name, value in manifest["fields"].items() if value != _plain(defaults.get(name))}
    long = sorted(name for name, value in given.items() if len(str(value)) > LONGEST)
    options = " ".join(_option(name, value) for name, value in given.items() if name not in long and value is not None)
    again = f"landscape run {manifest['study']} {options}".rstrip()
    of_file = f" (and {', '.join(long)}, which the manifest holds in full under fields)" if long else ""
    return [
        (f"The same run again{of_file}:", again),
        ("What the folder holds, without running anything:", f"landscape show {where}"),
    ]


def notes(manifest: dict[str, Any]) -> list[str]:
    """Versions, device, and what identifies the run."""
    where = manifest.get("environment", {})
    versions = [f"{name} {where[name]}" for name in ("landscape", "jax", "jaxlib", "numpy") if name in where]
    device = [f"{name} {where[name]}" for name in ("device", "dtype") if name in where]
    said = [f"Made with {', '.join([*versions, *device])}."] if versions else []
    said.append(f"Seed {manifest['seed']}: restart i of a seed always begins at the same point.")
    said += [f"Fingerprint of the problem: {manifest['fingerprint']}."] if "fingerprint" in manifest else []
    return said


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _option(name: str, value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    return " ".join([f"--{name.replace('_', '-')}", *(shlex.quote(str(one)) for one in values)])
