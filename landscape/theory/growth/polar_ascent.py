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
from landscape.problems.parallel import Homogeneous, parts_at, with_width
from landscape.problems.subnetwork import Subnetwork, chart
from landscape.theory.growth.polar_formulas import Polar

STARTS = 64  # of the ascent that estimates a polar from below

ASCENT = 240  # gradients of each


@partial(jax.tree_util.register_dataclass, data_fields=["x", "z"], meta_fields=["net"])
@dataclass(frozen=True, eq=False)
class _Ratio:
    """-<Z, phi(V)> / g(V), of degree zero: a landscape on its own."""

    x: Any
    z: Any
    net: Subnetwork

    def loss(self, theta: Float[Array, " q"]) -> Float[Array, ""]:
        """Minus the ratio."""
        weights = chart(self.net)[1](theta)
        return -jnp.sum(self.z * self.net.output(weights, self.x)) / self.net.penalty(weights)

    def gradients(self, theta: Float[Array, "lanes q"]) -> Float[Array, "lanes q"]:
        """Automatic gradients of rows."""
        return jax.vmap(jax.grad(self.loss))(theta)

    def gradient(self, theta: Float[Array, " q"]) -> Float[Array, " q"]:
        """Automatic gradient."""
        return jax.grad(self.loss)(theta)


@partial(jax.jit, static_argnums=(2,))
def _climb(ratio: _Ratio, theta: Array, steps: int) -> tuple[Array, Array]:
    method = descent.method("lbfgs")

    def one(t: Array) -> tuple[Array, Array]:
        lane = descent.advance(ratio, method, descent.init(ratio, method, t, jnp.ones(())), steps)  # pyright: ignore[reportArgumentType]
        return lane.theta, lane.loss

    return jax.vmap(one)(theta)


def ascended(problem: Homogeneous, z: np.ndarray, seed: int, starts: int) -> Polar:
    """The best of many ascents of <Z, phi(V)> / g(V), scaled to g = 1."""
    draws = np.random.default_rng(seed).normal(size=(starts, problem.q))
    draws /= np.linalg.norm(draws, axis=1, keepdims=True)
    with jax.enable_x64(True):
        ratio = _Ratio(None if problem.x is None else jnp.asarray(problem.x), jnp.asarray(z), problem.net)
        tops, values = (np.asarray(a) for a in _climb(ratio, jnp.asarray(draws), ASCENT))
    values = np.where(np.isfinite(values), -values, -np.inf)
    i = int(np.argmax(values))
    if not values[i] > 0:  # the best of all weights is then zero, as far as anybody knows
        i = 0
        tops = draws
    f, g = parts_at(with_width(problem, 1), tops[i])
    degree = problem.net.degree
    return Polar(max(0.0, float(np.sum(z * f[0]) / g[0])), math.inf, tops[i] / g[0] ** (1 / degree), "ascent")
