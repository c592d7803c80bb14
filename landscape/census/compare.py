"""Two censuses beside each other: which shares differ by more than chance, level by level."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape import markup
from landscape.census.census import Census
from landscape.census.levels import LOSS_GAP, WITHOUT_END, Level, name_of
from landscape.census.printed import number, percent
from landscape.census.statistics import wilson
from landscape.census.text import text_table
from landscape.records import InputError, Label

HEAD = ("loss", "label", "share of a [95%]", "share of b [95%]", "a - b [95%]", "")
LEFT = ("label", "")


@dataclass(frozen=True)
class Row:
    """One label or one level of two censuses.

    Attributes:
        loss: Of the level; None for a label as a whole.
        label: Its name, with the flavour.
        a: Share in the first census, with its interval.
        b: Share in the second one.
        difference: a - b with its 95% interval (Newcombe 1998, method 10 for independent shares).
    """

    loss: float | None
    label: str
    a: tuple[float, float, float]
    b: tuple[float, float, float]
    difference: tuple[float, float, float]

    @property
    def differs(self) -> bool:
        """Whether the interval of the difference leaves out zero."""
        return not self.difference[1] <= 0.0 <= self.difference[2]


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two censuses beside each other. Prints itself as a table, and shows itself in a notebook.

    Attributes:
        rows: Labels first, then levels from the lowest loss.
        facts: What differs between the two runs: name, value in a, value in b.
        changed: Of restarts that both finished from the same starts, how many have another label in b; None where the
            starts are not the same.
        paired: How many such restarts there are.
    """

    rows: tuple[Row, ...]
    facts: tuple[tuple[str, Any, Any], ...]
    changed: int | None
    paired: int

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape show A B --json` prints."""
        return {
            "differences": {name: {"a": a, "b": b} for name, a, b in self.facts},
            "rows": [{**vars(row), "differs": row.differs} for row in self.rows],
            "paired": self.paired,
            "changed": self.changed,
        }

    def __str__(self) -> str:
        lines = [*self._above(), "", *text_table([HEAD, *self._cells()], LEFT)]
        return "\n".join([*lines, "", *self._below()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        table = markup.table([HEAD, *self._cells()], LEFT)
        return "\n".join([markup.lines(self._above()), table, markup.lines(self._below())])

    def _above(self) -> list[str]:
        said = [f"{name}: a {a}, b {b}" for name, a, b in self.facts]
        return said or ["a and b are of one problem, with the same settings"]

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                "" if row.loss is None else number(row.loss),
                row.label,
                percent(*row.a),
                percent(*row.b),
                f"{100 * row.difference[0]:+.1f}% [{100 * row.difference[1]:+.1f}, {100 * row.difference[2]:+.1f}]",
                "differs" if row.differs else "",
            )
            for row in self.rows
        ]

    def _below(self) -> list[str]:
        many = sum(row.differs for row in self.rows)
        said = [f"{many} of {len(self.rows)} rows differ; of equal shares one in twenty does by chance"]
        if self.changed is not None:
            said.append(f"{self.changed} of {self.paired} restarts from the same starts have another label")
            said.append("intervals take the two runs for independent; from the same starts they are too wide")
        return said


def compare(a: Census, b: Census) -> Comparison:
    """What differs between two censuses: shares of labels and of levels with the interval of their difference.

    Levels are one where label and loss agree to within what tells levels apart in one census. Losses of two problems
    are compared as they are, so that levels of different problems stand in rows of their own.

    Raises:
        InputError: One of the two is no census, or has no finished restart.
    """
    for name, one in (("a", a), ("b", b)):
        if not isinstance(one, Census):
            raise InputError(f"compare takes two censuses; {name} is a {type(one).__name__}.")
        if not one.finished:
            raise InputError(f"census {name} has no finished restart to compare.")
    counts = [(None, str(label), a.labels()[label], b.labels()[label]) for label in Label]
    counts += [
        (pair[0].loss, name_of(pair[0]), *(0 if one is None else one.count for one in (pair[1], pair[2])))
        for pair in _matched(a.levels, b.levels)
    ]
    rows = [_row(loss, name, x, y, a.finished, b.finished) for loss, name, x, y in counts if x or y]
    changed, paired = _same_starts(a, b)
    return Comparison(tuple(rows), tuple(_facts(a, b)), changed, paired)


def _row(loss: float | None, name: str, x: int, y: int, n: int, m: int) -> Row:
    one, other = (x / n, *wilson(x, n)), (y / m, *wilson(y, m))
    return Row(loss, name, one, other, newcombe(x, n, y, m))


def newcombe(x: int, n: int, y: int, m: int) -> tuple[float, float, float]:
    """x / n - y / m with the 95% interval that the Wilson intervals of the two give (Newcombe 1998, method 10)."""
    p, q = x / n, y / m
    (low, high), (least, most) = wilson(x, n), wilson(y, m)
    return p - q, p - q - math.hypot(p - low, most - q), p - q + math.hypot(high - p, q - least)


def _matched(a: list[Level], b: list[Level]) -> list[tuple[Level, Level | None, Level | None]]:
    """Levels of both censuses that are one, and those of one alone, from the lowest loss; (either, of a, of b)."""
    free = [level for level in b if level.label not in WITHOUT_END]
    out: list[tuple[Level, Level | None, Level | None]] = []
    for level in (level for level in a if level.label not in WITHOUT_END):
        same = [one for one in free if one.label == level.label and _close(one.loss, level.loss)]
        if same:
            free.remove(same[0])
        out.append((level, level, same[0] if same else None))
    out += [(level, None, level) for level in free]
    return sorted(out, key=lambda pair: (pair[0].loss, pair[0].label))


def _close(one: float, other: float) -> bool:
    # Levels of one census are further apart than this; polished losses of one point agree to their rounding.
    return abs(one - other) <= LOSS_GAP * max(1.0, abs(one), abs(other))


def _facts(a: Census, b: Census) -> list[tuple[str, Any, Any]]:
    """What was not the same: problem, way down, restarts, seed."""
    pairs = [("study", a.study, b.study)]
    names = [*a.problem, *(name for name in b.problem if name not in a.problem)]
    pairs += [(name, a.problem.get(name), b.problem.get(name)) for name in names]
    pairs += [("basins of", a.environment.get("dynamics"), b.environment.get("dynamics"))]
    pairs += [("restarts", a.finished, b.finished), ("seed", a.seed, b.seed)]
    return [(name, x, y) for name, x, y in pairs if x != y]


def _same_starts(a: Census, b: Census) -> tuple[int | None, int]:
    """How many restarts changed their label, and how many both runs finished; None where starts are not the same."""
    if a.plan is None or b.plan is None or a.seed != b.seed:
        return None, 0
    one, other = a.plan, b.plan
    drawn = (one.settings.init, one.settings.init_scale) == (other.settings.init, other.settings.init_scale)
    if not drawn or one.starts is not None or other.starts is not None:
        return None, 0
    if one.problem.fingerprint() != other.problem.fingerprint():
        return None, 0
    _, i, j = np.intersect1d(a.rows["restart"], b.rows["restart"], return_indices=True)
    return int(np.sum(a.rows["label"][i] != b.rows["label"][j])), len(i)
