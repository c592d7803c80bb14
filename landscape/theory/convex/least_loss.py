"""The least loss of all widths and of a problem's own width, each computed once for a data set."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from landscape.problems.activation import RELU
from landscape.problems.datafit import Data
from landscape.problems.empirical import Empirical
from landscape.records import InputError, LowerBound
from landscape.theory.arrangement.cells import cover_count
from landscape.theory.convex import undecayed
from landscape.theory.convex.branch_and_bound import LeastLoss, best_by_width
from landscape.theory.convex.column_generation import CertifiedOptimum, optimum
from landscape.theory.wide_enough import BY_SPAN, least_of_span

PROGRAMS = (
    3000  # a label solves at most this many programs for the least loss of its width, fewer beyond 32 signed cells
)
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
        # Width 1 has small programs only; else one takes the longer the more cells may pull on it.
        share = 1.0 if width == 1 else min(1.0, 32 / max(signed, 1))
        return best_by_width(data, width, most=int(PROGRAMS * share))
    except (InputError, RuntimeError, np.linalg.LinAlgError):  # too many sets, or a program that is not solved
        return None


def best_of_width(problem: Empirical) -> LeastLoss | None:
    """The least loss of the problem's own width, computed once: exact (`branch_and_bound.exact`), or an interval.

    None where nothing is tried: beyond 550 signed cells, 2000 at width 1, or too many sets without weight decay. Up to
    some ten seconds: 3000 programs for up to 32 signed cells or width 1, and 175 for 550; twice as long at tiny weight
    decays, where programs converge slowly. The network is a witness in any case, as its loss is attained.
    """
    data = problem.data
    x, y = np.ascontiguousarray(data.x), np.ascontiguousarray(data.y)
    facts = (data.weight_decay, data.loss, data.outer_bias)
    searched = problem.activation == RELU and problem.fit.dual is not None
    searched &= problem.bias != "free" or data.weight_decay == 0
    return _best(x.tobytes(), y.tobytes(), len(y), facts, problem.width) if searched else None


def bound(problem: Empirical) -> LowerBound:
    """The best lower bound: of the convex program, or without weight decay of the span of all neurons."""
    if not problem.certifiable:
        span = least_of_span(problem)
        if span is None or span.value - span.error <= problem.lower_bound.value:
            return problem.lower_bound
        return LowerBound(span.value - span.error, BY_SPAN)
    found = certified_optimum(problem)
    return LowerBound(max(found.lower_bound, problem.lower_bound.value), "convex program, dual bound")
