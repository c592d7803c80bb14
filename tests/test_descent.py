"""The flow follows the gradient flow, L-BFGS reaches small gradients, and lanes on the last axis are the same lanes."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from slow import long, slow

import landscape as ls
from landscape import descent
from landscape.descent import flow
from landscape.problems.problem import QUICK


def advanced(problem, method, theta, steps, chunks=1):
    """A lane from theta, so many gradients later."""
    lane = descent.init(problem, method, jnp.asarray(theta), jnp.ones(theta.shape[1:]))
    advance = jax.jit(lambda lane: descent.advance(problem, method, lane, steps))
    for _ in range(chunks):
        lane = advance(lane)
    return lane


@pytest.mark.parametrize("tolerance", [slow(1e-2), slow(1e-3), 1e-4])
def test_the_flow_ends_a_step_where_an_independent_integrator_is_at_that_time(tolerance):
    problem = ls.orthonormal_teacher(5, 6)
    method = descent.method("flow", tolerance=tolerance)
    lane = descent.init(problem, method, jnp.asarray(ls.start_points(problem, 1, np.arange(1))[0]), jnp.ones(()))
    one = jax.jit(lambda lane: descent.advance(problem, method, lane, 1))
    start, time, longest = np.array(lane.theta), 0.0, 0.0
    for _ in range(150):
        length, before = float(lane.memory.length), lane.theta
        stages = int(lane.memory.stages)
        lane = one(lane)
        if not np.array_equal(before, lane.theta):  # the step of this length was taken
            time, longest = time + length, max(longest, length / stages)
    assert time > 0.5
    gradient = jax.jit(problem.gradient)
    truth = solve_ivp(lambda _, t: -np.asarray(gradient(t)), (0, time), start, rtol=1e-10, atol=1e-12)
    # Errors of single steps add up, and the flow here forgets them: within a few tolerances.
    assert np.linalg.norm(lane.theta - truth.y[:, -1]) < 5 * tolerance
    assert np.linalg.norm(lane.theta - start) > 0.3


def test_the_coefficients_are_those_of_a_second_order_method_that_is_stable_as_far_as_it_says():
    coefficients, stable = flow._chebyshev()
    for s in (2, 3, 7, 30):

        def polynomial(z, s=s):
            mu, nu, slope, first = coefficients[:, s]
            before, now = 0.0, slope[1] * z
            for j in range(2, s + 1):
                before, now = now, mu[j] * now + nu[j] * before + z * (slope[j] * (1 + now) + first[j])
            return 1 + now

        # 1 + z + z^2/2: the second difference at 0, with a third-order remainder of size h.
        h = 1e-4
        assert (polynomial(h) - polynomial(-h)) / (2 * h) == pytest.approx(1.0, abs=1e-7)
        assert (polynomial(h) - 2 * polynomial(0.0) + polynomial(-h)) / h**2 == pytest.approx(1.0, abs=1e-6)
        z = np.linspace(-stable[s], 0, 4001)
        assert np.all(np.abs(polynomial(z)) <= 1 + 1e-12)
        assert abs(polynomial(-1.7 * stable[s])) > 1
        assert stable[s] == pytest.approx(2 / 3 * (s * s - 1) * (1 - 4 / 195), rel=0.02)  # Verwer's estimate


def test_a_quadratic_with_curvature_far_above_the_step_is_followed_and_cheaply():
    # Curvatures 1 and 400: descent needs steps below 0.005, and 480 of those lower the gradient elevenfold.
    problem = ls.from_loss(lambda x: 0.5 * (x[0] ** 2 + 400 * x[1] ** 2), lambda key: jnp.ones(2), 0.0)
    lane = advanced(problem, descent.method("flow"), np.array([1.0, 1.0]), 120, 4)
    assert float(lane.grad_norm) < 1e-4
    assert 200 < float(lane.memory.curvature) <= 400 * (1 + 1e-6)  # a power iteration comes from below


@pytest.mark.parametrize("name", [slow("gradient-descent"), slow("flow"), "lbfgs"])
@pytest.mark.parametrize("sizes", [long((1, 1, 1)), long((2, 3, 2)), (4, 6, 5), slow((7, 5, 7))])
def test_lanes_on_the_last_axis_are_the_same_lanes(name, sizes):
    k, width, d = sizes
    teacher = np.random.default_rng(0).normal(size=(k, d))
    problem = ls.teacher_student(teacher, width, "leaky_relu")
    thetas = ls.start_points(problem, 0, np.arange(5))
    method = descent.method(name)
    columns = advanced(problem, method, thetas.T, 24)
    for i, theta in enumerate(thetas):
        alone = advanced(problem, method, theta, 24)
        # Sums in another order: 24 steps of a few ulp, which L-BFGS magnifies by its quotients of small differences.
        np.testing.assert_allclose(columns.theta[:, i], alone.theta, rtol=0, atol=1e-9)
        np.testing.assert_allclose(columns.grad_norm[i], alone.grad_norm, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in descent.OPTIMISERS if descent.method(name).unread])
def test_a_descent_does_not_read_what_another_one_left_in_its_memory(name):
    problem, method = ls.orthonormal_teacher(3), descent.method(name)
    begun = partial(descent.init, problem, method, step_scale=jnp.ones(()))
    advance = jax.jit(lambda lane: descent.advance(problem, method, lane, 40))
    one, other = ls.start_points(problem, 0, np.arange(2))
    clean = begun(jnp.asarray(one))
    expected = advance(clean)
    for left in (advance(begun(jnp.asarray(other))), advance(begun(jnp.asarray(1e160 * other)))):  # one overflows
        unread = {field: getattr(left.memory, field) for field in method.unread}
        found = advance(clean._replace(memory=clean.memory._replace(**unread)))
        jax.tree.map(np.testing.assert_array_equal, found.theta, expected.theta)
        assert found.grad_norm == expected.grad_norm
    assert not np.isfinite(left.grad_norm)


@partial(jax.jit, compiler_options=QUICK)
def _gradient(problem, theta):
    return problem.gradient(theta)


@partial(jax.jit, compiler_options=QUICK)
def _gradients(problem, thetas):
    return problem.gradients(thetas), problem.gradient_lanes(thetas.T)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs", "linear"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 2, 4), slow((6, 6, 6)), slow((2, 7, 3))])
def test_all_three_gradients_agree(activation, sizes):
    k, width, d = sizes
    rng = np.random.default_rng(1)
    problem = ls.teacher_student(rng.normal(size=(k, d)), width, activation)
    thetas = rng.normal(size=(9, problem.p))
    thetas[0, :d] = 0.0  # a zero neuron
    thetas[1] = np.tile(thetas[1, :d], width)  # all parallel
    thetas[2, :d] = problem.teacher[0]  # on a teacher
    with jax.enable_x64(True):
        single = np.stack([_gradient(problem, t) for t in thetas])
        rows, columns = _gradients(problem, thetas)
    size = 1e-14 * (1 + np.abs(single).max())  # sums of at most 14 terms in different orders
    np.testing.assert_allclose(rows, single, rtol=0, atol=size)
    np.testing.assert_allclose(columns.T, single, rtol=0, atol=size)


def test_lbfgs_does_not_stall_where_loss_differences_are_rounding():
    problem = ls.orthonormal_teacher(6)
    for seed in range(3):
        theta = ls.start_points(problem, seed, np.arange(1))[0]
        lane = advanced(problem, descent.method("lbfgs"), theta, 120, 5)
        assert float(lane.grad_norm) < 1e-11


def test_lbfgs_steps_on_a_quadratic_end_in_as_many_steps_as_it_has_curvatures():
    # Three distinct curvatures: with exact searches L-BFGS ends in three; with inexact ones in a few times that.
    problem = ls.from_loss(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 10.0, 100.0]) * x**2), lambda key: jnp.ones(3), 0.0)
    lane = advanced(problem, descent.method("lbfgs"), np.array([1.0, 1.0, 1.0]), 60)
    assert float(lane.grad_norm) < 1e-10


def test_lbfgs_stays_at_an_end_where_products_of_gradients_underflow():
    # The least eigenvalue, whose gradient has no rounding at its end: 120 steps on it is 1e-150, its square none.
    matrix = np.diag([1.0, 2.0, 3.0, 5.0])
    problem = ls.from_loss(lambda x: (x @ matrix @ x) / (x @ x), lambda key: jax.random.normal(key, (4,)))
    for theta in ls.start_points(problem, 0, np.arange(4)):
        lane = advanced(problem, descent.method("lbfgs"), theta, 60, 4)
        assert float(lane.grad_norm) < 1e-16
        assert float(problem.loss(lane.theta)) == pytest.approx(1.0, abs=1e-15)
        assert np.linalg.norm(lane.theta) < 100.0


def test_a_lane_that_meets_infinity_halves_and_goes_on():
    # log(x) + x - 1 - ... : the loss is not finite for x <= 0, where a long step would land.
    problem = ls.from_loss(lambda x: x[0] - jnp.log(x[0]), lambda key: jnp.array([3.0]), 1.0)
    for name in ("flow", "lbfgs"):
        lane = advanced(problem, descent.method(name, tolerance=0.1), np.array([1e-3]), 120, 2)
        assert float(lane.theta[0]) == pytest.approx(1.0, abs=0.01)
