"""The least loss of a width by branch and bound: the enumeration's, and an interval that holds it wherever it stops."""

import numpy as np
import pytest
from finite_data import CASES, draw, fixture_and_data, minima_of_a

from landscape.problems.datafit import Data, objective
from landscape.theory.convex import branch_and_bound, signed_cells
from landscape.theory.convex.branch_and_bound import best_by_width, exact
from landscape.theory.convex.cone_program import Restricted
from landscape.theory.convex.irreducible import irreducible
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
@pytest.mark.parametrize("sets", [0, branch_and_bound.SETS])
def test_bounds_of_a_search_hold_wherever_it_stops(data, sets):
    """By branch and bound and by enumeration, from no programs at all to enough of them."""
    truth = local_minima(data, 2).best
    for most in (0, 1, 4, 40, 4000):
        best = best_by_width(data, 2, most=most, sets=sets)
        assert best.lower_bound <= truth * (1 + 1e-12)
        assert best.value >= truth * (1 - 1e-12)
        assert best.value == objective(data, best.hidden, best.outer, best.b0)
        assert len(best.outer) <= 2
        assert exact(best) or best.by.startswith("an interval")
    assert exact(best)
    assert best.value - best.lower_bound <= 1.1e-10 * best.value  # where nodes are dropped
    assert ("enumeration" in best.by) == (sets > 0) or best.by.startswith("p*")


def test_width_one_takes_a_program_for_each_signed_cell():
    """256 cells in four dimensions, where branch and bound does not come to an end."""
    rng = np.random.default_rng(0)
    data = Data(np.column_stack([rng.normal(size=(8, 3)), np.ones(8)]), rng.normal(size=8), 0.3)
    best, minima = best_by_width(data, 1, most=100), local_minima(data, 1)
    assert exact(best)
    assert best.value == pytest.approx(minima.best, rel=1e-12)
    assert best.lower_bound <= minima.best <= best.value * (1 + 1e-12)
    assert best.programs <= 300


def test_a_search_takes_as_many_programs_as_it_may(monkeypatch):
    """At a weight decay of 1e-7 pulls are rounding beside it, and programs do not converge."""
    rng = np.random.default_rng(3)
    data = Data(rng.normal(size=(5, 3)), rng.normal(size=5), 1e-7)
    best = best_by_width(data, 3, most=60)
    assert best.by.startswith("an interval")
    assert not exact(best)
    assert 0 <= best.lower_bound < best.value < 0.5 * float(data.y @ data.y)
    assert best.programs <= 60 + 8  # those of the first network and the last node beyond


@pytest.mark.parametrize("unsolved", [1e-3, 0.5])
def test_a_program_that_is_not_solved_weakens_its_own_bound_alone(unsolved, monkeypatch):
    """Here the programs of all pairs of cells that are worse than the best pair by more than their residuals."""
    data = draw(5, 6, 2)
    true = best_by_width(data, 2)
    assert true.by == "enumeration of sets of cells"
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
