"""The rooms, in the order in which they are asked whether they apply. The last one applies to every problem."""

from __future__ import annotations

from landscape.problems.problem import Problem
from landscape.theory import nearby, teacher_student, tied
from landscape.theory.convex import room as convex
from landscape.theory.growth import room as growth
from landscape.theory.own_loss import room as own_loss
from landscape.theory.porcupine import room as porcupine
from landscape.theory.room import Room
from landscape.theory.spurious_valleys import room as spurious_valleys

GENERAL = Room("lower bound and curvature", lambda problem: True, at_bound=nearby.at_bound)

ROOMS = (
    teacher_student.ROOM,
    tied.ROOM,
    porcupine.ROOM,
    convex.ROOM,
    spurious_valleys.ROOM,
    growth.ROOM,
    own_loss.KINKED,
    own_loss.ROOM,
    GENERAL,
)


def room_of(problem: Problem) -> Room:
    """The room for a problem: its own where it brings one, else the first of `ROOMS` that applies."""
    if problem.room is not None:
        return problem.room
    return next(room for room in ROOMS if room.applies(problem))
