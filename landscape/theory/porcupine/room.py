"""The room of neurons on lines: exact labels by slopes, no curvature, and a finish from anywhere."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.problems.porcupine import Porcupine
from landscape.records import Claim, Point
from landscape.theory.porcupine.ends import ends, finish, signs
from landscape.theory.porcupine.labels import label
from landscape.theory.porcupine.optimum import bound
from landscape.theory.room import End, Finish, NotYet, Room


def _ends(
    problem: Porcupine, thetas: np.ndarray, cache: dict[bytes, Any], steps: np.ndarray
) -> list[End | NotYet]:  # a finish from anywhere hangs on no step
    return [*ends(problem, thetas, cache)]


def _judge(problem: Porcupine, point: Point) -> Claim:
    return label(problem, point.theta)


ROOM = Room(
    "porcupine",
    applies=lambda problem: isinstance(problem, Porcupine),
    bound=bound,
    judge=_judge,
    finish=Finish(
        ends=_ends,
        down=finish,
        key=signs,
        stable_step=lambda problem: 2 / problem.curvature(),
        anywhere=True,
    ),
)
