"""What a landscape is: pure functions of one flat vector theta, a chart that reads it, and the facts known about it.

Two contracts. A `Loss` is all that descents, polish and paths may use. A `Problem` is a Loss that can be written down:
it draws starting points, reads theta as the user's parameters, states its facts, and knows how exact its numbers are.
Defaults are the honest "unknown". Concrete classes are final dataclasses, registered as pytrees: arrays are data, facts
are static, so that new data of one shape do not recompile.
"""

from __future__ import annotations

import abc
import copy
import hashlib
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from landscape import markup
from landscape.arrays import AnyArray
from landscape.precision import float64
from landscape.problems.symmetry import Symmetry, continuous_modes
from landscape.records import InputError, LowerBound, shortened

EPS = float(np.finfo(float).eps)
HIGHEST = jax.lax.Precision.HIGHEST
SIZES = ("teacher", "lines", "neurons", "rows", "width", "dimension", "activation")  # facts that name a problem


class Tile(NamedTuple):
    """A loss whose gradient fits a processor's registers: for a kernel that holds a restart on chip.

    Attributes:
        shape: Of theta on chip, two powers of two of 16 and more: the least that matrix units take.
        rows: Of theta [p] as a matrix, which stands in the upper left corner; the rest is zero and stays so.
        arrays: What the gradient needs beside theta, powers of two in every axis.
        gradient: (theta of this shape, arrays, product) -> gradient of this shape; `product` multiplies two matrices.
    """

    shape: tuple[int, int]
    rows: int
    arrays: tuple[Any, ...]
    gradient: Callable[[Any, tuple[Any, ...], Callable[[Any, Any], Any]], Any]


class Loss(abc.ABC):
    """A loss of theta [p], with derivatives: automatic ones unless a class has better.

    Attributes:
        trailing: Whether many gradients are fastest with the lanes on the last axis (`gradient_lanes`).
        block: How many lanes are best computed together on a CPU.
        rows: Number of data rows of which mini-batches can be drawn; None where there are none.
    """

    trailing: bool = False
    block: int = 32
    rows: int | None = None

    @property
    @abc.abstractmethod
    def p(self) -> int:
        """Number of coordinates of theta."""

    @abc.abstractmethod
    def loss(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """The loss at theta."""

    def gradient(self, theta: Float[AnyArray, " p"]) -> Float[Array, " p"]:
        """The gradient at theta: by default automatic, which takes one side of a kink."""
        return jax.grad(self.loss)(theta)

    def hessian(self, theta: Float[AnyArray, " p"]) -> Float[Array, "p p"]:
        """The Hessian at theta: by default automatic and symmetrised."""
        h = jax.jacfwd(jax.grad(self.loss))(theta)
        return 0.5 * (h + h.T)

    def gradients(self, theta: Float[AnyArray, "lanes p"]) -> Float[Array, "lanes p"]:
        """The gradients at many theta, each a row."""
        return jax.vmap(self.gradient)(theta)

    def gradient_lanes(self, theta: Float[AnyArray, "p lanes"]) -> Float[Array, "p lanes"]:
        """The gradients at many theta, each a column."""
        return jax.vmap(self.gradient, in_axes=-1, out_axes=-1)(theta)

    def tile(self, dtype: Any) -> Tile | None:
        """The loss in the form that a kernel holds on chip, arrays in this dtype; None where it has none."""
        return None

    def weighted_gradient(self, theta: Float[AnyArray, " p"], weights: Float[Array, " rows"]) -> Float[Array, " p"]:
        """The gradient with the loss of each data row times its weight, [rows].

        Raises:
            InputError: The loss has no data rows.
        """
        raise InputError("mini-batches need a data set; this loss is an expectation, or of unknown parts.")

    @property
    def inputs(self) -> int:
        """Number d of standard Gaussian inputs over which the loss is 1/2 E residual^2.

        Raises:
            InputError: The loss is no such expectation.
        """
        raise InputError("sgd needs a loss over Gaussian inputs with a teacher; data sets have minibatch:8 instead.")

    def residual(self, theta: Float[AnyArray, " p"], x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """Student minus teacher at these inputs.

        Raises:
            InputError: The loss is no mean of its square over Gaussian inputs.
        """
        raise InputError("sgd needs a loss over Gaussian inputs with a teacher; data sets have minibatch:8 instead.")


class Problem(Loss):
    """A landscape: a Loss with a chart, starting points, facts and an error model.

    Attributes:
        kind: Name of the family, e.g. "teacher_student".
        width: Number of neurons, None where there are none to speak of.
        lower_bound: A number that no loss lies below, None if none is known.
        least_of_all_widths: The infimum of the loss over all widths, None where it is not known.
        normalisation: What the loss value means, in a formula; stored with every loss.
        scale: Length unit of theta; tolerances are multiples of it.
        coercive: Whether the loss is known to grow without bound with theta: then nothing is lost at infinity.
        certifiable: Whether a convex program of finite size knows the least loss of all widths.
        error_bounded: Whether `loss_error` is a bound; else it is an estimate, and evidence is at most numerical.
        isolated: Whether minima are isolated as a rule, so that one is soon known to be that of a descent.
        kinked: Whether the gradient jumps on surfaces on which minima and saddles may lie.
        room: The `theory.room.Room` of a problem from outside the package; None for those that the package knows.
    """

    kind: ClassVar[str]
    width: int | None
    lower_bound: LowerBound | None = None
    least_of_all_widths: float | None = None

    normalisation: str
    scale: float
    coercive: bool = False
    certifiable: bool = False
    error_bounded: bool = True
    isolated: bool = False
    kinked: bool = False
    room: Any = None

    @property
    def gradient_scale(self) -> float:
        """Size of the gradient where theta is off by about `scale`: the scale, for curvature of order one."""
        return self.scale

    @property
    def loss_range(self) -> float:
        """Size of what losses at starts are above the least one."""
        return self.scale * self.gradient_scale

    @property
    def loss_unit(self) -> float:
        """What losses are told apart in: 1, or less where a small scale makes all losses small."""
        return 1.0

    @property
    def symmetry(self) -> Symmetry | Callable[[np.ndarray], np.ndarray] | None:
        """What leaves the loss unchanged: a group, a map to canonical points, or None where nothing is known."""
        return None

    # -- starting points, chart, facts ---------------------------------------------------------------------------------

    @abc.abstractmethod
    def start(self, key: Array, init: str, init_scale: float | Array) -> Float[Array, " p"]:
        """A random starting point in float64."""

    @abc.abstractmethod
    def read(self, theta: np.ndarray) -> Any:
        """The parameters that theta stands for, in float64."""

    @abc.abstractmethod
    def write(self, params: Any) -> np.ndarray:
        """The theta that stands for these parameters, [p] float64.

        Raises:
            InputError: The shape is wrong or a number is not finite.
        """

    def matrices(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """theta as matrices by name, each [rows, columns], for the eye: neurons in rows where there are any."""
        return {"theta": np.asarray(theta, np.float64)[None]}

    def points(self, params: Any) -> list[np.ndarray] | None:
        """The theta of each of several points, where params have one more axis in front; None where they are one."""
        return None

    def filters(self) -> Int[np.ndarray, " p"]:
        """The number of the filter, the weights into one neuron, that each coordinate is of, [p]; by default all one.

        Random directions of slices are as long, filter by filter, as the weights themselves (Li et al. 2018).
        """
        return np.zeros(self.p, np.int64)

    def facts(self) -> dict[str, Any]:
        """What `--json` says of the problem: kind, width, number of parameters, and what the family adds."""
        return {"kind": self.kind, "width": self.width, "parameters": self.p, "normalisation": self.normalisation}

    def __str__(self) -> str:
        return "\n".join(f"{name}: {value}" for name, value in self._said())

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return markup.facts(self._said())

    def _said(self) -> list[tuple[str, str]]:
        """The facts in words, few enough to be read at a glance."""
        facts = self.facts()
        sizes = ", ".join(f"{name} {facts[name]}" for name in SIZES if facts.get(name) is not None)
        bound = "unknown" if self.lower_bound is None else f"{self.lower_bound.value:g} ({self.lower_bound.by})"
        return [
            ("problem", self.kind.replace("_", " ") + (f": {sizes}" if sizes else "")),
            ("parameters", str(self.p)),
            ("loss", self.normalisation),
            ("lower bound", bound),
        ]

    def defaults(self) -> dict[str, Any]:
        """Fields of the run's settings that suit this problem better than the general ones.

        A step here is one of gradient descent; methods whose step is a length take a tenth of the scale.
        """
        return {}

    def as_study(self) -> tuple[str, dict[str, Any]] | None:
        """Name and fields of the study that makes this very problem; None where the problem cannot be written down."""
        return None

    def fingerprint(self) -> str:
        """A digest of everything that defines the problem: two problems of one fingerprint may share a run folder."""
        assert is_dataclass(self)
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "lower_bound"}
        return digest(self.kind, said)

    def of_width(self, width: int) -> Problem:
        """The same problem with another number of neurons.

        Raises:
            InputError: The problem has none to speak of.
        """
        raise InputError(f"a {self.kind} problem has no width that can be changed.")

    def with_bound(self, bound: LowerBound | None) -> Problem:
        """The same problem with another lower bound; compiled code does not look at it."""
        other = copy.copy(self)
        object.__setattr__(other, "lower_bound", bound)
        return other

    def neurons(self) -> Int[np.ndarray, "width q"] | None:
        """Coordinates of neurons that can change places at no cost, one a row; None, by default, where none can."""
        return None

    def quartic_pieces(self, first: np.ndarray, second: np.ndarray) -> Float[np.ndarray, " k"] | None:
        """Shares of the way from one theta to another between which the loss is a polynomial of degree four at most.

        Both ends, 0 and 1, are among them. None, by default, where it is no such polynomial.
        """
        return None

    def tangents(self, thetas: Float[AnyArray, "m p"]) -> Float[np.ndarray, "m g p"]:
        """Directions in which a continuous symmetry moves each of some points: the loss is constant along them.

        By default the rotations of a `Symmetry`, and none where there is no such group. Rows may be zero or dependent.
        """
        group = self.symmetry
        if not isinstance(group, Symmetry):
            return np.zeros((len(thetas), 0, self.p))
        each = [continuous_modes(theta, group) for theta in np.asarray(thetas)]
        out = np.zeros((len(each), max(map(len, each), default=0), self.p))
        for rows, modes in zip(out, each, strict=True):
            rows[: len(modes)] = modes
        return out

    def flat_directions(self, theta: np.ndarray) -> np.ndarray:
        """Directions along which the loss cannot change at theta beside `tangents`, [g, p]; none by default."""
        return np.zeros((0, self.p))

    # -- how exact the numbers are -------------------------------------------------------------------------------------

    def loss_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `loss` at theta in float64; by default `estimated_error`."""
        return estimated_error(self, theta)

    def hessian_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `hessian` in the spectral norm, beyond a few eps of the Hessian itself.

        Zero by default: none is known.
        """
        return 0.0

    def smooth_radius(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """The Hessian is continuous closer to theta than this; by default the scale is taken, for want of knowledge."""
        return jnp.full((), self.scale, theta.dtype)

    def third_derivative(self, theta: Float[AnyArray, " p"], radius: float | Float[Array, ""]) -> Float[Array, ""]:
        """Lipschitz constant of the Hessian within `radius` of theta; inf, the default, where no bound is known."""
        return jnp.full((), jnp.inf, theta.dtype)

    def third_derivative_near(self, theta: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """Lipschitz constants of the Hessian within each of some radii [r] of theta [p], sharp for small ones.

        For the host. By default inf: none is known that is sharper than `third_derivative`.
        """
        return np.full(len(radii), np.inf)

    @property
    def third_derivative_known(self) -> bool:
        """Whether `third_derivative` is ever finite, so that a basin can be shown."""
        return False


# For programs that run rarely: compiled in a third of the time, and hardly slower. The older way in which XLA writes
# loops for a CPU is compiled in two thirds of the time that the newer one takes; JAX 0.11.1 has the newer one only.
OLDER_LOOPS = {"xla_cpu_use_fusion_emitters": False} if jax.__version_info__ < (0, 11, 1) else {}
QUICK = {"xla_backend_optimization_level": 1, **OLDER_LOOPS}
losses_at = jax.jit(jax.vmap(lambda problem, theta: problem.loss(theta), in_axes=(None, 0)), compiler_options=QUICK)
gradients_at = jax.jit(lambda problem, theta: problem.gradients(theta), compiler_options=QUICK)
third_derivative_at = jax.jit(
    lambda problem, theta, radius: problem.third_derivative(theta, radius), compiler_options=QUICK
)


def times(a: Any, b: Any) -> Array:
    """The matrix product a b in full precision: one TF32 product would cost three digits."""
    return jnp.matmul(a, b, precision=HIGHEST)


def is_landscape(problem: Any) -> None:
    """Raises InputError unless this is a problem."""
    if not isinstance(problem, Problem):
        raise InputError(
            f"problem must be a landscape, as teacher_student or from_loss make one, found {shortened(problem)}."
        )


def estimated_error(problem: Problem, theta: np.ndarray, roundings: float = 8.0) -> float:
    """The rounding error of a loss, estimated and not bounded.

    Four times the spread of the loss over 16 perturbations of theta by one ulp, and some roundings of its value in the
    dtype that the loss is computed in.
    """
    theta = np.asarray(theta, np.float64)
    nudges = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], size=(16, theta.size))
    points = np.concatenate([theta[None], theta * (1 + EPS * nudges)])
    with float64():
        found = losses_at(problem, jnp.asarray(points))
        eps = float(jnp.finfo(found.dtype).eps)
        values = np.asarray(found, np.float64)
    return float(4 * np.max(np.abs(values - values[0])) + roundings * eps * abs(values[0]))


# -- fingerprints ------------------------------------------------------------------------------------------------------


def digest(*parts: Any) -> str:
    """SHA-256 of numbers, texts, arrays, and tuples, dicts and dataclasses of them, in hexadecimal.

    Raises:
        TypeError: A part is something else, of which two equal ones cannot be told from two different ones.
    """
    feed = hashlib.sha256()

    def take(part: Any) -> None:
        if part is None or isinstance(part, str | bool | int):
            feed.update(f"{type(part).__name__}:{part};".encode())
        elif isinstance(part, float):
            feed.update(f"float:{part.hex()};".encode())
        elif isinstance(part, np.ndarray | np.generic | jax.Array):
            array = np.ascontiguousarray(part)
            feed.update(f"array:{array.dtype}:{array.shape}:".encode() + array.tobytes())
        elif isinstance(part, tuple | list):
            feed.update(f"tuple:{len(part)}:".encode())
            for one in part:
                take(one)
        elif isinstance(part, dict):
            for name in sorted(part):
                take(name)
                take(part[name])
        elif hasattr(part, "__fingerprint__"):
            take(part.__fingerprint__())
        else:
            raise TypeError(f"no fingerprint is known of a {type(part).__name__}")

    for part in parts:
        take(part)
    return feed.hexdigest()


def rounded(values: Any) -> np.ndarray:
    """Numbers rounded to ten digits of the largest of them: alike on machines whose last bits differ."""
    values = np.asarray(values, np.float64)
    finite = values[np.isfinite(values)]
    size = float(np.max(np.abs(finite))) if finite.size else 0.0
    unit = 10.0 ** (np.floor(np.log10(size)) - 10) if size > 0 else 1.0
    return np.where(np.isfinite(values), np.round(values / unit), values) + 0.0
