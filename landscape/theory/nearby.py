"""What the loss itself says near a point, in float64: lower points beside it, and how far it could fall."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np

from landscape.polish import eigensystem, evaluate
from landscape.precision import float64
from landscape.problems.problem import Problem, losses_at
from landscape.records import Claim, Evidence, Label, Point

NEARBY = 1e-3  # a Newton step longer than this, times the scale, does not point at a stationary point


def losses(problem: Problem, thetas: np.ndarray) -> np.ndarray:
    """The loss at several points [r, p], in float64, [r]."""
    # Blocks of one size: one program.
    blocks = [np.resize(thetas[i : i + 64], (64, thetas.shape[1])) for i in range(0, len(thetas), 64)]
    with float64():
        values = [np.asarray(losses_at(problem, jnp.asarray(block, jnp.float64)), np.float64) for block in blocks]
    return np.concatenate(values)[: len(thetas)]


def left_to_fall(problem: Problem, theta: np.ndarray) -> float | None:
    """How far below theta the stationary point next to it can lie: g' |H|^-1 g; None where there is none next to it.

    Half of it is the Newton decrement, exact for a quadratic; a loss that grows like distance^m falls by (m - 1) / m of
    it. A long Newton step leads to no stationary point nearby: exp(-x) has decrement exp(-x) / 2 everywhere.
    """
    grad, hessian = evaluate(problem, theta)
    system = eigensystem(hessian)
    if system is None:
        return None
    values, vectors = system
    seen = np.abs(values) > len(values) * np.finfo(float).eps * np.max(np.abs(values))
    along = vectors[:, seen].T @ grad
    if np.linalg.norm(along / values[seen]) > NEARBY * problem.scale:
        return None
    return float(np.sum(along**2 / np.abs(values[seen])))


def lower_point(problem: Problem, point: Point, direction: np.ndarray) -> tuple[np.ndarray, float] | None:
    """A step along +-direction to a loss lower by more than both errors, and the rest of the drop.

    The loss may not rise on the way by more than the errors: what lies behind a barrier is another valley, and says
    nothing of this point.
    """
    sizes = problem.scale * np.geomspace(1e-6, 0.5, 48)
    best: tuple[np.ndarray, float] | None = None
    for sign in (1.0, -1.0):
        steps = sign * sizes[:, None] * direction
        values = losses(problem, point.theta + steps)
        before, error = point.loss, point.loss_error
        for step, value in zip(steps, values, strict=True):
            own = problem.loss_error(point.theta + step)
            if not value <= before + error + own:
                break
            drop = point.loss - value - point.loss_error - own
            if drop > 0 and (best is None or drop > best[1]):
                best = (step, float(drop))
            before, error = min(before, float(value)), own
    return best


def at_bound(problem: Problem, point: Point) -> Claim | None:
    """GLOBAL, numerical, if the loss is at the problem's lower bound; None if it is above.

    At the bound means within the rounding error of the loss, and what the point could still fall to the stationary
    point beside it: a user's loss may be known far better than its polished point is stationary.
    """
    bound = problem.lower_bound
    if bound is None or not np.isfinite(point.loss):
        return None
    excess = point.loss - bound.value
    if excess > point.loss_error:
        if excess > point.grad_norm * problem.scale:
            return None
        if excess > point.loss_error + (left_to_fall(problem, point.theta) or 0.0):
            return None
    return below_bound(problem, point) or Claim(
        Label.GLOBAL, evidence=Evidence.NUMERICAL, by="lower bound", margin=point.loss_error
    )


def below_bound(problem: Problem, point: Point) -> Claim | None:
    """UNDECIDED if the loss lies below the problem's lower bound by more than its rounding error; else None."""
    bound = problem.lower_bound
    if bound is None or not bound.value - point.loss > point.loss_error:
        return None
    below = bound.value - point.loss
    return Claim(
        Label.UNDECIDED,
        reason=f"the loss lies {below:.3g} below the lower bound that was given: the bound is wrong",
    )
