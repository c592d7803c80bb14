"""Polars are attained, exceeded by nothing, and bounded from above only where that is shown."""

from __future__ import annotations

import numpy as np
import pytest

from landscape.problems.parallel import matrix_factorisation, parallel, parts_at
from landscape.studies.mismatch import cubic
from landscape.theory.growth.polar import polar


def _heights(problem, z, count, seed):
    """<Z, phi(V)> / g(V) at random V."""
    draws = np.random.default_rng(seed).normal(size=(count, problem.q))
    one = problem.of_width(count)
    f, g = parts_at(one, draws.reshape(-1))
    return np.tensordot(f, z, z.ndim) / g


RNG = np.random.default_rng(3)
X, Y, YS = RNG.normal(size=(6, 2)), RNG.normal(size=6), RNG.normal(size=(6, 2))
EXACT = {
    "matrix": lambda: matrix_factorisation(RNG.normal(size=(3, 2)), 1, 0.5),
    "quadratic": lambda: parallel(X, Y, 1, "quadratic", 0.5),
    "relu, two outputs, plane": lambda: parallel(X, YS, 1, "relu", 0.5),
    "one weight": lambda: cubic(0.1, 3),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_polars_are_attained_and_exceeded_by_no_random_subnetwork(name):
    problem = EXACT[name]()
    for seed in range(5):
        z = np.random.default_rng(seed).normal(size=problem.y.shape)
        found = polar(problem, z)
        f, g = parts_at(problem.of_width(1), found.weights)
        if found.value > 0:
            assert g[0] == pytest.approx(1, rel=1e-12)
            assert np.sum(f[0] * z) == pytest.approx(found.value, rel=1e-12)
        # Exact: the interval is rounding.
        assert 0 <= found.upper - found.value <= 1e-11 * (1 + found.value)
        heights = _heights(problem, z, 4000, seed)
        assert np.max(heights) <= found.upper
        # 4000 draws in at most five dimensions come near the best one.
        assert np.max(heights) >= 0.8 * found.value


def test_the_plane_polar_agrees_with_a_dense_circle():
    z = np.random.default_rng(5).normal(size=(6, 2))
    t = np.linspace(0, 2 * np.pi, 200_001)
    heights = np.linalg.norm(np.maximum(np.stack([np.cos(t), np.sin(t)], axis=1) @ X.T, 0) @ z, axis=1)
    found = polar(parallel(X, YS, 1, "relu", 0.5), z).value
    # Half a step of 3e-5 with slopes of at most |Z| |x|: 1e-3 at kinks.
    assert np.max(heights) <= found * (1 + 1e-14)
    assert found - np.max(heights) <= 1e-3


@pytest.mark.slow
def test_a_polar_without_a_formula_has_no_upper_bound_or_a_true_one():
    z = np.random.default_rng(1).normal(size=(6,))
    deep = parallel(X, Y, 1, "deep_relu", 0.1)
    found = polar(deep, z)
    assert np.isinf(found.upper)
    assert found.value >= np.max(_heights(deep, z, 4000, 0))
    x3 = RNG.normal(size=(6, 3))
    for family in ("relu", "quadratic"):
        problem = parallel(x3, YS, 1, family, 0.5)
        zz = RNG.normal(size=(6, 2))
        found = polar(problem, zz)
        assert np.max(_heights(problem, zz, 4000, 0)) <= found.value * (1 + 1e-9) <= found.upper * (1 + 1e-9)
        assert np.isfinite(found.upper)
