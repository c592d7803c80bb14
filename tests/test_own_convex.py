"""Losses that are convex by their program: what the rules say, beside chords of the loss, and labels that follow."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import landscape as ls
from landscape.precision import float64
from landscape.problems.composition import Curvature, composition
from landscape.problems.from_loss import from_loss
from landscape.records import Label

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)), RNG.normal(size=20)
S, CLASS = np.sign(Y), np.arange(20) % 4
SQUARE = RNG.normal(size=(3, 3))
DEFINITE = SQUARE @ SQUARE.T + 0.1 * np.eye(3)


def init(key):
    return jax.random.normal(key, (3,))


def scores(w):
    """Of four classes, from three numbers."""
    return X @ jnp.outer(w, np.array([1.0, -1.0, 0.5, 0.0]))


def named_like_jax(a):
    @jax.custom_jvp
    def logaddexp(x, y):
        return x - y**2

    logaddexp.defjvp(lambda point, moved: (logaddexp(*point), moved[0] - 2 * point[1] * moved[1]))
    return logaddexp(a, a)


CONVEX = {
    "least squares": lambda w: jnp.mean((X @ w - Y) ** 2),
    "ridge and lasso": lambda w: jnp.sum(jnp.square(X @ w - Y)) + jnp.sum(jnp.abs(w)) + jnp.sum(w * w),
    "norm": lambda w: jnp.sum(jnp.linalg.norm(X - w, axis=1)) + jnp.linalg.norm(w) ** 2,
    "logistic": lambda w: jnp.mean(jnp.logaddexp(0.0, -S * (X @ w))),
    "log sigmoid": lambda w: -jnp.mean(jax.nn.log_sigmoid(S * (X @ w))),
    "log of sigmoid": lambda w: -jnp.mean(jnp.log(jax.nn.sigmoid(S * (X @ w)))),
    "log(1 + exp)": lambda w: jnp.mean(jnp.log(1 + jnp.exp(-S * (X @ w)))),
    "cross entropy": lambda w: -jnp.mean(jax.nn.log_softmax(scores(w))[np.arange(20), CLASS]),
    "log-sum-exp": lambda w: jnp.mean(jax.nn.logsumexp(scores(w), axis=1) - scores(w)[:, 0]),
    "hinge": lambda w: jnp.mean(jnp.maximum(0, 1 - S * (X @ w))) + jnp.mean(jax.nn.relu(1 - S * (X @ w)) ** 2),
    "poisson": lambda w: jnp.mean(jnp.exp(X @ w) - jnp.abs(Y) * (X @ w)),
    "quantile": lambda w: jnp.mean(jnp.maximum(0.3 * (X @ w - Y), -0.7 * (X @ w - Y))),
    "log cosh": lambda w: jnp.mean(jnp.log(jnp.cosh(X @ w - Y))),
    "powers": lambda w: jnp.sum(jnp.abs(X @ w - Y) ** 1.5) + jnp.sum((X @ w - Y) ** 4),
    "largest of affine": lambda w: jnp.max(X @ w + Y),
    "pseudo-huber": lambda w: jnp.sum(jnp.sqrt(1 + (X @ w - Y) ** 2)),
    "total variation": lambda w: jnp.sum(jnp.abs(jnp.diff(w))) + jnp.sum((w - 1) ** 2),
    "barrier": lambda w: -jnp.sum(jnp.log(20 - X @ w)) + w @ w,
    "square of a positive convex": lambda w: jnp.sum((w**2 + 1) ** 2),
}
OTHERS = {
    "product": lambda w: (w[0] * w[1] - 1) ** 2,
    "square of a convex of both signs": lambda w: jnp.sum((w**2 - 1) ** 2),
    "exp of a concave": lambda w: jnp.sum(jnp.exp(-(w**2))),
    "log of a convex": lambda w: jnp.sum(jnp.log(1 + w**2)),
    "least of two": lambda w: jnp.sum(jnp.minimum(jnp.abs(w), jnp.abs(w - 1))),
    "sigmoid": lambda w: jnp.mean((jax.nn.sigmoid(X @ w) - Y) ** 2),
    "where": lambda w: jnp.sum(jnp.where(w > 0, w**2, -(w**2))),
    "one over affine": lambda w: jnp.sum(1 / w),
    "quotient": lambda w: w[0] ** 2 / w[1],
    "cube": lambda w: jnp.sum(w**3),
    "rounded": lambda w: jnp.sum((w - jnp.round(w)) ** 2),
    "minus log-sum-exp": lambda w: -jax.nn.logsumexp(w),
    "log of a sum of sigmoids": lambda w: -jnp.log(np.abs(Y) @ jax.nn.sigmoid(X @ w)),
    "another's logaddexp": lambda w: named_like_jax(jnp.sum(w)),
    "shift of each entry": lambda w: jnp.sum(
        jnp.log(jnp.sum(jnp.exp(w - jax.lax.stop_gradient(w)))) + 2 * jax.lax.stop_gradient(w)
    ),
    "shift that was rounded": lambda w: (
        jnp.log(jnp.sum(jnp.exp(w - jnp.round(jax.lax.stop_gradient(w[0]))))) + jax.lax.stop_gradient(w[0])
    ),
    "shift added twice": lambda w: jnp.sum(
        jnp.log(jnp.sum(jnp.exp(w - jax.lax.stop_gradient(jnp.max(w)))))
        + jax.lax.stop_gradient(jnp.max(w))
        - jax.lax.stop_gradient(jnp.max(w)) * 3
    ),
}


def chord(loss, seed=1, size=3.0, starts=400):
    """How far the loss at middles of random chords is above the mean of their ends, beyond rounding."""
    ends = size * np.random.default_rng(seed).normal(size=(starts, 2, 3))
    with float64():
        values = jax.jit(jax.vmap(loss))
        a, b, middle = (np.asarray(values(one)) for one in (ends[:, 0], ends[:, 1], ends.mean(axis=1)))
    whole = np.isfinite(a) & np.isfinite(b)
    a, b, middle = a[whole], b[whole], np.where(np.isfinite(middle), middle, np.inf)[whole]
    # 1e-13: each loss is a sum of a few dozen terms that are rounded to 1e-16 of themselves.
    return float(np.max(middle - (a + b) / 2 - 1e-13 * (1.0 + np.abs(a) + np.abs(b)), initial=-1.0))


@pytest.mark.parametrize("name", CONVEX)
def test_common_convex_losses_are_seen_to_be_convex(name):
    assert from_loss(CONVEX[name], init).curvature == Curvature.CONVEX
    assert chord(CONVEX[name]) <= 0.0


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_convex_is_not_called_convex(name):
    assert from_loss(OTHERS[name], lambda key: 3.0 + init(key)).curvature == Curvature.NOT_CLEAR


def test_a_quadratic_form_is_convex_by_its_hessian_alone():
    assert from_loss(lambda w: w @ DEFINITE @ w + jnp.sum(w), init).curvature == Curvature.QUADRATIC
    assert from_loss(lambda w: w @ DEFINITE @ w * w[0], init).curvature == Curvature.NOT_CLEAR


ONE = {
    "neg": lambda a: -a,
    "abs": jnp.abs,
    "square": jnp.square,
    "exp": lambda a: jnp.exp(0.3 * a),
    "log": lambda a: jnp.log(a),
    "log1p": lambda a: jnp.log1p(a),
    "sqrt": jnp.sqrt,
    "rsqrt": jax.lax.rsqrt,
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "relu": jax.nn.relu,
    "cosh": lambda a: jnp.cosh(0.3 * a),
    "expm1": lambda a: jnp.expm1(0.3 * a),
    "cube": lambda a: a**3,
    "inverse": lambda a: a**-1,
    "inverse square": lambda a: a**-2,
    "power 1.5": lambda a: a**1.5,
    "power 0.5": lambda a: a**0.5,
    "power -0.5": lambda a: a**-0.5,
    "sum": jnp.sum,
    "max": jnp.max,
    "min": jnp.min,
    "log-sum-exp": jax.nn.logsumexp,
    "softmax": lambda a: jax.nn.softmax(a) if jnp.ndim(a) else a,
    "mixed": lambda a: a * np.array([1.0, -0.5, 2.0]),
    "tanh": jnp.tanh,
    "stopped": lambda a: a - jax.lax.stop_gradient(jnp.max(a)),
    "reversed": lambda a: jnp.flip(a) if jnp.ndim(a) else a,
}
TWO = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "logaddexp": jnp.logaddexp,
    "add 1": lambda a, b: a + 1.0,
    "halved": lambda a, b: 0.5 * a,
}


@settings(deadline=None, max_examples=120, derandomize=True, database=None)
@given(st.lists(st.tuples(st.sampled_from([*ONE, *TWO]), st.integers(0, 9)), min_size=1, max_size=5))
def test_no_chord_of_a_composition_that_is_called_convex_is_below_it(operations):
    """Each operation acts on the newest value, and on an earlier one where it takes two."""

    def loss(w):
        values = [w, jnp.asarray(Y[:3]), X[:3] @ w]
        for name, other in operations:
            new = ONE[name](values[-1]) if name in ONE else TWO[name](values[-1], values[other % len(values)])
            values.append(new)
        return jnp.sum(values[-1])

    with float64():
        shown = composition(jax.make_jaxpr(loss)(np.zeros(3)))
    if shown.nonnegative:
        with float64():
            values = np.asarray(jax.jit(jax.vmap(loss))(3.0 * np.random.default_rng(2).normal(size=(400, 3))))
        assert not np.nanmin(values, initial=0.0) < 0.0, operations
    if shown.curvature == Curvature.CONVEX:
        for size in (0.3, 3.0):
            assert not chord(loss, size=size, starts=200) > 0.0, operations


# -- labels ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "loss",
    [
        lambda w: jnp.mean(jnp.logaddexp(0.0, -S * (X @ w))) + 1e-3 * jnp.sum(w**2),
        lambda w: jnp.mean((X @ w - Y) ** 2) + 0.1 * jnp.sum(jnp.abs(w)),  # at kinks
        lambda w: w @ DEFINITE @ w + jnp.sum(w),
    ],
    ids=["logistic", "lasso", "quadratic form"],
)
def test_the_minimum_of_a_convex_loss_is_global_without_a_bound(loss):
    census = ls.explore(from_loss(loss, init), 8, optimiser="lbfgs", progress=False)
    assert census.labels()["global"] == 8
    assert "convex" in str(census)


SIGNED = {
    "squares": (lambda w: jnp.sum((jnp.tanh(X @ w) - Y) ** 2), True),
    "hinges": (lambda w: jnp.sum(jax.nn.relu(jnp.prod(w) - 1.0)), True),
    "logistic": (lambda w: jnp.sum(jnp.logaddexp(0.0, w[0] * w[1:])), True),
    "huber": (lambda w: jnp.sum(jnp.where(jnp.abs(w) < 1, 0.5 * w**2, jnp.abs(w) - 0.5)), False),  # |w| - 1/2 alone
    "quotient": (lambda w: jnp.sum(w**4) / jnp.sum(w**2), True),
    "complex": (lambda w: jnp.real(jnp.sum((w + 1j * w[0]) ** 2)), False),
    "difference": (lambda w: jnp.sum(w**2) - jnp.sum(w**4), False),
    "cube": (lambda w: jnp.sum(w**3), False),
    "mask": (lambda w: jnp.sum((w > 0) * (w - 1.0) ** 2), True),
    "taken": (lambda w: jnp.sum(jnp.take(w**2, np.array([0, 0, 2]))), True),
    "filled": (lambda w: jnp.sum((w**2).at[np.array([0, 7])].get(mode="fill", fill_value=-3.0)), False),
}


@pytest.mark.parametrize("name", SIGNED)
def test_zero_is_a_bound_of_what_is_nowhere_negative_by_its_program(name):
    loss, nonnegative = SIGNED[name]
    bound = from_loss(loss, init).lower_bound
    assert (bound is not None and bound.value == 0.0) == nonnegative
    assert from_loss(loss, init, lower_bound=0.25).lower_bound.value == 0.25  # the user may know better
    lower = from_loss(loss, init, lower_bound=-2.0).lower_bound
    assert lower is not None
    assert lower.value == (0.0 if nonnegative else -2.0)


def test_an_exact_fit_is_global_without_a_bound_of_the_users():
    verdict = ls.label(
        from_loss(lambda w: (w[0] * w[1] - 1.0) ** 2, lambda key: jax.random.normal(key, (2,))), np.ones(2)
    )
    assert verdict.label == Label.GLOBAL


def test_a_bound_that_is_loose_does_not_hide_that_a_loss_is_convex():
    loose = from_loss(lambda w: jnp.mean((X @ w - Y) ** 2), init, lower_bound=-5.0)
    best = np.linalg.lstsq(X, Y, rcond=None)[0]
    assert ls.label(loose, best).label == Label.GLOBAL
    assert ls.label(loose, best + 0.1).label == Label.UNCONVERGED


def test_a_convex_loss_that_is_not_attained_is_at_infinity():
    separable = from_loss(
        lambda w: jnp.mean(jnp.logaddexp(0.0, -S * S * w[0])), lambda key: jax.random.normal(key, (1,))
    )
    assert separable.curvature == Curvature.CONVEX
    for far in (30.0, 36.0, 40.0, 800.0):
        assert ls.label(separable, np.array([far])).label in (Label.AT_INFINITY, Label.UNCONVERGED, Label.UNDECIDED)
    assert ls.label(from_loss(lambda w: jnp.sum(w), init), np.zeros(3)).label != Label.GLOBAL


def test_a_quadratic_saddle_stays_a_saddle():
    indefinite = from_loss(lambda w: w @ np.diag([1.0, 2.0, -1e-3]) @ w, init)
    assert ls.label(indefinite, np.zeros(3)).label == Label.SADDLE


@pytest.mark.parametrize("bound", [None, 0.0])
def test_a_convex_valley_that_falls_for_ever_has_no_minimum_where_rounding_makes_it_level(bound):
    """sqrt(1 + t^2) - t is 1 / 2 t, and 0 in float64 from 1e8 on; along x = y every coordinate matters by itself."""
    valley = from_loss(
        lambda w: jnp.sum(jnp.sqrt(1.0 + w**2) - w) + (w[0] - w[1]) ** 2, lambda key: init(key)[:2], bound
    )
    for far in (1e7, 1e8, 1e9, 1e12):
        assert ls.label(valley, np.array([far, far])).label == Label.AT_INFINITY
    level = from_loss(lambda w: (w[0] + w[1] - 1e9) ** 2 + 1.0, lambda key: init(key)[:2])
    assert ls.label(level, np.array([5e8, 5e8])).label == Label.GLOBAL


def test_a_valley_that_bends_and_is_level_by_rounding_is_no_flat_minimum_far_out():
    """(x y - 1)^2 + y^2 + 1 falls to 1 along x y = 1, and y^2 is below its rounding from x = 1e8 on."""
    bent = from_loss(lambda w: (w[0] * w[1] - 1.0) ** 2 + w[1] ** 2 + 1.0, lambda key: init(key)[:2])
    found = ls.label(bent, np.array([1e8, 1e-8]))
    assert (found.label, found.flavour) == (Label.UNDECIDED, None)
