"""The loss along the kinks that hold a point: what it is in the directions in which no slope jumps.

Where gradients of the pieces that meet at a point differ, the loss has a valley or a ridge of first order; in the
directions in which none differ it has a slope, and what it is there shows in second order (the VU-decomposition,
Lemarechal, Oustry and Sagastizabal 2000). A search in all directions seldom finds a way of second order between walls
of first order; a search along them does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from landscape.theory.own_loss.on_kinks import Near
from landscape.theory.own_loss.sphere import Function
from landscape.theory.own_loss.subgradients import MEETS, Spread, steepest
from landscape.theory.own_loss.view import Loss

JUMP = 1e-4  # gradients of pieces differ by this part of the largest: over 1e-7 a smooth one changes by far less
WITHIN = 0.99  # the cosine with which the normal of a kink lies in the space of the jumps
CHORDS = 4  # Newton steps back to the kinks, with the slopes at the point
FEW = 8  # directions in which a gradient is taken by differences
BESIDE = 1e-2  # how far from the point it is looked whether slopes jump along the kinks too, in scales
ACROSS = 1e-6  # how far to either side: a kink that bends is left by some BESIDE^2, and four chords leave BESIDE^6
NEAR = 1e-7  # as far off as the gradients of pieces


class Along(NamedTuple):
    """A loss on the kinks of first order that meet at a point.

    Attributes:
        k: In how many directions no slope jumps.
        function: The loss less that at the point, of the k coordinates in these directions.
        points: Where it is taken, [r, k] -> [r, p].
        covered: Whether the kinks that the program shows make all these jumps, so that `points` stays on bent ones too;
            else a way down along a bent kink is not seen.
    """

    k: int
    function: Function
    points: Callable[[np.ndarray], Float[np.ndarray, "r p"]]
    covered: bool


def along_kinks(loss: Loss, u: np.ndarray, slopes: np.ndarray, spread: Spread, near: Near) -> Along | None:
    """The loss on the kinks of first order at u; None where slopes jump in all directions, or in none.

    Args:
        loss: The loss.
        u: A point on its kinks, [p].
        slopes: Gradients of the pieces that meet near it, [r, p].
        spread: How they differ.
        near: The kinks that the program shows.
    """
    size = steepest(slopes)
    rank = spread.rank(JUMP * size)
    if rank in (0, len(u)) or _bends(loss, u):
        return None
    jumps, flat = spread.rows[:rank], spread.rows[rank:].T
    held = (near.distances <= MEETS) & (np.linalg.norm(near.normals @ jumps.T, axis=1) > WITHIN)
    numbers = near.numbers[held]
    covered = len(numbers) > 0 and int(np.linalg.matrix_rank(near.normals[held] @ jumps.T, tol=1e-6)) == rank
    normals = loss.switch_slopes(u, numbers) if len(numbers) else np.zeros((0, len(u)))
    back = np.linalg.pinv(normals, rcond=1e-9)
    flat = flat - back @ (normals @ flat)  # gradients a way off show them to 1e-10, normals to rounding
    switches = loss.switches_beside(u)
    rounding = np.finfo(float).eps * (1.0 + float(np.linalg.norm(u))) * np.linalg.norm(normals, axis=1)

    def points(z: np.ndarray) -> np.ndarray:
        here = u + z @ flat.T
        for _ in range(CHORDS if len(numbers) else 0):
            off = switches(here)[:, numbers]
            if np.all(np.abs(off) <= rounding):  # as on straight kinks from the first on
                break
            here = here - off @ back.T
        return here

    covered = covered and _jumps_along(loss, u, points, jumps, flat.shape[1])

    def sloped(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """By differences where directions are few: on a kink an automatic gradient is that of one of its sides."""
        k = z.shape[1]
        if k > FEW:
            gradients, losses = loss.slopes(points(z))
            return np.nan_to_num(gradients) @ flat, losses - value  # that of a norm at zero is 0 / 0 across it
        step = 1e-3 * np.linalg.norm(z, axis=1)[:, None]
        ends = [loss.losses(points((z[:, None] + s * step[:, None] * np.eye(k)).reshape(-1, k))) for s in (1.0, -1.0)]
        return (ends[0] - ends[1]).reshape(-1, k) / (2 * step), loss.losses(points(z)) - value

    def measured(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        losses, errors = loss.measured(points(z))
        return losses - value, errors + error + floor

    value, error = loss.loss(u)
    floor = float(np.finfo(float).eps * np.linalg.norm(u)) * size
    function = Function(
        values=lambda z: loss.losses(points(z)) - value,
        measured=measured,
        slopes=sloped,
    )
    return Along(flat.shape[1], function, points, covered)


def _bends(loss: Loss, u: np.ndarray) -> bool:
    """Whether gradients about u grow with the distance: nothing jumps there, and second derivatives are only not given.

    Those of a function of equal eigenvalues are 0 / 0, for example.
    """
    around = np.random.default_rng(4).normal(size=(8, len(u)))
    around *= NEAR / np.linalg.norm(around, axis=1, keepdims=True)
    near, further = (np.linalg.norm(loss.gradients(u + times * around), axis=1) for times in (1.0, 10.0))
    return bool(np.all(further >= 5.0 * near))  # false of NaN


def _jumps_along(
    loss: Loss, u: np.ndarray, points: Callable[[np.ndarray], np.ndarray], jumps: np.ndarray, k: int
) -> bool:
    """Whether slopes jump beside the point as at it. A switch that is zero on one side of its kink leads off it."""
    # Where a switch stays zero on half of the space eight points all miss that half once in 256 times.
    count = min(4 * k, int(np.clip(2048 // len(jumps), 8, 32)))
    z = np.random.default_rng(0).normal(size=(count, k))
    z *= BESIDE / np.linalg.norm(z, axis=1, keepdims=True)
    here = np.concatenate([u[None], points(z)])[:, None]
    sides = [loss.gradients((here + s * ACROSS * jumps).reshape(-1, len(u))) for s in (1.0, -1.0)]
    sizes = np.linalg.norm((sides[0] - sides[1]).reshape(len(here), -1), axis=1)
    return bool(np.all(sizes[1:] >= 0.5 * sizes[0]))  # false of NaN
