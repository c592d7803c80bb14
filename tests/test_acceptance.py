"""Candidates are recognised and accepted by arrays, on the same ground as one by one; what goes on comes back whole."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import landscape as ls
from landscape.engine.driver import Driver
from landscape.engine.queue import Candidates, Parked, Queue, Restarts, joined
from landscape.engine.settings import Settings
from landscape.engine.starts import BLOCK, Starts
from landscape.polish import Ground, ball, convex_between, evaluate, polish
from landscape.restart import start_points

PROBLEM = ls.orthonormal_teacher(8)


@pytest.fixture(scope="module")
def spurious():
    """A spurious minimum at k = 8: theta, eigenvalues, eigenvectors."""
    parts = list(Driver(PROBLEM, Settings(optimiser="flow", lanes=64), 1).run(np.arange(32)))
    labels, thetas = np.concatenate([part[0]["label"] for part in parts]), np.concatenate([part[1] for part in parts])
    theta = thetas[np.flatnonzero(labels == "spurious")[0]]
    return theta, *np.linalg.eigh(evaluate(PROBLEM, theta)[1])


def _least(theta):
    return np.linalg.eigvalsh(evaluate(PROBLEM, theta)[1])[0]


def _two_equal_rows(theta):
    """The point with its second row like its first: their difference is a direction of descent there."""
    rows = np.array(theta.reshape(8, 8))
    rows[1] = rows[0]
    return rows.reshape(-1)


def test_a_way_along_the_flattest_direction_is_shown_convex_without_a_factorisation(spurious, monkeypatch):
    theta, values, vectors = spurious
    ground = Ground(0.999 * values[0], 0.999 * values[1], 0.05, 10.0)
    monkeypatch.setattr("landscape.polish._definite", lambda *_: np.zeros(1, bool))
    assert convex_between(PROBLEM, theta + 1e-4 * vectors[:, 0], theta, ground)
    # Not where nothing is known of the minimum, nor beyond the ball of the bound, nor along a steep direction.
    assert not convex_between(PROBLEM, theta + 1e-4 * vectors[:, 0], theta, Ground())
    assert not convex_between(PROBLEM, theta + 1e-4 * vectors[:, 0], theta, ground._replace(radius=1e-5))
    assert not convex_between(PROBLEM, theta + 1e-4 * vectors[:, -1], theta, ground)


def test_what_is_shown_convex_is_convex(spurious):
    theta, values, vectors = spurious
    with jax.enable_x64(True):
        radius, bound = (float(x[0]) for x in ball(PROBLEM, theta[None]))
    ground = Ground(values[0], values[1], radius, bound)
    rng = np.random.default_rng(0)
    shown, convex = [], []
    for _ in range(30):
        # In directions that lean to the flattest ones, and towards a point with two equal rows, where curvature turns.
        lean = vectors @ (rng.normal(size=64) * 0.5 ** np.arange(64)) * 10 ** rng.uniform(-5, 0)
        for step in (lean, rng.uniform(0, 1) * (_two_equal_rows(theta) - theta)):
            shown.append(convex_between(PROBLEM, theta + step, theta, ground))
            convex.append(min(_least(theta + s * step) for s in (1.0, 0.75, 0.5, 0.25)) > 0)
    np.testing.assert_array_equal(shown, convex)  # no least eigenvalue is within rounding of zero here
    assert 0 < sum(convex) < len(convex)


def test_a_polish_of_convex_ground_only_leaves_a_point_beside_a_saddle_as_it_is(spurious):
    theta = spurious[0]
    saddle = _two_equal_rows(theta)
    assert _least(saddle) < -1e-3
    both = np.stack([saddle, theta + 1e-5])
    both = np.resize(both, (16, both.shape[1]))
    left = polish(PROBLEM, both, 1e-12, 0.1, 1e-14, 1.0, convex_only=np.ones(16, bool))
    assert (left.theta[::2] == both[::2]).all()
    assert not left.trapped[::2].any()
    assert not left.definite[::2].any()
    assert (left.grad_norm[1::2] <= 1e-12).all()
    free = polish(PROBLEM, both, 1e-12, 0.1, 1e-14, 1.0)
    assert (free.theta[0] != both[0]).any()
    np.testing.assert_array_equal(free.theta[1::2], left.theta[1::2])


def test_starts_drawn_ahead_are_the_starts_drawn_alone():
    settings = Settings()
    starts = Starts(PROBLEM, settings, 5, None)
    queue = Queue(np.arange(100, 1500), 1e-5)
    taken = []
    for most in (3, 700, 1, 400):
        numbers = queue.take(most, double=False).number
        taken.append(starts.of(numbers, queue.upcoming(queue.new)))
    expected = start_points(PROBLEM, 5, np.arange(100, 1204))
    np.testing.assert_array_equal(np.concatenate(taken), expected)
    # One that comes back, out of order, with some that have been drawn already.
    np.testing.assert_array_equal(
        starts.of(np.array([1204, 100]), queue.upcoming(9)), start_points(PROBLEM, 5, np.array([1204, 100]))
    )


def test_starts_are_drawn_in_whole_blocks(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "landscape.engine.starts.start_points",
        lambda problem, seed, numbers, *how: drawn.append(len(numbers)) or start_points(problem, seed, numbers, *how),
    )
    starts, queue = Starts(PROBLEM, Settings(), 5, None), Queue(np.arange(4 * BLOCK), 1e-5)
    for _ in range(4 * BLOCK // 16):
        starts.of(queue.take(16, double=False).number, queue.upcoming(queue.new))
    assert sum(drawn) == 4 * BLOCK
    assert len(drawn) <= 4


def _some(numbers, theta=0.0):
    restarts = Restarts.begun(np.array(numbers), 1e-5)
    m = len(numbers)
    return Candidates(restarts, np.full((m, 2), theta), np.arange(m, dtype=float), np.ones(m))


def test_a_queue_gives_back_what_goes_on_first_and_each_restart_once():
    queue = Queue(np.arange(10), 1e-5)
    first = queue.take(4, double=False)
    assert first.number.tolist() == [0, 1, 2, 3]
    assert queue.new == 6
    first.start[3] = np.ones(2)  # goes on in float64
    queue.put(first)
    assert queue
    assert queue.double
    assert queue.take(2, double=False).number.tolist() == [0, 1]
    assert queue.take(3, double=False).number.tolist() == [2, 4, 5]
    assert queue.take(3, double=True).number.tolist() == [3]
    assert queue.take(3, double=True).number.tolist() == []
    assert not queue
    assert queue.take(99, double=False).number.tolist() == [6, 7, 8, 9]


def test_candidates_are_joined_and_chosen_by_columns():
    both = joined([_some([3, 5]), _some([8], theta=1.0)])
    assert both.restarts.number.tolist() == [3, 5, 8]
    assert both.at(both.loss == 0).restarts.number.tolist() == [3, 8]
    assert not both.at(np.zeros(3, bool))
    assert not Candidates.none(2)


def test_restarts_that_go_on_are_found_by_what_holds_their_lanes():
    restarts = _some([1, 2, 3, 4]).restarts
    one, other = Parked(None), Parked(None)
    restarts.parked[[0, 3]], restarts.parked[1] = one, other
    found = [(parked, which.tolist()) for parked, which in restarts.batches()]
    assert found == [(one, [0, 3]), (other, [1])]


def test_restarts_end_alike_whether_few_or_many_are_looked_at_at_once():
    ends = []
    for lanes in (8, 128):
        with jax.enable_x64(True):
            parts = list(Driver(PROBLEM, Settings(optimiser="flow", lanes=lanes), 1).run(np.arange(96)))
        rows = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
        order = np.argsort(rows["restart"])
        ends.append({name: column[order] for name, column in rows.items()})
    for name in ("restart", "steps", "label", "flavour", "evidence", "basin", "status"):
        np.testing.assert_array_equal(ends[0][name], ends[1][name])
    # Orbits are named by their first member, and members are the same.
    for name in np.unique(ends[0]["orbit"]):
        assert len(np.unique(ends[1]["orbit"][ends[0]["orbit"] == name])) == 1
