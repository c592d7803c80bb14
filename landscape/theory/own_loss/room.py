"""The room of users' losses: every point is judged by evaluations; descents on losses with kinks are finished."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.problems.from_loss import UserLoss
from landscape.problems.problem import Problem
from landscape.records import Claim, Label, Point, Status
from landscape.theory.own_loss.branches import branches
from landscape.theory.own_loss.finish import finish
from landscape.theory.own_loss.judge import judge
from landscape.theory.own_loss.view import view
from landscape.theory.room import End, Finish, NotYet, Room

REACH = 4.0  # a finish further than this from where the descent stood, in scales, is another descent's
SAME = 1e-6  # ends nearer than this, in scales, are one


def _ends(problem: UserLoss, thetas: np.ndarray, cache: dict[bytes, Any], steps: np.ndarray) -> list[End | NotYet]:
    return [_end(problem, theta, cache, float(step)) for theta, step in zip(thetas, steps, strict=True)]


def _end(problem: UserLoss, theta: np.ndarray, cache: dict[bytes, Any], step: float) -> End | NotYet:
    """The end of a descent; that of an isolated minimum that the run knows is not judged again."""
    end = _down(problem, theta)
    if end is None:
        claim = _judge(problem, _point(theta))
        if claim.label != Label.AT_INFINITY:
            return NotYet(shorter=_overshoots(problem, theta, step))
        return End(theta, claim, False, None)
    place = key(problem, end)
    if place in cache:
        return cache[place]
    claim = _judge(problem, _point(end))
    if claim.label == Label.UNCONVERGED:
        return NotYet(shorter=False)
    isolated = claim.flavour is not None and "strict" in str(claim.flavour) and "flat" not in str(claim.flavour)
    found = End(end, claim, False, place if isolated else None)
    if isolated and problem.symmetry is None:  # under a symmetry the image is another point
        cache[place] = found
    return found


def _overshoots(problem: UserLoss, theta: np.ndarray, step: float) -> bool:
    """Whether two steps of plain descent lead no lower: it goes to and fro, and needs a shorter step."""
    loss = view(problem)
    here = there = theta / loss.scale
    for _ in range(2):
        there = there - step * loss.gradients(there[None])[0] / loss.scale**2
    before, after = loss.losses(np.stack([here, there]))
    return not after < before - 4 * np.finfo(float).eps * abs(before)


def _down(problem: UserLoss, theta: np.ndarray) -> np.ndarray | None:
    loss = view(problem)
    end = finish(loss, theta / loss.scale, REACH)
    return None if end is None else end * loss.scale


def key(problem: UserLoss, theta: np.ndarray) -> bytes:
    """An isolated end to a millionth of the scale, after the user's own map to one representative of each orbit."""
    one = theta if problem.symmetry is None else problem.symmetry(theta)
    return np.round(one / view(problem).scale / SAME).astype(np.int64).tobytes()


def _point(theta: np.ndarray) -> Point:
    return Point(theta, np.nan, np.nan, np.nan, 0.0, Status.CONVERGED)


def _judge(problem: UserLoss, point: Point) -> Claim:
    return judge(problem, point)


def _own(problem: Problem) -> bool:
    return isinstance(problem, UserLoss)


ROOM = Room("own loss", applies=_own, judge=_judge, everywhere=True)
KINKED = Room(
    "own loss with branches",
    applies=lambda problem: isinstance(problem, UserLoss) and branches(problem),
    judge=_judge,
    everywhere=True,
    # No step is known to be stable everywhere, so that no end is shown to be the descent's.
    finish=Finish(ends=_ends, down=_down, key=key, stable_step=lambda problem: 0.0),
)
