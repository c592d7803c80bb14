"""A zero subnetwork decides by the polar: global, a saddle, or undecided where only an estimate is known."""

from __future__ import annotations

import numpy as np
import pytest

import landscape as ls
from landscape.host.growth import grow
from landscape.problems.parallel import parallel
from landscape.records import Label
from landscape.theory.growth.polar import polar

RNG = np.random.default_rng(3)
X, Y, YS = RNG.normal(size=(6, 2)), RNG.normal(size=6), RNG.normal(size=(6, 2))


@pytest.mark.slow
def test_a_zero_subnetwork_decides_by_the_polar():
    problem = parallel(X, Y, 1, "quadratic", 0.4).of_width(1)
    end = grow(problem, 1).paths[0]
    wide = problem.of_width(end.problem.width + 1)
    best = np.concatenate([end.theta, np.zeros(problem.q)])
    assert ls.label(wide, wide.read(best)).label == Label.GLOBAL
    nothing = ls.label(wide, wide.read(np.zeros(wide.p)))
    assert nothing.label == Label.SADDLE
    assert ls.label(wide, wide.read(nothing.escape)).loss < nothing.loss - 1e-3


def test_strong_regularisation_makes_zero_global():
    z = polar(parallel(X, Y, 1, "quadratic", 1.0), Y).value
    for factor, label in ((1.01, Label.GLOBAL), (0.99, Label.SADDLE)):
        problem = parallel(X, Y, 2, "quadratic", factor * z)
        assert ls.label(problem, problem.read(np.zeros(problem.p))).label == label


@pytest.mark.slow
def test_zero_is_never_called_spurious_where_only_an_estimate_of_the_polar_is_known():
    problem = parallel(X, Y, 1, "deep_relu", 0.01)
    zero = ls.label(problem, problem.read(np.zeros(problem.p)))
    assert zero.label == Label.SADDLE
    heavy = parallel(X, Y, 1, "deep_relu", 100.0)
    assert ls.label(heavy, heavy.read(np.zeros(heavy.p))).label == Label.UNDECIDED
