"""Seven Lennard-Jones particles as a landscape of one's own, with what is known of it."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import landscape as ls
from landscape.gallery.particles import lennard_jones

# Cambridge Cluster Database (the first), and `min.data` and `ts.data` of the example `generate_landscape` of
# topsearch 0.0 (IBM, topography-searcher), five digits: all four minima, and three of the twelve transition states.
MINIMA = (-16.50538, -15.93504, -15.59321, -15.53306)
STATES = (-15.44473, -15.31986, -15.28342)
MANY_STATES = 12


def _distances(x: jax.Array) -> jax.Array:
    """Sorted squares of all 21 distances: alike for all copies under permutation, rotation, translation, reflection."""
    rows = x.reshape(-1, 3)
    i, j = np.triu_indices(len(rows), 1)
    return jnp.sort(jnp.sum((rows[i] - rows[j]) ** 2, axis=1))


def _shift(axis: int) -> Callable:
    return lambda x, small: (x.reshape(-1, 3) + small * jnp.eye(3)[axis]).reshape(-1)


def _turn(axis: int) -> Callable:
    a, b = (i for i in range(3) if i != axis)

    def turned(x, small):
        rows, c, s = x.reshape(-1, 3), jnp.cos(small), jnp.sin(small)
        rows = rows.at[:, a].set(c * rows[:, a] - s * rows[:, b]).at[:, b].set(s * rows[:, a] + c * rows[:, b])
        return rows.reshape(-1)

    return turned


def seven():
    """The landscape, up to all its symmetries."""
    return ls.from_loss(
        lennard_jones,
        lambda key: jax.random.normal(key, (21,)),
        symmetry=_distances,
        invariances=[made(axis) for made in (_shift, _turn) for axis in range(3)],
    )
