"""Two points are one orbit exactly when a group element maps one to the other, and an unsure search says no.

The references enumerate the group; they are slow and share nothing with the search but the definition.
"""

from itertools import permutations, product

import numpy as np
import pytest
from scipy.linalg import expm
from scipy.stats import ortho_group

import landscape as ls
from landscape.problems import symmetry as module
from landscape.problems.symmetry import OrbitIndex, Symmetry, continuous_modes, same_orbit

TOLERANCE = 1e-7


def teacher_symmetry(teacher, n, flips=False):
    """The symmetry of a relu-like loss: both ends of each teacher row, and the sum of the rows."""
    anchors = np.vstack([teacher, -teacher, teacher.sum(axis=0)])
    colours = np.r_[np.zeros(2 * len(teacher), int), 1]
    return Symmetry(anchors=anchors, colours=colours, shape=(n, teacher.shape[1]), flips=flips)


def orthonormal_symmetry(n, k, d=None, flips=False):
    return teacher_symmetry(np.eye(k, d), n, flips)


def random_image(rng, w, k, flips=False):
    """A random permutation of rows and of the first k coordinates, a random rotation or reflection of the others."""
    n, d = w.shape
    w = w[rng.permutation(n)]
    w = np.hstack([w[:, rng.permutation(k)], w[:, k:]])
    if d > k:
        turn = ortho_group.rvs(d - k, random_state=rng) if d - k > 1 else np.array([[-1.0]])
        w[:, k:] = w[:, k:] @ turn.T
    return w * rng.choice([-1.0, 1.0], (n, 1)) if flips else w


def block_matrix(k, p, entries):
    """The shape of the published families: [[a on the diagonal, f off it | b], [e | c on the diagonal, g off it]]."""
    a, b, c, e, f, g = entries
    w = np.full((k, k), f)
    np.fill_diagonal(w, a)
    w[: k - p, k - p :] = b
    w[k - p :, : k - p] = e
    w[k - p :, k - p :] = np.where(np.eye(p, dtype=bool), c, g)
    return w


def circulant(row):
    return np.array([np.roll(row, i) for i in range(len(row))])


def cycles(*lengths):
    """The biadjacency matrix of disjoint cycles of 2 * length nodes: two ones in each row and column."""
    size, start = sum(lengths), 0
    w = np.zeros((size, size))
    for length in lengths:
        for i in range(length):
            w[start + i, start + i] = w[start + i, start + (i + 1) % length] = 1
        start += length
    return w


def same_by_enumeration(a, b, column_maps, flips=False):
    """Whether some row order, one of the column maps [d, d] and (with flips) some signs take a to b."""
    rows = [list(order) for order in permutations(range(len(a)))]
    for q in column_maps:
        for order in rows:
            moved = (a @ q.T)[order]
            off = np.abs(moved - b).max(axis=1)
            if flips:
                off = np.minimum(off, np.abs(moved + b).max(axis=1))
            if off.max() <= TOLERANCE:
                return True
    return False


def permutation_matrices(k, signed=False):
    for order in permutations(range(k)):
        for signs in product([1, -1], repeat=k) if signed else [(1,) * k]:
            yield np.diag(signs) @ np.eye(k)[list(order)]


def tied_pair(rng, n, k, column_maps, flips):
    """Integer matrices with many ties: an image, half of the time with two entries exchanged."""
    a = rng.integers(-1, 2, (n, k)).astype(float)
    b = (a @ column_maps[rng.integers(len(column_maps))].T)[rng.permutation(n)]
    if flips:
        b = b * rng.choice([-1, 1], (n, 1))
    if rng.random() < 0.6:
        i, j = rng.integers(b.size, size=2)
        b.flat[i], b.flat[j] = b.flat[j], b.flat[i]
    return a, b


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
    a, b = module._read(one.ravel(), symmetry), module._read(several.ravel(), symmetry)
    hashes, labels = np.stack([a.hashes, b.hashes]), np.stack([a.labels, b.labels])
    assert module._refined(hashes, labels, module._slack(TOLERANCE, a.scale)) is not None  # the premise

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


def test_a_small_component_off_the_anchors_span_separates_though_the_gram_matrix_hardly_sees_it():
    symmetry = orthonormal_symmetry(2, 2, 3)
    w = np.array([[1.0, 0.2, 0.0], [0.3, 0.9, 0.0]])
    lifted = w + np.array([0, 0, 1e-4])
    assert np.abs(lifted @ lifted.T - w @ w.T).max() < TOLERANCE
    assert not same_orbit(w.ravel(), lifted.ravel(), symmetry, TOLERANCE)
    assert same_orbit(lifted.ravel(), (lifted * [1, 1, -1]).ravel(), symmetry, TOLERANCE)


def test_sign_flips_are_symmetries_of_even_activations_only():
    rng = np.random.default_rng(6)
    w = rng.normal(size=(4, 4))
    flipped = w * np.array([[1], [-1], [1], [1]])
    assert same_orbit(w.ravel(), flipped.ravel(), orthonormal_symmetry(4, 4, flips=True), TOLERANCE)
    assert not same_orbit(w.ravel(), flipped.ravel(), orthonormal_symmetry(4, 4), TOLERANCE)


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
    monkeypatch.setattr(module, "_ranked", only_if_single)
    assert fast == [same_orbit(a.ravel(), b.ravel(), symmetry, TOLERANCE) for a, b in pairs] == [True, False, False]


def test_a_near_miss_of_a_symmetric_point_is_refuted_in_few_steps(monkeypatch):
    rng = np.random.default_rng(12)
    k = 20
    w = block_matrix(k, 1, [1.02, 0.13, -0.87, 0.24, -0.01, 0.05])
    steps = []
    refined = module._refined
    monkeypatch.setattr(module, "_refined", lambda *arguments: steps.append(0) or refined(*arguments))
    moved = w + 1e-4 / k * rng.normal(size=(k, k))  # small enough that colour refinement alone leaves 19 rows tied
    assert not same_orbit(w.ravel(), random_image(rng, moved, k).ravel(), orthonormal_symmetry(k, k), TOLERANCE)
    assert len(steps) < 20


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
    found, images = index.images(near, np.ones(12), np.full(12, 1e-3), 1e-2)
    assert (found == 0).all()
    np.testing.assert_allclose(images, exact, rtol=0, atol=1e-13)  # a permutation and a product with one, to rounding
    # No orbit is named for a point further away than asked for, or of another loss.
    assert (index.images(near, np.ones(12), np.full(12, 1e-3), 1e-6)[0] == -1).all()
    assert (index.images(near, np.full(12, 1.1), np.full(12, 1e-3), 1e-2)[0] == -1).all()
    # A point with one row changed by more than the reach is in another orbit whatever the bijection.
    far = exact.copy()
    far[:, 0] += 0.05
    assert (index.images(far, np.ones(12), np.full(12, 1.0), 1e-2)[0] == -1).all()


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
    found, images = index.images(np.array([[1.0, 2.001], [2.0, 1.0]]), np.full(2, 0.5), np.full(2, 0.1), 0.01)
    assert found.tolist() == [0, -1]
    np.testing.assert_array_equal(images[0], [1.0, 2.0])
