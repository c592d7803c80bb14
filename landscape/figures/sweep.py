"""Shares of the labels in every cell of a grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure as _Figure

from landscape.figures.style import DPI, INK, Figure, quiet, small_print
from landscape.palette import COLOURS


def label_shares(cells: list[dict[str, Any]]) -> _Figure:
    """A bar a cell: shares of the labels, with the 95% interval of the global one.

    Args:
        cells: Records with `fields`, `finished` and `shares`, as `SweepTable.cell_dicts` gives.
    """
    cells = [cell for cell in cells if cell["finished"]]
    figure = Figure(figsize=(7.6, 1.9 + 0.34 * len(cells)), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    y = np.arange(len(cells))
    left = np.zeros(len(cells))
    for label, colour in COLOURS.items():
        width = np.array([100 * cell["shares"][label]["share"] for cell in cells])
        if width.any():
            ax.barh(y, width, 0.68, left=left, color=colour, label=label, edgecolor="white", linewidth=0.6)
            left += width
    share, low, high = (
        np.array([100 * c["shares"]["global"][name] for c in cells]) for name in ("share", "low", "high")
    )
    error = np.maximum([share - low, high - share], 0)
    ax.errorbar(share, y, xerr=error, fmt="none", ecolor=INK, elinewidth=1.1, capsize=2.5)
    ax.set_yticks(y, [", ".join(f"{name} {_short(one)}" for name, one in cell["fields"].items()) for cell in cells])
    ax.invert_yaxis()
    ax.set_xlim(0, 101)
    ax.set_xlabel("restarts (%)")
    quiet(ax)
    figure.legend(loc="outside upper left", ncols=4, edgecolor="none", fontsize=9)
    small_print(ax, "whiskers: 95% interval of the share of global ends")
    return figure


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 16 else text[:13] + "..."
