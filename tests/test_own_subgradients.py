"""The least subgradient of an own loss: of independent kinks by a box, against all of the pieces that meet."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import relu

import landscape as ls
from landscape.records import Label
from landscape.theory.own_loss.subgradients import least_norm, subgradients
from landscape.theory.own_loss.view import view


def problem(function, p):
    return ls.from_loss(function, lambda key: jax.random.normal(key, (p,)), scale=1.0)


@pytest.mark.parametrize("shift", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("seed", range(3))
def test_of_independent_kinks_it_is_that_of_all_pieces(seed, shift):
    """Six kinks bound 64 pieces, whose gradients are written down here; some are ridges, some valleys."""
    rng = np.random.default_rng(seed)
    normals, weights, slope = rng.normal(size=(6, 9)), rng.normal(size=6), shift * rng.normal(size=9)
    found = subgradients(view(problem(lambda x: jnp.abs(normals @ x) @ weights + slope @ x + x @ x, 9)), np.zeros(9))
    signs = np.array(list(itertools.product([-1.0, 1.0], repeat=6)))
    best = least_norm((signs * weights) @ normals + slope)
    # Pieces bend by 2e-7 where their gradients are taken; non-negative least squares keep 1e-9 and less.
    assert np.allclose(found.combined, best, atol=1e-6)
    assert found.spread.rank(1e-4) == 6


@pytest.mark.parametrize("zeros", [5, 30])
def test_the_optimum_of_a_lasso_with_many_zeros_is_at_rest(zeros):
    """The pieces that a sample meets do not have zero among their combinations: 30 kinks bound 10^9 of them."""
    p, some = 2 * zeros, np.arange(2 * zeros) < zeros
    own = problem(lambda x: jnp.sum(jnp.abs(x)) + jnp.sum((x - jnp.where(some, 0.4, 1.5)) ** 2), p)
    found = subgradients(view(own), np.where(some, 0.0, 1.0))
    assert found.rest
    assert np.linalg.norm(found.combined) < 1e-6
    beside = subgradients(view(own), np.where(some, 0.0, 1.1))
    assert not beside.rest
    assert np.linalg.norm(beside.combined) == pytest.approx(0.2 * np.sqrt(zeros), abs=1e-6)


@pytest.mark.parametrize(
    ("function", "least"),
    [
        # Gradients (0, 0), (1, -1), (-1, -1) are three pieces, and those of the two kinks do not add up.
        (lambda x: relu(jnp.abs(x[0]) - x[1]) + 2.0 * x[1], [0.0, 1.0]),
        # Three lines in a plane bound six pieces and not eight: slopes of weights 1, 1, -1 would make a box too wide.
        (lambda x: jnp.abs(x[0]) + jnp.abs(x[1]) - jnp.abs(x[0] + x[1]) + 0.9 * x[0] - 0.9 * x[1], None),
        (lambda x: jnp.max(jnp.stack([x[0], x[1], -x[0] - x[1]])) + 0.2 * x[0], [0.0, 0.0]),
    ],
    ids=["one kink on another", "three lines", "largest of three"],
)
def test_kinks_that_are_no_box_are_sampled(function, least):
    """Pieces of the test's own: automatic gradients at random places about the point."""
    own = problem(function, 2)
    found = subgradients(view(own), np.zeros(2))
    places = np.random.default_rng(5).normal(size=(200, 2))
    best = least_norm(np.asarray(jax.vmap(jax.grad(function))(places)))
    assert np.allclose(found.combined, best, atol=1e-6)
    assert least is None or np.allclose(best, least, atol=1e-6)


def test_a_ridge_among_many_valleys_is_a_trap():
    """All slopes at zero have zero among their combinations, and the loss falls along the last coordinate."""
    own = problem(lambda x: jnp.sum(jnp.abs(x[:-1]) + 0.5 * x[:-1]) - jnp.abs(x[-1]) + 0.5 * x[-1] + x @ x, 12)
    claim = ls.label(own, np.zeros(12))
    assert (claim.label, claim.by) == (Label.TRAP, "slope at a kink, lower point")
    assert claim.grad_norm < 1e-6


@pytest.mark.parametrize("decay", [1.0, 1e-3])
def test_the_optimum_of_a_stiff_lasso_is_at_rest(decay):
    """Where gradients of pieces are taken, curvatures of up to 400 change them by more than 1e-6 of a slope of 1e-3."""
    rng = np.random.default_rng(0)
    rows, shift = 3.0 * rng.normal(size=(24, 16)), np.where(np.arange(16) < 9, 0.3, 1.0) * decay
    best = np.where(np.arange(16) < 9, 0.0, rng.normal(size=16) + 2.0)
    # Residuals whose products with the columns are what the slopes of the absolute values have to be.
    target = rows @ best + np.linalg.pinv(rows.T) @ shift
    own = problem(lambda x: 0.5 * jnp.sum((rows @ x - target) ** 2) + decay * jnp.sum(jnp.abs(x)), 16)
    assert subgradients(view(own), best).rest
    assert not subgradients(view(own), best + 1e-4 * (best > 0)).rest
