"""Sign regions of porcupine networks, and the surfaces of two neurons on one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from landscape.figures.captions import lines_asked
from landscape.figures.style import DPI, FAINT, INK, Figure, small_print
from landscape.palette import COLOURS, MARKERS

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.problems.porcupine import Porcupine

MOST_ROWS = 30  # kinds of regions drawn
SIGN = {1: ("+", "#CFE3F3"), -1: ("\N{MINUS SIGN}", "#F7D9C4"), 0: ("±", "#E4E4E4")}
LOSS = "F = 1/2 E (student - teacher)$^2$ (the paper's loss is 2 F)"  # one normalisation in table and figures
BAD = {True: COLOURS["spurious"], False: COLOURS["global"], None: COLOURS["undecided"]}


def regions(census: Census) -> Figure:
    """Sign regions, a row a kind: signs on each line, regions of the kind, loss of the stationary points, bad or not.

    Regions with bad minima first, of both sorts the lowest loss first; bars are the loss F, as in the census.
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
        loss = row["loss"]
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
    most = max((row["loss"] or 0.0 for row in drawn), default=0.0)
    right.set_xlim(0, 1.6 * most if most > 1e-9 else 1.0)
    right.set_xlabel(f"loss of the stationary points, {LOSS}")
    right.grid(True, axis="x", color="#EEEEEE", linewidth=0.7)
    right.set_axisbelow(True)
    found = census.findings["region_counts"]
    text = ", ".join(f"{count:.0f} {word}" for word, count in found.items() if count)
    figure.suptitle(f"Sign regions: {text}\n{lines_asked(census)}", fontsize=11, x=0.01, ha="left")
    share, low, high = (100 * census.shares()["spurious"][name] for name in ("share", "low", "high"))
    note = f"{share:.1f}% [{low:.1f}, {high:.1f}] of descents end at a bad minimum"
    note += f"; {len(drawn)} of {len(table)} kinds drawn" if len(drawn) < len(table) else ""
    small_print(right, note + "; minima where a neuron is zero lie in no region")
    return figure


def surfaces(problems: list[Porcupine], cells: list[dict[str, Any]]) -> Figure:
    """The loss over both coefficients of two neurons on one line, a panel a teacher, with every local minimum.

    Segments of minima are drawn whole: masses of one sign may be shared in any way. Spurious ones are open: at their
    ends, where a neuron is at zero, the loss descends on. Contours are of the root of the loss, so that their distance
    shows the slope; losses are F, as in the census.
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
            bar.set_label(f"root of {LOSS}", fontsize=9)
            bar.ax.tick_params(labelsize=8)
        handles: dict[str, Any] = {}
        for region in cell["regions"]:
            if region["loss"] is None:
                continue
            label = {True: "spurious", False: "global", None: "undecided"}[region["bad"]]
            colour, kind = COLOURS[label], region["kinds"][0]
            text = f"{label}, loss {round(region['loss'], 9) + 0.0:.6g}"
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
                        f"{round(region['loss'], 9):.6g}", (mass / 2, mass / 2), (kind * 12, kind * 12),
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
    """A grid [n] over either coefficient of two neurons on one line, and the root of the loss F there, [n, n]."""
    teacher = problem.teacher[:, 0]
    up, down = np.sum(teacher[teacher > 0]), -np.sum(teacher[teacher < 0])
    grid = 1.25 * (up + down) * np.linspace(-1, 1, 401)
    a, b = np.meshgrid(grid, grid)
    paper = (a + b - up + down) ** 2 / 4 + (np.abs(a) + np.abs(b) - up - down) ** 2 / 4  # theorem 1, of 2 F
    return grid, np.sqrt(paper / 2)
