"""A slice of a loss: a curve in one dimension, contours in two, with the given points on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure

from landscape.figures.style import DPI, INK, headline, quiet, say_empty, small_print

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from landscape.paths.slices import Slice

LEVELS = 24
NUMBERED = 8  # given points that are numbered; of more, the first and the last
STEEP = 30.0  # a slice whose losses span more than this, times the median above the least, has levels at quantiles


def loss_slice(found: Slice) -> Figure:
    """The slice drawn: loss over the coordinate, or contours over both. Places where the loss is not finite are blank.

    Args:
        found: As `ls.loss_slice` returns it.
    """
    flat = len(found.axes) == 1
    figure = Figure(figsize=(7.2, 4.4) if flat else (7.2, 5.8), dpi=DPI, layout="constrained")
    ax = figure.subplots()
    headline(ax, found.title)
    if not len(found.finite):
        say_empty(ax, "the loss is not finite anywhere on this slice")
        return figure
    (_curve if flat else _contours)(figure, ax, found)
    ax.set_xlabel(found.names[0])
    small_print(ax, _said(found))
    return figure


def _curve(figure: Figure, ax: Axes, found: Slice) -> None:
    ax.plot(found.axes[0], np.where(np.isfinite(found.loss), found.loss, np.nan), color=INK, linewidth=1.4)
    ax.plot(found.points[:, 0], found.point_loss, "o", color="#D55E00", markersize=6, zorder=3)
    for i in _numbered(found):
        _number(ax, i, (found.points[i, 0], found.point_loss[i]))
    ax.set_ylabel("loss")
    quiet(ax, grid="both")


def _contours(figure: Figure, ax: Axes, found: Slice) -> None:
    loss = np.ma.masked_invalid(found.loss).T
    levels = _levels(found.finite)
    if levels is None:
        ax.text(0.5, 0.5, f"the loss is {found.finite[0]:.6g} everywhere", transform=ax.transAxes, ha="center")
    else:
        filled = ax.contourf(*found.axes, loss, levels=levels, cmap="viridis", norm=BoundaryNorm(levels, 256))
        ax.contour(*found.axes, loss, levels=levels, colors="white", linewidths=0.35, alpha=0.7)
        bar = figure.colorbar(filled, ax=ax, label="loss", ticks=levels[::4], format="%.3g")
        bar.ax.tick_params(labelsize=8)
    x, y = found.points.T
    ax.plot(x, y, "-" if len(x) > NUMBERED else "none", color="white", linewidth=1.2)
    marker = {"color": "#D55E00", "markeredgecolor": "white", "zorder": 3}
    ax.plot(x, y, "o", markersize=3 if len(x) > NUMBERED else 7, **marker)  # type: ignore[arg-type]
    for i in _numbered(found):
        _number(ax, i, (x[i], y[i]))
    ax.set_ylabel(found.names[1])
    ax.tick_params(labelsize=9)


def _levels(loss: np.ndarray) -> np.ndarray | None:
    """Levels of the contours; None where there is one loss only.

    Their distance from the least loss grows with the square, so that contours of a quadratic stand evenly; they are
    quantiles where a few losses dwarf the others.
    """
    least, most = float(loss.min()), float(loss.max())
    if most - least <= 1e-12 * max(abs(least), abs(most)):
        return None
    share = np.linspace(0.0, 1.0, LEVELS + 1)
    if most - least > STEEP * (float(np.median(loss)) - least):
        levels = np.unique(np.quantile(loss, share))
        return levels if len(levels) > 1 else None
    return least + (most - least) * share**2


def _numbered(found: Slice) -> list[int]:
    count = len(found.points)
    return list(range(count)) if count <= NUMBERED else [0, count - 1]


def _number(ax: Axes, i: int, where: tuple[float, float]) -> None:
    ax.annotate(
        str(i), where, (6, 5), textcoords="offset points", fontsize=9, color=INK, zorder=4,
        bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
    )  # fmt: skip


def _said(found: Slice) -> str:
    """What the picture leaves out: how far points are off the slice, losses that are not finite."""
    said = []
    far = found.off > 1e-9 * np.linalg.norm(found.origin)
    if np.any(far):
        said.append(f"points lie up to {found.off.max():.3g} off this slice, and are drawn at the nearest point of it")
    lost = found.loss.size - len(found.finite)
    if lost:
        said.append(f"the loss is not finite at {lost} of {found.loss.size} points")
    if len(found.origin) > 2:
        said.append(f"the picture shows {len(found.axes)} of {len(found.origin)} dimensions")
    return "; ".join(said)
