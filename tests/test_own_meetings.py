"""Losses of eigenvalues and singular values: kinks where those meet; and kinks that do not meet at a point."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import slow

from landscape.host.explore import explore
from landscape.host.label import label_one
from landscape.problems.from_loss import UserLoss, from_loss
from landscape.records import Label
from landscape.theory.own_loss.switches import switches


def problem(function, p: int, bound: float | None = None) -> UserLoss:
    return from_loss(function, lambda key: jax.random.normal(key, (p,)), lower_bound=bound, scale=1.0)


def symmetric(x) -> jax.Array:
    """A symmetric matrix without a trace, 3 x 3, of five numbers."""
    return jnp.array([[x[0], x[1], x[2]], [x[1], x[3], x[4]], [x[2], x[4], -x[0] - x[3]]])


def largest(matrix) -> jax.Array:
    return jnp.linalg.eigvalsh(matrix)[-1]


def coupled(x) -> jax.Array:
    """Two eigenvalues meet at zero, and on x0 = -x2^2 / 6 + ..., x1 = 0; both are x2^2 / 6 there."""
    return jnp.array([[x[0], x[1], x[2]], [x[1], -x[0], 0.0], [x[2], 0.0, -3.0]])


def nuclear(x) -> jax.Array:
    """|x - m|^2 / 2 + |x|_* of 3 x 2 numbers: soft thresholds of the singular values 3 and 0.4 leave 2 and 0."""
    matrix = x.reshape(3, 2)
    return 0.5 * jnp.sum((matrix - TURNED @ np.diag([3.0, 0.4])) ** 2) + jnp.linalg.norm(matrix, ord="nuc")


TURNED = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 2)))[0]
BEST = TURNED @ np.diag([2.0, 0.0])


@pytest.mark.parametrize(
    ("function", "at", "bound"),
    [
        slow(lambda x: largest(symmetric(x)), np.zeros(5), 0.0),
        (nuclear, BEST.ravel(), 2.0 + 0.5 * (1.0 + 0.4**2)),
    ],
)
def test_a_minimum_where_eigenvalues_meet_is_global_at_its_bound(function, at, bound):
    away, whole = np.random.default_rng(0).normal(size=len(at)), problem(function, len(at), bound)
    for off in (0.0, 2e-8, 1e-7):
        assert label_one(whole, at + off * away / np.linalg.norm(away)).label == Label.GLOBAL
    # A user's own products have the precision that they had: JAX's rule for svd leaves another behind.
    assert "precision" not in str(jax.make_jaxpr(lambda x: x @ x)(np.eye(2)))


def test_descents_to_where_eigenvalues_meet_end_there():
    counts = explore(problem(lambda x: largest(jnp.array([[x[0], x[1]], [x[1], -x[0]]])), 2, 0.0), restarts=8).labels()
    assert counts["global"] == 8


@pytest.mark.parametrize(("bend", "saddle"), [slow(0.1, False), (0.2, True)])
def test_along_a_meeting_that_bends_the_loss_is_followed(bend, saddle):
    """The largest eigenvalue less bend x2^2 is (1 / 6 - bend) x2^2 where two of them meet."""
    found = problem(lambda x: largest(coupled(x)) - bend * x[2] ** 2 + x[2] ** 4, 3)
    for point in (np.zeros(3), np.array([1e-9, -1e-9, 1e-9])):
        verdict = label_one(found, point)
        assert (verdict.label == Label.SADDLE) == saddle
        assert saddle or "minimum" in str(verdict.flavour)


def test_equal_eigenvalues_of_a_smooth_function_are_no_kink():
    """Second derivatives by eigenvalues are 0 / 0 there."""
    hinge = problem(  # of the negative eigenvalues, with a flat set of minima
        lambda x: (
            (
                jnp.sum(jax.nn.relu(-jnp.linalg.eigvalsh(jnp.array([[x[0], x[1]], [x[1], x[2]]]))) ** 2)
                + (x[0] + x[2] - 1.0) ** 2
            )
            * jnp.cos(0.0 * x[0])
        ),  # hides that it is nowhere negative
        3,
    )
    assert "minimum" in str(label_one(hinge, np.array([0.5, 0.0, 0.5])).flavour)


def test_functions_of_a_meeting_are_as_large_as_the_gap_and_of_second_order_beside_it():
    """At eigenvalues 0, 0 and -3 and a matrix off by t, (gap, 2 entry) has the length of the gap, to third order."""
    start, way = np.zeros(3), np.array([0.3, -0.4, 0.8])
    errors = []
    for t in (1e-2, 1e-3):
        functions = switches(lambda x: largest(coupled(x)), jnp.array(t * way), beside=jnp.array(start))
        size, count = np.linalg.eigvalsh(coupled(t * way)), len(functions) // 2
        gaps, on_top = np.asarray(functions[:count]), np.asarray(functions[count:])
        pair = int(np.argmin(np.abs(gaps)))
        length = np.hypot(gaps[pair], on_top[pair] - gaps[pair])
        errors.append(abs(length - (size[2] - size[1])))
        own = np.asarray(switches(lambda x: largest(coupled(x)), jnp.array(t * way)))
        assert np.min(np.abs(own)) == pytest.approx(size[2] - size[1])
    assert errors[1] < 2e-3 * errors[0]  # a thousandth by the third power, and what the fourth adds


def test_a_point_beside_a_minimum_is_not_judged_by_kinks_that_do_not_meet_there():
    """Of sum |xi - xj| two kinks of three meet at the first end of Newton's steps, and the third is 1e-8 off."""
    spread = problem(lambda x: jnp.sum(jnp.abs(x[:, None] - x[None, :])), 3, 0.0)
    away = np.array([1.0, 0.5, -2.0])
    for size in (1e-9, 1e-8, 5e-8):
        assert label_one(spread, 0.3 + size * away).label == Label.GLOBAL


def test_switches_in_branches_of_a_cond_are_those_of_the_branch_taken():
    def function(x):
        return jax.lax.cond(x[0] > 0.0, lambda: jnp.abs(x[1] - 1.0) + jnp.abs(x[0]), lambda: jnp.abs(x[1] + 1.0))

    right, left = switches(function, jnp.array([0.5, 0.2])), switches(function, jnp.array([-0.5, 0.2]))
    assert right.tolist() == pytest.approx([0.5, -0.8, 0.5])
    assert left.tolist() == pytest.approx([-0.5, 1.2, 1.0])  # one where another branch has more


def test_a_minimum_on_a_kink_inside_a_branch_is_labelled():
    vee = problem(
        lambda x: (
            jax.lax.cond(x[0] > 0.0, lambda: 2.0 * jnp.abs(x[1] - x[0] ** 2), lambda: 1.0 + x[0] ** 2)
            + (x[0] - 1.0) ** 2
        ),
        2,
        0.0,
    )
    assert label_one(vee, np.array([1.0 + 2e-8, 1.0 - 1e-8])).label == Label.GLOBAL
