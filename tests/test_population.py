"""The population loss is E (student - teacher)^2 / 2, its derivatives are exact, and its error bounds are bounds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from reference import ALL, HOMOGENEOUS
from same import same
from scipy.stats import ortho_group
from slow import long, slow

from landscape.problems.activation import ACTIVATIONS, activation
from landscape.problems.params import Params
from landscape.problems.teacher_student import (
    TeacherStudent,
    orthonormal_teacher,
    population_gradient,
    population_loss,
    teacher_student,
)
from landscape.records import InputError
from landscape.theory.teacher_student import realisable

EPS = np.finfo(float).eps

loss = jax.jit(lambda problem, theta: problem.loss(theta))
gradient = jax.jit(lambda problem, theta: problem.gradient(theta))
hessian = jax.jit(lambda problem, theta: problem.hessian(theta))


def configurations():
    """Students and teachers by name, [3, 3] and [2, 3] so that each activation compiles once: the generic, and the
    places where angles are 0 or pi."""
    rng = np.random.default_rng(0)
    w, v = rng.normal(size=(3, 3)), np.array([0.6, 1.7])[:, None] * rng.normal(size=(2, 3))
    swap = lambda *rows: np.array(rows)  # noqa: E731
    return {
        "generic": (w, v),
        "at the teacher, split": (swap(0.3 * v[0], v[1], 0.7 * v[0]), v),
        "duplicated students": (swap(w[0], w[0], w[1]), v),
        "antiparallel students": (swap(w[0], -0.5 * w[0], w[1]), v),
        "duplicated teachers": (w, swap(v[0], v[0])),
        "antiparallel teachers": (w, swap(v[0], -2 * v[0])),
        "students parallel to teachers": (swap(2 * v[0], -v[1], v[1]), v),
        "nearly parallel": (swap(v[0] + 1e-9 * w[0], v[0] + 1e-5 * w[1], -v[1] + 1e-7 * w[2]), v),
        "one line": (swap(w[0], -2 * w[0], 0.1 * w[0]), swap(3 * w[0], -w[0])),
    }


CONFIGURATIONS = configurations()


# --- the value ---


@pytest.mark.parametrize("act", ALL, ids=str)
def test_loss_is_the_mean_of_squares_by_monte_carlo(act):
    rng = np.random.default_rng(1)
    w, v = 0.8 * rng.normal(size=(3, 4)), 1.3 * rng.normal(size=(2, 4))  # n = 3, k = 2, d = 4
    x = rng.normal(size=(200_000, 4))
    residual = reference.pointwise(act, x @ w.T).sum(1) - reference.pointwise(act, x @ v.T).sum(1)
    sample = residual**2 / 2
    error = sample.std() / np.sqrt(len(sample))
    exact = float(loss(teacher_student(v, 3, act), w.reshape(-1)))
    assert abs(sample.mean() - exact) < 4 * error
    assert error < 0.02 * exact  # the comparison has teeth: the missing 1/2 would be off by a factor of 2


# Smooth and linear kernels have no special angles: three places are enough for them.
EXACT_AT = [
    (act, name)
    for act in ALL
    for name in CONFIGURATIONS
    if act.name in ("relu", "abs") or name in ("generic", "at the teacher, split", "nearly parallel")
]


@pytest.mark.parametrize(("act", "name"), EXACT_AT, ids=lambda x: str(x).replace(" ", "-"))
def test_loss_and_derivatives_agree_with_sixty_digits(act, name):
    w, v = CONFIGURATIONS[name]
    problem, theta = teacher_student(v, 3, act), w.reshape(-1)
    teacher = reference.exact(v)
    f = lambda x: reference.loss(act, [x[3 * i : 3 * i + 3] for i in range(3)], teacher)  # noqa: E731
    x = reference.exact(theta)
    # Derivatives are sums of 5 moments per row; the largest is the quadratic one's Hessian, 12 |w|^2 with |w| < 6.
    size = {"quadratic": 400, "leaky_relu": 100}.get(act.name, 10)
    assert abs(float(loss(problem, theta)) - float(f(x))) <= problem.loss_error(theta)
    np.testing.assert_allclose(gradient(problem, theta), reference.gradient(f, x), rtol=0, atol=64 * EPS * size)
    if name != "one line":  # the costly part of the test, and every angle of that configuration is in the others
        np.testing.assert_allclose(hessian(problem, theta), reference.hessian(f, x), rtol=0, atol=64 * EPS * size)


def test_scalar_network_has_the_loss_of_its_two_sums():
    """Porcupine normalisation, twice ours: 1/4 (sum w - sum w*)^2 + 1/4 (sum |w| - sum |w*|)^2 (gaussian.md 1.3)."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        w, v = rng.normal(size=(4, 1)), rng.normal(size=(3, 1))
        expected = (w.sum() - v.sum()) ** 2 / 4 + (abs(w).sum() - abs(v).sum()) ** 2 / 4
        np.testing.assert_allclose(2 * loss(teacher_student(v, 4), w.reshape(-1)), expected, rtol=0, atol=1e-13)
    # Figure 5 of Feizi et al.: the bad optima of the teacher (6, -4) have loss 8 and 18.
    problem = teacher_student([[6.0], [-4.0]], 2)
    np.testing.assert_allclose([2 * loss(problem, np.array(w)) for w in ([2.0, 4], [-1.0, -3])], [8, 18], rtol=1e-14)


def test_network_on_lines_has_the_loss_of_its_sums_and_masses():
    """1/4 |sum w - sum w*|^2 + 1/4 dq' psi[K] dq (gaussian.md 1.3), by neurons of both signs on four lines."""
    rng = np.random.default_rng(3)
    lines = rng.normal(size=(4, 3))
    lines /= np.linalg.norm(lines, axis=1, keepdims=True)
    rho = np.clip(lines @ lines.T, -1, 1)
    psi = 2 / np.pi * (np.sqrt(1 - rho**2) + rho * np.arcsin(rho))
    for _ in range(10):
        c, c_star = rng.normal(size=8), rng.normal(size=4)
        on = np.arange(8) % 4
        w, v = c[:, None] * lines[on], c_star[:, None] * lines
        mass = np.bincount(on, abs(c)) - abs(c_star)
        expected = np.sum((w.sum(0) - v.sum(0)) ** 2) / 4 + mass @ psi @ mass / 4
        np.testing.assert_allclose(2 * loss(teacher_student(v, 8), w.reshape(-1)), expected, rtol=0, atol=1e-13)


def test_quadratic_network_has_the_loss_of_its_gram_matrix():
    """F = |sum w w' - sum v v'|_F^2 + (difference of traces)^2 / 2 (gaussian.md, section 6)."""
    rng = np.random.default_rng(4)
    w, v = rng.normal(size=(3, 4)), rng.normal(size=(2, 4))
    gap = w.T @ w - v.T @ v
    expected = np.sum(gap**2) + np.trace(gap) ** 2 / 2
    np.testing.assert_allclose(loss(teacher_student(v, 3, "quadratic"), w.reshape(-1)), expected, rtol=1e-13)


def test_two_students_astride_one_teacher_miss_it_by_the_cube_of_the_angle():
    """gaussian.md, section 5, claim 2: L / delta^3 -> 1 / (6 pi) for relu."""
    problem = teacher_student([[1.0, 0.0]], 2)
    delta = 0.01
    students = 0.5 * np.array([[1, np.tan(delta)], [1, -np.tan(delta)]])
    # The next order is delta: one percent of the constant.
    assert abs(float(loss(problem, students.reshape(-1))) / delta**3 * 6 * np.pi - 1) < 0.02


# --- derivatives ---


@pytest.mark.parametrize(
    "act", [a if a.name in ("relu", "erf") else long(a) for a in ALL if a.name != "linear" and a.slope != 0.1], ids=str
)
def test_automatic_derivatives_of_the_loss_are_the_analytic_ones(act):
    """Also where automatic differentiation of the formula is wrong: at the teacher, at parallel and equal neurons."""
    of_loss = jax.jit(lambda problem, theta: (jax.grad(problem.loss)(theta), jax.hessian(problem.loss)(theta)))
    for name, (w, v) in CONFIGURATIONS.items():
        problem, theta = teacher_student(v, 3, act), w.reshape(-1)
        slope, curvature = of_loss(problem, theta)
        same(slope, gradient(problem, theta), err_msg=name)
        size = {"quadratic": 400, "leaky_relu": 100}.get(act.name, 10)
        # The same terms in another order.
        np.testing.assert_allclose(curvature, hessian(problem, theta), rtol=0, atol=32 * EPS * size, err_msg=name)


@pytest.mark.parametrize("act", [activation("relu"), activation("erf")], ids=str)
def test_automatic_derivative_in_the_teacher_is_that_of_the_exchanged_networks(act):
    rng = np.random.default_rng(5)
    w, v = rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
    of_teacher = jax.jit(lambda t: population_loss(act, w, t.reshape(2, 3)))
    in_teacher = jax.jit(jax.grad(of_teacher))(v.reshape(-1))
    exchanged = jax.jit(lambda: population_gradient(act, jnp.asarray(v), jnp.asarray(w)))()
    np.testing.assert_allclose(in_teacher, exchanged.reshape(-1), rtol=0, atol=16 * EPS)
    # h = 1e-5: truncation 1e-10, rounding 1e-15 / 1e-5.
    differences = reference.central_differences(of_teacher, v.reshape(-1), 1e-5)
    np.testing.assert_allclose(in_teacher, differences, rtol=0, atol=3e-9)
    # Through a mixed second derivative as well.
    slope = jax.jit(lambda t: population_gradient(act, jnp.asarray(w), t.reshape(2, 3)).reshape(-1))
    mixed = jax.jit(jax.jacfwd(slope))(v.reshape(-1))
    differences = reference.central_differences(slope, v.reshape(-1), 1e-5)
    np.testing.assert_allclose(mixed, differences, rtol=0, atol=3e-9)


def test_problem_is_differentiable_in_its_teacher_as_a_pytree():
    problem = teacher_student([[1.0, 0.2], [0.3, -1.0]], 2)
    theta = np.array([0.5, 0.1, -0.2, 0.8])
    moved = jax.jit(jax.grad(lambda p: p.loss(jnp.asarray(theta))))(problem)
    expected = gradient(teacher_student(theta.reshape(2, 2)), problem.teacher.reshape(-1)).reshape(2, 2)
    np.testing.assert_array_equal(moved.teacher, expected)


@pytest.mark.parametrize("act", ALL, ids=str)
def test_hessian_is_symmetric_and_the_finite_difference_of_the_gradient(act):
    w, v = CONFIGURATIONS["generic"]
    problem, theta = teacher_student(v, 3, act), w.reshape(-1)
    curvature = np.asarray(hessian(problem, theta))
    np.testing.assert_array_equal(curvature, curvature.T)
    differences = reference.central_differences(lambda t: gradient(problem, t), theta, 1e-5)
    # h = 1e-5: truncation 1e-10 third derivatives, rounding 1e-14 / 1e-5; the quadratic one is larger in proportion.
    np.testing.assert_allclose(curvature, differences, rtol=1e-8, atol=2e-8)


@pytest.mark.parametrize("width", [6, 7])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_derivatives_at_the_teacher_are_finite_and_right_in_both_precisions(width, dtype):
    """The clipped arccos that is common in published code loses 0.3 of the curvature exactly here."""
    problem = orthonormal_teacher(6, width)
    w = np.eye(6) if width == 6 else np.vstack([np.eye(6)[:5], 0.25 * np.eye(6)[5:], 0.75 * np.eye(6)[5:]])
    theta = w.reshape(-1).astype(dtype)
    curvature = np.asarray(hessian(problem, theta))
    assert curvature.dtype == dtype
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(gradient(problem, theta), 0, atol=32 * eps)
    values = np.linalg.eigvalsh(curvature.astype(float))
    # gaussian.md 3.3 and 4.2: the least non-zero eigenvalue is 1/4 - 1/(2 pi), and (n - k) d are zero.
    zeros = (width - 6) * 6
    np.testing.assert_allclose(values[:zeros], 0, atol=64 * eps)
    np.testing.assert_allclose(values[zeros], 0.25 - 0.5 / np.pi, rtol=0, atol=64 * eps)


def test_float32_loss_has_the_noise_that_is_expected_of_it():
    problem = orthonormal_teacher(8)
    theta = np.random.default_rng(6).normal(size=64) / np.sqrt(8)
    low, full = loss(problem, theta.astype(np.float32)), loss(problem, theta)
    assert low.dtype == np.float32
    # Half of (sum of norms)^2 = 256, a few eps of it: gaussian.md, section 7 saw 2e-6.
    assert abs(float(low) - float(full)) < 256 * 1.2e-7


# --- symmetries ---


@pytest.mark.parametrize("act", ALL, ids=str)
def test_loss_is_invariant_under_its_group(act):
    rng = np.random.default_rng(7)
    w, v = rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
    f = lambda w, v: float(loss(teacher_student(v, 3, act), w.reshape(-1)))  # noqa: E731
    value = f(w, v)
    close = lambda other: abs(other - value) < 1e-13 * max(1, value) * 8  # noqa: E731  # a few dozen roundings
    assert close(f(w[[2, 0, 1]], v[[1, 0]]))
    turn = ortho_group.rvs(3, random_state=rng)
    assert close(f(w @ turn.T, v @ turn.T))
    # Changing the sign of every input changes nothing either; it is the rotation -I.
    assert close(f(-w, -v))
    if act.even:
        assert close(f(w * np.array([[1], [-1], [1]]), v))
    if act.homogeneous:
        assert abs(f(3 * w, 3 * v) - 9 * value) < 1e-12 * max(1, value) * 8
        # One neuron's length may be split between two on its ray.
        split = np.vstack([w[:2], 0.2 * w[2:], 0.8 * w[2:]])
        assert close(float(loss(teacher_student(v, 4, act), split.reshape(-1))))


def test_rotation_of_the_complement_of_the_teacher_leaves_the_loss_unchanged():
    rng = np.random.default_rng(8)
    problem = orthonormal_teacher(2, 3, d=5)
    w = rng.normal(size=(3, 5))
    turn = np.eye(5)
    turn[2:, 2:] = ortho_group.rvs(3, random_state=rng)
    np.testing.assert_allclose(
        loss(problem, (w @ turn.T).reshape(-1)), loss(problem, w.reshape(-1)), rtol=0, atol=1e-14 * 10
    )


@pytest.mark.parametrize("act", ALL, ids=str)
def test_loss_is_symmetric_in_the_two_networks_and_additive_in_cancelling_parts(act):
    rng = np.random.default_rng(9)
    w, v, extra = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.normal(size=(1, 3))
    f = lambda w, v: float(loss(teacher_student(v, len(w), act), w.reshape(-1)))  # noqa: E731
    value = f(w, v)
    assert abs(f(v, w) - value) < 1e-13 * max(1, value)
    assert abs(f(np.vstack([w, extra]), np.vstack([v, extra])) - value) < 1e-12 * max(1, value)


def test_a_new_teacher_of_the_same_shape_does_not_recompile_and_a_new_width_does():
    rng = np.random.default_rng(10)
    same = [teacher_student(rng.normal(size=(2, 3)), 2) for _ in range(3)]
    wider = [teacher_student(rng.normal(size=(2, 3)), 3, act) for act in ("relu", "abs")]
    assert reference.compiled(same + wider) == [6, 9, 9]


# --- error bounds ---


def excess_over_the_bound(act, rng, row_scale):
    """Error of the loss in units of loss_error, the worst over the configurations of one draw."""
    k = 3
    v = rng.normal(size=(k, 3)) * 10.0 ** rng.uniform(-row_scale, row_scale, size=(k, 1))
    free = rng.normal(size=(k, 3)) * 10.0 ** rng.uniform(-row_scale, row_scale, size=(k, 1))
    worst = 0.0
    for w in (free, v, v[::-1], v + 1e-7 * free, v * (1 + 1e-12 * rng.normal(size=v.shape)), -v, 0.5 * (v + v[::-1])):
        problem, theta = teacher_student(v, k, act), w.reshape(-1)
        exact = reference.loss(act, reference.exact(w), reference.exact(v))
        worst = max(worst, float(abs(float(loss(problem, theta)) - exact)) / problem.loss_error(theta))
    return worst


@pytest.mark.parametrize("act", ALL, ids=str)
def test_error_of_the_loss_is_below_its_bound(act):
    rng = np.random.default_rng(11)
    assert max(excess_over_the_bound(act, rng, 0.3) for _ in range(15)) < 1


@pytest.mark.parametrize("act", [a for a in ALL if a.name not in ("erf", "gelu")], ids=str)
def test_error_of_the_loss_is_below_its_bound_for_rows_of_norm_a_thousandth_to_a_thousand(act):
    rng = np.random.default_rng(12)
    assert max(excess_over_the_bound(act, rng, 3) for _ in range(25)) < 1


@pytest.mark.parametrize(
    ("name", "length", "seed"),
    [
        ("erf", 10, 0),
        ("gelu", 100, 0),
        pytest.param("erf", 1e3, 222),
        pytest.param("erf", 1e6, 290),
        pytest.param("erf", 1e9, 0),
        pytest.param("gelu", 1e4, 71),
        pytest.param("gelu", 1e6, 150),
        pytest.param("gelu", 1e9, 0),
    ],
)
def test_loss_and_gradient_of_long_parallel_neurons_are_right(name, length, seed):
    """Descents that diverge pass through such points: the loss must be within its error and the gradient a number."""
    rng = np.random.default_rng(seed)
    v, u = rng.normal(size=(1, 2)), rng.normal(size=2)
    u /= np.linalg.norm(u)
    w = length * np.array([u, u + rng.normal(size=2) / length])
    problem = teacher_student(v / np.linalg.norm(v), 2, name)
    theta = w.reshape(-1)
    exact = reference.loss(problem.activation, reference.exact(w), reference.exact(problem.teacher))
    assert abs(float(loss(problem, theta)) - exact) <= problem.loss_error(theta)
    assert np.all(np.isfinite(gradient(problem, theta)))


def test_loss_error_at_the_largest_orthonormal_teacher_is_useful_and_true():
    problem = orthonormal_teacher(20)
    rng = np.random.default_rng(13)
    for w in (np.eye(20), np.eye(20)[rng.permutation(20)], np.eye(20) + 1e-8 * rng.normal(size=(20, 20))):
        error = problem.loss_error(w.reshape(-1))
        exact = float(reference.loss(problem.activation, reference.exact(w), reference.exact(np.eye(20))))
        assert abs(float(loss(problem, w.reshape(-1))) - exact) <= error
        # Less than a thousandth of the smallest known spurious loss there, 0.011.
        assert error < 1e-5


@pytest.mark.parametrize(
    "act", [a if a.name == "relu" else slow(a) for a in HOMOGENEOUS if a.name != "linear" and a.slope != 0.1], ids=str
)
def test_third_derivative_is_never_above_its_bound(act):
    """Adversarial: power iteration on u -> D3F[u, u], from directions at random, in crowded configurations."""

    @jax.jit
    @jax.vmap
    def steepest(problem, theta, start):
        short = jnp.min(jnp.linalg.norm(theta.reshape(3, 3), axis=1))
        h = 1e-5 * short
        pull = lambda u: (problem.hessian(theta + h * u) - problem.hessian(theta - h * u)) @ u / (2 * h)  # noqa: E731

        def climb(u, _):
            g = pull(u)
            u = u + g / jnp.maximum(jnp.linalg.norm(g), 1e-300)
            u = u / jnp.linalg.norm(u)
            return u, jnp.abs(u @ pull(u))

        found = jax.lax.scan(climb, start, None, length=20)[1]
        return jnp.max(found), h, problem.third_derivative(theta, h), problem.third_derivative(theta, 0.0)

    rng = np.random.default_rng(14)
    problems, students = crowded(act, rng)
    starts = rng.normal(size=students.shape)
    starts /= np.linalg.norm(starts, axis=1, keepdims=True)
    found, h, in_ball, at_point = steepest(problems, students, starts)
    # Differences of the Hessian average the third derivative over the ball of radius h; their rounding is
    # eps / 1e-5 of the Hessian over the shortest norm, which the bound contains as its own unit.
    assert np.all(np.asarray(found) <= np.asarray(in_ball) * (1 + 1e-6) + 1e-8)
    arc, _ = act.arc_and_linear
    if arc:
        assert np.max(np.asarray(found / at_point)) > 0.4  # the search is not asleep
    near = np.concatenate([near_bound(problems, theta, i, h[i : i + 1]) for i, theta in enumerate(students)])
    assert np.all(np.asarray(found) <= near * (1 + 1e-6) + 1e-8)
    if arc:
        assert np.max(np.asarray(found) / near) > 0.6


def near_bound(problems, theta, i, radii):
    """`third_derivative_near` of the i-th of some problems."""
    one = TeacherStudent(teacher=problems.teacher[i], width=problems.width, activation=problems.activation)
    return one.third_derivative_near(theta, np.array(radii))


def crowded(act, rng):
    """120 problems of three students and two teachers in R^3, and a student for each: short, near parallel, ..."""
    students, teachers = [], []
    for case in range(120):
        w, v = rng.normal(size=(3, 3)), rng.normal(size=(2, 3))
        near = 10.0 ** rng.uniform(-3, -1)
        kind = case % 6
        if kind == 1:
            w[0] *= near
        if kind == 2:
            w[1], w[2] = w[0] + near * w[1], 2 * w[0] + near * w[2]
        if kind == 3:
            w[1], w[2] = -w[0] + near * w[1], 0.1 * v[0] + 0.1 * near * w[2]
        if kind == 4:
            v[1], w[0] = 10 * v[0], 0.3 * v[0] + near * w[0]
        if kind == 5:
            w *= np.array([[near], [near], [1.0]])
        students.append(w.reshape(-1))
        teachers.append(v)
    problems = TeacherStudent(teacher=np.array(teachers), width=3, activation=act)
    return problems, np.array(students)


def test_hessians_in_a_ball_differ_by_no_more_than_the_bound_near_its_centre():
    """In balls up to half the shortest neuron, where neurons turn through one another."""
    rng = np.random.default_rng(3)
    problems, students = crowded(activation("relu"), rng)
    hessians = jax.jit(jax.vmap(lambda problem, theta: problem.hessian(theta)))
    for part in (1e-4, 0.03, 0.5):
        radius = part * np.min(np.linalg.norm(students.reshape(-1, 3, 3), axis=2), axis=1)
        bound = np.concatenate([near_bound(problems, theta, i, radius[i : i + 1]) for i, theta in enumerate(students)])
        worst = 0.0
        for _ in range(20):
            ends = rng.normal(size=(2, *students.shape))
            ends *= (radius / np.linalg.norm(ends, axis=2))[..., None]
            ends[1] = ends[0] * (1 - rng.uniform(0, 2, size=(len(students), 1)))  # on a diameter; near by, too
            apart = np.linalg.norm(ends[0] - ends[1], axis=1)
            turned = hessians(problems, students + ends[0]) - hessians(problems, students + ends[1])
            change = np.linalg.norm(np.asarray(turned), ord=2, axis=(1, 2))
            # Rounding of the Hessian: some eps of the pull of longer neurons on the shortest.
            assert np.all(change <= bound * apart * (1 + 1e-9) + 1e-12 * np.maximum(1, part / radius))
            worst = max(worst, np.max(change / (bound * apart)))
        assert worst > 0.05  # in directions at random


def test_bound_near_a_point_is_sharp_in_small_balls():
    """Beside what power iteration finds; bounds of pairs one by one add up to 20 and more."""
    problem = orthonormal_teacher(20)
    theta = np.eye(20) + 0.05 * np.random.default_rng(0).normal(size=(20, 20))
    radii = np.array([0.0, 1e-3, 0.05, 0.5, 2.0])
    near = problem.third_derivative_near(theta.reshape(-1), radii)
    assert np.all(np.diff(near[:4]) > 0)
    assert near[1] < 2.2
    assert float(problem.third_derivative(theta.reshape(-1), radii[1])) > 18
    assert near[4] == np.inf  # the ball reaches a zero neuron
    u, h = np.random.default_rng(1).normal(size=400), 1e-4
    u /= np.linalg.norm(u)
    for _ in range(40):
        turned = hessian(problem, theta.reshape(-1) + h * u) - hessian(problem, theta.reshape(-1) - h * u)
        pull = np.asarray(turned @ u) / (2 * h)
        found, u = u @ pull, (pull + 2 * u) / np.linalg.norm(pull + 2 * u)
    assert near[0] / 1.6 < found < near[0]


def test_no_bound_is_known_near_a_point_that_is_not_finite():
    problem = orthonormal_teacher(2)
    for entry in (np.nan, np.inf, 1e300):
        bound = problem.third_derivative_near(np.array([entry, 1.0, 0.0, 1.0]), np.array([0.0, 0.1]))
        assert not np.any(bound < np.inf)
    assert np.all(teacher_student(np.eye(2), activation="erf").third_derivative_near(np.ones(4), np.zeros(3)) == np.inf)


def test_third_derivative_bound_is_attained_by_one_neuron_and_one_teacher():
    """C = 3 sqrt(3) / (4 pi) is the maximum of x sqrt(9 - 8 x) / pi over x = beta^2, at x = 3/4."""
    problem = teacher_student([[2.0, 0.0]], 1)
    h = 1e-6
    worst = 0.0
    for t in np.linspace(0.1, 3.0, 60):
        theta = 0.5 * np.array([np.cos(t), np.sin(t)])
        for phi in np.linspace(0, np.pi, 60):
            u = np.array([np.cos(phi), np.sin(phi)])
            worst = max(
                worst, abs(u @ (hessian(problem, theta + h * u) - hessian(problem, theta - h * u)) @ u) / (2 * h)
            )
    bound = float(problem.third_derivative(theta, 0.0))
    np.testing.assert_allclose(bound, 3 * np.sqrt(3) / (4 * np.pi) * 2 / 0.25, rtol=1e-14)
    assert 0.99 * bound < worst <= bound * (1 + 1e-8)


def test_third_derivative_is_infinite_where_no_bound_holds():
    problem = orthonormal_teacher(2)
    assert problem.third_derivative(np.eye(2).reshape(-1), 1.0) == np.inf  # the ball reaches a zero neuron
    assert teacher_student(np.eye(2), activation="erf").third_derivative(np.eye(2).reshape(-1), 0.1) == np.inf
    assert problem.smooth_radius(np.array([3.0, 4.0, 0.6, 0.8])) == 1.0


# --- input and output ---


@pytest.mark.wrong_types
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: teacher_student([[1.0, np.nan]]), r"teacher\[0\]\[1\] is nan"),
        (lambda: teacher_student([[1.0], [np.inf]]), r"teacher\[1\]\[0\] is inf"),
        (lambda: teacher_student([[1.0, 0], [0, 0]]), "row 1 is zero"),
        (lambda: teacher_student(np.zeros((0, 3))), "at least one neuron"),
        (lambda: teacher_student([]), "must be a matrix"),
        (lambda: teacher_student([1.0, 2.0]), r"shape \(2,\)"),
        (lambda: teacher_student([[1.0, 2.0], [3.0]]), "rows of one length"),
        (lambda: teacher_student([["a"]]), "array of numbers"),
        (lambda: teacher_student(np.eye(2), 0), "at least 1, found 0"),
        (lambda: teacher_student(np.eye(2), -3), "at least 1, found -3"),
        (lambda: teacher_student(np.eye(2), 1.5), "whole number"),
        (lambda: teacher_student(np.eye(2), activation="step"), "'step' is unknown; known are relu"),
        (lambda: teacher_student(np.eye(2), activation="tanh"), "tanh has no closed form over Gaussian inputs"),
        (lambda: teacher_student(np.eye(2), activation="leaky_relu", slope=np.nan), "slope of leaky_relu"),
        (lambda: orthonormal_teacher(4, d=3), "at least k = 4, found 3"),
        (lambda: orthonormal_teacher(0), "at least 1, found 0"),
        (lambda: orthonormal_teacher(2).write(np.eye(3)), r"shape \(2, 2\), found \(3, 3\)"),
        (lambda: orthonormal_teacher(2).write(Params(np.eye(2), np.array([1.0, 2.0]))), "output weights at one"),
    ],
)
def test_bad_input_is_named(make, text):
    with pytest.raises(InputError, match=text):
        make()


@pytest.mark.wrong_types
@pytest.mark.parametrize("width", [np.nan, np.inf, "wide"])
def test_a_width_that_is_no_number_is_named(width):
    with pytest.raises(InputError, match="whole number"):
        teacher_student(np.eye(2), width)


def test_params_survive_the_chart():
    problem = orthonormal_teacher(2, 3)
    w = np.random.default_rng(15).normal(size=(3, 2))
    for params in (w, w.tolist(), Params(w), Params(w, np.ones(3))):
        theta = problem.write(params)
        assert theta.dtype == np.float64
        np.testing.assert_array_equal(problem.read(theta).hidden, w)
    assert problem.p == 6
    assert problem.scale == 1.0


def test_realisable_counts_the_rays_of_the_teacher():
    ray = np.array([[1.0, 2.0], [0.5, 1.0], [-1.0, -2.0]])
    assert realisable(teacher_student(ray, 2))
    assert not realisable(teacher_student(ray, 1))
    assert realisable(teacher_student(ray, 1, "abs"))
    assert realisable(teacher_student(ray, 1, "linear"))
    assert not realisable(teacher_student(ray, 2, "erf"))
    assert not realisable(teacher_student(np.eye(3), 2))
    # A claim of realisability has a witness: the student of one neuron a ray has loss zero.
    for act, students in (("relu", [[1.5, 3], [-1, -2]]), ("abs", [[2.5, 5]]), ("linear", [[0.5, 1]])):
        problem = teacher_student(ray, len(students), act)
        theta = problem.write(students)
        assert abs(float(loss(problem, theta))) <= problem.loss_error(theta)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_facts_of_an_activation_are_true_of_it(name):
    for slope in (0.01, -1.0, 1.0, -2.0):
        act = activation(name, slope)
        z = np.linspace(-3, 3, 25)
        s = reference.pointwise(act, z)
        assert act.even == np.allclose(s, reference.pointwise(act, -z), atol=1e-15)
        assert act.homogeneous == np.allclose(reference.pointwise(act, 2.5 * z), 2.5 * s, atol=1e-14)
        assert act.kinked == (act.homogeneous and not np.allclose(s, s[-1] / 3 * z, atol=1e-14))
        if act.homogeneous:
            odd, even = act.odd_and_even
            np.testing.assert_allclose(odd * z + even * abs(z), s, atol=1e-14)
