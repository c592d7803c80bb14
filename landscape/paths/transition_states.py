"""Transition states: stationary points of index exactly one, counted as orbits, and the minima on their two sides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.paths.climb import Climbed, Climbing, climb
from landscape.paths.edge import Edge
from landscape.polish import derivatives, evaluate
from landscape.precision import float64
from landscape.problems.orbits import OrbitIndex
from landscape.problems.problem import Problem, losses_at
from landscape.spectrum import flat_modes, spectrum

SAME_POINT = 1e-7  # distance of two points that are one, times the scale; as for the minima of a census
DISPLACED = 0.02  # first step from a minimum up a mode, times the scale
THROWN = (0.05, 0.5)  # length of a random step from a minimum, times the scale and the square root of p
SIDE = (1e-3, 0.2)  # how far beside a transition state its descents begin, times the scale
FALLEN = 1e-6  # by how much lower, in units of the loss
LOSS_GRID = 1e-8  # losses of states that are not isolated are told apart on this grid, in units of the loss


class TransitionState(NamedTuple):
    """A stationary point of index exactly one.

    Attributes:
        theta: The point, [p].
        loss: Loss there.
        loss_error: Bound on its rounding error.
        grad_norm: Gradient norm there.
        curvature: The one negative eigenvalue of the Hessian.
        error: Eigenvalues of this size may be zero at the exact point; all others than `curvature` are above minus it.
        zeros: Eigenvalues that may be zero.
        explained: How many of them a known symmetry accounts for. With fewer than all, the point may lie on a set of
            transition states, or be of a higher index in directions of no clear curvature.
        count: Number of searches that ended there.
        ends: The minima, by number, that descents on its two sides end at; None where one ends elsewhere.
    """

    theta: Float[np.ndarray, " p"]
    loss: float
    loss_error: float
    grad_norm: float
    curvature: float
    error: float
    zeros: int
    explained: int
    count: int
    ends: tuple[int | None, int | None] = (None, None)

    @property
    def connects(self) -> bool:
        """Whether both sides lead to minima."""
        return None not in self.ends


@dataclass
class Book:
    """Stationary points found so far, one an orbit, with how often each was found.

    Attributes:
        problem: The landscape.
        states: Those of index one, in the order of finding; their counts and ends are kept beside them.
        counts: How often each was found.
        other: Searches by how else they ended: "minimum", "index 2", "degenerate", "nowhere".
    """

    problem: Problem
    states: list[TransitionState] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    other: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._index = OrbitIndex(self.problem.symmetry, SAME_POINT * self.problem.scale)
        self._what: list[int | str] = []  # of each orbit: the number of its state, or what else it is
        self._sets: dict[tuple[int, int], int] = {}  # states that are not isolated, by loss and zeros

    def enter(self, found: Climbed) -> list[int]:
        """Counts the ends of searches; numbers of the states that are new."""
        new = []
        self.other["nowhere"] += int(np.sum(~found.stationary))
        for i in np.flatnonzero(found.stationary):
            theta, loss = found.theta[i], float(found.loss[i])
            orbit = self._index.find(theta, loss)
            if orbit is None:
                self._index.add(theta, loss)
                what = self._told(theta, loss, float(found.grad_norm[i]))
                self._what.append(what)
                if isinstance(what, int) and what == len(self.counts):
                    self.counts.append(0)
                    new.append(what)
            else:
                what = self._what[orbit]
            if isinstance(what, int):
                self.counts[what] += 1
            else:
                self.other[what] += 1
        return new

    def _told(self, theta: np.ndarray, loss: float, grad_norm: float) -> int | str:
        """What a stationary point is: the number of a state, "minimum", "index 2", "degenerate", ..."""
        seen = signs(self.problem, theta, grad_norm)
        if seen is None:
            return "nowhere"
        if seen.index != 1:
            if seen.index:
                return f"index {seen.index}"
            return "minimum" if seen.zeros == seen.explained else "degenerate"
        if seen.zeros > seen.explained:
            key = (round(loss / (LOSS_GRID * max(self.problem.loss_unit, abs(loss)))), seen.zeros)
            if key in self._sets:
                return self._sets[key]
            self._sets[key] = len(self.states)
        state = TransitionState(
            theta=theta,
            loss=loss,
            loss_error=self.problem.loss_error(theta),
            grad_norm=grad_norm,
            curvature=seen.least,
            error=seen.error,
            zeros=seen.zeros,
            explained=seen.explained,
            count=0,
        )
        self.states.append(state)
        return len(self.states) - 1


class Signs(NamedTuple):
    """Signs of the eigenvalues of the Hessian at a point that is stationary up to rounding.

    Attributes:
        index: Number of eigenvalues that are negative at the exact point too.
        zeros: Number of those that may be zero there.
        explained: How many of these a known symmetry accounts for.
        least: The least eigenvalue.
        error: Eigenvalues of this size may be zero.
    """

    index: int
    zeros: int
    explained: int
    least: float
    error: float


def signs(problem: Problem, theta: Float[np.ndarray, " p"], grad_norm: float) -> Signs | None:
    """The signs of the eigenvalues at a stationary point; None where the Hessian is not finite."""
    hessian = evaluate(problem, theta)[1]
    seen = spectrum(problem, theta, hessian)
    if seen is None:
        return None
    unsure = max(seen.error, _doubt(problem, theta, hessian, grad_norm))
    index = int(np.sum(seen.eigenvalues < -unsure))
    zeros = max(seen.zeros, int(np.sum(np.abs(seen.eigenvalues) <= unsure)))
    return Signs(index, zeros, seen.explained, seen.min_curvature, unsure)


def _doubt(problem: Problem, theta: np.ndarray, hessian: np.ndarray, grad_norm: float) -> float:
    """Size of the eigenvalues at theta that may be zero at the exact stationary point.

    Where the exact point is degenerate, the gradient at a distance x along its null direction is B x^2 / 2 and the
    eigenvalue there B x = sqrt(2 B |g|), B the third derivative: Newton's method stops at such a point with a clear
    eigenvalue that means nothing. Ten times sqrt(B |g|) is in doubt here; B is the largest change of the Hessian along
    a few directions.
    """
    step = 1e-3 * problem.scale
    lowest = np.linalg.eigh(hessian)[1][:, 0]
    random = np.random.default_rng(0).normal(size=(3, len(theta)))
    directions = np.stack([lowest, *(random / np.linalg.norm(random, axis=1, keepdims=True))])
    beside = derivatives(problem, theta + step * directions)[2]
    turned = [float(np.linalg.norm(other - hessian, 2)) for other in beside if np.all(np.isfinite(other))]
    return 10.0 * float(np.sqrt(max(turned, default=np.inf) / step * grad_norm))


def up_soft_modes(
    problem: Problem, minima: Float[np.ndarray, "m p"], modes: int
) -> tuple[Float[np.ndarray, "s p"], Float[np.ndarray, "s p"]]:
    """Where searches from minima begin, both ways along the softest eigenvectors, and the directions that they follow.

    Directions in which a symmetry moves the minimum are left out.
    """
    starts, follow = [], []
    for theta in minima:
        values, vectors = np.linalg.eigh(evaluate(problem, theta)[1])
        flat = flat_modes(problem, theta)
        held = np.sum((flat @ vectors) ** 2, axis=0) if len(flat) else np.zeros(len(values))
        kept = [i for i in range(len(values)) if held[i] < 0.5][:modes]
        for i in kept:
            for sign in (1.0, -1.0):
                starts.append(theta + sign * DISPLACED * problem.scale * vectors[:, i])
                follow.append(sign * vectors[:, i])
    shape = (len(starts), problem.p)
    return np.reshape(starts, shape), np.reshape(follow, shape)


def thrown(problem: Problem, minima: Float[np.ndarray, "m p"], count: int, seed: int) -> Float[np.ndarray, "count p"]:
    """Random steps of random length from minima in turn."""
    rng = np.random.default_rng((seed, len(minima)))
    low, high = np.log(THROWN)
    lengths = problem.scale * np.exp(rng.uniform(low, high, size=(count, 1)))
    return minima[np.arange(count) % len(minima)] + lengths * rng.normal(size=(count, problem.p))


def beside(problem: Problem, states: list[TransitionState]) -> Float[np.ndarray, "states 2 p"]:
    """Points on both sides of transition states, along the direction of negative curvature, from which to descend.

    The loss falls all the way there from the state. A random part of a thousandth keeps a descent from staying in a
    plane of symmetry, on which a saddle looks like a minimum.
    """
    sizes = problem.scale * np.geomspace(*SIDE, 24)
    out = np.empty((len(states), 2, problem.p))
    for i, state in enumerate(states):
        direction = np.linalg.eigh(evaluate(problem, state.theta)[1])[1][:, 0]
        noise = np.random.default_rng(i).normal(size=problem.p)
        noise *= 1e-3 / np.linalg.norm(noise)
        for side, sign in enumerate((1.0, -1.0)):
            points = state.theta + sizes[:, None] * (sign * direction + noise)
            with float64():
                losses = np.asarray(losses_at(problem, points), np.float64)
            falls = np.concatenate([[True], np.diff(losses) < 0])
            last = int(np.argmin(falls)) if not falls.all() else len(sizes)  # the first of them that is no lower
            enough = np.flatnonzero(losses[:last] < state.loss - FALLEN * problem.loss_unit)
            out[i, side] = points[enough[0] if len(enough) else max(last - 1, 0)]
    return out


@dataclass(frozen=True)
class TransitionStates:
    """What searches for transition states found. Prints itself.

    Attributes:
        states: One an orbit, lowest loss first.
        minima: The minima that they may connect, [m, p]: those given, and those that descents from states ended at.
        losses: Loss of each minimum, [m].
        given: How many of the minima were given.
        searches: Number of searches.
        other: Searches that ended elsewhere, by where.
        unseen: Estimated probability that the next search that ends at a transition state ends at a new one, and its
            95% upper limit.
    """

    states: list[TransitionState]
    minima: Float[np.ndarray, "m p"]
    losses: Float[np.ndarray, " m"]
    given: int
    searches: int
    other: dict[str, int]
    unseen: tuple[float, float]

    def edges(self) -> list[Edge]:
        """The barriers from above that the states give: of each pair of minima the lowest state between them.

        A descent from a state falls all the way, so the loss is highest at the state itself, between looks too.
        """
        best: dict[tuple[int, int], TransitionState] = {}
        for state in self.states:
            first, second = state.ends
            if first is None or second is None:
                continue
            pair = (min(first, second), max(first, second))
            if pair not in best or state.loss < best[pair].loss:
                best[pair] = state
        return [Edge(*pair, high=s.loss, by="transition state", saddle=s.theta) for pair, s in sorted(best.items())]

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and lists of all that was found."""
        return {
            "searches": self.searches,
            "other": dict(self.other),
            "unseen_mass": self.unseen[0],
            "unseen_mass_upper": self.unseen[1],
            "minima": [
                {"loss": float(loss), "theta": theta.tolist()}
                for loss, theta in zip(self.losses, self.minima, strict=True)
            ],
            "given": self.given,
            "states": [{**s._asdict(), "theta": s.theta.tolist(), "ends": list(s.ends)} for s in self.states],
        }

    def __str__(self) -> str:
        ends = Counter(self.other)
        ends["transition state"] = sum(state.count for state in self.states)
        said = ", ".join(f"{count} {where}" for where, count in sorted(ends.items(), key=lambda e: -e[1]) if count)
        lines = [
            f"{len(self.states)} transition states between {len(self.minima)} minima, from {self.searches} searches"
        ]
        lines += [f"searches ended at: {said}"]
        lines += [f"unseen mass {100 * self.unseen[0]:.2g}%, at most {100 * self.unseen[1]:.2g}% (95%)", ""]
        rows = [("loss", "curvature", "connects", "found", "zeros", "grad norm")]
        for s in self.states:
            joined = " - ".join("?" if end is None else str(end) for end in s.ends)
            flat = str(s.zeros) if s.zeros == s.explained else f"{s.zeros} ({s.zeros - s.explained} unexplained)"
            rows.append((f"{s.loss:.10f}", f"{s.curvature:.4g}", joined, str(s.count), flat, f"{s.grad_norm:.0e}"))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join(lines + ["  ".join(map(str.rjust, row, widths)) for row in rows])


def search(
    problem: Problem,
    book: Book,
    minima: Float[np.ndarray, "m p"],
    modes: int,
    count: int,
    seed: int,
    climbing: Climbing = Climbing(),  # noqa: B008 immutable
) -> tuple[list[int], int]:
    """Searches from some minima, into the book; the numbers of the new states, and how many searches there were."""
    starts, follow = up_soft_modes(problem, minima, modes)
    new = book.enter(climb(problem, starts, follow, climbing=climbing))
    rest = max(0, count - len(starts))
    if rest and len(minima):
        new += book.enter(climb(problem, thrown(problem, minima, rest, seed), climbing=climbing))
    return new, len(starts) + rest
