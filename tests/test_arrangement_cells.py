"""Cells are complete in any position: against counts known from theory, and linear programs."""

import json
from pathlib import Path

import numpy as np
import pytest
from arrangement_reference import (
    DEGENERATE,
    signed_braid,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from landscape.records import InputError
from landscape.theory.arrangement.cells import cells, cover_count, sampled_cells

FIXTURES = Path(__file__).parent / "fixtures"
COUNTS = json.loads((FIXTURES / "cover_counts.json").read_text())


def patterns_by_programs(x):
    """All cells of x, row by row, with a linear program for each sign: max t, s_k x_k.u >= t."""
    found = [()]
    for k in range(len(x)):
        longer = []
        for signs in found:
            for s in (1, -1) if np.any(x[k]) else (0,):
                rows = np.array([*signs, s])[:, None] * x[: k + 1]
                rows = rows[np.any(rows != 0, axis=1)]
                least = np.hstack([-rows, np.ones((len(rows), 1))])
                bounds = [(-1, 1)] * x.shape[1] + [(0, 1)]
                answer = linprog(np.r_[np.zeros(x.shape[1]), -1.0], least, np.zeros(len(rows)), bounds=bounds)
                if -answer.fun > 1e-9:
                    longer.append((*signs, s))
        found = longer
    return {tuple(s > 0 for s in signs) for signs in found}


def as_set(patterns):
    return {tuple(row) for row in patterns.tolist()}


@pytest.mark.parametrize("case", COUNTS, ids=str)
def test_general_position_has_covers_count(case):
    x = np.random.default_rng(0).normal(size=(case["n"], case["d"]))
    found = cells(x)
    assert len(as_set(found.patterns)) == len(found.patterns) == case["P"] == cover_count(case["n"], case["d"])
    assert found.complete
    assert "Cover" in found.by


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_position_has_its_known_count_and_verified_interior_points(name):
    x, count = DEGENERATE[name]
    found = cells(x)
    assert len(as_set(found.patterns)) == len(found.patterns) == count
    assert found.complete
    # Signs recomputed here; a product of unit vectors is wrong by a few 1e-16 at most.
    values = found.interior @ x.T / np.maximum(np.linalg.norm(x, axis=1), 1e-300)
    live = np.any(x != 0, axis=1)
    np.testing.assert_array_equal(values[:, live] > 0, found.patterns[:, live])
    assert not found.patterns[:, ~live].any()
    assert np.min(np.abs(values[:, live]), initial=1.0) >= 0.5 * found.margin > 1e-9
    np.testing.assert_allclose(np.linalg.norm(found.interior, axis=1), 1, rtol=1e-14)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(1, 4).flatmap(lambda d: st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), max_size=7)))
def test_small_integer_data_have_the_cells_that_linear_programs_find(rows):
    if rows:
        x = np.array(rows, float)
        found = cells(x)
        assert found.complete
        assert as_set(found.patterns) == patterns_by_programs(x)


def test_thin_cells_are_found_down_to_the_resolution():
    for angle, count in ((1e-11, 4), (1e-14, 2)):
        x = np.array([[1.0, 0, 0], [np.cos(angle), np.sin(angle), 0]])
        assert len(cells(x).patterns) == count
        three = np.vstack([x, [[0.0, 0, 1]]])
        assert len(cells(three).patterns) == 2 * count


def test_sampled_cells_are_some_of_the_cells():
    x = np.random.default_rng(5).normal(size=(8, 3))
    every, some = cells(x), sampled_cells(x, 30)
    assert as_set(some.patterns) < as_set(every.patterns)
    assert not some.complete
    most = sampled_cells(x, 100_000)
    assert most.complete == (len(most.patterns) == 58)
    assert sampled_cells(x[:4], 2000).complete  # 14 wide cells: certified by Cover's count
    np.testing.assert_array_equal(some.interior @ x.T > 0, some.patterns)


def test_too_many_cells_are_refused_and_counted():
    x = np.random.default_rng(0).normal(size=(40, 10))
    with pytest.raises(InputError, match=r"more than 1,000 activation cells \(40 rows; at most"):
        cells(x, most=1000)
    with pytest.raises(InputError, match="more than 871"):
        cells(x[:30, :3], most=871)
    assert len(cells(x[:30, :3], most=872).patterns) == 872
    # The bound says 92 and the truth is 48: degenerate data are listed all the same.
    assert len(cells(signed_braid(3), most=48).patterns) == 48
