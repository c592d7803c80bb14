"""The tree in which valleys merge as the level rises: every merge an interval of levels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.records import Interval
from landscape.topology.graph import Graph


class Merge(NamedTuple):
    """Two branches that become one.

    Attributes:
        left: Number of a branch: a minimum below k, or k plus the index of an earlier merge.
        right: Number of the other, whose lowest minimum is not below that of `left`.
        level: Between which losses they merge.
        members: Indices of the minima that are together then.
    """

    left: int
    right: int
    level: Interval
    members: tuple[int, ...]


class Tree(NamedTuple):
    """The merge tree of a graph.

    Attributes:
        merges: Ascending in the upper end of their levels.
        roots: Numbers of the branches that no known path joins.
    """

    merges: tuple[Merge, ...]
    roots: tuple[int, ...]


def merge_tree(graph: Graph) -> Tree:
    """The tree that known paths give: single linkage on the upper ends of barriers."""
    k = len(graph.minima)
    branch: dict[int, tuple[int, ...]] = {i: (i,) for i in range(k)}  # number -> members
    of = np.arange(k)
    merges: list[Merge] = []
    for way in sorted(graph.ways, key=lambda one: one.high):
        a, b = int(of[way.first]), int(of[way.second])
        if a == b:
            continue
        if min(branch[b]) < min(branch[a]):  # minima ascend in loss
            a, b = b, a
        one, two = branch.pop(a), branch.pop(b)
        block = graph.low[np.ix_(one, two)]
        i, j = np.unravel_index(int(np.argmin(block)), block.shape)
        least = graph.barrier(one[i], two[j])
        level = Interval(min(least.low, way.high), way.high, least.low_by, way.by)
        together = tuple(sorted((*one, *two)))
        branch[k + len(merges)] = together
        of[list(together)] = k + len(merges)
        merges.append(Merge(a, b, level, together))
    roots = sorted(branch, key=lambda number: min(branch[number]))
    return Tree(tuple(merges), tuple(roots))
