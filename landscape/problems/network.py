"""Two-layer networks: parameters, activations and the facts about them that the theory uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from landscape.records import InputError


class Params(NamedTuple):
    """Weights of a two-layer network, x -> sum_j outer_j s(hidden_j . x).

    Attributes:
        hidden: One row a neuron, [width, d] (or [points, width, d] for many networks).
        outer: Output weights, [width]; left out where they are fixed at one.
        hidden_bias: One a neuron, [width]; left out where there are none.
        outer_bias: Of the output; left out where there is none.
    """

    hidden: Float[Array, "width d"] | np.ndarray
    outer: Float[Array, " width"] | np.ndarray | None = None
    hidden_bias: Float[Array, " width"] | np.ndarray | None = None
    outer_bias: float | None = None


@dataclass(frozen=True)
class Activation:
    """An activation by name, with its facts. Hashable: a new one recompiles, new weights do not.

    Attributes:
        name: One of `ACTIVATIONS`.
        slope: Slope on the negative side, for `leaky_relu` only.
    """

    name: str
    slope: float = 0.0

    @property
    def homogeneous(self) -> bool:
        """Whether s(z) = odd z + even |z|, so that s(r z) = r s(z) for r > 0."""
        return self.name in ("linear", "relu", "leaky_relu", "abs")

    @property
    def odd_and_even(self) -> tuple[float, float]:
        """(odd, even) of s(z) = odd z + even |z|, for homogeneous activations."""
        return {
            "linear": (1.0, 0.0),
            "relu": (0.5, 0.5),
            "leaky_relu": ((1 + self.slope) / 2, (1 - self.slope) / 2),
            "abs": (0.0, 1.0),
        }[self.name]

    @property
    def arc_and_linear(self) -> tuple[float, float]:
        """(p, q) such that E s(u.x) s(v.x) = p E relu(u.x) relu(v.x) + q u.v: E|u.x||v.x| = 4 E relu relu - u.v."""
        odd, even = self.odd_and_even
        return 4 * even * even, odd * odd - even * even

    @property
    def even(self) -> bool:
        """Whether s(-z) = s(z), so that the sign of a neuron does not matter."""
        return self.name in ("abs", "quadratic") or (self.name == "leaky_relu" and self.slope == -1.0)

    @property
    def kinked(self) -> bool:
        """Whether s has a kink at 0, so that a loss over Gaussian inputs has a cone at a zero neuron."""
        return self.homogeneous and self.odd_and_even[1] != 0.0

    def __str__(self) -> str:
        return f"leaky_relu({self.slope:g})" if self.name == "leaky_relu" else self.name


GAUSSIAN = ("relu", "leaky_relu", "abs", "linear", "quadratic", "erf", "gelu")  # with expectations in closed form
ACTIVATIONS = (*GAUSSIAN, "tanh", "softplus", "sigmoid")


def activation(name: str | Activation, slope: float = 0.01) -> Activation:
    """The activation of that name.

    Args:
        name: One of `ACTIVATIONS`: relu, leaky_relu, abs, linear, quadratic (z^2), erf (erf(z)), gelu (z Phi(z)), tanh,
            softplus, sigmoid.
        slope: Slope of `leaky_relu` on the negative side. Default 0.01, as in the deep-learning frameworks.

    Raises:
        InputError: The name is unknown or the slope is not finite.
    """
    if isinstance(name, Activation):
        return name
    if name not in ACTIVATIONS:
        raise InputError(f"activation {name!r} is unknown; known are {', '.join(ACTIVATIONS)}.")
    if not np.isfinite(slope):
        raise InputError(f"the slope of leaky_relu must be finite, found {slope}.")
    return Activation(name, float(slope) if name == "leaky_relu" else 0.0)
