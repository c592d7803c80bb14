"""Ways between networks are bounded between the way-points, and the path of the theorem never rises."""

from __future__ import annotations

import numpy as np
import pytest
from finite_data import fixture
from slow import long, slow

import landscape as ls
from landscape.precision import float64
from landscape.problems.restart import start_points
from landscape.theory.spurious_valleys.path import path_to_the_least_loss
from landscape.theory.spurious_valleys.segments import highest, loss_at, verify
from landscape.theory.wide_enough import least_of_span

VENTURI = fixture("venturi_valley_p2")


def _data(seed, n=6, d=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=n)


@pytest.mark.parametrize("loss", ["squared", "logistic", long("huber")])
@pytest.mark.parametrize("decay", [slow(0.0), 0.3])
@pytest.mark.parametrize("activation", ["relu", slow("leaky_relu"), "abs"])
def test_no_sampled_loss_is_above_the_bound_and_the_bound_is_near(loss, decay, activation):
    for seed in range(6):
        x, y = _data(seed)
        y = np.sign(y) if loss == "logistic" else y
        bias = "free" if seed % 2 else "none"
        problem = ls.empirical(x, y, 3, activation, loss=loss, weight_decay=decay, outer_bias=bias)
        ends = np.random.default_rng(seed + 50).normal(size=(2, problem.p))
        t = np.linspace(0, 1, 4001)[:, None]
        sampled = np.array([loss_at(problem, theta) for theta in ends[0] + t * (ends[1] - ends[0])])
        bound = highest(problem, *ends)
        assert bound >= sampled.max()
        assert bound <= sampled.max() + 1e-2 * np.ptp(sampled)  # 64 pieces: (1/64)^2 of second differences


def test_the_loss_on_the_host_is_that_of_the_problem():
    x, y = _data(3)
    problem = ls.empirical(x, y, 3, "gelu", weight_decay=0.2, outer_bias="regularised")
    theta = np.random.default_rng(0).normal(size=problem.p)
    with float64():
        assert loss_at(problem, theta) == pytest.approx(float(problem.loss(theta)), rel=1e-14)


def test_a_way_of_a_smooth_network_is_bounded_only_where_theory_does_it():
    x, y = _data(0)
    problem = ls.empirical(x, y, 3, "tanh")
    start = np.random.default_rng(0).normal(size=problem.p)
    outer, both = start.copy(), start.copy()
    outer[-3:] += 1.0
    both[:] += 1.0
    assert highest(problem, start, outer) == pytest.approx(max(loss_at(problem, start), loss_at(problem, outer)))
    with pytest.raises(ls.InputError, match="hidden weights of tanh move nothing bounds the loss"):
        highest(problem, start, both)
    silent = start.copy()
    silent[-3] = 0.0
    turned = silent.copy()
    turned[:2] = 7.0
    assert highest(problem, silent, turned) == pytest.approx(loss_at(problem, silent), abs=1e-12)


@pytest.mark.parametrize("loss", ["squared", "logistic", long("huber")])
@pytest.mark.parametrize("activation", ["relu", long("abs"), "tanh", slow("softplus"), "quadratic", "linear"])
@pytest.mark.parametrize("outer_bias", ["none", "free"])
def test_the_path_of_the_theorem_never_rises_and_ends_at_the_least_loss(loss, activation, outer_bias):
    for seed in range(4):
        x, y = _data(seed, 5)
        x[4] = -x[3]  # dimensions below the number of rows
        y = np.sign(y) if loss == "logistic" else y
        problem = ls.empirical(x, y, 5, activation, loss=loss, outer_bias=outer_bias)
        theta = start_points(problem, seed, np.array([0]), "he")[0]
        if seed == 0:
            theta[: 5 * 2] = -1.0  # five equal neurons
        if seed == 1:
            theta[:] = 0.0
        points = path_to_the_least_loss(problem, theta)
        np.testing.assert_array_equal(points[0], theta)
        found = verify(problem, points)
        # Outer weights of up to 1e7 where features are nearly dependent lose as many of sixteen digits.
        assert found.rise <= 1e-8 * max(1.0, found.loss[0])
        span = least_of_span(problem)
        if span is not None:
            assert found.loss[-1] == pytest.approx(span.value, abs=1e-8)


def test_the_path_leads_out_of_the_published_valley_once_the_network_is_wide_enough():
    """Two neurons are caught at 9/2, below a wall of 31/6; seven of the same outputs are not."""
    problem = ls.empirical(VENTURI["X"], VENTURI["y"], 7)
    hidden = np.concatenate([VENTURI["bad_W"], np.zeros((5, 3))])
    theta = problem.write(ls.Params(hidden, np.array([1.0, 1.0, 0, 0, 0, 0, 0])))
    found = verify(problem, path_to_the_least_loss(problem, theta))
    assert found.loss[0] == 4.5
    assert found.highest <= 4.5 + 1e-9
    assert found.loss[-1] <= 1e-9


def test_the_path_is_refused_where_a_hypothesis_fails():
    for problem, words in (
        (ls.empirical(VENTURI["X"], VENTURI["y"], 6), "width 6 is below the intrinsic dimension 7"),
        (ls.empirical(VENTURI["X"], VENTURI["y"], 8, weight_decay=0.1), "without weight decay only"),
    ):
        with pytest.raises(ls.InputError, match=words):
            path_to_the_least_loss(problem, np.zeros(problem.p))
    with pytest.raises(ls.InputError, match="way-points must be of shape"):
        verify(problem, np.zeros((1, problem.p)))
