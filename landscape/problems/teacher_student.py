"""Teacher-student losses over Gaussian inputs, exact: no data, no sampling.

F(W) = 1/2 E (sum_i s(w_i.x) - sum_j s(v_j.x))^2 for x ~ N(0, I_d), W [width, d] the student, V [k, d] the teacher
(Safran and Shamir 2017 in their code's normalisation, with the 1/2). Beware when comparing: porcupine papers leave
the 1/2 out, and Safran, Yehudai and Shamir 2021 print the formula without it while their Hessian has it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.optimize import linear_sum_assignment

from landscape.arrays import AnyArray
from landscape.problems import gaussian
from landscape.problems.activation import GAUSSIAN, Activation
from landscape.problems.activation import activation as find_activation
from landscape.problems.outer_weights import OuterWeights, with_outer
from landscape.problems.params import Params
from landscape.problems.problem import HIGHEST, Problem, Tile, times
from landscape.problems.symmetry import Symmetry
from landscape.problems.third_derivative import hessian_lipschitz
from landscape.records import InputError, LowerBound, dimensions, must_fit, numbers, whole


def _signed(student: AnyArray, teacher: AnyArray) -> tuple[Array, Array]:
    """The network student - teacher as one set of neurons [width + k, d] with output weights +1 and -1."""
    both = jnp.concatenate([student, teacher])
    sign = jnp.concatenate([jnp.ones(len(student), both.dtype), -jnp.ones(len(teacher), both.dtype)])
    return both, sign


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def population_loss(
    activation: Activation, student: Float[AnyArray, "n d"], teacher: Float[AnyArray, "k d"]
) -> Float[Array, ""]:
    """1/2 E (sum_i s(w_i.x) - sum_j s(v_j.x))^2 over x ~ N(0, I); differentiates by the analytic gradient."""
    both, sign = _signed(student, teacher)
    return 0.5 * times(times(sign, gaussian.moment(activation, both, both)), sign)


@population_loss.defjvp
def _population_loss_jvp(activation, primals, tangents):
    (student, teacher), (d_student, d_teacher) = primals, tangents
    slope = jnp.sum(population_gradient(activation, student, teacher) * d_student)
    # The loss is symmetric in the two networks.
    slope = slope + jnp.sum(population_gradient(activation, teacher, student) * d_teacher)
    return population_loss(activation, student, teacher), slope


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def population_gradient(
    activation: Activation, student: Float[AnyArray, "*batch n d"], teacher: Float[AnyArray, "k d"]
) -> Float[Array, "*batch n d"]:
    """dF/dw_i = sum_j d1 kappa(w_i, w_j) - sum_j d1 kappa(w_i, v_j). Differentiable without batch axes only."""
    # Two calls and not one over both networks: the teacher is shared by all restarts, so that its part of a batch is
    # one large matrix product (1.5x faster at k = 20).
    one = lambda neurons: jnp.ones(neurons.shape[-2], student.dtype)  # noqa: E731
    own = gaussian.moment_gradient(activation, student, student, one(student))
    return own - gaussian.moment_gradient(activation, student, teacher, one(teacher))


@population_gradient.defjvp
def _population_gradient_jvp(activation, primals, tangents):
    (student, teacher), (d_student, d_teacher) = primals, tangents
    both, sign = _signed(student, teacher)
    own, cross = gaussian.moment_hessian(activation, student, both, sign)
    moved = sign[:, None] * jnp.concatenate([d_student, d_teacher])
    return population_gradient(activation, student, teacher), (
        jnp.einsum("iab,ib->ia", own, d_student, precision=HIGHEST)
        + jnp.einsum("ijab,jb->ia", cross, moved, precision=HIGHEST)
    )


def population_hessian(
    activation: Activation, student: Float[AnyArray, "n d"], teacher: Float[AnyArray, "k d"]
) -> Float[Array, "n d n d"]:
    """d2F/dw_i dw_j: own second derivatives on the diagonal blocks, d12 kappa(w_i, w_j) everywhere."""
    both, sign = _signed(student, teacher)
    n = len(student)
    own, _ = gaussian.moment_hessian(activation, student, both, sign)
    _, cross = gaussian.moment_hessian(activation, student, student, jnp.ones(n, student.dtype))
    h = jnp.swapaxes(cross, 1, 2)
    h = h.at[jnp.arange(n), :, jnp.arange(n), :].add(own)
    return 0.5 * (h + jnp.transpose(h, (2, 3, 0, 1)))


@partial(
    jax.tree_util.register_dataclass, data_fields=["teacher"], meta_fields=["width", "activation"]
)  # a new teacher of the same shape does not recompile, a new width does
@dataclass(frozen=True, eq=False, repr=False)
class TeacherStudent(Problem):
    """A student of `width` neurons fitting a teacher over Gaussian inputs. Made by `teacher_student`.

    theta is the student matrix [width, d] row by row; output weights are fixed at one.
    """

    teacher: Any  # [k, d] float64 NumPy; a tracer inside compiled code
    width: int
    activation: Activation

    kind = "teacher_student"
    normalisation = "1/2 E (student - teacher)^2, x ~ N(0, I)"
    lower_bound = LowerBound(0.0, "a mean of squares")
    least_of_all_widths = 0.0

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
        """The largest teacher norm."""
        return float(np.max(np.linalg.norm(self.teacher, axis=1)))

    @property
    def loss_unit(self) -> float:
        """The square of the scale where the teacher is small, for the loss goes with it; 1 above.

        Larger losses are told apart by their own size.
        """
        return self.scale**2 if self.scale < 1 else 1.0

    @property
    def coercive(self) -> bool:
        """Whether F grows with the student: not for erf, which is bounded, nor where neurons can cancel."""
        return self.activation.over_gaussian.coercive

    @property
    def symmetry(self) -> Symmetry:
        """Permutations of students, and every orthogonal map that leaves what the loss sees of the teacher unchanged.

        The loss sees of a homogeneous teacher only the sum of its neurons (odd part) and the mass on each line (even
        part), of a quadratic one sum v v^T, of erf the neurons up to cancelling pairs, of gelu the neurons up to sign
        and their sum: so -1 is a symmetry of three relu neurons at 120 degrees.
        """
        anchors, colours = self.activation.over_gaussian.anchors(np.asarray(self.teacher))
        shape, act = (self.width, self.d), self.activation
        return Symmetry(anchors, colours, shape, flips=act.even, passes_mass=act.homogeneous)

    def _student(self, theta: AnyArray) -> AnyArray:
        return theta.reshape(self.width, self.d)

    def _teacher(self, theta: AnyArray) -> Array:
        return jnp.asarray(self.teacher, theta.dtype)

    def loss(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """F at theta. `jax.grad` and `jax.hessian` of it are the analytic ones."""
        return population_loss(self.activation, self._student(theta), self._teacher(theta))

    def gradient(self, theta: Float[AnyArray, " p"]) -> Float[Array, " p"]:
        """The gradient of F, right wherever no neuron is zero."""
        return population_gradient(self.activation, self._student(theta), self._teacher(theta)).reshape(-1)

    def gradients(self, theta: Float[AnyArray, "lanes p"]) -> Float[Array, "lanes p"]:
        """The gradients at many theta, each a row."""
        student = theta.reshape(-1, self.width, self.d)
        return population_gradient(self.activation, student, self._teacher(theta)).reshape(theta.shape)

    @property
    def trailing(self) -> bool:
        """Whether many gradients are fastest with the lanes on the last axis: measured, see `gradient_lanes`."""
        return self.activation.homogeneous and max(self.width, len(self.teacher), self.d) <= 7

    @property
    def block(self) -> int:
        """Lanes that are best computed together on a CPU: measured; their angles stay in the cache of a core."""
        angles = self.width * (self.width + len(self.teacher))
        # Twice as many cost up to 8% less a lane while a core is alone, and 25% more where both cores are busy.
        return 64 if self.trailing else int(np.clip(1 << int(np.log2(2**14 / angles + 1)), 8, 64))

    def gradient_lanes(self, theta: Float[AnyArray, "p lanes"]) -> Float[Array, "p lanes"]:
        """The gradients at many theta, each a column."""
        student = theta.reshape(self.width, self.d, -1)
        return gaussian.gradient_lanes(self.activation, student, self._teacher(theta)).reshape(theta.shape)

    def tile(self, dtype: Any) -> Tile | None:
        """The gradient on one tile, for homogeneous activations and sizes up to 32: larger ones leave registers."""
        if not self.activation.homogeneous or max(self.width, len(self.teacher), self.d) > 32:
            return None
        n, k, d = (max(16, 1 << (size - 1).bit_length()) for size in (self.width, len(self.teacher), self.d))
        teacher = jnp.pad(jnp.asarray(self.teacher, dtype), [(0, k - len(self.teacher)), (0, d - self.d)])
        gradient = partial(gaussian.gradient_on_tile, self.activation, self.width)
        return Tile((n, d), self.width, (teacher,), gradient)

    def hessian(self, theta: Float[AnyArray, " p"]) -> Float[Array, "p p"]:
        """The Hessian of F, right wherever no neuron is zero, parallel and duplicated neurons included."""
        return population_hessian(self.activation, self._student(theta), self._teacher(theta)).reshape(self.p, self.p)

    @property
    def inputs(self) -> int:
        """d."""
        return self.d

    def residual(self, theta: Float[AnyArray, " p"], x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Student minus teacher at these inputs."""
        student, act = self._student(theta), self.activation.s
        return jnp.sum(act(times(x, student.T)), axis=1) - jnp.sum(act(times(x, self._teacher(theta).T)), axis=1)

    def loss_error(self, theta: np.ndarray) -> float:
        """Rounding-error bound: F is a sum over all pairs of the n + k neurons of moments that cancel.

        A moment has an error of at most (d + 16) eps times its largest size: d roundings in the inner product, at most
        16 in the kernel. The smooth ones go through D = (1 + a)(1 + b) - c^2 (with 2a, 2b, 2c for erf), which loses
        eps (1 + a)(1 + b) where long neurons are nearly parallel. Adding a row and then the row sums makes 2 (n + k)
        roundings more of everything added.
        """
        w = np.asarray(theta, np.float64).reshape(self.width, self.d)
        norms = np.concatenate([np.linalg.norm(w, axis=1), np.linalg.norm(self.teacher, axis=1)])
        a, b = np.square(norms)[:, None], np.square(norms)[None, :]
        moments = self.activation.over_gaussian
        size = moments.size(a, b)
        error = (self.d + 16) * (size + moments.lost(a, b))
        return float(0.5 * np.finfo(float).eps * np.sum(error + 2 * len(norms) * size))

    def hessian_error(self, theta: np.ndarray) -> float:
        """Rounding-error bound in the spectral norm, for homogeneous activations; relative for the others.

        Pulls of |v| / |w_i| on a short neuron cancel, and |H| does not remember their size. A diagonal block has an
        error of at most (d + n + k + 16) eps sum_j |x_j| / |w_i|, the rest as much of its own norm, at most n.
        """
        eps = np.finfo(float).eps
        if not self.activation.homogeneous:
            return 0.0
        arc, linear = self.activation.arc_and_linear
        norms = np.linalg.norm(np.asarray(theta, np.float64).reshape(self.width, self.d), axis=1)
        total = np.sum(norms) + np.sum(np.linalg.norm(self.teacher, axis=1))
        roundings = self.d + self.width + len(self.teacher) + 16
        if np.min(norms) == 0:
            return float("inf")  # no Hessian there
        pull = total / float(np.min(norms))
        return float(eps * roundings * (abs(arc) * (pull / np.pi + self.width) + abs(linear) * self.width))

    def smooth_radius(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """The least neuron norm, where the activation has a kink: the Hessian jumps only at a zero neuron."""
        norms = jnp.linalg.norm(self._student(theta), axis=1)
        reach = norms if self.activation.kinked else jnp.linalg.norm(self._teacher(theta), axis=1)
        return jnp.min(reach)

    @property
    def isolated(self) -> bool:
        """Unless neurons are more than the teacher's, and can be split, or turn where the teacher has no part."""
        return max(self.width, self.d) <= len(self.teacher)

    @property
    def third_derivative_known(self) -> bool:
        """Whether the activation is homogeneous."""
        return self.activation.homogeneous

    def third_derivative(self, theta: Float[AnyArray, " p"], radius: float | Float[Array, ""]) -> Float[Array, ""]:
        """Lipschitz constant of the Hessian in a ball, for homogeneous activations; inf for the others.

        For one pair E relu(w.x) relu(v.x) the third directional derivative is at most C |v|/|w|^2 in w alone,
        C = 3 sqrt(3) / (4 pi), and 1/(pi |w|) in (w, w, v): h1 is homogeneous of degree -1 in w and linear in the part
        of v orthogonal to w. Summed over pairs with sum |u_i|^2 = 1,

            B = max_i C (sum_{j != i} |w_j| + sum_j |v_j|) / |w_i|^2 + (3 / pi) sqrt(n - 1) / min_i |w_i|,

        about n times smaller than the bound of Safran and Shamir's code. Norms are taken at their worst in the ball.
        """
        if not self.activation.homogeneous:
            return jnp.full((), jnp.inf, theta.dtype)
        arc, _ = self.activation.arc_and_linear
        norms = jnp.linalg.norm(self._student(theta), axis=1)
        small, large = norms - radius, norms + radius
        pull = jnp.sum(large) - large + jnp.sum(jnp.linalg.norm(self._teacher(theta), axis=1))
        alone = 3 * np.sqrt(3) / (4 * np.pi) * jnp.max(pull / small**2)
        mixed = 3 / np.pi * np.sqrt(self.width - 1) / jnp.min(small)
        return jnp.where(jnp.min(small) > 0, abs(arc) * (alone + mixed), jnp.inf)

    def third_derivative_near(self, theta: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Lipschitz constants of the Hessian in small balls, for homogeneous activations; inf for the others."""
        if not self.activation.homogeneous:
            return super().third_derivative_near(theta, radii)
        arc, _ = self.activation.arc_and_linear
        student = np.asarray(theta, np.float64).reshape(self.width, self.d)
        return hessian_lipschitz(arc, student, np.asarray(self.teacher, np.float64), radii)

    def start(self, key: Array, init: str, init_scale: float | Array) -> Float[Array, " p"]:
        """A random student. `init` is one of `INITS`."""
        return init_scale * drawn_rows(key, self.width, self.d, init).reshape(-1)

    def facts(self) -> dict[str, Any]:
        """Sizes of teacher and input, and the activation, beside what every problem says."""
        said = {"teacher": len(self.teacher), "dimension": self.d, "activation": str(self.activation)}
        return super().facts() | said

    def as_study(self) -> tuple[str, dict[str, Any]]:
        """The study of any teacher, with the rows of this one."""
        return "teacher-student", {
            "teacher": json.dumps(self.teacher.tolist()),
            "width": self.width,
            "dimension": None,
            "activation": self.activation.name,
            "slope": self.activation.slope,
        }

    def of_width(self, width: int) -> TeacherStudent:
        """The same teacher with another number of student neurons."""
        return replace(self, width=whole("width", width, 1))

    def points(self, params: Any) -> list[np.ndarray] | None:
        """theta of each student where hidden is [points, width, d]."""
        hidden = params.hidden if isinstance(params, Params) else params
        return [self.write(one) for one in np.asarray(hidden)] if dimensions(hidden) == 3 else None

    def neurons(self) -> np.ndarray:
        """All of them."""
        return np.arange(self.p).reshape(self.width, self.d)

    def filters(self) -> np.ndarray:
        """One a neuron."""
        return np.repeat(np.arange(self.width), self.d)

    def matrices(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Hidden weights with each neuron in the row of the teacher neuron that it is nearest to in angle.

        The matching maximises the sum of cosines; neurons beyond the teacher's width come last.
        """
        hidden, teacher = np.asarray(theta, np.float64).reshape(self.width, self.d), np.asarray(self.teacher)
        length = np.maximum(np.linalg.norm(hidden, axis=1), np.finfo(float).tiny)[:, None]
        cosine = (hidden / length) @ (teacher / np.linalg.norm(teacher, axis=1)[:, None]).T
        student, taught = linear_sum_assignment(-cosine)
        matched = student[np.argsort(taught)]
        rest = np.setdiff1d(np.arange(self.width), matched)
        return {"hidden weights, matched to the teacher": hidden[np.concatenate([matched, rest])]}

    def read(self, theta: np.ndarray) -> Params:
        """theta as `Params(hidden=[width, d])`."""
        return Params(hidden=np.asarray(theta).reshape(self.width, self.d))

    def write(self, params: Any) -> np.ndarray:
        """theta of `Params` or of a bare [width, d] matrix."""
        hidden = params.hidden if isinstance(params, Params) else params
        if (
            isinstance(params, Params)
            and params.outer is not None
            and not np.all(numbers(params.outer, "outer") == 1.0)
        ):
            raise InputError("teacher_student fixes the output weights at one; leave outer out.")
        hidden = numbers(hidden, "hidden")
        if hidden.shape != (self.width, self.d):
            raise InputError(f"hidden must have shape {(self.width, self.d)}, found {hidden.shape}.")
        return hidden.reshape(-1)


def drawn_rows(key: Array, width: int, d: int, init: str) -> Float[Array, "width d"]:
    """Random neurons in float64. `init` is one of `INITS`."""
    z = jax.random.normal(key, (width, d), jnp.float64)
    if init == "sphere":
        return z / jnp.linalg.norm(z, axis=1, keepdims=True)
    return z * {"xavier": d**-0.5, "he": (2 / d) ** 0.5, "gaussian": 1.0}[init]


@overload
def teacher_student(
    teacher: Any, width: int | None = None, activation: str | Activation = "relu", slope: float = 0.01
) -> TeacherStudent: ...


@overload
def teacher_student(
    teacher: Any,
    width: int | None = None,
    activation: str | Activation = "relu",
    slope: float = 0.01,
    outer: Any = None,
    teacher_outer: Any = None,
) -> Any: ...


def teacher_student(
    teacher: Any,
    width: int | None = None,
    activation: str | Activation = "relu",
    slope: float = 0.01,
    outer: Any = None,
    teacher_outer: Any = None,
) -> TeacherStudent | OuterWeights:
    """The exact loss of a student of `width` neurons against a teacher, over Gaussian inputs.

    Args:
        teacher: Its neurons, one a row, [k, d].
        width: Number of student neurons; the teacher's own by default.
        activation: One of `landscape.problems.activation.GAUSSIAN`.
        slope: Negative-side slope of leaky_relu.
        outer: Outer weights of the student: fixed at one by default, "trained", or [width] numbers that stay fixed.
        teacher_outer: Outer weights of the teacher, [k]; ones by default.

    Returns:
        `OuterWeights` where outer weights are given or trained, else `TeacherStudent`.

    Raises:
        InputError: The teacher is empty, not a matrix, not finite or has a zero row; width is below one; or outer
            weights do not fit.
    """
    teacher = teacher_rows(teacher)
    width = len(teacher) if width is None else whole("width", width, 1)
    act = find_activation(activation, slope)
    if act.gaussian is None:
        raise InputError(
            f"activation {act} has no closed form over Gaussian inputs; those that have are {', '.join(GAUSSIAN)}. "
            "A finite data set (`empirical`) takes it."
        )
    if outer is None and teacher_outer is None:
        return TeacherStudent(teacher=teacher, width=width, activation=act)
    return with_outer(teacher, width, act, np.ones(width) if outer is None else outer, teacher_outer)


def teacher_rows(teacher: Any) -> np.ndarray:
    """The neurons of a teacher, [k, d] float64.

    Raises:
        InputError: It is empty, not a matrix, not finite or has a zero row.
    """
    teacher = numbers(teacher, "teacher")
    if teacher.ndim != 2:
        raise InputError(f"teacher must be a matrix, one neuron a row; found an array of shape {teacher.shape}.")
    if teacher.shape[0] == 0 or teacher.shape[1] == 0:
        raise InputError(f"teacher has shape {teacher.shape}; it needs at least one neuron and one input.")
    zero = np.flatnonzero(np.linalg.norm(teacher, axis=1) == 0)
    if len(zero):
        raise InputError(f"teacher row {zero[0]} is zero and does nothing; leave it out.")
    return teacher


@overload
def orthonormal_teacher(
    k: int,
    width: int | None = None,
    d: int | None = None,
    *,
    activation: str | Activation = "relu",
    slope: float = 0.01,
) -> TeacherStudent: ...


@overload
def orthonormal_teacher(k: int, width: int | None = None, d: int | None = None, **options: Any) -> Any: ...


def orthonormal_teacher(
    k: int, width: int | None = None, d: int | None = None, **options: Any
) -> TeacherStudent | OuterWeights:
    """`teacher_student` for the teacher e_1, ..., e_k in R^d (d = k by default): Safran and Shamir's problem.

    Raises:
        InputError: k is below one, or d below k.
    """
    k = whole("the teacher's size k", k, 1)
    d = k if d is None else whole("the input dimension d", d, 1)
    if d < k:
        raise InputError(f"the input dimension d must be at least k = {k}, found {d}: {k} orthonormal vectors need it.")
    must_fit(f"{k} teacher neurons in {d} dimensions", 8 * k * d)
    return teacher_student(np.eye(k, d), width, **options)
