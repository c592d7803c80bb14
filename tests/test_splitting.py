"""Splitting a neuron of a critical point makes a critical point whose whole spectrum is foretold by the narrow Hessian;
a new neuron descends where the birth test says so, by the drop that it says; counts of manifolds are those of brute
force."""

from functools import cache
from itertools import product
from math import factorial

import jax
import numpy as np
import pytest
from reference import ALL
from slow import long, slow

import landscape as ls
from landscape.polish import evaluate, newton_to_stationary
from landscape.records import Label
from landscape.theory.local_convergence import counts
from landscape.theory.local_convergence.families import family_member
from landscape.theory.nearby import losses

# gaussian.md 4.1: k, least eigenvalues of P for the flipped neuron and a regular one.
TYPE_II = [(6, -0.0903886, -0.1181502), (7, -0.0864096, -0.1083253), (10, -0.0768833, -0.0866190)]


def critical(activation, seed, width=2, d=3):
    """A critical point of a random teacher, by Newton's method from a random student."""
    rng = np.random.default_rng(seed)
    problem = ls.teacher_student(rng.normal(size=(3, d)), width, activation, slope=activation.slope)
    for _ in range(200):
        theta, norm = newton_to_stationary(problem, rng.normal(size=problem.p), 1e-13, 20.0)
        if norm < 1e-11 and np.min(np.linalg.norm(theta.reshape(width, d), axis=1)) > 0.05:
            return problem, theta.reshape(width, d)
    raise AssertionError("no critical point was found")


# --- splits ---


@pytest.mark.parametrize(("k", "flipped", "regular"), [TYPE_II[0], *(slow(*one) for one in TYPE_II[1:])])
@pytest.mark.parametrize("share", [slow(0.5), 0.2])
def test_a_split_of_type_ii_is_a_saddle_of_index_d_minus_1_with_the_spectrum_foretold(k, flipped, regular, share):
    problem, w = ls.orthonormal_teacher(k), family_member("II", k).matrix()
    for neuron, least in ((0, flipped), (1, regular)):
        found = ls.split(problem, w, neuron, share)
        assert abs(found.block[0] - least) < 6e-8  # printed to 7 decimals
        # Two eigenvalue problems of norm k with entries exact to 1e-15.
        assert found.deviation < 1e-12
        assert (found.measured.index, found.measured.zeros) == (k - 1, 1)
        assert len(found.directions) == k - 1
        assert losses(found.problem, found.theta[None])[0] == pytest.approx(family_member("II", k).loss, abs=1e-13)
        if share == 0.5:
            assert found.measured.min_curvature == pytest.approx(2 * found.block[0], abs=1e-12)
        verdict = ls.label(found.problem, found.theta.reshape(k + 1, k))
        assert (verdict.label, verdict.flavour) == (Label.SADDLE, f"index {k - 1}")


@pytest.mark.parametrize(
    "activation", [one if str(one) in ("relu", "abs") else slow(one) for one in ALL if one.homogeneous], ids=str
)
def test_the_spectrum_of_any_split_is_foretold_whatever_the_homogeneous_activation(activation):
    problem, w = critical(activation, seed=3)
    for neuron, share in ((0, 0.5), (1, 0.15)):
        found = ls.split(problem, w, neuron, share)
        scale = max(1.0, float(np.max(np.abs(found.predicted))))
        # The point is critical to 1e-11 only, and curvature changes by that over the shortest neuron.
        assert found.deviation < 1e-9 * scale
        negative = int(np.sum(found.block < -1e-6))
        assert found.measured.index >= negative


@pytest.mark.parametrize(
    "options", [{"activation": "leaky_relu", "slope": 0.1}, slow({"activation": "erf", "outer": "trained"})]
)
def test_a_spectrum_is_foretold_in_double_precision_where_jax_is_left_in_single(options):
    teacher = np.array([[1.0, 0.2, 0.0], [-0.3, 0.9, 0.4]])
    problem = ls.teacher_student(teacher, 2, **options)
    at = ls.Params(hidden=teacher, outer=[1, 1]) if "outer" in options else teacher
    with jax.enable_x64(False):  # as every user's process is, and these tests are not
        found = ls.split(problem, at, 0)
    assert found.deviation < 1e-13  # a Hessian of norm 1.4
    assert found.measured.index == 0  # a global minimum stays one


@cache
def outer_critical(outer, activation):
    """(problem, its critical point) that a descent on a random teacher with outer weights of both signs leads to."""
    rows = np.random.default_rng(1).normal(size=(3, 3))
    fixed = outer if outer == "trained" else list(outer)
    problem = ls.teacher_student(rows, 2, activation, outer=fixed, teacher_outer=[1.0, -0.5, 1.5])
    census = ls.explore(problem, 6, optimiser="flow", progress=False)
    for theta in census.weights.values():
        end, norm = newton_to_stationary(problem, theta, 1e-13, 0.1)
        hidden, weights = problem.parts(end)
        if norm < 1e-11 and min(np.min(np.linalg.norm(hidden, axis=1)), np.min(np.abs(weights))) > 0.1:
            return problem, problem.read(end)
    raise AssertionError("no critical point was found")


@pytest.mark.parametrize(
    ("outer", "activation"), [long("trained", "erf"), slow("trained", "relu"), long((1.0, -2.0), "relu")], ids=str
)
def test_splits_with_outer_weights_are_foretold_too(outer, activation):
    problem, params = outer_critical(outer, activation)
    shares = (0.5, 0.2, -0.5, 1.7) if outer == "trained" else (0.5, 0.2)
    for neuron in (0, 1):
        for share in shares:
            found = ls.split(problem, params, neuron, share)
            # The point is critical to 1e-11, and curvature changes by that over the smallest weight, 0.02.
            assert found.deviation < 1e-9 * max(1.0, float(np.max(np.abs(found.predicted))))
            gradient = evaluate(found.problem, found.theta)[0]
            assert np.linalg.norm(gradient) < 1e-9


@pytest.mark.slow
def test_a_split_outside_the_unit_interval_turns_the_signs_of_the_new_curvatures_round():
    """Fukumizu and Amari 2000: where P is definite, one of mu in (0, 1) and mu outside adds no negative curvature."""
    problem, params = outer_critical("trained", "erf")
    inside, outside = (ls.split(problem, params, 0, share).measured.index for share in (0.5, -0.5))
    own = int(np.sum(np.linalg.eigvalsh(evaluate(problem, problem.write(params))[1]) < -1e-9))
    block = ls.split(problem, params, 0).block
    assert inside == own + int(np.sum(block < -1e-9))
    assert outside == own + int(np.sum(block > 1e-9))


def test_the_critical_point_split_in_the_limit_of_a_small_part_is_the_point_beside_a_zero_neuron():
    problem, w = ls.orthonormal_teacher(6), family_member("II", 6).matrix()
    found = ls.split(problem, w, 0, 1 - 1e-4)
    # P / (mu (1 - mu)) grows without bound: the negative curvature is that of a cone.
    assert found.measured.min_curvature < 5e3 * found.block[0]
    assert found.deviation < 1e-9 * 1e4


def test_type_i_is_a_saddle_of_index_6_at_k_6():
    verdict = ls.label(ls.orthonormal_teacher(6), family_member("I", 6).matrix())
    assert (verdict.label, verdict.flavour) == (Label.SADDLE, "index 6")
    assert verdict.min_curvature == pytest.approx(-0.005825, abs=6e-7)  # printed to 6 decimals


def test_what_cannot_be_split_is_refused_in_a_sentence():
    problem, w = ls.orthonormal_teacher(6), family_member("II", 6).matrix()
    for say, call in (
        ("gradient norm is", lambda: ls.split(problem, w + 0.1, 0)),
        ("neuron must be between 0 and 5", lambda: ls.split(problem, w, 6)),
        ("share must be between 0 and 1", lambda: ls.split(problem, w, 0, 1.0)),
        ("relu, leaky_relu, abs or ", lambda: ls.split(ls.orthonormal_teacher(6, activation="erf"), w, 0)),
        ("hidden must have shape", lambda: ls.split(problem, w[:5], 0)),
        ("a neuron is zero", lambda: ls.split(ls.orthonormal_teacher(6, 7), np.vstack([w, np.zeros(6)]), 0)),
    ):
        with pytest.raises(ls.InputError, match=say):
            call()


# --- escapes ---


@pytest.mark.parametrize(
    ("k", "neuron", "label", "loss"),
    # gaussian.md 4.1; the new spurious minimum of (7, 8) is known from our own escapes, certified.
    [(6, 1, "global", 0.0), (7, 0, "spurious", None), slow(10, 0, "spurious", 0.017892655139)],
)
def test_escapes_end_where_theory_says(k, neuron, label, loss):
    found = ls.split(ls.orthonormal_teacher(k), family_member("II", k).matrix(), neuron)
    census = ls.escape(found, restarts=4, progress=False)
    assert census.labels()[label] == 4
    (level,) = census.levels
    assert level.evidence == "certified"
    assert 0 <= level.loss + 1e-13 < family_member("II", k).loss
    if loss is not None:
        assert level.loss == pytest.approx(loss, abs=6e-13)


def test_a_split_without_a_negative_direction_has_no_escape():
    problem = ls.orthonormal_teacher(2)
    found = ls.split(problem, np.eye(2), 0)
    assert found.measured.index == 0
    with pytest.raises(ls.InputError, match="no direction leads down"):
        ls.escape(found, restarts=4, progress=False)


# --- births ---


@pytest.mark.parametrize("activation", [one for one in ALL if one.kinked], ids=str)
def test_a_new_neuron_lowers_the_loss_by_the_drop_that_the_birth_test_says(activation):
    problem, w = critical(activation, seed=5)
    birth = ls.birth_test(problem, w)
    assert birth.descends
    wide = problem.of_width(3)
    grown = np.vstack([w, birth.length * birth.direction])
    before = losses(problem, w.reshape(1, -1))[0]
    # An exact quadratic in the length: only rounding is left, of losses up to some hundred.
    assert before - losses(wide, grown.reshape(1, -1))[0] == pytest.approx(birth.drop, abs=1e-12 * max(1.0, before))
    for factor in (0.9, 1.1):
        beside = np.vstack([w, factor * birth.length * birth.direction])
        assert losses(wide, beside.reshape(1, -1))[0] > losses(wide, grown.reshape(1, -1))[0]


def test_no_neuron_is_born_at_a_global_minimum_and_none_is_asked_for_where_there_is_no_slope():
    birth = ls.birth_test(ls.orthonormal_teacher(3), np.eye(3))
    assert not birth.descends
    assert birth.drop < 1e-28
    with pytest.raises(ls.InputError, match="no slope at a neuron of zero"):
        ls.birth_test(ls.orthonormal_teacher(3, activation="gelu"), np.eye(3))


# --- counts ---


def test_counts_are_the_printed_ones():
    # gaussian.md 4.2.
    critical_ = {(2, 3): 6, (2, 4): 14, (3, 4): 36, (6, 7): 15120, (10, 11): 199584000}
    global_ = {(1, 2): 3, (1, 3): 10, (2, 3): 12, (2, 4): 62, (3, 4): 60, (4, 5): 360, (6, 7): 20160}
    assert {pair: ls.critical_manifolds(*pair) for pair in critical_} == critical_
    assert {pair: ls.global_manifolds(*pair) for pair in global_} == global_
    assert ls.critical_manifolds(7, 7) == ls.global_manifolds(7, 7) == factorial(7)


@pytest.mark.parametrize(("r", "m"), [(1, 4), (2, 5), (3, 5), (4, 4)])
def test_counts_are_those_of_brute_force(r, m):
    onto = [row for row in product(range(r), repeat=m) if set(row) == set(range(r))]
    assert counts.critical_manifolds(r, m) == len(onto)
    # A neuron copies teacher 0..r-1, or is in one of the unlabelled groups r, r + 1, ...: named by first appearance.
    names = set()
    for row in product(range(r + m), repeat=m):
        if set(range(r)) <= set(row):
            order = list(dict.fromkeys(x for x in row if x >= r))
            names.add(tuple(x if x < r else r + order.index(x) for x in row))
    assert counts.global_manifolds(r, m) == len(names)


def test_counts_stay_exact_beyond_float64():
    assert ls.critical_manifolds(30, 30) == factorial(30)


@pytest.mark.wrong_types
def test_counts_refuse_senseless_sizes():
    critical_, global_ = ls.critical_manifolds, ls.global_manifolds
    for count, sizes in ((critical_, (3, 2)), (global_, (0, 2)), (global_, (2, 2.5))):
        with pytest.raises(ls.InputError, match="must be"):
            count(*sizes)
