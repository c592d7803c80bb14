"""Parallel homogeneous networks: values, derivatives and rounding bounds are what the formulas say."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import mostly_slow

import landscape as ls
from landscape.problems.parallel import matrix_factorisation, outputs_at, parallel, parts_at
from landscape.problems.problem import QUICK, losses_at
from landscape.problems.subnetwork import Subnetwork

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=7)
SIGNS = np.where(RNG.normal(size=(7, 2)) < 0, -1.0, 1.0)


def _loss(problem, theta):
    with jax.enable_x64(True):
        return float(losses_at(problem, jnp.asarray(theta)[None])[0])


def _random(problem, seed=0):
    return np.random.default_rng(seed).normal(size=problem.p)


def test_matrix_factorisation_is_a_product_with_half_the_squares():
    y = RNG.normal(size=(4, 3))
    problem = matrix_factorisation(y, 2, 0.7)
    u, v = RNG.normal(size=(2, 4)), RNG.normal(size=(2, 3))
    theta = problem.write((u, v))
    expected = 0.5 * np.sum((u.T @ v - y) ** 2) + 0.35 * (np.sum(u * u) + np.sum(v * v))
    assert _loss(problem, theta) == pytest.approx(expected, rel=1e-14)
    again = problem.read(theta)
    np.testing.assert_array_equal(again[0], u)
    np.testing.assert_array_equal(again[1], v)


def test_quadratic_and_deep_networks_are_their_formulas():
    problem = parallel(X, Y, 2, "quadratic", 0.3)
    w, a = RNG.normal(size=(2, 3)), RNG.normal(size=2)
    f = ((X @ w.T) ** 2) @ a
    g = 2 / 3 * np.sum(np.linalg.norm(w, axis=1) ** 3) + np.sum(np.abs(a) ** 3) / 3
    assert _loss(problem, problem.write((w, a))) == pytest.approx(0.5 * np.sum((f - Y) ** 2) + 0.3 * g, rel=1e-14)
    deep = parallel(X, SIGNS, 1, "deep_relu", 0.2, loss="logistic", hidden=4)
    v, w, a = RNG.normal(size=(1, 3, 4)), RNG.normal(size=(1, 4)), RNG.normal(size=(1, 2))
    f = np.maximum(np.maximum(X @ v[0], 0) @ w[0], 0)[:, None] * a
    g = sum(np.linalg.norm(part) ** 3 for part in (v, w, a)) / 3
    expected = np.sum(np.logaddexp(0, -SIGNS * f)) + 0.2 * g
    assert _loss(deep, deep.write((v, w, a))) == pytest.approx(expected, rel=1e-14)


def test_relu_with_one_output_is_refused_for_empirical_and_with_several_is_the_sum_over_them():
    with pytest.raises(ls.InputError, match="empirical"):
        parallel(X, Y, 2, "relu", 0.1)
    y = np.stack([Y, -2 * Y], axis=1)
    problem = parallel(X, y, 3, "relu", 0.1)
    w, a = RNG.normal(size=(3, 3)), RNG.normal(size=(3, 2))
    expected = sum(0.5 * np.sum((np.maximum(X @ w.T, 0) @ a[:, c] - y[:, c]) ** 2) for c in range(2)) + 0.05 * (
        np.sum(w * w) + np.sum(a * a)
    )
    assert _loss(problem, problem.write((w, a))) == pytest.approx(expected, rel=1e-14)


PROBLEMS = {
    "matrix": lambda: matrix_factorisation(RNG.normal(size=(4, 3)), 2, 0.7),
    "quadratic": lambda: parallel(X, Y, 2, "quadratic", 0.3),
    "quadratic, two outputs, logistic": lambda: parallel(X, SIGNS, 2, "quadratic", 0.3, loss="logistic"),
    "relu, two outputs": lambda: parallel(X, SIGNS, 2, "relu", 0.3),
    "deep": lambda: parallel(X, Y, 2, "deep_relu", 0.3),
}


@partial(jax.jit, compiler_options=QUICK)
def _derivatives(problem, theta, around):
    return problem.gradient(theta), problem.gradients(around), problem.hessian(theta)


@pytest.mark.parametrize("name", mostly_slow(PROBLEMS, "matrix"))
def test_gradients_and_hessians_are_differences_of_the_level_below(name):
    problem = PROBLEMS[name]()
    theta, h = _random(problem), 1e-6
    steps = h * np.eye(problem.p)
    with jax.enable_x64(True):
        around = jnp.asarray(np.concatenate([theta + steps, theta - steps]))
        losses = np.asarray(losses_at(problem, around))
        found = _derivatives(problem, jnp.asarray(theta), around)
        gradient, gradients, hessian = (np.asarray(x) for x in found)
    p = problem.p
    size = 1 + np.max(np.abs(hessian))
    # Central differences: h^2 of the next derivative and eps / h of rounding, both below 1e-8 of the size.
    np.testing.assert_allclose((losses[:p] - losses[p:]) / (2 * h), gradient, atol=1e-7 * size)
    np.testing.assert_allclose((gradients[:p] - gradients[p:]) / (2 * h), hessian, atol=1e-7 * size)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_rounding_bound_of_a_loss_covers_sums_in_another_order(name):
    problem = PROBLEMS[name]()
    theta = _random(problem)
    w = theta.reshape(problem.width, -1)
    # The same sums in another order round otherwise.
    other = _loss(problem, w[::-1].reshape(-1))
    error = problem.loss_error(theta)
    assert abs(_loss(problem, theta) - other) <= 2 * error
    assert error < 1e-11 * _loss(problem, theta)


def _own(output, penalty, degree, penalty_degree=None):
    return Subnetwork("own", lambda key: jax.random.normal(key, (3,)), output, penalty, degree, penalty_degree)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parallel(X, Y[:3], 1, "quadratic", 0.1), "y must be"),
        (lambda: parallel(X, Y, 1, "quadratic", 0.0), "positive number"),
        (lambda: parallel(X, Y, 1, "cubic", 0.1), "unknown"),
        (lambda: parallel(X, Y, 1, "quadratic", 0.1, loss="logistic"), "labels"),
        (lambda: matrix_factorisation([1.0, 2.0], 1, 0.1), "matrix"),
        (lambda: parallel(X, Y, 0, "quadratic", 0.1), "width"),
        (lambda: parallel(X, Y, 1, _own(lambda w, x: w, lambda w: jnp.sum(w * w), 1.0, 2.0), 0.1), "shape"),
        (lambda: parallel(X, Y, 1, _own(lambda w, x: x @ w, lambda w: -jnp.sum(w * w), 1.0, 2.0), 0.1), "positive"),
        (lambda: parallel(X, Y, 1, _own(lambda w, x: x @ w[:2], lambda w: jnp.sum(w), 1.0), 0.1), "raised"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(make, message):
    with pytest.raises(ls.InputError, match=message):
        make()


def test_weights_of_another_structure_are_refused():
    problem = parallel(X, Y, 2, "quadratic", 0.3)
    with pytest.raises(ls.InputError, match="width first"):
        problem.write((np.ones((3, 3)), np.ones(3)))
    with pytest.raises(ls.InputError, match="init of the subnetwork"):
        problem.write([np.ones((2, 3))])


def test_the_canonical_order_forgets_permutations_and_free_signs():
    problem = parallel(X, Y, 3, "quadratic", 0.3)
    theta = _random(problem)
    w = theta.reshape(3, -1).copy()
    w[1, :-1] *= -1
    np.testing.assert_array_equal(problem.canonical(theta), problem.canonical(w[[2, 0, 1]].reshape(-1)))
    assert _loss(problem, problem.canonical(theta)) == pytest.approx(_loss(problem, theta), rel=1e-14)


def test_zero_subnetworks_add_nothing():
    problem = parallel(X, Y, 2, "deep_relu", 0.3)
    theta = _random(problem)
    wide = np.concatenate([theta, np.zeros(problem.q)])
    assert _loss(problem.of_width(3), wide) == pytest.approx(_loss(problem, theta), rel=1e-15)
    f, g = parts_at(problem.of_width(3), wide)
    assert np.all(f[2] == 0)
    assert g[2] == 0
    np.testing.assert_allclose(outputs_at(problem, theta), f.sum(axis=0))


@pytest.mark.parametrize("init", ["xavier", "he", "gaussian", "sphere"])
def test_starts_are_random_and_of_the_asked_kind(init):
    problem = parallel(X, Y, 3, "quadratic", 0.3)
    starts = ls.start_points(problem, 0, np.arange(2), init, 0.5)
    assert starts.shape == (2, problem.p)
    assert not np.allclose(starts[0], starts[1])
    if init == "sphere":
        np.testing.assert_allclose(np.linalg.norm(starts.reshape(6, -1), axis=1), 0.5)
