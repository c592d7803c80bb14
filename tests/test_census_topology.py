"""From a census to its graph: minima ascending in loss, bounds from below by theory, kept in the run folder."""

from __future__ import annotations

import numpy as np
import pytest

import landscape as ls
from landscape.host import topology
from landscape.records import Label
from landscape.theory.ball import rise
from landscape.theory.nearby import losses
from landscape.theory.spurious_valleys.published import valley
from landscape.theory.teacher_student import strict_rise
from landscape.topology.graph import Way, components, depth, with_global
from landscape.topology.of_census import graph_of, minima_of
from landscape.topology.text import answers, text

PROBLEM = ls.orthonormal_teacher(8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    return ls.explore(PROBLEM, 60, 0, progress=False, optimiser="flow", out=folder), folder


def test_on_the_sphere_about_a_strict_minimum_the_loss_is_higher_by_what_is_said(run):
    census, _ = run
    rng = np.random.default_rng(0)
    minima, thetas = minima_of(census)
    assert {one.label for one in minima} == {"global", "spurious"}
    for theta in thetas:
        found = strict_rise(PROBLEM, theta)
        assert found is not None
        assert found.height > 0
        around = rng.normal(size=(500, PROBLEM.p))
        around[0] = np.linalg.eigh(np.asarray(_hessian(theta)))[1][:, 0]  # the softest way out
        sphere = theta + found.radius * around / np.linalg.norm(around, axis=1, keepdims=True)
        here = losses(PROBLEM, theta[None])[0]
        assert np.min(losses(PROBLEM, sphere)) - here >= found.height - 1e-13  # rounding of two losses


def _hessian(theta):
    from landscape.polish import evaluate

    return evaluate(PROBLEM, theta)[1]


def test_a_rise_needs_curvature_and_a_small_gradient():
    assert rise(0.0, 1.0, 3.0, 10.0) == (
        pytest.approx(1 / 27),
        pytest.approx(1 / 3),
    )  # lambda^3 / (3 B^2)
    assert rise(0.0, 1.0, 3.0, 0.1) == (pytest.approx(0.005 - 0.0005), 0.1)
    assert rise(1.0, 1.0, 3.0, 10.0) is None
    assert rise(0.0, -1.0, 3.0, 10.0) is None
    assert rise(0.0, 1.0, np.inf, 10.0) is None


def test_strict_minima_share_no_component_at_their_own_loss(run):
    census, folder = run
    minima, _ = minima_of(census)
    assert [one.loss for one in minima] == sorted(one.loss for one in minima)
    assert sum(one.share for one in minima) == pytest.approx(1.0)
    high = minima[-1].loss + 1.0
    found = graph_of(census, PROBLEM, [Way(0, i, high, "way") for i in range(1, len(minima))])
    assert all(wall.by == "rise on a sphere" for wall in found.walls)
    assert len(found.walls) == len(minima)
    assert with_global(found, 1) is False
    deep = depth(found, 1)
    assert deep is not None
    assert 0 < deep.low < deep.high <= 1.0 + minima[-1].loss
    assert components(found, high) == (1, 1)
    topology.keep(folder, topology.Topology(found, np.zeros((len(minima), 64)), {}, {"searches": 0}))
    again = topology.read(folder).graph
    np.testing.assert_array_equal(again.low, found.low)
    np.testing.assert_array_equal(again.high, found.high)
    assert (again.minima, again.ways, again.walls) == (found.minima, found.ways, found.walls)
    said = answers(again)
    assert said["components"] == 1
    assert said["minima"][1]["with_global"] is False
    assert "an orbit under the symmetry is one" in text(again)


def test_a_folder_without_a_topology_says_so(tmp_path):
    ls.explore(ls.orthonormal_teacher(2), 4, 0, progress=False, out=tmp_path / "run")
    with pytest.raises(ls.InputError, match="has no topology yet"):
        topology.read(tmp_path / "run")


@pytest.mark.slow
def test_the_published_valley_has_a_barrier_of_known_bounds_in_the_graph_of_its_census():
    """Descents of two neurons on the eight rows: a wall stands between the valley and the global minimum."""
    found = valley()
    census = ls.explore(found.problem, 60, 0, progress=False)
    minima, thetas = minima_of(census)
    caught = [i for i, one in enumerate(minima) if one.loss == pytest.approx(4.5, abs=1e-9)]
    goals = [i for i, one in enumerate(minima) if one.label == Label.GLOBAL]
    assert caught
    assert goals
    made = graph_of(census, found.problem)
    barrier = made.barrier(goals[0], caught[0])
    assert barrier.low == pytest.approx(31 / 6, abs=1e-9)
    assert barrier.low_by == "wall of 1 positive and 0 negative neurons"
    assert barrier.high == np.inf
    assert with_global(made, caught[0], 5.0) is False
    assert len(thetas) == len(minima)
