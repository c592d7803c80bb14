"""The exact label of any porcupine point.

A point is a local minimum if and only if the slope of every present sign is zero and, on lines with a neuron at zero,
no slope is negative: a coefficient can only change what it can reach, and convexity does the rest. It is global if no
slope is negative anywhere; on a line with two neurons or more a negative slope shows the opposite, because mass can be
passed to one neuron at no cost and the other one sent through zero. A line with a single neuron has a_j b_j = 0, and
there nothing short of branching over its sign decides.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from landscape.problems.porcupine import Porcupine
from landscape.records import Claim, Evidence, Flavour, Label
from landscape.theory.porcupine.beside import floor_beside, stationary_beside
from landscape.theory.porcupine.faces import HOLDS_TEACHER, flat_dimension, never_bad
from landscape.theory.porcupine.masses import AtMasses, at_masses, masses
from landscape.theory.porcupine.minimum import minimise
from landscape.theory.porcupine.optimum import branch

STATIONARY = 1e-9  # a point with slopes below this, times the scale, is judged by the exact one beside it
ZERO_SET_TOLERANCE = 1e-3  # distance from the zero set, in the lightest teacher mass, up to which a point is on it


def label(problem: Porcupine, theta: np.ndarray, nodes: int = 2000) -> Claim:
    """The label of a point: of the exact stationary point with the same signs that is shown to lie beside it.

    Global first. Then slopes: large ones of neurons that are not at zero are `UNCONVERGED`; a neuron at zero with a
    negative slope is a `TRAP`; no negative slope anywhere is `GLOBAL`; a missing sign with a negative slope on a line
    of two neurons or more is `SPURIOUS`, and so is a lower network found by branching over single neurons. `escape`
    leads to a lower loss in one step. There are no saddles: between kinks the loss is convex. Flat minima are minima.

    Args:
        problem: The landscape.
        theta: The point, [p].
        nodes: Ceiling on the convex problems that branching may solve.

    Raises:
        InputError: theta is not p finite numbers.
    """
    theta = problem.write(theta)
    x, line, neurons = masses(problem, theta), problem.line_of, np.asarray(problem.neurons)
    at, present, lower = at_masses(problem, x), x > 0, problem.lower_bound.value
    idle = np.bincount(line, theta == 0, len(neurons)) > 0  # lines with a neuron at zero
    steep = np.where(theta == 0, 0.0, at.slopes[np.where(theta < 0, 1, 0), line])
    # At a neuron at zero the subdifferential is the interval between both one-sided derivatives, odd -+ even.
    even, odd = np.abs(at.slopes[0] + at.slopes[1]) / 2, np.abs(at.slopes[0] - at.slopes[1]) / 2
    nearest = np.where(theta == 0, np.maximum(odd - even, 0.0)[line], steep)
    facts: dict[str, Any] = {
        "loss": at.loss, "loss_error": at.loss_error, "lower_bound": lower,
        "grad_norm": float(np.linalg.norm(nearest)),
    }  # fmt: skip
    sure = partial(Claim, evidence=Evidence.CERTIFIED)
    unsure = lambda reason, label=Label.UNDECIDED: Claim(label, reason=reason, **facts)  # noqa: E731

    in_zero_set = _zero_set_gap(problem, x, at) <= ZERO_SET_TOLERANCE
    if at.loss <= at.loss_error and in_zero_set:
        return sure(Label.GLOBAL, by="zero loss, zero set", margin=at.loss_error - at.loss, **facts)
    if lower > 0 and at.loss - lower <= at.loss_error:
        return sure(Label.GLOBAL, by="lower bound", margin=at.loss_error - at.loss + lower, **facts)
    if not np.linalg.norm(steep) <= STATIONARY * problem.scale:  # written so that a loss beyond floats is caught
        return unsure(f"not stationary: the slopes have norm {np.linalg.norm(steep):.2g}", Label.UNCONVERGED)

    beside = stationary_beside(problem, x, at)
    slack, low, high = beside.slack, beside.low, beside.high
    # Of the face, and of everything where the point is global.
    least = max(lower, floor_beside(problem, x, at, beside)) if np.isfinite(slack) else lower
    found_global = {**facts, "lower_bound": least}
    if np.isfinite(slack):
        safe = never_bad(problem, beside.face, present)
        if safe and (beside.inside or safe == HOLDS_TEACHER):
            return sure(Label.GLOBAL, by=safe, **found_global)
        if in_zero_set and at.loss <= at.loss_error + slack:
            return Claim(Label.GLOBAL, None, Evidence.NUMERICAL, "zero loss, zero set", slack, **found_global)
    if not beside.inside:
        return unsure("no stationary point of these signs is shown to lie beside: a mass or the curvature is too small")
    for where, outcome in (
        (idle, partial(sure, Label.TRAP, Flavour.NEURON_AT_ZERO, by="one-sided slope")),
        (neurons >= 2, partial(sure, Label.SPURIOUS, Flavour.ESCAPABLE, by="missing sign")),
    ):
        # Past the first round this is a local minimum.
        side, j = np.unravel_index(np.argmin(np.where(where, high, np.inf)), high.shape)
        if where[j] and high[side, j] < 0:
            return outcome(margin=float(-high[side, j]), escape=_send(problem, theta, at, int(side), int(j)), **facts)
        if np.any(low[:, where] < 0):
            return unsure(f"the slope of a missing sign is within its error, {beside.error:.1g}, of zero")
    if not np.any(low < 0):
        missing = (low != 0) | (high != 0)
        margin = float(np.min(low[missing])) if missing.any() else None
        return sure(Label.GLOBAL, by="no missing sign descends", margin=margin, **found_global)

    # Other signs of single neurons may be better by little: judged from the stationary point, as nearly as it is found.
    exact = theta * (minimise(problem, x, present) / np.where(present, x, 1.0))[np.where(theta < 0, 1, 0), line]
    nearer = at_masses(problem, masses(problem, exact))
    if np.array_equal(masses(problem, exact) > 0, present):
        newer = stationary_beside(problem, masses(problem, exact), nearer)
        slack = newer.slack if newer.inside else np.inf
    else:
        slack = np.inf
    if not slack <= beside.slack:
        exact, nearer, slack = theta, at, beside.slack
    # Where its own signs, and missing ones that do not descend, are all that is allowed, it is best.
    own = lambda allowed: bool(np.all(allowed | ~present) and not np.any(low[allowed] < 0))  # noqa: E731
    found = branch(problem, exact, nodes, nearer.loss - 2 * nearer.loss_error - slack, own)
    margin = nearer.loss - nearer.loss_error - slack - found.loss - problem.loss_error(found.theta)
    if margin > 0:
        flavour = Flavour.FLAT if flat_dimension(problem, theta) else Flavour.STRICT
        escape = found.theta - theta
        return sure(Label.SPURIOUS, flavour, by="lower network", margin=margin, escape=escape, **facts)
    margin = found.lower_bound - nearer.loss - nearer.loss_error
    if margin > 0:
        return sure(Label.GLOBAL, by="branching over signs", margin=margin, **found_global)
    facts["lower_bound"] = max(lower, min(least, found.lower_bound))
    # A tie with other signs: both losses are the same as far as they are known, and so is the lower bound.
    within = nearer.loss_error - (nearer.loss - found.loss)
    if within >= 0 and margin >= -4 * nearer.loss_error:
        return Claim(Label.GLOBAL, None, Evidence.NUMERICAL, "branching over signs", within, **facts)
    return unsure(
        f"branching over signs: the optimum lies between {facts['lower_bound']:.6g} and {found.loss:.6g}, "
        f"{at.loss - facts['lower_bound']:.2g} below this point at most"
    )


def _zero_set_gap(problem: Porcupine, x: np.ndarray, at: AtMasses) -> float:
    """How far x may be from the zero set, the same sum of neurons and the same mass on every line, in units of the
    lightest mass of the teacher; a loss that is not matched has none."""
    gap = max(np.linalg.norm(at.m), np.max(np.abs(x[0] + x[1] - problem.on_mass))) + at.error
    return float(gap / np.min(problem.taught[problem.taught > 0])) if problem.matched else np.inf


def _send(problem: Porcupine, theta: np.ndarray, at: AtMasses, side: int, line: int) -> np.ndarray:
    """The step that sends a neuron of this line to a side with slope g < 0: to -2 g, where F is lower by g^2.

    The neuron is one at zero; else the lightest, its mass passed to the heaviest, which costs nothing.
    """
    on_line = np.flatnonzero(problem.line_of == line)
    by_mass = on_line[np.argsort(np.abs(theta[on_line]))]
    sent, step = by_mass[0], np.zeros_like(theta)
    step[by_mass[-1]] = theta[sent]
    step[sent] = (1 - 2 * side) * -2 * at.slopes[side, line] - theta[sent]
    return step
