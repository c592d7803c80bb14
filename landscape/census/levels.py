"""Levels and classes: restarts grouped by label, flavour, loss and orbit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from landscape import markup
from landscape.census.statistics import wilson
from landscape.records import Evidence, Label

LOSS_GAP = 1e-9  # losses closer than this, relative to the larger of the level's loss and the unit, are one level
LOSS_GRID = 1e-8  # losses of points that are not isolated are told apart on this grid, in units of the loss
WITHOUT_END = (Label.UNCONVERGED, Label.AT_INFINITY)  # no stationary point: no loss to be a level, no class


@dataclass(frozen=True, repr=False)
class Level:
    """All restarts that ended with one loss, label and flavour. Prints itself in a line.

    Attributes:
        loss: Their loss (the lowest of them).
        label: Of all of them.
        flavour: Of all of them.
        evidence: The weakest among them.
        by: What decided, for the weakest.
        count: Number of restarts.
        share: Of all restarts, with its 95% Wilson interval `share_low`, `share_high`.
        orbits: Number of distinct isolated points up to symmetry; None for a set that is not isolated.
        min_curvature: Least Hessian eigenvalue found on the level, NaN if none was computed.
        grad_norm: Largest gradient norm on the level.
    """

    loss: float
    label: str
    flavour: str | None
    evidence: str | None
    by: str | None
    count: int
    share: float
    share_low: float
    share_high: float
    orbits: int | None
    min_curvature: float
    grad_norm: float

    def __str__(self) -> str:
        share = f"{100 * self.share:.1f}% [{100 * self.share_low:.1f}, {100 * self.share_high:.1f}]"
        orbits = "not isolated" if self.orbits is None else f"{self.orbits} orbit{'' if self.orbits == 1 else 's'}"
        ground = f"; {self.evidence} by {self.by}" if self.evidence else ""
        return f"{name_of(self)}, loss {self.loss:.12g}, {self.count} restarts, {share}, {orbits}{ground}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        name = markup.labelled(self.label, self.flavour)
        return f"<div>{name}{markup.text(str(self).removeprefix(name_of(self)))}</div>"

    def as_dict(self) -> dict[str, Any]:
        """As in `--json`; not-a-number becomes null."""
        return {name: None if value != value else value for name, value in vars(self).items()}


def name_of(level: Level) -> str:
    """Label and flavour in words."""
    return f"{level.label} ({level.flavour})" if level.flavour else level.label


def members(rows: dict[str, np.ndarray], levels: list[Level], level: Level) -> np.ndarray:
    """Which rows are of a level, boolean [r].

    Args:
        rows: Columns of the run.
        levels: All of the run.
        level: One of them.
    """
    member = rows["label"] == level.label
    member &= np.array([(flavour or None) == level.flavour for flavour in rows["flavour"]], bool)
    if level.label in WITHOUT_END:
        return member
    kin = [one.loss for one in levels if (one.label, one.flavour) == (level.label, level.flavour)]
    end = min((loss for loss in kin if loss > level.loss), default=np.inf)
    return member & (rows["loss"] >= level.loss) & (rows["loss"] < end)


def levels_of(rows: dict[str, np.ndarray], unit: float = 1.0) -> list[Level]:
    """Restarts grouped by label, flavour and loss.

    Args:
        rows: Columns of the run; "orbit" is -1 where the point is not isolated.
        unit: Of the loss.
    """
    total = len(rows["restart"])
    if not total:
        return []
    label, labels = codes(rows["label"])
    flavour, flavours = codes(rows["flavour"], none="")
    loss = rows["loss"]
    order = np.lexsort((loss, flavour, label))
    label, flavour, loss, error = label[order], flavour[order], loss[order], rows["loss_error"][order]
    with np.errstate(invalid="ignore"):  # the losses of restarts that diverged
        apart = np.diff(loss) > LOSS_GAP * np.maximum(unit, np.abs(loss[1:])) + error[1:] + error[:-1]
    # Not stationary: their losses are no levels.
    apart &= ~np.isin(label, [i for i, word in enumerate(labels) if word in WITHOUT_END])[1:]
    apart |= (np.diff(label) != 0) | (np.diff(flavour) != 0)
    first = np.concatenate([[0], np.flatnonzero(apart) + 1])  # of each level, in `order`
    level = np.cumsum(np.concatenate([[0], apart]))

    weak = order[_weakest(rows["evidence"][order], level, first)]
    orbit = rows["orbit"][order]
    isolated = np.minimum.reduceat(orbit, first) >= 0
    pairs = np.lexsort((orbit, level))
    fresh = np.concatenate([[True], (np.diff(level[pairs]) != 0) | (np.diff(orbit[pairs]) != 0)])
    orbits = np.bincount(level[pairs][fresh])

    counts = np.bincount(level)
    curvature = rows["min_curvature"][order]
    curvature = np.fmin.reduceat(np.where(np.isfinite(curvature), curvature, np.nan), first)  # NaN only if all are
    grad_norm = np.maximum.reduceat(rows["grad_norm"][order], first)
    out = []
    for i, row in enumerate(weak):
        count = int(counts[i])
        low, high = wilson(count, total)
        out.append(
            Level(
                loss=float(loss[first[i]]),
                label=str(labels[label[first[i]]]),
                flavour=flavours[flavour[first[i]]] or None,
                evidence=rows["evidence"].item(row),
                by=rows["by"].item(row),
                count=count,
                share=count / total,
                share_low=low,
                share_high=high,
                orbits=int(orbits[i]) if isolated[i] else None,
                min_curvature=float(curvature[i]),
                grad_norm=float(grad_norm[i]),
            )
        )
    return sorted(out, key=lambda level: (not math.isfinite(level.loss), level.loss, level.label))


def _weakest(evidence: np.ndarray, level: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The row of the weakest evidence of each level, of several the first, [levels].

    Args:
        evidence: Of each row, [r], ascending in level.
        level: Of each row, [r].
        first: Row at which each level begins, [levels].
    """
    strongest = [str(e) for e in Evidence]
    ground, grounds = codes(evidence)
    weakness = np.array([-1 if word is None else strongest.index(word) for word in grounds])[ground]
    weak = np.flatnonzero(weakness == np.maximum.reduceat(weakness, first)[level])
    return weak[np.unique(level[weak], return_index=True)[1]]


def codes(column: np.ndarray, none: str | None = None) -> tuple[np.ndarray, list[Any]]:
    """The rank of each text among the texts of a column, [r], and these texts ascending; None counts as `none`."""
    entries = column.tolist()
    words = sorted({none if word is None else word for word in set(entries)}, key=lambda word: (word is not None, word))
    rank: dict[Any, int] = {word: i for i, word in enumerate(words)}
    rank.setdefault(None, rank.get(none, 0))
    return np.fromiter(map(rank.__getitem__, entries), np.int64, len(entries)), words


def class_ids(rows: dict[str, np.ndarray], unit: float = 1.0) -> np.ndarray:
    """What each row is a member of, [r]: rows are of one class iff their numbers, which count from zero, are equal.

    A class is an orbit, or all points of one label, flavour and loss that are not isolated. Restarts without an end
    have no loss to speak of: their label and flavour alone decide.
    """
    loose = np.flatnonzero(rows["orbit"] < 0)
    label, labels = codes(rows["label"][loose])
    flavour, flavours = codes(rows["flavour"][loose])
    loss = rows["loss"][loose]
    ends = ~np.isin(label, [i for i, word in enumerate(labels) if word in WITHOUT_END]) & np.isfinite(loss)
    _, grid = np.unique(np.where(ends, np.round(loss / (LOSS_GRID * unit)), np.inf), return_inverse=True)
    _, kind = np.unique((grid * len(labels) + label) * len(flavours) + flavour, return_inverse=True)
    number = rows["orbit"].astype(np.int64)
    number[loose] = -1 - kind
    return np.unique(number, return_inverse=True)[1]


def class_counts(rows: dict[str, np.ndarray], unit: float = 1.0) -> list[int]:
    """How often each class was reached; restarts without an end are left out."""
    if not len(rows["restart"]):
        return []
    label, labels = codes(rows["label"])
    ended = ~np.isin(label, [i for i, word in enumerate(labels) if word in WITHOUT_END])
    counts = np.bincount(class_ids(rows, unit)[ended])
    return counts[counts > 0].tolist()
