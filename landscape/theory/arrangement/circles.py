"""The faces of an arrangement on the sphere in at most three dimensions, circle by circle: vertices, arcs and cells."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from landscape.theory.arrangement.exact import cross_product
from landscape.theory.arrangement.rows import EPS, normalised, pattern_keys


class Faces(NamedTuple):
    """Faces of the arrangement on the sphere in at most three dimensions (or some of its circles).

    Attributes:
        points: Vertices, [V, d].
        relu: relu(x v) at each, [V, n].
        plane: Orthonormal basis of the plane of each arc, [E, 2, d].
        along: On each arc, relu'(x_k.u) x_k in that basis: nu times this is the gradient along the arc, [2, E, n].
        after: nu times this is the gradient's distance beyond the first end of the arc, [E, n].
        before: The same for its last end: the gradient points into the arc when both are >= 0, as no arc is wider
            than a right angle.
        gradients: In each cell, relu'(x_k.u) x_k: nu times this is the gradient, [d, P, n].
    """

    points: np.ndarray
    relu: np.ndarray
    plane: np.ndarray
    along: np.ndarray
    after: np.ndarray
    before: np.ndarray
    gradients: np.ndarray


def faces_of(rows: np.ndarray, block: int) -> Iterator[Faces]:
    """The faces in blocks of circles of about `block` floats; a single block is remembered from call to call."""
    n, d = rows.shape
    if d == 1 or (n * n if d == 2 else n * n * n) <= block:
        yield _faces(rows.tobytes(), rows.shape)
    elif d == 2:
        shares = n * n // block + 1
        for share in range(shares):
            yield _circles(rows, np.arange(1), slice(share, None, shares))
    else:
        step = max(1, block // (n * n))
        for start in range(0, n, step):
            yield _circles(rows, np.arange(start, min(n, start + step)))


@lru_cache(maxsize=4)
def _faces(data: bytes, shape: tuple[int, int]) -> Faces:
    rows = np.frombuffer(data).reshape(shape)
    if shape[1] == 1:
        points = np.array([[1.0], [-1.0]])
        none = np.zeros((0, len(rows)))
        return Faces(
            points=points,
            relu=np.maximum(points @ rows.T, 0.0),
            plane=np.zeros((0, 2, 1)),
            along=np.stack([none, none]),
            after=none,
            before=none,
            gradients=np.zeros((1, 0, len(rows))),
        )
    return _circles(rows, np.arange(len(rows) if shape[1] == 3 else 1))


def _circles(x: np.ndarray, which: np.ndarray, share: slice = slice(None)) -> Faces:
    """The faces on the circles x_k.u = 0, k in `which`, of x [n, 3]; for x [n, 2] on the unit circle itself.

    Of those, the given `share` of the arcs; for x [n, 2], also of the vertices.
    """
    n, d = x.shape
    if d == 2:
        plane = np.eye(2)[None]
        turned = np.stack([-x[:, 1], x[:, 0]], axis=1)[None]  # each row turned by a right angle: its break point
        axis = np.zeros((1, 2))
    else:
        axis = x[which]
        # x_k x e_i is exact (entries of x_k, shuffled), so the plane is orthogonal to x_k to rounding.
        q1 = normalised(np.cross(axis, np.eye(3)[np.argmin(np.abs(axis), axis=1)]))
        plane = np.stack([q1, np.cross(normalised(axis), q1)], axis=1)
        # x_k x x_j is the part of x_j in the plane, turned by a right angle.
        turned = cross_product(axis[:, None], x[None])
    largest = np.max(np.abs(turned), axis=2, keepdims=True)
    crossing = largest[:, :, 0] > 0  # not on the line of x_k: exact, since the products are compensated
    vertex = turned / np.where(largest > 0, largest, 1.0)
    vertex /= np.where(crossing, np.linalg.norm(vertex, axis=2), 1.0)[:, :, None]
    b = np.einsum("knd,kcd->knc", vertex, plane)
    angle = np.where(crossing, np.arctan2(b[:, :, 1], b[:, :, 0]), 0.0)
    # Four more ends on each circle keep arcs below a right angle; cutting an arc changes nothing.
    extra = np.broadcast_to(np.arange(4) * (np.pi / 2), (len(plane), 4))
    ends = np.sort(np.concatenate([angle, angle + np.pi, extra], axis=1) % (2 * np.pi), axis=1)
    width = np.diff(ends, axis=1, append=ends[:, :1] + 2 * np.pi)
    circle, index = (where[share] for where in np.nonzero(width > 8 * EPS))
    first, width = ends[circle, index], width[circle, index]

    def direction(t: np.ndarray) -> np.ndarray:
        return np.stack([np.cos(t), np.sin(t)], axis=1)

    middle = direction(first + width / 2)
    # sin(angle of break point - middle) has the sign of x_j.u. From angles: x_j.u itself loses its sign to rounding
    # when x_j is almost parallel to x_k.
    active = middle[:, :1] * b[circle, :, 1] - middle[:, 1:] * b[circle, :, 0] > 0
    active &= crossing[circle]
    inside = np.einsum("nd,kcd->ckn", x, plane)
    patterns = np.zeros((0, n), bool)
    points = np.concatenate([vertex[0], -vertex[0]])[share]
    if d == 3:
        same = ~crossing & (axis @ x.T > 0)
        sides = [active | same[circle], active | (~crossing & ~same)[circle]]
        patterns = np.concatenate(sides)
        patterns = patterns[np.unique(pattern_keys(patterns), return_index=True)[1]]
        points = vertex[crossing & (np.arange(n) > which[:, None])]
        points = np.concatenate([points, -points])
    along = np.where(active, inside[:, circle], 0.0)
    start, end = direction(first), direction(first + width)
    return Faces(
        points=points,
        relu=np.maximum(points @ x.T, 0.0),
        plane=plane[circle],
        along=along,
        after=start[:, :1] * along[1] - start[:, 1:] * along[0],
        before=along[0] * end[:, 1:] - along[1] * end[:, :1],
        gradients=patterns[None] * x.T[:, None],
    )
