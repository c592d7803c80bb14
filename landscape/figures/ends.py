"""The ends of descents as curves: one for each label."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from landscape.figures.captions import in_words
from landscape.figures.style import quiet
from landscape.palette import COLOURS, MARKERS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.census.census import Census


def draw_ends(ax: Axes, census: Census, at: np.ndarray) -> None:
    """Draws for each label the share of descents that end at a loss or lower, against the loss.

    Args:
        ax: Where to draw.
        census: Of the descents.
        at: Where each descent ended on the axis of losses, [rows of the census]; not finite for one without an end.
    """
    label = census.rows["label"]
    for word, colour in COLOURS.items():
        x = np.sort(at[(label == word) & np.isfinite(at)])
        if not len(x):
            continue
        y = 100 * np.arange(1, len(x) + 1) / census.finished
        share = census.shares()[word]
        said = f"{in_words(word)}: {100 * share['share']:.1f}% [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"
        ax.step(np.r_[x[0], x], np.r_[0, y], where="post", color=colour, linewidth=1.6, label=said)
        ax.plot(x[-1], y[-1], MARKERS[word], color=colour, markersize=6)
    ax.set_ylim(0, 103)
    ax.set_ylabel("descents of a label that end here or lower (%)")
    quiet(ax, grid="both")
