"""Candidates are recognised and accepted by arrays, on the same ground as one by one; what goes on comes back whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import long, slow

import landscape as ls
from landscape.descent.lane import Lane
from landscape.engine.accept import NewtonAcceptance
from landscape.engine.clock import Clock
from landscape.engine.driver import Driver
from landscape.engine.lanes import Group
from landscape.engine.orbit_book import Traps
from landscape.engine.queue import Candidates, Parked, Queue, Restarts, joined, parked
from landscape.engine.settings import Schedule, Settings, Tolerances
from landscape.engine.starts import BLOCK, Starts
from landscape.polish import all_definite, curvature_needed, curved, evaluate, polish
from landscape.problems.overlay import Overlay
from landscape.problems.restart import start_points
from landscape.records import Point, Status

PROBLEM = ls.orthonormal_teacher(8)


@pytest.fixture(scope="module")
def spurious():
    """A spurious minimum at k = 8."""
    parts = list(Driver(PROBLEM, Settings(optimiser="flow", lanes=64), 1).run(np.arange(32)))
    labels, thetas = np.concatenate([part[0]["label"] for part in parts]), np.concatenate([part[1] for part in parts])
    return thetas[np.flatnonzero(labels == "spurious")[0]]


def _least(theta):
    return np.linalg.eigvalsh(evaluate(PROBLEM, theta)[1])[0]


def _two_equal_rows(theta):
    """The point with its second row like its first: their difference is a direction of descent there."""
    rows = np.array(theta.reshape(8, 8))
    rows[1] = rows[0]
    return rows.reshape(-1)


def test_a_polish_of_convex_ground_only_leaves_a_point_beside_a_saddle_as_it_is(spurious):
    theta = spurious
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


@pytest.mark.parametrize("threads", [0, 1])
def test_starts_drawn_ahead_are_the_starts_drawn_alone(threads, monkeypatch):
    for room in ("AHEAD", "NEXT"):
        monkeypatch.setattr(f"landscape.engine.starts.{room}", 2 * BLOCK * PROBLEM.p)
    starts, queue = Starts(PROBLEM, Settings(), 5, None), Queue(np.arange(100, 1500), 1e-5)
    if threads:
        starts.meanwhile(ThreadPoolExecutor(threads))
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
    monkeypatch.setattr("landscape.engine.starts.NEXT", 2 * BLOCK * PROBLEM.p)
    monkeypatch.setattr(
        "landscape.engine.starts.start_points",
        lambda problem, seed, numbers, *how: drawn.append(len(numbers)) or start_points(problem, seed, numbers, *how),
    )
    starts, queue = Starts(PROBLEM, Settings(), 5, None), Queue(np.arange(6 * BLOCK), 1e-5)
    for _ in range(6 * BLOCK // 16):
        starts.of(queue.take(16, double=False).number, queue.upcoming(queue.new))
        if queue.new == BLOCK + 32:
            starts.of(np.array([1]), queue.upcoming(queue.new))  # one begins again
    assert drawn == 3 * [2 * BLOCK] + [BLOCK]


def _some(numbers, theta=0.0):
    restarts = Restarts.new(np.array(numbers), 1e-5)
    m = len(numbers)
    return Candidates.of(restarts, np.full((m, 2), theta), np.arange(m, dtype=float), np.ones(m))


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
    column = jnp.zeros(4)
    lanes = Lane(jnp.zeros((2, 4)), None, column, column, column, column)
    one, other = Parked(lanes), Parked(lanes)
    restarts.parked[[0, 3]], restarts.parked[1] = one, other
    found = [(parked, which.tolist()) for parked, which in restarts.batches()]
    assert found == [(one, [0, 3]), (other, [1])]


def _begun(problem, blocks, size, count):
    """A group in which so many restarts have begun, their places and thetas."""
    driver, numbers = Driver(problem, Settings(optimiser="flow"), 1), np.arange(count)
    sharding = driver._groups(8, driver.dtype)[0].sharding
    group = Group(problem, driver.method, driver.dtype, blocks, size, sharding)
    places, theta = group.free()[:count], start_points(problem, 1, numbers)
    group.begin(problem, places, theta, Restarts.new(numbers))
    group.put(places, Restarts.new(numbers))
    return group, places, theta


@pytest.mark.parametrize("k", [4, 8])  # lanes on the last axis, and on the first
def test_lanes_stay_where_they_stand_until_their_places_are_used(k):
    problem = ls.orthonormal_teacher(k)
    with jax.enable_x64(True):
        group, places, theta = _begun(problem, 4, 4, 10)
        leaving = np.array([1, 4, 6, 9])
        held = group.stand(places[leaving])
        np.testing.assert_array_equal(group.thetas(places[leaving]), theta[leaving])
        restarts = parked(group.leave(places[leaving]), held)
        # One goes on before a new one, and two wait; the fourth is at its end.
        on, waiting = restarts.at(np.array([2])), restarts.at(np.array([0, 3]))
        new = Restarts.new(np.array([10, 11, 12]))
        given = group.places_for(Restarts(*map(np.concatenate, zip(on, new, strict=True))))
        assert given[0] == places[6]
        assert len(set(given)) == 4
        assert set(given[1:]) <= set(group.free()) - {given[0]}
        group.settle([waiting])
        assert group.standing is None
        group.begin(problem, places, -theta, Restarts.new(np.arange(10)))  # the places are used
        assert [one is held for one in waiting.parked] == [True, True]
        np.testing.assert_array_equal(np.asarray(held.rows.theta)[waiting.row], theta[[1, 9]])


@pytest.mark.parametrize("k", [4, 8])  # lanes on the last axis, and on the first
def test_lanes_move_together_so_that_whole_blocks_fall_idle(k):
    problem = ls.orthonormal_teacher(k)
    with jax.enable_x64(True):
        group, places, theta = _begun(problem, 10, 8, 80)
        group.leave(places[:44])  # 36 stay, more than move at once
        group.compact()
        assert group.active().tolist() == [5]
        there = np.flatnonzero(group.taken)
        assert sorted(group.book.number[there]) == list(range(44, 80))
        np.testing.assert_array_equal(group.thetas(there), theta[group.book.number[there]])


@pytest.mark.slow
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


@pytest.mark.parametrize("k", [slow(4), long(8)])  # lanes on the last axis, and on the first
def test_blocks_as_on_an_accelerator_give_the_labels_of_blocks_on_a_cpu(k, monkeypatch):
    def rows(**given):
        driver = Driver(ls.orthonormal_teacher(k), Settings(optimiser="flow", lanes=64), 1, **given)
        parts = list(driver.run(np.arange(320)))
        found = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
        order = np.argsort(found["restart"])
        return {name: column[order] for name, column in found.items()}, driver.clock

    plain, _ = rows()
    monkeypatch.setattr("landscape.engine.driver._on_cpu", lambda devices: False)
    for module in ("polish", "engine.accept", "problems.overlay"):  # the host's part too, as beside an accelerator
        monkeypatch.setattr(f"landscape.{module}.double_on_cpu", lambda: False)
    begun, laid = Overlay.begun, []
    monkeypatch.setattr(Overlay, "begun", lambda *words: laid.append(len(words[1])) or begun(*words))
    blocks, clock = rows(schedule=Schedule(block=4, wide=(4,)))
    assert sum(laid) > 100  # known points are laid over ends while these are on the device
    for name in ("restart", "steps", "label", "evidence", "basin"):
        np.testing.assert_array_equal(plain[name], blocks[name])
    np.testing.assert_allclose(plain["loss"], blocks["loss"], rtol=0, atol=1e-13)
    # The last stragglers of both groups share blocks of four lanes; 32 lanes of one block a group would be under half.
    assert clock.own_steps == blocks["steps"].sum()
    assert clock.own_steps > 0.85 * clock.lane_steps


@pytest.mark.parametrize(("k", "wide"), [(20, (32, 8)), (40, (32, 8)), (80, (8,)), (200, ())])
def test_large_networks_are_computed_fewer_at_once(k, wide, monkeypatch):
    class Empty(Group):
        def __init__(self, *given):
            self.given = given

    monkeypatch.setattr("landscape.engine.driver._on_cpu", lambda devices: False)
    monkeypatch.setattr("landscape.engine.driver.Group", Empty)
    driver = Driver(ls.orthonormal_teacher(k), Settings(optimiser="flow"), 1)
    assert [group.given[6] for group in driver._groups(100_000, driver.dtype)] == [wide, wide]


def test_hessians_that_stay_on_the_device_are_as_definite_as_those_on_the_host(monkeypatch):
    problem = ls.orthonormal_teacher(3)
    rng = np.random.default_rng(2)
    rows = np.eye(3).reshape(-1) + rng.choice([0.01, 0.3, 1.0], size=(40, 1, 1)) * rng.normal(size=(40, 3, 9))
    rows[3, 1] = np.nan
    host = all_definite(problem, rows)
    assert 5 < host.sum() < 35
    monkeypatch.setattr("landscape.polish.double_on_cpu", lambda: False)
    np.testing.assert_array_equal(all_definite(problem, rows), host)


def test_few_numbers_come_to_the_host_for_a_restart():
    # On an accelerator a polish is a batch of 256, which is much for few restarts.
    restarts = 256 if jax.default_backend() == "cpu" else 4096
    driver = Driver(PROBLEM, Settings(optimiser="flow", lanes=64), 1)
    list(driver.run(np.arange(restarts)))
    # theta of each stop, and two numbers a look; 14 of 6 p each crossed when the whole lane came.
    assert driver.clock.down < restarts * 4 * PROBLEM.p * 8


def test_rows_of_points_are_definite_where_each_hessian_is():
    """Close by one factor answers for a row, further away each point is asked, and a saddle on the way is seen."""
    problem = ls.orthonormal_teacher(3)
    least, rng = np.eye(3).reshape(-1), np.random.default_rng(0)
    rows = np.stack([least + size * rng.normal(size=(4, 9)) for size in (1e-6, 1e-3, 0.05, 0.1, 0.3, 1.0, 1.0)])
    rows[-1, 1:] = least  # the first point alone is not at the minimum
    definite = [[np.linalg.eigvalsh(evaluate(problem, point)[1])[0] > 1e-9 for point in row] for row in rows]
    assert definite[0] == [True] * 4
    assert definite[-1] == [False, True, True, True]
    rows = np.concatenate([rows, rows[:1]])
    rows[-1, 3, :3] = 0.0  # no Hessian at a dead neuron
    assert all_definite(problem, rows).tolist() == [all(row) for row in definite] + [False]


def test_curvature_at_points_is_shown_where_it_is_there():
    problem, rng = ls.orthonormal_teacher(3), np.random.default_rng(5)
    thetas = np.eye(3).reshape(-1) + rng.choice([0.01, 0.3], size=(40, 1)) * rng.normal(size=(40, 9))
    least = np.array([np.linalg.eigvalsh(evaluate(problem, theta)[1])[0] for theta in thetas])
    thetas[7] = np.nan
    asked = least + np.where(np.arange(40) % 2, 1e-9, -1e-9)
    assert curved(problem, thetas, asked).tolist() == [i % 2 == 0 for i in range(40)]


def test_any_ball_that_is_large_enough_shows_where_a_descent_ends():
    """With B = 1 beyond the distance times two a curvature of that is needed, and no ball that is smaller says so."""
    radii, bounds = np.array([1.0, 0.1, 0.01]), np.array([30.0, 3.0, 1.0])
    needed = curvature_needed(radii, bounds, np.array([0.3, 0.04, 0.004, 0.6]), np.full(4, 1e-15), 1.0)
    np.testing.assert_allclose(needed, [18.0, 0.24, 0.008, np.inf], rtol=1e-9)
    assert curvature_needed(radii, bounds, np.array([np.nan]), np.ones(1), 1.0) == np.inf
    # From a point with curvature 0.02 the way of 0.009 is convex, and that of 0.05 if the curvature there is 0.13.
    traps = Traps(np.array([0.02, 0.02, 0.0, 0.02]), np.tile(radii, (4, 1)), np.tile(bounds, (4, 1)), np.zeros(4, bool))
    convex = traps.convex(np.array([0.009, 0.05, 0.009, 2.0]))
    np.testing.assert_allclose(convex, [-0.011, 0.13, np.inf, np.inf], rtol=1e-9)


@pytest.mark.parametrize("flat", [True, False])
def test_a_descent_far_along_a_flat_valley_goes_on_and_is_not_polished(spurious, flat, monkeypatch):
    """Where the known minimum is too steep for its distance, the polish says what it leads to."""
    settings = Settings(optimiser="flow")
    acceptance = NewtonAcceptance(PROBLEM, settings, settings.method(PROBLEM.scale), Clock(), Tolerances(), Schedule())
    found = polish(PROBLEM, spurious[None], 1e-12, 0.1, 1e-14, 1.0)
    verdict, _ = acceptance.book.judge(
        Point(spurious, float(found.loss[0]), 1e-14, 1e-13, 0.0, Status.CONVERGED), None, isolated=True
    )
    assert verdict.min_curvature > 1e-2
    acceptance.book.traps = acceptance.book.traps._replace(curvature=np.array([1e-3 if flat else 0.02]))
    away = np.random.default_rng(0).normal(size=PROBLEM.p)
    theta = (spurious + 0.03 * away / np.linalg.norm(away))[None]
    candidates = Candidates.of(Restarts.new(np.array([4]), 1e-5), theta, found.loss[:1], np.array([1.5e-5]))
    polished, queue = [], Queue(np.zeros(0, int), 1e-5)
    monkeypatch.setattr(acceptance, "_polish", lambda batch, queue: polished.extend(batch.restarts.number) or [])
    rows, rest = acceptance.accept(candidates, queue)
    assert not rows
    assert not rest
    assert polished == ([] if flat else [4])
    assert queue.take(9, double=False).number.tolist() == ([4] if flat else [])


def test_what_is_shown_early_ends_where_it_would_have_ended(monkeypatch):
    def run():
        driver = Driver(PROBLEM, Settings(optimiser="flow", lanes=64), 3)
        parts = list(driver.run(np.arange(64)))
        columns = {name: np.concatenate([part[0][name] for part in parts]) for name in ("restart", "loss", "steps")}
        return {name: column[np.argsort(columns["restart"])] for name, column in columns.items()}

    early = run()
    monkeypatch.setattr("landscape.engine.accept.EARLY", 1.0)
    late = run()
    np.testing.assert_allclose(early["loss"], late["loss"], atol=1e-12)  # polished
    assert np.all(early["steps"] <= late["steps"])
    assert early["steps"].sum() < 0.95 * late["steps"].sum()


@pytest.mark.parametrize(
    ("problem", "dtype", "early"),
    [
        (ls.orthonormal_teacher(3), "float64", True),
        (ls.orthonormal_teacher(3), "float32", False),
        (ls.orthonormal_teacher(3, 4), "float64", False),
        (ls.orthonormal_teacher(3, 3, 4), "float64", False),
        (ls.orthonormal_teacher(3, activation="erf"), "float64", False),
    ],
    ids=["isolated", "float32", "wide", "turning", "no bound"],
)
def test_descents_are_offered_early_where_that_can_show_something(problem, dtype, early):
    assert Driver(problem, Settings(dtype=dtype), 0).acceptance.first == pytest.approx(1e-4 if early else 1e-5)


def test_the_lower_bound_is_no_ground_on_the_early_rung():
    settings = Settings(optimiser="flow")
    acceptance = NewtonAcceptance(PROBLEM, settings, settings.method(PROBLEM.scale), Clock(), Tolerances(), Schedule())
    none, all_ = np.zeros(4, bool), np.ones(4, bool)
    threshold, trapped = np.array([1e-4, 1e-5, 1e-6, 1e-4]), np.array([False, False, False, True])
    basins = acceptance._basins(np.zeros((4, 64)), threshold, np.zeros((4, 64)), trapped, all_, none, np.full(4, 0.05))
    assert basins.tolist() == [None, "lower bound", "lower bound", "shown"]
