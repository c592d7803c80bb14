"""Two-layer networks on a finite data set, with weight decay: loss, gradient, Hessian, kinks.

With z = X w_j for the rows x_k of the data (a column of ones appended where the hidden neurons have a bias),

    L(theta) = loss(f) + (weight_decay / 2) sum_j (|w_j|^2 + a_j^2),    f = sum_j a_j s(X w_j) + b0,

loss(f) = 1/2 |f - y|^2 ("squared"), sum log(1 + exp(-y f)) ("logistic"), or the sum of Huber losses with the bend at 1.
theta is the hidden weights neuron by neuron, each with its bias last, then the outer weights, then b0 if there is one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from landscape.arrays import AnyArray
from landscape.precision import float64
from landscape.problems.activation import RELU, Activation
from landscape.problems.activation import activation as find_activation
from landscape.problems.datafit import Data, DataFit, datafit
from landscape.problems.defaults import ON_DATA
from landscape.problems.params import Params
from landscape.problems.problem import EPS, HIGHEST, Problem, times
from landscape.records import InputError, LowerBound, dimensions, numbers, one_of, real, whole

BIASES = ("none", "regularised", "free")
_NOT_NEGATIVE = LowerBound(0.0, "losses and weight decay are not negative")


WRITTEN = 2**16  # numbers of a design that a manifest holds: some MB as text


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["x", "y", "weight_decay"],
    meta_fields=["width", "activation", "fit", "bias", "outer_bias"],
    drop_fields=["lower_bound"],
)  # new data of the same shape do not recompile, a new width does
@dataclass(frozen=True, eq=False, repr=False)
class Empirical(Problem):
    """A two-layer network of some width on a data set. Made by `empirical`.

    Attributes:
        x: The design, [n, d]: the inputs, with a column of ones appended where hidden neurons have a bias.
        y: Targets, [n]; +-1 for the logistic loss.
        weight_decay: beta.
        width: Number of neurons.
        activation: Of the hidden neurons.
        fit: What the outputs cost: squared, logistic or huber.
        bias: Of the hidden neurons: "none", "regularised" (weight decay acts on it too) or "free".
        outer_bias: b0, alike.
        lower_bound: No loss lies below it.
    """

    x: Any
    y: Any
    weight_decay: Any
    width: int
    activation: Activation
    fit: DataFit
    bias: str
    outer_bias: str
    lower_bound: LowerBound = _NOT_NEGATIVE

    kind = "empirical"

    @property
    def rows(self) -> int:
        """Number of data rows."""
        return self.y.shape[0]

    @property
    def d(self) -> int:
        """Columns of the design, the bias included."""
        return self.x.shape[1]

    @property
    def p(self) -> int:
        """Number of coordinates of theta."""
        return self.width * (self.d + 1) + (self.outer_bias != "none")

    @property
    def kinked(self) -> bool:
        """Whether the gradient jumps where a neuron's pre-activation at a row changes sign."""
        return self.activation.kinked

    @property
    def certifiable(self) -> bool:
        """Whether a convex program of finite size knows the least loss of all widths: see `theory.convex`."""
        known = self.fit.dual is not None and self.bias != "free"
        return known and self.activation == RELU and float(self.weight_decay) > 0

    @property
    def normalisation(self) -> str:
        """What the loss value means."""
        return f"{self.fit.formula} + (weight_decay / 2) sum (|w|^2 + a^2), weight_decay = {self.weight_decay:g}"

    @property
    def scale(self) -> float:
        """Typical size of a weight: sqrt(|y| / |x|), where one neuron fits the data's size; 0.01 where y is zero."""
        x, y = float(np.linalg.norm(self.x, 2)), float(np.linalg.norm(self.y))
        return float(np.clip(np.sqrt(y / x), 1e-6, 1e6)) if x > 0 and y > 0 else 1e-2

    def facts(self) -> dict[str, Any]:
        """Sizes of the data, the activation, and what is paid, beside what every problem says."""
        own = {"rows": len(self.y), "dimension": self.d, "activation": str(self.activation), "loss": self.fit.name}
        own |= {"weight_decay": float(self.weight_decay), "bias": self.bias, "outer_bias": self.outer_bias}
        return super().facts() | own

    def as_study(self) -> tuple[str, dict[str, Any]] | None:
        """The study of one width on these data, which go along; None where they are more than WRITTEN numbers."""
        if np.size(self.x) > WRITTEN:
            return None
        x = self.x if self.bias == "none" else self.x[:, :-1]  # the last column is the bias's own
        content = {
            "x": np.asarray(x).tolist(),
            "y": np.asarray(self.y).tolist(),
            "loss": self.fit.name,
            "weight_decay": float(self.weight_decay),
            "bias": {"hidden": self.bias, "outer": self.outer_bias},
            "activation": self.activation.name,
            "slope": self.activation.slope,
        }
        return "hidden-convex", {"data": json.dumps(content), "width": self.width, "listed": 0}

    def defaults(self) -> dict[str, Any]:
        """A step well within what is stable, and an early finish: descents do not settle at ties."""
        return {"step_size": self.step_size(), **ON_DATA}

    def of_width(self, width: int) -> Empirical:
        """The same problem with another number of neurons."""
        return replace(self, width=width)

    def matrices(self, theta: np.ndarray) -> dict[str, np.ndarray]:
        """Neurons in rows, hidden weights and then the outer one, the heaviest neuron (|w| |a|) first."""
        m, d = self.width, self.d
        theta = np.asarray(theta, np.float64)
        neurons = np.column_stack([theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)]])
        heavy = np.argsort(-np.linalg.norm(neurons[:, :d], axis=1) * np.abs(neurons[:, d]), kind="stable")
        found = {"neurons: hidden weights, outer weight": neurons[heavy]}
        return found if self.outer_bias == "none" else found | {"outer bias": theta[None, -1:]}

    def points(self, params: Any) -> list[np.ndarray] | None:
        """theta of each network where hidden is [points, width, d]."""
        if not isinstance(params, Params) or dimensions(params.hidden) != 3:
            return None
        parts = [None if part is None else np.asarray(part) for part in params]
        many = range(len(params.hidden))
        if any(part is not None and part.shape[:1] != (len(many),) for part in parts):
            raise InputError(f"every part of params must begin with the {len(many)} points that hidden has.")
        return [self.write(Params(*(None if part is None else part[i] for part in parts))) for i in many]  # pyright: ignore[reportArgumentType]

    @property
    def gradient_scale(self) -> float:
        """The scale times `curvature`."""
        return self.scale * self.curvature()

    @property
    def coercive(self) -> bool:
        """Whether weight decay holds all parameters."""
        return float(self.weight_decay) > 0 and "free" not in (self.bias, self.outer_bias)

    @property
    def data(self) -> Data:
        """What the convex room sees of it."""
        return Data(self.x, self.y, float(self.weight_decay), self.fit.name, self.outer_bias)

    @property
    def symmetry(self) -> Callable[[np.ndarray], np.ndarray]:
        """A map to one representative under permutations of the neurons, [p]: sorted by outer weight."""
        m, d = self.width, self.d

        def canonical(theta: np.ndarray) -> np.ndarray:
            theta = np.asarray(theta)
            hidden, outer = theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)]
            order = np.lexsort((*hidden.T, outer))
            return np.concatenate([hidden[order].reshape(-1), outer[order], theta[m * (d + 1) :]])

        return canonical

    def _split(self, theta: AnyArray) -> tuple[AnyArray, AnyArray, AnyArray | np.floating]:
        """Hidden [m, d], outer [m], b0 (0 where there is none; one number of a NumPy theta is no array)."""
        m, d = self.width, self.d
        b0 = theta[-1] if self.outer_bias != "none" else jnp.zeros((), theta.dtype)
        return theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)], b0

    @property
    def penalised(self) -> np.ndarray:
        """1 for the coordinates that weight decay counts and 0 for free biases, [p]."""
        hidden = np.ones((self.width, self.d))
        if self.bias == "free":
            hidden[:, -1] = 0.0
        tail = [] if self.outer_bias == "none" else [np.array([float(self.outer_bias == "regularised")])]
        return np.concatenate([hidden.reshape(-1), np.ones(self.width), *tail])

    def _decay(self, dtype: Any) -> Array:
        """What weight decay multiplies each coordinate with, [p]."""
        return jnp.asarray(self.weight_decay, dtype) * jnp.asarray(self.penalised, dtype)

    def _of(self, theta: AnyArray) -> tuple[Array, Array, AnyArray, AnyArray, Array, Array]:
        """x, y in theta's dtype, hidden, outer, pre-activations z [n, m], outputs f [n]."""
        x, y = jnp.asarray(self.x, theta.dtype), jnp.asarray(self.y, theta.dtype)
        hidden, outer, b0 = self._split(theta)
        z = times(x, hidden.T)
        return x, y, hidden, outer, z, times(self.activation.s(z), outer) + b0

    def outputs(self, theta: Float[AnyArray, " p"]) -> Float[Array, " n"]:
        """f, the outputs at the data."""
        return self._of(theta)[-1]

    def loss(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """L at theta. `jax.grad` of it is `gradient`."""
        return _loss(self, theta)

    def gradient(self, theta: Float[AnyArray, " p"]) -> Float[Array, " p"]:
        """dL/dtheta, at a kink that of the inactive side."""
        return self.weighted_gradient(theta, None)

    def weighted_gradient(self, theta: Float[AnyArray, " p"], weights: Float[Array, " n"] | None) -> Float[Array, " p"]:
        """The gradient with each row's loss times its weight, [n]: of a mini-batch where they are n / size or 0."""
        act, (hidden, outer, b0) = self.activation, self._split(theta)
        x, y = jnp.asarray(self.x, theta.dtype), jnp.asarray(self.y, theta.dtype)
        # Data on the last axis, [m, n]: the activation is one long vector operation, and all up to 2.5 times faster.
        z = times(hidden, x.T)
        s = act.s(z)
        r = self.fit.slope(times(outer, s) + b0, y)
        if weights is not None:
            r = r * weights
        inner = times(act.d1(z) * r, x) * outer[:, None]
        parts = [inner.reshape(-1), times(s, r)]
        if self.outer_bias != "none":
            parts.append(jnp.sum(r)[None])
        return jnp.concatenate(parts) + self._decay(theta.dtype) * theta

    def hessian(self, theta: Float[AnyArray, " p"]) -> Float[Array, "p p"]:
        """d^2 L / dtheta^2, at a kink that of the inactive side."""
        act = self.activation
        x, y, _, outer, z, f = self._of(theta)
        r, curved = self.fit.slope(f, y), self.fit.curvature(f, y)
        n, m, d = x.shape[0], self.width, self.d
        slope = act.d1(z)
        inner = (slope * outer)[:, :, None] * x[:, None, :]
        parts = [inner.reshape(n, m * d), act.s(z)]
        if self.outer_bias != "none":
            parts.append(jnp.ones((n, 1), theta.dtype))
        jacobian = jnp.concatenate(parts, axis=1)
        h = times(jacobian.T * curved, jacobian) + jnp.diag(self._decay(theta.dtype))
        own = jnp.einsum("kj,kd,ke->jde", act.d2(z) * r[:, None] * outer, x, x, precision=HIGHEST)
        cross = times((slope * r[:, None]).T, x)
        at = np.arange(m)
        block = jnp.zeros((m, d, m, d), theta.dtype).at[at, :, at, :].set(own).reshape(m * d, m * d)
        mixed = jnp.zeros((m, d, m), theta.dtype).at[at, :, at].set(cross).reshape(m * d, m)
        h = h.at[: m * d, : m * d].add(block)
        h = h.at[: m * d, m * d : m * (d + 1)].add(mixed)
        return h.at[m * d : m * (d + 1), : m * d].add(mixed.T)

    @property
    def block(self) -> int:
        """512 KB of pre-activations, and no fewer than 32 lanes."""
        return int(np.clip(1 << int(np.log2(2**16 / (self.width * len(self.y)) + 1)), 32, 512))

    def loss_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `loss` at theta in float64.

        An output is a sum of m products of sums of d products, off by (m + d + 8) eps of the sum of their sizes (8 for
        the activation, whose slope is at most 1.2; a square has twice its root's relative error); then the sums over
        rows and weights.
        """
        theta = np.asarray(theta, np.float64)
        m, d, n = self.width, self.d, len(self.y)
        hidden, outer = theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)]
        b0 = float(theta[-1]) if self.outer_bias != "none" else 0.0
        size = np.abs(self.x) @ np.abs(hidden).T
        act = self.activation
        size = act.reach(size)
        spread = size @ np.abs(outer) + abs(b0)
        off = (m + act.order * d + 8) * EPS * spread
        if act.odd_and_even is not None:  # for labels, which ask thousands of times
            odd, even = act.odd_and_even
            z = self.x @ hidden.T
            f = (odd * z + even * np.abs(z)) @ outer + b0
        else:
            with float64():
                f = np.asarray(self.outputs(jnp.asarray(theta)), np.float64)
        slope, value = self.fit.sizes(f, self.y)
        decay = 0.5 * float(self.weight_decay) * float((self.penalised * theta) @ theta)
        return float(np.sum(off * slope + 0.5 * off * off) + EPS * (n + 4) * value + EPS * (self.p + 4) * decay)

    def hessian_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `hessian`, entries of sums over n rows, in the Frobenius norm."""
        with float64():
            jacobian = np.abs(np.asarray(jax.jacobian(self.outputs)(jnp.asarray(theta, jnp.float64))))
        return float((len(self.y) + 8 * self.d + self.width) * EPS * np.linalg.norm(jacobian) ** 2)

    def curvature(self) -> float:
        """The Hessian's size at networks that fit: 2 |x| |y|, or a quarter for logistic loss, and weight decay.

        At a neuron of norm c^(1/2) on both layers that carries c = |y| / |x|, a^2 X'X and |h|^2 are both |x| |y|.
        """
        x = float(np.linalg.norm(self.x, 2))
        y = self.fit.residual(self.y)
        return 2 * x * max(y, x * 1e-2) + float(self.weight_decay)

    def step_size(self) -> float:
        """A step well within what is stable there: the largest power of two up to 1 / (2 curvature).

        Descents jump over ties, and a long step ends in other basins than the flow; a start of many large neurons may
        need a shorter one still.
        """
        return float(2.0 ** np.floor(-np.log2(2 * self.curvature())))

    def smooth_radius(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """The distance to the nearest kink; about the scale where there is none."""
        if not self.kinked:
            ratio = jnp.linalg.norm(jnp.asarray(self.y)) / jnp.linalg.norm(jnp.asarray(self.x))
            return jnp.sqrt(ratio).astype(theta.dtype)
        z = jnp.abs(self._of(theta)[4])
        norm = jnp.linalg.norm(jnp.asarray(self.x, theta.dtype), axis=1)
        return jnp.min(jnp.where(norm[:, None] > 0, z / jnp.maximum(norm, 1e-300)[:, None], jnp.inf))

    def start(self, key: Array, init: str, init_scale: float | Array) -> Float[Array, " p"]:
        """Random weights: hidden N(0, 1/d) and outer N(0, 1/m) ("xavier"), N(0, 2/d) and N(0, 2/m) ("he"), all N(0, 1)
        ("gaussian"), or unit rows and +-1 ("sphere"); b0 starts at 0."""
        m, d = self.width, self.d
        one, two = jax.random.split(key)
        hidden = jax.random.normal(one, (m, d), jnp.float64)
        outer = jax.random.normal(two, (m,), jnp.float64)
        if init == "sphere":
            hidden, outer = hidden / jnp.linalg.norm(hidden, axis=1, keepdims=True), jnp.where(outer < 0, -1.0, 1.0)
        else:
            gain = {"xavier": 1.0, "he": 2.0, "gaussian": None}[init]
            if gain is not None:
                hidden, outer = hidden * (gain / d) ** 0.5, outer * (gain / m) ** 0.5
        b0 = jnp.zeros(int(self.outer_bias != "none"))
        return jnp.concatenate([init_scale * hidden.reshape(-1), init_scale * outer, b0])

    def neurons(self) -> np.ndarray:
        """All of them, each with its outer weight."""
        m, d = self.width, self.d
        return np.column_stack([np.arange(m * d).reshape(m, d), m * d + np.arange(m)])

    def quartic_pieces(self, first: np.ndarray, second: np.ndarray) -> np.ndarray | None:
        """For squares of homogeneous activations, where a neuron's pre-activation at a row changes sign."""
        if not self.activation.homogeneous or self.fit.name != "squared":
            return None
        x = np.asarray(self.x, np.float64)
        here, there = (np.asarray(theta)[: self.width * self.d].reshape(-1, self.d) @ x.T for theta in (first, second))
        turns = (here * there) < 0
        return np.concatenate([[0.0], np.sort(here[turns] / (here - there)[turns]), [1.0]])

    def filters(self) -> np.ndarray:
        """One a hidden neuron, its bias included, and one for the output, its bias included."""
        return np.minimum(np.arange(self.p) // self.d, self.width)

    def read(self, theta: np.ndarray) -> Params:
        """The weights."""
        theta, m, d = np.array(theta, np.float64), self.width, self.d
        hidden, biased = theta[: m * d].reshape(m, d), self.bias != "none"
        return Params(
            hidden=hidden[:, :-1] if biased else hidden,
            outer=theta[m * d : m * (d + 1)],
            hidden_bias=hidden[:, -1] if biased else None,
            outer_bias=float(theta[-1]) if self.outer_bias != "none" else None,
        )

    def write(self, params: Params) -> np.ndarray:
        """theta of a network's weights, [p].

        Raises:
            InputError: A shape does not fit, a number is not finite, or a bias is missing or not in the model.
        """
        if not isinstance(params, Params) or params.outer is None:
            raise InputError("params must be a Params(hidden=[width, d], outer=[width]); both layers are trained.")
        inputs = self.d - (self.bias != "none")
        shapes = {
            "hidden": (self.width, inputs),
            "outer": (self.width,),
            "hidden_bias": (self.width,),
            "outer_bias": (),
        }
        has = {"hidden_bias": self.bias != "none", "outer_bias": self.outer_bias != "none"}
        parts = {}
        for name, shape in shapes.items():
            value = getattr(params, name)
            if not has.get(name, True):
                if value is not None and np.any(np.asarray(value) != 0):
                    raise InputError(f"params have a {name} and the problem has none; say how it is penalised.")
                continue
            array = np.zeros(shape) if value is None else numbers(value, name)
            if array.shape != shape:
                raise InputError(f"{name} must be of shape {list(shape)}, found {list(array.shape)}.")
            parts[name] = array
        hidden = parts["hidden"]
        if "hidden_bias" in parts:
            hidden = np.column_stack([hidden, parts["hidden_bias"]])
        tail = [np.atleast_1d(parts["outer_bias"])] if "outer_bias" in parts else []
        return np.concatenate([hidden.reshape(-1), parts["outer"], *tail])


@jax.custom_jvp
def _loss(problem: Empirical, theta: AnyArray) -> Array:
    _, y, _, _, _, f = problem._of(theta)
    return jnp.sum(problem.fit.value(f, y)) + 0.5 * jnp.sum(problem._decay(theta.dtype) * theta * theta)


@_loss.defjvp
def _loss_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    problem, theta = primals
    return _loss(problem, theta), times(problem.gradient(theta), tangents[1])


def empirical(
    x: Any,
    y: Any,
    width: int,
    activation: str | Activation = "relu",
    loss: str = "squared",
    weight_decay: float = 0.0,
    bias: str = "none",
    outer_bias: str = "none",
    slope: float = 0.01,
) -> Empirical:
    """A two-layer network with one output on a data set.

    Args:
        x: Inputs, [n, d].
        y: Targets, [n] or [n, 1]; for the logistic loss labels -1 and 1 (or 0 and 1, which are taken as -1 and 1).
        width: Number of neurons.
        activation: One of `activation.ACTIVATIONS`. Certificates from convex programs are for relu.
        loss: "squared": 1/2 |f - y|^2; "logistic": sum log(1 + exp(-y f)); "huber": with its bend at 1.
        weight_decay: beta of (beta / 2) sum (|w|^2 + a^2). See `converted` for what a framework calls weight decay.
        bias: Of the hidden neurons: "none", "regularised" (weight decay acts on it too) or "free".
        outer_bias: Of the output, alike.
        slope: Of leaky_relu on the negative side.

    Raises:
        InputError: A shape does not fit, a number is not finite, a name is unknown, or a label is none.
    """
    x, y = numbers(x, "x"), numbers(y, "y")
    if x.ndim == 1:
        x = x[:, None]
    if x.ndim != 2 or 0 in x.shape:
        raise InputError(f"x must be a matrix, one input a row; found an array of shape {x.shape}.")
    if y.shape == (len(x), 1):
        y = y[:, 0]
    if y.shape != (len(x),):
        raise InputError(f"y must be {len(x)} numbers, one for each row of x; found shape {y.shape}.")
    fit = datafit(loss)
    one_of("bias", bias, BIASES)
    one_of("outer_bias", outer_bias, BIASES)
    weight_decay = real("weight_decay", weight_decay, least=0)
    y = fit.targets(y)
    if bias != "none":
        x = np.column_stack([x, np.ones(len(x))])
    act = find_activation(activation, slope)
    return Empirical(x, y, weight_decay, whole("width", width, 1), act, fit, bias, outer_bias)


def converted(weight_decay: float, n: int, loss: str, reduction: str) -> float:
    """beta of a network that was trained on another reduction of the same loss.

    Args:
        weight_decay: lambda as the framework has it: (lambda / 2) |theta|^2 is added to the reduced loss, as PyTorch's
            and optax's coupled weight decay do.
        n: Number of rows.
        loss: Name of the loss.
        reduction: "sum_half": ours, 1/2 sum (f - y)^2 (for other losses: the sum); "sum": sum (f - y)^2; "mean": the
            mean of (f - y)^2, or of the log losses.

    Raises:
        InputError: The reduction is unknown or has no such loss.
    """
    if reduction == "decoupled":
        raise InputError(
            "decoupled weight decay (AdamW) is not the gradient of any loss, so its ends are no stationary points; "
            "train with coupled weight decay."
        )
    twice = datafit(loss).halved
    factor = {"sum_half": 1.0, "sum": 1 / twice, "mean": n / twice}
    if reduction not in factor:
        raise InputError(f"reduction {reduction!r} is unknown; known are {', '.join(factor)}.")
    return factor[reduction] * weight_decay
