"""The least loss p* of all widths, by column generation over activation cells, with a certificate.

The convex program with all signed cells has the optimal value p* = inf over widths of the network's loss (Pilanci and
Ergen 2020; Wang, Lacotte and Pilanci 2022); few of the cells are at work. What is returned is an upper bound, the loss
of a network, and a lower bound, the dual value of its residual.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape import patience
from landscape.problems.datafit import Data, minus_gradient, objective
from landscape.theory.arrangement.ascent import ascents
from landscape.theory.arrangement.cells import cover_count
from landscape.theory.arrangement.maxima import local_maxima
from landscape.theory.arrangement.phi import phi
from landscape.theory.arrangement.records import Cells, Maxima, Phi
from landscape.theory.convex.cone_program import SHARP, Restricted, checked
from landscape.theory.convex.dual import centred, lower_bound
from landscape.theory.convex.restricted_programs import restricted, restricted_near

EPS = float(np.finfo(float).eps)

LISTABLE = 1_000_000  # a list of cells with more entries takes longer than a second to make and to search
_UNKNOWNS_KEPT = 400  # a program of more unknowns costs more than the rounds that leaving out idle cells can cost
_COLUMNS = 24  # a round adds the cells next to at most this many maxima
_TRIES = 4  # a search by ascents is over after this many times 200 of them without a find
_BOXES = 1000  # branch and bound for a maximiser, where its value does not count, stops after this many boxes
_WORK = 2e10  # a search by ascents stops after Newton steps of this many cubes of unknowns, about a minute
_ASCENTS = 3e4  # what the ascents of a round cost for each entry of x, in cubes of unknowns


class CertifiedOptimum(NamedTuple):
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


def optimum(data: Data, listed: Cells | None = None, rounds: int = 200, listable: int = LISTABLE) -> CertifiedOptimum:
    """p* by column generation: solve (C) on some cells, add the cells where |nu' relu(X u)| exceeds beta, repeat.

    Where all cells can be listed the maxima above beta are all found, and the end is where there is none. Where there
    are too many, ascents look for them, each program starts from the solution of the one before, and phi, exact for
    d <= 3 and an interval beyond, has the last word. There the search also ends after work of about a minute. What is
    returned is an upper and a lower bound in every case.

    Args:
        data: The data set; its weight decay must be positive.
        listed: All activation cells of data.x if they are at hand. Where only some are given (`sampled_cells`) the
            value is the optimum on these alone; the lower bound is for all.
        rounds: Restricted programs solved at most. The exact method needs 4 to 30 on the sizes it is meant for.
        listable: Entries that a list of all cells may have; beyond, ascents look for columns.

    Raises:
        InputError: The weight decay is not positive, or the loss has no minimum (one class and a free outer bias).
    """
    x, _ = checked(data)
    if listed is not None and not listed.complete:
        return _on_some(data, listed)
    listable = listed is not None or len(x) * cover_count(len(x), int(np.linalg.matrix_rank(x))) <= listable
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
            fresh = _columns(data, local_maxima(x, now.nu, above, listed), patterns, signs)
        else:  # other starts each time; the last time nothing was found, a few more
            tries = (ascents(x, now.nu, above, seed=_TRIES * k + i) for i in range(_TRIES))
            new = (_columns(data, more, patterns, signs, 1) for more in tries)
            fresh = next((columns for columns in new if len(columns[1])), none)
        patience.say(f"convex program on {len(signs)} cells: the optimum of all widths is at most {best.value:.9g}")
        if patience.over():
            return _bounded(data, best, phi(x, best.nu, listed, _BOXES), patterns, signs, k)
        if not len(fresh[1]) and start is not None and solved.residual > SHARP:
            start = None  # the active-set method went astray
            continue
        if not len(fresh[1]):
            fresh, height = _highest(data, now.nu, above, listed, patterns, signs)
            if not len(fresh[1]):
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
    return _bounded(data, best, phi(x, best.nu, listed), patterns, signs, k)


class _Found(NamedTuple):
    """A network and its residual."""

    hidden: np.ndarray
    outer: np.ndarray
    b0: float
    value: float
    nu: np.ndarray


def _on_some(data: Data, listed: Cells) -> CertifiedOptimum:
    """The optimum on the listed cells alone, with a lower bound for all."""
    x = np.asarray(data.x, float)
    patterns, signs = np.repeat(listed.patterns, 2, axis=0), np.tile([1.0, -1.0], len(listed.patterns))
    found = _found(data, restricted_near(data, patterns, signs, near=np.zeros((0, x.shape[1]))), signs)
    return _bounded(data, found, phi(x, found.nu), patterns, signs, 1)


def _highest(
    data: Data, nu: np.ndarray, above: float, listed: Cells | None, patterns: np.ndarray, signs: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], Phi]:
    """New columns at the point where |nu' relu(X u)| is largest, none if that is not above a number; and phi there."""
    x = np.asarray(data.x, float)

    def columns(height: Phi) -> tuple[np.ndarray, np.ndarray]:
        top = Maxima(height.u[None], np.array([height.sign]), np.array([height.value]))
        return _columns(data, top, patterns, signs) if height.value > above else (patterns[:0], signs[:0])

    height = phi(x, nu, listed, _BOXES)
    fresh = columns(height)
    if not len(fresh[1]):
        height = phi(x, nu, listed)  # longer
        fresh = columns(height)
    return fresh, height


def _found(data: Data, solved: Restricted, signs: np.ndarray) -> _Found:
    """The network of a restricted program's solution."""
    hidden, outer = _network(data, solved, signs)
    return _Found(hidden, outer, solved.b0, objective(data, hidden, outer, solved.b0), solved.nu)


def _bounded(
    data: Data, found: _Found, height: Phi, patterns: np.ndarray, signs: np.ndarray, rounds: int
) -> CertifiedOptimum:
    """The network with the lower bound that its residual gives, or that of no network where phi is a wide interval."""
    nu, bound = found.nu, lower_bound(data, found.nu, height)
    if height.upper > 2 * max(data.weight_decay, height.value):
        first = centred(data, minus_gradient(data, np.zeros(len(data.y))))
        other = phi(data.x, first)
        if (least := lower_bound(data, first, other)) > bound:
            nu, height, bound = first, other, least
    return CertifiedOptimum(
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
    clearance = float(np.abs(heights[~ties & (sizes > 0)]).min(initial=1.0))
    # Off the other tied walls as well: a fixed direction that no data set is built on.
    generic = np.cos(1.0 + np.arange(1, x.shape[1] + 1) ** 2)
    generic *= 0.01 / np.linalg.norm(generic)
    sides: dict[bytes, np.ndarray] = {}
    for row in rows[ties]:
        for side in (1.0, -1.0):
            inside = rows @ (u + 0.4 * clearance * (side * row + generic))
            # Rows tied at u: the sign of the perturbation alone, free of rounding in u.
            pattern = np.where(ties, rows @ (side * row + generic), inside) > 0
            sides[pattern.tobytes()] = pattern
    return list(sides.values())
