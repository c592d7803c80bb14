"""Subnetworks: what each of the parallel parts of a network computes, what it costs, and how homogeneous both are.

| subnetwork | phi(W) | g(W) | degree |
| --- | --- | --- | --- |
| rank_one (matrix factorisation) | u v' | 1/2 (|u|^2 + |v|^2) | 2 |
| relu | relu(x w) a' | 1/2 (|w|^2 + |a|^2) | 2 |
| quadratic | (x w)^2 a' | 2/3 |w|^3 + 1/3 |a|^3 | 3 |
| deep_relu | relu(relu(x V) w) a' | 1/3 (|V|^3 + |w|^3 + |a|^3) | 3 |
| the user's own | a JAX function | a JAX function | declared, and measured |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from landscape.precision import float64
from landscape.problems.problem import rounded, times
from landscape.records import InputError

DRAWS = 8  # random weights on which degrees are measured, and a subnetwork is recognised
AGREE = 1e-6  # measured degrees agree with each other and with what is declared to this


@dataclass(frozen=True)
class Subnetwork:
    """One of the parallel subnetworks: what it computes, what it costs, and their degree.

    Attributes:
        name: Of the family.
        init: A `jax.random` key -> weights, any pytree of arrays; its structure is that of all weights.
        output: (weights, x) -> outputs, in the shape of y; traceable by JAX.
        penalty: weights -> g >= 0, zero only where the output is; traceable by JAX.
        degree: p of the output.
        penalty_degree: Degree of g; p by default.
        coercive: Whether g is known to grow without bound with the weights.
        roundings: How many roundings, in units of eps, an output of weights and inputs in absolute value is off by;
            None where that is not known.
        identify: Weights [width, q] -> the same function's weights with every free sign fixed; None where no sign is
            known to be free.
        family: Which of ours it is: rank_one, relu, quadratic or deep_relu; None for a user's own, whatever its name.
    """

    name: str
    init: Callable[[Array], Any]
    output: Callable[[Any, Any], Array]
    penalty: Callable[[Any], Array]
    degree: float
    penalty_degree: float | None = None
    coercive: bool = False
    roundings: int | None = None
    identify: Callable[[np.ndarray], np.ndarray] | None = None
    family: str | None = None

    def says(self, x: Any) -> tuple:
        """What the subnetwork computes at random weights, to recognise it by: functions cannot be compared.

        Two subnetworks whose outputs and penalties agree to ten digits at DRAWS random weights are taken for one.
        """
        q, read = chart(self)
        with float64():
            draws = [read(jnp.asarray(w)) for w in np.random.default_rng(1).normal(size=(DRAWS, q))]
            outputs = rounded([np.asarray(self.output(w, x)) for w in draws])
            penalties = rounded([float(self.penalty(w)) for w in draws])
            starts = rounded(ravel_pytree(self.init(jax.random.key(1, impl="threefry2x32")))[0])
        return self.name, q, outputs, penalties, starts


class Degrees(NamedTuple):
    """Measured degrees of output and regulariser; None for what is not positively homogeneous."""

    output: float | None
    penalty: float | None


# --- families ---


def _square(w: Array) -> Array:
    return jnp.sum(w * w)


def cube(w: Array) -> Array:
    """|w|^3, with its first two derivatives right at zero, where automatic ones are not a number."""
    s = jnp.sum(w * w)
    return jnp.where(s > 0, jnp.where(s > 0, s, 1.0) ** 1.5, 0.0)


def _outputs(height: Array, a: Array) -> Array:
    """Heights [n] times the outer weights: [n] for a scalar a, [n, c] for a vector."""
    return height * a if a.ndim == 0 else height[:, None] * a[None, :]


def _normal(*shapes: tuple[int, ...]) -> Callable[[Array], Any]:
    def init(key: Array) -> Any:
        keys = jax.random.split(key, len(shapes))
        fan = [shape[0] if shape else 1 for shape in shapes]
        return tuple(jax.random.normal(k, s, jnp.float64) / f**0.5 for k, s, f in zip(keys, shapes, fan, strict=True))

    return init


def _side(w: np.ndarray) -> np.ndarray:
    """The sign of the largest entry of each row, [width, 1]."""
    top = np.take_along_axis(w, np.argmax(np.abs(w), axis=1)[:, None], axis=1)
    return np.where(top < 0, -1.0, 1.0)


@lru_cache(maxsize=256)  # the same object for the same sizes, so that compiled programs are found again
def rank_one(rows: int, columns: int) -> Subnetwork:
    """u v', u [rows], v [columns]: of matrix factorisation."""
    return Subnetwork(
        name="rank_one",
        init=_normal((rows,), (columns,)),
        output=lambda w, x: w[0][:, None] * w[1][None, :],
        penalty=lambda w: 0.5 * (_square(w[0]) + _square(w[1])),
        degree=2.0,
        coercive=True,
        roundings=2,
        identify=lambda w: w * _side(w[:, :rows]),
        family="rank_one",
    )


@lru_cache(maxsize=256)
def relu(d: int, c: int | None = None) -> Subnetwork:
    """relu(x w) a', w [d], a [c] or a number."""
    return Subnetwork(
        name="relu",
        init=_normal((d,), () if c is None else (c,)),
        output=lambda w, x: _outputs(jnp.maximum(times(x, w[0]), 0.0), w[1]),
        penalty=lambda w: 0.5 * (_square(w[0]) + _square(w[1])),
        degree=2.0,
        coercive=True,
        roundings=d + 4,
        family="relu",
    )


@lru_cache(maxsize=256)
def quadratic(d: int, c: int | None = None) -> Subnetwork:
    """(x w)^2 a', w [d], a [c] or a number."""
    return Subnetwork(
        name="quadratic",
        init=_normal((d,), () if c is None else (c,)),
        output=lambda w, x: _outputs(times(x, w[0]) ** 2, w[1]),
        penalty=lambda w: 2 / 3 * cube(w[0]) + 1 / 3 * cube(w[1]),
        degree=3.0,
        coercive=True,
        roundings=2 * d + 6,
        identify=lambda w: np.concatenate([w[:, :d] * _side(w[:, :d]), w[:, d:]], axis=1),
        family="quadratic",
    )


@lru_cache(maxsize=256)
def deep_relu(d: int, hidden: int, c: int | None = None) -> Subnetwork:
    """relu(relu(x V) w) a', V [d, hidden], w [hidden], a [c] or a number."""
    return Subnetwork(
        name="deep_relu",
        init=_normal((d, hidden), (hidden,), () if c is None else (c,)),
        output=lambda w, x: _outputs(jnp.maximum(times(jnp.maximum(times(x, w[0]), 0.0), w[1]), 0.0), w[2]),
        penalty=lambda w: (cube(w[0]) + cube(w[1]) + cube(w[2])) / 3,
        degree=3.0,
        coercive=True,
        roundings=d + hidden + 6,
        family="deep_relu",
    )


# (inputs, outputs or None for one, hidden units of deep ones) -> subnetwork
FAMILIES: dict[str, Callable[[int, int | None, int], Subnetwork]] = {
    "relu": lambda d, c, hidden: relu(d, c),
    "quadratic": lambda d, c, hidden: quadratic(d, c),
    "deep_relu": lambda d, c, hidden: deep_relu(d, hidden, c),
}


# --- degrees ---


@lru_cache(maxsize=64)
def chart(net: Subnetwork) -> tuple[int, Callable[[Array], Any]]:
    """Number of weights q of a subnetwork, and the map from a vector [q] to them."""
    with float64():
        weights = net.init(jax.random.key(0, impl="threefry2x32"))
        leaves = jax.tree.leaves(weights)
        if not leaves or not all(jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating) for leaf in leaves):
            raise InputError("init of a subnetwork must return a pytree of floating-point arrays.")
        weights = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), weights)
        flat, unravel = ravel_pytree(weights)

    def read(theta: Array) -> Any:
        # A float32 descent hands in float32; ravel's own chart insists on the dtype it was made with.
        return jax.tree.map(lambda leaf: leaf.astype(theta.dtype), unravel(theta.astype(jnp.float64)))

    return int(flat.size), read


def degrees(net: Subnetwork, x: Any) -> Degrees:
    """Degrees of output and regulariser, from random weights scaled by 1/2, 2 and 3.

    A function is taken for positively homogeneous if every scaled value is the same multiple of the unscaled one, to
    1e-9 of its size, and the multiple is a power of the scale, the same for all draws.
    """
    q, read = chart(net)
    with float64():
        draws = np.random.default_rng(0).normal(size=(DRAWS, q))

        def values(function: Callable[[Any], Array]) -> Callable[[np.ndarray], np.ndarray]:
            return lambda w: np.asarray(function(read(jnp.asarray(w))), np.float64).reshape(-1)

        return Degrees(
            _degree(values(lambda w: net.output(w, x)), draws), _degree(values(lambda w: net.penalty(w)), draws)
        )


def _degree(values: Callable[[np.ndarray], np.ndarray], draws: np.ndarray) -> float | None:
    found = []
    for w in draws:
        one = values(w)
        size = float(np.linalg.norm(one))
        if size == 0:  # a dead unit: says nothing
            continue
        for t in (0.5, 2.0, 3.0):
            scaled = values(t * w)
            factor = float(scaled @ one) / size**2
            if factor <= 0 or np.linalg.norm(scaled - factor * one) > 1e-9 * factor * size:
                return None
            found.append(np.log(factor) / np.log(t))
    if not found or max(found) - min(found) > AGREE:
        return None
    return float(np.round(np.mean(found), 9)) + 0.0


def _words(degree: float | None) -> str:
    return "not positively homogeneous" if degree is None else f"of degree {degree:g}"


def checked_degrees(net: Subnetwork, x: Any, allow_mismatch: bool) -> bool:
    """Whether the degrees match.

    Raises:
        InputError: They are not what is declared, or do not match and that is not allowed.
    """
    found = degrees(net, x)
    declared = (net.degree, net.degree if net.penalty_degree is None else net.penalty_degree)
    for what, measured, said in zip(("output", "regulariser"), found, declared, strict=True):
        if measured is None or abs(measured - said) > AGREE:
            raise InputError(
                f"the {what} of subnetwork {net.name!r} is declared of degree {said:g} and measured to be "
                f"{_words(measured)} (at random weights scaled by 1/2, 2 and 3); declare what it is."
            )
    matched = abs(declared[0] - declared[1]) <= AGREE
    if not matched and not allow_mismatch:
        bad = (
            "near zero the regulariser outweighs the data, so that zero is a local minimum whatever the data say"
            if declared[0] > declared[1]
            else "splitting a subnetwork into many pieces makes the regulariser as small as one likes"
        )
        raise InputError(
            f"subnetwork {net.name!r} has an output of degree {declared[0]:g} and a regulariser of degree "
            f"{declared[1]:g}: {bad}. Raise the norms to powers that add up to degree {declared[0]:g}, or pass "
            "allow_mismatch=True to study it without certificates."
        )
    return matched
