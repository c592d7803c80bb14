"""Cells tell whether a component holds a global minimum: ways are verified apart, no search leaves what is caught."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from slow import slow

import landscape as ls
from landscape.paths.matching import matched
from landscape.paths.sampling import sampled
from landscape.paths.strings import height, lines, strings
from landscape.theory.spurious_valleys.caught import Goal, caught, goal_of, stays_below
from landscape.theory.spurious_valleys.cell_barriers import cell_barriers
from landscape.theory.spurious_valleys.component import component
from landscape.theory.spurious_valleys.published import valley
from landscape.theory.spurious_valleys.segments import loss_at

FOUND = valley()
GOAL = goal_of(FOUND.problem)


def test_the_certified_valley_is_left_from_its_barrier_on_and_not_below():
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(60):
        theta = FOUND.bottom + 0.15 * rng.normal(size=8)
        loss = loss_at(FOUND.problem, theta)
        found = component(FOUND.problem, theta, GOAL.loss)
        assert found.holds is (loss >= 31 / 6)
        answers.append(found.holds)
        assert (found.way is not None) == found.holds
        if found.way is not None:
            assert stays_below(FOUND.problem, found.way, loss)
            assert loss_at(FOUND.problem, found.way[-1]) == pytest.approx(2 / 3, abs=1e-9)
            np.testing.assert_array_equal(found.way[0], theta)
    assert 10 < sum(answers) < 50


@pytest.mark.parametrize("outer_bias", ["none", "free"])
@pytest.mark.parametrize("seed", range(4))
def test_ways_stay_below_and_no_search_finds_one_where_there_is_none(seed, outer_bias):
    rng = np.random.default_rng(seed)
    d, width = (1, 2) if seed % 2 else (2, 1)
    problem = ls.empirical(rng.normal(size=(4, d)), rng.normal(size=4), width, weight_decay=0.0, outer_bias=outer_bias)
    goal = goal_of(problem)
    assert goal.theta is not None
    thetas = rng.normal(size=(25, problem.p)) * np.exp(rng.normal(size=(25, 1)))
    thetas[:5, -width - (outer_bias != "none")] = 0.0  # a neuron without outer weight
    held = []
    for theta in thetas:
        found, loss = component(problem, theta, goal.loss), loss_at(problem, theta)
        held.append(found.holds)
        if found.holds:
            assert found.way is not None
            assert stays_below(problem, found.way, loss)
            assert loss_at(problem, found.way[-1]) <= goal.loss + 1e-8
        else:
            assert found.holds is False
            line = sampled(problem, theta[None], goal.theta[None], np.array([2 * loss - goal.loss]))
            for path in line:  # some path there may be found, and rises above the start
                assert path is None or max(loss_at(problem, point) for point in _dense(path)) > loss
    assert True in held


def _dense(path):
    share = np.linspace(0, 1, 200)[:, None]
    return np.concatenate([(1 - share) * a + share * b for a, b in pairwise(path)])


def test_barriers_cell_by_cell_are_those_of_the_certified_valley():
    half = FOUND.problem.of_width(1)
    (one,) = cell_barriers(FOUND.problem, np.stack([FOUND.bottom, FOUND.way[-1]]))
    assert one.low == pytest.approx(31 / 6, abs=1e-9)
    assert one.high == pytest.approx(31 / 6, abs=1e-9)
    assert one.low <= one.high
    # One neuron changes its sign at outputs of zero only.
    (flip,) = cell_barriers(half, np.array([[4 / 3, 2 / 3, 0.0, 1.0], [0.0, 0.0, 3.0, -1.0]]))
    assert flip.low == pytest.approx(0.5 * 13, abs=1e-9)
    assert flip.high == pytest.approx(0.5 * 13, abs=1e-9)
    (short,) = cell_barriers(FOUND.problem, np.stack([FOUND.bottom, FOUND.way[-1]]), most=2)
    assert 4.5 - 1e-9 <= short.low <= 31 / 6 + 1e-9
    assert short.high == np.inf
    assert cell_barriers(ls.empirical(np.eye(2), np.ones(2), 2, weight_decay=0.1), np.ones((2, 6))) == []


@pytest.mark.parametrize("seed", [0, slow(1), slow(2)])
def test_no_string_is_below_a_barrier_cell_by_cell(seed):
    rng = np.random.default_rng(seed)
    problem = ls.empirical(rng.normal(size=(5, 2)), rng.normal(size=5), 2, weight_decay=0.0)
    points = rng.normal(size=(6, problem.p))
    for one in cell_barriers(problem, points, most=500):
        assert one.low <= one.high <= one.low + 1e-9 * max(1.0, one.low)  # random cells: nothing is left open
        first, second = points[one.first][None], matched(problem, points[one.first], points[one.second])[None]
        string = height(problem, strings(problem, lines(first, second), 100)[0]).high
        assert string >= one.low - 1e-9
    assert len(cell_barriers(problem, points)) == 15


def test_a_component_that_is_too_large_is_not_decided():
    assert component(FOUND.problem, FOUND.way[2] * 1.01, GOAL.loss, most=1) == (None, None, 2)
    lost = component(FOUND.problem, FOUND.bottom, GOAL.loss, attained=False)
    assert lost.holds is False  # no cell that it reaches is as low as a loss that is attained


@pytest.mark.slow
def test_ends_that_walls_leave_open_are_decided():
    """Flat local minima of loss 1 at width 2 have a way out at no cost: descents stop, valleys do not end there."""
    census = ls.explore(FOUND.problem, 40, 0, progress=False)
    ends = [theta for name, theta in census.weights.items() if abs(census.rows["loss"][name] - 1.0) < 1e-9]
    assert ends
    for theta in ends:
        answer = caught(FOUND.problem, theta, GOAL)
        assert (answer.caught, answer.by) == (False, "a way from cell to cell")
    narrow = FOUND.problem.of_width(1)
    alone = np.array([4 / 3, 2 / 3, 0.0, 1.0])  # the best positive neuron; the global minimum is negative
    assert caught(narrow, alone, goal_of(narrow)).caught is True
    assert component(narrow, alone, goal_of(narrow).loss).holds is False
    assert caught(FOUND.problem, ends[0], Goal(None, 0.9)).caught is None
