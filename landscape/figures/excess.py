"""Axes of losses less the optimum."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.ticker import NullLocator

from landscape.figures.style import INK

LINEAR = 1e-3  # an excess below this, times p*, is drawn on a linear scale, down to none at all
FLOOR: dict[str, Any] = {"color": INK, "linewidth": 1.2, "linestyle": (0, (6, 3)), "zorder": 1}


def excess_axis(axis: Any, floor: float, reach: float) -> None:
    """An axis of losses less p*: from none at all over a linear stretch to powers of ten, with room for the largest."""
    step = LINEAR * max(floor, 1e-12)
    first = int(np.ceil(np.log10(step) - 1e-9))
    last = max(first, int(np.ceil(np.log10(max(reach, step)))))
    ticks = [0.0, *(10.0**k for k in range(first, last + 1))]
    ax = axis.axes
    scale, limit = (ax.set_xscale, ax.set_xlim) if axis.axis_name == "x" else (ax.set_yscale, ax.set_ylim)
    scale("symlog", linthresh=10.0**first, linscale=0.6)
    axis.set_ticks(ticks, ["0", *(f"$10^{{{k}}}$" for k in range(first, last + 1))])
    axis.set_minor_locator(NullLocator())
    limit(-0.25 * 10.0**first, max(1.6 * reach, 2 * 10.0**first))
