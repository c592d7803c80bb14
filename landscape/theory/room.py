"""What a room of theory is: the questions that each of them answers, for the problems it applies to.

A point on its way to a verdict enters one room only, the first of `rooms.ROOMS` that applies. `classify` asks its
questions in one order, for runs and for `label` alike: is the loss at its lower bound; what do first-order conditions
say (kinks, zero neurons, one-sided slopes); and, where curvature finds no way down, can the minimum be certified, and
is a lower loss known to be attained.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from landscape.problems.problem import Problem
from landscape.records import Claim, LowerBound, Point, Spectrum


class End(NamedTuple):
    """Where a descent ends, by an exact finish.

    Attributes:
        theta: The stationary point, [p].
        claim: What the room says of it, the loss at it included.
        kept: Whether plain descent with a stable step is shown to end there.
        orbit: A key of an isolated minimum, the same for its images under the symmetry; None for others.
    """

    theta: np.ndarray
    claim: Claim
    kept: bool
    orbit: bytes | None


class NotYet(NamedTuple):
    """A descent that is at no end yet.

    Attributes:
        shorter: Whether the descent only jumps to and fro about an end, and needs a shorter step.
    """

    shorter: bool


@dataclass(frozen=True)
class Finish:
    """An exact finish: from where a descent stands to the point it leads to, where descents end at kinks.

    No small gradient is waited for: a descent whose loss has stopped falling is finished. Problems without an exact
    finish are finished by Newton steps (`polish`).

    Attributes:
        ends: (problem, thetas [n, p], cache, step sizes [n]) -> an End or NotYet each. The cache is a dict of the run,
            in which the room keeps what it may use again.
        down: (problem, theta [p]) -> the stationary point that a descent from there leads to, None where none is known.
        key: (problem, theta [p]) -> what an isolated minimum is recognised by.
        stable_step: problem -> a step size below which plain descent is stable everywhere.
        anywhere: Whether `ends` has an End for every point.
    """

    ends: Callable[[Any, np.ndarray, dict[bytes, Any], np.ndarray], list[End | NotYet]]
    down: Callable[[Any, np.ndarray], np.ndarray | None]
    key: Callable[[Any, np.ndarray], bytes]
    stable_step: Callable[[Any], float]
    anywhere: bool = False


class Witness(NamedTuple):
    """A loss that is known to be attained by some point of the problem.

    Attributes:
        loss: The loss.
        by: What attains it, in words.
    """

    loss: float
    by: str


def own_bound(problem: Problem) -> LowerBound | None:
    """The bound that the problem itself knows."""
    return problem.lower_bound


def no_claim(problem: Any, point: Point) -> Claim | None:
    """Nothing."""
    return None


def no_certificate(problem: Any, point: Point, spectrum: Spectrum) -> Claim | None:
    """Nothing."""
    return None


def no_witness(problem: Any) -> Witness | None:
    """Nothing."""
    return None


@dataclass(frozen=True)
class Room:
    """One body of theory. Functions take the problem first; those left out have nothing to say.

    Attributes:
        name: Of the room.
        applies: problem -> whether the room is the one for it.
        bound: problem -> the best lower bound known, None where there is none.
        at_bound: (problem, point) -> GLOBAL, or UNDECIDED with a reason, for a loss at its lower bound. Needs no
            Hessian.
        judge: (problem, point) -> what first-order conditions say; where `finish` is exact, the whole judgement.
        certificate: (problem, point, spectrum) -> SPURIOUS or GLOBAL for a point without a direction of descent.
        witness: problem -> a loss that is known to be attained.
        finish: The exact finish; None where Newton steps finish.
        everywhere: Whether `judge` is the whole judgement of every point, unconverged ones included.
    """

    name: str
    applies: Callable[[Problem], bool]
    bound: Callable[[Any], LowerBound | None] = own_bound
    at_bound: Callable[[Any, Point], Claim | None] = no_claim
    judge: Callable[[Any, Point], Claim | None] = no_claim
    certificate: Callable[[Any, Point, Spectrum], Claim | None] = no_certificate
    witness: Callable[[Any], Witness | None] = no_witness
    finish: Finish | None = None
    everywhere: bool = False
