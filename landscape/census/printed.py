"""A census as text and as HTML: one table, and the sentences around it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from landscape import markup
from landscape.census.levels import Level, name_of
from landscape.census.text import text_table
from landscape.records import LOWER_SEEN

SHOWN_LEVELS = 30  # rows that a printed census shows; the rest is counted, and in `--json`
LEFT = ("label", "evidence", "by")  # columns of words
HEAD = ("loss", "label", "evidence", "by", "count", "share [95%]", "orbits", "min curv.", "grad norm")


def text(census: Any) -> str:
    """A `Census` as a table, with how to read it."""
    rows = [level_row(level) for level in census.levels[:SHOWN_LEVELS]]
    lines = [*above(census), "", *text_table([HEAD, *rows], left=LEFT), *_rest(census.levels), "", *below(census)]
    if census.folder:
        lines.append(f"stored in {census.folder}")
    return "\n".join([line.rstrip() for line in lines] + list(census.said))


def html(census: Any) -> str:
    """A `Census` for a notebook."""
    rows = []
    for level in census.levels[:SHOWN_LEVELS]:
        loss, _, *others = level_row(level)
        rows.append((loss, markup.labelled(level.label, level.flavour), *others))
    title, *more = above(census)
    lines = [*_rest(census.levels), *below(census), *([f"stored in {census.folder}"] if census.folder else [])]
    parts = [
        markup.lines([markup.Html(f"<b>{markup.text(title)}</b>"), *more]),
        markup.table([HEAD, *rows], LEFT),
        markup.lines([*lines, *census.said]),
    ]
    return "\n".join(parts)


def above(census: Any) -> list[str]:
    """What was run, in lines."""
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
    return lines


def _shorter(rows: dict[str, np.ndarray]) -> str:
    """Which parts of the step that is named restarts took: it is halved where a descent does not fall."""
    parts = Counter(float(one) for one in rows.get("step_scale", ()) if one != 1.0)
    said = [f"{count} of {len(rows['restart'])} at 1/{1 / part:g} of it" for part, count in parts.most_common(3)]
    more = len(parts) - len(said)
    return "".join(f"; {one}" for one in said) + (f"; and {more} more sizes" if more > 0 else "")


def _wrong_bound(census: Any) -> str:
    """That a loss below the lower bound was seen, and by how much."""
    if not census.finished:
        return ""
    loss, error = census.rows["loss"], census.rows["loss_error"]
    seen = np.isfinite(loss) & np.isfinite(error)
    below = census.lower_bound["value"] - np.min(loss[seen] + error[seen], initial=np.inf)
    return f" is wrong: a loss {below:.3g} below it was seen" if below > 0 else ""


def level_row(level: Level) -> tuple[str, ...]:
    """The cells of a level below `HEAD`."""
    return (
        number(level.loss),
        name_of(level),
        level.evidence or "-",
        level.by or "-",
        str(level.count),
        percent(level.share, level.share_low, level.share_high),
        "-" if level.orbits is None else str(level.orbits),
        "-" if level.min_curvature != level.min_curvature else f"{level.min_curvature:.4g}",
        f"{level.grad_norm:.0e}",
    )


def number(loss: float) -> str:
    """A loss to twelve places, without the sign that rounding leaves on a zero."""
    return f"{round(loss, 12) + 0.0:.12f}" if abs(loss) < 1e4 else f"{loss:.6g}"


def percent(share: float, low: float, high: float) -> str:
    """A share with its interval, in percent."""
    return f"{100 * share:.1f}% [{100 * low:.1f}, {100 * high:.1f}]"


def _rest(levels: list[Level]) -> list[str]:
    """A count of the levels that are not shown."""
    rest = levels[SHOWN_LEVELS:]
    if not rest:
        return []
    counts: Counter[str] = Counter()
    for level in rest:
        counts[level.label] += level.count
    ends = ", ".join(f"{count} {label}" for label, count in counts.items())
    many = f"{len(rest)} more level" + ("s" if len(rest) > 1 else "")
    return [f"... and {many} (restarts: {ends}); --json has all"]


def _lower_seen(census: Any) -> str:
    """That a loss below those of all restarts was seen, where a label rests on one: no restart has ended there."""
    rows = census.rows
    witnessed = np.array([by is not None and str(by).endswith(LOWER_SEEN) for by in rows["by"]], bool)
    least = np.min(rows["loss"][witnessed] - rows["margin"][witnessed], initial=np.inf)
    return f" of restarts, {least:.6g} or less elsewhere" if least < census.best_seen else ""


def below(census: Any) -> list[str]:
    """Shares of labels, the lower bound, unseen mass, time."""
    said = [
        f"{label} {percent(share['share'], share['low'], share['high'])}"
        for label, share in census.shares().items()
        if share["share"]
    ]
    lines = [f"{census.finished} of {census.restarts} restarts: {', '.join(said) or 'none finished'}"]
    if census.lower_bound is not None:
        lines.append(f"lower bound {census.lower_bound['value']:g} ({census.lower_bound['by']}){_wrong_bound(census)}")
    elif census.best_seen is not None:
        lines.append(f"no lower bound is known; best seen {census.best_seen:.12g}{_lower_seen(census)}")
    lines.append(f"unseen mass {100 * census.unseen[0]:.2g}%, at most {100 * census.unseen[1]:.2g}% (95%)")
    seconds = census.seconds
    if seconds["total"]:  # a run read from its folder took no time
        lines.append(", ".join(f"{name} {seconds[name]:.1f} s" for name in seconds))
    return lines
