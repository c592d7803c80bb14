"""Figures of the porcupine studies, from their records; see `plots` for how figures are made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from landscape.host.plots import COLOURS, DPI, EXTRA, EXTRA_MARKERS, FAINT, INK, MARKERS, _note, _quiet, _title
from landscape.studies.table import teacher_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.census.census import Census
    from landscape.problems.porcupine import Porcupine

MOST_ROWS = 30  # kinds of regions drawn
SIGN = {1: ("+", "#CFE3F3"), -1: ("\N{MINUS SIGN}", "#F7D9C4"), 0: ("±", "#E4E4E4")}
BAD = {True: COLOURS["spurious"], False: COLOURS["global"], None: COLOURS["undecided"]}


def regions(census: Census) -> Figure:
    """Sign regions, a row a kind: signs on each line, regions of the kind, loss of the stationary points, bad or not.

    Regions with bad minima first, of both sorts the lowest loss first; bars are the loss in the paper's normalisation.
    """
    table = census.findings["regions"]
    order = sorted(table, key=lambda r: (r["bad"] is False, r["loss"] is None, r["loss"] or 0.0, -r["count"]))
    drawn = order[:MOST_ROWS]
    lines = len(drawn[0]["kinds"])
    figure = Figure(figsize=(8.4, 1.9 + 0.34 * max(3, len(drawn))), dpi=DPI, layout="constrained")
    share = min(0.5, 0.06 + 0.035 * lines)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(share, 1 - share))
    for y, row in enumerate(drawn):
        for x, kind in enumerate(row["kinds"]):
            sign, colour = SIGN[kind]
            left.add_patch(Rectangle((x, y - 0.42), 0.92, 0.84, facecolor=colour, edgecolor="none"))
            left.text(x + 0.46, y, sign, ha="center", va="center", color=INK, fontsize=10)
        loss = row["paper_loss"]
        if loss is not None:
            right.barh(y, loss, height=0.6, color=BAD[row["bad"]], alpha=0.85)
        said = "no stationary point inside" if loss is None else f"loss {round(loss, 9) + 0.0:.6g}"
        many = f"{row['count']:.0f} region" + ("" if row["count"] == 1 else "s")
        words = {True: "bad minima", False: "no bad minimum", None: "undecided"}[row["bad"]]
        right.annotate(
            f"{said}; {words} ({many})", (loss or 0.0, y), (5, 0), textcoords="offset points", va="center", fontsize=8.5
        )
    left.set(xlim=(-0.1, lines), ylim=(len(drawn) - 0.4, -0.6), yticks=[], xticks=[])
    left.set_xlabel("signs on\neach line")
    for ax in (left, right):
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
    left.spines["bottom"].set_visible(False)
    most = max((row["paper_loss"] or 0.0 for row in drawn), default=0.0)
    right.set_xlim(0, 1.6 * most if most > 1e-9 else 1.0)
    right.set_xlabel("loss of the stationary points, E (student - teacher)$^2$")
    right.grid(True, axis="x", color="#EEEEEE", linewidth=0.7)
    right.set_axisbelow(True)
    found = census.findings["region_counts"]
    text = ", ".join(f"{count:.0f} {word}" for word, count in found.items() if count)
    figure.suptitle(f"Sign regions: {text}\n{_asked(census)}", fontsize=11, x=0.01, ha="left")
    share, low, high = (100 * census.shares()["spurious"][name] for name in ("share", "low", "high"))
    note = f"{share:.1f}% [{low:.1f}, {high:.1f}] of descents end at a bad minimum"
    note += f"; {len(drawn)} of {len(table)} kinds drawn" if len(drawn) < len(table) else ""
    _note(right, note + "; minima where a neuron is zero lie in no region")
    return figure


def _asked(census: Census) -> str:
    """Lines, neurons, teacher and number of descents of a run."""
    cell = census.findings["porcupine"]
    where = "one line" if cell["lines"] == 1 else f"{cell['lines']} lines in {cell['dimension']} dimensions"
    each = ", ".join(map(str, np.atleast_1d(cell["neurons"])[:8]))
    each += ", ..." if np.size(cell["neurons"]) > 8 else ""
    return f"{where}, neurons on each: {each}; teacher: {teacher_name(cell)}; {census.finished} descents"


def ends(census: Census) -> Figure:
    """Where descents end: the share of them at or below a loss, by label, with the optimum and the Schur bound.

    Many lines have nearly as many levels as descents, and most ends have neurons at zero, where F has no Hessian: this
    stands in place of the levels and spectra of a smooth loss.
    """
    figure = Figure(figsize=(8.4, 4.8), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    cell = census.findings["porcupine"]
    unit = cell["teacher_loss"]
    label, loss = census.rows["label"], census.rows["loss"] / unit
    for word, colour in COLOURS.items():
        x = np.sort(loss[(label == word) & np.isfinite(loss)])
        if not len(x):
            continue
        y = 100 * np.arange(1, len(x) + 1) / census.finished
        share = census.shares()[word]
        said = f"{word}: {100 * share['share']:.1f}% [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"
        ax.step(np.r_[x[0], x], np.r_[0, y], where="post", color=colour, linewidth=1.6, label=said)
        ax.plot(x[-1], y[-1], MARKERS[word], color=colour, markersize=6)
    ax.axvline(cell["optimum"] / unit, color=INK, linewidth=1.0, linestyle=(0, (6, 3)), label="exact optimum", zorder=1)
    ax.axvline(
        cell["schur_bound"] / unit, color=FAINT, linewidth=1.2, linestyle=":", label="Schur lower bound", zorder=1
    )
    ax.set_ylim(0, 103)
    ax.set_xlabel("E (student - teacher)$^2$ / E teacher$^2$")
    ax.set_ylabel("descents of a label that end here or lower (%)")
    _quiet(ax, grid="both")
    ax.legend(edgecolor="none", fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    figure.suptitle(f"Where descents end\n{_asked(census)}", fontsize=11, x=0.01, ha="left")
    return figure


def surfaces(problems: list[Porcupine], cells: list[dict[str, Any]]) -> Figure:
    """The loss over both coefficients of two neurons on one line, a panel a teacher, with every local minimum.

    Segments of minima are drawn whole: masses of one sign may be shared in any way. Spurious ones are open: at their
    ends, where a neuron is at zero, the loss descends on. Contours are of the root of the loss, so that their distance
    shows the slope; losses are the paper's.
    """
    figure = Figure(figsize=(5.0 * len(cells) + 0.6, 5.2), dpi=DPI, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(cells), squeeze=False)[0])
    shown = list(zip(axes, problems, cells, strict=False))
    surfaces = [_surface(problem) for _, problem, _ in shown]
    levels = MaxNLocator(20).tick_values(0, max(np.max(root) for _, root in surfaces))
    for (ax, problem, cell), (grid, root) in zip(shown, surfaces, strict=True):
        teacher, reach = problem.teacher[:, 0], grid[-1]
        drawn = ax.contourf(grid, grid, root, levels=levels, cmap="Greys", alpha=0.75)
        if ax is axes[-1]:
            bar = figure.colorbar(drawn, ax=list(axes), shrink=0.75, pad=0.02, ticks=MaxNLocator(6, integer=True))
            bar.set_label("root of the loss E (student - teacher)$^2$", fontsize=9)
            bar.ax.tick_params(labelsize=8)
        handles: dict[str, Any] = {}
        for region in cell["regions"]:
            if region["loss"] is None:
                continue
            label = {True: "spurious", False: "global", None: "undecided"}[region["bad"]]
            colour, kind = COLOURS[label], region["kinds"][0]
            text = f"{label}, loss {round(region['paper_loss'], 9) + 0.0:.6g}"
            if kind:
                mass = kind * np.sum(np.abs(region["theta"]))
                ax.plot([mass, 0], [0, mass], color=colour, linewidth=3, solid_capstyle="butt", zorder=3)
                said = text + (", open segment" if label == "spurious" else ", segment")
                handles[text] = Line2D([], [], color=colour, linewidth=3, label=said)
                if label == "spurious":
                    ax.plot(
                        [mass, 0], [0, mass], "o", markersize=6, markerfacecolor="white", markeredgecolor=colour,
                        markeredgewidth=1.5, zorder=4,
                    )  # fmt: skip
                    # Beside the segment's middle, on its outer side.
                    ax.annotate(
                        f"{round(region['paper_loss'], 9):.6g}", (mass / 2, mass / 2), (kind * 12, kind * 12),
                        textcoords="offset points", ha="center", va="center", color=colour, fontsize=10,
                        fontweight="bold", zorder=4,
                    )  # fmt: skip
            else:
                c = np.array(region["theta"])
                for x, y in (c, c[::-1]):
                    ax.plot(x, y, MARKERS[label], color=colour, markersize=9, markeredgecolor="white", zorder=4)
                handles[text + " (two points)"] = Line2D(
                    [], [], color=colour, marker=MARKERS[label], linestyle="none", label=text + ", two points"
                )
        ax.axhline(0, color=FAINT, linewidth=0.8)
        ax.axvline(0, color=FAINT, linewidth=0.8)
        ax.set_aspect("equal")
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="$c_1$", ylabel="$c_2$")
        ax.tick_params(labelsize=9)
        share, low, high = (100 * cell["shares"]["global"][name] for name in ("share", "low", "high"))
        ends = f"{cell['finished']} descents: {share:.1f}% [{low:.1f}, {high:.1f}] global"
        ax.set_title(f"teacher ({', '.join(f'{t:g}' for t in teacher)})\n{ends}", fontsize=11, loc="left")
        ax.legend(handles=list(handles.values()), fontsize=8.5, loc="upper right", framealpha=0.9, edgecolor="none")
    return figure


def _surface(problem: Porcupine) -> tuple[np.ndarray, np.ndarray]:
    """A grid [n] over either coefficient of two neurons on one line, and the root of the paper's loss there, [n, n]."""
    teacher = problem.teacher[:, 0]
    up, down = np.sum(teacher[teacher > 0]), -np.sum(teacher[teacher < 0])
    grid = 1.25 * (up + down) * np.linspace(-1, 1, 401)
    a, b = np.meshgrid(grid, grid)
    loss = (a + b - up + down) ** 2 / 4 + (np.abs(a) + np.abs(b) - up - down) ** 2 / 4  # theorem 1
    return grid, np.sqrt(loss)


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
        _quiet(one, grid="both")
    ax.legend(edgecolor="none", fontsize=9)
    teachers = len({c["draw"] for c in cells})
    text = f"d = {d}, {teachers} teachers of {cells[0]['teacher_neurons']} random neurons"
    _title(ax, f"Random lines against a free network\n{text}, {cells[0]['restarts']} restarts each")
    _note(below, "dots: teachers, each with lines of its own; bars: standard error of their mean" + slope)
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
    _quiet(ax)
    _title(
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
        _quiet(ax)
    first = cells[0]
    text = f"{first['teacher_neurons']} random teacher neurons on none of the lines, d = {first['dimension']}"
    bars = f"{first['restarts']} descents a cell; bars left: 95% Wilson interval, right: least to largest"
    figure.suptitle(f"{text}\n{bars}", fontsize=11, x=0.01, ha="left")
    return figure
