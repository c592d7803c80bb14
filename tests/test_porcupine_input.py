"""Porcupine problems read what they are given, and name what they cannot."""

import numpy as np
import pytest
from porcupine_reference import loss

from landscape.problems.porcupine import porcupine
from landscape.problems.restart import INITS, start_points
from landscape.records import InputError


@pytest.mark.parametrize(
    ("lines", "neurons", "teacher", "text"),
    [
        ([[1.0, 0], [0, 1], [-2, 0]], 1, [[1.0, 0]], "lines 0 and 2 are parallel"),
        ([[1.0, 0], [1.0, 1e-8]], 1, [[1.0, 0]], r"lines 0 and 1 are parallel \(angle 1e-08"),
        ([[1.0, 0], [0, 0]], 1, [[1.0, 0]], "line 1 has the direction zero"),
        ([[1.0, 0], [0, 1]], [1, 0], [[1.0, 0]], "line 1 has no neuron"),
        ([[1.0, 0], [0, 1]], [1, 2, 3], [[1.0, 0]], r"2 of them, one a line; found shape \(3,\)"),
        ([[1.0, 0], [0, 1]], 0, [[1.0, 0]], "at least 1, found 0"),
        ([[1.0, 0], [0, 1]], [1, [2]], [[1.0, 0]], "2 of them, one a line; found some nested"),
        ([[1.0, 0], [0, 1]], [1, 1.5], [[1.0, 0]], r"neurons_per_line\[1\] must be a whole number"),
        ([[1.0, 0], [0, 1]], "two", [[1.0, 0]], "must be a whole number"),
        ([[1.0, np.nan], [0, 1]], 1, [[1.0, 0]], r"lines\[0\]\[1\] is nan"),
        ([[1.0, 0], [0]], 1, [[1.0, 0]], "all rows of one length"),
        ([1.0, 0], 1, [[1.0, 0]], r"shape \(2,\)"),
        (np.zeros((0, 2)), 1, [[1.0, 0]], r"shape \(0, 2\)"),
        ([[1.0, 0]], 1, [[1.0, 0, 0]], "rows of 3 numbers and the lines of 2"),
        ([[1.0, 0]], 1, [[1.0, np.inf]], r"teacher\[0\]\[1\] is inf"),
        ([[1.0, 0]], 1, [[0.0, 0]], "teacher row 0 is zero"),
        ([[1.0, 0]], 10**15, [[1.0, 0]], r"1000000000000000 neurons on 1 lines need 5.96e\+07 GiB of memory"),
        (np.ones((10**6, 2)), 1, [[1.0, 0]], r"on 1000000 lines need 1.49e\+04 GiB"),
    ],
)
def test_bad_input_is_named(lines, neurons, teacher, text):
    with pytest.raises(InputError, match=text):
        porcupine(lines, neurons, teacher)


def test_rows_on_a_line_up_to_rounding_are_on_it_and_others_are_not():
    rng = np.random.default_rng(18)
    lines = rng.normal(size=(4, 3)) * 10.0 ** rng.uniform(-150, 150, size=(4, 1))
    unit = lines / np.max(np.abs(lines), axis=1, keepdims=True)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    matched = porcupine(lines, 2, [0.3 * unit[0], -1.7 * unit[2], 1e-3 * unit[2]])
    assert matched.matched
    assert matched.realisable
    assert matched.snapped < 1e-15
    np.testing.assert_allclose(matched.taught, [[0.3, 0, 1e-3, 0], [0, 0, 1.7, 0]], rtol=1e-15)
    assert not porcupine(lines, 1, [-1.7 * unit[2], unit[2]]).realisable
    assert not porcupine(lines, 2, unit[:1] + 1e-9).matched
    teacher = np.array([0.3, 0.0, 0.0, 0.0, 1e-3, -1.7, 0.0, 0.0])
    assert float(loss(matched, teacher)) <= matched.loss_error(teacher) < 1e-27  # eta^2, eta some 50 eps


def test_coefficients_survive_the_chart_and_starts_have_their_law():
    problem = porcupine(np.eye(3), [1, 2, 1], np.eye(3))
    theta = problem.write([0.1, -2, 0, 3])
    assert theta.dtype == np.float64
    np.testing.assert_array_equal(problem.read(theta), [0.1, -2, 0, 3])
    np.testing.assert_array_equal(problem.weights(theta), [[0.1, 0, 0], [0, -2, 0], [0, 0, 0], [0, 0, 3]])
    assert (problem.kind, problem.p, problem.width, problem.scale, problem.coercive) == ("porcupine", 4, 4, 1.0, True)
    assert problem.lower_bound.value == 0
    with pytest.raises(InputError, match="4 numbers"):
        problem.write([1.0, 2.0])
    for init in INITS:
        drawn = start_points(problem, 3, np.arange(2000), init, 2.0) / 2
        spread = {"xavier": 3**-0.5, "he": (2 / 3) ** 0.5, "gaussian": 1.0, "sphere": 1.0}[init]
        assert abs(np.mean(drawn)) < 5 * spread / np.sqrt(drawn.size)
        np.testing.assert_allclose(np.sqrt(np.mean(drawn**2)), spread, rtol=5 / np.sqrt(2 * drawn.size))
    assert set(np.abs(drawn.ravel())) == {1.0}
