"""The least loss P_m of a width, by branch and bound over sets of signed cells or by going through all of them."""

from __future__ import annotations

import heapq
import itertools
import math
import time
from typing import NamedTuple

import numpy as np

from landscape import patience
from landscape.problems.datafit import Data, objective
from landscape.records import whole
from landscape.theory.arrangement.records import Cells, Phi
from landscape.theory.convex.cone_program import Restricted
from landscape.theory.convex.dual import lower_bound
from landscape.theory.convex.irreducible import irreducible
from landscape.theory.convex.resolution import at_work
from landscape.theory.convex.signed_cells import IDLE, SignedCells, slack

EPS = float(np.finfo(float).eps)

# A program on more cells lowers the value by this much of it, or else the pulls that asked for it were rounding.
FALLS = 1e-13
# A program whose residual is above the first number counts for as many as the second: it goes through all its rounds of
# Newton's method.
UNSOLVED = (1e-10, 30)
# Going through all sets of m cells takes a program for some 40% of them: it is done up to this many sets for each
# program that the search may solve.
SETS = 10
# A program of m blocks is this many times as fast as those of branch and bound.
SMALL = 4
# Beyond this many sets branch and bound is left to prune them.
FEW = 20_000
# A least loss is exact if its bounds are within this share of each other: programs leave 1e-10 at most.
EXACT = 1e-9


class LeastLoss(NamedTuple):
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


def exact(best: LeastLoss) -> bool:
    """Whether the network is a best one of its width, to a billionth of the loss; else P_m is in an interval."""
    return bool(best.value - best.lower_bound <= EXACT * abs(best.value))


def best_by_width(
    data: Data,
    width: int,
    listed: Cells | None = None,
    most: int = 100_000,
    sets: int = SETS,
    seconds: float = math.inf,
) -> LeastLoss:
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
        listed: All cells of data.x, where they are at hand.
        most: Number of programs after which the search stops with the bounds that it has; one that does not converge
            counts for thirty, as it takes as long. Some 300 a second on 30 signed cells, 100 on 250.
        sets: All sets of cells are gone through one by one where they are at most this many times `most`, and few.
        seconds: Time after which the search stops likewise.

    Raises:
        InputError: The weight decay is not positive, or the cells are not complete.
    """
    width = whole("width", width, 1)
    search = _Branching(SignedCells.of(data, listed), width, most, time.monotonic() + seconds)
    everything = frozenset(range(len(search.pairs.signs)))
    search.greedy()
    root = search.relax(everything, ())
    order = itertools.count()  # breaks ties of the heap
    heap = [(root.value, next(order), root.bound, frozenset(), everything, root.support)]
    by, count = "branch and bound over cells", sum(math.comb(len(everything), k) for k in range(1, width + 1))
    if not search.beaten(root.value) and count <= min(sets * most, FEW):
        by, lower = "enumeration of sets of cells", search.every_set(SMALL * most)
        if lower is not None:
            heap, search.dropped = [], [max(lower, root.bound)]
    while heap and not search.over() and not search.beaten(heap[0][0]):
        patience.say(f"least loss of width {width}: {heap[0][0]:.9g} to {search.value:.9g}, {search.programs} programs")
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
    best = LeastLoss(width, float(search.value), search.hidden, search.outer, search.b0, lower, search.programs, by)
    return best if exact(best) else best._replace(by=f"an interval: {by}, {search.programs} programs")


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

    def __init__(self, pairs: SignedCells, width: int, most: int, until: float) -> None:
        self.pairs, self.width, self.most, self.programs, self.spent = pairs, width, most, 0, 0
        self.until = until
        self.dropped: list[float] = []
        start = pairs.solve(())
        self.hidden, self.outer, self.b0 = np.zeros((0, pairs.data.x.shape[1])), np.zeros(0), start.b0
        self.value, self.nu = objective(pairs.data, self.hidden, self.outer, start.b0), start.nu

    def over(self) -> bool:
        """Whether programs or time are used up."""
        return self.spent >= self.most or self.late()

    def late(self) -> bool:
        """Whether time is used up."""
        return time.monotonic() >= self.until or patience.over()

    def beaten(self, value: float) -> bool:
        """Whether the network at hand is as good as this, to what two values of programs are the same."""
        return bool(value >= self.value - slack(self.value))

    def offer(self, members: tuple[int, ...]) -> Restricted:
        """Solve a program; keep its network if it is narrow enough and the best by its true loss."""
        point = self.pairs.solve(members)
        self.programs += 1
        self.spent += 1 if point.residual <= UNSOLVED[0] else UNSOLVED[1]
        if not self.beaten(point.value):
            blocks, signs, b0 = irreducible(self.pairs.data, point, self.pairs.signs[list(members)])
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
                    if self.spent >= most or self.late():
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
            heavy = [active[i] for i in np.argsort(-weights) if at_work(weights)[i]]
            pull = self.pairs.pulls(point.nu, inside)
            bound = max(bound, self.proved(point.nu, float(np.max(pull, initial=0.0))))
            missing = [int(t) for t in inside[pull > beta * (1 + IDLE)] if t not in active]
            fell = point.value < value - FALLS * abs(point.value)
            if point.value < value:
                value, support = point.value, tuple(heavy)
            if not missing or not fell or self.over():
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
