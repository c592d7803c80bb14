"""Dynamic string sampling (Freeman and Bruna 2017): a path below a level, with way-points only where it needs them.

The loss is looked at along the straight way. Where it is above the level, the highest point goes down the gradient to
below the level and becomes a way-point, and both halves are looked at in turn. The level is then lowered for as long as
such a path is found. Not to find one says nothing: it may be there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from landscape.paths.slices import losses
from landscape.precision import float64
from landscape.problems.problem import QUICK, Problem

LOOKS = 16  # looks along a side, its first end included
SIDES = 64  # sides of a path at which the search for it ends
SPLITS = 10  # times that sides may be split: way-points cluster where a path cannot get below the level
LEVELS = 8  # levels that are tried: 2^-8 of what the known path rises above the higher end is left open
BELOW = 0.9  # a way-point goes down to this share of the way from the higher end to the level
FIRST = 0.01  # length of the first step down, times the problem's scale
BLOCK = 64  # points that one program moves down at once


def sampled(
    problem: Problem,
    first: Float[np.ndarray, "m p"],
    second: Float[np.ndarray, "m p"],
    high: Float[np.ndarray, " m"],
    steps: int = 400,
) -> list[Float[np.ndarray, "t p"] | None]:
    """For each pair the way-points of the lowest path that is found; None where none is found below the height given.

    Args:
        problem: The landscape.
        first: The first point of each pair.
        second: The second points.
        high: A height that is known already: the levels tried are between the higher end of the pair and it.
        steps: Gradients on the way down to a way-point at most.
    """
    floor = np.maximum(losses(problem, first), losses(problem, second))
    top, bottom = np.array(high, np.float64), floor.copy()  # a path at top is known, none was found at bottom
    found: list[np.ndarray | None] = [None] * len(first)
    for _ in range(LEVELS):
        level = 0.5 * (top + bottom)
        paths = _below(problem, first, second, floor, level, steps)
        for i, path in enumerate(paths):
            if path is None:
                bottom[i] = level[i]
            else:
                found[i], top[i] = path, level[i]
    return found


def _below(
    problem: Problem, first: np.ndarray, second: np.ndarray, floor: np.ndarray, level: np.ndarray, steps: int
) -> list[np.ndarray | None]:
    """Way-points of a path of each pair on which no look is above its level; None where none is found."""
    paths: list[list[np.ndarray]] = [[a, b] for a, b in zip(first, second, strict=True)]
    open_ = [[True] for _ in paths]  # sides that are not yet known to be below the level
    lost = ~(np.isfinite(level) & (level > floor))
    for _ in range(SPLITS):
        asked = [(i, s) for i, sides in enumerate(open_) if not lost[i] for s in np.flatnonzero(sides)]
        if not asked:
            break
        of = np.array([i for i, _ in asked])
        start = np.stack([paths[i][s] for i, s in asked])
        end = np.stack([paths[i][s + 1] for i, s in asked])
        peak, height = _peaks(problem, start, end)
        high = ~(height <= level[of])
        down = iter(_lowered(problem, peak[high], (floor + BELOW * (level - floor))[of[high]], steps))
        # From the last side to the first, so that earlier sides keep their places.
        at = {(i, s): next(down) if one else None for (i, s), one in zip(asked, high, strict=True)}
        for i, s in reversed(asked):
            point = at[i, s]
            open_[i][s] = False
            if point is not None:
                paths[i].insert(s + 1, point[0])
                open_[i][s : s + 1] = [True, True]
                lost[i] |= not point[1] <= level[i] or len(open_[i]) > SIDES
    return [
        np.array(path) if not gone and not any(sides) else None
        for path, sides, gone in zip(paths, open_, lost, strict=True)
    ]


def _peaks(problem: Problem, start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The highest of the looks inside each side, and the largest loss there."""
    share = np.arange(1, LOOKS) / LOOKS
    looks = start[:, None] + share[:, None] * (end - start)[:, None]
    seen = losses(problem, looks.reshape(-1, problem.p)).reshape(looks.shape[:2])
    top = np.argmax(np.where(np.isnan(seen), np.inf, seen), axis=1)
    each = np.arange(len(start))
    return looks[each, top], seen[each, top]


def _lowered(problem: Problem, points: np.ndarray, targets: np.ndarray, steps: int) -> list[tuple[np.ndarray, float]]:
    """Where descents from some points first are at or below their targets, or end; with the loss there."""
    out: list[tuple[np.ndarray, float]] = []
    with float64():
        for i in range(0, len(points), BLOCK):
            size = len(points[i : i + BLOCK])
            part = np.resize(points[i : i + BLOCK], (BLOCK, problem.p))
            goals = np.resize(targets[i : i + BLOCK], BLOCK)
            ends, reached = _descended(problem, part, goals, FIRST * problem.scale, steps)
            out += list(zip(np.asarray(ends)[:size], np.asarray(reached).tolist(), strict=False))
    return out


@partial(jax.jit, compiler_options=QUICK)
def _descended(problem: Problem, points: Array, targets: Array, first: Any, steps: Any) -> tuple[Array, Array]:
    return jax.vmap(lambda point, target: _descent(problem, point, target, first, steps))(points, targets)


def _descent(problem: Problem, point: Array, target: Array, first: Any, steps: Any) -> tuple[Array, Array]:
    """Gradient steps, the first of that length, longer after each that lowers the loss, else shorter."""
    size = first / jnp.maximum(jnp.linalg.norm(problem.gradient(point)), 1e-300)

    def step(_: Any, now: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        at, loss, size = now
        new = at - size * problem.gradient(at)
        value = problem.loss(new)
        going, better = loss > target, value < loss
        taken = going & better
        size = jnp.where(going, size * jnp.where(better, 1.3, 0.3), size)
        return jnp.where(taken, new, at), jnp.where(taken, value, loss), size

    at, loss, _ = jax.lax.fori_loop(0, steps, step, (point, problem.loss(point), size))
    return at, loss
