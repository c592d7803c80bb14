"""Paths bound barriers from above: copies are matched, strings go over saddles, and bounds hold between looks."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

import landscape as ls
from landscape import gallery
from landscape.paths.edge import Edge
from landscape.paths.matching import matched
from landscape.paths.slices import losses
from landscape.paths.strings import height, lines, strings

# The fixture of a certified valley: its barrier is 31/6 exactly, by a separating wall.
X = np.array([[1, 0, 0], [0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
Y = np.array([1, 1, 1, 1, 0, 0, -3, 0], float)
BAD = ls.Params(hidden=np.eye(3)[:2], outer=np.ones(2))
GOOD = ls.Params(hidden=np.array([[4 / 3, 2 / 3, 0], [0, 0, 1]]), outer=np.array([1.0, -3.0]))


def _dense(problem, path, count=4000):
    where = np.linspace(0, len(path) - 1, count)
    low = np.minimum(where.astype(int), len(path) - 2)
    share = (where - low)[:, None]
    return losses(problem, (1 - share) * path[low] + share * path[low + 1])


def test_matching_finds_the_nearest_order_of_neurons():
    problem, rng = ls.orthonormal_teacher(3, 4), np.random.default_rng(0)
    first, second = rng.normal(size=(2, 4, 3))
    found = matched(problem, first.ravel(), second.ravel()).reshape(4, 3)
    best = min(np.linalg.norm(first - second[list(order)]) for order in permutations(range(4)))
    assert np.linalg.norm(first - found) == pytest.approx(best)
    assert float(problem.loss(found.ravel())) == pytest.approx(float(problem.loss(second.ravel())), rel=1e-12)


def test_matched_networks_on_data_keep_their_loss_and_undo_a_permutation():
    problem, rng = ls.empirical(X, Y, 3, weight_decay=0.1, bias="free"), np.random.default_rng(1)
    params = ls.Params(hidden=rng.normal(size=(3, 3)), outer=rng.normal(size=3), hidden_bias=rng.normal(size=3))
    other = ls.Params(*(None if part is None else part[[2, 0, 1]] for part in params))  # pyright: ignore
    np.testing.assert_array_equal(matched(problem, problem.write(params), problem.write(other)), problem.write(params))


def test_the_bound_between_looks_holds():
    problem, rng = ls.orthonormal_teacher(3), np.random.default_rng(2)
    bounded = 0
    for _ in range(20):
        path = rng.normal(size=(4, 9)) + 2.0 * np.tile(np.eye(3).ravel(), (4, 1))
        found = height(problem, path)
        seen = _dense(problem, path).max()
        if found.bounded:
            bounded += 1
            assert found.high >= seen
            assert found.high <= seen + 0.2 * abs(seen)  # and is no idle one
    assert bounded >= 10


def test_a_path_through_a_zero_neuron_is_not_called_bounded():
    problem = ls.orthonormal_teacher(2)
    path = np.array([[1.0, 0.0, 0.0, 1.0], [-1.0, 0.0, 0.0, 1.0]])  # the first neuron passes zero, where F has a kink
    assert not height(problem, path).bounded


def test_a_string_goes_over_the_saddle_and_not_below_it():
    problem = gallery.problem("mueller-brown")
    ends = np.array([[-0.5582236, 1.4417258], [-0.0500108, 0.4666941]])
    straight = lines(ends[:1], ends[1:])
    (pulled,) = strings(problem, straight)
    saddle = -0.4066484351
    assert _dense(problem, straight[0]).max() > saddle + 0.3
    assert saddle - 1e-9 <= _dense(problem, pulled).max() < saddle + 1e-3  # a polygon of 33 points
    np.testing.assert_array_equal(pulled[[0, -1]], ends)


@pytest.mark.slow
def test_networks_of_two_minima_are_joined_over_a_transition_state():
    problem = ls.orthonormal_teacher(6)
    found = ls.transition_states(problem, np.eye(6), searches=60)
    assert len(found.minima) == 2
    order = np.random.default_rng(3).permutation(6)
    spurious = found.minima[1].reshape(6, 6)[order]
    ways = ls.paths_between(problem, [np.eye(6), spurious])
    (edge,) = ways.edges()
    assert (edge.first, edge.second, edge.by) == (0, 1, "transition state")
    # No path is below the lowest transition state that the searches from both minima found between them.
    assert edge.high >= min(s.loss for s in found.states if sorted(s.ends) == [0, 1]) - 1e-12
    assert edge.high <= ways.ways[0].line.high
    assert isinstance(edge, Edge)
    assert "transition state" in str(ways)


def test_the_barrier_of_the_certified_valley_is_met_from_above():
    """The bar of the product: within [31/6 - 1e-9, 31/6 + 1e-3]; no path can be below, and heuristics give 6.05."""
    problem = ls.empirical(X, Y, 2, weight_decay=0.0)
    ways = ls.paths_between(problem, [BAD, GOOD], stationary=False)
    (way,) = ways.ways
    assert ways.losses[0] == pytest.approx(4.5)
    assert way.line.high >= 31 / 6 - 1e-9
    assert 31 / 6 - 1e-9 <= way.edge.high <= 31 / 6 + 1e-3
    assert way.edge.by == "string, bounded between looks"
    assert way.saddle is None


def test_the_largest_loss_of_a_relu_network_on_a_line_is_exact():
    rng = np.random.default_rng(4)
    for activation in ("relu", "abs", "leaky_relu"):
        problem = ls.empirical(X, Y, 3, activation=activation, weight_decay=0.1, outer_bias="free")
        path = rng.normal(size=(4, problem.p))
        found, seen = height(problem, path), _dense(problem, path, 40_000).max()
        assert found.bounded
        # 40,000 looks at slopes below 1e2 on sides of length 5 miss the largest value by their square at most.
        assert seen - 1e-12 <= found.high <= seen + 1e-5
    logistic = ls.empirical(X, np.sign(Y + 0.1), 2, loss="logistic", weight_decay=0.1)
    assert not height(logistic, rng.normal(size=(3, 8))).bounded


def test_pairs_that_make_no_sense_are_one_sentence():
    problem = ls.orthonormal_teacher(3)
    with pytest.raises(ls.InputError, match="two points at least"):
        ls.paths_between(problem, np.eye(3))
    with pytest.raises(ls.InputError, match="must name two different points"):
        ls.paths_between(problem, [np.eye(3), np.eye(3)], pairs=[(0, 2)])
