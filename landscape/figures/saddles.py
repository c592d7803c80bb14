"""Saddles: the minima that transition states connect, and index against loss."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from landscape.figures.captions import counted
from landscape.figures.style import DPI, FAINT, INK, Figure, headline, quiet, say_empty, small_print
from landscape.palette import COLOURS, MARKERS


def connections(record: dict[str, Any]) -> Figure:
    """Minima at their losses, and each transition state between the two minima that it connects.

    Args:
        record: Of a `safran-shamir-topology` study.
    """
    figure = Figure(figsize=(7.6, 5.0), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    found = record["findings"]["states"]
    minima, states = found["minima"], found["states"]
    many = "1 minimum" if len(minima) == 1 else f"{len(minima)} minima"
    headline(ax, f"{counted(len(states), 'transition state')} between {many}, up to symmetry")
    turn: dict[tuple[int, ...], int] = {}
    for state in states:
        ends = tuple(sorted(end for end in state["ends"] if end is not None))
        if len(ends) < 2:
            continue
        turn[ends] = turn.get(ends, -1) + 1
        # States between the same minima stand side by side; of two copies of one minimum, at its right.
        x = (ends[0] + 0.32 if ends[0] == ends[1] else 0.5 * (ends[0] + ends[1])) + 0.09 * turn[ends]
        for end in ends:
            ax.plot([end, x], [minima[end]["loss"], state["loss"]], color=FAINT, linewidth=0.9, zorder=1)
        ax.plot(x, state["loss"], "_", color=COLOURS["saddle"], markersize=13, markeredgewidth=2.4, zorder=2)
    for i, one in enumerate(minima):
        ax.plot(i, one["loss"], MARKERS[one["label"]], color=COLOURS[one["label"]], markersize=8, zorder=3)
        ax.annotate(
            f"{round(one['loss'], 12) + 0.0:.6g}",
            (i, one["loss"]),
            (0, -14),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    ax.set_xticks(range(len(minima)), [f"minimum {i}\n{one['label']}" for i, one in enumerate(minima)], fontsize=9)
    ax.set_xlim(-0.6, len(minima) - 0.1)
    ax.margins(y=0.12)
    ax.set_ylabel("loss")
    quiet(ax)
    copies = "a state at the right of one minimum connects two copies of it"
    small_print(ax, f"bars are transition states (index 1); from {found['searches']} searches; {copies}")
    return figure


def index_against_loss(record: dict[str, Any]) -> Figure:
    """Each orbit of stationary points at its index and loss, as Dauphin et al. (2014) drew it.

    Args:
        record: Of a `saddle-census` study.
    """
    figure = Figure(figsize=(7.2, 4.8), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    found = record["findings"]
    points = found["points"]
    headline(
        ax, f"Index against loss: {counted(len(points), 'orbit')} of stationary points, {record['restarts']} searches"
    )
    if not points:
        say_empty(ax, "no search ended at a stationary point")
        return figure
    index, loss, count = (np.array([one[name] for one in points], float) for name in ("index", "loss", "count"))
    flat = np.array([one["zeros"] > one["explained"] for one in points])
    for kind, marker, label in ((~flat, "o", "isolated"), (flat, "^", "with zero curvature, index at least this")):
        if np.any(kind):
            sizes = 14 + 10 * np.sqrt(count[kind])
            ax.scatter(
                loss[kind], index[kind], s=sizes, marker=marker, color=COLOURS["saddle"], edgecolor=INK, linewidth=0.4,
                alpha=0.7, label=label,
            )  # fmt: skip
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("loss")
    ax.set_ylabel(f"index, of {found['parameters']} eigenvalues")
    if np.any(flat):
        ax.legend(edgecolor="none", fontsize=9, loc="lower right")
    quiet(ax, grid="both")
    unseen = f"unseen mass {100 * record['unseen_mass']:.2g}%, at most {100 * found['unseen_mass_upper']:.2g}% (95%)"
    small_print(ax, f"sizes: how often each was found; {found['nowhere']} searches ended nowhere; {unseen}")
    return figure


def along_paths(record: dict[str, Any]) -> Figure:
    """The loss along the paths between two networks.

    Args:
        record: Of a `mode-connectivity` study.
    """
    figure = Figure(figsize=(7.2, 4.4), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    found = record["findings"]
    headline(ax, f"Paths between two networks: barrier at most {found['barrier']['barrier']:.4g}")
    kinds = (
        ("unmatched", "straight line, neurons as given", FAINT, ":"),
        ("line", "straight line, neurons matched", COLOURS["trap"], "--"),
        ("string", "string", COLOURS["global"], "-"),
        ("sampled", "dynamic string sampling", COLOURS["spurious"], "-."),
    )
    for name, label, colour, style in kinds:
        if name not in found["curves"]:
            continue
        loss = np.array(found["curves"][name], float)
        ax.plot(np.linspace(0, 1, len(loss)), loss, style, color=colour, linewidth=1.6, label=label)
    ax.plot([0, 1], found["losses"], "o", color=INK, markersize=6, zorder=3)
    ax.set_xlabel("share of the way from the first network to the second")
    ax.set_ylabel("loss")
    ax.legend(edgecolor="none", fontsize=9)
    quiet(ax, grid="both")
    bounded = "holds between looks too" if found["barrier"]["bounded"] else "is of the losses that were looked at"
    small_print(ax, f"the bound from the string {bounded}; a path bounds the barrier from above only")
    return figure
