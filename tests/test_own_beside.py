"""Points of own losses beside sets of saddles, beside no stationary point though the slope is small, at features that
are narrower than any probe, and where the sizes of coordinates are far apart."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import mostly_slow

import landscape as ls
from landscape.host.label import label_one
from landscape.problems.from_loss import UserLoss, from_loss
from landscape.records import Flavour, Label
from landscape.theory.own_loss.branches import branches
from landscape.theory.own_loss.stationary import rest
from landscape.theory.own_loss.switches import switches
from landscape.theory.own_loss.view import view


def problem(function, p: int, bound: float | None = None) -> UserLoss:
    return from_loss(function, lambda key: jax.random.normal(key, (p,)), lower_bound=bound, scale=1.0)


BESIDE_SADDLES = {  # a saddle of a set of them, each with no curvature along the set
    "parabolas": (lambda x: x[0] * x[1] ** 2, [-1.0, 0.0]),
    "cosine": (lambda x: -(x[:2] @ x[2:]) / jnp.linalg.norm(x[:2]) / jnp.linalg.norm(x[2:]), [0.0, 1.0, 0.0, -1.0]),
}


@pytest.mark.parametrize("kind", mostly_slow(BESIDE_SADDLES, "parabolas"))
def test_beside_a_set_of_saddles_a_point_is_one_and_no_end_at_infinity(kind):
    """Slope and curvature along the set are both of second order in the distance: a Newton step leads far away."""
    function, theta = BESIDE_SADDLES[kind]
    landscape = problem(function, len(theta))
    off = np.random.default_rng(7).normal(size=len(theta))
    for size in (1e-4, 1e-6):
        assert label_one(landscape, np.array(theta) + size * off / np.linalg.norm(off)).label == Label.SADDLE


@pytest.mark.parametrize("slope", [3e-8, 3e-10])
def test_a_slope_without_a_curvature_is_of_no_stationary_point_nearby(slope):
    """x^3 + s x, where a maximum and a minimum have met and are gone. Beside a saddle x^3 the curvature shows first."""
    fold = view(problem(lambda x: x[0] ** 3 + slope * x[0] + x[1] ** 2, 2))
    there = rest(fold, np.zeros(2))
    assert there is not None
    assert not there.stationary
    saddle = problem(lambda x: x[0] ** 3 + x[1] ** 2, 2)
    assert label_one(saddle, np.array([(slope / 3.0) ** 0.5, 0.0])).label == Label.SADDLE


@pytest.mark.slow
def test_a_smooth_loss_with_a_needle_has_no_kink():
    """A component of a mixture that has come down to one of the data, a few of its widths of 2e-9 off."""
    data = np.array([0.3, -1.2, 0.8, 2.0])

    def loss(p):
        narrow = -0.5 * ((data - p[0]) * jnp.exp(-p[1])) ** 2 - p[1]
        return -jnp.sum(jnp.logaddexp(-0.5 * data**2, narrow))

    found = label_one(problem(loss, 2), np.array([0.3 + 2.5e-9, -20.0]))
    assert found.label in (Label.UNDECIDED, Label.AT_INFINITY, Label.UNCONVERGED)
    assert found.flavour is None


@pytest.mark.parametrize("smooth", [lambda x: jnp.logaddexp(x[0], x[1]), lambda x: jax.scipy.stats.norm.logcdf(x[0])])
def test_functions_that_branch_against_overflow_only_have_no_kinks(smooth):
    assert not branches(problem(smooth, 2))
    assert not len(switches(smooth, jnp.zeros(2)))


SIZES = np.array([1e6, 1e-6])


def test_coordinates_of_far_different_sizes_in_one_array_each_have_their_own():
    """A step of one unit is a millionth of one coordinate, and a million times the other."""

    def wells(x):
        return (x[0] / SIZES[0] - 1.0) ** 2 + ((x[1] / SIZES[1]) ** 2 - 1.0) ** 2

    raw = from_loss(wells, lambda key: SIZES * jax.random.normal(key, (2,)), 0.0)
    for off, label in ((0.0, Label.SADDLE), (0.5, Label.UNCONVERGED), (1.0, Label.GLOBAL)):
        assert label_one(raw, np.array([1.0, off]) * SIZES).label == label


def test_a_coordinate_that_starts_draw_next_to_zero_is_of_the_size_of_the_others():
    noise = np.array([1.0, 1e-8])
    beside = from_loss(
        lambda x: (x[0] - 1.0) ** 2 - x[1] ** 2 + x[1] ** 4,
        lambda key: noise * jax.random.normal(key, (2,)) + np.array([1.0, 0.0]),
    )
    assert np.ptp(np.log2(view(beside).scale)) <= 1.0


def test_a_fall_that_begins_a_little_before_a_radius_asked_about_is_none_that_begins_at_the_point():
    """Behind a kink the loss falls, by 5e-12 at the next radius: six decades less than it would with a steady power."""
    begins = 0.3 * np.geomspace(3e-3, 1.0, 16)[12] - 2.3e-6  # of the largest sphere, a fortunate place for a mistake

    def loss(x):
        off = jnp.maximum(x[1] - begins, 0.0)
        return 2.0 + x[0] ** 2 - jnp.where(off < 0.2, off**2, 0.4 * off - 0.04)

    found = label_one(problem(loss, 2), np.zeros(2))
    assert (found.label, found.flavour) == (Label.SPURIOUS, Flavour.FLAT)


def test_a_direction_that_shrinks_towards_zero_by_weight_decay_comes_to_no_minimum():
    """f(w / |w|) + |w|^2 / 100 falls on to zero, where it is none, beside a second well that is lower."""
    data = np.random.default_rng(3).normal(size=(6, 3))
    target = data[:, 0] + 0.3 * np.random.default_rng(4).normal(size=6)

    def loss(theta):
        features = data @ theta[:3]
        normal = (features - features.mean()) / jnp.sqrt(features.var())
        well = (theta[3] ** 2 - 1.0) ** 2 + 0.1 * theta[3]
        return jnp.mean((normal - target) ** 2) + 0.01 * jnp.sum(theta[:3] ** 2) + well

    best = np.linalg.lstsq(data - data.mean(axis=0), target)[0]
    higher = np.roots([4.0, 0.0, -4.0, 0.1]).real.max()
    claim = label_one(problem(loss, 4), np.array([*(1e-6 * best / np.linalg.norm(best)), higher]))
    assert (claim.label, claim.flavour) == (Label.UNDECIDED, None)


def test_two_terms_that_cancel_ever_better_attain_no_bound():
    """The tensor e0 e0 e1 + e0 e1 e0 + e1 e0 e0 has rank 3, and is a limit of tensors of rank 2: their factors diverge.

    Those here miss it by e1 e1 e1 / n^2; what the rounding of the gradient leaves open is more than the square of that.
    """
    n, tensor = 1e4, np.zeros((2, 2, 2))
    tensor[0, 0, 1] = tensor[0, 1, 0] = tensor[1, 0, 0] = 1.0

    def loss(p):
        return jnp.sum((jnp.einsum("ir,jr,kr", p["a"], p["b"], p["c"]) - tensor) ** 2)

    def factors(key):
        return dict(zip("abc", jax.random.normal(key, (3, 2, 2)), strict=True))

    size = (0.5 * n) ** (1 / 3)
    factor = np.array([[size, size], [size / n, -size / n]])
    verdict = label_one(from_loss(loss, factors, lower_bound=0.0), np.ravel([factor * [1.0, -1.0], factor, factor]))
    assert verdict.loss == pytest.approx(n**-4.0, rel=1e-6)
    assert verdict.label in (Label.UNDECIDED, Label.UNCONVERGED, Label.AT_INFINITY)


def test_what_rounding_of_the_gradient_leaves_open_is_not_at_the_bound():
    """Slopes are rounded to 6e-5 in float32, which a curvature of 2e-4 makes 2e-5 of; the loss is known to 1e-11."""

    def loss(x):
        first, second = x.astype(jnp.float32)
        return (30.0 * (first**2 - 0.1)) ** 2 + 1e-4 * second**2 + 1e-8

    assert label_one(problem(loss, 2, 0.0), np.array([np.sqrt(0.1), 0.0])).label != Label.GLOBAL
    exact = problem(lambda x: loss(x) - 1e-8, 2, 0.0)
    assert label_one(exact, np.array([np.sqrt(0.1), 0.0])).label == Label.GLOBAL


def test_a_loss_in_bfloat16_is_at_no_bound_and_at_no_infinity_to_within_its_rounding():
    """Ends of descents, 5e-4 above the bound and within their rounding of it, were global and at infinity."""
    rng = np.random.default_rng(9)
    x = jnp.asarray(rng.normal(size=(12, 2)), jnp.float32)
    y = jnp.sin(x[:, 0])

    def loss(p):
        q = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16).astype(jnp.float32), p)
        return jnp.mean((jnp.tanh(x @ q["w"] + q["b"]) @ q["a"] - y) ** 2)

    def init(key):
        first, second = jax.random.split(key)
        return {"w": jax.random.normal(first, (2, 3)), "b": jnp.zeros(3), "a": jax.random.normal(second, (3,))}

    census = ls.explore(ls.from_loss(loss, init, lower_bound=0.0), 8, progress=False)
    assert {str(label) for label in census.rows["label"]} <= {"undecided", "unconverged", "saddle"}


def test_a_level_in_float32_is_no_minimum_where_float64_shows_a_slope():
    """1e-9 sin x is below the rounding of a loss of one in float32; a lower minimum lies at y = 3."""

    def loss(p, dtype):
        x, y = p.astype(dtype)
        return 1.0 + y**2 + 1e-9 * jnp.sin(x) - 20.0 * jnp.exp(-((y - 3.0) ** 2))

    best = 0.0078  # 2 y = 40 (3 - y) exp(-(y - 3)^2), to a thousandth
    for dtype in (jnp.float32, jnp.float64):
        own = problem(lambda p, dtype=dtype: loss(3.0 * p, dtype), 2)
        claim = label_one(own, np.array([0.1, best / 3.0]))
        assert claim.label in (Label.UNDECIDED, Label.UNCONVERGED)
        assert claim.flavour is None
