"""`paths_between`: paths between minima and how high they lead; every bound is from above."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float

from landscape.host.transition_states import descended, minima_of
from landscape.paths.climb import climb
from landscape.paths.edge import Edge
from landscape.paths.matching import matched
from landscape.paths.sampling import sampled
from landscape.paths.slices import losses
from landscape.paths.strings import Height, height, lines, strings
from landscape.paths.transition_states import SAME_POINT, Book
from landscape.problems.orbits import OrbitIndex
from landscape.problems.problem import Problem
from landscape.records import InputError, whole

SAMPLED, BOUNDED = "largest loss looked at", "bounded between looks"


@dataclass(frozen=True)
class Way:
    """What is known from above of the barrier between two points.

    Attributes:
        first: Number of one point.
        second: Number of the other.
        line: The largest loss on the straight line, neurons matched first.
        string: The largest loss on the path of the string method.
        sampled: That on the path of dynamic string sampling; None where it found none below the straight line.
        saddle: Loss of the transition state that the highest point of the string leads to, where descents from it
            lead to these very two minima, up to symmetry; else None.
        points: Way-points of the string, [t, p], from the first point to the matched copy of the second.
        sampled_points: Those of dynamic string sampling, [s, p], where it found a path.
        edge: The lowest of the bounds.
    """

    first: int
    second: int
    line: Height
    string: Height
    sampled: Height | None
    saddle: float | None
    points: Float[np.ndarray, "t p"]
    sampled_points: Float[np.ndarray, "s p"] | None
    edge: Edge


@dataclass(frozen=True)
class Ways:
    """Paths between points. Prints itself.

    Attributes:
        ways: One a pair.
        losses: Loss of each point, [m].
    """

    ways: list[Way]
    losses: Float[np.ndarray, " m"]

    def edges(self) -> list[Edge]:
        """The bounds from above."""
        return [way.edge for way in self.ways]

    def barrier(self, way: Way) -> float:
        """How far the bound of a pair lies above the higher of its two points."""
        return way.edge.high - float(max(self.losses[way.first], self.losses[way.second]))

    def as_dict(self) -> list[dict[str, Any]]:
        """Plain numbers and lists, one record a pair."""
        return [
            {
                "first": way.first,
                "second": way.second,
                "line": way.line.high,
                "string": way.string.high,
                "bounded": way.string.bounded,
                "sampled": None if way.sampled is None else way.sampled.high,
                "saddle": way.saddle,
                "high": way.edge.high,
                "by": way.edge.by,
                "barrier": self.barrier(way),
            }
            for way in self.ways
        ]

    def __str__(self) -> str:
        rows = [("pair", "losses", "line", "string", "sampling", "saddle", "barrier at most", "by")]
        for way in self.ways:
            ends = f"{self.losses[way.first]:.6g}, {self.losses[way.second]:.6g}"
            state = "-" if way.saddle is None else f"{way.saddle:.10g}"
            beads = "-" if way.sampled is None else f"{way.sampled.high:.6g}"
            rows.append(
                (f"{way.first} - {way.second}", ends, f"{way.line.high:.6g}", f"{way.string.high:.6g}", beads, state,
                 f"{self.barrier(way):.6g}", way.edge.by)
            )  # fmt: skip
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def paths_between(
    problem: Problem,
    minima: Any,
    pairs: list[tuple[int, int]] | None = None,
    *,
    steps: int = 400,
    stationary: bool = True,
) -> Ways:
    """Paths between points and bounds from above on the barriers between them.

    Neurons of each pair are matched first. The straight line is pulled down by the string method, and dynamic string
    sampling looks for a path of its own. Where the loss is smooth the highest point of the string is refined to a
    transition state, which counts only if descents from it lead to these two points, up to symmetry.

    Args:
        problem: The landscape.
        minima: A census, or points as `label` takes them, or a list of such.
        pairs: Numbers of the points of each pair; by default all pairs.
        steps: Of the string method.
        stationary: Whether the points are polished to stationary ones first; else paths join the points as given.

    Raises:
        InputError: There are fewer than two points, a pair names none, or a point does not fit the problem.
    """
    points = minima_of(problem, minima, stationary)
    if len(points) < 2:
        raise InputError(f"paths join two points at least, found {len(points)}.")
    chosen = list(combinations(range(len(points)), 2)) if pairs is None else pairs
    for pair in chosen:
        if len(pair) != 2 or not all(0 <= i < len(points) for i in pair) or pair[0] == pair[1]:
            raise InputError(f"pair {pair} must name two different points, 0 to {len(points) - 1}.")
    return joined(problem, points, chosen, whole("steps", steps, 0), refined=stationary and not problem.kinked)


def joined(problem: Problem, points: list[np.ndarray], pairs: list[tuple[int, int]], steps: int, refined: bool) -> Ways:
    """Paths between pairs of points, and how high they lead.

    Args:
        problem: The landscape.
        points: The points, each [p].
        pairs: Numbers of two different points.
        steps: Of the string method.
        refined: Whether the top of a string is refined to a transition state; the points are stationary then.
    """
    first = np.stack([points[i] for i, _ in pairs])
    second = np.stack([matched(problem, points[i], points[j]) for i, j in pairs])
    straight = lines(first, second)
    pulled = strings(problem, straight, steps)
    low = [height(problem, path) for path in straight]
    high = [height(problem, path) for path in pulled]
    beads = sampled(problem, first, second, np.array([one.high for one in low]))
    below = [None if path is None else height(problem, path) for path in beads]
    values = losses(problem, np.stack(points))
    states: dict[int, tuple[float, np.ndarray]] = {}
    if refined:
        known = OrbitIndex(problem.symmetry, SAME_POINT * problem.scale)
        for theta, loss in zip(points, values, strict=True):
            known.add(theta, float(loss))
        states = _refined(problem, pairs, pulled, high, known)
    ways = []
    for i, (a, b) in enumerate(pairs):
        loss, theta = states.get(i, (None, None))
        ways.append(
            Way(
                first=a, second=b, line=low[i], string=high[i], sampled=below[i], saddle=loss, points=pulled[i],
                sampled_points=beads[i], edge=_edge(a, b, low[i], high[i], below[i], loss, theta),
            )
        )  # fmt: skip
    return Ways(ways, values)


def _edge(
    a: int, b: int, line: Height, string: Height, beads: Height | None, loss: float | None, theta: np.ndarray | None
) -> Edge:
    """The lowest of the bounds of a pair; what was only looked at counts where nothing else is there."""
    paths = {"straight line": line, "string": string, "dynamic string sampling": beads}
    bounds: list[tuple[float, bool, str, np.ndarray | None]] = [
        (one.high, one.bounded, f"{name}, {BOUNDED if one.bounded else SAMPLED}", None)
        for name, one in paths.items()
        if one is not None
    ]
    if loss is not None:
        bounds.append((loss, True, "transition state", theta))
    high, _, by, saddle = min(bounds, key=lambda bound: (not bound[1], bound[0] if np.isfinite(bound[0]) else np.inf))
    return Edge(first=a, second=b, high=high, by=by, saddle=saddle)


def _refined(
    problem: Problem, pairs: list[tuple[int, int]], pulled: np.ndarray, tops: list[Height], known: OrbitIndex
) -> dict[int, tuple[float, np.ndarray]]:
    """By pair, the transition state at the top of its string, where descents from it lead to the pair."""
    starts = np.stack([top.at for top in tops])
    nearest = np.array([np.argmin(np.sum((path - top) ** 2, axis=1)) for path, top in zip(pulled, starts, strict=True)])
    inner = np.clip(nearest, 1, pulled.shape[1] - 2)
    along = np.arange(len(pulled))
    directions = pulled[along, inner + 1] - pulled[along, inner - 1]
    directions /= np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1e-300)
    found, book = climb(problem, starts, directions), Book(problem)
    where: dict[int, int] = {}
    for i in range(len(starts)):
        before = list(book.counts)
        book.enter(type(found)(*(column[i : i + 1] for column in found)))
        hit = [j for j, count in enumerate(book.counts) if count > (before[j] if j < len(before) else 0)]
        if hit:
            where[i] = hit[0]
    ends = descended(problem, book.states, known)
    out = {}
    for i, state in where.items():
        wanted = sorted(_orbits(known, pairs[i]))
        if None not in ends[state] and sorted(ends[state]) == wanted:  # type: ignore[type-var]
            out[i] = (book.states[state].loss, book.states[state].theta)
    return out


def _orbits(known: OrbitIndex, pair: tuple[int, int]) -> list[int]:
    """The first known number of the orbit of each point of a pair: several points may be copies of one."""
    found = [known.find(known.representatives[i], known.losses[i]) for i in pair]
    return [i if one is None else one for i, one in zip(pair, found, strict=True)]
