"""Descent is the textbook's, step by step; lanes never disturb each other; a restart does not know its batch."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent import futures

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from slow import mostly_slow, slow

import landscape as ls
from landscape import descent
from landscape.engine import driver
from landscape.engine.driver import Driver
from landscape.engine.settings import Schedule, Settings

ORTHONORMAL_8 = dict(k=8, width=8)


def finished(problem, restarts, seed=0, starts=None, schedule=Schedule(), **settings):  # noqa: B008
    """Columns of a whole run, ascending in restart."""
    parts = list(Driver(problem, Settings(**settings), seed, starts, schedule=schedule).run(np.asarray(restarts)))
    rows = {name: np.concatenate([part[0][name] for part in parts]) for name in parts[0][0]}
    order = np.argsort(rows["restart"])
    return {name: column[order] for name, column in rows.items()}


def numpy_gradient(w, v):
    """The gradient as Safran and Shamir print it, one pair at a time: the slow reference."""
    grad = np.zeros_like(w)
    for i, wi in enumerate(w):
        for sign, others in ((1, w), (-1, v)):
            for j, x in enumerate(others):
                if sign == 1 and i == j:
                    grad[i] += wi / 2
                    continue
                ni, nx = np.linalg.norm(wi), np.linalg.norm(x)
                t = 2 * np.arctan2(np.linalg.norm(wi / ni - x / nx), np.linalg.norm(wi / ni + x / nx))
                grad[i] += sign * (nx * np.sin(t) * wi / ni + (np.pi - t) * x) / (2 * np.pi)
    return grad


def test_descent_follows_twenty_lines_of_numpy():
    problem = ls.orthonormal_teacher(4, width=5)
    theta = ls.start_points(problem, 3, np.arange(1))[0]
    lane = descent.init(problem, descent.method(), jnp.asarray(theta), jnp.ones(()))
    advance = jax.jit(lambda lane: descent.advance(problem, descent.method(), lane, 1))
    w = theta.reshape(5, 4)
    for _ in range(30):
        lane = advance(lane)
        w = w - 0.1 * numpy_gradient(w, problem.teacher)
        np.testing.assert_allclose(lane.theta.reshape(5, 4), w, atol=1e-13)  # 30 steps of a few ulp
    assert float(lane.grad_norm) == pytest.approx(np.linalg.norm(numpy_gradient(w, problem.teacher)), rel=1e-12)


def test_starts_depend_on_seed_and_number_only():
    problem = ls.orthonormal_teacher(3)
    many = ls.start_points(problem, 7, np.arange(1000))
    np.testing.assert_array_equal(ls.start_points(problem, 7, np.array([999, 3])), many[[999, 3]])
    assert not np.allclose(many, ls.start_points(problem, 8, np.arange(1000)))
    assert len(np.unique(many, axis=0)) == 1000


@pytest.mark.parametrize(("init", "variance"), [("xavier", 1 / 5), ("he", 2 / 5), ("gaussian", 1.0)])
def test_starts_have_the_variance_they_are_named_for(init, variance):
    draws = ls.start_points(ls.teacher_student(np.eye(5), 4), 0, np.arange(2000), init, init_scale=2.0)
    # 40,000 normal numbers: the variance has a relative standard error of sqrt(2 / 40000) = 0.7%; four of them.
    assert np.var(draws) == pytest.approx(4 * variance, rel=0.03)


def test_sphere_starts_are_unit_rows():
    draws = ls.start_points(ls.teacher_student(np.eye(5), 4), 0, np.arange(50), "sphere").reshape(50, 4, 5)
    np.testing.assert_allclose(np.linalg.norm(draws, axis=2), 1.0, rtol=1e-15 * 4)


def test_labels_and_losses_do_not_depend_on_the_number_of_lanes():
    # Seed 1 has both labels among its first 48 restarts at k = 8.
    problem = ls.orthonormal_teacher(**ORTHONORMAL_8)
    narrow, wide = (finished(problem, np.arange(48), seed=1, lanes=n) for n in (16, 64))
    assert set(narrow["label"]) == {"global", "spurious"}
    for name in ("restart", "steps", "label", "flavour", "evidence", "by"):
        np.testing.assert_array_equal(narrow[name], wide[name])
    np.testing.assert_allclose(narrow["loss"], wide["loss"], rtol=0, atol=1e-13)


def test_groups_that_are_looked_at_together_end_where_they_end_one_by_one(monkeypatch):
    """Two cores come back at any moment: a lane of one that goes on may find its place in the other."""
    problem = ls.teacher_student(np.eye(2), outer="trained", teacher_outer=[1, -1])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    monkeypatch.setattr(driver, "MANY", 0)  # as in a group of many lanes
    ends = []
    for when in (futures.FIRST_COMPLETED, futures.ALL_COMPLETED):
        monkeypatch.setattr(driver, "wait", lambda running, return_when, when=when: futures.wait(running, None, when))
        ends.append(finished(problem, np.arange(20)))
    for name in ("label", "steps"):
        np.testing.assert_array_equal(ends[0][name], ends[1][name])
    np.testing.assert_allclose(ends[0]["loss"], ends[1]["loss"], rtol=0, atol=1e-13)


@pytest.mark.slow
def test_a_restart_alone_ends_where_it_ends_in_company():
    problem = ls.orthonormal_teacher(6)
    together = finished(problem, np.arange(20))
    alone = finished(problem, [13])
    assert alone["label"][0] == together["label"][13]
    assert alone["steps"][0] == together["steps"][13]


@pytest.mark.slow
def test_four_devices_give_the_labels_of_one():
    code = """
import os, sys
os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={sys.argv[1]}"
import numpy as np, jax, landscape as ls
jax.config.update("jax_enable_x64", True)
assert jax.local_device_count() == int(sys.argv[1])
census = ls.explore(ls.orthonormal_teacher(8), 64, seed=1, lanes=64, progress=False)
losses = np.round(census.rows["loss"], 12) + 0.0  # minus zero is zero
print(list(zip(census.rows["label"], census.rows["steps"].tolist(), losses.tolist())))
"""
    said = [
        subprocess.run([sys.executable, "-c", code, n], check=True, capture_output=True, timeout=300).stdout
        for n in ("1", "4")
    ]
    assert said[0] == said[1]
    assert b"spurious" in said[0]


def test_a_diverging_lane_halves_its_step_until_it_descends_and_disturbs_nobody():
    # Curvature 2 for x < 0 and 50 for x > 0, minima at -1 and 1: a step of 0.1 is stable (below 2 / curvature) on the
    # left only; on the right it takes two halvings.
    def loss(params):
        x = params["x"]
        return jnp.where(x > 0, 25.0 * (x - 1.0) ** 2, (x + 1.0) ** 2)

    problem = ls.from_loss(loss, lambda key: {"x": jax.random.normal(key)}, lower_bound=0.0)
    starts = np.array([[1.001], [-1.3], [1.002], [-0.9]])
    rows = finished(problem, np.arange(4), starts=starts, step_size=0.1)
    assert set(rows["label"]) == {"global"}
    np.testing.assert_array_equal(rows["step_scale"][[1, 3]], 1.0)

    steep = ls.from_loss(lambda params: 25.0 * params["x"] ** 2, lambda key: {"x": jax.random.normal(key)}, 0.0)
    rows = finished(steep, np.arange(4), step_size=0.1)
    np.testing.assert_array_equal(rows["step_scale"], 0.25)
    assert set(rows["label"]) == {"global"}


def test_a_lane_that_diverges_at_every_step_is_recorded_and_the_others_go_on():
    # -|theta|^4 below a wall: restart 0 starts beyond the wall and falls for ever, the others sit in the well.
    def loss(params):
        return jnp.where(params["x"] > 2.0, -jnp.exp(params["x"]), (params["x"] - 1.0) ** 2)

    problem = ls.from_loss(loss, lambda key: {"x": jax.random.uniform(key)}, lower_bound=None)
    rows = finished(problem, np.arange(3), starts=np.array([[3.0], [0.5], [0.2]]))
    assert rows["label"][0] == "unconverged"
    assert "diverged" in rows["reason"][0]
    np.testing.assert_allclose(rows["loss"][1:], 0.0, atol=1e-20)


def test_the_budget_ends_a_restart_as_unconverged():
    rows = finished(ls.orthonormal_teacher(8), np.arange(4), budget=200)
    assert set(rows["label"]) == {"unconverged"}
    assert np.all(rows["steps"] == 240)  # two chunks
    assert np.all(rows["grad_norm"] > 1e-5)


@pytest.mark.parametrize(
    "name", mostly_slow([n for n in descent.OPTIMISERS if n != "gradient-descent"], "lbfgs", "adam", "moment")
)
def test_every_optimiser_finds_stationary_points(name):
    step = {"adam": 0.003, "rmsprop": 0.0001, "momentum": 0.05, "nesterov": 0.05}.get(name, 0.1)
    rows = finished(ls.orthonormal_teacher(3), np.arange(6), optimiser=name, step_size=step, retire=1e-3, budget=30_000)
    assert set(rows["label"]) == {"global"}
    assert np.all(rows["grad_norm"] <= 1e-12)


def test_any_optax_transformation_descends():
    made = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.2))
    rows = finished(ls.orthonormal_teacher(3), np.arange(4), optimiser=made)
    assert set(rows["label"]) == {"global"}


def test_a_restart_passing_a_saddle_is_not_frozen_there():
    # Two students near one point between two teachers: by symmetry the descent first nears the saddle at which both
    # are equal, gradient far below the retirement norm, and then leaves it. A Newton step there would stay.
    problem = ls.orthonormal_teacher(2)
    middle = np.array([0.5, 0.5])
    apart = 1e-7 * np.array([1.0, -1.0])
    rows = finished(problem, [0], starts=np.concatenate([middle + apart, middle - apart])[None])
    assert rows["label"][0] == "global"
    assert rows["steps"][0] > 300


def test_float32_descent_is_polished_in_float64():
    problem = ls.orthonormal_teacher(6)
    single, double = (finished(problem, np.arange(32), dtype=dtype) for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(single["label"], double["label"])
    assert np.all(single["grad_norm"] <= 1e-12)


@pytest.mark.slow
def test_a_descent_whose_float32_gradient_is_rounding_goes_on_in_float64():
    # In float32 these three stand at gradient norms of 3e-6 to 7e-6 for ever: seen before they were handed over.
    problem, late = ls.orthonormal_teacher(10), [409, 429, 879]
    single, double = (finished(problem, late, optimiser="flow", dtype=dtype) for dtype in ("float32", "float64"))
    np.testing.assert_array_equal(single["label"], double["label"])
    np.testing.assert_allclose(single["loss"], double["loss"], rtol=0, atol=1e-12)
    assert np.all(single["steps"] < double["steps"] + 600)
    assert np.all(single["grad_norm"] <= 1e-12)


def test_a_float32_descent_whose_loss_stands_still_goes_on_in_float64():
    # x + 300 is a multiple of 3e-5 in float32, and so is half the gradient: the driver does not know that.
    problem = ls.from_loss(lambda x: jnp.sum(((x + 300.0) - 300.7) ** 2), lambda key: jax.random.normal(key, (2,)), 0.0)
    rows = finished(problem, np.arange(4), dtype="float32")
    assert set(rows["label"]) == {"global"}
    assert np.all(rows["steps"] < 10_000)


def test_a_second_run_of_the_same_size_compiles_nothing():
    problem = ls.orthonormal_teacher(3)
    driver = Driver(problem, Settings(lanes=16), 0)
    compiled = []
    jax.monitoring.register_event_duration_secs_listener(
        lambda event, seconds, **_: compiled.append(event) if "backend_compile" in event else None
    )
    list(driver.run(np.arange(16)))
    compiled.clear()
    jax.jit(lambda x: x + 1)(np.ones(3)).block_until_ready()
    assert compiled  # compilations are heard: the driver's own may have been done by another test of this process
    compiled.clear()
    list(driver.run(np.arange(16, 32)))
    assert not compiled


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (dict(budget=0), "budget must be"),
        (dict(lanes=-1), "lanes must be"),
        (dict(step_size=-1.0), "step_size must be"),
        (dict(dtype="float16"), "dtype must be"),
        (dict(optimiser="newton"), "optimiser 'newton' is unknown"),
    ],
)
def test_a_senseless_setting_is_named(wrong, words):
    with pytest.raises(ls.InputError, match=words):
        ls.explore(ls.orthonormal_teacher(2), 2, **wrong)


@pytest.mark.parametrize("name", ["flow", slow("lbfgs"), "gradient-descent"])
def test_a_recognised_restart_ends_at_a_stationary_point_next_to_its_descent(name):
    # Of 100 restarts at k = 8 nearly all are recognised; each is checked by a route of its own: the gradient at the
    # point it is given, its loss, and a polish of nobody but itself.
    problem = ls.orthonormal_teacher(**ORTHONORMAL_8)
    parts = list(Driver(problem, Settings(optimiser=name, lanes=64), 1).run(np.arange(100)))
    rows = {column: np.concatenate([part[0][column] for part in parts]) for column in parts[0][0]}
    thetas = np.concatenate([part[1] for part in parts])
    assert {"global", "spurious"} == set(rows["label"])
    with jax.enable_x64(True):
        gradients = np.asarray(jax.jit(problem.gradients)(thetas))
        losses = np.asarray(jax.jit(jax.vmap(problem.loss))(thetas))
    assert np.linalg.norm(gradients, axis=1).max() <= 2e-12
    assert np.all(np.abs(losses - rows["loss"]) <= 2 * rows["loss_error"])
    assert np.all(rows["moved"] <= 0.1)
    assert len(np.unique(thetas, axis=0)) > 90  # not all one point: each its own image


def test_the_flow_ends_where_short_descent_steps_do():
    # Theory: at k = 8 both follow the same flow; step 0.01 and 0.02 agree in all of these too.
    problem = ls.orthonormal_teacher(**ORTHONORMAL_8)
    flow = finished(problem, np.arange(64), seed=1, optimiser="flow")
    short = finished(problem, np.arange(64), seed=1, step_size=0.02)
    assert np.mean(np.abs(flow["loss"] - short["loss"]) < 1e-9) >= 0.98
    assert flow["steps"].mean() < 0.05 * short["steps"].mean()


def test_stragglers_move_to_a_narrow_block_and_end_as_they_would():
    problem = ls.orthonormal_teacher(**ORTHONORMAL_8)
    plain = finished(problem, np.arange(24), seed=1)
    narrowed = finished(problem, np.arange(24), seed=1, schedule=Schedule(patience=0))
    for column in ("label", "steps", "basin"):
        np.testing.assert_array_equal(plain[column], narrowed[column])
