"""Own losses whose derivatives or levels mislead: gradients that are no slopes, rounded levels, far bottoms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import mostly_slow

import landscape as ls
from landscape import gallery
from landscape.problems.from_loss import UserLoss, from_loss
from landscape.records import WITNESSED, Claim, Flavour, InputError, Label, Point, Status
from landscape.theory.own_loss.judge import judge
from landscape.theory.own_loss.limits import at_limits
from landscape.theory.own_loss.plateau import only_rounding
from landscape.theory.own_loss.slopes import false_gradient
from landscape.theory.own_loss.view import view


def problem(function, p: int, bound: float | None = None) -> UserLoss:
    return from_loss(function, lambda key: jax.random.normal(key, (p,)), lower_bound=bound, scale=1.0)


def at(function, theta: list[float]) -> Claim:
    return judge(problem(function, len(theta)), Point(np.array(theta), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))


@jax.custom_jvp
def straight_through(x):
    return jnp.round(x)


straight_through.defjvp(lambda point, tangent: (jnp.round(point[0]), tangent[0]))


@pytest.mark.parametrize(
    ("function", "theta"),
    [
        (lambda x: x[0] * jax.lax.stop_gradient(x[0]) - 2 * x[0] + x[1] ** 2, [2.0, 0.0]),  # the least is at 1
        (lambda x: (straight_through(x[0]) - 1.3) ** 2 + x[1] ** 2, [1.1, 0.0]),
    ],
    ids=["half stopped", "straight through"],
)
def test_a_gradient_that_is_not_the_slope_of_the_loss_is_said(function, theta):
    claim = at(function, theta)
    assert claim.label == Label.UNDECIDED
    assert "not the slope of the loss" in (claim.reason or "")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.sum(jnp.abs(x) + jax.nn.relu(x[0] - x[1] ** 2)),
        lambda x: jnp.sum((x.astype(jnp.bfloat16) - 1.0) ** 2),  # a staircase of steps of 1e-2
        lambda x: 1e9 + jnp.sum(jnp.sin(50.0 * x)),
    ],
    ids=["kinks", "bfloat16", "ripples"],
)
def test_gradients_of_kinks_roundings_and_ripples_are_slopes(function):
    loss = view(problem(function, 2))
    assert not false_gradient(loss, np.array([0.0, 0.0]))
    assert not false_gradient(loss, np.array([0.3, 1.0]))


@pytest.mark.parametrize(
    ("function", "theta"),
    [
        (lambda x: (jnp.tanh(x[0]) - 0.5) ** 2 + x[1] ** 2, [25.0, 0.0]),
        (lambda x: 1.0 - jnp.exp(-jnp.sum(x**2)), [30.0, 0.0]),
    ],
    ids=["saturated", "beside a hole"],
)
def test_a_level_that_the_loss_comes_to_from_below_leads_back_and_not_to_infinity(function, theta):
    assert at(function, theta).label == Label.UNCONVERGED


@pytest.mark.parametrize(
    ("function", "rounded"),
    [
        (lambda x: 1.0 - jax.nn.sigmoid(40.0 * (x[0] - 3.0)) + x[1] ** 2, True),
        (lambda x: jnp.tanh(40.0 * (x[0] - 1.0)) + x[1] ** 2, True),
        (lambda x: jax.nn.relu(jnp.abs(x[0]) - 1.0) ** 2 + x[1] ** 2, False),
        (lambda x: -(jax.nn.relu(jnp.abs(x[0]) - 1.0) ** 4) + x[1] ** 2, False),
    ],
    ids=["sigmoid", "tanh", "floor", "plateau"],
)
def test_a_level_that_rounding_makes_is_no_flat_minimum(function, rounded):
    assert only_rounding(view(problem(function, 2)), np.zeros(2), np.array([[1.0], [0.0]])) == rounded
    claim = at(function, [0.0, 0.0])
    # The floor is convex, and so global without a bound; the plateau has ways down.
    assert (claim.flavour is None and claim.label != Label.GLOBAL) == rounded


def test_a_bottom_beyond_a_million_scales_is_no_end_at_infinity():
    # Newton steps come to it by a third of the way at a time.
    assert at(lambda x: (1e-8 * x[0] - 1.0) ** 4 + x[1] ** 2, [0.0, 0.0]).label == Label.UNCONVERGED


HINGED = {  # losses of t that are least and level from five on, and from beyond the last distance that is asked
    "hinge": lambda t: jax.nn.relu(5.0 - t) + jax.nn.relu(4.0 - t),
    "squared hinge": lambda t: jax.nn.relu(5.0 - t) ** 2,
    "ramp": lambda t: jnp.clip(5.0 - t, 0.0, 6.0),
    "smooth step": lambda t: jnp.where(t < 5.0, (1.0 - t / 5.0) ** 2 * (1.0 + 2.0 * t / 5.0), 0.0),
    "far hinge": lambda t: jax.nn.relu(3e7 - t),
}


@pytest.mark.parametrize("kind", mostly_slow(HINGED, "ramp", "far hinge"))
def test_a_ray_to_a_level_that_is_attained_is_no_end_at_infinity(kind):
    assert at(lambda x: HINGED[kind](x[0]) + x[1] ** 2, [1.0, 0.0]).label == Label.UNCONVERGED


def rms_norm(w, eps=0.0):
    return jnp.sum((w / jnp.sqrt(jnp.mean(w**2) + eps) - jnp.array([1.0, 2.0])) ** 2)


def layer_norm(w):
    return jnp.sum(((w - jnp.mean(w)) / jnp.std(w) - jnp.array([1.0, 0.0, -1.0])) ** 2)


DIRECTIONS = {  # losses of a direction, that of w, of w less its mean, or of some parameters only
    "RMS norm": (rms_norm, [0.6, -0.3]),
    "RMS norm far out": (rms_norm, [60.0, -30.0]),
    "one leaf": (lambda p: rms_norm(p["w"]) + (p["a"] - 1.0) ** 2, {"a": 1.0, "w": [0.6, -0.3]}),
    "layer norm": (layer_norm, [-1.0, 0.3, 1.0]),
    "Rayleigh quotient": (lambda v: (2.0 * v[0] ** 2 + v[1] ** 2 + v[0] * v[1]) / (v @ v), [0.6, 0.3]),
    "cosine": (lambda x: -(x[:3] @ x[3:]) / jnp.linalg.norm(x[:3]) / jnp.linalg.norm(x[3:]), [1, 0, 0, -1, 0.1, 0.2]),
}


@pytest.mark.parametrize("kind", mostly_slow(DIRECTIONS, "one leaf"))
def test_a_loss_of_directions_is_as_low_nearby_as_at_infinity(kind):
    """Rays turn towards their own direction for ever, and the loss falls with them."""
    function, theta = DIRECTIONS[kind]
    params = jax.tree.map(jnp.asarray, theta, is_leaf=lambda one: isinstance(one, list))
    own = from_loss(function, lambda key: params, scale=1.0)
    assert judge(own, Point(own.write(params), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED)).label == Label.UNCONVERGED


def likelihood_of_uncorrelated_data(t):
    """Of a Gaussian process: the shorter its length exp(-t[1] / 2) the better, by exp(-2 exp(t[1]))."""
    squares, y = jnp.array([[0.0, 1.0, 4.0], [1.0, 0.0, 1.0], [4.0, 1.0, 0.0]]), jnp.array([1.0, -1.0, 0.5])
    kernel = jnp.exp(t[0]) * jnp.exp(-squares * jnp.exp(t[1])) + 0.1 * jnp.eye(3)
    return 0.5 * y @ jnp.linalg.solve(kernel, y) + 0.5 * jnp.linalg.slogdet(kernel)[1]


@pytest.mark.slow
def test_a_curvature_beside_a_slope_of_rounding_is_no_minimum_where_the_loss_goes_on_falling():
    # The mean square of the data is 0.75; the curvature of 1e-13 along t[1] is above its error, the slope is not.
    claim = at(likelihood_of_uncorrelated_data, [float(np.log(0.65)), 3.6238])
    assert claim.flavour is None
    assert claim.label in (Label.AT_INFINITY, Label.UNCONVERGED)


def test_a_point_where_an_own_loss_is_not_defined_is_not_only_called_too_large():
    own = from_loss(lambda x: -jnp.sum(jnp.log(x)), lambda key: jax.random.uniform(key, (1,), minval=0.1))
    with pytest.raises(InputError, match="not defined there"):
        ls.label(own, jnp.array([-0.5]))


def test_a_slope_that_is_vertical_is_not_only_called_too_large():
    pit = from_loss(lambda x: jnp.sqrt(x[0]) - 1.0, lambda key: jax.random.uniform(key, (1,)), lower_bound=0.0)
    with pytest.raises(InputError, match="the loss is vertical there"):
        ls.label(pit, np.array([0.0]))


def test_an_eps_beside_a_norm_leads_to_infinity():
    assert at(lambda w: rms_norm(w, 1e-5), [0.63, 1.26]).label == Label.AT_INFINITY


def test_a_large_loss_that_comes_to_zero_like_a_power_attains_it():
    """The largest loss on the way, over the least that a loss can be above zero, is beyond float64."""
    assert at(lambda x: jax.nn.relu(3e5 - x[0]) ** 2 + x[1] ** 2, [300001.0, 0.0]).label == Label.GLOBAL
    bent = at(lambda x: jax.nn.relu(3e5 - x[0]) ** 2 + x[1] ** 2 - (x[1] * x[0] / 1e6) ** 4, [300001.0, 0.0])
    assert bent.flavour == Flavour.FLAT_MINIMUM  # not convex: no bound, no label


@pytest.mark.parametrize(
    ("function", "theta", "label"),
    [
        (lambda x: 1.0 + jnp.sum(x[1:] ** 2) / jnp.sum(x**2), [3.0, 1e-8, 1e-8], Label.GLOBAL),
        (lambda x: 1.0 + (x[1] * jnp.tanh(x[0]) - 1.0) ** 2, [20.0, 1.0], Label.GLOBAL),
        (lambda x: 1.0 + (jnp.tanh(x[0]) - 1.0) ** 2 + (x[1] - 1.0) ** 2, [20.0, 1.0], Label.AT_INFINITY),
    ],
    ids=["scale of no effect", "weight behind a saturated unit", "saturated unit"],
)
def test_a_bound_that_is_attained_across_the_way_to_infinity_is_global(function, theta, label):
    claim = judge(problem(function, len(theta), 1.0), Point(np.array(theta), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
    assert claim.label == label


@pytest.mark.parametrize(
    ("function", "theta"),
    [
        (lambda x: x[0] * x[1] / jnp.linalg.norm(x) ** 2 + 0.01 * jnp.sum(x**2), [1e-7, -1e-7]),
        (lambda x: -1.0 / jnp.linalg.norm(x), [1e-9, 0.0]),
    ],
    ids=["0 / 0", "pole"],
)
def test_beside_a_place_where_the_loss_is_none_there_is_no_minimum(function, theta):
    """The first falls on towards zero, where the slopes about it cancel; the other falls without end."""
    claim = at(function, theta)
    assert np.isfinite(claim.loss)
    assert (claim.label, claim.flavour) == (Label.UNDECIDED, None)


def test_rounding_does_not_move_the_place_of_a_median():
    """Of |d - 5| the middle is that of d = 1, with slope one. Its place is computed, 0.5 (5 - 1), but not rounded."""
    data = np.array([0.0, 1.0, 2.0, 3.0, 10.0])
    claim = at(lambda x: jnp.median(jnp.abs(data - x[0])) + x[1] ** 2, [5.0, 0.0])
    assert claim.label == Label.UNCONVERGED
    assert claim.loss_error is not None
    assert claim.loss_error < 1e-13


def test_a_point_that_leads_into_a_pole_leads_nowhere():
    verdict = ls.label(problem(lambda x: -1.0 / jnp.linalg.norm(x), 2), np.array([1.0, 1.0]))
    assert (verdict.label, verdict.polished) == ("unconverged", None)


def test_a_saddle_of_third_order_that_is_known_to_rounding_only_is_no_minimum():
    """Beside zero of -x^3 the curvature shows at a distance where the slope, of 1e-18, does not."""
    cubic = problem(lambda x: 2.0 - 2.0 * x[0] ** 3 + x[0] ** 6 + (x[1] - 1.0) ** 2, 2)
    for off in (1e-6, 1e-8, -1e-9):
        claim = judge(cubic, Point(np.array([off, 1.0]), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
        assert (claim.label, claim.flavour) == (Label.SADDLE, Flavour.DEGENERATE)


def test_a_loss_without_an_automatic_gradient_is_refused_in_one_sentence():
    with pytest.raises(InputError, match=r"JAX cannot differentiate the loss \(ValueError: [^\n]*while_loop"):
        problem(lambda x: jax.lax.while_loop(lambda v: v[0] < 1.0, lambda v: v + 1.0, jnp.abs(x))[0], 2)


# Units that are off: at theta = (slope, threshold, weight) their sum with a constant is level in float64, and each has
# a way back, since the residual of the best constant is not orthogonal to the unit.
OFF = {
    "softplus": (jax.nn.softplus, [1.0, -306.0, 0.0, 0.5]),
    "gaussian": (lambda x: jnp.exp(-jnp.square(x)), [3.0, -400.0, 0.0, 0.5]),
    "gaussian, underflown": (lambda x: jnp.exp(-jnp.square(x)), [30.0, -700.0, 0.0, 0.5]),
    "sigmoid": (jax.nn.sigmoid, [1.0, -400.0, 0.0, 0.5]),
    "erf": (jax.scipy.special.erf, [1.0, -60.0, 0.0, 0.5]),
}
TARGETS = jnp.array([0.0, 1.0, 1.0, 0.0])


@pytest.mark.parametrize("name", mostly_slow(OFF, "softplus", "underflown"))
def test_a_unit_that_is_off_makes_no_flat_minimum(name):
    unit, theta = OFF[name]

    def loss(x):
        return jnp.mean((unit(x[0] * jnp.arange(4.0) + x[1]) * x[2] + x[3] - TARGETS) ** 2)

    claim = at(loss, theta)
    assert claim.label in (Label.UNDECIDED, Label.UNCONVERGED, Label.AT_INFINITY)
    assert claim.flavour is None


def test_an_operation_at_its_limit_is_seen_where_it_depends_on_the_parameters():
    centres = jnp.array([0.0, 40.0])

    def kernel(x):  # exp(-1600) is of the data alone
        return x @ jnp.exp(-jnp.square(centres[:, None] - centres)) @ x

    def seen(function, theta):
        return bool(at_limits(function, jnp.array(theta)))

    assert not seen(kernel, [1.0, 2.0])
    assert not seen(lambda x: jnp.sum(jnp.tanh(x)), [16.0, 0.0])  # 1 - tanh(16) is 114 eps
    assert seen(lambda x: jnp.sum(jnp.tanh(x)), [19.0, 0.0])
    assert seen(lambda x: jnp.sum(jnp.tanh(x.astype(jnp.float32))), [9.5, 0.0])
    assert seen(jax.jit(lambda x: jax.nn.softmax(x)[0]), [0.0, 40.0])
    assert not seen(lambda x: jax.nn.softmax(jnp.array([x[0], -jnp.inf]))[0], [0.0])  # a mask
    assert seen(lambda x: jax.scipy.special.gammainc(2.0, x[0]), [60.0])
    assert seen(lambda x: jax.scipy.special.betainc(2.0, 3.0, x[0]), [1.0 - 1e-9])
    assert not seen(lambda x: jax.scipy.special.gammainc(2.0, x[0]), [10.0])


@pytest.mark.parametrize("size", [1e2, 1e8, 1e17])
def test_an_incomplete_gamma_function_at_its_limit_attains_no_bound(size):
    claim = at(lambda x: (jax.scipy.special.gammainc(2.0, jnp.abs(x[0])) - 1.0) ** 2 + x[1] ** 2, [size, 0.0])
    assert claim.label in (Label.AT_INFINITY, Label.UNCONVERGED, Label.UNDECIDED)
    bounded = problem(lambda x: (jax.scipy.special.gammainc(2.0, jnp.abs(x[0])) - 1.0) ** 2 + x[1] ** 2, 2, 0.0)
    found = ls.label(bounded, np.array([size, 0.0]))
    assert found.label in (Label.AT_INFINITY, Label.UNCONVERGED)


def test_an_operation_at_its_limit_is_seen_in_loops_and_branches():
    centres = jnp.array([0.0, 40.0])

    def recurrent(x):
        return jax.lax.scan(lambda h, row: (jnp.tanh(x[0] * h + row), None), x[1], jnp.ones(3))[0]

    def kernels(x):  # exp(-1600) is of the data alone
        return jnp.sum(jax.lax.map(lambda row: x[0] * jnp.sum(jnp.exp(-jnp.square(row - centres))), centres))

    def either(x):
        return jax.lax.cond(x[1] > 0, lambda v: jnp.tanh(v), lambda v: v, x[0])

    for function, theta, limit in (
        (recurrent, [1.0, 0.5], False),
        (recurrent, [30.0, 0.5], True),
        (kernels, [1.0, 0.0], False),
        (either, [30.0, 1.0], True),
        (either, [30.0, -1.0], False),
    ):
        assert bool(at_limits(function, jnp.array(theta))) == limit


@pytest.mark.parametrize("bound", [0.0, None])
def test_a_unit_in_a_loop_that_has_come_to_its_limit_attains_nothing(bound):
    def loss(x):
        return jnp.sum(jax.lax.map(lambda a: (jnp.tanh(a * x[0]) - 1.0) ** 2, jnp.array([1.0, 2.0]))) + x[1] ** 2

    claim = judge(problem(loss, 2, bound), Point(np.array([1e3, 0.0]), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
    assert claim.label in (Label.AT_INFINITY, Label.UNCONVERGED, Label.UNDECIDED)
    assert claim.flavour is None


def test_a_loss_that_rounding_leaves_open_keeps_its_number():
    found = ls.label(problem(lambda x: (x[0] * x[1] - x[2] * x[3]) ** 2, 4, 0.0), np.full(4, 1e12))
    assert found.label == Label.UNDECIDED
    assert 0.0 <= found.loss < 1e16  # products of 1e24 round by 1e8
    assert "rounding leaves the loss open" in (found.reason or "")


@pytest.mark.slow
def test_exp_that_comes_to_its_limit_within_a_scale_attains_no_bound():
    """Features of size 1e3, as pixels are: exp(-1e3 x) is nothing beside x^2 from 0.04 on, and zero from 0.75 on."""

    def loss(x):
        return jnp.exp(-1e3 * x[0]) + x[1] ** 2

    for theta in ([1.88, 0.0], [0.4, 1e-83], [0.1, 1e-9], [5e114, 1e-82]):
        claim = judge(problem(loss, 2, 0.0), Point(np.array(theta), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
        assert claim.label in (Label.AT_INFINITY, Label.UNCONVERGED, Label.UNDECIDED), (theta, claim)
    # A saturated unit that a weight makes up for attains the bound all the same.
    claim = judge(
        problem(lambda x: (x[1] * jnp.tanh(30 * x[0]) - 1.0) ** 2, 2, 0.0),
        Point(np.array([1.5, 1.0]), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED),
    )
    assert claim.label == Label.GLOBAL


def test_a_census_of_descents_to_infinity_warns_of_nothing():
    """Where the loss overflows at starts, too: `filterwarnings` makes an error of every warning."""
    found = ls.explore(problem(lambda x: jnp.exp(-1e3 * x[0]) + x[1] ** 2, 2, 0.0), 12, progress=False)
    assert found.labels()["global"] == found.labels()["spurious"] == 0


@pytest.mark.parametrize("size", [1.0, 0.03, 1e-3])
@pytest.mark.parametrize("level", [0.0, 2.0])
def test_a_fall_like_exp_of_minus_one_over_the_distance_is_no_flat_minimum(size, level):
    """It begins at zero, though it is below rounding up to a thirtieth of its size, or below the least float64."""

    def loss(x):
        off = jnp.where(x[0] > 0, x[0], 1.0)
        return level - jnp.where(x[0] > 0, jnp.exp(-size / off), 0.0) + x[1] ** 2

    claim = at(loss, [0.0, 0.0])
    assert (claim.label, claim.flavour) == (Label.UNDECIDED, None)


def test_steps_of_rounding_at_a_limit_are_no_kink():
    """Ends of L-BFGS at losses of 1e-30: sigmoids within rounding of 0 and 1 make stairs, at which the loss bends."""
    xor = gallery.problem("xor-sigmoid")
    ends = [
        [-69.61399883, 170.92846843, 4.23811167, -102.79416374, 34.49659044, -8.83232363, 9.0433208, -115.52221501,
         102.87656026],
        [153.59805172, -92.45327434, -10.1279349, -46.37985104, -96.22874942, 88.91915736, 116.424872, 45.12344705,
         31.57233967],
    ]  # fmt: skip
    for end in ends:
        claim = judge(xor, Point(np.array(end), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
        assert claim.label == Label.AT_INFINITY, claim.reason
        assert claim.escape is not None
        way = np.array(end) + np.outer(np.geomspace(1.0, 100.0, 5) / np.linalg.norm(claim.escape), claim.escape)
        assert max(float(xor.loss(theta)) for theta in way) <= claim.loss + claim.loss_error  # it falls, or is level


def test_directions_along_which_a_loss_is_level_everywhere_leave_a_minimum_flat():
    """A mixture of two Gaussians, far apart: logits of its weights may be shifted together, and exp comes to zero."""
    data = np.concatenate([np.linspace(-1.0, 1.0, 9), np.linspace(-1.0, 1.0, 9) + 12.0])

    def loss(p):
        weights = jax.nn.log_softmax(p[:2])
        return -jnp.mean(jax.scipy.special.logsumexp(weights - 0.5 * (data[:, None] - p[2:]) ** 2, axis=1))

    start = lambda key: jax.random.normal(key, (4,)) + np.array([0.0, 0.0, 3.0, 7.0])  # noqa: E731
    mixture = from_loss(loss, start)
    verdict = ls.label(mixture, np.array([0.3, 0.3, 0.0, 12.0]))
    assert view(mixture).at_limits(np.array([0.3, 0.3, 0.0, 12.0]) / view(mixture).scale)
    assert (verdict.label, verdict.flavour) == (Label.UNDECIDED, Flavour.FLAT_MINIMUM)


def test_directions_that_are_level_by_rounding_alone_leave_nothing_flat():
    """Far from a narrow well all starts see a constant: the loss falls towards the well, by less than rounding."""
    for depth in (1.0, 1e-3):
        claim = at(lambda x, depth=depth: x[1] ** 2 - depth * jnp.exp(-((x[0] - 60.0) ** 2)), [0.0, 0.0])
        assert claim.flavour is None or "minimum" not in claim.flavour.value


def test_rounding_beyond_the_end_of_a_domain_says_nothing_of_a_bound():
    """Rounded up, x / |x| is above one, where arccos is nan: the error of the loss was nan, and the bound wrong."""

    """Rounded up, x / |x| is above one, where arccos is nan: that made the error of the loss nan, the bound wrong."""
    angle = problem(lambda x: jnp.arccos(x[0] / jnp.sqrt(x @ x)), 2, 0.0)
    found = ls.label(angle, np.array([1.0, 0.0]))
    assert found.label == Label.GLOBAL
    assert 0.0 < found.loss_error < 1e-6  # of arccos beside one the square root of eps


def test_a_vertical_root_at_the_bound_is_global():
    """The automatic gradient is infinite there, and labels of points at the bound need none."""
    root = problem(lambda x: jnp.sqrt(jnp.abs(x[1] - 0.01 * x[0] ** 2)) + 0.01 * jnp.abs(x[0] + 10.0), 2, 0.0)
    assert ls.label(root, np.array([-10.0, 1.0])).label == Label.GLOBAL


def test_starts_on_a_plateau_do_not_leave_a_loss_open():
    """Gradients of 1e-20 at starts say nothing of a well of depth one: its bottom is known to sixteen digits."""
    well = problem(lambda x: -jnp.exp(-jnp.sum((x - 6.5) ** 2)), 2, -1.0)
    found = ls.label(well, np.array([6.5, 6.5]))
    assert (found.label, found.loss) == (Label.GLOBAL, -1.0)
    level = problem(lambda x: 1e-20 * jnp.sum(x**2) - 1.0, 2, -1.0)
    assert ls.label(level, np.array([0.5, 0.5])).label == Label.UNDECIDED


@pytest.mark.parametrize(
    "function",
    [
        lambda x: (jnp.prod(x) - 1.0) ** 2,
        lambda x: jnp.abs(x[0]) + (jnp.prod(x[1:9]) - 1.0) ** 2,
        lambda x: jnp.abs(jnp.prod(x) - 1.0),
    ],
    ids=["smooth", "beside a kink", "on a kink"],
)
def test_a_fall_with_a_high_power_is_not_taken_for_a_level(function):
    """Twelve numbers of 0.1 have a product of 1e-12: at 0.3 of a scale it shows, at 0.03 it is below rounding."""
    claim = at(function, [0.0] * 12)
    assert claim.label in (Label.SADDLE, Label.UNDECIDED)
    assert claim.flavour in (None, Flavour.DEGENERATE)


@pytest.mark.parametrize("size", [1e-5, 1e-8])
def test_starts_next_to_zero_do_not_make_a_minimum_a_place_far_out(size):
    """The wells of (x^2 - 1)^2 + x / 10 are 1e8 scales away from starts of 1e-8, and minima all the same."""

    def well(x):
        return (x[0] ** 2 - 1.0) ** 2 + 0.1 * x[0] + x[1] ** 2

    tiny = from_loss(well, lambda key: size * jax.random.normal(key, (2,)))
    found = ls.label(tiny, np.array([np.max(np.roots([4.0, 0.0, -4.0, 0.1]).real), 0.0]))
    assert (found.label, found.flavour) == (Label.SPURIOUS, WITNESSED[Flavour.STRICT_MINIMUM])
    ramp = from_loss(
        lambda x: jnp.abs(jnp.prod(x[:2]) - 1.0) + jnp.abs(x[2]), lambda key: size * jax.random.normal(key, (3,))
    )
    found = ls.label(ramp, np.zeros(3))  # the product falls like t^2, 1e-13 at 0.03 of a scale of 1e-5
    assert found.label in (Label.SADDLE, Label.TRAP, Label.UNDECIDED)
    assert found.flavour is None


@pytest.mark.parametrize(
    ("neuron", "slope", "least"),
    [
        (lambda z: z**3, lambda z: 3.0 * z**2, 0.0),
        (lambda z: z**3, lambda z: 3.0 * z**2, 1.0),
        (jnp.tanh, lambda z: 1.0 - np.tanh(z) ** 2, 0.0),
    ],
    ids=["cube", "cube above its bound", "tanh"],
)
def test_neurons_that_become_the_slope_of_one_have_no_minimum(neuron, slope, least):
    """v ((x + h)^3 - (x - h)^3) is 3 x^2 + h^2 at v = 1 / 2 h, and 3 x^2 with h = 0 only: its error falls like 1 / v^4.

    From v = 5000 on it falls by less than rounding within a scale, and Newton steps across leave more than all of it.
    """
    x = np.linspace(-2.0, 2.0, 9)

    def loss(p):
        return jnp.mean((p[2] * neuron(x + p[0]) + p[3] * neuron(x + p[1]) - slope(x + 0.3)) ** 2) + least

    merged = problem(loss, 4)
    for h in (1e-3, 1e-4, 1e-5, 1e-6):
        theta = np.array([0.3 + h, 0.3 - h, 0.5 / h, -0.5 / h])
        claim = judge(merged, Point(theta, np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
        assert claim.label in (Label.UNDECIDED, Label.UNCONVERGED, Label.AT_INFINITY), h
        assert claim.flavour is None, h
