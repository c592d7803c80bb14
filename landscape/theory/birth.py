"""What one neuron more can do at once: the slope of the loss as a neuron grows from zero (homogeneous activations).

With s(r z) = r s(z) the loss of the wider network along r -> r u is exactly F + slope(u) r + kappa r^2 / 2, with
kappa = E s(u.x)^2 and slope(u) = E s(u.x) (student - teacher). The slope is zero along every neuron of a critical point
(Euler). Source: Safran, Yehudai and Shamir 2021.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from landscape.problems.teacher_student import TeacherStudent
from landscape.records import InputError


class Birth(NamedTuple):
    """The steepest descent found for a new neuron.

    Attributes:
        direction: Unit vector u that the neuron grows along, [d].
        slope: Slope of the loss there: an upper bound on the least one, as the search is by descents on the sphere.
        error: Bound on the rounding error of the slope.
        length: Of the neuron at which the loss along u is least; 0 where it does not fall.
        drop: How far the loss falls until then.
    """

    direction: np.ndarray
    slope: float
    error: float
    length: float
    drop: float

    @property
    def descends(self) -> bool:
        """Whether a neuron more is shown to lower the loss from zero on."""
        return self.slope < -self.error


def birth_test(problem: TeacherStudent, params: Any) -> Birth:
    """Whether a neuron added at zero comes alive and lowers the loss, and along which direction.

    Where it does, the point with a neuron at zero is no local minimum of the wider network. Where it does not, that is
    no proof: the search may have missed a direction, and at slope zero higher orders decide.

    Args:
        problem: A teacher-student landscape with a homogeneous activation.
        params: Any point of it: `Params(hidden=[width, d])` or the bare matrix.

    Raises:
        InputError: The activation is not homogeneous, or params do not fit.
    """
    if not isinstance(problem, TeacherStudent) or not problem.activation.homogeneous:
        raise InputError(
            "the birth test is for teacher_student problems with relu, leaky_relu, abs or linear: elsewhere the loss "
            "has no slope at a neuron of zero."
        )
    theta = problem.write(params)
    direction, slope = steepest_birth(problem, theta)
    others, _ = _alive(problem, theta)
    arc, linear = problem.activation.arc_and_linear
    # A moment has d + 16 roundings of its largest size, and n + k of them are added.
    size = (abs(arc) / 2 + abs(linear)) * float(np.sum(np.linalg.norm(others, axis=1)))
    error = (problem.d + 16 + len(others)) * float(np.finfo(float).eps) * size
    kappa = arc / 2 + linear
    length = max(-slope, 0.0) / kappa
    return Birth(direction, slope, error, length, 0.5 * kappa * length**2)


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
