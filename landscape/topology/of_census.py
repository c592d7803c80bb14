"""The graph of a census: its minima as nodes, what is known of the barriers between them as edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape.census.assemble import loss_unit
from landscape.census.census import Census
from landscape.census.levels import class_ids
from landscape.problems.problem import Problem
from landscape.records import WITNESSED, Flavour, Label
from landscape.theory.from_below import from_below
from landscape.topology.graph import Graph, Minimum, Path, Wall, graph

MINIMA = {str(Label.GLOBAL), str(Label.SPURIOUS)}
ISOLATED = {str(one) for one in (Flavour.STRICT, Flavour.STRICT_MINIMUM)}
UNDECIDED_MINIMA = {str(flavour) for flavour in (*WITNESSED, Flavour.BEST_SEEN)}


def minima_of(census: Census, problem: Problem | None = None) -> tuple[list[Minimum], np.ndarray]:
    """The minima of a census, ascending in loss, and a point of each, [k, p].

    An isolated minimum stands for its orbit under the problem's symmetry; a set that is not isolated, or several of one
    loss and label, for the one point that the census keeps. Undecided points count where they are shown to be minima.

    Args:
        census: With the weights of its classes.
        problem: The landscape; by default that of the census's plan.
    """
    rows, at = census.rows, {int(r): i for i, r in enumerate(census.rows["restart"])}
    kept = [
        (float(rows["loss"][at[name]]), name)
        for name in census.weights
        if rows["label"][at[name]] in MINIMA or rows["flavour"][at[name]] in UNDECIDED_MINIMA
    ]
    if not kept:
        return [], np.zeros((0, 0))
    known = problem if problem is not None else None if census.plan is None else census.plan.problem
    classes = class_ids(rows, loss_unit(known))
    count = np.bincount(classes)
    found = [
        Minimum(
            name=name,
            loss=loss,
            label=str(rows["label"][at[name]]),
            share=float(count[classes[at[name]]] / census.finished),
            strict=rows["flavour"][at[name]] in ISOLATED,
        )
        for loss, name in sorted(kept)
    ]
    return found, np.stack([census.weights[one.name] for one in found])


def graph_of(census: Census, problem: Problem, paths: Sequence[Path] = ()) -> Graph:
    """The graph of a census, with the bounds from below that theory gives.

    Args:
        census: With the weights of its classes.
        problem: The landscape.
        paths: Bounds from above; their indices are those of `minima_of`.

    Raises:
        InputError: An index is none, or bounds contradict each other.
    """
    minima, thetas = minima_of(census, problem)
    below = from_below(problem, np.array([one.loss for one in minima]), thetas)
    return graph(minima, paths, [Wall(*one) for one in below])
