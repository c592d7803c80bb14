"""A network that is caught: eight rows, two neurons, and a valley of any depth (after Venturi, Bandeira, Bruna 2019).

Two positive neurons fit the four targets of one and give nothing at the row whose target is -b: loss b^2 / 2, the least
of two positive neurons. To use the row one of them must become negative, and at that moment the other one fits the four
targets alone: b^2 / 2 + 2/3, the barrier. Beyond it lies loss 2/3, the least of two neurons. (The finite data are
derived here; the construction of the paper is over a law of inputs.)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from landscape.problems.empirical import Empirical, empirical
from landscape.problems.params import Params
from landscape.records import InputError

ROWS = np.array(
    [[1, 0, 0], [0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], np.float64
)
TARGETS = np.array([1, 1, 1, 1, 0, 0, 0, 0], np.float64)
LEAST = 2 / 3  # of two neurons, and what one positive neuron misses of the four targets


class Valley(NamedTuple):
    """The landscape of two neurons with its valley.

    Attributes:
        problem: The landscape.
        bottom: The lowest network of the valley, [p].
        way: Way-points from there to a global minimum, [t, p].
        barrier: Loss of the barrier, in closed form.
    """

    problem: Empirical
    bottom: np.ndarray
    way: np.ndarray
    barrier: float


def data(target: float) -> tuple[np.ndarray, np.ndarray]:
    """The rows [8, 3] and targets [8], -target at the seventh row.

    Raises:
        InputError: With this target two positive neurons are no worse than the least loss: there is no valley.
    """
    if not LEAST < 0.5 * target * target < np.inf:
        raise InputError(f"a valley needs a target above sqrt(4/3) = 1.1547, found {target}.")
    y = TARGETS.copy()
    y[6] = -target
    return ROWS, y


def valley(target: float = 3.0) -> Valley:
    """The valley of depth target^2 / 2 - 2/3 over the least loss, behind a barrier 2/3 above its bottom."""
    x, y = data(target)
    problem = empirical(x, y, 2)

    def network(hidden: Any, outer: Any) -> np.ndarray:
        return problem.write(Params(np.array(hidden, np.float64), np.array(outer, np.float64)))

    alone, nothing, useful = [4 / 3, 2 / 3, 0], [0, 0, 0], [0, 0, target]
    way = [
        network([[1, 0, 0], [0, 1, 0]], [1, 1]),
        network([alone, nothing], [1, 1]),
        network([alone, nothing], [1, 0]),
        network([alone, useful], [1, 0]),
        network([alone, useful], [1, -1]),
    ]
    return Valley(problem, way[0], np.array(way), 0.5 * target * target + LEAST)
