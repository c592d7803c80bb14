"""From any network of n + 1 neurons the path runs to a global minimum, and the true loss never rises on it."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from landscape.problems.datafit import Data, objective
from landscape.records import InputError
from landscape.theory.convex.column_generation import optimum
from landscape.theory.convex.path import Path as WayPoints
from landscape.theory.convex.path import between, descending_path, verify

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name):
    record = json.loads((FIXTURES / f"{name}.json").read_text())
    return Data(np.array(record["X"]), np.array(record["y"]), record["beta"])


A, R = fixture("relu_A_n8_d2"), fixture("relu_R_n6_bias")
BEST = {id(data): optimum(data) for data in (A, R)}


def start(seed, m, d=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, d)), rng.normal(size=m)


def assert_descends(data, hidden, outer, best, b0=0.0):
    path = descending_path(data, hidden, outer, best, b0)
    seen = verify(data, path)
    # Rounding: the loss at the start is a sum of n + m (d + 1) terms, and each way-point is computed afresh.
    assert seen.relative_increase <= 1e-12
    np.testing.assert_array_equal(path.hidden[0], hidden)
    np.testing.assert_array_equal(path.outer[0], outer)
    assert path.loss[-1] <= best.value + 1e-12 * seen.loss[0]
    assert objective(data, path.hidden[-1], path.outer[-1], float(path.b0[-1])) == path.loss[-1]
    return path


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("data", "m"), [(A, 9), (R, 7)], ids=["A", "R"])
def test_random_starts_descend_to_the_optimum(data, m, seed):
    assert_descends(data, *start(seed, m), BEST[id(data)])


@pytest.mark.parametrize("outer_bias", ["none", "regularised", "free"])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("grid", [False, True])
def test_other_losses_biases_and_degenerate_data(loss, outer_bias, grid):
    rng = np.random.default_rng(7)
    x, y = rng.normal(size=(7, 3)), rng.normal(size=7)
    if grid:
        x, y = np.round(x), np.round(y)
    if loss == "logistic":
        y = np.where(np.arange(7) % 2, 1.0, -1.0)
    data = Data(x, y, 0.05, loss, outer_bias)
    best = optimum(data)
    b0 = 0.0 if outer_bias == "none" else 1.5
    for seed in range(3):
        hidden, outer = start(seed, 8 + seed, 3)
        path = assert_descends(data, hidden, outer, best, b0)
        assert path.b0[0] == b0


def test_unbalanced_zero_dead_and_equal_neurons():
    hidden, outer = start(1, 12)
    hidden[0], outer[1] = 0.0, 0.0  # without output: one half of the neuron is zero
    hidden[2], outer[2] = 0.0, 0.0
    hidden[4:7] = hidden[3] * np.array([[1.0], [2.0], [1e-3]])  # collinear
    outer[7] = 0.0
    hidden[8] *= 1e6  # far out of balance
    outer[8] *= 1e-6
    assert_descends(A, hidden, outer, BEST[id(A)])
    assert_descends(A, np.zeros((9, 2)), np.zeros(9), BEST[id(A)])
    assert_descends(A, np.repeat(hidden[3:4], 9, axis=0), np.ones(9), BEST[id(A)])  # rank one


def test_data_that_no_neuron_hears():
    data = Data(np.array([[1.0, 0.0], [1.0, 1.0]]), np.array([1.0, -1.0]), 0.05)
    hidden = np.tile([-1.0, 0.0], (3, 1)) * np.array([[1.0], [2.0], [3.0]])
    assert_descends(data, hidden, np.ones(3), optimum(data))


def test_a_path_to_the_empty_network():
    data = A._replace(weight_decay=100.0)
    path = assert_descends(data, *start(0, 9), optimum(data))
    assert not path.hidden[-1].any()
    assert not path.outer[-1].any()


def test_starting_at_the_optimum_the_path_stays_there():
    best = BEST[id(A)]
    hidden, outer = np.zeros((9, 2)), np.zeros(9)
    hidden[: len(best.outer)], outer[: len(best.outer)] = best.hidden, best.outer
    path = assert_descends(A, hidden, outer, best)
    np.testing.assert_allclose(path.loss, best.value, rtol=1e-13)


def test_the_path_is_continuous():
    """Between way-points it joins them, and small steps are small: square roots of weights at worst."""
    path = assert_descends(A, *start(3, 9), BEST[id(A)])
    for k in range(len(path.loss) - 1):
        for t, end in ((0.0, k), (1.0, k + 1)):
            hidden, outer, b0 = between(path, k, t)
            np.testing.assert_allclose(hidden, path.hidden[end], atol=1e-13)
            np.testing.assert_allclose(outer, path.outer[end], atol=1e-13)
            assert b0 == path.b0[end]
        points = [np.column_stack(between(path, k, t)[:2]) for t in np.linspace(0, 1, 501)]
        jump = max(np.abs(b - a).max() for a, b in pairwise(points))
        assert jump < 0.1 * (1 + np.abs(points).max())  # sqrt(1 / 500) = 0.045 of the size


def test_a_neuron_between_way_points_keeps_direction_and_sign_and_its_weight_runs_linearly():
    path = descending_path(A, *start(5, 9), BEST[id(A)])
    k = len(path.loss) - 2
    hidden, outer, _ = between(path, k, 0.25)
    ends = [np.linalg.norm(path.hidden[i], axis=1) * np.abs(path.outer[i]) for i in (k, k + 1)]
    weight = np.linalg.norm(hidden, axis=1) * np.abs(outer)
    np.testing.assert_allclose(weight, 0.75 * ends[0] + 0.25 * ends[1], atol=1e-14)
    for i in (k, k + 1):
        assert (np.einsum("md,md->m", hidden, path.hidden[i]) >= 0).all()
        assert (outer * path.outer[i] >= 0).all()


def test_verify_sees_a_rise():
    path = descending_path(A, *start(0, 9), BEST[id(A)])
    backwards = WayPoints(*(part[::-1] for part in path))
    seen = verify(A, backwards)
    np.testing.assert_allclose(seen.increase, path.loss[0] - path.loss[-1], rtol=1e-12)


def test_narrow_networks_and_wrong_shapes_are_declined():
    with pytest.raises(InputError, match="n \\+ 1 = 9"):
        descending_path(A, *start(0, 8), BEST[id(A)])
    with pytest.raises(InputError, match="hidden weights"):
        descending_path(A, np.zeros((9, 3)), np.zeros(9), BEST[id(A)])
    with pytest.raises(InputError, match="no outer bias"):
        descending_path(A, *start(0, 9), BEST[id(A)], b0=1.0)


@pytest.mark.slow
def test_two_hundred_starts_on_fixture_a():
    for seed in range(200):
        assert_descends(A, *start(seed, 9), BEST[id(A)])


@pytest.mark.parametrize("outer_bias", ["free", "regularised"])
@pytest.mark.parametrize("hidden", [np.zeros((4, 2)), -np.ones((4, 2))])
def test_where_no_neuron_is_heard_the_outer_bias_moves_alone(outer_bias, hidden):
    data = Data(np.array([[1.0, 2.0], [2.0, 1.0], [1.0, 1.0]]), np.array([1.0, 1.1, 0.9]), 1.0, "squared", outer_bias)
    best = optimum(data)
    path = descending_path(data, hidden, np.ones(4), best)
    np.testing.assert_allclose(path.loss[-1], best.value, atol=1e-14)
    assert verify(data, path).increase <= 1e-14
