"""Gradients of the pieces of a loss that meet near a point, how they differ, and the least of their combinations."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import lsq_linear, nnls

from landscape.theory.own_loss.on_kinks import Near, nearest
from landscape.theory.own_loss.view import Loss

PIECES = 1e-7  # gradients of pieces are taken this far away
MEETS = 1e-9  # a kink further than this from the point, in scales, does not pass through it
TILT = 1e-3  # of the distance of pieces: the two of which a mean is taken are as far off an axis
REST = 1e-6  # a least subgradient below this part of the largest gradient of a piece is zero: pieces bend over `PIECES`
PARALLEL = 1e-9  # normals whose cosine is so near to one belong to one kink
INDEPENDENT = 1e-6  # least eigenvalue of the cosines between normals: a sum of them is then zero for none


class Spread(NamedTuple):
    """How gradients differ.

    Attributes:
        sizes: By how much in each of these directions: of all of them the square root of the sum of squares.
        rows: Orthonormal directions, descending in that, [p, p].
        count: Number of gradients.
    """

    sizes: Float[np.ndarray, " k"]
    rows: Float[np.ndarray, "p p"]
    count: int

    def rank(self, cut: float) -> int:
        """In how many directions a gradient differs by more than `cut`, in the root mean square."""
        return int(np.sum(self.sizes > cut * np.sqrt(self.count)))


class Box(NamedTuple):
    """Gradients of pieces that are a middle, plus or minus half the jump across each of the kinks through a point.

    Where kinks are independent every choice of signs is a piece, and the convex combinations of the gradients are the
    middle and any part, from -1 to 1, of each half jump. A sample meets few of the pieces: 25 kinks bound 3 * 10^7.

    Attributes:
        middle: [p].
        halves: Half the jumps, [m, p].
    """

    middle: Float[np.ndarray, " p"]
    halves: Float[np.ndarray, "m p"]

    def spread(self, count: int) -> Spread:
        """How so many of the gradients differ, where signs are drawn by chance."""
        _, sizes, rows = np.linalg.svd(self.halves)
        return Spread(np.sqrt(count) * sizes, rows, count)

    def least_norm(self, onto: np.ndarray) -> Float[np.ndarray, " k"]:
        """The convex combination of least norm, in the coordinates of orthonormal rows [k, p]; by box least squares."""
        middle, halves = onto @ self.middle, self.halves @ onto.T
        return middle + lsq_linear(halves.T, -middle, (-1.0, 1.0), method="bvls").x @ halves


class Subgradients(NamedTuple):
    """Gradients of the pieces met near a point, and their convex combination of least norm.

    Attributes:
        slopes: The gradients that are finite, [r, p].
        spread: In which directions they differ, and by how much.
        combined: The combination, [p].
        near: The kinks near the point.
    """

    slopes: Float[np.ndarray, "r p"]
    spread: Spread
    combined: Float[np.ndarray, " p"]
    near: Near

    @property
    def beside(self) -> bool:
        """Whether a kink that does not pass through the point is as near to it as the pieces are."""
        return bool(np.any((self.near.distances > MEETS) & (self.near.distances < PIECES)))

    @property
    def rest(self) -> bool:
        """Whether the combination is zero, beside the largest of the gradients."""
        return len(self.slopes) > 0 and bool(np.linalg.norm(self.combined) <= REST * steepest(self.slopes))


def subgradients(loss: Loss, u: np.ndarray) -> Subgradients:
    """The gradients of the pieces met near u, combined: much of a label's time where many kinks meet.

    Where they do not differ the combination is the gradient at u itself, if that is one of theirs: pieces bend on the
    way to where their gradients are taken. Of relu(x) - relu(-x) at zero it is none.

    Args:
        loss: The loss.
        u: A point, [p].
    """
    p, near, offsets = len(u), nearest(loss, u), _offsets(len(u))
    slopes = _paired(loss.gradients(u + offsets), p)
    finite = np.all(np.isfinite(slopes), axis=1)
    box = _box(loss, u, offsets, slopes, near) if finite.all() else None
    slopes = slopes[finite]
    if not len(slopes):
        return Subgradients(slopes, spread_of(slopes), np.zeros(p), near)
    spread = spread_of(slopes) if box is None else box.spread(len(slopes))
    cut = REST * steepest(slopes)
    jumps, here = spread.rows[: spread.rank(cut)], loss.gradients(u[None])[0]
    off = here - slopes.mean(axis=0)
    one_of_theirs = np.linalg.norm(off - jumps.T @ (jumps @ off)) <= cut  # false of NaN
    onto = jumps if one_of_theirs else np.eye(p)
    least = least_norm(slopes @ onto.T) if box is None else box.least_norm(onto)
    return Subgradients(slopes, spread, here + jumps.T @ (least - jumps @ here) if one_of_theirs else least, near)


def pieces(loss: Loss, u: np.ndarray) -> Float[np.ndarray, "r p"]:
    """Gradients of the pieces of the loss that meet near u, by a sample of points about it, and means of two of them.

    A point on an axis from u is on kinks as u is, where an automatic gradient may be none of any piece's, as that of
    relu(x) - relu(-x); the mean of those to either side is a convex combination of theirs, and zero for |x|.
    """
    found = _paired(loss.gradients(u + _offsets(len(u))), len(u))
    return found[np.all(np.isfinite(found), axis=1)]


def spread_of(slopes: np.ndarray) -> Spread:
    """How gradients, [r, p], differ from their mean."""
    if not len(slopes):
        return Spread(np.zeros(0), np.eye(slopes.shape[1]), 0)
    off = slopes - slopes.mean(axis=0)
    few = len(off) < off.shape[1]
    _, sizes, rows = np.linalg.svd(off if few else np.linalg.qr(off, mode="r"), full_matrices=few)
    return Spread(sizes, rows, len(slopes))


def least_norm(slopes: np.ndarray) -> Float[np.ndarray, " p"]:
    """The convex combination of rows [r, p] of least norm, by non-negative least squares, [p]."""
    size = steepest(slopes)
    if size == 0.0:
        return np.zeros(slopes.shape[1])
    rows = np.vstack([slopes.T / size, np.full(len(slopes), 1e3)])  # the weights add up to one
    weights = nnls(rows, np.append(np.zeros(slopes.shape[1]), 1e3))[0]
    return weights @ slopes / weights.sum()


def steepest(slopes: np.ndarray) -> float:
    """The largest norm of a row; zero without rows."""
    return float(np.max(np.linalg.norm(slopes, axis=1), initial=0.0))


def _offsets(p: int) -> np.ndarray:
    """Where gradients of pieces are taken: 2 p + 20 by chance, 2 p beside the axes, 2 p on their other side, [r, p]."""
    around = np.random.default_rng(1).normal(size=(2 * p + 20, p))
    around /= np.linalg.norm(around, axis=1)[:, None]
    axes, tilt = np.concatenate([np.eye(p), -np.eye(p)]), TILT * around[: 2 * p]
    return PIECES * np.concatenate([around, axes + tilt, axes - tilt])


def _paired(found: np.ndarray, p: int) -> np.ndarray:
    """Of rows at the offsets, those by chance, and the means of those to either side of an axis."""
    by_chance = found[: 2 * p + 20]
    first, second = np.split(found[len(by_chance) :], 2)
    return np.concatenate([by_chance, 0.5 * (first + second)])


def _box(loss: Loss, u: np.ndarray, offsets: np.ndarray, slopes: np.ndarray, near: Near) -> Box | None:
    """The gradients of the pieces at u as a box; None where kinks are dependent, or their jumps do not add up.

    Args:
        loss: The loss.
        u: The point, [p].
        offsets: Where the gradients were taken.
        slopes: The gradients, paired, [r, p].
        near: The kinks near the point.
    """
    normals, numbers = (one[near.distances <= MEETS] for one in (near.normals, near.numbers))
    distinct = ~np.any(np.triu(np.abs(normals @ normals.T) > 1.0 - PARALLEL, 1), axis=0)
    normals, numbers = normals[distinct], numbers[distinct]
    if not 0 < len(numbers) <= normals.shape[1] or len(near.level) or not _independent(normals @ normals.T):
        return None
    p, bend = normals.shape[1], loss.hessian(u + offsets[0])
    if np.all(np.isfinite(bend)):  # what all pieces have of curvature is none of a jump
        slopes = slopes - _paired(offsets, p) @ bend
    sides = _paired(np.where(loss.switches(u + offsets)[:, numbers] > 0, 1.0, -1.0), p)
    rows = np.column_stack([np.ones(len(sides)), sides])
    products = rows.T @ rows
    if not _independent(products / len(rows)):  # a function that is above zero on both sides of its kink
        return None
    found = np.linalg.solve(products, rows.T @ slopes)
    left = np.linalg.norm(slopes - rows @ found, axis=1)
    return Box(found[0], found[1:]) if np.all(left <= REST * steepest(slopes)) else None


def _independent(products: np.ndarray) -> bool:
    return bool(np.linalg.eigvalsh(products)[0] > INDEPENDENT)
