"""The least loss of a width by branch and bound: the enumeration's, and an interval that holds it wherever it stops."""

import itertools

import numpy as np
import pytest
from finite_data import CASES, draw, fixture_and_data, minima_of_a

from landscape.problems.datafit import Data, objective
from landscape.problems.empirical import empirical
from landscape.theory.convex import signed_cells
from landscape.theory.convex.branch_and_bound import best_by_width, exact
from landscape.theory.convex.cone_program import Restricted
from landscape.theory.convex.irreducible import irreducible
from landscape.theory.convex.least_loss import best_of_width, certified_optimum
from landscape.theory.convex.local_minima import local_minima
from landscape.theory.convex.restricted_programs import restricted


@pytest.mark.parametrize("data", CASES)
def test_least_loss_by_branch_and_bound_is_the_census_one(data):
    for width in (1, 2, 3):
        best, minima = best_by_width(data, width), local_minima(data, width)
        # The two stop at 1e-10 relative of each other.
        assert abs(best.value - minima.best) <= 2e-10 * minima.best
        assert best.lower_bound <= minima.best <= best.value + 1e-12
        assert abs(objective(data, best.hidden, best.outer, best.b0) - best.value) <= 1e-13
        assert len(best.outer) <= width


@pytest.mark.slow
def test_least_losses_of_a_by_branch_and_bound():
    data, record = fixture_and_data("relu_A_n8_d2")
    for width, minima in ((width, minima_of_a(width)) for width in (1, 2, 3, 4)):
        best = best_by_width(data, width)
        assert abs(best.value - minima.best) <= 1e-10
        assert best.by.startswith("p*") == (width >= record["m_star"])
    assert best_by_width(data, 9).value == pytest.approx(record["p_star"], abs=1e-11)


def test_more_optimal_neurons_than_needed_are_pruned():
    """Data set R: the optimal networks form a segment with six neurons inside and five at each end."""
    data, record = fixture_and_data("relu_R_n6_bias")
    best = best_by_width(data, record["m_star"])
    assert abs(best.value - record["p_star"]) < 1e-9
    assert len(best.outer) == record["m_star"]
    assert best_by_width(data, record["m_star"] - 1).value > record["p_star"] + 1e-3


@pytest.mark.parametrize("data", CASES)
def test_bounds_of_a_search_hold_wherever_it_stops(data):
    """From no programs at all to enough of them."""
    truth = local_minima(data, 2).best
    for most in (0, 1, 4, 10, 20, 40, 4000):
        best = best_by_width(data, 2, most=most)
        assert best.lower_bound <= truth * (1 + 1e-12)
        assert best.value >= truth * (1 - 1e-12)
        assert best.value == objective(data, best.hidden, best.outer, best.b0)
        assert len(best.outer) <= 2
        assert exact(best) or best.by.startswith("an interval")
    assert exact(best)
    assert best.value - best.lower_bound <= 1.1e-10 * best.value  # where nodes are dropped


def test_width_one_takes_few_programs_of_256_cells():
    rng = np.random.default_rng(0)
    data = Data(np.column_stack([rng.normal(size=(8, 3)), np.ones(8)]), rng.normal(size=8), 0.3)
    best, minima = best_by_width(data, 1, most=100), local_minima(data, 1)
    assert exact(best)
    assert best.value == pytest.approx(minima.best, rel=1e-12)
    assert best.lower_bound <= minima.best <= best.value * (1 + 1e-12)
    assert best.programs <= 60


def test_a_search_takes_as_many_programs_as_it_may():
    """At a weight decay of 1e-7, where pulls come near their rounding."""
    rng = np.random.default_rng(3)
    data = Data(rng.normal(size=(5, 3)), rng.normal(size=5), 1e-7)
    best = best_by_width(data, 3, most=20)
    assert best.by.startswith("an interval")
    assert not exact(best)
    assert 0 <= best.lower_bound < best.value < 0.5 * float(data.y @ data.y)
    assert best.programs <= 20 + 4  # those of the first network and the first of all cells beyond


@pytest.mark.parametrize(
    "data",
    [
        Data(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 1.0], [-2.0, -2.0], [0.0, 0.0]]), np.ones(6), 0.05),
        Data(np.array([[1.0, 2.0], [2.0, 4.0], [-1.0, -2.0], [0.5, 1.0]]), np.array([1.0, -1.0, 2.0, 0.3]), 0.1),
    ],
    ids=["rows twice, opposite and zero", "one line"],
)
def test_least_losses_of_degenerate_data_are_those_of_all_sets(data):
    pairs = signed_cells.SignedCells.of(data, None)
    for width in (1, 2, 3):
        sets = itertools.combinations(range(len(pairs.signs)), min(width, len(pairs.signs)))
        truth = min(pairs.solve(members).value for members in sets)
        best = best_by_width(data, width)
        assert exact(best)
        assert best.lower_bound <= truth * (1 + 1e-12)
        assert best.value == pytest.approx(truth, rel=1e-10)


@pytest.mark.parametrize("seed", [2, 4])
def test_widths_below_the_least_optimal_one_are_exact_within_the_programs_of_a_label(seed):
    """Three and four dimensions, where the optimum of all cells lies far below; no set of cells comes lower."""
    rng = np.random.default_rng(seed)
    n, d, decay = int(rng.integers(6, 10)), int(rng.integers(3, 5)), float(rng.choice([0.03, 0.1, 0.3]))
    problem = empirical(rng.normal(size=(n, d)), rng.normal(size=n), 3, weight_decay=decay)
    best, pairs = best_of_width(problem), signed_cells.SignedCells.of(problem.data, None)
    assert best is not None
    assert exact(best)
    assert best.lower_bound > 1.01 * certified_optimum(problem).value
    for _ in range(100):
        members = tuple(rng.choice(len(pairs.signs), 3, replace=False).tolist())
        assert pairs.solve(members).value >= best.lower_bound


@pytest.mark.parametrize("unsolved", [1e-3, 0.5])
def test_a_program_that_is_not_solved_weakens_its_own_bound_alone(unsolved, monkeypatch):
    """Here the programs of all pairs of cells that are worse than the best pair by more than their residuals."""
    data = draw(5, 6, 2)
    true = best_by_width(data, 2)
    assert true.by == "branch and bound over cells"
    plain, spoilt = restricted, []

    def sometimes(*arguments):
        point = plain(*arguments)
        if len(arguments[2]) == 2 and point.value * (1 - unsolved) > true.value:
            spoilt.append(point.value)
            return point._replace(residual=unsolved)
        return point

    monkeypatch.setattr(signed_cells, "restricted", sometimes)
    best = best_by_width(data, 2)
    assert spoilt
    assert exact(best)
    assert best.value == true.value


def test_neurons_without_output_are_left_out():
    """Blocks outside their cells, as a program that is not solved can leave them."""
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    blocks = np.array([[-1.0, -1.0], [2.0, 0.0], [-2.0, -1.0]])
    point = Restricted(1.0, blocks, 0.0, np.zeros(2), np.zeros(2), 1.0)
    kept, signs, _ = irreducible(Data(x, np.ones(2), 0.1), point, np.array([1.0, -1.0, 1.0]))
    assert np.array_equal(kept, blocks[1:2])
    assert signs.tolist() == [-1.0]


def test_a_heavy_weight_decay_leaves_the_bias():
    data = draw(3, 5, 2, outer_bias="free", weight_decay=100.0)
    best = best_by_width(data, 2)
    assert len(best.outer) == 0
    assert best.b0 == pytest.approx(data.y.mean(), abs=1e-12)
    assert local_minima(data, 2).best == pytest.approx(best.value, rel=1e-12)
