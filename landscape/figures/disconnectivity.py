"""The disconnectivity graph: minima as ends of branches that merge where their valleys do (Becker and Karplus 1997)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from landscape.figures.captions import in_words
from landscape.figures.style import COLOURS, FAINT, INK, MARKERS, UNKNOWN, axes_of, headline, proxy, quiet, say_empty
from landscape.records import Interval, Label
from landscape.topology.graph import Graph
from landscape.topology.merge_tree import Tree, merge_tree

NAMED = 12  # minima that are numbered below their ends; more would overlap


def disconnectivity(graph: Graph, ax: Axes | None = None, title: str | None = None) -> Figure:
    """Minima at their losses, joined where known paths join their valleys.

    A bar at a merge reaches from the known path down to the bound from below: without a bar the level is known to the
    width of a line. Branches that no known path joins end in a dotted line at the top.

    Args:
        graph: Minima and barriers.
        ax: Where to draw.
        title: In place of the default one.
    """
    wide = float(np.clip(5.5 + 0.03 * len(graph.minima), 6.5, 16.0))
    figure, ax = axes_of(ax, (wide, 5.2))
    ax.set_ylabel("loss")
    quiet(ax)
    headline(ax, title or _title(graph))
    if not graph.minima:
        say_empty(ax, "no minima")
        return figure
    tree = merge_tree(graph)
    losses = np.array([one.loss for one in graph.minima])
    top = _top(losses, [one.level.high for one in tree.merges])
    x = _places(graph, tree)
    _branches(ax, graph, tree, x, top)
    _ends(ax, graph, x)
    margin = 0.04 * (top - losses[0])
    ax.set_ylim(losses[0] - 2.2 * margin, top + margin)
    ax.set_xlim(-0.8, len(losses) - 0.2)
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    _legend(ax, graph, tree)
    return figure


def _title(graph: Graph) -> str:
    what = "copies under the symmetry are apart" if graph.copies else "an orbit under the symmetry is one minimum"
    roots = len(merge_tree(graph).roots)
    joined = "" if roots < 2 else f"; {roots} branches that no known path joins"
    many = "1 minimum" if len(graph.minima) == 1 else f"{len(graph.minima)} minima"
    return f"Disconnectivity graph of {many}{joined}\n{what}"


def _top(losses: np.ndarray, merges: list[float]) -> float:
    """The upper end of the axis: above all merges, and above all minima by some of their spread."""
    span = float(max([losses[-1], *merges]) - losses[0])
    return float(losses[0]) + 1.08 * span if span > 0 else float(losses[0]) + max(1e-3, 0.1 * abs(float(losses[0])))


def _places(graph: Graph, tree: Tree) -> dict[int, float]:
    """Where each branch stands: ends side by side, the lowest amid its branch, merges between what they join."""
    k = len(graph.minima)
    order: dict[int, list[int]] = {i: [i] for i in range(k)}
    for number, merge in enumerate(tree.merges):
        one, two = order[merge.left], order[merge.right]
        # The branch that joins goes to the shorter side of the lowest minimum.
        before = one.index(min(one))
        order[k + number] = two + one if before < len(one) - 1 - before else one + two
    x = {i: float(place) for place, i in enumerate(i for root in tree.roots for i in order[root])}
    for number, merge in enumerate(tree.merges):
        x[k + number] = 0.5 * (x[merge.left] + x[merge.right])
    return x


def _branches(ax: Axes, graph: Graph, tree: Tree, x: dict[int, float], top: float) -> None:
    """Lines from ends to merges, merges as steps, and a bar down to the bound from below of each merge."""
    k = len(graph.minima)
    level = {i: one.loss for i, one in enumerate(graph.minima)}
    lines, bars = [], []
    thin = 1.3 if k <= 100 else 0.6
    for number, merge in enumerate(tree.merges):
        high = merge.level.high
        for side in (merge.left, merge.right):
            lines.append([(x[side], level[side]), (x[side], high)])
        lines.append([(x[merge.left], high), (x[merge.right], high)])
        if _is_open(merge.level, graph, merge.left, level):
            bars.append([(x[k + number], merge.level.low), (x[k + number], high)])
        level[k + number] = high
    ax.add_collection(LineCollection(lines, colors=INK, linewidths=thin, zorder=2))
    ax.add_collection(LineCollection(bars, colors=UNKNOWN, linewidths=3.2 if k <= 60 else 1.2, alpha=0.45, zorder=1))
    loose = [[(x[root], level[root]), (x[root], top)] for root in tree.roots] if len(tree.roots) > 1 else []
    ax.add_collection(LineCollection(loose, colors=FAINT, linewidths=thin, linestyles=[(0, (1, 2))], zorder=1))


def _is_open(level: Interval, graph: Graph, branch: int, levels: dict[int, float]) -> bool:
    """Whether a bound from below leaves the level of a merge open by more than can be seen."""
    spread = max(max(levels.values()) - graph.minima[0].loss, 1e-300)
    return level.high - level.low > 3e-3 * spread


def _ends(ax: Axes, graph: Graph, x: dict[int, float]) -> None:
    """Minima as markers of their labels, numbered where there are few."""
    size = 6.5 if len(graph.minima) <= 60 else 3.0
    # Global ones last and larger: they may be few among hundreds.
    for label in sorted({one.label for one in graph.minima}, key=lambda word: word == Label.GLOBAL):
        some = [(x[i], one.loss) for i, one in enumerate(graph.minima) if one.label == label]
        look: dict[str, Any] = {"color": COLOURS[label], "linestyle": "none", "zorder": 4}
        larger = max(size, 5.0) if label == Label.GLOBAL else size
        ax.plot(*np.array(some).T, MARKERS[label], markersize=larger, **look)
    if len(graph.minima) > NAMED:
        return
    for i, one in enumerate(graph.minima):
        below: dict[str, Any] = {"ha": "center", "va": "top", "fontsize": 8, "color": FAINT}
        ax.annotate(f"{i}\n{100 * one.share:.3g}%", (x[i], one.loss), (0, -7), textcoords="offset points", **below)


def _legend(ax: Axes, graph: Graph, tree: Tree) -> None:
    handles = [proxy(MARKERS[label], COLOURS[label], in_words(label)) for label in Label if _has(graph, label)]
    levels = {i: one.loss for i, one in enumerate(graph.minima)}
    levels |= {len(graph.minima) + i: one.level.high for i, one in enumerate(tree.merges)}
    if any(_is_open(one.level, graph, one.left, levels) for one in tree.merges):
        bar = proxy("|", UNKNOWN, "level not known better", markersize=11)
        bar.set(alpha=0.45, markeredgewidth=3.2)
        handles.append(bar)
    if len(tree.roots) > 1:
        loose = proxy("", FAINT, "no path known")
        loose.set(linestyle=(0, (1, 2)))
        handles.append(loose)
    place: dict[str, Any] = {
        "loc": "upper left",
        "bbox_to_anchor": (0, -0.01),
        "ncols": 3,
        "columnspacing": 1.2,
        "handletextpad": 0.4,
    }
    ax.legend(handles=handles, edgecolor="none", framealpha=0.85, fontsize=8.5, **place)


def _has(graph: Graph, label: Label) -> bool:
    return any(one.label == label for one in graph.minima)
