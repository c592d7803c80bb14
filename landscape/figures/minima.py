"""One width on a data set: ends of descents, and which local minima they found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from landscape.figures.captions import in_words
from landscape.figures.ends import draw_ends
from landscape.figures.excess import FLOOR, excess_axis
from landscape.figures.style import DPI, FAINT, INK, Figure, paler, quiet
from landscape.palette import COLOURS, MARKERS

if TYPE_CHECKING:
    from landscape.census.census import Census

MOST_MINIMA = 40  # drawn of one width
# A label has one colour everywhere; what refines it is paler.
KINDS = {
    "global": COLOURS["global"],
    "global at this width": paler(COLOURS["global"]),
    "strict spurious": COLOURS["spurious"],
    "flat spurious": paler(COLOURS["spurious"]),
}


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
        quiet(ax, grid="x")
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
    draw_ends(ax, census, np.where(ended, np.maximum(loss, 0.0 if theory is not None else -np.inf), np.nan))
    for word in ("at_infinity", "unconverged"):
        if np.any(label == word):
            said = f"{in_words(word)}: {np.sum(label == word)}, no end"
            ax.plot([], [], MARKERS[word], color=COLOURS[word], label=said)
    if theory is not None:
        ax.axvline(0.0, **FLOOR, label=f"convex optimum p* = {floor:.6g}")
        if theory["P_m"] is not None and theory["P_m"] > floor * (1 + 1e-9):
            own = f"least loss of the width, P$_m$ = {theory['P_m']:.6g}"
            ax.axvline(theory["P_m"] - floor, color=INK, linewidth=1.2, linestyle=":", label=own)
        excess_axis(ax.xaxis, floor, float(np.max(loss[ended], initial=0.0)))
    ax.set_xlabel("loss at the end" if theory is None else "loss at the end less the convex optimum p*")
    ax.legend(edgecolor="none", fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    facts = census.problem
    figure.suptitle(
        f"Where descents end: width {facts['width']}, {facts['rows']} data points, {census.finished} descents",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    return figure
