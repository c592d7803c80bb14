"""Factorisations: matrices, phases, tensors and linear networks, whose critical points algebra knows."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.gallery.record import Example, flat, normal, saddles, strict
from landscape.records import Label

GLOBAL, SPURIOUS = Label.GLOBAL, Label.SPURIOUS
_M = np.diag([4.0, 1.0, 0.25])
_TARGET = np.array([[2.0, 0.0], [0.0, 1.0]])
_ROWS = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, -1.0], [2.0, 1.0], [1.0, -3.0]])
_PLANTED = np.array([1.0, 0.5])


def symmetric(x: Array) -> Array:
    """|x x' - M|^2 for M = diag(4, 1, 1/4): stationary at zero and at eigenvectors times the root of their value."""
    return jnp.sum((jnp.outer(x, x) - _M) ** 2)


def two_sided(x: dict[str, Array]) -> Array:
    """|u v' - diag(2, 1)|^2 with u and v vectors."""
    return jnp.sum((jnp.outer(x["u"], x["v"]) - _TARGET) ** 2)


def chain(x: Array) -> Array:
    """(x1 x2 x3 - 1)^2: a surface of minima, and planes of points without a gradient."""
    return (jnp.prod(x) - 1.0) ** 2


def deep_linear(x: dict[str, Array]) -> Array:
    """|A B C - diag(2, 1)|^2 with square factors: no minimum but global ones (Kawaguchi 2016)."""
    return jnp.sum((x["a"] @ x["b"] @ x["c"] - _TARGET) ** 2)


def phases(x: Array) -> Array:
    """sum ((a'x)^2 - (a'x0)^2)^2: the phase of each measurement is lost."""
    return jnp.sum(((_ROWS @ x) ** 2 - (_ROWS @ _PLANTED) ** 2) ** 2)


def tensor(x: Array) -> Array:
    """|u^3 + v^3 - e1^3 - e2^3|^2 in two dimensions, by inner products."""
    rows = x.reshape(2, 2)
    return jnp.sum((rows @ rows.T) ** 3) - 2.0 * jnp.sum(rows**3) + 2.0


def _starts(**shapes: tuple[int, ...]) -> Any:
    def init(key: Array) -> dict[str, Array]:
        keys = jax.random.split(key, len(shapes))
        return {name: jax.random.normal(k, shape) for k, (name, shape) in zip(keys, shapes.items(), strict=True)}

    return init


def _scaled(x: dict[str, Array], small: float) -> dict[str, Array]:
    return {"u": x["u"] * jnp.exp(small), "v": x["v"] * jnp.exp(-small)}


_ZERO = {"a": np.zeros((2, 2)), "b": np.zeros((2, 2)), "c": np.zeros((2, 2))}
_HALF = {"a": np.diag([2.0, 0.0]), "b": np.diag([1.0, 0.0]), "c": np.diag([1.0, 0.0])}

EXAMPLES = (
    Example(
        "rank-one",
        symmetric,
        normal(3),
        strict(GLOBAL, [2.0, 0.0, 0.0], [-2.0, 0.0, 0.0]) + saddles(np.zeros(3), [0.0, 1.0, 0.0], [0.0, 0.0, 0.5]),
        "eigenvectors; the rest of M is left over",
        1.0625,
    ),
    Example(
        "two-sided-rank-one",
        two_sided,
        _starts(u=(2,), v=(2,)),
        flat(GLOBAL, {"u": np.array([1.0, 0.0]), "v": np.array([2.0, 0.0])})
        + saddles({"u": np.zeros(2), "v": np.zeros(2)}, {"u": np.array([0.0, 1.0]), "v": np.array([0.0, 1.0])}),
        "Baldi and Hornik 1989",
        1.0,
        (_scaled,),
    ),
    Example(
        "chain",
        chain,
        normal(3),
        flat(GLOBAL, [1.0, 1.0, 1.0], [2.0, 0.5, 1.0]) + saddles([0.0, 0.0, 0.0]),
        "by sight",
        0.0,
    ),
    Example(
        "lifted-chain",
        lambda x: 1.0 + chain(x),
        normal(3),
        flat(GLOBAL, [1.0, 1.0, 1.0], [2.0, 0.5, 1.0]) + saddles([0.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
        "by sight: a flat minimum without a bound",
    ),
    Example(
        "deep-linear",
        deep_linear,
        _starts(a=(2, 2), b=(2, 2), c=(2, 2)),
        flat(GLOBAL, {"a": np.eye(2), "b": _TARGET, "c": np.eye(2)}) + saddles(_ZERO, _HALF),
        "Kawaguchi 2016",
        0.0,
    ),
    Example(
        "phase-retrieval",
        phases,
        normal(2),
        strict(GLOBAL, _PLANTED, -_PLANTED) + saddles([0.0, 0.0]),
        "zero is a maximum",
        0.0,
    ),
    Example(
        "tensor",
        tensor,
        normal(4),
        strict(GLOBAL, [1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0])
        + saddles(np.zeros(4), [1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]),
        "an orthogonal tensor; a part at zero leaves with the third power",
        0.0,
    ),
)
