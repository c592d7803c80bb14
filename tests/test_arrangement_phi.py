"""phi is the maximum: against all sign patterns by non-negative least squares, distances of zonotopes, and sampling."""

import json
from pathlib import Path

import numpy as np
import pytest
from arrangement_reference import (
    DEGENERATE,
    h,
    phi_by_patterns,
    phi_by_zonotopes,
    total,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.records import InputError
from landscape.theory.arrangement.cells import cells, cover_count, sampled_cells
from landscape.theory.arrangement.faces import phis
from landscape.theory.arrangement.interval import norm_bound, phi_interval, spectral_bound
from landscape.theory.arrangement.maxima import local_maxima
from landscape.theory.arrangement.phi import phi, phi_by_cells
from landscape.theory.arrangement.rows import EPS, weighted_rows

FIXTURES = Path(__file__).parent / "fixtures"
PHI = [
    dict(case, X=np.array(case["X"]), nu=np.array(case["nu"]))
    for case in json.loads((FIXTURES / "phi_tests.json").read_text())
]


@pytest.mark.parametrize("case", PHI, ids=lambda case: str(case["X"].shape))
def test_phi_has_the_reference_values_by_every_method(case):
    x, nu = case["X"], case["nu"]
    listed = cells(x)
    found = {
        "phi": phi(x, nu),
        "cells": phi_by_cells(x, nu, listed),
        "interval": phi_interval(x, nu, 50_000),
    }
    assert len(listed.patterns) == case["n_cells"]
    for result in found.values():
        # The reference has 16 digits; sums of 10 terms of total size 25 are good to 1e-13 or so.
        assert abs(result.value - case["phi"]) < 1e-12
        assert result.value <= result.upper < result.value + 4e-12
        assert abs(result.sign * h(x, nu, result.u) - result.value) < 1e-13
    assert abs(phi_by_patterns(x, nu) - case["phi"]) < 1e-12
    assert abs(phi_by_zonotopes(x, nu) - case["phi"]) < 1e-12
    reduced, weight, _, _ = weighted_rows(x, nu)
    assert norm_bound(reduced.rows, weight) == pytest.approx(case["ub_norm"], rel=1e-13)
    # The reference's spectral bound shares out nu_k x_k in another way; neither is always the smaller.
    assert case["phi"] < spectral_bound(reduced.rows, weight) < 1.1 * case["ub_spec"]


def check_phi(x, nu):
    """phi is right to rounding, attained at u, and its upper bound is one and close."""
    result, scale = phi(x, nu), total(x, nu)
    assert result.value <= result.upper
    # 18 n + 96 rounding errors, 9 d and some when going to the row space, and RESOLUTION once a dimension where cells
    # were listed in degenerate position.
    slack = 1e-12 if result.by == "cells" else (18 * len(x) + 208) * EPS
    assert result.upper <= result.value + slack * scale
    assert abs(np.linalg.norm(result.u) - 1) < 1e-14
    assert abs(result.sign * h(x, nu, result.u) - result.value) <= 1e-14 * scale
    truth = phi_by_patterns(x, nu)
    assert abs(result.value - truth) <= 1e-13 * scale
    assert result.upper >= truth * (1 - 1e-15) - 1e-15 * scale
    return result


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 5), st.booleans())
def test_phi_is_the_maximum_on_random_and_degenerate_data(seed, n, d, degenerate):
    rng = np.random.default_rng(seed)
    x = rng.integers(-1, 2, (n, d)).astype(float) if degenerate else rng.normal(size=(n, d))
    nu = rng.integers(-2, 3, n).astype(float) if degenerate else rng.normal(size=n)
    result = check_phi(x, nu)
    u = rng.normal(size=(2000, d))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    assert np.max(np.abs(np.maximum(u @ x.T, 0) @ nu)) <= result.upper
    if n * d <= 16:
        assert abs(phi_by_zonotopes(x, nu) - result.value) <= 1e-12 * total(x, nu)


@pytest.mark.parametrize("gap", [1e-3, 1e-8, 1e-12, 1e-15, 0.0])
@pytest.mark.parametrize("d", [2, 3])
def test_phi_does_not_suffer_from_nearly_parallel_rows(gap, d):
    rng = np.random.default_rng(int(-np.log10(gap + 1e-20)) + 100 * d)
    for _ in range(4):
        base = rng.normal(size=(2, d))
        x = np.concatenate([base, base + gap * rng.normal(size=(2, d)), -base[:1] * (1 + gap), base[1:]])
        check_phi(x, rng.normal(size=6))
        check_phi(x, np.array([1.0, 2.0, -1.0, -2.0, 1.5, -0.5]))  # nearly cancels


@pytest.mark.parametrize("name", DEGENERATE)
def test_phi_by_faces_by_cells_and_by_search_agree_in_degenerate_position(name):
    x, count = DEGENERATE[name]
    rng = np.random.default_rng(1)
    listed = cells(x)
    for _ in range(2):
        nu = rng.integers(-3, 4, len(x)) + 0.5
        result, scale = phi(x, nu, listed=listed), total(x, nu)
        if not np.any(x):
            assert result.value == result.upper == 0
            continue
        by_cells = phi_by_cells(x, nu, listed)
        assert abs(by_cells.value - result.value) <= 1e-13 * scale
        search = phi_interval(x, nu, 3000)
        assert search.value <= result.upper
        assert search.upper >= result.value
        u = listed.interior[rng.integers(count, size=500)] + 0.3 * rng.normal(size=(500, x.shape[1]))
        u /= np.linalg.norm(u, axis=1, keepdims=True)
        assert np.max(np.abs(np.maximum(u @ x.T, 0) @ nu)) <= min(result.upper, by_cells.upper, search.upper)


@pytest.mark.parametrize("d", [2, 3])
def test_phi_of_rows_on_one_line_to_rounding(d):
    rng = np.random.default_rng(d)
    for _ in range(20):
        x = np.outer([1.0, 0.3, -0.7, 1 / 3, -np.pi], rng.normal(size=d))
        check_phi(x, rng.normal(size=5))


def test_batch_equals_single_and_is_a_pure_function_of_each_row():
    rng = np.random.default_rng(11)
    for n, d in ((7, 1), (30, 2), (12, 3)):
        x, nus = rng.normal(size=(n, d)), rng.normal(size=(50, n))
        nus[3] = 0
        batch = phis(x, nus)
        for i, nu in enumerate(nus):
            one = phi(x, nu)
            # Sums of n terms in another order.
            assert abs(one.value - batch.value[i]) <= 4 * n * EPS * total(x, nu)
            assert abs(one.upper - batch.upper[i]) <= 4 * n * EPS * total(x, nu)
            if nu.any():
                np.testing.assert_allclose(one.u, batch.u[i], rtol=0, atol=1e-7)  # sqrt(eps): a maximum is flat
                assert one.sign == batch.sign[i]


def test_large_data_in_blocks_have_the_same_phi():
    rng = np.random.default_rng(12)
    for n, d in ((40, 2), (14, 3)):
        x, nus = rng.normal(size=(n, d)), rng.normal(size=(5, n))
        whole = phis(x, nus)
        blocks = phis(x, nus, block=500)
        searched = phi(x, nus[0], block=500)
        assert searched.by == ("branch and bound" if d == 3 else "faces")
        assert whole.value[0] <= searched.upper <= whole.value[0] * (1 + 1e-11)
        np.testing.assert_allclose(blocks.value, whole.value, rtol=1e-14)
        np.testing.assert_allclose(blocks.u, whole.u, rtol=0, atol=1e-7)


def test_data_of_low_rank_in_many_dimensions_are_reduced():
    rng = np.random.default_rng(13)
    flat = rng.normal(size=(9, 3))
    turn = np.linalg.qr(rng.normal(size=(6, 6)))[0][:3]
    nu = rng.normal(size=9)
    low, high = phi(flat, nu), phi(flat @ turn, nu)
    assert high.by == "faces"
    assert abs(low.value - high.value) < 1e-13 * total(flat, nu)
    assert high.upper < high.value + 1e-11
    assert len(cells(flat @ turn).patterns) == cover_count(9, 3)
    with pytest.raises(InputError, match="rank 4"):
        phis(rng.normal(size=(5, 4)), np.ones((1, 5)))


@pytest.mark.parametrize(("n", "d"), [(8, 2), (8, 3), (8, 4)])
def test_a_maximiser_on_hyperplanes_lies_on_them_to_rounding(n, d):
    rng = np.random.default_rng(n * d)
    ties = 0
    for _ in range(40):
        x, nu = rng.normal(size=(n, d)), rng.normal(size=n)
        distance = np.abs(x @ phi(x, nu).u) / np.linalg.norm(x, axis=1)
        assert not np.any((distance > 1e-14) & (distance < 1e-7))
        ties += int(np.sum(distance < 1e-14))
    assert ties > 5


def test_phi_is_homogeneous_and_survives_extreme_scales():
    rng = np.random.default_rng(14)
    x, nu = rng.normal(size=(8, 3)), rng.normal(size=8)
    one = phi(x, nu)
    scale = 2.0 ** rng.integers(-300, 300, 8)
    other = phi(x * scale[:, None], nu / scale)
    assert other.value == pytest.approx(one.value, rel=1e-14)
    np.testing.assert_allclose(other.u, one.u, atol=1e-12)


def test_bad_arguments_are_refused():
    with pytest.raises(InputError, match="finite matrix"):
        cells(np.array([[np.nan, 1.0]]))
    with pytest.raises(InputError, match="finite matrix"):
        cells(np.ones(3))
    with pytest.raises(InputError, match="one number a row"):
        phi(np.ones((3, 2)), np.ones(2))
    with pytest.raises(InputError, match=r"\[R, 3\]"):
        phis(np.ones((3, 2)), np.ones(3))
    x = np.random.default_rng(0).normal(size=(8, 3))
    with pytest.raises(InputError, match="complete list"):
        local_maxima(x, np.ones(8), listed=sampled_cells(x, 5))
