"""The census of local minima is complete and right: against published points, programs solved without any pruning,
perturbations, and closed forms."""

import itertools

import numpy as np
import pytest
from finite_data import CASES, DEGENERATE, draw, fixture_and_data, minima_of_a

from landscape.problems.datafit import Data, objective
from landscape.records import InputError
from landscape.theory.arrangement.cells import cells
from landscape.theory.arrangement.phi import phi
from landscape.theory.convex import local_minima as room
from landscape.theory.convex.branch_and_bound import best_by_width
from landscape.theory.convex.local_minima import local_minima
from landscape.theory.convex.restricted_programs import restricted
from landscape.theory.convex.signed_cells import SignedCells
from landscape.theory.convex.subsets import rank, unrank


@pytest.fixture(scope="module")
def census_a():
    data, record = fixture_and_data("relu_A_n8_d2")
    return data, record, {width: minima_of_a(width) for width in (1, 2, 3, 4)}


def touching(data, patterns, w):
    """Cells whose closure holds w, to a tie tolerance of 1e-8 rad: optima of programs leave 1e-13."""
    cosine = data.x @ w / (np.linalg.norm(data.x, axis=1) * np.linalg.norm(w))
    return patterns[np.all((patterns == (cosine > 0)) | (np.abs(cosine) < 1e-8), axis=1)]


def around(data, patterns, hidden, outer):
    """Least value over all cells that touch the neurons: at a local minimum, and only there, the loss itself."""
    found = [(p, np.sign(a)) for w, a in zip(hidden, outer, strict=True) for p in touching(data, patterns, w)]
    return restricted(data, np.array([p for p, _ in found]), np.array([s for _, s in found])).value


def same_network(one, two, accuracy):
    """Neurons [w, a] of two networks agree in some order."""
    if len(one) != len(two):
        return False
    distance = np.linalg.norm(one[:, None] - two, axis=2)
    return bool(np.all(distance.min(axis=1) <= accuracy) and len(set(distance.argmin(axis=1))) == len(one))


def neurons(minimum):
    return np.column_stack([minimum.hidden, minimum.outer])


def test_every_published_stationary_point_of_a_is_listed(census_a):
    _, record, census = census_a
    for width, minima in census.items():
        assert minima.undecided == 0
        for point in record["stationary_points"]:
            if point["k"] > width:
                continue
            network = np.column_stack([point["W"], point["a"]])
            # The published points are converged to 1e-12 in value, hence to some 1e-6 in the weights.
            found = [m for m in minima.minima if same_network(neurons(m), network, 1e-5)]
            assert len(found) == 1
            assert abs(found[0].value - point["L"]) < 1e-9
            assert abs(found[0].phi_over_beta - point["phi_over_beta"]) < 1e-6


def test_least_losses_and_kinds_of_a(census_a):
    data, record, census = census_a
    for width, value in record["P_m"].items():
        assert abs(census[int(width)].best - value) < 1e-9  # published to 10 digits
    four = census[4]
    assert abs(four.best - record["p_star"]) < 1e-12
    strict = [m.value for m in four.minima if m.kind == room.STRICT]
    assert np.allclose(strict, [0.7727416629, 0.8878450165], atol=1e-9)  # theory, 10 digits
    assert four.minima[0].kind == room.GLOBAL
    assert [m.kind for m in census[3].minima].count(room.GLOBAL) == 0
    assert census[3].minima[0].kind == room.GLOBAL_AT_WIDTH
    # Both are the value of one program, each solved by its own route: sums of some tens of terms, 1e-15 of it apart.
    assert census[3].minima[0].value == pytest.approx(census[3].best, rel=1e-14, abs=0)
    assert four.sets == sum(len(list(itertools.combinations(range(32), k))) for k in (1, 2, 3, 4))
    # Minima of a width stay minima of the next, with a neuron split: flat.
    for width in (1, 2, 3):
        for minimum in census[width].minima:
            wider = [m for m in census[width + 1].minima if same_network(neurons(m), neurons(minimum), 1e-9)]
            assert len(wider) == 1
            assert not wider[0].isolated
    for minima in census.values():
        for minimum in minima.minima:
            assert abs(objective(data, minimum.hidden, minimum.outer) - minimum.value) < 1e-14
            assert minimum.isolated == (len(minimum.outer) == minima.width)
            assert (minimum.kind == room.GLOBAL) == (minimum.phi_over_beta < 1 + 1e-9)


def test_no_perturbation_of_a_minimum_lowers_the_loss(census_a):
    data, _, census = census_a
    rng = np.random.default_rng(0)
    for minimum in census[4].minima:
        hidden, outer = minimum.hidden, minimum.outer
        # At width four: the first neuron split into as many equal pieces as there is room for.
        pieces = 4 - len(outer) + 1
        w = np.vstack([np.repeat(hidden[:1], pieces, axis=0) / np.sqrt(pieces), hidden[1:]])
        a = np.concatenate([np.repeat(outer[:1], pieces) / np.sqrt(pieces), outer[1:]])
        for radius in (1e-4, 1e-3, 1e-2):
            for _ in range(200):
                step = rng.normal(size=(4, 3))
                step *= radius / np.linalg.norm(step)
                # 1e-13: rounding of a loss of size one.
                assert objective(data, w + step[:, :2], a + step[:, 2]) > minimum.value - 1e-13


def test_spurious_minima_with_a_neuron_to_spare_lead_down(census_a):
    data, _, census = census_a
    flat = [m for m in census[3].minima if m.kind == room.FLAT]
    assert flat
    for minimum in flat:
        residual = data.y - minimum.output
        worst = phi(data.x, residual)
        assert abs(worst.value / data.weight_decay - minimum.phi_over_beta) < 1e-9  # two routes to phi
        size = 1e-4  # a new neuron changes the loss by size^2 (beta - phi), to first order
        w, a = np.vstack([minimum.hidden, size * worst.u]), np.append(minimum.outer, size * worst.sign)
        change = objective(data, w, a) - minimum.value
        assert abs(change / size**2 - (data.weight_decay - worst.value)) < 1e-3 * worst.value


def by_brute_force(data, width):
    """Values of all local minima, from every set of signed cells; local minimum: best over all cells it touches."""
    patterns = cells(data.x).patterns
    signed = [(p, s) for p in patterns for s in (1.0, -1.0) if np.any(data.x[p])]
    values, least = [], np.inf
    for k in range(1, width + 1):
        for chosen in itertools.combinations(signed, k):
            point = restricted(data, np.array([p for p, _ in chosen]), np.array([s for _, s in chosen]))
            least = min(least, point.value)
            weight = np.linalg.norm(point.blocks, axis=1)
            if np.any(weight <= 1e-9 * weight.sum()):
                continue
            signs = np.array([s for _, s in chosen])
            if abs(around(data, patterns, point.blocks, signs) - point.value) <= 1e-11 * point.value:
                values.append(point.value)
    values = np.sort(values)
    return values[np.append(True, np.diff(values) > 1e-9)] if len(values) else values, least


@pytest.mark.parametrize("data", CASES)
def test_the_census_agrees_with_all_programs_solved(data):
    values, least = by_brute_force(data, 2)
    minima = local_minima(data, 2)
    assert minima.undecided == 0
    assert minima.programs < minima.sets
    mine = np.sort([m.value for m in minima.minima])
    mine = mine[np.append(True, np.diff(mine) > 1e-9)]
    assert mine.shape == values.shape
    assert np.allclose(mine, values, rtol=0, atol=1e-10)
    assert abs(minima.best - least) <= 1e-12 * least


def test_orthonormal_rows():
    """The only minima that are not global miss a whole sign: 1.31 and 1.79, strict alone, flat with company."""
    data, record = fixture_and_data("orthonormal_closed_form")
    one, two = local_minima(data, 1), local_minima(data, 2)
    positive, negative = np.linalg.norm(data.y[data.y > 0]), np.linalg.norm(data.y[data.y < 0])
    beta = data.weight_decay
    alone = [
        beta * positive - beta**2 / 2 + negative**2 / 2,
        beta * negative - beta**2 / 2 + positive**2 / 2,
    ]
    assert np.allclose([m.value for m in one.minima], alone, rtol=0, atol=1e-12)
    assert [m.kind for m in one.minima] == [room.GLOBAL_AT_WIDTH, room.STRICT]
    assert np.allclose([m.value for m in two.minima], [record["p_star"], *alone], rtol=0, atol=1e-12)
    assert [m.kind for m in two.minima] == [room.GLOBAL, room.FLAT, room.FLAT]
    assert two.undecided == 0


def test_a_strict_global_minimum_whose_ties_look_like_a_trap():
    """Data set A with row 3 doubled: one of the two equal ties has s nu > 0, together they do not."""
    data, record = fixture_and_data("relu_A_n8_d2")
    x, y = np.vstack([data.x, data.x[3]]), np.append(data.y, 0.70291116)
    y[3] = -0.557
    doubled = Data(x, y, data.weight_decay)
    w, a = np.array(record["W_star"]), np.array(record["a_star"])
    best = best_by_width(doubled, 4)
    assert abs(best.value - 1.0593475463303563) < 1e-7  # theory; the printed label has eight digits
    assert same_network(np.column_stack([best.hidden, best.outer]), np.column_stack([w, a]), 1e-4)
    nu = y - np.maximum(x @ best.hidden.T, 0.0) @ best.outer
    tied = np.abs(x @ best.hidden.T) < 1e-9
    assert np.max(np.where(tied, np.sign(best.outer) * nu[:, None], -np.inf)) > 0.1
    # Judged as the enumeration judges it, on the cells of its own four neurons.
    pairs = SignedCells.of(doubled, None)
    members = tuple(
        next(i for i, t in enumerate(pairs.cell) if pairs.signs[i] == np.sign(s) and pairs.patterns[t].tolist() in near)
        for near, s in (
            (touching(doubled, pairs.patterns, u).tolist(), s) for u, s in zip(best.hidden, best.outer, strict=True)
        )
    )
    minimum, decided = pairs.judge(members, pairs.solve(members))
    assert decided
    assert minimum is not None
    assert abs(minimum.value - best.value) < 1e-12


@pytest.mark.slow
def test_a_segment_of_global_minima_is_given_by_its_ends():
    data, record = fixture_and_data("relu_R_n6_bias")
    five, six = local_minima(data, 5), local_minima(data, 6)
    ends = [m for m in five.minima if m.kind == room.GLOBAL]
    assert len(ends) == 2
    assert np.allclose(ends[0].output, ends[1].output, rtol=0, atol=1e-9)
    assert all(m.isolated for m in ends)
    assert not any(m.isolated for m in six.minima if m.kind == room.GLOBAL)
    assert abs(five.best - record["p_star"]) < 1e-9


def test_labels_that_are_zero_leave_the_empty_network():
    data = Data(DEGENERATE, np.zeros(5), 0.1)
    minima = local_minima(data, 2)
    assert [(len(one.outer), one.value, one.kind) for one in minima.minima] == [(0, 0.0, "global")]
    assert minima.best == 0.0
    best = best_by_width(data, 2)
    assert best.value == 0.0
    assert len(best.outer) == 0


def test_sets_are_numbered_without_gaps():
    for k, count in ((1, 5), (3, 7), (5, 9)):
        total = len(list(itertools.combinations(range(count), k)))
        members = unrank(np.arange(total), k, count)
        assert {tuple(row) for row in members.tolist()} == set(itertools.combinations(range(count), k))
        assert np.array_equal(rank(members), np.arange(total))


def test_bad_input_is_named():
    data = draw(1, 4, 2)
    with pytest.raises(InputError, match="positive weight decay"):
        local_minima(data._replace(weight_decay=0.0), 1)
    with pytest.raises(InputError, match="positive weight decay"):
        best_by_width(data._replace(weight_decay=-1.0), 1)
    with pytest.raises(InputError, match="more than 10"):
        local_minima(data, 3, most=10)
    with pytest.raises(InputError, match="width"):
        local_minima(data, 0)
    with pytest.raises(InputError, match="all activation cells"):
        local_minima(data, 1, listed=cells(data.x)._replace(complete=False))


def test_where_no_neuron_pays_the_list_is_the_network_without_any():
    data = draw(3, 5, 2, outer_bias="free", weight_decay=100.0)
    minima = local_minima(data, 2)
    assert [(len(one.outer), one.kind) for one in minima.minima] == [(0, "global")]
    assert minima.minima[0].value == minima.best
    assert minima.minima[0].b0 == pytest.approx(np.mean(data.y), rel=1e-12)
