"""The convex program on some signed activation cells: its blocks, their cones, and how far a point is from optimal.

Each signed activation cell (pattern D_i, sign s_i) gets one block u_i in the closed cone of its pattern:

    min  loss(sum_i s_i D_i X u_i + b0) + beta sum_i |u_i|  (+ beta b0^2 / 2),    u_i in K_i.                       (C)

With all cells this has the optimal value p* = inf over widths of the network's loss (Pilanci and Ergen 2020; Wang,
Lacotte and Pilanci 2022); with some of them it is the value of the best network restricted to those cells.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from landscape.problems.datafit import LOGISTIC, Data, dual_value, loss_value, minus_gradient
from landscape.records import InputError
from landscape.theory.convex.dual import centred, scale

EPS = float(np.finfo(float).eps)

SHARP = 1e-12  # a restricted program is solved if its residual is at most this


class Restricted(NamedTuple):
    """The optimum of the convex program restricted to some signed cells.

    Attributes:
        value: Optimal value: the loss of the blocks' own linear pieces. Where every block lies in its cone (see
            `residual`) this is the loss of the balanced network that they stand for.
        blocks: u_i, [q, d], signs not applied.
        b0: Outer bias.
        output: Outputs f of the blocks, [n].
        nu: Minus the loss gradient at f, [n]; sums to zero (to rounding) for a free outer bias.
        residual: How far the Karush-Kuhn-Tucker conditions are from holding, relative: the larger of the duality gap of
            the restricted program, over its value, and the largest distance of a u_i outside a wall, over value / beta
            (at least sum_i |u_i|).
        work: What the active-set method did, in cubes of unknowns.
    """

    value: float
    blocks: np.ndarray
    b0: float
    output: np.ndarray
    nu: np.ndarray
    residual: float
    work: float = 0.0


class Pieces(NamedTuple):
    """Features s_i D_i X [q, n, d] and the walls of each cone as unit rows [q, n', d]: u in K_i iff walls_i u >= 0."""

    features: np.ndarray
    walls: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, patterns: np.ndarray, signs: np.ndarray, slopes: tuple[float, float]) -> Pieces:
        lengths = np.sqrt(np.einsum("ij,ij->i", x, x))
        live = lengths > 0  # a zero row is no wall
        sides = np.where(patterns[:, live], 1.0, -1.0)
        return cls(
            features=(signs[:, None] * np.where(patterns, slopes[1], slopes[0]))[:, :, None] * x,
            walls=sides[:, :, None] * (x[live] / lengths[live, None]),
        )


class Model(NamedTuple):
    """1/2 |roots f - target|^2 in place of the loss: its second-order model about some outputs."""

    roots: np.ndarray  # [n]
    target: np.ndarray  # [n]


class Guess(NamedTuple):
    u: np.ndarray  # [q, d]
    b0: float
    alive: np.ndarray  # [q]: blocks that are not zero
    tied: np.ndarray  # [q, n']: walls that the block lies on


def started(cells: Pieces, start: np.ndarray) -> Guess:
    """Known blocks in the first cells, on the walls that they touch, and none in the others."""
    u = np.zeros((len(cells.features), cells.features.shape[2]))
    u[: len(start)] = start
    size = np.linalg.norm(u, axis=1)
    return Guess(u, 0.0, size > 0, np.abs(np.einsum("qkd,qd->qk", cells.walls, u)) <= 1e-9 * size[:, None])


class Judged(NamedTuple):
    result: Restricted
    gap: float  # absolute
    ascent: np.ndarray  # [q, d]: the projection of s_i X' D_i nu on K_i; optimal iff none is longer than beta


def residual(point: Judged) -> float:
    return point.result.residual


def checked(data: Data) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(data.x, float), np.asarray(data.y, float)
    if x.ndim != 2 or y.shape != (len(x),):
        raise InputError(f"The design must be [n, d] with n labels, found shapes {x.shape} and {y.shape}.")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise InputError("The design and the labels must be finite; found NaN or infinity in them.")
    if not data.weight_decay > 0:
        raise InputError(
            f"The convex program needs a positive weight decay, found {data.weight_decay}: without it the optimum need "
            "not be attained. Give a small positive one."
        )
    if data.fit is LOGISTIC and data.outer_bias == "free" and len(np.unique(y)) == 1:
        raise InputError(
            "With a free outer bias and labels of one class only the logistic loss has no minimum (its infimum, 0, "
            "lies at infinite bias); regularise the outer bias or leave it out."
        )
    return x, y


def output_of(cells: Pieces, u: np.ndarray, b0: float) -> np.ndarray:
    return np.einsum("qnd,qd->n", cells.features, u) + b0


def value_of(data: Data, cells: Pieces, u: np.ndarray, b0: float) -> float:
    paid = float(np.sqrt(np.einsum("qd,qd->q", u, u)).sum())
    if data.outer_bias == "regularised":
        paid += 0.5 * b0 * b0
    return loss_value(data, output_of(cells, u, b0)) + data.weight_decay * paid


def judged(data: Data, cells: Pieces, u: np.ndarray, b0: float, nu: np.ndarray | None = None) -> Judged:
    """The point with the duality gap of the restricted program, from its own residual or another, scaled into the
    dual's domain."""
    f = output_of(cells, u, b0)
    value = value_of(data, cells, u, b0)
    nu = centred(data, minus_gradient(data, f) if nu is None else nu)
    gradients = np.einsum("qnd,n->qd", cells.features, nu)
    ascent = np.array([_projection(g, walls) for g, walls in zip(gradients, cells.walls, strict=True)])
    ascent = ascent.reshape(u.shape)
    steepest = float(np.sqrt(np.einsum("qd,qd->q", ascent, ascent)).max(initial=0.0))
    t = scale(data, nu, steepest)
    gap = value - dual_value(data, t * nu)
    outside = -np.einsum("qkd,qd->qk", cells.walls, u) * (data.weight_decay / max(value, 1e-300))
    # Relative to the value; at value 0 (labels that are all zero) the gap is 0 as well.
    residual = max(gap / max(abs(value), 1e-300), float(outside.max(initial=0.0)))
    result = Restricted(value=value, blocks=u, b0=b0, output=f, nu=nu, residual=residual)
    return Judged(result=result, gap=gap, ascent=ascent)


def _projection(g: np.ndarray, walls: np.ndarray) -> np.ndarray:
    """The nearest point to g in the cone walls u >= 0: g + walls' rho with the rho >= 0 that makes it shortest."""
    heights = walls @ g
    if (heights >= 0).all():
        return g
    # The lowest walls first; those that the projection is below of come next. It lies on d of them at most.
    some, more = np.zeros(0, int), max(2 * len(g), 32)
    while True:
        order = np.argsort(heights)[:more]
        some = np.concatenate([some, order[heights[order] < 0]])
        point = g + walls[some].T @ nnls(walls[some].T, -g)[0]
        heights = walls @ point
        heights[some] = 0.0
        if heights.min() >= -4 * EPS * float(np.linalg.norm(g)):
            return point
