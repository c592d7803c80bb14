"""Whether a network lies, at its own loss, in a valley without a global minimum: yes, no, or not decided.

Yes: walls stand all around networks of its signs above its loss, and no network of those signs is as low as one that is
known; or the cells that its component reaches all end above that. No: it is wide enough; or a way to a global minimum
is known on which the loss stays at or below its own, to rounding. Outer weights that shrink to zero are such a way
wherever the loss is at least that of outputs of zero; others go from cell to cell.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.records import InputError
from landscape.theory.spurious_valleys.component import component
from landscape.theory.spurious_valleys.segments import loss_at, verify
from landscape.theory.spurious_valleys.walls import has_walls, least_of_width, sector
from landscape.theory.wide_enough import wide_enough


class Answer(NamedTuple):
    """Whether a network is caught.

    Attributes:
        caught: None where bounds do not decide.
        by: What decides.
    """

    caught: bool | None
    by: str


class Goal(NamedTuple):
    """A network of the least loss of its width.

    Attributes:
        theta: The network, [p]; None where none is known.
        loss: An attained loss, that of the network if it is known.
    """

    theta: np.ndarray | None
    loss: float


def goal_of(problem: Empirical) -> Goal:
    """A global minimum of the problem, by enumeration of its width or of a smaller one that fits the data exactly."""
    best = Goal(None, loss_at(problem, np.zeros(problem.p)))
    if not has_walls(problem):
        return best
    for width in range(1, problem.width + 1):
        least = least_of_width(problem.of_width(width))
        if least is None:
            return best
        m, d, k = problem.width, problem.d, len(least.outer)
        theta = np.zeros(problem.p)
        theta[: k * d], theta[m * d : m * d + k] = least.hidden.reshape(-1), least.outer
        if problem.outer_bias != "none":
            theta[-1] = least.b0
        loss = loss_at(problem, theta)
        best = Goal(None, min(best.loss, loss))
        fits = loss <= 2 * problem.loss_error(theta)
        if fits or (width == m and least.value - least.lower_bound <= 1e-9 * max(1.0, least.value)):
            return Goal(theta, loss)
    return best


def caught(problem: Empirical, theta: np.ndarray, goal: Goal, way: np.ndarray | None = None) -> Answer:
    """Whether the network theta [p] lies, at its own loss, in a valley without a global minimum.

    Args:
        problem: The landscape.
        theta: The network.
        goal: A global minimum, or at least a loss that is attained.
        way: Way-points from the network to a global minimum that may stay below its loss, [t, p].
    """
    if wide_enough(problem).holds:
        return Answer(False, "width at least the intrinsic dimension")
    loss, error = loss_at(problem, theta), problem.loss_error(theta)
    around = sector(problem, theta) if has_walls(problem) else None
    if around is not None and loss + error < around.rim and around.floor > goal.loss:
        return Answer(True, f"walls around {around.positive} positive and {around.negative} negative neurons")
    if goal.theta is not None and stays_below(problem, _by_nothing(problem, theta, goal.theta), loss):
        return Answer(False, "outer weights shrink to zero")
    if way is not None and stays_below(problem, way, loss):
        return Answer(False, "a way down")
    if has_walls(problem):
        found = component(problem, theta, goal.loss, goal.theta is not None)
        if found.holds is False:
            return Answer(True, "its component, cell by cell")
        if found.way is not None and stays_below(problem, found.way, loss):
            return Answer(False, "a way from cell to cell")
    return Answer(None, "not decided")


def stays_below(problem: Empirical, way: np.ndarray, level: float) -> bool:
    """Whether the loss stays at or below the level along way-points [t, p], to rounding; False where not known."""
    try:
        highest = verify(problem, way).highest
    except InputError:
        return False
    return highest <= level + 8 * max(problem.loss_error(point) for point in way)


def _by_nothing(problem: Empirical, theta: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Way-points by outputs of zero: outer weights shrink, hidden weights turn, outer weights grow."""
    hidden = problem.width * problem.d
    down, turned = theta.copy(), np.array(goal)
    down[hidden:], turned[hidden:] = 0.0, 0.0
    return np.array([theta, down, turned, goal])
