"""Hessian spectra of the points of a census."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.census.census import Census
from landscape.census.levels import WITHOUT_END, Level, members
from landscape.polish import evaluate
from landscape.problems.problem import Problem

MOST_SPECTRA = 12  # levels whose spectra are computed


class LevelSpectrum(NamedTuple):
    """The Hessian's eigenvalues at one point of a level.

    Attributes:
        level: The level.
        restart: Whose end of descent the point is.
        eigenvalues: Ascending, [p]; empty where the Hessian is not finite.
        error: Each eigenvalue is within this of an exact one.
    """

    level: Level
    restart: int
    eigenvalues: np.ndarray
    error: float


def level_spectra(census: Census, problem: Problem, most: int = MOST_SPECTRA) -> list[LevelSpectrum]:
    """Hessian spectra of one stationary point of each of the `most` lowest levels that have weights."""
    if not census.finished:
        return []
    kept = np.isin(census.rows["restart"], list(census.weights))
    out: list[LevelSpectrum] = []
    for level in census.levels:
        if len(out) == most:
            break
        member = kept & members(census.rows, census.levels, level)
        if level.label in WITHOUT_END or not np.any(member):
            continue
        restart = int(census.rows["restart"][member][0])
        _, hessian = evaluate(problem, census.weights[restart])
        values, error = np.zeros(0), np.nan
        if np.all(np.isfinite(hessian)):
            values = np.linalg.eigvalsh(hessian)
            # p eps |H| for the eigensolver, 16 eps |H| sqrt(p) for the entries: as in `landscape.spectrum`.
            p = len(values)
            error = float((p + 16 * np.sqrt(p)) * np.finfo(float).eps * np.linalg.norm(hessian))
        out.append(LevelSpectrum(level=level, restart=restart, eigenvalues=values, error=error))
    return out
