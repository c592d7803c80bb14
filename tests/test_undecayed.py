"""The least squares loss of a width without weight decay: closed forms, turns of the data, ranks in doubt."""

import itertools

import numpy as np
import pytest

from landscape.problems.datafit import Data, objective
from landscape.theory.convex import undecayed
from landscape.theory.convex.branch_and_bound import exact


@pytest.mark.parametrize("labels", [[1.0, -1.0, 1.0, 1.0], [1.0, 1.0, -1.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
@pytest.mark.parametrize("outer_bias", ["none", "free"])
def test_without_weight_decay_the_least_loss_depends_on_the_row_space_alone(labels, outer_bias):
    """Rows on one line: all that a neuron's direction counts for is its side of the origin."""
    line = np.array([[1.0], [2.0], [-1.0], [3.0]])
    y = np.array(labels)
    ones = [] if outer_bias == "none" else [np.ones(4)]
    sides = [np.maximum(line[:, 0], 0.0), np.maximum(-line[:, 0], 0.0)]
    flat, plane = Data(line, y, 0.0, "squared", outer_bias), Data(line * [1.0, 2.0], y, 0.0, "squared", outer_bias)
    for width in (1, 2, 3):
        # A neuron of either sign for each side is least squares; width 1 takes one of them.
        truth = min(
            float(np.sum((y - a @ np.linalg.lstsq(a, y, rcond=None)[0]) ** 2)) / 2
            for a in (np.column_stack([*some, *ones]) for some in itertools.combinations(sides, min(width, 2)))
        )
        for data in (flat, plane):
            best = undecayed.best(data, width)
            assert best.value == pytest.approx(truth, abs=1e-12)  # 1e4 roundings of |y|^2
            assert best.value - 1e-12 <= best.lower_bound <= truth + 1e-14
            assert objective(data, best.hidden, best.outer, best.b0) == best.value


@pytest.mark.parametrize("seed", range(12))
def test_without_weight_decay_a_turn_into_more_dimensions_changes_nothing(seed):
    """x and x q have the same networks for q with independent rows, of any scale."""
    rng = np.random.default_rng(seed)
    n, r = 4, 1 + seed % 3
    x, q, y = rng.normal(size=(n, r)), rng.normal(size=(r, 4)) * 10.0 ** rng.integers(-3, 4, size=4), rng.normal(size=n)
    narrow, wide = undecayed.best(Data(x, y, 0.0), 2), undecayed.best(Data(x @ q, y, 0.0), 2)
    assert wide.value == pytest.approx(narrow.value, abs=1e-10)  # x @ q is rounded, and a ray may be badly conditioned
    assert narrow.lower_bound <= narrow.value <= narrow.lower_bound + 1e-11


@pytest.mark.parametrize(("outer_bias", "least"), [("none", 2.5), ("free", 0.25)])
def test_without_weight_decay_and_inputs_that_are_zero_only_the_bias_is_left(outer_bias, least):
    best = undecayed.best(Data(np.zeros((2, 2)), np.array([1.0, 2.0]), 0.0, "squared", outer_bias), 2)
    assert (best.value, len(best.outer)) == (pytest.approx(least, abs=1e-14), 0)
    assert least - 1e-13 <= best.lower_bound <= least + 1e-14


def test_without_weight_decay_rows_that_are_nearly_dependent_leave_an_interval():
    """Between 1e-13 and 1e-8 nobody knows whether a third cell is there or rounding."""
    x = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-11], [2.0, 2.0]])
    assert undecayed.best(Data(x, np.array([1.0, -1.0, 0.5]), 0.0), 1).lower_bound == 0.0


def test_without_weight_decay_the_bound_is_as_sharp_as_the_rays_in_use():
    """Of 56 sets of rays some are badly conditioned; the networks that count do not point along those."""
    rng = np.random.default_rng(0)
    data = Data(rng.normal(size=(8, 3)), rng.normal(size=8), 0.0)
    assert exact(undecayed.best(data, 1))
