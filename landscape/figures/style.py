"""How figures look: colours, markers, axes, small print, and how a figure is written.

Nothing here or beside it touches pyplot, so that figures can be drawn without a display and in any thread.
"""

from __future__ import annotations

import base64
import io
import textwrap
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as _Figure
from matplotlib.lines import Line2D
from PIL import Image  # a dependency of Matplotlib

from landscape.markup import Html, text
from landscape.records import InputError

INK, FAINT, GRID = "#222222", "#767676", "#E4E4E4"
NEGATIVE, POSITIVE, UNKNOWN = "#C2185B", "#3B3B3B", "#5B5B8C"  # eigenvalues; descents whose label is not known
EXTRA = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#4D4D4D")  # n = k, k + 1, ...
EXTRA_MARKERS = ("o", "s", "D", "^", "v", "P")
DOTTED: dict[str, Any] = {"linestyle": (0, (1, 1)), "linewidth": 2.0}
DPI = 130


class Figure(_Figure):
    """A Matplotlib figure that shows itself at the end of a notebook cell, though pyplot does not know it."""

    def _repr_png_(self) -> bytes:
        return png(self)


class Figures(dict[str, _Figure]):
    """Figures by name, which show themselves one below the other at the end of a notebook cell."""

    def _repr_html_(self) -> str:
        return "\n".join(image(figure, name.replace("_", " ")) for name, figure in self.items())


def image(figure: _Figure, alternative: str) -> Html:
    """The figure as an HTML image that holds its own data.

    Args:
        figure: What to show.
        alternative: What is read out where it cannot be seen.
    """
    data = base64.b64encode(png(figure)).decode()
    return Html(f'<img alt="{text(alternative)}" style="max-width:100%" src="data:image/png;base64,{data}">')


def png(figure: _Figure) -> bytes:
    """The figure as a PNG file."""
    drawn, few = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    # 256 colours are all that lines on white need, and a quarter of the bytes.
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(few, "png", optimize=True, dpi=(DPI, DPI))
    return few.getvalue()


def save(figure: _Figure, path: str | Path) -> Path:
    """Writes a figure, PNG or what its suffix says; returns the path.

    Raises:
        InputError: It cannot be written.
    """
    path = Path(path)
    drawn = io.BytesIO()
    if path.suffix in ("", ".png"):
        drawn.write(png(figure))
    else:
        figure.savefig(drawn, format=path.suffix[1:], dpi=DPI)
    try:
        path.write_bytes(drawn.getvalue())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
    return path


def paler(colour: str) -> tuple[float, float, float]:
    """The colour half way to white."""
    red, green, blue = to_rgb(colour)
    return (1 + red) / 2, (1 + green) / 2, (1 + blue) / 2


def axes_of(ax: Axes | None, size: tuple[float, float]) -> tuple[_Figure, Axes]:
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
