"""What joins two minima, seen from above."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float

from landscape.arrays import AnyArray


class Edge(NamedTuple):
    """A bound from above on the barrier between two minima: on a path between them the loss is never higher.

    Attributes:
        first: Number of one minimum.
        second: Number of the other; the same where the path leads to another copy of it under the symmetry.
        high: The largest loss on the path.
        by: What found the path, and whether `high` holds between the points where the loss was taken.
        saddle: The transition state at the highest point, [p]; None where the highest point is no such state.
    """

    first: int
    second: int
    high: float
    by: str
    saddle: Float[AnyArray, " p"] | None = None
