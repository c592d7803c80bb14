"""Particles: Lennard-Jones clusters, electrons on a sphere, oscillators on a ring. Minima are flat: they turn."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.gallery.record import Example, flat, normal, saddles
from landscape.records import Label

GLOBAL, SPURIOUS = Label.GLOBAL, Label.SPURIOUS
CLUSTERS = "Wales and Doye 1997 and the Cambridge Cluster Database; a pair is worth -1 at most"
_PAIR = 2.0 ** (1.0 / 6.0)


def lennard_jones(x: Array) -> Array:
    """4 sum r^-12 - r^-6 over pairs, positions as rows of three."""
    rows = x.reshape(-1, 3)
    i, j = np.triu_indices(len(rows), 1)
    square = jnp.sum((rows[i] - rows[j]) ** 2, axis=1)
    return 4.0 * jnp.sum(square**-6 - square**-3)


def thomson(x: Array) -> Array:
    """sum 1 / r over pairs of electrons on the unit sphere, each a direction of any length."""
    rows = x.reshape(-1, 3)
    rows = rows / jnp.linalg.norm(rows, axis=1)[:, None]
    i, j = np.triu_indices(len(rows), 1)
    return jnp.sum(1.0 / jnp.linalg.norm(rows[i] - rows[j], axis=1))


def ring(x: Array) -> Array:
    """-sum cos of the differences of neighbours on a ring."""
    return -jnp.sum(jnp.cos(jnp.roll(x, -1) - x))


_TRIANGLE = _PAIR * np.array([[0, 0, 0], [1, 0, 0], [0.5, 0.75**0.5, 0]]).ravel()
_TETRAHEDRON = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], float)
_SQUARE = np.array([[1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0]], float)


def _chain() -> np.ndarray:
    """Three in a row: the distance r of neighbours solves 2 u'(r) + 2 u'(2 r) = 0 with u = 4 (r^-12 - r^-6)."""
    sixth = 2.0 * (1 + 2.0**-13) / (1 + 2.0**-7)
    return sixth ** (1.0 / 6.0) * np.array([0, 0, 0, 1, 0, 0, 2, 0, 0], float)


def _bipyramid() -> np.ndarray:
    """The pentagonal bipyramid of seven, its radius and half height to six digits."""
    turn = 2 * np.pi * np.arange(5) / 5
    belt = 0.956206 * np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=1)
    return np.concatenate([belt, [[0, 0, 0.573870], [0, 0, -0.573870]]]).ravel()


EXAMPLES = (
    Example("lennard-jones-3", lennard_jones, normal(9), flat(GLOBAL, _TRIANGLE) + saddles(_chain()), CLUSTERS, -3.0),
    Example(
        "lennard-jones-4",
        lennard_jones,
        normal(12),
        flat(GLOBAL, (_PAIR / 8**0.5 * _TETRAHEDRON).ravel()),
        CLUSTERS,
        -6.0,
    ),
    Example("lennard-jones-7", lennard_jones, normal(21), flat(GLOBAL, _bipyramid()), CLUSTERS),
    Example(
        "thomson-4",
        thomson,
        normal(12),
        flat(GLOBAL, (_TETRAHEDRON / 3**0.5).ravel()) + saddles(_SQUARE.ravel()),
        "the tetrahedron, 6 / sqrt(8 / 3), is least (Foeppl 1912)",
        6.0 / (8.0 / 3.0) ** 0.5,
    ),
    Example(
        "ring-5",
        ring,
        normal(5, 2.0),
        flat(GLOBAL, np.zeros(5))
        + flat(SPURIOUS, 2 * np.pi / 5 * np.arange(5))
        + saddles(4 * np.pi / 5 * np.arange(5)),
        "Wiley, Strogatz and Girvan 2006: twisted states are stable up to a quarter turn",
        -5.0,
    ),
    Example(
        "ring-8",
        ring,
        normal(8, 2.0),
        flat(GLOBAL, np.zeros(8))
        + flat(SPURIOUS, 2 * np.pi / 8 * np.arange(8))
        + saddles(6 * np.pi / 8 * np.arange(8)),
        "Wiley, Strogatz and Girvan 2006",
        -8.0,
    ),
)
