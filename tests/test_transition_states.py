"""Transition states have index exactly one, connect the minima that descents say, and all the known ones are found."""

from __future__ import annotations

import subprocess
import sys

import clusters
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape import gallery
from landscape.gallery.particles import _bipyramid
from landscape.paths.climb import climb
from landscape.paths.transition_states import beside

MULLER_BROWN = [np.array(x) for x in ([-0.5582236, 1.4417258], [0.6234994, 0.0280378], [-0.0500108, 0.4666941])]


def _index(problem, theta):
    """Negative and vanishing eigenvalues of the Hessian, by automatic differentiation, against its size."""
    values = np.linalg.eigvalsh(np.asarray(jax.hessian(problem.loss)(jnp.asarray(theta))))
    small = 1e-9 * np.max(np.abs(values))  # float64 eigenvalues of p <= 36 are good to 1e-14 of the largest
    return int(np.sum(values < -small)), int(np.sum(np.abs(values) <= small))


def _hold(problem, found, zeros=0):
    for state in found.states:
        # The bar of the product: gradient norm at most 1e-10, index exactly 1.
        assert np.linalg.norm(jax.grad(problem.loss)(jnp.asarray(state.theta))) <= 1e-10
        assert _index(problem, state.theta) == (1, zeros)
        assert (state.zeros, state.explained) == (zeros, zeros)
        assert state.connects
        assert state.loss > max(found.losses[list(state.ends)])
    for edge in found.edges():
        assert edge.high == min(s.loss for s in found.states if sorted(s.ends) == [edge.first, edge.second])


def _steepest_descent(problem, theta, steps=40_000, size=2e-4):
    gradient = jax.grad(problem.loss)
    return jax.lax.fori_loop(0, steps, lambda _, at: at - size * gradient(at), jnp.asarray(theta))


@pytest.fixture(scope="module")
def mueller_brown():
    problem = gallery.problem("mueller-brown")
    return problem, ls.transition_states(problem, MULLER_BROWN, searches=60)


@pytest.mark.long
def test_mueller_brown_has_its_two_published_states(mueller_brown):
    problem, found = mueller_brown
    _hold(problem, found)
    # Mueller and Brown 1979, in hundreds; digits beyond theirs from Newton's method in 50 digits.
    np.testing.assert_allclose([s.loss for s in found.states], [-0.72248940112, -0.40664843509], atol=1e-6)
    np.testing.assert_allclose(found.losses, [-1.46699517, -1.08166725, -0.80767818], atol=1e-6)
    assert [sorted(s.ends) for s in found.states] == [[1, 2], [0, 2]]
    assert found.given == len(found.minima) == 3


def test_the_minima_that_a_state_connects_are_those_of_steepest_descent(mueller_brown):
    problem, found = mueller_brown
    for state in found.states:
        for side in beside(problem, [state])[0]:
            assert float(problem.loss(side)) < state.loss
            end = _steepest_descent(problem, side)
            near = int(np.argmin(np.linalg.norm(found.minima - np.asarray(end), axis=1)))
            assert np.linalg.norm(found.minima[near] - np.asarray(end)) < 1e-3
            assert near in state.ends


@pytest.mark.slow
def test_himmelblau_has_four_states_and_its_maximum_is_none():
    problem, example = gallery.problem("himmelblau"), gallery.examples()["himmelblau"]
    found = ls.transition_states(problem, [np.array(one.params) for one in example.points[:4]], searches=200)
    _hold(problem, found)
    known = np.array([one.params for one in example.points[5:]])  # the fifth is the maximum
    distance = np.linalg.norm(known[:, None] - np.array([s.theta for s in found.states])[None], axis=2)
    assert len(found.states) == 4
    assert np.all(distance.min(axis=1) < 1e-6)  # known to seven digits


@pytest.mark.long
def test_seven_particles_have_four_minima_and_twelve_states_from_one_minimum():
    problem = clusters.seven()
    found = ls.transition_states(problem, _bipyramid(), searches=300)
    _hold(problem, found, zeros=6)
    assert len(found.states) == clusters.MANY_STATES
    # Published to five digits.
    np.testing.assert_allclose(sorted(found.losses), clusters.MINIMA, atol=6e-6)
    losses = np.array([s.loss for s in found.states])
    for published in clusters.STATES:
        assert np.min(np.abs(losses - published)) < 6e-6
    assert found.losses[0] == pytest.approx(-16.505384, abs=1e-6)  # Cambridge Cluster Database
    assert found.unseen[1] < 0.05


@pytest.mark.long
def test_states_of_networks_are_counted_as_orbits():
    problem = ls.orthonormal_teacher(3)
    found = ls.transition_states(problem, np.eye(3), searches=60)
    _hold(problem, found)
    assert len(found.minima) == 1
    losses = [s.loss for s in found.states]
    turned = ls.transition_states(problem, np.eye(3)[[2, 0, 1]], searches=60)
    np.testing.assert_allclose([s.loss for s in turned.states], losses, rtol=1e-9)
    assert sum(s.count for s in found.states) > len(found.states) > 0


@pytest.mark.long
def test_a_set_of_states_is_one_and_says_that_it_is_not_isolated():
    """(x^2 - 1)^2 + y^2 for all z: at x = y = 0 the loss is constant along z, which no symmetry explains."""
    problem = ls.from_loss(lambda x: (x[0] ** 2 - 1) ** 2 + x[1] ** 2, lambda key: jax.random.normal(key, (3,)))
    found = ls.transition_states(problem, np.array([1.0, 0.0, 0.3]), searches=40, rounds=1)
    (state,) = found.states
    assert (state.zeros, state.explained) == (1, 0)
    assert state.loss == pytest.approx(1.0, abs=1e-12)
    assert "1 (1 unexplained)" in str(found)


def test_a_degenerate_saddle_is_no_transition_state():
    """The monkey saddle x^3 - 3 x y^2 has no curvature at all at zero; the walls of degree four hold it."""

    def monkey(x):
        return x[0] ** 3 - 3 * x[0] * x[1] ** 2 + (x[0] ** 2 + x[1] ** 2) ** 2

    problem = ls.from_loss(monkey, lambda key: jax.random.normal(key, (2,)))
    found = ls.transition_states(problem, np.array([-0.75, 0.0]), searches=80)
    assert not found.states
    assert found.other["degenerate"] > 0


def test_a_descent_leaves_a_plane_of_symmetry():
    """Down from (0, 0) along y the plane x = 0 leads to the saddle (0, 1): the minima lie at its sides."""

    def fork(x):
        return (x[1] ** 2 - 1) ** 2 + (x[0] ** 2 - 0.2 * x[1] ** 2) ** 2 + 0.5 * x[0] ** 2 * (1 - x[1] ** 2)

    problem = ls.from_loss(fork, lambda key: jax.random.normal(key, (2,)))
    ends = [np.array([a * 0.2**0.5, b]) for a in (1, -1) for b in (1, -1)]
    found = ls.transition_states(problem, ends, searches=80)
    (middle,) = [s for s in found.states if np.linalg.norm(s.theta) < 1e-6]
    assert middle.connects


def test_climbing_finds_the_index_that_is_asked_for():
    """-cos x - cos y - cos z: within a period one minimum, three saddles of index 1, three of index 2, a maximum."""
    problem = ls.from_loss(lambda x: -jnp.sum(jnp.cos(x)), lambda key: jax.random.normal(key, (3,)))
    starts = np.random.default_rng(2).uniform(-3, 3, size=(40, 3))
    for index in range(4):
        found = climb(problem, starts, index=index)
        right = [_index(problem, theta)[0] == index for theta in found.theta[found.stationary]]
        assert len(right) >= 35
        assert np.mean(right) > 0.9
        assert np.all(found.grad_norm[found.stationary] <= 1e-10)


@pytest.mark.long
def test_tangents_are_the_velocities_of_invariances():
    problem = clusters.seven()
    x = np.random.default_rng(0).normal(size=(2, 21))
    found = problem.tangents(x)
    assert found.shape == (2, 6, 21)
    for i in range(2):
        for j, moved in enumerate(problem.invariances):
            slope = (np.asarray(moved(jnp.asarray(x[i]), 1e-5)) - np.asarray(moved(jnp.asarray(x[i]), -1e-5))) / 2e-5
            np.testing.assert_allclose(found[i, j], slope, atol=1e-9)  # central differences at 1e-5
    turning = ls.teacher_student(np.eye(3)[:1], 2)  # a teacher of one neuron: rotations around it
    theta = np.random.default_rng(1).normal(size=6)
    (tangent,) = turning.tangents(theta[None])[0]
    assert float(jax.jvp(turning.loss, (theta,), (tangent,))[1]) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
def test_searches_are_in_float64_where_jax_is_not():
    code = (
        "import jax, numpy as np, landscape as ls\n"
        "found = ls.transition_states(ls.orthonormal_teacher(2), np.eye(2), searches=10, rounds=1)\n"
        "assert found.states and max(s.grad_norm for s in found.states) < 1e-10\n"
        "assert all(s.connects for s in found.states)\n"
        "ls.paths_between(ls.orthonormal_teacher(2), [np.eye(2), -np.eye(2)[::-1]], steps=5, stationary=False)\n"
        "assert not jax.config.jax_enable_x64"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=300)


def test_bad_input_is_one_sentence():
    with pytest.raises(ls.InputError, match="this one has kinks"):
        ls.transition_states(ls.empirical(np.eye(2), np.ones(2), 2, weight_decay=0.1))
    with pytest.raises(ls.InputError, match="point 0 leads to no stationary point beside it"):
        ls.transition_states(ls.orthonormal_teacher(3), np.full((3, 3), 0.7))


def test_what_was_found_prints_itself_and_is_plain_data(mueller_brown):
    _, found = mueller_brown
    said = str(found)
    assert "2 transition states between 3 minima" in said
    assert found.as_dict()["states"][0]["ends"] == list(found.states[0].ends)
    assert found.searches >= sum(found.other.values()) + sum(s.count for s in found.states)
