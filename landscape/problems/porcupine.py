"""Porcupine losses over Gaussian inputs, exact: neurons bound to lines through the origin.

Neuron i sits on a line with unit direction u_j and has one coordinate, c_i: w_i = c_i u_j (Feizi, Javadi, Zhang and Tse
2017). With S_j = sum c_i and q_j = sum |c_i| over the neurons of line j, and psi(rho) = E|u.x||v.x| for unit u, v,

    F(c) = 1/2 E (sum_i relu(w_i.x) - sum_l relu(v_l.x))^2 = 1/8 (|m|^2 + z' psi z),

m the sum of student minus teacher neurons and z the difference of their masses on each line, the teacher's own lines
included (theorem 1 of the paper: relu is half the identity plus half the absolute value, and the cross terms vanish).
The paper leaves out the 1/2: its loss is 2 F (`paper_loss`). The gradient jumps where a coefficient changes sign; in
between, F is a convex quadratic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from landscape.arrays import AnyArray
from landscape.problems.defaults import ON_LINES
from landscape.problems.problem import Problem, times
from landscape.problems.teacher_student import teacher_student
from landscape.records import InputError, LowerBound, dimensions, must_fit, numbers, whole

MANY = 2**62  # neurons that can be counted; memory sets the limit
ON_LINE = 1e-12  # rad: rounding of a teacher row computed as a multiple of a line's direction, as in population
APART = 1e-7  # rad: 1 - psi is angle^2 / 2, which below this is lost in the rounding of psi (22 eps)
_SQUARES = LowerBound(0.0, "a mean of squares")


def psi(rho: np.ndarray | float) -> Any:
    """E|u.x||v.x| for x ~ N(0, I) and unit vectors with u.v = rho, elementwise; within 2 ulp of 1, exact at +-1.

    (2 / pi)(sin t + (pi/2 - t) cos t), written as |rho| plus a term that vanishes with its derivative at |rho| = 1.
    """
    y = np.minimum(np.abs(rho), 1.0)
    return y + (2 / np.pi) * (np.sqrt((1 - y) * (1 + y)) - y * np.arccos(y))


def paper_loss(loss: Any) -> Any:
    """The loss in the normalisation of Feizi et al., E (student - teacher)^2 without the 1/2."""
    return 2 * loss


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["lines", "psi", "teacher", "taught", "off_sum", "off_even", "off_energy", "snapped"],
    meta_fields=["neurons"],
    drop_fields=["lower_bound"],  # compiled code does not look at it
)  # a new teacher on as many lines does not recompile, other neuron counts do
@dataclass(frozen=True, eq=False)
class Porcupine(Problem):
    """Neurons on lines, fitting a teacher over Gaussian inputs. Made by `porcupine`.

    theta is the coefficient of each neuron, [p], line by line. Teacher rows that lie on the lines enter as masses on
    them, so that a student that equals them has a loss of exactly zero; the others enter by their moments.

    Attributes:
        lines: Unit directions, [r, d].
        psi: Even kernel of the lines, [r, r].
        teacher: Its rows, [k, d].
        taught: Positive and negative mass of the teacher on each line, [2, r].
        off_sum: Sum of the teacher rows that lie on no line, [d].
        off_even: sum |v| psi(u_j.v/|v|) over those rows, [r].
        off_energy: sum |v||v'| psi over pairs of those rows; zero for a matched teacher.
        snapped: By how much teacher rows were moved onto lines, sum of distances (rounding: at most 1e-12 of a row).
        neurons: How many there are on each line.
        lower_bound: No loss lies below it.
    """

    lines: Any
    psi: Any
    teacher: Any
    taught: Any
    off_sum: Any
    off_even: Any
    off_energy: Any
    snapped: Any
    neurons: tuple[int, ...]
    lower_bound: LowerBound = _SQUARES

    kind = "porcupine"
    normalisation = "1/2 E (student - teacher)^2, x ~ N(0, I)"
    coercive = True  # sqrt(2 F) + |teacher| >= |student| >= E student = sum |c| / sqrt(2 pi)

    @property
    def d(self) -> int:
        """Input dimension."""
        return self.lines.shape[1]

    @property
    def p(self) -> int:
        """Number of neurons."""
        return sum(self.neurons)

    @property
    def width(self) -> int:
        """Number of neurons."""
        return self.p

    @property
    def line_of(self) -> np.ndarray:
        """The line of each neuron, [p]."""
        return np.repeat(np.arange(len(self.neurons)), self.neurons)

    @property
    def matched(self) -> bool:
        """Whether every teacher row lies on a line."""
        return float(self.off_energy) == 0.0

    @property
    def realisable(self) -> bool:
        """Whether the teacher itself is in the model: it is matched, and has two neurons where it uses both signs.

        Then the least loss is 0. (Not only then: with more lines than dimensions other masses have the same sum.)
        """
        both = np.all(self.taught > 0, axis=0)
        return self.matched and bool(np.all(np.asarray(self.neurons)[both] >= 2))

    @property
    def scale(self) -> float:
        """The largest teacher norm."""
        return float(np.max(np.linalg.norm(self.teacher, axis=1)))

    @property
    def loss_unit(self) -> float:
        """The square of the scale where the teacher is small, for the loss goes with it; 1 above."""
        return self.scale**2 if self.scale < 1 else 1.0

    def facts(self) -> dict[str, Any]:
        """Sizes of teacher, lines and input, and the neurons of a line, beside what every problem says."""
        each = sorted(set(self.neurons)) if len(set(self.neurons)) > 1 else self.neurons[0]
        own = {"teacher": len(self.teacher), "lines": len(self.neurons), "dimension": self.d, "neurons": each}
        return super().facts() | own

    def defaults(self) -> dict[str, Any]:
        """A stable step, an early finish and a budget: see `problems.defaults`."""
        return {"step_size": self.step_size(), **ON_LINES}

    def points(self, params: Any) -> list[np.ndarray] | None:
        """theta of each where params are [points, p]."""
        return [self.write(one) for one in params] if dimensions(params) == 2 else None

    @property
    def on_sum(self) -> Any:
        """Signed mass of the teacher on each line, [r]."""
        return self.taught[0] - self.taught[1]

    @property
    def on_mass(self) -> Any:
        """Mass of the teacher on each line, [r]."""
        return self.taught[0] + self.taught[1]

    @property
    def teacher_mass(self) -> float:
        """sum_l |v_l|, the size of the masses that fit it."""
        return float(np.sum(np.linalg.norm(self.teacher, axis=1)))

    @property
    def symmetry(self) -> Callable[[np.ndarray], np.ndarray]:
        """A map to one representative under permutations of the neurons of a line, [2 p].

        Signs follow the sorted coefficients: a coefficient of 1e-9 and one of 0 are close and yet a minimum and a
        trap, so they must not count as one point. Symmetries of the lines themselves are not divided out: orbits may
        split, never merge.
        """
        line_of, scale = self.line_of, self.scale

        def canonical(theta: np.ndarray) -> np.ndarray:
            c = np.asarray(theta)[np.lexsort((theta, line_of))]
            return np.concatenate([c, scale * np.sign(c)])

        return canonical

    def _per_line(self, x: AnyArray) -> Array:
        """Sums over the neurons of each line, [r]."""
        if len(set(self.neurons)) == 1:  # a reshape; a segment sum costs some ns an element
            return jnp.sum(x.reshape(len(self.neurons), -1), axis=1)
        return jax.ops.segment_sum(x, self.line_of, len(self.neurons), indices_are_sorted=True)

    def _residual(self, theta: AnyArray) -> tuple[Array, Array, Array]:
        """Sum of student minus teacher neurons m [d], masses dq [r], and 4 dF/dq = psi dq - off_even [r]."""
        as_theta = lambda x: jnp.asarray(x, theta.dtype)  # noqa: E731
        ds = self._per_line(theta) - as_theta(self.on_sum)
        # theta sign(theta) and not |theta|, whose automatic derivative at 0 is 1.
        dq = self._per_line(theta * jnp.sign(theta)) - as_theta(self.on_mass)
        m = times(as_theta(self.lines).T, ds) - as_theta(self.off_sum)
        return m, dq, times(as_theta(self.psi), dq) - as_theta(self.off_even)

    def loss(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """F at theta. `jax.grad` of it is `gradient`, kinks included."""
        m, dq, even = self._residual(theta)
        off = dq @ (even - jnp.asarray(self.off_even, theta.dtype)) + jnp.asarray(self.off_energy, theta.dtype)
        return 0.125 * (m @ m + off)

    def gradient(self, theta: Float[AnyArray, " p"]) -> Float[Array, " p"]:
        """dF/dc_i = (u_j.m + sign(c_i) (psi dq)_j) / 4; at c_i = 0 the mean of both one-sided slopes, u_j.m / 4."""
        m, _, even = self._residual(theta)
        odd = times(jnp.asarray(self.lines, theta.dtype), m)
        return 0.25 * (odd[self.line_of] + jnp.sign(theta) * even[self.line_of])

    @property
    def block(self) -> int:
        """512 KB of coefficients, and no fewer than 64 lanes: the kernel is read once for all of them."""
        return int(np.clip(1 << int(np.log2(2**16 / self.p + 1)), 64, 1024))

    def hessian(self, theta: Float[AnyArray, " p"]) -> Float[Array, "p p"]:
        """(u_j.u_l + sign(c_i c_k) psi_jl) / 4: constant in each sign region; at c_i = 0 the mean over both sides."""
        lines, even = jnp.asarray(self.lines, theta.dtype), jnp.asarray(self.psi, theta.dtype)
        rho, sign, at = times(lines, lines.T), jnp.sign(theta), self.line_of
        signs = jnp.where(jnp.eye(self.p, dtype=bool), 1.0, sign[:, None] * sign)
        return 0.25 * (rho[at][:, at] + signs * even[at][:, at])

    def totals(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """S = sum c_i and q = sum |c_i| over the neurons of each line, [r] each: all that the loss sees."""
        c = np.asarray(theta, np.float64)
        line, r = self.line_of, len(self.neurons)
        return np.bincount(line, c, r), np.bincount(line, np.abs(c), r)

    def rounding(self, total: np.ndarray, mass: np.ndarray) -> tuple[float, float]:
        """Bounds on rounding errors at S and q, [r] each: of every one-sided slope dF/dc_i, and of the loss.

        A slope is (u_j.m +- (psi z)_j) / 4, off by at most eta = n eps M + snapped. M, the mass of student and teacher,
        bounds |m| and every |(psi z)_j|; n counts roundings: a sum over the neurons of a line and the teacher's, an
        inner product of the residuals that are not zero, one of length d, and 16 for a kernel value and a unit vector.
        The loss is off by at most (|m| + |z|_1) eta / 2 + eta^2 / 2: m and psi z have errors of at most eta, and the
        two products in 8 F, and the teacher moved onto the lines, cost as much again times |m| or |z|_1. This falls
        with the residual: at a matched optimum F is exact to eta^2.
        """
        ds, dq = total - self.on_sum, mass - self.on_mass
        m = self.lines.T @ ds - self.off_sum
        n = np.count_nonzero((ds != 0) | (dq != 0)) + max(self.neurons) + len(self.teacher) + self.d + 16
        eta = float(n * np.finfo(float).eps * (np.sum(mass) + self.teacher_mass) + self.snapped)
        z = np.sum(np.abs(dq)) + (0.0 if self.matched else self.teacher_mass)
        return eta, float(0.5 * eta * (float(np.linalg.norm(m)) + float(z)) + 0.5 * eta * eta)

    def loss_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of the loss; see `rounding`."""
        return self.rounding(*self.totals(theta))[1]

    def gradient_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `gradient` in Euclidean norm."""
        return float(np.sqrt(self.p)) * self.rounding(*self.totals(theta))[0]

    def hessian_error(self, theta: np.ndarray) -> float:
        """Rounding-error bound in the spectral norm: an entry is two numbers of at most 1/4 within (d + 16) eps."""
        return float(0.5 * self.p * (self.d + 16) * np.finfo(float).eps)

    def curvature(self) -> float:
        """An upper bound on every Hessian eigenvalue anywhere: gradient descent with a step below 2 / this is stable.

        H = (P rho P' + D P psi P' D) / 4, P the [p, r] incidence of neurons and lines, D signs: the sum of both
        spectral norms, the second one by its largest row sum.
        """
        k = np.asarray(self.neurons, float)
        odd = np.linalg.eigvalsh((self.lines.T * k) @ self.lines)[-1]
        return float(0.25 * (odd + np.max(self.psi @ k)))

    def step_size(self) -> float:
        """A stable step of gradient descent: the largest power of two up to 1 / `curvature`, so that programs are found
        again for other lines."""
        return float(2.0 ** np.floor(-np.log2(self.curvature())))

    def smooth_radius(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """The least |c_i|: the Hessian jumps where a coefficient changes sign."""
        return jnp.min(jnp.abs(theta))

    def third_derivative(self, theta: Float[AnyArray, " p"], radius: float | Float[Array, ""]) -> Float[Array, ""]:
        """0 inside a sign region, where F is quadratic; inf where the ball leaves it."""
        return jnp.where(radius < self.smooth_radius(theta), 0.0, jnp.inf)

    def start(self, key: Array, init: str, init_scale: float | Array) -> Float[Array, " p"]:
        """Random coefficients: N(0, 1/d) ("xavier"), N(0, 2/d) ("he"), N(0, 1) ("gaussian"), or +-1 ("sphere")."""
        z = jax.random.normal(key, (self.p,), jnp.float64)
        return init_scale * self.spread(init) * (jnp.where(z < 0, -1.0, 1.0) if init == "sphere" else z)

    def spread(self, init: str) -> float:
        """The root mean square of a coefficient of `start` at scale one."""
        return {"xavier": self.d**-0.5, "he": (2 / self.d) ** 0.5, "gaussian": 1.0, "sphere": 1.0}[init]

    def filters(self) -> np.ndarray:
        """One a neuron, of one coefficient each."""
        return np.arange(self.p)

    def read(self, theta: np.ndarray) -> np.ndarray:
        """The coefficient of each neuron, [p]."""
        return np.array(theta, np.float64)

    def write(self, params: Any) -> np.ndarray:
        """theta of the coefficients, [p], line by line.

        Raises:
            InputError: They are not p finite numbers.
        """
        theta = numbers(params, "coefficients")
        if theta.shape != (self.p,):
            raise InputError(f"coefficients must be {self.p} numbers, one a neuron; found shape {theta.shape}.")
        return theta

    def weights(self, theta: np.ndarray) -> np.ndarray:
        """The neurons as rows, [p, d]: w_i = c_i u_j."""
        return np.asarray(theta)[:, None] * self.lines[self.line_of]


def unit_lines(lines: Any) -> np.ndarray:
    """Directions of any length but zero, one a row, as unit rows [r, d].

    Raises:
        InputError: They are no matrix of finite numbers, or one is zero.
    """
    lines = numbers(lines, "lines")
    if lines.ndim != 2 or 0 in lines.shape:
        raise InputError(f"lines must be a matrix, one direction a row; found an array of shape {lines.shape}.")
    size = np.max(np.abs(lines), axis=1)
    if not np.all(size):
        raise InputError(f"line {np.flatnonzero(size == 0)[0]} has the direction zero; leave it out.")
    lines = lines / size[:, None]
    return lines / np.linalg.norm(lines, axis=1, keepdims=True)


def porcupine(lines: Any, neurons_per_line: Any, teacher: Any) -> Porcupine:
    """The exact loss of neurons bound to lines against any teacher, over Gaussian inputs.

    Holds the [r, r] kernel of the lines: 800 MB at r = 10,000; a loss or a gradient costs O(p + r d + r^2).

    Args:
        lines: One direction a row, [r, d], of any length but zero.
        neurons_per_line: How many neurons each line has: one number, or [r] of them.
        teacher: Its neurons, one a row, [k, d]. Rows within 1e-12 rad of a line are taken to lie on it.

    Raises:
        InputError: A direction is zero, two lines are parallel, a line has no neuron, a shape does not fit, a number
            is not finite, or the machine has not the memory.
    """
    lines = unit_lines(lines)
    r, d = lines.shape
    neurons = _counts(neurons_per_line, r)
    teacher = np.asarray(teacher_student(teacher, 1).teacher)
    if teacher.shape[1] != d:
        raise InputError(f"the teacher has rows of {teacher.shape[1]} numbers and the lines of {d}.")
    kernel = _kernel(lines, sum(neurons))

    norm = np.linalg.norm(teacher, axis=1)
    unit = teacher / norm[:, None]
    cosine = unit @ lines.T
    line = np.argmax(np.abs(cosine), axis=1)
    side = np.sign(cosine[np.arange(len(line)), line])
    on = np.linalg.norm(unit - side[:, None] * lines[line], axis=1) <= ON_LINE
    along = np.sum(teacher * lines[line], axis=1)
    return Porcupine(
        lines=lines,
        psi=kernel,
        teacher=teacher,
        taught=np.stack([np.bincount(line[on], np.maximum(s * along[on], 0.0), r) for s in (1, -1)]),
        off_sum=np.sum(teacher[~on], axis=0),
        off_even=psi(cosine[~on].T) @ norm[~on],
        off_energy=float(norm[~on] @ psi(unit[~on] @ unit[~on].T) @ norm[~on]),
        snapped=float(np.sum(np.linalg.norm(teacher[on] - along[on, None] * lines[line[on]], axis=1))),
        neurons=neurons,
    )


def _counts(neurons_per_line: Any, r: int) -> tuple[int, ...]:
    """Neurons on each of r lines."""
    try:
        shape = np.shape(neurons_per_line)
    except ValueError:
        raise InputError(
            f"neurons_per_line must be one number or {r} of them, one a line; found some nested."
        ) from None
    if not shape:
        return (whole("neurons_per_line", neurons_per_line, 1, MANY),) * r
    if shape != (r,):
        raise InputError(f"neurons_per_line must be one number or {r} of them, one a line; found shape {shape}.")
    counts = tuple(whole(f"neurons_per_line[{j}]", count, 0, MANY) for j, count in enumerate(neurons_per_line))
    if 0 in counts:
        raise InputError(f"line {counts.index(0)} has no neuron; give it one or leave the line out.")
    return counts


def _kernel(lines: np.ndarray, p: int) -> np.ndarray:
    """psi of the lines, [r, r], symmetric, with ones on its diagonal.

    Raises:
        InputError: Two lines are parallel, or memory does not suffice.
    """
    r, d = lines.shape
    needed = 16 * r * r + 32 * r * d + 64 * p  # the kernel and its copy in compiled code; a few vectors a neuron
    must_fit(f"{p} neurons on {r} lines", needed)
    kernel = np.empty((r, r))
    for i in range(0, r, 512):  # a block of rows, right of the diagonal: some MB at a time, and exactly symmetric
        rows = slice(i, i + 512)
        kernel[rows, i:] = psi(lines[rows] @ lines[i:].T)
        kernel[rows, rows] = np.maximum(kernel[rows, rows], kernel[rows, rows].T)
        kernel[i:, rows] = kernel[rows, i:].T
        # psi = 1 - angle^2 / 2 + ..., so this finds every pair below 1e-6 rad; their angle is taken from differences.
        for j, k in np.argwhere(np.triu(kernel[rows, i:] > 1 - 5e-13, 1)) + i:
            angle = min(np.linalg.norm(lines[j] - lines[k]), np.linalg.norm(lines[j] + lines[k]))
            if angle < APART:
                raise InputError(
                    f"lines {j} and {k} are parallel (angle {angle:.1g}, at least {APART:.0e} is needed); merge them."
                )
    np.fill_diagonal(kernel, 1.0)
    return kernel
