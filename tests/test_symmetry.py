"""The group of a teacher-student loss: which maps leave it unchanged, and the tangents of its continuous part."""

from itertools import permutations

import numpy as np
import pytest
from orbit_reference import (
    TOLERANCE,
    orthonormal_symmetry,
    permutation_matrices,
    random_image,
    same_by_enumeration,
    teacher_symmetry,
    tied_pair,
)
from scipy.linalg import expm
from scipy.stats import ortho_group

from landscape.problems.orbits import same_orbit
from landscape.problems.symmetry import Symmetry, continuous_modes


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("flips", [False, True])
def test_without_the_sum_coordinates_may_change_sign(n, flips):
    rng = np.random.default_rng(n)
    eye = np.eye(3)
    symmetry = Symmetry(np.vstack([eye, -eye]), np.zeros(6, int), (n, 3), flips)
    maps = list(permutation_matrices(3, signed=True))
    answers = []
    for _ in range(30):
        a, b = tied_pair(rng, n, 3, maps, flips)
        answers.append(same_by_enumeration(a, b, maps, flips))
        assert same_orbit(a.ravel(), b.ravel(), symmetry, TOLERANCE) == answers[-1]
    assert set(answers) == {True, False}


def test_random_teacher_has_only_permutations_of_the_students():
    rng = np.random.default_rng(2)
    w = rng.normal(size=(4, 4))
    symmetry = teacher_symmetry(rng.normal(size=(4, 4)), 4)
    for order in permutations(range(4)):
        assert same_orbit(w.ravel(), w[list(order)].ravel(), symmetry, TOLERANCE)
        assert same_orbit(w.ravel(), w[:, list(order)].ravel(), symmetry, TOLERANCE) == (order == (0, 1, 2, 3))


def test_three_teachers_at_120_degrees_have_the_symmetry_of_the_hexagon():
    angles = 2 * np.pi * np.arange(3) / 3
    symmetry = teacher_symmetry(np.stack([np.cos(angles), np.sin(angles)], axis=1), 3)  # the sum is zero
    rng = np.random.default_rng(3)
    w = rng.normal(size=(3, 2))
    mirror = np.diag([1.0, -1.0])
    for step in range(12):
        c, s = np.cos(np.pi * step / 6), np.sin(np.pi * step / 6)
        turned = w[rng.permutation(3)] @ np.array([[c, -s], [s, c]])
        for image in (turned, turned @ mirror):
            assert same_orbit(w.ravel(), image.ravel(), symmetry, TOLERANCE) == (step % 2 == 0)


def test_repeated_teacher_rows_are_told_from_single_ones():
    e = np.eye(3)
    rng = np.random.default_rng(4)
    w = rng.normal(size=(3, 3))
    symmetry = teacher_symmetry(np.stack([e[0], e[0], e[1], e[2]]), 3)
    assert same_orbit(w.ravel(), w[:, [0, 2, 1]].ravel(), symmetry, TOLERANCE)
    assert not same_orbit(w.ravel(), w[:, [1, 0, 2]].ravel(), symmetry, TOLERANCE)


def test_anchors_of_different_colours_are_not_exchanged():
    w = np.random.default_rng(5).normal(size=(2, 2))
    one, two = (Symmetry(np.eye(2), np.array(colours), (2, 2)) for colours in ([7, 7], [7, -1]))
    assert same_orbit(w.ravel(), w[:, ::-1].ravel(), one, TOLERANCE)
    assert not same_orbit(w.ravel(), w[:, ::-1].ravel(), two, TOLERANCE)


@pytest.mark.parametrize(
    ("n", "k", "d"), [(3, 3, 4), (4, 3, 6), (2, 2, 30), (6, 5, 8)]
)  # 30: more than there are nodes
def test_rotations_and_reflections_of_the_complement_are_symmetries(n, k, d):
    rng = np.random.default_rng(d)
    symmetry = orthonormal_symmetry(n, k, d)
    w = rng.normal(size=(n, d))
    for _ in range(5):
        assert same_orbit(w.ravel(), random_image(rng, w, k).ravel(), symmetry, TOLERANCE)
    mixed = w @ ortho_group.rvs(d, random_state=rng)
    assert not same_orbit(w.ravel(), mixed.ravel(), symmetry, TOLERANCE)
    if d - k > 1:
        stretched = np.hstack([w[:, :k], w[:, k:][:, ::-1] * np.r_[1.001, np.ones(d - k - 1)]])
        assert not same_orbit(w.ravel(), stretched.ravel(), symmetry, TOLERANCE)


def test_sign_flips_are_symmetries_of_even_activations_only():
    rng = np.random.default_rng(6)
    w = rng.normal(size=(4, 4))
    flipped = w * np.array([[1], [-1], [1], [1]])
    assert same_orbit(w.ravel(), flipped.ravel(), orthonormal_symmetry(4, 4, flips=True), TOLERANCE)
    assert not same_orbit(w.ravel(), flipped.ravel(), orthonormal_symmetry(4, 4), TOLERANCE)


@pytest.mark.parametrize(
    ("n", "k", "d", "rank", "g"),
    [
        (3, 3, 3, 0, 0),
        (3, 3, 4, 1, 0),
        (3, 3, 5, 2, 1),
        (4, 2, 5, 3, 3),
        (2, 2, 6, 2, 5),
        (3, 0, 4, 3, 6),
        (5, 2, 7, 1, 4),
    ],
)
def test_continuous_modes_span_the_tangent_of_the_rotations(n, k, d, rank, g):
    rng = np.random.default_rng(d)
    symmetry = orthonormal_symmetry(n, k, d) if k else Symmetry(np.zeros((0, d)), np.zeros(0, int), (n, d))
    w = rng.normal(size=(n, d))
    w[:, k:] = w[:, k:][:, :rank] @ rng.normal(size=(rank, d - k))
    modes = continuous_modes(w.ravel(), symmetry)
    assert modes.shape == (g, n * d)
    np.testing.assert_allclose(modes @ modes.T, np.eye(g), atol=1e-13)

    h, tangents = 1e-5, [np.zeros(n * d)]
    for i in range(k, d):
        for j in range(k, i):
            turn = np.zeros((d, d))
            turn[i, j], turn[j, i] = h, -h
            tangents.append((w @ expm(turn).T - w @ expm(-turn).T).ravel() / (2 * h))
    tangents = np.array(tangents)
    assert np.linalg.matrix_rank(tangents, tol=1e-6) == g
    np.testing.assert_allclose(tangents @ modes.T @ modes, tangents, atol=1e-8)  # central differences: h^2 |W| = 1e-9


def test_continuous_modes_do_not_count_polishing_noise():
    symmetry = orthonormal_symmetry(3, 3, 6)
    w = np.eye(3, 6) + 1e-10 * np.random.default_rng(0).normal(size=(3, 6))
    assert continuous_modes(w.ravel(), symmetry).shape == (0, 18)
    assert continuous_modes(np.zeros(18), symmetry).shape == (0, 18)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"expected anchors \[q, 4\]"):
        Symmetry(np.eye(3), np.zeros(3, int), (2, 4))
    with pytest.raises(ValueError, match="colours of shape"):
        Symmetry(np.eye(3), np.zeros(2, int), (2, 3))
