"""Looks along descents: loss, gradient norm and observables by step, as arrays."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from landscape import descent
from landscape.census.census import Census
from landscape.descent.batch import advanced, begun
from landscape.engine.looks import OWN
from landscape.engine.settings import Settings
from landscape.precision import float64
from landscape.problems.problem import Problem, gradients_at
from landscape.problems.restart import keys_of, noise_key, start_points
from landscape.records import whole


class Trace(NamedTuple):
    """What was seen along the descents of a run. After the end of a descent all is NaN.

    Attributes:
        restarts: Their numbers, [r] ascending; those that are done.
        steps: Gradients since the start of a descent at each look, [t].
        time: Of the gradient flow, [r, t]: the sum of the steps' lengths; NaN for methods without one, such as L-BFGS.
        loss: Loss, [r, t].
        grad_norm: Euclidean norm of the gradient, [r, t].
        observed: By name, [r, t] for numbers and [r, t, q] for vectors.
        theta: Coordinates, [r, t, p], where they were kept; else None.
        labels: Of the ends, [r] of text.
        floor: Bound on the rounding error of the loss at the ends, [r].
        census: Of the run.
    """

    restarts: np.ndarray
    steps: np.ndarray
    time: np.ndarray
    loss: np.ndarray
    grad_norm: np.ndarray
    observed: dict[str, np.ndarray]
    theta: np.ndarray | None
    labels: np.ndarray
    floor: np.ndarray
    census: Census


def traced(census: Census, at: tuple[int, ...], columns: dict[str, np.ndarray]) -> Trace:
    """The looks of finished restarts as arrays.

    Args:
        census: Of the run.
        at: Gradients at which was looked.
        columns: The looks, each once.
    """
    order = np.argsort(census.rows["restart"])
    restarts, steps = census.rows["restart"][order], np.asarray(at)
    found = columns.get("restart", np.zeros(0, np.int64))
    known = np.isin(found, restarts)
    row, look = np.searchsorted(restarts, found[known]), np.searchsorted(steps, columns.get("step", found)[known])

    def array(name: str) -> np.ndarray:
        values = columns.get(name, np.zeros(0))[known]
        out = np.full((len(restarts), len(steps), *values.shape[1:]), np.nan)
        out[row, look] = values
        return out

    return Trace(
        restarts=restarts,
        steps=steps,
        time=array("time"),
        loss=array("loss"),
        grad_norm=array("grad_norm"),
        observed={name: array(name) for name in columns if name not in OWN},
        theta=array("theta") if "theta" in columns else None,
        labels=census.rows["label"][order] if len(order) else np.zeros(0, object),
        floor=census.rows["loss_error"][order] if len(order) else np.zeros(0),
        census=census,
    )


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
        keys = keys_of(noise_key(seed), chosen.astype(np.uint32))
        lanes = begun(problem, method, jnp.asarray(theta, dtype), jnp.asarray(scale, dtype), keys)
        for look in looks:
            lanes = advanced(problem, method, lanes, 0 if look == 0 else every)
            loss.append(np.asarray(lanes.loss, np.float64))
            # Before its first step a method has no gradient in its memory (the flow's is zero there): it is computed.
            first = gradients_at(problem, lanes.theta) if look == 0 else None
            norm = lanes.grad_norm if first is None else jnp.linalg.norm(first, axis=1)
            grad_norm.append(np.asarray(norm, np.float64))
        ends = np.asarray(lanes.theta, np.float64)
        # Not where a descent has diverged: the rounding error there is no floor for the others.
        tame = np.all(np.isfinite(ends), axis=1) & (loss[-1] <= loss[0])
        errors = np.array([problem.loss_error(end) for end in ends[tame][:20]])
    coarser = float(jnp.finfo(dtype).eps) / float(np.finfo(np.float64).eps)
    floor = coarser * float(np.median(errors)) if len(errors) else float("nan")
    return Curves(steps=looks, restarts=chosen, loss=np.stack(loss), grad_norm=np.stack(grad_norm), floor=floor)


def looks(
    problem: Problem, settings: Settings, start: Float[np.ndarray, " p"], steps: int = 5000, count: int = 60
) -> Float[np.ndarray, "t p"]:
    """Where one descent stands at so many looks, evenly spaced, its start first, as `explore` runs it.

    It ends sooner where it is no longer finite.

    Raises:
        InputError: `steps` is no whole number of at least 1.
    """
    every = descent.PAIRS * -(-max(1, whole("steps", steps, 1) // count) // descent.PAIRS)
    with float64():
        dtype = jnp.dtype(settings.dtype)
        lanes = begun(problem, settings.method(problem.scale), jnp.asarray(start, dtype)[None])
        seen = [np.asarray(start, np.float64)]
        for _ in range(-(-steps // every)):
            lanes = advanced(problem, settings.method(problem.scale), lanes, every)
            seen.append(np.asarray(lanes.theta[0], np.float64))
            if not np.all(np.isfinite(seen[-1])):
                return np.stack(seen[:-1])
    return np.stack(seen)
