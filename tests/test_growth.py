"""Certificates of homogeneous networks are right, and growing ends at a network that has one."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import clarabel
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.sparse import csc_matrix

import landscape as ls
from landscape.host.growth import grow
from landscape.problems.homogeneous import Subnetwork, matrix_factorisation, matrix_value, parallel, with_width
from landscape.records import Evidence, Label
from landscape.studies.growing import GrowUntilGlobal
from landscape.studies.mismatch import DegreeMismatch, cubic, cubic_points
from landscape.studies.zeros import ZeroSubnetwork
from landscape.theory import homogeneous_growth as theory
from landscape.theory.convex.stationary import certified_optimum

FIXTURES = Path(__file__).parent / "fixtures"
MATRIX = json.loads((FIXTURES / "matrix_factorisation.json").read_text())
A = json.loads((FIXTURES / "relu_A_n8_d2.json").read_text())
CUBIC = json.loads((FIXTURES / "degree_mismatch_cubic.json").read_text())


def _matrix(width):
    return matrix_factorisation(MATRIX["Y"], width, MATRIX["lam"])


def _relu(width):
    return ls.empirical(A["X"], A["y"], width, weight_decay=0.1)


# --- the polar ---


def _heights(problem, z, count, seed):
    """<Z, phi(V)> / g(V) at random V."""
    draws = np.random.default_rng(seed).normal(size=(count, problem.q))
    one = with_width(problem, count)
    f, g = theory.parts_at(one, draws.reshape(-1))
    return np.tensordot(f, z, z.ndim) / g


RNG = np.random.default_rng(3)
X, Y, YS = RNG.normal(size=(6, 2)), RNG.normal(size=6), RNG.normal(size=(6, 2))
EXACT = {
    "matrix": lambda: matrix_factorisation(RNG.normal(size=(3, 2)), 1, 0.5),
    "quadratic": lambda: parallel(X, Y, 1, "quadratic", 0.5),
    "relu, two outputs, plane": lambda: parallel(X, YS, 1, "relu", 0.5),
    "one weight": lambda: cubic(0.1, 3),
}


@pytest.mark.parametrize("name", EXACT)
def test_exact_polars_are_attained_and_exceeded_by_no_random_subnetwork(name):
    problem = EXACT[name]()
    for seed in range(5):
        z = np.random.default_rng(seed).normal(size=problem.y.shape)
        found = theory.polar(problem, z)
        f, g = theory.parts_at(with_width(problem, 1), found.weights)
        if found.value > 0:
            assert g[0] == pytest.approx(1, rel=1e-12)
            assert np.sum(f[0] * z) == pytest.approx(found.value, rel=1e-12)
        # Exact: the interval is rounding.
        assert 0 <= found.upper - found.value <= 1e-11 * (1 + found.value)
        heights = _heights(problem, z, 4000, seed)
        assert np.max(heights) <= found.upper
        # 4000 draws in at most five dimensions come near the best one.
        assert np.max(heights) >= 0.8 * found.value


def test_the_plane_polar_agrees_with_a_dense_circle():
    z = np.random.default_rng(5).normal(size=(6, 2))
    t = np.linspace(0, 2 * np.pi, 200_001)
    heights = np.linalg.norm(np.maximum(np.stack([np.cos(t), np.sin(t)], axis=1) @ X.T, 0) @ z, axis=1)
    found = theory.polar(parallel(X, YS, 1, "relu", 0.5), z).value
    # Half a step of 3e-5 with slopes of at most |Z| |x|: 1e-3 at kinks.
    assert np.max(heights) <= found * (1 + 1e-14)
    assert found - np.max(heights) <= 1e-3


def test_a_polar_without_a_formula_has_no_upper_bound_or_a_true_one():
    z = np.random.default_rng(1).normal(size=(6,))
    deep = parallel(X, Y, 1, "deep_relu", 0.1)
    found = theory.polar(deep, z)
    assert np.isinf(found.upper)
    assert found.value >= np.max(_heights(deep, z, 4000, 0))
    x3 = RNG.normal(size=(6, 3))
    for family in ("relu", "quadratic"):
        problem = parallel(x3, YS, 1, family, 0.5)
        zz = RNG.normal(size=(6, 2))
        found = theory.polar(problem, zz)
        assert np.max(_heights(problem, zz, 4000, 0)) <= found.value * (1 + 1e-9) <= found.upper * (1 + 1e-9)
        assert np.isfinite(found.upper)


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_the_dual_bound_lies_below_every_loss(loss):
    rng = np.random.default_rng(2)
    y = np.where(rng.normal(size=(4, 3)) < 0, -1.0, 1.0)
    problem = matrix_factorisation(y, 3, 0.6, loss=loss)
    least = min(p.rounds[-1].loss for p in grow(problem, 4).paths)
    for seed in range(20):
        theta = 0.7 * np.random.default_rng(seed).normal(size=problem.p)
        found = theory.certificate(problem, theta)
        assert found.lower_bound <= least + 1e-12
        assert not found.holds


# --- matrix factorisation ---


def test_the_closed_form_is_the_fixtures():
    assert matrix_value(_matrix(1)) == pytest.approx(MATRIX["p_star"], abs=1e-12)
    values = [value for value, _ in theory.matrix_values(_matrix(3))]
    np.testing.assert_allclose(values, MATRIX["critical_values"], atol=1e-6)  # printed to six decimals


def test_all_eight_critical_points_are_recognised_and_left_for_the_optimum():
    problem = _matrix(4)
    best = matrix_value(problem)
    kinds = theory.matrix_values(problem)
    for value, kept in kinds:
        theta = theory.matrix_point(problem, kept)
        verdict = ls.label(problem, problem.read(theta))
        assert verdict.loss == pytest.approx(value, abs=1e-12)
        if value == kinds[0][0]:
            assert verdict.label == Label.GLOBAL
        else:
            assert verdict.label == Label.SADDLE
            sigma = MATRIX["singular_values"]
            first = next(s for i, s in enumerate(sigma) if i not in kept)
            assert verdict.min_curvature == pytest.approx(1.2 - first, abs=1e-9)
            lower = ls.label(problem, problem.read(theta + verdict.escape)).loss
            assert lower < value - 1e-3
        assert verdict.evidence == Evidence.CERTIFIED
    starts = np.array([theory.matrix_point(problem, kept) for _, kept in kinds])
    for (value, _), path in zip(kinds, grow(problem, starts=starts).paths, strict=True):
        assert path.rounds[0].loss == pytest.approx(value, abs=1e-9)
        assert path.status == "certified"
        assert path.rounds[-1].loss == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("width", [1, 5])
def test_factorisations_from_random_starts_are_certified_at_the_rank_of_the_optimum(width):
    grown = grow(_matrix(width), 1000 if width == 1 else 200)
    assert grown.statuses() == {"certified": len(grown.paths)}
    known = np.array([value for value, _ in theory.matrix_values(_matrix(1))])
    for path in grown.paths:
        assert path.rounds[-1].width == 3
        assert abs(path.rounds[-1].loss - MATRIX["p_star"]) <= 1e-9
        assert all(np.min(np.abs(known - one.loss)) <= 1e-9 for one in path.rounds)


def test_narrow_factorisations_are_global_for_their_width():
    census = ls.explore(_matrix(2), 32, progress=False)
    assert census.labels()["global"] == 32
    assert {level.flavour for level in census.levels} == {"for this width"}


# --- two-layer relu ---


def test_fixture_a_is_certified_with_exactly_four_neurons_from_a_hundred_seeds():
    best = certified_optimum(_relu(1))
    counts = set()
    for seed in range(100):
        path = grow(_relu(1), 1, seed).paths[0]
        assert path.status == "certified"
        assert path.rounds[-1].width == 4
        assert abs(path.rounds[-1].loss - best.value) <= 1e-9
        counts.add(len(path.rounds))
    assert counts <= {4, 5}  # theory: 4 or 5 rounds, with the zero network as a further one for some starts


def test_losses_fall_and_every_round_but_the_last_is_refuted():
    for path in grow(_relu(5), 20).paths:
        losses = [one.loss for one in path.rounds]
        assert np.all(np.diff(losses) < 0)
        assert all(one.polar > 1 for one in path.rounds[:-1])


def test_a_ceiling_stops_growth_without_a_certificate():
    grown = grow(_relu(1), 10, most=2)
    assert set(grown.statuses()) == {"ceiling"}
    for path in grown.paths:
        assert path.rounds[-1].width <= 2
        assert path.rounds[-1].loss > certified_optimum(_relu(1)).value + 1e-3


def test_growth_is_refused_where_the_theorem_does_not_apply():
    with pytest.raises(ls.InputError, match="degrees of output and regulariser"):
        grow(cubic(0.1, 2), 1)
    with pytest.raises(ls.InputError, match="positive weight decay"):
        grow(ls.empirical(A["X"], A["y"], 1), 1)
    with pytest.raises(ls.InputError, match="starts must be finite"):
        grow(_relu(1), starts=np.zeros((3, 2)))


# --- no false certificate ---


def _nuclear(x, y, lam):
    """min 1/2 |diag(X M X') - y|^2 + lambda |M|_*, M symmetric, by a semidefinite program: M = P - N."""
    d = x.shape[1]
    k = d * (d + 1) // 2
    rows, cols = np.triu_indices(d)
    order = np.lexsort((rows, cols))  # column by column of the upper triangle
    rows, cols = rows[order], cols[order]
    scale = np.where(rows == cols, 1.0, np.sqrt(2.0))
    lifted = x[:, rows] * x[:, cols] * scale  # <x x', M> in scaled coordinates
    trace = (rows == cols).astype(float)
    design = np.concatenate([lifted, -lifted], axis=1)
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    solved = clarabel.DefaultSolver(
        csc_matrix(np.triu(design.T @ design)), -design.T @ y + lam * np.tile(trace, 2), csc_matrix(-np.eye(2 * k)),
        np.zeros(2 * k), [clarabel.PSDTriangleConeT(d), clarabel.PSDTriangleConeT(d)], settings,
    ).solve()  # fmt: skip
    return solved.obj_val + 0.5 * float(y @ y)


def _case(kind, draw):
    """A small random problem of width one, and its least loss over all widths by another road."""
    rng = np.random.default_rng((draw, 7))
    x, y, lam = rng.normal(size=(5, 2)), rng.normal(size=5), float(rng.uniform(0.05, 1.0))
    if kind == "matrix":
        problem = matrix_factorisation(rng.normal(size=(4, 3)), 1, lam)
        return problem, matrix_value(problem)
    if kind == "quadratic":
        return parallel(x, y, 1, "quadratic", lam), _nuclear(x, y, lam)
    problem = ls.empirical(x, y, 1, weight_decay=lam)
    return problem, certified_optimum(problem).value


def _no_false_certificates(kind, draws):
    """How many of the points seen are certified; raises at the first certificate above the optimum."""
    certified = 0
    for draw in draws:
        problem, best = _case(kind, draw)
        paths = grow(problem, 2, draw).paths
        for path in paths:
            # The semidefinite program is good to 1e-8 at these sizes, the others to rounding.
            slack = 2e-8 if kind == "quadratic" else 1e-9 * max(1.0, best)
            last = path.rounds[-1]
            assert last.loss >= best - slack
            if path.status == "certified":
                certified += 1
                assert last.loss <= best + slack, (kind, draw, last, best)
        wide = replace(problem, width=3) if kind == "relu" else with_width(problem, 3)
        theta = np.random.default_rng(draw).normal(size=wide.p)
        if kind != "relu":
            loss = theory.certificate(wide, theta).loss
            assert loss <= best + 1e-6 or not theory.certificate(wide, theta).holds
    return certified


@pytest.mark.parametrize("kind", ["matrix", "quadratic", "relu"])
def test_no_certificate_is_false_on_random_small_problems(kind):
    assert _no_false_certificates(kind, range(8)) == 16


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("matrix", 300), ("quadratic", 300), ("relu", 400)])
def test_no_certificate_is_false_on_a_thousand_problems(kind, count):
    assert _no_false_certificates(kind, range(count)) >= 0.99 * 2 * count


# --- zero subnetworks ---


def test_a_zero_subnetwork_decides_by_the_polar():
    problem = with_width(parallel(X, Y, 1, "quadratic", 0.4), 1)
    end = grow(problem, 1).paths[0]
    wide = with_width(problem, end.problem.width + 1)
    best = np.concatenate([end.theta, np.zeros(problem.q)])
    assert ls.label(wide, wide.read(best)).label == Label.GLOBAL
    nothing = ls.label(wide, wide.read(np.zeros(wide.p)))
    assert nothing.label == Label.SADDLE
    assert ls.label(wide, wide.read(nothing.escape)).loss < nothing.loss - 1e-3


def test_strong_regularisation_makes_zero_global():
    z = theory.polar(parallel(X, Y, 1, "quadratic", 1.0), Y).value
    for factor, label in ((1.01, Label.GLOBAL), (0.99, Label.SADDLE)):
        problem = parallel(X, Y, 2, "quadratic", factor * z)
        assert ls.label(problem, problem.read(np.zeros(problem.p))).label == label


def test_zero_is_never_called_spurious_where_only_an_estimate_of_the_polar_is_known():
    problem = parallel(X, Y, 1, "deep_relu", 0.01)
    zero = ls.label(problem, problem.read(np.zeros(problem.p)))
    assert zero.label == Label.SADDLE
    heavy = parallel(X, Y, 1, "deep_relu", 100.0)
    assert ls.label(heavy, heavy.read(np.zeros(heavy.p))).label == Label.UNDECIDED


# --- degrees that differ ---


def test_the_mismatch_values_are_the_fixtures():
    points = {kind: (w, loss) for kind, w, loss in cubic_points(0.1)["mismatched"]}
    assert points["local minimum"][1] == pytest.approx(CUBIC["local_min_at_0"], abs=1e-9)
    assert points["barrier"] == pytest.approx((CUBIC["barrier_w"], CUBIC["barrier"]), abs=1e-9)
    assert points["minimum"] == pytest.approx((CUBIC["global_w"], CUBIC["global_value"]), abs=1e-9)
    assert cubic_points(0.1)["matched"][0][1:] == pytest.approx((CUBIC["matched_w"], CUBIC["matched_global"]), abs=1e-9)


def test_a_mismatch_makes_zero_spurious_and_a_match_a_saddle():
    study = DegreeMismatch(restarts=60)
    report = study.run(None, False).as_dict()
    ends = report["findings"]["ends"]
    bad = {level["label"]: level["loss"] for level in ends["mismatched"]}
    assert bad["spurious"] == pytest.approx(CUBIC["local_min_at_0"], abs=1e-9)
    assert min(level["loss"] for level in ends["mismatched"]) == pytest.approx(CUBIC["global_value"], abs=1e-9)
    good = {level["label"]: level["loss"] for level in ends["matched"]}
    assert set(good) == {"global", "saddle"}
    assert good["global"] == pytest.approx(CUBIC["matched_global"], abs=1e-9)


# --- the user's own ---


PATCHES = np.lib.stride_tricks.sliding_window_view(np.random.default_rng(4).normal(size=(5, 6)), 3, axis=1)


def _filters(height):
    """A filter of three weights on four patches of every input, and an outer weight."""
    return Subnetwork(
        name="filter",
        init=lambda key: (jax.random.normal(key, (3,)), jax.random.normal(jax.random.fold_in(key, 1), ())),
        output=lambda w, x: w[1] * height(jnp.maximum(x @ w[0], 0.0)),
        penalty=lambda w: 0.5 * (jnp.sum(w[0] ** 2) + w[1] ** 2),
        degree=2.0,
    )


@lru_cache
def _pooled(name):
    return _filters({"mean": lambda h: jnp.mean(h, axis=-1), "max": lambda h: jnp.max(h, axis=-1)}[name])


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_convolutions_and_max_pooling_grow_and_are_never_certified(pooling):
    y = np.random.default_rng(5).normal(size=5)
    problem = parallel(PATCHES, y, 1, _pooled(pooling), 0.3)
    grown = grow(problem, 3, most=4)
    assert "certified" not in grown.statuses()
    for path in grown.paths:
        losses = [one.loss for one in path.rounds]
        assert np.all(np.diff(losses) < 0)
        assert losses[-1] < 0.5 * float(y @ y)


# --- studies ---


def test_growing_is_a_study(tmp_path):
    study = GrowUntilGlobal(restarts=12, rows=6, dimension=2)
    study.manifest()
    result = study.run(tmp_path, False)
    said = result.as_dict()
    assert said["labels"]["global"] == 12
    assert sum(trace["count"] for trace in said["findings"]["traces"]) == 12
    assert "certified 12" in str(result)
    assert study.stored(tmp_path).as_dict() == json.loads(json.dumps(said))
    assert all(path.stat().st_size > 10_000 for path in study.figures(result, tmp_path))


def test_ends_with_a_zero_neuron_are_counted_by_width(tmp_path):
    study = ZeroSubnetwork(restarts=12, rows=5, widths=(2, 8))
    result = study.run(None, False)
    for row in result.as_dict()["findings"]["widths"]:
        assert sum(row["with_zero"].values()) + sum(row["without_zero"].values()) == 12
        assert all(value > 1 for value in row["polar"]["saddle"])
        # Within the margin that a certificate allows.
        assert all(value <= 1 + 1e-8 for value in row["polar"]["global"])
    assert all(path.stat().st_size > 10_000 for path in study.figures(result, tmp_path))


def test_widths_that_are_done_are_not_done_again_and_the_rest_is_after_an_interrupt(tmp_path, monkeypatch):
    whole = ZeroSubnetwork(restarts=4, rows=5, widths=(1, 3)).run(None, False).as_dict()["findings"]["widths"]
    study = ZeroSubnetwork(restarts=4, rows=5, widths=(1, 3))
    row = ZeroSubnetwork.width_row
    monkeypatch.setattr(
        ZeroSubnetwork, "width_row", lambda self, width, *more: row(self, width, *more) if width == 1 else None
    )
    stopped = study.run(tmp_path, False)
    assert (stopped.finished, stopped.restarts) == (4, 8)
    with pytest.raises(ls.InputError, match="not finished"):
        study.stored(tmp_path)
    monkeypatch.setattr(
        ZeroSubnetwork, "width_row", lambda self, width, *more: row(self, width, *more) if width == 3 else None
    )
    done = study.run(tmp_path, False)
    assert done.finished == 8
    assert done.as_dict()["findings"]["widths"] == whole


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (dict(widths=()), "at least one width"),
        (dict(widths=(0, 2)), "widths must be a whole number of at least 1"),
        (dict(weight_decay=0.0), "positive weight decay"),
    ],
)
def test_senseless_fields_of_the_zero_study_are_named(fields, words):
    with pytest.raises(ls.InputError, match=words):
        ZeroSubnetwork(**fields).manifest()


def test_a_neuron_that_alone_lowers_the_loss_by_less_than_rounding_is_still_added():
    # Beside a nearly parallel neuron no size of the new one is seen to lower the loss: starts like this one stalled.
    rng = np.random.default_rng(1)
    _, _, x, y = (rng.normal(size=size) for size in ((20, 3), 20, (20, 3), 20))
    problem = ls.empirical(x, y, 5, weight_decay=0.05)
    starts = ls.start_points(problem, 1, np.arange(3), "xavier", 1.0)
    grown = grow(problem, starts=np.asarray(starts, np.float64))
    assert grown.statuses() == {"certified": 3}
    assert grown.paths[2].rounds[-1].loss == pytest.approx(certified_optimum(problem).value, abs=1e-9)
