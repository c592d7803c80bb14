"""Families of spurious minima are followed in real k: losses, whole spectra, births and expansions, each held to an
independent number: formulas in 60-digit arithmetic, the full Hessian at whole k, published values."""

import mpmath as mp
import numpy as np
import pytest
from slow import slow
from test_reference_minima import reduced_loss, stationary

import landscape as ls
from landscape.polish import evaluate
from landscape.theory.local_convergence.families import family_expansion
from landscape.theory.nearby import losses

# gaussian.md 2.4 and 3.2: losses to the digits printed there.
LOSSES = [
    ("II", 6, 0.025080581002463), ("II", 7, 0.023202714913566), ("II", 8, 0.021508037171521),
    ("II", 10, 0.018702194585607), ("II", 15, 0.014063881718683), ("II", 20, 0.011275581947582),
    (2, 10, 0.035326880318928), (2, 20, 0.021922973466239), (3, 20, 0.032151619873114), (4, 20, 0.042021556497360),
    (5, 20, 0.051555948258525), ("A", 6, 0.0556685813223), ("A", 8, 0.0677316913604), ("A", 20, 0.101505462449),
    ("I", 8, 0.0618346221743), ("I", 20, 0.0992865061264),
]  # fmt: skip


def entries(member):
    """(k, p, a, f, b, e, c, g) as exact numbers, for `reduced_loss`."""
    own, rest = [mp.mpf(float(x)) for x in member.own], [[mp.mpf(float(x)) for x in row] for row in member.rest]
    if len(own) == 1:
        return mp.mpf(member.k), 0, mp.mpf(0), mp.mpf(0), mp.mpf(0), mp.mpf(0), own[0], rest[0][0]
    p = mp.mpf(member.sizes[0])
    return mp.mpf(member.k), p, own[0], rest[0][0], rest[0][1], rest[1][0], own[1], rest[1][1]


@pytest.mark.parametrize(("family", "k", "loss"), LOSSES)
def test_losses_are_the_known_ones(family, k, loss):
    member = ls.family_member(family, k)
    assert abs(member.loss - loss) < (1e-12 if loss < 0.06 and family != "A" else 6e-13)
    problem, w = ls.orthonormal_teacher(k), member.matrix()
    assert abs(losses(problem, w.reshape(1, -1))[0] - member.loss) < problem.loss_error(w)


@pytest.mark.parametrize(("family", "k"), [("II", 7.3), ("II", 300.5), ("A", 6.5), ("I", 47.1), (2, 12.25), (3, 9.5)])
def test_between_whole_sizes_the_loss_is_the_reduced_one_and_the_point_is_stationary(family, k):
    member = ls.family_member(family, k)
    numbers = entries(member)
    exact = reduced_loss(*numbers)
    assert abs(member.loss - float(exact)) < 4 * np.finfo(float).eps * k
    # An entry of up to k^2 places has that many times the rounding of a gradient; the step of 1e-12 adds nothing.
    used = [6, 7] if family == "A" else [2, 4, 5, 6, 7] + ([3] if numbers[1] > 1 else [])
    step = mp.mpf(10) ** -12
    for i in used:
        up, down = (reduced_loss(*(x + s * step if j == i else x for j, x in enumerate(numbers))) for s in (1, -1))
        assert abs(up - down) / (2 * step) < 2e-15 * k**2


@pytest.mark.parametrize(
    ("family", "k"), [("II", 6), slow("II", 9), slow("A", 5), slow("A", 8), ("I", 6), slow("I", 9), (2, 9), slow(3, 10)]
)
def test_the_spectrum_is_that_of_the_full_hessian(family, k):
    member = ls.family_member(family, k)
    _, hessian = evaluate(ls.orthonormal_teacher(k), member.matrix().reshape(-1))
    found = ls.family_modes(member)
    assert all(float(mode.multiplicity).is_integer() for mode in found)
    assert sum(mode.multiplicity for mode in found) == k * k
    said = np.repeat([mode.value for mode in found], [int(mode.multiplicity) for mode in found])
    # Entries of the Hessian are exact to 1e-15, its norm is below k.
    np.testing.assert_allclose(np.linalg.eigvalsh(hessian), said, rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", ["II", "A", "I"])
def test_the_modes_of_real_k_lie_between_those_of_its_neighbours(family):
    """The trace of the Hessian, summed over modes, is a smooth function of k: its fourth difference is small."""
    found = [ls.family_modes(ls.family_member(family, k)) for k in 10 + np.arange(5) / 2]
    trace = [sum(mode.value * mode.multiplicity for mode in modes) for modes in found]
    assert abs(np.diff(trace, 4)[0]) < 1e-4


@pytest.mark.parametrize(
    ("family", "born", "representation"),
    # gaussian.md 3.3.
    [("II", 5.585505, "standard 1"), ("A", 5.763812735, "x 0"), ("I", 6.744830656, "x 1")],
)
def test_families_become_minima_at_their_published_real_sizes(family, born, representation):
    found = ls.family_birth(family)
    assert abs(found - born) < 1e-6  # printed to 6 and 9 decimals
    below, above = (ls.family_modes(ls.family_member(family, found + shift))[0] for shift in (-1e-3, 1e-3))
    assert below.value < 0 < above.value
    assert below.representation == above.representation == representation


def test_wider_blocks_of_flipped_neurons_are_born_later_and_where_whole_sizes_change():
    births = [ls.family_birth(p) for p in (1, 2, 3)]
    assert births == sorted(births)
    for p, born in zip((2, 3), births[1:], strict=True):
        for k in (int(born), int(born) + 1):
            theta = ls.family_member(p, k).matrix().reshape(-1)
            least = np.linalg.eigvalsh(evaluate(ls.orthonormal_teacher(k), theta)[1])[0]
            assert (least > 0) == (k > born)


@pytest.mark.parametrize(
    ("family", "first", "known"),
    [
        ("A", 0, (0.5 - 1 / np.pi, -4 / (3 * np.pi), 0.2522873, 0.4202288)),
        ("I", 0, (0.5 - 1 / np.pi, -4 / (3 * np.pi), 0.1862647, 0.6503278)),
        # The last two by a fit of 14 terms at 50 digits.
        ("II", 1, (0.5 - 2 / np.pi**2, -0.1095038, -1.3771468, 0.8782151)),
    ],
)
def test_expansions_at_large_k_have_their_known_terms(family, first, known):
    found = family_expansion(family)
    assert list(found) == [-(first + i / 2) for i in range(4)]
    # Printed to 7 decimals; the fit loses some digits a term.
    for value, exact, tolerance in zip(found.values(), known, (1e-9, 1e-7, 1e-4, 2e-3), strict=True):
        assert abs(value - exact) < tolerance


def test_members_are_the_points_that_newton_finds_in_the_full_space():
    for family, k in (("II", 8), ("A", 8), ("I", 8)):
        np.testing.assert_allclose(ls.family_member(family, k).matrix().reshape(-1), stationary(family, k), atol=1e-11)
    np.testing.assert_allclose(ls.family_member(2, 10).matrix().reshape(-1), stationary("II", 10, 2), atol=1e-11)


def test_senseless_families_and_sizes_are_refused():
    for say, call in (
        ("family must be A, I, II", lambda: ls.family_member("B", 8)),
        ("family must be A, I, II", lambda: ls.family_birth(0)),
        ("k must be above 3", lambda: ls.family_member(2, 3)),
        ("at most 100000", lambda: ls.family_member("A", 1e6)),
        ("k of a matrix must be a whole number", lambda: ls.family_member("A", 7.5).matrix()),
        ("terms must be", lambda: family_expansion("A", 7)),
    ):
        with pytest.raises(ls.InputError, match=say):
            call()
