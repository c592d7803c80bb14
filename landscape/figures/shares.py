"""Shares of spurious ends against the size of the teacher."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from landscape.census.statistics import wilson
from landscape.figures.style import DOTTED, EXTRA, EXTRA_MARKERS, FAINT, INK, axes_of, headline, proxy, quiet, say_empty


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
    figure, ax = axes_of(ax, (7.6, 4.9))
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
        handles.append(proxy("o", INK, text, markersize=10, markerfacecolor="none"))
    crosses = [(k, 100 * paper["share"]) for k, paper, ours in papers if abs(100 * paper["share"] - ours) > 1e-9]
    if crosses:
        ax.plot(*np.array(crosses).T, "x", color=INK, markersize=5, zorder=4)
        handles.append(proxy("x", INK, "ours by the published rule"))
    if room:
        text = "if all undecided and\nunconverged were spurious"
        handles.append(Line2D([], [], color=FAINT, label=text, **DOTTED))
    ax.set_xlabel("teacher size k (neurons)")
    ax.set_ylabel("restarts that end at a spurious minimum (%)")
    ax.set_ylim(-3, 103)
    ax.set_yticks(range(0, 101, 20))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    quiet(ax)
    if not handles:
        say_empty(ax)
    else:
        ax.legend(handles=handles, edgecolor="none", framealpha=0.85, fontsize=9, loc="upper left")
    counts = sorted({sum(c["labels"].values()) for c in cells}) or [0]
    many = " to ".join(str(count) for count in sorted({counts[0], counts[-1]}))
    said = f"Spurious minima by size of the teacher\nfinished restarts a cell: {many}; bars: 95% Wilson interval"
    headline(ax, title or said)
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
