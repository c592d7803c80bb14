"""Counts, levels, orbits and shares of a run's restarts, with what can be said about what was not seen."""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape.records import Evidence, Label

LOSS_GAP = 1e-9  # losses closer than this, relative to the larger of the level's loss and the unit, are one level
LOSS_GRID = 1e-8  # losses of points that are not isolated are told apart on this grid, in units of the loss
SHOWN_LEVELS = 30  # rows that a printed census shows; the rest is counted, and in `--json`
WITHOUT_END = (Label.UNCONVERGED, Label.AT_INFINITY)  # no stationary point: no loss to be a level, no class


def wilson(count: int, total: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The 95% score interval of a binomial share (Wilson 1927); (0, 1) when nothing was counted."""
    if total == 0:
        return 0.0, 1.0
    share, z2 = count / total, z * z
    centre = share + z2 / (2 * total)
    half = z * math.sqrt(share * (1 - share) / total + z2 / (4 * total * total))
    low, high = (centre - half) / (1 + z2 / total), (centre + half) / (1 + z2 / total)
    return (0.0 if count == 0 else low), (1.0 if count == total else high)


def unseen_mass(counts: list[int]) -> tuple[float, float]:
    """The probability that the next restart ends in a class never seen, and its 95% upper limit.

    Estimate: the share of classes seen once (Good 1953, after Turing). Upper limit: Esty's (1983) normal one, and never
    below 3/N, which is what N restarts without a surprise allow.

    Args:
        counts: How often each class was seen.
    """
    total = sum(counts)
    if total == 0:
        return 1.0, 1.0
    once, twice = counts.count(1), counts.count(2)
    estimate = once / total
    esty = estimate + 1.645 * math.sqrt(once * (1 - estimate) + 2 * twice) / total
    return estimate, min(1.0, max(esty, 3 / total))


@dataclass(frozen=True)
class Level:
    """All restarts that ended with one loss, label and flavour.

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

    def as_dict(self) -> dict[str, Any]:
        """As in `--json`; not-a-number becomes null."""
        return {name: None if value != value else value for name, value in vars(self).items()}


@dataclass(frozen=True)
class Census:
    """What a run found. Prints itself as a table.

    Attributes:
        study: Name of the study.
        problem: Facts of the problem: kind, width, parameters and more.
        restarts: Number asked for.
        seed: Of the run.
        rows: One entry a finished restart in every column, ascending in "restart".
        weights: theta of one restart of every orbit and class, by restart number.
        levels: By loss.
        lower_bound: Value and source, None if there is none.
        unseen: Estimated unseen mass and its 95% upper limit.
        seconds: Where the time went.
        environment: Versions, device, dtype.
        findings: What the study measures beyond the census.
        folder: Where it is stored, None if nowhere.
    """

    study: str
    problem: dict[str, Any]
    restarts: int
    seed: int
    rows: dict[str, np.ndarray]
    weights: dict[int, np.ndarray]
    levels: list[Level]
    lower_bound: dict[str, Any] | None
    unseen: tuple[float, float]
    seconds: dict[str, float]
    environment: dict[str, Any]
    findings: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None

    @property
    def finished(self) -> int:
        """Number of restarts that are done."""
        return len(self.rows["restart"])

    @property
    def best_seen(self) -> float | None:
        """The lowest loss of any restart, None if there are none."""
        finite = self.rows["loss"][np.isfinite(self.rows["loss"])] if self.finished else np.zeros(0)
        return float(finite.min()) if len(finite) else None

    def labels(self) -> dict[str, int]:
        """Number of restarts with each label, every label named."""
        counts = Counter(self.rows["label"]) if self.finished else Counter()
        return {str(label): int(counts[str(label)]) for label in Label}

    def shares(self) -> dict[str, dict[str, float]]:
        """Share of all finished restarts with each label, with its 95% Wilson interval."""
        return {label: share(count, self.finished) for label, count in self.labels().items()}

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape run --json` prints."""
        return {
            "study": self.study,
            "problem": self.problem,
            "restarts": self.restarts,
            "seed": self.seed,
            "labels": self.labels(),
            "shares": self.shares(),
            "levels": [level.as_dict() for level in self.levels],
            "lower_bound": self.lower_bound,
            "best_seen": self.best_seen,
            "unseen_mass": self.unseen[0],
            "seconds": self.seconds,
            "environment": self.environment,
            "findings": {"finished": self.finished, "unseen_mass_upper": self.unseen[1], **self.findings},
        }

    def __str__(self) -> str:
        return render(self)


def share(count: int, total: int) -> dict[str, float]:
    """A share with its 95% Wilson interval, as in `--json`."""
    low, high = wilson(count, total)
    return {"share": count / total if total else 0.0, "low": low, "high": high}


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

    strongest = [str(e) for e in Evidence]
    evidence, grounds = codes(rows["evidence"][order])
    weakness = np.array([-1 if word is None else strongest.index(word) for word in grounds])[evidence]
    weakest = np.maximum.reduceat(weakness, first)
    weak = np.flatnonzero(weakness == weakest[level])
    weak = order[weak[np.unique(level[weak], return_index=True)[1]]]  # the row of lowest loss among the weakest

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


def _number(loss: float) -> str:
    """A loss to twelve places, without the sign that rounding leaves on a zero."""
    return f"{round(loss, 12) + 0.0:.12f}" if abs(loss) < 1e4 else f"{loss:.6g}"


def render(census: Census, width: int = 150) -> str:
    """The census as a table, with how to read it."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("loss", "label", "evidence", "by", "count", "share [95%]", "orbits", "min curv.", "grad norm"):
        table.add_column(name, justify="left" if name in ("label", "evidence", "by") else "right", no_wrap=True)
    for level in census.levels[:SHOWN_LEVELS]:
        flavour = f" ({level.flavour})" if level.flavour else ""
        table.add_row(
            _number(level.loss),
            level.label + flavour,
            level.evidence or "-",
            level.by or "-",
            str(level.count),
            f"{100 * level.share:.1f}% [{100 * level.share_low:.1f}, {100 * level.share_high:.1f}]",
            "-" if level.orbits is None else str(level.orbits),
            "-" if level.min_curvature != level.min_curvature else f"{level.min_curvature:.4g}",
            f"{level.grad_norm:.0e}",
        )
    text = io.StringIO()
    # In a notebook rich would display the lines itself and leave the text empty.
    console = Console(file=text, width=width, color_system=None, highlight=False, force_jupyter=False)
    facts = census.problem
    title = ", ".join(
        f"{name} {facts[name]}" for name in ("teacher", "lines", "width", "dimension", "activation") if name in facts
    )
    console.print(f"{census.study}: {title or facts.get('kind')} (seed {census.seed})")
    console.print(f"loss: {facts.get('normalisation', '')}")
    if "dynamics" in census.environment:
        console.print(f"basins of: {census.environment['dynamics']}")
    console.print()
    console.print(table)
    rest = census.levels[SHOWN_LEVELS:]
    if rest:
        counts: Counter[str] = Counter()
        for level in rest:
            counts[level.label] += level.count
        ends = ", ".join(f"{count} {label}" for label, count in counts.items())
        many = f"{len(rest)} more level" + ("s" if len(rest) > 1 else "")
        console.print(f"... and {many} (restarts: {ends}); --json has all")
    console.print()
    said = [
        f"{label} {100 * s['share']:.1f}% [{100 * s['low']:.1f}, {100 * s['high']:.1f}]"
        for label, s in census.shares().items()
        if s["share"]
    ]
    console.print(f"{census.finished} of {census.restarts} restarts: {', '.join(said) or 'none finished'}")
    if census.lower_bound is not None:
        console.print(f"lower bound {census.lower_bound['value']:g} ({census.lower_bound['by']})")
    elif census.best_seen is not None:
        console.print(f"no lower bound is known; best seen {census.best_seen:.12g}")
    console.print(f"unseen mass {100 * census.unseen[0]:.2g}%, at most {100 * census.unseen[1]:.2g}% (95%)")
    seconds = census.seconds
    if seconds["total"]:  # a run read from its folder took no time
        console.print(", ".join(f"{name} {seconds[name]:.1f} s" for name in seconds))
    if census.folder:
        console.print(f"stored in {census.folder}")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())
