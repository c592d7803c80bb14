"""The topology of a run, kept in its folder: minima, paths and walls; what follows from them is worked out again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from landscape.host import kept
from landscape.records import InputError
from landscape.topology.graph import Graph, Minimum, Wall, Way, graph
from landscape.topology.text import answers, text

FILE = "topology.json"


@dataclass(frozen=True)
class Topology:
    """The minima of a run and what is known of the barriers between them. Prints itself.

    Attributes:
        graph: Minima, ascending in loss, with all barriers as intervals; see `landscape.topology.graph` for questions.
        points: A point of each minimum, [k, p].
        searches: What became of the searches for transition states; empty where there were none.
        asked: What it was made with: finished restarts, searches, steps, seed.
        folder: Where it is stored, None if nowhere.
    """

    graph: Graph
    points: Float[np.ndarray, "k p"] = field(repr=False)
    searches: dict[str, Any]
    asked: dict[str, int]
    folder: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape topology --json` prints."""
        return {**answers(self.graph), "searches": self.searches, "asked": self.asked}

    def __str__(self) -> str:
        lines = [text(self.graph)]
        if self.searches:
            said = "{searches} searches found {states} transition states, unseen mass at most {most:.2g}% (95%)"
            lines.append(said.format(**self.searches, most=100 * self.searches["unseen_mass_upper"]))
        return "\n".join(lines + ([f"stored in {self.folder}"] if self.folder else []))


def keep(folder: Path, found: Topology) -> None:
    """The topology is in the run folder, in place of an earlier one.

    Raises:
        InputError: It cannot be written.
    """
    known = found.graph
    kept.keep(
        folder,
        FILE,
        {
            "copies": known.copies,
            "minima": [one._asdict() for one in known.minima],
            "paths": [one._asdict() for one in known.ways],
            "walls": [one._asdict() for one in known.walls],
            "points": found.points.tolist(),
            "searches": found.searches,
            "asked": found.asked,
        },
    )


def read(folder: Path) -> Topology:
    """The topology in a run folder.

    Raises:
        InputError: There is none, it is damaged, or it is that of another run.
    """
    found = kept.read(folder, FILE)
    if found is None:
        raise InputError(f"{folder} has no topology yet; `landscape topology {folder}` makes it.")
    minima = [Minimum(**one) for one in found["minima"]]
    ways, walls = [Way(**one) for one in found["paths"]], [Wall(**one) for one in found["walls"]]
    known = graph(minima, ways, walls, found["copies"])
    return Topology(known, np.array(found["points"]), found["searches"], found["asked"], str(folder))
