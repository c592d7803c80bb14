"""The isolated stationary points that a run has found, each with its verdict: judged once, recognised ever after."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from landscape import classify
from landscape.engine.rows import KIND, said
from landscape.polish import HALVINGS, balls_at, evaluate
from landscape.problems.orbits import OrbitIndex
from landscape.problems.problem import Problem
from landscape.records import Label, Point, Spectrum, Status, Verdict
from landscape.spectrum import spectrum

NOT_ISOLATED = -1  # the name of the orbit of a point that is not isolated


class Traps(NamedTuple):
    """What traps a descent near each of some known points (see `polish`), [m].

    Attributes:
        curvature: A lower bound on every eigenvalue there.
        radii: Of balls in which the third derivative is bounded, [m, balls].
        bounds: On the third derivative in each, [m, balls].
        at_bound: Whether the point is global: at the lower bound of the loss.
    """

    curvature: np.ndarray
    radii: np.ndarray
    bounds: np.ndarray
    at_bound: np.ndarray

    def at(self, which: np.ndarray) -> Traps:
        """Those of them, by places."""
        return Traps(*(column[which] for column in self))

    def convex(self, reach: np.ndarray) -> np.ndarray:
        """The least curvature at distance `reach` [m] with which the loss is convex on the whole way there; maybe < 0.

        Eigenvalues fall by no more than bound times distance (Weyl), from either end.
        """
        bound = np.min(np.where(self.radii >= reach[:, None], self.bounds, np.inf), axis=1)
        return np.where(self.curvature > 0, bound * reach - self.curvature, np.inf)


class OrbitBook:
    """Orbits of one problem, in the order in which they were found.

    Attributes:
        index: Finds the orbit of a point.
        verdicts: Of the orbits' points, in the order of the index.
        names: The first restart that was accepted in each orbit, None while there is none.
        traps: Of the orbits' points.
    """

    def __init__(self, problem: Problem, same_point: float):
        """An empty book.

        Args:
            problem: The landscape.
            same_point: Distance of two points that are one.
        """
        self.problem = problem
        self.index = OrbitIndex(problem.symmetry, same_point)
        self.verdicts: list[Verdict] = []
        self.names: list[int | None] = []
        none = np.zeros((0, len(HALVINGS)))
        self.traps = Traps(np.zeros(0), none, none, np.zeros(0, bool))

    @property
    def count(self) -> int:
        """Of the orbits."""
        return len(self.verdicts)

    def add(self, name: int | None, theta: np.ndarray, verdict: Verdict) -> int:
        """Takes in a new orbit, and returns its place."""
        assert verdict.loss is not None
        radii, bounds = balls_at(self.problem, theta)
        # A stored verdict has no error of its eigenvalue: a thousandth covers it wherever it is a minimum at all.
        least = -np.inf if verdict.min_curvature is None else verdict.min_curvature
        new = 0.999 * least if least > 1e-9 else -np.inf, radii, bounds, verdict.label == Label.GLOBAL
        self.traps = Traps(
            *(np.append(column, np.array([value]), axis=0) for column, value in zip(self.traps, new, strict=True))
        )
        self.verdicts.append(verdict)
        self.names.append(name)
        return self.index.add(theta, verdict.loss)

    def name(self, place: int, number: int | None) -> int:
        """The name of an orbit, this restart's number if it has none yet; -1 where there is neither."""
        if self.names[place] is None:
            self.names[place] = number
        name = self.names[place]
        return NOT_ISOLATED if name is None else name

    def columns(self, places: np.ndarray, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """What rows of restarts [m] say by their orbits alone: verdict, loss and name.

        Args:
            places: Of the orbits, [m].
            numbers: Of the restarts, [m]; the first of an orbit without a name names it.
        """
        orbits, first, inverse = np.unique(places, return_index=True, return_inverse=True)
        lines = []
        for place, number in zip(orbits.tolist(), numbers[first].tolist(), strict=True):
            verdict = self.verdicts[place]
            measured = {"loss": verdict.loss, "loss_error": verdict.loss_error, "grad_norm": verdict.grad_norm}
            lines.append(said(verdict) | measured | {"orbit": self.name(place, number)})
        return {name: np.array([line[name] for line in lines], KIND[name])[inverse] for name in lines[0]}

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
        known, error = self.verdicts[place], point.loss_error
        if not self.problem.error_bounded:
            # The least loss of this minimum is the same for all that end beside it, whatever each is short of it.
            assert known.loss is not None
            assert known.loss_error is not None
            error = max(error, point.loss - known.loss + known.loss_error)
        return replace(known, loss=point.loss, loss_error=error, grad_norm=point.grad_norm), self.name(place, number)

    def _examine(self, point: Point) -> tuple[Verdict, Spectrum | None]:
        """The verdict of a point with its whole spectrum, None where the Hessian is not finite."""
        _, hessian = evaluate(self.problem, point.theta)
        found = spectrum(self.problem, point.theta, hessian)
        verdict = classify.classify(self.problem, point, lambda: found)
        least = None if found is None else found.min_curvature
        return replace(verdict, min_curvature=least), found
