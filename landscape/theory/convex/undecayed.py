"""The least squared loss of a width without weight decay."""

from __future__ import annotations

from landscape.problems.datafit import Data
from landscape.theory.arrangement.records import Cells
from landscape.theory.cell_least_squares import MOST, of_width
from landscape.theory.convex.branch_and_bound import LeastLoss


def best(data: Data, width: int, listed: Cells | None = None, most: int = MOST) -> LeastLoss:
    """The least squared loss of networks of this width; see `cell_least_squares.of_width`.

    Raises:
        InputError: The loss is another one, or there are too many sets of signed cells.
    """
    found = of_width(data, width, listed, most)
    network = found.hidden, found.outer, found.b0
    return LeastLoss(width, found.value, *network, found.lower_bound, found.programs, "enumeration of cells")
