"""The loss levels of a census: how low, how often, with which label."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.census.census import Census
from landscape.census.levels import WITHOUT_END, Level
from landscape.figures.captions import counted, in_words, noise_of, normalisation, run_named
from landscape.figures.style import FAINT, INK, axes_of, headline, proxy, quiet, say_empty, small_print, wrapped
from landscape.palette import COLOURS, MARKERS

NAMED_LEVELS = 12  # more are drawn, but only the most frequent carry their name


def loss_levels(census: Census, ax: Axes | None = None) -> Figure:
    """The loss levels of a run: how low, how often, with which label.

    A marker a level at its share of restarts, with its 95% Wilson interval. Up to 12 levels are named at the right
    edge (label, loss, number of orbits); of more, the 12 most frequent. Unconverged restarts and those that left for
    infinity have no level: they are hollow, at the least loss among them. The axis is linear, or logarithmic where
    losses span more than two decades (linear around zero if one is at zero or below).
    """
    figure, ax = axes_of(ax, (8.2, 5.0))
    levels = [level for level in census.levels if np.isfinite(level.loss)]
    ax.set_xlabel(f"share of {counted(census.finished, 'finished restart')} (%), bars: 95% Wilson interval")
    ax.set_ylabel(wrapped(f"loss F = {normalisation(census)}", 58))
    headline(ax, f"Loss levels\n{run_named(census)}")
    quiet(ax)
    if not levels:
        say_empty(ax, None if not census.finished else "no restart has a finite loss")
        return figure
    noise = noise_of(census)
    low, high = _loss_axis(ax, np.array([level.loss for level in levels]), noise)
    named = sorted(sorted(levels, key=lambda level: -level.count)[:NAMED_LEVELS], key=lambda level: level.loss)
    crowded = len(levels) > NAMED_LEVELS
    _mark_levels(ax, levels, crowded)
    ax.set_xlim(0, min(102.0, 104 * max(level.share_high for level in levels)))
    bound = census.lower_bound
    if bound is not None and low <= bound["value"] <= high:
        ax.axhline(bound["value"], color=FAINT, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
    _name_levels(ax, named, noise)
    if crowded:
        _count_labels(ax, levels)
    notes = []
    if crowded:
        notes.append(f"the {NAMED_LEVELS} most frequent of {len(levels)} levels are named")
    if bound is not None:
        notes.append(
            f"{'dashed: ' if low <= bound['value'] <= high else ''}lower bound {bound['value']:.6g} ({bound['by']})"
        )
    lost = sum(level.count for level in census.levels if not np.isfinite(level.loss))
    if lost:
        notes.append(f"{counted(lost, 'restart')} without a finite loss not drawn")
    small_print(ax, "; ".join(notes))
    return figure


def _mark_levels(ax: Axes, levels: list[Level], crowded: bool) -> None:
    """A marker a level at its share, with its interval; smaller where there are many."""
    for label in COLOURS:
        chosen = [level for level in levels if level.label == label]
        if not chosen:
            continue
        loss = np.array([level.loss for level in chosen])
        share, left, right = 100 * np.array([(level.share, level.share_low, level.share_high) for level in chosen]).T
        ax.hlines(loss, 0, share, color=COLOURS[label], linewidth=1.2 if crowded else 3.0, alpha=0.35, zorder=2)
        ax.errorbar(
            share,
            loss,
            xerr=[np.maximum(share - left, 0), np.maximum(right - share, 0)],
            color=COLOURS[label],
            marker=MARKERS[label],
            markersize=4 if crowded else 6,
            markerfacecolor="white" if label in WITHOUT_END else COLOURS[label],
            linestyle="none",
            elinewidth=0.9 if crowded else 1.3,
            capsize=0 if crowded else 3,
            alpha=0.9,
            zorder=3,
            label=label,
        )


def _count_labels(ax: Axes, levels: list[Level]) -> None:
    """A legend with the number of levels and restarts of each label."""
    groups = Counter(level.label for level in levels)
    restarts = Counter({label: sum(level.count for level in levels if level.label == label) for label in groups})
    handles = [
        proxy(
            MARKERS[x],
            COLOURS[x],
            f"{in_words(x)}: {counted(groups[x], 'level')}, {counted(restarts[x], 'restart')}",
        )
        for x in COLOURS
        if groups[x]
    ]
    ax.legend(handles=handles, edgecolor="none", framealpha=0.85, fontsize=8.5, loc="best")


def _loss_axis(ax: Axes, loss: np.ndarray, noise: float) -> tuple[float, float]:
    """Scale and limits of a loss axis; returns the limits."""
    above = np.abs(loss[np.abs(loss) > noise])
    low, high = float(np.min(loss)), float(np.max(loss))
    if len(above) and np.max(above) > 100 * np.min(above):
        least = 10.0 ** np.floor(np.log10(np.min(above)))
        if low > noise:
            ax.set_yscale("log")
            limits = low / 2, high * 2
        else:
            ax.set_yscale("symlog", linthresh=least, linscale=0.6)
            limits = (-0.35 * least if low >= -noise else 2 * low), high * 2
    else:
        span = high - low
        if span <= noise:  # one level: room below for its marker, and an axis that does not magnify rounding
            span = max(0.2 * abs(high), 0.0) if abs(high) > noise else 0.1
            limits = low - 0.5 * span, high + span
        else:
            limits = low - 0.06 * span, high + 0.06 * span
    ax.set_ylim(*limits)
    return limits


def _name_levels(ax: Axes, levels: list[Level], noise: float) -> None:
    """Names at the right edge, moved apart as little as needed, each tied to its level by a thin line."""
    height = ax.get_window_extent().height / ax.figure.dpi * 72  # points
    step = 11.5 / height
    edge = [float(ax.transAxes.inverted().transform(ax.transData.transform((0.0, level.loss)))[1]) for level in levels]
    for level, start, y in zip(levels, edge, moved_apart(np.array(edge), step), strict=True):
        x, _ = ax.transAxes.inverted().transform(ax.transData.transform((100 * level.share_high, level.loss)))
        ax.plot(
            [min(x + 0.01, 1.0), 1.0, 1.035],
            [start, start, y],
            transform=ax.transAxes,
            color=COLOURS[level.label],
            linewidth=0.6,
            alpha=0.7,
            clip_on=False,
            zorder=1,
        )
        ax.text(1.042, y, _level_name(level, noise), transform=ax.transAxes, va="center", fontsize=8.5, color=INK)


def _level_name(level: Level, noise: float) -> str:
    loss = "0 to rounding" if abs(level.loss) <= noise else f"{level.loss:.7g}"
    if level.label in WITHOUT_END:
        return f"{in_words(level.label)}, from {loss}"
    orbits = "not isolated" if level.orbits is None else counted(level.orbits, "orbit")
    return f"{in_words(level.label)}, {loss}, {orbits}"


def moved_apart(wanted: np.ndarray, step: float) -> np.ndarray:
    """Ascending positions in [0, 1], at least `step` apart (or evenly spread if there is no room), near those wanted.

    The least sum of squared shifts: y_i - i step must ascend, which is an isotonic regression.
    """
    from scipy.optimize import isotonic_regression

    if not len(wanted):
        return wanted
    step = min(step, 1.0 / max(1, len(wanted) - 1))
    shift = step * np.arange(len(wanted))
    free = isotonic_regression(wanted - shift).x
    return np.clip(free, 0.0, 1.0 - shift[-1]) + shift
