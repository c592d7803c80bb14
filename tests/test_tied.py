"""Students with tied top weights: the loss is that of absolute values at |w| w, and labels go by its exact zero set."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import slow

import landscape as ls
from landscape.problems.problem import QUICK
from landscape.records import Label
from landscape.theory.tied import zero_set_gap

AXES = np.eye(2, 3)


@partial(jax.jit, compiler_options=QUICK)
def _derivatives(problem, theta):
    return problem.gradient(theta), jax.grad(problem.loss)(theta), problem.hessian(theta)


def _points(problem, count):
    return np.random.default_rng(5).normal(size=(count, problem.p))


def test_the_loss_is_that_of_absolute_values_at_the_carried_vectors():
    tied, plain = ls.tied_student(AXES, 3), ls.teacher_student(AXES, 3, "abs")
    of_tied, of_plain = jax.jit(tied.loss), jax.jit(plain.loss)
    for theta in _points(tied, 5):
        assert float(of_tied(theta)) == pytest.approx(float(of_plain(tied.carried(theta).reshape(-1))), rel=1e-13)


def test_the_loss_is_the_mean_over_samples():
    problem = ls.tied_student(AXES, 2)
    (theta,) = _points(problem, 1)
    w, x = theta.reshape(2, 3), np.random.default_rng(0).normal(size=(200_000, 3))
    errors = np.abs(x @ w.T) @ np.linalg.norm(w, axis=1) - np.abs(x @ AXES.T).sum(axis=1)
    squares = 0.5 * errors**2
    assert abs(float(jax.jit(problem.loss)(theta)) - squares.mean()) < 4 * squares.std() / np.sqrt(len(squares))


def test_automatic_derivatives_of_the_loss_are_the_analytic_ones():
    problem = ls.tied_student(AXES, 3)
    for theta in _points(problem, 3):
        gradient, automatic, _ = _derivatives(problem, theta)
        np.testing.assert_allclose(automatic, gradient, rtol=1e-12)


def test_the_gradient_vanishes_at_a_zero_neuron_and_the_hessian_is_finite():
    problem = ls.tied_student(AXES, 2)
    theta = np.array([1.0, 0.2, 0.0, 0.0, 0.0, 0.0])
    gradient, _, hessian = _derivatives(problem, theta)
    assert np.all(gradient[3:] == 0)
    assert np.isfinite(hessian).all()
    near = theta + np.array([0, 0, 0, 1e-8, 0, 0])
    assert np.abs(_derivatives(problem, near)[0][3:]).max() < 1e-7  # of the order of the neuron


@pytest.mark.parametrize(
    ("problem", "length", "cubic", "slope"),
    [
        # Zhou, Ge and Jin, claim 2: two students at angles +-delta to one teacher, their mean the teacher. With
        # L = c delta^3 the slope along delta is 3 c delta^2, over the length by which the students move.
        (
            ls.tied_student([[1.0, 0.0]], 2),
            lambda mass: np.sqrt(mass),
            2 / (3 * np.pi),
            3 * (2 / (3 * np.pi)) ** (1 / 3),
        ),
        (
            ls.teacher_student([[1.0, 0.0]], 2),
            lambda mass: mass,
            1 / (6 * np.pi),
            3 * np.sqrt(2) * (1 / (6 * np.pi)) ** (1 / 3),
        ),
    ],
    ids=["tied", "relu"],
)
def test_two_students_beside_one_teacher_have_the_loss_and_gradient_of_claim_2(problem, length, cubic, slope):
    delta = 1e-3  # the next order is delta^2 of the first, rounding 1e-16 / delta^3
    size = length(0.5 / np.cos(delta))
    theta = size * np.array([np.cos(delta), np.sin(delta), np.cos(delta), -np.sin(delta)])
    with jax.enable_x64(True):
        loss, gradient = float(jax.jit(problem.loss)(theta)), np.asarray(jax.jit(problem.gradient)(theta))
    assert loss / delta**3 == pytest.approx(cubic, rel=1e-5)
    assert np.linalg.norm(gradient) / loss ** (2 / 3) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize("angle", [0.0, 0.4, 1.2])
def test_mass_passes_between_students_of_one_line_on_a_circle(angle):
    problem = ls.tied_student(AXES, 3)
    theta = np.zeros((3, 3))
    theta[0, 0], theta[1, 0], theta[2, 1] = np.cos(angle), -np.sin(angle), 1.0
    verdict = ls.label(problem, theta)
    assert verdict.label == Label.GLOBAL
    assert verdict.evidence == "certified"
    assert zero_set_gap(problem, theta.reshape(-1)) < 1e-15


def test_a_mass_that_is_off_is_not_global():
    problem = ls.tied_student(AXES, 2)
    theta = np.array([[1.0, 0.0, 0.0], [0.0, 0.9, 0.0]])
    assert zero_set_gap(problem, theta.reshape(-1)) == pytest.approx(1 - 0.81)
    assert ls.label(problem, theta).label != Label.GLOBAL


def test_a_dead_neuron_that_can_be_born_is_a_saddle_with_a_way_down():
    problem = ls.tied_student(AXES, 2)
    # One student between both teachers, as long as is best there: its mass is E |u.x|(|e_1.x| + |e_2.x|), 45 degrees
    # from both. The other student is zero, and would gain towards either of them.
    half = np.sqrt(0.5)
    mass = 2 * (2 / np.pi) * (half + half * np.pi / 4)
    theta = np.zeros((2, 3))
    theta[0, :2] = np.sqrt(mass) * half
    verdict = ls.label(problem, theta)
    assert verdict.label == Label.SADDLE
    there = theta.reshape(-1) + verdict.escape
    assert float(problem.loss(there)) < float(problem.loss(theta.reshape(-1))) - 1e-6


@pytest.mark.parametrize("width", [2, slow(4)])
def test_every_descent_on_two_orthogonal_teachers_is_global(width):
    census = ls.explore(ls.tied_student(AXES, width), 30, 0, optimiser="flow", progress=False)
    assert census.labels()["global"] == 30


def test_separated_lines_are_as_far_apart_as_asked():
    teacher = ls.separated_teacher(5, 4, 0.9, seed=2, least=0.5, largest=2.0)
    norms = np.linalg.norm(teacher, axis=1)
    cosines = np.abs((teacher / norms[:, None]) @ (teacher / norms[:, None]).T)[np.triu_indices(5, 1)]
    assert np.arccos(cosines.max()) >= 0.9 - 1e-12
    assert norms.min() >= 0.5
    assert norms.max() <= 2.0
    assert norms.std() > 0.1
    np.testing.assert_array_equal(teacher, ls.separated_teacher(5, 4, 0.9, seed=2, least=0.5, largest=2.0))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ls.separated_teacher(3, 2, 1.2), "no 3 lines"),
        (lambda: ls.separated_teacher(3, 2, 2.0), "from 0 to pi / 2"),
        (lambda: ls.separated_teacher(3, 2, 0.1, least=0.0), "norms must be positive"),
        (lambda: ls.tied_student([[0.0, 0.0]]), "row 0 is zero"),
        (lambda: ls.tied_student(AXES, 0), "width must be"),
        (lambda: ls.tied_student(AXES).write(np.ones((3, 3))), "must have shape"),
        (lambda: ls.tied_student(AXES).write(ls.Params(AXES, np.ones(2))), "leave outer out"),
    ],
)
def test_bad_input_is_one_sentence(make, words):
    with pytest.raises(ls.InputError, match=words):
        make()


def test_the_jump_of_the_hessian_bounds_the_smooth_radius():
    problem = ls.tied_student(AXES, 2)
    theta = jnp.array([3.0, 4.0, 0.0, 0.1, 0.0, 0.0])
    assert float(problem.smooth_radius(theta)) == pytest.approx(0.1)
