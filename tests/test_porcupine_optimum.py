"""The global optimum at size: as tabulated for random lines, and as SciPy finds it."""

from dataclasses import replace

import numpy as np
import pytest
from porcupine_reference import best_by_enumeration, loss, value

from landscape.problems.porcupine import porcupine
from landscape.records import Label
from landscape.theory.porcupine.labels import label
from landscape.theory.porcupine.optimum import bound, global_optimum

# Theory 1.7: relative error of the optimum, d = 15, k* = 20, mean and standard error of 5 teachers.
TABLE = {15: (0.0597, 0.0048), 30: (0.0358, 0.0015), 60: (0.0236, 0.0010), 120: (0.0153, 0.0008), 250: (0.0094, 0.0007)}


def test_random_lines_approximate_a_free_network_as_well_as_tabulated():
    rng = np.random.default_rng(14)
    for r, (mean, error) in TABLE.items():
        ratios = []
        for _ in range(3):
            teacher = rng.normal(size=(20, 15))
            teacher /= np.linalg.norm(teacher, axis=1, keepdims=True)
            problem = porcupine(rng.normal(size=(r, 15)), 2, teacher)
            found = global_optimum(problem)
            size = value(problem, np.zeros(problem.p))
            np.testing.assert_allclose(2 * size, 72.5, rtol=0.1)  # E h*^2; draws of the teacher's sum differ
            assert found.gap < 1e-9 * size
            ratios.append(found.loss / size)
        # Both means have an error: sqrt(1 + 5/3) of the table's; three of those.
        assert abs(np.mean(ratios) - mean) < 3 * 1.64 * error


def test_a_thousand_lines_take_a_moment_and_scipy_agrees():
    rng = np.random.default_rng(15)
    teacher = rng.normal(size=(20, 15))
    problem = porcupine(rng.normal(size=(400, 15)), 2, teacher)
    found = global_optimum(problem)
    np.testing.assert_allclose(found.loss, best_by_enumeration(problem), rtol=1e-10)
    assert label(problem, found.theta).by == "no missing sign descends"
    assert bound(problem).value == found.lower_bound
    assert label(replace(problem, lower_bound=bound(problem)), found.theta).label == Label.GLOBAL
    assert bound(porcupine(np.eye(2), 2, np.eye(2))).value == 0.0


@pytest.mark.long
def test_ten_thousand_lines_in_a_hundred_dimensions_run():
    rng = np.random.default_rng(16)
    problem = porcupine(rng.normal(size=(10_000, 100)), 2, rng.normal(size=(20, 100)) / 10)
    found = global_optimum(problem)
    assert found.gap < 1e-8 * found.loss
    assert label(problem, found.theta).label == Label.GLOBAL
    np.testing.assert_allclose(loss(problem, found.theta), found.loss, rtol=1e-11)
