"""Counts, levels, orbits and shares of a run's restarts, with what can be said about what was not seen."""

from __future__ import annotations

import io
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape.records import Evidence, Label

LOSS_GAP = 1e-9  # losses closer than this, relative to the larger of the level's loss and one, are one level
LOSS_GRID = 1e-8  # losses of points that are not isolated are told apart on this grid


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


def levels_of(rows: dict[str, np.ndarray]) -> list[Level]:
    """Restarts grouped by label, flavour and loss.

    Args:
        rows: Columns of the run; "orbit" is -1 where the point is not isolated.
    """
    orbit = rows["orbit"]
    total = len(rows["restart"])
    order = [str(e) for e in Evidence]  # strongest first
    out = []
    keys = sorted({(str(a), b or "") for a, b in zip(rows["label"], rows["flavour"], strict=True)}) if total else []
    for label, flavour in keys:
        chosen = np.flatnonzero(
            [a == label and (b or "") == flavour for a, b in zip(rows["label"], rows["flavour"], strict=True)]
        )
        chosen = chosen[np.argsort(rows["loss"][chosen], kind="stable")]
        if label in (Label.UNCONVERGED, Label.AT_INFINITY):
            groups = [chosen]  # not stationary: their losses are no levels
        else:
            loss, error = rows["loss"][chosen], rows["loss_error"][chosen]
            apart = np.diff(loss) > LOSS_GAP * np.maximum(1.0, np.abs(loss[1:])) + error[1:] + error[:-1]
            groups = np.split(chosen, np.flatnonzero(apart) + 1)
        for members in groups:
            low, high = wilson(len(members), total)
            evidence: list[str | None] = rows["evidence"][members].tolist()
            weakest = int(np.argmax([-1 if e is None else order.index(e) for e in evidence]))
            curvature = rows["min_curvature"][members]
            out.append(
                Level(
                    loss=float(rows["loss"][members[0]]),
                    label=label,
                    flavour=flavour or None,
                    evidence=evidence[weakest],
                    by=rows["by"].tolist()[members[weakest]],
                    count=len(members),
                    share=len(members) / total,
                    share_low=low,
                    share_high=high,
                    orbits=len(set(orbit[members])) if np.all(orbit[members] >= 0) else None,
                    min_curvature=float(np.nanmin(curvature)) if np.any(np.isfinite(curvature)) else math.nan,
                    grad_norm=float(np.max(rows["grad_norm"][members])),
                )
            )
    return sorted(out, key=lambda level: (not math.isfinite(level.loss), level.loss, level.label))


def class_of(rows: dict[str, np.ndarray], i: int) -> Any:
    """What row i is a member of: its orbit, or all points of its label, flavour and loss that are not isolated."""
    if rows["orbit"][i] >= 0:
        return int(rows["orbit"][i])
    loss = float(rows["loss"][i])
    return rows["label"][i], rows["flavour"][i], round(loss / LOSS_GRID) if math.isfinite(loss) else None


def class_counts(rows: dict[str, np.ndarray]) -> list[int]:
    """How often each class was reached; restarts without an end are left out."""
    ended = [i for i, label in enumerate(rows.get("label", ())) if label not in (Label.UNCONVERGED, Label.AT_INFINITY)]
    return list(Counter(class_of(rows, i) for i in ended).values())


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
    for level in census.levels:
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
        f"{name} {facts[name]}" for name in ("teacher", "width", "dimension", "activation") if name in facts
    )
    console.print(f"{census.study}: {title or facts.get('kind')} (seed {census.seed})")
    console.print(f"loss: {facts.get('normalisation', '')}")
    console.print()
    console.print(table)
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
