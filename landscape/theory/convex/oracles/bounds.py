"""A network with its loss and a bound that no width goes below, and how dual values on a ray give that bound."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.problems.datafit import SQUARED, Data, dual_value
from landscape.records import InputError

EPS = float(np.finfo(np.float64).eps)


class Network(NamedTuple):
    """A network with its loss and a bound that no width goes below.

    Attributes:
        value: True loss of the network.
        lower_bound: Certified for every width.
        hidden: [m, d].
        outer: [m].
    """

    value: float
    lower_bound: float
    hidden: np.ndarray
    outer: np.ndarray


def ray_bound(data: Data, nu: np.ndarray, polar: float) -> float:
    """The best dual value on the ray through nu, whose polar is at most `polar`, less what rounding may have added."""
    beta = data.weight_decay
    reach = beta / (polar * (1 + 1e-12)) if polar > 0 else np.inf
    total = float(nu.sum()) ** 2 / beta if data.outer_bias == "regularised" else 0.0
    length = float(nu @ nu) + total
    if data.fit is SQUARED:
        t = float(np.clip(float(nu @ data.y) / length, -reach, reach)) if length > 0 else 0.0
    else:
        t = min(1.0, reach)
    return dual_value(data, t * nu) - ray_rounding(data, nu)


def ray_rounding(data: Data, nu: np.ndarray) -> float:
    """Rounding error allowed to a dual value on the ray through nu: 64 n units in the last place of its terms."""
    terms = abs(float(nu @ data.y)) + float(nu @ nu) + float(np.log(2.0))
    if data.outer_bias == "regularised":
        terms += float(nu.sum()) ** 2 / data.weight_decay
    return 64 * EPS * len(nu) * terms


def check_positive(weight_decay: float) -> None:
    """Raises InputError unless the weight decay is positive and finite."""
    if not (np.isfinite(weight_decay) and weight_decay > 0):
        raise InputError(f"weight decay must be positive and finite here; found {weight_decay}.")


def checked_data(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [n, d] and y [n] as float64. Raises InputError unless both are finite and fit."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.ndim != 2 or y.shape != x.shape[:1] or x.size == 0 or not (np.all(np.isfinite(x)) and np.all(np.isfinite(y))):
        raise InputError(f"x must be finite [n, d] and y finite [n]; found shapes {x.shape} and {y.shape}.")
    return x, y
