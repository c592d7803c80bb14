"""The intrinsic dimension of an activation under a data law: the dimension of the span of all neurons.

dim = dim span {x -> s(w.x) : w} in L2 of the law (Venturi, Bandeira and Bruna 2019, upper intrinsic dimension). On n
data rows it is the rank of the n functions w -> s(x_k.w), which is known exactly (derived here):

- polynomials: (x_k.w)^i sees the products of i coordinates of x_k, so the rank is that of these products;
- odd z + even |z| with a kink: rows on different lines have kinks on different hyperplanes of w, so every line counts
  once; rows of both directions on one line leave a linear function besides, x_k.w, unless s is even;
- a polynomial of degree at most 1 and a rest of one parity, of infinitely many powers: rows count once up to sign,
  since powers (x_k.w)^i of high degree are independent on different lines, and on one line the longest row prevails;
  a row and its opposite leave the polynomial, and a zero row leaves the constant s(0).

Numbers are taken as they are, without rounding: rows that differ in their last digit are different rows.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from landscape.precision import float64
from landscape.problems.activation import Activation, Scalar, Series
from landscape.problems.problem import QUICK
from landscape.theory.exact_rank import Whole, primitive, rank_bounds, whole_numbers

RESOLUTION = 1e-9  # a singular value below this, over the largest, counts as zero in `numerical_rank`


@dataclass(frozen=True)
class Dimension:
    """An intrinsic dimension, or what it lies between.

    Attributes:
        low: No less than this; inf where it is infinite.
        high: No more than this.
        by: What says so.
    """

    low: float
    high: float
    by: str

    @property
    def exact(self) -> bool:
        """Whether the dimension is known."""
        return self.low == self.high

    def __str__(self) -> str:
        if self.exact:
            return "infinite" if math.isinf(self.low) else str(int(self.low))
        return f"between {int(self.low)} and {int(self.high)}"


def polynomial_dimension(powers: tuple[int, ...], d: int) -> int:
    """The dimension of a sum of these powers of z over d inputs, wherever no polynomial of x vanishes almost surely.

    The sum over i of C(d + i - 1, i): scaled copies of a neuron tell its powers apart, and powers (w.x)^i span all
    homogeneous polynomials of degree i.
    """
    return sum(math.comb(d + i - 1, i) for i in powers)


def over_gaussian(activation: Activation, d: int) -> Dimension:
    """The dimension over Gaussian inputs in d dimensions: of a polynomial finite, else argued to be infinite.

    With a kink it is infinite from two inputs on, where neurons have kinks on different hyperplanes. On one input a
    homogeneous neuron has only two shapes (one, where s is even).
    """
    series = activation.series
    if series is not None and not series.rest:
        return _known(polynomial_dimension(series.powers, d), "polynomials in the inputs")
    if series is not None:
        return _known(math.inf, "infinitely many powers of one neuron")
    if activation.kinked:
        if d == 1:
            return _known(1 if activation.parts[0] == 0 else 2, "two half lines")
        return _known(math.inf, "kinks on infinitely many hyperplanes")
    return Dimension(1, math.inf, "the powers of the activation are not known")


def on_data(activation: Activation, x: np.ndarray) -> Dimension:
    """The dimension on the rows of x [n, d]; append a column of ones for a bias.

    Exact for all activations of the package; of another one it is at most the number of distinct rows, and at least
    `numerical_rank`.
    """
    x = np.asarray(x, np.float64)
    series = activation.series
    if series is not None and not series.rest:
        low, high = rank_bounds(_products(whole_numbers(x), series.powers))
        return Dimension(low, high, "rank of products of inputs")
    if series is not None:
        return _rows_up_to_sign(activation, series, x)
    if activation.kinked:
        return _lines(activation, x)
    distinct = len({tuple(row) for row in (x + 0.0).tolist()})
    return Dimension(numerical_rank(activation.s, x), distinct, "distinct rows from above, numerical rank from below")


def numerical_rank(s: Scalar, x: np.ndarray, resolution: float = RESOLUTION, seed: int = 0) -> int:
    """The rank of s(x w') for 2 n random directions w, 200 at least: singular values above `resolution` of the largest.

    Never above the dimension but for rounding. Singular values of smooth activations decay fast, so that it falls
    short of the dimension for many rows.

    Args:
        s: The activation, elementwise.
        x: Data, [n, d].
        resolution: What counts as zero.
        seed: Of the directions, which are Gaussian, of rows of length one on average.
    """
    n, d = x.shape
    w = np.random.default_rng(seed).normal(size=(max(2 * n, 200), d)) / math.sqrt(max(d, 1))
    with float64():
        values = np.asarray(jax.jit(s, compiler_options=QUICK)(x @ w.T), np.float64)
    sizes = np.linalg.svd(values, compute_uv=False)
    return int(np.sum(sizes > resolution * sizes[0])) if sizes.size and sizes[0] > 0 else 0


def _known(value: float, by: str) -> Dimension:
    return Dimension(value, value, by)


def _products(rows: Whole, powers: tuple[int, ...]) -> Whole:
    """All products of i coordinates of each row, for i in `powers`."""
    chosen = [some for i in powers for some in itertools.combinations_with_replacement(range(len(rows[0])), i)]
    return [[math.prod(row[j] for j in some) for some in chosen] for row in rows]


def _lines(activation: Activation, x: np.ndarray) -> Dimension:
    """Of odd z + even |z|: lines of rows, and the rank of the lines that have rows of both directions."""
    signs: dict[tuple[int, ...], set[int]] = {}
    for row in whole_numbers(x):
        if any(row):
            ray, sign = primitive(row)
            signs.setdefault(ray, set()).add(sign)
    both = [list(ray) for ray, seen in signs.items() if len(seen) == 2]
    low, high = rank_bounds(both) if activation.parts[0] != 0 else (0, 0)
    return Dimension(len(signs) + low, len(signs) + high, "lines of the rows")


def _rows_up_to_sign(activation: Activation, series: Series, x: np.ndarray) -> Dimension:
    """Of a polynomial of degree at most 1 and an infinite rest: distinct rows up to sign, and what pairs leave."""
    rows = {tuple(row) for row in (x + 0.0).tolist()}  # without the sign of zero
    zero = tuple([0.0] * x.shape[1])
    opposite = lambda row: tuple(0.0 - value for value in row)  # noqa: E731
    pairs = [row for row in rows if row != zero and opposite(row) in rows]
    classes = len(rows - {zero}) - len(pairs) // 2
    constant = zero in rows and float(activation.s(jnp.zeros(()))) != 0.0
    low = high = 0
    if 1 in series.powers and pairs:
        low, high = rank_bounds(whole_numbers(np.array(pairs)))
    constant |= 0 in series.powers and bool(pairs)
    return Dimension(classes + low + constant, classes + high + constant, "distinct rows up to sign")
