"""Where eigenvalues of a matrix meet, or singular values come to zero: smooth functions of it that are zero there.

Two eigenvalues meet where two numbers are zero: their gap, and the entry beside them in the basis of eigenvectors. The
gap alone has a kink there, as a norm has. Each function here is as large as the gap away from the meeting, so that its
distance says how near that is, and is exact to second order in what the matrix moves: the Lagrangian of the largest
eigenvalue has then the curvature of Overton and Womersley (1995, on its second derivatives).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

APART = 1e-4  # values that differ by less of the largest may meet here: what lies between them is not eliminated
BESIDE = 16  # eigenvalues as many places apart are not asked for a meeting


def of_eigenvalues(matrix: Any, basis: tuple[Any, Any]) -> list[Any]:
    """Functions that are zero where eigenvalues of a symmetric matrix meet, for each pair of them.

    Args:
        matrix: [..., n, n].
        basis: Eigenvectors, columns, and eigenvalues, ascending, [..., n], of the matrix or of one nearby.
    """
    return _each(lambda *one: _meetings(*one, count=matrix.shape[-1]), matrix, *basis)


def of_singular_values(matrix: Any, basis: tuple[Any, Any, Any]) -> list[Any]:
    """Functions that are zero where singular values of a matrix are zero, and where two of them meet.

    Args:
        matrix: [..., m, n].
        basis: All left singular vectors, singular values, and right vectors as rows, of the matrix or of one nearby.
    """
    m, n = matrix.shape[-2:]
    r = min(m, n)

    def one(matrix: Any, u: Any, s: Any, vt: Any) -> list[Any]:
        left, right = u[:, :r], vt[:r].T
        whole = jnp.block([[jnp.zeros((m, m)), matrix], [matrix.T, jnp.zeros((n, n))]])  # eigenvalues s, -s, and zero
        pairs = np.sqrt(0.5) * jnp.block([[left, left], [right, -right]])
        return [_zeros(u.T @ matrix @ vt.T, s), *_meetings(whole, pairs, jnp.concatenate([s, -s]), count=r)]

    return _each(one, matrix, *basis)


def _each(function: Callable[..., list[Any]], *batches: Any) -> list[Any]:
    """A function of one matrix, of each of a batch with any number of axes."""
    for _ in range(batches[0].ndim - 2):
        function = jax.vmap(function)
    return function(*batches)


def _meetings(matrix: Any, vectors: Any, values: Any, count: int) -> list[Any]:
    """Gaps of the first `count` eigenvalues, and the entries beside them on top of the gaps."""
    first, second = np.triu_indices(count, 1)
    near = second - first < BESIDE
    first, second = first[near], second[near]
    inside = vectors.T @ matrix @ vectors
    middle = 0.5 * (values[first] + values[second])
    share = _inverse(middle[:, None] - values, jnp.max(jnp.abs(values)))  # [pairs, n]
    pair = np.arange(len(first))
    share = share.at[pair, first].set(0.0).at[pair, second].set(0.0)

    def entry(i: np.ndarray, j: np.ndarray) -> Any:
        """That of the matrix in the plane of a pair, the other eigenvectors eliminated to second order."""
        return inside[i, j] + jnp.sum(inside[i] * share * inside[:, j].T, axis=1)

    gap = entry(second, second) - entry(first, first)
    return [gap, gap + 2.0 * entry(first, second)]


def _zeros(inside: Any, values: Any) -> Any:
    """Of a matrix in the basis of its singular vectors, [m, n], its entries, those off the diagonal on top of it."""
    (m, n), r = inside.shape, len(values)
    share = _inverse(values, jnp.max(values))
    reduced = inside - (inside[:, :r] * share) @ inside[:r]  # meaningful where neither singular value is eliminated
    own = jnp.where(share == 0.0, jnp.diagonal(reduced), jnp.diagonal(inside))
    sizes = jnp.pad(own, (0, m - r))[:, None] + jnp.pad(own, (0, n - r))
    return jnp.where(np.eye(m, n) > 0, 0.5 * sizes, reduced + sizes)


def _inverse(differences: Any, size: Any) -> Any:
    """1 / x, and zero where x is small beside a size."""
    small = jnp.abs(differences) <= APART * size
    return jnp.where(small, 0.0, 1.0 / jnp.where(small, 1.0, differences))
