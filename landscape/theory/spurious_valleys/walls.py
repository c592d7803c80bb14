"""Walls between valleys: losses that every path between two networks must reach, since outer weights change sign.

Along a path the number of positive outer weights changes one neuron at a time. Where it comes from p to more than p,
there is a last moment at which at most p outer weights are positive; p + 1 of them are about to be and are zero or
positive there, so that at most m - 1 - p are negative. So the path meets a network of p positive and m - 1 - p negative
neurons, and is at least as high as the least loss of those (derived here; counts and not signs neuron by neuron, as
equal neurons may change places).

Rectified linear networks, squared loss, no weight decay: the least losses are enumerated.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from landscape.problems.activation import RELU
from landscape.problems.datafit import SQUARED, Data
from landscape.problems.empirical import Empirical
from landscape.records import InputError
from landscape.theory.cell_least_squares import MOST, Least, of_signs, of_width
from landscape.theory.spurious_valleys.segments import loss_at

NO_WALL = "the higher end"


class Wall(NamedTuple):
    """A loss that a path must reach.

    Attributes:
        value: No path stays below it.
        by: What says so.
    """

    value: float
    by: str


class Sector(NamedTuple):
    """Networks with all outer weights non-zero, so many of them positive: what surrounds them.

    Attributes:
        positive: Number of positive outer weights.
        negative: Number of negative ones.
        floor: No such network has a smaller loss.
        rim: No path leaves them below this loss; inf where nothing leaves them.
    """

    positive: int
    negative: int
    floor: float
    rim: float


def counts(problem: Empirical, theta: np.ndarray) -> tuple[int, int]:
    """How many outer weights of the network theta [p] are positive, and how many negative."""
    m, d = problem.width, problem.d
    outer = np.asarray(theta)[m * d : m * (d + 1)]
    return int(np.sum(outer > 0)), int(np.sum(outer < 0))


def has_walls(problem: Empirical) -> bool:
    """Whether walls can be enumerated: relu, squared loss, no weight decay."""
    return problem.activation == RELU and problem.fit is SQUARED and float(problem.weight_decay) == 0


def check_walls(problem: Empirical) -> None:
    """Raises InputError unless the problem has walls that can be enumerated."""
    if not has_walls(problem):
        raise InputError("walls between valleys are known for relu networks with squared loss and no weight decay.")


@lru_cache(maxsize=512)
def _least(x: bytes, y: bytes, n: int, outer_bias: str, positive: int, negative: int, most: int) -> Least | None:
    data = Data(np.frombuffer(x).reshape(n, -1), np.frombuffer(y), 0.0, "squared", outer_bias)
    try:
        return of_signs(data, positive, negative, most)
    except InputError:  # too many sets
        return None


def least_of_signs(problem: Empirical, positive: int, negative: int, most: int = MOST) -> Least | None:
    """The least loss of so many positive and negative neurons, computed once; None where there are too many sets.

    Raises:
        InputError: Walls are not known for such problems.
    """
    check_walls(problem)
    x, y = (np.ascontiguousarray(part, np.float64) for part in (problem.x, problem.y))
    return _least(x.tobytes(), y.tobytes(), len(y), problem.outer_bias, positive, negative, most)


def _floor(problem: Empirical, positive: int, negative: int, most: int) -> float:
    """No network of so many positive and negative neurons is below this; 0 where that is not known."""
    found = least_of_signs(problem, positive, negative, most)
    return 0.0 if found is None else found.lower_bound


def wall(problem: Empirical, start: np.ndarray, end: np.ndarray, most: int = MOST) -> Wall:
    """A loss that every path from start [p] to end [p] reaches.

    Raises:
        InputError: Walls are not known for such problems.
    """
    check_walls(problem)
    here = max(loss_at(problem, theta) - problem.loss_error(theta) for theta in (start, end))
    found = wall_of_counts(problem, counts(problem, start), counts(problem, end), most)
    return found if found is not None and found.value > here else Wall(here, NO_WALL)


def wall_of_counts(problem: Empirical, one: tuple[int, int], two: tuple[int, int], most: int = MOST) -> Wall | None:
    """The highest wall between networks of these numbers of positive and negative outer weights; None without one.

    Raises:
        InputError: Walls are not known for such problems.
    """
    m = problem.width
    passed = {(p, m - 1 - p) for p in range(min(one[0], two[0]), max(one[0], two[0]))}
    passed |= {(m - 1 - q, q) for q in range(min(one[1], two[1]), max(one[1], two[1]))}
    found = [(_floor(problem, *some, most), some) for some in sorted(passed)]
    if not found:
        return None
    value, (positive, negative) = max(found)
    return Wall(value, f"wall of {positive} positive and {negative} negative neurons")


def sector(problem: Empirical, theta: np.ndarray, most: int = MOST) -> Sector | None:
    """What surrounds the network theta [p]; None where an outer weight is zero: it is on a wall.

    Raises:
        InputError: Walls are not known for such problems.
    """
    check_walls(problem)
    p, q = counts(problem, theta)
    if p + q < problem.width:
        return None
    around = [(p - 1, q)] if p else []
    around += [(p, q - 1)] if q else []
    return Sector(p, q, _floor(problem, p, q, most), min(_floor(problem, *one, most) for one in around))


@lru_cache(maxsize=64)
def _of_width(x: bytes, y: bytes, n: int, outer_bias: str, width: int, most: int) -> Least | None:
    data = Data(np.frombuffer(x).reshape(n, -1), np.frombuffer(y), 0.0, "squared", outer_bias)
    try:
        return of_width(data, width, most=most)
    except InputError:
        return None


def least_of_width(problem: Empirical, most: int = MOST) -> Least | None:
    """The least loss of the problem's width, computed once; None where there are too many sets.

    Raises:
        InputError: Walls are not known for such problems.
    """
    check_walls(problem)
    x, y = (np.ascontiguousarray(part, np.float64) for part in (problem.x, problem.y))
    return _of_width(x.tobytes(), y.tobytes(), len(y), problem.outer_bias, problem.width, most)
