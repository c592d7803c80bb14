"""Parallel sums of positively homogeneous subnetworks with a regulariser of the same degree (Haeffele and Vidal 2017).

    L(W_1, ..., W_r) = loss(f) + lambda sum_j g(W_j),  f = sum_j phi(W_j; x),  phi(tW) = t^p phi(W), g(tW) = t^p g(W)

for t > 0, g >= 0. loss(f) = 1/2 |f - y|^2 ("squared") or sum log(1 + exp(-y f)) over all entries ("logistic").

theta is the weights subnetwork by subnetwork (`problems.subnetwork`). A two-layer ReLU network with one output is an
`Empirical` problem.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from landscape.arrays import AnyArray
from landscape.precision import float64
from landscape.problems import subnetwork as nets
from landscape.problems.datafit import DATAFITS, SQUARED, DataFit
from landscape.problems.problem import EPS, Problem, digest, estimated_error
from landscape.problems.subnetwork import DRAWS, FAMILIES, Subnetwork, chart, checked_degrees
from landscape.records import InputError, LowerBound, numbers, one_of, real, whole

_NOT_NEGATIVE = LowerBound(0.0, "loss and regulariser are not negative")


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["x", "y", "regularisation"],
    meta_fields=["width", "net", "fit", "matched"],
    drop_fields=["lower_bound", "scale"],
)  # new data of the same shape do not recompile, a new width does
@dataclass(frozen=True, eq=False)
class Homogeneous(Problem):
    """Parallel subnetworks on a data set. Made by `parallel` and `matrix_factorisation`.

    Attributes:
        x: Inputs, whatever the subnetwork takes; None for matrix factorisation.
        y: Targets, in the shape of the outputs.
        regularisation: lambda.
        width: Number of subnetworks.
        net: The subnetwork.
        fit: What the outputs cost: squared or logistic.
        matched: Whether output and regulariser have one degree; without that there are no certificates.
        lower_bound: No loss lies below it.
        scale: Typical length of a subnetwork's weights.
    """

    x: Any
    y: Any
    regularisation: Any
    width: int
    net: Subnetwork
    fit: DataFit
    matched: bool
    lower_bound: LowerBound = _NOT_NEGATIVE
    scale: float = 1.0

    # Descents may end at kinks of a user's subnetwork; nothing is known of them, and they come out as unconverged.
    kind = "homogeneous"

    @property
    def error_bounded(self) -> bool:
        """Whether the subnetwork is one of ours: of a user's own the roundings are not known."""
        return self.net.roundings is not None

    def of_width(self, width: int) -> Homogeneous:
        """The same problem with another number of subnetworks."""
        wider = replace(self, width=width)
        return replace(wider, lower_bound=_bound_of(wider))

    @property
    def by_singular_values(self) -> bool:
        """Whether the least loss of every width has a closed form: squared loss of a matrix factorisation."""
        return self.net.family == "rank_one" and self.fit is SQUARED

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
        return f"{self.fit.formula} + lambda sum g(W_j), {self.net.name}, lambda = {float(self.regularisation):g}"

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
        if self.net.identify is not None:
            w = self.net.identify(w)
        rounded = np.round(w / (1e-7 * self.scale))
        order = np.lexsort([*rounded.T[::-1], -np.round(np.linalg.norm(rounded, axis=1))])
        return w[order].reshape(-1)

    def subnetwork_outputs(self, theta: Float[AnyArray, " p"]) -> Array:
        """phi(W_j), [width, *shape of y]."""
        read = chart(self.net)[1]
        x = None if self.x is None else jax.tree.map(lambda a: jnp.asarray(a, theta.dtype), self.x)
        return jax.vmap(lambda w: self.net.output(read(w), x))(theta.reshape(self.width, -1))

    def penalties(self, theta: Float[AnyArray, " p"]) -> Float[Array, " width"]:
        """g(W_j)."""
        read = chart(self.net)[1]
        return jax.vmap(lambda w: self.net.penalty(read(w)))(theta.reshape(self.width, -1))

    def outputs(self, theta: Float[AnyArray, " p"]) -> Array:
        """f, in the shape of y."""
        return jnp.sum(self.subnetwork_outputs(theta), axis=0)

    def loss(self, theta: Float[AnyArray, " p"]) -> Float[Array, ""]:
        """L at theta."""
        paid = self.fit.value(self.outputs(theta), jnp.asarray(self.y, theta.dtype))
        return jnp.sum(paid) + jnp.asarray(self.regularisation, theta.dtype) * jnp.sum(self.penalties(theta))

    def loss_error(self, theta: np.ndarray) -> float:
        """Bound on the rounding error of `loss` in float64; of a user's own subnetwork an estimate.

        The families are sums of products, so the same network with all weights and inputs in absolute value bounds
        what the roundings are multiples of. For a user's own: four times the spread over nudges by one ulp.
        """
        theta = np.asarray(theta, np.float64)
        if self.net.roundings is None:
            return estimated_error(self, theta, roundings=64.0)
        size, paid = absolute(self, theta)
        f = outputs_at(self, theta)
        off = (self.net.roundings + self.width) * EPS * size
        slope, value = self.fit.sizes(f, self.y)
        return float(
            np.sum(off * slope + 0.5 * off * off) + EPS * (self.y.size + 8) * value + EPS * (self.p + 8) * paid
        )

    def fingerprint(self) -> str:
        """A digest of data, sizes, and what the subnetwork says at random weights; see `Subnetwork`."""
        said = self.net.says(self.x)
        return digest(self.kind, self.x, self.y, float(self.regularisation), self.width, self.fit, said)

    def start(self, key: Array, init: str, init_scale: float | Array) -> Float[Array, " p"]:
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

    def neurons(self) -> np.ndarray:
        """The subnetworks."""
        return np.arange(self.p).reshape(self.width, self.q)

    def filters(self) -> np.ndarray:
        """One a subnetwork."""
        return np.repeat(np.arange(self.width), self.q)

    def read(self, theta: np.ndarray) -> Any:
        """The subnetwork's weights, each array with one more axis [width] in front."""
        with float64():
            w = jnp.asarray(theta, jnp.float64).reshape(self.width, self.q)
            return jax.tree.map(np.asarray, jax.vmap(chart(self.net)[1])(w))

    def write(self, params: Any) -> np.ndarray:
        """theta of weights, each array with one more axis [width] in front.

        Raises:
            InputError: The weights are not of the subnetwork's structure.
        """
        with float64():
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
def _outputs_at(problem: Homogeneous, theta: AnyArray) -> tuple[Array, Array]:
    return problem.subnetwork_outputs(theta), problem.penalties(theta)


def parts_at(problem: Homogeneous, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """phi(W_j) [width, *shape of y] and g(W_j) [width], in float64."""
    with float64():
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
) -> Homogeneous:
    """A parallel network with a regulariser of matched degree on a data set.

    Args:
        x: Inputs, [n, d] for the families; what the function takes for a user's own subnetwork (an array).
        y: Targets, [n], or [n, c] for c outputs; labels -1 and 1 for the logistic loss. For a user's own, in the shape
            of its outputs.
        width: Number of subnetworks.
        subnetwork: One of `FAMILIES`, or a `Subnetwork`. "relu" needs several outputs: with one it is `empirical`'s
            network, which has exact labels.
        regularisation: lambda > 0.
        loss: "squared" or "logistic", summed over all entries.
        hidden: Hidden units of each deep_relu subnetwork.
        allow_mismatch: Take degrees that do not match, for their study; then there are no certificates.

    Raises:
        InputError: A shape does not fit, a number is not finite, the degrees are not what is declared or do not match,
            or the network is `empirical`'s.
    """
    x, y = numbers(x, "x"), numbers(y, "y")
    regularisation = real("regularisation", regularisation, above=0)
    fit = _fit(loss, y)
    if isinstance(subnetwork, str):
        one_of("subnetwork", subnetwork, FAMILIES, ", or pass your own")
        if x.ndim != 2 or 0 in x.shape:
            raise InputError(f"x must be a matrix, one input a row; found an array of shape {x.shape}.")
        if y.ndim not in (1, 2) or len(y) != len(x):
            raise InputError(f"y must be [{len(x)}] or [{len(x)}, outputs], found shape {list(y.shape)}.")
        if subnetwork == "relu" and y.ndim == 1:
            raise InputError(
                "a two-layer ReLU network with one output has a problem of its own with exact labels: "
                f"empirical(x, y, width, loss={loss!r}, weight_decay={regularisation:g})."
            )
        net = FAMILIES[subnetwork](x.shape[1], None if y.ndim == 1 else y.shape[1], whole("hidden", hidden, 1))
    elif isinstance(subnetwork, Subnetwork):
        net = subnetwork
    else:
        raise InputError(f"subnetwork must be one of {', '.join(FAMILIES)} or a Subnetwork, found {subnetwork}.")
    return _made(x, y, width, net, regularisation, fit, allow_mismatch)


def _fit(loss: str, y: np.ndarray) -> DataFit:
    """What the outputs cost.

    Raises:
        InputError: The loss is unknown, has no dual, or y are not its labels.
    """
    having_dual = [name for name, fit in DATAFITS.items() if fit.dual is not None]
    fit = DATAFITS[one_of("loss", loss, having_dual)]
    if fit.labels and not set(np.unique(y)) <= {-1.0, 1.0}:
        raise InputError(f"y must be labels -1 and 1 for the {loss} loss.")
    return fit


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
    regularisation = real("regularisation", regularisation, above=0)
    return _made(None, y, width, nets.rank_one(*y.shape), regularisation, _fit(loss, y), False)


def _made(
    x: Any, y: np.ndarray, width: int, net: Subnetwork, regularisation: float, fit: DataFit, allow_mismatch: bool
) -> Homogeneous:
    q, read = chart(net)
    with float64():
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
    matched = checked_degrees(net, x, allow_mismatch)
    # Where one subnetwork would be of y's size; a subnetwork that is dead at random weights says nothing.
    sizes = [np.linalg.norm(f) / np.linalg.norm(w) ** net.degree for f, w in zip(outputs, draws, strict=True)]
    size = max(float(np.max(sizes)), 1e-9)
    scale = float(np.clip((float(np.linalg.norm(y)) / size) ** (1 / net.degree), 1e-2, 1e3))
    made = Homogeneous(x, y, regularisation, whole("width", width, 1), net, fit, matched, scale=scale)
    return replace(made, lower_bound=_bound_of(made))


def _bound_of(problem: Homogeneous) -> LowerBound:
    """The least loss of this width where it has a closed form (see `matrix_value`), else zero."""
    if not problem.by_singular_values:
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
