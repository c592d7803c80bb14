"""Points where second order says nothing, and losses that fall for ever: the kinds known from their formulas."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.gallery.record import Example, Known, flat, normal, saddles, strict
from landscape.records import Label

GLOBAL, AT_INFINITY = Label.GLOBAL, Label.AT_INFINITY
SIGHT = "read off the formula"


def powell(x: Array) -> Array:
    """The singular function of Powell: the Hessian at its minimum has rank two."""
    a, b, c, d = x[0], x[1], x[2], x[3]
    return (a + 10 * b) ** 2 + 5 * (c - d) ** 2 + (b - 2 * c) ** 4 + 10 * (a - d) ** 4


def sensing(x: Array) -> Array:
    """2 (a^2 - 1)^2 + 8 a^2 b^2 - 2 b^2 + 2 b^4 + 1/2: rank-one matrix sensing with restricted isometry 1/2.

    At a = 0, b^2 = 1/2 second order is met, and b^2 = 1/2 - 2 a^2 leads down with -6 a^4.
    """
    a, b = x[0] ** 2, x[1] ** 2
    return 2 * (a - 1) ** 2 + 8 * a * b - 2 * b + 2 * b**2


EXAMPLES = (
    Example("cubic", lambda x: x[0] ** 3, normal(1), saddles([0.0], [1e-6]), SIGHT),
    Example("quartic-hill", lambda x: -(x[0] ** 4), normal(1), saddles([0.0]), SIGHT),
    Example("quartic", lambda x: x[0] ** 4, normal(1), strict(GLOBAL, [0.0], [5e-5]), SIGHT, 0.0),
    Example("lifted-quartic", lambda x: 1.0 + x[0] ** 4, normal(1), strict(GLOBAL, [0.0]), SIGHT),
    Example("quartic-saddle", lambda x: x[0] ** 2 - x[1] ** 4, normal(2), saddles([0.0, 0.0]), SIGHT),
    Example("monkey-saddle", lambda x: x[0] ** 3 - 3 * x[0] * x[1] ** 2, normal(2), saddles([0.0, 0.0]), SIGHT),
    Example(
        "peano",
        lambda x: (x[1] - x[0] ** 2) * (x[1] - 2 * x[0] ** 2),
        normal(2),
        saddles([0.0, 0.0]),
        "Peano 1884: a minimum along every line, and -x^4 / 4 along y = 3 x^2 / 2",
    ),
    Example(
        "curved-valley",
        lambda x: 1.0 + (x[1] - x[0] ** 2) ** 2 + x[0] ** 4,
        normal(2),
        strict(GLOBAL, [0.0, 0.0]),
        SIGHT,
    ),
    Example(
        "circle",
        lambda x: 1.0 + (x[0] ** 2 + x[1] ** 2 - 1.0) ** 2,
        normal(2),
        flat(GLOBAL, [0.6, 0.8], [0.0, -1.0]) + saddles([0.0, 0.0]),
        SIGHT,
    ),
    Example("powell-singular", powell, normal(4), strict(GLOBAL, np.zeros(4)), "Powell 1962", 0.0),
    Example(
        "matrix-sensing",
        sensing,
        normal(2),
        strict(GLOBAL, [1.0, 0.0], [-1.0, 0.0]) + saddles([0.0, 0.5**0.5], [0.0, 0.0]),
        "after Zhang, Josz, Sojoudi and Lavaei 2018",
        0.0,
    ),
    Example(
        "falling-valley",
        lambda x: jnp.exp(-x[0]) * (2.0 + jnp.cos(x[1])),
        normal(2),
        tuple(Known([a, 0.0], AT_INFINITY) for a in (5.0, 30.0, 300.0, 800.0)),
        SIGHT,
        0.0,
    ),
    Example(
        "slow-fall",
        lambda x: 1.0 / (1.0 + jnp.log1p(x[0] ** 2 + x[1] ** 2)),
        normal(2),
        (Known([3.0, 4.0], AT_INFINITY), Known([300.0, 4.0], AT_INFINITY), *saddles([0.0, 0.0])),
        SIGHT,
        0.0,
    ),
)
