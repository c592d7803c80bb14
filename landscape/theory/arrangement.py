"""The hyperplanes x_k.u = 0 of a data set: their activation cells, and phi, the largest ReLU correlation on the ball.

A neuron's weight direction u acts on the data x [n, d] through relu(x u), which is linear on each cone ("activation
cell") where no x_k.u changes sign. For a residual nu [n] the number

    phi(nu) = max over |u| <= 1 of |nu' relu(x u)|

decides global optimality of two-layer ReLU networks with weight decay: phi(nu) <= beta, nu = -gradient of the loss in
the outputs, holds exactly at global optima. Three ways to get it, the first that applies:

* d <= 3, `by="faces"`: the maximum over the sphere lies in the relative interior of one face of the arrangement (a
  vertex, an arc or a cell), where h(u) = nu' relu(x u) is linear: at the vertex, or at the gradient projected on the
  face and normalised. All those candidates are tried with the true h, so a wrong candidate can do no harm.
* rank > 3 and cells that can be listed, `by="cells"`: in the cell of pattern D the maximum of g.u, g = x' D nu, is the
  length of the projection of g on the cone, min over rho >= 0 of |g + x' (2D - 1) rho|; any rho bounds from above.
  Before that, cells are screened in groups. With w = +nu or -nu and S a pattern of the rows with w > 0 alone,
  h <= p_S.u - sum_{w_k < 0} rho_k |w_k| x_k.u for every rho in [0, 1], so |p_S - sum rho_k |w_k| x_k| is a bound
  (the Hausdorff distance of two zonotopes).
* otherwise an interval: ascent from below, branch and bound, spectral and norm bounds from above.

Near-dependent rows. `cells` takes rows that are dependent to `RESOLUTION` as dependent: it lists the cells that are
wider than that. `phi` and `phis` in at most three dimensions do not: they need no decision, and their upper bound
covers rounding whatever the position of the rows.

Sources: Pilanci and Ergen 2020 (patterns); Cover 1965 (their number); Zaslavsky 1975 (deletion and restriction); Bach
2017 (zonotopes). The bounds and the rounding analysis are derived here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import lru_cache, wraps
from typing import NamedTuple, ParamSpec, TypeVar

import numpy as np
from scipy.optimize import nnls
from threadpoolctl import ThreadpoolController

from landscape.records import InputError

P = ParamSpec("P")
T = TypeVar("T")

EPS = float(np.finfo(float).eps)

# Unit rows whose dependence is within this count as dependent when cells are listed: 450 rounding errors, so that
# decimal grids such as (0.1, 0.2), (0.3, 0.6) are seen to be degenerate.
RESOLUTION = 1e-13

# phi lists the cells by itself up to this bound on their number: about a second of listing, two of projections.
LISTABLE = 20_000

# A direction lies on a hyperplane if the unit normal's product with it is below this. Computed maximisers are on theirs
# to rounding; a wider window would take true maxima just beside a hyperplane for points on it, and drop them.
TIE = 64 * EPS

# Cosine of the angle within which two ascents count as having come to one maximum.
DISTINCT = 0.9998

# Above this rank branch and bound does not beat the spectral bound in any bearable time.
BRANCHABLE = 8

_BLOCK = 4_000_000  # floats in one temporary array of the face method, 32 MB


class Cells(NamedTuple):
    """Activation cells of a data set.

    Attributes:
        patterns: x_k.u > 0 on the full-dimensional cell, bool [P, n]; a zero row is False.
        interior: A unit vector inside each cell, [P, d]; every sign has been verified there.
        complete: All cells (wider than `RESOLUTION`) are here, certified by a count.
        by: The method, and what certifies the count.
        margin: The smallest distance |x_k.u| / |x_k| of any interior point to any hyperplane.
    """

    patterns: np.ndarray
    interior: np.ndarray
    complete: bool
    by: str
    margin: float


class Phi(NamedTuple):
    """phi(nu), between what is attained and what is proved.

    Attributes:
        value: |nu' relu(x u)| at u, to rounding: attained, a lower bound.
        upper: A rigorous upper bound, rounding errors included.
        u: The best unit vector found, [d].
        sign: The sign of nu' relu(x u).
        by: "faces", "cells" (value is the maximum), "branch and bound" (the maximum where the two meet, otherwise an
            interval), "spectral bound", "norm bound" (an interval).
    """

    value: float
    upper: float
    u: np.ndarray
    sign: int
    by: str


class Phis(NamedTuple):
    """phi of R residuals: the fields of `Phi` as arrays value [R], upper [R], u [R, d], sign [R]."""

    value: np.ndarray
    upper: np.ndarray
    u: np.ndarray
    sign: np.ndarray


class Maxima(NamedTuple):
    """Distinct local maxima of |nu' relu(x u)| on the unit sphere, highest first: u [k, d], sign [k], value [k]."""

    u: np.ndarray
    sign: np.ndarray
    value: np.ndarray


def _one_thread(function: Callable[P, T]) -> Callable[P, T]:
    """Run with one BLAS thread: the products here are thin, and on a busy machine more threads cost a factor of ten."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        with _threads().limit(limits=1):
            return function(*args, **kwargs)

    return run


@lru_cache(maxsize=1)
def _threads() -> ThreadpoolController:
    return ThreadpoolController()


# --- cells ---


def cover_count(n: int, r: int) -> int:
    """Largest number of cells of n hyperplanes through the origin in r dimensions: 2 sum_{k < r} C(n-1, k).

    Attained if and only if any r of the normals are independent (Cover 1965), so that a list of this many distinct
    cells is complete whatever else is known.
    """
    return 2 * sum(math.comb(n - 1, k) for k in range(r)) if n > 0 and r > 0 else 1


@_one_thread
def cells(x: np.ndarray, most: int = 1_000_000) -> Cells:
    """All activation cells of x [n, d], in any position.

    Zero rows are left out, rows on one line merged, x reduced to its row space. Then by deletion and restriction: the
    hyperplane of row k cuts just those cells of rows 1 .. k-1 that hold a cell of their traces on it, and those traces
    are an arrangement of one dimension less (down to two, where angles are sorted). A point of the trace, moved off
    the hyperplane to both sides, is inside two cells; as every cell is cut out at some last k, these points hit all
    of them, and their number is 1 + sum_k (number of traces), which certifies the list. Work about P n r, and
    C(n, r-2) sorts.

    Args:
        x: Data, [n, d]; append a column of ones for a bias.
        most: The largest number of cells to list.

    Raises:
        InputError: There are more than `most` cells, or x is not a finite matrix.
    """
    x = _matrix(x)
    reduced, lines = _lines_of(x)
    m, r = lines.shape
    bound = cover_count(m, r)
    if bound > most and _at_least(lines, most) > most:
        raise InputError(_too_many(x, most, bound))
    points, expected = _regions(lines, np.full(m, RESOLUTION / 2), most)
    if points is None:
        raise InputError(_too_many(x, most, bound))
    found = _cells_at(x, reduced, points)
    count = len(found.patterns)
    if count == bound:
        return found._replace(complete=True, by="deletion and restriction, Cover's count")
    return found._replace(complete=count == expected, by="deletion and restriction, Zaslavsky's count")


def sampled_cells(x: np.ndarray, draws: int, seed: int = 0) -> Cells:
    """The activation cells that `draws` Gaussian directions fall into: an approximation, small cells are missed.

    `complete` only if the count reaches Cover's bound.
    """
    x = _matrix(x)
    reduced, lines = _lines_of(x)
    m, r = lines.shape
    rng = np.random.default_rng(seed)
    block, points = max(1, _BLOCK // max(1, m)), np.zeros((0, r))
    for start in range(0, draws, block):
        new = rng.normal(size=(min(block, draws - start), r))
        new /= np.linalg.norm(new, axis=1, keepdims=True)
        points = _distinct(lines, np.concatenate([points, new]))
    found = _cells_at(x, reduced, points)
    return found._replace(complete=len(found.patterns) == cover_count(m, r), by=f"sampled, {draws} directions")


def _too_many(x: np.ndarray, most: int, bound: int) -> str:
    return (
        f"x has more than {most:,} activation cells ({len(x)} rows; at most {float(bound):.3g}): expected a number "
        "that can be listed; raise `most`, take sampled_cells, or let phi give its interval."
    )


class _Reduced(NamedTuple):
    """The nonzero rows of x, each an exact power of two times rows @ basis' up to `residual`."""

    rows: np.ndarray  # [m, r]
    scale: np.ndarray  # [m], powers of two
    kept: np.ndarray  # [m], indices into x
    basis: np.ndarray  # [d, r], orthonormal
    residual: np.ndarray  # [m], length of the part of each scaled row outside the basis, rounding included


def _reduce(x: np.ndarray, always: bool = True) -> _Reduced:
    """Drop zero rows, scale by powers of two (no rounding), and go to the row space when the rank is below d."""
    kept = np.flatnonzero(np.any(x != 0, axis=1))
    scale = 2.0 ** np.frexp(np.max(np.abs(x[kept]), axis=1, initial=0.0))[1]
    rows, d = x[kept] / scale[:, None], x.shape[1]
    whole = _Reduced(rows=rows, scale=scale, kept=kept, basis=np.eye(d), residual=np.zeros(len(kept)))
    if not always or len(kept) == 0:
        return whole
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    _, size, right = np.linalg.svd(unit, full_matrices=False)
    rank = int(np.sum(size > RESOLUTION * size[0]))
    if rank == d:
        return whole  # no rotation: exact zeros of one-hot and grid rows stay exact
    basis = right[:rank].T
    inside = rows @ basis
    outside = np.linalg.norm(rows - inside @ basis.T, axis=1) + 8 * d * EPS * np.linalg.norm(rows, axis=1)
    return whole._replace(rows=inside, basis=basis, residual=outside)


def _lines_of(x: np.ndarray) -> tuple[_Reduced, np.ndarray]:
    """The reduced rows, and one unit normal [m, r] of each distinct hyperplane."""
    reduced = _reduce(x)
    if not len(reduced.rows):
        return reduced, np.zeros((0, x.shape[1]))
    unit = reduced.rows / np.linalg.norm(reduced.rows, axis=1, keepdims=True)
    return reduced, unit[_first_of_line(unit, np.full(len(unit), RESOLUTION / 2))]


def _first_of_line(unit: np.ndarray, blur: np.ndarray) -> np.ndarray:
    """Whether each unit row [m, r], known to within blur [m], is the first on its line through the origin."""
    m, r = unit.shape
    first = np.ones(m, bool)
    block = max(1, _BLOCK // max(1, m * r))
    for start in range(0, m, block):
        rows = slice(start, start + block)
        # Differences, not cosines: a cosine cannot tell angles below 1e-8 from zero.
        apart = np.minimum(
            np.sum((unit[rows, None] - unit) ** 2, axis=2), np.sum((unit[rows, None] + unit) ** 2, axis=2)
        )
        near = apart <= (blur[rows, None] + blur) ** 2
        first[rows] = ~np.any(np.tril(near, start - 1), axis=1)
    return first


def _regions(a: np.ndarray, blur: np.ndarray, most: float = math.inf) -> tuple[np.ndarray | None, int]:
    """A unit vector in each cell of the distinct hyperplanes with unit normals a [m, r], and the number of cells.

    blur [m] is how well each normal is known (it grows when rows are projected along a close neighbour). Returns None
    for the points once there are more than `most`. The number is counted apart from the points, by deletion and
    restriction: the two agree unless a decision about near-dependent rows was inconsistent.
    """
    m, r = a.shape
    if m == 0:
        return np.eye(r)[:1] if r else np.zeros((1, 0)), 1
    if r == 1:
        return np.array([[1.0], [-1.0]]), 2
    if r == 2:
        return _sectors(a, blur)
    if m <= r and 2**m <= most:
        left, size, right = np.linalg.svd(a, full_matrices=False)
        if size[-1] > 0.05:  # independent: all sign patterns s, at the solutions of a u = s
            signs = 1.0 - 2.0 * ((np.arange(2**m)[:, None] >> np.arange(m)) & 1)
            return _unit(((signs @ left) / size) @ right), 2**m
    found, expected = [], 1
    for k in range(m):
        complement = _complement(a[k])
        shadow = a[:k] @ complement
        length = np.linalg.norm(shadow, axis=1)  # above the blur: the lines are distinct
        shadow, shadow_blur = shadow / length[:, None], blur[:k] / length
        first = _first_of_line(shadow, shadow_blur)
        traces, number = _regions(shadow[first], shadow_blur[first], most - expected)
        expected += number
        if traces is None or expected > most:
            return None, expected
        w = traces @ complement.T if k else np.zeros((1, r))
        # Off the hyperplane, to w +- t a_k, until it is as far from row k as from the row it comes closest to.
        along = a[:k] @ a[k]
        product = w @ a[:k].T
        distance, slope = np.abs(product), np.sign(product) * along
        for side in (1.0, -1.0):
            t = np.min(distance / np.maximum(1 - side * slope, EPS), axis=1, initial=1.0)
            found.append(w + side * t[:, None] * a[k])
    points = _distinct(a, _unit(np.concatenate(found)))
    return points, expected


def _sectors(a: np.ndarray, blur: np.ndarray) -> tuple[np.ndarray, int]:
    """`_regions` in the plane: unit vectors in the middle of the sectors between the lines, from sorted angles."""
    angle = np.arctan2(a[:, 1], a[:, 0]) % np.pi
    order = np.argsort(angle)
    angle, blur = angle[order], blur[order]
    gap = np.diff(angle, append=angle[0] + np.pi)
    wide = gap > blur + np.roll(blur, -1) if len(angle) > 1 else np.ones(1, bool)
    middle = (angle + gap / 2)[wide] + np.pi / 2
    half = np.stack([np.cos(middle), np.sin(middle)], axis=1)
    return np.concatenate([half, -half]), 2 * int(np.sum(wide))


def _complement(a: np.ndarray) -> np.ndarray:
    """Orthonormal basis [r, r-1] of the complement of a unit vector [r] (Householder: exact for unit axes)."""
    v = a.copy()
    v[0] += np.copysign(1.0, a[0])
    return (np.eye(len(a)) - np.outer(v, 2 * v / (v @ v)))[:, 1:]


def _unit(v: np.ndarray) -> np.ndarray:
    return v / np.linalg.norm(v, axis=-1, keepdims=True)


def _keys(patterns: np.ndarray) -> np.ndarray:
    """One sortable key for each row of bool [P, n]."""
    packed = np.packbits(patterns, axis=1)
    width = max(1, packed.shape[1])
    width = 8 if width <= 8 else width
    padded = np.zeros((len(packed), width), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(np.uint64 if width == 8 else np.dtype((np.void, width)))[:, 0]


def _distinct(a: np.ndarray, points: np.ndarray) -> np.ndarray:
    """One point of each sign pattern, the one deepest in its cell; points on a hyperplane are dropped.

    A point that belongs to a cell wider than RESOLUTION, by the construction in `_regions`, is at least
    RESOLUTION / 2^r deep; whatever is shallower came from a cell cut later, which has another point.
    """
    m, r = a.shape
    kept = []
    for start in range(0, len(points), block := max(1, _BLOCK // max(1, m))):
        part = points[start : start + block]
        product = part @ a.T
        depth = np.min(np.abs(product), axis=1, initial=1.0)
        kept.append((product > 0, depth, part, depth > max(RESOLUTION / 2**r, 8 * r * EPS)))
    if not kept:
        return points
    pattern, depth, points, inside = (np.concatenate(field) for field in zip(*kept, strict=True))
    pattern, depth, points = pattern[inside], depth[inside], points[inside]
    order = np.argsort(-depth, kind="stable")
    _, index = np.unique(_keys(pattern)[order], return_index=True)
    return points[order[index]]


def _cells_at(x: np.ndarray, reduced: _Reduced, points: np.ndarray) -> Cells:
    """The cells of x [n, d] at points [P, r] of its row space, each sign verified on x itself."""
    interior = _unit(points @ reduced.basis.T)
    rows = x[reduced.kept] / reduced.scale[:, None]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    patterns, margin = np.zeros((len(points), len(x)), bool), np.ones(len(points))
    for start in range(0, len(points), block := max(1, _BLOCK // max(1, len(unit)))):
        part = slice(start, start + block)
        product = interior[part] @ unit.T
        patterns[part, reduced.kept] = product > 0
        margin[part] = np.min(np.abs(product), axis=1, initial=1.0)
    # A computed product of unit vectors is within (d + 4) eps of the true one.
    sure = margin > (x.shape[1] + 4) * EPS
    patterns, interior, margin = patterns[sure], interior[sure], margin[sure]
    return Cells(
        patterns=patterns,
        interior=interior,
        complete=False,
        by="",
        margin=float(np.min(margin, initial=1.0)),
    )


def _at_least(lines: np.ndarray, most: int) -> int:
    """A number of cells that surely exist: distinct patterns of random directions on at most 64 of the rows."""
    a, rng = lines[:64], np.random.default_rng(0)
    keys = np.zeros(0, np.uint64)
    for _ in range(8):
        draws = max(1000, most // 4)
        seen = []
        for start in range(0, draws, block := max(1, _BLOCK // len(a))):
            product = _unit(rng.normal(size=(min(block, draws - start), a.shape[1]))) @ a.T
            seen.append(_keys(product[np.min(np.abs(product), axis=1) > RESOLUTION] > 0))
        before, keys = len(keys), np.unique(np.concatenate([keys, *seen]))
        if len(keys) > most or len(keys) - before < draws // 4:
            break
    return len(keys)


# --- phi ---


@_one_thread
def phi(x: np.ndarray, nu: np.ndarray, known: Cells | None = None, boxes: int = 50_000) -> Phi:
    """max over |u| <= 1 of |nu' relu(x u)| for data x [n, d] and one residual nu [n], with its maximiser.

    Exact for d (or rank) <= 3, and for any d when the cells are given in `known` (all of them: `complete`) or are
    few enough to be listed; otherwise value is a local maximum and upper the best of branch and bound over `boxes`
    boxes, the spectral bound and the norm bound. A maximiser on hyperplanes is computed on them: x_k.u vanishes there
    to rounding.
    """
    x, nu = _matrix(x), _residual(x, nu)
    reduced, weight, length, slack = _scaled(x, nu)
    rank = reduced.rows.shape[1]
    if len(reduced.rows) == 0 or not np.any(weight) or length == 0:
        return Phi(value=0.0, upper=slack, u=np.eye(x.shape[1])[0], sign=1, by="faces")
    if rank == 3 and len(reduced.rows) ** 3 > _BLOCK:
        # Many rows: the faces, n^2 of them at a cost of n each, take minutes where this search most often closes.
        found = _phi_interval(x, nu, boxes)
        if found.upper - found.value <= 2 * (_rounding(len(nu)) * length + slack) + 2e-12 * found.value:
            return found
    if rank <= 3:
        found = phis(x, nu[None])
        return Phi(
            value=float(found.value[0]), upper=float(found.upper[0]), u=found.u[0], sign=int(found.sign[0]), by="faces"
        )
    listed = known if known is not None and known.complete else None
    if listed is None and cover_count(len(reduced.rows), rank) <= LISTABLE:
        listed = _listed(x.tobytes(), x.shape)
        listed = listed if listed.complete else None
    if listed is not None:
        return _phi_cells(x, nu, listed)
    return _phi_interval(x, nu, boxes)


@_one_thread
def phis(x: np.ndarray, nus: np.ndarray) -> Phis:
    """phi of many residuals nus [R, n] at once, exact; data x [n, d] with d (or rank) <= 3.

    The result for a residual does not depend on the others beyond rounding. `upper` exceeds `value` by rounding only:
    by (18 n + 96) eps sum_k |nu_k| |x_k|.

    Why that is enough (eps the double spacing, L = sum |nu_k| |x_k|, a Lipschitz constant of h(u) = nu' relu(x u)).
    Vertices x_j x x_k / |.| are computed with compensated products, so they are within 10 eps of the true ones however
    close to parallel the rows are, and so are their angles on each circle x_k.u = 0. Hence an arc wider than 32 eps
    shows as one of at least 12 eps, and the pattern found at its middle, 6 eps or more from any vertex, is the true
    one. Gradients carry an error e, |e| <= 2 (n + 8) eps L.

    (1) u* at a vertex: the computed vertex gives h >= phi - 10 eps L.
    (2) u* inside an arc of width <= 32 eps: as (1), with 42 eps L. In a wider one, let G = g + e be the computed
        projected gradient and phi = |g|. If |g| <= |e| nothing is to be shown. If G/|G| is in the arc,
        h(G/|G|) = g.G/|G| >= |g| - 2|e|. If not, an end b of the arc lies between it and g/|g|, at an angle from g/|g|
        of at most (pi/2) |e|/|g|, and h(b) = g.b >= |g| - 1.3 |e|; then (1).
    (3) u* inside a cell. If the cell has an arc wider than 32 eps its pattern is among those tried, and (2) applies
        word for word, with b on the boundary of the cell and then (2) for the arc through b. If all of its at most n
        arcs are narrower, u* is within 16 n eps of a vertex.

    The worst is 17 n + 40 or 8 n + 90 units eps L, evaluating h (n + d + 8 units) and the preference for lower faces
    (8 units) included. Candidates are skipped only when a bound on their own value says that they cannot win.

    Raises:
        InputError: The rank is above three, or the arguments are not finite matrices that fit.
    """
    x = _matrix(x)
    nus = np.asarray(nus, float)
    if nus.ndim != 2 or nus.shape[1] != len(x) or not np.all(np.isfinite(nus)):
        raise InputError(f"nus must be a finite matrix [R, {len(x)}], one row a residual; found shape {nus.shape}.")
    reduced = _reduce(x, always=x.shape[1] > 3)
    n, d = reduced.rows.shape
    if n and d > 3:
        raise InputError(f"phis needs data of rank at most 3 and x has rank {d}: call phi, one residual at a time.")
    count = len(nus)
    weight = nus[:, reduced.kept] * reduced.scale
    length = np.abs(weight) @ np.linalg.norm(reduced.rows, axis=1)
    best = _Best(np.zeros(count), np.tile(np.eye(d)[0], (count, 1)), np.ones(count, int))
    if n:
        for faces in _faces_of(reduced.rows):
            size = len(faces.relu) + 2 * len(faces.plane) + 3 * faces.gradients.shape[1]
            step = int(np.clip(500_000 // size, 1, 1024))
            for start in range(0, count, step):
                part = slice(start, start + step)
                _search(faces, reduced.rows, weight[part], length[part], best.part(part))
    slack = length * _rounding(n) + np.abs(weight) @ reduced.residual
    u = best.u @ reduced.basis.T
    return Phis(value=best.value, upper=best.value + slack, u=u, sign=best.sign)


def _rounding(n: int) -> float:
    """The rounding error allowed to phi in units of sum |nu_k| |x_k|; argued in `phis`."""
    return (18 * n + 96) * EPS


class _Best(NamedTuple):
    """The best value [R], its u [R, d] and sign [R] so far; updated in place."""

    value: np.ndarray
    u: np.ndarray
    sign: np.ndarray

    def part(self, rows: slice) -> _Best:
        return _Best(self.value[rows], self.u[rows], self.sign[rows])

    def offer(self, row: np.ndarray, u: np.ndarray, h: np.ndarray, least: np.ndarray) -> None:
        """Take for each residual row[q] the candidate u[q] of value h[q] that beats its record by `least` [R]."""
        better = np.abs(h) > self.value[row] + least[row]
        row, u, h = row[better], u[better], h[better]
        order = np.lexsort((np.abs(h), row))
        last = order[np.flatnonzero(np.diff(row[order], append=-1))]
        self.value[row[last]], self.u[row[last]], self.sign[row[last]] = np.abs(h[last]), u[last], np.sign(h[last])


class _Faces(NamedTuple):
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


def _search(faces: _Faces, x: np.ndarray, weight: np.ndarray, length: np.ndarray, best: _Best) -> None:
    """Offer to `best` the candidates of all faces, for residuals weight [R, n]: vertices, then arcs, then cells.

    A higher face must win by more than rounding, so that a maximiser on hyperplanes is the vertex or arc itself.
    """
    least = 8 * EPS * length
    rows = np.arange(len(weight))
    if len(faces.points):
        h = weight @ faces.relu.T
        top = np.argmax(np.abs(h), axis=1)
        best.offer(rows, faces.points[top], h[rows, top], least)
    if len(faces.plane):
        # Almost every gradient points out of its arc, which two products tell.
        after, before = weight @ faces.after.T, weight @ faces.before.T
        blur = _rounding(x.shape[0]) * length[:, None]
        for sign in (1, -1):
            if sign > 0:
                row, arc = np.nonzero((after >= -blur) & (before >= -blur))
            else:
                row, arc = np.nonzero((after <= blur) & (before <= blur))
            g1, g2 = (np.einsum("qn,qn->q", weight[row], part[arc]) for part in faces.along)
            size = np.hypot(g1, g2)
            high = size > best.value[row]
            row, g = row[high], (sign / size[high]) * np.stack([g1[high], g2[high]])
            u = np.einsum("cq,qcd->qd", g, faces.plane[arc[high]])
            _try(x, weight, row, u, best, least)
    if faces.gradients.shape[1]:
        square = np.zeros((len(weight), faces.gradients.shape[1]))
        for component in faces.gradients:
            square += (weight @ component.T) ** 2
        row, cell = np.nonzero(square > ((best.value + least) ** 2)[:, None])
        block = max(1, _BLOCK // (4 * x.shape[0]))
        for start in range(0, len(row), block):
            r, c = row[start : start + block], cell[start : start + block]
            g = np.stack([np.einsum("qn,qn->q", weight[r], component[c]) for component in faces.gradients], axis=1)
            u = _unit(g)
            _try(x, weight, r, u, best, least)
            _try(x, weight, r, -u, best, least)


def _try(x: np.ndarray, weight: np.ndarray, row: np.ndarray, u: np.ndarray, best: _Best, least: np.ndarray) -> None:
    best.offer(row, u, np.einsum("qn,qn->q", np.maximum(u @ x.T, 0.0), weight[row]), least)


def _faces_of(rows: np.ndarray) -> Iterator[_Faces]:
    """The faces in blocks of circles that fit in memory; a single block is remembered from call to call."""
    n, d = rows.shape
    if d == 1 or (n * n if d == 2 else n * n * n) <= _BLOCK:
        yield _faces(rows.tobytes(), rows.shape)
    elif d == 2:
        shares = n * n // _BLOCK + 1
        for share in range(shares):
            yield _circles(rows, np.arange(1), slice(share, None, shares))
    else:
        step = max(1, _BLOCK // (n * n))
        for start in range(0, n, step):
            yield _circles(rows, np.arange(start, min(n, start + step)))


@lru_cache(maxsize=4)
def _faces(data: bytes, shape: tuple[int, int]) -> _Faces:
    rows = np.frombuffer(data).reshape(shape)
    if shape[1] == 1:
        points = np.array([[1.0], [-1.0]])
        none = np.zeros((0, len(rows)))
        return _Faces(
            points=points,
            relu=np.maximum(points @ rows.T, 0.0),
            plane=np.zeros((0, 2, 1)),
            along=np.stack([none, none]),
            after=none,
            before=none,
            gradients=np.zeros((1, 0, len(rows))),
        )
    return _circles(rows, np.arange(len(rows) if shape[1] == 3 else 1))


def _circles(x: np.ndarray, which: np.ndarray, share: slice = slice(None)) -> _Faces:
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
        q1 = _unit(np.cross(axis, np.eye(3)[np.argmin(np.abs(axis), axis=1)]))
        plane = np.stack([q1, np.cross(_unit(axis), q1)], axis=1)
        turned = _cross(axis[:, None], x[None])  # x_k x x_j is the part of x_j in the plane, turned by a right angle
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
        patterns = patterns[np.unique(_keys(patterns), return_index=True)[1]]
        points = vertex[crossing & (np.arange(n) > which[:, None])]
        points = np.concatenate([points, -points])
    along = np.where(active, inside[:, circle], 0.0)
    start, end = direction(first), direction(first + width)
    return _Faces(
        points=points,
        relu=np.maximum(points @ x.T, 0.0),
        plane=plane[circle],
        along=along,
        after=start[:, :1] * along[1] - start[:, 1:] * along[0],
        before=along[0] * end[:, 1:] - along[1] * end[:, :1],
        gradients=patterns[None] * x.T[:, None],
    )


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a x b along the last axis, each component to a few rounding errors of itself (Kahan, with Dekker's products)."""
    a1, a2, a3 = np.moveaxis(a, -1, 0)
    b1, b2, b3 = np.moveaxis(b, -1, 0)
    return np.stack([_difference(a2, b3, a3, b2), _difference(a3, b1, a1, b3), _difference(a1, b2, a2, b1)], axis=-1)


def _difference(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """a b - c d without cancellation error."""
    p, p_error = _two_product(a, b)
    q, q_error = _two_product(c, d)
    return (p - q) + (p_error - q_error)


def _two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rounded product and its error, exactly (Dekker 1971); |a|, |b| <= 1 here, so nothing overflows."""
    product = a * b

    def split(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        high = v * 134217729.0  # 2^27 + 1
        high = high - (high - v)
        return high, v - high

    a_high, a_low = split(a)
    b_high, b_low = split(b)
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)


# --- phi through the cells ---


@_one_thread
def local_maxima(x: np.ndarray, nu: np.ndarray, above: float = 0.0, known: Cells | None = None) -> Maxima:
    """All local maxima of u -> |nu' relu(x u)| on the unit sphere that are higher than `above`.

    h(u) = nu' relu(x u) is linear in each cell, so it has one maximum in each closed cell with h > 0, and u is a local
    maximum of h if and only if it is that maximum in every closed cell that holds it. It is then strict: near u,
    h(u + v) = h(u) + (something <= 0), and normalising lowers it. Directions on hyperplanes are computed on them.
    Where the data are degenerate to rounding only, the list may hold a direction that is a maximum to rounding only;
    it never lacks the highest.

    Args:
        x: Data, [n, d].
        nu: Residual, [n].
        above: Only maxima of value greater than this; cells that a bound excludes are not solved.
        known: `cells(x)`; listed here when not given.

    Raises:
        InputError: The cells cannot be listed.
    """
    x, nu = _matrix(x), _residual(x, nu)
    listed = known if known is not None else _listed(x.tobytes(), x.shape)
    if not listed.complete:
        raise InputError("local_maxima needs the complete list of cells and was given a part: pass cells(x).")
    reduced, weight, length, _ = _scaled(x, nu)
    rows = x[reduced.kept] / reduced.scale[:, None]
    tolerance = _rounding(len(rows)) * length
    above = max(float(above), tolerance)
    patterns = listed.patterns[:, reduced.kept]
    norms = np.linalg.norm(rows, axis=1)
    u_found, sign_found, value_found = [], [], []
    for sign in (1, -1):
        w = sign * weight
        bound = _screen(rows, w, patterns)[0] if above > tolerance else np.full(len(patterns), np.inf)
        upper, u = _project(rows, w, patterns, bound, above)
        h = np.maximum(u @ rows.T, 0.0) @ w
        high = np.flatnonzero(h > above)
        high = high[_cannot_leave(rows / norms[:, None], w * norms, u[high], tolerance)]
        taken = np.zeros((0, x.shape[1]))
        for i in high[np.argsort(-h[high])]:
            if np.min(np.linalg.norm(taken - u[i], axis=1), initial=1.0) < 1e-9:
                continue
            product = rows @ u[i]
            tied = np.abs(product) <= TIE * norms
            around = np.all((patterns == (product > 0)) | tied, axis=1)
            if np.all(upper[around] <= h[i] + 4 * tolerance):
                taken = np.concatenate([taken, u[i : i + 1]])
                u_found.append(u[i])
                sign_found.append(sign)
                value_found.append(h[i])
    order = np.argsort(-np.array(value_found), kind="stable")
    return Maxima(
        u=np.array(u_found).reshape(-1, x.shape[1])[order],
        sign=np.array(sign_found, int)[order],
        value=np.array(value_found)[order],
    )


def _cannot_leave(unit: np.ndarray, w: np.ndarray, u: np.ndarray, tolerance: float) -> np.ndarray:
    """Whether w' relu(unit u) does not grow from u [C, d] along the normals of the hyperplanes that u lies on.

    Necessary for a local maximum, and quick: it leaves few directions for the full test.
    """
    product = u @ unit.T
    tied = np.abs(product) <= TIE
    off, on = (np.where(tied, 0.0, product > 0) * w) @ unit @ unit.T, np.where(tied, w, 0.0)
    gram = unit @ unit.T
    growth = np.maximum(off + on @ np.maximum(gram, 0.0), -off + on @ np.maximum(-gram, 0.0))
    return np.all(~tied | (growth <= 8 * tolerance), axis=1)


def _phi_cells(x: np.ndarray, nu: np.ndarray, listed: Cells) -> Phi:
    """phi from a complete list of cells."""
    reduced, weight, length, slack = _scaled(x, nu)
    rows = x[reduced.kept] / reduced.scale[:, None]
    patterns = listed.patterns[:, reduced.kept]
    bounds, best = {}, 0.0
    for sign in (1, -1):
        bounds[sign], tried = _screen(rows, sign * weight, patterns)
        best = max(best, float(np.max(np.maximum(tried @ rows.T, 0.0) @ (sign * weight), initial=0.0)))
    value, u, which, upper = 0.0, np.eye(x.shape[1])[0], 1, 0.0
    for sign in (1, -1):
        # The approximate directions behind `best` are replaced by exact ones, from the cells that can reach it.
        top, exact = _project(rows, sign * weight, patterns, bounds[sign], best * (1 - 1e-12))
        h = np.maximum(exact @ rows.T, 0.0) @ (sign * weight)
        i = int(np.argmax(h))
        if h[i] > value:
            value, u, which = float(h[i]), exact[i], sign
        upper = max(upper, float(np.max(top)))
    if len(patterns) < cover_count(len(rows), reduced.rows.shape[1]):
        # Rows dependent to RESOLUTION were taken as dependent, once in each dimension that restriction went down.
        slack += reduced.rows.shape[1] * RESOLUTION * length
    return Phi(value=value, upper=max(upper, value) + slack, u=u, sign=which, by="cells")


@lru_cache(maxsize=4)
def _listed(data: bytes, shape: tuple[int, int]) -> Cells:
    return cells(np.frombuffer(data).reshape(shape))


def _screen(x: np.ndarray, w: np.ndarray, patterns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Upper bounds of max w' relu(x u) on each cell [P], and directions [Q, d] worth trying.

    Cells that agree on the rows with w > 0 share the bound |p_S - rho b| of the module's head, rho from a few sweeps
    of coordinate descent.
    """
    up, down = w > 0, w < 0
    _, index, group = np.unique(_keys(patterns[:, up]), return_index=True, return_inverse=True)
    p = (patterns[index][:, up] * w[up]) @ x[up]
    b = -w[down, None] * x[down]
    rho = _shrink(p, b, patterns[index][:, down].astype(float), None, 30)
    left = p - rho @ b
    size = np.linalg.norm(left, axis=1)
    bound = size + _sum_error(x, w)
    return bound[group.reshape(-1)], left[size > 0] / size[size > 0, None]


def _sum_error(x: np.ndarray, w: np.ndarray) -> float:
    """Bound on the rounding error of the length of a computed sum of fractions of the vectors w_k x_k."""
    return 4 * (len(x) + 8) * EPS * float(np.abs(w) @ np.linalg.norm(x, axis=1))


def _shrink(p: np.ndarray, b: np.ndarray, rho: np.ndarray, free: np.ndarray | None, sweeps: int) -> np.ndarray:
    """rho in [0, 1] [Q, m] that makes |p - rho b| small, p [Q, d], b [m, d]: coordinate descent, where `free`."""
    rho, left = rho.copy(), p - rho @ b
    square = np.sum(b * b, axis=1)
    square[square == 0] = np.inf  # underflow: such a row moves nothing
    columns = range(len(b)) if free is None else np.flatnonzero(np.any(free, axis=0))
    for _ in range(sweeps):
        moved = 0.0
        for k in columns:
            move = np.clip(rho[:, k] + left @ b[k] / square[k], 0.0, 1.0) - rho[:, k]
            if free is not None:
                move *= free[:, k]
            rho[:, k] += move
            left -= move[:, None] * b[k]
            moved = max(moved, float(np.max(np.abs(move), initial=0.0)))
        if moved < 1e-9:
            break
    return rho


def _project(
    x: np.ndarray, w: np.ndarray, patterns: np.ndarray, bound: np.ndarray, above: float
) -> tuple[np.ndarray, np.ndarray]:
    """For each cell a bound of max w' relu(x u) on it [P], and its maximiser [P, d] (zero where not looked for).

    Only cells whose bound exceeds `above` are solved: by non-negative least squares, whose multipliers give the bound
    whatever their accuracy; the rows with positive multipliers are the hyperplanes of the maximiser, which is
    recomputed as the projection of the gradient on their intersection.
    """
    g = (patterns * w) @ x
    size = np.linalg.norm(g, axis=1)
    norms = np.linalg.norm(x, axis=1)
    unit, round_off = x / norms[:, None], _sum_error(x, w)
    upper = np.minimum(bound, size + round_off)
    u = np.zeros_like(g)
    todo = (upper > above) & (size > 0)
    signed = np.where(patterns, 1.0, -1.0)
    inside = todo & np.all(signed * (g @ unit.T) >= 0, axis=1)
    u[inside] = g[inside] / size[inside, None]
    for i in np.flatnonzero(todo & ~inside):
        faces = signed[i][:, None] * unit
        try:
            rho = np.maximum(nnls(faces.T, -g[i])[0], 0.0)
        except RuntimeError:  # out of iterations: the bound already known stands
            continue
        left = g[i] + rho @ faces
        upper[i] = min(upper[i], np.linalg.norm(left) + round_off + _sum_error(unit, rho))
        if upper[i] <= above:
            continue
        normal = np.linalg.qr(unit[rho > 0].T)[0]
        best = g[i] - normal @ (normal.T @ g[i])
        best = best - normal @ (normal.T @ best)  # twice is enough: orthogonal to rounding
        length = np.linalg.norm(best)
        if length > round_off:
            u[i] = best / length
    return upper, u


# --- phi as an interval ---


def _phi_interval(x: np.ndarray, nu: np.ndarray, boxes: int) -> Phi:
    """phi between an ascent and the best of three upper bounds."""
    reduced, weight, length, slack = _scaled(x, nu)
    z = reduced.rows
    value, u = _ascend(z, weight)
    bounds = {"norm bound": _norm_bound(z, weight), "spectral bound": _spectral_bound(z, weight)}
    if z.shape[1] <= BRANCHABLE and boxes > 0:
        better, bounds["branch and bound"] = _branch_and_bound(z, weight, u, value, boxes)
        for start in (better, *_ascend(z, weight, better[None])[1:]):
            h = abs(float(weight @ np.maximum(z @ start, 0.0)))
            if h > value:
                value, u = h, start
    by = min(bounds, key=lambda name: bounds[name])
    direction = _unit(reduced.basis @ u)
    h = float(nu @ np.maximum(x @ direction, 0.0))
    upper = max(bounds[by], value) + _rounding(len(z)) * length + slack
    return Phi(value=abs(h), upper=max(upper, abs(h)), u=direction, sign=1 if h >= 0 else -1, by=by)


def _ascend(z: np.ndarray, weight: np.ndarray, starts: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """The best local maximum of |weight' relu(z u)| met from some starts, 200 random ones by default: (value, u)."""
    best = (0.0, np.eye(z.shape[1])[0])
    for sign in (1, -1):
        w = sign * weight
        u, h = _climbed(z, w, _random_units(z.shape[1]) if starts is None else starts)
        top = u[np.argsort(-h)[:8]]
        u = np.concatenate([top, _project(z, w, top @ z.T > 0, np.full(len(top), np.inf), 0.0)[1]])
        h = np.maximum(u @ z.T, 0.0) @ w
        i = len(u) - 1 - int(np.argmax(h[::-1]))
        if h[i] > best[0]:
            best = (float(h[i]), u[i])
    return best


def _random_units(rank: int, seed: int = 0) -> np.ndarray:
    return _unit(np.random.default_rng(seed).normal(size=(200, rank)))


def _climbed(z: np.ndarray, w: np.ndarray, u: np.ndarray, sweeps: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Where ascents of w' relu(z u) on the ball lead from u [Q, rank] in six steps, and the heights there.

    Fixing the pattern S of the rows with w > 0 leaves a concave function below h and equal to it at u; its maximum on
    the ball is p_S - rho b, normalised. Each step goes there, so h never falls.
    """
    up, down = w > 0, w < 0
    b = -w[down, None] * z[down]
    for _ in range(6):
        product = u @ z.T
        p = (np.maximum(np.sign(product[:, up]), 0.0) * w[up]) @ z[up]
        rho = _shrink(p, b, (product[:, down] > 0).astype(float), None, sweeps)
        left = p - rho @ b
        size = np.linalg.norm(left, axis=1)
        u = np.where(size[:, None] > 0, left / np.maximum(size, 1e-300)[:, None], u)
    return u, np.maximum(u @ z.T, 0.0) @ w


@_one_thread
def ascents(x: np.ndarray, nu: np.ndarray, above: float = 0.0, seed: int = 0) -> Maxima:
    """Local maxima of u -> |nu' relu(x u)| higher than `above`, as far as ascents from 200 random starts meet them.

    Highest first, no two of a sign within an angle of 0.02; each is a maximum to about 1e-3 of its height only, since
    the cells beside it are what it is good for. Not all of them, unlike `local_maxima`; but it needs no list of cells.
    """
    x, nu = _matrix(x), _residual(x, nu)
    reduced, weight, _, _ = _scaled(x, nu)
    z = reduced.rows
    tops: list[tuple[float, int, np.ndarray]] = []
    for sign in (1, -1) if len(z) and np.any(weight) else ():
        u, h = _climbed(z, sign * weight, _random_units(z.shape[1], seed), sweeps=3)
        distinct = np.zeros((0, z.shape[1]))
        for i in np.argsort(-h)[: int(np.sum(h > above))]:
            if np.max(distinct @ u[i], initial=-1.0) < DISTINCT:
                distinct = np.vstack([distinct, u[i]])
                tops.append((float(h[i]), sign, _unit(reduced.basis @ u[i])))
    tops.sort(key=lambda one: -one[0])
    return Maxima(
        u=np.array([u for _, _, u in tops]).reshape(-1, x.shape[1]),
        sign=np.array([sign for _, sign, _ in tops], int),
        value=np.array([h for h, _, _ in tops]),
    )


def _norm_bound(z: np.ndarray, weight: np.ndarray) -> float:
    """max over signs of sum_{+-nu_k > 0} |nu_k| |x_k|: h is at most its positive part."""
    size = np.abs(weight) * np.linalg.norm(z, axis=1)
    return float(max(np.sum(size[weight > 0]), np.sum(size[weight < 0])))


def _spectral_bound(z: np.ndarray, weight: np.ndarray) -> float:
    """|x' nu| / 2 + max over signs of sqrt(sum w_k lambda_max(sum w_k e_k e_k')) / 2.

    Here w_k = nu_+- |x_k| and e_k = x_k / |x_k|: relu(t) = (t + |t|) / 2, and by Cauchy-Schwarz
    (sum w_k |e_k.u|)^2 <= sum w_k sum w_k (e_k.u)^2. Unit rows, so that the bound does not depend on how a product
    nu_k x_k is shared out.
    """
    norms = np.linalg.norm(z, axis=1)
    unit, half = z / norms[:, None], 0.0
    for w in (np.maximum(weight, 0.0) * norms, np.maximum(-weight, 0.0) * norms):
        half = max(half, float(np.sum(w)) * float(np.linalg.norm((unit * w[:, None]).T @ unit, 2)))
    return 0.5 * float(np.linalg.norm(z.T @ weight)) + 0.5 * math.sqrt(half)


def _branch_and_bound(
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
        bound, h = _box_bounds(z, weight, centre, radius, sign)
        done += len(bound)
        if h.max() > value:
            value, u = float(h.max()), _unit(centre[int(np.argmax(h))])
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


def _box_bounds(
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
    rho = _shrink(fixed, np.abs(weight)[:, None] * z, np.where(free, slope, 0.0), free, 6)
    value = np.sum(w * np.maximum(middle, 0.0), axis=1) / np.linalg.norm(centre, axis=1)
    return np.minimum(bound(slope), bound(np.where(free, rho, slope))), value


# --- arguments ---


def _matrix(x: np.ndarray) -> np.ndarray:
    x = np.ascontiguousarray(x, float)
    if x.ndim != 2 or 0 in x.shape or not np.all(np.isfinite(x)):
        raise InputError(f"x must be a finite matrix [n, d], one row a sample; found shape {x.shape}, or NaN inside.")
    return x


def _residual(x: np.ndarray, nu: np.ndarray) -> np.ndarray:
    nu = np.asarray(nu, float)
    if nu.shape != (len(x),) or not np.all(np.isfinite(nu)):
        raise InputError(f"nu must be finite, one number a row of x; found shape {nu.shape} and x has {len(x)} rows.")
    return nu


def _scaled(x: np.ndarray, nu: np.ndarray) -> tuple[_Reduced, np.ndarray, float, float]:
    """Rows with a weight, the weights, sum |nu_k| |x_k|, and the error of going to the row space."""
    reduced = _reduce(x, always=x.shape[1] > 3)
    weight = nu[reduced.kept] * reduced.scale
    length = float(np.abs(weight) @ (np.linalg.norm(reduced.rows, axis=1) + reduced.residual))
    return reduced, weight, length, float(np.abs(weight) @ reduced.residual)
