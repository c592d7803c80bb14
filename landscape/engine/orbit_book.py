"""The isolated stationary points that a run has found, each with its verdict: judged once, recognised ever after."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape import classify
from landscape.polish import ball, evaluate, float64
from landscape.problems.orbits import OrbitIndex
from landscape.problems.problem import Problem
from landscape.records import Point, Spectrum, Status, Verdict
from landscape.spectrum import spectrum

NOT_ISOLATED = -1  # the name of the orbit of a point that is not isolated


@dataclass
class Orbit:
    """A known isolated stationary point, and what traps a descent near it (see `polish`).

    Attributes:
        name: The first restart that was accepted there, None while there is none.
        verdict: Of the point.
        curvature: A lower bound on every eigenvalue there.
        radius: Of a ball in which the third derivative is bounded.
        bound: On the third derivative in that ball.
    """

    name: int | None
    verdict: Verdict
    curvature: float
    radius: float
    bound: float

    def named(self, number: int | None) -> int:
        """The name of the orbit, this restart's number if it has none yet."""
        self.name = number if self.name is None else self.name
        return NOT_ISOLATED if self.name is None else self.name


class OrbitBook:
    """Orbits of one problem, in the order in which they were found.

    Attributes:
        index: Finds the orbit of a point.
        orbits: In the order of the index.
    """

    def __init__(self, problem: Problem, same_point: float):
        """An empty book.

        Args:
            problem: The landscape.
            same_point: Distance of two points that are one.
        """
        self.problem = problem
        self.index = OrbitIndex(problem.symmetry, same_point)
        self.orbits: list[Orbit] = []

    def add(self, name: int | None, theta: np.ndarray, verdict: Verdict) -> int:
        """Takes in a new orbit, and returns its place."""
        assert verdict.loss is not None
        with float64():
            radius, bound = (float(x[0]) for x in ball(self.problem, np.asarray(theta, np.float64)[None]))
        # A stored verdict has no error of its eigenvalue: a thousandth covers it wherever it is a minimum at all.
        least = -np.inf if verdict.min_curvature is None else verdict.min_curvature
        self.orbits.append(Orbit(name, verdict, 0.999 * least if least > 1e-9 else -np.inf, radius, bound))
        return self.index.add(theta, verdict.loss)

    def judge(self, point: Point, number: int | None, isolated: bool) -> tuple[Verdict, int]:
        """The verdict of one point, and the name of its orbit: its first member's restart, -1 for a point not isolated.

        Spectra and curvature labels are computed once an orbit.

        Args:
            point: A polished (or unconverged) point.
            number: Its restart: the name of the orbit if it is the first member; None to leave a new orbit unnamed.
            isolated: Whether it is known to be alone in its neighbourhood.
        """
        if point.status not in (Status.CONVERGED, Status.STALLED):
            return classify.classify(self.problem, point, lambda: None), NOT_ISOLATED
        if not isolated:
            verdict = classify.at_lower_bound(self.problem, point)
            if verdict is not None:
                return verdict, NOT_ISOLATED
        place = self.index.find(point.theta, point.loss, point.loss_error) if isolated else None
        if place is None:
            verdict, found = self._examine(point)
            if found is None or (not isolated and found.zeros):
                return verdict, NOT_ISOLATED
            place = None if isolated else self.index.find(point.theta, point.loss, point.loss_error)
            if place is None:
                place = self.add(None, point.theta, verdict)
        orbit = self.orbits[place]
        verdict = replace(orbit.verdict, loss=point.loss, loss_error=point.loss_error, grad_norm=point.grad_norm)
        return verdict, orbit.named(number)

    def _examine(self, point: Point) -> tuple[Verdict, Spectrum | None]:
        """The verdict of a point with its whole spectrum, None where the Hessian is not finite."""
        _, hessian = evaluate(self.problem, point.theta)
        found = spectrum(self.problem, point.theta, hessian)
        verdict = classify.classify(self.problem, point, lambda: found)
        least = None if found is None else found.min_curvature
        return replace(verdict, min_curvature=least), found
