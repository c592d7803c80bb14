"""The topology of a run, kept in its folder: minima, paths and walls; what follows from them is worked out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from landscape.host import kept
from landscape.records import InputError
from landscape.topology.graph import Graph, Minimum, Wall, Way, graph

FILE = "topology.json"


def keep(folder: Path, graph: Graph) -> None:
    """The graph is in the run folder, in place of an earlier one.

    Raises:
        InputError: It cannot be written.
    """
    kept.keep(folder, FILE, content(graph))


def content(graph: Graph) -> dict[str, Any]:
    """The graph as JSON has it."""
    return {
        "copies": graph.copies,
        "minima": [one._asdict() for one in graph.minima],
        "paths": [one._asdict() for one in graph.ways],
        "walls": [one._asdict() for one in graph.walls],
    }


def read(folder: Path) -> Graph:
    """The graph in a run folder.

    Raises:
        InputError: There is none, it is damaged, or it is that of another run.
    """
    found = kept.read(folder, FILE)
    if found is None:
        raise InputError(f"{folder} has no topology yet.")
    minima = [Minimum(**one) for one in found["minima"]]
    ways, walls = [Way(**one) for one in found["paths"]], [Wall(**one) for one in found["walls"]]
    return graph(minima, ways, walls, found["copies"])
