"""Kinks that the program of an own loss shows: the switches, the stationary point on them, and ways down along them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from finite_data import A
from finite_networks import finished, problem_of
from jax.nn import relu
from slow import slow

from landscape.host.explore import explore
from landscape.host.label import label_one
from landscape.problems.from_loss import UserLoss, from_loss
from landscape.records import InputError, Label, Point, Status
from landscape.theory.own_loss.along_kinks import along_kinks
from landscape.theory.own_loss.branches import branches
from landscape.theory.own_loss.judge import judge
from landscape.theory.own_loss.on_kinks import nearest, on_kinks
from landscape.theory.own_loss.subgradients import pieces, spread_of, subgradients
from landscape.theory.own_loss.switches import switches
from landscape.theory.own_loss.view import view


def problem(function, p: int, bound: float | None = None) -> UserLoss:
    return from_loss(function, lambda key: jax.random.normal(key, (p,)), lower_bound=bound, scale=1.0)


@pytest.mark.parametrize(
    ("function", "on", "count"),
    [
        (lambda x: relu(x[0]) + x[1], [0.0, 0.3], 1),
        (lambda x: jnp.abs(jnp.abs(x[0]) - 1.0), [1.0, 0.0], 1),
        (lambda x: jnp.clip(x[0] * x[1], -1.0, 1.0), [2.0, 0.5], 1),
        (lambda x: jnp.where(x[0] > x[1], x[0] ** 2, x[1] ** 2), [0.7, 0.7], 1),
        (lambda x: jnp.sort(x)[0] ** 2, [0.7, 0.7], 1),
        (lambda x: jnp.max(x * x), [0.7, -0.7], 2),  # each of the two is level with the larger
        (lambda x: x[jnp.argmax(x)] ** 2, [0.7, 0.7], 2),
        (lambda x: jnp.sum(jax.lax.top_k(x, 1)[0]), [0.7, 0.7], 2),
        (lambda x: jnp.sum(jax.lax.cummax(x)), [0.7, 0.7], 1),
        (lambda x: (x[0] ** 2) ** 0.75 + x[1], [0.0, 0.3], 1),
        (lambda x: jax.lax.scan(lambda h, _: (relu(h) + x[0], None), x[1], None, length=3)[0], [0.5, 0.0], 1),
        (lambda x: jax.nn.logsumexp(x) + jax.nn.softplus(x[0]), [0.0, 0.0], 0),  # smooth
    ],
)
def test_switches_are_zero_on_the_kinks_of_a_loss_and_nowhere_else(function, on, count):
    near, off = np.array(on), np.array(on) + np.array([0.1, -0.013])
    assert int(np.sum(np.abs(switches(function, jnp.array(near))) < 1e-12)) == count
    beside = np.abs(switches(function, jnp.array(off)))
    assert np.sum(beside < 1e-12) == (1 if count == 2 else 0)  # the largest itself is always level with the largest


def test_switches_are_seen_inside_jitted_functions():
    inner = jax.jit(lambda x: jnp.maximum(x, 0.0))
    assert switches(lambda x: jnp.sum(inner(x)), jnp.array([0.5, -0.5])).tolist() == [0.5, -0.5]


@pytest.mark.parametrize(
    "norm",
    [
        lambda x: jnp.linalg.norm(x),
        lambda x: jnp.sqrt(x[0] ** 2 + x[1] ** 2),
        lambda x: jnp.sqrt(x @ x),
        lambda x: jnp.sum(jnp.linalg.norm(x.reshape(1, 2), axis=1)),
    ],
)
def test_a_norm_has_its_kink_where_all_its_numbers_are_zero(norm):
    x = jnp.array([0.3, -0.2])
    assert np.sort(np.abs(switches(norm, x))) == pytest.approx([0.2, 0.3])


@pytest.mark.parametrize(
    ("function", "may_have"),
    [
        (lambda x: jnp.sum(x * (x > 0)), True),
        (lambda x: jax.lax.cond(x[0] > 0, lambda v: v[0], lambda v: -v[0], x), True),
        (lambda x: jnp.sum(jax.lax.top_k(x, 1)[0]), True),
        (lambda x: jnp.sum(x[jnp.array([1, 0])] ** 2 * jax.nn.softplus(x)), False),
    ],
    ids=["mask", "cond", "largest", "smooth"],
)
def test_operations_that_take_branches_are_seen_in_a_program(function, may_have):
    assert branches(problem(function, 2)) == may_have


@pytest.mark.slow
def test_the_optimum_of_a_group_lasso_is_a_minimum():
    rng = np.random.default_rng(0)
    rows, target, size = rng.normal(size=(12, 6)), rng.normal(size=12), 3.0
    step, best = 1.0 / np.linalg.norm(rows, 2) ** 2, np.zeros(6)
    for _ in range(5000):  # proximal gradient, a computation of the test's own
        moved = (best - step * rows.T @ (rows @ best - target)).reshape(3, 2)
        best = (np.maximum(1.0 - step * size / np.linalg.norm(moved, axis=1, keepdims=True), 0.0) * moved).ravel()
    assert np.sum(best == 0) == 2  # one group of two on its kink
    lasso = problem(
        lambda x: 0.5 * jnp.sum((rows @ x - target) ** 2) + size * jnp.sum(jnp.linalg.norm(x.reshape(3, 2), axis=1)), 6
    )
    for theta, is_minimum in ((best, True), (np.zeros(6), False)):
        claim = judge(lasso, Point(theta, np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
        assert (claim.label == Label.GLOBAL) == is_minimum  # it is convex


def test_newton_steps_on_kinks_come_to_the_optimum_of_a_lasso():
    rng = np.random.default_rng(0)
    rows, target = rng.normal(size=(8, 4)), rng.normal(size=8)
    lasso = view(problem(lambda x: 0.5 * jnp.sum((rows @ x - target) ** 2) + 2.0 * jnp.sum(jnp.abs(x)), 4))
    best = np.zeros(4)
    for _ in range(4000):  # proximal gradient, a computation of the test's own
        step = 1.0 / np.linalg.norm(rows, 2) ** 2
        moved = best - step * rows.T @ (rows @ best - target)
        best = np.sign(moved) * np.maximum(np.abs(moved) - 2.0 * step, 0.0)
    assert 0 < np.sum(best == 0) < 4  # some coordinates on kinks, some off them
    ends = list(on_kinks(lasso, best + 1e-6 * rng.normal(size=4), 1e-3))
    # Proximal gradient has come to rounding: the rate at this condition number is 0.9 a step.
    assert min(np.linalg.norm(end - best) for end in ends) < 1e-11
    assert any(subgradients(lasso, end).rest for end in ends)


def test_along_kinks_a_way_down_between_walls_is_seen():
    steep = view(problem(lambda x: 5.0 * jnp.abs(x[0] + x[1] ** 2) - 0.01 * x[1] ** 2 + x[2] ** 2, 3))
    slopes = pieces(steep, np.zeros(3))
    along = along_kinks(steep, np.zeros(3), slopes, spread_of(slopes), nearest(steep, np.zeros(3)))
    assert along is not None
    assert along.k == 2
    points = along.points(np.array([[0.1, 0.0], [0.0, 0.1]]))
    # On the kink, x0 = -x1^2, after four steps with the slopes at the point: to rounding.
    assert np.allclose(points[:, 0], -(points[:, 1] ** 2), atol=1e-15)
    assert min(along.function.values(np.array([[0.1, 0.0], [0.0, 0.1]]))) < -9e-5


def relu_network(width: int) -> UserLoss:
    x, y, beta = np.array(A["X"]), np.array(A["y"]), A["beta"]

    def loss(theta):
        hidden, outer = theta[: 2 * width].reshape(width, 2), theta[2 * width :]
        return 0.5 * jnp.sum((relu(x @ hidden.T) @ outer - y) ** 2) + 0.5 * beta * jnp.sum(theta**2)

    return problem(loss, 3 * width)


@pytest.mark.parametrize("k", [0, slow(1), slow(3), slow(4), slow(11)])
def test_a_zero_neuron_beside_walls_is_labelled_as_the_room_of_finite_data_labels_it(k):
    point = A["stationary_points"][k]
    narrow, wide = problem_of(A, point["k"]), problem_of(A, point["k"] + 1)
    theta = finished(narrow, point["W"], point["a"])
    hidden, outer = theta[: 2 * point["k"]], theta[2 * point["k"] :]
    theta = np.concatenate([hidden, [0.0, 0.0], outer, [0.0]])
    room = label_one(wide, theta)
    own = judge(relu_network(point["k"] + 1), Point(theta, np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))
    if room.label == Label.SADDLE:
        assert own.label == Label.SADDLE
        assert own.escape is not None
        assert label_one(wide, theta + own.escape).loss < room.loss
    else:  # without a bound a least minimum is no more than one
        assert own.label in (room.label, Label.UNDECIDED)
        assert own.label == room.label or "minimum" in str(own.flavour)


def test_descents_at_negative_losses_without_a_bound_come_to_an_end():
    # |x| and a double well, 0.25 below zero: gradient descent jumps to and fro about x = 0 for ever.
    landscape = problem(lambda x: jnp.abs(x[0]) - x[1] ** 2 + x[1] ** 4, 2)
    census = explore(landscape, 12, progress=False, budget=20_000)
    assert census.labels()["unconverged"] == 0
    assert {round(level.loss, 9) for level in census.levels} == {-0.25}


@pytest.mark.slow
def test_ends_on_a_kink_at_the_bound_are_global_to_what_newton_steps_leave():
    landscape = problem(lambda x: jnp.sort(x)[1] ** 2 + 0.1 * jnp.sum(x**2) + jnp.max(jnp.abs(x)), 3, 0.0)
    census = explore(landscape, 8, progress=False, budget=20_000)
    assert census.labels()["global"] == 8
    hidden = lambda x: jnp.cos(0.0 * x[0])  # one, and of any sign for all that a program shows  # noqa: E731
    higher = problem(lambda x: hidden(x) * (jnp.sort(x)[1] ** 2 + 0.1 * jnp.sum(x**2) + jnp.max(jnp.abs(x))), 3, -1e-9)
    assert explore(higher, 4, progress=False, budget=20_000).labels()["global"] == 0


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 1.0 + jnp.sqrt(jnp.sum(x**2)),
        lambda x: 1.0 + jnp.sqrt(jnp.sum((x - 1.0) ** 2)),  # descents meet the tip exactly, where the gradient is 0 / 0
        lambda x: jnp.linalg.eigvalsh(jnp.array([[1.0 + x[0], x[1]], [x[1], 1.0 - x[0]]]))[-1],
    ],
    ids=["cone", "cone off zero", "largest eigenvalue"],
)
def test_descents_to_the_tip_of_a_cone_come_to_an_end(function):
    census = explore(problem(function, 2, 1.0), 8, progress=False, budget=20_000)
    assert census.labels()["unconverged"] == 0
    assert census.best_seen == pytest.approx(1.0, abs=1e-9)


def test_the_gradient_of_a_maximum_is_that_of_an_entry_whatever_xla_fuses():
    """XLA on a CPU rounds p0 - 0.2 p1 in two ways within one program, and then finds no entry equal to the largest."""
    rows = np.array([[1.0, 1.0], [-1.0, -0.5], [1.0, -0.2]])
    largest = problem(lambda p: jnp.max(jnp.stack([p[0] + p[1], -p[0] - 0.5 * p[1], -0.2 * p[1] + p[0]])), 2)
    at = np.random.default_rng(0).normal(size=(512, 2))
    np.testing.assert_allclose(view(largest).gradients(at), rows[np.argmax(at @ rows.T, axis=1)], rtol=1e-15)
    census = explore(largest, 8, progress=False)
    assert {(level.label, round(level.loss, 12)) for level in census.levels} == {(Label.UNDECIDED, 0.0)}


def test_the_tip_of_a_norm_at_the_bound_is_global():
    cone = problem(jnp.linalg.norm, 2, 0.0)
    verdict = label_one(cone, np.zeros(2))
    assert verdict.label == Label.GLOBAL
    assert verdict.grad_norm == pytest.approx(0.0, abs=1e-9)  # the least subgradient, where the automatic one is 0 / 0


def test_a_branch_that_is_not_taken_and_is_nan_is_named():
    """The gradient of where(x > 0, x log x, 0) at -1 is 0 times nan."""
    entropy = problem(lambda x: jnp.sum(jnp.where(x > 0, x * jnp.log(x), 0.0) + x**2), 1)
    with pytest.raises(InputError, match=r"the branch that is not taken"):
        label_one(entropy, np.array([-1.0]))


def test_descents_that_jump_to_and_fro_far_from_an_end_take_a_shorter_step():
    """Of a group lasso whose solution is zero: steps of 0.1 along slopes of 80 go round in a cycle of two."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 4))
    y = x @ [1.0, -1.0, 0.0, 0.0]
    lasso = problem(
        lambda p: 0.5 * jnp.sum((x @ p - y) ** 2) + 20.0 * (jnp.linalg.norm(p[:2]) + jnp.linalg.norm(p[2:])), 4
    )
    census = explore(lasso, 8, progress=False, budget=20_000)
    assert {(level.label, round(level.loss, 9)) for level in census.levels} == {(Label.GLOBAL, round(y @ y / 2, 9))}


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda x: relu(x[0]) - relu(-x[0]), 1.0),  # x itself, whose automatic gradient at zero is zero
        (lambda x: jnp.abs(x[0]) + 3.0 * x[1] + x[2] ** 2, 3.0),
        (lambda x: jnp.abs(x[0] + x[1]) + 0.5 * jnp.abs(x[0]) + 5e3 * x[2] ** 2, 0.0),
    ],
    ids=["no kink", "slope along it", "steep beside it"],
)
def test_the_least_subgradient_is_that_of_the_pieces(function, slope):
    p = 1 if slope == 1.0 else 3
    found = subgradients(view(problem(function, p)), np.zeros(p))
    assert np.linalg.norm(found.combined) == pytest.approx(slope, abs=1e-6)
    assert found.rest == (slope == 0.0)


TRIANGLE = np.array([[1.0, 0.0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])


@pytest.mark.parametrize(
    ("function", "at", "bound"),
    [
        (lambda x: jnp.abs(x[0] * x[1] - 1.0), [2.0, 0.5], 0.0),  # without curvature along its kink, which bends
        (lambda x: jnp.max(jnp.linalg.norm(x - TRIANGLE, axis=1)), [0.0, 0.0], 1.0),  # another one becomes the largest
    ],
    ids=["a bent kink", "the largest of three"],
)
def test_beside_a_minimum_newton_steps_on_its_kinks_come_to_it(function, at, bound):
    whole = problem(function, 2, bound)
    for size in (1e-7, 2e-8, 1e-9):
        assert label_one(whole, np.array(at) + size * np.array([0.6, -0.8])).label == Label.GLOBAL


@pytest.mark.parametrize(("more", "label"), [(0.0, Label.TRAP), (-0.5, Label.UNCONVERGED)])
def test_a_descent_stays_on_a_slope_only_where_the_automatic_gradient_is_zero(more, label):
    """relu(x) - relu(-x) is x, and the automatic gradient at zero, where descents start, is that of `more` alone."""
    line = problem(lambda x: relu(x[0]) - relu(-x[0]) + more * x[0] + x[1] ** 2, 2)
    verdict = label_one(line, np.zeros(2))
    assert verdict.label == label
    assert more or verdict.by == "slope where the automatic gradient is 0, lower point"


@pytest.mark.parametrize("size", [1e-6, 0.0])
def test_beside_equal_eigenvalues_where_second_derivatives_are_none_a_point_is_undecided(size):
    """At 1e-6 the Hessian is finite and a few steps on it is not: their spectral norm raised."""
    landscape = problem(lambda w: jnp.linalg.eigvalsh(jnp.outer(w, w) + jnp.eye(3))[-1], 3)
    assert label_one(landscape, size * np.array([1.0, -0.5, 0.3])).label == Label.UNDECIDED
