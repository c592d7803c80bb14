"""Which run a folder, a shard or a record belongs to: a run is one problem, one seed, one way down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from landscape.records import version_of

RUN = "run"  # in a manifest: the identity that its shards and records carry
REPORT = "report"  # in a manifest: the file of a study that keeps a report there and no restarts
DEFINES = ("study", "fields", "problem", "restarts", "seed", "settings", "fingerprint", "files")
PACKAGES = ("landscape", "jax", "jaxlib", "numpy")
WHERE = ("lanes",)  # of fields and settings: in how many lanes a run goes on makes no difference to it


def identity(manifest: Mapping[str, Any]) -> str:
    """A digest of everything in a manifest that defines the run, in hex."""
    said = {name: _plain(manifest[name]) for name in DEFINES if name in manifest}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def named(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with its identity, which every shard and record of the run will carry.

    Folders of older versions have none. In such a folder any shard is taken that fits.
    """
    return {**manifest, RUN: identity(manifest)}


def difference(held: Mapping[str, Any], asked: Mapping[str, Any]) -> str | None:
    """The first thing in which a run that is asked for differs from the one held; None where they agree.

    What only one of them says is passed over: another version may know more about a run.

    Args:
        held: The manifest of a folder.
        asked: What it should say; a part will do.
    """
    for name in DEFINES:
        if name not in held or name not in asked:
            continue
        one, other = _plain(held[name]), _plain(asked[name])
        if not isinstance(one, dict) or not isinstance(other, dict):
            if one != other:
                return name
            continue
        for key in one.keys() & other.keys():
            if key not in WHERE and one[key] != other[key]:
                return f"{name} ({key})"
    return None


@cache
def made_by() -> str:
    """The versions that decide on rounding, in words."""
    return _words({package: version_of(package) for package in PACKAGES})


def begun_by(manifest: Mapping[str, Any]) -> str:
    """The same of whoever made a run folder; nothing where its manifest does not say."""
    return _words(manifest.get("environment", {}))


def _words(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{package} {versions[package]}" for package in PACKAGES if package in versions)


def _plain(value: Any) -> Any:
    """What JSON gives back."""
    return json.loads(json.dumps(value, default=lambda array: array.tolist()))
