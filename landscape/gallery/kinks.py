"""Losses that are not smooth, with points on their kinks."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jax.nn import relu
from jaxtyping import Array

from landscape.gallery.record import Example, Known, flat, normal, saddles, strict
from landscape.records import Label

GLOBAL, SPURIOUS, TRAP = Label.GLOBAL, Label.SPURIOUS, Label.TRAP
_BEST = 0.9**0.5  # p0 = p1 there


def ackley(x: Array) -> Array:
    """The function of Ackley: a cone at zero among ripples."""
    cone = -20.0 * jnp.exp(-0.2 * jnp.sqrt(jnp.mean(x**2)))
    return cone - jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * x))) + 20.0 + jnp.e


def bent_rosenbrock(x: Array) -> Array:
    """|a - 1| / 4 + |b - 2 |a| + 1|: stationary in Clarke's sense at (0, -1), where (1, 2) leads down."""
    return jnp.abs(x[0] - 1.0) / 4.0 + jnp.abs(x[1] - 2.0 * jnp.abs(x[0]) + 1.0)


def lasso(x: Array) -> Array:
    """|x|_1 + |x - (1/2, 2, -1/5)|^2 / 2: soft thresholds, (0, 1, 0)."""
    return jnp.sum(jnp.abs(x)) + 0.5 * jnp.sum((x - jnp.array([0.5, 2.0, -0.2])) ** 2)


def hinge(x: Array) -> Array:
    """The hinge loss of four separable points: zero on a region."""
    rows = jnp.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.5], [2.0, 0.3]])
    return jnp.sum(relu(1.0 - rows @ x) ** 2)


EXAMPLES = (
    Example(
        "relu-pair",
        lambda p: (p[0] * relu(p[1]) - 1.0) ** 2 + 0.1 * (p[0] ** 2 + p[1] ** 2),
        normal(2),
        saddles([0.0, 0.0]) + strict(GLOBAL, [_BEST, _BEST]),
        "f(t, t) - f(0, 0) = -1.8 t^2 + t^4",
    ),
    Example(
        "ackley", ackley, normal(2, 2.0), strict(SPURIOUS, [0.9684776, 0.9684776], [0.9521658, 0.0]), "Ackley 1987"
    ),
    Example(
        "bent-rosenbrock",
        bent_rosenbrock,
        normal(2),
        (*strict(GLOBAL, [1.0, 1.0]), Known([0.0, -1.0], TRAP)),
        "Guerbuezbalaban and Overton 2012",
        0.0,
    ),
    Example("roof", lambda x: -jnp.abs(x[0]) + x[1] ** 2, normal(2), (Known([0.0, 0.0], TRAP),), "by sight"),
    Example("lasso", lasso, normal(3), strict(GLOBAL, [0.0, 1.0, 0.0]), "soft thresholds", 1.645),
    Example(
        "tilted-vee",
        lambda x: jnp.minimum(jnp.abs(x[0] - 2.0) + 0.5, 2.0 * jnp.abs(x[0] + 1.0)) + x[1] ** 2,
        normal(2, 2.0),
        strict(GLOBAL, [-1.0, 0.0]) + strict(SPURIOUS, [2.0, 0.0]),
        "by sight",
        0.0,
    ),
    Example("largest-square", lambda x: jnp.max(x**2), normal(3), strict(GLOBAL, np.zeros(3)), "by sight", 0.0),
    Example("cone", lambda x: 1.0 + jnp.sqrt(jnp.sum(x**2)), normal(2), strict(GLOBAL, [0.0, 0.0]), "by sight", 1.0),
    Example("hinge", hinge, normal(2), flat(GLOBAL, [2.0, 2.0], [30.0, 20.0]), "margins of two and more", 0.0),
)
