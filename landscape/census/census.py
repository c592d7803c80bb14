"""What a run found: counts, levels and shares of its restarts, as a record that prints itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.census.levels import Level
from landscape.census.statistics import share
from landscape.census.text import text_table
from landscape.records import Label

if TYPE_CHECKING:
    from landscape.engine.plan import Plan

SHOWN_LEVELS = 30  # rows that a printed census shows; the rest is counted, and in `--json`


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
        plan: Of the run, where it is known: the problem that it is of, and its settings.
        said: Sentences that the study adds below the table.
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
    plan: Plan | None = field(default=None, repr=False, compare=False)
    said: tuple[str, ...] = ()

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


def _number(loss: float) -> str:
    """A loss to twelve places, without the sign that rounding leaves on a zero."""
    return f"{round(loss, 12) + 0.0:.12f}" if abs(loss) < 1e4 else f"{loss:.6g}"


def _table(levels: list[Level]) -> list[str]:
    """The lines of the levels that are shown, and a count of the others."""
    rows = [("loss", "label", "evidence", "by", "count", "share [95%]", "orbits", "min curv.", "grad norm")]
    for level in levels[:SHOWN_LEVELS]:
        flavour = f" ({level.flavour})" if level.flavour else ""
        rows.append(
            (
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
        )
    lines = text_table(rows, left=("label", "evidence", "by"))
    rest = levels[SHOWN_LEVELS:]
    if rest:
        counts: Counter[str] = Counter()
        for level in rest:
            counts[level.label] += level.count
        ends = ", ".join(f"{count} {label}" for label, count in counts.items())
        many = f"{len(rest)} more level" + ("s" if len(rest) > 1 else "")
        lines.append(f"... and {many} (restarts: {ends}); --json has all")
    return lines


def _shorter(rows: dict[str, np.ndarray]) -> str:
    """Which parts of the step that is named restarts took: it is halved where a descent does not fall."""
    parts = Counter(float(one) for one in rows.get("step_scale", ()) if one != 1.0)
    said = [f"{count} of {len(rows['restart'])} at 1/{1 / part:g} of it" for part, count in parts.most_common(3)]
    more = len(parts) - len(said)
    return "".join(f"; {one}" for one in said) + (f"; and {more} more sizes" if more > 0 else "")


def _wrong_bound(census: Census) -> str:
    """That a loss below the lower bound was seen, and by how much."""
    assert census.lower_bound is not None
    loss, error = census.rows["loss"], census.rows["loss_error"]
    seen = np.isfinite(loss) & np.isfinite(error)
    below = census.lower_bound["value"] - np.min(loss[seen] + error[seen], initial=np.inf)
    return f" is wrong: a loss {below:.3g} below it was seen" if below > 0 else ""


def render(census: Census) -> str:
    """The census as a table, with how to read it."""
    facts = census.problem
    title = ", ".join(
        f"{name} {facts[name]}"
        for name in ("teacher", "lines", "width", "dimension", "activation")
        if facts.get(name) is not None
    )
    lines = [f"{census.study}: {title or facts.get('kind')} (seed {census.seed})"]
    lines.append(f"loss: {facts.get('normalisation', '')}")
    if "dynamics" in census.environment:
        lines.append(f"basins of: {census.environment['dynamics']}{_shorter(census.rows)}")
    lines += ["", *_table(census.levels), ""]
    said = [
        f"{label} {100 * s['share']:.1f}% [{100 * s['low']:.1f}, {100 * s['high']:.1f}]"
        for label, s in census.shares().items()
        if s["share"]
    ]
    lines.append(f"{census.finished} of {census.restarts} restarts: {', '.join(said) or 'none finished'}")
    if census.lower_bound is not None:
        lines.append(f"lower bound {census.lower_bound['value']:g} ({census.lower_bound['by']}){_wrong_bound(census)}")
    elif census.best_seen is not None:
        lines.append(f"no lower bound is known; best seen {census.best_seen:.12g}")
    lines.append(f"unseen mass {100 * census.unseen[0]:.2g}%, at most {100 * census.unseen[1]:.2g}% (95%)")
    seconds = census.seconds
    if seconds["total"]:  # a run read from its folder took no time
        lines.append(", ".join(f"{name} {seconds[name]:.1f} s" for name in seconds))
    if census.folder:
        lines.append(f"stored in {census.folder}")
    return "\n".join([line.rstrip() for line in lines] + list(census.said))
