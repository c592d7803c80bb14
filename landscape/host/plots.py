"""Figures of a census: shares, loss levels, Hessian spectra, descents.

Plots take data and hand back a Matplotlib `Figure`; nothing here touches pyplot, so figures can be drawn without a
display and in any thread. A figure of a run without finished restarts says so. What has to be computed first
(`level_spectra`, `sample_curves`) is a function of its own.
"""

from __future__ import annotations

import io
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from PIL import Image  # a dependency of Matplotlib

from landscape.census.census import Census
from landscape.census.levels import Level
from landscape.census.statistics import wilson
from landscape.records import Label

if TYPE_CHECKING:
    from landscape.host.lanes import Settings
    from landscape.problems.problem import Problem

# Okabe and Ito (2008) and greys, told apart by eyes of every kind, with a marker each for print without colour.
COLOURS = {
    "global": "#0072B2",
    "spurious": "#D55E00",
    "saddle": "#009E73",
    "trap": "#E69F00",
    "at_infinity": "#56B4E9",
    "undecided": "#4D4D4D",
    "unconverged": "#B0B0B0",
}
MARKERS = {
    "global": "o",
    "spurious": "D",
    "saddle": "v",
    "trap": "s",
    "at_infinity": "^",
    "undecided": "P",
    "unconverged": "X",
}
INK, FAINT, GRID = "#222222", "#767676", "#E4E4E4"
NEGATIVE, POSITIVE, UNKNOWN = "#C2185B", "#3B3B3B", "#5B5B8C"  # eigenvalues; descents whose label is not known
EXTRA = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#4D4D4D")  # n = k, k + 1, ...
EXTRA_MARKERS = ("o", "s", "D", "^", "v", "P")
DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1)), "linewidth": 2.0}

DPI = 130
NAMED_LEVELS = 12  # more are drawn, but only the most frequent carry their name
SINGLE_CURVES = 200  # more descents than this are drawn as median and quantiles
CURVE_POINTS = 200  # looks at a descent: more cannot be told apart in a figure
SAME_EIGENVALUE = 1e-6  # of the largest: polished eigenvalues agree to 1e-9 and better, distinct ones differ by 1e-3


# -- shares ------------------------------------------------------------------------------------------------------------


def shares_by_teacher(
    cells: list[dict[str, Any]],
    published: dict[tuple[int, int], tuple[float, float, float]] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """Share of restarts that end at a spurious minimum against the size of the teacher, one line per n - k.

    Safran and Shamir's (2017) finding. Bars are 95% Wilson intervals, of all finished restarts. Where undecided and
    unconverged restarts leave room above the interval, a dotted bar reaches to the share if all of them were
    spurious. Crosses are our own share by the published rule, where it is not the same number.

    Args:
        cells: Records with `teacher`, `width`, `labels` (restarts with each label), and optionally `paper_share` (as
            fractions).
        published: (k, n): percent with its interval low, high; hollow rings.
        ax: Where to draw.
        title: In place of the default one.
    """
    figure, ax = _axes(ax, (7.6, 4.9))
    cells = sorted((c for c in cells if sum(c["labels"].values())), key=lambda c: (c["teacher"], c["width"]))
    published = published or {}
    room = False
    for extra in sorted({c["width"] - c["teacher"] for c in cells} | {n - k for k, n in published}):
        look: dict[str, Any] = {"color": EXTRA[extra % len(EXTRA)], "marker": EXTRA_MARKERS[extra % len(EXTRA)]}
        drawn = [c for c in cells if c["width"] - c["teacher"] == extra]
        if drawn:
            k = np.array([c["teacher"] for c in drawn])
            share, low, high, reach = np.array([_spurious_percent(c) for c in drawn]).T
            error = [np.maximum(share - low, 0), np.maximum(high - share, 0)]
            line: dict[str, Any] = {"markersize": 5, "linewidth": 1.4, "elinewidth": 1.4, "capsize": 2.5, "zorder": 3}
            ax.errorbar(k, share, yerr=error, label=_extra(extra), **line, **look)
            wider = reach > high
            room |= bool(np.any(wider))
            ax.vlines(k[wider], high[wider], reach[wider], colors=look["color"], zorder=5, **DOTTED)
        points = sorted((k, *published[k, n]) for k, n in published if n - k == extra)
        if points:
            k, share, low, high = np.array(points, float).T
            ring: dict[str, Any] = {
                "markersize": 11,
                "markerfacecolor": "none",
                "linestyle": "none",
                "elinewidth": 0.8,
                "capsize": 5,
            }
            ax.errorbar(k, share, yerr=[share - low, high - share], alpha=0.75, zorder=2, **ring, **look)
    handles = list(ax.get_legend_handles_labels()[0])
    papers = [(c["teacher"], c["paper_share"], _spurious_percent(c)[0]) for c in cells if c.get("paper_share")]
    rules = {paper["rule"] for _, paper, _ in papers if "rule" in paper}
    rule = f"\n({rules.pop()})" if len(rules) == 1 else ""
    if published:
        text = f"published, with 95% interval{rule}"
        handles.append(_proxy("o", INK, text, markersize=10, markerfacecolor="none"))
    crosses = [(k, 100 * paper["share"]) for k, paper, ours in papers if abs(100 * paper["share"] - ours) > 1e-9]
    if crosses:
        ax.plot(*np.array(crosses).T, "x", color=INK, markersize=5, zorder=4)
        handles.append(_proxy("x", INK, "ours by the published rule"))
    if room:
        text = "if all undecided and\nunconverged were spurious"
        handles.append(Line2D([], [], color=FAINT, label=text, **DOTTED))
    ax.set_xlabel("teacher size k (neurons)")
    ax.set_ylabel("restarts that end at a spurious minimum (%)")
    ax.set_ylim(-3, 103)
    ax.set_yticks(range(0, 101, 20))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    _quiet(ax)
    if not handles:
        _say_empty(ax)
    else:
        ax.legend(handles=handles, edgecolor="none", framealpha=0.85, fontsize=9, loc="upper left")
    counts = sorted({sum(c["labels"].values()) for c in cells}) or [0]
    many = " to ".join(str(count) for count in sorted({counts[0], counts[-1]}))
    said = f"Spurious minima by size of the teacher\nfinished restarts a cell: {many}; bars: 95% Wilson interval"
    _title(ax, title or said)
    return figure


def _spurious_percent(cell: dict[str, Any]) -> tuple[float, float, float, float]:
    """Percent of spurious ends with its interval, and with undecided and unconverged ones added."""
    labels = cell["labels"]
    count, total = labels["spurious"], sum(labels.values())
    low, high = wilson(count, total)
    open_ = labels["undecided"] + labels["unconverged"]
    return 100 * count / total, 100 * low, 100 * high, 100 * (count + open_) / total


def _extra(extra: int) -> str:
    return "n = k" if extra == 0 else f"n = k {'+' if extra > 0 else '-'} {abs(extra)}"


# -- loss levels -------------------------------------------------------------------------------------------------------


def loss_levels(census: Census, ax: Axes | None = None) -> Figure:
    """The loss levels of a run: how low, how often, with which label.

    A marker a level at its share of restarts, with its 95% Wilson interval. Up to 12 levels are named at the right
    edge (label, loss, number of orbits); of more, the 12 most frequent. Unconverged restarts and those that left for
    infinity have no level: they are hollow, at the least loss among them. The axis is linear, or logarithmic where
    losses span more than two decades (linear around zero if one is at zero or below).
    """
    figure, ax = _axes(ax, (8.2, 5.0))
    levels = [level for level in census.levels if np.isfinite(level.loss)]
    ax.set_xlabel(f"share of {_many(census.finished, 'finished restart')} (%), bars: 95% Wilson interval")
    ax.set_ylabel(_wrapped(f"loss F = {_normalisation(census)}", 58))
    _title(ax, f"Loss levels\n{_run(census)}")
    _quiet(ax)
    if not levels:
        _say_empty(ax, None if not census.finished else "no restart has a finite loss")
        return figure
    noise = _noise(census)
    low, high = _loss_axis(ax, np.array([level.loss for level in levels]), noise)
    named = sorted(sorted(levels, key=lambda level: -level.count)[:NAMED_LEVELS], key=lambda level: level.loss)
    crowded = len(levels) > NAMED_LEVELS
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
            markerfacecolor="white" if _no_level(label) else COLOURS[label],
            linestyle="none",
            elinewidth=0.9 if crowded else 1.3,
            capsize=0 if crowded else 3,
            alpha=0.9,
            zorder=3,
            label=label,
        )
    ax.set_xlim(0, min(102.0, 104 * max(level.share_high for level in levels)))
    bound = census.lower_bound
    if bound is not None and low <= bound["value"] <= high:
        ax.axhline(bound["value"], color=FAINT, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
    _name_levels(ax, named, noise)
    if crowded:
        groups = Counter(level.label for level in levels)
        restarts = Counter({label: sum(level.count for level in levels if level.label == label) for label in groups})
        handles = [
            _proxy(MARKERS[x], COLOURS[x], f"{_words(x)}: {_many(groups[x], 'level')}, {_many(restarts[x], 'restart')}")
            for x in COLOURS
            if groups[x]
        ]
        ax.legend(handles=handles, edgecolor="none", framealpha=0.85, fontsize=8.5, loc="best")
    notes = []
    if crowded:
        notes.append(f"the {NAMED_LEVELS} most frequent of {len(levels)} levels are named")
    if bound is not None:
        notes.append(
            f"{'dashed: ' if low <= bound['value'] <= high else ''}lower bound {bound['value']:.6g} ({bound['by']})"
        )
    lost = sum(level.count for level in census.levels if not np.isfinite(level.loss))
    if lost:
        notes.append(f"{_many(lost, 'restart')} without a finite loss not drawn")
    _note(ax, "; ".join(notes))
    return figure


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
    for level, start, y in zip(levels, edge, _apart(np.array(edge), step), strict=True):
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
    if _no_level(level.label):
        return f"{_words(level.label)}, from {loss}"
    orbits = "not isolated" if level.orbits is None else _many(level.orbits, "orbit")
    return f"{_words(level.label)}, {loss}, {orbits}"


def _no_level(label: str) -> bool:
    """Whether restarts of this label are not stationary, so that their losses are no level."""
    return label in (Label.UNCONVERGED, Label.AT_INFINITY)


def _apart(wanted: np.ndarray, step: float) -> np.ndarray:
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


# -- spectra -----------------------------------------------------------------------------------------------------------


class LevelSpectrum(NamedTuple):
    """The Hessian's eigenvalues at one point of a level.

    Attributes:
        level: The level.
        restart: Whose end of descent the point is.
        eigenvalues: Ascending, [p]; empty where the Hessian is not finite.
        error: Each eigenvalue is within this of an exact one.
    """

    level: Level
    restart: int
    eigenvalues: np.ndarray
    error: float


def level_spectra(census: Census, problem: Problem, most: int = NAMED_LEVELS) -> list[LevelSpectrum]:
    """Hessian spectra of one stationary point of each of the `most` lowest levels that have weights."""
    from landscape.polish import evaluate

    if not census.finished:
        return []
    kept = np.array([int(restart) in census.weights for restart in census.rows["restart"]])
    rows = {name: census.rows[name][kept] for name in ("restart", "label", "flavour", "loss")}
    out: list[LevelSpectrum] = []
    for level in census.levels:
        if len(out) == most:
            break
        kin = [x.loss for x in census.levels if (x.label, x.flavour) == (level.label, level.flavour)]
        end = min((loss for loss in kin if loss > level.loss), default=np.inf)
        member = (rows["label"] == level.label) & (rows["loss"] >= level.loss) & (rows["loss"] < end)
        member &= np.array([(flavour or None) == level.flavour for flavour in rows["flavour"]], bool)
        if _no_level(level.label) or not np.any(member):
            continue
        restart = int(rows["restart"][np.flatnonzero(member)[0]])
        _, hessian = evaluate(problem, census.weights[restart])
        values, error = np.zeros(0), np.nan
        if np.all(np.isfinite(hessian)):
            values = np.linalg.eigvalsh(hessian)
            # p eps |H| for the eigensolver, 16 eps |H| sqrt(p) for the entries: as in `landscape.spectrum`.
            p = len(values)
            error = float((p + 16 * np.sqrt(p)) * np.finfo(float).eps * np.linalg.norm(hessian))
        out.append(LevelSpectrum(level=level, restart=restart, eigenvalues=values, error=error))
    return out


def spectra(census: Census, problem: Problem, ax: Axes | None = None) -> Figure:
    """Hessian spectra of the points found, a row a level, lowest loss at the bottom.

    A stick stands for eigenvalues that agree to 1e-6 of the largest; its height grows with the logarithm of their
    number, which is written above where there is room. Eigenvalues negative by more than their error are coloured.
    The axis is logarithmic with a linear part around zero where eigenvalues span more than a decade.
    """
    found = level_spectra(census, problem)
    figure, ax = _axes(ax, (8.2, 1.9 + 0.52 * max(2, len(found))))
    _title(ax, f"Hessian spectra of the points found\n{_run(census)}")
    _quiet(ax, grid="x")
    ax.set_yticks([])
    label = "eigenvalue of the Hessian of F"
    values = np.concatenate([row.eigenvalues for row in found]) if found else np.zeros(0)
    if not len(values):
        ax.set_xlabel(f"{label},  F = {_normalisation(census)}")
        _say_empty(ax, None if not census.finished else "no stationary point with weights and a finite Hessian")
        return figure
    linear = _eigenvalue_axis(ax, values)
    around = "" if linear is None else f" (linear within ±{linear:g})"
    ax.set_xlabel(f"{label}{around}\nF = {_normalisation(census)}")
    ax.axvline(0.0, color=FAINT, linewidth=0.9, zorder=1)
    tallest = np.log1p(max(max((m for _, m in multiplicities(row.eigenvalues)), default=1) for row in found))
    noise, names = _noise(census), []
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
        names.append(f"{_words(level.label)}{which}\nF = {loss},  {100 * level.share:.3g}%")
    ax.set_ylim(-0.25, len(found) - 0.02)
    ax.set_yticks(np.arange(len(found)) + 0.25, names, fontsize=8.5)
    ax.tick_params(axis="y", length=0)
    for text, row in zip(ax.get_yticklabels(), found, strict=True):
        text.set_color(INK if row.level.label == Label.UNCONVERGED else COLOURS[row.level.label])
    eligible = sum(not _no_level(level.label) for level in census.levels)
    notes = [
        f"{problem.p} eigenvalues at one point of each level; height: log of the multiplicity, written where it fits"
    ]
    if any(np.any(row.eigenvalues < -row.error) for row in found):
        notes.append("magenta: negative by more than its error")
    if eligible > len(found):
        notes.append(f"{len(found)} of {eligible} levels")
    _note(ax, "; ".join(notes))
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


# -- descents ----------------------------------------------------------------------------------------------------------


class Curves(NamedTuple):
    """Descents of some restarts.

    Attributes:
        steps: When they were looked at, [t].
        restarts: Their numbers, [r].
        loss: Loss, [t, r].
        grad_norm: Euclidean norm of the gradient, [t, r].
        floor: Rounding error of the loss at the ends of these descents (median), in the dtype of the descent.
    """

    steps: np.ndarray
    restarts: np.ndarray
    loss: np.ndarray
    grad_norm: np.ndarray
    floor: float


def sample_curves(
    problem: Problem,
    settings: Settings,
    seed: int,
    restarts: int | np.ndarray = 40,
    steps: int = 5000,
    starts: np.ndarray | None = None,
    step_scale: np.ndarray | None = None,
) -> Curves:
    """Loss and gradient norm along the descents of some restarts, as `explore` runs them.

    Args:
        problem: The landscape.
        settings: Of the run.
        seed: Of the starting points.
        restarts: The numbers of some restarts, or how many of the first.
        steps: Length of the descents; they are looked at up to 200 times, every 24 steps or less often.
        starts: Given starting points, [restarts of the run, p].
        step_scale: Multiplies the step size of each, [r]; 1 by default.
    """
    import jax
    import jax.numpy as jnp

    from landscape import descent
    from landscape.restart import start_points

    chosen = np.arange(restarts) if isinstance(restarts, int) else np.asarray(restarts, np.int64)
    every = descent.PAIRS * -(-max(24, -(-steps // CURVE_POINTS)) // descent.PAIRS)  # whole turns of the L-BFGS ring
    looks = every * np.arange(max(0, steps) // every + 1)
    if not len(chosen):
        empty = np.zeros((len(looks), 0))
        return Curves(steps=looks, restarts=chosen, loss=empty, grad_norm=empty, floor=float("nan"))
    method = settings.method(problem.scale)
    theta = (
        start_points(problem, seed, chosen, settings.init, settings.init_scale)
        if starts is None
        else np.asarray(starts, np.float64).reshape(len(starts), -1)[chosen]
    )
    scale = np.ones(len(chosen)) if step_scale is None else np.asarray(step_scale, np.float64)

    def advance(problem: Any, lanes: Any, steps: Any) -> Any:
        return jax.vmap(lambda lane: descent.advance(problem, method, lane, steps))(lanes)

    loss, grad_norm = [], []
    with jax.enable_x64(True):
        dtype = jnp.dtype(settings.dtype)
        lanes = jax.vmap(lambda t, s: descent.init(problem, method, t, s))(
            jnp.asarray(theta, dtype), jnp.asarray(scale, dtype)
        )
        run = jax.jit(advance)  # the number of steps is traced: one program for the start, 0 steps, and the rest
        for look in looks:
            lanes = run(problem, lanes, 0 if look == 0 else every)
            loss.append(np.asarray(lanes.loss, np.float64))
            grad_norm.append(np.asarray(lanes.grad_norm, np.float64))
        ends = np.asarray(lanes.theta, np.float64)
        # Not where a descent has diverged: the rounding error there is no floor for the others.
        tame = np.all(np.isfinite(ends), axis=1) & (loss[-1] <= loss[0])
        errors = np.array([problem.loss_error(end) for end in ends[tame][:20]])
    coarser = float(jnp.finfo(dtype).eps) / float(np.finfo(np.float64).eps)
    floor = coarser * float(np.median(errors)) if len(errors) else float("nan")
    return Curves(steps=looks, restarts=chosen, loss=np.stack(loss), grad_norm=np.stack(grad_norm), floor=floor)


def descent_curves(
    problem: Problem,
    settings: Settings,
    seed: int,
    restarts: int = 40,
    steps: int = 5000,
    census: Census | None = None,
    starts: np.ndarray | None = None,
    axes: tuple[Axes, Axes] | None = None,
) -> Figure:
    """Loss and gradient norm against the step, for restarts spread over a run; coloured by label, given its census.

    See `sample_curves` for the arguments and `draw_curves` for what is drawn. With a census, the restarts are taken
    evenly from those that it holds.
    """
    sample: int | np.ndarray = restarts
    scale = None
    if census is not None:
        rows = census.rows
        index = np.unique(np.linspace(0, census.finished - 1, min(restarts, census.finished)).astype(int))
        sample = rows["restart"][index]
        scale = rows["step_scale"][index] if "step_scale" in rows else None
    curves = sample_curves(problem, settings, seed, sample, steps, starts, scale)
    return draw_curves(curves, problem, census, axes)


def draw_curves(
    curves: Curves, problem: Problem, census: Census | None = None, axes: tuple[Axes, Axes] | None = None
) -> Figure:
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
    left.set_ylabel(_wrapped(f"{above} = {problem.normalisation}", 58))
    right.set_ylabel("norm of the gradient of F")
    floor = curves.floor if np.isfinite(curves.floor) and curves.floor > 0 else np.finfo(float).tiny
    excess = np.maximum(curves.loss - base, floor)  # NaN stays NaN
    for ax, y in ((left, excess), (right, curves.grad_norm)):
        ax.set_xlabel("step of the descent")
        _quiet(ax, grid="both")
        if not np.any(np.isfinite(y)):
            _say_empty(ax, None if not y.size else "no finite value")
            continue
        ax.set_yscale("log")
        ax.set_xlim(0, max(1, curves.steps[-1]))
        _draw_lines(ax, curves.steps, y, labels)
        _log_limits(ax, y)
    if np.any(np.isfinite(excess)) and np.isfinite(curves.floor):
        top = left.get_ylim()[1]
        if np.nanmin(excess) < 100 * floor:
            left.set_ylim(floor / 30, top)
            left.axhspan(floor / 30, floor, color="#EFEFEF", zorder=0)
            left.text(
                0.02,
                np.sqrt(floor * floor / 30),
                "rounding",
                transform=left.get_yaxis_transform(),
                va="center",
                fontsize=9,
                color=FAINT,
            )
    counts = Counter(labels)
    handles = [
        Line2D([], [], color=COLOURS.get(label, UNKNOWN), linewidth=2, label=f"{_words(label)} ({counts[label]})")
        for label in (*COLOURS, "descent")
        if counts[label] and (census is not None and not mismatch)
    ]
    if handles:
        right.legend(handles=handles, frameon=False, fontsize=9, loc="best")
    run = _run(census) if census is not None else ", ".join(_sizes({"kind": problem.kind, "width": problem.width}))
    figure.suptitle(_wrapped(f"{_many(len(curves.restarts), 'descent')} of {run}", 100), fontsize=11, x=0.01, ha="left")
    if mismatch:
        _note(
            right, "labels not shown: these descents do not end where those of the run did (other settings or starts)"
        )
    elif len(curves.restarts) > SINGLE_CURVES:
        _note(right, "lines: median of each label; bands: 10% to 90%")
    return figure  # type: ignore[return-value]


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
        if i is None or not np.isfinite(end[j]) or slope[j] > 1e-5 * problem.scale or _no_level(rows["label"][i]):
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


# -- all of them -------------------------------------------------------------------------------------------------------


def census_figures(
    census: Census, problem: Problem, folder: str | Path, settings: Settings | None = None
) -> list[Path]:
    """Writes loss_levels.png, spectra.png and descent.png into the folder; returns their paths.

    Args:
        census: Of a run.
        problem: Its landscape.
        folder: Made if it is not there.
        settings: Of the run; the defaults if not given.
    """
    from landscape.host.lanes import Settings

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Long enough that most descents have converged; the sample is small enough to take seconds.
    taken = census.rows["steps"] if census.finished and "steps" in census.rows else np.array([1000])
    steps = int(np.clip(1.2 * np.median(taken), 500, 10_000))
    figures = {
        "loss_levels.png": loss_levels(census),
        "spectra.png": spectra(census, problem),
        "descent.png": descent_curves(problem, settings or Settings(), census.seed, 40, steps, census),
    }
    return [save(figure, folder / name) for name, figure in figures.items()]


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure, PNG or what its suffix says; returns the path."""
    path = Path(path)
    if path.suffix != ".png":
        figure.savefig(path, dpi=DPI)
        return path
    # 256 colours are all that lines on white need, and a quarter of the bytes.
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True, dpi=(DPI, DPI))
    return path


# -- shared ------------------------------------------------------------------------------------------------------------


def _axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The axes given and their figure, or new ones."""
    if ax is not None:
        return ax.figure, ax  # type: ignore[return-value]
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    return figure, figure.subplots()


def _quiet(ax: Axes, grid: str = "y") -> None:
    """Light grid behind the data, two spines."""
    ax.grid(True, axis=grid, color=GRID, linewidth=0.7)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.tick_params(labelsize=9)


def _title(ax: Axes, text: str) -> None:
    ax.set_title(_wrapped(text, 78), fontsize=11, loc="left")


def _wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def _note(ax: Axes, text: str) -> None:
    """Small print below the axes."""
    if text:
        ax.annotate(
            _wrapped(text, 105),
            (0.0, 0.0),
            xycoords=("axes fraction", ax.xaxis.label),  # below the axis label, wherever that ends
            xytext=(0, -4),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color=FAINT,
        )


def _say_empty(ax: Axes, text: str | None = None) -> None:
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, text or "no finished restarts", transform=ax.transAxes, ha="center", va="center", color=FAINT)


def _proxy(marker: str, colour: str, label: str, **options: Any) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, color=colour, label=label, **options)


def _run(census: Census) -> str:
    """Study, sizes, restarts and seed of a run."""
    done = f"{census.restarts}" if census.finished == census.restarts else f"{census.finished} of {census.restarts}"
    return ", ".join(
        [census.study, *_sizes(census.problem), f"{done} restart{'' if done == '1' else 's'}, seed {census.seed}"]
    )


def _sizes(facts: dict[str, Any]) -> list[str]:
    said = [f"{name} {facts[name]}" for name in ("teacher", "width", "activation") if facts.get(name) is not None]
    return said if "teacher" in facts else [str(facts.get("kind", "")).replace("_", " "), *said]


def _normalisation(census: Census) -> str:
    return str(census.problem.get("normalisation", "not recorded"))


def _noise(census: Census) -> float:
    """Typical rounding error of a loss of this run."""
    errors = census.rows.get("loss_error", np.zeros(0))
    errors = errors[np.isfinite(errors)]
    return float(np.median(errors)) if len(errors) else 0.0


def _words(label: str) -> str:
    return label.replace("_", " ")


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
