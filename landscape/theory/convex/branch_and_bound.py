"""The least loss P_m of a width, by branch and bound over sets of signed cells.

Every residual nu bounds the networks whose cells all pull on it weakly, by its dual value scaled until none pulls
stronger than beta. So a network below a given loss has a neuron in one of the few cells that pull strongly: each nu is
a *cut*, a list of cells of which one is needed, and a set of m cells that goes below that loss meets all lists. Sets
are built a cell at a time, along the shortest list that is not met; a set that meets all is solved, and its residual is
the next cut. This is the implicit hitting set method (Chandrasekaran, Karp, Moreno-Centeno and Vempala 2011). Below m*
the optimum of all cells says little of P_m, and the cuts of some 60 sets close what 5000 of its programs did not.
"""

from __future__ import annotations

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
# Sets of cells that are looked at for each program that the search may solve: a program takes as long as some 300.
SETS = 300
# Sets that are looked at for each guess of a lower bound, and guesses, where a search ends early.
LAST = (20_000, 10)
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
    seconds: float = math.inf,
) -> LeastLoss:
    """The least loss P_m of a width, by branch and bound over sets of signed cells: exact, or an interval.

    From the smallest width m* of an optimal network on this is p* at once, or as soon as such a network turns up.

    A set is dropped when a dual point proves that it is no better than the network at hand; only programs that did not
    converge, or with pulls that are rounding beside a tiny weight decay, leave more than some 1e-10 of the value
    between the two bounds.

    Args:
        data: Data set, positive weight decay.
        width: m.
        listed: All cells of data.x, where they are at hand.
        most: Number of programs after which the search stops with the bounds that it has; one that does not converge
            counts for thirty, as it takes as long. Some 300 a second at small widths. It stops after `SETS` times as
            many sets of cells, too.
        seconds: Time after which the search stops likewise.

    Raises:
        InputError: The weight decay is not positive, or the cells are not complete.
    """
    width = whole("width", width, 1)
    search = _Branching(SignedCells.of(data, listed), width, most, time.monotonic() + seconds)
    search.greedy()
    root = search.relax()
    by = "branch and bound over cells"
    if search.beaten(root.value) and not search.over():
        by, lower = "p*, convex program on all cells", root.bound
    else:
        search.cut(root.support[:width])
        early = search.descend((), 0)
        lower = max(root.bound, search.proved_below(root.bound) if early else search.target())
    lower = float(min([search.value, *search.dropped, lower]))
    best = LeastLoss(width, float(search.value), search.hidden, search.outer, search.b0, lower, search.programs, by)
    return best if exact(best) else best._replace(by=f"an interval: {by}, {search.programs} programs")


class _Relaxed(NamedTuple):
    """The program on all cells.

    Attributes:
        value: Of the best point found: the optimum, unless the bound says otherwise.
        bound: No network is below it.
        support: Cells at work there, heaviest first.
    """

    value: float
    bound: float
    support: tuple[int, ...]


class _Cut(NamedTuple):
    """A residual and the pulls on it.

    Attributes:
        nu: The residual, [n].
        pulls: Of all signed cells, [N].
        order: Cells by ascending pull, [N].
    """

    nu: np.ndarray
    pulls: np.ndarray
    order: np.ndarray


class _Branching:
    """The best network so far, cuts, and bounds of sets that no cut excludes. Sets and lists of cells are bits of a
    number.
    """

    def __init__(self, pairs: SignedCells, width: int, most: int, until: float) -> None:
        self.pairs, self.width, self.most, self.until = pairs, width, most, until
        self.programs, self.spent, self.seen = 0, 0, 0
        self.dropped: list[float] = []
        self.cuts: list[_Cut] = []
        self.aside: list[int] = []  # what a set needs beside cells that were solved and are not cut off
        self.lists: list[int] = []  # of the cuts, for the target `lists_for`
        self.lists_for = math.inf
        start = pairs.solve(())
        self.hidden, self.outer, self.b0 = np.zeros((0, pairs.data.x.shape[1])), np.zeros(0), start.b0
        self.value, self.nu = objective(pairs.data, self.hidden, self.outer, start.b0), start.nu

    def over(self) -> bool:
        """Whether programs, sets or time are used up."""
        return self.spent >= self.most or self.seen >= SETS * self.most or self.late()

    def late(self) -> bool:
        """Whether time is used up."""
        return time.monotonic() >= self.until or patience.over()

    def target(self) -> float:
        """What a network has to go below to be better than the one at hand."""
        return self.value - slack(self.value)

    def beaten(self, value: float) -> bool:
        """Whether the network at hand is as good as this, to what two values of programs are the same."""
        return bool(value >= self.target())

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

    def descend(self, chosen: tuple[int, ...], without: int) -> bool:
        """Whether the search is over before all sets with the chosen cells, and none of `without`, are excluded."""
        self.seen += 1
        if self.over():
            return True
        if not self.unmet(chosen):
            self.cut(chosen)
        left = self.width - len(chosen)
        needed = self.next(chosen, without) if left else 0
        pulls = self.cuts[-1].pulls if self.cuts else np.zeros(0)
        for t in sorted(_cells(needed), key=lambda t: -pulls[t]):
            if left == 1 and not self.next(chosen, without) >> t & 1:
                continue  # a later cut excludes it
            if self.descend((*chosen, t), without):
                return True
            without |= 1 << t
        return False

    def next(self, chosen: tuple[int, ...], without: int) -> int:
        """Cells of which a set with the chosen ones, and none of `without`, has one: those in all lists if it is the
        last, else those of the shortest list."""
        lists = [one & ~without for one in self.unmet(chosen)]
        if len(chosen) + 1 < self.width:
            return min(lists, key=int.bit_count)
        common = lists[0]
        for one in lists[1:]:
            common &= one
        return common

    def unmet(self, chosen: tuple[int, ...]) -> list[int]:
        """Lists that have none of the chosen cells."""
        if self.lists_for != self.target():
            self.lists, self.lists_for = [self.list_at(one, self.target()) for one in self.cuts], self.target()
        bits = sum(1 << t for t in chosen)
        return [one for one in (*self.lists, *self.aside) if not one & bits]

    def cut(self, members: tuple[int, ...]) -> np.ndarray:
        """Solve the program on some cells and add its cut, [n] its residual; set aside what that does not exclude."""
        point = self.offer(members)
        pulls = self.pairs.pulls(point.nu)
        self.cuts.append(_Cut(point.nu, pulls, np.argsort(pulls)))
        if self.lists_for == self.target():
            self.lists.append(self.list_at(self.cuts[-1], self.target()))
        patience.say(f"least loss of width {self.width}: {self.value:.9g} at most, {self.programs} programs")
        if self.unmet(members):
            return point.nu
        self.dropped.append(point.value - point.residual * abs(point.value))
        self.aside.append((1 << len(pulls)) - 1 - sum(1 << t for t in members))
        return point.nu

    def list_at(self, cut: _Cut, target: float) -> int:
        """Cells of which a network below the target needs one: those that pull too strongly for the cut's bound."""
        low, high = 0, len(cut.order)
        while low < high:
            middle = (low + high) // 2
            enough = self.proved(cut.nu, float(cut.pulls[cut.order[middle]])) >= target
            low, high = (middle + 1, high) if enough else (low, middle)
        strong = np.zeros(len(cut.order), bool)
        strong[cut.order[low:]] = True
        return int.from_bytes(np.packbits(strong, bitorder="little").tobytes(), "little")

    def proved_below(self, low: float) -> float:
        """A bound on all sets that are not set aside, `low` at least, from the cuts at hand, by bisection."""
        high = self.target()
        for _ in range(LAST[1]):
            middle = 0.5 * (low + high)
            lists = [*(self.list_at(one, middle) for one in self.cuts), *self.aside]
            low, high = (low, middle) if _some_meet(lists, self.width, 0, [LAST[0]]) else (middle, high)
        return low

    def relax(self) -> _Relaxed:
        """The program on all cells.

        Cells that pull on the optimum are added until none does; that optimum is the optimum over all of them. It ends
        as well when the value no longer falls, as pulls are rounding then, or when there are no programs left.
        """
        beta = self.pairs.data.weight_decay
        active, support, value, bound = [], (), math.inf, -math.inf
        while True:
            point = self.offer(tuple(active))
            weights = np.linalg.norm(point.blocks, axis=1)
            heavy = [active[i] for i in np.argsort(-weights) if at_work(weights)[i]]
            pull = self.pairs.pulls(point.nu)
            bound = max(bound, self.proved(point.nu, float(np.max(pull, initial=0.0))))
            missing = [int(t) for t in np.flatnonzero(pull > beta * (1 + IDLE)) if t not in active]
            fell = point.value < value - FALLS * abs(point.value)
            if point.value < value:
                value, support = point.value, tuple(heavy)
            if not missing or not fell or self.over():
                return _Relaxed(value, min(bound, value), support)
            # The strongest few: all of them would make the next program large for nothing.
            active = heavy + sorted(missing, key=lambda t: -pull[t])[:4]

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
            nu = self.cut(members)


def _cells(bits: int) -> list[int]:
    """The places of the ones of a number."""
    return [t for t in range(bits.bit_length()) if bits >> t & 1]


def _some_meet(lists: list[int], left: int, without: int, looks: list[int]) -> bool:
    """Whether some set of so many cells, none of `without`, may meet all lists; true where looks run out."""
    looks[0] -= 1
    if not lists or looks[0] < 0:
        return True
    if not left:
        return False
    needed = min(lists, key=lambda one: (one & ~without).bit_count()) & ~without
    for t in _cells(needed):
        if _some_meet([one for one in lists if not one >> t & 1], left - 1, without, looks):
            return True
        without |= 1 << t
    return False
