"""Bounds from below on the barriers between minima: walls between some, rises on spheres about others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.problems.problem import Problem
from landscape.problems.teacher_student import TeacherStudent
from landscape.theory.spurious_valleys.cell_barriers import Barrier, cell_barriers
from landscape.theory.spurious_valleys.walls import counts, has_walls, wall_of_counts
from landscape.theory.teacher_student import strict_rise

CELLS = 6000  # that are entered from all points together


class Below(NamedTuple):
    """A loss that paths must reach.

    Attributes:
        first: Index of a point.
        second: Index of another; None where the paths are those to all other minima.
        low: The loss.
        by: What says so.
    """

    first: int
    second: int | None
    low: float
    by: str


def from_cells(problem: Problem, thetas: np.ndarray) -> list[Barrier]:
    """Barriers between these points [k, p] from both sides, cell by cell; empty where cells do not tell."""
    if not isinstance(problem, Empirical) or len(thetas) < 2:
        return []
    return cell_barriers(problem, thetas, max(20, CELLS // len(thetas)))


def from_below(problem: Problem, losses: np.ndarray, thetas: np.ndarray) -> list[Below]:
    """What is known of the barriers between these minima; empty for problems of which nothing is.

    Args:
        problem: The landscape.
        losses: Of the minima, [k], each no more than its loss and rounding.
        thetas: The minima, [k, p]; copies of one under the symmetry are covered by what is said of it.
    """
    if isinstance(problem, TeacherStudent):
        rises = [(i, strict_rise(problem, theta)) for i, theta in enumerate(thetas)]
        return [
            Below(i, None, float(losses[i]) - problem.loss_error(thetas[i]) + one.height, "rise on a sphere")
            for i, one in rises
            if one is not None
        ]
    if not isinstance(problem, Empirical) or not has_walls(problem):
        return []
    signs = [counts(problem, theta) for theta in thetas]
    found = []
    for i, one in enumerate(signs):
        for j in range(i):
            between = wall_of_counts(problem, one, signs[j])
            if between is not None and between.value > max(losses[i], losses[j]):
                found.append(Below(j, i, between.value, between.by))
    return found
