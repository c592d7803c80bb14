"""The global optimum of a porcupine problem, by nonnegative least squares and branching over single neurons."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from landscape.problems.porcupine import Porcupine
from landscape.records import LowerBound
from landscape.theory.porcupine.beside import floor_beside, most_mass, stationary_beside
from landscape.theory.porcupine.masses import AtMasses, at_masses, masses, network
from landscape.theory.porcupine.minimum import minimise


class PorcupineOptimum(NamedTuple):
    """The global optimum, as far as it was shown.

    Attributes:
        theta: A network, [p].
        loss: Its loss.
        lower_bound: No network on these lines has a smaller loss: a dual bound, rounding taken off.
        gap: loss - lower_bound.
        nodes: Convex problems solved; more than one only where lines have a single neuron.
    """

    theta: np.ndarray
    loss: float
    lower_bound: float
    gap: float
    nodes: int


def dual_bound(problem: Porcupine, x: np.ndarray, at: AtMasses, allowed: np.ndarray) -> float:
    """A lower bound on F over all masses y >= 0 that are zero where not allowed, from any x among them.

    F(y) >= F(x) + g.(y - x) >= F(x) - g.x + X min(0, min g), X a bound on |y|_1 at the optimum: the student is a sum of
    relus, so |y|_1 / sqrt(2 pi) is its mean, which is at most its root mean square, sqrt(2 F(0)) + sqrt(2 F(x)).
    Rounding of F and g is taken off.
    """
    inward = float(np.min(at.slopes[allowed], initial=0.0)) - at.error
    bound = at.loss - at.loss_error - abs(np.sum(at.slopes * x)) - at.error * np.sum(x)
    return float(bound + inward * most_mass(problem, at))


def global_optimum(problem: Porcupine, nodes: int = 2000) -> PorcupineOptimum:
    """The best network on these lines, with a lower bound on every one.

    With two neurons or more on every line it is one nonnegative least-squares problem. Lines with a single neuron are
    branched over their sign, best bound first; the bound of a node, where lines not yet decided may have both signs,
    holds for everything below it.

    Args:
        problem: The landscape.
        nodes: Ceiling on the convex problems solved; where it is reached the gap stays open.
    """
    return branch(problem, np.zeros(problem.p), nodes)


def branch(
    problem: Porcupine,
    best: np.ndarray,
    nodes: int,
    enough: float = -np.inf,
    own: Callable[[np.ndarray], bool] = lambda allowed: False,
) -> PorcupineOptimum:
    """Looks for a network better than `best`; ends when all is searched or one of loss below `enough` is found.

    Args:
        problem: The landscape.
        best: A network, [p].
        nodes: Ceiling on the convex problems solved.
        enough: See above.
        own: Whether `best` is known to be the best network with these signs allowed, [2, r]. They are not searched, and
            the lower bound is on networks of other signs.
    """
    single = np.asarray(problem.neurons) == 1
    loss, bound, solved = at_masses(problem, masses(problem, best)).loss, np.inf, 0
    queue: list[tuple[float, int, np.ndarray, np.ndarray]] = []

    def visit(allowed: np.ndarray, start: np.ndarray, leaf: bool = False) -> None:
        nonlocal best, loss, bound, solved
        if own(allowed):
            return
        x = minimise(problem, np.where(allowed, start, 0.0), allowed)
        solved += 1
        torn = single & (x > 0).all(axis=0)
        if not torn.any():
            theta = network(problem, x)
            value = at_masses(problem, masses(problem, theta)).loss
            best, loss = (theta, value) if value < loss else (best, loss)
        if leaf:
            return
        at = at_masses(problem, x)
        lower = dual_bound(problem, x, at, allowed)
        if not torn.any():
            if lower < loss + at.loss_error:  # it may decide
                beside = stationary_beside(problem, x, at)
                there = beside.inside or not beside.drift
                if np.isfinite(beside.slack) and there and not np.any(beside.low[allowed] < 0):
                    lower = max(lower, floor_beside(problem, x, at, beside))
            bound = min(bound, lower)
            return
        # A network to compare with: each torn line keeps its heavier side.
        visit(allowed & ~(torn & np.stack([x[0] < x[1], x[0] >= x[1]])), x, leaf=True)
        heapq.heappush(queue, (lower, solved, allowed, x))

    visit(np.ones((2, len(single)), bool), masses(problem, best))
    # Nodes are closed where they are shown to be no better, not where they may be as good.
    while queue and solved < nodes and loss >= enough and queue[0][0] < loss + 2 * problem.loss_error(best):
        _, _, allowed, x = heapq.heappop(queue)
        line = int(np.argmax(np.where(single, np.min(x, axis=0), -1.0)))
        for side in (0, 1):
            child = allowed.copy()
            child[side, line] = False
            visit(child, x)
    bound = max(min([bound, *(node[0] for node in queue)]), problem.lower_bound.value)
    return PorcupineOptimum(best, loss, bound, loss - bound, solved)


def bound(problem: Porcupine, nodes: int = 2000) -> LowerBound:
    """The best lower bound known: the global optimum as far as it is known; a realisable problem knows it: zero."""
    if problem.realisable:
        return problem.lower_bound
    found = LowerBound(global_optimum(problem, nodes).lower_bound, "nonnegative least squares, dual bound")
    return found if found.value > problem.lower_bound.value else problem.lower_bound
