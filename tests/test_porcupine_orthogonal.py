"""Lines that are axes have the closed forms of degree one, scalar and tabulated."""

import numpy as np
import pytest
from hypothesis import given, settings
from porcupine_reference import SEEDS

from landscape.problems.porcupine import paper_loss, porcupine
from landscape.theory.porcupine.masses import masses
from landscape.theory.porcupine.orthogonal import orthogonal_candidate
from landscape.theory.porcupine.regions import region, regions


@pytest.mark.parametrize(
    ("d", "n", "expected"),
    [(2, 0.7, 0.18273511665565), (3, 0.7, 0.16436007916494), (2, 1.0, 0.37292880950133), (3, 1.0, 0.33542873298966)],
)
def test_degree_one_regions_with_one_unmixed_line_have_the_tabulated_loss(d, n, expected):
    # The other sign of the unmixed line, and the other lines, do not enter.
    teacher = np.concatenate([2.0 * np.eye(d), -n * np.eye(d)])
    problem = porcupine(np.eye(d), 2, teacher)
    kinds = np.array([1] + [0] * (d - 1))
    mass, closed, exists = orthogonal_candidate(problem, kinds)
    inside = region(problem, np.array([1.0, 1.0] + [1.0, -1.0] * (d - 1)))
    assert exists
    assert inside.bad is True
    assert abs(paper_loss(closed) - expected) < 2e-14  # the table has 14 decimals
    assert abs(paper_loss(inside.loss) - expected) < 2e-14
    np.testing.assert_allclose(masses(problem, inside.theta).sum(axis=0), mass, atol=1e-14)


@settings(max_examples=25)
@given(SEEDS)
def test_degree_one_regions_agree_with_the_closed_form(seed):
    rng = np.random.default_rng(seed)
    d = int(rng.integers(1, 4))
    masses = rng.uniform(0.1, 2, size=(2, d)) * (rng.random((2, d)) < 0.7)
    teacher = [s * masses[i, j] * np.eye(d)[j] for i, s in ((0, 1), (1, -1)) for j in range(d) if masses[i, j]]
    if not teacher:
        return
    problem = porcupine(np.eye(d), rng.integers(2, 4, size=d), teacher)
    for found in regions(problem):
        mass, closed, exists = orthogonal_candidate(problem, found.kinds)
        assert found.rank == np.sum(found.kinds == 0)
        missing = np.where(found.kinds > 0, masses[1], np.where(found.kinds < 0, masses[0], 0.0))
        # Where a mixed line has no teacher of one sign, and all is well else, a mass is zero: neither inside nor out.
        edge = np.any(np.abs(mass - np.abs(problem.on_sum))[found.kinds == 0] < 1e-12)
        if not edge:
            assert (found.theta is not None) == exists
            assert found.bad == (exists and bool(np.any(missing > 0)))
        if found.theta is not None:
            np.testing.assert_allclose(found.loss, closed, rtol=0, atol=1e-13)
