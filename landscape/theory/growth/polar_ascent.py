"""An estimate of a polar from below by ascents from many starts: it refutes a point, and never certifies one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from landscape import descent
from landscape.descent.batch import advanced, begun
from landscape.precision import float64
from landscape.problems.parallel import Homogeneous, parts_at
from landscape.problems.problem import Loss
from landscape.problems.subnetwork import Subnetwork, chart
from landscape.theory.growth.polar_formulas import Polar

STARTS = 64  # starts of the ascents that estimate a polar from below
ASCENT = 240  # gradients of each ascent that estimates a polar


@partial(jax.tree_util.register_dataclass, data_fields=["x", "z"], meta_fields=["net"])
@dataclass(frozen=True, eq=False)
class _Ratio(Loss):
    """The loss -<Z, phi(V)> / g(V) of one subnetwork V, of degree zero."""

    x: Any
    z: Any
    net: Subnetwork

    @property
    def p(self) -> int:
        """Number of weights of the subnetwork."""
        return chart(self.net)[0]

    def loss(self, theta: Float[Array, " q"]) -> Float[Array, ""]:
        """-<Z, phi(V)> / g(V)."""
        weights = chart(self.net)[1](theta)
        return -jnp.sum(self.z * self.net.output(weights, self.x)) / self.net.penalty(weights)


def ascended(problem: Homogeneous, z: np.ndarray, seed: int, starts: int) -> Polar:
    """The best of many ascents of <Z, phi(V)> / g(V), scaled to g = 1."""
    draws = np.random.default_rng(seed).normal(size=(starts, problem.q))
    draws /= np.linalg.norm(draws, axis=1, keepdims=True)
    with float64():
        ratio = _Ratio(None if problem.x is None else jnp.asarray(problem.x), jnp.asarray(z), problem.net)
        method = descent.method("lbfgs")
        lanes = advanced(ratio, method, begun(ratio, method, jnp.asarray(draws)), ASCENT)
        tops, values = np.asarray(lanes.theta), np.asarray(lanes.loss)
    values = np.where(np.isfinite(values), -values, -np.inf)
    i = int(np.argmax(values))
    if not values[i] > 0:  # the best of all weights is then zero, as far as anybody knows
        i = 0
        tops = draws
    f, g = parts_at(problem.of_width(1), tops[i])
    degree = problem.net.degree
    return Polar(max(0.0, float(np.sum(z * f[0]) / g[0])), math.inf, tops[i] / g[0] ** (1 / degree), "ascent")
