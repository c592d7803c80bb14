"""The topology of a run: its minima, the barriers between them, and the disconnectivity graph as a picture."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

from landscape.cli.arguments import OK, ascii_digits, read_options, use_64_bits
from landscape.cli.brought import problem_in
from landscape.records import InputError

USAGE = "topology DIR [options]; `landscape topology --help` lists the options"


@dataclasses.dataclass(frozen=True)
class Asked:
    """Options of `landscape topology`.

    Attributes:
        searches: For transition states between minima, from the minima of each of two rounds; a loss with kinks has
            none.
        steps: Of the string method.
        seed: Of the searches.
        level: Also say which minima share a component of the sublevel set at this loss with a global one.
        problem: FILE.py, for a run of a loss from Python: its variable `problem` is that loss.
        out: The PNG file to draw the disconnectivity graph into; DIR/figures/disconnectivity.png by default.
        json: Print one JSON object and nothing else.
    """

    searches: int = 400
    steps: int = 400
    seed: int = 0
    level: float | None = None
    problem: str | None = None
    out: str | None = None
    json: bool = False


def topology(arguments: list[str]) -> int:
    where = arguments.pop(0) if arguments and not arguments[0].startswith("-") else None
    ascii_digits(arguments)
    about = "The minima of a run, the barriers between them, and the disconnectivity graph."
    more = "`landscape topology --help` lists the options"
    asked = read_options(Asked, arguments, "landscape topology DIR", about, more)
    if where is None:
        raise InputError(f"topology needs the folder of a run; usage: landscape {USAGE}.")
    if asked.level is not None and not math.isfinite(asked.level):
        raise InputError(f"level must be a finite number, found {asked.level}.")
    use_64_bits()
    from landscape.figures.disconnectivity import disconnectivity
    from landscape.figures.style import save
    from landscape.studies.topology import topology_of
    from landscape.topology.text import answers_at, text_at

    folder = Path(where)
    found = topology_of(folder, problem_in(asked.problem), searches=asked.searches, steps=asked.steps, seed=asked.seed)
    if asked.out is None:
        (folder / "figures").mkdir(exist_ok=True)
    drawn = save(
        disconnectivity(found.graph),
        folder / "figures" / "disconnectivity.png" if asked.out is None else Path(asked.out),
    )
    if asked.json:
        more = {} if asked.level is None else {"at": answers_at(found.graph, asked.level)}
        print(json.dumps({**found.as_dict(), **more}, allow_nan=False))
        return OK
    print(found)
    if asked.level is not None:
        print(text_at(found.graph, asked.level))
    print(drawn)
    return OK
