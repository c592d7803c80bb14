"""Where descents on a porcupine loss end: the local minimum each one leads to, its label and its orbit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from landscape.problems.porcupine import Porcupine
from landscape.records import Label
from landscape.theory.porcupine.faces import face_of, flat_dimension
from landscape.theory.porcupine.labels import label
from landscape.theory.porcupine.masses import at_masses, masses
from landscape.theory.porcupine.minimum import minimise
from landscape.theory.room import End


def finish(problem: Porcupine, theta: np.ndarray) -> np.ndarray:
    """A local minimum that a descent from theta leads to, [p]: a polish for any size, exact zeros included.

    First the optimum of the closed sign region, by steps of least norm in the masses; neurons of one sign on a line are
    scaled alike. Then, as a descent would, neurons that came to zero go on where the slope on the far side is negative,
    and so forth; the loss falls all the way. Neurons given at zero stay there.
    """
    c, line = np.array(theta, np.float64), problem.line_of
    given = c == 0
    for _ in range(20 + problem.p):  # far more than it takes; slopes at the level of rounding could go on for ever
        before, side = masses(problem, c), np.where(c < 0, 1, 0)
        x = minimise(problem, before, before > 0)
        c = c * (x / np.where(before > 0, before, 1.0))[side, line]
        at = at_masses(problem, x)
        # One neuron a line, to the side that descends most.
        idle = np.flatnonzero((c == 0) & ~given)
        idle = idle[np.unique(line[idle], return_index=True)[1]]
        to = np.argmin(at.slopes[:, line[idle]], axis=0)
        slope = at.slopes[to, line[idle]]
        idle, to, slope = (v[slope < -2 * at.error] for v in (idle, to, slope))
        if not len(idle):
            break
        ahead = np.zeros_like(x)
        ahead[to, line[idle]] = -slope
        curvature = np.sum(ahead * (at_masses(problem, x + ahead).slopes - at.slopes))
        c[idle] = (1 - 2 * to) * -slope * (slope @ slope) / curvature  # the least loss in this direction
    return c


def signs(problem: Porcupine, theta: np.ndarray) -> bytes:
    """How many positive and negative neurons each line has, as a key."""
    count = [np.bincount(problem.line_of, side * theta > 0, len(problem.neurons)) for side in (1, -1)]
    return np.concatenate(count).astype(np.int32).tobytes()


def ends(problem: Porcupine, thetas: np.ndarray, cache: dict[bytes, End] | None = None) -> list[End]:
    """Where descents that stand at these points [n, p] end, and the labels of the ends.

    Args:
        problem: The landscape.
        thetas: Where they stand.
        cache: Ends by `signs`; those found are added. With independent mixed lines, masses at the minimum of a sign
            region are unique, so that later points of the same signs need two sums over neurons and no search.
    """
    cache = {} if cache is None else cache
    line, out = problem.line_of, []
    for theta in np.asarray(thetas, np.float64):
        before = masses(problem, theta)
        pattern = signs(problem, theta)
        alike = cache.get(pattern) if np.all(theta) else None
        if alike is not None:
            after = masses(problem, alike.theta)
            end = theta * (after / np.where(before > 0, before, 1.0))[np.where(theta < 0, 1, 0), line]
            claim = replace(alike.claim, escape=None)  # that of another order of the neurons
        else:
            end = finish(problem, theta)
            claim = label(problem, end)
        moved = float(np.linalg.norm(end - theta))
        kept = bool(np.min(np.abs(end)) > moved) and claim.label in (Label.GLOBAL, Label.SPURIOUS)
        same = np.all(theta) and np.array_equal(np.sign(end), np.sign(theta))
        unique = alike is not None
        if same and not unique and claim.label in (Label.GLOBAL, Label.SPURIOUS):
            face = face_of(problem, before > 0)
            unique = len(face.mixed) == len(face.basis)
        alone = alike.orbit is not None if alike is not None else unique and flat_dimension(problem, end) == 0
        out.append(End(end, claim, kept, pattern if alone else None))
        if unique and alike is None:
            cache[pattern] = out[-1]
    return out
