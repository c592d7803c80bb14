"""The least loss of all widths and of a problem's own width, each computed once for a data set."""

from __future__ import annotations

import sys
import time
from functools import lru_cache

import numpy as np

from landscape.problems.activation import RELU
from landscape.problems.datafit import Data
from landscape.problems.empirical import Empirical
from landscape.problems.problem import Problem
from landscape.records import InputError, LowerBound
from landscape.theory.arrangement.cells import cover_count
from landscape.theory.convex import undecayed
from landscape.theory.convex.branch_and_bound import LeastLoss, best_by_width, exact
from landscape.theory.convex.column_generation import CertifiedOptimum, optimum
from landscape.theory.wide_enough import BY_SPAN, least_of_span

PROGRAMS = (3000, 300)  # a label solves so many for the least loss of its width: to 32 signed cells, and at least
CELLS = (2000, 550)  # with weight decay at most this many signed cells are searched: at width 1, and beyond
UNDECAYED = 20_000  # without weight decay sets of at most this many signed cells are gone through


@lru_cache(maxsize=32)
def _optimum(x: bytes, y: bytes, n: int, facts: tuple[float, str, str]) -> CertifiedOptimum:
    rows = np.frombuffer(x).reshape(n, -1)
    return optimum(Data(rows, np.frombuffer(y), *facts))


def certified_optimum(problem: Empirical) -> CertifiedOptimum:
    """The least loss of all widths with its certificate, computed once for each data set."""
    data = problem.data
    x, y = np.ascontiguousarray(data.x), np.ascontiguousarray(data.y)
    return _optimum(x.tobytes(), y.tobytes(), len(y), (data.weight_decay, data.loss, data.outer_bias))


@lru_cache(maxsize=64)
def _best(x: bytes, y: bytes, n: int, facts: tuple[float, str, str], width: int) -> LeastLoss | None:
    data = Data(np.frombuffer(x).reshape(n, -1), np.frombuffer(y), *facts)
    signed = 2 * cover_count(n, int(np.linalg.matrix_rank(data.x)))  # cells at most, before they are listed
    try:
        if data.weight_decay == 0:
            return undecayed.best(data, width) if signed <= UNDECAYED else None
        if signed > CELLS[width > 1]:
            return None
        # A program takes the longer the more cells may pull on it.
        most = max(PROGRAMS[1], int(PROGRAMS[0] * min(1.0, 32 / max(signed, 1))))
        return best_by_width(data, width, most=most)
    except (InputError, RuntimeError, np.linalg.LinAlgError):  # too many sets, or a program that is not solved
        return None


_LONGER: dict[tuple, LeastLoss] = {}  # what searches for longer found, in the place of `_best`


def best_of_width(problem: Empirical) -> LeastLoss | None:
    """The least loss of the problem's own width, computed once: exact (`branch_and_bound.exact`), or an interval.

    None where nothing is tried: beyond 550 signed cells, 2000 at width 1, or too many sets without weight decay. Up to
    some ten seconds, and mostly one: a few dozen programs are enough on ten rows in four dimensions. The network is a
    witness in any case, as its loss is attained.
    """
    asked = _asked(problem)
    return None if asked is None else _LONGER.get(asked) or _best(*asked)


def search_longer(problem: Problem, seconds: float) -> None:
    """Searches so long for the least loss of the problem's own width where it is an interval; labels use what is found.

    Other problems than ReLU networks on finite data with weight decay have no such search.
    """
    if not isinstance(problem, Empirical) or not problem.certifiable:
        return
    until = time.monotonic() + seconds
    asked, found = _asked(problem), best_of_width(problem)
    if asked is None or found is None or exact(found):
        return
    longer = best_by_width(problem.data, problem.width, most=sys.maxsize, seconds=until - time.monotonic())
    if longer.value - longer.lower_bound < found.value - found.lower_bound:
        _LONGER[asked] = longer


def _asked(problem: Empirical) -> tuple[bytes, bytes, int, tuple[float, str, str], int] | None:
    """What `_best` is asked for a problem; None where the least loss of its width is not searched for."""
    data = problem.data
    x, y = np.ascontiguousarray(data.x), np.ascontiguousarray(data.y)
    searched = problem.activation == RELU and problem.fit.dual is not None
    searched &= problem.bias != "free" or data.weight_decay == 0
    facts = (data.weight_decay, data.loss, data.outer_bias)
    return (x.tobytes(), y.tobytes(), len(y), facts, problem.width) if searched else None


def forget() -> None:
    """Drops what was computed: after a search that ended early more time finds more."""
    _optimum.cache_clear()
    _best.cache_clear()


def bound(problem: Empirical) -> LowerBound:
    """The best lower bound: of the convex program, or without weight decay of the span of all neurons."""
    if not problem.certifiable:
        span = least_of_span(problem)
        if span is None or span.value - span.error <= problem.lower_bound.value:
            return problem.lower_bound
        return LowerBound(span.value - span.error, BY_SPAN)
    found = certified_optimum(problem)
    return LowerBound(max(found.lower_bound, problem.lower_bound.value), "convex program, dual bound")
