"""Families of spurious minima against real k, and splits with their escapes: figures from the studies' records."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from landscape.figures.style import COLOURS, DPI, EXTRA, FAINT, INK, MARKERS, headline, proxy, quiet

NAMED = {"II": EXTRA[0], "A": EXTRA[1], "I": EXTRA[2]}


def families(cells: list[dict[str, Any]], branches: list[dict[str, Any]]) -> Figure:
    """Loss and least Hessian eigenvalue of every family against k, with the share of descents that ended at each.

    Args:
        cells: Records of the study `spurious-families`: teacher, families, others.
        branches: family, born, and k, loss and least eigenvalue along the branch.
    """
    figure = Figure(figsize=(12.4, 5.6), dpi=DPI, layout="constrained")
    losses, least = figure.subplots(1, 2)
    blocks = [branch["family"] for branch in branches if branch["family"] not in NAMED]
    shades = colormaps["plasma"](np.linspace(0.1, 0.85, max(len(blocks), 1)))
    colours = NAMED | dict(zip(blocks, shades, strict=False))
    for branch in branches:
        look = {"color": colours[branch["family"]]}
        k = np.array(branch["k"])
        minima = k >= branch["born"]
        for ax, values in ((losses, np.array(branch["loss"])), (least, np.array(branch["least"]))):
            ax.plot(k[minima], values[minima], linewidth=1.6, label=_named(branch["family"]), **look)
            ax.plot(k[~minima], values[~minima], linewidth=1.2, linestyle=(0, (1, 1.5)), **look)
        if k[0] <= branch["born"] <= k[-1]:
            least.plot(branch["born"], 0.0, "o", markersize=4, zorder=4, **look)
            least.annotate(f"{branch['born']:.4f}", (branch["born"], 0.0), (4, -4), textcoords="offset points",
                           fontsize=8, rotation=-55, va="top", **look)  # fmt: skip
    for cell in cells:
        for one in cell["families"]:
            if one["count"]:
                _share(losses, cell["teacher"], one, colours[one["family"]], True)
        for one in cell["others"]:
            _share(losses, cell["teacher"], one, COLOURS.get(one["label"], FAINT), False)
    losses.set_yscale("log")
    losses.set_ylabel("loss")
    least.set_ylabel("least eigenvalue of the Hessian")
    least.axhline(0.0, color=INK, linewidth=0.8)
    for ax in (losses, least):
        ax.set_xlabel("teacher size k = student width")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        quiet(ax, grid="both")
    handles = list(losses.get_legend_handles_labels()[0])
    handles.append(proxy("o", FAINT, "descents that ended there: area by share"))
    if any(cell["others"] for cell in cells):
        handles.append(proxy("o", COLOURS["spurious"], "ends in no family", markerfacecolor="none"))
    figure.legend(handles=handles, edgecolor="none", fontsize=9, loc="outside lower left", ncols=6)
    counts = sorted({cell["finished"] for cell in cells})
    many = " to ".join(str(count) for count in sorted({counts[0], counts[-1]}))
    said = f"Families of spurious minima, and where {many} descents a size end"
    headline(losses, f"{said}\nsolid: minima; dotted: saddles")
    headline(least, "Where families are born: an eigenvalue changes sign")
    return figure


def _share(ax: Axes, k: int, one: dict[str, Any], colour: Any, filled: bool) -> None:
    """A disk whose area is the share of descents that ended there."""
    size = 20 + 900 * one["share"]
    ax.scatter([k], [one["loss"]], s=size, color=colour if filled else "none", edgecolor=colour, alpha=0.75, zorder=3)


def _named(family: str) -> str:
    return f"{family}|k-{family}" if family.isdigit() else ("II (1|k-1)" if family == "II" else family)


# -- splits ------------------------------------------------------------------------------------------------------------


def splits(rows: list[dict[str, Any]]) -> Figure:
    """Eigenvalues of every split, as foretold and as computed, and where the escapes from it end.

    Args:
        rows: Records of the study `split-and-escape`.
    """
    figure = Figure(figsize=(max(8.0, 1.1 * len(rows) + 5.0), 5.4), dpi=DPI, layout="constrained")
    spectra, ends = figure.subplots(1, 2)
    names = [f"k = {row['teacher']}\nnear ${row['near']}_{{{row['neuron'] + 1}}}$" for row in rows]
    for x, row in enumerate(rows):
        low = [value for value in row["predicted"] if value < 0.25]
        spectra.plot(np.full(len(low), x), low, "o", color=EXTRA[0], markersize=9, markerfacecolor="none")
        low = [value for value in row["measured"] if value < 0.25]
        spectra.plot(np.full(len(low), x), low, "_", color=EXTRA[1], markersize=14, markeredgewidth=1.4)
        said = f"{row['index']} negative"
        spectra.annotate(said, (x, row["measured"][0]), (0, -16), textcoords="offset points", fontsize=8, ha="center")
        _escapes(ends, x, row)
    spectra.axhline(0.0, color=INK, linewidth=0.8)
    spectra.set_ylabel("eigenvalues of the split point below 1/4")
    ends.set_ylabel("loss")
    for ax in (spectra, ends):
        ax.set_xticks(range(len(rows)), names, fontsize=8.5)
        ax.set_xlim(-0.6, len(rows) - 0.4)
        quiet(ax)
    spectra.margins(y=0.12)
    worst = max(row["deviation"] for row in rows)
    headline(spectra, f"Spectra of the splits, foretold within {worst:.0e}")
    headline(ends, f"Family {rows[0]['family']}: where escapes from each split end")
    labels = [label for label in COLOURS if any(end["label"] == label for row in rows for end in row["ends"])]
    handles = [
        proxy("o", EXTRA[0], "foretold", markersize=9, markerfacecolor="none"),
        proxy("_", EXTRA[1], "computed", markersize=14, markeredgewidth=1.4),
        proxy("_", INK, "loss of the split point", markersize=18),
        *(proxy(MARKERS[label], COLOURS[label], f"{label} (descents)") for label in labels),
    ]
    figure.legend(handles=handles, edgecolor="none", fontsize=9, loc="outside lower left", ncols=6)
    return figure


def _escapes(ax: Axes, x: int, row: dict[str, Any]) -> None:
    """The loss of a split point and of the ends of its escapes, with how many ended there."""
    ax.plot(x, row["loss"], "_", color=INK, markersize=22, markeredgewidth=1.6)
    for end in row["ends"]:
        colour = COLOURS[end["label"]]
        ax.plot([x, x], [row["loss"], end["loss"]], color=colour, linewidth=0.8, alpha=0.6)
        ax.plot(x, end["loss"], MARKERS[end["label"]], color=colour)
        ax.annotate(
            str(end["count"]), (x, end["loss"]), (8, -3), textcoords="offset points", fontsize=8.5, color=colour
        )
