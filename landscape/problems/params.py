"""Weights of a two-layer network, as people bring them and get them back."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float


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
