"""A user's loss as this room sees it: float64 functions on the host, in units of a scale for each coordinate.

A point is u = theta / scale; scales are powers of two, so that nothing is rounded on the way there and back. Every
program is compiled once for a problem: batches are cut into blocks of one size and padded.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from landscape.polish import float64
from landscape.problems.derivatives import derivative, gradients_and_losses
from landscape.problems.from_loss import UserLoss
from landscape.problems.problem import QUICK
from landscape.problems.restart import start_points
from landscape.theory.own_loss.limits import at_limits
from landscape.theory.own_loss.rounding import disturbed
from landscape.theory.own_loss.switches import switches

SMALL, LARGE = 8, 128  # evaluations a call: two sizes, so that few programs are compiled
FEW = 32  # up to so many are made in small calls
RUNS = 8  # disturbed runs a loss
SPREAD = 3.0  # the error is this times the largest deviation of them
DRAWS = 64  # starts that scales are read from
OUT = 1e6  # scales: as far as rays to infinity are followed
RELATIVE = 0.1  # of a far coordinate: a step that has to show in the loss
CLEARLY = 1e6  # errors of the loss: a step that changes it by so much says what is curved and what is not
FAR_SMALLER = 1e-3  # a part of a size, or of an effect on the loss


class Loss(NamedTuple):
    """A loss over u = theta / scale.

    Attributes:
        losses: The loss at rows, [r, p] -> [r].
        slopes: Its gradient at rows, and the loss beside it, [r, p] -> ([r, p], [r]).
        hessian: Its Hessian, [p] -> [p, p].
        measured: The loss at rows, and a bound on its rounding error estimated by disturbed runs, [r, p] -> ([r], [r]).
        derivative_errors: Those of the gradient (Euclidean) and of the Hessian (Frobenius) at a point.
        switches: Functions that are zero at kinks (`switches`) at rows, [r, p] -> [r, m].
        switches_beside: The same functions for all rows, those at a point, where they depend on it (`meetings`).
        switch_slopes: Gradients of some of them by their numbers, ([p], [k]) -> [k, p].
        at_limits: Whether an operation has come to its limit by rounding at a point (`limits`), [p] -> bool.
        bend: Hessian of the loss less a combination of them, ([p], numbers [k], weights [k]) -> [p, p].
        scale: What one unit of u is in theta, [p].
        starts: Draws of the problem's own starts, [draws, p], in u.
        leaves: Coordinates of each leaf of the parameters.
        bound: A number that the user says no loss lies below; None without one.
        invariances: Maps (u, small number) -> u that the user says leave the loss as it is.
    """

    losses: Callable[[np.ndarray], Float[np.ndarray, " r"]]
    slopes: Callable[[np.ndarray], tuple[Float[np.ndarray, "r p"], Float[np.ndarray, " r"]]]
    hessian: Callable[[np.ndarray], Float[np.ndarray, "p p"]]
    measured: Callable[[np.ndarray], tuple[Float[np.ndarray, " r"], Float[np.ndarray, " r"]]]
    derivative_errors: Callable[[np.ndarray], tuple[float, float]]
    switches: Callable[[np.ndarray], Float[np.ndarray, "r m"]]
    switches_beside: Callable[[np.ndarray], Callable[[np.ndarray], Float[np.ndarray, "r m"]]]
    switch_slopes: Callable[[np.ndarray, np.ndarray], Float[np.ndarray, "k p"]]
    at_limits: Callable[[np.ndarray], bool]
    bend: Callable[[np.ndarray, np.ndarray, np.ndarray], Float[np.ndarray, "p p"]]
    scale: Float[np.ndarray, " p"]
    starts: Float[np.ndarray, "draws p"]
    leaves: tuple[np.ndarray, ...]
    bound: float | None
    invariances: tuple[Callable[[np.ndarray, float], np.ndarray], ...] = ()

    def loss(self, u: np.ndarray) -> tuple[float, float]:
        """The loss at one point, and its error."""
        return float(self.losses(u[None])[0]), float(self.errors(u[None])[0])

    def errors(self, u: np.ndarray) -> Float[np.ndarray, " r"]:
        """Bound on the rounding error of the loss at rows, [r, p] -> [r]."""
        return self.measured(u)[1]

    def gradients(self, u: np.ndarray) -> Float[np.ndarray, "r p"]:
        """The gradient at rows, [r, p] -> [r, p]."""
        return self.slopes(u)[0]


@lru_cache(maxsize=64)
def view(problem: UserLoss) -> Loss:
    """A problem's loss in the units of its scales.

    A scale that the user did not give is the root mean square over starts, which has the units of the parameters.
    """
    starts = start_points(problem, 0, np.arange(DRAWS))
    parts = [np.size(leaf) for leaf in jax.tree.leaves(problem.arrays_at(starts[0]))]
    leaves = tuple(np.split(np.arange(problem.p), np.cumsum(parts)[:-1]))
    if problem.sizes is None:
        sizes = _sizes(starts, leaves, _slopes(problem, np.ones(problem.p)))
    else:
        sizes = np.asarray(problem.sizes, np.float64)
    return _in_units(problem, sizes, starts, leaves)


def _in_units(problem: UserLoss, sizes: np.ndarray, starts: np.ndarray, leaves: tuple[np.ndarray, ...]) -> Loss:
    unit = np.exp2(np.round(np.log2(sizes)))
    return Loss(
        losses=_blocks(partial(_losses, problem, unit)),
        slopes=_slopes(problem, unit),
        hessian=lambda u: _host(_hessian, problem, unit, u),
        measured=_measured(problem, unit),
        derivative_errors=lambda u: _derivative_errors(problem, unit, u),
        switches=_blocks(partial(_switches, problem, unit)),
        switches_beside=lambda at: _blocks(partial(_switches, problem, unit, at=at)),
        switch_slopes=lambda u, some: _host(_switch_slopes, problem, unit, u, _padded(some))[: len(some)],
        at_limits=lambda u: bool(_host(_at_limits, problem, unit, u)),
        bend=lambda u, some, weights: _host(_bend, problem, unit, u, _padded(some), _padded(weights, np.zeros(1))),
        scale=unit,
        starts=starts / unit,
        leaves=leaves,
        bound=None if problem.lower_bound is None else problem.lower_bound.value,
        invariances=tuple(_flat(problem, unit, one) for one in problem.invariances),
    )


def about(problem: UserLoss, theta: np.ndarray) -> Loss:
    """A problem's loss in units that fit a point: those of its scales, and of the point where it is far beyond them.

    Starts of 1e-8 say nothing of the size of a minimum. But where a loss goes to its limit far out, its own size is not
    that of the place, so that every far coordinate has to matter there, and all of them together: in a valley along
    x = y each matters.

    Args:
        problem: The landscape.
        theta: A point, [p].
    """
    loss = view(problem)
    u = theta / loss.scale
    far = np.flatnonzero(np.abs(u) > OUT / np.sqrt(len(u)))
    if not np.linalg.norm(u) > OUT or not np.all(np.isfinite(u)):
        return loss
    ways = u * np.concatenate([np.eye(len(u))[far], np.isin(np.arange(len(u)), far)[None]])
    nudges = np.concatenate([u + sign * RELATIVE * ways for sign in (1.0, -1.0)])
    with np.errstate(over="ignore", invalid="ignore"):
        value, error = loss.loss(u)
        matters = np.abs(loss.losses(nudges) - value) > 10.0 * (loss.errors(nudges) + error)
    if not np.all(matters):
        return loss
    sizes = loss.scale * np.where(np.abs(u) > 1.0, np.abs(u), _until_seen(loss, u, value, error))
    return _in_units(problem, sizes, loss.starts * loss.scale, loss.leaves)


def _until_seen(loss: Loss, u: np.ndarray, value: float, error: float) -> np.ndarray:
    """How much longer than a scale a step in each coordinate has to be to show clearly; one where none does, [p]."""
    longer = 4.0 ** np.arange(int(np.log(np.max(np.abs(u))) / np.log(4.0)))
    steps = longer[:, None, None] * np.eye(len(u))
    with np.errstate(over="ignore", invalid="ignore"):
        change = np.abs(loss.losses((u + steps).reshape(-1, len(u))) - value).reshape(len(longer), len(u))
    seen = change > CLEARLY * error
    return np.where(seen.any(axis=0), longer[np.argmax(seen, axis=0)], 1.0)


def _sizes(
    starts: np.ndarray, leaves: tuple[np.ndarray, ...], slopes: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """The size of every coordinate at starts, else that of its leaf, else that of all, [p].

    A coordinate far smaller than its leaf is in a unit of its own where steps of its size change the loss as others
    do; else it is next to zero at starts, as one that is drawn beside a saddle is, and its size says nothing.
    """
    sizes = _root_mean_square(starts)
    wholes = np.ones_like(sizes)
    for leaf in leaves:
        wholes[leaf] = _root_mean_square(sizes[leaf])
    kept = sizes > FAR_SMALLER * wholes
    if np.any(sizes[~kept]):
        with np.errstate(over="ignore", invalid="ignore"):  # gradients may be anything
            effects = sizes * _root_mean_square(slopes(starts[:SMALL])[0])
        kept |= effects > FAR_SMALLER * np.max(effects)
    sizes = np.where(kept, sizes, wholes)
    seen = sizes > 0
    rest = float(np.exp(np.mean(np.log(sizes[seen])))) if seen.any() else 1.0
    return np.where(seen, sizes, rest)


def _root_mean_square(rows: np.ndarray) -> Any:
    return np.sqrt(np.mean(np.square(rows), axis=0))


def _flat(problem: UserLoss, unit: np.ndarray, function: Any) -> Callable[[np.ndarray, float], np.ndarray]:
    def moved(u: np.ndarray, small: float) -> np.ndarray:
        with float64():
            params = problem.unravel(jnp.asarray(u * unit, jnp.float64))  # JAX arrays, as the loss is given them
            return problem.write(function(params, small)) / unit

    return moved


def _host(function: Any, *args: Any) -> np.ndarray:
    with float64():
        return np.asarray(function(*args), np.float64)


def _blocks(function: Any) -> Callable[[np.ndarray], np.ndarray]:
    def rows(u: np.ndarray) -> np.ndarray:
        u = np.asarray(u, np.float64)
        size = SMALL if len(u) <= FEW else LARGE
        parts = [u[i : i + size] for i in range(0, len(u), size)]
        parts[-1] = np.resize(parts[-1], (size, u.shape[1])) if len(parts[-1]) < size else parts[-1]
        with float64():
            begun = [function(part) for part in parts]  # none is waited for before the next is under way
            return np.concatenate([np.asarray(one, np.float64) for one in begun])[: len(u)]

    return rows


def _slopes(problem: UserLoss, unit: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    rows = _blocks(partial(gradients_and_losses, problem, unit))

    def gradient_and_loss(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = rows(u)
        return found[:, :-1], found[:, -1]

    return gradient_and_loss


def _measured(problem: UserLoss, unit: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    rows = _blocks(partial(_losses_and_errors, problem, unit))

    def loss_and_error(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = rows(u)
        return found[:, 0], found[:, 1]

    return loss_and_error


def _padded(some: np.ndarray, by: np.ndarray | None = None) -> np.ndarray:
    """As many as a power of two, so that few programs are compiled."""
    more = (1 << (len(some) - 1).bit_length()) - len(some)
    return np.concatenate([some, np.resize(some[:1] if by is None else by, more)])


@partial(jax.jit, compiler_options=QUICK)
def _losses(problem: UserLoss, unit: Any, u: Any) -> Any:
    return jax.vmap(lambda row: problem.loss(row * unit))(u)


@derivative
def _hessian(problem: UserLoss, unit: Any, u: Any) -> Any:
    return problem.hessian(u * unit) * unit * unit[:, None]


@partial(jax.jit, compiler_options=QUICK)
def _switches(problem: UserLoss, unit: Any, u: Any, at: Any = None) -> Any:
    return jax.vmap(lambda row: switches(problem.loss, row * unit, beside=None if at is None else at * unit))(u)


@derivative
def _switch_slopes(problem: UserLoss, unit: Any, u: Any, some: Any) -> Any:
    seen, back = jax.vjp(lambda v: switches(problem.loss, v * unit), u)
    return jax.vmap(lambda row: back(row)[0])(jax.nn.one_hot(some, len(seen), dtype=seen.dtype))


@derivative
def _bend(problem: UserLoss, unit: Any, u: Any, some: Any, weights: Any) -> Any:
    def held(v: Any) -> Any:
        return problem.loss(v * unit) - weights @ switches(problem.loss, v * unit)[some]

    return jax.hessian(held)(u)


@partial(jax.jit, compiler_options=QUICK)
def _at_limits(problem: UserLoss, unit: Any, u: Any) -> Any:
    return at_limits(problem.loss, u * unit)


@partial(jax.jit, compiler_options=QUICK)
def _losses_and_errors(problem: UserLoss, unit: Any, u: Any) -> Any:
    def one(row: Any) -> Any:
        theta = row * unit
        value = problem.loss(theta).astype(jnp.float64)
        runs = jax.vmap(lambda seed: disturbed(problem.loss, seed, theta))(jnp.arange(RUNS)).astype(jnp.float64)
        off = jnp.abs(runs - value)
        # At the end of a domain, as of arccos at one, some disturbed runs are none, and say nothing.
        most = jnp.max(off, where=jnp.isfinite(off), initial=0.0)
        most = jnp.where(jnp.any(jnp.isfinite(off)), most, jnp.inf)
        return jnp.stack([value, SPREAD * most + jnp.finfo(problem.loss(theta).dtype).eps * jnp.abs(value)])

    return jax.vmap(one)(u)


@derivative
def _disturbed_products(problem: UserLoss, unit: Any, u: Any, vectors: Any) -> Any:
    """Gradient and Hessian-vector products [r, p], as they are and disturbed, in units of the scale."""

    def products(theta: Any, v: Any) -> Any:
        return jax.jvp(problem.gradient, (theta,), (v,))

    def one(seed: Any, v: Any) -> Any:
        clean, dirty = products(u * unit, v * unit), disturbed(products, seed, u * unit, v * unit)
        return tuple((b - a) * unit for a, b in zip(clean, dirty, strict=True))

    return jax.vmap(one)(jnp.arange(len(vectors)), vectors)


def _derivative_errors(problem: UserLoss, unit: np.ndarray, u: np.ndarray) -> tuple[float, float]:
    """SPREAD times the largest deviation in a few disturbed runs; of the Hessian by products with random vectors.

    A random unit vector meets a p-th of the square of a Frobenius norm on average. Runs that are not finite say
    nothing.
    """
    vectors = np.random.default_rng(0).normal(size=(RUNS, len(u)))
    vectors /= np.linalg.norm(vectors, axis=1)[:, None]
    with float64():
        grads, products = (np.asarray(x) for x in _disturbed_products(problem, unit, u, vectors))
    slopes, bends = np.linalg.norm(grads, axis=1), np.sqrt(len(u)) * np.linalg.norm(products, axis=1)
    seen = np.isfinite(slopes) & np.isfinite(bends)
    if not seen.any():
        return np.inf, np.inf
    return SPREAD * float(np.max(slopes[seen])), SPREAD * float(np.max(bends[seen]))
