"""Where a descent on a kinked loss ends: a quasi-Newton descent whose line search asks for slopes of one sign only.

BFGS with a weak Wolfe line search goes to the kinks that a minimum stands on, to rounding, where gradient descent
jumps to and fro (Lewis and Overton 2013, algorithm 4.6). Near its end a step is looked for in the span of the
gradients of the pieces that meet there. The last digits are those of Newton steps on the kinks.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from landscape.theory.own_loss.on_kinks import on_kinks
from landscape.theory.own_loss.subgradients import least_norm, pieces
from landscape.theory.own_loss.view import Loss

LONGEST = 1e100  # steps across a kink are ever shorter, and may leave an inverse Hessian whose steps overflow
ROUNDS = 400
NEAR = 1e-3  # how far, in scales, the end of a descent may be from the stationary point that it leads to
DESCENT, SLOPE = 1e-4, 0.9  # the two constants of the weak Wolfe conditions (Nocedal and Wright, chapter 3)


def finish(loss: Loss, u: np.ndarray, reach: float = 1.0) -> Float[np.ndarray, " p"] | None:
    """The end of a descent from u; None if it goes further than `reach` or to no end.

    Args:
        loss: The loss.
        u: A point, [p].
        reach: Longest way from u, in scales.
    """
    here = u
    for _ in range(3):
        end = _bfgs(loss, here, u, reach)
        if end is None:
            return None
        moved, here = float(np.linalg.norm(end - here)), end
        if moved <= 1e-12:
            break
    return _onto_kinks(loss, here)


def _onto_kinks(loss: Loss, end: np.ndarray) -> np.ndarray:
    """The stationary point on the most kinks beside the end of a descent that is as low as any; else that end."""
    value, error = loss.loss(end)
    points = list(on_kinks(loss, end, NEAR))
    if not points:
        return end
    values = loss.losses(np.array(points))
    good = np.flatnonzero(values <= min(value, float(np.min(values))) + error)
    return points[good[-1]] if len(good) else end


def _bfgs(loss: Loss, u: np.ndarray, centre: np.ndarray, reach: float) -> np.ndarray | None:
    p = len(u)
    here, value, grad = u, float(loss.losses(u[None])[0]), loss.gradients(u[None])[0]
    inverse = np.eye(p) / max(1.0, float(np.linalg.norm(grad)))
    fresh = True
    for _ in range(ROUNDS):
        if not np.isfinite(value):
            return None
        if not np.any(grad) or not np.all(np.isfinite(grad)):  # that of a norm at its tip is 0 / 0
            return here
        way = -inverse @ grad
        slope = float(grad @ way)
        found = _step(loss, here, value, slope, way) if slope < 0 and np.max(np.abs(way)) < LONGEST else None
        if found is None:
            if fresh:
                return here
            combined = least_norm(pieces(loss, here))
            inverse, fresh = np.eye(p) / max(1e-12, float(np.linalg.norm(combined))), True
            continue
        new, new_value, new_grad = found
        if np.linalg.norm(new - centre) > reach:
            return None
        moved, change = new - here, new_grad - grad
        here, value, grad, fresh = new, new_value, new_grad, False
        bend = float(moved @ change)
        if 0 < bend < np.inf:  # a vertical slope says nothing of curvature
            left = np.eye(p) - np.outer(moved, change) / bend
            inverse = left @ inverse @ left.T + np.outer(moved, moved) / bend
    return here


def _step(
    loss: Loss, here: np.ndarray, value: float, slope: float, way: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """A step that falls by its share and after which the slope along it is not steep any more; by bisection."""
    low, high, step = 0.0, np.inf, 1.0
    best = None
    for _ in range(60):
        trial = here + step * way
        new = float(loss.losses(trial[None])[0])
        if not new <= value + DESCENT * step * slope or not new < value:
            high = step
        else:
            grad = loss.gradients(trial[None])[0]
            best = (trial, new, grad)
            if grad @ way >= SLOPE * slope:
                return best
            low = step
        step = 0.5 * (low + high) if np.isfinite(high) else 2.0 * low
        if step * np.linalg.norm(way) <= 1e-17 * (1.0 + np.linalg.norm(here)):
            break
    return best
