"""Ends of descents on a data set by width, and the critical widths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D

from landscape.figures.captions import in_words
from landscape.figures.excess import FLOOR, excess_axis
from landscape.figures.style import DPI, FAINT, INK, Figure, headline, paler, quiet, small_print
from landscape.palette import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def by_width(cells: list[dict[str, Any]]) -> Figure:
    """Where descents end at each width: losses over the convex optimum, and the share of each label.

    Larger marks are larger shares of restarts; the dashed floor is p*, bars are P_m, the least loss of the width where
    that is above it.
    """
    figure = Figure(figsize=(8.6, 7.2), dpi=DPI, layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    cells = sorted(cells, key=lambda cell: cell["width"])
    place = {cell["width"]: i for i, cell in enumerate(cells)}
    theory = cells[0]["theory"]
    floor = None if theory is None else theory["p_star"]
    base = 0.0 if floor is None else floor
    seen: set[str] = set()
    for cell in cells:
        for level in cell["levels"]:
            label = level["label"]
            if not _ended(level):
                continue
            beside = {"global": 0.0, "spurious": -0.13, "saddle": 0.13}.get(label, 0.22)
            top.plot(
                place[cell["width"]] + beside, level["loss"] - base, MARKERS[label], color=COLOURS[label], alpha=0.8,
                markersize=3.5 + 13 * np.sqrt(level["share"]), markeredgecolor="white", markeredgewidth=0.6, zorder=3,
            )  # fmt: skip
            seen.add(label)
        known = cell["theory"]
        if known is not None and known["P_m"] is not None and known["P_m"] > known["p_star"] * (1 + 1e-9):
            top.hlines(
                known["P_m"] - base, place[cell["width"]] - 0.35, place[cell["width"]] + 0.35, color=INK, linewidth=1.4
            )
    handles = [
        Line2D([], [], color=COLOURS[k], marker=MARKERS[k], linestyle="none", label=in_words(k))
        for k in COLOURS
        if k in seen
    ]
    if floor is not None:
        top.axhline(0.0, **FLOOR)
        handles.append(Line2D([], [], **FLOOR, label=f"convex optimum p* = {floor:.6g}"))
        if any(c["theory"]["P_m"] is not None and c["theory"]["P_m"] > floor * (1 + 1e-9) for c in cells):
            handles.append(Line2D([], [], color=INK, linewidth=1.4, label="least loss of the width, P$_m$"))
    figure.legend(handles=handles, edgecolor="none", fontsize=9, loc="outside lower left", ncols=4)
    top.set_ylabel("loss at the end" if floor is None else "loss at the end less the convex optimum p*")
    if floor is not None:
        reach = max((level["loss"] - floor for c in cells for level in c["levels"] if _ended(level)), default=0.0)
        excess_axis(top.yaxis, floor, reach)
    quiet(top)
    _marks(top, cells, place, named=True)
    _label_shares(below, cells)
    _marks(below, cells, place, named=False)
    below.set_xticks(range(len(cells)), [str(cell["width"]) for cell in cells])
    below.set_xlabel("width (number of neurons)")
    headline(top, f"Where descents end, by width\n{_asked(cells)}")
    return figure


def _ended(level: dict[str, Any]) -> bool:
    return level["label"] not in ("unconverged", "at_infinity") and bool(np.isfinite(level["loss"]))


def _asked(cells: list[dict[str, Any]]) -> str:
    counts = sorted({cell["finished"] for cell in cells})
    many = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    theory = cells[0]["theory"]
    rows = "" if theory is None else f"{theory['rows']} data points, "
    return f"{rows}{many} descents a width; larger marks are larger shares"


def _marks(ax: Axes, cells: list[dict[str, Any]], place: dict[int, int], named: bool) -> None:
    """Lines at m*, M* and n + 1, between the widths if they are none of them."""
    theory = cells[0]["theory"]
    if theory is None:
        return
    widths = np.array(sorted(place))
    at: dict[int, list[str]] = {}
    for name, value in (("m*", theory["m_star"]), ("M*", theory["M_star"]), ("n + 1", theory["rows"] + 1)):
        if value is not None:
            at.setdefault(value, []).append(name)
    for value, names in at.items():
        if not widths[0] <= value <= widths[-1]:
            continue
        x = float(np.interp(value, widths, np.arange(len(widths))))
        ax.axvline(x, color=FAINT, linewidth=1.0, linestyle=":", zorder=0)
        if named:
            ax.annotate(
                " = ".join([*names, str(value)]), (x, 1.0), (4, -2), xycoords=("data", "axes fraction"),
                textcoords="offset points", fontsize=8.5, color=FAINT, va="top",
            )  # fmt: skip


def _label_shares(ax: Axes, cells: list[dict[str, Any]]) -> None:
    """A bar a width: shares of the labels, with the interval of the global one."""
    bottom = np.zeros(len(cells))
    x = np.arange(len(cells))
    for label, colour in COLOURS.items():
        height = np.array([100 * cell["shares"][label]["share"] for cell in cells])
        if not height.any():
            continue
        ax.bar(x, height, 0.62, bottom=bottom, color=colour, alpha=0.85, edgecolor="white", linewidth=0.6)
        bottom += height
    share, low, high = (np.array([100 * c["shares"]["global"][n] for c in cells]) for n in ("share", "low", "high"))
    ax.errorbar(x, share, yerr=[share - low, high - share], fmt="none", ecolor=INK, elinewidth=1.1, capsize=3)
    ax.set_ylim(0, 101)
    ax.set_ylabel("descents (%)")
    quiet(ax)
    theory = cells[0]["theory"]
    below = theory is not None and theory["m_star"] is not None and cells[0]["width"] < theory["m_star"]
    said = f"; below width {theory['m_star']} global is for the width" if theory is not None and below else ""
    small_print(ax, f"whiskers: 95% interval of the share of global ends{said}")


def critical_width(cells: list[dict[str, Any]], steps: list[dict[str, Any]]) -> Figure:
    """The share of descents that end at p* by width, over what the set of global minima looks like at each width.

    Args:
        cells: Records of a table of widths.
        steps: Which widths have which set of global minima, `DataTable.stairs`.
    """
    cells = sorted(cells, key=lambda cell: cell["width"])
    figure = Figure(figsize=(8.6, 5.6), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    widths = np.array([cell["width"] for cell in cells])
    reaches = [cell["theory"] is not None and _reaches(cell) for cell in cells]
    counts = np.array([cell["labels"]["global"] if good else 0 for cell, good in zip(cells, reaches, strict=True)])
    shares = np.array([cell["shares"]["global"]["share"] for cell in cells])
    low, high = (np.array([cell["shares"]["global"][name] for cell in cells]) for name in ("low", "high"))
    bars = 100 * np.array([shares - low, high - shares])
    on = counts > 0
    on |= np.array(reaches)
    edge = widths[-1] + 0.5
    colours = ("#F3E3DA", "#EFEFEF", "#DCE9F4", "#C9DDF0", "#B4D0EA")
    if steps and steps[0]["least"] >= cells[0]["theory"]["m_star"]:
        colours = colours[1:]  # every width reaches p*
    for i, step in enumerate(steps):
        left, right = step["least"] - 0.5, edge if step["most"] is None else min(step["most"] + 0.5, edge)
        if left < edge:
            ax.axvspan(left, right, color=colours[i % len(colours)], zorder=0, linewidth=0)
    ax.errorbar(
        widths[on], 100 * shares[on], yerr=bars[:, on], color=COLOURS["global"],
        marker="o", markersize=6, linewidth=1.5, capsize=3, label="end at p*, the optimum of all widths", zorder=3,
    )  # fmt: skip
    if (~on).any():
        ax.errorbar(
            widths[~on], 100 * shares[~on], yerr=bars[:, ~on], color=paler(COLOURS["global"]),
            marker="D", markersize=6, linewidth=1.5, capsize=3, label="end at the best of their width, above p*",
            linestyle=(0, (4, 2)), zorder=3,
        )  # fmt: skip
    handles, _ = ax.get_legend_handles_labels()
    handles += _staircase(steps, colours, edge)
    if steps:
        proxy = Line2D([], [], linestyle="none", label="Shades say what the global minima of a width are:")
        handles.insert(len(ax.get_legend_handles_labels()[0]), proxy)
    figure.legend(handles=handles, fontsize=9, loc="outside lower left", edgecolor="none", ncols=1)
    ax.set_ylim(-3, 103)
    ax.set_xlim(widths[0] - 0.5, edge)
    ax.set_xticks(widths)
    ax.set_xlabel("width (number of neurons)")
    ax.set_ylabel("descents (%)")
    quiet(ax)
    theory = cells[0]["theory"]
    said = "" if theory is None or theory["m_star"] is None else f": m* = {theory['m_star']}, M* = {theory['M_star']}"
    said += "" if theory is None else f", n + 1 = {theory['rows'] + 1}"
    headline(ax, f"Critical widths{said}\n{cells[0]['finished']} descents a width; bars are 95% intervals")
    return figure


def _staircase(steps: list[dict[str, Any]], colours: tuple[str, ...], edge: float) -> list[Line2D]:
    """What the legend says of the shades up to the last width."""
    handles = []
    for i, step in enumerate(steps):
        if step["least"] - 0.5 >= edge:
            continue
        most = "" if step["most"] == step["least"] else f" to {step['most']}" if step["most"] else " on"
        handles.append(
            Line2D(
                [],
                [],
                color=colours[i % len(colours)],
                linewidth=9,
                label=f"width {step['least']}{most}: {step['statement']}",
            )
        )
    return handles


def _reaches(cell: dict[str, Any]) -> bool:
    """Whether networks of this width reach p*."""
    known = cell["theory"]
    if known["m_star"] is not None:
        return cell["width"] >= known["m_star"]
    return known["P_m"] is not None and known["P_m"] <= known["p_star"] * (1 + 1e-9)
