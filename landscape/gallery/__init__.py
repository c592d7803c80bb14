"""Losses with known landscapes: examples of how to state one's own, and what the labels are tested on.

`landscape.gallery.examples()` is all of them by name; `problem(name)` makes one that `explore` and `label` take.
"""

from __future__ import annotations

from landscape.gallery.record import Example, Known, problem_of
from landscape.problems.from_loss import UserLoss
from landscape.records import InputError

__all__ = ["Example", "Known", "examples", "problem"]


def examples() -> dict[str, Example]:
    """Every example, by name."""
    from landscape.gallery import degenerate, factorisations, kinks, networks, particles, surfaces

    rooms = (surfaces, degenerate, kinks, particles, factorisations, networks)
    return {one.name: one for room in rooms for one in room.EXAMPLES}


def problem(name: str) -> UserLoss:
    """The landscape of an example.

    Raises:
        InputError: There is no example of this name.
    """
    found = examples()
    if name not in found:
        raise InputError(f"the gallery has no {name!r}; it has {', '.join(found)}.")
    return problem_of(found[name])
