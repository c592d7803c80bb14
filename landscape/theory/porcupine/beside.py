"""What can be shown of the exact stationary point beside a computed one: its slopes, its masses, a lower bound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

from landscape.problems.porcupine import Porcupine
from landscape.theory.porcupine.faces import Face, cholesky, distances_from_span, face_of
from landscape.theory.porcupine.masses import EPS, AtMasses, at_masses


def most_mass(problem: Porcupine, at: AtMasses) -> float:
    """A bound on the sum of all masses of a network that is no worse than this one; see `dual_bound`."""
    none = at_masses(problem, np.zeros((2, len(problem.neurons))))
    return float(np.sqrt(4 * np.pi) * sum(np.sqrt(max(a.loss, 0.0) + a.loss_error) for a in (none, at)))


class Beside(NamedTuple):
    """What is shown of the exact stationary point of the face of a point x: where F has its minimum over (q, y).

    Attributes:
        face: The face.
        slack: How much lower than at x its loss may be; inf where nothing is shown.
        inside: Whether all its masses are shown to be above zero.
        reach: How far its masses may be from those of x, [r]; of dependent mixed lines, for the nearest such point.
        low: Lower bounds on its one-sided slopes, [2, r]; 0 for signs that are present or `tied`.
        high: Upper bounds on them.
        error: The largest error of these bounds, for messages.
        drift: Slopes that are taken to be zero are no larger: those of mixed lines that are dependent up to rounding,
            and of the missing sign of a line that lies in the span of mixed ones up to rounding.
    """

    face: Face
    slack: float
    inside: bool
    reach: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: float
    drift: float


def stationary_beside(problem: Porcupine, x: np.ndarray, at: AtMasses, present: np.ndarray | None = None) -> Beside:
    """The exact stationary point with the signs of x, or those present, by one Newton step that is bounded, not made.

    It is off by H^-1 g in (q, y); g is known to its rounding, and a row w = H^-1 e of any vector e as it is computed
    and its residual: |e' H^-1 g| <= |w|' |g| + |e - H w| |g| / lambda. Taken row by row: lambda alone, which lines that
    are close together make small, would be millions of times too crude.
    """
    present = x > 0 if present is None else present
    face, shape = face_of(problem, present), x.shape
    size, l = face.hessian.shape[0], len(face.lines)  # noqa: E741
    low, high = np.zeros(shape), np.zeros(shape)
    least, gradient = 1.0, np.abs(face.gradient(at)) + at.error
    if size:
        # Entries are off by (d + 16) eps / 2, the eigensolver by size eps |H|_F <= size^2 eps / 2; another basis of the
        # true span has rows within 3/2 tilt of this one, and an H within size tilt in norm and tilt / 2 in an entry.
        gradient[l:] += 0.5 * face.tilt * np.linalg.norm(at.m)
        rounding = size * ((problem.d + 16 + size) * EPS + face.tilt)
        least = float(scipy.linalg.eigh(face.hessian, eigvals_only=True, subset_by_index=[0, 0])[0]) - rounding
    if least <= 0:
        return Beside(
            face=face,
            slack=np.inf,
            inside=False,
            reach=np.full(shape[1], np.inf),
            low=np.where(present, 0.0, -np.inf),
            high=np.where(present, 0.0, np.inf),
            error=np.inf,
            drift=0.0,
        )
    steep = float(np.linalg.norm(gradient))

    # At the stationary point m is orthogonal to mixed lines. On a line in their span both slopes are equal, so that
    # where one sign is present both are zero. A line that cannot be told from such a one counts as one while its slope,
    # at most |m| dist / 2, is within the rounding of slopes: data that are rounded say no more.
    m = float(np.linalg.norm(at.m)) + 4 * at.error + np.sqrt(size) * steep / least
    away = distances_from_span(problem.lines[face.lines], face.basis)
    twice = 0.5 * (away + face.tilt) * m
    rounded = away <= 2 * (face.tilt + distances_from_span(np.zeros((1, problem.d)), face.basis)[0])
    tied = (face.sign != 0) & (len(face.basis) > 0) & ((rounded & (twice <= at.error)) | (len(face.basis) == problem.d))
    drift = max(float(np.max(twice[tied], initial=0.0)) if len(face.basis) < problem.d else 0.0, 0.25 * face.stray * m)
    closed = present.copy()
    closed[:, face.lines[tied]] = True

    side, j = np.nonzero(~closed)
    change = 0.25 * (1 - 2 * side) * (face.moves @ problem.lines[j].T)
    change[:l] += 0.25 * problem.psi[np.ix_(face.lines, j)]
    rows = np.concatenate([np.eye(size), change], axis=1)
    far = np.zeros(rows.shape[1])
    if size:
        solved = scipy.linalg.cho_solve(cholesky(face.hessian), rows)
        entry = 0.5 * ((problem.d + 16) * EPS + face.tilt) + size * EPS  # and of products of length size
        residual = np.linalg.norm(rows - face.hessian @ solved, axis=0)
        residual += np.sqrt(size) * entry * (1 + np.sum(np.abs(solved), axis=0))
        far = np.abs(solved).T @ gradient + residual * steep / least
    error = at.error + far[size:]
    low[side, j], high[side, j] = at.slopes[side, j] - error, at.slopes[side, j] + error
    reach = np.zeros(shape[1])  # of S on mixed lines and q on all
    reach[face.lines] = np.where(face.sign == 0, 0.5 * (far[:l] + face.stretch * np.linalg.norm(far[l:size])), far[:l])
    inside = bool(np.all(~present | (x > reach))) and 0.25 * face.stray * m <= at.error
    return Beside(
        face=face,
        slack=float(0.5 * gradient @ far[:size]),
        inside=inside,
        reach=reach,
        low=low,
        high=high,
        error=float(np.max(error, initial=0.0)),
        drift=drift,
    )


def floor_beside(problem: Porcupine, x: np.ndarray, at: AtMasses, beside: Beside) -> float:
    """A lower bound on F over all masses y >= 0 whose slopes at the stationary point beside x are not negative.

    F(y) >= F + g.(y - x) there, where g is zero on all signs present, but for `drift`.
    """
    loose = beside.drift * (most_mass(problem, at) + 2 * float(np.sum(x))) if beside.drift else 0.0
    return at.loss - at.loss_error - beside.slack - loose
