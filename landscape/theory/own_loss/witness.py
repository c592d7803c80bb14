"""A lower loss, to show that a minimum is not the least: the best that short descents from the problem's starts see.

It is looked for once a problem, and holds whatever the descents are: a loss that is seen is seen.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.problems.from_loss import UserLoss
from landscape.theory.own_loss.view import Loss, view

ROUNDS = 200
FEW = 8  # starts at which rounding is asked for


class Witness(NamedTuple):
    """The lowest loss seen.

    Attributes:
        u: Where, [p] in u.
        loss: The loss there.
        error: Of it.
        rounding: Of the loss at starts, in parts of itself; the median. Of float32 some 1e-7, of bfloat16 1e-2.
    """

    u: Float[np.ndarray, " p"]
    loss: float
    error: float
    rounding: float


@lru_cache(maxsize=64)
def witness(problem: UserLoss) -> Witness:
    """The lowest loss that short descents from the problem's starts see, kept for the problem."""
    return lowest(view(problem))


def lowest(loss: Loss) -> Witness:
    """The lowest loss on short descents from all draws of the start: steps of Barzilai and Borwein, never upwards."""
    here, values = loss.starts.copy(), loss.losses(loss.starts)
    good = np.isfinite(values)
    here, values = here[good], values[good]
    some, errors = loss.measured(here[:FEW])
    rounding = float(np.median(errors / np.maximum(np.abs(some), np.finfo(float).tiny))) if len(some) else 0.0
    slopes = loss.gradients(here)
    steps = 0.01 / np.maximum(np.linalg.norm(slopes, axis=1), 1e-300)
    for _ in range(ROUNDS):
        trial = here - steps[:, None] * slopes
        new = loss.losses(trial)
        better = new < values
        if not better.any() and np.all(steps * np.linalg.norm(slopes, axis=1) < 1e-12):
            break
        ahead = loss.gradients(trial)
        moved, change = trial - here, ahead - slopes
        inner = np.sum(moved * change, axis=1)
        fit = np.where(inner > 0, np.sum(moved**2, axis=1) / np.where(inner > 0, inner, 1.0), 4.0 * steps)
        steps = np.where(better, np.minimum(fit, 16.0 * steps), 0.25 * steps)
        here[better], slopes[better], values[better] = trial[better], ahead[better], new[better]
    best = int(np.argmin(values))
    return Witness(here[best], float(values[best]), float(loss.errors(here[best][None])[0]), rounding)
