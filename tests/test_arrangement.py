"""Cells are complete in any position, and phi is the maximum: against counts known from theory, linear programs,
all sign patterns by non-negative least squares, distances of zonotopes, and sampling.
"""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, lsq_linear, nnls

from landscape.records import InputError
from landscape.theory import arrangement
from landscape.theory.arrangement import cells, cover_count, local_maxima, phi, phis, sampled_cells

FIXTURES = Path(__file__).parent / "fixtures"
COUNTS = json.loads((FIXTURES / "cover_counts.json").read_text())
PHI = [
    dict(case, X=np.array(case["X"]), nu=np.array(case["nu"]))
    for case in json.loads((FIXTURES / "phi_tests.json").read_text())
]


def braid(d):
    """e_i - e_j: the cells are the orders of d numbers."""
    eye = np.eye(d)
    return np.array([eye[i] - eye[j] for i in range(d) for j in range(i)])


def signed_braid(d):
    """e_i and e_i +- e_j: the cells are the orders of d numbers with signs."""
    eye = np.eye(d)
    return np.array([*eye, *(eye[i] + s * eye[j] for i in range(d) for j in range(i) for s in (1, -1))])


GRID = np.array(list(product((-1.0, 0.0, 1.0), repeat=2)))
DECIMAL = np.array(list(product((0.1, 0.2, 0.3, 0.6, 0.9), repeat=2)))

# Name: data, number of cells (by hand, or the order of a reflection group).
DEGENERATE = {
    "one row": (np.array([[2.0, 1.0, 0.5]]), 2),
    "one dimension": (np.array([[2.0], [-1.0], [0.0]]), 2),
    "all zero": (np.zeros((3, 2)), 1),
    "zero rows": (np.array([[0.0, 0.0], [1.0, 2.0], [0.0, 0.0], [2.0, -1.0]]), 4),
    "duplicates": (np.array([[1.0, 2.0], [1.0, 2.0], [2.0, -1.0]]), 4),
    "antipodal": (np.array([[1.0, 2.0, 3.0], [-1.0, -2.0, -3.0], [0.0, 1.0, 0.0]]), 4),
    "collinear to rounding": (np.array([[0.1, 0.2], [0.3, 0.6], [-0.7, -1.4], [1.0, 0.0]]), 4),
    "one-hot": (np.eye(4)[[0, 1, 2, 3, 2, 0]], 16),
    "grid": (GRID, 8),
    "decimal grid": (DECIMAL, 2 * len({round(a / b, 9) for a, b in DECIMAL})),
    "coplanar rows in space": (np.array([[1.0, 0, 1], [0, 1.0, 1], [1, 1, 2], [1, -1, 0]]), 8),
    "bias and repeated samples": (np.array([[0.0, 1], [0, 1], [1, 1], [1, 1], [2, 1]]), 6),
    "orders of 3": (braid(3), 6),
    "orders of 4": (braid(4), 24),
    "orders of 5": (braid(5), 120),
    "orders of 6": (braid(6), 720),
    "signed orders of 3": (signed_braid(3), 48),
    "signed orders of 4": (signed_braid(4), 384),
    "turned signed orders of 4": (signed_braid(4) @ np.linalg.qr(np.random.default_rng(3).normal(size=(4, 4)))[0], 384),
}


def total(x, nu):
    """The scale of h: rounding is a multiple of it."""
    return float(np.abs(nu) @ np.linalg.norm(x, axis=1)) + 1e-300


def h(x, nu, u):
    return np.maximum(x @ u, 0) @ nu


def phi_by_patterns(x, nu):
    """phi over all 2^n sign patterns, realised or not: max of the projections of the gradient on their cones."""
    best = 0.0
    for pattern in product((0, 1), repeat=len(x)):
        faces = (2 * np.array(pattern) - 1)[:, None] * x
        for sign in (1, -1):
            best = max(best, nnls(faces.T, -sign * (np.array(pattern) * nu) @ x)[1])
    return best


def zonotope_distances(x, nu, subsets):
    """(distance of sum_S nu_k x_k from the zonotope of the rows nu < 0, S, direction) for each S of rows nu > 0."""
    up, down = nu > 0, nu < 0
    b = -nu[down, None] * x[down]
    for s in subsets:
        p = (np.array(s) * nu[up]) @ x[up]
        rho = lsq_linear(b.T, p, bounds=(0, 1), method="bvls", tol=1e-15).x if len(b) else np.zeros(0)
        yield np.linalg.norm(p - rho @ b), np.array(s, bool), p - rho @ b


def phi_by_zonotopes(x, nu):
    """phi as the Hausdorff distance of two zonotopes, over all subsets."""
    return max(
        distance
        for sign in (1, -1)
        for distance, _, _ in zonotope_distances(x, sign * nu, product((0, 1), repeat=int(np.sum(sign * nu > 0))))
    )


def patterns_by_programs(x):
    """All cells of x, row by row, with a linear program for each sign: max t, s_k x_k.u >= t."""
    found = [()]
    for k in range(len(x)):
        longer = []
        for signs in found:
            for s in (1, -1) if np.any(x[k]) else (0,):
                rows = np.array([*signs, s])[:, None] * x[: k + 1]
                rows = rows[np.any(rows != 0, axis=1)]
                least = np.hstack([-rows, np.ones((len(rows), 1))])
                bounds = [(-1, 1)] * x.shape[1] + [(0, 1)]
                answer = linprog(np.r_[np.zeros(x.shape[1]), -1.0], least, np.zeros(len(rows)), bounds=bounds)
                if -answer.fun > 1e-9:
                    longer.append((*signs, s))
        found = longer
    return {tuple(s > 0 for s in signs) for signs in found}


def as_set(patterns):
    return {tuple(row) for row in patterns.tolist()}


# --- cells ---


@pytest.mark.parametrize("case", COUNTS, ids=str)
def test_general_position_has_covers_count(case):
    x = np.random.default_rng(0).normal(size=(case["n"], case["d"]))
    found = cells(x)
    assert len(as_set(found.patterns)) == len(found.patterns) == case["P"] == cover_count(case["n"], case["d"])
    assert found.complete
    assert "Cover" in found.by


@pytest.mark.parametrize("name", DEGENERATE)
def test_degenerate_position_has_its_known_count_and_verified_interior_points(name):
    x, count = DEGENERATE[name]
    found = cells(x)
    assert len(as_set(found.patterns)) == len(found.patterns) == count
    assert found.complete
    # Signs recomputed here; a product of unit vectors is wrong by a few 1e-16 at most.
    values = found.interior @ x.T / np.maximum(np.linalg.norm(x, axis=1), 1e-300)
    live = np.any(x != 0, axis=1)
    np.testing.assert_array_equal(values[:, live] > 0, found.patterns[:, live])
    assert not found.patterns[:, ~live].any()
    assert np.min(np.abs(values[:, live]), initial=1.0) >= 0.5 * found.margin > 1e-9
    np.testing.assert_allclose(np.linalg.norm(found.interior, axis=1), 1, rtol=1e-14)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(st.integers(1, 4).flatmap(lambda d: st.lists(st.lists(st.integers(-2, 2), min_size=d, max_size=d), max_size=7)))
def test_small_integer_data_have_the_cells_that_linear_programs_find(rows):
    if rows:
        x = np.array(rows, float)
        found = cells(x)
        assert found.complete
        assert as_set(found.patterns) == patterns_by_programs(x)


def test_thin_cells_are_found_down_to_the_resolution():
    for angle, count in ((1e-11, 4), (1e-14, 2)):
        x = np.array([[1.0, 0, 0], [np.cos(angle), np.sin(angle), 0]])
        assert len(cells(x).patterns) == count
        three = np.vstack([x, [[0.0, 0, 1]]])
        assert len(cells(three).patterns) == 2 * count


def test_sampled_cells_are_some_of_the_cells():
    x = np.random.default_rng(5).normal(size=(8, 3))
    every, some = cells(x), sampled_cells(x, 30)
    assert as_set(some.patterns) < as_set(every.patterns)
    assert not some.complete
    most = sampled_cells(x, 100_000)
    assert most.complete == (len(most.patterns) == 58)
    assert sampled_cells(x[:4], 2000).complete  # 14 wide cells: certified by Cover's count
    np.testing.assert_array_equal(some.interior @ x.T > 0, some.patterns)


def test_too_many_cells_are_refused_and_counted():
    x = np.random.default_rng(0).normal(size=(40, 10))
    with pytest.raises(InputError, match=r"more than 1,000 activation cells \(40 rows; at most"):
        cells(x, most=1000)
    with pytest.raises(InputError, match="more than 871"):
        cells(x[:30, :3], most=871)
    assert len(cells(x[:30, :3], most=872).patterns) == 872
    # The bound says 92 and the truth is 48: degenerate data are listed all the same.
    assert len(cells(signed_braid(3), most=48).patterns) == 48


# --- phi ---


@pytest.mark.parametrize("case", PHI, ids=lambda case: str(case["X"].shape))
def test_phi_has_the_reference_values_by_every_method(case):
    x, nu = case["X"], case["nu"]
    listed = cells(x)
    found = {
        "phi": phi(x, nu),
        "cells": arrangement._phi_cells(x, nu, listed),
        "interval": arrangement._phi_interval(x, nu, 50_000),
    }
    assert len(listed.patterns) == case["n_cells"]
    for result in found.values():
        # The reference has 16 digits; sums of 10 terms of total size 25 are good to 1e-13 or so.
        assert abs(result.value - case["phi"]) < 1e-12
        assert result.value <= result.upper < result.value + 4e-12
        assert abs(result.sign * h(x, nu, result.u) - result.value) < 1e-13
    assert abs(phi_by_patterns(x, nu) - case["phi"]) < 1e-12
    assert abs(phi_by_zonotopes(x, nu) - case["phi"]) < 1e-12
    reduced, weight, _, _ = arrangement._scaled(x, nu)
    assert arrangement._norm_bound(reduced.rows, weight) == pytest.approx(case["ub_norm"], rel=1e-13)
    # The reference's spectral bound shares out nu_k x_k in another way; neither is always the smaller.
    assert case["phi"] < arrangement._spectral_bound(reduced.rows, weight) < 1.1 * case["ub_spec"]


def check_phi(x, nu):
    """phi is right to rounding, attained at u, and its upper bound is one and close."""
    result, scale = phi(x, nu), total(x, nu)
    assert result.value <= result.upper
    # 18 n + 96 rounding errors, 9 d and some when going to the row space, and RESOLUTION once a dimension where cells
    # were listed in degenerate position.
    slack = 1e-12 if result.by == "cells" else (18 * len(x) + 208) * arrangement.EPS
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
        result, scale = phi(x, nu, known=listed), total(x, nu)
        if not np.any(x):
            assert result.value == result.upper == 0
            continue
        by_cells = arrangement._phi_cells(x, nu, listed)
        assert abs(by_cells.value - result.value) <= 1e-13 * scale
        search = arrangement._phi_interval(x, nu, 3000)
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


@pytest.mark.parametrize("seed", range(4))
def test_bounds_on_boxes_bound_points_of_the_boxes(seed):
    rng = np.random.default_rng(seed)
    z, weight = rng.normal(size=(10, 3)), rng.normal(size=10)
    centre, radius = rng.uniform(-1, 1, (300, 3)), rng.uniform(0, 0.5, (300, 3)) * rng.random((300, 1)) ** 3
    side = np.arange(300) % 3
    centre[np.arange(300), side], radius[np.arange(300), side] = rng.choice([-1.0, 1.0], 300), 0.0
    sign = rng.choice([-1.0, 1.0], 300)
    bound, value = arrangement._box_bounds(z, weight, centre, radius, sign)
    points = centre[:, None] + radius[:, None] * np.clip(rng.uniform(-1.5, 1.5, (300, 400, 3)), -1, 1)
    values = sign[:, None] * (np.maximum(points @ z.T, 0) @ weight) / np.linalg.norm(points, axis=2)
    excess = bound - np.max(values, axis=1)
    assert np.min(excess) > -1e-13
    # And no bound is idle: on the smallest boxes they are close.
    assert np.median(excess[np.max(radius, axis=1) < 0.01]) < 0.05
    np.testing.assert_allclose(value, sign * (np.maximum(centre @ z.T, 0) @ weight) / np.linalg.norm(centre, axis=1))


def test_search_needs_no_good_start():
    rng = np.random.default_rng(15)
    for n, d in ((8, 2), (10, 3), (8, 4)):
        x, nu = rng.normal(size=(n, d)), rng.normal(size=n)
        exact = phi(x, nu)
        u, upper = arrangement._branch_and_bound(x, nu, np.eye(d)[0], 0.0, 20_000)
        # A box centre need not hit a maximiser on hyperplanes, so the search may stop with a small gap.
        assert exact.value * (1 - 1e-14) <= upper < exact.value * 1.001
        assert abs(h(x, nu, u)) > exact.value * 0.999


def test_search_brackets_the_exact_value_also_with_a_small_budget():
    rng = np.random.default_rng(7)
    for n, d in ((12, 4), (9, 5), (10, 3), (30, 2)):
        x, nu = rng.normal(size=(n, d)), rng.normal(size=n)
        exact = phi(x, nu)
        before = np.inf
        for boxes in (0, 200, 2000, 50_000):
            search = arrangement._phi_interval(x, nu, boxes)
            assert search.value <= exact.upper
            assert exact.value <= search.upper <= before
            before = search.upper
        assert search.by == "branch and bound"
        # Closed, since ties with nu < 0 end the search. In five dimensions it would need more boxes.
        assert search.upper <= exact.value * (1 + (1e-11 if d < 5 else 0.05))


def test_phi_says_interval_when_cells_cannot_be_listed():
    rng = np.random.default_rng(2)
    x, nu = rng.normal(size=(60, 12)), rng.normal(size=60)
    result = phi(x, nu)
    assert result.by in ("spectral bound", "norm bound")
    assert 0 < result.value < result.upper
    assert abs(result.sign * h(x, nu, result.u) - result.value) < 1e-12
    u = rng.normal(size=(5000, 12))
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    assert np.max(np.abs(np.maximum(u @ x.T, 0) @ nu)) < result.value  # the ascent beats sampling by far


def test_batch_equals_single_and_is_a_pure_function_of_each_row():
    rng = np.random.default_rng(11)
    for n, d in ((7, 1), (30, 2), (12, 3)):
        x, nus = rng.normal(size=(n, d)), rng.normal(size=(50, n))
        nus[3] = 0
        batch = phis(x, nus)
        for i, nu in enumerate(nus):
            one = phi(x, nu)
            # Sums of n terms in another order.
            assert abs(one.value - batch.value[i]) <= 4 * n * arrangement.EPS * total(x, nu)
            assert abs(one.upper - batch.upper[i]) <= 4 * n * arrangement.EPS * total(x, nu)
            if nu.any():
                np.testing.assert_allclose(one.u, batch.u[i], rtol=0, atol=1e-7)  # sqrt(eps): a maximum is flat
                assert one.sign == batch.sign[i]


def test_large_data_in_blocks_have_the_same_phi(monkeypatch):
    rng = np.random.default_rng(12)
    for n, d in ((40, 2), (14, 3)):
        x, nus = rng.normal(size=(n, d)), rng.normal(size=(5, n))
        whole = phis(x, nus)
        with monkeypatch.context() as patch:
            patch.setattr(arrangement, "_BLOCK", 500)
            blocks = phis(x, nus)
            searched = phi(x, nus[0])
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


# --- local maxima ---


@pytest.mark.parametrize("seed", range(6))
def test_local_maxima_in_the_plane_are_those_of_a_dense_scan(seed):
    rng = np.random.default_rng(seed)
    x, nu = rng.normal(size=(8, 2)), rng.normal(size=8)
    angle = np.linspace(0, 2 * np.pi, 200_001)[:-1]
    curve = np.abs(np.maximum(np.stack([np.cos(angle), np.sin(angle)], 1) @ x.T, 0) @ nu)
    peaks = (curve > np.roll(curve, 1)) & (curve >= np.roll(curve, -1)) & (curve > 1e-6)
    found = local_maxima(x, nu)
    # A step of 3e-5: the scan misses a kinked maximum by 3e-5 times the slope (below 20).
    np.testing.assert_allclose(found.value, np.sort(curve[peaks])[::-1], atol=1e-3)
    assert len(found.value) == int(np.sum(peaks))
    assert found.value[0] == pytest.approx(phi(x, nu).value, rel=1e-14)


@pytest.mark.parametrize(("n", "d"), [(7, 3), (8, 4), (7, 5)])
def test_local_maxima_are_the_zonotope_directions_that_keep_their_pattern(n, d):
    rng = np.random.default_rng(n + d)
    x, nu = rng.normal(size=(n, d)), rng.normal(size=n)
    expected = []
    for sign in (1, -1):
        up = sign * nu > 0
        for distance, subset, u in zonotope_distances(x, sign * nu, product((0, 1), repeat=int(np.sum(up)))):
            # In general position no local maximum has a tie with nu > 0, so a consistent S is a local maximum.
            if distance > 1e-9 and np.array_equal(x[up] @ u > 0, subset):
                expected.append(distance)
    found = local_maxima(x, nu)
    np.testing.assert_allclose(found.value, np.sort(expected)[::-1], rtol=1e-12)
    for u, sign, value in zip(found.u, found.sign, found.value, strict=True):
        assert abs(sign * h(x, nu, u) - value) < 1e-13
        near = u + 1e-5 * rng.normal(size=(300, d))
        near /= np.linalg.norm(near, axis=1, keepdims=True)
        assert np.all(sign * np.maximum(near @ x.T, 0) @ nu < value)
    above = local_maxima(x, nu, above=0.7 * found.value[0])
    np.testing.assert_allclose(above.value, found.value[found.value > 0.7 * found.value[0]], rtol=1e-13)


def test_a_local_maximum_may_tie_with_positive_weight_when_rows_repeat():
    x = np.array([[1.0, 0], [1.0, 0], [0, 1.0], [0.2, 1.0]])
    found = local_maxima(x, np.array([1.0, -5.0, 1.0, 0.2]))
    here = np.linalg.norm(found.u - [0, 1], axis=1) < 1e-14
    assert np.sum(here) == 1
    assert found.value[here] == pytest.approx(1.2, rel=1e-15)


@pytest.mark.parametrize("angle", [1e-4, 1e-8, 1e-11, 1e-12, 1e-13, 1e-15, 0.0])
def test_a_maximum_just_beside_a_hyperplane_is_not_lost(angle):
    # The maximum lies along the second row, `angle` from the hyperplane of the first, on either side.
    for side, first in product((1, -1), (-0.02, 0.02)):
        x, nu = np.array([[side * np.sin(angle), np.cos(angle)], [1.0, 0.0]]), np.array([first, 1.4])
        assert local_maxima(x, nu).value[0] == pytest.approx(phi(x, nu).value, rel=1e-14)


@pytest.mark.parametrize("name", ["one-hot", "grid", "orders of 4", "signed orders of 3", "coplanar rows in space"])
def test_local_maxima_in_degenerate_position_are_maxima_and_none_is_missing(name):
    x, _ = DEGENERATE[name]
    rng = np.random.default_rng(4)
    nu = rng.normal(size=len(x))
    found = local_maxima(x, nu)
    assert found.value[0] == pytest.approx(phi(x, nu).value, rel=1e-13)
    for sign in (1, -1):
        u = found.u[found.sign == sign]
        assert np.min(np.linalg.norm(u[:, None] - u, axis=2) + 9 * np.eye(len(u)), initial=9) > 1e-6
    # Plain ascent with a shrinking step from random starts ends at listed values only.
    for _ in range(12):
        u = rng.normal(size=x.shape[1])
        sign = np.sign(h(x, nu, u)) or 1.0
        u, step = u / np.linalg.norm(u), 0.5
        while step > 1e-7:
            near = u + step * rng.normal(size=(200, x.shape[1]))
            near /= np.linalg.norm(near, axis=1, keepdims=True)
            values = sign * np.maximum(near @ x.T, 0) @ nu
            if np.max(values) > sign * h(x, nu, u):
                u = near[np.argmax(values)]
            else:
                step /= 2
        end = sign * h(x, nu, u)
        # Random search in three dimensions stalls on ridges, some 1e-5 short of a maximum.
        assert end < 1e-3 or np.min(np.abs(found.value - end)) < 1e-3


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
        local_maxima(x, np.ones(8), known=sampled_cells(x, 5))
