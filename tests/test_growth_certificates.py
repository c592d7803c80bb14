"""Certificates of homogeneous networks are right: dual bounds lie below every loss, and no certificate is false."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import clarabel
import numpy as np
import pytest
from scipy.sparse import csc_matrix
from slow import long, slow

import landscape as ls
from landscape.host.growth import grow
from landscape.problems.parallel import matrix_factorisation, matrix_value, parallel
from landscape.theory.convex.least_loss import certified_optimum
from landscape.theory.growth.certificate import certificate

FIXTURES = Path(__file__).parent / "fixtures"
A = json.loads((FIXTURES / "relu_A_n8_d2.json").read_text())
RNG = np.random.default_rng(3)
X, Y, YS = RNG.normal(size=(6, 2)), RNG.normal(size=6), RNG.normal(size=(6, 2))


@pytest.mark.parametrize("loss", ["squared", slow("logistic")])
def test_the_dual_bound_lies_below_every_loss(loss):
    rng = np.random.default_rng(2)
    y = np.where(rng.normal(size=(4, 3)) < 0, -1.0, 1.0)
    problem = matrix_factorisation(y, 3, 0.6, loss=loss)
    least = min(p.rounds[-1].loss for p in grow(problem, 4).paths)
    for seed in range(20):
        theta = 0.7 * np.random.default_rng(seed).normal(size=problem.p)
        found = certificate(problem, theta)
        assert found.lower_bound <= least + 1e-12
        assert not found.holds


def _nuclear(x, y, lam):
    """min 1/2 |diag(X M X') - y|^2 + lambda |M|_*, M symmetric, by a semidefinite program: M = P - N."""
    d = x.shape[1]
    k = d * (d + 1) // 2
    rows, cols = np.triu_indices(d)
    order = np.lexsort((rows, cols))  # column by column of the upper triangle
    rows, cols = rows[order], cols[order]
    scale = np.where(rows == cols, 1.0, np.sqrt(2.0))
    lifted = x[:, rows] * x[:, cols] * scale  # <x x', M> in scaled coordinates
    trace = (rows == cols).astype(float)
    design = np.concatenate([lifted, -lifted], axis=1)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    solved = clarabel.DefaultSolver(
        csc_matrix(np.triu(design.T @ design)), -design.T @ y + lam * np.tile(trace, 2), csc_matrix(-np.eye(2 * k)),
        np.zeros(2 * k), [clarabel.PSDTriangleConeT(d), clarabel.PSDTriangleConeT(d)], settings,
    ).solve()  # fmt: skip
    return solved.obj_val + 0.5 * float(y @ y)


def _case(kind, draw):
    """A small random problem of width one, and its least loss over all widths by another road."""
    rng = np.random.default_rng((draw, 7))
    x, y, lam = rng.normal(size=(5, 2)), rng.normal(size=5), float(rng.uniform(0.05, 1.0))
    if kind == "matrix":
        problem = matrix_factorisation(rng.normal(size=(4, 3)), 1, lam)
        return problem, matrix_value(problem)
    if kind == "quadratic":
        return parallel(x, y, 1, "quadratic", lam), _nuclear(x, y, lam)
    problem = ls.empirical(x, y, 1, weight_decay=lam)
    return problem, certified_optimum(problem).value


def _no_false_certificates(kind, draws):
    """How many of the points seen are certified; raises at the first certificate above the optimum."""
    certified = 0
    for draw in draws:
        problem, best = _case(kind, draw)
        paths = grow(problem, 2, draw).paths
        for path in paths:
            # The semidefinite program is good to 1e-8 at these sizes, the others to rounding.
            slack = 2e-8 if kind == "quadratic" else 1e-9 * max(1.0, best)
            last = path.rounds[-1]
            assert last.loss >= best - slack
            if path.status == "certified":
                certified += 1
                assert last.loss <= best + slack, (kind, draw, last, best)
        wide = replace(problem, width=3) if kind == "relu" else problem.of_width(3)
        theta = np.random.default_rng(draw).normal(size=wide.p)
        if kind != "relu":
            loss = certificate(wide, theta).loss
            assert loss <= best + 1e-6 or not certificate(wide, theta).holds
    return certified


@pytest.mark.parametrize("kind", ["matrix", slow("quadratic"), "relu"])
def test_no_certificate_is_false_on_random_small_problems(kind):
    assert _no_false_certificates(kind, range(4)) == 8


@pytest.mark.parametrize("count", [slow(25), long(150)])
@pytest.mark.parametrize("kind", ["matrix", "quadratic", "relu"])
def test_no_certificate_is_false_on_many_problems(kind, count):
    assert _no_false_certificates(kind, range(count)) >= 0.99 * 2 * count
