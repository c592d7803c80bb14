"""Looks along descents: when a run looks at its lanes, and what it writes down.

A look costs a loss and, for plain descent, a gradient more than the descent itself. Lanes keep their own clocks. A
block of lanes stops whenever one of its lanes is due. Descents are looked at most often when they are young, and blocks
have lanes of all ages: where few lanes of a block are due, those few are evaluated and not the block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from landscape.descent import Lane
from landscape.descent.lane import euclidean_norm
from landscape.problems.problem import QUICK, Loss
from landscape.records import InputError, whole

OWN = ("restart", "begun", "step", "time", "loss", "grad_norm", "theta")  # columns that every look has, or may have
Observable = Callable[[Array], Array]  # of theta [p]: a number or a vector


class Look(NamedTuple):
    """What is seen of lanes at one look.

    Attributes:
        time: Of the flow; NaN for methods without one.
        loss: Loss.
        grad_norm: Norm of the gradient.
        observed: A value each observable.
        theta: Coordinates, where they are asked for; else None.
    """

    time: Array
    loss: Array
    grad_norm: Array
    observed: tuple[Array, ...]
    theta: Array | None


@dataclass(frozen=True)
class Watch:
    """What is written down at a look. Equal ones share compiled programs.

    Attributes:
        observables: Names, and functions of theta [p] that give a number or a vector.
        theta: Whether theta is kept.
    """

    observables: tuple[tuple[str, Observable], ...] = ()
    theta: bool = False

    def of(self, lane: Lane, trailing: bool) -> Look:
        """The look at lanes in a row, [lanes, ...]; their theta is [p, lanes] where `trailing`, else [lanes, p]."""
        rows = lane.theta.T if trailing else lane.theta
        observed = tuple(jax.vmap(one)(rows) for _, one in self.observables)
        return Look(lane.time, lane.loss, lane.grad_norm, observed, rows if self.theta else None)


@dataclass(frozen=True)
class Looks:
    """When and at what a run looks along its descents.

    Attributes:
        at: Numbers of gradients since the start of a descent, ascending; 0 is the start.
        watch: What is written down.
    """

    at: tuple[int, ...]
    watch: Watch = Watch()

    def __post_init__(self) -> None:
        """Raises InputError unless there are looks, at ascending whole numbers, and observables have names."""
        if not self.at or list(self.at) != sorted({whole("a look", one, 0) for one in self.at}):
            raise InputError("looks must be at ascending whole numbers of gradients, at least one.")
        for name, function in self.watch.observables:
            if name in OWN or not name or not callable(function):
                raise InputError(f"observables map a name to a function of theta; {name!r} is taken, or no function.")

    def most(self, chunk: int) -> int:
        """The largest number of places of a chunk in which some lane can be looked at, its end included."""
        return len({(one - 1) % chunk + 1 for one in self.at if one} | {chunk})

    def due(self, clocks: np.ndarray, chunk: int) -> tuple[np.ndarray, np.ndarray]:
        """The looks at some lanes in their next chunk: of which lane, and after how many gradients of it, [looks] each.

        Args:
            clocks: Of each lane, gradients since its start, [lanes].
            chunk: Gradients of a chunk.
        """
        at = np.asarray(self.at)
        first, last = np.searchsorted(at, clocks, "right"), np.searchsorted(at, clocks + chunk, "right")
        lane = np.repeat(np.arange(len(clocks)), last - first)
        begins = np.cumsum(last - first) - (last - first)
        look = np.arange(len(lane)) - np.repeat(begins - first, last - first)
        return lane, at[look] - clocks[lane]

    def as_dict(self) -> dict[str, Any]:
        """What the manifest of a run says."""
        names = [name for name, _ in self.watch.observables]
        return {"at": list(self.at), "theta": self.watch.theta, "observables": names}


def log_spaced(count: int, last: int) -> tuple[int, ...]:
    """0 and up to `count` - 1 whole numbers from 1 to `last` at nearly equal ratios; small ones are not repeated.

    Raises:
        InputError: A number is below 2, or below 1.
    """
    whole("the number of looks", count, 2)
    whole("the last look", last, 1)
    return (0, *(int(one) for one in np.unique(np.round(np.geomspace(1, last, count - 1)))))


@partial(jax.jit, static_argnames="watch", compiler_options=QUICK)
def look_at_starts(problem: Loss, watch: Watch, theta: Any) -> Look:
    """The look at descents that have not begun, from their starting points [m, p]."""
    zero = jnp.zeros(len(theta), theta.dtype)
    norms = jax.vmap(euclidean_norm)(problem.gradients(theta))
    losses = jax.vmap(problem.loss)(theta).astype(theta.dtype)
    return watch.of(Lane(theta, (), zero, losses, norms, zero), trailing=False)
