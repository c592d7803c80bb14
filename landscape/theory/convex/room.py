"""The room of two-layer networks with a kink on finite data: labels by slopes at ties and by convex programs."""

from __future__ import annotations

from landscape.problems.empirical import Empirical
from landscape.problems.problem import Problem
from landscape.records import Claim, Point
from landscape.theory.convex.cell_finish import finish
from landscape.theory.convex.descent_ends import ends, key
from landscape.theory.convex.labels import label
from landscape.theory.convex.least_loss import bound
from landscape.theory.room import Finish, Room


def _applies(problem: Problem) -> bool:
    return isinstance(problem, Empirical) and problem.kinked


def _judge(problem: Empirical, point: Point) -> Claim:
    return label(problem, point.theta)


ROOM = Room(
    "hidden convexity",
    applies=_applies,
    bound=bound,
    judge=_judge,
    finish=Finish(ends=ends, down=finish, key=key, stable_step=lambda problem: 2 / problem.curvature()),
)
