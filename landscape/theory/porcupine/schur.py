"""Schur bounds: the least loss if masses could have any sign, and the kernel of the teacher given the lines."""

from __future__ import annotations

import numpy as np
import scipy.linalg

from landscape.problems.porcupine import Porcupine, psi
from landscape.theory.porcupine.faces import cholesky

RANDOM_LINES_SCHUR = 1 - 2 / np.pi  # limit of `schur_norm` for random lines, d -> inf at fixed r/d


def schur_bound(problem: Porcupine) -> float:
    """The least loss if masses could have any sign: (|t_perp|^2 + q*' (psi[K]/psi[K_L]) q*) / 8, a LOWER bound.

    t_perp is the part of the teacher's sum outside the span of the lines, psi[K]/psi[K_L] the Schur complement of the
    lines' kernel in that of lines and teacher. Networks have q_j >= |S_j|, which usually puts this out of reach. A
    local minimum attains it where mixed lines span R^d and every line is in use; spanning is not enough, for an idle
    line may be idle only because its mass cannot be negative. Accurate to eps |teacher|^2 times the condition of psi.
    """
    t, factor = problem.off_sum, cholesky(problem.psi)
    outside = t - problem.lines.T @ np.linalg.lstsq(problem.lines.T, t, rcond=None)[0]
    rest = problem.off_energy - problem.off_even @ scipy.linalg.cho_solve(factor, problem.off_even)
    return float(outside @ outside + rest) / 8


def schur_norm(problem: Porcupine) -> float:
    """Spectral norm of psi[K]/psi[K_L], the kernel of the teacher's rows given the lines.

    For rows on distinct lines an eighth of it times sum |v|^2 is at least the second part of `schur_bound`: no bound on
    the optimum, which may lie above it.
    """
    unit = problem.teacher / np.linalg.norm(problem.teacher, axis=1, keepdims=True)
    cross = psi(problem.lines @ unit.T)
    given = cross.T @ scipy.linalg.cho_solve(cholesky(problem.psi), cross)
    return float(np.linalg.norm(psi(unit @ unit.T) - given, 2))
