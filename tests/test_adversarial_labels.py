"""Labels that were wrong once, by kind: hidden kinks, narrow cells, blurred losses, far bottoms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq
from slow import mostly_slow, slow

import landscape as ls

# The upper well of (w^2 - 1)^2 + 0.3 w: a lower loss is known, so that what is taken for a minimum is called spurious.
WELL = brentq(lambda w: 4 * w * (w * w - 1) + 0.3, 0.8, 1.1)

# Ways to write 10 |t| whose kink the program shows, or does not.
KINKS = {
    "abs": lambda t: 10 * jnp.abs(t),
    "where": lambda t: 10 * jnp.where(t > 0, t, -t),
    "cond": lambda t: 10 * jax.lax.cond(t > 0, lambda: t, lambda: -t),
    "top_k": lambda t: 10 * jax.lax.top_k(jnp.array([t, -t]), 1)[0][0],
    "sort": lambda t: 10 * jnp.sort(jnp.array([t, -t]))[1],
    "cummax": lambda t: 10 * jax.lax.cummax(jnp.array([t, -t]))[1],
    "argmax": lambda t: 10 * jnp.array([t, -t])[jnp.argmax(jnp.array([t, -t]))],
    "root": lambda t: 10 * (t * t + 1e-300) ** 0.5,
}


@pytest.mark.parametrize("kink", mostly_slow(KINKS, "abs"))
def test_a_way_down_along_a_bent_kink_is_never_a_minimum(kink):
    """On y = x^2 the kink is zero and the loss is -x^4 + x^6 more than at zero: a saddle."""

    def loss(p):
        return KINKS[kink](p[1] - p[0] ** 2) - p[0] ** 4 + p[0] ** 6 + (p[2] ** 2 - 1) ** 2 + 0.3 * p[2]

    problem = ls.from_loss(loss, lambda key: jax.random.normal(key, (3,)))
    label = ls.label(problem, jnp.array([0.0, 0.0, WELL])).label
    assert label == "saddle" if kink in ("abs", "where", "cond") else label in ("saddle", "undecided")


@pytest.mark.parametrize(("p", "steep"), [(8, 12.0), slow(12, 16.0)])
def test_a_way_down_in_a_narrow_cell_of_many_dimensions_is_found(p, steep):
    """In the positive orthant, 2^-p of all directions, the loss at t (1, ..., 1) is (p - steep) t^2 < 0."""

    def loss(x):
        return jnp.sum(x**2) - steep * jnp.maximum(0.0, jnp.min(x)) ** 2 + 0.1 * jnp.sum(x**4)

    problem = ls.from_loss(loss, lambda key: jnp.ones(p) + jax.random.normal(key, (p,)))
    assert ls.label(problem, jnp.zeros(p)).label == "saddle"


@pytest.mark.parametrize("mass", [1e3, 1e5])
@pytest.mark.parametrize("activation", ["relu", "erf"])
def test_long_neurons_that_cancel_do_not_make_a_loss_zero(activation, mass):
    """The pair cancels exactly; the first neuron is 1e-4 too long, and the gradient shows it: 0.06 and more."""
    problem = ls.teacher_student(np.eye(2), 4, activation=activation, outer="trained")
    hidden = np.array([[1.0001, 0.0], [0.0, 1.0], [0.6, 0.8], [0.6, 0.8]])
    assert ls.label(problem, ls.Params(hidden, np.array([1.0, 1.0, mass, -mass]))).label != "global"


def test_a_bottom_far_away_is_no_end_at_infinity():
    """Linear regression attains its least value, ten million scales away."""
    x, y = jnp.array([1.0, 2.0, 3.0]), jnp.array([1e7, 1.2e7, 1.5e7])
    problem = ls.from_loss(lambda p: jnp.mean((p[0] + p[1] * x - y) ** 2), lambda k: jax.random.normal(k, (2,)), 0.0)
    assert ls.label(problem, jnp.zeros(2)).label == "unconverged"


def test_the_tip_of_a_norm_is_labelled_without_its_gradient():
    cone = ls.from_loss(lambda p: jnp.linalg.norm(p[:2]) + p[2] ** 2, lambda key: jax.random.normal(key, (3,)))
    assert ls.label(cone, jnp.zeros(3)).label == "global"  # it is nowhere negative
    bent = ls.from_loss(
        lambda p: jnp.linalg.norm(p[:2]) + p[2] ** 2 - p[2] ** 4, lambda key: jax.random.normal(key, (3,))
    )
    assert ls.label(bent, jnp.zeros(3)).label == "undecided"
