"""Stochastic gradient descent on fresh Gaussian inputs: unbiased, reproducible by seed, at no end that is none."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import mostly_slow

import landscape as ls
from landscape.precision import float64
from landscape.problems.restart import keys_of, noise_key

TEACHER = np.array([[1.0, 0.2, 0.0], [-0.3, 0.9, 0.4]])
PROBLEMS = {
    "relu": lambda: ls.teacher_student(TEACHER, 3),
    "erf": lambda: ls.teacher_student(TEACHER, 3, "erf"),
    "trained outer weights": lambda: ls.teacher_student(TEACHER, 3, outer="trained", teacher_outer=[1, -2]),
    "fixed outer weights": lambda: ls.teacher_student(TEACHER, 3, outer=[1, -1, 2]),
    "tied": lambda: ls.tied_student(TEACHER, 3),
}


@pytest.mark.parametrize("name", mostly_slow(PROBLEMS, "relu", "trained outer weights"))
def test_fresh_inputs_give_loss_and_gradient_on_average(name):
    problem = PROBLEMS[name]()
    theta = ls.start_points(problem, 0, np.arange(1))[0]
    with float64():
        x = jax.random.normal(jax.random.key(1, impl="threefry2x32"), (10_000, problem.inputs), jnp.float64)
        each = lambda one: 0.5 * jnp.square(problem.residual(one, x))  # noqa: E731
        losses, slopes = jax.jit(lambda one: (each(one), jax.jacfwd(each)(one)))(theta)
        losses, slopes = np.asarray(losses), np.asarray(slopes)
        loss, gradient = float(jax.jit(problem.loss)(theta)), np.asarray(jax.jit(problem.gradient)(theta))
    # Five standard errors of a mean: sixty numbers are looked at here in all.
    assert abs(losses.mean() - loss) < 5 * losses.std() / 100
    np.testing.assert_array_less(np.abs(slopes.mean(axis=0) - gradient), 5 * slopes.std(axis=0) / 100)


def _ends(problem, restarts, **settings):
    given = dict(seed=3, optimiser="sgd:4", budget=240, progress=False, step_size=0.05) | settings
    census = ls.explore(problem, restarts, **given)
    order = np.argsort(census.rows["restart"])
    return census, census.rows["loss"][order]


@pytest.mark.slow
def test_a_restart_draws_by_seed_and_number_whatever_the_lanes():
    problem = PROBLEMS["relu"]()
    _, ends = _ends(problem, 6)
    np.testing.assert_array_equal(ends, _ends(problem, 6, lanes=2)[1])
    np.testing.assert_array_equal(ends[:3], _ends(problem, 3)[1])


@pytest.mark.slow
def test_restarts_from_one_point_draw_apart_and_seeds_count():
    problem = PROBLEMS["relu"]()
    same = np.repeat(ls.start_points(problem, 0, np.arange(1)), 4, axis=0)
    ends = np.concatenate([_ends(problem, 4, starts=same, seed=seed)[1] for seed in (0, 1)])
    assert len(np.unique(ends)) == 8


def test_draws_are_not_those_of_the_starting_points():
    with float64():
        key = jax.random.key(5, impl="threefry2x32")
        starts = [np.asarray(jax.random.key_data(jax.random.fold_in(key, i))) for i in range(8)]
        draws = np.asarray(keys_of(noise_key(5), np.arange(8, dtype=np.uint32)))
    assert len(np.unique(np.concatenate([starts, draws]), axis=0)) == 16


def test_noise_dies_at_the_teacher_and_a_descent_ends_there():
    census, losses = _ends(ls.orthonormal_teacher(2), 4, optimiser="sgd:16", budget=4800)
    assert census.labels()["global"] == 4
    assert np.all(np.abs(losses) < 1e-13)


def test_a_descent_at_a_spurious_minimum_never_settles():
    minimum = ls.family_member("II", 6).matrix().reshape(1, -1)
    problem = ls.orthonormal_teacher(6)
    assert ls.label(problem, minimum[0].reshape(6, 6)).label == "spurious"
    # The noise goes with the loss, which stays near its 0.0206 there: the gradient of all never gets to 1e-5.
    census, losses = _ends(problem, 2, starts=np.repeat(minimum, 2, axis=0), optimiser="sgd:64")
    assert census.labels()["unconverged"] == 2
    assert np.all(losses > 0.01)


@pytest.mark.parametrize(
    "problem", [ls.porcupine(np.eye(2), 2, np.eye(2)), ls.empirical(np.eye(3), np.ones(3), width=2)]
)
def test_losses_that_are_no_mean_over_gaussian_inputs_are_refused(problem):
    with pytest.raises(ls.InputError, match="sgd needs a loss over Gaussian inputs"):
        ls.explore(problem, 2, optimiser="sgd:8", progress=False)
