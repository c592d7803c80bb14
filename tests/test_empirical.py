"""The empirical problem: derivatives against automatic ones, kinks, rounding, weights in and out, reductions."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
from slow import mostly_slow

from landscape.problems.activation import ACTIVATIONS
from landscape.problems.datafit import DATAFITS as LOSSES
from landscape.problems.empirical import BIASES, converted, empirical
from landscape.problems.params import Params
from landscape.problems.problem import QUICK, losses_at
from landscape.records import InputError


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def draw(activation, loss="squared", bias="none", outer_bias="none", seed=0, n=5, d=2, width=3, slope=0.3):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    if loss == "logistic":
        y = np.where(y > 0, 1.0, -1.0)
    return empirical(x, y, width, activation, loss, 0.3, bias, outer_bias, slope), rng


def plain_loss(problem, theta):
    """The loss written out once more, from the weights that `read` gives, for automatic differentiation."""
    m, d = problem.width, problem.d
    w, a = theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)]
    b0 = theta[-1] if problem.outer_bias != "none" else 0.0
    slope = problem.activation.slope
    act = {
        "linear": lambda z: z,
        "relu": jax.nn.relu,
        "leaky_relu": lambda z: jnp.where(z > 0, z, slope * z),
        "abs": jnp.abs,
        "quadratic": lambda z: z * z,
        "erf": jax.scipy.special.erf,
        "gelu": lambda z: z * 0.5 * (1 + jax.scipy.special.erf(z / np.sqrt(2))),
        "tanh": jnp.tanh,
        "softplus": lambda z: jnp.log1p(jnp.exp(z)),
        "sigmoid": lambda z: 1 / (1 + jnp.exp(-z)),
    }[problem.activation.name]
    f = act(jnp.asarray(problem.x) @ w.T) @ a + b0
    y = jnp.asarray(problem.y)
    r = f - y
    paid = {
        "squared": 0.5 * r * r,
        "logistic": jnp.log1p(jnp.exp(-y * f)),
        "huber": jnp.where(jnp.abs(r) <= 1, 0.5 * r * r, jnp.abs(r) - 0.5),
    }[problem.fit.name]
    decayed = jnp.sum(w[:, : d - (problem.bias == "free")] ** 2) + jnp.sum(a * a)
    decayed += b0 * b0 if problem.outer_bias == "regularised" else 0.0
    return jnp.sum(paid) + 0.5 * problem.weight_decay * decayed


def _pre_activations(problem, theta):
    """x_k.w_j: the gradient of a kinked activation jumps where one changes sign."""
    return problem.x @ np.asarray(theta)[: problem.width * problem.d].reshape(problem.width, problem.d).T


# --- derivatives ---


@partial(jax.jit, static_argnames="bends", compiler_options=QUICK)
def both_ways(problem, theta, bends):
    """Loss and gradient (and Hessian), each as the problem has it and as JAX differentiates a loss written out."""
    plain = partial(plain_loss, problem)
    loss = problem.loss(theta), plain(theta)
    gradients = problem.gradient(theta), jax.grad(plain)(theta), jax.grad(problem.loss)(theta)
    return loss, gradients, (problem.hessian(theta), jax.hessian(plain)(theta)) if bends else None


@pytest.mark.parametrize("activation", mostly_slow(ACTIVATIONS, "tanh"))
def test_derivatives_of_every_activation_and_loss_and_bias(activation):
    for k, (loss, bias) in enumerate(itertools.product(LOSSES, BIASES)):
        problem, rng = draw(activation, loss, bias, BIASES[(k + k // 3) % 3], seed=k)
        theta = jnp.asarray(rng.normal(size=problem.p))
        assert float(np.min(np.abs(_pre_activations(problem, theta)), initial=1.0)) > 1e-4  # away from kinks
        # Each loss and each bias once: a Hessian takes long to compile.
        (value, plain), (gradient, *others), hessians = both_ways(problem, theta, k % 4 == 0)
        assert float(value) == pytest.approx(float(plain), rel=1e-13)
        # Sums of some tens of terms of the gradient's size: rounding is 1e-15 of it.
        size = 1 + np.max(np.abs(gradient))
        for other in others:
            np.testing.assert_allclose(gradient, other, rtol=0, atol=1e-12 * size)
        if hessians:
            size = 1 + np.max(np.abs(hessians[0]))
            np.testing.assert_allclose(*hessians, rtol=0, atol=1e-12 * size)
        # Central differences know nothing of derivatives: h^2 L''' / 6 + eps L / h is some 1e-8 here.
        direction = rng.normal(size=problem.p)
        h = 1e-5
        above, below = losses_at(problem, theta + h * np.stack([direction, -direction]))
        assert np.asarray(gradient) @ direction == pytest.approx(float((above - below) / (2 * h)), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_at_a_tie_the_gradient_is_that_of_the_inactive_side(activation):
    problem, rng = draw(activation)
    theta = rng.normal(size=problem.p)
    row = np.array([2.0, -1.0])  # exact products
    x = problem.x.copy()
    x[1] = row
    problem = empirical(x, problem.y, 3, activation, weight_decay=0.3, slope=0.3)
    theta[:2] = 0.5, 1.0
    assert x[1] @ theta[:2] == 0.0
    below = theta.copy()
    below[:2] -= 1e-9 * row  # the tied row turns inactive; the gradient moves by 1e-9 with it
    gradient = jax.jit(problem.gradient)
    np.testing.assert_allclose(gradient(theta), gradient(below), atol=1e-7)
    above = theta.copy()
    above[:2] += 1e-9 * row
    jump = np.asarray(gradient(above)) - np.asarray(gradient(theta))
    high, low = {"relu": (1.0, 0.0), "leaky_relu": (1.0, 0.3), "abs": (1.0, -1.0)}[activation]
    nu = problem.y - np.asarray(problem.outputs(jnp.asarray(theta)))
    np.testing.assert_allclose(jump[:2], -(high - low) * theta[6] * nu[1] * row, atol=1e-7)


def test_a_mini_batch_weighs_rows():
    problem, rng = draw("relu", outer_bias="free")
    theta, weights = jnp.asarray(rng.normal(size=problem.p)), np.array([0.0, 5.0, 0.0, 0.0, 0.0])
    alone = empirical(problem.x[1:2], problem.y[1:2], 3, weight_decay=1.5, outer_bias="free")
    expected = 5 * alone.gradient(theta) - 5 * alone._decay(theta.dtype) * theta + problem._decay(theta.dtype) * theta
    np.testing.assert_allclose(problem.weighted_gradient(theta, jnp.asarray(weights)), expected, atol=1e-13)
    lanes, gradient = rng.normal(size=(4, problem.p)), jax.jit(problem.gradient)
    rows = np.stack([gradient(t) for t in lanes])
    np.testing.assert_allclose(problem.gradients(jnp.asarray(lanes)), rows, atol=1e-13)
    np.testing.assert_allclose(problem.gradient_lanes(jnp.asarray(lanes.T)).T, rows, atol=1e-13)


# --- rounding ---


def exact_loss(problem, theta):
    """The loss in 50 digits."""
    act = {
        "linear": lambda z: z,
        "relu": lambda z: max(z, mp.mpf(0)),
        "leaky_relu": lambda z: z if z > 0 else mp.mpf(problem.activation.slope) * z,
        "abs": abs,
        "quadratic": lambda z: z * z,
        "erf": mp.erf,
        "gelu": lambda z: z * mp.ncdf(z),
        "tanh": mp.tanh,
        "softplus": lambda z: mp.log1p(mp.exp(z)),
        "sigmoid": lambda z: 1 / (1 + mp.exp(-z)),
    }[problem.activation.name]
    with mp.workdps(50):
        t = [mp.mpf(float(v)) for v in theta]
        m, d = problem.width, problem.d
        total = mp.mpf(0)
        for row, y in zip(problem.x, problem.y, strict=True):
            f = t[-1] if problem.outer_bias != "none" else mp.mpf(0)
            for j in range(m):
                z = mp.fsum(mp.mpf(float(v)) * t[j * d + k] for k, v in enumerate(row))
                f += t[m * d + j] * act(z)
            r = f - mp.mpf(float(y))
            if problem.fit.name == "squared":
                total += r * r / 2
            elif problem.fit.name == "logistic":
                total += mp.log1p(mp.exp(-mp.mpf(float(y)) * f))
            else:
                total += r * r / 2 if abs(r) <= 1 else abs(r) - mp.mpf(1) / 2
        for k, v in enumerate(t):
            free = problem.bias == "free" and k < m * d and k % d == d - 1
            if not free and not (problem.outer_bias == "free" and k == len(t) - 1):
                total += mp.mpf(problem.weight_decay) / 2 * v * v
        return total


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_the_rounding_error_of_the_loss_is_bounded(activation):
    for k, loss in enumerate(LOSSES):
        for size in (1e-3, 1.0, 30.0):
            problem, rng = draw(activation, loss, "regularised", BIASES[k], seed=k, d=1 + 4 * k, n=4, width=2)
            theta = size * rng.normal(size=problem.p)
            theta[problem.d : 2 * problem.d] = theta[: problem.d] * (1 + 1e-9)  # two neurons that cancel
            a = problem.width * problem.d
            theta[a + 1] = -theta[a]
            off = abs(mp.mpf(float(jax.jit(problem.loss)(theta))) - exact_loss(problem, theta))
            bound = problem.loss_error(theta)
            assert off <= bound
            # ... and no looser than some hundred eps of the sums of sizes.
            wide = np.sum(np.abs(np.asarray(problem.x)) @ np.abs(theta[:a].reshape(2, -1)).T) * np.max(np.abs(theta))
            if problem.activation.homogeneous:
                assert bound < 1e-12 * (1 + wide + size) ** 2


def test_the_rounding_bound_of_squares_holds_in_many_dimensions():
    """A square has twice the relative error of its root, and here that is a sum of 400 products of one sign."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        x = rng.uniform(0.5, 1.0, (2, 400))
        problem = empirical(x, np.zeros(2), 1, "quadratic", "huber")
        theta = rng.uniform(0.5, 1.0, problem.p)
        off = abs(mp.mpf(float(jax.jit(problem.loss)(theta))) - exact_loss(problem, theta))
        assert off <= problem.loss_error(theta)
    one = empirical(np.ones((1, 400)), [0.0], 1, "quadratic", "huber")
    unit = np.full(401, 1.0)
    # Of the value 400^2 the sum has 400 eps, its square twice that.
    assert one.loss_error(unit) >= 2 * 400 * np.finfo(float).eps * 400.0**2


# --- weights in and out ---


@pytest.mark.parametrize("bias", BIASES)
@pytest.mark.parametrize("outer_bias", BIASES)
def test_weights_come_back_as_they_were_and_give_their_outputs(bias, outer_bias):
    problem, rng = draw("relu", bias=bias, outer_bias=outer_bias)
    theta = rng.normal(size=problem.p)
    params = problem.read(theta)
    np.testing.assert_array_equal(problem.write(params), theta)
    assert (params.hidden_bias is None) == (bias == "none")
    assert (params.outer_bias is None) == (outer_bias == "none")
    x = problem.x[:, :-1] if bias != "none" else problem.x
    z = x @ params.hidden.T + (0.0 if params.hidden_bias is None else params.hidden_bias)
    f = np.maximum(z, 0.0) @ params.outer + (params.outer_bias or 0.0)
    np.testing.assert_allclose(problem.outputs(jnp.asarray(theta)), f, atol=1e-14)


def test_starts_are_the_same_in_any_batch():
    problem, _ = draw("relu", bias="free", outer_bias="free")
    keys = jax.random.split(jax.random.key(3), 6)
    for init in ("xavier", "he", "gaussian", "sphere"):
        alone = np.stack([problem.start(key, init, 0.7) for key in keys])
        together = np.asarray(jax.vmap(lambda key, init=init: problem.start(key, init, 0.7))(keys))
        np.testing.assert_allclose(together, alone, rtol=1e-15)
        np.testing.assert_array_equal(alone[:, -1], 0.0)
        assert len(np.unique(alone[:, 0])) == 6
    sphere = np.asarray(problem.start(keys[0], "sphere", 0.7))
    np.testing.assert_allclose(np.linalg.norm(sphere[:9].reshape(3, 3), axis=1), 0.7, rtol=1e-12)
    np.testing.assert_allclose(np.abs(sphere[9:12]), 0.7)


def test_the_scale_follows_the_units_of_the_data():
    x, y = np.random.default_rng(0).normal(size=(2, 6, 1))
    base = empirical(x, y[:, 0], 2).scale
    for size in (1e-6, 1e-3, 1e3):
        assert empirical(x, size * y[:, 0], 2).scale == pytest.approx(base * size**0.5)
        assert empirical(size * x, y[:, 0], 2).scale == pytest.approx(base * size**-0.5)
    assert empirical(x, 0 * y[:, 0], 2).scale > 0
    assert empirical(0 * x, y[:, 0], 2).scale > 0


# --- reductions ---


@pytest.mark.parametrize("loss", ["squared", "logistic"])
def test_framework_reductions_have_their_minima_where_ours_are(loss):
    """The gradient of a framework's objective is ours times one number, everywhere."""
    rng = np.random.default_rng(1)
    n, decay = 7, 0.013
    for reduction in ("mean", "sum", "sum_half"):
        problem, _ = draw("tanh", loss, n=n)
        beta = converted(decay, n, loss, reduction)
        ours = empirical(problem.x, problem.y, 3, "tanh", loss, beta)

        def theirs(theta, problem=problem, reduction=reduction):
            w, a = theta[:6].reshape(3, 2), theta[6:]
            f = jnp.tanh(problem.x @ w.T) @ a
            each = (f - problem.y) ** 2 if loss == "squared" else jnp.log1p(jnp.exp(-problem.y * f))
            half = 0.5 if reduction == "sum_half" and loss == "squared" else 1.0
            return half * (jnp.mean(each) if reduction == "mean" else jnp.sum(each)) + 0.5 * decay * theta @ theta

        theta = jnp.asarray(rng.normal(size=ours.p))
        mine, other = np.asarray(ours.gradient(theta)), np.asarray(jax.grad(theirs)(theta))
        np.testing.assert_allclose(mine, other * (beta / decay), rtol=1e-11, atol=1e-13)
    with pytest.raises(InputError, match="decoupled"):
        converted(decay, n, loss, "decoupled")
    with pytest.raises(InputError, match="reduction 'median' is unknown; known are"):
        converted(decay, n, loss, "median")


# --- bad input ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": [[1.0, np.nan], [1.0, 2.0]]}, r"x\[0\]\[1\] is nan"),
        ({"x": np.zeros((2, 2, 2))}, "x must be a matrix"),
        ({"x": np.zeros((0, 2))}, "x must be a matrix"),
        ({"y": [1.0]}, "y must be 2 numbers"),
        ({"y": [1.0, np.inf]}, r"y\[1\] is inf"),
        ({"width": 0}, "width must be a whole number of at least 1"),
        ({"activation": "swish"}, "activation 'swish' is unknown"),
        ({"loss": "hinge"}, "loss 'hinge' is unknown; known are"),
        ({"bias": "some"}, "bias 'some' is unknown"),
        ({"outer_bias": "some"}, "outer_bias 'some' is unknown"),
        ({"weight_decay": -1.0}, "weight_decay must be a number of at least 0, found -1.0"),
        ({"weight_decay": np.nan}, "weight_decay must be"),
        ({"loss": "logistic", "y": [0.5, 1.0]}, "labels -1 and 1"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(change, message):
    good = {"x": [[1.0, 2.0], [3.0, 4.0]], "y": [1.0, -1.0], "width": 2}
    empirical(**good)
    with pytest.raises(InputError, match=message):
        empirical(**{**good, **change})


def test_weights_of_another_shape_are_refused():
    problem = empirical([[1.0, 2.0], [3.0, 4.0]], [1.0, -1.0], 2)
    good = Params(np.ones((2, 2)), np.ones(2))
    problem.write(good)
    for bad, message in (
        (good._replace(outer=None), "both layers"),
        (good._replace(hidden=np.ones((3, 2))), r"hidden must be of shape \[2, 2\], found \[3, 2\]"),
        (good._replace(outer=np.array([1.0, np.nan])), r"outer\[1\] is nan"),
        (good._replace(hidden_bias=np.ones(2)), "params have a hidden_bias and the problem has none"),
        (good._replace(outer_bias=1.0), "params have a outer_bias and the problem has none"),
    ):
        with pytest.raises(InputError, match=message):
            problem.write(bad)
    np.testing.assert_array_equal(problem.write(good._replace(hidden_bias=np.zeros(2))), np.ones(6))


def test_labels_of_zero_and_one_are_taken_for_minus_one_and_one():
    problem = empirical([[1.0], [2.0]], [0, 1], 1, loss="logistic")
    np.testing.assert_array_equal(problem.y, [-1.0, 1.0])
