"""Labels of points of published data sets, each by another route too."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite_data import A, fixture
from finite_networks import check, finished, perturbed, problem_of, theta_of

from landscape.problems.empirical import empirical
from landscape.records import Evidence, Label
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.labels import label
from landscape.theory.convex.slopes import slopes


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
    change = forward(wide, base + t * unit).loss - forward(wide, base).loss
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
    here = forward(problem, theta)
    tie = np.abs(here.z) < 1e-9
    assert np.max(np.where(tie, np.sign(here.a) * here.nu[:, None], -1.0)) > 0.29
    # The slopes alone know it too, without the bound.
    found = slopes(problem, here)
    assert found.direction is None


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
    bad = label(problem, theta_of(problem, known["spurious_W"], known["spurious_a"]))
    good = label(problem, theta_of(problem, known["global_W"], known["global_a"]))
    assert (bad.label, good.label) == (Label.SPURIOUS, Label.GLOBAL)
    assert bad.loss == pytest.approx(known["spurious_local_min"])

    record = fixture("yun_theorem1_n4")
    problem = empirical(record["x"], record["y"], 2, bias="free", outer_bias="free")
    at = record["spurious"]
    theta = theta_of(problem, np.column_stack([at["W1"], at["b1"]]), at["W2"], at["b2"])
    verdict = label(problem, theta)
    assert verdict.label == Label.SPURIOUS
    assert verdict.loss == pytest.approx(record["spurious_value"])
    assert perturbed(problem, theta) < 0


def test_points_of_venturi():
    record = fixture("venturi_valley_p2")
    problem = empirical(record["X"], record["y"], 2)
    found = {
        name: label(problem, theta_of(problem, record[f"{name}_W"], record[f"{name}_a"]))
        for name in ("bad", "wall", "good")
    }
    assert found["bad"].label == Label.SPURIOUS
    assert found["bad"].loss == pytest.approx(record["bad_value"])
    assert found["wall"].label == Label.SADDLE
    # P_2 is the value of the good point: nothing of width two is better, and nothing says so of all widths.
    assert (found["good"].label, found["good"].flavour) == (Label.GLOBAL, "for this width")
