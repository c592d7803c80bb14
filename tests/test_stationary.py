"""Labels at finite data against independent routes: published points, the enumeration of all local minima, programs on
the cells around a point, perturbations, and closed forms; degenerate rows above all."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.problems.data import objective
from landscape.problems.empirical import empirical
from landscape.records import Evidence, Label
from landscape.theory.arrangement import cells, phi
from landscape.theory.convex import stationary as room
from landscape.theory.convex.branch_and_bound import exact
from landscape.theory.convex.column_generation import optimum
from landscape.theory.convex.local_minima import local_minima
from landscape.theory.convex.restricted_programs import restricted

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


def problem_of(record, width, **more):
    return empirical(record["X"], record["y"], width, weight_decay=record["beta"], **more)


def theta_of(problem, hidden, outer, b0=None):
    """theta of neurons, the rest of the width filled with zero neurons."""
    w, a = np.zeros((problem.width, problem.d)), np.zeros(problem.width)
    w[: len(outer)], a[: len(outer)] = hidden, outer
    return np.concatenate([w.reshape(-1), a, [] if b0 is None else [b0]])


def finished(problem, hidden, outer):
    """The exact stationary point at published weights of ten digits."""
    theta = theta_of(problem, hidden, outer)
    end = room.finish(problem, theta)
    assert end is not None
    assert np.linalg.norm(end - theta) < 1e-5
    return end


def around(problem, theta, tries=60, seed=0):
    """Least value of the convex programs on cells next to a point, less its loss: negative only off local minima."""
    here, rng = room.at(problem, theta), np.random.default_rng(seed)
    norms = np.linalg.norm(here.w, axis=1)
    used = norms > 0
    tie = np.abs(here.z) <= 1e-9 * np.outer(np.linalg.norm(problem.x, axis=1), norms)
    lowest = np.inf
    for _ in range(tries):
        side = problem.x @ rng.normal(size=here.w.shape).T > 0
        pattern = np.where(tie, side, here.z > 0).T[used]
        found = restricted(problem.data, pattern, np.sign(here.a[used]))
        assert found.residual < 1e-10
        lowest = min(lowest, found.value - here.loss)
    return lowest


def perturbed(problem, theta, tries=2000, seed=1):
    """Largest decrease beyond rounding over random moves of all weights, or of one neuron, of 1e-4 to 1e-2 (of the
    typical weight) across no kink but those the point is on: basins can be narrow. Negative if none lowers it."""
    here, rng = room.at(problem, theta), np.random.default_rng(seed)
    m, d = problem.width, problem.d
    rows, norms = np.linalg.norm(problem.x, axis=1), np.linalg.norm(here.w, axis=1)
    free = np.abs(here.z) > 1e-9 * np.outer(rows, norms)
    most_far = 0.5 * np.min((np.abs(here.z) / np.maximum(rows, 1e-300)[:, None])[free], initial=np.inf)
    most = -np.inf
    for k in range(tries):
        move = rng.normal(size=problem.p)
        if k % 2:
            one = np.zeros(problem.p)
            j = rng.integers(m)
            one[j * d : (j + 1) * d] = one[m * d + j] = 1.0
            move *= one
        size = np.sqrt(np.mean(theta**2)) * 10 ** rng.uniform(-4, -2)
        move *= min(size, most_far) / np.linalg.norm(move)
        there = room.at(problem, theta + move)
        most = max(most, here.loss - there.loss - here.loss_error - there.loss_error)
    return most


def check(problem, theta, seed=0):
    """The verdict of a point, held against what is known of it by another route."""
    verdict = room.label(problem, theta)
    here = room.at(problem, theta)
    best = room.certified_optimum(problem)
    at_optimum = here.loss - best.value <= 1e-9 * best.value
    if verdict.label == Label.GLOBAL and verdict.flavour is None:
        assert at_optimum
    elif verdict.label in (Label.SADDLE, Label.TRAP):
        assert not at_optimum
        assert verdict.escape is not None
        there = room.at(problem, theta + verdict.escape)
        assert there.loss < here.loss - here.loss_error - there.loss_error
    elif verdict.label in (Label.GLOBAL, Label.SPURIOUS):
        assert not at_optimum
        assert around(problem, theta, 20, seed) > -1e-10 * here.loss  # programs are solved to 1e-13
        assert perturbed(problem, theta, 200, seed) < 0
    if verdict.label == Label.SADDLE:
        assert verdict.min_curvature == pytest.approx(problem.weight_decay - phi(problem.x, here.nu).value, rel=1e-9)
    return verdict


# --- data set A ---

A = fixture("relu_A_n8_d2")


@pytest.mark.parametrize("k", range(16))
def test_every_stationary_value_of_a_at_its_own_width(k):
    point = A["stationary_points"][k]
    problem = problem_of(A, point["k"])
    theta = finished(problem, point["W"], point["a"])
    verdict = check(problem, theta)
    assert verdict.loss == pytest.approx(point["L"], abs=1e-10)
    least = {**{int(m): v for m, v in A["P_m"].items()}, 4: A["p_star"]}
    if point["k"] in least:
        at_least = abs(point["L"] - least[point["k"]]) < 1e-9
        assert verdict.label == (Label.GLOBAL if at_least else Label.SPURIOUS)
        assert verdict.flavour == (None if k == 0 else "for this width" if at_least else "strict")
    else:
        assert verdict.label in (Label.GLOBAL, Label.SPURIOUS)
    assert perturbed(problem, theta) < 0
    # One more neuron: zero, it is a saddle of curvature beta - phi; a split, the same level is flat.
    wide = problem_of(A, point["k"] + 1)
    w, a = theta[: 2 * point["k"]].reshape(-1, 2), theta[2 * point["k"] :]
    saddle = check(wide, theta_of(wide, w, a))
    split = check(wide, theta_of(wide, np.vstack([0.6 * w[:1], w[1:], 0.8 * w[:1]]), [0.6 * a[0], *a[1:], 0.8 * a[0]]))
    if k == 0:
        assert (saddle.label, split.label) == (Label.GLOBAL, Label.GLOBAL)
        return
    assert saddle.label == Label.SADDLE
    assert saddle.min_curvature == pytest.approx(A["beta"] * (1 - point["phi_over_beta"]), abs=1e-7)
    t = 1e-4
    assert saddle.escape is not None
    unit = saddle.escape / np.linalg.norm(saddle.escape)
    base = theta_of(wide, w, a)
    change = room.at(wide, base + t * unit).loss - room.at(wide, base).loss
    # Along t (u, s) / sqrt 2 the loss moves by t^2 (beta - phi) / 2 + O(t^4); rounding is 1e-16 / 1e-8.
    assert 2 * change / t**2 == pytest.approx(saddle.min_curvature, rel=1e-5)
    if split.flavour == "for this width":
        assert point["k"] + 1 < 4
    else:
        assert (split.label, split.flavour) == (Label.SPURIOUS, "flat, escapable")


def test_the_optimum_of_a_is_global_though_its_automatic_gradient_is_not_zero():
    problem = problem_of(A, 4)
    theta = theta_of(problem, A["W_star"], A["a_star"])
    with jax.enable_x64(True):
        norms = []
        for sign in (1.0, -1.0):  # a tie rounds to either side
            w = np.array(A["W_star"]) * (1 + sign * 1e-15)
            norms.append(np.linalg.norm(jax.grad(problem.loss)(jnp.asarray(theta_of(problem, w, A["a_star"])))))
    assert max(norms) > 0.05  # theory: 0.0836 with all ties inactive
    verdict = check(problem, theta)
    assert (verdict.label, verdict.evidence) == (Label.GLOBAL, Evidence.CERTIFIED)


def test_a_doubled_row_makes_no_trap_of_the_global_minimum():
    """Theory: max s nu on the ties is +0.3 and the point is a strict global minimum all the same."""
    x = np.vstack([A["X"], A["X"][3]])
    y = np.array([*A["y"], 0.70291116])
    y[3] = -0.557
    problem = empirical(x, y, 4, weight_decay=0.1)
    theta = theta_of(problem, A["W_star"], A["a_star"])
    verdict = check(problem, theta)
    assert verdict.label == Label.GLOBAL
    assert verdict.loss == pytest.approx(1.0593475463303563, abs=1e-8)  # its labels are printed to eight digits
    here = room.at(problem, theta)
    tie = np.abs(here.z) < 1e-9
    assert np.max(np.where(tie, np.sign(here.a) * here.nu[:, None], -1.0)) > 0.29
    # The slopes alone know it too, without the bound.
    found = room.slopes(problem, here)
    assert found.direction is None


# --- other fixtures ---


def test_fixture_r():
    record = fixture("relu_R_n6_bias")
    for width in (6, 7):
        problem = problem_of(record, width)
        assert check(problem, theta_of(problem, record["W_star"], record["a_star"])).label == Label.GLOBAL


def test_the_trap_of_two_points():
    record = fixture("gd_trap_2pt")
    problem = problem_of(record, 1)
    root = np.sqrt(0.9)
    verdict = check(problem, theta_of(problem, [[root, 0.0]], [root]))
    assert verdict.label == Label.TRAP
    assert verdict.loss == pytest.approx(record["trap_value"], abs=1e-15)
    assert verdict.margin == pytest.approx(-record["one_sided_slope"], rel=1e-12)


def test_the_zero_neuron_attractor():
    record = fixture("zero_neuron_attractor")
    for width in (1, 3):
        problem = problem_of(record, width)
        verdict = check(problem, np.zeros(problem.p))
        assert verdict.label == Label.SADDLE
        assert verdict.loss == record["limit_value"]
        assert verdict.min_curvature == pytest.approx(record["beta"] * (1 - record["phi_over_beta"]), rel=1e-12)


def test_orthonormal_rows():
    """Every level of the closed form: minima only miss a whole sign, and are flat from width two on."""
    record = fixture("orthonormal_closed_form")
    y, beta = np.array(record["y"]), record["beta"]
    for case in record["clarke_values_one_neuron_per_sign"]:
        groups = [(s, g) for s, g in ((1.0, case["pos_active"]), (-1.0, case["neg_active"])) if g]
        w, a = [], []
        for s, group in groups:
            part = np.zeros(4)
            part[group] = s * y[group]
            c = np.linalg.norm(part) - beta
            w.append(np.sqrt(c) * part / np.linalg.norm(part))
            a.append(s * np.sqrt(c))
        full = all(set(g) == set(np.flatnonzero(s * y > 0)) for s, g in groups)
        if not groups:
            continue
        problem = problem_of(record, len(groups))
        verdict = check(problem, theta_of(problem, w, a))
        assert verdict.loss == pytest.approx(case["L"], abs=1e-12)
        if case["L"] == record["p_star"]:
            assert verdict.label == Label.GLOBAL
        elif full:  # one sign of two, at width one: the larger is the best there
            best = case["L"] == min(1.31, 1.79)
            assert verdict.label == (Label.GLOBAL if best else Label.SPURIOUS)
            assert verdict.flavour == ("for this width" if best else "strict")
            wide = problem_of(record, 2)
            half = np.sqrt(0.5)
            flat = check(wide, theta_of(wide, [half * w[0], half * w[0]], [half * a[0], half * a[0]]))
            assert (flat.label, flat.flavour) == (Label.SPURIOUS, "flat, escapable")
        else:
            assert verdict.label == Label.TRAP
        wide = problem_of(record, 3)
        label = check(wide, theta_of(wide, w, a)).label
        assert label == (Label.GLOBAL if case["L"] == record["p_star"] else Label.TRAP if not full else Label.SADDLE)


def test_points_of_yun():
    record = fixture("yun_theorem2")
    problem = empirical(record["X"], record["y"], 2)
    known = record["no_decay"]
    bad = room.label(problem, theta_of(problem, known["spurious_W"], known["spurious_a"]))
    good = room.label(problem, theta_of(problem, known["global_W"], known["global_a"]))
    assert (bad.label, good.label) == (Label.SPURIOUS, Label.GLOBAL)
    assert bad.loss == pytest.approx(known["spurious_local_min"])

    record = fixture("yun_theorem1_n4")
    problem = empirical(record["x"], record["y"], 2, bias="free", outer_bias="free")
    at = record["spurious"]
    theta = theta_of(problem, np.column_stack([at["W1"], at["b1"]]), at["W2"], at["b2"])
    verdict = room.label(problem, theta)
    assert verdict.label == Label.SPURIOUS
    assert verdict.loss == pytest.approx(record["spurious_value"])
    assert perturbed(problem, theta) < 0


def test_points_of_venturi():
    record = fixture("venturi_valley_p2")
    problem = empirical(record["X"], record["y"], 2)
    found = {
        name: room.label(problem, theta_of(problem, record[f"{name}_W"], record[f"{name}_a"]))
        for name in ("bad", "wall", "good")
    }
    assert found["bad"].label == Label.SPURIOUS
    assert found["bad"].loss == pytest.approx(record["bad_value"])
    assert found["wall"].label == Label.SADDLE
    # P_2 is the value of the good point: nothing of width two is better, and nothing says so of all widths.
    assert (found["good"].label, found["good"].flavour) == (Label.GLOBAL, "for this width")


# --- degenerate rows ---


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
    there = room.at(problem, theta + step * np.array([0.0, -1.0, 0.0])).loss
    assert (there - room.at(problem, theta).loss) / step == pytest.approx(down, rel=1e-4)
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
                assert room.label(problem, base).label in (Label.SADDLE, Label.UNCONVERGED)


def degenerate(kind, rng):
    n, d = int(rng.integers(3, 9)), int(rng.integers(1, 4))
    base = rng.normal(size=((n + 1) // 2, d))
    x = {
        "random": rng.normal(size=(n, d)),
        "duplicate": base[rng.integers(0, len(base), n)],
        "antipodal": np.concatenate([base, -base])[:n],
        "one-hot": np.eye(d)[rng.integers(0, d, n)],
        "grid": rng.integers(-2, 3, (n, d)).astype(float),
    }[kind]
    y = rng.normal(size=n) if rng.random() < 0.6 else rng.integers(-2, 3, n).astype(float)
    return x, y


@pytest.mark.parametrize("kind", ["random", "duplicate", "antipodal", "one-hot", "grid"])
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
            assert room.label(problem, start).label == Label.UNCONVERGED
            end = room.finish(problem, start)
            if end is None:
                continue
            assert room.slopes(problem, room.at(problem, end)).stationary
            assert room.at(problem, end).loss <= room.at(problem, start).loss
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
            end = room.finish(problem, start)
            if end is None:
                continue
            verdict = room.label(problem, end)
            if verdict.label in (Label.GLOBAL, Label.SPURIOUS):
                assert np.min(np.abs(values - verdict.loss)) < 1e-9
    assert minima_seen > 5
    assert strict > 0


# --- what must never be claimed ---


def test_logistic_loss_without_weight_decay_has_no_global_minimum():
    problem = empirical([[1.0], [-1.0]], [1.0, -1.0], 2, loss="logistic")
    for size in (1.0, 5.0, 6.0, 30.0):  # losses down to exp(-900), far below rounding of one
        theta = theta_of(problem, [[size], [-size]], [size, -size])
        assert room.label(problem, theta).label in (Label.UNCONVERGED, Label.UNDECIDED)


def test_a_loss_lost_in_rounding_is_not_global():
    """Weights of 1e15 that cancel: the loss is known to no digit."""
    problem = empirical([[1.0], [2.0]], [1.0, -1.0], 2)
    theta = theta_of(problem, [[1e15], [1e15]], [1.0, -1.0])
    verdict = room.label(problem, theta)
    assert verdict.loss_error is not None
    assert verdict.loss_error > 1.0
    assert verdict.label in (Label.UNDECIDED, Label.UNCONVERGED)


@pytest.mark.parametrize("size", [1e-6, 1e-3, 1e3])
def test_labels_do_not_depend_on_the_units_of_the_data(size):
    """x -> size x and beta -> size beta, or y -> size y and beta -> size beta, maps stationary points to such."""
    for k in (0, 1, 5):
        point = A["stationary_points"][k]
        small = problem_of(A, point["k"])
        theta = finished(small, point["W"], point["a"])
        expected = room.label(small, theta)
        x, y = np.array(A["X"]), np.array(A["y"])
        for problem, factor in (
            (empirical(size * x, y, point["k"], weight_decay=size * A["beta"]), size**-0.5),
            (empirical(x, size * y, point["k"], weight_decay=size * A["beta"]), size**0.5),
        ):
            verdict = room.label(problem, factor * theta)
            assert (verdict.label, verdict.flavour) == (expected.label, expected.flavour)
            wide = empirical(problem.x, problem.y, point["k"] + 1, weight_decay=problem.weight_decay)
            w, a = factor * theta[: 2 * point["k"]].reshape(-1, 2), factor * theta[2 * point["k"] :]
            assert room.label(wide, theta_of(wide, w, a)).label == (Label.GLOBAL if k == 0 else Label.SADDLE)


def test_a_free_outer_bias_takes_up_what_neurons_share_with_a_constant():
    """Neurons for x > 0 and for x < 0 with outputs that add up to a constant: flat, though their atoms are apart."""
    problem = empirical([[1.0], [-1.0]], [1.0, 1.0], 2, weight_decay=0.1, outer_bias="free")
    theta = theta_of(problem, [[0.5], [-0.5]], [0.5, 0.5], 0.0)
    assert room.independent(problem, room.at(problem, theta)) is False
    plain = empirical([[1.0], [-1.0]], [1.0, 1.0], 2, weight_decay=0.1)
    assert room.independent(plain, room.at(plain, theta[:-1])) is True


@pytest.mark.parametrize("activation", ["leaky_relu", "abs"])
def test_other_homogeneous_activations_have_the_bound_of_their_own_residual(activation):
    problem = empirical(A["X"], A["y"], 6, activation=activation, weight_decay=0.3, slope=0.3)
    rng, found = np.random.default_rng(0), []
    for start in rng.normal(size=(8, problem.p)):
        end = room.finish(problem, start)
        if end is not None:
            found.append(room.label(problem, end))
    least = min(v.loss for v in found)
    for verdict in found:
        assert verdict.lower_bound <= least * (1 + 1e-12)
        assert (verdict.label == Label.GLOBAL) <= (verdict.loss <= least * (1 + 1e-9))
    assert any(v.label == Label.GLOBAL for v in found)


# --- where descents end ---


def test_ends_are_near_and_are_labelled():
    problem = problem_of(A, 4)
    rng = np.random.default_rng(3)
    point = A["stationary_points"][1]
    theta = finished(problem, point["W"], point["a"])
    step = np.array([problem.step_size()])
    near = theta + 1e-4 * rng.normal(size=problem.p)
    (end,) = room.ends(problem, near[None], {}, step)
    assert isinstance(end, room.End)
    assert np.linalg.norm(end.theta - theta) < 1e-6
    assert (end.verdict.label, end.verdict.flavour) == (Label.SPURIOUS, "strict")
    assert end.orbit == room.key(problem, theta)
    order = [2, 0, 3, 1]
    mixed = np.concatenate([theta[:8].reshape(4, 2)[order].reshape(-1), theta[8:][order]])
    assert room.key(problem, mixed) == end.orbit


def test_ends_never_take_a_descent_that_is_far_from_its_end():
    problem = problem_of(A, 6)
    rng = np.random.default_rng(4)
    starts = problem.scale * rng.normal(size=(20, problem.p))
    for step in (problem.step_size(), 1.0, 1e6):  # a long step jumps far over ties, and is no leave to be far away
        found = room.ends(problem, starts, {}, np.full(20, step))
        for start, end in zip(starts, found, strict=True):
            if isinstance(end, room.End):
                assert np.linalg.norm(end.theta - start) <= room.JUMPS * problem.scale
    assert all(isinstance(end, room.Onward) for end in room.ends(problem, starts, {}, np.zeros(20)))


def test_the_least_loss_of_a_width_is_skipped_where_it_would_take_too_long():
    rng = np.random.default_rng(0)
    large = empirical(rng.normal(size=(30, 3)), rng.normal(size=30), 3, weight_decay=0.1)
    assert room.best_of_width(large) is None  # 1744 signed cells
    two = room.best_of_width(problem_of(A, 2))
    assert two is not None
    assert two.value == pytest.approx(A["P_m"]["2"], abs=1e-9)


def test_the_network_of_an_unfinished_search_is_a_witness():
    """Its loss is attained and its interval holds the least loss, however wide."""
    rng = np.random.default_rng(14)
    problem = empirical(rng.normal(size=(8, 3)), rng.normal(size=8), 3, weight_decay=0.01)
    found = room.best_of_width(problem)
    assert found is not None
    assert not exact(found)
    assert found.by.startswith("an interval")
    assert objective(problem.data, found.hidden, found.outer, found.b0) == found.value
    assert room.certified_optimum(problem).lower_bound <= found.lower_bound * (1 + 1e-9)
    network = ls.Params(hidden=1e-3 * rng.normal(size=(3, 3)), outer=np.zeros(3))
    better = ls.improve(problem, network).best_of_width
    assert better.how == "better, of this width"
    assert better.loss == pytest.approx(found.value, rel=1e-12)
    assert ls.improve(problem, better.params).best_of_width is None  # no better one is known


# --- points beside the exact one, units, and programs of nothing ---


@pytest.mark.parametrize("decimals", range(6, 14))
def test_a_global_minimum_in_so_many_decimals_is_never_spurious(decimals):
    problem = problem_of(fixture("relu_A_n8_d2"), 4)
    best = room.certified_optimum(problem)
    theta = np.round(theta_of(problem, best.hidden, best.outer), decimals)
    verdict = ls.label(problem, problem.read(theta))
    at = verdict if verdict.label == Label.GLOBAL else verdict.polished
    assert verdict.label in (Label.GLOBAL, Label.UNCONVERGED)
    assert at.label == Label.GLOBAL
    assert at.flavour is None


def test_the_best_network_of_its_width_in_some_decimals_is_never_spurious():
    problem = problem_of(fixture("relu_A_n8_d2"), 3)
    best = room.best_of_width(problem)
    for digits in (8, 10, 12):
        verdict = ls.label(problem, problem.read(np.round(theta_of(problem, best.hidden, best.outer), digits)))
        at = verdict if verdict.label == Label.GLOBAL else verdict.polished
        assert verdict.label in (Label.GLOBAL, Label.UNCONVERGED)
        assert (at.label, at.flavour) == (Label.GLOBAL, "for this width")


def test_free_biases_have_no_part_in_the_rounding_of_weight_decay():
    x, y = np.array([[1e3], [-1e3]]), np.array([1000.1, 999.9])
    problem = empirical(x, y, 1, weight_decay=1e8, outer_bias="free")
    assert room.label(problem, np.array([0.0, 0.0, 1000.0])).label == Label.GLOBAL
    for off in (1e-4, 1e-2):
        assert room.label(problem, np.array([0.0, 0.0, 1000.0 + off])).label == Label.UNCONVERGED
    houses = np.array([[1200.0, 3], [800, 2], [2000, 4], [1500, 3], [950, 1]])
    prices = np.array([310000.0, 205000, 480000, 395000, 220000])
    problem = empirical(houses, prices, 1, weight_decay=1e9, outer_bias="free")
    assert room.label(problem, np.array([0.0, 0, 0, np.mean(prices)])).label == Label.GLOBAL


def test_labels_that_are_zero_leave_tiny_networks_known():
    problem = empirical([[1.0, 2.0], [-1.0, 1.0], [0.5, 0.0]], [0.0, 0.0, 0.0], 2, weight_decay=0.1)
    verdict = ls.label(problem, problem.read(1e-7 * np.arange(1.0, 7.0)))
    assert verdict.label == Label.UNCONVERGED
    assert verdict.polished.label == Label.GLOBAL


def test_no_label_ends_in_a_linear_algebra_error_at_small_weight_decays():
    problem = empirical(
        np.ones((6, 1)), [-1, 1, 1, -1, -1, -1], 1, loss="logistic", weight_decay=1e-4, bias="regularised",
        outer_bias="regularised",
    )  # fmt: skip
    assert ls.label(problem, problem.read(np.array([1.178, 1.35, -0.38, -1.18]))).label == Label.UNCONVERGED
    rng = np.random.default_rng(2)
    for k in range(6):
        x, y = rng.normal(size=(5, 3)), rng.normal(size=5)
        problem = empirical(x, y, 2, weight_decay=10.0 ** -(4 + k % 3))
        assert isinstance(ls.label(problem, problem.read(rng.normal(size=problem.p))).label, str)


def test_ties_of_large_data_are_told_by_a_program_in_units_of_its_own():
    x = 100.0 * np.array([[0, -2], [-2, 1], [1, 0], [1, 2], [0, 1], [0, 2]])
    problem = empirical(x, [2e6, -1e6, 1e6, 2e6, -1e6, 1e6], 2, weight_decay=2449.489742783178, bias="regularised")
    for seed in range(12):
        theta = problem.scale * np.random.default_rng(seed).normal(size=problem.p)
        assert ls.label(problem, problem.read(theta)).label == Label.UNCONVERGED


def test_an_open_optimum_does_not_hide_a_point_that_its_own_bound_shows_to_be_global(monkeypatch):
    problem = problem_of(fixture("relu_A_n8_d2"), 6)
    best = room.certified_optimum(problem)
    open_ = best._replace(lower_bound=best.lower_bound * (1 - 1e-6), gap=1e-6 * best.value)
    monkeypatch.setattr(room, "certified_optimum", lambda problem: open_)
    theta = theta_of(problem, best.hidden, best.outer)
    assert room.label(problem, theta).label == Label.GLOBAL
