"""Looks along descents: loss and gradient norm by step."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from landscape import descent
from landscape.descent.batch import advanced, begun
from landscape.engine.settings import Settings
from landscape.precision import float64
from landscape.problems.problem import Problem
from landscape.restart import start_points

CURVE_POINTS = 200  # looks at a descent: more cannot be told apart


class Curves(NamedTuple):
    """Descents of some restarts.

    Attributes:
        steps: When they were looked at, [t].
        restarts: Their numbers, [r].
        loss: Loss, [t, r].
        grad_norm: Euclidean norm of the gradient, [t, r].
        floor: Rounding error of the loss at the ends of these descents (median), in the dtype of the descent.
    """

    steps: np.ndarray
    restarts: np.ndarray
    loss: np.ndarray
    grad_norm: np.ndarray
    floor: float


def sample_curves(
    problem: Problem,
    settings: Settings,
    seed: int,
    restarts: int | np.ndarray = 40,
    steps: int = 5000,
    starts: np.ndarray | None = None,
    step_scale: np.ndarray | None = None,
) -> Curves:
    """Loss and gradient norm along the descents of some restarts, as `explore` runs them.

    Args:
        problem: The landscape.
        settings: Of the run.
        seed: Of the starting points.
        restarts: The numbers of some restarts, or how many of the first.
        steps: Length of the descents; they are looked at up to 200 times, every 24 steps or less often.
        starts: Given starting points, [restarts of the run, p].
        step_scale: Multiplies the step size of each, [r]; 1 by default.
    """
    chosen = np.arange(restarts) if isinstance(restarts, int) else np.asarray(restarts, np.int64)
    every = descent.PAIRS * -(-max(24, -(-steps // CURVE_POINTS)) // descent.PAIRS)  # whole turns of the L-BFGS ring
    looks = every * np.arange(max(0, steps) // every + 1)
    if not len(chosen):
        empty = np.zeros((len(looks), 0))
        return Curves(steps=looks, restarts=chosen, loss=empty, grad_norm=empty, floor=float("nan"))
    method = settings.method(problem.scale)
    theta = (
        start_points(problem, seed, chosen, settings.init, settings.init_scale)
        if starts is None
        else np.asarray(starts, np.float64).reshape(len(starts), -1)[chosen]
    )
    scale = np.ones(len(chosen)) if step_scale is None else np.asarray(step_scale, np.float64)

    loss, grad_norm = [], []
    with float64():
        dtype = jnp.dtype(settings.dtype)
        lanes = begun(problem, method, jnp.asarray(theta, dtype), jnp.asarray(scale, dtype))
        for look in looks:
            lanes = advanced(problem, method, lanes, 0 if look == 0 else every)
            loss.append(np.asarray(lanes.loss, np.float64))
            # Before its first step a method has no gradient in its memory (the flow's is zero there): it is computed.
            first = problem.gradients(lanes.theta) if look == 0 else None
            norm = lanes.grad_norm if first is None else jnp.linalg.norm(first, axis=1)
            grad_norm.append(np.asarray(norm, np.float64))
        ends = np.asarray(lanes.theta, np.float64)
        # Not where a descent has diverged: the rounding error there is no floor for the others.
        tame = np.all(np.isfinite(ends), axis=1) & (loss[-1] <= loss[0])
        errors = np.array([problem.loss_error(end) for end in ends[tame][:20]])
    coarser = float(jnp.finfo(dtype).eps) / float(np.finfo(np.float64).eps)
    floor = coarser * float(np.median(errors)) if len(errors) else float("nan")
    return Curves(steps=looks, restarts=chosen, loss=np.stack(loss), grad_norm=np.stack(grad_norm), floor=floor)
