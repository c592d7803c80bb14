"""The known stationary points of orthonormal teachers have their known losses, spectra and labels.

Numbers are in tests/data/orthonormal_minima.json with their source. Shapes: [[a on the diagonal, f off it | b],
[e | c on the diagonal, g off it]] with a first block of p neurons. Type II is p = 1 with a ~ -1; type I is p = 1 with
a ~ +1 and c ~ -1; type A has no first block.
"""

import json
from functools import cache
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest
import reference

from landscape.polish import evaluate, newton_to_stationary
from landscape.problems.teacher_student import orthonormal_teacher
from landscape.records import Evidence, Label
from landscape.theory.nearby import losses

KNOWN = json.loads((Path(__file__).parent / "data" / "orthonormal_minima.json").read_text())


def block(k, p, a=0.0, f=0.0, b=0.0, e=0.0, c=0.0, g=0.0):
    """The symmetric shape with those entries."""
    w = np.full((k, k), g)
    w[:p, :p], w[:p, p:], w[p:, :p] = f, b, e
    np.fill_diagonal(w, np.r_[np.full(p, a), np.full(k - p, c)])
    return w


def asymptotic(kind, k, p=1):
    """Leading terms of section 3.2, from which Newton finds the point at every k used here."""
    if kind == "A":
        return block(k, 0, c=-1 + 2 / k, g=2 / k)
    if kind == "I":
        return block(k, 1, a=1 + 1.7359 / k, b=0.72676 / k, e=-2.1986 / k**2, c=-1 + 2 / k, g=2 / k)
    return block(k, p, a=-1 + 3 / k, f=1.5 / k, b=1.3 / k, e=2 / k, c=1.0, g=-1.3 * p / k**2)


@cache
def stationary(kind, k, p=1):
    """The stationary point of that shape, [k * k], by Newton in the full space (which keeps the symmetry)."""
    problem = orthonormal_teacher(k)
    theta, norm = newton_to_stationary(problem, asymptotic(kind, k, p).reshape(-1), 1e-14, 5.0)
    assert norm <= 1e-13
    return theta


def judged(problem, theta):
    """(point, spectrum, verdict) of a stationary point."""
    point, found, verdict = reference.judged(problem, theta)
    assert point.grad_norm <= 1e-12
    return point, found, verdict


def finished(problem, theta, reach=5.0, steps=60):
    """theta polished, as the driver does it but with a long reach."""
    end = reference.polished(problem, theta, 1e-13, reach, problem.loss_error(theta), 1.0, steps)
    return np.asarray(end.theta), end


def assert_spurious_and_certified(point, verdict):
    assert verdict.label == Label.SPURIOUS
    assert verdict.evidence == Evidence.CERTIFIED
    # The certificate gives away the loss's error and the ball: nothing else.
    assert 0.999 * point.loss < verdict.margin < point.loss


def assert_spectrum(eigenvalues, table, unit):
    expected = np.sort(np.repeat([value for value, _ in table], [count for _, count in table]))
    np.testing.assert_allclose(eigenvalues, expected, rtol=0, atol=unit)


def rows(table, slow):
    """Rows of a table as parameters, those for which `slow` holds left to the slow run."""
    name = lambda row: ",".join(f"{key}={row[key]}" for key in ("k", "p", "width") if key in row)  # noqa: E731
    return [pytest.param(row, id=name(row), marks=[pytest.mark.slow] if slow(row) else []) for row in table]


# --- spurious minima ---


@pytest.mark.parametrize("row", rows(KNOWN["blocks"], lambda row: row["k"] >= 15))
def test_orthonormal_teacher_has_the_published_block_minima(row):
    k, problem = row["k"], orthonormal_teacher(row["k"])
    theta = stationary("II", k, row["p"])
    point, found, verdict = judged(problem, theta)
    # Losses are printed to 15 decimals; ours is a sum with an error of some 1e-14.
    assert abs(point.loss - row["loss"]) < 1e-12
    assert abs(found.min_curvature - row["lambda_min"]) < 1e-8
    if "lambda_max" in row:
        assert abs(found.eigenvalues[-1] - row["lambda_max"]) < 6e-7  # printed to 6 decimals
    if "sum_of_norms" in row:
        assert abs(np.sum(np.linalg.norm(theta.reshape(k, k), axis=1)) - row["sum_of_norms"]) < 1e-9
    assert (found.index, found.zeros) == (0, 0)
    assert_spurious_and_certified(point, verdict)


@pytest.mark.parametrize("row", rows([r for r in KNOWN["blocks"] if "entries" in r], lambda row: row["k"] != 7))
def test_polish_moves_printed_entries_to_the_minimum_within_their_rounding(row):
    k, problem = row["k"], orthonormal_teacher(row["k"])
    start = block(k, 1, **row["entries"]).reshape(-1)
    theta, end = finished(problem, start, reach=0.1)
    # Entries have 10 digits: k * 5e-11 of distance, and no more.
    assert end.moved < k * 1e-10
    assert end.grad_norm <= 1e-13
    assert bool(end.definite)
    assert bool(end.trapped)
    assert end.steps <= 3  # quadratic convergence
    assert abs(float(end.loss) - row["loss"]) < 1e-12
    np.testing.assert_allclose(theta, stationary("II", k), rtol=0, atol=1e-12)


def test_polish_converges_quadratically_and_returns_from_a_perturbation():
    problem, exact = orthonormal_teacher(7), stationary("II", 7)
    away = np.random.default_rng(0).normal(size=49)
    start = exact + 1e-3 * away / np.linalg.norm(away)
    errors = []
    for steps in range(4):
        theta, _ = finished(problem, start, reach=0.1, steps=steps)
        errors.append(np.linalg.norm(theta - exact))
    # The constant is B / (2 lambda) with B ~ 5 and lambda = 0.014: at most 200 times the square.
    assert errors[1] < 200 * errors[0] ** 2
    assert errors[2] < 200 * errors[1] ** 2
    assert errors[3] < 1e-13


PUBLISHED = [{**row, "kind": kind} for kind in ("A", "I") for row in KNOWN[f"type_{kind}"]]


@pytest.mark.parametrize("row", rows(PUBLISHED, lambda row: row["k"] == 20))
def test_types_a_and_i_have_their_published_losses_and_are_spurious(row):
    point, _, verdict = judged(orthonormal_teacher(row["k"]), stationary(row["kind"], row["k"]))
    # Printed to 12 or 13 decimals.
    assert abs(point.loss - row["loss"]) < 6e-13
    assert_spurious_and_certified(point, verdict)


@pytest.mark.parametrize("kind", ["II", "A", "I"])
def test_spectra_at_k_8_have_their_published_values_and_multiplicities(kind):
    _, found, _ = judged(orthonormal_teacher(8), stationary(kind, 8))
    table = KNOWN["spectra_k8"][kind]
    assert sum(count for _, count in table) == 64
    assert_spectrum(found.eigenvalues, table, 6e-9)  # printed to 8 decimals, half a unit and rounding


def test_type_i_is_spurious_from_k_7_and_a_saddle_at_k_6():
    point, _, verdict = judged(orthonormal_teacher(7), stationary("I", 7))
    assert_spurious_and_certified(point, verdict)
    known, problem = KNOWN["type_I_saddle"], orthonormal_teacher(6)
    point, found, verdict = judged(problem, stationary("I", 6))
    assert abs(found.min_curvature - known["lambda_min"]) < 6e-7
    assert found.index == known["negative"]
    assert verdict.label == Label.SADDLE
    lower = point.theta + verdict.escape
    assert losses(problem, lower[None])[0] < point.loss - point.loss_error - problem.loss_error(lower)


def reduced_loss(k, p, a, f, b, e, c, g):
    """F on the symmetric shape for real k (section 3.1), in the precision of its arguments."""
    m = k - p
    norm1, norm2 = mp.sqrt(a * a + (p - 1) * f * f + m * b * b), mp.sqrt(p * e * e + c * c + (m - 1) * g * g)
    w11, w22 = 2 * a * f + (p - 2) * f * f + m * b * b, p * e * e + 2 * c * g + (m - 2) * g * g
    w12 = a * e + (p - 1) * f * e + b * c + (m - 1) * b * g

    def pair(norm, s):
        return (mp.sqrt(norm * norm - s * s) + (mp.pi - mp.acos(s / norm)) * s) / (2 * mp.pi)

    students = p * norm1**2 / 4 + m * norm2**2 / 4 + p * m * pair(norm1 * norm2, w12) if p else m * norm2**2 / 4
    students += m * (m - 1) / 2 * pair(norm2**2, w22)
    if p:
        students += p * (p - 1) / 2 * pair(norm1**2, w11) if p > 1 else 0
        students -= p * (pair(norm1, a) + (p - 1) * pair(norm1, f) + m * pair(norm1, b))
        students -= m * p * pair(norm2, e)
    return students - m * (pair(norm2, c) + (m - 1) * pair(norm2, g)) + k / 4 + k * (k - 1) / (4 * mp.pi)


@pytest.mark.parametrize(("kind", "k", "p"), [("II", 6, 1), ("II", 10, 2), ("A", 8, 0), ("I", 8, 1)])
def test_loss_agrees_with_the_reduced_equations_at_forty_digits(kind, k, p):
    w = stationary(kind, k, p).reshape(k, k)
    entries = [float(x) for x in (w[0, 0], w[0, 1], w[0, -1], w[-1, 0], w[-1, -1], w[-1, -2])]
    np.testing.assert_allclose(w, block(k, p, *entries), rtol=0, atol=1e-13)  # Newton kept the symmetry
    exact = reduced_loss(mp.mpf(k), p, *map(mp.mpf, entries))
    theta = block(k, p, *entries).reshape(-1)
    problem = orthonormal_teacher(k)
    assert abs(losses(problem, theta[None])[0] - float(exact)) < min(problem.loss_error(theta), 1e-12)


def lowest_x_eigenvalue(kind, k, entries):
    """Closed form of the eigenvalue on antisymmetric matrices without row sums, for real k (section 3.3)."""
    p = 0 if kind == "A" else 1
    a, b, e, c, g = (mp.mpf(0), mp.mpf(0), mp.mpf(0), *entries) if kind == "A" else entries
    m = k - p
    norm1, norm2 = mp.sqrt(a * a + m * b * b), mp.sqrt(p * e * e + c * c + (m - 1) * g * g)
    t = mp.acos((p * e * e + 2 * c * g + (m - 2) * g * g) / norm2**2)
    pull = mp.sin(mp.acos(c / norm2)) + (m - 1 + 1 / (1 - (g / norm2) ** 2)) * mp.sqrt(1 - (g / norm2) ** 2)
    push = (m - 1) * mp.sin(t)
    tau = (c - g) / norm2
    if p:
        t12 = mp.acos((a * e + b * c + (m - 1) * b * g) / (norm1 * norm2))
        push += norm1 / norm2 * mp.sin(t12)
        pull += mp.sqrt(1 - (e / norm2) ** 2)
    inside = push + tau**2 / mp.sin(t) - pull / norm2
    return mp.mpf(1) / 2 + (inside - (mp.pi - t) - tau**2 / mp.sin(t)) / (2 * mp.pi)


@pytest.mark.parametrize("kind", ["A", "I"])
def test_types_a_and_i_become_minima_at_their_published_real_dimension(kind):
    w = stationary(kind, 7).reshape(7, 7)
    start = [w[1, 1], w[1, 2]] if kind == "A" else [w[0, 0], w[0, 1], w[1, 0], w[1, 1], w[1, 2]]

    with mp.workdps(25):

        def full(k, x):
            return reduced_loss(k, 0, 0, 0, 0, 0, *x) if kind == "A" else reduced_loss(k, 1, x[0], mp.mpf(0), *x[1:])

        def slope(k, x):
            h = mp.mpf(10) ** -8
            shifted = lambda i, s: [y + s * h * (i == j) for j, y in enumerate(x)]  # noqa: E731
            return [(full(k, shifted(i, 1)) - full(k, shifted(i, -1))) / (2 * h) for i in range(len(x))]

        x = [mp.mpf(float(y)) for y in start]

        def curvature(k):
            nonlocal x
            x = list(mp.findroot(lambda *y: slope(k, list(y)), x, tol=1e-24))
            return lowest_x_eigenvalue(kind, k, x)

        # At k = 7 it is an eigenvalue of the Hessian in the full space.
        _, hessian = evaluate(orthonormal_teacher(7), stationary(kind, 7))
        at_seven = float(curvature(mp.mpf(7)))
        assert np.min(np.abs(np.linalg.eigvalsh(hessian) - at_seven)) < 1e-10
        born = mp.findroot(curvature, (mp.mpf("6.9"), mp.mpf("6.7") if kind == "I" else mp.mpf("6.5")), tol=1e-18)
    assert abs(float(born) - KNOWN["birth_dimension"][kind]) < 6e-10


# --- the global minimum ---


def global_spectrum(k):
    """Section 3.3: derived from the quadratic form, with multiplicities."""
    middle = (k + 2) / 8
    half = np.sqrt(middle**2 - (k + 1) / 16 - 1 / (4 * np.pi) + 1 / (4 * np.pi**2))
    side = np.sqrt(k - 1) / 4
    trivial = np.linalg.eigvalsh([[0.5 + (k - 1) / (2 * np.pi), side], [side, k / 4 + 1 / (2 * np.pi)]])
    return [
        (1 / 4 - 1 / (2 * np.pi), k * (k - 1) // 2),
        (1 / 4 + 1 / (2 * np.pi), k * (k - 3) // 2),
        (middle - half, k - 1),
        (middle + half, k - 1),
        (trivial[0], 1),
        (trivial[1], 1),
    ]


@pytest.mark.parametrize("k", [6, 10, 20])
def test_global_minimum_has_its_derived_spectrum(k):
    printed = {6: (0.2870814742, 2.06526692), 10: (0.2718905487, 3.12916849), 20: (0.2608730799, 5.70389255)}
    table = global_spectrum(k)
    assert abs(table[2][0] - printed[k][0]) < 6e-11
    assert abs(table[5][0] - printed[k][1]) < 6e-9
    rng = np.random.default_rng(k)
    problem = orthonormal_teacher(k)
    point, found, verdict = judged(problem, np.eye(k)[rng.permutation(k)].reshape(-1))
    # Entries are sums of 2 k moments' derivatives, a few eps each, and the norm is 6.
    assert_spectrum(found.eigenvalues, table, 1e-13)
    assert found.error < 1e-10
    assert abs(point.loss) <= point.loss_error
    assert verdict.label == Label.GLOBAL
    assert verdict.evidence == Evidence.CERTIFIED


def test_extra_inputs_add_a_quarter_and_a_quarter_of_k_plus_one_to_the_global_spectrum():
    k, d = 6, 8
    _, found, verdict = judged(orthonormal_teacher(k, d=d), np.eye(k, d).reshape(-1))
    table = [*global_spectrum(k), (0.25, (k - 1) * (d - k)), ((k + 1) / 4, d - k)]
    assert_spectrum(found.eigenvalues, table, 1e-13)
    assert verdict.label == Label.GLOBAL


def test_spurious_minima_persist_with_extra_inputs():
    k, d = 6, 8
    problem = orthonormal_teacher(k, d=d)
    w = np.hstack([stationary("II", k).reshape(k, k), np.zeros((k, d - k))])
    point, found, verdict = judged(problem, w.reshape(-1))
    assert abs(point.loss - KNOWN["blocks"][0]["loss"]) < 1e-12
    assert abs(found.min_curvature - KNOWN["blocks"][0]["lambda_min"]) < 1e-8
    assert_spurious_and_certified(point, verdict)
    # Each extra input adds the spectrum of one k by k matrix, whose least eigenvalue is .1998 (section 2.1).
    _, whole = evaluate(problem, w.reshape(-1))
    extra = whole.reshape(k, d, k, d)[:, k, :, k]
    assert abs(np.linalg.eigvalsh(extra)[0] - 0.1998) < 6e-5


# --- wider than the teacher ---


@pytest.mark.parametrize(("k", "n", "d"), [(2, 4, 2), (4, 8, 4), (6, 7, 6), (4, 6, 5)])
def test_global_points_of_wider_students_have_one_zero_eigenvalue_for_each_extra_coordinate(k, n, d):
    rng = np.random.default_rng(n)
    owner = np.r_[np.arange(k), rng.integers(0, k, n - k)]
    share = rng.uniform(0.2, 1, n)
    share /= np.bincount(owner, share)[owner]
    w = share[:, None] * np.eye(k, d)[owner]
    problem = orthonormal_teacher(k, n, d=d)
    point, found, verdict = judged(problem, w[rng.permutation(n)].reshape(-1))
    assert abs(point.loss) <= point.loss_error
    zeros = (n - k) * d
    # h1 at equal directions is noise of eps times the ratio of the lengths, below 10.
    np.testing.assert_allclose(found.eigenvalues[:zeros], 0, atol=1e-13)
    assert found.eigenvalues[zeros] > 0.05
    assert found.zeros == zeros
    assert verdict.label == Label.GLOBAL
    assert verdict.evidence == Evidence.CERTIFIED


@pytest.mark.parametrize("row", rows(KNOWN["splits_at_half"], lambda row: False))
def test_splitting_a_neuron_of_a_spurious_minimum_makes_a_saddle(row):
    k = row["k"]
    narrow, w = orthonormal_teacher(k), stationary("II", k).reshape(k, k)
    _, hessian = evaluate(narrow, w.reshape(-1))
    wide = orthonormal_teacher(k, k + 1)
    for i in (0, 1):
        # H'_ii: the diagonal block without the neuron's own 1/2.
        own = hessian.reshape(k, k, k, k)[i, :, i, :] - np.eye(k) / 2
        least = np.linalg.eigvalsh(own)[0]
        assert abs(least - row["block_min"][i]) < 6e-8
        for alpha in (0.5, 0.3):
            split = np.vstack([w[:i], alpha * w[i], w[i + 1 :], (1 - alpha) * w[i]])
            point, found, verdict = judged(wide, split.reshape(-1))
            assert found.index == k - 1
            assert found.zeros == 1
            assert found.explained == 1  # length passed along the ray
            # (u, -u) sees (1/alpha + 1/(1 - alpha)) u' H'_ii u.
            bound = (1 / alpha + 1 / (1 - alpha)) / 2 * least
            assert found.min_curvature <= bound + 1e-12
            if alpha == 0.5:
                assert abs(found.min_curvature - bound) < 1e-11
                assert abs(found.min_curvature - row["lambda_min"][i]) < 6e-7
            assert verdict.label == Label.SADDLE
            lower = point.theta + verdict.escape
            assert losses(wide, lower[None])[0] < point.loss - point.loss_error


@pytest.mark.parametrize("row", rows(KNOWN["wider"], lambda row: row["k"] == 10))
def test_escape_from_the_split_of_the_flipped_neuron_ends_at_the_wider_spurious_minimum(row):
    k = row["k"]
    problem = orthonormal_teacher(k, k + 1)
    w = stationary("II", k).reshape(k, k)
    split = np.vstack([0.5 * w[0], w[1:], 0.5 * w[0]]).reshape(-1)
    _, found, _ = judged(problem, split)
    theta, end = finished(problem, split + 0.02 * found.lowest, reach=5.0, steps=2000)
    assert float(end.loss) < float(losses(problem, split[None])[0])
    assert abs(float(end.loss) - row["loss"]) < 1e-12
    point, found, verdict = judged(problem, theta)
    assert abs(found.min_curvature - row["lambda_min"]) < 1e-8
    assert_spurious_and_certified(point, verdict)
