"""The rows of a data set as cells and phi read them: checked, scaled, and reduced to their row space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.records import InputError

EPS = float(np.finfo(float).eps)

# Unit rows whose dependence is within this count as dependent when cells are listed: 450 rounding errors, so that
# decimal grids such as (0.1, 0.2), (0.3, 0.6) are seen to be degenerate.
RESOLUTION = 1e-13

BLOCK = 4_000_000  # floats in one temporary array, 32 MB


class Reduced(NamedTuple):
    """The nonzero rows of x, each an exact power of two times rows @ basis' up to `residual`."""

    rows: np.ndarray  # [m, r]
    scale: np.ndarray  # [m], powers of two
    kept: np.ndarray  # [m], indices into x
    basis: np.ndarray  # [d, r], orthonormal
    residual: np.ndarray  # [m], length of the part of each scaled row outside the basis, rounding included


def reduce_rows(x: np.ndarray, always: bool = True) -> Reduced:
    """Drop zero rows, scale by powers of two (no rounding), and go to the row space when the rank is below d."""
    kept = np.flatnonzero(np.any(x != 0, axis=1))
    scale = 2.0 ** np.frexp(np.max(np.abs(x[kept]), axis=1, initial=0.0))[1]
    rows, d = x[kept] / scale[:, None], x.shape[1]
    whole = Reduced(rows=rows, scale=scale, kept=kept, basis=np.eye(d), residual=np.zeros(len(kept)))
    if not always or len(kept) == 0:
        return whole
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    _, size, right = np.linalg.svd(unit, full_matrices=False)
    rank = int(np.sum(size > RESOLUTION * size[0]))
    if rank == d:
        return whole  # no rotation: exact zeros of one-hot and grid rows stay exact
    basis = right[:rank].T
    inside = rows @ basis
    outside = np.linalg.norm(rows - inside @ basis.T, axis=1) + 8 * d * EPS * np.linalg.norm(rows, axis=1)
    return whole._replace(rows=inside, basis=basis, residual=outside)


def normalised(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def pattern_keys(patterns: np.ndarray) -> np.ndarray:
    """One sortable key for each row of bool [P, n]."""
    packed = np.packbits(patterns, axis=1)
    width = max(1, packed.shape[1])
    width = 8 if width <= 8 else width
    padded = np.zeros((len(packed), width), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64 if width == 8 else np.dtype((np.void, width)))[:, 0]


def rounding_units(n: int) -> float:
    """The rounding error allowed to phi in units of sum |nu_k| |x_k|; argued in `phis`."""
    return (18 * n + 96) * EPS


def as_matrix(x: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(x, float)
    if x.ndim != 2 or 0 in x.shape or not np.all(np.isfinite(x)):
        raise InputError(f"x must be a finite matrix [n, d], one row a sample; found shape {x.shape}, or NaN inside.")
    return x


def as_residual(x: np.ndarray, nu: np.ndarray) -> np.ndarray:
    nu = np.asarray(nu, float)
    if nu.shape != (len(x),) or not np.all(np.isfinite(nu)):
        raise InputError(f"nu must be finite, one number a row of x; found shape {nu.shape} and x has {len(x)} rows.")
    return nu


def weighted_rows(x: np.ndarray, nu: np.ndarray) -> tuple[Reduced, np.ndarray, float, float]:
    """Rows with a weight, the weights, sum |nu_k| |x_k|, and the error of going to the row space."""
    reduced = reduce_rows(x, always=x.shape[1] > 3)
    weight = nu[reduced.kept] * reduced.scale
    length = float(np.abs(weight) @ (np.linalg.norm(reduced.rows, axis=1) + reduced.residual))
    return reduced, weight, length, float(np.abs(weight) @ reduced.residual)
