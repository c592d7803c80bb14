"""The least loss over masses with given signs allowed: nonnegative least squares by an active-set method."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from landscape.problems.porcupine import Porcupine
from landscape.theory.porcupine.faces import cholesky, face_of
from landscape.theory.porcupine.masses import EPS, at_masses


def _face_minimum(problem: Porcupine, x: np.ndarray, present: np.ndarray, careful: bool) -> np.ndarray:
    """The minimum of F on a face of this one: Newton steps, and signs whose mass would be negative are dropped.

    Steps are exact but for rounding and go on while they halve the gradient. Careful ones end where the first mass
    reaches zero, so that F falls all the way; the others drop all such signs at once.
    """
    present, r = present.copy(), x.shape[1]
    tiny = 64 * EPS * problem.teacher_mass  # a mass of rounding size is none
    while present.any():
        face = face_of(problem, present)
        factor, before = cholesky(face.hessian), np.inf
        while True:
            gradient = face.gradient(at_masses(problem, x))
            size = float(np.linalg.norm(gradient))
            if not size < 0.5 * before:
                return x
            step = np.where(present, -face.change(scipy.linalg.cho_solve(factor, gradient), r), 0.0)
            hits = present & (x + step <= tiny)
            if hits.any():
                # A sign just let in has no mass: it may leave at once, at a step of length zero.
                far = hits & (x > 2 * tiny)
                reach = np.where(far, np.minimum(x / np.where(far, -step, 1.0), 1.0), np.where(hits, 0.0, np.inf))
                length = float(np.min(reach)) if careful else 1.0
                gone = reach <= length * (1 + 1e-12)
                x = np.where(gone, 0.0, x + length * step)
                present &= ~gone
                break
            x, before = x + step, size
    return np.zeros_like(x)


def minimise(problem: Porcupine, x: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The minimum of F over masses >= 0 that are zero where not allowed, [2, r], from x: nonnegative least squares.

    An active-set method (Lawson and Hanson 1974) that lets in several signs at a time while that lowers F; the first
    time it does not, it goes back to where F was least and lets in one at a time, which always lowers it.
    """
    best, violation, least, lowest, careful, stale = x, np.inf, x, np.inf, False, 0
    present = x > 0
    while True:
        x = _face_minimum(problem, x, present, careful)
        at = at_masses(problem, x)
        lower = at.loss < lowest
        if lower:
            least, lowest = x, at.loss
        elif not careful:
            x, at = least, at_masses(problem, least)
        # Below the rounding of F a few more signs still flatten the slopes.
        stale = stale + 1 if careful and not lower else 0
        careful = careful or not lower
        present = x > 0
        inward = np.where(allowed & ~present, at.slopes, 0.0)
        worst = float(np.max(-inward))
        if worst < violation:
            best, violation = x, worst
        wanted = np.flatnonzero(inward < -16 * EPS * (np.sum(x) + problem.teacher_mass))
        if not len(wanted) or stale > 20:
            return best
        count = 1 if careful else max(4, int(np.sum(present)) // 2)
        present.flat[wanted[np.argsort(inward.flat[wanted])[:count]]] = True
