"""Descents: loss above its lower bound and gradient norm against the step."""

from __future__ import annotations

from collections import Counter

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure as _Figure
from matplotlib.lines import Line2D

from landscape.census.census import Census
from landscape.census.levels import WITHOUT_END
from landscape.figures.captions import counted, in_words, run_named, sizes
from landscape.figures.style import DPI, FAINT, UNKNOWN, Figure, quiet, say_empty, small_print, wrapped
from landscape.palette import COLOURS
from landscape.problems.problem import Problem
from landscape.trajectory import Curves

SINGLE_CURVES = 200  # more descents than this are drawn as median and quantiles


def draw_curves(
    curves: Curves, problem: Problem, census: Census | None = None, axes: tuple[Axes, Axes] | None = None
) -> _Figure:
    """Two panels over the step: the loss above its lower bound (above zero if none is known), the gradient norm.

    Losses below the rounding floor are drawn on it. More than 200 descents are drawn as median and 10% to 90%
    quantiles of each label. Descents are coloured by label only if those that have converged end at the losses of
    the census: other settings, or given starts, would put a label on a descent that it does not belong to.

    Args:
        curves: From `sample_curves`.
        problem: The landscape, for bound and normalisation.
        census: Of the same run.
        axes: Where to draw loss and gradient norm.
    """
    if axes is None:
        figure = Figure(figsize=(9.4, 4.6), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
    else:
        left, right = axes
        figure = left.figure  # type: ignore[assignment]
    bound = problem.lower_bound
    finite = curves.loss[np.isfinite(curves.loss)]
    base, said = (bound.value, "lower bound") if bound is not None else (0.0, "")
    if bound is None and len(finite) and np.min(finite) <= 0:
        base, said = float(np.min(finite)), "least loss of the sample"
    above = "loss F" if base == 0 else f"F - {base:.6g} ({said})\nF"
    labels, mismatch = _labels_of(curves, problem, census)
    left.set_ylabel(wrapped(f"{above} = {problem.normalisation}", 58))
    right.set_ylabel("norm of the gradient of F")
    floor = curves.floor if np.isfinite(curves.floor) and curves.floor > 0 else np.finfo(float).tiny
    excess = np.maximum(curves.loss - base, floor)  # NaN stays NaN
    for ax, y in ((left, excess), (right, curves.grad_norm)):
        ax.set_xlabel("step of the descent")
        quiet(ax, grid="both")
        if not np.any(np.isfinite(y)):
            say_empty(ax, None if not y.size else "no finite value")
            continue
        ax.set_yscale("log")
        ax.set_xlim(0, max(1, curves.steps[-1]))
        _draw_lines(ax, curves.steps, y, labels)
        _log_limits(ax, y)
    if np.any(np.isfinite(excess)) and np.isfinite(curves.floor):
        _mark_rounding(left, float(np.nanmin(excess)), floor)
    if census is not None and not mismatch:
        _name_labels(right, labels, census)
    run = run_named(census) if census is not None else ", ".join(sizes({"kind": problem.kind, "width": problem.width}))
    figure.suptitle(
        wrapped(f"{counted(len(curves.restarts), 'descent')} of {run}", 100), fontsize=11, x=0.01, ha="left"
    )
    if mismatch:
        small_print(
            right, "labels not shown: these descents do not end where those of the run did (other settings or starts)"
        )
    elif len(curves.restarts) > SINGLE_CURVES:
        small_print(right, "lines: median of each label; bands: 10% to 90%")
    return figure  # type: ignore[return-value]


def _mark_rounding(ax: Axes, least: float, floor: float) -> None:
    """A band below the rounding floor, where a loss comes near it."""
    top = ax.get_ylim()[1]
    if least < 100 * floor:
        ax.set_ylim(floor / 30, top)
        ax.axhspan(floor / 30, floor, color="#EFEFEF", zorder=0)
        ax.text(
            0.02,
            np.sqrt(floor * floor / 30),
            "rounding",
            transform=ax.get_yaxis_transform(),
            va="center",
            fontsize=9,
            color=FAINT,
        )


def _name_labels(ax: Axes, labels: list[str], census: Census) -> None:
    """A legend with the number of descents of each label, and its share in the whole run where these are a sample."""
    counts, shares = Counter(labels), census.shares()
    handles = []
    for label in (*COLOURS, "descent"):
        if counts[label]:
            said = f"{in_words(label)} ({counts[label]})"
            if label in shares and len(labels) < census.finished:
                said = f"{in_words(label)}: {counts[label]} drawn, {100 * shares[label]['share']:.1f}% of the run"
            handles.append(Line2D([], [], color=COLOURS.get(label, UNKNOWN), linewidth=2, label=said))
    if handles:
        ax.legend(handles=handles, frameon=False, fontsize=9, loc="best")


def _labels_of(curves: Curves, problem: Problem, census: Census | None) -> tuple[list[str], bool]:
    """Label of each descent ("descent" if unknown), and whether the descents are not those of the census."""
    unknown = ["descent"] * len(curves.restarts)
    if census is None or not census.finished or not len(curves.restarts):
        return unknown, False
    rows = census.rows
    at = {int(restart): i for i, restart in enumerate(rows["restart"])}
    index = [at.get(int(restart)) for restart in curves.restarts]
    end, slope = curves.loss[-1], curves.grad_norm[-1]
    for j, i in enumerate(index):
        if i is None or not np.isfinite(end[j]) or slope[j] > 1e-5 * problem.scale or rows["label"][i] in WITHOUT_END:
            continue
        # At a gradient of 1e-5 the loss is within 1e-10 over the curvature; levels are 1e-4 and more apart.
        if abs(end[j] - rows["loss"][i]) > 1e-5 * max(1.0, abs(rows["loss"][i])) + curves.floor:
            return unknown, True
    return ["descent" if i is None else str(rows["label"][i]) for i in index], False


def _draw_lines(ax: Axes, steps: np.ndarray, y: np.ndarray, labels: list[str]) -> None:
    """One collection of lines a label, or its median and quantiles where there are many descents."""
    y = np.where(np.isfinite(y), y, np.nan)
    names = np.array(labels, object)
    # The rarest on top: a few spurious descents are not buried under the global ones.
    for label, _ in Counter(labels).most_common():
        some, colour = y[:, names == label], COLOURS.get(label, UNKNOWN)
        if len(labels) > SINGLE_CURVES:
            alive = np.any(np.isfinite(some), axis=1)
            low, middle, high = np.nanquantile(some[alive], (0.1, 0.5, 0.9), axis=1)
            ax.fill_between(steps[alive], low, high, color=colour, alpha=0.25, linewidth=0)
            ax.plot(steps[alive], middle, color=colour, linewidth=1.6)
        else:
            lines = [np.column_stack([steps, column]) for column in some.T]
            ax.add_collection(LineCollection(lines, colors=colour, linewidths=0.9, alpha=0.7), autolim=False)


def _log_limits(ax: Axes, y: np.ndarray) -> None:
    """Limits from the positive values; a descent that diverges may leave the figure at the top."""
    seen = y[np.isfinite(y) & (y > 0)]
    if len(seen):
        start = y[0][np.isfinite(y[0]) & (y[0] > 0)]
        top = min(float(np.max(seen)), 1e3 * float(np.max(start)) if len(start) else np.inf)
        ax.set_ylim(float(np.min(seen)) / 3, 3 * top)
