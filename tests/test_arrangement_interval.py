"""phi as an interval holds the maximum: bounds on boxes, branch and bound, spectral and norm bounds."""

import numpy as np
import pytest
from arrangement_reference import h

from landscape.theory.arrangement.branch_and_bound import box_bounds, branch_and_bound
from landscape.theory.arrangement.interval import phi_interval
from landscape.theory.arrangement.phi import phi


@pytest.mark.parametrize("seed", range(4))
def test_bounds_on_boxes_bound_points_of_the_boxes(seed):
    rng = np.random.default_rng(seed)
    z, weight = rng.normal(size=(10, 3)), rng.normal(size=10)
    centre, radius = rng.uniform(-1, 1, (300, 3)), rng.uniform(0, 0.5, (300, 3)) * rng.random((300, 1)) ** 3
    side = np.arange(300) % 3
    centre[np.arange(300), side], radius[np.arange(300), side] = rng.choice([-1.0, 1.0], 300), 0.0
    sign = rng.choice([-1.0, 1.0], 300)
    bound, value = box_bounds(z, weight, centre, radius, sign)
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
        u, upper = branch_and_bound(x, nu, np.eye(d)[0], 0.0, 20_000)
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
            search = phi_interval(x, nu, boxes)
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
