"""Second-order finish: from the end of a descent to the stationary point that the descent was approaching.

The finish must not change what the descent would have found. Where a bound B on the third derivative is known, this
is shown and not hoped: if the Hessian at the polished point is at least lambda, then within r = lambda / B the loss
is convex, so the point is the only stationary one there, and on the sphere of radius r the loss is higher by at
least lambda^3 / (3 B^2). A descent that stands inside the ball, with less than that left to fall, can never leave
it: it converges to this very point.

The loop is on the host and its parts are compiled: a Hessian is expensive to compile and cheap to run, and the one of
the last step is used again for what is said of the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import get_lapack_funcs

from landscape.precision import double_on_cpu, float64
from landscape.problems.problem import QUICK, Problem

HALVINGS = 0.5 ** np.arange(10)  # of balls about a point: the smallest is a fair end of a descent away from it
DECENT = {"xla_backend_optimization_level": 2}  # half the time to compile, none lost in running
FEW = 128  # coordinates up to which what compiles in two thirds of that time runs as fast; of 400 it takes 1.7 times
_POTRF, _POTRS = get_lapack_funcs(("potrf", "potrs"), dtype=np.float64)


class Polished(NamedTuple):
    """Outcome of a polish of b points.

    Attributes:
        theta: The polished points, [b, p].
        loss: Loss there.
        grad_norm: Gradient norm there.
        moved: Distance from the start of the polish.
        definite: Every Hessian eigenvalue there is at least 1e-5 of the Hessian's norm: clear of the sqrt(target) that
            degenerate points show.
        trapped: The descent is shown to converge to this point (see the module's docstring).
        steps: Iterations used.
    """

    theta: Float[np.ndarray, "b p"]
    loss: Float[np.ndarray, " b"]
    grad_norm: Float[np.ndarray, " b"]
    moved: Float[np.ndarray, " b"]
    definite: Bool[np.ndarray, " b"]
    trapped: Bool[np.ndarray, " b"]
    steps: np.ndarray


def _derivatives(problem: Problem, theta: Any) -> Any:
    """Loss [b], gradient [b, p] and Hessian [b, p, p] of each point [b, p]."""
    return (_derivatives_of_few if problem.p <= FEW else _derivatives_of_many)(problem, theta)


def _each(problem: Problem, theta: Any) -> Any:
    return jax.vmap(lambda t: (problem.loss(t), problem.gradient(t), problem.hessian(t)))(theta)


_derivatives_of_few = jax.jit(_each, compiler_options=QUICK)
_derivatives_of_many = jax.jit(_each, compiler_options=DECENT)


def _steps(hessian: Any, grad: np.ndarray, shift: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """-(H + shift)^-1 g, [b, p], of the wanted ones; NaN where H + shift has no Cholesky factor, or is not wanted."""
    if not double_on_cpu():
        return np.where(wanted[:, None], np.asarray(_batched_steps(hessian, grad, shift)), np.nan)
    # LAPACK on the host: half the time of the same in XLA, and nothing for those that are done.
    found, hessian = np.full(grad.shape, np.nan), np.asarray(hessian)
    for i in np.flatnonzero(wanted):
        factor = _factor(hessian[i], shift[i])
        if factor is not None:
            found[i] = -_POTRS(factor, grad[i], lower=1)[0]
    return found


def _definite(hessian: Any, shift: np.ndarray, wanted: np.ndarray) -> Bool[np.ndarray, " b"]:
    """Whether H + shift has a Cholesky factor, [b]; not where it is not wanted."""
    if not double_on_cpu():
        steps = np.asarray(_batched_steps(hessian, np.ones(hessian.shape[:2]), shift)) if wanted.any() else np.nan
        return wanted & np.all(np.isfinite(steps), axis=-1)
    found, hessian = np.zeros(len(wanted), bool), np.asarray(hessian)
    for i in np.flatnonzero(wanted):
        found[i] = _factor(hessian[i], shift[i]) is not None
    return found


def _factor(hessian: np.ndarray, shift: float) -> np.ndarray | None:
    """The Cholesky factor of H + shift in the lower triangle, None if there is none."""
    shifted = np.array(hessian.T, order="F")  # its own transpose, in the order that LAPACK takes without a copy
    shifted[np.diag_indices(len(shifted))] += shift
    factor, failed = _POTRF(shifted, lower=1, clean=0, overwrite_a=1)
    # LAPACK need not notice NaN; it is on the diagonal of the factor then.
    return None if failed or not np.all(np.isfinite(np.diagonal(factor))) else factor


@partial(jax.jit, compiler_options=QUICK)
def _batched_steps(hessian: Any, grad: Any, shift: Any) -> Any:
    """-(H + shift)^-1 g; NaN where H + shift has no Cholesky factor."""

    def one(h: Any, g: Any, mu: Any) -> Any:
        factor = jax.lax.linalg.cholesky(h + mu * jnp.eye(len(g), dtype=g.dtype), symmetrize_input=False)
        return -jax.scipy.linalg.cho_solve((factor, True), g)

    return jax.vmap(one)(hessian, grad, shift)


def _chosen(mask: np.ndarray, new: Any, old: Any) -> Any:
    """Hessians [b, p, p], new where the mask [b] says so: where they are, and on a CPU without a program."""
    many = np if double_on_cpu() else jnp
    return many.where(mask[:, None, None], new, old)


@partial(jax.jit, compiler_options=QUICK)
def ball(problem: Problem, theta: Any) -> Any:
    """Of each point [b, p]: radius of a ball in which the third derivative is bounded, and that bound."""

    def one(t: Any) -> Any:
        radius = 0.1 * problem.smooth_radius(t)
        return radius, problem.third_derivative(t, radius)

    return jax.vmap(one)(theta)


@partial(jax.jit, compiler_options=QUICK)
def _levels(problem: Problem, theta: Any) -> Any:
    return jax.vmap(problem.loss)(theta), jnp.sqrt(jnp.sum(jnp.square(problem.gradients(theta)), axis=1))


def levels(problem: Problem, thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Loss and gradient norm at several points [m, p], in float64, [m] each."""
    found, many = [], 64 if double_on_cpu() else 1024
    with float64():
        for i in range(0, len(thetas), many):  # blocks of one size: one program
            block = np.resize(np.asarray(thetas[i : i + many], np.float64), (many, thetas.shape[1]))
            found.append(np.stack([np.asarray(x) for x in _levels(problem, block)]))
    loss, grad_norm = np.concatenate(found, axis=1)[:, : len(thetas)]
    return loss, grad_norm


def _sizes(hessian: Any) -> np.ndarray:
    """Frobenius norms of Hessians [b, p, p]: where they are, and on a CPU without a program."""
    if not double_on_cpu():
        return np.asarray(_norms(hessian))
    return np.sqrt([np.vdot(one, one) for one in np.asarray(hessian)])  # no array of squares


@partial(jax.jit, compiler_options=QUICK)
def _norms(hessian: Any) -> Any:
    return jnp.sqrt(jnp.sum(hessian * hessian, axis=(1, 2)))


def batch_size(p: int) -> int:
    """How many Hessians are made at once, so that one program does.

    1 MB of them on a CPU, the cache of a core (at p = 400 one at a time costs half as much as four at once); 256 MB on
    an accelerator.
    """
    on_cpu = double_on_cpu()
    fits = (2**17 if on_cpu else 2**25) / max(1, p) ** 2
    return int(np.clip(1 << int(np.log2(max(1.0, fits))), 1, 16 if on_cpu else 256))


def balls(problem: Problem, theta: np.ndarray, radius: float, bound: float) -> tuple[np.ndarray, np.ndarray]:
    """Radii [balls] of balls about a point [p], and bounds on the third derivative in each: smaller in smaller ones.

    Args:
        problem: The landscape.
        theta: The point.
        radius: Of the largest ball.
        bound: In that ball (see `ball`).
    """
    radii = radius * HALVINGS
    return radii, np.minimum(bound, problem.third_derivative_near(theta, radii))


def curvature_needed(radii: Any, bounds: Any, distance: Any, grad_norm: Any, scale: float) -> np.ndarray:
    """The least curvature at a polished point that traps a descent at this distance, with this gradient norm.

    Left to fall: at most |g| times the distance, by convexity inside the ball. The polished point may itself miss the
    exact one by its own gradient norm / lambda, which the factor 2 on the distance covers many times over. Any ball
    about the point will do in which the third derivative is bounded, and which holds the ball of radius lambda / B.

    Args:
        radii: Of such balls, [..., balls].
        bounds: B in each, [..., balls].
        distance: Of the descent from the point, [...].
        grad_norm: Where the descent stands, [...].
        scale: Of the problem.

    Returns:
        The curvature, [...]; inf where no ball is large enough.
    """
    reach = 2.0 * np.asarray(distance)[..., None] + 1e-12 * scale
    with np.errstate(over="ignore", invalid="ignore"):
        needed = np.maximum(bounds * reach, np.cbrt(3.0 * np.square(bounds) * np.asarray(grad_norm)[..., None] * reach))
        return np.min(np.where(needed <= bounds * radii, needed, np.inf), axis=-1)


@np.errstate(over="ignore", invalid="ignore")  # ends of descents that went to infinity are looked at, and left
def polish(
    problem: Problem,
    theta: np.ndarray,
    target: float,
    reach: float,
    noise: np.ndarray | float,
    scale: float,
    max_steps: int = 60,
    convex_only: np.ndarray | bool = False,
) -> Polished:
    """Newton's method with a shift, monotone in the loss and never further than `reach` from its start.

    A step solves (H + mu I) s = -g with mu = shift sqrt(|g| / scale): zero while H is positive definite and steps
    succeed (quadratic convergence), growing when the factorisation fails or a step is refused. mu proportional to
    sqrt(|g|) is cubic regularisation (Nesterov and Polyak 2006): at the degenerate minima of networks wider than
    their teacher, where the loss grows cubically, it converges linearly, where least-squares steps jump to other
    points and |eigenvalue|-modified steps need an eigendecomposition.

    Args:
        problem: The landscape.
        theta: Ends of descents, [b, p] float64; each b compiles anew.
        target: Gradient norm at which to stop.
        reach: Longest allowed distance from theta.
        noise: Rounding error of the loss near theta, [b]; the loss may rise by this where the gradient falls.
        scale: Size of the gradient far from stationary points.
        max_steps: Ceiling on iterations, refused ones included.
        convex_only: Whether to leave a point as it is where its Hessian is not positive definite, [b].
    """
    with float64():
        start = np.array(theta, np.float64)
        b, p = start.shape
        noise = np.broadcast_to(np.asarray(noise, float), (b,))
        here = start.copy()
        loss, grad, hessian = _derivatives(problem, here)
        loss, grad = np.array(loss), np.array(grad)
        norm = np.linalg.norm(grad, axis=1)
        first_norm = norm.copy()
        shift, refused, steps = np.zeros(b), np.zeros(b, int), np.zeros(b, int)
        looked = np.ones(b, bool)  # whether it is looked at any further
        while True:
            # After five refusals mu exceeds any curvature of interest: what holds the point is `reach`, not curvature.
            running = looked & (norm > target) & (steps < max_steps) & (refused < 6) & np.isfinite(norm)
            if not running.any():
                break
            step = _steps(hessian, grad, shift * np.sqrt(norm / scale), running)
            found = np.isfinite(step).all(axis=1) & running
            left = running & ~found & (steps == 0) & convex_only
            looked, running = looked & ~left, running & ~left
            if not running.any():
                break
            trial = np.where(found[:, None], here + step, here)
            new_loss, new_grad, new_hessian = _derivatives(problem, trial)
            new_loss, new_grad = np.array(new_loss), np.array(new_grad)
            new_norm = np.linalg.norm(new_grad, axis=1)
            lower, flatter = new_loss < loss - noise, new_norm < norm
            good = (
                found
                & (np.linalg.norm(trial - start, axis=1) <= reach)
                & (lower | (flatter & (new_loss <= loss + noise)))
            )
            here[good], loss[good], grad[good], norm[good] = trial[good], new_loss[good], new_grad[good], new_norm[good]
            eased = np.where(shift < 1e-3, 0.0, 0.2 * shift)
            shift = np.where(good, eased, np.where(running, np.maximum(0.05, 8.0 * shift), shift))
            refused = np.where(good, 0, refused + running)
            steps = steps + running
            hessian = new_hessian if good[running].all() else _chosen(good, new_hessian, hessian)

        moved = np.linalg.norm(here - start, axis=1)
        size, nowhere = _sizes(hessian), np.zeros(b)
        radius, bound = (np.asarray(x) for x in ball(problem, here)) if looked.any() else (nowhere, nowhere)
        rounding = 4.0 * p * np.finfo(float).eps * size

        def shown(needed: np.ndarray) -> np.ndarray:
            """Whether every eigenvalue of the Hessian is at least what is needed, by a Cholesky factorisation."""
            possible = np.isfinite(needed)
            return _definite(hessian, -np.where(possible, needed, 0.0) - rounding, possible)

        needed = curvature_needed(radius[:, None], bound[:, None], moved, first_norm, scale)
        trapped = shown(np.where(looked, needed, np.inf))
        # Beside a dying neuron the Hessian is rounding noise over its length. More than is asked for may be shown.
        solid, more = looked & (radius > 1e-7 * scale), trapped & (needed > 1.1e-5 * size)
        definite = solid & (more | _definite(hessian, -1e-5 * size, solid & ~more))
        flat = np.flatnonzero(definite & ~trapped)
        if len(flat):
            radii, bounds = np.stack([balls(problem, here[i], radius[i], bound[i]) for i in flat], axis=1)
            needed[:] = np.inf
            needed[flat] = curvature_needed(radii, bounds, moved[flat], first_norm[flat], scale)
            trapped |= shown(needed)
        return Polished(here, loss, norm, moved, definite, trapped, steps)


def all_definite(problem: Problem, thetas: np.ndarray) -> Bool[np.ndarray, " m"]:
    """Whether the Hessians at all points of each of some rows [m, points, p] have a Cholesky factor, [m].

    Eigenvalues of two Hessians differ by no more than the Hessians do in the Frobenius norm (Weyl). The factor of one
    Hessian of a row, less its distance to the others, therefore answers for all where they are close.
    """
    m, points, p = thetas.shape
    b, found = batch_size(p), np.zeros(m, bool)
    together = max(1, b // points)  # rows
    if not double_on_cpu():
        return np.all(_each_definite(problem, thetas.reshape(m * points, p)).reshape(m, points), axis=1)
    with float64():
        for i in range(0, m, together):
            some = np.resize(thetas[i : i + together], (together * points, p))
            parts = [_derivatives(problem, np.resize(some[j : j + b], (b, p)))[2] for j in range(0, len(some), b)]
            hessians = [hessian for part in parts for hessian in np.asarray(part)]  # views: nothing is copied on a CPU
            for row in range(i, min(m, i + together)):
                found[row] = _row_definite(hessians[(row - i) * points :][:points])
    return found


def _each_definite(problem: Problem, thetas: np.ndarray) -> Bool[np.ndarray, " m"]:
    """Whether the Hessian at each of some points [m, p] has a Cholesky factor: on the device, no Hessian leaves it."""
    with float64():
        parts = [part[2] for part in _in_batches(problem, thetas)]
        found = [_definite(hessian, np.zeros(len(hessian)), np.ones(len(hessian), bool)) for hessian in parts]
    return np.concatenate(found)[: len(thetas)]


def curved(problem: Problem, thetas: np.ndarray, least: np.ndarray) -> Bool[np.ndarray, " m"]:
    """Whether every eigenvalue of the Hessian is shown to be at least so much, [m], at each of some points [m, p]."""
    found = []
    with float64():
        for i, (_, _, hessian) in enumerate(_in_batches(problem, thetas)):
            b = len(hessian)
            rounding = 4.0 * thetas.shape[1] * np.finfo(float).eps * _sizes(hessian)
            shift = -np.resize(least[i * b : (i + 1) * b], b) - rounding
            found.append(_definite(hessian, shift, np.ones(b, bool)))
    return np.concatenate(found)[: len(thetas)]


def _in_batches(problem: Problem, thetas: np.ndarray) -> Iterator[Any]:
    """Losses, gradients and Hessians at points [m, p], a full batch at a time; points are repeated at the end."""
    b = batch_size(thetas.shape[1])
    for i in range(0, len(thetas), b):
        yield _derivatives(problem, np.resize(np.asarray(thetas[i : i + b], np.float64), (b, thetas.shape[1])))


def _row_definite(hessians: list[np.ndarray]) -> bool:
    """Whether each of a few Hessians [p, p] has a Cholesky factor."""
    middle = hessians[len(hessians) // 2]
    apart, difference = [], np.empty_like(middle)
    for hessian in hessians:
        np.subtract(hessian, middle, out=difference)
        apart.append(np.linalg.norm(difference))
    # A matrix whose least eigenvalue is beyond rounding has a factor.
    rounding = 4.0 * len(middle) * np.finfo(float).eps * np.linalg.norm(middle)
    if _factor(middle, -float(np.max(apart) + rounding)) is not None:  # NaN where one is not finite
        return True
    return all(_factor(hessian, 0.0) is not None for hessian in hessians)


def derivatives(problem: Problem, thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss [m], gradient [m, p] and Hessian [m, p, p] at many points [m, p], in float64 on the host.

    By the program that `polish` uses, in its batches.
    """
    with float64():
        found = [[np.asarray(x) for x in part] for part in _in_batches(problem, thetas)]
    loss, gradient, hessian = (np.concatenate(parts)[: len(thetas)] for parts in zip(*found, strict=True))
    return loss, gradient, hessian


def newton_to_stationary(problem: Problem, theta: np.ndarray, target: float, reach: float) -> tuple[np.ndarray, float]:
    """The stationary point of any index next to theta, and its gradient norm; on the host, by eigendecomposition.

    Newton steps on the gradient without the directions whose curvature is within rounding of zero. A step is taken
    only if the gradient norm falls and the point stays within `reach` of its start: else, and where the Hessian is not
    finite, the best point so far is returned. Used for the few descents that stop at a saddle.
    """
    start, best = theta, np.asarray(theta, np.float64)
    grad, hessian = evaluate(problem, best)
    for _ in range(30):
        norm = float(np.linalg.norm(grad))
        if norm <= target:
            break
        found = eigensystem(hessian)
        if found is None:
            break
        values, vectors = found
        seen = np.abs(values) > 1e-9 * max(1.0, float(np.max(np.abs(values))))
        step = -(vectors[:, seen] / values[seen]) @ (vectors[:, seen].T @ grad)
        trial = best + step
        new_grad, new_hessian = evaluate(problem, trial)
        if not np.linalg.norm(new_grad) < norm or np.linalg.norm(trial - start) > reach:
            break
        best, grad, hessian = trial, new_grad, new_hessian
    return best, float(np.linalg.norm(grad))


def eigensystem(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Ascending eigenvalues [p] and orthonormal eigenvectors [p, p] of a symmetric matrix; None where it has none.

    It has none where an entry is not finite; None is returned too where LAPACK's iteration does not converge.
    """
    if not np.all(np.isfinite(matrix)):
        return None
    try:
        values, vectors = np.linalg.eigh(matrix)
    except np.linalg.LinAlgError:
        return None
    return values, vectors


def evaluate(problem: Problem, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradient [p] and Hessian [p, p] at one point, in float64 on the host; by the program that `polish` uses."""
    with float64():
        _, grad, hessian = _derivatives(problem, _full(theta))
        if double_on_cpu():  # taken from memory: a slice of an array of JAX is a program
            grad, hessian = np.asarray(grad), np.asarray(hessian)
        return np.array(grad[0]), np.array(hessian[0])


def balls_at(problem: Problem, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """`balls` about one point [p], the largest of which is its `ball`; by the program that `polish` uses."""
    with float64():
        radius, bound = ball(problem, _full(theta))
        return balls(problem, theta, float(np.asarray(radius)[0]), float(np.asarray(bound)[0]))


def _full(theta: np.ndarray) -> np.ndarray:
    """One point as a full batch, so that no program of its own is compiled."""
    return np.tile(np.asarray(theta, np.float64), (batch_size(len(theta)), 1))
