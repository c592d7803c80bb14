"""Paths between pairs of points, many pairs at once: the straight line, and the string method that pulls it down.

The string method (E, Ren and Vanden-Eijnden 2007) moves way-points down the gradient and spreads them evenly again. A
path says that a barrier is no higher than the loss on it, and never that there is no lower one.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from landscape.paths.slices import losses
from landscape.precision import float64
from landscape.problems.problem import QUICK, Problem

POINTS = 33  # way-points of a string, both ends included
PIECES = 8  # looks from each way-point to the next
MANY_PIECES = 20_000  # polynomial pieces of a path beyond which it is only looked at
BLOCK = 16  # strings that one program moves at once


class Height(NamedTuple):
    """The largest loss on a path.

    Attributes:
        high: No loss on the path is above this if `bounded`, else the largest one that was looked at.
        bounded: Whether that covers what lies between the looks, up to rounding.
        at: Where the largest loss that was looked at is, [p].
    """

    high: float
    bounded: bool
    at: Float[np.ndarray, " p"]


def lines(
    first: Float[np.ndarray, "m p"], second: Float[np.ndarray, "m p"], points: int = POINTS
) -> Float[np.ndarray, "m t p"]:
    """Straight lines between pairs of points, with way-points at even distances."""
    share = np.linspace(0.0, 1.0, points)[:, None]
    return (1 - share) * first[:, None] + share * second[:, None]


def strings(problem: Problem, paths: Float[np.ndarray, "m t p"], steps: int = 400) -> Float[np.ndarray, "m t p"]:
    """The paths after so many steps of the string method; their ends stay.

    A step is half the inverse of the largest curvature seen at the way-points, and no longer than half of the distance
    of two way-points, so that a steep wall does not throw the string away.
    """
    out = []
    with float64():
        for i in range(0, len(paths), BLOCK):
            part = np.resize(np.asarray(paths[i : i + BLOCK], np.float64), (BLOCK, *paths.shape[1:]))
            out.append(np.asarray(_pulled(problem, jnp.asarray(part), steps))[: len(paths) - i])
    return np.concatenate(out) if out else paths


@partial(jax.jit, compiler_options=QUICK)
def _pulled(problem: Problem, paths: Array, steps: Any) -> Array:
    return jax.vmap(lambda path: _string(problem, path, steps))(paths)


def _string(problem: Problem, path: Array, steps: Any) -> Array:
    """One path [t, p] after so many steps."""

    def curvature(at: Array, direction: Array) -> Array:
        turned = jax.jvp(problem.gradient, (at,), (direction,))[1]
        return turned / jnp.maximum(jnp.linalg.norm(turned), 1e-300)

    # The largest curvature at each way-point, by a power iteration from the gradient there.
    slopes = problem.gradients(path)
    start = slopes / jnp.maximum(jnp.linalg.norm(slopes, axis=1, keepdims=True), 1e-300)
    along = jax.lax.fori_loop(0, 8, lambda _, v: jax.vmap(curvature)(path, v), start)
    steepness = jax.vmap(lambda at, v: jnp.linalg.norm(jax.jvp(problem.gradient, (at,), (v,))[1]))(path, along)
    size = 0.5 / jnp.maximum(jnp.nanmedian(steepness), 1e-300)

    def step(_: Any, path: Array) -> Array:
        move = -size * problem.gradients(path)
        length = jnp.linalg.norm(jnp.diff(path, axis=0), axis=1).mean()
        norm = jnp.linalg.norm(move, axis=1, keepdims=True)
        move = jnp.where(jnp.isfinite(norm), move * jnp.minimum(1.0, 0.5 * length / jnp.maximum(norm, 1e-300)), 0.0)
        return _spread(path + move.at[0].set(0.0).at[-1].set(0.0))

    return jax.lax.fori_loop(0, steps, step, path)


def _spread(path: Array) -> Array:
    """Way-points at even distances along the polygon of the given ones."""
    length = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.linalg.norm(jnp.diff(path, axis=0), axis=1))])
    wanted = jnp.linspace(0.0, 1.0, len(path)) * length[-1]
    spread = jax.vmap(lambda column: jnp.interp(wanted, length, column), in_axes=1, out_axes=1)(path)
    return spread.at[0].set(path[0]).at[-1].set(path[-1])


def height(problem: Problem, path: Float[np.ndarray, "t p"]) -> Height:
    """The largest loss on the polygon of some way-points.

    Where the loss is piecewise a polynomial of degree four along a straight line, as of a ReLU network on data with
    squared loss, its largest value is known. Else each side is looked at PIECES times, and each piece beside a look
    that is no lower than its neighbours PIECES times more. Where the problem bounds its third derivative, what lies
    between two looks is bounded too: on a piece of length s with second derivative no less than -c the loss is at most
    c s^2 / 8 above the higher end, and c follows from the curvature in the middle.
    """
    exact = _highest_of_quartics(problem, path)
    if exact is not None:
        return exact
    share = np.linspace(0.0, 1.0, PIECES, endpoint=False)[:, None]
    sides = path[:-1, None] + share * np.diff(path, axis=0)[:, None]
    looks = np.concatenate([sides.reshape(-1, path.shape[1]), path[-1:]])
    looks, seen = _closer(problem, looks, losses(problem, looks))
    top = int(np.argmax(np.where(np.isnan(seen), np.inf, seen)))
    if not problem.third_derivative_known or not np.all(np.isfinite(seen)):
        return Height(float(seen[top]), False, looks[top])
    bend = _bends(problem, looks)
    above = np.maximum(seen[:-1], seen[1:]) + np.maximum(bend, 0.0) / 8.0
    high = float(np.max(above))
    bounded = np.isfinite(high)
    return Height(high + problem.loss_error(looks[top]) if bounded else float(seen[top]), bool(bounded), looks[top])


def _closer(problem: Problem, looks: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The looks with more of them about those that are no lower than their neighbours, and the losses there."""
    padded = np.concatenate([[-np.inf], seen, [-np.inf]])
    tops = np.flatnonzero((seen >= padded[:-2]) & (seen >= padded[2:]))
    pieces = np.unique(np.clip(np.concatenate([tops - 1, tops]), 0, len(looks) - 2))  # by the look that begins them
    share = np.arange(1, PIECES)[:, None] / PIECES
    more = looks[pieces, None] + share * (looks[pieces + 1] - looks[pieces])[:, None]
    order = np.argsort(np.concatenate([np.arange(len(looks)), np.repeat(pieces + 0.5, PIECES - 1)]), kind="stable")
    added = more.reshape(-1, looks.shape[1])
    every = np.concatenate([looks, added])[order]
    return every, np.concatenate([seen, losses(problem, added)])[order]


def _highest_of_quartics(problem: Problem, path: Float[np.ndarray, "t p"]) -> Height | None:
    """The largest loss on a path of few polynomial pieces, from five looks at each; None where there are none, or many.

    The largest value of a polynomial is at an end or at a real zero of its derivative.
    """
    starts, ends = [], []
    for first, second in pairwise(path):
        shares = problem.quartic_pieces(first, second)
        if shares is None:
            return None
        points = first + shares[:, None] * (second - first)
        starts.append(points[:-1])
        ends.append(points[1:])
        if sum(map(len, starts)) > MANY_PIECES:
            return None
    start, end = np.concatenate(starts), np.concatenate(ends)
    nodes = np.linspace(0.0, 1.0, 5)
    seen = losses(problem, (start[:, None] + nodes[:, None] * (end - start)[:, None]).reshape(-1, problem.p))
    if not np.all(np.isfinite(seen)):
        return None
    coefficients = np.linalg.solve(np.vander(nodes), seen.reshape(-1, 5).T).T  # highest power first
    best, at = float(np.max(seen)), (start[:, None] + nodes[:, None] * (end - start)[:, None]).reshape(-1, problem.p)
    top = at[int(np.argmax(seen))]
    for i, polynomial in enumerate(coefficients):
        zeros = np.roots(np.polyder(polynomial))
        inside = np.clip(zeros.real[np.abs(zeros.imag) < 1e-6], 0.0, 1.0)
        for share, value in zip(inside, np.polyval(polynomial, inside), strict=True):
            if value > best:
                best, top = float(value), start[i] + share * (end[i] - start[i])
    return Height(best + problem.loss_error(top), True, top)


def _bends(problem: Problem, looks: Float[np.ndarray, "t p"]) -> Float[np.ndarray, " pieces"]:
    """c s^2 of each piece between looks; inf where no bound on the third derivative holds all along a piece."""
    middle, steps = 0.5 * (looks[:-1] + looks[1:]), np.diff(looks, axis=0)
    size, found = 128, []
    with float64():
        for i in range(0, len(middle), size):
            part = (np.resize(x[i : i + size], (size, looks.shape[1])) for x in (middle, steps))
            found.append(np.asarray(_bend(problem, *part)))
    return np.concatenate(found)[: len(middle)]


@partial(jax.jit, compiler_options=QUICK)
def _bend(problem: Problem, middle: Array, steps: Array) -> Array:
    def one(at: Array, step: Array) -> Array:
        length = jnp.linalg.norm(step)
        curved = step @ jax.jvp(problem.gradient, (at,), (step,))[1]
        # Only within the radius of smoothness does the bound on the third derivative mean anything.
        third = jnp.where(0.5 * length < problem.smooth_radius(at), problem.third_derivative(at, 0.5 * length), jnp.inf)
        return jnp.where(length > 0, -curved + 0.5 * third * length**3, 0.0)

    return jax.vmap(one)(middle, steps)
