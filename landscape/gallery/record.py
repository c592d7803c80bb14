"""What an example is: a loss, where its restarts begin, and the points that are known with what they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array

from landscape.problems.from_loss import UserLoss, from_loss
from landscape.records import Label


class Known(NamedTuple):
    """A point whose kind is known.

    Attributes:
        params: The point, to four digits at least.
        label: What it is. A maximum is a saddle: there is a way down.
        minimum: "strict" or "flat", of minima.
    """

    params: Any
    label: Label
    minimum: str | None = None


class Example(NamedTuple):
    """A loss with a known landscape.

    Attributes:
        name: Its name.
        loss: params -> scalar.
        init: A `jax.random` key -> params.
        points: What is known of it.
        source: Where the loss and its points come from.
        lower_bound: A number that no loss lies below, where one is known exactly.
        invariances: Functions (params, small number) -> params that leave the loss as it is.
    """

    name: str
    loss: Callable[[Any], Array]
    init: Callable[[Array], Any]
    points: tuple[Known, ...]
    source: str
    lower_bound: float | None = None
    invariances: tuple[Callable[[Any, float], Any], ...] = ()


def problem_of(example: Example) -> UserLoss:
    """The landscape of an example."""
    return from_loss(example.loss, example.init, lower_bound=example.lower_bound, invariances=example.invariances)


def normal(p: int, size: float = 1.0, centre: float = 0.0) -> Callable[[Array], Array]:
    """Starts of p independent normal coordinates."""
    return lambda key: centre + size * jax.random.normal(key, (p,))


def strict(label: Label, *points: Any) -> tuple[Known, ...]:
    """Isolated minima."""
    return tuple(Known(point, label, "strict") for point in points)


def flat(label: Label, *points: Any) -> tuple[Known, ...]:
    """Minima on a set of equal loss."""
    return tuple(Known(point, label, "flat") for point in points)


def saddles(*points: Any) -> tuple[Known, ...]:
    """Stationary points with a way down."""
    return tuple(Known(point, Label.SADDLE) for point in points)
