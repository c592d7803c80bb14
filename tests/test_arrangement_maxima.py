"""Local maxima are all of them: against dense scans, distances of zonotopes, and plain ascent."""

from itertools import product

import numpy as np
import pytest
from arrangement_reference import (
    DEGENERATE,
    h,
    zonotope_distances,
)

from landscape.theory.arrangement.maxima import local_maxima
from landscape.theory.arrangement.phi import phi


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
