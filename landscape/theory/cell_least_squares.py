"""Least squares without weight decay: the least loss of a width, or of given signs of outer weights, by enumeration.

Without weight decay a network of given cells and signs is a linear model of u_i = |a_i| w_i in the cells' closed cones,
so that P_m is the least of one cone-constrained least squares problem for every set of m signed cells (derived here).
Only the row space of x counts: there every cell is a pointed cone, so that its outputs are the combinations, with
weights >= 0, of the outputs of its extreme rays.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from landscape.problems.datafit import SQUARED, Data, objective
from landscape.records import InputError
from landscape.theory.arrangement.cells import cells
from landscape.theory.arrangement.records import Cells

EPS = float(np.finfo(float).eps)
MOST = 20_000  # sets of signed cells that are gone through unless the caller asks for more
# A singular value of unit rows is zero up to the first number, the resolution of the cells, and not zero from the
# second on, where a ray is known to 1e-8. In between nothing is shown: the lower bound is zero.
DEPENDENT = (1e-13, 1e-8)


class Least(NamedTuple):
    """The least squared loss of networks of some kind: between a network and a bound.

    Attributes:
        value: Loss of the network below.
        hidden: [k, d].
        outer: [k].
        b0: Outer bias.
        lower_bound: No network of the kind is below it.
        programs: Least squares problems that were solved.
    """

    value: float
    hidden: np.ndarray
    outer: np.ndarray
    b0: float
    lower_bound: float
    programs: int


def of_width(data: Data, width: int, listed: Cells | None = None, most: int = MOST) -> Least:
    """The least squared loss of networks of this width.

    Args:
        data: Squared loss, no weight decay; an outer bias, if there is one, is free.
        width: m.
        listed: All cells of data.x.
        most: Sets of signed cells at most; some 3000 a second.

    Raises:
        InputError: The loss is another one, or there are too many sets.
    """
    known = cones(data, listed)
    pairs = [(i, s) for i in range(len(known.patterns)) for s in (1.0, -1.0)]
    if pairs:
        _check(math.comb(len(pairs) + width - 1, width), f"width {width}", most)
    # A cell twice does no more than once.
    return _least(data, known, itertools.combinations(pairs, min(width, len(pairs))))


def of_signs(data: Data, positive: int, negative: int, most: int = MOST) -> Least:
    """The least squared loss of networks with so many neurons of either sign of the outer weight, none included.

    Args:
        data: As for `of_width`.
        positive: Neurons whose outer weight is at least 0.
        negative: Neurons whose outer weight is at most 0.
        most: Sets of signed cells at most.

    Raises:
        InputError: The loss is another one, or there are too many sets.
    """
    known = cones(data)
    many = [min(count, len(known.patterns)) for count in (positive, negative)]
    some = f"{positive} positive and {negative} negative neurons"
    _check(math.prod(math.comb(len(known.patterns), count) for count in many), some, most)
    up, down = (
        list(itertools.combinations([(i, s) for i in range(len(known.patterns))], count))
        for s, count in zip((1.0, -1.0), many, strict=True)
    )
    return _least(data, known, (a + b for a in up for b in down))


class Cones(NamedTuple):
    """The cells of some rows as cones, over which a network without weight decay is a linear model.

    Attributes:
        y: Targets, [n].
        patterns: Rows that are active in each cell with an active row, [q, n].
        rays: The extreme rays of all cells.
        inside: Indices of the rays of each cell.
        constant: Outputs of an outer bias, both ways, [n, 0 or 2].
    """

    y: np.ndarray
    patterns: np.ndarray
    rays: _Rays
    inside: tuple[np.ndarray, ...]
    constant: np.ndarray


class Fit(NamedTuple):
    """The least squares problem of neurons in some cones.

    Attributes:
        value: Its least loss, as solved; attained to rounding.
        lower_bound: It is no less; -inf where nothing is known.
        u: Each neuron's |a| w, [neurons, d].
        b0: Outer bias.
    """

    value: float
    lower_bound: float
    u: np.ndarray
    b0: float


def cones(data: Data, listed: Cells | None = None) -> Cones:
    """The cells of data.x as cones.

    Raises:
        InputError: The loss is another one, or not all cells are known.
    """
    patterns = _patterns(data, listed)
    x, y = np.asarray(data.x, float), np.asarray(data.y, float)
    rays = _rays(x)
    inside = tuple(
        np.flatnonzero(np.all((rays.side == 0) | ((rays.side > 0) == pattern), axis=1)) for pattern in patterns
    )
    constant = np.zeros((len(x), 0))
    if data.outer_bias != "none":
        constant = np.outer(np.ones(len(x)), [1.0, -1.0]) / math.sqrt(max(len(x), 1))
    return Cones(y, patterns, rays, inside, constant)


def fit(known: Cones, neurons: Sequence[tuple[np.ndarray, float]]) -> Fit:
    """The least squared loss of neurons each in the cone of some rays, with a sign of the outer weight.

    Args:
        known: The cells.
        neurons: Of each the indices of its rays and its sign.
    """
    rays, y = known.rays, known.y
    none = np.zeros((len(neurons), rays.u.shape[1]))
    atoms = np.concatenate([*(s * rays.output[some].T for some, s in neurons), known.constant], axis=1)
    if not atoms.shape[1]:
        value = 0.5 * float(y @ y)
        return Fit(value, value, none, 0.0)
    try:
        weights, distance = nnls(atoms, y)
    except RuntimeError:  # too many iterations: nothing is known of this set
        return Fit(math.inf, -math.inf, none, 0.0)
    blur = np.concatenate([*(rays.blur[some] for some, _ in neurons), np.full(known.constant.shape[1], EPS)])
    ends = np.cumsum([0] + [len(some) for some, _ in neurons])
    u = [weights[a:b] @ rays.u[some] for (some, _), a, b in zip(neurons, ends, ends[1:], strict=False)]
    shift = float(known.constant[0, 0] * (weights[-2] - weights[-1])) if known.constant.size else 0.0
    return Fit(0.5 * distance**2, _bound(atoms, weights, y, blur), np.reshape(u, none.shape), shift)


def _least(data: Data, known: Cones, sets: Iterable[tuple[tuple[int, float], ...]]) -> Least:
    """The least loss over sets of signed cells (index of a pattern, sign).

    The lower bound is the dual one of every set's least squares problem, as solved; zero where rows of x are so nearly
    dependent that the cells' rays are not known.
    """
    least = 0.5 * float(known.y @ known.y)
    hidden, outer, b0, programs, lower = np.zeros((0, known.rays.u.shape[1])), np.zeros(0), 0.0, 0, math.inf
    enough = EPS * float(known.y @ known.y)
    for chosen in sets:
        if least <= enough:
            lower = 0.0
            break
        programs += 1
        best = fit(known, [(known.inside[i], s) for i, s in chosen])
        lower = min(lower, max(best.lower_bound, 0.0))
        if best.value < least - enough:
            roots = np.sqrt(np.linalg.norm(best.u, axis=1))
            keep = roots > 0
            w, a = best.u[keep] / roots[keep, None], np.array([s for _, s in chosen])[keep] * roots[keep]
            value = objective(data, w, a, best.b0)
            if value < least:
                least, hidden, outer, b0 = value, w, a, best.b0
    lower = min(lower, least) if known.rays.clear else 0.0
    return Least(least, hidden, outer, b0, max(lower, 0.0), programs)


def _patterns(data: Data, listed: Cells | None) -> np.ndarray:
    """The activation patterns of all cells with an active row, [q, n].

    Raises:
        InputError: The loss is another one, or not all cells are known.
    """
    if data.fit is not SQUARED or data.weight_decay != 0:
        raise InputError("without weight decay only squared loss can be enumerated.")
    length = np.linalg.norm(data.x, axis=0)  # columns of any scale have the same cells
    found = cells(data.x / np.where(length > 0, length, 1.0)) if listed is None else listed
    if not found.complete:
        raise InputError("the activation cells of x are not all known.")
    return found.patterns[found.patterns.any(axis=1)]


def _check(count: int, what: str, most: int) -> None:
    if count > most:
        raise InputError(f"{what}: {count} sets of signed cells, and at most {most} are gone through.")


def _bound(atoms: np.ndarray, weights: np.ndarray, y: np.ndarray, blur: np.ndarray) -> float:
    """A number below 1/2 |y - atoms c|^2 for all c >= 0, atoms of length one [n, q], from nearly the best c.

    With nu the residual it is nu'y - |nu|^2 / 2 - e sum(c), e the largest nu'z of an atom z, and less |nu| blur'c, the
    blur [q] being how far atoms may be from the true ones. The best c is taken to be at most twice the c at hand.
    """
    fit = atoms @ weights
    nu = y - fit
    steepest, length = max(float(np.max(nu @ atoms)), 0.0), float(np.linalg.norm(nu))
    return (
        0.5 * length**2 - abs(float(nu @ fit)) - 2 * (steepest * float(weights.sum()) + length * float(blur @ weights))
    )


class _Rays(NamedTuple):
    """The extreme rays of all cells that a neuron does something on.

    Attributes:
        u: Directions in the row space, [q, d], scaled to outputs of length one.
        output: relu(x u), [q, n]; exactly zero at ties.
        side: Sign of x_k.u, [q, n]; 0 at ties.
        blur: Bound on the errors of the outputs, [q].
        clear: Whether all ranks and signs are beyond doubt.
    """

    u: np.ndarray
    output: np.ndarray
    side: np.ndarray
    blur: np.ndarray
    clear: bool


def _rays(x: np.ndarray) -> _Rays:
    """Every ray of the row space that lies on r - 1 independent hyperplanes, both ways, and has an output."""
    # Without weight decay columns of any scale give the same networks, and so do rows for the cells.
    column = np.linalg.norm(x, axis=0)
    rows = x / np.where(column > 0, column, 1.0)
    length = np.linalg.norm(rows, axis=1)
    live = length > 0
    if not live.any():
        return _Rays(np.zeros((0, x.shape[1])), np.zeros((0, len(x))), np.zeros((0, len(x))), np.zeros(0), True)
    units = rows / np.where(live, length, 1.0)[:, None]
    _, size, v = np.linalg.svd(units, full_matrices=False)
    rank = int(np.sum(size > DEPENDENT[0] * size[0]))
    clear = bool(size[rank - 1] >= DEPENDENT[1] * size[0])
    units = units @ v[:rank].T
    some = np.array(list(itertools.combinations(np.flatnonzero(live), rank - 1)), int)
    some = some.reshape(math.comb(int(live.sum()), rank - 1), rank - 1)
    _, size, turned = np.linalg.svd(units[some])
    least = size[:, -1] if rank > 1 else np.ones(len(some))
    clear &= not np.any((least > DEPENDENT[0]) & (least < DEPENDENT[1]))
    order = np.argsort(-least, kind="stable")  # of each ray the version known best
    order = order[least[order] > DEPENDENT[0]]
    taken: dict[bytes, tuple[np.ndarray, np.ndarray, float]] = {}
    for ray, sure in zip(turned[order, -1], least[order], strict=True):
        height = units @ ray
        error = 16 * EPS * math.sqrt(len(x)) / float(sure)
        side = np.where(np.abs(height) <= error, 0, np.sign(height)).astype(np.int8)
        if side.tobytes() in taken:
            continue
        clear &= not np.any((side != 0) & (np.abs(height) <= 1e3 * error))
        taken[side.tobytes()], taken[(-side).tobytes()] = (ray, side, error), (-ray, -side, error)
    ray, side, error = (np.array(part) for part in zip(*taken.values(), strict=True))
    output = np.where(side > 0, ray @ units.T * length, 0.0)
    norm = np.linalg.norm(output, axis=1)
    use = norm > 0
    u = (ray @ v[:rank]) / np.where(column > 0, column, 1.0)
    blur = error[use] * (np.linalg.norm(np.where(side > 0, length, 0.0), axis=1)[use] / norm[use])
    return _Rays(u[use] / norm[use, None], output[use] / norm[use, None], side[use], blur, bool(clear))
