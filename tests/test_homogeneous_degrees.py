"""Degrees of subnetworks are measured, held against the declared ones, and a mismatch is refused with its reason."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.problems.parallel import Subnetwork, parallel
from landscape.problems.subnetwork import Degrees, cube, deep_relu, degrees, quadratic, rank_one, relu

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(7, 3)), RNG.normal(size=7)


def test_cubed_norms_have_two_derivatives_at_zero():
    with jax.enable_x64(True):
        zero = jnp.zeros(3)
        assert float(cube(zero)) == 0
        assert np.all(np.asarray(jax.grad(cube)(zero)) == 0)
        assert np.all(np.asarray(jax.hessian(cube)(zero)) == 0)


@pytest.mark.parametrize(
    ("net", "x", "expected"),
    [
        (rank_one(4, 3), None, (2, 2)),
        (relu(3), X, (2, 2)),
        (relu(3, 2), X, (2, 2)),
        (quadratic(3), X, (3, 3)),
        (deep_relu(3, 4), X, (3, 3)),
    ],
)
def test_families_have_the_degrees_they_declare(net, x, expected):
    assert degrees(net, x) == Degrees(*expected)
    assert net.degree == expected[0]


def _own(output, penalty, degree, penalty_degree=None):
    return Subnetwork("own", lambda key: jax.random.normal(key, (3,)), output, penalty, degree, penalty_degree)


def test_what_is_not_homogeneous_is_measured_so():
    bent = _own(lambda w, x: jnp.tanh(x @ w), lambda w: jnp.sum(w * w), 1.0)
    assert degrees(bent, X) == Degrees(None, 2.0)
    shifted = _own(lambda w, x: x @ w, lambda w: jnp.sum(w * w) + 1.0, 1.0)
    assert degrees(shifted, X).penalty is None


def test_declared_degrees_are_checked_against_the_measured_ones():
    wrong = _own(lambda w, x: (x @ w) ** 2, lambda w: jnp.sum(w * w), 3.0)
    with pytest.raises(ls.InputError, match="declared of degree 3 and measured to be of degree 2"):
        parallel(X, Y, 1, wrong, 0.1)
    bent = _own(lambda w, x: jnp.tanh(x @ w), lambda w: jnp.sum(w * w), 2.0)
    with pytest.raises(ls.InputError, match="not positively homogeneous"):
        parallel(X, Y, 1, bent, 0.1)


def test_a_mismatch_is_refused_with_its_reason_and_allowed_on_demand():
    steep = _own(lambda w, x: (x @ w) ** 3, lambda w: jnp.sum(w * w), 3.0, 2.0)
    with pytest.raises(ls.InputError, match="zero is a local minimum whatever the data say"):
        parallel(X, Y, 1, steep, 0.1)
    flat = _own(lambda w, x: x @ w, lambda w: jnp.sum(w * w), 1.0, 2.0)
    with pytest.raises(ls.InputError, match="splitting a subnetwork into many pieces"):
        parallel(X, Y, 1, flat, 0.1)
    assert not parallel(X, Y, 1, steep, 0.1, allow_mismatch=True).matched
