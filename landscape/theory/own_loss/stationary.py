"""Is there no step that improves? Newton steps that shrink to nothing say so; steps of one length run to infinity.

The gradient alone says nothing, because it is small wherever the loss is: at exp(-a) it equals the loss, and is 1e-13
at a = 30, where a unit step takes two thirds of all that is left. A Newton step there is one unit long for ever.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.theory.own_loss.view import Loss

ROUNDS = 24  # Newton steps: at x^4 each takes a third of the way, so that 1e-3 becomes 6e-8
REACH = 1e-3  # a point further than this from a stationary one, in units of the scale, is not at it
NEAR = 1e-5  # where the gradient is as small as it gets, a point this close to a stationary one is at it
BLUR = 1e-11  # scales: at a curvature of 1e-5 the gradient's rounding leaves a point open by so much
FAINT = 1e-5  # of the largest curvature: a thousandth of a scale off a set of stationary points it is 1e-6 along it
PUSHES = 8  # Newton steps to a bound
PART = 1e-3  # of what was left above it
AT = 10.0  # errors of the loss: what is above a bound by more is not at it by rounding alone
SHRINK = 0.97  # steps whose geometric mean ratio is above this do not shrink: 0.95 at x^20, 1 at exp(-x)


class Rest(NamedTuple):
    """The stationary point at a point, or what keeps it from being one.

    Attributes:
        u: Where the Newton steps led, [p].
        loss: The loss there.
        error: Bound on its rounding error.
        gradient: The gradient there, [p].
        values: Eigenvalues of the Hessian there, ascending, [p].
        vectors: Its eigenvectors, columns, [p, p].
        curvature_error: An eigenvalue of the stationary point lies within this of each of `values`: rounding, and what
            is left to go times the change of the Hessian on the way.
        left: What the loss could still lose on the way to the stationary point.
        step: Length of the last Newton step.
        moved: Distance from the given point.
        stationary: Whether no step improves.
        jumps: Whether the Hessian is another one an imperceptible step away, which no smooth function's is.
    """

    u: Float[np.ndarray, " p"]
    loss: float
    error: float
    gradient: Float[np.ndarray, " p"]
    values: Float[np.ndarray, " p"]
    vectors: Float[np.ndarray, "p p"]
    curvature_error: float
    left: float
    step: float
    moved: float
    stationary: bool
    jumps: bool


class _Newton(NamedTuple):
    u: np.ndarray
    gradient: np.ndarray
    hessian: np.ndarray
    values: np.ndarray
    vectors: np.ndarray
    errors: tuple[float, float]  # of the gradient and of the Hessian
    step: np.ndarray

    @property
    def cut(self) -> float:
        """What an eigenvalue may be and still be zero: rounding of the Hessian, and of LAPACK (Weyl)."""
        p = len(self.values)
        return self.errors[1] + (p + 16 * np.sqrt(p)) * np.finfo(float).eps * float(np.linalg.norm(self.values))


def rest(loss: Loss, u: np.ndarray) -> Rest | None:
    """The stationary point of any kind at u; None where the loss, or a derivative, is not finite.

    Args:
        loss: The loss.
        u: A point, [p].
    """
    start = here = _at(loss, u)
    if here is None or start is None:
        return None
    lengths, stuck = [float(np.linalg.norm(here.step))], False
    for _ in range(ROUNDS):
        step = _across(here)
        if lengths[-1] <= 1e-15 * (1.0 + np.linalg.norm(here.u)) or np.linalg.norm(step) > 100 * REACH:
            break
        there = _at(loss, here.u + step)
        if there is None or not np.linalg.norm(there.gradient) < np.linalg.norm(here.gradient):
            stuck = True
            break
        here = there
        lengths.append(float(np.linalg.norm(here.step)))
    moved = float(np.linalg.norm(here.u - start.u))
    value, error = loss.loss(here.u)
    small = lengths[-1] <= REACH and moved <= REACH and (_shrinks(lengths) or (stuck and lengths[-1] <= NEAR))
    drift = _drift(loss, here) if small else 0.0
    # A curvature below this leaves the stationary point open by more than `REACH`, by the gradient's rounding: the end
    # of a double exponential shows such a one, and has no stationary point.
    open_by = here.errors[0] / REACH
    return Rest(
        u=here.u,
        loss=value,
        error=error,
        gradient=here.gradient,
        values=here.values,
        vectors=here.vectors,
        curvature_error=max(here.cut + drift + (_drift(loss, _blurred(here)) if small else 0.0), open_by),
        left=2.0 * abs(float(here.gradient @ here.step)) + _blurred_fall(here),
        step=lengths[-1],
        moved=moved,
        stationary=small and not _falls(loss, here, value, error),
        # A jump is as high at 25 times the distance, where the change of a smooth Hessian is 25 times as large.
        jumps=small and lengths[-1] <= 1e-6 and drift > 100.0 * here.cut and _drift(loss, here, 100.0) < 8.0 * drift,
    )


def comes_to(loss: Loss, u: np.ndarray, bound: float) -> bool:
    """Whether Newton steps bring the loss to a bound: to within its rounding, or a thousandth of what u has left.

    What the rounding of the gradient leaves open is more than an exact fit misses, and more than is left in a valley
    that comes to the bound at infinity: steps lead to the one, and not in the other.

    Args:
        loss: The loss.
        u: A point, [p].
        bound: The bound.
    """
    value, error = loss.loss(u)
    enough, here, best = PART * (value - bound), u, value
    for _ in range(PUSHES):
        if best - bound <= max(enough, AT * error):
            return True
        there = _at(loss, here)
        if there is None:
            return False
        curved = np.abs(there.values) > there.cut
        slopes = there.vectors.T @ there.gradient
        step = -(there.vectors[:, curved] / np.abs(there.values[curved])) @ slopes[curved]
        trials = here + 0.5 ** np.arange(8)[:, None] * step
        values = loss.losses(trials)
        least = int(np.argmin(np.where(np.isfinite(values), values, np.inf)))
        if not values[least] < best:
            return False
        here, best = trials[least], float(values[least])
        error = loss.loss(here)[1]
    return best - bound <= max(enough, AT * error)


def _at(loss: Loss, u: np.ndarray) -> _Newton | None:
    gradient, hessian = loss.gradients(u[None])[0], loss.hessian(u)
    if not (np.all(np.isfinite(gradient)) and np.all(np.isfinite(hessian))):
        return None
    errors = loss.derivative_errors(u)
    if not np.all(np.isfinite(errors)):
        return None
    values, vectors = np.linalg.eigh(hessian)
    found = _Newton(u, gradient, hessian, values, vectors, errors, np.zeros_like(u))
    slopes = vectors.T @ gradient
    # Nothing is asked of directions whose curvature is rounding, nor of slopes that are.
    seen = (np.abs(values) > found.cut) & (np.abs(slopes) > errors[0])
    return found._replace(step=-(vectors[:, seen] / values[seen]) @ slopes[seen])


def _across(here: _Newton) -> np.ndarray:
    """The Newton step, without directions of next to no curvature in which it leads away from the point, [p].

    Beside a set of stationary points, as off y = 0 for x y^2, slope and curvature along the set are both of second
    order in the distance from it, and their quotient says nothing.
    """
    parts = here.vectors.T @ here.step
    away = np.abs(parts) > REACH
    if not away.any() or np.any(np.abs(here.values[away]) > FAINT * np.max(np.abs(here.values))):
        return here.step
    return here.vectors[:, ~away] @ parts[~away]


def _shrinks(lengths: list[float]) -> bool:
    """Whether Newton steps come to an end: they reached rounding, or each is shorter than the one before."""
    if lengths[-1] <= 1e-8:
        return True
    several = [a for a in lengths if a > 0]
    return len(several) > 2 and (several[-1] / several[0]) ** (1.0 / (len(several) - 1)) <= SHRINK


def _drift(loss: Loss, here: _Newton, steps: float = 4.0) -> float:
    """How much the Hessian changes within some steps of the point: an eigenvalue below that may be zero or negative.

    Newton steps to the zero of x^k fall short of it by a factor k - 1. Infinity where a Hessian is not finite.
    """
    if not np.any(here.step):
        return 0.0
    ends = [loss.hessian(here.u + steps * sign * here.step) for sign in (1.0, -1.0)]
    if not np.all(np.isfinite(ends)):
        return np.inf
    return float(max(np.linalg.norm(end - here.hessian, 2) for end in ends))


def _blurred(here: _Newton) -> _Newton:
    """The same with a step as long as the rounding of the gradient leaves it open, where that is more than rounding.

    Beside a zero of third order, h(x) = -x^3 at x = 1e-9, the slope of 1e-18 does not show, and the curvature does.
    """
    curved = np.abs(here.values) > here.cut
    blur = np.where(curved, here.errors[0] / np.where(curved, np.abs(here.values), 1.0), 0.0)
    blur = np.where(blur > BLUR, np.minimum(blur, REACH), 0.0)
    return here._replace(step=here.vectors @ blur)


def _blurred_fall(here: _Newton) -> float:
    """What the loss could lose, by its curvature, along slopes that do not show beside the rounding of the gradient.

    A slope s with an error e leaves (|s| + e)^2 / (2 lambda), at most (s^2 + e^2) / lambda. Beside an exact fit the
    loss has less rounding than that: squares of 1e-16 show, and (1e-16)^2 / lambda is more.
    """
    slopes = here.vectors.T @ here.gradient
    hidden = (np.abs(here.values) > here.cut) & (np.abs(slopes) <= here.errors[0])
    if not hidden.any():
        return 0.0
    curved = np.abs(here.values[hidden])
    return float(np.sum(slopes[hidden] ** 2 / curved) + here.errors[0] ** 2 / np.min(curved))


def _falls(loss: Loss, here: _Newton, value: float, error: float) -> bool:
    """Whether the loss falls in a straight line, up to a scale, where curvature is zero and the slope is not.

    Beside a stationary point of any order the curvature is the slope over the distance, or more: x^3 + s x has none.
    """
    zero = np.abs(here.values) <= here.cut
    slope = here.vectors[:, zero] @ (here.vectors[:, zero].T @ here.gradient)
    norm = float(np.linalg.norm(slope))
    if norm <= 3.0 * here.errors[0] or norm <= error:
        return False
    if norm > 10.0 * REACH * here.cut:
        return True
    radii = np.geomspace(1e-2, 1.0, 5)
    steps = radii[:, None] * slope / norm
    values = np.abs(loss.losses(np.concatenate([here.u + steps, here.u - steps])) - value).reshape(2, -1).max(axis=0)
    # Beside a stationary point other terms take over well below a hundredth of the scale.
    return bool(np.any((norm * radii > 4.0 * error) & (norm * radii > 0.05 * values)))
