"""A user's loss is labelled by what its own evaluations, their rounding error and its derivatives show: the table of
inputs that were once labelled wrong, singular points whose type is known by construction, units, and precision."""

from __future__ import annotations

import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.nn import relu
from slow import long, mostly_slow, slow

from landscape import gallery
from landscape.host.explore import explore
from landscape.problems.from_loss import UserLoss, from_loss
from landscape.records import Claim, Evidence, Flavour, Label, Point, Status
from landscape.theory.own_loss.degenerate import degenerate
from landscape.theory.own_loss.finish import finish
from landscape.theory.own_loss.judge import _least_curvature, judge
from landscape.theory.own_loss.stationary import rest
from landscape.theory.own_loss.view import view


def problem(function, p: int, bound: float | None = None, size: float = 1.0, **more) -> UserLoss:
    return from_loss(function, lambda key: size * jax.random.normal(key, (p,)), lower_bound=bound, **more)


def at(landscape: UserLoss, theta) -> Claim:
    found = judge(landscape, Point(np.asarray(theta, float), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
    assert found.evidence in (None, Evidence.NUMERICAL)
    assert found.label not in (Label.UNDECIDED, Label.UNCONVERGED) or found.reason
    return found


def falls(landscape: UserLoss, theta, verdict: Claim) -> bool:
    """Whether the loss at the end of the escape is lower, in a computation of the test's own."""
    assert verdict.escape is not None
    with jax.enable_x64(True):
        before, after = (
            float(landscape.loss(jnp.asarray(t))) for t in (np.asarray(theta, float), theta + verdict.escape)
        )
    return after < before


# -- the table ---------------------------------------------------------------------------------------------------------


def test_a_zero_of_relu_products_is_a_saddle_and_never_a_minimum():
    pair = problem(lambda p: (p[0] * relu(p[1]) - 1) ** 2 + 0.1 * (p[0] ** 2 + p[1] ** 2), 2)
    verdict = at(pair, [0.0, 0.0])
    assert verdict.label == Label.SADDLE
    assert falls(pair, [0.0, 0.0], verdict)


@pytest.mark.parametrize("bound", [None, 0.0])
@pytest.mark.parametrize("a", [10.0, 30.0, 300.0, 800.0])
def test_a_valley_that_falls_for_ever_has_no_stationary_point(a, bound):
    valley = problem(lambda x: jnp.exp(-x[0]) * (2 + jnp.cos(x[1])), 2, bound)
    assert at(valley, [a, 0.0]).label == Label.AT_INFINITY


def test_a_start_of_another_size_changes_nothing_at_infinity():
    """The Newton step of exp(-x) is 0.01 of a scale of 100, and is still a step that never shrinks."""
    wide = problem(lambda x: jnp.exp(-x[0]) + x[1] ** 2, 2, None, 100.0)
    assert at(wide, [30.0, 0.0]).label == Label.AT_INFINITY


def test_global_by_a_bound_needs_no_global_float64():
    code = (
        "import jax.numpy as jnp, jax, numpy as np\n"
        "from landscape.problems.from_loss import from_loss\n"
        "from landscape.records import Point\n"
        "from landscape.theory.own_loss.judge import judge\n"
        "def label(f, theta, bound):\n"
        "    p = from_loss(f, lambda k: jax.random.normal(k, (len(theta),)), lower_bound=bound)\n"
        "    return str(judge(p, Point(np.array(theta), np.nan, 0., 0., 0., 1)).label)\n"
        "assert not jax.config.jax_enable_x64\n"
        "print(label(lambda p: jnp.sum((p**2 - jnp.array([1., 2.]))**2), [1., 2**.5], 0.))\n"
        "g = lambda x: 1 + (x[0]**2 - 1)**2 + 1.5e-7 * (x[0] - 1)**2 / 4\n"
        "print(label(g, [-0.9999999812499997], 1.), label(g, [1.], 1.))\n"
        "assert not jax.config.jax_enable_x64"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=300)
    assert run.stdout.split() == ["global", "spurious", "global"]


def test_a_curvature_of_a_hundredth_beside_a_hundred_thousand_is_not_zero():
    raw = problem(lambda x: 1.0 + jnp.sum(jnp.array([0.0098, 1e5]) * (x - 1) ** 2), 2)
    assert (at(raw, [1.0, 1.0]).label, at(raw, [1.0, 1.0]).by) == (Label.GLOBAL, "curvature, convex")


def test_a_curvature_at_the_end_of_the_range_of_numbers_overflows_nowhere():
    """As that of a unit far in its tail, exp(-713): its inverse is no number."""
    there = rest(view(problem(lambda p: p @ p, 2)), np.zeros(2))
    assert there is not None
    tail = there._replace(values=np.array([1e-310, 2.0]), vectors=np.eye(2))
    assert _least_curvature(tail, np.array([1.0, 4.0])) == pytest.approx(1e-310)


@pytest.mark.parametrize("scale", [None, 16.0, np.array([1e-3, 1.0, 1e3])], ids=["drawn", "given", "far apart"])
def test_the_least_curvature_is_that_of_the_hessian_whatever_the_scales(scale):
    """The eigenvalues of the Hessian as it is, and not of the Hessian in units of the scales."""
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(3, 3)))[0]
    for values in ([0.5, 3.0, 7.0], [-2.0, 3.0, 7.0]):
        hessian = turn @ np.diag(values) @ turn.T
        valley = problem(lambda p, h=hessian: p @ jnp.asarray(h) @ p / 2, 3, size=40.0, scale=scale)
        # The largest eigenvalue over u is 1e12 times the least: rounding of 1e-16 of it leaves four digits of the
        # least one where signs are mixed, and more where they are not.
        assert at(valley, np.zeros(3)).min_curvature == pytest.approx(values[0], rel=1e-4)


def test_the_slope_at_a_kink_is_that_over_the_parameters_whatever_the_scale():
    """On the kink x = 0 of |x| + 3 |y| the least subgradient is 3 along y, where both are drawn from normals of 40."""
    roof = problem(lambda p: jnp.abs(p[0]) + 3.0 * jnp.abs(p[1]), 2, size=40.0)
    found = at(roof, [0.0, 1.0])
    assert found.label == Label.UNCONVERGED
    assert found.grad_norm == pytest.approx(3.0, rel=1e-6)  # pieces are asked 1e-7 away


def test_a_wrong_bound_is_said_at_once():
    verdict = at(problem(lambda x: jnp.sum(x**2), 2, 0.1), [0.1, 0.1])
    assert verdict.label == Label.UNDECIDED
    assert "wrong" in (verdict.reason or "")


def test_a_loose_bound_leaves_a_minimum_undecided():
    verdict = at(problem(lambda x: 1.0 + jnp.sum(x**2) - (x[0] * x[1]) ** 2, 2, 0.0), [0.0, 0.0])
    assert (verdict.label, verdict.flavour) == (Label.UNDECIDED, Flavour.STRICT_MINIMUM)


def test_far_from_stationary_is_unconverged():
    for theta in ([0.5, 0.5], [3.0, -2.0], [1e-2, 0.0]):
        assert at(problem(lambda x: jnp.sum(x**2) + x[0] ** 4, 2, 0.0), theta).label == Label.UNCONVERGED


def test_a_loss_in_float32_is_labelled_as_far_as_its_digits_go():
    def single(x):
        return 1.0 + jnp.sum((x.astype(jnp.float32) ** 2 - 1) ** 2)

    loss = view(problem(single, 2))
    value, error = loss.loss(np.array([1.3, 0.8]) / loss.scale)
    with jax.enable_x64(True):
        exact = 1.0 + (1.3**2 - 1) ** 2 + (0.8**2 - 1) ** 2
    assert abs(value - exact) <= error < 1e-4
    # 1e-9 from a saddle and from a minimum is within the digits of both.
    assert at(problem(single, 2), [1e-9, 1.0]).label == Label.SADDLE
    assert at(problem(single, 2, 1.0), [1.0, 1.0 + 1e-9]).label == Label.GLOBAL


def test_rounding_that_a_nudge_of_the_parameters_does_not_show_is_seen():
    loss = view(problem(lambda x: jnp.sin(1e8 + x[0] ** 2), 1))
    value, error = loss.loss(np.array([1e-6]))
    # The argument keeps 1.5e-8 of its last digit.
    assert abs(value - np.sin(1e8)) <= error
    assert 1e-9 < error < 1e-6


def test_rounding_of_every_round_of_a_loop_is_seen():
    """A sum over two thousand data, one after the other, rounds as often."""
    rows = np.random.default_rng(0).uniform(0.5, 1.5, size=2000)
    summed = problem(lambda x: jax.lax.scan(lambda total, row: (total + row * x[0], None), 0.0 * x[0], rows)[0], 1)
    at = 0.7
    value, error = view(summed).loss(np.array([at]) / view(summed).scale)
    exact = float(np.sum(rows.astype(np.longdouble) * np.longdouble(at)) - np.longdouble(value))  # 64 bits of mantissa
    assert 4 * np.finfo(float).eps * value < abs(exact) <= error < 1e3 * np.finfo(float).eps * value


# -- singular points of known type -------------------------------------------------------------------------------------


def singular(seed: int, powers: list[int], signs: list[int]):
    """f(x) = 1 + sum sign y^power with y = a polynomial diffeomorphism of x, zero at zero; power 0 leaves y out."""
    rng = np.random.default_rng(seed)
    p = len(powers)
    turn = np.linalg.qr(rng.normal(size=(p, p)))[0] * np.exp(rng.uniform(-0.5, 0.5, size=p))
    bends = rng.uniform(-1, 1, size=(p, p, p))

    def loss(x):
        z = turn @ x
        y = []
        for i in range(p):  # triangular: each moved by a quadratic form of those before
            before = z[:i]
            y.append(z[i] + (before @ bends[i, :i, :i] @ before if i else 0.0))
        value = 1.0 + sum(s * v**k for s, v, k in zip(signs, y, powers, strict=True) if k)
        return value * jnp.cos(0.0 * x[0])  # hides what is convex

    return problem(loss, p)


def kind(powers: list[int], signs: list[int]) -> str:
    used = [(k, s) for k, s in zip(powers, signs, strict=True) if k]
    if any(k % 2 or s < 0 for k, s in used):
        return "saddle"
    return "strict" if len(used) == len(powers) else "flat"


TERMS = st.lists(st.tuples(st.sampled_from([0, 2, 2, 3, 4]), st.sampled_from([1, 1, -1])), min_size=1, max_size=4)


@pytest.mark.slow
@settings(max_examples=12)
@given(st.integers(0, 10**6), TERMS)
def test_singular_points_of_known_type_are_never_called_another(seed, terms):
    powers, signs = [k for k, _ in terms], [s for _, s in terms]
    if not any(powers):
        return
    truth = kind(powers, signs)
    landscape = singular(seed, powers, signs)
    verdict = at(landscape, np.zeros(len(powers)))
    if truth == "saddle":
        assert verdict.label in (Label.SADDLE, Label.UNDECIDED)
        assert verdict.flavour not in (Flavour.STRICT_MINIMUM, Flavour.FLAT_MINIMUM, Flavour.MINIMUM_NOT_CLEAR)
        assert verdict.escape is None or falls(landscape, np.zeros(len(powers)), verdict)
    else:
        # The least loss there is: nothing lower can be seen.
        assert verdict.label == Label.UNDECIDED
        allowed = {"strict": Flavour.STRICT_MINIMUM, "flat": Flavour.FLAT_MINIMUM}[truth]
        assert verdict.flavour in (allowed, Flavour.MINIMUM_NOT_CLEAR, None)


@pytest.mark.parametrize("last", [2.0, slow(1.02)])
def test_a_way_down_along_a_cusp_is_a_saddle(last):
    """Lower between y^3 and last y^3 in x^2 only: every line through zero comes to it behind a rise."""
    cusp = from_loss(
        lambda x: (x[0] ** 2 - x[1] ** 3) * (x[0] ** 2 - last * x[1] ** 3), lambda key: jax.random.normal(key, (2,))
    )
    verdict = at(cusp, np.zeros(2))
    assert (verdict.label, verdict.flavour) == (Label.SADDLE, Flavour.DEGENERATE)
    assert falls(cusp, np.zeros(2), verdict)
    walled = from_loss(  # less a part that hides from its program that it is nowhere negative
        lambda x: (x[0] ** 2 - x[1] ** 3) ** 2 + x[1] ** 8 - x[0] ** 20, lambda key: jax.random.normal(key, (2,))
    )
    assert "minimum" in str(at(walled, np.zeros(2)).flavour)


def test_declared_symmetries_are_taken_out_of_the_null_space():
    """Beside a circle's own direction x^4 has a null direction of its own, which decides."""

    def loss(x):
        return (x[0] ** 2 + x[1] ** 2 - 1.0) ** 2 + sign * x[2] ** 4

    def turned(x, small):
        c, s = jnp.cos(small), jnp.sin(small)
        return jnp.array([c * x[0] - s * x[1], s * x[0] + c * x[1], x[2]])

    for sign, expected in ((1.0, Flavour.FLAT_MINIMUM), (-1.0, None)):
        one = view(problem(loss, 3, invariances=(turned,)))
        there = rest(one, np.array([0.6, 0.8, 0.0]) / one.scale)
        assert there is not None
        found = degenerate(one, there)
        assert found.flavour == expected
        assert (found.escape is None) == (sign > 0)


def test_a_symmetry_that_does_not_hold_is_not_believed():
    along = lambda x, small: x + jnp.array([0.0, small])  # noqa: E731
    landscape = problem(lambda x: x[0] ** 2 - x[1] ** 4, 2, invariances=(along,))
    assert at(landscape, [0.0, 0.0]).label == Label.SADDLE


def test_a_loss_that_no_restart_ended_at_is_named_where_a_label_rests_on_it():
    """All starts lead to the upper of two wells; draws of `init` show the lower one."""
    wells = problem(lambda x: (x[0] ** 2 - 1) ** 2 + 0.3 * x[0], 1)
    upper = explore(wells, restarts=3, starts=np.full((3, 1), 0.9))
    assert upper.labels()["spurious"] == 3
    seen = re.search(r"best seen (\S+) of restarts, (\S+) or less elsewhere", str(upper))
    assert seen is not None
    lowest = np.roots([4.0, 0.0, -4.0, 0.3]).min()
    np.testing.assert_allclose(float(seen[2]), (lowest**2 - 1) ** 2 + 0.3 * lowest, rtol=1e-5)  # six digits are printed
    assert "elsewhere" not in str(explore(wells, restarts=2, starts=np.array([[0.9], [-0.9]])))


# -- kinks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("near", [0.0, slow(1e-12), 1e-9])
def test_a_minimum_on_a_kink_and_a_roof_are_told_apart(near):
    vee = problem(lambda x: jnp.abs(x[0]) + x[1] ** 2 - (x[0] * x[1]) ** 2, 2)  # not convex, which would say all
    assert at(vee, [near, 0.0]).flavour in (Flavour.STRICT_MINIMUM, Flavour.MINIMUM_NOT_CLEAR)
    sharp = problem(lambda x: jnp.abs(x[0]) + 0.1 * jnp.abs(x[1]) - (x[0] * x[1]) ** 2, 2)
    assert at(sharp, [near, 0.0]).flavour == Flavour.STRICT_MINIMUM
    roof = problem(lambda x: -jnp.abs(x[0]) + x[1] ** 2, 2)
    verdict = at(roof, [near, 0.0])
    assert verdict.label == (Label.TRAP if near == 0.0 else verdict.label)
    assert verdict.label in (Label.TRAP, Label.UNCONVERGED)


@pytest.mark.parametrize(
    ("loss", "label"),
    [
        (lambda x: x[1] ** 2 - jnp.abs(x[0]) ** (4 / 3), Label.SADDLE),
        (lambda x: x[1] ** 2 - jnp.abs(x[0]) ** 1.2 + x[0] ** 2, Label.SADDLE),
        (lambda x: x[1] ** 2 - 1e-3 * jnp.abs(x[0]) - x[0] ** 2, Label.TRAP),
    ],
)
def test_a_way_down_without_a_slope_is_a_saddle_and_one_that_bends_is_a_trap(loss, label):
    """Powers of the fall between one and two are those of a law, or of a slope and what bends it."""
    landscape = problem(loss, 2)
    verdict = at(landscape, [0.0, 0.0])
    assert verdict.label == label
    assert falls(landscape, [0.0, 0.0], verdict)


def test_a_flat_piece_beside_a_slope_is_no_minimum():
    """A dead unit: the gradient is zero at the kink and on one side of it."""
    dead = problem(lambda x: 1.0 - relu(x[0]) + relu(x[0] - 1.0) * 2 + x[1] ** 2, 2)
    verdict = at(dead, [0.0, 0.0])
    assert verdict.label == Label.TRAP
    assert falls(dead, [0.0, 0.0], verdict)


def test_descents_across_the_kink_of_a_cond_end_on_it_and_warn_of_nothing():
    """Steps across it shrink to nothing, and what they leave of an inverse Hessian overflows; warnings are errors."""
    landscape = problem(lambda x: jax.lax.cond(x[0] > 0, lambda z: z, lambda z: -2 * z, x[0]) + x[1] ** 2, 2, bound=0.0)
    assert explore(landscape, restarts=12).labels()["global"] == 12


@pytest.mark.slow
@settings(max_examples=5)
@given(st.integers(0, 10**6), st.integers(2, 5))
def test_finished_descents_on_a_lasso_stand_at_its_optimum(seed, p):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(2 * p, p)), rng.normal(size=2 * p)
    loss = problem(lambda w: 0.5 * jnp.sum((x @ w - y) ** 2) + 2.0 * jnp.sum(jnp.abs(w)), p)
    seen = view(loss)
    end = finish(seen, rng.normal(size=p), reach=100.0)
    assert end is not None
    w = end * seen.scale
    # Optimality of a lasso: |x'(xw - y)| <= 2, with equality and sign -w where w is not zero; 1e-6 of the data's size.
    slope = x.T @ (x @ w - y)
    active = np.abs(w) > 1e-7
    assert np.all(np.abs(slope) <= 2.0 + 1e-5)
    np.testing.assert_allclose(slope[active], -2.0 * np.sign(w[active]), atol=1e-5)
    verdict = at(loss, w)
    assert verdict.label == Label.GLOBAL  # a lasso is convex


# -- units -------------------------------------------------------------------------------------------------------------

UNITS = [
    "tilted-well",
    "peano",
    "circle",
    "matrix-sensing",
    "falling-valley",
    "relu-pair",
    "lasso",
    "separable",
    "ring-5",
]


@pytest.mark.parametrize(("loss_unit", "unit"), [slow(1e-6, 1e3), (1e6, 1e-3), long(1e6, 1e3)])
@pytest.mark.parametrize("name", mostly_slow(UNITS, "relu-pair"))
def test_labels_do_not_depend_on_units_of_loss_or_parameters(name, loss_unit, unit):
    example = gallery.examples()[name]

    def loss(x):
        return loss_unit * example.loss(jax.tree.map(lambda leaf: leaf / unit, x))

    def init(key):
        return jax.tree.map(lambda leaf: unit * leaf, example.init(key))

    bound = None if example.lower_bound is None else loss_unit * example.lower_bound
    scaled, plain = from_loss(loss, init, lower_bound=bound), gallery.problem(name)
    for known in example.points:
        theta = plain.write(jnp.asarray(known.params, jnp.float64))
        one, other = at(plain, theta), at(scaled, unit * theta)
        assert (one.label, one.flavour) == (other.label, other.flavour)


def test_units_of_single_parameters_do_not_matter_where_their_scale_is_given():
    landscape = problem(lambda x: (x[0] / 1e-5) ** 2 - (x[1] / 1e4) ** 4, 2, scale=np.array([1e-5, 1e4]))
    verdict = at(landscape, [0.0, 0.0])
    assert verdict.label == Label.SADDLE
    assert falls(landscape, np.zeros(2), verdict)


@pytest.mark.parametrize("x", [slow(-300.0), slow(-1e4), slow(-8e4), -1e6])
def test_a_valley_that_bends_and_falls_like_one_over_the_distance_is_no_minimum(x):
    # Beale's function falls along y = 1 + 0.95 / -x to 0.452009; within a scale, far out, that is less than rounding.
    beale = gallery.problem("beale")
    verdict = at(beale, [x, 1.0 - 0.95 / x])
    assert verdict.label in (Label.AT_INFINITY, Label.UNCONVERGED)


def test_a_level_valley_far_out_is_a_flat_minimum():
    # u v = 1 from u = 1 to u = 1000, after a declared lower bound, and above one that is not reached.
    flat = problem(lambda p: (p[0] * p[1] - 1.0) ** 2, 2, 0.0)
    assert at(flat, [1000.0, 0.001]).label == Label.GLOBAL
    above = at(problem(lambda p: (p[0] * p[1] - 1.0) ** 2 + 1.0, 2), [1000.0, 0.001])
    assert above.label == Label.UNDECIDED
    assert above.flavour in (Flavour.FLAT_MINIMUM, Flavour.MINIMUM_NOT_CLEAR)


@pytest.mark.slow
def test_ends_beside_one_singular_minimum_do_not_call_each_other_spurious():
    # Ends of descents on Powell's function stand 1e-10 from its minimum, at losses between 1e-49 and 1e-37.
    powell = gallery.examples()["powell-singular"]

    def hidden(params):  # the same, but its program does not show that it is nowhere negative
        return powell.loss(params) * jnp.cos(0.0 * jnp.ravel(jax.tree.leaves(params)[0])[0])

    for loss, label in ((powell.loss, Label.GLOBAL), (hidden, Label.UNDECIDED)):
        landscape = from_loss(loss, powell.init)
        census = explore(landscape, 12, progress=False, optimiser="lbfgs")
        assert census.labels()[label] == 12


def test_data_in_float32_beside_parameters_in_float64_round_nothing():
    rows = np.linspace(-1.0, 1.0, 12, dtype=np.float32).reshape(6, 2)
    mixed = view(problem(lambda p: jnp.sum((rows @ p - 1.0) ** 2), 2))
    value, error = mixed.loss(np.array([0.3, -0.2]))
    assert 0.0 < error < 1e-14 * value
    narrow = view(problem(lambda p: jnp.sum((rows @ p.astype(jnp.float32) - 1.0) ** 2), 2))
    assert narrow.loss(np.array([0.3, -0.2]))[1] > 1e-8 * value
