"""The gradient flow, by Runge-Kutta-Chebyshev steps of which each lane chooses its own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from landscape.descent.lane import Method, euclidean_norm

STAGES = 30  # most gradients a step: it is then 100 times as long as a stable step of gradient descent
POWER_EVERY = 4  # steps between two looks at the largest curvature
PROBE = 1e-5  # length of the finite difference of that look, in units of theta


class _Flow(NamedTuple):
    """A step of the flow from theta, in the middle: stage Y_j = theta + now.

    Attributes:
        gradient: At theta.
        now: Y_j - theta.
        before: Y_{j-1} - theta.
        steep: Direction of the largest curvature, any length.
        size: That length.
        length: h, of the step in flow time.
        stages: s, gradients of this step.
        stage: j; 0 while the largest curvature is looked at, -1 before the first gradient.
        curvature: The largest, as last seen.
        since: Steps since then.
        error: Estimated error of the last accepted step over the tolerance.
        time: Flow time at theta.
    """

    gradient: Float[Array, " p *lanes"]
    now: Float[Array, " p *lanes"]
    before: Float[Array, " p *lanes"]
    steep: Float[Array, " p *lanes"]
    size: Float[Array, " *lanes"]
    length: Float[Array, " *lanes"]
    stages: Int[Array, " *lanes"]
    stage: Int[Array, " *lanes"]
    curvature: Float[Array, " *lanes"]
    since: Int[Array, " *lanes"]
    error: Float[Array, " *lanes"]
    time: Float[Array, " *lanes"]


@lru_cache(maxsize=1)
def _chebyshev() -> tuple[np.ndarray, np.ndarray]:
    """Coefficients [4, s, j] of stage j of the method of s stages (mu, nu, mu~, gamma~), and its stable length [s].

    Sommeijer, Shampine and Verwer 1998, section 2, with their damping 2/13.
    """
    c = np.zeros((4, STAGES + 1, STAGES + 1))
    stable = np.zeros(STAGES + 1)
    for s in range(2, STAGES + 1):
        w0 = 1 + 2 / (13 * s * s)
        t, d1, d2 = [1.0, w0], [0.0, 1.0], [0.0, 0.0]  # T_j, T_j', T_j'' at w0
        for _ in range(2, s + 1):
            d2.append(4 * d1[-1] + 2 * w0 * d2[-1] - d2[-2])
            d1.append(2 * t[-1] + 2 * w0 * d1[-1] - d1[-2])
            t.append(2 * w0 * t[-1] - t[-2])
        w1 = d1[s] / d2[s]
        b = [0.0, 0.0] + [d2[j] / d1[j] ** 2 for j in range(2, s + 1)]
        b[0] = b[1] = b[2]
        c[2, s, 1] = b[1] * w1
        for j in range(2, s + 1):
            c[0, s, j], c[1, s, j], c[2, s, j] = 2 * b[j] * w0 / b[j - 1], -b[j] / b[j - 2], 2 * b[j] * w1 / b[j - 1]
            c[3, s, j] = -(1 - b[j - 1] * t[j - 1]) * c[2, s, j]
        stable[s] = (w0 + 1) * d2[s] / d1[s]
    return c, stable


@dataclass(frozen=True)
class Flow(Method):
    """The gradient flow d theta / dt = -gradient, by second-order Runge-Kutta-Chebyshev steps with error control.

    A step of s gradients is stable up to a length that grows like 0.65 s^2 over the largest curvature, where s steps of
    descent reach 2 s. Length and s are chosen for each lane and each step: the length by the embedded error estimate
    (Sommeijer, Shampine and Verwer 1998, with their predictor), s as small as is stable there. The largest curvature
    comes from a power iteration on gradient differences, one gradient every few steps.

    Attributes:
        tolerance: Largest estimated local error of a step, Euclidean.
    """

    tolerance: float

    on_chip: ClassVar[bool] = True
    unread: ClassVar[tuple[str, ...]] = ("gradient", "now", "before", "steep")

    @property
    def tables(self) -> tuple[np.ndarray, ...]:
        """mu, nu, mu~ and gamma~ of stage j of the method of s stages, [s, j] each."""
        return tuple(_chebyshev()[0])

    @property
    def dynamics(self) -> str:
        """Whose basins these are, in words."""
        return f"the gradient flow, local error {self.tolerance:g}"

    def init(self, theta: Array, key: Array) -> _Flow:
        """The memory before the first gradient."""
        zero, one = jnp.zeros_like(theta), jnp.ones(theta.shape[1:], theta.dtype)
        whole = jnp.zeros(theta.shape[1:], jnp.int32)
        # The first length is far too short anywhere; it may grow fivefold a step.
        return _Flow(zero, zero, zero, zero, one, 1e-3 * one, whole + 2, whole - 1, one, whole, one, 0.0 * one)

    def step(self, gradient: Any, theta: Array, memory: _Flow, step_scale: Array, number: Array) -> tuple[Array, _Flow]:
        """One gradient: of a stage, or of a look at the largest curvature."""
        m, stable = memory, _chebyshev()[1]
        first, looking, last = m.stage == -1, m.stage == 0, m.stage == m.stages
        between = (m.stage > 0) & ~last
        probe = PROBE / jnp.maximum(m.size, jnp.finfo(theta.dtype).tiny)
        g = gradient(theta + jnp.where(first, 0.0, jnp.where(looking, probe * m.steep, m.now)))

        # After the last stage the error estimate, after a look how the gradient turned: one norm serves both.
        error = 0.8 * m.now + 0.4 * m.length * (m.gradient + g)
        turned = jnp.where(first, g, g - m.gradient)
        norm = euclidean_norm(jnp.where(last, error, turned))
        error = norm / (self.tolerance * step_scale)
        finite = jnp.isfinite(error)
        taken = last & finite & (error <= 1.0)
        refused = last & ~taken
        floor = jnp.maximum(error, 1e-4)
        factor = 0.8 / jnp.cbrt(floor)
        growth = jnp.clip(jnp.minimum(factor, factor * jnp.cbrt(m.error / floor)), 0.2, 5.0)
        factor = jnp.where(taken, growth, jnp.where(finite, jnp.clip(factor, 0.1, 0.7), 0.1))
        length = jnp.where(last, m.length * factor, m.length)
        theta, time = jnp.where(taken, theta + m.now, theta), jnp.where(taken, m.time + m.length, m.time)
        base = jnp.where(taken | first, g, m.gradient)

        # The largest curvature: looked at before the first step, every few steps, and after a refusal.
        curvature = jnp.where(looking, jnp.maximum(norm / PROBE, 1e-3), m.curvature)
        looked = looking | first
        steep, size = jnp.where(looked, turned, m.steep), jnp.where(looked, norm, m.size)
        since = jnp.where(looking, 0, jnp.where(taken, m.since + 1, m.since))
        look = first | refused | (last & (since >= POWER_EVERY))

        # The next stage, of this step or of the one that begins. The power iteration approaches from below: 1.1.
        begins = looking | (last & ~look)
        steepest = 1.1 * curvature
        length = jnp.where(begins, jnp.minimum(length, 0.95 * float(stable[STAGES]) / steepest), length)
        needed = 1 + jnp.ceil(jnp.sqrt(1 + 1.54 * length * steepest)).astype(jnp.int32)
        stages = jnp.where(begins, jnp.clip(needed, 2, STAGES), m.stages)
        following = jnp.minimum(m.stage + 1, STAGES)
        mu, nu, mu_g, gamma = (gradient.entry(table, m.stages, following) for table in range(4))
        begun = -length * gradient.entry(2, stages, 1) * base
        staged = mu * m.now + nu * m.before - m.length * (mu_g * g + gamma * m.gradient)
        now = jnp.where(begins, begun, jnp.where(between, staged, m.now))
        before = jnp.where(begins, 0.0, jnp.where(between, m.now, m.before))
        stage = jnp.where(look, 0, jnp.where(begins, 1, m.stage + 1))
        error = jnp.where(taken, floor, m.error)
        return theta, _Flow(base, now, before, steep, size, length, stages, stage, curvature, since, error, time)

    def gradient_in(self, memory: _Flow) -> Array:
        """The gradient at the start of the step."""
        return memory.gradient

    def elapsed(self, before: _Flow, after: _Flow, steps: int | Array, step_scale: Array) -> Array:
        """The lengths of the steps that were accepted."""
        return after.time - before.time
