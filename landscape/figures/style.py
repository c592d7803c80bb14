"""How figures look: colours, markers, axes, small print, and how a figure is written.

Nothing here or beside it touches pyplot, so that figures can be drawn without a display and in any thread.
"""

from __future__ import annotations

import io
import textwrap
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image  # a dependency of Matplotlib

# Okabe and Ito (2008) and greys, told apart by eyes of every kind, with a marker each for print without colour.
COLOURS = {
    "global": "#0072B2",
    "spurious": "#D55E00",
    "saddle": "#009E73",
    "trap": "#E69F00",
    "at_infinity": "#56B4E9",
    "undecided": "#4D4D4D",
    "unconverged": "#B0B0B0",
}
MARKERS = {
    "global": "o",
    "spurious": "D",
    "saddle": "v",
    "trap": "s",
    "at_infinity": "^",
    "undecided": "P",
    "unconverged": "X",
}
INK, FAINT, GRID = "#222222", "#767676", "#E4E4E4"
NEGATIVE, POSITIVE, UNKNOWN = "#C2185B", "#3B3B3B", "#5B5B8C"  # eigenvalues; descents whose label is not known
EXTRA = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#4D4D4D")  # n = k, k + 1, ...
EXTRA_MARKERS = ("o", "s", "D", "^", "v", "P")
DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1)), "linewidth": 2.0}
DPI = 130


def save(figure: Figure, path: str | Path) -> Path:
    """Writes a figure, PNG or what its suffix says; returns the path."""
    path = Path(path)
    if path.suffix != ".png":
        figure.savefig(path, dpi=DPI)
        return path
    # 256 colours are all that lines on white need, and a quarter of the bytes.
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True, dpi=(DPI, DPI))
    return path


def axes_of(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    """The axes given and their figure, or new ones."""
    if ax is not None:
        return ax.figure, ax  # type: ignore[return-value]
    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    return figure, figure.subplots()


def quiet(ax: Axes, grid: str = "y") -> None:
    """Light grid behind the data, two spines."""
    ax.grid(True, axis=grid, color=GRID, linewidth=0.7)  # type: ignore[arg-type]
    ax.set_axisbelow(True)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.tick_params(labelsize=9)


def headline(ax: Axes, text: str) -> None:
    ax.set_title(wrapped(text, 78), fontsize=11, loc="left")


def wrapped(text: str, width: int) -> str:
    return "\n".join(textwrap.fill(line, width) for line in text.splitlines())


def small_print(ax: Axes, text: str) -> None:
    """Small print below the axes."""
    if text:
        ax.annotate(
            wrapped(text, 105),
            (0.0, 0.0),
            xycoords=("axes fraction", ax.xaxis.label),  # below the axis label, wherever that ends
            xytext=(0, -4),
            textcoords="offset points",
            va="top",
            fontsize=8,
            color=FAINT,
        )


def say_empty(ax: Axes, text: str | None = None) -> None:
    ax.set(xticks=[], yticks=[])
    ax.text(0.5, 0.5, text or "no finished restarts", transform=ax.transAxes, ha="center", va="center", color=FAINT)


def proxy(marker: str, colour: str, label: str, **options: Any) -> Line2D:
    return Line2D([], [], linestyle="none", marker=marker, color=colour, label=label, **options)
