"""Parallel sums of positively homogeneous subnetworks with a regulariser of the same degree (Haeffele and Vidal 2017).

    L(W_1, ..., W_r) = loss(f) + lambda sum_j g(W_j),  f = sum_j phi(W_j; x),  phi(tW) = t^p phi(W), g(tW) = t^p g(W)

for t > 0, g >= 0. loss(f) = 1/2 |f - y|^2 ("squared") or sum log(1 + exp(-y f)) over all entries ("logistic").

| subnetwork | phi(W) | g(W) | p |
| --- | --- | --- | --- |
| rank_one (matrix factorisation) | u v' | 1/2 (|u|^2 + |v|^2) | 2 |
| relu | relu(x w) a' | 1/2 (|w|^2 + |a|^2) | 2 |
| quadratic | (x w)^2 a' | 2/3 |w|^3 + 1/3 |a|^3 | 3 |
| deep_relu | relu(relu(x V) w) a' | 1/3 (|V|^3 + |w|^3 + |a|^3) | 3 |
| the user's own | a JAX function | a JAX function | declared, and measured |

theta is the weights subnetwork by subnetwork. A two-layer ReLU network with one output is an `Empirical` problem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from landscape.problems.empirical import Empirical, empirical
from landscape.problems.problem import Automatic, losses_at
from landscape.records import InputError, LowerBound, numbers, whole

EPS = float(np.finfo(float).eps)
_HIGHEST = jax.lax.Precision.HIGHEST
_NOT_NEGATIVE = LowerBound(0.0, "loss and regulariser are not negative")
DRAWS = 8  # random weights on which degrees are measured
AGREE = 1e-6  # measured degrees agree with each other and with what is declared to this


@dataclass(frozen=True)
class Subnetwork:
    """One of the parallel subnetworks: what it computes, what it costs, and their degree.

    Attributes:
        name: Of the family.
        init: A `jax.random` key -> weights, any pytree of arrays; its structure is that of all weights.
        output: (weights, x) -> outputs, in the shape of y; traceable by JAX.
        penalty: weights -> g >= 0, zero only where the output is; traceable by JAX.
        degree: p of the output.
        penalty_degree: Degree of g; p by default.
        coercive: Whether g is known to grow without bound with the weights.
        roundings: How many roundings, in units of eps, an output of weights and inputs in absolute value is off by;
            None where that is not known.
    """

    name: str
    init: Callable[[Array], Any]
    output: Callable[[Any, Any], Array]
    penalty: Callable[[Any], Array]
    degree: float
    penalty_degree: float | None = None
    coercive: bool = False
    roundings: int | None = None


class Degrees(NamedTuple):
    """Measured degrees of output and regulariser; None for what is not positively homogeneous."""

    output: float | None
    penalty: float | None


# --- families ---


def _times(a: Any, b: Any) -> Array:
    return jnp.matmul(a, b, precision=_HIGHEST)


def _square(w: Array) -> Array:
    return jnp.sum(w * w)


def cube(w: Array) -> Array:
    """|w|^3, with its first two derivatives right at zero, where automatic ones are not a number."""
    s = jnp.sum(w * w)
    return jnp.where(s > 0, jnp.where(s > 0, s, 1.0) ** 1.5, 0.0)


def _outputs(height: Array, a: Array) -> Array:
    """Heights [n] times the outer weights: [n] for a scalar a, [n, c] for a vector."""
    return height * a if a.ndim == 0 else height[:, None] * a[None, :]


def _normal(*shapes: tuple[int, ...]) -> Callable[[Array], Any]:
    def init(key: Array) -> Any:
        keys = jax.random.split(key, len(shapes))
        fan = [shape[0] if shape else 1 for shape in shapes]
        return tuple(jax.random.normal(k, s, jnp.float64) / f**0.5 for k, s, f in zip(keys, shapes, fan, strict=True))

    return init


@lru_cache(maxsize=256)  # the same object for the same sizes, so that compiled programs are found again
def rank_one(rows: int, columns: int) -> Subnetwork:
    """u v', u [rows], v [columns]: of matrix factorisation."""
    return Subnetwork(
        name="rank_one",
        init=_normal((rows,), (columns,)),
        output=lambda w, x: w[0][:, None] * w[1][None, :],
        penalty=lambda w: 0.5 * (_square(w[0]) + _square(w[1])),
        degree=2.0,
        coercive=True,
        roundings=2,
    )


@lru_cache(maxsize=256)
def relu(d: int, c: int | None = None) -> Subnetwork:
    """relu(x w) a', w [d], a [c] or a number."""
    return Subnetwork(
        name="relu",
        init=_normal((d,), () if c is None else (c,)),
        output=lambda w, x: _outputs(jnp.maximum(_times(x, w[0]), 0.0), w[1]),
        penalty=lambda w: 0.5 * (_square(w[0]) + _square(w[1])),
        degree=2.0,
        coercive=True,
        roundings=d + 4,
    )


@lru_cache(maxsize=256)
def quadratic(d: int, c: int | None = None) -> Subnetwork:
    """(x w)^2 a', w [d], a [c] or a number."""
    return Subnetwork(
        name="quadratic",
        init=_normal((d,), () if c is None else (c,)),
        output=lambda w, x: _outputs(_times(x, w[0]) ** 2, w[1]),
        penalty=lambda w: 2 / 3 * cube(w[0]) + 1 / 3 * cube(w[1]),
        degree=3.0,
        coercive=True,
        roundings=2 * d + 6,
    )


@lru_cache(maxsize=256)
def deep_relu(d: int, hidden: int, c: int | None = None) -> Subnetwork:
    """relu(relu(x V) w) a', V [d, hidden], w [hidden], a [c] or a number."""
    return Subnetwork(
        name="deep_relu",
        init=_normal((d, hidden), (hidden,), () if c is None else (c,)),
        output=lambda w, x: _outputs(jnp.maximum(_times(jnp.maximum(_times(x, w[0]), 0.0), w[1]), 0.0), w[2]),
        penalty=lambda w: (cube(w[0]) + cube(w[1]) + cube(w[2])) / 3,
        degree=3.0,
        coercive=True,
        roundings=d + hidden + 6,
    )


FAMILIES = ("relu", "quadratic", "deep_relu")


# --- degrees ---


@lru_cache(maxsize=64)
def chart(net: Subnetwork) -> tuple[int, Callable[[Array], Any]]:
    """Number of weights q of a subnetwork, and the map from a vector [q] to them."""
    with jax.enable_x64(True):
        weights = net.init(jax.random.key(0, impl="threefry2x32"))
        leaves = jax.tree.leaves(weights)
        if not leaves or not all(jnp.issubdtype(jnp.asarray(leaf).dtype, jnp.floating) for leaf in leaves):
            raise InputError("init of a subnetwork must return a pytree of floating-point arrays.")
        weights = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), weights)
        flat, unravel = ravel_pytree(weights)

    def read(theta: Array) -> Any:
        # A float32 descent hands in float32; ravel's own chart insists on the dtype it was made with.
        return jax.tree.map(lambda leaf: leaf.astype(theta.dtype), unravel(theta.astype(jnp.float64)))

    return int(flat.size), read


def degrees(net: Subnetwork, x: Any) -> Degrees:
    """Degrees of output and regulariser, from random weights scaled by 1/2, 2 and 3.

    A function is taken for positively homogeneous if every scaled value is the same multiple of the unscaled one, to
    1e-9 of its size, and the multiple is a power of the scale, the same for all draws.
    """
    q, read = chart(net)
    with jax.enable_x64(True):
        draws = np.random.default_rng(0).normal(size=(DRAWS, q))

        def values(function: Callable[[Any], Array]) -> Callable[[np.ndarray], np.ndarray]:
            return lambda w: np.asarray(function(read(jnp.asarray(w))), np.float64).reshape(-1)

        return Degrees(
            _degree(values(lambda w: net.output(w, x)), draws), _degree(values(lambda w: net.penalty(w)), draws)
        )


def _degree(values: Callable[[np.ndarray], np.ndarray], draws: np.ndarray) -> float | None:
    found = []
    for w in draws:
        one = values(w)
        size = float(np.linalg.norm(one))
        if size == 0:  # a dead unit: says nothing
            continue
        for t in (0.5, 2.0, 3.0):
            scaled = values(t * w)
            factor = float(scaled @ one) / size**2
            if factor <= 0 or np.linalg.norm(scaled - factor * one) > 1e-9 * factor * size:
                return None
            found.append(np.log(factor) / np.log(t))
    if not found or max(found) - min(found) > AGREE:
        return None
    return float(np.round(np.mean(found), 9)) + 0.0


def _words(degree: float | None) -> str:
    return "not positively homogeneous" if degree is None else f"of degree {degree:g}"


def _checked(net: Subnetwork, x: Any, allow_mismatch: bool) -> bool:
    """Whether the degrees match.

    Raises:
        InputError: They are not what is declared, or do not match and that is not allowed.
    """
    found = degrees(net, x)
    declared = (net.degree, net.degree if net.penalty_degree is None else net.penalty_degree)
    for what, measured, said in zip(("output", "regulariser"), found, declared, strict=True):
        if measured is None or abs(measured - said) > AGREE:
            raise InputError(
                f"the {what} of subnetwork {net.name!r} is declared of degree {said:g} and measured to be "
                f"{_words(measured)} (at random weights scaled by 1/2, 2 and 3); declare what it is."
            )
    matched = abs(declared[0] - declared[1]) <= AGREE
    if not matched and not allow_mismatch:
        bad = (
            "near zero the regulariser outweighs the data, so that zero is a local minimum whatever the data say"
            if declared[0] > declared[1]
            else "splitting a subnetwork into many pieces makes the regulariser as small as one likes"
        )
        raise InputError(
            f"subnetwork {net.name!r} has an output of degree {declared[0]:g} and a regulariser of degree "
            f"{declared[1]:g}: {bad}. Raise the norms to powers that add up to degree {declared[0]:g}, or pass "
            "allow_mismatch=True to study it without certificates."
        )
    return matched


# --- the problem ---


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["x", "y", "regularisation"],
    meta_fields=["width", "net", "loss_name", "matched"],
    drop_fields=["lower_bound", "scale"],
)  # new data of the same shape do not recompile, a new width does
@dataclass(frozen=True, eq=False)
class Homogeneous(Automatic):
    """Parallel subnetworks on a data set. Made by `parallel` and `matrix_factorisation`.

    Attributes:
        x: Inputs, whatever the subnetwork takes; None for matrix factorisation.
        y: Targets, in the shape of the outputs.
        regularisation: lambda.
        width: Number of subnetworks.
        net: The subnetwork.
        loss_name: "squared" or "logistic".
        matched: Whether output and regulariser have one degree; without that there are no certificates.
        lower_bound: No loss lies below it.
        scale: Typical length of a subnetwork's weights.
    """

    x: Any
    y: Any
    regularisation: Any
    width: int
    net: Subnetwork
    loss_name: str
    matched: bool
    lower_bound: LowerBound = _NOT_NEGATIVE
    scale: float = 1.0

    kind = "homogeneous"
    # Descents may end at kinks of a user's subnetwork; nothing is known of them, and they come out as unconverged.
    kinked = False
    trailing = False
    block = 32
    rows = None

    @property
    def gradient_scale(self) -> float:
        """The scale: curvature is of order one."""
        return self.scale

    @property
    def q(self) -> int:
        """Number of weights of one subnetwork."""
        return chart(self.net)[0]

    @property
    def p(self) -> int:
        """Number of coordinates of theta."""
        return self.width * self.q

    @property
    def normalisation(self) -> str:
        """What the loss value means."""
        data = {"squared": "1/2 |f - y|^2", "logistic": "sum log(1 + exp(-y f))"}
        return f"{data[self.loss_name]} + lambda sum g(W_j), {self.net.name}, lambda = {float(self.regularisation):g}"

    @property
    def coercive(self) -> bool:
        """Whether the regulariser holds all weights."""
        return self.net.coercive and float(self.regularisation) > 0

    @property
    def symmetry(self) -> Callable[[np.ndarray], np.ndarray]:
        """Subnetworks in an order of their own."""
        return self.canonical

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """Subnetworks sorted, largest first, the largest entry of w (of u) positive where its sign is free.

        Ties between rounded lengths are broken by the weights. Rotations of factors are not taken out.
        """
        w = np.array(theta, np.float64).reshape(self.width, self.q)
        if self.net.name in ("quadratic", "rank_one"):
            d = np.asarray(self.x).shape[1] if self.net.name == "quadratic" else self.y.shape[0]
            top = np.take_along_axis(w[:, :d], np.argmax(np.abs(w[:, :d]), axis=1)[:, None], axis=1)
            w[:, : d if self.net.name == "quadratic" else None] *= np.where(top < 0, -1.0, 1.0)
        rounded = np.round(w / (1e-7 * self.scale))
        order = np.lexsort([*rounded.T[::-1], -np.round(np.linalg.norm(rounded, axis=1))])
        return w[order].reshape(-1)

    def subnetwork_outputs(self, theta: Float[Array, " p"]) -> Array:
        """phi(W_j), [width, *shape of y]."""
        read = chart(self.net)[1]
        x = None if self.x is None else jax.tree.map(lambda a: jnp.asarray(a, theta.dtype), self.x)
        return jax.vmap(lambda w: self.net.output(read(w), x))(theta.reshape(self.width, -1))

    def penalties(self, theta: Float[Array, " p"]) -> Float[Array, " width"]:
        """g(W_j)."""
        read = chart(self.net)[1]
        return jax.vmap(lambda w: self.net.penalty(read(w)))(theta.reshape(self.width, -1))

    def outputs(self, theta: Float[Array, " p"]) -> Array:
        """f, in the shape of y."""
        return jnp.sum(self.subnetwork_outputs(theta), axis=0)

    def loss(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """L at theta."""
        f, y = self.outputs(theta), jnp.asarray(self.y, theta.dtype)
        paid = 0.5 * (f - y) ** 2 if self.loss_name == "squared" else jax.nn.softplus(-y * f)
        return jnp.sum(paid) + jnp.asarray(self.regularisation, theta.dtype) * jnp.sum(self.penalties(theta))

    def loss_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `loss` in float64; of a user's own subnetwork an estimate.

        The families are sums of products, so the same network with all weights and inputs in absolute value bounds
        what the roundings are multiples of. For a user's own: four times the spread over nudges by one ulp.
        """
        theta = np.asarray(theta, np.float64)
        if self.net.roundings is None:
            nudges = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], size=(16, theta.size))
            points = np.concatenate([theta[None], theta * (1 + EPS * nudges)])
            with jax.enable_x64(True):
                values = np.asarray(losses_at(self, jnp.asarray(points)), np.float64)
            return float(4 * np.max(np.abs(values - values[0])) + 64 * EPS * abs(values[0]))
        size, paid = absolute(self, theta)
        f = outputs_at(self, theta)
        off = (self.net.roundings + self.width) * EPS * size
        if self.loss_name == "squared":
            slope, value = np.abs(f - self.y), 0.5 * float(np.sum((f - self.y) ** 2))
        else:
            slope, value = np.ones_like(f), float(np.sum(np.logaddexp(0.0, -self.y * f) + np.abs(f)))
        return float(
            np.sum(off * slope + 0.5 * off * off) + EPS * (self.y.size + 8) * value + EPS * (self.p + 8) * paid
        )

    def hessian_error(self, theta: np.ndarray) -> float:
        """None known beyond a few eps of the Hessian itself."""
        return 0.0

    def smooth_radius(self, theta: Float[Array, " p"]) -> Float[Array, ""]:
        """Unknown: taken as one."""
        return jnp.ones((), theta.dtype)

    def third_derivative(self, theta: Float[Array, " p"], radius: Float[Array, ""]) -> Float[Array, ""]:
        """No bound is known: inf."""
        return jnp.full((), jnp.inf, theta.dtype)

    def start(self, key: Array, init: str, init_scale: float) -> Float[Array, " p"]:
        """Random weights: the subnetwork's own draw ("xavier"), sqrt(2) times it ("he"), all N(0, 1) ("gaussian"), or
        each subnetwork's weights uniform on the unit sphere ("sphere")."""
        keys = jax.random.split(key, self.width)
        if init in ("xavier", "he"):
            w = jax.vmap(lambda k: ravel_pytree(self.net.init(k))[0].astype(jnp.float64))(keys)
            w = w * 2**0.5 if init == "he" else w
        else:
            w = jax.random.normal(key, (self.width, self.q), jnp.float64)
            w = w / jnp.linalg.norm(w, axis=1, keepdims=True) if init == "sphere" else w
        return (init_scale * w).reshape(-1)

    def read(self, theta: np.ndarray) -> Any:
        """The subnetwork's weights, each array with one more axis [width] in front."""
        with jax.enable_x64(True):
            w = jnp.asarray(theta, jnp.float64).reshape(self.width, self.q)
            return jax.tree.map(np.asarray, jax.vmap(chart(self.net)[1])(w))

    def write(self, params: Any) -> np.ndarray:
        """theta of weights, each array with one more axis [width] in front.

        Raises:
            InputError: The weights are not of the subnetwork's structure.
        """
        with jax.enable_x64(True):
            form = chart(self.net)[1](jnp.zeros(self.q))
            if jax.tree.structure(form) != jax.tree.structure(params):
                raise InputError(f"params must be {jax.tree.structure(form)}, as init of the subnetwork returns them.")
            leaves = [numbers(leaf, "params") for leaf in jax.tree.leaves(params)]
            for leaf, one in zip(leaves, jax.tree.leaves(form), strict=True):
                if leaf.shape != (self.width, *one.shape):
                    raise InputError(
                        f"an array of the weights must be of shape {[self.width, *one.shape]}, width first; found "
                        f"{list(leaf.shape)}."
                    )
        return np.concatenate([leaf.reshape(self.width, -1) for leaf in leaves], axis=1).reshape(-1)


@jax.jit
def _outputs_at(problem: Homogeneous, theta: Array) -> tuple[Array, Array]:
    return problem.subnetwork_outputs(theta), problem.penalties(theta)


def parts_at(problem: Homogeneous, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """phi(W_j) [width, *shape of y] and g(W_j) [width], in float64."""
    with jax.enable_x64(True):
        f, g = _outputs_at(problem, jnp.asarray(theta, jnp.float64))
        return np.asarray(f), np.asarray(g)


def outputs_at(problem: Homogeneous, theta: np.ndarray) -> np.ndarray:
    """f in float64, in the shape of y."""
    return parts_at(problem, theta)[0].sum(axis=0)


def absolute(problem: Homogeneous, theta: np.ndarray) -> tuple[np.ndarray, float]:
    """Outputs of the network with weights and inputs in absolute value, and lambda times its regulariser."""
    there = replace(problem, x=None if problem.x is None else np.abs(problem.x))
    f, g = parts_at(there, np.abs(theta))
    return f.sum(axis=0), float(problem.regularisation) * float(g.sum())


def with_width(problem: Homogeneous, width: int) -> Homogeneous:
    """The same problem with another number of subnetworks."""
    wider = replace(problem, width=width)
    return replace(wider, lower_bound=_bound_of(wider)) if problem.net.name == "rank_one" else wider


# --- construction ---


def parallel(
    x: Any,
    y: Any,
    width: int,
    subnetwork: str | Subnetwork = "relu",
    regularisation: float = 0.0,
    loss: str = "squared",
    hidden: int = 2,
    allow_mismatch: bool = False,
) -> Homogeneous | Empirical:
    """A parallel network with a regulariser of matched degree on a data set.

    Args:
        x: Inputs, [n, d] for the families; what the function takes for a user's own subnetwork (an array).
        y: Targets, [n], or [n, c] for c outputs; labels -1 and 1 for the logistic loss. For a user's own, in the shape
            of its outputs.
        width: Number of subnetworks.
        subnetwork: One of `FAMILIES`, or a `Subnetwork`. "relu" with one output is `empirical`'s network.
        regularisation: lambda > 0.
        loss: "squared" or "logistic", summed over all entries.
        hidden: Hidden units of each deep_relu subnetwork.
        allow_mismatch: Take degrees that do not match, for their study; then there are no certificates.

    Raises:
        InputError: A shape does not fit, a number is not finite, or the degrees are not what is declared or do not
            match.
    """
    x, y = numbers(x, "x"), numbers(y, "y")
    if not 0 < regularisation < np.inf:
        raise InputError(f"regularisation must be a positive number, found {regularisation}.")
    if loss not in ("squared", "logistic"):
        raise InputError(f"loss {loss!r} is unknown; known are squared, logistic.")
    if loss == "logistic" and not set(np.unique(y)) <= {-1.0, 1.0}:
        raise InputError("y must be labels -1 and 1 for the logistic loss.")
    if isinstance(subnetwork, str):
        if subnetwork not in FAMILIES:
            raise InputError(
                f"subnetwork {subnetwork!r} is unknown; known are {', '.join(FAMILIES)}, or pass your own."
            )
        if x.ndim != 2 or 0 in x.shape:
            raise InputError(f"x must be a matrix, one input a row; found an array of shape {x.shape}.")
        if y.ndim not in (1, 2) or len(y) != len(x):
            raise InputError(f"y must be [{len(x)}] or [{len(x)}, outputs], found shape {list(y.shape)}.")
        if subnetwork == "relu" and y.ndim == 1:
            return empirical(x, y, width, loss=loss, weight_decay=regularisation)
        c = None if y.ndim == 1 else y.shape[1]
        made = {"relu": relu, "quadratic": quadratic}
        net = deep_relu(x.shape[1], hidden, c) if subnetwork == "deep_relu" else made[subnetwork](x.shape[1], c)
    else:
        net = subnetwork
    return _made(x, y, width, net, regularisation, loss, allow_mismatch)


def matrix_factorisation(y: Any, width: int, regularisation: float, loss: str = "squared") -> Homogeneous:
    """sum_j u_j v_j' against a matrix y, with lambda / 2 sum_j (|u_j|^2 + |v_j|^2): lambda times the nuclear norm.

    Args:
        y: The matrix; entries -1 and 1 for the logistic loss.
        width: Number of terms.
        regularisation: lambda > 0.
        loss: "squared" or "logistic".

    Raises:
        InputError: y is no matrix of finite numbers, or lambda is not positive.
    """
    y = numbers(y, "y")
    if y.ndim != 2 or 0 in y.shape:
        raise InputError(f"y must be a matrix, found an array of shape {y.shape}.")
    if not 0 < regularisation < np.inf:
        raise InputError(f"regularisation must be a positive number, found {regularisation}.")
    if loss not in ("squared", "logistic") or (loss == "logistic" and not set(np.unique(y)) <= {-1.0, 1.0}):
        raise InputError("loss must be squared, or logistic with entries -1 and 1 in y.")
    return _made(None, y, width, rank_one(*y.shape), regularisation, loss, False)


def _made(
    x: Any, y: np.ndarray, width: int, net: Subnetwork, regularisation: float, loss: str, allow_mismatch: bool
) -> Homogeneous:
    q, read = chart(net)
    with jax.enable_x64(True):
        draws = np.random.default_rng(1).normal(size=(DRAWS, q))
        try:
            outputs = [np.asarray(net.output(read(jnp.asarray(w)), x)) for w in draws]
            paid = [np.asarray(net.penalty(read(jnp.asarray(w)))) for w in draws]
        except Exception as error:  # anything can go wrong in a user's function: say what and where
            raise InputError(f"the subnetwork raised at random weights: {type(error).__name__}: {error}") from error
    if outputs[0].shape != y.shape:
        raise InputError(f"the outputs of a subnetwork have shape {outputs[0].shape} and y has {y.shape}.")
    if paid[0].shape != () or not all(np.isfinite(g) and g > 0 for g in paid):
        raise InputError("the penalty of a subnetwork must be one positive number at any weights that are not zero.")
    matched = _checked(net, x, allow_mismatch)
    # Where one subnetwork would be of y's size; a subnetwork that is dead at random weights says nothing.
    sizes = [np.linalg.norm(f) / np.linalg.norm(w) ** net.degree for f, w in zip(outputs, draws, strict=True)]
    size = max(float(np.max(sizes)), 1e-9)
    scale = float(np.clip((float(np.linalg.norm(y)) / size) ** (1 / net.degree), 1e-2, 1e3))
    made = Homogeneous(x, y, float(regularisation), whole("width", width, 1), net, loss, matched, scale=scale)
    return replace(made, lower_bound=_bound_of(made)) if net.name == "rank_one" else made


def _bound_of(problem: Homogeneous) -> LowerBound:
    """Matrix factorisation with squared loss: the least loss of this width, in closed form (see `matrix_values`)."""
    if problem.loss_name != "squared":
        return _NOT_NEGATIVE
    return LowerBound(matrix_value(problem, problem.width), "singular values")


def matrix_value(problem: Homogeneous, width: int | None = None) -> float:
    """The least loss of squared matrix factorisation at a width, of all widths where it is None.

    By von Neumann's trace inequality the loss of X with singular values s is at least
    sum 1/2 (s_i - sigma_i)^2 + lambda s_i: each of `width` values is s_i = sigma_i - lambda where that is positive.
    """
    sigma, lam = np.linalg.svd(problem.y, compute_uv=False), float(problem.regularisation)
    use = (sigma > lam) & (np.arange(len(sigma)) < (len(sigma) if width is None else width))
    return float(np.sum(np.where(use, lam * sigma - 0.5 * lam * lam, 0.5 * sigma * sigma)))
