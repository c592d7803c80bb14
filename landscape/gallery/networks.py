"""Small networks and regressions: XOR, separable data, a network of one ReLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.gallery.record import Example, Known, normal, saddles, strict
from landscape.records import Label

AT_INFINITY, GLOBAL = Label.AT_INFINITY, Label.GLOBAL
_INPUTS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
_XOR = np.array([0.0, 1.0, 1.0, 0.0])
_SEPARABLE = np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.5], [2.0, 0.3]])  # rows times their sign
_MIXED = np.array([[1.0, 2.0], [2.0, -1.0], [-1.0, 0.5], [-1.0, -1.0]])


def xor(hidden: Callable[[Array], Array]) -> Callable[[dict[str, Array]], Array]:
    """Squared loss of a 2-2-1 network with a sigmoid at its end on exclusive or."""

    def loss(x: dict[str, Array]) -> Array:
        inner = hidden(jnp.asarray(_INPUTS) @ x["w"].T + x["b"])
        return jnp.sum((jax.nn.sigmoid(inner @ x["a"] + x["c"]) - _XOR) ** 2)

    return loss


def _network(key: Array) -> dict[str, Array]:
    keys = jax.random.split(key, 4)
    shapes = {"w": (2, 2), "b": (2,), "a": (2,), "c": ()}
    return {name: jax.random.normal(k, shape) for k, (name, shape) in zip(keys, shapes.items(), strict=True)}


def _solved(outer: float, tanh: bool) -> dict[str, Any]:
    """A network that separates exclusive or, with weights of this size at its end; tanh(x / 2) = 2 sigmoid(x) - 1."""
    slope, shift = (0.5, 2.0) if tanh else (1.0, 1.0)
    signs, offset = np.array([1.0, 1.0]), -0.5 * shift if not tanh else 1.0
    return {
        "w": slope * np.array([[10.0, -10.0], [-10.0, 10.0]]),
        "b": slope * np.array([-5.0, -5.0]),
        "a": outer * signs,
        "c": outer * offset,
    }


def naive(x: Array) -> Array:
    """Minus the log likelihood of separable data, as written in textbooks: log of a sigmoid."""
    return -jnp.sum(jnp.log(jax.nn.sigmoid(_SEPARABLE @ x)))


def logistic(x: Array) -> Array:
    """The same with no loss of digits."""
    return jnp.sum(jnp.logaddexp(0.0, -_SEPARABLE @ x))


_RUNS = tuple(Known(c * np.array([1.0, 0.9]), AT_INFINITY) for c in (4.0, 12.0, 60.0, 1000.0))

EXAMPLES = (
    *(
        Example(
            f"xor-{name}",
            xor(function),
            _network,
            tuple(Known(_solved(size, name == "tanh"), AT_INFINITY) for size in (10.0, 40.0, 150.0, 1000.0))
            + saddles({"w": np.zeros((2, 2)), "b": np.zeros(2), "a": np.zeros(2), "c": np.zeros(())}),
            "Sprinkhuizen-Kuyper and Boers 1996: no minimum above zero at finite weights",
            0.0,
        )
        for name, function in (("sigmoid", jax.nn.sigmoid), ("tanh", jnp.tanh))
    ),
    Example("separable-naive", naive, normal(2), _RUNS, "Soudry et al. 2018", 0.0),
    Example("separable", logistic, normal(2), _RUNS, "Soudry et al. 2018: the norm grows like log t", 0.0),
    Example("separable-without-bound", logistic, normal(2), _RUNS, "the same with no bound given"),
    Example(
        "logistic",
        lambda x: jnp.sum(jnp.logaddexp(0.0, -jnp.concatenate([_MIXED, -_MIXED]) @ x)),
        normal(2),
        strict(GLOBAL, [0.0, 0.0]),
        "every point with both signs: zero by symmetry, and convex",
        float(8 * np.log(2.0)),
    ),
)
