"""Own losses whose derivatives or levels mislead: gradients that are no slopes, rounded levels, far bottoms."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from landscape.problems.from_loss import UserLoss, from_loss
from landscape.records import Claim, Flavour, InputError, Label, Point, Status
from landscape.theory.own_loss.judge import judge
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
    assert (at(function, [0.0, 0.0]).flavour is None) == rounded


def test_a_bottom_beyond_a_million_scales_is_no_end_at_infinity():
    # Newton steps come to it by a third of the way at a time.
    assert at(lambda x: (1e-8 * x[0] - 1.0) ** 4 + x[1] ** 2, [0.0, 0.0]).label == Label.UNCONVERGED


def test_a_saddle_of_third_order_that_is_known_to_rounding_only_is_no_minimum():
    """Beside zero of -x^3 the curvature shows at a distance where the slope, of 1e-18, does not."""
    cubic = problem(lambda x: 2.0 - 2.0 * x[0] ** 3 + x[0] ** 6 + (x[1] - 1.0) ** 2, 2)
    for off in (1e-6, 1e-8, -1e-9):
        claim = judge(cubic, Point(np.array([off, 1.0]), np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
        assert (claim.label, claim.flavour) == (Label.SADDLE, Flavour.DEGENERATE)


def test_a_loss_without_an_automatic_gradient_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="JAX cannot differentiate the loss"):
        problem(lambda x: jax.lax.while_loop(lambda v: v[0] < 1.0, lambda v: v + 1.0, jnp.abs(x))[0], 2)
