"""Figures of the studies of finite data, from their records; see `plots` for how figures are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullLocator

from landscape.host.plots import COLOURS, DPI, EXTRA, FAINT, INK, MARKERS, Curves, _note, _quiet, _title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.census.census import Census
    from landscape.problems.empirical import Empirical
    from landscape.studies.data_findings import DataTable
    from landscape.theory.convex.path import Path

LINEAR = 1e-3  # an excess below this, times p*, is drawn on a linear scale, down to none at all
FLOOR: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (6, 3)), "zorder": 1}
MOST_MINIMA = 40  # drawn of one width
KINDS = {
    "global": COLOURS["global"],
    "global at this width": EXTRA[2],
    "strict spurious": COLOURS["spurious"],
    "flat spurious": COLOURS["trap"],
}


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
        Line2D([], [], color=COLOURS[k], marker=MARKERS[k], linestyle="none", label=_word(k))
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
        _excess(top.yaxis, floor, reach)
    _quiet(top)
    _marks(top, cells, place, named=True)
    _label_shares(below, cells)
    _marks(below, cells, place, named=False)
    below.set_xticks(range(len(cells)), [str(cell["width"]) for cell in cells])
    below.set_xlabel("width (number of neurons)")
    _title(top, f"Where descents end, by width\n{_asked(cells)}")
    return figure


def _ended(level: dict[str, Any]) -> bool:
    return level["label"] not in ("unconverged", "at_infinity") and bool(np.isfinite(level["loss"]))


def _excess(axis: Any, floor: float, reach: float) -> None:
    """An axis of losses less p*: from none at all over a linear stretch to powers of ten, with room for the largest."""
    step = LINEAR * max(floor, 1e-12)
    first = int(np.ceil(np.log10(step) - 1e-9))
    last = max(first, int(np.ceil(np.log10(max(reach, step)))))
    ticks = [0.0, *(10.0**k for k in range(first, last + 1))]
    ax = axis.axes
    scale, limit = (ax.set_xscale, ax.set_xlim) if axis.axis_name == "x" else (ax.set_yscale, ax.set_ylim)
    scale("symlog", linthresh=10.0**first, linscale=0.6)
    axis.set_ticks(ticks, ["0", *(f"$10^{{{k}}}$" for k in range(first, last + 1))])
    axis.set_minor_locator(NullLocator())
    limit(-0.25 * 10.0**first, max(1.6 * reach, 2 * 10.0**first))


def _word(label: str) -> str:
    return label.replace("_", " ")


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
    _quiet(ax)
    theory = cells[0]["theory"]
    below = theory is not None and theory["m_star"] is not None and cells[0]["width"] < theory["m_star"]
    said = f"; below width {theory['m_star']} global is for the width" if theory is not None and below else ""
    _note(ax, f"whiskers: 95% interval of the share of global ends{said}")


def minima(records: list[tuple[int, dict[str, Any]]]) -> Figure:
    """Every local minimum of the widths that were enumerated, with how many restarts found each; hollow: none.

    Args:
        records: Widths, with their findings.
    """
    tallest = max(min(len(found["each"]), MOST_MINIMA) for _, found in records)
    size = (max(4.2, 2.9 * len(records) + 1.0), 2.2 + 0.24 * max(6, tallest))
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(records), squeeze=False)[0])
    most = max((one["restarts"] for _, found in records for one in found["each"]), default=1)
    for ax, (width, found) in zip(axes, records, strict=True):
        drawn = sorted(found["each"], key=lambda one: one["loss"])[:MOST_MINIMA]
        for y, one in enumerate(drawn):
            colour = KINDS[one["kind"]]
            ax.barh(y, one["restarts"], 0.62, color=colour, alpha=0.85)
            ax.plot(
                0, y, "o", color=colour, markerfacecolor=colour if one["restarts"] else "white", markersize=5, zorder=3
            )
            ax.annotate(
                str(one["restarts"]) if one["restarts"] else "missed", (one["restarts"], y), (5, 0),
                textcoords="offset points", va="center", fontsize=8, color=INK if one["restarts"] else FAINT,
            )  # fmt: skip
        ax.set_yticks(range(len(drawn)), [f"{one['loss']:.6f}" for one in drawn], fontsize=8, family="monospace")
        ax.set_ylim(max(tallest, 6) - 0.4, -0.6)
        ax.set_xlim(-0.03 * most, 1.3 * max(most, 1))
        ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        ax.set_xlabel("restarts that ended there")
        _quiet(ax, grid="x")
        more = f" ({len(drawn)} drawn)" if len(drawn) < found["listed"] else ""
        missed = f"{found['listed']} minima{more}, {found['missed']} missed\nby {found['ended']} descents"
        ax.set_title(f"width {width}: {missed} that end at one", fontsize=10, loc="left")
    axes[0].set_ylabel("loss of the minimum")
    kinds = {one["kind"] for _, found in records for one in found["each"]}
    handles = [Line2D([], [], color=KINDS[k], marker="o", linestyle="none", label=k) for k in KINDS if k in kinds]
    handles.append(
        Line2D([], [], color=FAINT, marker="o", markerfacecolor="white", linestyle="none", label="not found")
    )
    figure.legend(handles=handles, ncols=min(3, len(handles)), loc="outside lower left", edgecolor="none", fontsize=9)
    figure.suptitle("All local minima without a zero neuron, by enumeration", fontsize=11, x=0.01, ha="left")
    return figure


def ends(census: Census) -> Figure:
    """Where the descents of one width end: the share of them at or below a loss, by label, over the convex optimum."""
    figure = Figure(figsize=(8.4, 4.8), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    theory = census.findings["theory"]
    floor = 0.0 if theory is None else theory["p_star"]
    label, loss = census.rows["label"], census.rows["loss"] - floor
    ended = np.isfinite(loss) & ~np.isin(label, ["unconverged", "at_infinity"])
    for word, colour in COLOURS.items():
        if word in ("unconverged", "at_infinity") and np.any(label == word):
            ax.plot([], [], MARKERS[word], color=colour, label=f"{_word(word)}: {np.sum(label == word)}, no end")
        x = np.sort(np.maximum(loss[(label == word) & ended], 0.0 if theory is not None else -np.inf))
        if not len(x):
            continue
        y = 100 * np.arange(1, len(x) + 1) / census.finished
        share = census.shares()[word]
        said = f"{_word(word)}: {100 * share['share']:.1f}% [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"
        ax.step(np.r_[x[0], x], np.r_[0, y], where="post", color=colour, linewidth=1.6, label=said)
        ax.plot(x[-1], y[-1], MARKERS[word], color=colour, markersize=6)
    if theory is not None:
        ax.axvline(0.0, **FLOOR, label=f"convex optimum p* = {floor:.6g}")
        if theory["P_m"] is not None and theory["P_m"] > floor * (1 + 1e-9):
            own = f"least loss of the width, P$_m$ = {theory['P_m']:.6g}"
            ax.axvline(theory["P_m"] - floor, color=INK, linewidth=1.2, linestyle=":", label=own)
        _excess(ax.xaxis, floor, float(np.max(loss[ended], initial=0.0)))
    ax.set_ylim(0, 103)
    ax.set_xlabel("loss at the end" if theory is None else "loss at the end less the convex optimum p*")
    ax.set_ylabel("descents of a label that end here or lower (%)")
    _quiet(ax, grid="both")
    ax.legend(edgecolor="none", fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    facts = census.problem
    figure.suptitle(
        f"Where descents end: width {facts['width']}, {facts['rows']} data points, {census.finished} descents",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    return figure


def critical_width(table: DataTable) -> Figure:
    """The share of descents that end at p* by width, over what the set of global minima looks like at each width."""
    cells = sorted(table.cell_dicts(), key=lambda cell: cell["width"])
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
    steps = table.stairs()
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
            widths[~on], 100 * shares[~on], yerr=bars[:, ~on], color=EXTRA[2],
            marker="D", markersize=6, linewidth=1.5, capsize=3, label="end at the best of their width, above p*",
            linestyle=(0, (4, 2)), zorder=3,
        )  # fmt: skip
    handles, _ = ax.get_legend_handles_labels()
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
    if steps:
        proxy = Line2D([], [], linestyle="none", label="Shades say what the global minima of a width are:")
        handles.insert(len(ax.get_legend_handles_labels()[0]), proxy)
    figure.legend(handles=handles, fontsize=9, loc="outside lower left", edgecolor="none", ncols=1)
    ax.set_ylim(-3, 103)
    ax.set_xlim(widths[0] - 0.5, edge)
    ax.set_xticks(widths)
    ax.set_xlabel("width (number of neurons)")
    ax.set_ylabel("descents (%)")
    _quiet(ax)
    theory = cells[0]["theory"]
    said = "" if theory is None or theory["m_star"] is None else f": m* = {theory['m_star']}, M* = {theory['M_star']}"
    said += "" if theory is None else f", n + 1 = {theory['rows'] + 1}"
    _title(ax, f"Critical widths{said}\n{cells[0]['finished']} descents a width; bars are 95% intervals")
    return figure


def _reaches(cell: dict[str, Any]) -> bool:
    """Whether networks of this width reach p*."""
    known = cell["theory"]
    if known["m_star"] is not None:
        return cell["width"] >= known["m_star"]
    return known["P_m"] is not None and known["P_m"] <= known["p_star"] * (1 + 1e-9)


def paths(census: Census, problem: Empirical, some: dict[int, Path], curves: Curves, steps: int) -> Figure:
    """The excess of the loss over p* along descending paths, and along plain descent from the same networks.

    Args:
        census: Of plain descents, with findings of the paths.
        problem: The landscape.
        some: Paths to draw, by restart.
        curves: Plain descents of these restarts, in their order.
        steps: Looks from each way-point to the next.
    """
    from landscape.theory.convex.path import verify

    figure = Figure(figsize=(9.2, 4.9), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    floor = census.findings["theory"]["p_star"]
    ends = {one["restart"]: one for one in census.findings["paths"]["each"]}
    for i, (restart, one) in enumerate(some.items()):
        looked = verify(problem.data, one, steps)
        colour = EXTRA[i % len(EXTRA)]
        left.plot(looked.position, np.maximum(looked.loss - floor, 0.0), color=colour, linewidth=1.4)
        at = np.arange(len(one.loss))
        left.plot(at, np.maximum(one.loss - floor, 0.0), ".", color=colour, markersize=4)
        label, end = ends[restart]["descent_label"], ends[restart]["descent_end"] - floor
        end = 0.0 if end < 1e-11 * floor else end  # rounding, and the gap of p*
        right.plot(
            curves.steps, np.maximum(curves.loss[:, i] - floor, 0.0), color=colour, linewidth=1.4,
            label=f"network {restart}, finished exactly: {_word(label)}, {end:.2g}",
        )  # fmt: skip
    most = max(float(one.loss[0]) for one in some.values()) - floor
    _excess(left.yaxis, floor, max(most, float(np.nanmax(curves.loss)) - floor))
    left.set_xlabel("way-point")
    left.set_ylabel("loss less the optimum p*")
    right.set_xlabel("step of plain descent")
    left.set_title("descending path", fontsize=10, loc="left")
    right.set_title("plain descent from the same networks", fontsize=10, loc="left")
    right.legend(edgecolor="none", fontsize=8.5, loc="upper right")
    for ax in (left, right):
        _quiet(ax, grid="both")
    found = census.findings["paths"]
    _note(left, f"{len(found['each'])} paths: largest rise of the loss {found['largest_rise']:.0e}")
    _note(right, "a fixed step may jump to and fro over ties; labels are of the exact finish")
    facts = census.problem
    figure.suptitle(
        f"From random networks of width {facts['width']} to a global minimum; {facts['rows']} data points",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    return figure
