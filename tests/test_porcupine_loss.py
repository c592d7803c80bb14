"""The porcupine loss and its derivatives are exact: against other formulas, other precision, and differences."""

import itertools

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import reference
from porcupine_reference import EPS, any_problem, dense_hessian, gradient, hessian, loss, value

from landscape.problems.activation import activation
from landscape.problems.porcupine import porcupine, psi
from landscape.problems.teacher_student import teacher_student
from landscape.theory.porcupine.masses import at_masses, decomposition, masses
from landscape.theory.porcupine.optimum import global_optimum


def test_psi_has_its_series_its_limits_and_two_ulp_everywhere():
    rho = np.r_[0.0, 1e-9, 0.3, -0.3, 0.999999, 1 - 1e-12, 1 - EPS, 1.0, -1.0, np.linspace(-1, 1, 41)]
    exact = [2 / mp.pi * (mp.sqrt(1 - x * x) + x * mp.asin(x)) for x in map(mp.mpf, rho.tolist())]
    np.testing.assert_allclose(psi(rho), np.array(exact, float), rtol=0, atol=2 * EPS)
    assert psi(np.array([1.0, -1.0])).tolist() == [1.0, 1.0]
    x = 1e-2
    np.testing.assert_allclose(psi(x), 2 / np.pi * (1 + x**2 / 2 + x**4 / 24 + x**6 / 80), rtol=0, atol=1e-15)


@pytest.mark.parametrize("matched", [True, False])
def test_loss_is_that_of_the_free_network_with_the_same_neurons(matched):
    """d = 4, r = 6: theorem 1 in masses against arc-cosine kernels of all pairs of neurons."""
    rng = np.random.default_rng(0)
    lines = rng.normal(size=(6, 4))
    teacher = rng.normal(size=(8, 1)) * lines[rng.integers(0, 6, 8)] if matched else rng.normal(size=(5, 4))
    problem = porcupine(lines, [1, 2, 3, 1, 2, 3], teacher)
    assert problem.matched == matched
    free = teacher_student(teacher, problem.p)
    for _ in range(20):
        theta = rng.normal(size=problem.p)
        other = float(loss(free, problem.weights(theta).reshape(-1)))
        # The other evaluation sums (12 + 8)^2 moments of size 1 to 10.
        np.testing.assert_allclose(loss(problem, theta), other, rtol=1e-13)
        linear, even = decomposition(problem, theta)
        np.testing.assert_allclose(linear + even, other, rtol=1e-13)
        total = problem.weights(theta).sum(axis=0) - teacher.sum(axis=0)
        np.testing.assert_allclose(linear, total @ total / 8, rtol=1e-12, atol=1e-14)


def test_error_of_the_loss_and_of_the_slopes_is_below_its_bound():
    rng, act = np.random.default_rng(1), activation("relu")
    worst = 0.0
    for matched in (True, False) * 3:
        lines = rng.normal(size=(3, 3)) + rng.choice([0.0, 10.0]) * rng.normal(size=3)  # some of them nearly parallel
        on_lines = rng.normal(size=(3, 1)) * lines[rng.integers(0, 3, 3)]
        problem = porcupine(lines, [1, 3, 2], on_lines if matched else rng.normal(size=(3, 3)))
        rows, teacher = reference.exact(problem.lines[problem.line_of]), reference.exact(problem.teacher)
        exact = lambda c, rows=rows, teacher=teacher: reference.loss(  # noqa: E731
            act, [[x * y for y in u] for x, u in zip(c, rows, strict=True)], teacher
        )
        for theta in (rng.normal(size=6), global_optimum(problem).theta):
            coefficients = reference.exact(theta)
            error = abs(float(loss(problem, theta)) - exact(coefficients))
            off = (np.asarray(gradient(problem, theta)) - reference.gradient(exact, coefficients))[theta != 0]
            worst = max(worst, float(error) / problem.loss_error(theta))
            worst = max(worst, float(np.linalg.norm(off)) / problem.gradient_error(theta))
    assert worst < 1


def test_gradient_and_hessian_are_differences_of_the_level_below_inside_a_region():
    rng = np.random.default_rng(2)
    for neurons in (2, [1, 3, 2, 2]):
        problem = porcupine(rng.normal(size=(4, 3)), neurons, rng.normal(size=(3, 3)))
        theta = rng.choice([-1.0, 1.0], problem.p) * rng.uniform(0.5, 2, problem.p)
        # F is quadratic here: central differences have no truncation, and rounding of eps F / h.
        slope = reference.central_differences(lambda t, problem=problem: loss(problem, t), theta, 1e-3)
        np.testing.assert_allclose(gradient(problem, theta), slope, rtol=0, atol=1e-11)
        curve = reference.central_differences(lambda t, problem=problem: gradient(problem, t), theta, 1e-3)
        h = np.asarray(hessian(problem, theta))
        np.testing.assert_allclose(h, curve, rtol=0, atol=1e-12)
        np.testing.assert_allclose(h, dense_hessian(problem, theta), rtol=0, atol=1e-15)
        assert np.linalg.eigvalsh(h)[0] > -1e-14  # convex in the region
        np.testing.assert_allclose(jax.grad(problem.loss)(jnp.asarray(theta)), gradient(problem, theta), atol=1e-14)


def test_at_a_kink_the_gradient_is_the_mean_of_the_one_sided_slopes():
    rng = np.random.default_rng(3)
    problem = porcupine(rng.normal(size=(3, 2)), 2, rng.normal(size=(3, 2)))
    theta = rng.normal(size=6)
    theta[[0, 3, 4]] = 0.0
    slopes, h = at_masses(problem, masses(problem, theta)).slopes, 1e-6
    for i in (0, 3, 4):
        sides = [(value(problem, theta + s * h * np.eye(6)[i]) - value(problem, theta)) / h for s in (1, -1)]
        # Forward differences: F'' h / 2 with F'' = 1/2, and rounding of eps F / h.
        np.testing.assert_allclose(slopes[:, problem.line_of[i]], sides, rtol=0, atol=1e-6)
    mean = 0.5 * (slopes[0] - slopes[1])[problem.line_of]
    np.testing.assert_allclose(np.asarray(gradient(problem, theta))[theta == 0], mean[theta == 0], atol=1e-14)
    np.testing.assert_allclose(jax.grad(problem.loss)(jnp.asarray(theta)), gradient(problem, theta), atol=1e-14)
    # The second derivative across a kink is that of either side, 1/2; with another coordinate its sides cancel.
    h = np.asarray(hessian(problem, theta))
    np.testing.assert_allclose(h.diagonal(), 0.5, rtol=1e-15)
    np.testing.assert_allclose(h[0, 3], problem.lines[0] @ problem.lines[1] / 4, rtol=1e-14)
    assert problem.smooth_radius(theta) == 0.0
    assert problem.third_derivative(theta, 0.1) == np.inf
    assert problem.third_derivative(theta + 1, 0.0) == 0.0


def test_one_point_at_a_time_or_many_compiled_or_not_in_single_or_double():
    rng = np.random.default_rng(4)
    problem = porcupine(rng.normal(size=(4, 3)), [1, 3, 2, 2], rng.normal(size=(2, 3)))
    thetas = rng.normal(size=(5, problem.p))
    for name in ("loss", "gradient", "hessian"):
        one = getattr(problem, name)
        many = jax.jit(jax.vmap(one))(thetas)
        np.testing.assert_allclose(many, np.stack([jax.jit(one)(t) for t in thetas]), rtol=0, atol=1e-14)
        np.testing.assert_allclose(many[0], one(thetas[0]), rtol=0, atol=1e-14)
        single = one(jnp.asarray(thetas[0], jnp.float32))
        assert single.dtype == jnp.float32
        np.testing.assert_allclose(single, many[0], rtol=0, atol=3e-6)  # some 20 roundings of numbers up to 3


def test_a_new_teacher_does_not_recompile_and_other_neuron_counts_do():
    rng = np.random.default_rng(5)
    same = [porcupine(rng.normal(size=(2, 3)), 2, rng.normal(size=(2, 3))) for _ in range(3)]
    other = porcupine(rng.normal(size=(2, 3)), [1, 3], rng.normal(size=(2, 3)))
    assert reference.compiled([*same, other]) == [4, 4]


def test_the_curvature_bound_holds_in_every_region_and_is_not_far_off():
    rng = np.random.default_rng(6)
    for _ in range(10):
        problem = any_problem(rng)
        bound = problem.curvature()
        signs = itertools.islice(itertools.product((1.0, -1.0), repeat=problem.p), 64)
        found = max(np.linalg.eigvalsh(dense_hessian(problem, s))[-1] for s in signs)
        assert 0.5 * bound < found <= bound * (1 + 1e-12)
