"""Test functions of optimisation and chemistry in two to four dimensions."""

from __future__ import annotations

from itertools import product

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.gallery.record import Example, normal, saddles, strict
from landscape.records import Label

GLOBAL, SPURIOUS = Label.GLOBAL, Label.SPURIOUS
COLLECTION = "Surjanovic and Bingham, Virtual Library of Simulation Experiments"


def rosenbrock(x: Array) -> Array:
    """sum 100 (x_{i+1} - x_i^2)^2 + (1 - x_i)^2."""
    return jnp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def himmelblau(x: Array) -> Array:
    """(a^2 + b - 11)^2 + (a + b^2 - 7)^2."""
    return (x[0] ** 2 + x[1] - 11.0) ** 2 + (x[0] + x[1] ** 2 - 7.0) ** 2


def six_hump_camel(x: Array) -> Array:
    """(4 - 2.1 a^2 + a^4 / 3) a^2 + a b + (4 b^2 - 4) b^2."""
    a, b = x[0], x[1]
    return (4.0 - 2.1 * a**2 + a**4 / 3.0) * a**2 + a * b + (4.0 * b**2 - 4.0) * b**2


def three_hump_camel(x: Array) -> Array:
    """2 a^2 - 1.05 a^4 + a^6 / 6 + a b + b^2."""
    return 2.0 * x[0] ** 2 - 1.05 * x[0] ** 4 + x[0] ** 6 / 6.0 + x[0] * x[1] + x[1] ** 2


def beale(x: Array) -> Array:
    """Sum over i = 1, 2, 3 of (c_i - a + a b^i)^2."""
    return sum((c - x[0] + x[0] * x[1] ** i) ** 2 for i, c in ((1, 1.5), (2, 2.25), (3, 2.625)))  # pyright: ignore


def goldstein_price(x: Array) -> Array:
    """The product of two polynomials of degree four."""
    a, b = x[0], x[1]
    one = 1 + (a + b + 1) ** 2 * (19 - 14 * a + 3 * a**2 - 14 * b + 6 * a * b + 3 * b**2)
    two = 30 + (2 * a - 3 * b) ** 2 * (18 - 32 * a + 12 * a**2 + 48 * b - 36 * a * b + 27 * b**2)
    return one * two


def styblinski_tang(x: Array) -> Array:
    """Half the sum of x^4 - 16 x^2 + 5 x."""
    return 0.5 * jnp.sum(x**4 - 16.0 * x**2 + 5.0 * x)


def rastrigin(x: Array) -> Array:
    """10 p + the sum of x^2 - 10 cos(2 pi x)."""
    return 10.0 * len(x) + jnp.sum(x**2 - 10.0 * jnp.cos(2 * jnp.pi * x))


def branin(x: Array) -> Array:
    """The function of Branin and Hoo; its least value is 5 / (4 pi)."""
    b, c, t = 5.1 / (4 * jnp.pi**2), 5 / jnp.pi, 1 / (8 * jnp.pi)
    return (x[1] - b * x[0] ** 2 + c * x[0] - 6) ** 2 + 10 * (1 - t) * jnp.cos(x[0]) + 10


def freudenstein_roth(x: Array) -> Array:
    """Two cubic residuals."""
    a, b = x[0], x[1]
    return (-13 + a + ((5 - b) * b - 2) * b) ** 2 + (-29 + a + ((b + 1) * b - 14) * b) ** 2


def wood(x: Array) -> Array:
    """The function of Wood (Colville): two valleys of Rosenbrock, coupled."""
    a, b, c, d = x[0], x[1], x[2], x[3]
    valleys = 100 * (a**2 - b) ** 2 + (a - 1) ** 2 + (c - 1) ** 2 + 90 * (c**2 - d) ** 2
    return valleys + 10.1 * ((b - 1) ** 2 + (d - 1) ** 2) + 19.8 * (b - 1) * (d - 1)


def mueller_brown(x: Array) -> Array:
    """Four Gaussians with three wells, in hundreds."""
    size = jnp.array([-200.0, -100.0, -170.0, 15.0])
    a, b, c = jnp.array([-1, -1, -6.5, 0.7]), jnp.array([0, 0, 11, 0.6]), jnp.array([-10, -10, -6.5, 0.7])
    u, v = x[0] - jnp.array([1, 0, -0.5, -1.0]), x[1] - jnp.array([0, 0.5, 1.5, 1.0])
    return jnp.sum(size * jnp.exp(a * u**2 + b * u * v + c * v**2)) / 100.0


def tilted_well(x: Array) -> Array:
    """(a^2 - 1)^2 + a / 10 + b^2 / 10^5: a lower and a higher minimum, and a coordinate of little curvature."""
    return (x[0] ** 2 - 1.0) ** 2 + 0.1 * x[0] + 1e-5 * x[1] ** 2


def easom(x: Array) -> Array:
    """-cos a cos b exp(-(a - pi)^2 - (b - pi)^2), in a window about its minimum."""
    return -jnp.cos(x[0]) * jnp.cos(x[1]) * jnp.exp(-jnp.sum((x - jnp.pi) ** 2))


_TILTED = np.sort(np.roots([4.0, 0.0, -4.0, 0.1]).real)
_TANG = np.sort(np.roots([2.0, 0.0, -16.0, 2.5]).real)  # two wells and the hill between
_RIPPLE = 0.9949586  # the root of x + 10 pi sin(2 pi x) next to one

EXAMPLES = (
    Example("rosenbrock", rosenbrock, normal(2), strict(GLOBAL, [1.0, 1.0]), COLLECTION, 0.0),
    Example(
        "rosenbrock-4",
        rosenbrock,
        normal(4),
        strict(GLOBAL, np.ones(4)) + strict(SPURIOUS, [-0.775659, 0.613093, 0.382063, 0.145972]),
        "Kok and Sandrock 2009: a second minimum from four dimensions on",
        0.0,
    ),
    Example(
        "himmelblau",
        himmelblau,
        normal(2, 3.0),
        strict(GLOBAL, [3.0, 2.0], [-2.8051181, 3.1313125], [-3.7793103, -3.2831860], [3.5844283, -1.8481265])
        + saddles([-0.2708446, -0.9230386], [0.0866775, 2.8842547], [3.3851542, 0.0738519])
        + saddles([-3.0730258, -0.0813530], [-0.1279613, -1.9537150]),
        "Himmelblau 1972",
        0.0,
    ),
    Example(
        "six-hump-camel",
        six_hump_camel,
        normal(2),
        strict(GLOBAL, [0.0898420, -0.7126564], [-0.0898420, 0.7126564])
        + strict(SPURIOUS, [1.7036067, -0.7960836], [-1.7036067, 0.7960836], [1.6071048, 0.5686515])
        + saddles([0.0, 0.0]),
        COLLECTION,
    ),
    Example(
        "three-hump-camel",
        three_hump_camel,
        normal(2),
        strict(GLOBAL, [0.0, 0.0])
        + strict(SPURIOUS, [1.7475523, -0.8737762], [-1.7475523, 0.8737762])
        + saddles([1.0705419, -0.5352710], [-1.0705419, 0.5352710]),
        COLLECTION,
        0.0,
    ),
    Example("beale", beale, normal(2, 2.0), strict(GLOBAL, [3.0, 0.5]) + saddles([0.0, 1.0]), COLLECTION, 0.0),
    Example(
        "goldstein-price",
        goldstein_price,
        normal(2),
        strict(GLOBAL, [0.0, -1.0]) + strict(SPURIOUS, [-0.6, -0.4], [1.8, 0.2], [1.2, 0.8]),
        COLLECTION,
        3.0,
    ),
    Example(
        "styblinski-tang",
        styblinski_tang,
        normal(2, 3.0),
        strict(GLOBAL, _TANG[[0, 0]])
        + strict(SPURIOUS, *(_TANG[list(one)] for one in ((0, 2), (2, 0), (2, 2))))
        + saddles(*(_TANG[list(one)] for one in product(range(3), repeat=2) if 1 in one)),
        COLLECTION,
    ),
    Example(
        "rastrigin",
        rastrigin,
        normal(2, 2.0),
        strict(GLOBAL, [0.0, 0.0]) + strict(SPURIOUS, [_RIPPLE, 0.0], [_RIPPLE, -_RIPPLE]),
        COLLECTION,
        0.0,
    ),
    Example(
        "branin",
        branin,
        normal(2, 5.0, 3.0),
        strict(GLOBAL, [-np.pi, 12.275], [np.pi, 2.275], [3 * np.pi, 2.475]),
        COLLECTION,
        float(5 / (4 * np.pi)),
    ),
    Example(
        "freudenstein-roth",
        freudenstein_roth,
        normal(2, 5.0),
        strict(GLOBAL, [5.0, 4.0]) + strict(SPURIOUS, [11.4127790, -0.8968053]),
        "More, Garbow and Hillstrom 1981, problem 2",
        0.0,
    ),
    Example(
        "wood",
        wood,
        normal(4, 2.0),
        strict(GLOBAL, np.ones(4)) + saddles([-0.9679740, 0.9471391, -0.9695163, 0.9512477]),
        "More, Garbow and Hillstrom 1981, problem 14",
        0.0,
    ),
    Example(
        "mueller-brown",
        mueller_brown,
        normal(2, 0.5, 0.3),
        strict(GLOBAL, [-0.5582236, 1.4417258])
        + strict(SPURIOUS, [0.6234994, 0.0280378], [-0.0500108, 0.4666941])
        + saddles([-0.8220016, 0.6243128], [0.2124866, 0.2929883]),
        "Mueller and Brown 1979",
    ),
    Example(
        "tilted-well",
        tilted_well,
        normal(2),
        strict(GLOBAL, [_TILTED[0], 0.0]) + strict(SPURIOUS, [_TILTED[2], 0.0]) + saddles([_TILTED[1], 0.0]),
        "roots of 4 a^3 - 4 a + 1/10",
    ),
    Example("easom", easom, normal(2, 1.0, 3.0), strict(GLOBAL, [np.pi, np.pi]), COLLECTION, -1.0),
)
