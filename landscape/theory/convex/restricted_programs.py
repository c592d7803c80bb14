"""The convex program restricted to some signed cells, solved.

An interior point method finds the optimum to about 1e-9 and the active set; Newton's method on that active set does the
rest. What is returned is judged by its duality gap, never by the method that found it.
"""

from __future__ import annotations

import numpy as np

from landscape.problems.datafit import LOGISTIC, Data
from landscape.records import InputError
from landscape.theory.convex.active_set import polished
from landscape.theory.convex.cone_program import (
    SHARP,
    Guess,
    Judged,
    Model,
    Pieces,
    Restricted,
    checked,
    judged,
    output_of,
    residual,
    started,
    value_of,
)
from landscape.theory.convex.interior_point import interior_point

_STARTED = 200  # with more unknowns than this the active-set method is the quicker one, from no blocks too


def restricted(
    data: Data,
    patterns: np.ndarray,
    signs: np.ndarray,
    polish: bool = True,
    slopes: tuple[float, float] = (0.0, 1.0),
    start: np.ndarray | None = None,
) -> Restricted:
    """The convex program (C) on the given signed cells, solved to a relative duality gap of about 1e-14.

    Args:
        data: The data set; its weight decay must be positive.
        patterns: Active rows of each cell, [q, n], bool. Repeated and adjacent cells are allowed.
        signs: Sign of each cell's outer weight, [q], +-1.
        polish: Finish with Newton's method on the active set; without it the relative accuracy is about 1e-9.
        slopes: Of the activation on its two sides; relu's by default.
        start: Blocks in the first cells to start from, [<= q, d]: then the active-set method alone is used, which is
            faster from nearby, and leaves a `residual` where it does not find the active set.

    Raises:
        InputError: The weight decay is not positive, or the shapes do not fit.
    """
    x, _ = checked(data)
    patterns = np.asarray(patterns, bool).reshape(-1, len(x))
    signs = np.asarray(signs, float).reshape(-1)
    if len(signs) != len(patterns):
        raise InputError(f"There must be one sign for each pattern, found {len(signs)} for {len(patterns)} patterns.")
    cells = Pieces.of(x, patterns, signs, slopes)
    if start is not None and len(signs):
        return polished(data, cells, started(cells, start)).result
    guess = interior_point(data, cells) if len(signs) else Guess(np.zeros((0, x.shape[1])), 0.0, signs > 0, signs > 0)
    if not polish:
        return judged(data, cells, guess.u, guess.b0).result
    best = polished(data, cells, guess)
    if best.result.residual > SHARP:  # the active set was not found: the plain solution may be the better one
        best = min(best, judged(data, cells, guess.u, guess.b0), key=residual)
    if best.result.residual > SHARP and data.fit is LOGISTIC:
        best = min(best, polished(data, cells, _by_models(data, cells, best)), key=residual)
    return best.result


def restricted_near(
    data: Data, patterns: np.ndarray, signs: np.ndarray, near: np.ndarray, slopes: tuple[float, float] = (0.0, 1.0)
) -> Restricted:
    """`restricted`, a large one from blocks in its first cells, [<= q, d], as long as that finds the active set."""
    if len(signs) * data.x.shape[1] > _STARTED:
        solved = restricted(data, patterns, signs, slopes=slopes, start=near)
        if solved.residual <= SHARP:
            return solved
    return restricted(data, patterns, signs, slopes=slopes)


def _by_models(data: Data, cells: Pieces, start: Judged) -> Guess:
    """(C) by a sequence of its second-order models, each an interior point's: at a small weight decay the logistic loss
    is so small that exponential cones lose its digits. The value never rises."""
    u, b0, value = start.result.blocks, start.result.b0, start.result.value
    while True:
        f = output_of(cells, u, b0)
        # sqrt(s(f) s(-f)) and y s(-y f) over it, s the logistic function, without underflow
        half = np.clip(0.5 * data.y * f, -300.0, 300.0)
        roots = 0.5 / np.cosh(half)
        found = interior_point(data, cells, Model(roots, roots * f + data.y * np.exp(-half)))
        t, new = 1.0, value_of(data, cells, found.u, found.b0)
        while new > value and t > 1e-4:
            t /= 2
            new = value_of(data, cells, u + t * (found.u - u), b0 + t * (found.b0 - b0))
        if not new < value * (1 - 1e-13):
            return found
        u, b0, value = u + t * (found.u - u), b0 + t * (found.b0 - b0), new
