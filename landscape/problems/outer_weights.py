"""Teacher-student losses over Gaussian inputs with outer weights: trained, or fixed and of both signs; exact.

F(W, a) = 1/2 E (sum_i a_i s(w_i.x) - sum_j b_j s(v_j.x))^2 for x ~ N(0, I_d). With K the moments of all neurons,
students and teachers, and c = (a, -b), F = c' K c / 2. For homogeneous s, w -> r w with a -> a / r is a symmetry: every
trained minimum is flat along it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from landscape.arrays import AnyArray
from landscape.problems import gaussian
from landscape.problems.activation import Activation
from landscape.problems.params import Params
from landscape.problems.problem import EPS, HIGHEST, Problem
from landscape.problems.symmetry import Symmetry, continuous_modes
from landscape.records import InputError, LowerBound, numbers, whole


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["teacher", "teacher_outer", "outer"],
    meta_fields=["width", "activation"],
)
@dataclass(frozen=True, eq=False)
class OuterWeights(Problem):
    """A student with outer weights fitting a teacher with outer weights. Made by `teacher_student(..., outer=...)`.

    theta is the student matrix [width, d] row by row, and then the outer weights [width] where they are trained.
    """

    teacher: Any  # [k, d] float64 NumPy; a tracer inside compiled code, like the next two
    teacher_outer: Any  # [k]
    outer: Any  # [width] where fixed; None where trained
    width: int
    activation: Activation

    kind = "outer_weights"
    normalisation = "1/2 E (student - teacher)^2, x ~ N(0, I)"
    lower_bound = LowerBound(0.0, "a mean of squares")
    least_of_all_widths = 0.0

    @property
    def d(self) -> int:
        """Input dimension."""
        return self.teacher.shape[1]

    @property
    def trained(self) -> bool:
        """Whether the outer weights are coordinates of theta."""
        return self.outer is None

    @property
    def p(self) -> int:
        """width * d, and width more where the outer weights are trained."""
        return self.width * (self.d + 1 if self.trained else self.d)

    @property
    def scale(self) -> float:
        """The largest teacher norm, or its largest outer weight where that is larger."""
        return float(max(np.max(np.linalg.norm(self.teacher, axis=1)), np.max(np.abs(self.teacher_outer))))

    # -- loss and derivatives ------------------------------------------------------------------------------------------

    def parts(self, theta: Any) -> tuple[Any, Any]:
        """Hidden [width, d] and outer weights [width] of theta."""
        hidden = theta[: self.width * self.d].reshape(self.width, self.d)
        if self.trained:
            return hidden, theta[self.width * self.d :]
        return hidden, (jnp if isinstance(theta, jax.Array) else np).asarray(self.outer, theta.dtype)

    def _of(self, theta: AnyArray) -> tuple[Array, Array, Array, Array]:
        """Hidden, outer, all neurons [width + k, d] and their weights c = (a, -b)."""
        theta = jnp.asarray(theta)
        hidden, outer = self.parts(theta)
        both = jnp.concatenate([hidden, jnp.asarray(self.teacher, theta.dtype)])
        return hidden, outer, both, jnp.concatenate([outer, -jnp.asarray(self.teacher_outer, theta.dtype)])

    def loss(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """F at theta. `jax.grad` of it is `gradient`."""
        return _loss(self, theta)

    def gradient(self, theta: Float[AnyArray, " p"]) -> Float[Array, " p"]:
        """dF/dw_i = a_i sum_j c_j d1 kappa(w_i, x_j) and dF/da_i = sum_j c_j kappa(w_i, x_j)."""
        hidden, outer, both, c = self._of(theta)
        inner = outer[:, None] * gaussian.moment_gradient(self.activation, hidden, both, c)
        if not self.trained:
            return inner.reshape(-1)
        return jnp.concatenate([inner.reshape(-1), _times(gaussian.moment(self.activation, hidden, both), c)])

    def hessian(self, theta: Float[AnyArray, " p"]) -> Float[Array, "p p"]:
        """The Hessian of F, right wherever no neuron is zero, parallel and duplicated neurons included."""
        hidden, outer, both, c = self._of(theta)
        act, n, d, one = self.activation, self.width, self.d, jnp.ones(1, hidden.dtype)
        own, _ = gaussian.moment_hessian(act, hidden, both, c)
        _, cross = gaussian.moment_hessian(act, hidden, hidden, jnp.ones(n, hidden.dtype))
        at = jnp.arange(n)
        h = jnp.transpose(outer[:, None, None, None] * outer[:, None, None] * cross, (0, 2, 1, 3))
        h = h.at[at, :, at, :].add(outer[:, None, None] * own).reshape(n * d, n * d)
        if self.trained:
            # [i, :, j]: d1 kappa(w_i, w_j)
            pulls = jax.vmap(lambda v: gaussian.moment_gradient(act, hidden, v[None], one), out_axes=2)(hidden)
            mixed = outer[:, None, None] * pulls
            mixed = mixed.at[at, :, at].add(gaussian.moment_gradient(act, hidden, both, c)).reshape(n * d, n)
            h = jnp.block([[h, mixed], [mixed.T, gaussian.moment(act, hidden, hidden)]])
        return 0.5 * (h + h.T)

    @property
    def inputs(self) -> int:
        """d."""
        return self.d

    def residual(self, theta: Float[AnyArray, " p"], x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Student minus teacher at these inputs."""
        _, _, both, c = self._of(theta)
        return _times(self.activation.s(_times(x, both.T)), c)

    # -- how exact the numbers are -------------------------------------------------------------------------------------

    def _sizes(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Norms of all neurons and the sizes of their outer weights, [width + k] each."""
        hidden, outer = self.parts(np.asarray(theta, np.float64))
        norms = np.concatenate([np.linalg.norm(hidden, axis=1), np.linalg.norm(self.teacher, axis=1)])
        return norms, np.abs(np.concatenate([outer, self.teacher_outer]))

    def loss_error(self, theta: np.ndarray) -> float:
        """Rounding-error bound: as that of `TeacherStudent`, each moment times its two outer weights."""
        norms, c = self._sizes(theta)
        a, b = np.square(norms)[:, None], np.square(norms)[None, :]
        moments = self.activation.over_gaussian
        size = moments.size(a, b)
        error = (self.d + 16) * (size + moments.lost(a, b)) + 2 * (len(norms) + 2) * size
        return float(0.5 * EPS * (c @ error @ c))

    def hessian_error(self, theta: np.ndarray) -> float:
        """Rounding-error bound in the spectral norm, for homogeneous activations; relative for the others.

        As that of `TeacherStudent`, with outer weights; the blocks with a derivative in an outer weight are moments of
        degree one and two, whose terms cancel too.
        """
        if not self.activation.homogeneous:
            return 0.0
        arc, linear = self.activation.arc_and_linear
        norms, c = self._sizes(theta)
        own, a = norms[: self.width], c[: self.width]
        if np.min(own) == 0:
            return float("inf")  # no Hessian there
        total = float(c @ norms)
        hidden = float(np.max(a / own)) * total / np.pi + float(a @ a)
        mixed = total + float(np.sqrt(a @ a) * np.sqrt(own @ own))
        roundings = self.d + self.width + len(self.teacher) + 16
        return float(EPS * roundings * (abs(arc) + abs(linear)) * (hidden + 2 * mixed + float(own @ own)))

    def smooth_radius(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """The least neuron norm, where the activation has a kink: the Hessian jumps only at a zero neuron."""
        reach = self.parts(theta)[0] if self.activation.kinked else jnp.asarray(self.teacher, theta.dtype)
        return jnp.min(jnp.linalg.norm(reach, axis=1))

    # -- symmetry ------------------------------------------------------------------------------------------------------

    @property
    def symmetry(self) -> Any:
        """A map to one representative under permutations, signs of neurons and, if homogeneous, their rescaling, [p].

        Rotations that keep the teacher are not taken out: orbits may split, never merge.
        """

        def canonical(theta: np.ndarray) -> np.ndarray:
            hidden, outer = (np.array(part) for part in self.parts(np.asarray(theta, np.float64)))
            if self.activation.even or self.activation.odd:
                lead = hidden[np.arange(self.width), np.argmax(np.abs(hidden), axis=1)]
                flip = np.where(lead < 0, -1.0, 1.0) if self.activation.even or self.trained else np.ones(self.width)
                hidden = hidden * flip[:, None]
                outer = outer if self.activation.even else outer * flip
            if self.activation.homogeneous and self.trained:
                length = np.linalg.norm(hidden, axis=1)
                ratio = np.sqrt(np.abs(outer) / np.where(length > 0, length, 1.0))
                safe = np.where(ratio > 0, ratio, 1.0)
                hidden, outer = hidden * safe[:, None], outer / safe
            order = np.lexsort((*hidden.T, outer))
            tail = [outer[order]] if self.trained else []
            return np.concatenate([hidden[order].reshape(-1), *tail])

        return canonical

    def tangents(self, thetas: Float[AnyArray, "m p"]) -> Float[np.ndarray, "m g p"]:
        """Rotations that keep the teacher, and the rescaling of each trained homogeneous neuron; rows may be zero."""
        rows = self.width * self.d
        group = Symmetry(np.asarray(self.teacher), np.zeros(len(self.teacher), int), (self.width, self.d))
        turns = [continuous_modes(theta[:rows], group) for theta in np.asarray(thetas, np.float64)]
        most, scaled = (
            max(map(len, turns), default=0),
            self.width if self.trained and self.activation.homogeneous else 0,
        )
        out = np.zeros((len(turns), most + scaled, self.p))
        for modes, turn, theta in zip(out, turns, np.asarray(thetas, np.float64), strict=True):
            modes[: len(turn), :rows] = turn
            hidden, outer = self.parts(theta)
            for i in range(scaled):
                at = slice(i * self.d, (i + 1) * self.d)
                modes[most + i, at], modes[most + i, rows + i] = hidden[i], -outer[i]
        return out

    def flat_directions(self, theta: np.ndarray) -> np.ndarray:
        """Mass passed between two neurons that are one function up to a factor, [g, p].

        There are some where outer weights are trained or the activation is homogeneous.
        """
        hidden, outer = self.parts(np.asarray(theta, np.float64))
        norms, homogeneous = np.linalg.norm(hidden, axis=1), self.activation.homogeneous
        unit = hidden / np.where(norms > 0, norms, 1.0)[:, None]
        # Only directions are compared where s(r z) = r s(z): one function up to a factor.
        shape, gain = (unit, norms) if homogeneous else (hidden, np.ones(self.width))
        out: list[np.ndarray] = []
        for i in range(self.width):
            for j in range(i):
                apart = np.linalg.norm(shape[i] - shape[j]) / max(np.linalg.norm(shape[i]), 1e-300)
                mode = np.zeros(self.p)
                if min(norms[i], norms[j]) == 0 or apart > 1e-6:
                    continue
                if self.trained:
                    at = self.width * self.d
                    mode[at + i], mode[at + j] = 1 / gain[i], -1 / gain[j]
                elif homogeneous:
                    mode[i * self.d : (i + 1) * self.d] = unit[i] / outer[i]
                    mode[j * self.d : (j + 1) * self.d] = -unit[i] / outer[j]
                else:
                    continue
                out.append(mode / np.linalg.norm(mode))
        return np.array(out).reshape(-1, self.p)

    # -- starts, chart, facts ------------------------------------------------------------------------------------------

    def start(self, key: Array, init: str, init_scale: float | Array) -> Float[Array, " p"]:
        """A random student: hidden weights as those of `TeacherStudent`, trained outer weights N(0, 1 / width).

        Outer weights are N(0, 1) for `gaussian` and random signs for `sphere`.
        """
        inner, outer = jax.random.split(key)
        z = jax.random.normal(inner, (self.width, self.d), jnp.float64)
        a = jax.random.normal(outer, (self.width,), jnp.float64)
        if init == "sphere":
            z, a = z / jnp.linalg.norm(z, axis=1, keepdims=True), jnp.sign(a)
        else:
            z = z * {"xavier": self.d**-0.5, "he": (2 / self.d) ** 0.5, "gaussian": 1.0}[init]
            a = a * (1.0 if init == "gaussian" else self.width**-0.5)
        return init_scale * jnp.concatenate([z.reshape(-1), a] if self.trained else [z.reshape(-1)])

    def facts(self) -> dict[str, Any]:
        """Sizes of teacher and input, the activation and the outer weights, beside what every problem says."""
        said = {"teacher": len(self.teacher), "dimension": self.d, "activation": str(self.activation)}
        return super().facts() | said | {"outer": "trained" if self.trained else np.asarray(self.outer).tolist()}

    def as_study(self) -> tuple[str, dict[str, Any]]:
        """The study of any teacher, with the rows and outer weights of this one."""
        return "teacher-student", {
            "teacher": json.dumps(self.teacher.tolist()),
            "width": self.width,
            "dimension": None,
            "activation": self.activation.name,
            "slope": self.activation.slope,
            "outer": "trained" if self.trained else json.dumps(self.outer.tolist()),
            "teacher_outer": json.dumps(self.teacher_outer.tolist()),
        }

    def of_width(self, width: int) -> OuterWeights:
        """The same teacher with another number of student neurons.

        Raises:
            InputError: The outer weights are fixed: those of other neurons are not known.
        """
        if not self.trained:
            raise InputError("outer weights that are fixed one by one leave no choice of the width.")
        return replace(self, width=whole("width", width, 1))

    def points(self, params: Any) -> list[np.ndarray] | None:
        """theta of each student where hidden is [points, width, d]."""
        if not isinstance(params, Params):
            hidden, outer = params, None
        else:
            hidden, outer = params.hidden, params.outer
        if np.ndim(hidden) != 3:
            return None
        rows = [None] * len(hidden) if outer is None else np.broadcast_to(outer, (len(hidden), np.shape(outer)[-1]))
        return [self.write(Params(hidden=h, outer=a)) for h, a in zip(np.asarray(hidden), rows, strict=True)]

    def read(self, theta: np.ndarray) -> Params:
        """theta as `Params(hidden=[width, d], outer=[width])`."""
        hidden, outer = self.parts(np.asarray(theta, np.float64))
        return Params(hidden=hidden, outer=outer)

    def write(self, params: Any) -> np.ndarray:
        """theta of `Params`, or of a bare [width, d] matrix where the outer weights are fixed."""
        hidden, outer = (params.hidden, params.outer) if isinstance(params, Params) else (params, None)
        hidden = np.asarray(hidden, np.float64)
        if hidden.shape != (self.width, self.d):
            raise InputError(f"hidden must have shape {(self.width, self.d)}, found {hidden.shape}.")
        if not self.trained:
            if outer is not None and not np.array_equal(np.asarray(outer, np.float64), self.outer):
                raise InputError("outer differs from the outer weights that the problem fixes; leave it out.")
            return hidden.reshape(-1)
        if outer is None or np.shape(outer) != (self.width,):
            raise InputError(f"outer must have shape {(self.width,)}: the outer weights are trained.")
        return np.concatenate([hidden.reshape(-1), np.asarray(outer, np.float64)])


def _times(a: Any, b: Any) -> Array:
    return jnp.matmul(a, b, precision=HIGHEST)


@jax.custom_jvp
def _loss(problem: OuterWeights, theta: AnyArray) -> Array:
    _, _, both, c = problem._of(theta)
    return 0.5 * _times(c, _times(gaussian.moment(problem.activation, both, both), c))


@_loss.defjvp
def _loss_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    problem, theta = primals
    return _loss(problem, theta), jnp.sum(problem.gradient(theta) * tangents[1])


def with_outer(teacher: np.ndarray, width: int, activation: Activation, outer: Any, teacher_outer: Any) -> OuterWeights:
    """The landscape of a student with outer weights; see `teacher_student`, which checks the teacher.

    Args:
        teacher: [k, d].
        width: Number of student neurons.
        activation: With moments in closed form.
        outer: "trained", or [width] numbers that stay fixed.
        teacher_outer: [k]; all ones where None.

    Raises:
        InputError: Outer weights have another length, are not finite, or one is zero.
    """
    b = np.ones(len(teacher)) if teacher_outer is None else _weights(teacher_outer, len(teacher), "teacher_outer")
    if isinstance(outer, str) and outer != "trained":
        raise InputError(f"outer must be 'trained' or {width} numbers, found {outer!r}.")
    fixed = None if isinstance(outer, str) else _weights(outer, width, "outer")
    return OuterWeights(teacher=teacher, teacher_outer=b, outer=fixed, width=width, activation=activation)


def _weights(values: Any, count: int, name: str) -> np.ndarray:
    found = numbers(values, name)
    if found.shape != (count,):
        raise InputError(f"{name} must be {count} numbers, one a neuron, found an array of shape {found.shape}.")
    if np.any(found == 0):
        raise InputError(
            f"{name}[{int(np.flatnonzero(found == 0)[0])}] is zero: that neuron does nothing; leave it out."
        )
    return found
