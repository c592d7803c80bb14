"""Matrix factorisation: its stationary values in closed form, their labels, and growth from each of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import landscape as ls
from landscape.host.growth import grow
from landscape.problems.parallel import matrix_factorisation, matrix_value
from landscape.records import Evidence, Label
from landscape.theory.growth.matrix_values import matrix_point, matrix_values

FIXTURES = Path(__file__).parent / "fixtures"
MATRIX = json.loads((FIXTURES / "matrix_factorisation.json").read_text())


def _matrix(width):
    return matrix_factorisation(MATRIX["Y"], width, MATRIX["lam"])


RNG = np.random.default_rng(3)
X, Y, YS = RNG.normal(size=(6, 2)), RNG.normal(size=6), RNG.normal(size=(6, 2))


def test_the_closed_form_is_the_fixtures():
    assert matrix_value(_matrix(1)) == pytest.approx(MATRIX["p_star"], abs=1e-12)
    values = [value for value, _ in matrix_values(_matrix(3))]
    np.testing.assert_allclose(values, MATRIX["critical_values"], atol=1e-6)  # printed to six decimals


@pytest.mark.slow
def test_all_eight_critical_points_are_recognised_and_left_for_the_optimum():
    problem = _matrix(4)
    best = matrix_value(problem)
    kinds = matrix_values(problem)
    for value, kept in kinds:
        theta = matrix_point(problem, kept)
        verdict = ls.label(problem, problem.read(theta))
        assert verdict.loss == pytest.approx(value, abs=1e-12)
        if value == kinds[0][0]:
            assert verdict.label == Label.GLOBAL
        else:
            assert verdict.label == Label.SADDLE
            sigma = MATRIX["singular_values"]
            first = next(s for i, s in enumerate(sigma) if i not in kept)
            assert verdict.min_curvature == pytest.approx(1.2 - first, abs=1e-9)
            lower = ls.label(problem, problem.read(theta + verdict.escape)).loss
            assert lower < value - 1e-3
        assert verdict.evidence == Evidence.CERTIFIED
    starts = np.array([matrix_point(problem, kept) for _, kept in kinds])
    for (value, _), path in zip(kinds, grow(problem, starts=starts).paths, strict=True):
        assert path.rounds[0].loss == pytest.approx(value, abs=1e-9)
        assert path.status == "certified"
        assert path.rounds[-1].loss == pytest.approx(best, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("width", [1, 5])
def test_factorisations_from_random_starts_are_certified_at_the_rank_of_the_optimum(width):
    grown = grow(_matrix(width), 1000 if width == 1 else 200)
    assert grown.statuses() == {"certified": len(grown.paths)}
    known = np.array([value for value, _ in matrix_values(_matrix(1))])
    for path in grown.paths:
        assert path.rounds[-1].width == 3
        assert abs(path.rounds[-1].loss - MATRIX["p_star"]) <= 1e-9
        assert all(np.min(np.abs(known - one.loss)) <= 1e-9 for one in path.rounds)


def test_narrow_factorisations_are_global_for_their_width():
    census = ls.explore(_matrix(2), 32, progress=False)
    assert census.labels()["global"] == 32
    assert {level.flavour for level in census.levels} == {"for this width"}
