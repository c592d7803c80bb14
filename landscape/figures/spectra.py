"""Hessian spectra of the points of a census."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.census.census import Census
from landscape.census.levels import WITHOUT_END
from landscape.census.spectra import LevelSpectrum
from landscape.figures.captions import in_words, noise_of, normalisation, run_named
from landscape.figures.style import (
    FAINT,
    GRID,
    INK,
    NEGATIVE,
    POSITIVE,
    axes_of,
    headline,
    quiet,
    say_empty,
    small_print,
)
from landscape.palette import COLOURS
from landscape.records import Label

SAME_EIGENVALUE = 1e-6  # of the largest: polished eigenvalues agree to 1e-9 and better, distinct ones differ by 1e-3


def spectra(census: Census, found: list[LevelSpectrum], ax: Axes | None = None) -> Figure:
    """Hessian spectra of the points found, a row a level, lowest loss at the bottom.

    A stick stands for eigenvalues that agree to 1e-6 of the largest; its height grows with the logarithm of their
    number, which is written above where there is room. Eigenvalues negative by more than their error are coloured.
    The axis is logarithmic with a linear part around zero where eigenvalues span more than a decade.
    """
    figure, ax = axes_of(ax, (8.2, 1.9 + 0.52 * max(2, len(found))))
    headline(ax, f"Hessian spectra of the points found\n{run_named(census)}")
    quiet(ax, grid="x")
    ax.set_yticks([])
    label = "eigenvalue of the Hessian of F"
    values = np.concatenate([row.eigenvalues for row in found]) if found else np.zeros(0)
    if not len(values):
        ax.set_xlabel(f"{label},  F = {normalisation(census)}")
        say_empty(ax, None if not census.finished else "no stationary point with weights and a finite Hessian")
        return figure
    linear = _eigenvalue_axis(ax, values)
    around = "" if linear is None else f" (linear within ±{linear:g})"
    ax.set_xlabel(f"{label}{around}\nF = {normalisation(census)}")
    ax.axvline(0.0, color=FAINT, linewidth=0.9, zorder=1)
    tallest = np.log1p(max(max((m for _, m in multiplicities(row.eigenvalues)), default=1) for row in found))
    noise, names = noise_of(census), []
    for y, row in enumerate(found):
        ax.axhline(y, color=GRID, linewidth=0.8, zorder=0)
        sticks = multiplicities(row.eigenvalues)
        for negative in (False, True):
            some = [(x, m) for x, m in sticks if (x < -row.error) == negative]
            if some:
                x, m = np.array(some).T
                colour = NEGATIVE if negative else POSITIVE
                ax.vlines(x, y, y + 0.62 * np.log1p(m) / tallest, color=colour, linewidth=1.8, zorder=3)
        if not sticks:
            ax.text(
                0.5,
                y + 0.2,
                "the Hessian is not finite here",
                transform=ax.get_yaxis_transform(),
                fontsize=8,
                color=FAINT,
            )
        _count_sticks(ax, sticks, y, tallest)
        level = row.level
        loss = "0 to rounding" if abs(level.loss) <= noise else f"{level.loss:.6g}"
        which = "" if level.orbits is None or level.orbits == 1 else f", 1 of {level.orbits} orbits"
        names.append(f"{in_words(level.label)}{which}\nF = {loss},  {100 * level.share:.3g}%")
    ax.set_ylim(-0.25, len(found) - 0.02)
    ax.set_yticks(np.arange(len(found)) + 0.25, names, fontsize=8.5)
    ax.tick_params(axis="y", length=0)
    for text, row in zip(ax.get_yticklabels(), found, strict=True):
        text.set_color(INK if row.level.label == Label.UNCONVERGED else COLOURS[row.level.label])
    eligible = sum(level.label not in WITHOUT_END for level in census.levels)
    count = max(len(row.eigenvalues) for row in found)
    notes = [f"{count} eigenvalues at one point of each level; height: log of the multiplicity, written where it fits"]
    if any(np.any(row.eigenvalues < -row.error) for row in found):
        notes.append("magenta: negative by more than its error")
    if eligible > len(found):
        notes.append(f"{len(found)} of {eligible} levels")
    small_print(ax, "; ".join(notes))
    return figure


def multiplicities(eigenvalues: np.ndarray) -> list[tuple[float, int]]:
    """(mean, number) of every group of eigenvalues without a gap above 1e-6 of the largest."""
    if not len(eigenvalues):
        return []
    gaps = np.diff(eigenvalues) > SAME_EIGENVALUE * np.max(np.abs(eigenvalues))
    return [(float(np.mean(group)), len(group)) for group in np.split(eigenvalues, np.flatnonzero(gaps) + 1)]


def _eigenvalue_axis(ax: Axes, values: np.ndarray) -> float | None:
    """Scale and limits of an eigenvalue axis; the half-width of its linear part, None if all of it is."""
    largest = float(np.max(np.abs(values))) or 1.0
    low, high = min(0.0, float(np.min(values))), max(0.0, float(np.max(values)))
    clear = np.abs(values[np.abs(values) > 1e-4 * largest])
    if not len(clear) or largest < 10 * np.min(clear):
        pad = 0.05 * (high - low or 1.0)
        ax.set_xlim(low - pad, high + pad)
        return None
    linear = float(10.0 ** np.floor(np.log10(np.min(clear))))
    ax.set_xscale("symlog", linthresh=linear, linscale=0.5)
    ax.set_xlim(
        1.5 * low if low < -linear else min(1.5 * low, -0.25 * linear), 1.5 * high if high > linear else 0.5 * linear
    )
    return linear


def _count_sticks(ax: Axes, sticks: list[tuple[float, int]], y: float, tallest: float) -> None:
    """Multiplicities above their sticks, largest first, where none is in the way."""
    width = ax.get_window_extent().width / ax.figure.dpi * 72  # points
    position = [float(ax.transAxes.inverted().transform(ax.transData.transform((x, y)))[0]) * width for x, _ in sticks]
    written: list[tuple[float, float]] = []
    for i in sorted(range(len(sticks)), key=lambda i: -sticks[i][1]):
        x, m = sticks[i]
        half = 2.2 * len(str(m)) + 0.6  # points, at size 7
        left, right = position[i] - half, position[i] + half
        top = np.log1p(m) / tallest
        clear = all(right < a or left > b for a, b in written)
        hidden = any(
            left - 1 < position[j] < right + 1 and np.log1p(sticks[j][1]) / tallest > top for j in range(len(sticks))
        )
        if m > 1 and clear and not hidden:
            written.append((left, right))
            text = ax.text(x, y + 0.62 * top + 0.02, str(m), ha="center", va="bottom", fontsize=7, color=INK, zorder=4)
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85})  # over the zero line
