"""Stationary points that growing networks have come to, kept in the run folder, so that what is done is done once."""

from __future__ import annotations

import itertools
import time
from pathlib import Path
from typing import Any

import numpy as np

from landscape.host import kept
from landscape.host.growth import Node, Round

SECONDS = 5.0  # new points are written at least this often


class NodeFolder:
    """The points in a run folder, some tens to a record."""

    def __init__(self, folder: Path):
        """Nothing is read yet."""
        self.folder = folder
        self.fresh: dict[bytes, Node] = {}
        self.written = time.monotonic()

    def read(self, problem: Any) -> dict[bytes, Node]:
        """All points by their key; a damaged record is set aside.

        Args:
            problem: The landscape, of any width.
        """
        found: dict[bytes, Node] = {}
        for path in sorted(self.folder.glob("points-*.json")):
            record = kept.read_or_set_aside(self.folder, path.name)
            for said in [] if record is None else record["points"]:
                found[bytes.fromhex(said["key"])] = _node(problem, said)
        return found

    def add(self, key: bytes, node: Node) -> None:
        """Takes a new point, and writes those that wait if it is time."""
        self.fresh[key] = node
        if time.monotonic() - self.written > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Writes the points that wait."""
        if self.fresh:
            names = (f"points-{number:05d}.json" for number in itertools.count())
            name = next(name for name in names if not (self.folder / name).exists())
            kept.keep(self.folder, name, {"points": [_said(key, node) for key, node in self.fresh.items()]})
            self.fresh = {}
        self.written = time.monotonic()


def _said(key: bytes, node: Node) -> dict[str, Any]:
    """A point as JSON holds it; text of a float is exact, and may say infinity."""
    return {
        "key": key.hex(),
        "round": [repr(float(value)) for value in node.round],
        "status": node.status,
        "at": [node.problem.width, node.theta.tolist()],
        "onward": None if node.onward is None else [node.onward[0].width, node.onward[1].tolist()],
    }


def _node(problem: Any, said: dict[str, Any]) -> Node:
    loss, width, *rest = (float(value) for value in said["round"])
    here, theta = _network(problem, *said["at"])
    onward = None if said["onward"] is None else _network(problem, *said["onward"])
    return Node(Round(loss, int(width), *rest), said["status"], here, theta, onward)


def _network(problem: Any, width: int, theta: list[float]) -> tuple[Any, np.ndarray]:
    return problem.of_width(width), np.array(theta, np.float64)
