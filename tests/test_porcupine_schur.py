"""The Schur value is a lower bound, attained where it is feasible, and its norm has its limit for random lines."""

import numpy as np
from porcupine_reference import best_by_enumeration

from landscape.problems.porcupine import porcupine
from landscape.records import Label
from landscape.theory.porcupine.labels import label
from landscape.theory.porcupine.masses import masses
from landscape.theory.porcupine.optimum import global_optimum
from landscape.theory.porcupine.schur import RANDOM_LINES_SCHUR, schur_bound, schur_norm


def test_spanning_mixed_lines_reach_the_schur_value_where_it_is_feasible_and_never_go_below():
    rng = np.random.default_rng(10)
    reached, above = 0, 0
    for tilt in (0.02, 0.1, 0.3, 1.0):
        lines = rng.normal(size=(6, 4))
        lines /= np.linalg.norm(lines, axis=1, keepdims=True)
        turned = lines + tilt * rng.normal(size=(6, 4))
        problem = porcupine(lines, 2, np.concatenate([turned, -turned]))
        found, schur = global_optimum(problem), schur_bound(problem)
        spread = masses(problem, found.theta) > 0
        assert schur <= found.loss + 1e-12
        # All lines in use: one that is not has a slope >= 0 where the free optimum would make its mass negative.
        if np.linalg.matrix_rank(lines[spread.all(axis=0)]) == 4 and spread.any(axis=0).all():
            reached += 1
            assert abs(schur - found.loss) < 1e-12
            assert label(problem, found.theta).by == "mixed lines span"
        else:
            above += 1
            assert schur < found.loss - 1e-6
    assert reached
    assert above


def test_a_local_minimum_whose_mixed_lines_span_is_above_the_schur_value_where_a_line_is_idle():
    """A counterexample to "mixed lines that span attain the Schur value": two axes, their diagonal, and the teacher
    +-(1, -1). Both axes are mixed; the diagonal would help with a negative mass, and is idle at the global minimum.

    By hand, e = psi(0), p = psi(1/sqrt 2): without the diagonal the least loss is 1 - 2 p^2 / (1 + e); with a mass s of
    any sign on it, 1 - 2 p q - e s, where (1 + e) q + p s = p and 2 p q + s = e.
    """
    problem = porcupine([[1, 0], [0, 1], [1, 1]], 2, [[1, -1], [-1, 1]])
    e, p = 2 / np.pi, (2 / np.pi) * (np.sqrt(0.5) + np.sqrt(0.5) * np.pi / 4)
    q, s = np.linalg.solve([[1 + e, p], [2 * p, 1]], [p, e])
    found = global_optimum(problem)
    x = masses(problem, found.theta)
    np.testing.assert_array_equal(x > 0, [[True, True, False]] * 2)
    # Numbers of order one, sums of a dozen terms: rounding is some 1e-15.
    np.testing.assert_allclose(found.loss, 1 - 2 * p * p / (1 + e), rtol=0, atol=1e-13)  # 0.2106
    np.testing.assert_allclose(schur_bound(problem), 1 - 2 * p * q - e * s, rtol=0, atol=1e-13)  # 0.0999
    verdict = label(problem, found.theta)
    assert (verdict.label, verdict.by) == (Label.GLOBAL, "no missing sign descends")  # and not "mixed lines span"
    np.testing.assert_allclose(found.loss, best_by_enumeration(problem), rtol=0, atol=1e-13)


def test_the_schur_value_is_below_the_optimum_and_its_norm_bounds_nothing_but_it():
    rng = np.random.default_rng(11)
    violations = 0
    for d, k, r in ((3, 4, 10), (5, 5, 60), (10, 6, 200)) * 3:
        problem = porcupine(rng.normal(size=(r, d)), 2, rng.normal(size=(k, d)) / np.sqrt(d))
        schur, best = schur_bound(problem), global_optimum(problem).loss
        spectral = schur_norm(problem) * np.sum(problem.teacher**2) / 8
        assert schur <= best
        assert schur <= spectral
        violations += best > spectral
    assert violations >= 3  # the caution of theory 1.6: it is no upper bound on the optimum


def test_schur_norm_of_random_lines_goes_to_one_minus_two_over_pi():
    rng = np.random.default_rng(12)
    norms = []
    for d in (50, 200, 800):
        lines, teacher = rng.normal(size=(d, d)), rng.normal(size=(20, d))
        norms.append(schur_norm(porcupine(lines, 1, teacher)))
    # Theory 1.6 has .511, .404, .372 for one draw each; draws differ by some 0.02.
    np.testing.assert_allclose(norms, [0.511, 0.404, 0.372], rtol=0, atol=0.03)
    np.testing.assert_allclose(RANDOM_LINES_SCHUR, 0.363380, rtol=0, atol=5e-7)
    assert norms[0] > norms[1] > norms[2] > RANDOM_LINES_SCHUR
