"""Two points are one orbit exactly when a group element maps one to the other, and an unsure search says no.

The references enumerate the group; they are slow and share nothing with the search but the definition.
"""

from itertools import permutations

import numpy as np
import pytest
from orbit_reference import (
    TOLERANCE,
    block_matrix,
    circulant,
    orthonormal_symmetry,
    permutation_matrices,
    random_image,
    same_by_enumeration,
    tied_pair,
)
from scipy.stats import ortho_group

from landscape.problems import isomorphism
from landscape.problems.orbits import same_orbit
from landscape.problems.symmetry import Symmetry


def cycles(*lengths):
    """The biadjacency matrix of disjoint cycles of 2 * length nodes: two ones in each row and column."""
    size, start = sum(lengths), 0
    w = np.zeros((size, size))
    for length in lengths:
        for i in range(length):
            w[start + i, start + i] = w[start + i, start + (i + 1) % length] = 1
        start += length
    return w


@pytest.mark.parametrize("k", [3, 4, 5, 6, 7, 8, 20])
@pytest.mark.parametrize("extra", [-1, 0, 1])
@pytest.mark.parametrize("flips", [False, True])
def test_random_images_of_a_random_point_are_the_same(k, extra, flips):
    rng = np.random.default_rng(k)
    symmetry = orthonormal_symmetry(k + extra, k, flips=flips)
    w, other = rng.normal(size=(2, k + extra, k))
    for _ in range(3):
        image = random_image(rng, w, k, flips)
        assert same_orbit(w.ravel(), image.ravel(), symmetry, TOLERANCE)
        assert not same_orbit(other.ravel(), image.ravel(), symmetry, TOLERANCE)


@pytest.mark.parametrize(("n", "k"), [(1, 4), (2, 2), (2, 4), (3, 3), (4, 3), (3, 4), (4, 4)])
@pytest.mark.parametrize("flips", [False, True])
def test_search_agrees_with_enumeration_of_the_group(n, k, flips):
    rng = np.random.default_rng(10 * n + k)
    symmetry = orthonormal_symmetry(n, k, flips=flips)
    maps = list(permutation_matrices(k))
    answers = []
    for _ in range(25):
        a, b = tied_pair(rng, n, k, maps, flips)
        answers.append(same_by_enumeration(a, b, maps, flips))
        assert same_orbit(a.ravel(), b.ravel(), symmetry, TOLERANCE) == answers[-1]
    assert any(answers)
    assert n == 1 or not all(answers)


def test_without_anchors_points_are_the_same_when_their_gram_matrices_are():
    rng = np.random.default_rng(0)
    symmetry = Symmetry(np.zeros((0, 3)), np.zeros(0, int), (4, 3))
    answers = []
    for _ in range(40):
        a, b = tied_pair(rng, 4, 3, list(permutation_matrices(3, signed=True)), flips=False)
        gram_a, gram_b = a @ a.T, b @ b.T
        answers.append(any(np.array_equal(gram_a[np.ix_(o, o)], gram_b) for o in permutations(range(4))))
        turned = b @ ortho_group.rvs(3, random_state=rng)
        assert same_orbit(a.ravel(), turned.ravel(), symmetry, TOLERANCE) == answers[-1]
    assert set(answers) == {True, False}


@pytest.mark.parametrize("lengths", [(3, 3), (4, 4), (5, 3)])
@pytest.mark.parametrize("flips", [False, True])
def test_points_that_colour_refinement_cannot_tell_apart_are_separated(lengths, flips):
    rng = np.random.default_rng(1)
    k = sum(lengths)
    symmetry = orthonormal_symmetry(k, k, flips=flips)
    one, several = cycles(k), cycles(*lengths)
    a, b = isomorphism.graph_of(one.ravel(), symmetry), isomorphism.graph_of(several.ravel(), symmetry)
    hashes, labels = np.stack([a.hashes, b.hashes]), np.stack([a.labels, b.labels])
    slack = isomorphism.sums_slack(TOLERANCE, a.scale)
    assert isomorphism.colour_refinement(hashes, labels, slack) is not None  # the premise

    assert not same_orbit(one.ravel(), several.ravel(), symmetry, TOLERANCE)
    for w in (one, several):
        assert same_orbit(w.ravel(), random_image(rng, w, k, flips).ravel(), symmetry, TOLERANCE)


def test_equal_sorted_rows_and_columns_are_not_enough():
    a = np.array([[1.0, 0, 2, 0], [0, 1, 0, 2], [2, 0, 1, 0], [0, 2, 0, 1]])
    b = np.array([[1.0, 2, 0, 0], [0, 1, 2, 0], [0, 0, 1, 2], [2, 0, 0, 1]])
    for axis in (0, 1):
        assert sorted(map(sorted, np.moveaxis(a, axis, 0))) == sorted(map(sorted, np.moveaxis(b, axis, 0)))
    assert not same_by_enumeration(a, b, permutation_matrices(4))
    assert not same_orbit(a.ravel(), b.ravel(), orthonormal_symmetry(4, 4), TOLERANCE)


def test_a_small_component_off_the_anchors_span_separates_though_the_gram_matrix_hardly_sees_it():
    symmetry = orthonormal_symmetry(2, 2, 3)
    w = np.array([[1.0, 0.2, 0.0], [0.3, 0.9, 0.0]])
    lifted = w + np.array([0, 0, 1e-4])
    assert np.abs(lifted @ lifted.T - w @ w.T).max() < TOLERANCE
    assert not same_orbit(w.ravel(), lifted.ravel(), symmetry, TOLERANCE)
    assert same_orbit(lifted.ravel(), (lifted * [1, 1, -1]).ravel(), symmetry, TOLERANCE)


@pytest.mark.parametrize("flips", [False, True])
def test_equal_opposite_and_zero_rows_are_handled(flips):
    rng = np.random.default_rng(7)
    k = 4
    symmetry = orthonormal_symmetry(6, k, flips=flips)
    row, other = rng.normal(size=(2, k))
    w = np.stack([row, row, -row, other, 0 * row, 0 * row])
    for _ in range(5):
        assert same_orbit(w.ravel(), random_image(rng, w, k, flips).ravel(), symmetry, TOLERANCE)
    three = np.stack([row, row, row, other, 0 * row, 0 * row])
    fewer_zeros = np.stack([row, row, -row, other, 0 * row, other])
    assert same_orbit(w.ravel(), three.ravel(), symmetry, TOLERANCE) == flips
    assert not same_orbit(w.ravel(), fewer_zeros.ravel(), symmetry, TOLERANCE)
    zero = np.zeros(6 * k)
    assert same_orbit(zero, zero, symmetry, TOLERANCE)
    assert not same_orbit(zero, w.ravel(), symmetry, TOLERANCE)


def only_if_single(hashes, classes, slack):
    """In place of the guess: none, so that the search must individualise node by node."""
    return classes if np.bincount(classes[0]).max() == 1 else None


@pytest.mark.parametrize("p", [1, 3, 10])
@pytest.mark.parametrize("flips", [False, True])
def test_block_minima_are_matched_at_once_and_the_full_search_says_the_same(p, flips, monkeypatch):
    rng = np.random.default_rng(p)
    k = 20
    symmetry = orthonormal_symmetry(k, k, flips=flips)
    entries = np.array([1.02, 0.13, -0.87, 0.24, -0.01, 0.05])
    w = block_matrix(k, p, entries)
    near = block_matrix(k, p, entries + np.array([0, 1e-4, 0, 0, 0, 0]))
    image = random_image(rng, w, k, flips)
    pairs = [(w, image), (w, random_image(rng, near, k, flips)), (near, image)]
    fast = [same_orbit(a.ravel(), b.ravel(), symmetry, TOLERANCE, budget=1) for a, b in pairs]
    monkeypatch.setattr(isomorphism, "index_order_guess", only_if_single)
    assert fast == [same_orbit(a.ravel(), b.ravel(), symmetry, TOLERANCE) for a, b in pairs] == [True, False, False]


def test_a_near_miss_of_a_symmetric_point_is_refuted_in_few_steps(monkeypatch):
    rng = np.random.default_rng(12)
    k = 20
    w = block_matrix(k, 1, [1.02, 0.13, -0.87, 0.24, -0.01, 0.05])
    steps = []
    refined = isomorphism.colour_refinement
    monkeypatch.setattr(isomorphism, "colour_refinement", lambda *arguments: steps.append(0) or refined(*arguments))
    moved = w + 1e-4 / k * rng.normal(size=(k, k))  # small enough that colour refinement alone leaves 19 rows tied
    assert not same_orbit(w.ravel(), random_image(rng, moved, k).ravel(), orthonormal_symmetry(k, k), TOLERANCE)
    assert 0 < len(steps) < 20


def test_linked_families_of_rows_are_matched_at_once():
    rng = np.random.default_rng(8)
    k = 10
    w = np.vstack([block_matrix(k, 0, [1, 0, 0, 0, 0.1, 0]), block_matrix(k, 0, [-0.7, 0, 0, 0, 0.2, 0])])
    image = random_image(rng, w, k)
    assert same_orbit(w.ravel(), image.ravel(), orthonormal_symmetry(2 * k, k), TOLERANCE, budget=1)


def test_an_exhausted_budget_splits():
    rng = np.random.default_rng(9)
    k = 12
    w = circulant(rng.integers(0, 3, k).astype(float))  # cyclic symmetry: any order of the rows is not good enough
    image = random_image(rng, w, k)
    symmetry = orthonormal_symmetry(k, k)
    assert not same_orbit(w.ravel(), w.ravel(), symmetry, TOLERANCE, budget=0)
    assert not same_orbit(w.ravel(), image.ravel(), symmetry, TOLERANCE, budget=1)
    assert same_orbit(w.ravel(), image.ravel(), symmetry, TOLERANCE)


@pytest.mark.parametrize("kind", ["random", "block", "cyclic"])
@pytest.mark.parametrize("flips", [False, True])
def test_points_within_the_tolerance_are_the_same_and_points_beyond_it_are_not(kind, flips):
    rng = np.random.default_rng(10)
    k = 8
    w = {
        "random": rng.normal(size=(k, k)),
        "block": block_matrix(k, 2, rng.normal(size=6)),
        "cyclic": circulant(rng.normal(size=k)),
    }[kind]
    symmetry = orthonormal_symmetry(k, k, flips=flips)
    for _ in range(5):
        step = rng.normal(size=w.shape)
        step /= np.linalg.norm(step)
        for size, same in ((1e-9, True), (1e-8, True), (1e-6, False), (1e-4, False)):
            image = random_image(rng, w + size * step, k, flips)
            assert same_orbit(w.ravel(), image.ravel(), symmetry, TOLERANCE) == same


def test_a_point_that_is_not_finite_is_in_no_orbit():
    symmetry = orthonormal_symmetry(2, 2)
    for bad in (np.nan, np.inf):
        theta = np.array([1.0, 0.0, bad, 1.0])
        with np.errstate(invalid="ignore"):
            assert not same_orbit(theta, theta, symmetry, TOLERANCE)
