"""All local minima of a small training problem, by enumeration, and the least loss P_m of a given width.

With weight decay a network without a zero neuron is a local minimum if and only if it is stationary in every direction.
It is then the optimum of the convex program on its own signed activation cells, (pattern, sign), one for each neuron,
and of every program on cells that touch its neurons (after Wang, Lacotte and Pilanci 2022; derived here for kinks). So
all local minima come out of the finitely many programs on sets of signed cells. Most sets need no program: with nu the
residual at the optimum of a set S, a cell t adds nothing to it unless its pull, the largest s nu' relu(x u) over unit
vectors u of the cell, exceeds beta; and a set has an optimum with all its blocks at work only if each of its cells
pulls on the optimum of the others. On eight points in the plane this leaves 1,201 of 41,448 sets of up to four cells.

A second neuron in the same signed cell can always be merged with the first at no cost, so sets without repetition do.
Networks are listed merged: one neuron per direction and sign. At a larger width the same minimum is there with neurons
split into collinear pieces, and is then not isolated.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from landscape.problems.data import Data, objective
from landscape.records import InputError, whole
from landscape.theory.arrangement.cells import cells
from landscape.theory.arrangement.records import Cells, Phi
from landscape.theory.convex.program import Restricted, lower_bound, restricted

EPS = float(np.finfo(float).eps)
# A cell is idle at an optimum if its pull is at most beta (1 + IDLE): pulls are exact to some 1e-13 beta, and what is
# skipped by mistake would have a block of weight of the order IDLE and lower the loss by the order of its square.
IDLE = 1e-9
# Largest relative residual of a solved program; Newton's method on the active set leaves 1e-14.
SOLVED = 1e-11
# A program on more cells that does not lower the value by this much of it has told pulls from rounding.
FALLS = 1e-13
# Work is counted in programs: one whose residual is above the first number, as it goes through all its rounds of
# Newton's method, counts for the second.
UNSOLVED = (1e-10, 30)
# Going through all sets of m cells takes a program of m blocks, four times as fast as others, for some 40% of them;
# with more than so many sets branch and bound is left to prune them.
SETS, SMALL, FEW = 10, 4, 20_000
# A slope (in units of beta), an angle to a hyperplane, a share of the weight, a singular value: zero below the first
# number, as a polished optimum leaves 1e-13, not zero above the second. In between the point is undecided.
ZERO = {"slope": (1e-9, 1e-6), "angle": (1e-10, 1e-7), "share": (1e-12, 1e-8), "rank": (1e-11, 1e-7)}
# Two optima are one point if their unit directions and weights agree to this: polished ones agree to 1e-10 or better.
SAME = 1e-7
# A least loss is known if its bounds are within this of each other, relative: programs leave 1e-10 at most.
EXACT = 1e-9

GLOBAL, GLOBAL_AT_WIDTH = "global", "global at this width"
STRICT, FLAT = "strict spurious", "flat spurious"


class Minimum(NamedTuple):
    """A local minimum, merged and with linearly independent atoms relu(x w_j).

    Attributes:
        value: Its loss.
        kind: "global": of every width (phi <= beta); "global at this width": the value is P_m but wider networks do
            better; "strict spurious": not global at this width, isolated up to permutation; "flat spurious": the
            same with neurons to spare: a path of constant loss leads to a zero neuron, and from there down.
        isolated: At the width that was asked for: it has exactly that many neurons.
        hidden: [k, d], k at most the width; balanced, |w_j| = |a_j|.
        outer: [k].
        b0: Outer bias, 0.0 without one.
        output: f, [n]; minima with the same output belong to one polytope of networks of equal loss.
        cells: One cell that each neuron lies in, [k], rows of the patterns of `Minima`.
        phi_over_beta: Largest pull of any signed cell, over beta: above 1, a new neuron lowers the loss.
    """

    value: float
    kind: str
    isolated: bool
    hidden: np.ndarray
    outer: np.ndarray
    b0: float
    output: np.ndarray
    cells: tuple[int, ...]
    phi_over_beta: float


class Minima(NamedTuple):
    """All local minima of one width that have no zero neuron.

    Attributes:
        width: m.
        minima: By value. Every set of local minima of equal output is represented by all its vertices of at most m
            neurons; a local minimum with a zero neuron is global, and is there without it: with no neuron at all where
            the best network is none.
        best: P_m, the least loss of width m.
        patterns: Activation cells, bool [P, n].
        sets: Sets of up to m signed cells that this covers.
        programs: Convex programs that were solved for it.
        undecided: Candidates on the edge of floating point, or programs not solved; 0: the list is complete.
        loss_size: Loss without a neuron, which differences of losses are measured by.
        output_size: |y|, the same for outputs.
    """

    width: int
    minima: tuple[Minimum, ...]
    best: float
    patterns: np.ndarray
    sets: int
    programs: int
    undecided: int
    loss_size: float
    output_size: float


class Best(NamedTuple):
    """The least loss of one width, P_m: between a network and a bound.

    Attributes:
        width: m.
        value: True loss of the network below; P_m where the bound meets it (see `exact`).
        hidden: [k, d], k <= m.
        outer: [k].
        b0: Outer bias.
        lower_bound: No network of this width is below it.
        programs: Convex programs that were solved.
        by: How it was shown.
    """

    width: int
    value: float
    hidden: np.ndarray
    outer: np.ndarray
    b0: float
    lower_bound: float
    programs: int
    by: str


def exact(best: Best) -> bool:
    """Whether the network is a best one of its width, to a billionth of the loss; else P_m is in an interval."""
    return best.value - best.lower_bound <= EXACT * abs(best.value)


class Coverage(NamedTuple):
    """Which of all local minima a run found.

    Attributes:
        runs: How many restarts ended at each minimum, [K].
        missed: Indices of minima that none ended at.
        elsewhere: Restarts that ended at none of them, bool [r]: one-sided traps, or not converged.
    """

    runs: np.ndarray
    missed: tuple[int, ...]
    elsewhere: np.ndarray


def local_minima(data: Data, width: int, known: Cells | None = None, most: int = 20_000_000) -> Minima:
    """Every local minimum of a two-layer ReLU network of exactly this width without a zero neuron.

    Args:
        data: Data set, positive weight decay; squared or logistic loss, any outer bias.
        width: m; beyond the number of data points no new minimum appears, they only become flat.
        known: All cells of data.x, where they are at hand.
        most: Largest number of sets of signed cells to go through. A million sets or some 300 programs a second.

    Raises:
        InputError: The weight decay is not positive, the cells are not complete, or there are too many sets.
    """
    width = whole("width", width, 1)
    pairs = _Pairs.of(data, known)
    count, deepest = len(pairs.signs), min(width, len(data.x))
    sets = sum(math.comb(count, k) for k in range(1, deepest + 1))
    if sets > most:
        raise InputError(
            f"width {width} has {sets:,} sets of its {count} signed cells to go through, more than {most:,}; ask for a "
            "smaller width, or use best_by_width for the least loss alone."
        )
    start = pairs.solve(())
    ids = [np.zeros(1, np.int32)]  # of the optimum of each set, level by level in colexicographic order
    pulls = [pairs.pulls(start.nu)]
    best, programs, undecided = start.value, 0, 0
    found: list[Minimum] = []
    none = float(np.max(pulls[0], initial=0.0)) / data.weight_decay
    if none <= 1 + IDLE:  # no neuron pays
        empty = np.zeros((0, data.x.shape[1])), np.zeros(0)
        found.append(Minimum(start.value, GLOBAL, True, *empty, start.b0, start.output, (), none))
    for k in range(1, deepest + 1):
        table = np.array(pulls) > data.weight_decay * (1 + IDLE)
        level = np.empty(math.comb(count, k), np.int32)
        for first in range(0, len(level), 1_000_000):
            ranks = np.arange(first, min(first + 1_000_000, len(level)))
            members = _unrank(ranks, k, count)
            optimum = np.full(len(ranks), -1, np.int32)
            for j in range(k):
                rest = ids[-1][_rank(np.delete(members, j, axis=1))]
                optimum = np.where((optimum < 0) & ~table[rest, members[:, j]], rest, optimum)
            for i in np.flatnonzero(optimum < 0):
                at = tuple(int(t) for t in members[i])
                point = pairs.solve(at)
                minimum, decided = pairs.judge(at, point)
                programs, undecided = programs + 1, undecided + (not decided)
                if point.residual <= SOLVED:
                    best = min(best, point.value)
                if k < deepest:
                    optimum[i] = len(pulls)
                    pulls.append(pairs.pulls(point.nu))
                if minimum is not None and not _listed(found, minimum):
                    pull = pulls[-1] if k < deepest else pairs.pulls(point.nu)
                    found.append(minimum._replace(phi_over_beta=float(np.max(pull)) / data.weight_decay))
            level[first : first + len(ranks)] = optimum
        ids.append(level)
    minima = [_named(m, width, best) for m in sorted(found, key=lambda m: m.value)]
    sizes = (start.value, float(np.linalg.norm(data.y)))
    return Minima(width, tuple(minima), best, pairs.patterns, sets, programs, undecided, *sizes)


def best_by_width(data: Data, width: int, known: Cells | None = None, most: int = 100_000) -> Best:
    """The least loss P_m of a width, by branch and bound over sets of signed cells: exact, or an interval.

    A node holds the cells that are in the network already and those that may still join. The convex program on all of
    them bounds every choice from below, as more cells never cost anything; where its optimum has at most m neurons, it
    is the answer of that node. Otherwise one of its cells is either taken in or left out. From the smallest width m* of
    an optimal network on this is p* at once, or as soon as such a network turns up. Where the sets are few, at width 1
    above all, they are gone through one by one, as in `local_minima`.

    A node is dropped when its own program is no better than the network at hand, and counts with what the program's
    dual point proves: only programs that did not converge, or with pulls that are rounding beside a tiny weight decay,
    leave more than some 1e-10 of the value between the two bounds.

    Args:
        data: Data set, positive weight decay.
        width: m.
        known: All cells of data.x, where they are at hand.
        most: Number of programs after which the search stops with the bounds that it has; one that does not converge
            counts for thirty, as it takes as long. Some 300 a second on 30 signed cells, 100 on 250.

    Raises:
        InputError: The weight decay is not positive, or the cells are not complete.
    """
    width = whole("width", width, 1)
    search = _Branching(_Pairs.of(data, known), width, most)
    everything = frozenset(range(len(search.pairs.signs)))
    search.greedy()
    root = search.relax(everything, ())
    order = itertools.count()  # breaks ties of the heap
    heap = [(root.value, next(order), root.bound, frozenset(), everything, root.support)]
    by, sets = "branch and bound over cells", sum(math.comb(len(everything), k) for k in range(1, width + 1))
    if not search.beaten(root.value) and sets <= min(SETS * most, FEW):
        by, lower = "enumeration of sets of cells", search.every_set(SMALL * most)
        if lower is not None:
            heap, search.dropped = [], [max(lower, root.bound)]
    while heap and search.spent < most and not search.beaten(heap[0][0]):
        value, _, bound, taken, allowed, support = heapq.heappop(heap)
        # The heaviest cell of the optimum that is not taken yet: leaving it out costs most.
        branch = next((t for t in support if t not in taken), None)
        if branch is None:
            search.dropped.append(bound)  # its optimum is a network of cells taken, and has been offered
            continue
        without = allowed - {branch}
        rest = search.relax(without, support)
        heapq.heappush(heap, (rest.value, next(order), max(bound, rest.bound), taken, without, rest.support))
        more = taken | {branch}
        if len(more) == width:
            search.dropped.append(search.leaf(tuple(sorted(more)), bound))
        else:
            heapq.heappush(heap, (value, next(order), bound, more, allowed, support))
    if search.beaten(root.value):
        by = "p*, convex program on all cells"
    lower = float(min([search.value, *search.dropped, *(node[2] for node in heap)]))
    best = Best(width, float(search.value), search.hidden, search.outer, search.b0, lower, search.programs, by)
    return best if exact(best) else best._replace(by=f"an interval: {by}, {search.programs} programs")


def coverage(minima: Minima, values: np.ndarray, outputs: np.ndarray | None = None, accuracy: float = 1e-8) -> Coverage:
    """Which local minima the restarts of a run ended at, and which the run missed.

    A saddle at a zero neuron has the loss and the outputs of a flat minimum with fewer neurons and is counted there;
    leave such restarts out to count minima only.

    Args:
        minima: Of the run's width.
        values: Losses of the restarts, [r].
        outputs: Their outputs f on the data, [r, n]; minima of equal value are told apart by it.
        accuracy: Of the losses, relative to the loss without a neuron; outputs, first order where losses are second, to
            its square root. Of several minima that near the nearest counts, and those that cannot be told from it.
    """
    values = np.asarray(values, np.float64)
    listed = np.array([minimum.value for minimum in minima.minima])
    far = np.abs(values[:, None] - listed) / (accuracy * max(minima.loss_size, 1e-300))
    if outputs is not None and len(listed):
        apart = np.asarray(outputs, np.float64)[:, None] - np.array([minimum.output for minimum in minima.minima])
        unit = np.sqrt(accuracy) * max(minima.output_size, 1e-300)
        far = np.maximum(far, np.linalg.norm(apart, axis=2) / unit)
    nearest = np.min(far, axis=1, initial=np.inf)
    at = (far <= 1) & (far <= nearest[:, None] + 0.1)
    runs = np.sum(at, axis=0)
    return Coverage(runs, tuple(int(i) for i in np.flatnonzero(runs == 0)), ~np.any(at, axis=1))


# --- signed cells ---


class _Pairs(NamedTuple):
    """The signed cells in which a neuron does something."""

    data: Data
    patterns: np.ndarray  # bool [P, n], all cells
    cell: np.ndarray  # [N], row of patterns
    signs: np.ndarray  # [N], +-1.0
    features: np.ndarray  # [N, d, n], s x' D
    walls: np.ndarray  # [P, d, n], the columns +-x_k; u is in the closed cell iff walls' u >= 0

    @classmethod
    def of(cls, data: Data, known: Cells | None) -> _Pairs:
        if not (np.isfinite(data.weight_decay) and data.weight_decay > 0):
            raise InputError(
                f"local minima are enumerated at positive weight decay only, found {data.weight_decay}: without it "
                "they come in continua. Give a small positive one."
            )
        known = cells(data.x) if known is None else known
        if not known.complete:
            raise InputError(f"all activation cells are needed; these were found by {known.by}. Use arrangement.cells.")
        patterns = np.asarray(known.patterns, bool)
        live = np.flatnonzero((patterns[:, :, None] * data.x).any(axis=(1, 2)))
        cell, signs = np.concatenate([live, live]), np.repeat([1.0, -1.0], len(live))
        features = (signs[:, None] * patterns[cell])[:, None, :] * data.x.T
        walls = np.where(patterns, 1.0, -1.0)[:, None, :] * data.x.T
        return cls(data, patterns, cell, signs, features, walls)

    def solve(self, members: tuple[int, ...]) -> Restricted:
        at = list(members)
        return restricted(self.data, self.patterns[self.cell[at]], self.signs[at])

    def pulls(self, nu: np.ndarray, some: np.ndarray | None = None) -> np.ndarray:
        """The largest s nu' relu(x u) over unit vectors u of the cell, for some signed cells or all, [N].

        The length of the projection of s x' D nu on the cell's cone, a nonnegative least squares problem. Where it is
        below beta, or that problem is not solved, it may be an upper bound only.
        """
        some = np.arange(len(self.signs)) if some is None else some
        gradients = self.features[some] @ nu
        pull = np.linalg.norm(gradients, axis=1)
        for i in np.flatnonzero(pull > self.data.weight_decay):  # a projection is no longer than the vector
            walls = self.walls[self.cell[some[i]]]
            if np.any(walls.T @ gradients[i] < 0):
                with contextlib.suppress(RuntimeError):  # too many iterations
                    pull[i] = nnls(walls, -gradients[i])[1]
        return pull

    def judge(self, members: tuple[int, ...], point: Restricted) -> tuple[Minimum | None, bool]:
        """The local minimum that the optimum of a program is, or None, and whether that could be decided.

        phi_over_beta and what depends on the width are left to be filled in.
        """
        x, beta = self.data.x, self.data.weight_decay
        at = list(members)
        weights = np.linalg.norm(point.blocks, axis=1)
        if point.residual > SOLVED:
            return None, False
        verdicts = [_above("share", weights / max(float(weights.sum()), 1e-300))]
        if verdicts[0] is False:
            return None, True  # an optimum of fewer cells, judged there
        directions = point.blocks / weights[:, None]
        lengths = np.linalg.norm(x, axis=1)
        cosines = directions @ (x / np.where(lengths > 0, lengths, 1.0)[:, None]).T
        tied = np.abs(cosines) <= ZERO["angle"][0]
        if np.any(~tied & (np.abs(cosines) < ZERO["angle"][1])):
            verdicts.append(None)
        for j, t in enumerate(at):
            touching = np.flatnonzero(np.all((self.patterns == (cosines[j] > 0)) | tied[j], axis=1))
            if self.cell[t] not in touching:
                return None, False
            for cell in touching:
                slope = self.signs[t] * (x.T @ (self.patterns[cell] * point.nu)) - beta * directions[j]
                walls = self.walls[cell][:, tied[j] & (lengths > 0)]
                steepest = nnls(walls, -slope)[1] if walls.size else float(np.linalg.norm(slope))
                descends = _above("slope", np.array([steepest / beta]))
                if descends:
                    return None, True  # first-order descent into a cell next to the neuron
                verdicts.append(None if descends is None else True)
        atoms = np.maximum(x @ directions.T, 0.0)
        if self.data.outer_bias == "free":
            atoms = np.column_stack([atoms, np.ones(len(x))])
        length = np.linalg.norm(atoms, axis=0)
        if not np.all(length > 0):
            return None, False
        size = np.linalg.svd(atoms / length, compute_uv=False)
        independent = len(size) == atoms.shape[1] and _above("rank", size / size[0])
        if independent is False:
            return None, True  # inside a polytope of minima, whose vertices have fewer neurons
        if None in (*verdicts, independent):
            return None, False
        hidden, outer = directions * np.sqrt(weights)[:, None], self.signs[at] * np.sqrt(weights)
        minimum = Minimum(
            value=objective(self.data, hidden, outer, point.b0),
            kind="",
            isolated=False,
            hidden=hidden,
            outer=outer,
            b0=point.b0,
            output=point.output,
            cells=tuple(int(c) for c in self.cell[at]),
            phi_over_beta=math.nan,
        )
        return minimum, True


def _at_work(weights: np.ndarray) -> np.ndarray:
    """Which blocks are not zero, bool."""
    return weights > ZERO["share"][0] * weights.sum()


def _above(what: str, sizes: np.ndarray) -> bool | None:
    """Whether all sizes are clearly positive; False if one is clearly zero, None if one is in between."""
    zero, positive = ZERO[what]
    if np.all(sizes >= positive):
        return True
    return False if np.any(sizes <= zero) else None


def _slack(value: float) -> float:
    """To what two values of programs are the same."""
    return 1e-10 * (abs(value) + 1e-300)


def _listed(found: list[Minimum], new: Minimum) -> bool:
    """Whether the point is in the list, neurons in any order. One on a kink comes up with each cell that it touches."""
    mine = np.column_stack([new.hidden, new.outer])
    for old in found:
        if len(old.outer) != len(new.outer) or abs(old.value - new.value) > SAME * abs(new.value):
            continue
        distance = np.linalg.norm(np.column_stack([old.hidden, old.outer])[:, None] - mine, axis=2)
        nearest = np.argmin(distance, axis=1)
        if len(set(nearest)) == len(nearest) and np.max(distance.min(axis=1)) <= SAME * np.max(np.abs(mine)):
            return True
    return False


def _named(minimum: Minimum, width: int, best: float) -> Minimum:
    isolated = len(minimum.outer) == width
    if minimum.phi_over_beta <= 1 + IDLE:
        kind = GLOBAL
    elif minimum.value <= best + _slack(best):
        kind = GLOBAL_AT_WIDTH
    else:
        kind = STRICT if isolated else FLAT
    return minimum._replace(kind=kind, isolated=isolated)


# --- sets of k of count things, numbered in colexicographic order ---


def _binomials(k: int, count: int) -> np.ndarray:
    return np.array([math.comb(c, k) for c in range(count + 1)], np.int64)


def _rank(members: np.ndarray) -> np.ndarray:
    """Number of each set, rows of ascending members [c, k]."""
    ranks = np.zeros(len(members), np.int64)
    for j in range(members.shape[1]):
        ranks += _binomials(j + 1, int(members[:, j].max(initial=0)))[members[:, j]]
    return ranks


def _unrank(ranks: np.ndarray, k: int, count: int) -> np.ndarray:
    """The sets with these numbers, [c, k]."""
    members, left = np.empty((len(ranks), k), np.int64), ranks.astype(np.int64)
    for j in range(k, 0, -1):
        table = _binomials(j, count)
        members[:, j - 1] = np.searchsorted(table, left, side="right") - 1
        left = left - table[members[:, j - 1]]
    return members


# --- branch and bound ---


class _Relaxed(NamedTuple):
    """The program on all cells of a node.

    Attributes:
        value: Of the best point found: the optimum, unless the bound says otherwise.
        bound: No network on these cells is below it.
        support: Cells at work there, heaviest first.
    """

    value: float
    bound: float
    support: tuple[int, ...]


class _Branching:
    """The best network so far, the programs on parts of the cells, and the bounds of nodes that are done with."""

    def __init__(self, pairs: _Pairs, width: int, most: int) -> None:
        self.pairs, self.width, self.most, self.programs, self.spent = pairs, width, most, 0, 0
        self.dropped: list[float] = []
        start = pairs.solve(())
        self.hidden, self.outer, self.b0 = np.zeros((0, pairs.data.x.shape[1])), np.zeros(0), start.b0
        self.value, self.nu = objective(pairs.data, self.hidden, self.outer, start.b0), start.nu

    def beaten(self, value: float) -> bool:
        """Whether the network at hand is as good as this, to what two values of programs are the same."""
        return value >= self.value - _slack(self.value)

    def offer(self, members: tuple[int, ...]) -> Restricted:
        """Solve a program; keep its network if it is narrow enough and the best by its true loss."""
        point = self.pairs.solve(members)
        self.programs += 1
        self.spent += 1 if point.residual <= UNSOLVED[0] else UNSOLVED[1]
        if not self.beaten(point.value):
            blocks, signs, b0 = _irreducible(self.pairs.data, point, self.pairs.signs[list(members)])
            if len(blocks) <= self.width:
                root = np.sqrt(np.linalg.norm(blocks, axis=1))
                hidden, outer = blocks / root[:, None], signs * root
                value = objective(self.pairs.data, hidden, outer, b0)
                if value < self.value:
                    self.value, self.hidden, self.outer, self.b0 = value, hidden, outer, b0
        return point

    def every_set(self, most: int) -> float | None:
        """A lower bound on all networks of the width, from all sets of its size; None if that takes too many programs.

        A set needs no program of its own if one of its cells does not pull on the optimum of the others.
        """
        beta, every = self.pairs.data.weight_decay, range(len(self.pairs.signs))
        deepest = min(self.width, len(every))
        ids: dict[tuple[int, ...], int] = {}  # of the optimum of each set
        pulls: list[np.ndarray] = []
        floors: list[float] = []
        lower = math.inf
        for k in range(deepest + 1):
            for members in itertools.combinations(every, k):
                for j, t in enumerate(members):
                    same = ids[members[:j] + members[j + 1 :]]
                    if pulls[same][t] <= beta * (1 + IDLE):
                        break
                else:
                    if self.spent >= most:
                        return None
                    point, same = self.offer(members), len(pulls)
                    pulls.append(self.pairs.pulls(point.nu) if k < deepest else np.zeros(0))
                    # Its dual point, scaled until no set that shares this optimum has a pull above beta.
                    idle = pulls[-1][pulls[-1] <= beta * (1 + IDLE)]
                    excess = max(float(np.max(idle, initial=0.0)) / beta - 1, 0.0)
                    floors.append(point.value - (point.residual + excess) * abs(point.value))
                ids[members] = same
                lower = min(lower, floors[same]) if k == deepest else lower
        return lower

    def leaf(self, members: tuple[int, ...], bound: float) -> float:
        """A lower bound on the networks on exactly these cells, `bound` at least: the dual value of their program."""
        point = self.offer(members)
        return max(bound, point.value - point.residual * abs(point.value))

    def relax(self, allowed: frozenset[int], start: tuple[int, ...]) -> _Relaxed:
        """The program on the allowed cells, from cells that may be at work.

        Cells that pull on the optimum are added until none does; that optimum is the optimum over all of them. It ends
        as well when the value no longer falls, as pulls are rounding then, or when there are no programs left.
        """
        inside, beta = np.array(sorted(allowed), int), self.pairs.data.weight_decay
        active, value, bound = [t for t in start if t in allowed], math.inf, -math.inf
        support: tuple[int, ...] = ()
        while True:
            point = self.offer(tuple(active))
            weights = np.linalg.norm(point.blocks, axis=1)
            heavy = [active[i] for i in np.argsort(-weights) if _at_work(weights)[i]]
            pull = self.pairs.pulls(point.nu, inside)
            bound = max(bound, self.proved(point.nu, float(np.max(pull, initial=0.0))))
            missing = [int(t) for t in inside[pull > beta * (1 + IDLE)] if t not in active]
            fell = point.value < value - FALLS * abs(point.value)
            if point.value < value:
                value, support = point.value, tuple(heavy)
            if not missing or not fell or self.spent >= self.most:
                return _Relaxed(value, min(bound, value), support)
            # The strongest few: all of them would make the next program large for nothing.
            strength = dict(zip(inside.tolist(), pull.tolist(), strict=True))
            active = heavy + sorted(missing, key=lambda t: -strength[t])[:4]

    def proved(self, nu: np.ndarray, pull: float) -> float:
        """What a residual proves of networks on cells of which none pulls stronger than this: its dual value."""
        x = self.pairs.data.x
        upper = pull + 64 * EPS * float(np.linalg.norm(x, axis=1) @ np.abs(nu))  # projections are exact to rounding
        return lower_bound(self.pairs.data, nu, Phi(pull, upper, np.zeros(x.shape[1]), 1, "cells"))

    def greedy(self) -> None:
        """A first network: the cell that pulls most, then the next, with the others readjusted."""
        members: tuple[int, ...] = ()
        nu = self.nu
        for _ in range(self.width):
            pull = self.pairs.pulls(nu)
            new = int(np.argmax(pull)) if len(pull) else -1
            if new < 0 or new in members or pull[new] <= self.pairs.data.weight_decay:
                break
            members = (*members, new)
            nu = self.offer(members).nu


def _irreducible(data: Data, point: Restricted, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The blocks at work, their signs and the outer bias, moved at constant output until the atoms are independent.

    At an optimum any such move keeps the objective, as nu' z is beta for every atom z (and 0 for a free outer bias,
    which takes part); it is made in the direction in which the weights do not grow.
    """
    weights = np.linalg.norm(point.blocks, axis=1)
    keep, b0 = _at_work(weights), point.b0
    directions, weights, signs = point.blocks[keep] / weights[keep, None], weights[keep], signs[keep]
    while len(weights) > 1:
        atoms = signs * np.maximum(data.x @ directions.T, 0.0)
        if data.outer_bias == "free":
            atoms = np.column_stack([atoms, np.ones(len(atoms))])
        length = np.linalg.norm(atoms, axis=0)
        if not np.all(length[: len(weights)] > 0):  # a block outside its cell, of a program not solved, does nothing
            keep = length[: len(weights)] > 0
            directions, weights, signs = directions[keep], weights[keep], signs[keep]
            continue
        _, size, right = np.linalg.svd(atoms / length)
        if len(size) == atoms.shape[1] and size[-1] > ZERO["rank"][0] * size[0]:
            break
        kernel = right[-1] / length
        along = kernel[: len(weights)]
        sign = 1.0 if along.sum() >= 0 else -1.0
        if not np.any(sign * along > 0):
            break
        step = sign * np.min(weights[sign * along > 0] / np.abs(along[sign * along > 0]))
        weights, b0 = weights - step * along, b0 - step * float(np.sum(kernel[len(weights) :]))
        keep = _at_work(weights)
        directions, weights, signs = directions[keep], weights[keep], signs[keep]
    return directions * weights[:, None], signs, b0
