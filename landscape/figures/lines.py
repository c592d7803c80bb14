"""Ends of descents of porcupine networks, and their shares and losses by lines and neurons."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from landscape.figures.captions import lines_asked
from landscape.figures.ends import draw_ends
from landscape.figures.style import DPI, EXTRA, EXTRA_MARKERS, FAINT, INK, Figure, headline, quiet, small_print
from landscape.palette import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.census.census import Census


def ends(census: Census) -> Figure:
    """Where descents end: the share of them at or below a loss, by label, with the optimum and the Schur bound.

    Many lines have nearly as many levels as descents, and most ends have neurons at zero, where F has no Hessian: this
    stands in place of the levels and spectra of a smooth loss.
    """
    figure = Figure(figsize=(8.4, 4.8), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    cell = census.findings["porcupine"]
    unit = cell["teacher_loss"]
    draw_ends(ax, census, census.rows["loss"] / unit)
    ax.axvline(cell["optimum"] / unit, color=INK, linewidth=1.0, linestyle=(0, (6, 3)), label="exact optimum", zorder=1)
    ax.axvline(
        cell["schur_bound"] / unit, color=FAINT, linewidth=1.2, linestyle=":", label="Schur lower bound", zorder=1
    )
    ax.set_xlabel("E (student - teacher)$^2$ / E teacher$^2$")
    ax.legend(edgecolor="none", fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(f"Where descents end\n{lines_asked(census)}", fontsize=11, x=0.01, ha="left")
    return figure


def approximation(cells: list[dict[str, Any]]) -> Figure:
    """Relative error of random lines against a free network, over their number: ends of descents, optimum, bound;
    below, how far the ends are above the optimum.

    Lines are means over teachers, bars their standard errors, dots single teachers.
    """
    figure = Figure(figsize=(7.6, 7.0), dpi=DPI, layout="constrained")
    ax, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    r, d = np.array([cell["lines"] for cell in cells]), cells[0]["dimension"]
    value = lambda key: np.array([np.nan if c[key] is None else c[key] for c in cells])  # noqa: E731
    teacher, optimum = value("teacher_loss"), value("optimum")
    values = {
        "descents, mean of restarts": ("mean_loss", COLOURS["spurious"], "D", (0, (4, 2))),
        "descents, best restart": ("least_loss", COLOURS["trap"], "s", "-"),
        "exact optimum": ("optimum", COLOURS["global"], "o", "-"),
        "Schur lower bound": ("schur_bound", FAINT, "v", (0, (1, 1))),
    }
    sizes = np.unique(r)
    slope = ""
    for name, (key, colour, marker, style) in values.items():
        look: dict[str, Any] = {"color": colour, "marker": marker, "linestyle": style, "label": name}
        mean = _means(ax, r, value(key) / teacher, look)
        if key.endswith("loss"):
            # An end may be below the computed optimum by rounding.
            _means(below, r, 100 * np.maximum(value(key) / optimum - 1, 0.0), look)
        some = sizes >= d  # fewer lines do not span: their error has a part that falls otherwise
        if key == "optimum" and np.sum(some) > 1:
            power = np.polyfit(np.log(sizes[some]), np.log(mean[some]), 1)[0]
            slope = f"; slope of the optimum from r = d on: {power:.2f}"
    ax.set(xscale="log", yscale="log")
    below.set_yscale("symlog", linthresh=0.1, linscale=0.5)
    below.set_yticks([0, 0.1, 1, 10], ["0", "0.1", "1", "10"])
    below.set_ylim(bottom=-0.03)
    below.set_xticks(sizes, [str(size) for size in sizes])
    below.set_xlabel("lines r, two neurons on each")
    below.set_ylabel("above the optimum (%)")
    ax.set_ylabel("E (student - teacher)$^2$ / E teacher$^2$")
    for one in (ax, below):
        one.minorticks_off()
        quiet(one, grid="both")
    ax.legend(edgecolor="none", fontsize=9)
    teachers = len({c["draw"] for c in cells})
    text = f"d = {d}, {teachers} teachers of {cells[0]['teacher_neurons']} random neurons"
    headline(ax, f"Random lines against a free network\n{text}, {cells[0]['restarts']} restarts each")
    small_print(below, "dots: teachers, each with lines of its own; bars: standard error of their mean" + slope)
    return figure


def _means(ax: Axes, x: np.ndarray, y: np.ndarray, look: dict[str, Any]) -> np.ndarray:
    """Points, and their mean with its standard error at each x; returns the means in the order of x."""
    ax.plot(x, y, ".", color=look["color"], alpha=0.3, markersize=4)
    of = [y[x == at] for at in np.unique(x)]
    mean = np.array([v.mean() for v in of])
    error = [v.std(ddof=1) / np.sqrt(len(v)) if len(v) > 1 else 0.0 for v in of]
    ax.errorbar(np.unique(x), mean, yerr=error, linewidth=1.4, markersize=5, capsize=3, **look)
    return mean


def likelihood(cells: list[dict[str, Any]]) -> Figure:
    """Share of global ends against neurons on a line, beside the formula where there is one."""
    figure = Figure(figsize=(7.8, 5.0), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    groups = sorted({(c["law"] is None, c["dimension"], c["lines"]) for c in cells})
    for i, (free, d, r) in enumerate(groups):
        some = sorted(
            (c for c in cells if (c["law"] is None, c["dimension"], c["lines"]) == (free, d, r)),
            key=lambda c: c["neurons"],
        )
        colour = EXTRA[i % len(EXTRA)]
        style = (0, (1, 1)) if free else "none"
        _shares(ax, some, colour, EXTRA_MARKERS[i % len(EXTRA)], _set_name(free, d, r), style)
        if not free:
            k = np.linspace(min(c["neurons"] for c in some), max(c["neurons"] for c in some), 100)
            ax.plot(k, 100 * (1 - 2.0 ** (1 - k)) ** r, color=colour, linewidth=1.0, zorder=2)
    handles, _ = ax.get_legend_handles_labels()
    if any(c["law"] is not None for c in cells):
        handles.append(Line2D([], [], color=INK, linewidth=1.0, label="formula $(1 - 2^{1-k})^d$"))
    ax.legend(handles=handles, edgecolor="none", fontsize=9, loc="lower right")
    ax.set_xlabel("neurons on each line, k")
    ax.set_ylabel("descents that end at a global optimum (%)")
    ax.set_ylim(-3, 103)
    ax.set_xticks(sorted({c["neurons"] for c in cells}))
    quiet(ax)
    headline(
        ax,
        "Global optima by neurons on a line; teachers have both signs on every line\n"
        f"{cells[0]['restarts']} descents a cell; bars: 95% Wilson interval",
    )
    return figure


def _set_name(free: bool, d: int, r: int) -> str:
    if free:
        return f"{r} random lines, d = {d}"
    return "one line" if d == 1 else f"{r} axes"


def _shares(ax: Axes, cells: list[dict[str, Any]], colour: str, marker: str, name: str, style: Any) -> None:
    k = np.array([c["neurons"] for c in cells])
    share, low, high = 100 * np.array([[c["global_share"][x] for x in ("share", "low", "high")] for c in cells]).T
    error = [np.maximum(share - low, 0), np.maximum(high - share, 0)]
    ax.errorbar(
        k,
        share,
        yerr=error,
        color=colour,
        marker=marker,
        label=name,
        linestyle=style,
        capsize=3,
        markersize=6,
        linewidth=1.2,
        zorder=3,
    )


def mismatch(cells: list[dict[str, Any]]) -> Figure:
    """Teachers on other lines: share of descents at the optimum, and losses of the ends beside it."""
    figure = Figure(figsize=(10.4, 4.7), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2)
    for i, r in enumerate(sorted({c["lines"] for c in cells})):
        some = sorted((c for c in cells if c["lines"] == r), key=lambda c: c["neurons"])
        colour, marker = EXTRA[i % len(EXTRA)], EXTRA_MARKERS[i % len(EXTRA)]
        _shares(left, some, colour, marker, f"{r} lines", "-")
        k = np.array([c["neurons"] for c in some])
        unit = np.array([c["teacher_loss"] for c in some])
        mean, least, most = (np.array([c[x] for c in some]) / unit for x in ("mean_loss", "least_loss", "largest_loss"))
        shift = 0.05 * (i - 1)
        bars = [np.maximum(mean - least, 0), np.maximum(most - mean, 0)]
        right.errorbar(k + shift, mean, yerr=bars, color=colour, marker=marker, linestyle="none", capsize=3)
        right.plot(k, np.array([c["optimum"] for c in some]) / unit, color=colour, linewidth=1.4)
        right.plot(k, np.array([c["schur_bound"] for c in some]) / unit, color=colour, linewidth=1.2, linestyle=":")
    left.set_ylabel("descents that end at the optimum (%)")
    left.set_ylim(-3, 103)
    left.legend(edgecolor="none", fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6)
    right.set_yscale("log")
    right.set_ylabel("E (student - teacher)$^2$ / E teacher$^2$")
    right.legend(
        handles=[
            Line2D([], [], color=INK, marker="o", linestyle="none", label="ends of descents, mean"),
            Line2D([], [], color=INK, label="exact optimum"),
            Line2D([], [], color=INK, linestyle=":", label="Schur lower bound"),
        ],
        edgecolor="none", fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, columnspacing=1.2,
    )  # fmt: skip
    for ax in (left, right):
        ax.set_xlabel("neurons on each line, k")
        ax.set_xticks(sorted({c["neurons"] for c in cells}))
        quiet(ax)
    first = cells[0]
    text = f"{first['teacher_neurons']} random teacher neurons on none of the lines, d = {first['dimension']}"
    bars = f"{first['restarts']} descents a cell; bars left: 95% Wilson interval, right: least to largest"
    figure.suptitle(f"{text}\n{bars}", fontsize=11, x=0.01, ha="left")
    return figure
