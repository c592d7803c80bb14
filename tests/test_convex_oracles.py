"""The oracles against routes that share no code with them: smooth descent on the networks themselves, dual feasibility
on a grid, closed forms, and each other."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from landscape.problems.datafit import Data, objective
from landscape.records import InputError
from landscape.theory.arrangement.cells import cells
from landscape.theory.convex.branch_and_bound import best_by_width
from landscape.theory.convex.oracles import (
    gated_relaxation,
    lasso_1d,
    polynomial_activation,
    quadratic_activation,
    whitened,
)

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name):
    record = json.loads((FIXTURES / f"{name}.json").read_text())
    return Data(np.array(record["X"]), np.array(record["y"]), record["beta"]), record


def descents(loss, size, starts, seed=0):
    """Values that BFGS reaches from normal starts; smooth losses only."""
    slope = jax.jit(jax.value_and_grad(loss))

    def both(theta):
        value, gradient = slope(theta)
        return float(value), np.asarray(gradient)

    rng = np.random.default_rng(seed)
    options = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7}
    return np.array([
        minimize(both, rng.normal(size=size), jac=True, method="L-BFGS-B", options=options).fun for _ in range(starts)
    ])  # fmt: skip


# --- gated ReLU ---


@pytest.mark.parametrize("name", ["relu_A_n8_d2", "relu_R_n6_bias"])
def test_gated_relaxation_of_the_published_data(name):
    data, record = fixture(name)
    gated = gated_relaxation(data, cells(data.x).patterns)
    assert abs(gated.value - record["gated_all_patterns"]) < 1e-9
    assert 0 <= gated.value - gated.lower_bound < 1e-11
    assert gated.lower_bound < record["p_star"]


@pytest.mark.parametrize(("loss", "bias"), [("squared", "none"), ("squared", "free"), ("logistic", "regularised")])
def test_gated_networks_reach_the_relaxation_and_go_no_lower(loss, bias):
    data, _ = fixture("relu_A_n8_d2")
    data = data._replace(loss=loss, outer_bias=bias, y=np.sign(data.y) if loss == "logistic" else data.y)
    gates = cells(data.x).patterns[::3]  # some gates define a gated problem of their own
    gated = gated_relaxation(data, gates)
    assert 0 <= gated.value - gated.lower_bound < 1e-10
    x, y, masks, (q, d) = jnp.asarray(data.x), jnp.asarray(data.y), jnp.asarray(gates), (len(gates), data.x.shape[1])

    def trained(theta):
        w, a, b0 = theta[: q * d].reshape(q, d), theta[q * d : -1], theta[-1]
        f = jnp.sum(a[:, None] * masks * (w @ x.T), axis=0) + (0.0 if bias == "none" else b0)
        paid = jnp.sum(w**2) + jnp.sum(a**2) + (b0**2 if bias == "regularised" else 0.0)
        cost = 0.5 * jnp.sum((f - y) ** 2) if loss == "squared" else jnp.sum(jnp.logaddexp(0.0, -y * f))
        return cost + 0.5 * data.weight_decay * paid

    reached = descents(trained, q * d + q + 1, 4)
    assert reached.min() >= gated.lower_bound
    # Gated networks of one neuron a gate have saddles at zero neurons only; BFGS stops at 1e-7 of the best of them.
    assert reached.min() < gated.value + 1e-6


def test_gated_relaxation_with_a_free_bias_and_logistic_loss_is_certified():
    data, _ = fixture("relu_A_n8_d2")
    data = data._replace(loss="logistic", outer_bias="free", y=np.sign(data.y))
    gated = gated_relaxation(data, cells(data.x).patterns)
    assert 0 <= gated.value - gated.lower_bound < 1e-10
    assert gated.lower_bound <= best_by_width(data, 1).value


def test_gates_that_do_not_fit_are_refused():
    data, _ = fixture("relu_A_n8_d2")
    with pytest.raises(InputError, match="bool array"):
        gated_relaxation(data, np.ones((2, 3), bool))
    with pytest.raises(InputError, match="weight decay"):
        gated_relaxation(data._replace(weight_decay=0.0), np.ones((2, 8), bool))


# --- one dimension ---


def one_dimensional(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    return x, np.sin(3 * x) + 0.1 * rng.normal(size=n)


def loss_1d(x, y, weight_decay, slopes, biases, outer, b0):
    f = np.maximum(np.outer(x, slopes) + biases, 0.0) @ outer + b0
    return 0.5 * np.sum((f - y) ** 2) + 0.5 * weight_decay * (np.sum(slopes**2) + np.sum(outer**2))


@pytest.mark.parametrize(("n", "seed"), [(5, 0), (12, 1), (30, 2)])
def test_lasso_is_optimal_over_all_biases(n, seed):
    x, y = one_dimensional(n, seed)
    fit = lasso_1d(x, y, 0.1)
    assert 0 <= fit.value - fit.lower_bound < 1e-10
    assert loss_1d(x, y, 0.1, fit.slopes, fit.biases, fit.outer, fit.b0) == pytest.approx(fit.value, abs=1e-13)
    nu = y - np.maximum(np.outer(x, fit.slopes) + fit.biases, 0.0) @ fit.outer - fit.b0
    # Dual feasibility for every neuron, not for those with a kink on the data only.
    kinks = np.linspace(x.min() - 1, x.max() + 1, 4001)
    for sign in (1.0, -1.0):
        pull = np.maximum(sign * (x - kinks[:, None]), 0.0) @ nu
        assert np.max(np.abs(pull)) <= 0.1 * (1 + 1e-8)
    assert np.allclose(np.abs(fit.slopes), np.abs(fit.outer))


def test_no_descent_goes_below_the_lasso():
    x, y = one_dimensional(8, 3)
    fit = lasso_1d(x, y, 0.1)
    at, target, width = jnp.asarray(x), jnp.asarray(y), 8

    def trained(theta):
        w, b, a = theta[:width], theta[width : 2 * width], theta[2 * width : -1]
        f = jax.nn.relu(at[:, None] * w + b) @ a + theta[-1]
        return 0.5 * jnp.sum((f - target) ** 2) + 0.05 * (jnp.sum(w**2) + jnp.sum(a**2))

    reached = descents(trained, 3 * width + 1, 3)
    assert reached.min() >= fit.lower_bound
    assert reached.min() < fit.value * 1.1  # kinks stop BFGS short, but not far off


def test_lasso_without_an_outer_bias_is_approached_and_not_reached():
    x, y = one_dimensional(8, 3)
    fit = lasso_1d(x, y, 0.1)
    excess = []
    for size in (1e-2, 1e-3):
        # A neuron a = w = size, b = b0 / size stands for the outer bias: b0 + size^2 x on the data.
        neuron = np.sign(fit.b0) * size, abs(fit.b0) / size, size
        outer, biases, slopes = (
            np.append(v, t) for v, t in zip((fit.outer, fit.biases, fit.slopes), neuron, strict=True)
        )
        excess.append(loss_1d(x, y, 0.1, slopes, biases, outer, 0.0) - fit.value)
    assert excess[0] > excess[1] > 0
    assert excess[1] < 1e-5


def test_lasso_at_its_edges():
    x, y = one_dimensional(8, 3)
    constant = lasso_1d(x, y, 1e3)
    assert len(constant.outer) == 0
    assert constant.value == pytest.approx(0.5 * np.sum((y - y.mean()) ** 2), rel=1e-12)
    # Two points on one another act as one of twice the weight; here both with the same label.
    doubled, alone = lasso_1d(np.repeat(x, 2), np.repeat(y, 2), 0.2), lasso_1d(x, y, 0.1)
    assert doubled.value == pytest.approx(2 * alone.value, rel=1e-9)
    single = lasso_1d(np.zeros(3), np.array([1.0, 2.0, 6.0]), 0.1)
    assert single.value == pytest.approx(7.0, rel=1e-12)
    # Two coefficients that change sign together on the way.
    x = np.array([-3.0, -2, -1, 0, 1, 3]).repeat([4, 1, 3, 5, 5, 3])
    y = np.array([-2.0, -2, 0, 0, -2, -1, 0, 0, -2, -2, -1, 0, 1, -1, 0, 1, 1, 1, -2, 0, 2])
    grid = lasso_1d(x, y, 1.0)
    assert 0 <= grid.value - grid.lower_bound < 1e-10
    with pytest.raises(InputError, match="one length"):
        lasso_1d(x, y[:-1], 0.1)
    with pytest.raises(InputError, match="weight decay"):
        lasso_1d(x, y, 0.0)


# --- orthonormal rows ---


def test_whitened_closed_form_of_the_published_data():
    data, record = fixture("orthonormal_closed_form")
    best = whitened(data)
    assert best.value == pytest.approx(record["p_star"], abs=1e-13)
    assert 0 <= best.value - best.lower_bound < 1e-11
    assert len(best.outer) == record["m_star"]
    assert objective(data, best.hidden, best.outer) == best.value


@pytest.mark.parametrize(("seed", "weight_decay"), [(0, 0.3), (1, 0.05), (2, 1.5)])
def test_whitened_closed_form_is_the_convex_optimum(seed, weight_decay):
    rng = np.random.default_rng(seed)
    x = np.linalg.qr(rng.normal(size=(4, 3)))[0].T  # three orthonormal rows in four dimensions
    data = Data(x, rng.normal(size=3), weight_decay)
    closed = whitened(data)
    convex = best_by_width(data, 3)
    assert abs(closed.value - convex.value) < 1e-9 * (1 + closed.value)
    assert closed.value - closed.lower_bound < 1e-11
    assert len(closed.outer) <= 2


def test_whitened_refuses_what_it_is_not_for():
    data, _ = fixture("orthonormal_closed_form")
    with pytest.raises(InputError, match="orthonormal"):
        whitened(data._replace(x=2 * data.x))
    with pytest.raises(InputError, match="squared loss"):
        whitened(data._replace(outer_bias="free"))


# --- quadratic and polynomial activations ---


def random_problem(seed, n, d):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)), rng.normal(size=n)


@pytest.mark.parametrize(("seed", "n", "d"), [(0, 6, 2), (1, 10, 3)])
def test_quadratic_networks_reach_the_nuclear_norm_program_and_go_no_lower(seed, n, d):
    x, y = random_problem(seed, n, d)
    best = quadratic_activation(x, y, 0.3)
    assert 0 <= best.value - best.lower_bound < 1e-10
    width = d + 1

    def trained(theta):
        w, a = theta[: width * d].reshape(width, d), theta[width * d :]
        f = (x @ w.T) ** 2 @ a
        paid = jnp.sum(2 * jnp.sum(w**2, axis=1) ** 1.5 + jnp.abs(a) ** 3) / 3
        return 0.5 * jnp.sum((f - y) ** 2) + 0.3 * paid

    reached = descents(trained, width * d + width, 4)
    assert reached.min() >= best.lower_bound
    assert reached.min() < best.value + 1e-6  # BFGS on a cubic that is flat at zero neurons
    spare = width - len(best.outer)
    padded = np.concatenate([np.pad(best.hidden, ((0, spare), (0, 0))).ravel(), np.pad(best.outer, (0, spare))])
    assert float(trained(padded)) == pytest.approx(best.value, abs=1e-13)


def test_quadratic_activation_on_unit_vectors_is_soft_thresholding():
    y, beta = np.array([1.5, 0.8, -1.2, -0.2]), 0.3
    best = quadratic_activation(np.eye(4), y, beta)
    expected = np.where(np.abs(y) > beta, beta * np.abs(y) - beta**2 / 2, y**2 / 2).sum()
    assert best.value == pytest.approx(expected, abs=1e-11)
    assert len(best.outer) == 3


def polynomial_loss(x, y, weight_decay, coefficients, hidden, outer):
    p, q, r = coefficients
    pre = x @ hidden.T
    return 0.5 * np.sum(((p * pre**2 + q * pre + r) @ outer - y) ** 2) + weight_decay * np.sum(np.abs(outer))


@pytest.mark.parametrize(("seed", "n", "d"), [(0, 6, 2), (1, 8, 2)])
def test_polynomial_networks_reach_the_semidefinite_program_and_go_no_lower(seed, n, d):
    x, y = random_problem(seed, n, d)
    coefficients = (0.09, 0.5, 0.47)
    best = polynomial_activation(x, y, 0.1, coefficients)
    # The interior point's accuracy, 1e-11 in its own terms, is 1e-8 in a value with eigenvalues near zero.
    assert 0 <= best.value - best.lower_bound < 1e-7
    assert np.allclose(np.linalg.norm(best.hidden, axis=1), 1.0)
    assert len(best.outer) <= 2 * (d + 1)
    assert polynomial_loss(x, y, 0.1, coefficients, best.hidden, best.outer) == pytest.approx(best.value, abs=1e-13)
    width = 2 * (d + 1)
    signs = jnp.asarray([1.0, -1.0] * (d + 1))  # as many neurons of either sign as an optimum needs

    def trained(theta):
        w, root = theta[: width * d].reshape(width, d), theta[width * d :]
        pre = x @ (w / jnp.linalg.norm(w, axis=1, keepdims=True)).T
        f = (coefficients[0] * pre**2 + coefficients[1] * pre + coefficients[2]) @ (signs * root**2)
        return 0.5 * jnp.sum((f - y) ** 2) + 0.1 * jnp.sum(root**2)

    reached = descents(trained, width * d + width, 4)
    assert reached.min() >= best.lower_bound
    assert reached.min() < best.value + 1e-6


def test_a_pure_square_on_the_sphere_is_the_nuclear_norm_program():
    x, y = random_problem(2, 8, 3)
    sphere, cubic = polynomial_activation(x, y, 0.3, (1.0, 0.0, 0.0)), quadratic_activation(x, y, 0.3)
    assert sphere.value == pytest.approx(cubic.value, abs=1e-7)
    assert max(sphere.lower_bound, cubic.lower_bound) <= min(sphere.value, cubic.value)


def test_zero_labels_give_the_empty_network():
    x = random_problem(0, 6, 2)[0]
    for best in (
        quadratic_activation(x, np.zeros(6), 0.3),
        polynomial_activation(x, np.zeros(6), 0.3, (0.1, 0.5, 0.4)),
    ):
        assert best.value < 1e-9
        assert best.lower_bound <= best.value


def test_inputs_that_do_not_fit_are_refused():
    x, y = random_problem(0, 6, 2)
    for solve in (quadratic_activation, lambda *a: polynomial_activation(*a, (1.0, 0.0, 0.0))):
        with pytest.raises(InputError, match="shapes"):
            solve(x, y[:-1], 0.1)
        with pytest.raises(InputError, match="weight decay"):
            solve(x, y, -0.1)
