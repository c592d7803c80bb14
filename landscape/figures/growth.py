"""Grown networks, degrees that differ, zero neurons: figures of the growth studies, from their records."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from landscape.figures.style import DPI, FAINT, INK, Figure, quiet, small_print
from landscape.palette import COLOURS

MOST = 60  # traces drawn


def traces(record: dict[str, Any]) -> Figure:
    """Loss above the end, polar value and width by round, a line a trace, thicker where more starts took it."""
    found = record["findings"]
    figure = Figure(figsize=(11.4, 4.2), dpi=DPI, layout="constrained")
    excess, polar, width = figure.subplots(1, 3)
    drawn = found["traces"][:MOST]
    best = record["best_seen"]
    floor = 1e-13 * max(1.0, abs(best))
    most = max(trace["count"] for trace in drawn)
    for trace in reversed(drawn):
        rounds = np.arange(1, len(trace["loss"]) + 1)
        certified = trace["status"] == "certified"
        colour = COLOURS["global"] if certified else COLOURS["undecided"]
        look = {"color": colour, "linewidth": 0.6 + 2.4 * trace["count"] / most, "alpha": 0.7}
        above = np.maximum(np.array(trace["loss"]) - best, floor)
        values = np.array([np.nan if p is None else p for p in trace["polar"]])
        for ax, y in ((excess, above), (polar, values), (width, np.array(trace["width"]))):
            ax.plot(rounds, y, **look)
            ax.plot(rounds[-1], y[-1], "o" if certified else "s", color=colour, markersize=5)
    excess.set_yscale("log")
    polar.set_yscale("log")
    polar.axhline(1.0, color=INK, linewidth=1.0, linestyle=(0, (6, 3)))
    said = "an estimate: nothing is shown at 1" if "not refuted" in found["statuses"] else "1: global over all widths"
    polar.annotate(said, (0.02, 1.0), (0, 4), xycoords=("axes fraction", "data"),
                   textcoords="offset points", ha="left", fontsize=8.5, color=INK)  # fmt: skip
    for ax, said in ((excess, "loss above the best end"), (polar, "polar / $\\lambda$"), (width, "subnetworks")):
        ax.set_xlabel("round")
        ax.set_ylabel(said)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        quiet(ax, grid="both")
    width.yaxis.set_major_locator(MaxNLocator(integer=True))
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(found["statuses"].items()))
    figure.suptitle(
        f"Grown from {found['finished']} starts: {statuses}\n{record['problem']['normalisation']}",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    left = len(found["traces"]) - len(drawn)
    small_print(excess, f"best end {best:.10g}; {len(drawn)} traces" + (f", {left} more not drawn" if left > 0 else ""))
    return figure


def mismatch(record: dict[str, Any]) -> Figure:
    """Both one-weight losses with their stationary points, and the barrier beside zero enlarged."""
    found = record["findings"]
    lam = found["regularisation"]
    figure = Figure(figsize=(10.4, 4.2), dpi=DPI, layout="constrained")
    whole, close = figure.subplots(1, 2, width_ratios=(3, 2))
    looks = {"mismatched": (2, COLOURS["spurious"]), "matched": (3, COLOURS["global"])}
    for ax, grid in ((whole, np.linspace(-0.6, 1.35, 600)), (close, np.linspace(-0.1, 0.13, 400))):
        for name, (degree, colour) in looks.items():
            loss = 0.5 * (grid**3 - 1) ** 2 + lam * np.abs(grid) ** degree
            ax.plot(grid, loss, color=colour, linewidth=1.8, label=f"{name}: $\\lambda |w|^{degree}$")
            for kind, w, value in found["stationary"][name]:
                if grid[0] <= w <= grid[-1]:
                    ax.plot(w, value, "^" if kind == "barrier" else "o", color=colour, markersize=7, zorder=4)
        ax.set_xlabel("w")
        quiet(ax, grid="both")
    whole.set_ylabel("1/2 ($w^3$ - 1)$^2$ + penalty")
    top = 0.5 + 2 * lam * 0.13**2
    close.set_ylim(0.5 - 3 * lam * 0.13**2, top)
    close.set_title("beside zero", fontsize=10, loc="left")
    whole.legend(edgecolor="none", fontsize=9)
    ends = "\n".join(
        f"{name}: " + ", ".join(f"{level['count']} at {level['loss']:.6f}" for level in levels)
        for name, levels in found["ends"].items()
    )
    small_print(whole, f"ends of descents\n{ends}")
    figure.suptitle("Degrees that differ make zero a local minimum", fontsize=11, x=0.01, ha="left")
    return figure


def zeros(record: dict[str, Any]) -> Figure:
    """Ends by width: with a zero neuron, global or saddle, or without; and the polar values of those with one."""
    table = record["findings"]["widths"]
    figure = Figure(figsize=(11.0, 4.4), dpi=DPI, layout="constrained")
    shares, polar = figure.subplots(1, 2)
    at = np.arange(len(table))
    each = record["findings"]["finished"] / len(table)
    below = np.zeros(len(table))
    parts = [
        ("zero neuron, global", COLOURS["global"], [row["with_zero"]["global"] for row in table]),
        ("zero neuron, saddle", COLOURS["saddle"], [row["with_zero"]["saddle"] for row in table]),
        ("zero neuron, other", COLOURS["undecided"], [row["with_zero"]["other"] for row in table]),
        ("none zero", "#E4E4E4", [sum(row["without_zero"].values()) for row in table]),
    ]
    for said, colour, counts in parts:
        height = 100 * np.array(counts) / each
        if np.any(height > 0):
            shares.bar(at, height, bottom=below, color=colour, width=0.7, label=said)
        below += height
    shares.set_xticks(at, [str(row["width"]) for row in table])
    shares.set_ylabel("ends of descents (%)")
    shares.legend(edgecolor="none", fontsize=9, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3)
    figure.suptitle(
        "A zero neuron at a local minimum proves it global; descents stop at saddles with one too", fontsize=11, x=0.01,
        ha="left",
    )  # fmt: skip
    rng = np.random.default_rng(0)  # sideways, so that equal values are seen
    for kind in ("global", "saddle", "other"):
        colour = COLOURS["undecided" if kind == "other" else kind]
        for i, row in enumerate(table):
            values = np.array(row["polar"][kind])
            polar.plot(i + rng.uniform(-0.3, 0.3, len(values)), values, ".", color=colour, markersize=5, alpha=0.6)
    polar.axhline(1.0, color=FAINT, linewidth=1.0, linestyle=(0, (6, 3)))
    polar.set_xticks(at, [str(row["width"]) for row in table])
    polar.set_xlim(-0.6, len(table) - 0.4)
    polar.set_yscale("log")
    polar.set_ylabel("polar / $\\lambda$ of ends with a zero neuron")
    for ax in (shares, polar):
        ax.set_xlabel("neurons")
        quiet(ax)
    return figure
