"""What must never be claimed: of losses lost in rounding, of points beside the exact one, in other units."""

import numpy as np
import pytest
from finite_data import A, fixture
from finite_networks import finished, problem_of, theta_of

import landscape as ls
from landscape.problems.empirical import empirical
from landscape.records import Label
from landscape.theory.convex import labels
from landscape.theory.convex.forward_pass import forward, independent
from landscape.theory.convex.labels import label
from landscape.theory.convex.least_loss import best_of_width, certified_optimum


def test_logistic_loss_without_weight_decay_has_no_global_minimum():
    problem = empirical([[1.0], [-1.0]], [1.0, -1.0], 2, loss="logistic")
    for size in (1.0, 5.0, 6.0, 30.0):  # losses down to exp(-900), far below rounding of one
        theta = theta_of(problem, [[size], [-size]], [size, -size])
        assert label(problem, theta).label in (Label.UNCONVERGED, Label.UNDECIDED)


def test_a_loss_lost_in_rounding_is_not_global():
    """Weights of 1e15 that cancel: the loss is known to no digit."""
    problem = empirical([[1.0], [2.0]], [1.0, -1.0], 2)
    theta = theta_of(problem, [[1e15], [1e15]], [1.0, -1.0])
    verdict = label(problem, theta)
    assert verdict.loss_error is not None
    assert verdict.loss_error > 1.0
    assert verdict.label in (Label.UNDECIDED, Label.UNCONVERGED)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e3])
def test_labels_do_not_depend_on_the_units_of_the_data(size):
    """x -> size x and beta -> size beta, or y -> size y and beta -> size beta, maps stationary points to such."""
    for k in (0, 1, 5):
        point = A["stationary_points"][k]
        small = problem_of(A, point["k"])
        theta = finished(small, point["W"], point["a"])
        expected = label(small, theta)
        x, y = np.array(A["X"]), np.array(A["y"])
        for problem, factor in (
            (empirical(size * x, y, point["k"], weight_decay=size * A["beta"]), size**-0.5),
            (empirical(x, size * y, point["k"], weight_decay=size * A["beta"]), size**0.5),
        ):
            verdict = label(problem, factor * theta)
            assert (verdict.label, verdict.flavour) == (expected.label, expected.flavour)
            wide = empirical(problem.x, problem.y, point["k"] + 1, weight_decay=problem.weight_decay)
            w, a = factor * theta[: 2 * point["k"]].reshape(-1, 2), factor * theta[2 * point["k"] :]
            assert label(wide, theta_of(wide, w, a)).label == (Label.GLOBAL if k == 0 else Label.SADDLE)


def test_a_free_outer_bias_takes_up_what_neurons_share_with_a_constant():
    """Neurons for x > 0 and for x < 0 with outputs that add up to a constant: flat, though their atoms are apart."""
    problem = empirical([[1.0], [-1.0]], [1.0, 1.0], 2, weight_decay=0.1, outer_bias="free")
    theta = theta_of(problem, [[0.5], [-0.5]], [0.5, 0.5], 0.0)
    assert independent(problem, forward(problem, theta)) is False
    plain = empirical([[1.0], [-1.0]], [1.0, 1.0], 2, weight_decay=0.1)
    assert independent(plain, forward(plain, theta[:-1])) is True


@pytest.mark.parametrize("decimals", range(6, 14))
def test_a_global_minimum_in_so_many_decimals_is_never_spurious(decimals):
    problem = problem_of(fixture("relu_A_n8_d2"), 4)
    best = certified_optimum(problem)
    theta = np.round(theta_of(problem, best.hidden, best.outer), decimals)
    verdict = ls.label(problem, problem.read(theta))
    at = verdict if verdict.label == Label.GLOBAL else verdict.polished
    assert verdict.label in (Label.GLOBAL, Label.UNCONVERGED)
    assert at.label == Label.GLOBAL
    assert at.flavour is None


def test_the_best_network_of_its_width_in_some_decimals_is_never_spurious():
    problem = problem_of(fixture("relu_A_n8_d2"), 3)
    best = best_of_width(problem)
    for digits in (8, 10, 12):
        verdict = ls.label(problem, problem.read(np.round(theta_of(problem, best.hidden, best.outer), digits)))
        at = verdict if verdict.label == Label.GLOBAL else verdict.polished
        assert verdict.label in (Label.GLOBAL, Label.UNCONVERGED)
        assert (at.label, at.flavour) == (Label.GLOBAL, "for this width")


def test_free_biases_have_no_part_in_the_rounding_of_weight_decay():
    x, y = np.array([[1e3], [-1e3]]), np.array([1000.1, 999.9])
    problem = empirical(x, y, 1, weight_decay=1e8, outer_bias="free")
    assert label(problem, np.array([0.0, 0.0, 1000.0])).label == Label.GLOBAL
    for off in (1e-4, 1e-2):
        assert label(problem, np.array([0.0, 0.0, 1000.0 + off])).label == Label.UNCONVERGED
    houses = np.array([[1200.0, 3], [800, 2], [2000, 4], [1500, 3], [950, 1]])
    prices = np.array([310000.0, 205000, 480000, 395000, 220000])
    problem = empirical(houses, prices, 1, weight_decay=1e9, outer_bias="free")
    assert label(problem, np.array([0.0, 0, 0, np.mean(prices)])).label == Label.GLOBAL


def test_labels_that_are_zero_leave_tiny_networks_known():
    problem = empirical([[1.0, 2.0], [-1.0, 1.0], [0.5, 0.0]], [0.0, 0.0, 0.0], 2, weight_decay=0.1)
    verdict = ls.label(problem, problem.read(1e-7 * np.arange(1.0, 7.0)))
    assert verdict.label == Label.UNCONVERGED
    assert verdict.polished.label == Label.GLOBAL


def test_no_label_ends_in_a_linear_algebra_error_at_small_weight_decays():
    problem = empirical(
        np.ones((6, 1)), [-1, 1, 1, -1, -1, -1], 1, loss="logistic", weight_decay=1e-4, bias="regularised",
        outer_bias="regularised",
    )  # fmt: skip
    assert ls.label(problem, problem.read(np.array([1.178, 1.35, -0.38, -1.18]))).label == Label.UNCONVERGED
    rng = np.random.default_rng(2)
    for k in range(6):
        x, y = rng.normal(size=(5, 3)), rng.normal(size=5)
        problem = empirical(x, y, 2, weight_decay=10.0 ** -(4 + k % 3))
        assert isinstance(ls.label(problem, problem.read(rng.normal(size=problem.p))).label, str)


def test_ties_of_large_data_are_told_by_a_program_in_units_of_its_own():
    x = 100.0 * np.array([[0, -2], [-2, 1], [1, 0], [1, 2], [0, 1], [0, 2]])
    problem = empirical(x, [2e6, -1e6, 1e6, 2e6, -1e6, 1e6], 2, weight_decay=2449.489742783178, bias="regularised")
    for seed in range(12):
        theta = problem.scale * np.random.default_rng(seed).normal(size=problem.p)
        assert ls.label(problem, problem.read(theta)).label == Label.UNCONVERGED


def test_an_open_optimum_does_not_hide_a_point_that_its_own_bound_shows_to_be_global(monkeypatch):
    problem = problem_of(fixture("relu_A_n8_d2"), 6)
    best = certified_optimum(problem)
    open_ = best._replace(lower_bound=best.lower_bound * (1 - 1e-6), gap=1e-6 * best.value)
    monkeypatch.setattr(labels, "certified_optimum", lambda problem: open_)
    theta = theta_of(problem, best.hidden, best.outer)
    assert label(problem, theta).label == Label.GLOBAL
