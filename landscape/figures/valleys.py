"""Spurious valleys: the loss over a barrier, shares that are caught by width, ranks by rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure as AnyFigure

from landscape.figures.style import (
    DPI,
    EXTRA,
    EXTRA_MARKERS,
    FAINT,
    INK,
    NEGATIVE,
    UNKNOWN,
    Figure,
    headline,
    quiet,
    say_empty,
)
from landscape.palette import COLOURS


def barrier(record: dict[str, Any]) -> AnyFigure:
    """The loss from the bottom of the valley to a global minimum: along the path, and straight, with the wall."""
    found = record["findings"]
    figure = Figure(figsize=(7.6, 4.6), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    path, straight = np.array(found["path"]), np.array(found["straight"])
    low, high = found["barrier"]["low"], found["barrier"]["high"]
    ax.plot(np.linspace(0, 1, len(straight)), straight, color=FAINT, linewidth=1.4,
            label=f"straight way, up to {straight.max():.6g}")  # fmt: skip
    ax.plot(np.linspace(0, 1, len(path)), path, color=EXTRA[0], linewidth=2.0, label=f"path, up to {high:.10g}")
    ax.axhline(low, color=NEGATIVE, linewidth=1.2, linestyle=(0, (5, 2)), label=f"wall: no path stays below {low:.10g}")
    ax.plot(0, path[0], "D", color=COLOURS["spurious"], markersize=8, label="bottom of the valley", zorder=4)
    ax.plot(1, path[-1], "o", color=COLOURS["global"], markersize=8, label="global minimum", zorder=4)
    ax.set_xlabel("fraction of the way")
    ax.set_ylabel("loss")
    ax.set_ylim(0, 1.3 * max(straight.max(), high))
    quiet(ax)
    ax.legend(edgecolor="none", fontsize=9, loc="upper right", ncols=2)
    headline(ax, "A spurious valley of two neurons on eight rows\nits barrier is known from both sides")
    return figure


def by_width(record: dict[str, Any]) -> Figure:
    """Shares of starts and of ends in valleys without a global minimum, with 95% Wilson intervals, by width.

    A bar reaches from the interval of what is shown to be caught up to that of what may be: the rest is decided free.
    """
    table = record["findings"]["widths"]
    figure = Figure(figsize=(8.6, 4.4), dpi=DPI, layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for ax, name in zip(axes, ("starts", "ends"), strict=True):
        ax.set_xlabel("width (number of neurons)")
        ax.set_title(f"{name} of descents", fontsize=10, loc="left")
        quiet(ax)
        if not table:
            say_empty(ax)
            continue
        x = np.array([row["width"] for row in table])
        known, most = (np.array([[100 * row[name][key][end] for end in ("share", "low", "high")] for row in table])
                       for key in ("caught_share", "at_most"))  # fmt: skip
        error = [known[:, 0] - known[:, 1], known[:, 2] - known[:, 0]]
        ax.errorbar(x, known[:, 0], yerr=np.maximum(error, 0), color=COLOURS["spurious"], marker="D", capsize=2.5,
                    linewidth=1.4, label="caught, with 95% interval", zorder=3)  # fmt: skip
        if np.any(most[:, 0] > known[:, 0]):
            ax.vlines(x, known[:, 0], most[:, 0], color=UNKNOWN, linewidth=5, alpha=0.45, label="not decided", zorder=1)
        ax.set_xticks(x)
        wide = [row["width"] for row in table if row["wide_enough"]]
        if wide:
            ax.axvline(min(wide) - 0.5, color=INK, linewidth=1.0, linestyle=(0, (5, 2)))
            at = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "fontsize": 8.5}
            ax.annotate("no valley", (min(wide) - 0.5, 0.62), (5, 0), **at)
    axes[0].set_ylabel("in a valley without a global minimum (%)")
    axes[0].set_ylim(bottom=-1)
    if table:
        axes[0].legend(edgecolor="none", fontsize=8.5, loc="upper right")
    figure.suptitle(
        f"Caught at its own loss, by width; {record['findings']['finished']} descents", fontsize=11, x=0.01, ha="left"
    )
    return figure


def ranks(record: dict[str, Any]) -> AnyFigure:
    """Ranks of samples of neurons by the number of rows: a plateau where the dimension is finite."""
    found = record["findings"]
    figure = Figure(figsize=(7.6, 4.6), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    n = np.array(found["rows"])
    order = np.argsort(n)
    for i, row in enumerate(found["activations"]):
        look: dict[str, Any] = {"color": EXTRA[i % len(EXTRA)], "linestyle": "-" if i < len(EXTRA) else (0, (4, 2))}
        name = f"{row['activation']}: {row['dimension']}"
        ax.plot(n[order], np.array(row["ranks"])[order], marker=EXTRA_MARKERS[i % len(EXTRA_MARKERS)], label=name,
                markersize=4.5, linewidth=1.3, **look)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel="rows", ylabel="rank of a sample of neurons")
    ax.set_xticks(n[order], [str(one) for one in n[order]])
    ax.minorticks_off()
    quiet(ax, grid="both")
    figure.legend(edgecolor="none", fontsize=8.5, loc="outside right upper")
    headline(ax, f"Intrinsic dimension over Gaussian inputs in {found['inputs']} dimensions")
    return figure
