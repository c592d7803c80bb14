"""Quadratic and polynomial activations: smooth descent reaches their programs and goes no lower."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracle_reference import descents

from landscape.records import InputError
from landscape.theory.convex.oracles.polynomial import polynomial_activation
from landscape.theory.convex.oracles.quadratic import quadratic_activation


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
