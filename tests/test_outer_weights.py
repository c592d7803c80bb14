"""Students with outer weights: the zero set is exact, labels hold, flat directions are flat, and the loss of outer
weights of one is the loss without them."""

import json
from functools import cache

import jax
import numpy as np
import pytest
from reference import ALL, call, judged
from slow import slow

import landscape as ls
from landscape.polish import evaluate
from landscape.problems.activation import GAUSSIAN
from landscape.problems.restart import start_points
from landscape.records import Label
from landscape.theory.nearby import losses
from landscape.theory.outer_weights import realisable, zero_set_gap

every = pytest.mark.parametrize("activation", ALL, ids=str)
some = pytest.mark.parametrize("activation", [ALL[0], slow(next(one for one in ALL if one.name == "erf"))], ids=str)


@cache
def trained():
    """(problem, census) of four students of four orthonormal teachers, outer weights trained."""
    problem = ls.teacher_student(np.eye(4), outer="trained")
    return problem, ls.explore(problem, restarts=16, seed=0, progress=False)


def teacher(activation, k=3, d=3, seed=0, **options):
    rng = np.random.default_rng(seed)
    return ls.teacher_student(
        rng.normal(size=(k, d)),
        activation=activation,
        slope=activation.slope,
        teacher_outer=[1.0, -0.5, 2.0][:k],
        **options,
    )


def weights(problem, hidden, outer):
    return problem.write(ls.Params(hidden=hidden, outer=outer))


@some
def test_outer_weights_of_one_give_the_loss_without_them(activation):
    rng = np.random.default_rng(1)
    rows = rng.normal(size=(3, 4))
    plain = ls.teacher_student(rows, 2, activation, slope=activation.slope)
    fixed = ls.teacher_student(rows, 2, activation, slope=activation.slope, outer=[1.0, 1.0])
    trained = ls.teacher_student(rows, 2, activation, slope=activation.slope, outer="trained")
    w = rng.normal(size=(2, 4))
    theta = weights(trained, w, np.ones(2))
    for problem, at in ((fixed, w.reshape(-1)), (trained, theta)):
        assert abs(losses(problem, at[None])[0] - losses(plain, w.reshape(1, -1))[0]) <= 2 * problem.loss_error(at)
        (g, h), (g0, h0) = evaluate(problem, at), evaluate(plain, w.reshape(-1))
        # The same sums in another order, of terms of size |w||v|.
        np.testing.assert_allclose(g[:8], g0, rtol=0, atol=1e-13 * (1 + np.abs(g0).max()))
        np.testing.assert_allclose(h[:8, :8], h0, rtol=0, atol=1e-13 * (1 + np.abs(h0).max()))


@some
def test_jax_differentiates_the_loss_to_the_gradient(activation):
    problem = teacher(activation, width=2, outer="trained")
    theta = np.random.default_rng(2).normal(size=problem.p)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(jax.grad(problem.loss)(theta), problem.gradient(theta))


# --- the zero set ---


def global_points(problem, activation):
    """Students of five neurons that equal the teacher: split, cancelling, rescaled, turned where they may be."""
    v, b, z = problem.teacher, problem.teacher_outer, np.array([0.3, -0.7, 0.4])
    yield np.vstack([v, v[0], z]), np.array([0.3 * b[0], b[1], b[2], 0.7 * b[0], 0.0])
    yield np.vstack([v, z, z]), np.array([*b, 1.5, -1.5])
    if activation.homogeneous:
        yield np.vstack([2 * v[0], v[1], v[2] / 4, z, 3 * z]), np.array([b[0] / 2, b[1], 4 * b[2], 3.0, -1.0])
    if activation.even:
        yield np.vstack([-v[0], v[1], v[2], z, -z]), np.array([*b, 1.0, -1.0])
    if activation.odd:
        yield np.vstack([-v[0], v[1], v[2], z, -z]), np.array([-b[0], b[1], b[2], 1.0, 1.0])


@every
def test_points_of_the_zero_set_have_no_gap_and_points_beside_it_have_one(activation):
    problem = teacher(activation, width=5, outer="trained")
    for hidden, outer in global_points(problem, activation):
        theta = weights(problem, hidden, outer)
        assert zero_set_gap(problem, theta) < 1e-14
        assert losses(problem, theta[None])[0] <= problem.loss_error(theta)
        moved = theta + 0.05 * np.eye(problem.p)
        for one, loss in zip(moved, losses(problem, moved), strict=True):
            # A gap of zero means loss zero: what is not zero has a gap, whatever was moved.
            assert loss < 1e-9 or zero_set_gap(problem, one) > 1e-6


@some
def test_points_of_the_zero_set_are_global_and_points_beside_it_are_not(activation):
    problem = teacher(activation, width=5, outer="trained")
    for hidden, outer in global_points(problem, activation):
        theta = weights(problem, hidden, outer)
        verdict = judged(problem, theta)[2]
        assert (verdict.label, verdict.evidence) == (Label.GLOBAL, "certified")
        theta[0] += 0.05
        assert judged(problem, theta)[2].label != Label.GLOBAL


@every
def test_a_gap_of_zero_without_a_teacher_s_neuron_is_never_found(activation):
    problem = teacher(activation, width=2, outer="trained")
    v, b = problem.teacher, problem.teacher_outer
    if activation.name != "linear":
        assert zero_set_gap(problem, weights(problem, v[:2], b[:2])) > 0.1
    assert not realisable(problem)


def test_fixed_outer_weights_are_realisable_by_sign_or_by_value():
    rows = np.eye(3)
    make = lambda act, outer: ls.teacher_student(rows, len(outer), act, outer=outer, teacher_outer=[1, 1, -2])  # noqa: E731
    assert realisable(make("relu", [3.0, 1.0, -1.0]))
    assert not realisable(make("relu", [1.0, -1.0, -1.0]))
    assert realisable(make("erf", [1.0, 1.0, -2.0, 5.0]))
    assert not realisable(make("erf", [1.0, 1.0, -1.0]))


# --- labels ---


def test_trained_outer_weights_have_global_and_flat_spurious_ends():
    _, census = trained()
    labels = census.labels()
    assert labels["global"] + labels["spurious"] == 16
    assert min(labels["global"], labels["spurious"]) > 0
    (bad,) = [level for level in census.levels if level.label == "spurious"]
    assert (bad.flavour, bad.by) == ("flat", "curvature, teacher as witness")
    assert bad.loss > 0.05


def test_a_flat_spurious_minimum_of_trained_outer_weights_is_returned_to():
    problem, census = trained()
    restart = int(census.rows["restart"][census.rows["label"] == "spurious"][0])
    theta = census.weights[restart]  # of the first of its class
    rng = np.random.default_rng(0)
    starts = theta + 1e-3 * rng.normal(size=(8, problem.p))
    again = ls.explore(problem, starts=starts, progress=False)
    loss = losses(problem, theta[None])[0]
    np.testing.assert_allclose(again.rows["loss"], loss, rtol=0, atol=1e-9)


def test_signs_that_do_not_fit_the_teacher_leave_a_minimum_undecided_and_never_call_it_global():
    problem = ls.teacher_student(np.eye(3), outer=[1.0, 1.0, 1.0], teacher_outer=[1.0, 1.0, -1.0])
    census = ls.explore(problem, restarts=8, progress=False)
    assert census.labels()["undecided"] + census.labels()["saddle"] == 8
    assert census.best_seen > 0.1  # type: ignore[operator]


def test_a_zero_neuron_is_undecided_where_the_activation_has_a_kink():
    problem = ls.teacher_student(np.eye(2), 3, outer="trained")
    theta = weights(problem, np.array([[1.0, 0.0], [0.7, 0.7], [0.0, 0.0]]), np.ones(3))
    verdict = judged(problem, theta)[2]
    assert verdict.label == Label.UNDECIDED
    assert "cone at zero" in str(verdict.reason)


# --- flat directions ---


@pytest.mark.parametrize("outer", ["trained", [1.0, -2.0, 0.5]])
@some
def test_the_loss_does_not_change_along_flat_directions(activation, outer):
    # Three inputs more than the teacher has, so that it can be turned about; two neurons on one ray.
    rng = np.random.default_rng(3)
    v = np.pad(rng.normal(size=(2, 2)), ((0, 0), (0, 3)))
    problem = ls.teacher_student(v, 3, activation, slope=activation.slope, outer=outer, teacher_outer=[1.0, -1.0])
    hidden = rng.normal(size=(3, 5))
    hidden[1] = hidden[0]
    theta = weights(problem, hidden, rng.normal(size=3)) if outer == "trained" else hidden.reshape(-1)
    found = np.concatenate([problem.tangents(theta[None])[0], problem.flat_directions(theta)])
    passes = outer == "trained" or activation.homogeneous
    scales = 3 if outer == "trained" and activation.homogeneous else 0
    # A complement of three dimensions in which the student has rank two: 2 (3 - 2) + 1 turns.
    assert len(found) == 3 + passes + scales
    assert np.linalg.matrix_rank(found, tol=1e-9) == len(found)
    with jax.enable_x64(True):
        grad = np.asarray(jax.jit(problem.gradient)(theta))
    np.testing.assert_allclose(found @ grad, 0.0, rtol=0, atol=1e-12 * (1 + np.abs(grad).max()))


# --- chart, studies, errors ---


def test_equal_points_have_one_representative():
    problem = teacher(ALL[0], width=3, outer="trained")
    rng = np.random.default_rng(4)
    hidden, outer = rng.normal(size=(3, 3)), rng.normal(size=3)
    order, scale = [2, 0, 1], np.array([2.0, 0.5, 3.0])
    other = weights(problem, (hidden * scale[:, None])[order], (outer / scale)[order])
    canonical = problem.symmetry
    np.testing.assert_allclose(canonical(other), canonical(weights(problem, hidden, outer)), rtol=0, atol=1e-14)
    assert losses(problem, canonical(other)[None])[0] == pytest.approx(losses(problem, other[None])[0], abs=1e-13)


@pytest.mark.parametrize("init", ["xavier", "he", "gaussian", "sphere"])
def test_starts_have_both_signs_of_outer_weights(init):
    problem = ls.teacher_student(np.eye(3), outer="trained")
    starts = np.asarray(start_points(problem, 0, np.arange(50), init))
    assert starts.shape == (50, 12)
    assert 0.3 < np.mean(starts[:, 9:] > 0) < 0.7


@pytest.mark.slow
def test_it_is_a_study_of_the_command_line_and_of_python(tmp_path, capsys):
    out = tmp_path / "run"
    fields = (
        "--teacher",
        2,
        "--outer",
        "trained",
        "--teacher-outer",
        "[1, -1]",
        "--activation",
        "erf",
        "--restarts",
        4,
    )
    assert call("run", "teacher-student", *fields, "--out", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["problem"]["kind"] == "outer_weights"
    assert said["problem"]["outer"] == "trained"
    assert said["problem"]["parameters"] == 6
    problem = ls.teacher_student(np.eye(2), activation="erf", outer="trained", teacher_outer=[1, -1])
    census = ls.explore(problem, 4, progress=False)
    assert [level["loss"] for level in said["levels"]] == [level.loss for level in census.levels]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"outer": "free"}, "outer must be 'trained' or 3 numbers"),
        ({"outer": [1.0, 2.0]}, "outer must be 3 numbers"),
        ({"outer": [1.0, 0.0, 2.0]}, r"outer\[1\] is zero"),
        ({"teacher_outer": [1.0, np.nan, 1.0]}, "every entry must be finite"),
    ],
)
def test_outer_weights_that_do_not_fit_are_refused(options, words):
    with pytest.raises(ls.InputError, match=words):
        ls.teacher_student(np.eye(3), **options)


def test_points_that_do_not_fit_are_refused():
    free, fixed = (ls.teacher_student(np.eye(3), outer=outer) for outer in ("trained", [1.0, 1.0, 2.0]))
    whole = ls.Params(np.eye(3), np.ones(3))
    for say, run in (
        ("outer weights are trained", lambda: free.write(np.eye(3))),
        ("hidden must have shape", lambda: free.write(ls.Params(np.eye(2), np.ones(2)))),
        (
            "differs from the outer weights that the problem fixes",
            lambda: fixed.write(whole),
        ),
        ("no choice of the width", lambda: fixed.of_width(4)),
    ):
        with pytest.raises(ls.InputError, match=say):
            run()


def test_every_activation_over_gaussian_inputs_has_a_gap_for_outer_weights():
    assert {one.name for one in ALL} == set(GAUSSIAN)
