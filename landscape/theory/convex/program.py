"""The convex program behind two-layer ReLU networks: its optimum p*, the dual point, and a bound for every width.

Each signed activation cell (pattern D_i, sign s_i) gets one block u_i in the closed cone of its pattern:

    min  loss(sum_i s_i D_i X u_i + b0) + beta sum_i |u_i|  (+ beta b0^2 / 2),    u_i in K_i.                       (C)

With all cells this has the optimal value p* = inf over widths of the network's loss (Pilanci and Ergen 2020; Wang,
Lacotte and Pilanci 2022); with some of them it is the value of the best network restricted to those cells. An interior
point method finds the optimum to about 1e-9 and the active set; Newton's method on that active set does the rest. What
is returned is judged by its duality gap, never by the method that found it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import clarabel as _clarabel
import numpy as np
from scipy.linalg import lstsq
from scipy.optimize import brentq, nnls
from scipy.sparse import csc_matrix, diags_array, eye_array, hstack, vstack
from scipy.special import entr, expit

from landscape.problems.datafit import Data, dual_value, loss_value, minus_gradient, objective
from landscape.records import InputError
from landscape.theory.arrangement.ascent import ascents
from landscape.theory.arrangement.cells import cover_count
from landscape.theory.arrangement.maxima import local_maxima
from landscape.theory.arrangement.phi import phi
from landscape.theory.arrangement.records import Cells, Maxima, Phi

EPS = float(np.finfo(float).eps)
clarabel: Any = _clarabel  # a compiled module without type information


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


def restricted(
    data: Data,
    patterns: np.ndarray,
    signs: np.ndarray,
    polish: bool = True,
    slopes: tuple[float, float] = (0.0, 1.0),
    start: np.ndarray | None = None,
) -> Restricted:
    """The convex program (C) on the given signed cells, solved to a relative duality gap of about 1e-14.

    Args:
        data: The data set; its weight decay must be positive.
        patterns: Active rows of each cell, [q, n], bool. Repeated and adjacent cells are allowed.
        signs: Sign of each cell's outer weight, [q], +-1.
        polish: Finish with Newton's method on the active set; without it the relative accuracy is about 1e-9.
        slopes: Of the activation on its two sides; relu's by default.
        start: Blocks in the first cells to start from, [<= q, d]: then the active-set method alone is used, which is
            faster from nearby, and leaves a `residual` where it does not find the active set.

    Raises:
        InputError: The weight decay is not positive, or the shapes do not fit.
    """
    x, _ = _checked(data)
    patterns = np.asarray(patterns, bool).reshape(-1, len(x))
    signs = np.asarray(signs, float).reshape(-1)
    if len(signs) != len(patterns):
        raise InputError(f"There must be one sign for each pattern, found {len(signs)} for {len(patterns)} patterns.")
    cells = _Cells.of(x, patterns, signs, slopes)
    if start is not None and len(signs):
        return _polished(data, cells, _started(cells, start)).result
    guess = _interior_point(data, cells) if len(signs) else _Guess(np.zeros((0, x.shape[1])), 0.0, signs > 0, signs > 0)
    if not polish:
        return _judged(data, cells, guess.u, guess.b0).result
    best = _polished(data, cells, guess)
    if best.result.residual > _SHARP:  # the active set was not found: the plain solution may be the better one
        best = min(best, _judged(data, cells, guess.u, guess.b0), key=_residual)
    if best.result.residual > _SHARP and data.loss == "logistic":
        best = min(best, _polished(data, cells, _by_models(data, cells, best)), key=_residual)
    return best.result


def restricted_near(
    data: Data, patterns: np.ndarray, signs: np.ndarray, near: np.ndarray, slopes: tuple[float, float] = (0.0, 1.0)
) -> Restricted:
    """`restricted`, a large one from blocks in its first cells, [<= q, d], as long as that finds the active set."""
    if len(signs) * data.x.shape[1] > _STARTED:
        solved = restricted(data, patterns, signs, slopes=slopes, start=near)
        if solved.residual <= _SHARP:
            return solved
    return restricted(data, patterns, signs, slopes=slopes)


def _residual(point: _Judged) -> float:
    return point.result.residual


def _by_models(data: Data, cells: _Cells, start: _Judged) -> _Guess:
    """(C) by a sequence of its second-order models, each an interior point's: at a small weight decay the logistic loss
    is so small that exponential cones lose its digits. The value never rises."""
    u, b0, value = start.result.blocks, start.result.b0, start.result.value
    while True:
        f = _output(cells, u, b0)
        # sqrt(s(f) s(-f)) and y s(-y f) over it, s the logistic function, without underflow
        half = np.clip(0.5 * data.y * f, -300.0, 300.0)
        roots = 0.5 / np.cosh(half)
        found = _interior_point(data, cells, _Model(roots, roots * f + data.y * np.exp(-half)))
        t, new = 1.0, _value(data, cells, found.u, found.b0)
        while new > value and t > 1e-4:
            t /= 2
            new = _value(data, cells, u + t * (found.u - u), b0 + t * (found.b0 - b0))
        if not new < value * (1 - 1e-13):
            return found
        u, b0, value = u + t * (found.u - u), b0 + t * (found.b0 - b0), new


class Optimum(NamedTuple):
    """The best network of any width, with its certificate.

    Attributes:
        hidden: Hidden weights, [m, d], m the number of neurons found (not always the least, see `optimal_set.prune`).
        outer: Outer weights, [m]; every neuron is balanced, |w_j| = |a_j|.
        b0: Outer bias.
        value: The true loss of this network, an upper bound on p*.
        lower_bound: No network of any width has a smaller loss; rounding taken off.
        gap: value - lower_bound, as computed: below the rounding of `value` it can be negative.
        nu: Minus the loss gradient that `phi` and `lower_bound` belong to, [n], in general that of the network; centred
            for a free outer bias.
        phi: phi(nu), exact or an interval.
        rounds: Restricted programs solved.
        patterns: Cells of the last restricted program, [q, n], bool.
        signs: Their signs, [q].
    """

    hidden: np.ndarray
    outer: np.ndarray
    b0: float
    value: float
    lower_bound: float
    gap: float
    nu: np.ndarray
    phi: Phi
    rounds: int
    patterns: np.ndarray
    signs: np.ndarray


def optimum(data: Data, known: Cells | None = None, rounds: int = 200) -> Optimum:
    """p* by column generation: solve (C) on some cells, add the cells where |nu' relu(X u)| exceeds beta, repeat.

    Where all cells can be listed the maxima above beta are all found, and the end is where there is none. Where there
    are too many, ascents look for them, each program starts from the solution of the one before, and phi, exact for
    d <= 3 and an interval beyond, has the last word. There the search also ends after work of about a minute. What is
    returned is an upper and a lower bound in every case.

    Args:
        data: The data set; its weight decay must be positive.
        known: All activation cells of data.x if they are at hand. Where only some are given (`sampled_cells`) the value
            is the optimum on these alone; the lower bound is for all.
        rounds: Restricted programs solved at most. The exact method needs 4 to 30 on the sizes it is meant for.

    Raises:
        InputError: The weight decay is not positive, or the loss has no minimum (one class and a free outer bias).
    """
    x, _ = _checked(data)
    if known is not None and not known.complete:
        patterns, signs = np.repeat(known.patterns, 2, axis=0), np.tile([1.0, -1.0], len(known.patterns))
        found = _found(data, restricted_near(data, patterns, signs, near=np.zeros((0, x.shape[1]))), signs)
        return _bounded(data, found, phi(x, found.nu), patterns, signs, 1)
    listable = known is not None or len(x) * cover_count(len(x), int(np.linalg.matrix_rank(x))) <= _LISTABLE
    patterns, signs, work = np.zeros((0, len(x)), bool), np.zeros(0), 0.0
    best, start, none = None, None, (patterns, signs)
    for k in range(1, rounds + 1):
        solved = restricted(data, patterns, signs, start=start)
        now = _found(data, solved, signs)
        # Within rounding the latest residual is kept: it is the one of the network.
        best = now if best is None or now.value < best.value else best._replace(nu=now.nu)
        # nu' relu(X u) has the rounding of nu, and what the program's solution leaves open.
        noise = 16 * EPS * float(np.abs(now.nu) @ np.linalg.norm(x, axis=1))
        above = data.weight_decay * (1 + min(solved.residual, 1e-9)) + noise
        if listable:
            fresh = _columns(data, local_maxima(x, now.nu, above, known), patterns, signs)
        else:  # other starts each time; the last time nothing was found, a few more
            tries = (ascents(x, now.nu, above, seed=_TRIES * k + i) for i in range(_TRIES))
            fresh = next(
                (new for new in (_columns(data, more, patterns, signs, 1) for more in tries) if len(new[1])), none
            )
        if not len(fresh[1]) and start is not None and solved.residual > _SHARP:
            start = None  # the active-set method went astray
            continue
        if not len(fresh[1]):
            for boxes in (_BOXES, None):
                height = phi(x, now.nu, known) if boxes is None else phi(x, now.nu, known, boxes)
                top = Maxima(height.u[None], np.array([height.sign]), np.array([height.value]))
                fresh = _columns(data, top, patterns, signs) if height.value > above else none
                if len(fresh[1]):
                    break
            else:
                return _bounded(data, best, height, patterns, signs, k)
        work += solved.work + _ASCENTS * x.size
        if not listable and work > _WORK:
            break
        blocks = solved.blocks
        if len(signs) * x.shape[1] > _UNKNOWNS_KEPT:  # the optimum needs n blocks; the loss falls strictly, so no cycle
            keep = np.linalg.norm(blocks, axis=1) > 0
            patterns, signs, blocks = patterns[keep], signs[keep], blocks[keep]
        start = None if listable else blocks
        patterns, signs = np.vstack([patterns, fresh[0]]), np.concatenate([signs, fresh[1]])
    assert best is not None
    return _bounded(data, best, phi(x, best.nu, known), patterns, signs, k)


_LISTABLE = 1_000_000  # entries of the list of cells, about: a second to list and search
_UNKNOWNS_KEPT = 400  # restricted programs beyond this take longer than the rounds that forgetting idle cells can cost
_COLUMNS = 24  # maxima added a round, the largest ones
_TRIES = 4  # times 200 ascents, before it is said that they find nothing
_BOXES = 1000  # of branch and bound on the way, where only the maximiser counts
_AT_ONCE = 8  # blocks that are let in together
_SHARP = 1e-12  # residual of a restricted program that is solved
_STARTED = 200  # unknowns from which the active-set method is the quicker one, from nothing too
_WORK = 2e10  # cubes of unknowns over all Newton steps, and in the same measure ...
_ASCENTS = 3e4  # ... what ascents cost for each entry of x, and ...
_JUDGING = 20.0  # ... projections for each entry of the walls


class _Found(NamedTuple):
    """A network and its residual."""

    hidden: np.ndarray
    outer: np.ndarray
    b0: float
    value: float
    nu: np.ndarray


def _found(data: Data, solved: Restricted, signs: np.ndarray) -> _Found:
    """The network of a restricted program's solution."""
    hidden, outer = _network(data, solved, signs)
    return _Found(hidden, outer, solved.b0, objective(data, hidden, outer, solved.b0), solved.nu)


def _bounded(data: Data, found: _Found, height: Phi, patterns: np.ndarray, signs: np.ndarray, rounds: int) -> Optimum:
    """The network with the lower bound that its residual gives, or that of no network where phi is a wide interval."""
    nu, bound = found.nu, lower_bound(data, found.nu, height)
    if height.upper > 2 * max(data.weight_decay, height.value):
        first = _centred(data, minus_gradient(data, np.zeros(len(data.y))))
        other = phi(data.x, first)
        if (least := lower_bound(data, first, other)) > bound:
            nu, height, bound = first, other, least
    return Optimum(
        hidden=found.hidden,
        outer=found.outer,
        b0=found.b0,
        value=found.value,
        lower_bound=bound,
        gap=found.value - bound,
        nu=nu,
        phi=height,
        rounds=rounds,
        patterns=patterns,
        signs=signs,
    )


def lower_bound(data: Data, nu: np.ndarray, phi: Phi) -> float:
    """A number below the loss of every network of every width, from any nu [n] and phi(nu) (theory (1.4)).

    The dual value of t nu, |t| phi <= beta, t the best such; for a free outer bias nu is centred first. Rounding is
    taken off, so the bound holds as a statement about real numbers if `phi.upper` does. At least 0.
    """
    sizes = np.sqrt(np.einsum("ij,ij->i", data.x, data.x))
    upper = float(phi.upper)
    if data.outer_bias == "free":
        given, nu = nu, _centred(data, nu)
        # phi moves by at most sum_k |x_k| |change in nu_k|.
        upper += float(np.abs(nu - given) @ sizes) * (1 + len(nu) * EPS)
    upper += 2 * EPS * float(np.abs(nu) @ sizes)  # t nu is rounded entry by entry
    point = _scale(data, nu, upper) * nu
    p = point * data.y
    if data.loss == "squared":
        terms = [*(point * data.y), *(-0.5 * point * point)]
        off = 2 * EPS * math.fsum(map(abs, terms))
        slopes = np.abs(data.y) + np.abs(point)
    else:
        if p.min(initial=0.5) < 0 or p.max(initial=0.5) > 1:
            return 0.0
        terms = [*entr(p), *entr(1 - p)]
        off = 8 * EPS * (math.fsum(terms) + len(p))
        with np.errstate(divide="ignore"):
            slopes = 1 - np.log(p) - np.log1p(-p)
    left = math.fsum(point)  # exactly rounded
    if data.outer_bias == "regularised":
        paid = left * left / (2 * data.weight_decay)
        terms.append(-paid)
        off += 8 * EPS * paid
    elif data.outer_bias == "free":
        # What is left goes into one entry, well inside the domain; the slope there at most doubles on the way.
        k = int(np.argmin(slopes)) if data.loss == "logistic" else 0
        if data.loss == "logistic" and min(p[k], 1 - p[k]) < 4 * abs(left):
            return 0.0
        if left != 0:
            off += 2 * abs(left) * float(slopes[k])
            # phi grows by at most |left| |x_k|, and the value is at least linear in the share that keeps phi <= beta.
            off += abs(left) * float(sizes[k]) / data.weight_decay * math.fsum(map(abs, terms))
    value = math.fsum(terms)
    return max(0.0, value - off - EPS * abs(value))


def _network(data: Data, point: Restricted, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The balanced network of the blocks; blocks of one sign and direction (at a shared wall) become one neuron."""
    sizes = np.linalg.norm(point.blocks, axis=1)
    groups: list[np.ndarray] = []
    kept: list[float] = []
    for u, s in zip(point.blocks[sizes > 0], signs[sizes > 0], strict=True):
        for i, (v, r) in enumerate(zip(groups, kept, strict=True)):
            if r == s and np.linalg.norm(u / np.linalg.norm(u) - v / np.linalg.norm(v)) <= 1e-9:
                groups[i] = u + v
                break
        else:
            groups.append(u)
            kept.append(float(s))

    def network(blocks: np.ndarray, outer_signs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        roots = np.sqrt(np.linalg.norm(blocks, axis=1))
        return blocks / roots[:, None], outer_signs * roots

    d = point.blocks.shape[1]
    plain = network(point.blocks[sizes > 0], signs[sizes > 0])
    merged = network(np.array(groups).reshape(-1, d), np.array(kept))
    # Directions within 1e-9 need not be equal: the true loss decides, up to its rounding.
    fine = objective(data, *merged, point.b0) <= objective(data, *plain, point.b0) * (1 + 8 * EPS)
    return merged if fine else plain


def _columns(
    data: Data, more: Maxima, patterns: np.ndarray, signs: np.ndarray, each: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The signed cells next to the highest maxima that are not at hand yet; of each maximum so many, or all."""
    have = {(pattern.tobytes(), float(s)) for pattern, s in zip(patterns, signs, strict=True)}
    new: list[tuple[np.ndarray, float]] = []
    for u, s in zip(more.u[:_COLUMNS], more.sign[:_COLUMNS], strict=True):  # highest first
        beside = [pattern for pattern in adjacent(data.x, u) if (pattern.tobytes(), float(s)) not in have][:each]
        have |= {(pattern.tobytes(), float(s)) for pattern in beside}
        new += [(pattern, float(s)) for pattern in beside]
    return np.array([p for p, _ in new]).reshape(-1, len(data.x)), np.array([s for _, s in new])


def adjacent(x: np.ndarray, u: np.ndarray) -> list[np.ndarray]:
    """Full-dimensional cells with u in their closure: both sides of each wall through u, not always all of them."""
    sizes = np.linalg.norm(x, axis=1)
    rows = x / np.where(sizes > 0, sizes, 1.0)[:, None]
    heights = rows @ u
    ties = (np.abs(heights) <= 1e-9) & (sizes > 0)
    if not ties.any():
        return [heights > 0]
    room = float(np.abs(heights[~ties & (sizes > 0)]).min(initial=1.0))
    # Off the other tied walls as well: a fixed direction that no data set is built on.
    generic = np.cos(1.0 + np.arange(1, x.shape[1] + 1) ** 2)
    generic *= 0.01 / np.linalg.norm(generic)
    sides: dict[bytes, np.ndarray] = {}
    for row in rows[ties]:
        for side in (1.0, -1.0):
            inside = rows @ (u + 0.4 * room * (side * row + generic))
            # Rows tied at u: the sign of the perturbation alone, free of rounding in u.
            pattern = np.where(ties, rows @ (side * row + generic), inside) > 0
            sides[pattern.tobytes()] = pattern
    return list(sides.values())


# --- the pieces of (C) ---


class _Cells(NamedTuple):
    """Features s_i D_i X [q, n, d] and the walls of each cone as unit rows [q, n', d]: u in K_i iff walls_i u >= 0."""

    features: np.ndarray
    walls: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, patterns: np.ndarray, signs: np.ndarray, slopes: tuple[float, float]) -> _Cells:
        lengths = np.sqrt(np.einsum("ij,ij->i", x, x))
        live = lengths > 0  # a zero row is no wall
        sides = np.where(patterns[:, live], 1.0, -1.0)
        return cls(
            features=(signs[:, None] * np.where(patterns, slopes[1], slopes[0]))[:, :, None] * x,
            walls=sides[:, :, None] * (x[live] / lengths[live, None]),
        )


class _Model(NamedTuple):
    """1/2 |roots f - target|^2 in place of the loss: its second-order model about some outputs."""

    roots: np.ndarray  # [n]
    target: np.ndarray  # [n]


class _Guess(NamedTuple):
    u: np.ndarray  # [q, d]
    b0: float
    alive: np.ndarray  # [q]: blocks that are not zero
    tied: np.ndarray  # [q, n']: walls that the block lies on


def _started(cells: _Cells, start: np.ndarray) -> _Guess:
    """Known blocks in the first cells, on the walls that they touch, and none in the others."""
    u = np.zeros((len(cells.features), cells.features.shape[2]))
    u[: len(start)] = start
    size = np.linalg.norm(u, axis=1)
    return _Guess(u, 0.0, size > 0, np.abs(np.einsum("qkd,qd->qk", cells.walls, u)) <= 1e-9 * size[:, None])


class _Judged(NamedTuple):
    result: Restricted
    gap: float  # absolute
    ascent: np.ndarray  # [q, d]: the projection of s_i X' D_i nu on K_i; optimal iff none is longer than beta


def _checked(data: Data) -> tuple[np.ndarray, np.ndarray]:
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
    if data.loss == "logistic" and data.outer_bias == "free" and len(np.unique(y)) == 1:
        raise InputError(
            "With a free outer bias and labels of one class only the logistic loss has no minimum (its infimum, 0, "
            "lies at infinite bias); regularise the outer bias or leave it out."
        )
    return x, y


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


def _output(cells: _Cells, u: np.ndarray, b0: float) -> np.ndarray:
    return np.einsum("qnd,qd->n", cells.features, u) + b0


def _value(data: Data, cells: _Cells, u: np.ndarray, b0: float) -> float:
    paid = float(np.sqrt(np.einsum("qd,qd->q", u, u)).sum())
    if data.outer_bias == "regularised":
        paid += 0.5 * b0 * b0
    return loss_value(data, _output(cells, u, b0)) + data.weight_decay * paid


def _judged(data: Data, cells: _Cells, u: np.ndarray, b0: float, nu: np.ndarray | None = None) -> _Judged:
    """The point with the duality gap of the restricted program, from its own residual or another, scaled into the
    dual's domain."""
    f = _output(cells, u, b0)
    value = _value(data, cells, u, b0)
    nu = _centred(data, minus_gradient(data, f) if nu is None else nu)
    gradients = np.einsum("qnd,n->qd", cells.features, nu)
    ascent = np.array([_projection(g, walls) for g, walls in zip(gradients, cells.walls, strict=True)])
    ascent = ascent.reshape(u.shape)
    steepest = float(np.sqrt(np.einsum("qd,qd->q", ascent, ascent)).max(initial=0.0))
    t = _scale(data, nu, steepest)
    gap = value - dual_value(data, t * nu)
    outside = -np.einsum("qkd,qd->qk", cells.walls, u) * (data.weight_decay / max(value, 1e-300))
    # Relative to the value; at value 0 (labels that are all zero) the gap is 0 as well.
    residual = max(gap / max(abs(value), 1e-300), float(outside.max(initial=0.0)))
    result = Restricted(value=value, blocks=u, b0=b0, output=f, nu=nu, residual=residual)
    return _Judged(result=result, gap=gap, ascent=ascent)


def _centred(data: Data, nu: np.ndarray) -> np.ndarray:
    """A free outer bias asks a dual point to sum to zero; the logistic one must stay in [0, 1] times the labels."""
    if data.outer_bias != "free":
        return nu
    if data.loss == "squared":
        return nu - nu.mean()
    positive, negative = float(nu[data.y > 0].sum()), -float(nu[data.y < 0].sum())
    least = min(positive, negative)
    if least <= 0:
        return np.zeros_like(nu)
    return np.where(data.y > 0, nu * (least / positive), nu * (least / negative))


def _scale(data: Data, nu: np.ndarray, phi: float) -> float:
    """The t in [-beta/phi, beta/phi] that makes the dual value of t nu largest (t >= 0 for the logistic loss)."""
    beta = data.weight_decay
    most = beta / phi * (1 - 4 * EPS) if phi > 0 else math.inf
    bias = float(np.sum(nu)) ** 2 / beta if data.outer_bias == "regularised" else 0.0
    if data.loss == "squared":
        curvature = float(nu @ nu) + bias
        return min(max(float(nu @ data.y) / curvature, -most), most) if curvature > 0 else 0.0
    p = nu * data.y
    if p.min() < 0 or p.max() <= 0:
        return 0.0
    most = min(most, 1 / float(p.max()))
    inside = p[p > 0]

    def slope(t: float) -> float:
        q = t * inside
        with np.errstate(divide="ignore"):
            return float(np.sum(inside * (np.log1p(-np.minimum(q, 1.0)) - np.log(q)))) - t * bias

    if slope(most) >= 0:
        return most
    return float(brentq(slope, most * 1e-12, most)) if slope(most * 1e-12) > 0 else 0.0  # pyright: ignore


# --- interior point ---


@lru_cache(maxsize=256)
def _layout(q: int, d: int, walls: int, extra: int) -> tuple[np.ndarray, ...]:
    """Where the cone rows' entries lie: variables u [q d], b0 [extra], t [q]; rows walls [q walls], then (t, u)."""
    i, j = np.divmod(np.arange(q * d), d)
    rows = np.empty((q * d, walls + 1), np.int64)
    rows[:, :walls] = i[:, None] * walls + np.arange(walls)
    rows[:, walls] = q * walls + i * (d + 1) + 1 + j
    starts = np.concatenate([
        np.arange(q * d + 1) * (walls + 1),
        np.full(extra, q * d * (walls + 1)),
        q * d * (walls + 1) + 1 + np.arange(q),
    ])  # fmt: skip
    indices = np.concatenate([rows.ravel(), q * walls + np.arange(q) * (d + 1)])
    return indices, starts


def _settings() -> Any:
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_threads = 1
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-11
    settings.presolve_enable = False
    return settings


_SETTINGS = _settings()


def _interior_point(data: Data, cells: _Cells, model: _Model | None = None) -> _Guess:
    """(C) by Clarabel's second-order cones, in units where inputs and labels are of size one.

    The squared loss gets variables r = (f - y) / c of its own, c = min(beta, 1): near interpolation f - y is of the
    size of beta, and in units of c neither the residual nor the price of the blocks fades beside the other. With a
    `model` its squares take the place of the loss; there c is the root of beta, which weights are of the size of.
    """
    q, n, d = cells.features.shape
    walls = cells.walls.shape[1]
    extra = int(data.outer_bias != "none")
    size_x = float(np.abs(data.x).max(initial=0.0)) or 1.0
    squared = data.loss == "squared"
    size_y = (float(np.abs(data.y).max(initial=0.0)) or 1.0) if squared else 1.0
    # u = size_y / size_x v keeps the program's shape with beta' = beta / (size_x size_y).
    beta = data.weight_decay / (size_x * size_y)
    design = np.empty((n, q * d + extra))
    design[:, : q * d] = cells.features.transpose(1, 0, 2).reshape(n, q * d) / size_x
    design[:, q * d :] = 1.0
    ridge = data.weight_decay if data.outer_bias == "regularised" else 0.0

    indices, starts = _layout(q, d, walls, extra)
    entries = np.empty((q * d, walls + 1))
    entries[:, :walls] = -cells.walls.transpose(0, 2, 1).reshape(q * d, walls)
    entries[:, walls] = -1.0
    a_data = np.concatenate([entries.ravel(), np.full(q, -1.0)])
    lead, rows = q * d + extra, q * (walls + d + 1)
    cones = ([clarabel.NonnegativeConeT(q * walls)] if walls else []) + [clarabel.SecondOrderConeT(d + 1)] * q
    constraint = csc_matrix((a_data, indices, starts), shape=(rows, lead + q))
    if squared or model is not None:
        unit = min(beta, 1.0) if squared else math.sqrt(min(beta, 1.0))
        price = unit if squared else unit * unit  # of the blocks: the objective is in these units
        linear = np.concatenate([np.zeros(lead), np.full(q, beta / price), np.zeros(n)])
        squares = np.concatenate([np.zeros(lead + q), np.full(n, unit * unit / price)])
        squares[q * d : lead] = ridge / price
        quadratic = diags_array(squares, format="csc")
        roots = np.ones(n) if model is None else model.roots
        fits = hstack([csc_matrix(roots[:, None] * design), csc_matrix((n, q)), -unit * eye_array(n)])
        constraint = vstack([hstack([constraint, csc_matrix((rows, n))]), fits], format="csc")
        offset = np.concatenate([np.zeros(rows), data.y / size_y if model is None else model.target])
        cones += [clarabel.ZeroConeT(n)]
        paid = beta / price
    else:
        paid = beta
        quadratic, linear, constraint, offset, more = _logistic(data, design, constraint, q, rows, ridge)
        linear[lead : lead + q] = beta
        cones += more
    solution = clarabel.DefaultSolver(quadratic, linear, constraint, offset, cones, _SETTINGS).solve()
    z, s = np.asarray(solution.z), np.asarray(solution.s)
    v = np.nan_to_num(np.asarray(solution.x)[: q * d].reshape(q, d))
    b0 = float(np.nan_to_num(solution.x[q * d])) if extra else 0.0
    # Complementary pairs: the smaller of the two is the one that is zero.
    cone_z = z[q * walls : q * (walls + d + 1)].reshape(q, d + 1)
    size = np.sqrt(np.einsum("qd,qd->q", v, v))
    pull = np.sqrt(np.einsum("qd,qd->q", cone_z[:, 1:], cone_z[:, 1:]))
    return _Guess(
        u=v * (size_y / size_x),
        b0=b0 * size_y,
        alive=size > paid - pull,
        tied=s[: q * walls].reshape(q, walls) < z[: q * walls].reshape(q, walls),
    )


def _logistic(data: Data, design: np.ndarray, constraint: csc_matrix, q: int, rows: int, ridge: float) -> tuple:
    """The logistic loss as exponential cones: exp(-y f - s) <= e1, exp(-s) <= e2, e1 + e2 <= 1, cost sum s.

    Appends variables s, e1, e2 [n each] behind u, b0, t, and rows behind the cones of those.
    """
    n, lead = design.shape
    total = lead + q + 3 * n
    head = constraint.tocoo()
    k = np.arange(n)
    s, e1, e2 = lead + q + k, lead + q + n + k, lead + q + 2 * n + k
    margin = -data.y[:, None] * design
    first, second, last = rows + 3 * k, rows + 3 * n + 3 * k, rows + 6 * n + k
    one = np.ones(n)
    # Clarabel: offset - constraint x in the cone.
    row = np.concatenate([head.row, np.repeat(first, lead), first, first + 2, second, second + 2, last, last])
    col = np.concatenate([head.col, np.tile(np.arange(lead), n), s, e1, s, e2, e1, e2])
    val = np.concatenate([head.data, -margin.ravel(), one, -one, one, -one, one, one])
    constraint = csc_matrix((val, (row, col)), shape=(rows + 7 * n, total))
    offset = np.zeros(rows + 7 * n)
    offset[first + 1] = offset[second + 1] = offset[last] = 1.0
    linear = np.zeros(total)
    linear[s] = 1.0
    at = [lead - 1] if ridge > 0 else []
    quadratic = csc_matrix(([ridge] * len(at), (at, at)), shape=(total, total))
    cones = [clarabel.ExponentialConeT()] * (2 * n) + [clarabel.NonnegativeConeT(n)]
    return quadratic, linear, constraint, offset, cones


# --- active-set polish ---


def _polished(data: Data, cells: _Cells, guess: _Guess) -> _Judged:
    """Newton on the active set; blocks that could still pull are let in; the point of least residual is kept."""
    beta = data.weight_decay
    tied = [t.copy() for t in guess.tied]
    u, b0, alive = guess.u.copy(), guess.b0, guess.alive.copy()
    best, stalled, lowest, tried, work = None, 0, math.inf, np.zeros(len(u), bool), 0.0
    for _ in range(6 * len(u) + 8):
        u, b0, steps = _newton(data, cells, u, b0, alive, tied)
        work += steps + _JUDGING * cells.walls.size
        now = _judged(data, cells, u, b0)
        u = u.copy()  # `now` keeps the other
        falls = now.result.residual > 0.01 and now.result.value < lowest  # far off the value says more
        better = best is None or now.result.residual < 0.5 * best.result.residual or falls
        stalled = 0 if better else stalled + 1
        lowest = min(lowest, now.result.value * (1 - 1e-6))
        if best is None or now.result.residual < best.result.residual:
            best = now
        pulls = np.sqrt(np.einsum("qd,qd->q", now.ascent, now.ascent))
        i = int(np.argmax(pulls)) if len(pulls) else 0
        patience = 3 if best.result.residual > 1e-11 else 0  # below, small weight decays leave rounding only
        if best.result.residual <= 4 * EPS or not len(pulls) or pulls[i] <= beta * (1 + 4 * EPS):
            break
        if stalled > patience:
            # Beside a larger block of nearly its own direction one of too small a slope cannot pass on its mass.
            weak = np.flatnonzero(alive & ~tried & (pulls < beta * (1 - 1e-10)))
            if not patience or not len(weak) or tried.sum() == 10:  # each costs a few rounds
                break
            i = int(weak[np.argmin(pulls[weak])])
            tried[i], alive[i], u[i], stalled = True, False, 0.0, 0
            continue
        # Far from the optimum many at once, near it one: F'(u; v) = beta - |v|^2 / |v| < 0 along the projection v of
        # the gradient, which lies in the cone.
        far = ~alive & (pulls > 1.01 * beta) & (pulls >= np.sort(pulls)[-min(_AT_ONCE, len(pulls))])
        enter = np.flatnonzero(far) if now.result.residual > 0.01 and far.any() else np.array([i])
        for i in enter:
            v = now.ascent[i] / pulls[i]
            step = cells.features[i] @ v
            length = float(np.linalg.norm(u[i]))
            stiff = 1.0 if data.loss == "squared" else 0.25
            t = (pulls[i] - beta) / (stiff * float(step @ step) + (beta / length if length > 0 else 0.0))
            at_v = np.abs(cells.walls[i] @ v) <= 1e-10
            tied[i] = at_v & (tied[i] if alive[i] else True)
            u[i] = (u[i] if alive[i] else 0.0) + t / len(enter) * v
            alive[i] = True
    assert best is not None
    best = _sharpened(data, cells, _without_dust(data, cells, best))
    return best._replace(result=best.result._replace(work=work))


def _without_dust(data: Data, cells: _Cells, point: _Judged) -> _Judged:
    """The point without the small blocks that it does not need: what rounding leaves of a block that is zero."""
    u, b0, value = point.result.blocks.copy(), point.result.b0, point.result.value
    sizes = np.linalg.norm(u, axis=1)
    for i in np.flatnonzero(
        (sizes > 0) & (sizes <= 1e-6 * max(float(sizes.max(initial=0.0)), value / data.weight_decay))
    ):
        kept, u[i] = u[i].copy(), 0.0
        if (new := _value(data, cells, u, b0)) <= value * (1 + EPS):
            value = new
        else:
            u[i] = kept
    if np.array_equal(u, point.result.blocks):
        return point
    without = _judged(data, cells, u, b0)
    return without if without.result.residual <= max(point.result.residual, _SHARP) else point


def _sharpened(data: Data, cells: _Cells, point: _Judged) -> _Judged:
    """The point with a residual nu that meets the conditions of its blocks to rounding.

    y - f carries the rounding of y, which is large beside nu at a small weight decay. The least change that gives each
    living block its slope, N' X' D nu = beta N' u / |u| on its walls' intersection N, carries only that of nu.
    """
    u, nu = point.result.blocks, point.result.nu
    rows, goal = [], []
    for i in np.flatnonzero(np.linalg.norm(u, axis=1) > 0):
        on = np.abs(cells.walls[i] @ u[i]) <= 1e-9 * np.linalg.norm(u[i])
        basis = _free(cells.walls[i][on])
        rows.append(basis.T @ cells.features[i].T)
        goal.append(data.weight_decay * (basis.T @ u[i]) / np.linalg.norm(u[i]))
    if data.outer_bias != "none":
        rows.append(np.ones((1, len(nu))))
        goal.append(np.array([data.weight_decay * point.result.b0 if data.outer_bias == "regularised" else 0.0]))
    if not rows:
        return point
    g, h = np.concatenate(rows), np.concatenate(goal)
    for _ in range(2):
        nu = nu + np.asarray(lstsq(g, h - g @ nu, cond=1e-10)[0])  # pyright: ignore[reportOptionalSubscript]
    return min(point, _judged(data, cells, u, point.result.b0, nu), key=_residual)


def _free(walls: np.ndarray) -> np.ndarray:
    """An orthonormal basis [d, k] of the vectors that lie on all the given walls."""
    d = walls.shape[1]
    if len(walls) == 0:
        return np.eye(d)
    _, size, v = np.linalg.svd(walls)
    return v[int(np.sum(size > 1e-9)) :].T


def _newton(
    data: Data, cells: _Cells, u: np.ndarray, b0: float, alive: np.ndarray, tied: list[np.ndarray]
) -> tuple[np.ndarray, float, float]:
    """Minimise over the living blocks, each kept on its tied walls (u = N p). Ties and deaths met are recorded.

    Newton's method with steps cut at the walls; a block that wants to pass through zero dies.
    """
    beta, extra = data.weight_decay, data.outer_bias != "none"
    u = np.where(alive[:, None], u, 0.0)
    bases: dict[int, np.ndarray] = {}
    value, work = math.inf, 0.0
    for _ in range(60):
        for i in np.flatnonzero(alive).tolist():
            if i not in bases:
                bases[i] = _free(cells.walls[i][tied[i]])
                u[i] = bases[i] @ (bases[i].T @ u[i])
                value = math.inf
            if not u[i].any():
                alive[i] = False
        living = np.flatnonzero(alive).tolist()
        sizes = np.linalg.norm(u[living], axis=1)
        if value == math.inf:
            value = _value(data, cells, u, b0)
        f = _output(cells, u, b0)
        nu = minus_gradient(data, f)
        parts = [cells.features[i] @ bases[i] for i in living] + ([np.ones((len(f), 1))] if extra else [])
        if not parts:
            break
        m = np.hstack(parts)
        gradient = -(m.T @ nu)
        weights = 1.0 if data.loss == "squared" else (expit(f) * expit(-f))[:, None]
        hessian = m.T @ (weights * m)
        at = 0
        for i, size in zip(living, sizes, strict=True):
            e = bases[i].T @ u[i] / size
            here = slice(at, at + len(e))
            gradient[here] += beta * e
            hessian[here, here] += (beta / size) * (np.eye(len(e)) - np.outer(e, e))
            at += len(e)
        if data.outer_bias == "regularised":
            gradient[-1] += beta * b0
            hessian[-1, -1] += beta
        w, q = np.linalg.eigh(hessian)
        work += float(len(w)) ** 3
        keep = w > 1e-13 * w[-1]  # along the rest mass only moves between equal atoms
        step = -(q[:, keep] * (1 / w[keep])) @ (q[:, keep].T @ gradient)
        decrease = -float(gradient @ step)
        move = np.zeros_like(u)
        at = 0
        for i in living:
            k = bases[i].shape[1]
            move[i] = bases[i] @ step[at : at + k]
            at += k
        db = float(step[-1]) if extra else 0.0

        dying = [i for i, size in zip(living, sizes, strict=True) if (u[i] + move[i]) @ u[i] <= 0.01 * size * size]
        if dying:
            trial = u.copy()
            trial[dying] = 0.0
            if (new := _value(data, cells, trial, b0)) <= value:
                u, value = trial, new
                alive[dying] = False
                continue
        t, hit = (0.5 if dying else 1.0), None
        slack = np.einsum("qkd,qd->qk", cells.walls[living], u[living])
        change = np.einsum("qkd,qd->qk", cells.walls[living], move[living])
        for row, i in enumerate(living):
            for k in np.flatnonzero(~tied[i] & (slack[row] + t * change[row] < -1e-15 * sizes[row])):
                if change[row, k] < 0 and (reach := max(slack[row, k], 0.0) / -change[row, k]) < t:
                    t, hit = reach, (i, k)
        new = _value(data, cells, u + t * move, b0 + t * db)
        halvings = 0
        while not new <= value * (1 + 1e-14) and halvings < 30:
            t, hit, halvings = t / 2, None, halvings + 1
            new = _value(data, cells, u + t * move, b0 + t * db)
        if halvings == 30:
            break
        u, b0, value = u + t * move, b0 + t * db, new
        if hit is not None:
            i, k = hit
            tied[i] = tied[i] | (np.abs(cells.walls[i] @ u[i]) <= 1e-12 * np.linalg.norm(u[i]))
            tied[i][k] = True
            del bases[i]
        elif decrease <= 1e-26 * abs(value):  # the step just taken was below the rounding of the point
            break
    return u, b0, work
