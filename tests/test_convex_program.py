"""p* is the published one, certified by a dual bound that no network of any width goes below."""

import json
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.problems.datafit import Data, minus_gradient, objective
from landscape.records import InputError
from landscape.theory.arrangement.cells import cells as activation_cells
from landscape.theory.arrangement.cells import sampled_cells
from landscape.theory.arrangement.phi import phi
from landscape.theory.convex import program
from landscape.theory.convex.program import lower_bound, optimum, restricted

FIXTURES = Path(__file__).parent / "fixtures"
BIASES = ("none", "regularised", "free")


def fixture(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


A, R = fixture("relu_A_n8_d2"), fixture("relu_R_n6_bias")


def data_of(record, loss="squared", outer_bias="none"):
    y = np.array(record["y"])
    return Data(np.array(record["X"]), y if loss == "squared" else np.sign(y), record["beta"], loss, outer_bias)


def random_data(seed, n, d, beta=0.1, loss="squared", outer_bias="none", grid=False):
    """Gaussian data; on a grid: duplicate, antipodal and zero rows, repeated labels."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    if grid:
        x, y = np.round(x), np.round(y)
    if loss == "logistic":
        y = np.where(y > 0, 1.0, -1.0)
        y[:2] = 1.0, -1.0  # both classes
    return Data(x, y, beta, loss, outer_bias)


def signed_cells(data):
    patterns = activation_cells(data.x).patterns
    return np.vstack([patterns, patterns]), np.repeat([1.0, -1.0], len(patterns))


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


# --- restricted programs ---


@pytest.mark.parametrize("outer_bias", BIASES)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
@pytest.mark.parametrize("grid", [False, True])
def test_restricted_optimum_satisfies_its_optimality_conditions(loss, outer_bias, grid):
    """Checked without the code's own projections: in the plane a cone's maximiser is a wall or the gradient itself."""
    for seed in range(3):
        data = random_data(seed, 7, 2, 0.1, loss, outer_bias, grid)
        patterns, signs = signed_cells(data)
        some = np.random.default_rng(seed).integers(0, len(signs), 5)  # with repetitions and neighbours
        patterns, signs = patterns[some], signs[some]
        found = restricted(data, patterns, signs)
        assert found.residual < 1e-12
        f = np.einsum("q,qn,nd,qd->n", signs, patterns, data.x, found.blocks) + found.b0
        nu = minus_gradient(data, f)
        np.testing.assert_allclose(found.output, f, atol=1e-13)  # sums of seven numbers of size one
        quarter = np.array([[0.0, -1.0], [1.0, 0.0]])
        walls = np.vstack([data.x @ quarter, -data.x @ quarter])
        for s, p, u in zip(signs, patterns, found.blocks, strict=True):
            side = np.where(p, 1.0, -1.0)[:, None] * data.x
            assert (side @ u >= -1e-13).all()  # in its cone
            g = s * data.x.T @ (p * nu)
            candidates = np.vstack([walls, g, np.zeros(2)])
            inside = (candidates @ side.T >= -1e-12).all(1)
            norms = np.maximum(np.linalg.norm(candidates, axis=1), 1e-300)
            # Half of the 14 digits that the gap has, for blocks on the edge of dying.
            assert max(candidates[inside] @ g / norms[inside]) <= data.weight_decay * (1 + 1e-9)
            np.testing.assert_allclose(g @ u, data.weight_decay * np.linalg.norm(u), atol=1e-11)
        if outer_bias != "none":
            np.testing.assert_allclose(
                nu.sum(), data.weight_decay * found.b0 if outer_bias == "regularised" else 0.0, atol=1e-10
            )


def test_all_cells_together_give_the_published_optimum():
    for record in (A, R):
        data = data_of(record)
        found = restricted(data, *signed_cells(data))
        np.testing.assert_allclose(found.value, record["p_star"], rtol=0, atol=1e-12)  # printed to 1e-16
        assert found.residual < 1e-13


def test_widths_one_and_two_of_fixture_a_by_enumeration():
    """P_m is the least over multisets of m signed cells; the table has ten digits."""
    data = data_of(A)
    patterns, signs = signed_cells(data)
    for m in (1, 2):
        sets = combinations_with_replacement(range(len(signs)), m)
        least = min(restricted(data, patterns[list(c)], signs[list(c)]).value for c in sets)
        np.testing.assert_allclose(least, A["P_m"][str(m)], rtol=0, atol=1e-9)


def test_interior_point_alone_is_good_to_nine_digits():
    data = data_of(A)
    cells = signed_cells(data)
    np.testing.assert_allclose(restricted(data, *cells, polish=False).value, A["p_star"], atol=1e-8)


def test_a_polish_that_leaves_the_cones_is_rejected(monkeypatch):
    """Without walls Newton's method ends below p*: a false optimum."""
    data = data_of(A)
    cells = signed_cells(data)

    def unconstrained(data, cells, u, b0, alive, tied):
        return newton(data, cells._replace(walls=cells.walls[:, :0]), u, b0, alive, [t[:0] for t in tied])

    newton = program._newton
    monkeypatch.setattr(program, "_newton", unconstrained)
    found = restricted(data, *cells)
    np.testing.assert_allclose(found.value, A["p_star"], atol=1e-8)


def test_no_cells_leave_the_outer_bias():
    data = random_data(0, 6, 2, outer_bias="free")
    found = restricted(data, np.zeros((0, 6), bool), np.zeros(0))
    np.testing.assert_allclose(found.b0, data.y.mean(), atol=1e-14)


# --- the optimum ---


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


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 7),
    d=st.integers(1, 3),
    m=st.integers(0, 6),
    beta=st.sampled_from([1e-3, 0.1, 3.0]),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    loss=st.sampled_from(["squared", "logistic"]),
    outer_bias=st.sampled_from(BIASES),
    grid=st.booleans(),
)
def test_lower_bound_is_below_every_network(seed, n, d, m, beta, scale, loss, outer_bias, grid):
    """From the residual of one network, below the loss of that network and of another one."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(n, d))) if grid else rng.normal(size=(n, d))
    y = np.where(rng.normal(size=n) > 0, 1.0, -1.0) if loss == "logistic" else rng.normal(size=n)
    data = Data(x, y, beta, loss, outer_bias)
    nets = []
    for _ in range(2):
        b0 = float(rng.normal()) if outer_bias != "none" else 0.0
        nets.append((scale * rng.normal(size=(m, d)), rng.normal(size=m), b0))
    hidden, outer, b0 = nets[0]
    nu = minus_gradient(data, np.maximum(x @ hidden.T, 0.0) @ outer + b0)
    bound = lower_bound(data, nu, phi(x, nu))
    assert bound >= 0
    for net in nets:
        value = objective(data, *net)
        assert bound <= value * (1 + 1e-13)  # the loss itself is rounded
    if beta >= 0.1:
        empty = float(np.sum(y**2) / 2) if loss == "squared" else n * np.log(2)
        assert bound <= empty * (1 + 1e-13)


def test_lower_bound_of_a_residual_off_centre_holds_with_a_free_bias():
    """A free outer bias can absorb the mean of nu: an uncentred dual point would bound too high."""
    data = Data(np.array([[0.1, 0.0], [0.0, 0.1]]), np.array([5.0, 5.0]), 1.0, "squared", "free")
    nu = np.array([5.0, 5.0])
    assert lower_bound(data, nu, phi(data.x, nu)) == 0.0
    assert optimum(data).value == pytest.approx(0.0, abs=1e-28)


# --- degenerate places ---


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


def test_four_dimensions_close_by_cells_and_more_give_an_honest_interval():
    data = random_data(5, 8, 4)
    best = optimum(data)
    assert best.gap <= 1e-10 * best.value
    loose = best.phi._replace(upper=2 * best.phi.upper)
    assert lower_bound(data, best.nu, loose) < best.lower_bound


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


def test_patterns_and_signs_must_match():
    with pytest.raises(InputError, match="one sign for each pattern"):
        restricted(random_data(0, 6, 2), np.zeros((2, 6), bool), np.ones(3))


@pytest.mark.parametrize("weight_decay", [1e-4, 1e-6])
@pytest.mark.parametrize("outer_bias", BIASES)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_gap_stays_small_where_the_residual_is_small_beside_the_labels(loss, outer_bias, weight_decay):
    best = optimum(random_data(3, 10, 2, weight_decay, loss, outer_bias))
    # phi's own rounding, n eps sum |nu_k||x_k|, is up to 1e-9 of so small a weight decay.
    assert best.gap <= 3e-9 * best.value
    assert best.gap >= -1e-13 * best.value


def test_a_program_that_no_neuron_pays_for_has_no_dust():
    data = Data(np.ones((6, 2)), np.array([-1.0, 1, 1, -1, -1, -1]), 1e-4, "logistic", "regularised")
    patterns, signs = signed_cells(data)
    blocks = restricted(data, patterns, signs).blocks
    size = np.linalg.norm(blocks, axis=1)
    assert np.all((size == 0) | (size > 1e-3))


@pytest.mark.parametrize("shape", [(20, 4), (40, 3), (30, 2)])
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_optima_found_by_ascents_are_those_of_the_list_of_cells(shape, loss, monkeypatch):
    data = random_data(0, *shape, 0.3, loss)
    listed = optimum(data)
    monkeypatch.setattr(program, "_LISTABLE", 0)
    found = optimum(data)
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
    found = optimum(data, known=some)
    on_them = restricted(data, np.vstack([some.patterns] * 2), np.repeat([1.0, -1.0], len(some.patterns)))
    assert found.value == pytest.approx(on_them.value, rel=1e-12)
    assert 0 < found.lower_bound <= optimum(data).value <= found.value


def test_programs_from_a_start_end_where_those_without_end():
    data = random_data(5, 40, 5, 0.5)
    some = sampled_cells(data.x, 30, seed=1).patterns
    signs = np.where(np.arange(len(some)) % 2, 1.0, -1.0)
    plain = restricted(data, some, signs)
    started = restricted(data, some, signs, start=np.zeros((0, 5)))
    assert started.residual <= 1e-12
    assert started.value == pytest.approx(plain.value, rel=1e-12)
