"""The graph of all copies of minima under the symmetry of a small landscape: points, where `of_census` has orbits.

Two copies of one orbit have the same loss and may be behind a barrier from each other. A path moved by an element of
the group is a path of the same heights, so each known path joins as many pairs of copies as there are elements.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from landscape.problems.symmetry import Symmetry
from landscape.records import InputError
from landscape.topology.graph import Graph, Minimum, Wall, Way, graph

MOST = 20_000  # elements of the group that are gone through
SAME = 1e-7  # copies nearer than this, over the largest coordinate, are one point


class Joined(NamedTuple):
    """A path with its two ends.

    Attributes:
        start: A minimum, [p].
        end: Another, or a copy of the same, [p].
        high: The largest loss on the path.
        by: What found it.
    """

    start: np.ndarray
    end: np.ndarray
    high: float
    by: str


def elements(symmetry: Symmetry) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """All elements of the group: permutation of neurons [n], sign of each [n], orthogonal map of the inputs [d, d].

    Raises:
        InputError: There are more than 20 000 candidates, or rotations leave the anchors as they are.
    """
    (n, d), anchors, colours = symmetry.shape, np.asarray(symmetry.anchors, float), np.asarray(symmetry.colours)
    if len(anchors) < d or np.linalg.matrix_rank(anchors) < d:
        raise InputError("copies are counted where the symmetry is finite; here rotations leave the loss unchanged.")
    groups = [np.flatnonzero(colours == colour) for colour in np.unique(colours)]
    many = math.factorial(n) * math.prod(math.factorial(len(one)) for one in groups) * (2**n if symmetry.flips else 1)
    if many > MOST:
        raise InputError(f"copies are counted for groups of at most {MOST} candidates; here there are {many}.")
    back, turns = np.linalg.pinv(anchors), []
    for chosen in itertools.product(*(itertools.permutations(one) for one in groups)):
        to = np.empty(len(anchors), int)
        for one, images in zip(groups, chosen, strict=True):
            to[one] = images
        turn = (back @ anchors[to]).T  # maps anchor i to anchor to[i]
        orthogonal = np.allclose(turn @ turn.T, np.eye(d), atol=1e-10)
        if orthogonal and np.allclose(anchors @ turn.T, anchors[to], atol=1e-10 * np.abs(anchors).max()):
            turns.append(turn)
    signs = itertools.product((1.0, -1.0), repeat=n) if symmetry.flips else [(1.0,) * n]
    for permutation, sign, turn in itertools.product(itertools.permutations(range(n)), list(signs), turns):
        yield np.array(permutation), np.array(sign), turn


def images(symmetry: Symmetry, theta: np.ndarray) -> np.ndarray:
    """The images of theta [p] under all elements of the group, in their order, repeats included, [g, p].

    Raises:
        InputError: The group is not finite and small.
    """
    w = np.asarray(theta, float).reshape(symmetry.shape)
    return np.array([(w[order] * sign[:, None] @ turn.T).reshape(-1) for order, sign, turn in elements(symmetry)])


def graph_of_copies(
    symmetry: Symmetry,
    minima: Sequence[Minimum],
    thetas: np.ndarray,
    paths: Sequence[Joined] = (),
    walls: Sequence[Wall] = (),
) -> Graph:
    """The graph of all copies of these minima.

    Args:
        symmetry: Of the landscape, finite and small.
        minima: Orbits, ascending in loss.
        thetas: A point of each, [k, p].
        paths: Known paths with their ends, which must be copies of the minima.
        walls: Bounds from below between a minimum and all others: they hold for each copy. Those between two orbits
            hold between any of their copies.

    Raises:
        InputError: The group is not finite and small, or a path ends at no copy.
    """
    points: list[np.ndarray] = []
    nodes: list[Minimum] = []
    copies: list[list[int]] = []
    reach = SAME * max(1.0, float(np.max(np.abs(thetas), initial=0.0)))
    for one, theta in zip(minima, thetas, strict=True):
        copies.append([])
        for image in images(symmetry, theta):
            if not any(np.max(np.abs(image - points[i])) <= reach for i in copies[-1]):
                copies[-1].append(len(points))
                points.append(image)
        nodes += [one] * len(copies[-1])
    known = np.array(points)

    def index(point: np.ndarray) -> int:
        away = np.max(np.abs(known - point), axis=1)
        if not np.min(away) <= reach:
            raise InputError(f"a path ends {np.min(away):.2g} away from the nearest copy of a minimum.")
        return int(np.argmin(away))

    ways = {
        (*sorted((index(a), index(b))), one.high, one.by)
        for one in paths
        for a, b in zip(images(symmetry, one.start), images(symmetry, one.end), strict=True)
    }
    below = [Wall(i, None, one.low, one.by) for one in walls if one.second is None for i in copies[one.first]]
    below += [
        Wall(i, j, one.low, one.by)
        for one in walls
        if one.second is not None
        for i in copies[one.first]
        for j in copies[one.second]
    ]
    return graph(nodes, [Way(*one) for one in sorted(ways)], below, copies=True)
