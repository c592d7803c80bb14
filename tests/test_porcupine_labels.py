"""Labels of porcupine points are right: against sampling, their own witnesses, and enumeration over signs."""

import numpy as np
import pytest
from hypothesis import given, settings
from porcupine_reference import SEEDS, any_problem, best_by_enumeration, gradient, stationary_points, value

from landscape.problems.orbits import OrbitIndex
from landscape.problems.porcupine import porcupine
from landscape.records import Evidence, InputError, Label
from landscape.theory.porcupine.beside import stationary_beside
from landscape.theory.porcupine.ends import finish
from landscape.theory.porcupine.faces import flat_dimension
from landscape.theory.porcupine.labels import label
from landscape.theory.porcupine.masses import at_masses, masses
from landscape.theory.porcupine.optimum import global_optimum
from landscape.theory.porcupine.regions import region


@settings(max_examples=60)
@given(SEEDS)
def test_labels_agree_with_sampling_enumeration_and_their_own_witnesses(seed):
    rng = np.random.default_rng(seed)
    problem = any_problem(rng)
    best = best_by_enumeration(problem)
    found = global_optimum(problem)
    assert abs(found.loss - best) < 1e-11 * (1 + best)  # nnls is accurate to some eps of E h*^2, up to 100 here
    assert found.lower_bound <= best + 1e-12
    assert found.gap < 1e-10 * (1 + problem.teacher_mass**2)
    assert label(problem, found.theta).label == Label.GLOBAL
    for theta in stationary_points(problem, rng):
        verdict = label(problem, theta)
        assert verdict.label in (Label.GLOBAL, Label.SPURIOUS, Label.TRAP), verdict.reason
        if verdict.by == "branching over signs" and verdict.evidence == Evidence.NUMERICAL:  # a tie with other signs
            assert verdict.label == Label.GLOBAL
            assert 1 in problem.neurons
            assert abs(verdict.loss - best) <= verdict.loss_error
        else:
            assert verdict.evidence == Evidence.CERTIFIED
        # The least spurious excess met is 1e-5: above 1e-10 or below, nothing in between.
        assert (verdict.label == Label.GLOBAL) == (verdict.loss < best + 1e-10)
        assert verdict.lower_bound <= best + 1e-12
        if verdict.label != Label.GLOBAL:
            assert value(problem, theta + verdict.escape) < verdict.loss - verdict.loss_error
        if verdict.label == Label.TRAP:
            small = theta + 1e-3 * verdict.escape  # a first-order descent, from the first step on
            assert value(problem, small) < verdict.loss - verdict.loss_error
            continue
        for size in 10.0 ** rng.uniform(-6, -1, 30):
            step = size * rng.normal(size=problem.p) * (rng.random(problem.p) < 0.6)
            step = np.where(theta != 0, np.clip(step, -np.abs(theta) / 2, np.abs(theta) / 2), step)
            assert value(problem, theta + step) >= verdict.loss - verdict.loss_error - 1e-13


@settings(max_examples=60)
@given(SEEDS)
def test_finishing_lowers_the_loss_to_a_local_minimum_and_keeps_zeros(seed):
    rng = np.random.default_rng(seed)
    problem = any_problem(rng)
    theta = rng.normal(size=problem.p)
    end = finish(problem, theta)
    assert value(problem, end) <= value(problem, theta) + problem.loss_error(theta)
    assert label(problem, end).label in (Label.GLOBAL, Label.SPURIOUS)
    np.testing.assert_allclose(finish(problem, end), end, rtol=0, atol=1e-7)  # already there: conditioning
    theta[0] = 0.0
    assert finish(problem, theta)[0] == 0.0


@settings(max_examples=40)
@given(SEEDS)
def test_permuting_neurons_of_a_line_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    problem = any_problem(rng)
    theta = finish(problem, rng.normal(size=problem.p))
    order = np.lexsort((rng.random(problem.p), problem.line_of))
    np.testing.assert_allclose(value(problem, theta[order]), value(problem, theta), rtol=1e-13, atol=1e-13)
    one, two = label(problem, theta), label(problem, theta[order])
    assert (one.label, one.flavour, one.by) == (two.label, two.flavour, two.by)
    np.testing.assert_array_equal(problem.symmetry(theta), problem.symmetry(theta[order]))


def test_a_coefficient_at_zero_and_one_next_to_zero_are_two_points_with_two_labels():
    problem = porcupine([[1.0]], 2, [[6.0], [-4.0]])
    index = OrbitIndex(problem.symmetry, 1e-7 * problem.scale)
    trap, minimum = np.array([6.0, 0.0]), np.array([6.0 - 1e-9, 1e-9])
    index.add(trap, 4.0)
    assert index.find(trap[::-1], 4.0) == 0
    assert index.find(minimum, 4.0) is None
    assert label(problem, trap).label == Label.TRAP
    assert label(problem, minimum).label == Label.SPURIOUS


def test_a_point_that_is_not_stationary_is_unconverged_and_bad_points_are_named():
    problem = porcupine(np.eye(2), 2, np.eye(2))
    verdict = label(problem, np.array([0.3, 0.3, 0.3, 0.3]))
    assert verdict.label == Label.UNCONVERGED
    np.testing.assert_allclose(verdict.grad_norm, np.linalg.norm(gradient(problem, np.full(4, 0.3))), rtol=1e-14)
    with np.errstate(all="ignore"):
        assert label(problem, np.array([1e200, -1e200, 1e300, 1e300])).label == Label.UNCONVERGED
    with pytest.raises(InputError, match="coefficients must be 4 numbers"):
        label(problem, np.zeros(3))
    with pytest.raises(InputError, match=r"coefficients\[1\] is nan"):
        label(problem, np.array([0.0, np.nan, 0.0, 0.0]))


def test_a_teacher_mass_too_small_to_see_leaves_a_region_undecided_never_global():
    """Degree one, the mass n that a region cannot reproduce down to 1e-17: bad by theory, however small the loss."""
    rng = np.random.default_rng(7)
    seen = set()
    for exponent in np.linspace(0, 17, 69):
        n = 10.0**-exponent
        problem = porcupine(np.eye(2), 2, [[1.0, 0], [-n, 0], [0, -0.7], [0, 0.3]])
        inside = region(problem, np.array([1.0, 1.0, 1.0, -1.0]))
        assert inside.bad is not False
        for theta in (inside.theta, inside.theta * (1 + 1e-12 * rng.normal(size=4))):
            verdict = label(problem, theta)
            assert verdict.label in (Label.SPURIOUS, Label.UNDECIDED)
            seen.add((verdict.label, exponent < 9))
    assert (Label.UNDECIDED, True) not in seen  # masses down to 1e-9 are told from none


def test_lines_that_are_not_quite_dependent_are_independent():
    """A third line 4e-12 rad out of the plane of two others, all mixed: the sum of neurons can leave the plane, and the
    minimum within the plane is none. Dropping the direction once made it a certified global one."""
    teacher = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [1, 1, 5.6e-12], [-1, -1, -5.6e-12], [0, 0, -1.0]]
    planar, tilted = (porcupine([[1, 0, 0], [0, 1, 0], [1, 1, height]], 2, teacher) for height in (0.0, 5.6e-12))
    within = finish(planar, np.array([1, -1, 1, -1, 1, -1.0]))
    found, verdict = global_optimum(tilted), label(tilted, within)
    assert np.all(within != 0)
    assert verdict.label == Label.UNDECIDED  # both losses differ by 2e-12, and are known to 4e-13
    assert value(tilted, within) - found.loss > 1.5e-12
    best = label(tilted, found.theta)
    assert best.label == Label.GLOBAL
    assert best.lower_bound <= found.loss <= best.lower_bound + 2 * best.loss_error


@pytest.mark.parametrize("decimals", [11, 12, 13, 17])
def test_no_network_is_below_the_bound_of_a_global_label_where_lines_are_rounded_from_a_plane(decimals):
    rng, labels = np.random.default_rng(decimals), []
    for _ in range(25):
        plane = np.linalg.qr(rng.normal(size=(3, 2)))[0].T
        lines = rng.normal(size=(int(rng.integers(3, 7)), 2)) @ plane
        lines = np.round(lines / np.linalg.norm(lines, axis=1, keepdims=True), decimals)
        size = rng.uniform(0.5, 3, size=(2, len(lines), 1))
        teacher = np.concatenate([size[0] * lines, -size[1] * lines, 3 * rng.normal(size=(2, 3))])
        problem = porcupine(lines, 2, teacher)
        found = global_optimum(problem)
        verdict = label(problem, finish(problem, np.tile([3.0, -3.0], len(lines))))
        labels.append(verdict.label)
        if verdict.label == Label.GLOBAL:
            assert verdict.lower_bound <= found.loss
            assert found.loss >= verdict.loss - verdict.loss_error - problem.loss_error(found.theta)
    # Lines of rounding's distance from their plane lie in it; others are judged as they are, if slopes of 1e-12 can be.
    assert labels.count(Label.GLOBAL) == 25 or decimals < 17


def test_a_missing_sign_descends_though_its_line_is_nearly_in_the_span_of_mixed_ones():
    lines = [[1, 0, 0], [0, 1, 0], [1, 1, 1.4e-11]]
    teacher = [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], list(np.array(lines[2]) / np.sqrt(2)), [0, 0, -1.0]]
    problem = porcupine(lines, 2, teacher)
    theta = finish(problem, np.array([1, -1, 1, -1, 0.5, 0.5]))
    at = at_masses(problem, masses(problem, theta))
    # Off the plane, m is the teacher's (0, 0, 1): |m| dist / 2 = 4.95e-12, and slopes are known to 1e-13.
    np.testing.assert_allclose(at.slopes[1, 2], -4.95e-12, rtol=0, atol=2e-13)
    verdict = label(problem, theta)
    assert (verdict.label, verdict.by) == (Label.SPURIOUS, "missing sign")
    # In the plane itself both slopes are zero, exactly; rounding of the plane's basis does not make them negative.
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    flat = porcupine(np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]]) @ turn, 2, np.array(teacher) @ turn)
    assert label(flat, finish(flat, np.array([1, -1, 1, -1, 0.5, 0.5]))).label == Label.GLOBAL


@pytest.mark.parametrize("lines", [50, 100, 200])
def test_many_lines_in_the_plane_are_decided(lines):
    """Their kernel has eigenvalues of 1e-7, which bound the slopes beside by 1e-7 and the true ones are smaller: row by
    row they are known to 1e-11."""
    for seed in range(2):
        rng = np.random.default_rng(seed)
        problem = porcupine(rng.normal(size=(lines, 2)), 2, rng.normal(size=(5, 2)))
        found = global_optimum(problem)
        assert label(problem, found.theta).label == Label.GLOBAL
        for _ in range(4):
            verdict = label(problem, finish(problem, 0.05 * rng.normal(size=problem.p)))
            assert verdict.label == (Label.GLOBAL if verdict.loss - found.loss < 1e-11 else Label.SPURIOUS)


def test_slopes_of_the_stationary_point_beside_are_within_their_bounds():
    rng, checked = np.random.default_rng(0), 0
    for lines, d in ((40, 2), (8, 3), (30, 3)) * 4:
        problem = porcupine(rng.normal(size=(lines, d)), 2, rng.normal(size=(4, d)))
        exact = masses(problem, finish(problem, rng.normal(size=problem.p)))
        near = exact * (1 + 10.0 ** rng.uniform(-12, -7) * rng.normal(size=exact.shape))
        at, centre = at_masses(problem, near), at_masses(problem, exact)
        beside, there = stationary_beside(problem, near, at), stationary_beside(problem, exact, centre)
        missing = (beside.low != 0) | (beside.high != 0)
        assert np.all(beside.low <= there.high)
        assert np.all(there.low <= beside.high)
        assert centre.loss >= at.loss - beside.slack - at.loss_error - centre.loss_error
        checked += np.sum(missing)
    assert checked > 100


@pytest.mark.parametrize("lines", [1, 3])
def test_a_tie_between_signs_of_single_neurons_is_never_certified(lines):
    """On orthogonal lines with teachers 1 and -(1 + e), the worse sign loses by some e / 2, exactly so on one line."""
    axes = np.eye(lines)
    for e in 10.0 ** np.linspace(-15, -10, 26):
        teacher = np.concatenate([axes, -axes])
        teacher[lines, 0] = -(1 + e)
        problem = porcupine(axes, 1, teacher)
        worse = finish(problem, np.ones(lines))
        verdict = label(problem, worse)
        if verdict.label == Label.GLOBAL:
            assert verdict.evidence == Evidence.NUMERICAL
            assert e / 4 < verdict.loss_error
        better = label(problem, finish(problem, np.where(np.arange(lines) == 0, -1.0, 1.0)))
        assert better.label == Label.GLOBAL  # two more ties where there are three lines: numerical
        assert better.evidence == Evidence.NUMERICAL or (lines == 1 and e > 1e-14)
    assert verdict.label == Label.SPURIOUS


def test_a_point_beside_a_spurious_one_of_single_neurons_has_its_label():
    """Lines 2e-3 rad apart make curvatures of 1e-6; 1.6e-9 off, the slopes of a point could hide 1e-12."""
    e, close = 2.3713737056616554e-12, np.array([np.cos(2e-3), np.sin(2e-3), 0.0])
    lines = np.array([[1, 0, 0], close, [0, 0, 1.0]])
    problem = porcupine(lines, [2, 2, 1], np.concatenate([lines, -lines[:2], [[0, 0, -(1 + e)]]]))
    worse, better = (finish(problem, np.array([0.5, -0.5, 0.5, -0.5, side])) for side in (1.0, -1.0))
    for theta in (worse, worse + 1.6e-9 * np.eye(5)[4]):
        verdict = label(problem, theta)
        assert (verdict.label, verdict.by) == (Label.SPURIOUS, "lower network")
    assert label(problem, better).evidence == Evidence.CERTIFIED


def test_a_minimum_whose_mass_an_idle_neighbour_can_share_is_flat():
    problem = porcupine([[2.0, 0], [-2, 1]], [2, 1], [[2.0, -2], [-3, 3], [-3, 0]])
    theta = finish(problem, np.array([-1.0, 0, -1]))
    assert theta[1] == 0
    for share in (0.0, 0.01, 0.25):
        moved = theta + share * theta[0] * np.array([-1, 1, 0])
        verdict = label(problem, moved)
        assert (verdict.label, verdict.flavour, verdict.by) == (Label.SPURIOUS, "flat", "lower network")
        assert flat_dimension(problem, moved) == 1
        np.testing.assert_allclose(verdict.loss, value(problem, theta), rtol=1e-14)
