"""The exact loss of Zhou, Ge and Jin (2021): absolute values whose top weights are tied to the norms of their neurons.

L(W) = 1/2 E (sum_i |w_i| |w_i.x| - sum_j |v_j.x|)^2 for x ~ N(0, I_d) (their Definition 2). With z_i = |w_i| w_i it is
the loss of a sum of absolute values at Z: a student row w_i carries the mass |w_i|^2, a teacher row v_j the mass |v_j|.
The student equals the teacher where its rows are v_j / sqrt(|v_j|).

The gradient is continuous everywhere, and zero at a zero neuron. The Hessian is bounded, and jumps there: the loss is
homogeneous of degree two in a single small neuron.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from landscape.arrays import AnyArray
from landscape.problems.activation import activation
from landscape.problems.params import Params
from landscape.problems.problem import HIGHEST, Problem, times
from landscape.problems.symmetry import Symmetry
from landscape.problems.teacher_student import (
    drawn_rows,
    population_gradient,
    population_hessian,
    population_loss,
    teacher_rows,
)
from landscape.records import InputError, LowerBound, whole

ABS = activation("abs")


def masses(w: Float[AnyArray, "*batch n d"]) -> tuple[Array, Array]:
    """Norms |w_i|, [..., n, 1], and z_i = |w_i| w_i, [..., n, d]."""
    square = jnp.sum(w * w, axis=-1, keepdims=True)
    norm = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1.0)), 0.0)
    return norm, norm * w


def _unit(w: AnyArray, norm: AnyArray) -> Array:
    return jnp.where(norm > 0, w / jnp.where(norm > 0, norm, 1.0), 0.0)


@jax.custom_jvp
def tied_loss(student: Float[AnyArray, "n d"], teacher: Float[AnyArray, "k d"]) -> Float[Array, ""]:
    """1/2 E (sum_i |w_i| |w_i.x| - sum_j |v_j.x|)^2; differentiates in the student, by the analytic gradient."""
    return population_loss(ABS, masses(student)[1], teacher)


@tied_loss.defjvp
def _tied_loss_jvp(primals: Any, tangents: Any) -> tuple[Array, Array]:
    (student, teacher), (moved, _) = primals, tangents
    return tied_loss(student, teacher), jnp.sum(tied_gradient(student, teacher) * moved)


def tied_gradient(
    student: Float[AnyArray, "*batch n d"], teacher: Float[AnyArray, "k d"]
) -> Float[Array, "*batch n d"]:
    """|w| g + (u.g) w with u = w / |w| and g the gradient in z = |w| w: zero at a zero neuron."""
    norm, z = masses(student)
    g = population_gradient(ABS, z, teacher)
    along = jnp.sum(_unit(student, norm) * g, axis=-1, keepdims=True)
    return norm * g + along * student


def tied_hessian(student: Float[AnyArray, "n d"], teacher: Float[AnyArray, "k d"]) -> Float[Array, "n d n d"]:
    """J^T H J + d2(g.z), with dz/dw = |w| (I + u u^T) and d2(g.z) = u g^T + g u^T + (u.g)(I - u u^T)."""
    n, d = student.shape
    norm, z = masses(student)
    u, g, eye = _unit(student, norm), population_gradient(ABS, z, teacher), jnp.eye(d, dtype=student.dtype)
    outer = lambda a, b: a[:, :, None] * b[:, None, :]  # noqa: E731
    slope = norm[:, :, None] * (eye + outer(u, u))  # [n, d, d], symmetric
    h = jnp.einsum("iab,ibjc,jcd->iajd", slope, population_hessian(ABS, z, teacher), slope, precision=HIGHEST)
    along = jnp.sum(u * g, axis=1)[:, None, None]
    own = outer(u, g) + outer(g, u) + along * (eye - outer(u, u))
    h = h.at[jnp.arange(n), :, jnp.arange(n), :].add(own)
    return 0.5 * (h + jnp.transpose(h, (2, 3, 0, 1)))


@partial(jax.tree_util.register_dataclass, data_fields=["teacher"], meta_fields=["width"])
@dataclass(frozen=True, eq=False)
class TiedStudent(Problem):
    """A student of `width` absolute values with tied top weights. Made by `tied_student`.

    theta is the student matrix [width, d] row by row.
    """

    teacher: Any  # [k, d] float64 NumPy; a tracer inside compiled code
    width: int

    kind = "tied_student"
    normalisation = "1/2 E (sum |w| |w.x| - sum |v.x|)^2, x ~ N(0, I)"
    lower_bound = LowerBound(0.0, "a mean of squares")
    least_of_all_widths = 0.0
    coercive = True

    @property
    def d(self) -> int:
        """Input dimension."""
        return self.teacher.shape[1]

    @property
    def p(self) -> int:
        """width * d."""
        return self.width * self.d

    @property
    def scale(self) -> float:
        """The length of a student neuron that carries the largest teacher mass: its square root."""
        return float(np.sqrt(np.max(np.linalg.norm(self.teacher, axis=1))))

    @property
    def gradient_scale(self) -> float:
        """The loss is of degree four in theta, its gradient of degree three."""
        return self.scale**3

    @property
    def loss_unit(self) -> float:
        """The fourth power of the scale where the teacher is small; 1 above."""
        return self.scale**4 if self.scale < 1 else 1.0

    @property
    def symmetry(self) -> Symmetry:
        """Permutations and signs of students, and orthogonal maps that leave the mass on every teacher line."""
        anchors, colours = ABS.over_gaussian.anchors(np.asarray(self.teacher))
        return Symmetry(anchors, colours, (self.width, self.d), flips=True)

    def _student(self, theta: AnyArray) -> AnyArray:
        return theta.reshape(*theta.shape[:-1], self.width, self.d)

    def _teacher(self, theta: AnyArray) -> Array:
        return jnp.asarray(self.teacher, theta.dtype)

    def carried(self, theta: np.ndarray) -> np.ndarray:
        """z_i = |w_i| w_i of each student neuron, [width, d]: direction, and mass as length."""
        w = np.asarray(theta, np.float64).reshape(self.width, self.d)
        return np.linalg.norm(w, axis=1, keepdims=True) * w

    def loss(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """L at theta."""
        return tied_loss(self._student(theta), self._teacher(theta))

    def gradient(self, theta: Float[AnyArray, " p"]) -> Float[Array, " p"]:
        """The gradient of L, right everywhere."""
        return tied_gradient(self._student(theta), self._teacher(theta)).reshape(-1)

    def gradients(self, theta: Float[AnyArray, "lanes p"]) -> Float[Array, "lanes p"]:
        """The gradients at many theta, each a row."""
        return tied_gradient(self._student(theta), self._teacher(theta)).reshape(theta.shape)

    def hessian(self, theta: Float[AnyArray, " p"]) -> Float[Array, "p p"]:
        """The Hessian of L, right wherever no neuron is zero, parallel neurons included."""
        return tied_hessian(self._student(theta), self._teacher(theta)).reshape(self.p, self.p)

    @property
    def inputs(self) -> int:
        """d."""
        return self.d

    def residual(self, theta: Float[AnyArray, " p"], x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Student minus teacher at these inputs."""
        # |z.x| = |w| |w.x|: the mass of a neuron is its length.
        z = masses(self._student(theta))[1]
        return jnp.sum(jnp.abs(times(x, z.T)), axis=1) - jnp.sum(jnp.abs(times(x, self._teacher(theta).T)), axis=1)

    def loss_error(self, theta: np.ndarray) -> float:
        """Rounding-error bound: a sum over all pairs of n + k neurons of moments E |z.x||v.x|, at most |z||v|.

        A moment has d + 16 roundings (see `TeacherStudent.loss_error`), and z = |w| w has d + 3 of its own, which enter
        a moment once for each of its two neurons. Adding a row and then the row sums makes 2 (n + k) roundings more.
        """
        norms = np.linalg.norm(np.concatenate([self.carried(theta), self.teacher]), axis=1)
        # A moment is 2 / pi times a kernel that cancels, 4 E relu relu - u.v: three times its largest size.
        roundings = 3 * (self.d + 16) + 2 * (self.d + 3) + 2 * len(norms)
        return float(0.5 * np.finfo(float).eps * roundings * np.sum(norms) ** 2)

    def hessian_error(self, theta: np.ndarray) -> float:
        """Rounding-error bound in the spectral norm.

        Blocks of the Hessian in z have an error of (d + n + k + 16) eps times their largest terms, 4 / pi of the total
        mass over |z_i| on the diagonal and 4 off it; dz/dw, at most 2 |w|, multiplies from both sides, so that nothing
        blows up at a short neuron. The gradient in z, with as many roundings of the total mass, adds three of itself.
        """
        z = np.linalg.norm(self.carried(theta), axis=1)
        total = float(np.sum(z) + np.sum(np.linalg.norm(self.teacher, axis=1)))
        roundings = self.d + self.width + len(self.teacher) + 16
        largest = 16.0 * (total / np.pi + self.width * float(np.max(z))) + 12.0 * total
        return float(np.finfo(float).eps * roundings * largest)

    def smooth_radius(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """The least neuron norm: the Hessian jumps only at a zero neuron."""
        return jnp.min(jnp.linalg.norm(self._student(theta), axis=1))

    def start(self, key: Array, init: str, init_scale: float | Array) -> Float[Array, " p"]:
        """A random student. `init` is one of `INITS`."""
        return init_scale * drawn_rows(key, self.width, self.d, init).reshape(-1)

    def facts(self) -> dict[str, Any]:
        """Sizes of teacher and input, beside what every problem says."""
        return super().facts() | {"teacher": len(self.teacher), "dimension": self.d, "activation": "tied abs"}

    def of_width(self, width: int) -> TiedStudent:
        """The same teacher with another number of students."""
        return tied_student(self.teacher, width)

    def points(self, params: Any) -> list[np.ndarray] | None:
        """theta of each student where hidden is [points, width, d]."""
        hidden = params.hidden if isinstance(params, Params) else params
        return [self.write(one) for one in np.asarray(hidden)] if np.ndim(hidden) == 3 else None

    def read(self, theta: np.ndarray) -> Params:
        """theta as `Params(hidden=[width, d])`; the top weights are the norms of its rows."""
        return Params(hidden=np.asarray(theta).reshape(self.width, self.d))

    def write(self, params: Any) -> np.ndarray:
        """theta of `Params` or of a bare [width, d] matrix."""
        if isinstance(params, Params) and params.outer is not None:
            raise InputError("tied_student has the norms of the hidden rows as outer weights; leave outer out.")
        hidden = np.asarray(params.hidden if isinstance(params, Params) else params, np.float64)
        if hidden.shape != (self.width, self.d):
            raise InputError(f"hidden must have shape {(self.width, self.d)}, found {hidden.shape}.")
        return hidden.reshape(-1)


def tied_student(teacher: Any, width: int | None = None) -> TiedStudent:
    """The exact loss of sum_i |w_i| |w_i.x| against sum_j |v_j.x| over Gaussian inputs (Zhou, Ge and Jin 2021).

    Args:
        teacher: Its neurons v_j, one a row, [k, d]; |v_j| is the mass on its line.
        width: Number of student neurons; the teacher's own by default.

    Raises:
        InputError: The teacher is empty, not a matrix, not finite or has a zero row; width is below one.
    """
    rows = teacher_rows(teacher)
    return TiedStudent(teacher=rows, width=len(rows) if width is None else whole("width", width, 1))


TRIES = 20_000  # random lines that are tried for one teacher


def separated_teacher(
    k: int, d: int, angle: float, seed: int = 0, least: float = 1.0, largest: float = 1.0
) -> np.ndarray:
    """k random teacher neurons in R^d whose lines are at least `angle` apart, [k, d].

    Lines are drawn uniformly, and those too close to an earlier one are drawn again; norms are uniform between `least`
    and `largest`.

    Args:
        k: Number of neurons.
        d: Input dimension.
        angle: Least angle between two lines, in radians, up to pi / 2: Delta of Zhou, Ge and Jin 2021.
        seed: Of the draw.
        least: Least norm of a neuron.
        largest: Largest norm.

    Raises:
        InputError: A number makes no sense, or no such lines were found: they may not exist.
    """
    k, d = whole("the teacher's size k", k, 1), whole("the input dimension d", d, 1)
    if not 0 <= angle <= np.pi / 2:
        raise InputError(f"the angle between lines must be from 0 to pi / 2, found {angle}.")
    if not 0 < least <= largest < np.inf:
        raise InputError(f"norms must be positive, the least at most the largest; found {least} and {largest}.")
    rng = np.random.default_rng(whole("seed", seed, 0))
    lines = np.zeros((0, d))
    for _ in range(TRIES):
        line = rng.normal(size=d)
        line /= np.linalg.norm(line)
        if not len(lines) or np.max(np.abs(lines @ line)) <= np.cos(angle):
            lines = np.concatenate([lines, line[None]])
        if len(lines) == k:
            return lines * rng.uniform(least, largest, k)[:, None]
    raise InputError(
        f"no {k} lines at least {angle:g} rad apart were found in {d} dimensions; ask for a smaller angle."
    )
