"""Sign regions hold bad minima where theory says so, and the dimension of their stationary sets is the nullity."""

import numpy as np
import pytest
from porcupine_reference import any_problem, dense_hessian

from landscape.problems.porcupine import porcupine
from landscape.records import InputError
from landscape.theory.porcupine.faces import flat_dimension
from landscape.theory.porcupine.orthogonal import orthogonal_candidate
from landscape.theory.porcupine.regions import region, regions


def test_regions_of_lines_too_close_to_tell_masses_apart_are_undecided():
    """Three lines within 4e-6 rad: their kernel is singular to rounding, and where all signs are alike so is the
    Hessian: masses are not known."""
    lines = [
        [-0.12853343105210538, 1.3664666368249065],
        [-0.12853545619575743, 1.3664624871455417],
        [-0.12853384203665263, 1.3664597066015727],
    ]
    teacher = [[-0.20917557487171307, -0.15922500991447772], [0.5408455846858077, 0.2146591225063409]]
    found = {tuple(r.kinds): r for r in regions(porcupine(lines, 1, teacher))}
    assert len(found) == 8
    for kinds in ((1, 1, 1), (-1, -1, -1)):
        assert found[kinds].bad is None
        assert found[kinds].by == "a mass is within its error of zero"
    # Some 1e-3 rad apart all is known.
    apart = porcupine([lines[0], [-0.12, 1.3665], [-0.135, 1.366]], 1, teacher)
    assert all(r.bad is not None for r in regions(apart))


def test_no_region_whose_mixed_lines_span_holds_a_bad_minimum_and_others_do():
    """Theory 1.4, by label and not by theorem: d = 2, r = 5, all 3^5 kinds of regions, 3 draws."""
    rng = np.random.default_rng(9)
    spanning, bad = 0, 0
    for _ in range(3):
        lines = rng.normal(size=(5, 2))
        problem = porcupine(lines, 2, rng.normal(size=(10, 1)) * np.repeat(lines, 2, axis=0))
        for found in regions(problem):
            if found.theta is not None and found.rank == 2:
                spanning += 1
                assert found.loss < 1e-20
            bad += bool(found.bad)
    assert spanning > 50
    assert bad > 20


def test_flat_dimension_is_the_nullity_of_the_hessian_at_stationary_points():
    rng = np.random.default_rng(13)
    flat = set()
    for _ in range(150):
        problem = any_problem(rng)
        theta = region(problem, rng.choice([-1.0, 1.0], size=problem.p)).theta
        if theta is None:
            continue
        values = np.linalg.eigvalsh(dense_hessian(problem, theta))
        nullity = int(np.sum(values < 1e-12))
        assert flat_dimension(problem, theta) == nullity
        flat.add(nullity)
    assert {0, 1, 2} <= flat


def test_regions_are_counted_with_their_permutations_and_bad_requests_are_named():
    problem = porcupine(np.eye(2), [3, 1], [[1.0, 0], [0, -1.0]])
    found = list(regions(problem))
    assert len(found) == 6
    assert sum(r.count for r in found) == 2**4
    with pytest.raises(InputError, match=r"\+1 or -1"):
        region(problem, np.array([1.0, 0.5, 1.0, 1.0]))
    with pytest.raises(InputError, match="kinds of sign regions"):
        next(regions(problem, most=5))
    with pytest.raises(InputError, match="orthogonal"):
        orthogonal_candidate(porcupine([[1.0, 0], [1, 1]], 2, [[1.0, 0]]), np.zeros(2))
