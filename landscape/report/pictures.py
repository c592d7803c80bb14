"""Small pictures of a point: its weights as a heat map, its Hessian spectrum as sticks."""

from __future__ import annotations

import base64
import io

import numpy as np
from matplotlib import colormaps
from PIL import Image

from landscape.figures.style import NEGATIVE
from landscape.markup import Html, text

CELL = 16  # pixels of a side of a weight, fewer where the matrix is large
WIDEST = 288  # pixels of a heat map
MOST_WEIGHTS = 2**14  # of one matrix that is drawn
WIDTH, HEIGHT = 280, 34  # of a spectrum, in pixels
LINEAR = 1000.0  # the axis of a spectrum is linear within the largest eigenvalue over this
TALLEST = 32  # so many equal eigenvalues and more have a stick of full height
NEGLIGIBLE = 1e-9  # of the largest eigenvalue of the page: below minus this an eigenvalue is drawn as negative


def heat_map(matrix: np.ndarray, largest: float, name: str) -> Html:
    """A matrix as an image, a pixel a weight: green positive, purple negative, white zero.

    Args:
        matrix: Of weights, [rows, columns].
        largest: Size at which colours end.
        name: Of the matrix, for those who cannot see it.
    """
    rows, columns = matrix.shape
    shade = np.clip(0.5 + 0.5 * matrix / largest, 0.0, 1.0)
    pixels = (255 * colormaps["PRGn"](shade)[:, :, :3]).round().astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png", optimize=True)
    data = base64.b64encode(file.getvalue()).decode()
    side = max(1, min(CELL, WIDEST // max(rows, columns)))
    alternative = f"{name}, {rows} by {columns} weights from {matrix.min():.3g} to {matrix.max():.3g}"
    return Html(
        f'<img class="heat" decoding="async" width="{columns * side}" height="{rows * side}" alt="{text(alternative)}" '
        f'src="data:image/png;base64,{data}">'
    )


def sticks(eigenvalues: np.ndarray, largest: float, alternative: str) -> Html:
    """Eigenvalues as sticks on an axis that is linear near zero and logarithmic beyond, the zero marked.

    Args:
        eigenvalues: Ascending.
        largest: Size at which the axis ends on both sides, the same for all points of a page.
        alternative: What is read out.
    """
    x = np.arcsinh(LINEAR * np.clip(eigenvalues / largest, -1.0, 1.0)) / np.arcsinh(LINEAR)
    x = np.round(WIDTH / 2 * (1 + 0.98 * x)).astype(int)
    negative = eigenvalues < -NEGLIGIBLE * largest
    drawn = [f'<path class="zero" d="M{WIDTH // 2} 2V{HEIGHT - 2}"/>']
    for some, colour in ((~negative, ""), (negative, f' style="stroke:{NEGATIVE}"')):
        # Eigenvalues that cannot be told apart are one stick, the higher the more there are.
        at, counts = np.unique(x[some], return_counts=True)
        tops = HEIGHT - 4 - np.minimum(1.0, np.log1p(counts) / np.log1p(TALLEST)) * (HEIGHT - 8)
        path = "".join(f"M{x} {HEIGHT - 4}V{top:.0f}" for x, top in zip(at, tops, strict=True))
        drawn += [f'<path{colour} d="{path}"/>'] if path else []
    return Html(
        f'<svg class="sticks" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{text(alternative)}">{"".join(drawn)}</svg>'
    )
