"""Gated networks reach the relaxation and go no lower: against the published optima and smooth descent."""

import jax.numpy as jnp
import numpy as np
import pytest
from oracle_reference import descents, fixture

from landscape.records import InputError
from landscape.theory.arrangement.cells import cells
from landscape.theory.convex.branch_and_bound import best_by_width
from landscape.theory.convex.oracles.gated import gated_relaxation


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
