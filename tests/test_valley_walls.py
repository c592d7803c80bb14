"""Walls that outer weights cross when they change sign: the published valley, and no path found is below a wall."""

from __future__ import annotations

import numpy as np
import pytest
from finite_data import fixture
from scipy.optimize import nnls

import landscape as ls
from landscape.problems.datafit import Data
from landscape.theory.cell_least_squares import of_signs, of_width
from landscape.theory.spurious_valleys.published import data, valley
from landscape.theory.spurious_valleys.segments import highest, loss_at, verify
from landscape.theory.spurious_valleys.walls import NO_WALL, counts, sector, wall

VENTURI = fixture("venturi_valley_p2")


def test_the_published_valley_is_the_fixture():
    found = valley()
    np.testing.assert_array_equal(found.problem.x, VENTURI["X"])
    np.testing.assert_array_equal(found.problem.y, VENTURI["y"])
    expected = found.problem.write(ls.Params(np.array(VENTURI["bad_W"], float), np.array(VENTURI["bad_a"], float)))
    np.testing.assert_array_equal(found.bottom, expected)
    assert found.barrier == pytest.approx(VENTURI["barrier_exact"], abs=1e-15)
    assert loss_at(found.problem, found.bottom) == VENTURI["bad_value"]
    assert loss_at(found.problem, found.way[-1]) == pytest.approx(VENTURI["P_2"], abs=1e-15)


def test_the_barrier_of_the_fixture_is_31_sixths_from_both_sides():
    """The bar: [31/6 - 1e-9, 31/6 + 1e-3]. Heuristics find 6.05 to 6.69."""
    found = valley()
    low = wall(found.problem, found.bottom, found.way[-1])
    high = verify(found.problem, found.way).highest
    assert 31 / 6 - 1e-9 <= low.value <= 31 / 6
    assert 31 / 6 <= high <= 31 / 6 + 1e-9
    assert low.by == "wall of 1 positive and 0 negative neurons"


def test_a_straight_way_is_higher_and_its_bound_is_the_published_number():
    found = valley()
    good = found.problem.write(ls.Params(np.array(VENTURI["good_W"], float), np.array(VENTURI["good_a"], float)))
    straight = highest(found.problem, found.bottom, good)
    # 64 pieces bound a loss of second differences of some 30 to 30 / (8 * 64^2) = 1e-3.
    assert VENTURI["linear_interp_barrier"] <= straight <= VENTURI["linear_interp_barrier"] + 2e-3


@pytest.mark.parametrize("target", [1.2, 2.0, 10.0, 100.0])
def test_the_valley_is_as_deep_as_one_likes(target):
    found = valley(target)
    around = sector(found.problem, found.bottom)
    assert around is not None
    assert around[:2] == (2, 0)
    scale = target * target  # rounding is relative to the squared target
    assert around.floor == pytest.approx(0.5 * target**2, abs=1e-12 * scale)
    assert around.rim == pytest.approx(found.barrier, abs=1e-12 * scale)
    assert around.rim <= found.barrier
    assert verify(found.problem, found.way).highest == pytest.approx(found.barrier, abs=1e-12 * scale)
    least = of_width(found.problem.data, 2)
    assert least.value == pytest.approx(2 / 3, abs=1e-12 * scale)
    assert least.lower_bound == pytest.approx(2 / 3, abs=1e-11 * scale)


@pytest.mark.parametrize("target", [0.0, 1.1, -1.1, np.inf, np.nan])
def test_a_target_without_a_valley_is_refused(target):
    with pytest.raises(ls.InputError, match="a valley needs a target above"):
        data(target)


def test_the_least_loss_of_given_signs_is_that_of_a_search_over_directions():
    """One positive and one negative neuron, directions on a grid of half a degree: from above, and near."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=5)
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    heights = np.maximum(x @ np.stack([np.cos(angles), np.sin(angles)]), 0.0)
    best = np.inf
    for i in range(0, 720, 6):
        for j in range(0, 720, 6):
            best = min(best, 0.5 * nnls(np.column_stack([heights[:, i], -heights[:, j]]), y)[1] ** 2)
    found = of_signs(Data(x, y, 0.0), 1, 1)
    assert found.lower_bound <= found.value <= best + 1e-12
    assert best <= found.value + 0.02  # three degrees off the best directions
    assert sorted(np.sign(found.outer)) in ([-1.0], [1.0], [-1.0, 1.0])


@pytest.mark.parametrize("seed", range(6))
def test_no_way_between_low_networks_is_below_their_wall(seed):
    """From beside the least network of one pair of signs to beside that of another: straight, and with a knee."""
    rng = np.random.default_rng(seed)
    found = valley()
    problem = ls.empirical(rng.normal(size=(6, 2)), rng.normal(size=6), 2) if seed % 2 else found.problem
    lows = []
    for some in ((2, 0), (1, 1), (0, 2)):
        best = of_signs(problem.data, *some)
        hidden, outer = np.zeros((2, problem.d)), np.repeat([1e-3, -1e-3], some)
        for w, a in zip(best.hidden, best.outer, strict=True):
            place = next(i for i in range(2) if outer[i] * a > 0 and not hidden[i].any())
            hidden[place], outer[place] = w, a
        lows.append(problem.write(ls.Params(hidden, outer)))
    walls = 0
    for _ in range(10):
        i, j = rng.choice(3, 2, replace=False)
        one, two = (lows[k] + 0.05 * rng.normal(size=problem.p) * (lows[k] != 0) for k in (i, j))
        low = wall(problem, one, two)
        walls += low.by != NO_WALL
        knee = 0.5 * (one + two) + 0.5 * rng.normal(size=problem.p)
        assert low.value <= verify(problem, np.array([one, two])).highest
        assert low.value <= verify(problem, np.array([one, knee, two])).highest
    assert walls > 0 or seed % 2  # not every random landscape has a wall above its lowest networks


def test_equal_neurons_in_another_order_are_not_behind_a_wall():
    found = valley()
    good = found.way[-1]
    swapped = found.problem.write(ls.Params(np.array([[0, 0, 3.0], [4 / 3, 2 / 3, 0]]), np.array([-1.0, 1.0])))
    assert counts(found.problem, good) == counts(found.problem, swapped) == (1, 1)
    assert wall(found.problem, good, swapped).by == NO_WALL


def test_a_network_on_a_wall_has_no_sector_and_other_losses_have_no_walls():
    found = valley()
    assert sector(found.problem, found.way[2]) is None
    for other in ({"activation": "tanh"}, {"weight_decay": 0.1}, {"loss": "huber"}):
        problem = ls.empirical(VENTURI["X"], VENTURI["y"], 2, **other)
        with pytest.raises(ls.InputError, match="walls between valleys are known for relu networks"):
            wall(problem, found.bottom, found.bottom)
