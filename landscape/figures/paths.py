"""Descending paths, beside plain descent from the same networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from landscape.figures.captions import in_words
from landscape.figures.excess import excess_axis
from landscape.figures.style import DPI, EXTRA, Figure, quiet, small_print

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.problems.empirical import Empirical
    from landscape.theory.convex.path import Path
    from landscape.trajectory import Curves


def paths(census: Census, problem: Empirical, some: dict[int, Path], curves: Curves, steps: int) -> Figure:
    """The excess of the loss over p* along descending paths, and along plain descent from the same networks.

    Args:
        census: Of plain descents, with findings of the paths.
        problem: The landscape.
        some: Paths to draw, by restart.
        curves: Plain descents of these restarts, in their order.
        steps: Looks from each way-point to the next.
    """
    from landscape.theory.convex.path import verify

    figure = Figure(figsize=(9.2, 4.9), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    floor = census.findings["theory"]["p_star"]
    ends = {one["restart"]: one for one in census.findings["paths"]["each"]}
    for i, (restart, one) in enumerate(some.items()):
        looked = verify(problem.data, one, steps)
        colour = EXTRA[i % len(EXTRA)]
        left.plot(looked.position, np.maximum(looked.loss - floor, 0.0), color=colour, linewidth=1.4)
        at = np.arange(len(one.loss))
        left.plot(at, np.maximum(one.loss - floor, 0.0), ".", color=colour, markersize=4)
        label, end = ends[restart]["descent_label"], ends[restart]["descent_end"] - floor
        end = 0.0 if end < 1e-11 * floor else end  # rounding, and the gap of p*
        right.plot(
            curves.steps, np.maximum(curves.loss[:, i] - floor, 0.0), color=colour, linewidth=1.4,
            label=f"network {restart}, finished exactly: {in_words(label)}, {end:.2g}",
        )  # fmt: skip
    most = max(float(one.loss[0]) for one in some.values()) - floor
    excess_axis(left.yaxis, floor, max(most, float(np.nanmax(curves.loss)) - floor))
    left.set_xlabel("way-point")
    left.set_ylabel("loss less the optimum p*")
    right.set_xlabel("step of plain descent")
    left.set_title("descending path", fontsize=10, loc="left")
    right.set_title("plain descent from the same networks", fontsize=10, loc="left")
    right.legend(edgecolor="none", fontsize=8.5, loc="upper right")
    for ax in (left, right):
        quiet(ax, grid="both")
    found = census.findings["paths"]
    small_print(left, f"{len(found['each'])} paths: largest rise of the loss {found['largest_rise']:.0e}")
    small_print(right, "a fixed step may jump to and fro over ties; labels are of the exact finish")
    facts = census.problem
    figure.suptitle(
        f"From random networks of width {facts['width']} to a global minimum; {facts['rows']} data points",
        fontsize=11, x=0.01, ha="left",
    )  # fmt: skip
    return figure
