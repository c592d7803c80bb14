"""Second-order finish: from the end of a descent to the stationary point that the descent was approaching.

The finish must not change what the descent would have found. Where a bound B on the third derivative is known, this
is shown and not hoped: if the Hessian at the polished point is at least lambda, then within r = lambda / B the loss
is convex, so the point is the only stationary one there, and on the sphere of radius r the loss is higher by at
least lambda^3 / (3 B^2). A descent that stands inside the ball, with less than that left to fall, can never leave
it: it converges to this very point.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from landscape.problems.problem import Problem


class Polished(NamedTuple):
    """Outcome of a polish.

    Attributes:
        theta: The polished point, [p].
        loss: Loss there.
        grad_norm: Gradient norm there.
        moved: Distance from the start of the polish.
        definite: Every Hessian eigenvalue there is at least 1e-5 of the Hessian's norm: clear of the sqrt(target) that
            degenerate points show.
        trapped: The descent is shown to converge to this point (see the module's docstring).
        steps: Iterations used.
    """

    theta: Float[Array | np.ndarray, " p"]
    loss: Float[Array | np.ndarray, ""]
    grad_norm: Float[Array | np.ndarray, ""]
    moved: Float[Array | np.ndarray, ""]
    definite: Bool[Array | np.ndarray, ""]
    trapped: Bool[Array | np.ndarray, ""]
    steps: Array | np.ndarray


class _Carry(NamedTuple):
    theta: Array
    loss: Array
    grad: Array
    shift: Array
    refused: Array  # steps refused in a row
    steps: Array


def polish(
    problem: Problem,
    theta: Float[Array, " p"],
    target: Float[Array, ""] | float,
    reach: Float[Array, ""] | float,
    noise: Float[Array, ""] | float,
    scale: Float[Array, ""] | float,
    max_steps: int = 60,
) -> Polished:
    """Newton's method with a shift, monotone in the loss and never further than `reach` from its start.

    A step solves (H + mu I) s = -g with mu = shift sqrt(|g| / scale): zero while H is positive definite and steps
    succeed (quadratic convergence), growing when the factorisation fails or a step is refused. mu proportional to
    sqrt(|g|) is cubic regularisation (Nesterov and Polyak 2006): at the degenerate minima of networks wider than
    their teacher, where the loss grows cubically, it converges linearly, where least-squares steps jump to other
    points and |eigenvalue|-modified steps need an eigendecomposition.

    Args:
        problem: The landscape.
        theta: End of the descent, float64.
        target: Gradient norm at which to stop.
        reach: Longest allowed distance from theta.
        noise: Rounding error of the loss near theta; the loss may rise by this where the gradient falls.
        scale: Size of the gradient far from stationary points.
        max_steps: Ceiling on iterations, refused ones included.
    """
    start = theta
    eye = jnp.eye(theta.shape[0], dtype=theta.dtype)
    norm = jnp.linalg.norm

    def running(c: _Carry) -> Array:
        # After five refusals mu exceeds any curvature of interest: what holds the point is `reach`, not curvature.
        return (norm(c.grad) > target) & (c.steps < max_steps) & (c.refused < 6) & jnp.isfinite(norm(c.grad))

    def step(c: _Carry) -> _Carry:
        mu = c.shift * jnp.sqrt(norm(c.grad) / scale)
        factor = jax.lax.linalg.cholesky(problem.hessian(c.theta) + mu * eye, symmetrize_input=False)
        s = -jax.scipy.linalg.cho_solve((factor, True), c.grad)
        trial = jnp.where(jnp.isfinite(s), c.theta + s, c.theta)
        loss, grad = problem.loss(trial), problem.gradient(trial)
        flatter = norm(grad) < norm(c.grad)
        lower = loss < c.loss - noise
        good = (
            jnp.all(jnp.isfinite(s)) & (norm(trial - start) <= reach) & (lower | (flatter & (loss <= c.loss + noise)))
        )
        keep = lambda new, old: jnp.where(good, new, old)  # noqa: E731
        eased = jnp.where(c.shift < 1e-3, 0.0, 0.2 * c.shift)
        return _Carry(
            keep(trial, c.theta),
            keep(loss, c.loss),
            keep(grad, c.grad),
            keep(eased, jnp.maximum(0.05, 8.0 * c.shift)),
            keep(jnp.zeros((), int), c.refused + 1),
            c.steps + 1,
        )

    none = jnp.zeros((), int)
    first = _Carry(theta, problem.loss(theta), problem.gradient(theta), jnp.zeros((), theta.dtype), none, none)
    end = jax.lax.while_loop(running, step, first)

    moved = norm(end.theta - start)
    hessian = problem.hessian(end.theta)
    size = norm(hessian)
    rounding = 4.0 * theta.shape[0] * jnp.finfo(theta.dtype).eps * size

    def at_least(curvature: Array) -> Array:
        """Whether every eigenvalue of the Hessian is at least `curvature`, by a Cholesky factorisation."""
        return jnp.all(jnp.isfinite(jax.lax.linalg.cholesky(hessian - curvature * eye, symmetrize_input=False)))

    # Left to fall: at most |g| times the distance, by convexity inside the ball. The polished point may itself miss
    # the exact one by grad_norm / lambda, which the factor 2 on the distance covers many times over.
    radius = 0.1 * problem.smooth_radius(end.theta)
    bound = problem.third_derivative(end.theta, radius)
    distance = 2.0 * moved + 1e-12 * scale
    needed = jnp.maximum(bound * distance, jnp.cbrt(3.0 * bound**2 * norm(first.grad) * distance))
    trapped = (
        (needed <= bound * radius)
        & jnp.isfinite(needed)
        & at_least(jnp.where(jnp.isfinite(needed), needed, 0.0) + rounding)
    )
    return Polished(
        theta=end.theta,
        loss=end.loss,
        grad_norm=norm(end.grad),
        moved=moved,
        # Beside a dying neuron the Hessian is rounding noise over its length.
        definite=at_least(1e-5 * size) & (problem.smooth_radius(end.theta) > 1e-6 * scale),
        trapped=trapped,
        steps=end.steps,
    )


def newton_to_stationary(problem: Problem, theta: np.ndarray, target: float, reach: float) -> tuple[np.ndarray, float]:
    """The stationary point of any index next to theta, and its gradient norm; on the host, by eigendecomposition.

    Newton steps on the gradient without the directions whose curvature is within rounding of zero. A step is taken
    only if the gradient norm falls and the point stays within `reach` of its start: else the best point so far is
    returned. Used for the few descents that stop at a saddle.
    """
    start, best = theta, np.asarray(theta, np.float64)
    grad, hessian = evaluate(problem, best)
    for _ in range(30):
        norm = float(np.linalg.norm(grad))
        if norm <= target:
            break
        values, vectors = np.linalg.eigh(hessian)
        seen = np.abs(values) > 1e-9 * max(1.0, float(np.max(np.abs(values))))
        step = -(vectors[:, seen] / values[seen]) @ (vectors[:, seen].T @ grad)
        trial = best + step
        new_grad, new_hessian = evaluate(problem, trial)
        if not np.linalg.norm(new_grad) < norm or np.linalg.norm(trial - start) > reach:
            break
        best, grad, hessian = trial, new_grad, new_hessian
    return best, float(np.linalg.norm(grad))


def evaluate(problem: Problem, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient [p] and Hessian [p, p] at one point, in float64 on the host."""
    with jax.enable_x64(True):
        grad, hessian = _evaluate(problem, jnp.asarray(theta, jnp.float64))
        return np.asarray(grad), np.asarray(hessian)


_evaluate = jax.jit(lambda problem, theta: (problem.gradient(theta), problem.hessian(theta)))
