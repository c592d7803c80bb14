"""Hessian eigenvalues with an error bound: a sign is claimed only where it clears the error."""

from __future__ import annotations

import numpy as np

from landscape.polish import eigensystem
from landscape.problems.problem import Problem
from landscape.problems.symmetry import Symmetry
from landscape.records import Spectrum


def spectrum(problem: Problem, theta: np.ndarray, hessian: np.ndarray) -> Spectrum | None:
    """The whole spectrum of the Hessian at one point, on the host in float64; None where the Hessian has none.

    It has none where an entry is not finite; None is returned too where LAPACK's iteration does not converge.

    The error is p eps |H|_F for the symmetric eigensolver (backward stable, Weyl) plus 16 eps |H|_F sqrt(p) for the
    entries, plus the problem's own bound where the terms of an entry cancel.

    Args:
        problem: The landscape, for the symmetries that explain zero modes.
        theta: The point, [p].
        hessian: Its Hessian, [p, p].
    """
    if not np.all(np.isfinite(hessian)):
        return None
    try:
        values = np.linalg.eigvalsh(hessian)
    except np.linalg.LinAlgError:
        return None
    p = len(values)
    error = float((p + 16 * np.sqrt(p)) * np.finfo(float).eps * np.linalg.norm(hessian)) + problem.hessian_error(theta)
    # Where the loss grows cubically a polish to gradient norm 1e-12 stops at a curvature of its square root: an
    # eigenvalue of 1e-6 may be a zero. (The least positive one known for spurious minima is 4e-6 of the largest, at
    # teachers of 100 neurons; such a point is decided by its certificate, not by this count.)
    zeros = int(np.sum(np.abs(values) <= max(error, 1e-5 * float(np.max(np.abs(values))))))
    lowest, explained = None, 0
    if zeros or values[0] < -error:  # vectors cost several times as much as values
        system = eigensystem(hessian)
        if system is None:
            return None
        vectors = system[1]
        lowest, flat = vectors[:, 0], flat_modes(problem, theta)
        if zeros and len(flat):
            null = vectors[:, np.argsort(np.abs(values))[:zeros]]
            # A mode is explained if it lies in the null space found: cosines of the principal angles near one.
            explained = int(np.sum(np.linalg.svd(flat @ null, compute_uv=False) > 1 - 1e-4))
    return Spectrum(
        eigenvalues=values,
        error=error,
        lowest=lowest,
        index=int(np.sum(values < -error)),
        zeros=zeros,
        explained=explained,
    )


def flat_modes(problem: Problem, theta: np.ndarray) -> np.ndarray:
    """Directions along which the loss cannot change: tangents of symmetries, and mass passed between parallel neurons.

    Orthonormal, [g, p]. Empty for a problem of which neither is known.
    """
    symmetry, modes = problem.symmetry, [problem.tangents(theta[None])[0]]
    if isinstance(symmetry, Symmetry) and symmetry.passes_mass:
        modes.append(_duplication_modes(np.reshape(theta, symmetry.shape)))
    stacked = np.concatenate(modes)
    if not len(stacked):
        return stacked
    _, sizes, basis = np.linalg.svd(stacked, full_matrices=False)
    return basis[sizes > 1e-6 * max(1.0, float(sizes[0]))]


def _duplication_modes(w: np.ndarray) -> np.ndarray:
    """(u, -u) for every two neurons on one ray: s is homogeneous, so only the sum of their lengths matters."""
    norms = np.linalg.norm(w, axis=1)
    out = []
    for i in range(len(w)):
        for j in range(i):
            if norms[i] > 0 and norms[j] > 0 and np.linalg.norm(w[i] / norms[i] - w[j] / norms[j]) < 1e-6:
                mode = np.zeros_like(w)
                mode[i], mode[j] = w[i] / norms[i], -w[i] / norms[i]
                out.append(mode.reshape(-1) / np.sqrt(2))
    return np.array(out).reshape(-1, w.size)
