"""p* is the published one, certified by a dual bound that no network of any width goes below."""

import numpy as np
import pytest
from finite_data import BIASES, A, R, data_of, fixture, random_data, signed_cells

from landscape.problems.datafit import Data, minus_gradient, objective
from landscape.records import InputError
from landscape.theory.arrangement.cells import sampled_cells
from landscape.theory.arrangement.phi import phi
from landscape.theory.convex.column_generation import optimum
from landscape.theory.convex.restricted_programs import restricted


def best_network(data, start, steps=400):
    """Plain subgradient descent: an upper bound on p* that knows nothing of cones."""
    hidden, outer, b0 = (np.array(part, float) for part in start)
    best = objective(data, hidden, outer, float(b0))
    for k in range(steps):
        z = data.x @ hidden.T
        nu = minus_gradient(data, np.maximum(z, 0.0) @ outer + b0)
        rate = 0.05 / (1 + k / 50)
        grad_h = data.weight_decay * hidden - (outer * (z > 0) * nu[:, None]).T @ data.x
        grad_a = data.weight_decay * outer - np.maximum(z, 0.0).T @ nu
        grad_b = -nu.sum() + (data.weight_decay * b0 if data.outer_bias == "regularised" else 0.0)
        hidden, outer = hidden - rate * grad_h, outer - rate * grad_a
        if data.outer_bias != "none":
            b0 = b0 - rate * grad_b
        best = min(best, objective(data, hidden, outer, float(b0)))
    return best


@pytest.mark.parametrize("record", [A, R], ids=["A", "R"])
def test_optimum_is_the_published_one(record):
    data = data_of(record)
    best = optimum(data)
    np.testing.assert_allclose(best.value, record["p_star"], rtol=0, atol=1e-12)
    np.testing.assert_allclose(objective(data, best.hidden, best.outer, best.b0), best.value, rtol=0, atol=0)
    np.testing.assert_allclose(best.nu, record["nu_star"], atol=1e-9)
    # phi's rounding error, a few 1e-12, sets the gap.
    assert -1e-14 < best.gap < 2e-11


def test_logistic_optimum_of_fixture_a():
    best = optimum(data_of(A, "logistic"))
    np.testing.assert_allclose(best.value, 4.641914679, rtol=0, atol=2e-9)  # theory's value from a solver's iterate
    assert best.gap < 1e-10


def test_orthonormal_rows_have_the_closed_form():
    record = fixture("orthonormal_closed_form")
    y, beta = np.array(record["y"]), record["beta"]
    best = optimum(Data(np.eye(4), y, beta))
    sizes = [np.linalg.norm(y[y > 0]), np.linalg.norm(y[y < 0])]
    np.testing.assert_allclose(best.value, sum(beta * s - beta**2 / 2 for s in sizes), atol=1e-12)
    np.testing.assert_allclose(best.value, record["p_star"], atol=1e-12)
    assert len(best.outer) == record["m_star"]


@pytest.mark.parametrize("outer_bias", BIASES)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("shape", [(6, 2), (12, 2), (8, 3)])
@pytest.mark.parametrize("grid", [False, True])
def test_gap_closes(loss, outer_bias, shape, grid):
    data = random_data(1, shape[0], shape[1], 0.1, loss, outer_bias, grid)
    best = optimum(data)
    assert best.gap <= 1e-10 * best.value
    assert best.gap >= -1e-13 * best.value  # the bound is not above the loss of a network


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(20, 2), (30, 2), (20, 3), (30, 3)])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_gap_closes_on_larger_data(shape, loss):
    for seed in range(3):
        best = optimum(random_data(seed, shape[0], shape[1], 0.05, loss))
        assert best.gap <= 1e-10 * best.value


@pytest.mark.parametrize("outer_bias", BIASES)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_descent_of_wide_networks_comes_close_to_the_optimum_and_never_below(loss, outer_bias):
    data = random_data(2, 6, 2, 0.2, loss, outer_bias)
    best = optimum(data)
    rng = np.random.default_rng(0)
    values = [best_network(data, (rng.normal(size=(30, 2)) / 5, rng.normal(size=30) / 5, 0.0)) for _ in range(3)]
    assert min(values) >= best.lower_bound
    # 400 steps of a chattering descent: a coarse check, but one that an unconstrained relaxation fails.
    assert min(values) <= best.value * 1.1


def test_bounds_are_ordered_lower_bound_optimum_restricted():
    data = data_of(A)
    best = optimum(data)
    patterns, signs = signed_cells(data)
    rng = np.random.default_rng(0)
    for q in (1, 2, 5, 20):
        some = rng.choice(len(signs), q, replace=False)
        value = restricted(data, patterns[some], signs[some]).value
        # Both values are rounded sums of eight terms of size one.
        assert best.lower_bound <= best.value <= value + 1e-14


@pytest.mark.parametrize("outer_bias", BIASES)
def test_zero_labels_have_the_empty_network(outer_bias):
    data = random_data(0, 6, 2, outer_bias=outer_bias)._replace(y=np.zeros(6))
    best = optimum(data)
    assert (best.value, best.lower_bound, len(best.outer)) == (0.0, 0.0, 0)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_empty_network_is_optimal_from_the_weight_decay_phi_on(loss):
    data = random_data(3, 8, 2, 1.0, loss)
    threshold = phi(data.x, minus_gradient(data, np.zeros(8))).value
    above, below = (
        optimum(data._replace(weight_decay=1.001 * threshold)),
        optimum(data._replace(weight_decay=0.999 * threshold)),
    )
    assert len(above.outer) == 0
    assert above.gap <= 1e-13 * above.value
    assert len(below.outer) >= 1
    assert below.value < above.value


def test_doubled_row_at_a_tie_keeps_its_optimum():
    """Fixture A, row 3 twice with other labels: the optimal weights of A stay optimal (theory 1.6)."""
    x, y = np.array(A["X"]), np.array(A["y"])
    y[3] = -0.557
    data = Data(np.vstack([x, x[3]]), np.append(y, 0.70291116), A["beta"])
    best = optimum(data)
    assert best.gap < 1e-10
    at_a = objective(data, np.array(A["W_star"]), np.array(A["a_star"]))
    np.testing.assert_allclose(best.value, at_a, rtol=0, atol=1e-9)  # the labels have eight digits


def test_optimum_scales_with_the_data():
    data = random_data(4, 6, 2)
    best = optimum(data)
    for s in (1e-5, 1e5):
        scaled = optimum(data._replace(y=data.y * s, weight_decay=data.weight_decay * s))
        np.testing.assert_allclose(scaled.value, best.value * s * s, rtol=1e-12)
        moved = optimum(data._replace(x=data.x * s, weight_decay=data.weight_decay * s))
        np.testing.assert_allclose(moved.value, best.value, rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(weight_decay=0.0), "positive weight decay"),
        (dict(y=np.full(6, np.nan)), "finite"),
        (dict(y=np.zeros(5)), "n labels"),
        (dict(y=np.ones(6), loss="logistic", outer_bias="free"), "one class"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(InputError, match=message):
        optimum(random_data(0, 6, 2)._replace(**change))


@pytest.mark.parametrize("weight_decay", [1e-4, 1e-6])
@pytest.mark.parametrize("outer_bias", BIASES)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_gap_stays_small_where_the_residual_is_small_beside_the_labels(loss, outer_bias, weight_decay):
    best = optimum(random_data(3, 10, 2, weight_decay, loss, outer_bias))
    # phi's own rounding, n eps sum |nu_k||x_k|, is up to 1e-9 of so small a weight decay.
    assert best.gap <= 3e-9 * best.value
    assert best.gap >= -1e-13 * best.value


@pytest.mark.parametrize("shape", [(20, 4), (40, 3), (30, 2)])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_optima_found_by_ascents_are_those_of_the_list_of_cells(shape, loss):
    data = random_data(0, *shape, 0.3, loss)
    listed = optimum(data)
    found = optimum(data, listable=0)
    assert listed.gap <= 1e-10 * listed.value
    assert found.gap <= 1e-10 * found.value
    assert found.value == pytest.approx(listed.value, rel=1e-10)


def test_an_optimum_of_many_rows_in_five_dimensions_is_between_its_bounds_in_seconds():
    data = random_data(0, 60, 5, 1.0)
    data = data._replace(y=np.maximum(data.x[:, 0], 0.0) - np.maximum(data.x[:, 1], 0.0) + 0.1 * data.y)
    found = optimum(data)
    assert found.phi.value <= data.weight_decay * (1 + 1e-9)  # no ascent finds a neuron that pays
    assert 0.9 * found.value <= found.lower_bound <= found.value


def test_the_optimum_on_sampled_cells_is_that_of_their_program_with_a_bound_for_all():
    data = random_data(4, 14, 4)
    some = sampled_cells(data.x, 12)
    found = optimum(data, listed=some)
    on_them = restricted(data, np.vstack([some.patterns] * 2), np.repeat([1.0, -1.0], len(some.patterns)))
    assert found.value == pytest.approx(on_them.value, rel=1e-12)
    assert 0 < found.lower_bound <= optimum(data).value <= found.value
