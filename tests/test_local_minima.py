"""The census of local minima is complete and right: against published points, programs solved without any pruning,
descents from many starts, perturbations, and closed forms."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from landscape.problems.data import Data, objective
from landscape.records import InputError
from landscape.theory.arrangement import cells, phi
from landscape.theory.convex import local_minima as room
from landscape.theory.convex import undecayed
from landscape.theory.convex.cone_program import Restricted
from landscape.theory.convex.local_minima import best_by_width, coverage, exact, local_minima
from landscape.theory.convex.restricted_programs import restricted

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name):
    record = json.loads((FIXTURES / f"{name}.json").read_text())
    return Data(np.array(record["X"]), np.array(record["y"]), record["beta"]), record


def draw(seed, n, d, loss="squared", outer_bias="none", weight_decay=0.1):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    if loss == "logistic":
        y = np.where(np.arange(n) % 2, 1.0, -1.0)
    return Data(x, y, weight_decay, loss, outer_bias)


# Rows on one line, doubled, opposite, and dependent in threes: ties that come together.
DEGENERATE = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])


@pytest.fixture(scope="module")
def census_a():
    data, record = fixture("relu_A_n8_d2")
    return data, record, {width: local_minima(data, width) for width in (1, 2, 3, 4)}


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


# --- data set A ---


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
    assert census[3].minima[0].value == census[3].best
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


# --- no pruning, another local test ---


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


CASES = [
    draw(1, 4, 2),
    draw(2, 4, 3),
    draw(3, 5, 2, outer_bias="regularised"),
    draw(4, 5, 2, outer_bias="free"),
    draw(5, 4, 2, loss="logistic"),
    draw(6, 4, 2, loss="logistic", outer_bias="regularised"),
    # A program on two cells leaves a block of 1e-16.
    Data(np.array([[2.0, 0.0, -1.0], [2.0, 2.0, 0.0]]), np.array([0.0, 2.0]), 0.01),
    Data(DEGENERATE, np.array([1.0, -0.7, 0.4, 0.9, -0.2]), 0.1),
    Data(DEGENERATE, np.array([-0.3, 1.1, 0.8, -0.5, 1.4]), 0.05, outer_bias="free"),
]


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


@pytest.mark.parametrize("data", CASES)
def test_least_loss_by_branch_and_bound_is_the_census_one(data):
    for width in (1, 2, 3):
        best, minima = best_by_width(data, width), local_minima(data, width)
        # The two stop at 1e-10 relative of each other.
        assert abs(best.value - minima.best) <= 2e-10 * minima.best
        assert best.lower_bound <= minima.best <= best.value + 1e-12
        assert abs(objective(data, best.hidden, best.outer, best.b0) - best.value) <= 1e-13
        assert len(best.outer) <= width


def test_least_losses_of_a_by_branch_and_bound(census_a):
    data, record, census = census_a
    for width, minima in census.items():
        best = best_by_width(data, width)
        assert abs(best.value - minima.best) <= 1e-10
        assert best.by.startswith("p*") == (width >= record["m_star"])
    assert best_by_width(data, 9).value == pytest.approx(record["p_star"], abs=1e-11)


def test_more_optimal_neurons_than_needed_are_pruned():
    """Data set R: the optimal networks form a segment with six neurons inside and five at each end."""
    data, record = fixture("relu_R_n6_bias")
    best = best_by_width(data, record["m_star"])
    assert abs(best.value - record["p_star"]) < 1e-9
    assert len(best.outer) == record["m_star"]
    assert best_by_width(data, record["m_star"] - 1).value > record["p_star"] + 1e-3


# --- descents ---


def descend(data, width, starts, seed, steps):
    """Gradient descent on all starts at once, the step lowered by 1e4 at the end; no outer bias, squared loss."""
    rng = np.random.default_rng(seed)
    w, a = rng.normal(size=(starts, width, data.x.shape[1])), rng.normal(size=(starts, width))
    for step in range(steps):
        rate = 0.05 * min(1.0, 1e-4 ** ((step / steps - 0.6) / 0.4))
        pre = w @ data.x.T
        hidden = np.maximum(pre, 0.0)
        nu = data.y - np.einsum("rmn,rm->rn", hidden, a)
        gradient_w = data.weight_decay * w - a[:, :, None] * (((pre > 0) * nu[:, None]) @ data.x)
        gradient_a = data.weight_decay * a - np.einsum("rmn,rn->rm", hidden, nu)
        w, a = w - rate * gradient_w, a - rate * gradient_a
    return w, a


def ends_at_minima(data, w, a):
    """Losses and outputs of the ends that are local minima without a zero neuron: best over the cells within 0.003 rad.

    Ends at one-sided traps have something lower in the cells next to them, and ends that did not converge too.
    """
    patterns = cells(data.x).patterns
    values, outputs = [], []
    for hidden, outer in zip(w, a, strict=True):
        size = np.linalg.norm(hidden, axis=1)
        if np.any(size * np.abs(outer) < 1e-4):
            continue
        cosine = (hidden @ data.x.T) / (size[:, None] * np.linalg.norm(data.x, axis=1))
        chosen = [
            (p, np.sign(s))
            for c, s in zip(cosine, outer, strict=True)
            for p in patterns[np.all((patterns == (c > 0)) | (np.abs(c) < 3e-3), axis=1)]
        ]
        point = restricted(data, np.array([p for p, _ in chosen]), np.array([s for _, s in chosen]))
        if abs(point.value - objective(data, hidden, outer)) < 1e-6:
            values.append(point.value)
            outputs.append(point.output)
    return np.array(values), np.array(outputs)


@pytest.mark.parametrize(("seed", "n", "width"), [(10, 4, 2), (11, 5, 2), (12, 5, 3)])
def test_descents_find_nothing_that_is_not_listed(seed, n, width):
    data = draw(seed, n, 2)
    values, outputs = ends_at_minima(data, *descend(data, width, 60, seed, 6000))
    assert len(values) >= 20  # most restarts converge: there is something to compare
    minima = local_minima(data, width)
    seen = coverage(minima, values, outputs)
    assert not np.any(seen.elsewhere)
    assert seen.runs.sum() == len(values)
    assert set(seen.missed) == {i for i, runs in enumerate(seen.runs) if runs == 0}


def test_coverage_tells_found_from_missed(census_a):
    _, _, census = census_a
    minima = census[2]
    values = np.array([minima.minima[0].value, minima.minima[0].value, minima.minima[3].value + 1e-3])
    seen = coverage(minima, values)
    assert seen.runs.tolist() == [2] + [0] * (len(minima.minima) - 1)
    assert seen.missed == tuple(range(1, len(minima.minima)))
    assert seen.elsewhere.tolist() == [False, False, True]
    wrong = np.zeros((3, 8))  # the right value with other outputs is another point
    assert np.all(coverage(minima, values, wrong).elsewhere)


@pytest.mark.slow
def test_descents_on_a_find_only_what_is_listed(census_a):
    data, _, census = census_a
    for width in (1, 2, 3, 4):
        values, outputs = ends_at_minima(data, *descend(data, width, 300, width, 20_000))
        seen = coverage(census[width], values, outputs)
        assert len(values) >= 60
        assert not np.any(seen.elsewhere)
    # The published census ran at five neurons as well, where one more strict minimum appears.
    point = fixture("relu_A_n8_d2")[1]["stationary_points"][5]
    five = local_minima(data, 5)
    assert point["k"] == 5
    assert five.undecided == 0
    assert [abs(m.value - point["L"]) < 1e-9 for m in five.minima if m.kind == room.STRICT] == [True]


# --- closed forms and edges ---


def test_orthonormal_rows():
    """The only minima that are not global miss a whole sign: 1.31 and 1.79, strict alone, flat with company."""
    data, record = fixture("orthonormal_closed_form")
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
    data, record = fixture("relu_A_n8_d2")
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
    pairs = room._Pairs.of(doubled, None)
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
    data, record = fixture("relu_R_n6_bias")
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


def test_a_heavy_weight_decay_leaves_the_bias():
    data = draw(3, 5, 2, outer_bias="free", weight_decay=100.0)
    best = best_by_width(data, 2)
    assert len(best.outer) == 0
    assert best.b0 == pytest.approx(data.y.mean(), abs=1e-12)
    assert local_minima(data, 2).best == pytest.approx(best.value, rel=1e-12)


def test_sets_are_numbered_without_gaps():
    for k, count in ((1, 5), (3, 7), (5, 9)):
        total = len(list(itertools.combinations(range(count), k)))
        members = room._unrank(np.arange(total), k, count)
        assert {tuple(row) for row in members.tolist()} == set(itertools.combinations(range(count), k))
        assert np.array_equal(room._rank(members), np.arange(total))


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
        local_minima(data, 1, known=cells(data.x)._replace(complete=False))


# --- without weight decay ---


@pytest.mark.parametrize("labels", [[1.0, -1.0, 1.0, 1.0], [1.0, 1.0, -1.0, 1.0], [1.0, 2.0, 3.0, 4.0]])
@pytest.mark.parametrize("outer_bias", ["none", "free"])
def test_without_weight_decay_the_least_loss_depends_on_the_row_space_alone(labels, outer_bias):
    """Rows on one line: all that a neuron's direction counts for is its side of the origin."""
    line = np.array([[1.0], [2.0], [-1.0], [3.0]])
    y = np.array(labels)
    ones = [] if outer_bias == "none" else [np.ones(4)]
    sides = [np.maximum(line[:, 0], 0.0), np.maximum(-line[:, 0], 0.0)]
    flat, plane = Data(line, y, 0.0, "squared", outer_bias), Data(line * [1.0, 2.0], y, 0.0, "squared", outer_bias)
    for width in (1, 2, 3):
        # A neuron of either sign for each side is least squares; width 1 takes one of them.
        truth = min(
            float(np.sum((y - a @ np.linalg.lstsq(a, y, rcond=None)[0]) ** 2)) / 2
            for a in (np.column_stack([*some, *ones]) for some in itertools.combinations(sides, min(width, 2)))
        )
        for data in (flat, plane):
            best = undecayed.best(data, width)
            assert best.value == pytest.approx(truth, abs=1e-12)  # 1e4 roundings of |y|^2
            assert best.value - 1e-12 <= best.lower_bound <= truth + 1e-14
            assert objective(data, best.hidden, best.outer, best.b0) == best.value


@pytest.mark.parametrize("seed", range(12))
def test_without_weight_decay_a_turn_into_more_dimensions_changes_nothing(seed):
    """x and x q have the same networks for q with independent rows, of any scale."""
    rng = np.random.default_rng(seed)
    n, r = 4, 1 + seed % 3
    x, q, y = rng.normal(size=(n, r)), rng.normal(size=(r, 4)) * 10.0 ** rng.integers(-3, 4, size=4), rng.normal(size=n)
    narrow, wide = undecayed.best(Data(x, y, 0.0), 2), undecayed.best(Data(x @ q, y, 0.0), 2)
    assert wide.value == pytest.approx(narrow.value, abs=1e-10)  # x @ q is rounded, and a ray may be badly conditioned
    assert narrow.lower_bound <= narrow.value <= narrow.lower_bound + 1e-11


@pytest.mark.parametrize(("outer_bias", "least"), [("none", 2.5), ("free", 0.25)])
def test_without_weight_decay_and_inputs_that_are_zero_only_the_bias_is_left(outer_bias, least):
    best = undecayed.best(Data(np.zeros((2, 2)), np.array([1.0, 2.0]), 0.0, "squared", outer_bias), 2)
    assert (best.value, len(best.outer)) == (pytest.approx(least, abs=1e-14), 0)
    assert least - 1e-13 <= best.lower_bound <= least + 1e-14


def test_without_weight_decay_rows_that_are_nearly_dependent_leave_an_interval():
    """Between 1e-13 and 1e-8 nobody knows whether a third cell is there or rounding."""
    x = np.array([[1.0, 1.0], [1.0, 1.0 + 1e-11], [2.0, 2.0]])
    assert undecayed.best(Data(x, np.array([1.0, -1.0, 0.5]), 0.0), 1).lower_bound == 0.0


# --- a search that may stop ---


@pytest.mark.parametrize("data", CASES)
@pytest.mark.parametrize("sets", [0, room.SETS])
def test_bounds_of_a_search_hold_wherever_it_stops(data, sets, monkeypatch):
    """By branch and bound and by enumeration, from no programs at all to enough of them."""
    monkeypatch.setattr(room, "SETS", sets)
    truth = local_minima(data, 2).best
    for most in (0, 1, 4, 40, 4000):
        best = best_by_width(data, 2, most=most)
        assert best.lower_bound <= truth * (1 + 1e-12)
        assert best.value >= truth * (1 - 1e-12)
        assert best.value == objective(data, best.hidden, best.outer, best.b0)
        assert len(best.outer) <= 2
        assert exact(best) or best.by.startswith("an interval")
    assert exact(best)
    assert best.value - best.lower_bound <= 1.1e-10 * best.value  # where nodes are dropped
    assert ("enumeration" in best.by) == (sets > 0) or best.by.startswith("p*")


def test_width_one_takes_a_program_for_each_signed_cell():
    """256 cells in four dimensions, where branch and bound does not come to an end."""
    rng = np.random.default_rng(0)
    data = Data(np.column_stack([rng.normal(size=(8, 3)), np.ones(8)]), rng.normal(size=8), 0.3)
    best, minima = best_by_width(data, 1, most=100), local_minima(data, 1)
    assert exact(best)
    assert best.value == pytest.approx(minima.best, rel=1e-12)
    assert best.lower_bound <= minima.best <= best.value * (1 + 1e-12)
    assert best.programs <= 300


def test_a_search_takes_as_many_programs_as_it_may(monkeypatch):
    """At a weight decay of 1e-7 pulls are rounding beside it, and programs do not converge."""
    rng = np.random.default_rng(3)
    data = Data(rng.normal(size=(5, 3)), rng.normal(size=5), 1e-7)
    best = best_by_width(data, 3, most=60)
    assert best.by.startswith("an interval")
    assert not exact(best)
    assert 0 <= best.lower_bound < best.value < 0.5 * float(data.y @ data.y)
    assert best.programs <= 60 + 8  # those of the first network and the last node beyond


@pytest.mark.parametrize("unsolved", [1e-3, 0.5])
def test_a_program_that_is_not_solved_weakens_its_own_bound_alone(unsolved, monkeypatch):
    """Here the programs of all pairs of cells that are worse than the best pair by more than their residuals."""
    data = draw(5, 6, 2)
    true = best_by_width(data, 2)
    assert true.by == "enumeration of sets of cells"
    plain, spoilt = restricted, []

    def sometimes(*arguments):
        point = plain(*arguments)
        if len(arguments[2]) == 2 and point.value * (1 - unsolved) > true.value:
            spoilt.append(point.value)
            return point._replace(residual=unsolved)
        return point

    monkeypatch.setattr(room, "restricted", sometimes)
    best = best_by_width(data, 2)
    assert spoilt
    assert exact(best)
    assert best.value == true.value


def test_neurons_without_output_are_left_out():
    """Blocks outside their cells, as a program that is not solved can leave them."""
    x = np.array([[1.0, 0.0], [0.0, 1.0]])
    blocks = np.array([[-1.0, -1.0], [2.0, 0.0], [-2.0, -1.0]])
    point = Restricted(1.0, blocks, 0.0, np.zeros(2), np.zeros(2), 1.0)
    kept, signs, _ = room._irreducible(Data(x, np.ones(2), 0.1), point, np.array([1.0, -1.0, 1.0]))
    assert np.array_equal(kept, blocks[1:2])
    assert signs.tolist() == [-1.0]


def test_without_weight_decay_the_bound_is_as_sharp_as_the_rays_in_use():
    """Of 56 sets of rays some are badly conditioned; the networks that count do not point along those."""
    rng = np.random.default_rng(0)
    data = Data(rng.normal(size=(8, 3)), rng.normal(size=8), 0.0)
    assert exact(undecayed.best(data, 1))


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-8])
def test_one_restart_is_at_one_minimum_in_any_units(size):
    data = draw(1, 6, 2, weight_decay=0.05)
    minima = local_minima(data._replace(y=size * data.y, weight_decay=size * data.weight_decay), 2)
    assert len(minima.minima) > 3
    best = minima.minima[0]
    for outputs in (None, best.output[None]):
        seen = coverage(minima, np.array([best.value]), outputs)
        assert seen.runs.tolist() == [1] + [0] * (len(minima.minima) - 1)
        assert not seen.elsewhere.any()


def test_where_no_neuron_pays_the_list_is_the_network_without_any():
    data = draw(3, 5, 2, outer_bias="free", weight_decay=100.0)
    minima = local_minima(data, 2)
    assert [(len(one.outer), one.kind) for one in minima.minima] == [(0, "global")]
    assert minima.minima[0].value == minima.best
    assert minima.minima[0].b0 == pytest.approx(np.mean(data.y), rel=1e-12)
