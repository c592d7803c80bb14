"""What is known about teacher-student losses: their exact zero set, a certificate of spurious minima, dead neurons.

Sources: Safran and Shamir 2017 (certificate), Safran, Yehudai and Shamir 2021 (splitting, birth of neurons). The zero
sets are elementary: a homogeneous activation is odd z + even |z|, its odd part sees the sum of the neurons only and its
even part the mass on every line; ridge functions of erf, and of the even part of gelu, along distinct lines or of
distinct length are linearly independent because infinitely many of their Taylor coefficients do not vanish.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape.problems.population import TeacherStudent, _lines

# A point belongs to the zero set if it misses it by less than this fraction of the lightest thing the teacher has.
# It is not what makes a loss zero (that is the loss's own rounding error) but a second, independent test, which has
# to allow for how flat the loss is there: at a width above the teacher's it grows like angle^3, so that a loss
# within its error of zero, 1e-14, fixes angles to some 1e-5 only.
ZERO_SET_TOLERANCE = 1e-3


def zero_set_gap(problem: TeacherStudent, theta: np.ndarray) -> float:
    """How far theta is from the exact set {F = 0}, in units of the lightest part of the teacher.

    ReLU: same sum of neurons, same mass sum |w| on every line. Absolute value: same mass on every line. Linear:
    same sum. Quadratic: same sum of w w^T. Erf: same neurons up to cancelling pairs. GELU: same neurons up to sign,
    and same sum. Matching neurons to teachers one by one is not part of it: three relu teachers at 120 degrees have
    W = -V as an exact global minimum that matches none of them.
    """
    w = np.asarray(theta, np.float64).reshape(problem.width, problem.d)
    v = np.asarray(problem.teacher, np.float64)
    activation = problem.activation
    lightest = float(np.min(np.linalg.norm(v, axis=1)))
    odd_gap = float(np.linalg.norm(w.sum(0) - v.sum(0))) / lightest
    if activation.homogeneous:
        odd, even = activation.odd_and_even
        return max(odd_gap if odd else 0.0, _line_gap(w, v) if even else 0.0)
    if activation.name == "quadratic":
        return float(np.linalg.norm(w.T @ w - v.T @ v)) / lightest**2
    if activation.name == "erf":
        return _ridge_gap(w, v, signed=True) / lightest
    return max(odd_gap, _ridge_gap(w, v, signed=False) / lightest)


def _line_gap(w: np.ndarray, v: np.ndarray) -> float:
    """Largest mismatch of mass on a teacher line, and all mass off the lines, in units of the lightest line."""
    directions, mass = _lines(v)
    along = w @ directions.T  # [n, l]
    # The residual vector, not |w|^2 - along^2, whose rounding is a neuron's own length times sqrt(eps).
    distance = np.linalg.norm(w[:, None] - along[:, :, None] * directions[None], axis=2)
    nearest = np.argmin(distance, axis=1)
    off_line, on_line = distance.min(axis=1), np.abs(along[np.arange(len(w)), nearest])
    carried = np.bincount(nearest, weights=on_line, minlength=len(mass))
    return float(max(np.max(np.abs(carried - mass)), np.sum(off_line)) / np.min(mass))


def _ridge_gap(w: np.ndarray, v: np.ndarray, signed: bool) -> float:
    """How far student minus teacher is from cancelling, pair by pair; a neuron may also cancel by being zero.

    Greedy: the closest two neurons (up to sign) that can cancel are paired first.
    """
    neurons = [(1, x) for x in w] + [(-1, x) for x in v]
    gap = 0.0
    while neurons:
        best = (float(np.linalg.norm(neurons[0][1])), 0, 0)  # pairing with itself: being zero
        for i, (si, x) in enumerate(neurons):
            best = min(best, (float(np.linalg.norm(x)), i, i))
            for j in range(i):
                sj, y = neurons[j]
                # si s(x) + sj s(y) vanishes: for odd s if x = -(si sj) y, for even s if si = -sj and x = +-y.
                distances = []
                if signed:
                    distances.append(np.linalg.norm(x + si * sj * y))
                elif si != sj:
                    distances.extend([np.linalg.norm(x - y), np.linalg.norm(x + y)])
                for distance in distances:
                    best = min(best, (float(distance), i, j))
        gap = max(gap, best[0])
        neurons = [neuron for index, neuron in enumerate(neurons) if index not in best[1:]]
    return gap


def realisable(problem: TeacherStudent) -> bool:
    """Whether some student of this width is known to have loss zero: one neuron for every distinct teacher ray."""
    if problem.width >= len(problem.teacher):
        return True
    if not problem.activation.homogeneous:
        return False
    if problem.activation.name == "linear":
        return True
    unit = problem.teacher / np.linalg.norm(problem.teacher, axis=1, keepdims=True)
    rays: list[np.ndarray] = []
    for u in unit:
        # Bitwise after normalisation up to rounding: 1e-15 is 4 ulp of a unit vector.
        same_line = problem.activation.even and any(np.linalg.norm(u + r) < 1e-15 for r in rays)
        if not same_line and not any(np.linalg.norm(u - r) < 1e-15 for r in rays):
            rays.append(u)
    return problem.width >= len(rays)


class Certificate(NamedTuple):
    """A ball that must hold a local minimum whose loss is above zero.

    Attributes:
        radius: Of the ball around the point; inf if the inequality fails.
        margin: Lower bound on the loss of the minimum in it; not positive if the certificate fails.
    """

    radius: float
    margin: float

    @property
    def holds(self) -> bool:
        """Whether a spurious minimum is certified."""
        return bool(np.isfinite(self.radius) and self.margin > 0)


def spurious_certificate(
    problem: TeacherStudent,
    theta: np.ndarray,
    loss: float,
    loss_error: float,
    grad_norm: float,
    min_curvature: float,
    hessian_norm: float,
) -> Certificate:
    """The inequality of Safran and Shamir 2017, evaluated in floating point with its rounding.

    If the gradient is at most g, the Hessian at least lambda > 0 and its Lipschitz constant B within R, then on a
    sphere of radius r <= R the loss exceeds that of the centre by r (lambda r / 2 - B r^2 / 6 - g). Where this is
    positive for some r, the ball holds a local minimum, with a loss of at least F - g r - |H| r^2 / 2 - B r^3 / 6.

    Args:
        problem: The landscape.
        theta: A polished point, [p].
        loss: Its loss.
        loss_error: Bound on the rounding error of the loss.
        grad_norm: Norm of the gradient, as computed; its rounding is added here.
        min_curvature: A lower bound on the least Hessian eigenvalue, errors taken off.
        hessian_norm: An upper bound on the largest one.
    """
    nothing = Certificate(np.inf, -np.inf)
    w = np.asarray(theta, np.float64).reshape(problem.width, problem.d)
    norms = np.linalg.norm(w, axis=1)
    limit = 0.1 * float(np.min(norms)) if problem.activation.kinked else 0.1 * problem.scale
    if not problem.activation.homogeneous or min_curvature <= 0 or limit <= 0:
        return nothing
    with jax.enable_x64(True):
        bound = float(problem.third_derivative(jnp.asarray(theta, jnp.float64), jnp.asarray(limit)))
    # A row of the gradient is a sum of d + 16 + n + k roundings of terms no larger than the norms they sum.
    eps = np.finfo(float).eps
    roundings = problem.d + 16 + problem.width + len(problem.teacher)
    total = float(np.sum(norms) + np.sum(np.linalg.norm(problem.teacher, axis=1)))
    grad = grad_norm + roundings * eps * total * np.sqrt(problem.width)
    # The smallest r with g <= lambda r / 2 - B r^2 / 6, enlarged by a hundredth to be strict.
    root = 9 * min_curvature**2 - 24 * grad * bound
    if root <= 0:
        return nothing
    radius = 1.01 * 4 * grad / (min_curvature + np.sqrt(root) / 3)
    if radius > limit or grad >= min_curvature * radius / 2 - bound * radius**2 / 6:
        return nothing
    drop = grad * radius + hessian_norm * radius**2 / 2 + bound * radius**3 / 6
    return Certificate(radius=float(radius), margin=float(loss - loss_error - drop))


def birth_slope(problem: TeacherStudent, theta: np.ndarray, u: np.ndarray) -> np.ndarray:
    """Slope of the loss as a new neuron grows from zero in the unit directions u [m, d]: sum_j f(u, w_j) - f(u, v_j).

    Zero along the other neurons' directions at any critical point (Euler). Negative somewhere means a dead neuron
    can come alive and descend (Safran, Yehudai and Shamir 2021).
    """
    others, sign = _alive(problem, theta)
    norm = np.linalg.norm(others, axis=1)
    c = np.clip(u @ (others / norm[:, None]).T, -1, 1)
    arc, linear = problem.activation.arc_and_linear
    moments = norm * (arc / (2 * np.pi) * (np.sqrt(1 - c * c) + np.arccos(-c) * c) + linear * c)
    return moments @ sign


def steepest_birth(problem: TeacherStudent, theta: np.ndarray, tries: int = 256) -> tuple[np.ndarray, float]:
    """The best direction found for a neuron at zero to grow in, and its slope: an upper bound on the least one.

    Projected descent on the sphere from random directions and from the teacher's.
    """
    rng = np.random.default_rng(0)
    u = np.concatenate([problem.teacher, -problem.teacher, rng.normal(size=(tries, problem.d))])
    u /= np.linalg.norm(u, axis=1, keepdims=True)
    others, sign = _alive(problem, theta)
    norm = np.linalg.norm(others, axis=1)
    arc, linear = problem.activation.arc_and_linear
    for _ in range(200):
        c = np.clip(u @ (others / norm[:, None]).T, -1, 1)
        slope = (arc / (2 * np.pi) * np.arccos(-c) * sign) @ others + linear * (sign @ others)
        slope -= np.sum(slope * u, axis=1, keepdims=True) * u
        u = u - 0.5 * slope / np.sum(norm)
        u /= np.linalg.norm(u, axis=1, keepdims=True)
    slopes = birth_slope(problem, theta, u)
    best = int(np.argmin(slopes))
    return u[best], float(slopes[best])


def _alive(problem: TeacherStudent, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """All neurons that are not zero, students then teachers, with their output weights +1 and -1."""
    w = np.asarray(theta, np.float64).reshape(problem.width, problem.d)
    w = w[np.linalg.norm(w, axis=1) > 0]
    return np.concatenate([w, problem.teacher]), np.repeat([1.0, -1.0], [len(w), len(problem.teacher)])
