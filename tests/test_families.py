"""What every landscape promises, held for one small problem of every family and variant (`tests/problems.py`)."""

import json
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import monitoring
from problems import FAMILIES, ONE_EACH, SOME
from reference import central_differences
from slow import mostly_slow

import landscape as ls
from landscape.descent import OPTIMISERS
from landscape.polish import newton_to_stationary
from landscape.problems.problem import QUICK
from landscape.records import Flavour, InputError, Label

every_family = pytest.mark.parametrize("name", mostly_slow(FAMILIES, *SOME))


@cache
def made(name):
    """The problem of this name."""
    return FAMILIES[name].make(0)


def points(problem, count, seed=0):
    """Random points, [count, p]; no two entries equal, so that nothing stands at a kink."""
    return np.random.default_rng(seed).normal(size=(count, problem.p))


@partial(jax.jit, compiler_options=QUICK)
def derivatives(problem, theta):
    return problem.loss(theta), problem.gradient(theta), problem.hessian(theta)


@partial(jax.jit, compiler_options=QUICK)
def many_gradients(problem, rows):
    """As rows, in the layouts that the problem has."""
    return [problem.gradients(rows), *([problem.gradient_lanes(rows.T).T] if problem.trailing else [])]


@every_family
def test_derivatives_are_limits_of_differences(name):
    problem = made(name)
    for theta in points(problem, 2):
        loss, gradient, hessian = (np.asarray(x) for x in derivatives(problem, theta))
        assert loss.shape == ()
        # A step of 1e-5 in float64: truncation is 1e-10 times a third derivative, rounding 1e-11 times the value. Both
        # are below 1e-7 of the sizes here; a wrong term or factor is of order one.
        slopes = central_differences(lambda t: derivatives(problem, t)[0], theta, 1e-5)
        np.testing.assert_allclose(gradient, slopes, rtol=0, atol=1e-7 * (1 + np.abs(gradient).max()))
        bends = central_differences(lambda t: derivatives(problem, t)[1], theta, 1e-5)
        np.testing.assert_allclose(hessian, bends, rtol=0, atol=1e-7 * (1 + np.abs(hessian).max()))
        np.testing.assert_allclose(hessian, hessian.T, rtol=0, atol=1e-14 * (1 + np.abs(hessian).max()))


@every_family
def test_many_gradients_are_the_single_ones(name):
    problem = made(name)
    thetas = points(problem, 3)
    single = np.stack([derivatives(problem, theta)[1] for theta in thetas])
    size = 1e-13 * (1 + np.abs(single).max())  # sums of some ten terms in other orders
    for rows in many_gradients(problem, thetas):
        np.testing.assert_allclose(rows, single, rtol=0, atol=size)


@every_family
def test_single_precision_stays_single(name):
    problem = made(name)
    theta = jax.ShapeDtypeStruct((problem.p,), jnp.float32)
    rows = jax.ShapeDtypeStruct((3, problem.p), jnp.float32)
    shapes = [*jax.eval_shape(derivatives, problem, theta), *jax.eval_shape(many_gradients, problem, rows)]
    assert {shape.dtype for shape in shapes} == {jnp.dtype(jnp.float32)}


@pytest.mark.parametrize("name", ONE_EACH)
def test_derivatives_in_single_precision_are_near_the_exact_ones(name):
    problem = made(name)
    theta = points(problem, 1)[0].astype(np.float32)
    exact = derivatives(problem, theta.astype(np.float64))
    # Some hundred roundings of 6e-8 of terms that are a few times the result.
    for single, double in zip(derivatives(problem, theta), exact, strict=True):
        np.testing.assert_allclose(single, double, rtol=0, atol=1e-4 * (1 + np.abs(double).max()))


@every_family
@pytest.mark.parametrize("wide", [True, False])
def test_theta_read_and_written_is_the_same_to_the_last_bit(name, wide):
    problem = made(name)
    for theta in points(problem, 3):
        with jax.enable_x64(wide):
            there = problem.write(problem.read(theta))
        assert there.dtype == np.float64
        np.testing.assert_array_equal(there, theta)


def test_the_representative_that_a_user_names_keeps_every_bit_of_theta():
    problem = made("from_loss, symmetry")
    for theta in points(problem, 3):
        with jax.enable_x64(False):
            there = problem.symmetry(theta)
        np.testing.assert_array_equal(there, [*sorted(theta[:2]), *sorted(theta[2:])])


@every_family
def test_the_rounding_error_of_the_loss_is_within_its_bound(name):
    problem = made(name)
    for scale in (1.0, 30.0, 1e-3):
        for theta in scale * points(problem, 3, seed=1):
            error = abs(float(FAMILIES[name].exact(problem, theta) - float(derivatives(problem, theta)[0])))
            bound = problem.loss_error(theta)
            assert error <= bound
            # Nor is the bound idle: at sizes of one a loss is known to nine digits and more.
            assert bound <= 1e-9 * (1 + abs(float(derivatives(problem, theta)[0]))) * max(1.0, scale) ** 2


@every_family
def test_another_draw_of_the_data_is_another_landscape_of_the_same_shape(name):
    problem, other = made(name), FAMILIES[name].make(1)
    assert problem.p == other.p
    theta = points(problem, 1)[0]
    assert float(derivatives(problem, theta)[0]) != float(derivatives(other, theta)[0])


# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", mostly_slow(ONE_EACH, "from_loss", "erf", "porcupine"))
def test_a_run_is_not_resumed_on_another_problem_of_the_same_shape(name, tmp_path):
    settings = dict(restarts=4, out=tmp_path / "run", budget=120, lanes=4, progress=False)
    before = ls.explore(FAMILIES[name].make(0), **settings)
    with pytest.raises(InputError, match="another run"):
        ls.explore(FAMILIES[name].make(1), resume=True, **settings)
    again = ls.explore(FAMILIES[name].make(0), resume=True, **settings)
    np.testing.assert_array_equal(again.rows["loss"], before.rows["loss"])


_compiled = [0]  # programs compiled, or found compiled on the disk, by this process


def _heard(event, duration_secs, **_):
    _compiled[0] += event == "/jax/core/compile/backend_compile_duration"


monitoring.register_event_duration_secs_listener(_heard)


def compilations(run):
    """How many programs are compiled while this runs."""
    before = _compiled[0]
    run()
    return _compiled[0] - before


def test_a_new_program_is_counted():
    assert compilations(lambda: jax.jit(lambda x: x * 3 + 1)(np.ones(3))) == 1


def _explored(problem, optimiser):
    """A run as a user starts it: every setting and the problem are made anew."""
    census = ls.explore(problem(), 6, lanes=4, budget=600, progress=False, optimiser=optimiser())
    assert census.finished == 6


@pytest.mark.parametrize("name", mostly_slow([*OPTIMISERS, "minibatch:2"], "lbfgs", "adam", "minibatch"))
def test_a_second_run_with_a_named_optimiser_compiles_nothing(name):
    problem = partial(FAMILIES["data, squared, tanh"].make, 0)
    compilations(lambda: _explored(problem, lambda: name))
    assert compilations(lambda: _explored(problem, lambda: name)) == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: optax.adam(0.01),
        lambda: optax.chain(optax.clip(1.0), optax.sgd(optax.cosine_decay_schedule(0.1, 200), momentum=0.9)),
        lambda: optax.sgd(lambda step: 0.1 / (1 + step / 100)),
    ],
)
def test_a_second_run_with_an_optimiser_from_optax_made_anew_compiles_nothing(make):
    problem = partial(FAMILIES["data, squared, tanh"].make, 0)
    assert compilations(lambda: _explored(problem, make)) > 0
    assert compilations(lambda: _explored(problem, make)) == 0


@pytest.mark.parametrize("name", ONE_EACH)
def test_a_second_run_of_an_equal_problem_compiles_nothing(name):
    # A user's own functions are known by identity: there it is the same problem.
    problem = (lambda: made(name)) if name == "from_loss" else partial(FAMILIES[name].make, 0)
    compilations(lambda: _explored(problem, lambda: "gradient-descent"))
    assert compilations(lambda: _explored(problem, lambda: "gradient-descent")) == 0


# -- points without a Hessian ------------------------------------------------------------------------------------------

# The Hessian at zero is not a number, by automatic differentiation; the gradient is zero.
SINGULAR = {"a length cubed": lambda x: jnp.sum(x * x) ** 1.5, "a power of 3/2": lambda x: jnp.sum(jnp.abs(x) ** 1.5)}


def singular(name, lower_bound=None):
    """One minimum at zero, and one with a Hessian at (3, 1)."""
    there = jnp.array([3.0, 1.0])
    return ls.from_loss(
        lambda x: 1 + 0.1 * SINGULAR[name](x) * jnp.sum((x - there) ** 2), lambda key: jnp.ones(2), lower_bound
    )


@pytest.mark.parametrize("name", mostly_slow(SINGULAR, "cubed"))
def test_a_point_without_a_hessian_is_one_undecided_row_and_the_others_go_on(name):
    starts = np.array([[2.5, 1.2], [0.0, 0.0], [3.2, 0.8]])
    settings = dict(progress=False, budget=2400, lanes=4)
    census = ls.explore(singular(name), starts=starts, **settings)
    order = np.argsort(census.rows["restart"])
    assert census.finished == 3
    assert census.rows["label"][order][1] == "undecided"
    # Evaluations about the point show a minimum where no Hessian can.
    assert census.rows["flavour"][order][1] in (Flavour.MINIMUM_NOT_CLEAR, Flavour.BEST_SEEN)
    assert np.isnan(census.rows["min_curvature"][order][1])
    others = ls.explore(singular(name), starts=starts[[0, 2]], **settings)
    alone = np.argsort(others.rows["restart"])
    for column in ("label", "loss", "steps"):
        assert census.rows[column][order][[0, 2]].tolist() == others.rows[column][alone].tolist()
    json.dumps(census.as_dict(), allow_nan=False)
    assert "undecided" in str(census)


@pytest.mark.parametrize("name", SINGULAR)
def test_a_point_without_a_hessian_is_a_minimum_by_evaluations_and_global_at_its_lower_bound(name):
    verdict, known = (ls.label(singular(name, bound), np.zeros(2)) for bound in (None, 1.0))
    assert verdict.label == Label.UNDECIDED
    assert verdict.flavour == Flavour.MINIMUM_NOT_CLEAR
    assert verdict.min_curvature is None
    assert known.label == Label.GLOBAL
    assert known.by == "lower bound"


@pytest.mark.parametrize("lower_bound", [None, -0.5, 0.0])
def test_a_point_with_a_slope_and_without_a_hessian_is_unconverged(lower_bound):
    # At a bound of -1/2 the gradient could explain the excess, and what is left to fall is asked for.
    problem = ls.from_loss(
        lambda x: 1e-9 * x[0] + jnp.sum(x[1:] ** 2) ** 1.5, lambda key: jnp.ones(3), lower_bound, scale=1e9
    )
    theta = np.zeros(3)
    point, grad_norm = newton_to_stationary(problem, theta, 1e-12, 0.1)
    np.testing.assert_array_equal(point, theta)
    assert grad_norm == 1e-9
    tilted = ls.from_loss(lambda x: x[0] + jnp.sum(x[1:] ** 2) ** 1.5, lambda key: jnp.ones(3), lower_bound)
    verdict = ls.label(tilted, theta)
    # A bound of zero is wrong, which a step down shows: nothing is global by it.
    assert verdict.label == (Label.UNDECIDED if lower_bound == 0.0 else Label.UNCONVERGED)
