"""The Lasso is optimal over all biases: against a dense dual scan, smooth descent, and its edges by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracle_reference import descents

from landscape.records import InputError
from landscape.theory.convex.oracles.lasso import lasso_1d


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
