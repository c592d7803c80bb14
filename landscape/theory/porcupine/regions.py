"""Sign regions of a porcupine problem: which lines are mixed, and whether a region holds a bad minimum."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import scipy.linalg
from scipy.optimize import linprog

from landscape.problems.porcupine import Porcupine
from landscape.records import InputError, Label
from landscape.theory.porcupine.beside import stationary_beside
from landscape.theory.porcupine.faces import Face, cholesky, face_of, never_bad
from landscape.theory.porcupine.labels import label
from landscape.theory.porcupine.masses import at_masses, masses, placed


class Region(NamedTuple):
    """Sign regions of one kind: which lines have positive neurons only, negative only, or both.

    Attributes:
        kinds: +1, -1 or 0 (mixed) for each line, [r].
        count: How many of the 2^p regions are of this kind; they differ by permutations of neurons.
        rank: Dimension spanned by the mixed lines.
        theta: A stationary point inside one such region; None if there is none, or none is shown.
        loss: The one loss of its stationary points.
        bad: Whether they are bad local minima; None where the numbers do not decide.
        by: Why.
    """

    kinds: np.ndarray
    count: float
    rank: int
    theta: np.ndarray | None
    loss: float | None
    bad: bool | None
    by: str


def region(problem: Porcupine, signs: np.ndarray) -> Region:
    """What the region of these signs holds, [p] of +1 and -1: its one stationary set, and whether that is bad.

    Linear equations for (q, y), then the feasibility of masses > 0 (a linear program where mixed lines are dependent),
    then a theorem or the label of a point of the set.

    Raises:
        InputError: signs are not p numbers +1 or -1.
    """
    signs = problem.write(signs)
    if not np.all(np.abs(signs) == 1):
        raise InputError("signs must be +1 or -1, one a neuron.")
    present, neurons = masses(problem, signs) > 0, np.asarray(problem.neurons)
    face = face_of(problem, present)
    kinds = present[0].astype(int) - present[1]
    this = partial(Region, kinds, float(np.prod(np.where(kinds == 0, 2.0**neurons - 2, 1))), len(face.basis))
    x, loose, factor = np.zeros((2, len(neurons))), 0.0, cholesky(face.hessian)
    for _ in range(2):  # the second step takes the rounding of the first away
        x = x - face.change(scipy.linalg.cho_solve(factor, face.gradient(at_masses(problem, x))), len(neurons))
    if np.any(x[present] <= 0) and len(face.mixed) > len(face.basis):
        x, loose = _spread_out(problem, face, x), 1e-7  # the program's tolerance
    reach = stationary_beside(problem, x, at_masses(problem, x), present).reach
    at_zero = (reach + loose * (np.sum(np.abs(x)) + problem.teacher_mass) + np.zeros_like(x))[present]
    if np.any(x[present] < -at_zero):
        return this(None, None, False, "no stationary point inside")
    safe = never_bad(problem, face, present)
    if problem.matched and len(neurons) == 1 and np.any(problem.taught == 0):
        safe = (
            safe or "theorem 2"
        )  # the sign that the teacher has not gets no mass, exactly, where rounding cannot tell
    if np.any(x[present] <= at_zero):
        return this(None, None, False if safe else None, safe or "a mass is within its error of zero")
    theta, loss = placed(problem, x, signs), at_masses(problem, x).loss
    if safe:
        return this(theta, loss, False, safe)
    verdict = label(problem, theta)
    bad = {Label.SPURIOUS: True, Label.GLOBAL: False}.get(verdict.label)
    return this(theta, loss, bad, str(verdict.by or verdict.reason))


def _spread_out(problem: Porcupine, face: Face, x: np.ndarray) -> np.ndarray:
    """Masses with the same q and sum of neurons whose least one on (dependent) mixed lines is as large as can be."""
    q, s = (x[0] + x[1])[face.mixed], (x[0] - x[1])[face.mixed]
    unit = float(np.max(np.abs(x)))
    onto, count = face.basis @ problem.lines[face.mixed].T, len(face.mixed)
    # In S and t: |S_j| + t <= q_j, t as large as possible.
    table = np.block([[np.eye(count), np.ones((count, 1))], [-np.eye(count), np.ones((count, 1))]])
    same = {"A_eq": np.c_[onto, np.zeros(len(onto))], "b_eq": onto @ s / unit}
    found = linprog(np.r_[np.zeros(count), -1.0], table, np.r_[q, q] / unit, bounds=(None, None), **same)
    if found.x is None:
        return x
    ds = unit * found.x[:-1] - s
    ds -= face.spread @ (onto @ ds)  # the program keeps the sum to 1e-9; this, to rounding
    out = x.copy()
    out[:, face.mixed] += 0.5 * np.stack([ds, -ds])
    return out


def regions(problem: Porcupine, most: int = 20_000) -> Iterator[Region]:
    """All kinds of sign regions: each line all positive, all negative, or mixed if it has two neurons or more.

    Raises:
        InputError: There are more than `most`.
    """
    choices = [(1.0, -1.0, 0.0)[: min(k, 2) + 1] for k in problem.neurons]
    total = float(np.prod([float(len(c)) for c in choices]))
    if total > most:
        raise InputError(f"there are {total:.3g} kinds of sign regions; at most {most} are looked through.")
    first = np.concatenate([[True], np.diff(problem.line_of) > 0])
    for kinds in itertools.product(*choices):
        sign = np.array(kinds)[problem.line_of]
        yield region(problem, np.where(sign == 0, np.where(first, 1.0, -1.0), sign))
