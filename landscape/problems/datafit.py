"""What outputs cost on a finite data set: one record a loss, with its derivatives and its convex conjugate.

A record is read elementwise: value, slope and curvature are functions of outputs f and targets y of any one shape, in
JAX; those that labels need are in NumPy too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import entr, expit, huber

from landscape.records import InputError, one_of

Pointwise = Callable[[Array, Array], Array]
OnHost = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class DataFit:
    """A loss of outputs f beside targets y, summed over rows.

    Attributes:
        name: One of `DATAFITS`.
        formula: What the sum is, in a formula.
        value: Loss of each row.
        slope: Its derivative in f.
        curvature: Its second derivative in f.
        paid: Loss of each row, in NumPy.
        minus_slope: Minus the derivative, in NumPy: nu of the dual problem.
        curved: The second derivative in f, in NumPy.
        most_curved: The largest second derivative anywhere.
        magnitude: A bound on |derivative| and on the loss of each row where outputs are f, in NumPy: for rounding.
        residual: y -> size of the slopes at outputs of zero, for the unit of the gradient (huber: as squared).
        dual: (nu, y) -> minus the convex conjugate at -nu, summed over rows, -inf outside its domain; None where no
            dual is used.
        halved: The framework's sum of losses is so many times ours.
        labels: Whether targets are labels -1 and 1.
    """

    name: str
    formula: str
    value: Pointwise
    slope: Pointwise
    curvature: Pointwise
    paid: OnHost
    minus_slope: OnHost
    curved: OnHost
    most_curved: float
    magnitude: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
    residual: Callable[[np.ndarray], float]
    dual: Callable[[np.ndarray, np.ndarray], float] | None = None
    halved: float = 1.0
    labels: bool = False

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> Any:
        return datafit, (self.name,)  # functions do not travel between processes; names do

    def __fingerprint__(self) -> str:
        return self.name

    def sizes(self, f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, float]:
        """Bounds on |derivative| of each row, and on the loss of all rows, where outputs are f."""
        slope, value = self.magnitude(f, y)
        return slope, float(np.sum(value))

    def targets(self, y: np.ndarray) -> np.ndarray:
        """The targets as this loss takes them: labels 0 and 1 as -1 and 1.

        Raises:
            InputError: y are no labels, where labels are needed.
        """
        if not self.labels:
            return y
        if set(np.unique(y)) <= {0.0, 1.0}:
            y = 2 * y - 1
        if not set(np.unique(y)) <= {-1.0, 1.0}:
            raise InputError(f"y must be labels -1 and 1 (or 0 and 1) for the {self.name} loss.")
        return y


def _logistic_slope(f: Array, y: Array) -> Array:
    return -y * jax.nn.sigmoid(-y * f)


def _logistic_curvature(f: Array, y: Array) -> Array:
    p = jax.nn.sigmoid(-y * f)
    return p * (1 - p)


def _huber(f: Array, y: Array) -> Array:
    r = f - y
    return jnp.where(jnp.abs(r) <= 1, 0.5 * r * r, jnp.abs(r) - 0.5)


def _at_most_one(f: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes of at most 1, and a loss of at most |f - y| + 1 for each row."""
    return np.ones_like(f), np.abs(f - y) + 1.0


def _entropy(nu: np.ndarray, y: np.ndarray) -> float:
    p = nu * y
    return float(np.sum(entr(p) + entr(1 - p)))  # entr is -inf outside [0, 1]


def _length(y: np.ndarray) -> float:
    return float(np.linalg.norm(y))


SQUARED = DataFit(
    name="squared",
    formula="1/2 |f - y|^2",
    value=lambda f, y: 0.5 * (f - y) ** 2,
    slope=lambda f, y: f - y,
    curvature=lambda f, y: jnp.ones_like(f),
    paid=lambda f, y: 0.5 * (f - y) ** 2,
    minus_slope=lambda f, y: y - f,
    curved=lambda f, y: np.ones_like(f),
    most_curved=1.0,
    magnitude=lambda f, y: (np.abs(f - y), 0.5 * (f - y) ** 2),
    residual=_length,
    dual=lambda nu, y: float(nu @ y - 0.5 * nu @ nu),
    halved=2.0,
)
LOGISTIC = DataFit(
    name="logistic",
    formula="sum log(1 + exp(-y f))",
    value=lambda f, y: jax.nn.softplus(-y * f),
    slope=_logistic_slope,
    curvature=_logistic_curvature,
    paid=lambda f, y: np.logaddexp(0.0, -y * f),
    minus_slope=lambda f, y: y * expit(-y * f),
    curved=lambda f, y: expit(f) * expit(-f),
    most_curved=0.25,
    magnitude=_at_most_one,
    residual=lambda y: 0.5 * float(np.sqrt(len(y))),
    dual=_entropy,
    labels=True,
)
HUBER = DataFit(
    name="huber",
    formula="sum huber(f - y)",
    value=_huber,
    slope=lambda f, y: jnp.clip(f - y, -1.0, 1.0),
    curvature=lambda f, y: (jnp.abs(f - y) <= 1).astype(f.dtype),
    paid=lambda f, y: huber(1.0, f - y),
    minus_slope=lambda f, y: np.clip(y - f, -1.0, 1.0),
    curved=lambda f, y: (np.abs(f - y) <= 1).astype(float),
    most_curved=1.0,
    magnitude=_at_most_one,
    residual=_length,
)
DATAFITS = {fit.name: fit for fit in (SQUARED, LOGISTIC, HUBER)}


def datafit(name: str) -> DataFit:
    """The loss of that name.

    Raises:
        InputError: There is none.
    """
    return DATAFITS[one_of("loss", name, DATAFITS)]


class Data(NamedTuple):
    """A data set with its loss and weight decay, in the package's normalisation: what the convex room sees.

    L = loss(f) + (weight_decay / 2) (sum_j (|w_j|^2 + a_j^2) + b0^2), f = sum_j a_j relu(x w_j) + b0, where b0^2 is
    there for a regularised outer bias only.

    Attributes:
        x: The design, [n, d], float64: the inputs, with a column of ones where the hidden bias is regularised.
        y: Targets, [n]; +-1 for the logistic loss.
        weight_decay: beta.
        loss: Name of what outputs cost: squared, logistic, or huber, which has no dual here.
        outer_bias: "none", "regularised" or "free".
    """

    x: np.ndarray
    y: np.ndarray
    weight_decay: float
    loss: str = "squared"
    outer_bias: str = "none"

    @property
    def fit(self) -> DataFit:
        """What outputs cost."""
        return DATAFITS[self.loss]


def loss_value(data: Data, f: np.ndarray) -> float:
    """What the outputs f [n] cost, without the weight decay."""
    return float(np.sum(data.fit.paid(f, data.y)))


def minus_gradient(data: Data, f: np.ndarray) -> np.ndarray:
    """nu, minus the gradient of the loss in the outputs, [n]; the residual y - f for squared loss."""
    return data.fit.minus_slope(f, data.y)


def dual_value(data: Data, nu: np.ndarray) -> float:
    """-loss*(-nu), less (sum nu)^2 / (2 beta) for a regularised outer bias: a bound from below where phi(nu) <= beta.

    -inf outside the domain of the conjugate; sum nu = 0 for a free outer bias is the caller's.
    """
    dual = data.fit.dual
    assert dual is not None  # asked for losses that have one
    value = dual(nu, data.y)
    if data.outer_bias == "regularised":
        value -= float(np.sum(nu)) ** 2 / (2 * data.weight_decay)
    return value


def objective(data: Data, hidden: np.ndarray, outer: np.ndarray, b0: float = 0.0) -> float:
    """The loss L of a network: hidden [m, d], outer [m]."""
    f = np.maximum(data.x @ hidden.T, 0.0) @ outer + b0
    paid = float(np.sum(hidden * hidden) + np.sum(outer * outer))
    if data.outer_bias == "regularised":
        paid += b0 * b0
    return loss_value(data, f) + 0.5 * data.weight_decay * paid
