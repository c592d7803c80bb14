"""`transition_states`: searches from the minima of a landscape, and descents from what they find."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from landscape import classify
from landscape.census.census import Census
from landscape.census.statistics import unseen_mass
from landscape.engine.driver import Driver
from landscape.engine.settings import Settings, Tolerances
from landscape.host import overflow
from landscape.host.explore import explore
from landscape.paths.slices import losses
from landscape.paths.transition_states import (
    SAME_POINT,
    Book,
    TransitionState,
    TransitionStates,
    beside,
    search,
)
from landscape.polish import newton_to_stationary
from landscape.precision import float64
from landscape.problems.orbits import OrbitIndex
from landscape.problems.problem import Problem
from landscape.records import Flavour, InputError, Label

MINIMA = (Flavour.STRICT_MINIMUM, Flavour.FLAT_MINIMUM, Flavour.MINIMUM_NOT_CLEAR, Flavour.BEST_SEEN)
TOLERANCES = Tolerances()
RESTARTS = 200  # descents that look for minima where none are given


def transition_states(
    problem: Problem,
    minima: Any = None,
    searches: int = 200,
    *,
    modes: int | None = None,
    rounds: int = 4,
    seed: int = 0,
    **settings: Any,
) -> TransitionStates:
    """The transition states around some minima, and which two minima each connects.

    Searches go up from each minimum, both ways along its softest eigenvectors, and from random steps away from it; they
    end at stationary points by Newton's method. Those of index exactly one are kept, one an orbit of the problem's
    symmetry, and followed down on both sides. A minimum that a descent finds for the first time is searched from in the
    next round.

    Args:
        problem: The landscape, twice differentiable where it is searched.
        minima: A census; or points, as `label` takes them, or a list of such; by default those of 200 restarts.
        searches: How many from each round's minima together; more where the modes alone are more.
        modes: Softest eigenvectors of each minimum to go up; by default all, up to 64.
        rounds: How often newly found minima are searched from in turn.
        seed: Of the random steps.
        **settings: Of the descents, as for `explore`; by default the gradient flow.

    Returns:
        The states; they print themselves, and `edges()` are the barriers from above that they give.

    Raises:
        InputError: The loss has kinks on which minima and saddles lie, or no minimum is known.
    """
    if problem.kinked:
        raise InputError("transition states are stationary points of a smooth loss, and this one has kinks.")
    with overflow.quiet(), float64():
        problem = overflow.bounded(classify.bounded(problem))
        if minima is None:
            minima = explore(problem, RESTARTS, seed, progress=False, **{"optimiser": "flow", **settings})
        known = OrbitIndex(problem.symmetry, SAME_POINT * problem.scale)
        for theta in minima_of(problem, minima):
            _number(known, theta, float(losses(problem, theta[None])[0]))
        if not known.losses:
            raise InputError("no minimum is known to search from; give some, or more restarts.")
        given, book = len(known.losses), Book(problem)
        modes = min(problem.p, 64) if modes is None else modes
        total = sum(_rounds(problem, book, known, modes, searches, rounds, seed, settings))
    order = sorted(range(len(book.states)), key=lambda i: book.states[i].loss)
    return TransitionStates(
        states=[book.states[i]._replace(count=book.counts[i]) for i in order],
        minima=np.stack(known.representatives),
        losses=np.array(known.losses),
        given=given,
        searches=total,
        other={where: count for where, count in book.other.items() if count},
        unseen=unseen_mass(book.counts),
    )


def _rounds(
    problem: Problem, book: Book, known: OrbitIndex, modes: int, searches: int, rounds: int, seed: int, settings: Any
) -> Iterator[int]:
    """How many searches each round makes, from the minima that are new in it; fills the book and the known minima."""
    done = 0
    for turn in range(rounds):
        fresh = np.stack(known.representatives[done:])
        done = len(known.losses)
        new, made = search(problem, book, fresh, modes, searches, seed + turn)
        yield made
        ends = descended(problem, [book.states[i] for i in new], known, seed, **settings)
        for i, both in zip(new, ends, strict=True):
            book.states[i] = book.states[i]._replace(ends=both)
        if len(known.losses) == done:
            return


def descended(
    problem: Problem, states: list[TransitionState], known: OrbitIndex, seed: int = 0, **settings: Any
) -> list[tuple[int | None, int | None]]:
    """The minima that descents on both sides of some states end at, by number; new ones are added to the known ones.

    Args:
        problem: The landscape.
        states: Some transition states.
        known: The minima that have numbers.
        seed: Of the run.
        **settings: Of the descents; by default the gradient flow.
    """
    if not states:
        return []
    with overflow.quiet(), float64():
        problem = overflow.bounded(classify.bounded(problem))
        starts = beside(problem, states).reshape(-1, problem.p)
        driver = Driver(problem, Settings.of(problem, **{"optimiser": "flow", **settings}), seed, starts)
        ends: dict[int, int | None] = {}
        for rows, thetas in driver.run(np.arange(len(starts))):
            for i, restart in enumerate(rows["restart"]):
                ends[int(restart)] = None
                if is_minimum(rows["label"][i], rows["flavour"][i]):
                    ends[int(restart)] = _number(known, thetas[i], float(rows["loss"][i]))
    return [(ends.get(2 * i), ends.get(2 * i + 1)) for i in range(len(states))]


def _number(known: OrbitIndex, theta: np.ndarray, loss: float) -> int:
    """The number of a minimum, a new one if it is new."""
    found = known.find(theta, loss)
    return known.add(theta, loss) if found is None else found


def is_minimum(label: str, flavour: str | None) -> bool:
    """Whether a label says that a point is a local minimum."""
    return label in (Label.GLOBAL, Label.SPURIOUS) or (label == Label.UNDECIDED and flavour in MINIMA)


def minima_of(problem: Problem, minima: Any, polished: bool = True) -> list[np.ndarray]:
    """The theta of given minima: those of a census that are local minima, or points, polished or not.

    Raises:
        InputError: A point does not fit the problem, or no stationary point is beside it.
    """
    if isinstance(minima, Census):
        rows = minima.rows
        kept = [
            i
            for i, restart in enumerate(rows["restart"])
            if int(restart) in minima.weights and is_minimum(rows["label"][i], rows["flavour"][i])
        ]
        kept.sort(key=lambda i: float(rows["loss"][i]))
        return [minima.weights[int(rows["restart"][i])] for i in kept]
    each = minima if isinstance(minima, list) else [minima]
    target, found = TOLERANCES.target * problem.gradient_scale, []
    for i, theta in enumerate(theta for one in each for theta in problem.points(one) or [problem.write(one)]):
        if not polished:
            found.append(theta)
            continue
        end, norm = newton_to_stationary(problem, theta, target, TOLERANCES.reach * problem.scale)
        if not norm <= 1e-10 * problem.gradient_scale:
            raise InputError(f"point {i} leads to no stationary point beside it: gradient norm {norm:.2g}; polish it.")
        found.append(end)
    return found
