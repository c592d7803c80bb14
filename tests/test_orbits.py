"""Orbits are counted once, and a known point is laid over a new one by an element of the group."""

from dataclasses import replace

import numpy as np
import pytest
from orbit_reference import TOLERANCE, block_matrix, circulant, orthonormal_symmetry, random_image

import landscape as ls
from landscape.problems.orbits import OrbitIndex
from landscape.problems.overlay import Overlay
from landscape.problems.symmetry import Symmetry


def test_orbit_index_counts_the_orbits_of_noisy_images():
    rng = np.random.default_rng(11)
    k = 7
    points = [
        np.eye(k),
        block_matrix(k, 1, rng.normal(size=6)),
        circulant(rng.normal(size=k)),
        *rng.normal(size=(2, k, k)),
    ]
    index = OrbitIndex(orthonormal_symmetry(k, k), TOLERANCE)
    found = {}
    for step in range(200):
        which = step % 5
        theta = random_image(rng, points[which] + 1e-9 * rng.normal(size=(k, k)), k).ravel()
        loss = 0.1 * (which // 2) + 1e-11 * rng.normal()  # two orbits share each of two losses
        place = index.find(theta, loss)
        if place is None:
            place = index.add(theta, loss)
        assert found.setdefault(which, place) == place
    assert sorted(found.values()) == list(range(5))
    assert len(index.representatives) == len(index.losses) == 5


def test_orbit_index_compares_losses_within_their_error():
    index = OrbitIndex(orthonormal_symmetry(2, 2), TOLERANCE)
    theta = np.array([1.0, 0.2, 0.3, 0.8])
    assert index.find(theta, 0.5) is None
    assert index.add(theta, 0.5) == 0
    assert index.find(theta, 0.5 + 1e-10) == 0
    assert index.find(theta, 0.51) is None
    assert index.find(theta, 0.51, loss_error=0.02) == 0
    assert index.find(theta, np.nan) is None


def test_orbit_index_without_a_group_compares_points_or_canonical_representatives():
    theta = np.array([3.0, -1.0, 2.0])
    plain, sorting = OrbitIndex(None, TOLERANCE), OrbitIndex(np.sort, TOLERANCE)
    for index in (plain, sorting):
        assert index.add(theta, 0.0) == 0
        assert index.find(theta + 4e-8, 0.0) == 0
        assert index.find(theta + 9e-8, 0.0) is None  # each entry within the tolerance, the distance 1.6e-7 is not
    assert plain.find(theta[::-1], 0.0) is None
    assert sorting.find(theta[::-1], 0.0) == 0


@pytest.mark.parametrize("activation", ["relu", "abs", "erf", "gelu"])
@pytest.mark.parametrize("sizes", [(5, 5), (5, 7), (12, 12)])
def test_images_are_the_group_element_that_lays_a_known_point_over_an_approximate_one(activation, sizes):
    k, width = sizes
    rng = np.random.default_rng(k + width)
    problem = ls.orthonormal_teacher(k, width, activation=activation)
    index = OrbitIndex(problem.symmetry, 1e-7)
    known = rng.normal(size=(width, k)) / np.sqrt(k)
    index.add(known.reshape(-1), 1.0)
    exact = []
    for _ in range(12):
        moved = known[rng.permutation(width)][:, rng.permutation(k)]
        if activation == "abs":
            moved = moved * rng.choice([-1.0, 1.0], size=(width, 1))
        exact.append(moved.reshape(-1))
    exact = np.array(exact)
    near = exact + 1e-4 * rng.normal(size=exact.shape) / np.sqrt(exact.shape[1])
    found, images, apart = index.images(near, np.ones(12), np.full(12, 1e-3), 1e-2)
    assert (found == 0).all()
    np.testing.assert_allclose(images, exact, rtol=0, atol=1e-13)  # a permutation and a product with one, to rounding
    np.testing.assert_allclose(apart, np.linalg.norm(near - exact, axis=1), atol=1e-13)
    # No orbit is named for a point further away than asked for, or of another loss.
    assert (index.images(near, np.ones(12), np.full(12, 1e-3), 1e-6)[0] == -1).all()
    assert (index.images(near, np.full(12, 1.1), np.full(12, 1e-3), 1e-2)[0] == -1).all()
    # A point with one row changed by more than the reach is in another orbit whatever the bijection.
    far = exact.copy()
    far[:, 0] += 0.05
    assert (index.images(far, np.ones(12), np.full(12, 1.0), 1e-2)[0] == -1).all()


@pytest.mark.parametrize("flips", [False, True])
def test_the_program_of_accelerators_lays_points_as_numpy_does(flips):
    """On points with and without ties, near images and near nothing: the same guesses, and the same ones refused."""
    rng = np.random.default_rng(5)
    k = 6
    symmetry = replace(orthonormal_symmetry(k, k), flips=flips)
    points = [np.eye(k), block_matrix(k, 1, rng.normal(size=6)), circulant(rng.normal(size=k)), rng.normal(size=(k, k))]
    index = OrbitIndex(symmetry, TOLERANCE)
    for place, point in enumerate(points):
        index.add(point.ravel(), float(place))
    overlay = index._overlay
    known = np.tile(np.arange(4), 20)
    thetas = np.array([random_image(rng, points[i], k).ravel() for i in known])
    thetas[::7] = rng.normal(size=(len(thetas[::7]), k * k))
    thetas += 1e-5 * rng.normal(size=thetas.shape)
    plain, there = overlay.over(known, thetas), overlay.over_there(known, thetas)
    near = [np.linalg.norm(images - thetas, axis=1) < 1e-3 for images in (plain, there)]
    np.testing.assert_array_equal(*near)
    assert 40 < near[0].sum() < 80  # both kinds are there
    np.testing.assert_allclose(there[near[0]], plain[near[0]], rtol=0, atol=1e-13)  # by rounding of a product


@pytest.mark.parametrize(
    ("anchors", "colours", "free"),
    [
        (np.concatenate([np.eye(3), -np.eye(3), np.ones((1, 3))]), [0] * 6 + [1], True),
        (np.concatenate([np.eye(3), -np.eye(3)]), [0] * 6, False),  # no class of its own is a basis
        (np.concatenate([np.eye(3), [[1.0, 0.0, 0.0]]]), [0] * 3 + [1], False),  # one axis is marked
        (
            np.concatenate([np.eye(3), np.roll(np.eye(3), 1, axis=0) - np.eye(3)]),
            [0] * 3 + [1] * 3,
            False,
        ),  # turns only
        (np.eye(3) + 0.2, [0] * 3, True),
        (np.diag([1.0, 2.0, 3.0]), [0] * 3, False),
    ],
    ids=["both ends", "signs", "marked", "turns", "equal angles", "lengths"],
)
def test_permutations_of_a_basis_need_no_check_where_all_of_them_are_in_the_group(anchors, colours, free):
    symmetry = Symmetry(anchors, np.array(colours), (2, 3))
    overlay = Overlay(symmetry, 1e-7)
    assert overlay.determined
    assert overlay._free == free
    assert not Overlay(replace(symmetry, flips=True), 1e-7)._free  # rows with signs are paired, and that is checked
    if free:
        point = np.random.default_rng(0).normal(size=6)
        overlay.add(point)
        turned = point.reshape(2, 3) @ np.linalg.solve(anchors[:3], anchors[[2, 0, 1]])
        image = overlay.over(np.zeros(1, int), (turned[::-1] + 1e-6).reshape(1, -1))
        np.testing.assert_allclose(image[0], turned[::-1].reshape(-1), atol=1e-14)


def test_images_claim_nothing_where_a_rotation_is_free():
    # Two teachers in R^4: the bijection of anchors does not determine the orthogonal map.
    problem = ls.orthonormal_teacher(2, 3, 4)
    index = OrbitIndex(problem.symmetry, 1e-7)
    theta = np.random.default_rng(0).normal(size=12)
    index.add(theta, 0.0)
    assert index.images(theta[None], np.zeros(1), np.ones(1), 0.1)[0].tolist() == [-1]


def test_images_without_a_group_are_the_points_themselves():
    index = OrbitIndex(None, 1e-7)
    index.add(np.array([1.0, 2.0]), 0.5)
    found, images, apart = index.images(np.array([[1.0, 2.001], [2.0, 1.0]]), np.full(2, 0.5), np.full(2, 0.1), 0.01)
    assert found.tolist() == [0, -1]
    np.testing.assert_allclose(apart, [0.001, np.inf], atol=1e-12)
    np.testing.assert_array_equal(images[0], [1.0, 2.0])
