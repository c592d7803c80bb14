"""L-BFGS with a line search on slopes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from landscape.descent.lane import GradientAt, Method, dot, euclidean_norm

PAIRS = 6  # of steps and gradient changes that are remembered
TRIALS = 12  # of one line search, before the memory is forgotten


class _Lbfgs(NamedTuple):
    """A line search from theta along `direction`, in the middle.

    Attributes:
        gradient: At theta.
        direction: Of the search.
        slope: Of the loss along it at theta; 0 before the first gradient.
        trial: Length that is tried next.
        low: A length at which the loss still falls steeply.
        low_slope: The slope there.
        high: A length at which it rises; inf while none is known.
        high_slope: The slope there.
        tried: Trials so far.
        steps: Remembered theta changes, [pairs, p].
        changes: Gradient changes.
        weights: 1 / (step . change); 0 for a place that holds none.
        curvature: change . change / step . change of the newest pair.
    """

    gradient: Float[Array, " p *lanes"]
    direction: Float[Array, " p *lanes"]
    slope: Float[Array, " *lanes"]
    trial: Float[Array, " *lanes"]
    low: Float[Array, " *lanes"]
    low_slope: Float[Array, " *lanes"]
    high: Float[Array, " *lanes"]
    high_slope: Float[Array, " *lanes"]
    tried: Int[Array, " *lanes"]
    steps: Float[Array, " pairs p *lanes"]
    changes: Float[Array, " pairs p *lanes"]
    weights: Float[Array, " pairs *lanes"]
    curvature: Float[Array, " *lanes"]


@dataclass(frozen=True)
class Lbfgs(Method):
    """L-BFGS (Liu and Nocedal 1989) whose line search looks at slopes only.

    A length is taken when the slope there is at most 0.9 of the first one in size: the curvature condition and the
    approximate Wolfe condition of Hager and Zhang (2005) with delta = 0.05. Loss differences drown in rounding at
    gradient norms near 1e-8, slopes do not. Every gradient is one place in the ring of pairs, the same place in all
    lanes; a gradient that ends no search leaves its place empty.

    Attributes:
        first: Length of the very first trial step, Euclidean, in units of theta.
        longest: No step is longer, Euclidean, in units of theta.
    """

    first: float = 0.1
    longest: float = 1.0

    descends: ClassVar[bool] = False
    chunk: ClassVar[int] = 30  # a multiple of the ring; most restarts need some 200 gradients
    unread: ClassVar[tuple[str, ...]] = ("gradient", "steps", "changes")

    @property
    def dynamics(self) -> str:
        """Whose basins these are, in words."""
        return "L-BFGS with a slope line search"

    def init(self, theta: Array, key: Array) -> _Lbfgs:
        """The memory before the first gradient."""
        zero, one = jnp.zeros_like(theta), jnp.ones(theta.shape[1:], theta.dtype)
        ring = jnp.zeros((PAIRS, *theta.shape), theta.dtype)
        none = 0 * one
        return _Lbfgs(
            zero, zero, none, none, none, none, jnp.inf * one, none, jnp.zeros(one.shape, jnp.int32),
            ring, ring, jnp.zeros((PAIRS, *one.shape), theta.dtype), one,
        )  # fmt: skip

    def step(
        self, gradient: GradientAt, theta: Array, memory: _Lbfgs, step_scale: Array, number: Array
    ) -> tuple[Array, _Lbfgs]:
        """One gradient: of a trial length along the direction."""
        m = memory
        moved = m.trial * m.direction
        g = gradient(theta + moved)
        slope = dot(g, m.direction)
        fresh = m.slope == 0.0
        gentle = jnp.abs(slope) <= -0.9 * m.slope
        given_up = ~gentle & (m.tried >= TRIALS)  # keep the best length known to fall, and forget the memory
        taken = fresh | gentle
        change = g - m.gradient
        curved = dot(moved, change)
        # Products that underflow say nothing of curvature, and the inverse of one overflows.
        least = jnp.minimum(curved, dot(change, change))
        holds = gentle & ~fresh & (least >= jnp.finfo(theta.dtype).tiny) & jnp.isfinite(curved)

        place = number % PAIRS
        put = jax.lax.dynamic_update_index_in_dim
        # A place of weight 0 is added as zero: what stands in it is finite, whichever descent left it there.
        steps = put(m.steps, jnp.where(holds, moved, 0.0), place, 0)
        changes = put(m.changes, jnp.where(holds, change, 0.0), place, 0)
        weight = jnp.where(holds, 1.0 / jnp.where(holds, curved, 1.0), 0.0)
        weights = jnp.where(given_up, 0.0, put(m.weights, weight, place, 0))
        curvature = jnp.where(holds, dot(change, change) * weight, m.curvature)

        theta = jnp.where(taken, theta + moved, theta)
        base = jnp.where(taken, g, m.gradient)
        starts = taken | given_up
        direction = jnp.where(starts, -_two_loops(base, steps, changes, weights, curvature, place), m.direction)
        bare = jnp.all(weights == 0.0, axis=0)
        size = euclidean_norm(direction)
        # Without a pair the direction is the gradient itself and knows no length.
        unit = step_scale / jnp.maximum(size, jnp.finfo(theta.dtype).tiny)
        length = jnp.minimum(jnp.where(bare, self.first * unit, 1.0), self.longest * unit)

        low, low_slope, high, high_slope, searched = _bracket(m, slope)

        new_slope = dot(base, direction)
        # A gradient of 1e-160 is an end: its slope is none by underflow, and its direction rounding.
        direction = jnp.where(starts & (new_slope == 0.0), 0.0, direction)
        none = jnp.zeros_like(slope)
        return theta, _Lbfgs(
            gradient=base,
            direction=direction,
            slope=jnp.where(starts, new_slope, m.slope),
            trial=jnp.where(starts, length, searched),
            low=jnp.where(starts, none, low),
            low_slope=jnp.where(starts, new_slope, low_slope),
            high=jnp.where(starts, jnp.inf, high),
            high_slope=jnp.where(starts, none, high_slope),
            tried=jnp.where(starts, 0, m.tried + 1),
            steps=steps,
            changes=changes,
            weights=weights,
            curvature=curvature,
        )

    def gradient_in(self, memory: _Lbfgs) -> Array:
        """The gradient at the start of the search."""
        return memory.gradient


def _bracket(m: _Lbfgs, slope: Array) -> tuple[Array, Array, Array, Array, Array]:
    """The bracket of slopes within a search, narrowed by the slope at a trial length: its ends, and the next length.

    The next length is by the secant, kept away from the ends; twice the last one where nothing brackets yet.
    """
    falls = slope < 0
    low, low_slope = jnp.where(falls, m.trial, m.low), jnp.where(falls, slope, m.low_slope)
    high, high_slope = jnp.where(falls, m.high, m.trial), jnp.where(falls, m.high_slope, slope)
    inside = low + (high - low) * jnp.clip(low_slope / (low_slope - high_slope), 0.1, 0.9)
    bracketed = jnp.isfinite(high) & jnp.isfinite(slope)
    inside = jnp.where(jnp.isfinite(slope), inside, 0.5 * (low + m.trial))
    searched = jnp.where(bracketed | ~jnp.isfinite(slope), inside, 2.0 * m.trial)
    return low, low_slope, jnp.where(jnp.isfinite(slope), high, m.trial), high_slope, searched


def _two_loops(g: Array, steps: Array, changes: Array, weights: Array, curvature: Array, newest: Array) -> Array:
    """The inverse Hessian of L-BFGS times g; places with weight 0 are passed over."""
    order = [(newest - i) % PAIRS for i in range(PAIRS)]
    alphas = []
    for i in order:
        alphas.append(weights[i] * dot(steps[i], g))
        g = g - alphas[-1] * changes[i]
    g = g / curvature
    for i, alpha in zip(order[::-1], alphas[::-1], strict=True):
        g = g + (alpha - weights[i] * dot(changes[i], g)) * steps[i]
    return g
