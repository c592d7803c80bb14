"""Faces of the masses: which signs are present on which lines, and the quadratic that the loss is there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from landscape.problems.porcupine import Porcupine
from landscape.theory.porcupine.masses import EPS, AtMasses, masses

HOLDS_TEACHER = "the region holds the teacher"


def flat_dimension(problem: Porcupine, theta: np.ndarray) -> int:
    """Dimension of the stationary set around a stationary theta.

    Mass passed between neurons of one sign on a line, those at zero included, and masses of mixed lines that leave the
    sum of all neurons unchanged: sum_j (neurons - signs present) + mixed lines - rank, j over the lines that have mass.
    On a line without any the neurons stay at zero.
    """
    present, neurons = masses(problem, theta) > 0, np.asarray(problem.neurons)
    face = face_of(problem, present)
    return int(np.sum(neurons[face.lines])) - int(np.sum(present)) + len(face.mixed) - len(face.basis)


class Face(NamedTuple):
    """Masses with certain signs only. There F is a strictly convex quadratic of (q of the lines in use, y), y the part
    of m that mixed lines move, in an orthonormal basis of their span: dependent mixed lines do no harm.

    Attributes:
        lines: Indices of the lines in use, [l].
        sign: +1, -1 or 0 (mixed) of each, [l].
        mixed: Indices of the mixed lines.
        basis: Orthonormal rows that span them, [rank, d].
        spread: Change of S on the mixed lines, of least norm, for a change of y, [mixed, rank].
        stretch: Bound on its spectral norm.
        tilt: Bound on the angle between the basis and what the mixed lines span, which is known to their rounding over
            their least singular value; zero where they span everything.
        stray: How far mixed lines that are dependent up to rounding may lie outside what is taken for their span; 0
            where no direction was dropped.
        moves: Change of m with (q, y), [l + rank, d].
        hessian: Of F in (q, y), [l + rank, l + rank].
    """

    lines: np.ndarray
    sign: np.ndarray
    mixed: np.ndarray
    basis: np.ndarray
    spread: np.ndarray
    stretch: float
    tilt: float
    stray: float
    moves: np.ndarray
    hessian: np.ndarray

    def gradient(self, at: AtMasses) -> np.ndarray:
        """dF/d(q, y), [l + rank]."""
        even, odd = 0.5 * (at.slopes[0] + at.slopes[1]), 0.5 * (at.slopes[0] - at.slopes[1])
        return np.concatenate([even[self.lines] + self.sign * odd[self.lines], 0.25 * self.basis @ at.m])

    def change(self, step: np.ndarray, r: int) -> np.ndarray:
        """The change of the masses, [2, r], for a change of (q, y)."""
        dq, ds = np.zeros((2, r))
        dq[self.lines] = step[: len(self.lines)]
        ds[self.lines] = self.sign * dq[self.lines]
        ds[self.mixed] = self.spread @ step[len(self.lines) :]
        return 0.5 * np.stack([dq + ds, dq - ds])


def face_of(problem: Porcupine, present: np.ndarray) -> Face:
    lines, mixed = np.flatnonzero(present.any(axis=0)), np.flatnonzero(present.all(axis=0))
    sign = present[0, lines].astype(float) - present[1, lines]
    left, sizes, right = np.linalg.svd(problem.lines[mixed], full_matrices=False)
    # Singular values are off by rounding / 16 and less: unit rows by d eps, the decomposition by a few eps |U|.
    rounding = 16 * max(len(mixed), problem.d) * EPS * float(np.max(sizes, initial=0.0))
    rank = int(np.sum(sizes > rounding))
    basis, least = right[:rank], float(sizes[rank - 1]) - rounding / 16 if rank else 1.0
    # For a singular triple, v = U' left / sigma lies as far outside the basis as the rows of U do, over sigma.
    outside = 0.0 if rank == problem.d else float(np.linalg.norm(distances_from_span(problem.lines[mixed], basis)))
    moves = np.concatenate([sign[:, None] * problem.lines[lines], basis])
    hessian = 0.25 * moves @ moves.T
    hessian[: len(lines), : len(lines)] += 0.25 * problem.psi[np.ix_(lines, lines)]
    return Face(
        lines=lines,
        sign=sign,
        mixed=mixed,
        basis=basis,
        spread=left[:, :rank] / sizes[:rank],
        stretch=1 / least if rank else 0.0,
        tilt=outside / least,
        stray=float(sizes[rank]) + rounding / 16 if rank < len(sizes) else 0.0,
        moves=moves,
        hessian=hessian,
    )


def distances_from_span(lines: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Upper bounds on the distances of unit rows from the span of a basis, [lines].

    Products of length d and rank are off by sqrt(rank) (d + rank) eps / 2 in norm, a difference by eps / 2.
    """
    rank, d = basis.shape
    rounding = (np.sqrt(rank) * (d + rank) / 2 + 1) * EPS
    return np.linalg.norm(lines - (lines @ basis.T) @ basis, axis=1) + rounding


def cholesky(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Cholesky factor; of the matrix with its rounding error on the diagonal where nearly parallel lines need that."""
    try:
        return scipy.linalg.cho_factor(matrix)
    except scipy.linalg.LinAlgError:
        return scipy.linalg.cho_factor(matrix + 16 * len(matrix) * EPS * np.trace(matrix) * np.eye(len(matrix)))


def never_bad(problem: Porcupine, face: Face, present: np.ndarray) -> str | None:
    """Why no stationary point of this face is bad, whatever its masses; None where theory does not say.

    All stationary points of a face have the least loss of the closed face, zero where that holds the teacher. Mixed
    lines that span make m = 0, and then all slopes of lines in use vanish; a line that is not in use may still descend,
    unless the teacher is matched and has nothing there.
    """
    if problem.matched and np.all(present | (problem.taught == 0)):
        return HOLDS_TEACHER
    needed = np.any(problem.taught > 0, axis=0) if problem.matched else np.ones(present.shape[1], bool)
    spans = len(face.basis) == problem.d and np.all(np.any(present, axis=0) | ~needed)
    return "mixed lines span" if spans else None
