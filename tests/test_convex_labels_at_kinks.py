"""Labels at degenerate rows, against the enumeration of all local minima and programs on the cells around a point."""

import numpy as np
import pytest
from finite_data import A
from finite_networks import around, check, degenerate, finished, problem_of, theta_of
from slow import slow

from landscape.problems.empirical import empirical
from landscape.records import Label
from landscape.theory.arrangement.cells import cells
from landscape.theory.convex.cell_finish import finish
from landscape.theory.convex.column_generation import optimum
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.labels import label
from landscape.theory.convex.local_minima import local_minima
from landscape.theory.convex.restricted_programs import restricted
from landscape.theory.convex.slopes import slopes


def tied_pair(labels):
    """One neuron (1, 0)-wards tied to a row (0, 1) that is there twice, with the given labels."""
    x = [[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]
    problem = empirical(x, [1.0, *labels], 1, weight_decay=0.1)
    root = np.sqrt(0.9)
    return problem, theta_of(problem, [[root, 0.0]], [root])


def test_rows_on_one_line_count_together():
    # nu = (0.1, labels): the kink of the pair has slope -a (y_1 + y_2) on its upper side.
    for labels, expected in (((0.5, -0.2), Label.TRAP), ((0.2, -0.5), None), ((-0.1, -0.1), None)):
        problem, theta = tied_pair(labels)
        verdict = check(problem, theta)
        assert (verdict.label == Label.TRAP) == (expected == Label.TRAP), labels
        assert verdict.label != Label.UNCONVERGED


def test_opposite_rows_on_one_tie_have_no_more_subgradients_than_the_loss():
    """Rows e and -e with slopes c = 2 and -1 above and below zero: row by row -2..1 would hold zero, and the loss falls
    along -e. Found on random data with opposite rows."""
    x = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [0.3, 0.4]])
    # At w = (r, 0), a = r: slopes in w_2 are 0.1 * 0 - a (0.4 nu_4) - a nu_2 (up), and - a nu_3 down.
    nu = np.array([0.0, -2.0, 1.0, -0.5])
    r = 0.8
    # nu' relu(x w) = beta |w| a-balance: (nu_1 + 0.3 nu_4) r r = beta r^2
    beta = 0.1
    nu[0] = beta - 0.3 * nu[3]
    y = nu + np.maximum(x @ [r, 0.0], 0.0) * r
    problem = empirical(x, y, 1, weight_decay=beta)
    theta = theta_of(problem, [[r, 0.0]], [r])
    g = np.array([0.0, -r * 0.4 * nu[3]])  # all ties inactive
    assert g[1] > 0
    down = g @ [0.0, -1.0] - r * nu[2]
    assert down < 0
    step = 1e-6
    there = forward(problem, theta + step * np.array([0.0, -1.0, 0.0])).loss
    assert (there - forward(problem, theta).loss) / step == pytest.approx(down, rel=1e-4)
    verdict = check(problem, theta)
    assert verdict.label in (Label.UNCONVERGED, Label.TRAP)  # no minimum


def test_a_small_neuron_that_is_about_to_vanish_is_no_part_of_a_minimum():
    """Off zero its gradient is as small as itself, and still none of a stationary point."""
    point = A["stationary_points"][1]
    narrow = problem_of(A, point["k"])
    theta = finished(narrow, point["W"], point["a"])
    problem = problem_of(A, point["k"] + 1)
    w, a = theta[: 2 * point["k"]].reshape(-1, 2), theta[2 * point["k"] :]
    for size in 10.0 ** np.arange(-14, -2):
        for u in ([1.0, 0.0], [0.0, 1.0], [-0.6, 0.8]):
            for s in (1.0, -1.0):
                base = theta_of(problem, np.vstack([w, size * np.array([u])]), [*a, s * size])
                assert label(problem, base).label in (Label.SADDLE, Label.UNCONVERGED)


@pytest.mark.parametrize("kind", ["random", "duplicate", slow("antipodal"), slow("one-hot"), slow("grid")])
def test_labels_on_small_data(kind):
    """Optima of random sets of cells, with neurons split or zero, and where `finish` leads from random networks."""
    rng = np.random.default_rng(len(kind))
    seen = set()
    for _ in range(5):
        x, y = degenerate(kind, rng)
        loss = str(rng.choice(["squared", "squared", "logistic"]))
        outer_bias = str(rng.choice(["none", "none", "regularised", "free"]))
        if loss == "logistic":
            y = np.where(y > 0, 1.0, -1.0)
            y[:2] = 1.0, -1.0
        beta, width = float(10 ** rng.uniform(-2, 0)), int(rng.integers(1, 8))
        bias = str(rng.choice(["none", "regularised"])) if x.shape[1] < 3 else "none"
        problem = empirical(x, y, width, loss=loss, weight_decay=beta, bias=bias, outer_bias=outer_bias)
        m = width
        for start in rng.normal(size=(2, problem.p)):
            assert label(problem, start).label == Label.UNCONVERGED
            end = finish(problem, start)
            if end is None:
                continue
            assert slopes(problem, forward(problem, end)).stationary
            assert forward(problem, end).loss <= forward(problem, start).loss
            seen.add(check(problem, end).label)
        patterns = cells(problem.x).patterns
        for _ in range(3):
            pick = rng.choice(2 * len(patterns), min(m, 2 * len(patterns)), replace=False)
            signs = np.where(pick < len(patterns), 1.0, -1.0)
            solved = restricted(problem.data, patterns[pick % len(patterns)], signs)
            sizes = np.linalg.norm(solved.blocks, axis=1)
            on = np.flatnonzero(sizes > 1e-9 * max(sizes.max(initial=0.0), 1e-300))
            w, a = solved.blocks[on] / np.sqrt(sizes[on])[:, None], signs[on] * np.sqrt(sizes[on])
            if len(on) and len(on) < m and rng.random() < 0.7:  # the rest of the width: pieces of the last neuron
                share = np.sqrt(rng.dirichlet(np.ones(m - len(on) + 1)))
                w = np.vstack([w[:-1], share[:, None] * w[-1]])
                a = np.concatenate([a[:-1], share * a[-1]])
            theta = theta_of(problem, w, a, None if outer_bias == "none" else solved.b0)
            verdict = check(problem, theta)
            seen.add(verdict.label)
            if verdict.label == Label.UNCONVERGED:  # then a cell next to it does better
                assert around(problem, theta) < 0
    assert {Label.GLOBAL, Label.SADDLE} <= seen


def test_every_local_minimum_is_labelled_one_and_no_other_point_is():
    """Against the enumeration, both ways, on data with duplicate and opposite rows."""
    rng = np.random.default_rng(5)
    minima_seen = strict = 0
    for k in range(4):
        x, y = degenerate(["random", "duplicate", "antipodal", "grid"][k % 4], rng)
        x, y = x[:6, :2], y[:6]
        width = 2
        problem = empirical(x, y, width, weight_decay=0.1)
        census = local_minima(problem.data, width)
        if census.undecided:
            continue
        best = optimum(problem.data)
        for minimum in census.minima:
            if len(minimum.outer) < 2:
                continue
            verdict = check(problem, theta_of(problem, minimum.hidden, minimum.outer))
            at_best = minimum.value <= census.best * (1 + 1e-10)
            assert verdict.label == (Label.GLOBAL if at_best else Label.SPURIOUS)
            if at_best:
                assert (verdict.flavour is None) == (minimum.value - best.value <= 1e-9 * best.value)
            else:
                assert verdict.flavour == "strict"
                strict += 1
            minima_seen += 1
        values = np.array([m.value for m in census.minima])
        for start in rng.normal(size=(4, problem.p)):
            end = finish(problem, start)
            if end is None:
                continue
            verdict = label(problem, end)
            if verdict.label in (Label.GLOBAL, Label.SPURIOUS):
                assert np.min(np.abs(values - verdict.loss)) < 1e-9
    assert minima_seen > 5
    assert strict > 0


@pytest.mark.parametrize("activation", ["leaky_relu", "abs"])
def test_other_homogeneous_activations_have_the_bound_of_their_own_residual(activation):
    problem = empirical(A["X"], A["y"], 6, activation=activation, weight_decay=0.3, slope=0.3)
    rng, found = np.random.default_rng(0), []
    for start in rng.normal(size=(8, problem.p)):
        end = finish(problem, start)
        if end is not None:
            found.append(label(problem, end))
    least = min(v.loss for v in found)
    for verdict in found:
        assert verdict.lower_bound <= least * (1 + 1e-12)
        assert (verdict.label == Label.GLOBAL) <= (verdict.loss <= least * (1 + 1e-9))
    assert any(v.label == Label.GLOBAL for v in found)
