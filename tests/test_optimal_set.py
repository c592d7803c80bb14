"""The optimal networks are a polytope: its vertices are optimal, irreducible, and all there are."""

import json
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.problems.datafit import Data, objective
from landscape.records import InputError
from landscape.theory.convex.column_generation import optimum
from landscape.theory.convex.optimal_set import eliminations, network, optimal_set, prune, staircase

FIXTURES = Path(__file__).parent / "fixtures"
BIASES = ("none", "regularised", "free")


def fixture(name):
    record = json.loads((FIXTURES / f"{name}.json").read_text())
    return record, Data(np.array(record["X"]), np.array(record["y"]), record["beta"])


def outputs(data, net):
    return np.maximum(data.x @ net.hidden.T, 0.0) @ net.outer + net.b0


def vertices_by_bases(z, f):
    """Every basis tried: the slow reference."""
    t, rank = z.shape[1], np.linalg.matrix_rank(z, tol=1e-9)
    found = []
    for which in combinations(range(t), rank):
        part = z[:, which]
        if np.linalg.matrix_rank(part, tol=1e-9) < rank:
            continue
        c = np.zeros(t)
        c[list(which)] = np.linalg.lstsq(part, f, rcond=None)[0]
        fits = np.abs(z @ c - f).max() < 1e-9 and c.min() > -1e-9
        if fits and not any(np.abs(c - other).max() < 1e-7 for other in found):
            found.append(c)
    return np.array(found)


def test_fixture_a_has_one_optimal_network_of_four_neurons():
    record, data = fixture("relu_A_n8_d2")
    optima = optimal_set(data, optimum(data))
    assert len(optima.signs) == record["n_tight_directions"] == 4
    assert optima.vertices.shape == (1, 4)
    assert (optima.m_star, optima.M_star, optima.dimension) == (4, 4, 0)
    expected = np.linalg.norm(record["W_star"], axis=1) * np.abs(record["a_star"])
    np.testing.assert_allclose(np.sort(optima.vertices[0]), np.sort(expected), atol=1e-9)
    assert optima.tightness < 1e-12
    assert optima.next < 0.99  # no other direction comes close


def test_fixture_r_has_a_segment_of_optimal_networks():
    record, data = fixture("relu_R_n6_bias")
    optima = optimal_set(data, optimum(data))
    assert len(optima.signs) == record["n_tight_directions"] == 6
    assert optima.rank == 5
    assert ((optima.vertices > 0).sum(1) == 5).all()
    assert len(optima.vertices) == 2
    assert (optima.m_star, optima.M_star, optima.dimension) == (5, 5, 1)
    for share in (0.0, 0.3, 1.0):
        c = share * optima.vertices[0] + (1 - share) * optima.vertices[1]
        net = network(optima, c)
        assert len(net.outer) == (6 if share == 0.3 else 5)
        np.testing.assert_allclose(objective(data, *net), record["p_star"], rtol=0, atol=1e-12)


def test_fixture_r_prunes_from_six_neurons_to_five():
    record, data = fixture("relu_R_n6_bias")
    hidden, outer = np.array(record["W_star"]), np.array(record["a_star"])
    net = prune(data, hidden, outer)
    assert len(outer) == 6
    assert len(net.outer) == 5
    np.testing.assert_allclose(objective(data, *net), objective(data, hidden, outer), rtol=0, atol=1e-13)


@pytest.mark.parametrize("outer_bias", BIASES)
@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_every_vertex_is_optimal_and_they_are_all(loss, outer_bias):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(6, 2)), rng.normal(size=6)
        if seed % 2:
            x, y = np.round(x), np.round(y)
        if loss == "logistic":
            y = np.where(np.arange(6) % 2, 1.0, -1.0)
        data = Data(x, y, 0.02, loss, outer_bias)
        best = optimum(data)
        optima = optimal_set(data, best)
        for c, b0 in zip(optima.vertices, optima.outer_bias, strict=True):
            net = network(optima, c, b0)
            np.testing.assert_allclose(outputs(data, net), optima.output, atol=1e-9)
            np.testing.assert_allclose(objective(data, *net), best.value, rtol=1e-10)
            # Irreducible: nothing is left to prune.
            assert len(prune(data, *net).outer) == len(net.outer)
        assert optima.m_star <= optima.M_star <= 6
        z, f = optima.atoms, optima.output - best.b0
        if outer_bias == "free":
            z, f = z - z.mean(0), optima.output - optima.output.mean()
        if len(optima.signs):
            slow = vertices_by_bases(z, f)
            assert len(slow) == len(optima.vertices)
            for c in slow:
                assert np.abs(optima.vertices - c).max(axis=1).min() < 1e-7


def test_a_polytope_of_dimension_four_has_the_vertices_of_the_slow_reference():
    rng = np.random.default_rng(0)
    data = Data(rng.normal(size=(20, 2)), np.where(rng.normal(size=20) > 0, 1.0, -1.0), 0.01, "logistic")
    optima = optimal_set(data, optimum(data))
    assert optima.dimension >= 2
    assert len(vertices_by_bases(optima.atoms, optima.output)) == len(optima.vertices)


def test_the_empty_network_is_a_single_point():
    data = Data(np.eye(3), np.array([0.1, -0.1, 0.05]), 1.0)
    optima = optimal_set(data, optimum(data))
    assert (optima.m_star, optima.M_star, optima.dimension, len(optima.vertices)) == (0, 0, 0, 1)
    assert [step.statement for step in staircase(0, 0, 3)] == ["one point: all weights zero"]


def test_an_uncertified_optimum_and_too_many_vertices_are_refused():
    _, data = fixture("relu_R_n6_bias")
    best = optimum(data)
    with pytest.raises(InputError, match="certified optimum"):
        optimal_set(data, best._replace(gap=0.1))
    with pytest.raises(InputError, match="more than 1 rays"):
        optimal_set(data, best, most=1)


# --- pruning ---


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 6),
    d=st.integers(1, 3),
    m=st.integers(0, 15),
    outer_bias=st.sampled_from(BIASES),
    grid=st.booleans(),
)
def test_pruning_keeps_outputs_lowers_the_objective_and_leaves_independent_atoms(seed, n, d, m, outer_bias, grid):
    rng = np.random.default_rng(seed)
    rounded = np.round if grid else np.asarray
    data = Data(rounded(rng.normal(size=(n, d))), rng.normal(size=n), 0.1, "squared", outer_bias)
    hidden, outer = rounded(rng.normal(size=(m, d))), rounded(rng.normal(size=m))
    b0 = 0.0 if outer_bias == "none" else 0.7
    net = prune(data, hidden, outer, b0)
    before = np.maximum(data.x @ hidden.T, 0.0) @ outer + b0
    size = 1 + np.abs(np.maximum(data.x @ hidden.T, 0.0) * outer).sum()
    np.testing.assert_allclose(outputs(data, net), before, rtol=0, atol=1e-12 * size)  # the elimination's tolerance
    old = objective(data, hidden, outer, b0)
    # The output may move by that tolerance, and the loss with it.
    assert objective(data, *net) <= old + 1e-11 * size * (1 + old)
    atoms = np.maximum(data.x @ net.hidden.T, 0.0) * net.outer
    if outer_bias == "free":
        atoms = atoms - atoms.mean(0)
    assert len(net.outer) <= n
    # Unit atoms, as `prune` sees them, a tenth of its own tolerance: its elimination moves them by rounding.
    assert np.linalg.matrix_rank(atoms / np.linalg.norm(atoms, axis=0), tol=1e-13) == len(net.outer)
    np.testing.assert_allclose(np.linalg.norm(net.hidden, axis=1), np.abs(net.outer), rtol=1e-12)  # balanced


def test_collinear_and_dead_neurons_are_pruned():
    data = Data(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), np.ones(3), 0.1)
    hidden = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 1.0], [-1.0, -1.0], [0.0, 0.0]])
    net = prune(data, hidden, np.array([1.0, 1.0, -1.0, 5.0, 1.0]))
    assert len(net.outer) == 2
    np.testing.assert_allclose(outputs(data, net), [3.0, -1.0, 2.0], atol=1e-13)


def test_eliminations_are_straight_moves_that_do_not_cost():
    rng = np.random.default_rng(0)
    atoms, c = np.maximum(rng.normal(size=(4, 11)), 0.0), rng.uniform(size=11)
    before = c
    for now in eliminations(atoms, c):
        np.testing.assert_allclose(atoms @ now, atoms @ c, atol=1e-13)  # eleven terms of size one
        assert now.min() >= 0
        assert now.sum() <= before.sum() + 1e-14
        assert (now > 0).sum() < (before > 0).sum()
        before = now
    assert (before > 0).sum() == np.linalg.matrix_rank(atoms[:, before > 0]) <= 4


# --- staircase ---


def test_staircase_covers_every_width_once():
    for n in range(1, 8):
        for least in range(1, n + 1):
            for most in range(least, n + 1):
                steps = staircase(least, most, n)
                widths = [(step.least, step.most) for step in steps]
                assert widths[0][0] == 1
                assert widths[-1] == (min(least + most, n + 1), None)
                for (_, end), (start, _) in pairwise(widths):
                    assert end is not None
                    assert start == end + 1
                assert any(start == least and end == least for start, end in widths)
