"""From a census to its topology: states between its minima, paths between their pairs, bounds from below by theory."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from landscape import classify
from landscape.census.census import Census
from landscape.host import overflow
from landscape.host.label import label_one
from landscape.host.paths_between import SAMPLED, joined
from landscape.host.topology import Topology
from landscape.host.transition_states import transition_states
from landscape.paths.transition_states import TransitionStates
from landscape.precision import float64
from landscape.problems.problem import Problem
from landscape.records import whole
from landscape.theory.from_below import from_below, from_cells
from landscape.theory.spurious_valleys.cell_barriers import BY
from landscape.topology.graph import Minimum, Wall, Way, graph
from landscape.topology.of_census import ISOLATED, minima_of

ALL_PAIRS = 12  # minima of which all pairs are joined; of more, each with the nearest lower one and the lowest one
HARDLY = 0.01  # a path that is looked at only replaces a bounded one whose rise above the higher end is larger by this
FOUND_LATER = -1  # name of a minimum that a descent from a transition state ended at, and no restart


def topology(problem: Problem, census: Census, searches: int = 400, steps: int = 400, seed: int = 0) -> Topology:
    """The minima of a census and the barriers between them, each an interval.

    From above: transition states around the minima, and paths between their pairs (`paths_between`). From below: what
    theory knows (`from_below`). Minima that descents from transition states find are added, with a share of zero, where
    they are isolated; a set of minima that is not stands for the one point that the census keeps.

    Args:
        problem: The landscape.
        census: With the weights of its classes.
        searches: For transition states; none where the loss has kinks.
        steps: Of the string method.
        seed: Of the searches.

    Raises:
        InputError: A number makes no sense.
    """
    asked = {"finished": census.finished, "searches": whole("searches", searches, 0), "steps": whole("steps", steps, 0),
             "seed": whole("seed", seed, 0)}  # fmt: skip
    with overflow.quiet(), float64():
        problem = overflow.bounded(classify.bounded(problem))
        minima, points = minima_of(census, problem)
        ways: list[Way] = []
        said: dict[str, object] = {}
        if minima and searches and not problem.kinked:
            modes = int(np.clip(searches // (2 * len(minima)), 1, min(problem.p, 64)))
            found = transition_states(problem, census, searches, modes=modes, rounds=2, seed=seed)
            minima, points, ways = _with_states(problem, minima, points, found)
            said = {"searches": found.searches, "states": len(found.states), "unseen_mass": found.unseen[0],
                    "unseen_mass_upper": found.unseen[1]}  # fmt: skip
        if len(minima) > 1:
            some = joined(problem, list(points), pairs_of(points), steps, refined=not problem.kinked)
            ways = chosen(minima, ways + [Way(one.first, one.second, one.high, one.by) for one in some.edges()])
        walls = [Wall(*one) for one in from_below(problem, np.array([one.loss for one in minima]), points)]
        for one in from_cells(problem, points):
            walls.append(Wall(one.first, one.second, one.low, BY))
            ways += [Way(one.first, one.second, one.high, BY)] if np.isfinite(one.high) else []
        return Topology(graph(minima, ways, walls), points, said, asked)


def _with_states(
    problem: Problem, minima: list[Minimum], points: np.ndarray, found: TransitionStates
) -> tuple[list[Minimum], np.ndarray, list[Way]]:
    """The minima with those that are new and isolated, ascending in loss, and a way over each transition state."""
    number = {theta.tobytes(): i for i, theta in enumerate(points)}
    node: dict[int, int] = {}  # of a minimum of the searches
    grown, more = list(minima), list(points)
    for i, theta in enumerate(found.minima):
        at = number.get(theta.tobytes())
        if at is None:
            verdict = label_one(problem, theta)
            # A point of a set that is not isolated need not be in the component of the point that the census keeps.
            if verdict.flavour not in ISOLATED:
                continue
            at = len(grown)
            grown.append(Minimum(FOUND_LATER, float(found.losses[i]), str(verdict.label), 0.0, strict=True))
            more.append(theta)
        node[i] = at
    order = sorted(range(len(grown)), key=lambda i: grown[i].loss)
    place = {old: new for new, old in enumerate(order)}
    ways = [
        Way(place[node[one.first]], place[node[one.second]], one.high, one.by)
        for one in found.edges()
        if one.first in node and one.second in node and one.first != one.second
    ]
    return [grown[i] for i in order], np.stack([more[i] for i in order]), ways


def chosen(minima: list[Minimum], ways: list[Way]) -> list[Way]:
    """The ways without those that were only looked at and are hardly lower than what is bounded all along."""
    bounded = [one for one in ways if SAMPLED not in one.by and np.isfinite(one.high)]
    known = graph(minima, bounded).high

    def lower(one: Way) -> bool:
        end = max(minima[one.first].loss, minima[one.second].loss)
        return one.high - end < (1 - HARDLY) * (known[one.first, one.second] - end)

    return bounded + [one for one in ways if SAMPLED in one.by and np.isfinite(one.high) and lower(one)]


def pairs_of(points: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of minima, ascending in loss, between which paths are looked for."""
    if len(points) <= ALL_PAIRS:
        return list(combinations(range(len(points)), 2))
    nearest = [(int(np.argmin(np.linalg.norm(points[:i] - points[i], axis=1))), i) for i in range(1, len(points))]
    return sorted({*nearest, *((0, i) for i in range(1, len(points)))})
