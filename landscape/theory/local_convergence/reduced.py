"""The loss of a student matrix of few distinct entries as a function of real sizes (ReLU, orthonormal teacher).

Indices 1..k fall into classes of sizes n [q], real numbers with k = sum n. W_ij = own[a] where i = j is of class a,
else rest[a, b] for i of class a and j of class b. The loss is a formula in own [q], rest [q, q] and n.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

SELF = np.pi / 2 - 1  # bend(1): a neuron with itself


@jax.custom_jvp
def bend(c: Any) -> Any:
    """c arcsin c + sqrt(1 - c^2) - 1, even and c^2 / 2 near 0: the arc-cosine kernel less 1 + pi c / 2.

    Written so that small values keep their relative accuracy: k^2 pairs of nearly orthogonal neurons are added.
    """
    return c * jnp.arcsin(c) - c * c / (1 + jnp.sqrt((1 - c) * (1 + c)))


@bend.defjvp
def _bend_jvp(primals, tangents):
    return bend(primals[0]), jnp.arcsin(primals[0]) * tangents[0]


def class_loss(own: Any, rest: Any, n: Any) -> Any:
    """F of the k x k matrix with these classes of entries; k = sum n. No row may lie along a teacher neuron.

    With B the bend and c = cos(w_i, e_i), 2 F is the sum of (sum |w_i| - k)^2 / (2 pi), |sum_i w_i - sum_i e_i|^2 / 4,
    and, over 2 pi, B(1) (|w_i| - 1)^2 + 2 |w_i| (B(1) - B(c)) of every neuron and +-|u||v| B(cos(u, v)) of all other
    pairs. What is left to cancel is small where students are near teachers: the losses of type II, 0.3 / k, keep their
    relative accuracy, and those of type A lose eps k.

    Args:
        own: Diagonal entries, [q].
        rest: Off-diagonal entries of row class a and column class b, [q, q].
        n: Sizes of the classes, [q]; an entry rest[a, a] of a class of size 1 has no effect.
    """
    apart, others = 1 - np.eye(len(n)), n - 1.0
    f = jnp.diagonal(rest)
    off = jnp.sqrt(others * f**2 + (rest**2 * apart) @ n)  # length of a row without its diagonal entry
    norm = jnp.sqrt(own**2 + off**2)
    each = SELF * (norm - 1) ** 2 + 2 * norm * _bend_left(jnp.arctan2(off, own))

    # Rows i and j share all columns but their own two, where one of them has a diagonal entry.
    row_dot = jnp.einsum("ac,bc,c->ab", rest, rest, n)
    dot = row_dot + (own[:, None] - f[:, None]) * rest.T + (own[None] - f[None]) * rest
    pairs = n[:, None] * n[None] - jnp.diag(n)
    used = pairs != 0  # a class of size 1 has no second row
    cosine = jnp.where(used, dot / (norm[:, None] * norm[None]), 0.0)
    to_rest = jnp.where(used, rest, 0.0) / norm[:, None]
    bent = n @ each + jnp.sum(pairs * norm[:, None] * (norm[None] * bend(cosine) - 2 * bend(to_rest)))
    column = own + others * f + (rest * apart).T @ n  # sum_i W_ij, j of class b
    k = jnp.sum(n)
    return (n @ norm - k) ** 2 / (4 * np.pi) + n @ (column - 1) ** 2 / 8 + bent / (4 * np.pi)


def _bend_left(t: Any) -> Any:
    """B(1) - B(cos t), from the angle: what a cosine near 1 no longer knows."""
    return np.pi * jnp.sin(0.5 * t) ** 2 + t * jnp.cos(t) - jnp.sin(t)
