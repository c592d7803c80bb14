"""An upper bound of |nu' relu(x u)| on the sphere by branch and bound over boxes."""

from __future__ import annotations

import numpy as np

from landscape.theory.arrangement.projection import shrunk
from landscape.theory.arrangement.rows import EPS, normalised


def branch_and_bound(
    z: np.ndarray, weight: np.ndarray, u: np.ndarray, value: float, boxes: int
) -> tuple[np.ndarray, float]:
    """The best direction met, and an upper bound of max |weight' relu(z u)| on the sphere, to rounding.

    Boxes on the faces of the cube max |v_i| = 1, for h and for -h; the box of the largest bound is halved along its
    longest edge, many boxes at a time, until the bound meets the value or `boxes` boxes have been bounded.
    """
    rank = z.shape[1]
    centre = np.concatenate([np.eye(rank), -np.eye(rank)])
    radius = np.concatenate([1.0 - np.eye(rank)] * 2)
    centre, radius = np.concatenate([centre] * 2), np.concatenate([radius] * 2)
    sign = np.repeat([1.0, -1.0], 2 * rank)
    open_bound, done, upper = np.zeros(0), 0, value
    stack: list[np.ndarray] = [np.zeros((0, rank)), np.zeros((0, rank)), np.zeros(0)]
    while True:
        bound, h = box_bounds(z, weight, centre, radius, sign)
        done += len(bound)
        if h.max() > value:
            value, u = float(h.max()), normalised(centre[int(np.argmax(h))])
        stack = [np.concatenate(pair) for pair in zip(stack, (centre, radius, sign), strict=True)]
        open_bound = np.concatenate([open_bound, bound])
        target = value * (1 + 1e-12)
        alive = open_bound > target
        upper = max(upper, float(np.max(open_bound[~alive], initial=0.0)))
        stack, open_bound = [field[alive] for field in stack], open_bound[alive]
        if not len(open_bound) or done >= boxes:
            return u, max(upper, value, float(np.max(open_bound, initial=0.0)))
        take = np.argsort(-open_bound, kind="stable")[:512]
        c, r, s = (field[take] for field in stack)
        stack, open_bound = [np.delete(field, take, axis=0) for field in stack], np.delete(open_bound, take)
        rows, edge = np.arange(len(take)), np.argmax(r, axis=1)
        r = r.copy()
        r[rows, edge] /= 2
        shift = np.zeros_like(r)
        shift[rows, edge] = r[rows, edge]
        centre, radius, sign = np.concatenate([c - shift, c + shift]), np.tile(r, (2, 1)), np.tile(s, 2)


def box_bounds(
    z: np.ndarray, weight: np.ndarray, centre: np.ndarray, radius: np.ndarray, sign: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Upper bounds [Q] of h(v) / |v|, h = sign weight' relu(z v), on boxes centre +- radius, and h / |v| at the centre.

    relu of row k is linear on the box, or lies below its chord (w_k > 0) and above rho times its argument for every
    rho in [0, 1] (w_k < 0): h <= g.v + c. Both |g| + c / min |v| and max (g.v + c) / |v| bound; rho is chosen to make
    |g| small, so that at a maximum on hyperplanes with w_k < 0 alone the bound is the value and the search ends.
    """
    w = sign[:, None] * weight
    middle, reach = centre @ z.T, radius @ np.abs(z).T
    reach += 4 * z.shape[1] * EPS * (np.abs(centre) @ np.abs(z).T + reach)
    low, high = middle - reach, middle + reach
    cut = (low < 0) & (high > 0)
    slope = np.where(cut, high / np.where(cut, high - low, 1.0), low >= 0)
    chord = cut & (w > 0)
    constant = np.sum(np.where(chord, -slope * low * w, 0.0), axis=1)
    shortest = np.sqrt(np.sum(np.maximum(np.abs(centre) - radius, 0.0) ** 2, axis=1))
    longest = np.sqrt(np.sum((np.abs(centre) + radius) ** 2, axis=1))

    def bound(fraction: np.ndarray) -> np.ndarray:
        g = (fraction * w) @ z
        peak = np.sum(g * centre, axis=1) + np.sum(np.abs(g) * radius, axis=1) + constant
        on_box = peak / np.where(peak > 0, shortest, longest)
        return np.minimum(np.linalg.norm(g, axis=1) + constant / shortest, on_box)

    # |p + sum rho_k w_k x_k| with w of either sign: the rows that are free all have w_k = -|weight_k|.
    free = cut & (w < 0)
    fixed = (np.where(free, 0.0, slope) * w) @ z
    rho = shrunk(fixed, np.abs(weight)[:, None] * z, np.where(free, slope, 0.0), free, 6)
    value = np.sum(w * np.maximum(middle, 0.0), axis=1) / np.linalg.norm(centre, axis=1)
    return np.minimum(bound(slope), bound(np.where(free, rho, slope))), value
