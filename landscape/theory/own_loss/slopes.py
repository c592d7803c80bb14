"""Is the automatic gradient the slope of the loss? Not where a stop_gradient, or one's own derivative, says otherwise.

Everything in this room that follows a gradient rests on it: a point where it vanishes need not be stationary. It is
compared with differences of the loss at places near the point, where kinks that pass through the point are off.
"""

from __future__ import annotations

import numpy as np

from landscape.theory.own_loss.view import Loss

PLACES, LINES = 3, 3  # with the steps and both signs below 64 evaluations, one block
AWAY = 1e-2  # of the places, in scales
STEPS = np.array([1e-4, 1e-5, 1e-6])  # differences that agree at all three are a slope, of no staircase and no ripple
AGREES = 1e-3  # of the steepest slope met: differences of a smooth loss agree to 1e-4 with the largest step


def false_gradient(loss: Loss, u: np.ndarray) -> bool:
    """Whether at most of the places near u where the loss has a slope the automatic gradient is another one.

    Args:
        loss: The loss.
        u: A point, [p].
    """
    rng = np.random.default_rng(3)
    places = u + AWAY * _units(rng.normal(size=(PLACES, len(u))))
    lines = _units(rng.normal(size=(LINES, len(u))))
    gradients = loss.gradients(places)
    steps = np.concatenate([STEPS, -STEPS])[:, None, None, None] * lines[:, None, :] + places  # [2 steps, lines, ...]
    values = loss.losses(steps.reshape(-1, len(u))).reshape(2, len(STEPS), LINES, PLACES)
    slopes = (values[0] - values[1]) / (2.0 * STEPS[:, None, None])
    noise = loss.errors(places) + np.finfo(float).eps * np.linalg.norm(u) * np.max(np.abs(slopes), axis=(0, 1))
    foretold = lines @ gradients.T
    if not np.all(np.isfinite(slopes)) or not np.all(np.isfinite(foretold)):
        return False
    size = max(float(np.max(np.abs(slopes))), float(np.max(np.linalg.norm(gradients, axis=1))))
    blur = AGREES * size + 4.0 * noise / STEPS[:, None, None]
    one = np.abs(slopes - slopes[1]) <= blur + blur[1]
    off = np.abs(slopes - foretold) > 2.0 * blur
    seen = np.all(one, axis=0) & (2.0 * blur[1] < 0.1 * size)
    return bool(seen.any() and np.mean(np.any(off, axis=0)[seen]) > 0.5)


def _units(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1)[:, None]
