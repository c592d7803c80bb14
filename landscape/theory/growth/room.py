"""The room of parallel homogeneous subnetworks: the polar test, and what happens at a zero subnetwork."""

from __future__ import annotations

from landscape.problems.parallel import Homogeneous
from landscape.problems.problem import Problem
from landscape.theory.growth.labels import global_claim, zero_claim
from landscape.theory.room import Room


def _applies(problem: Problem) -> bool:
    return isinstance(problem, Homogeneous) and problem.matched


ROOM = Room("homogeneous growth", applies=_applies, at_bound=global_claim, judge=zero_claim)
