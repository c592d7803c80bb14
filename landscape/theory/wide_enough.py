"""Widths at which a network on data has no spurious valley, and the least loss of all widths.

Theorem (Venturi, Bandeira and Bruna 2019): without weight decay, with trained outer weights and a loss that is convex
in the outputs, a width of at least the intrinsic dimension leads from every network by a path of non-increasing loss
to the least loss. So every sublevel set is one component as far as its lowest points go, and there is no strict
minimum at all. What the theorem does not exclude are flat minima above the least loss, and saddles: from those the
path runs at constant loss first. Widths of at least the number of rows are always enough.

The outputs of all networks span one space V (V and constants, where there is an outer bias), so half the squared
distance of y to V is a lower bound for every width, and attained from the intrinsic dimension on.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from landscape.precision import float64
from landscape.problems.activation import Activation
from landscape.problems.datafit import SQUARED
from landscape.problems.empirical import Empirical
from landscape.problems.parallel import Homogeneous
from landscape.problems.porcupine import Porcupine
from landscape.problems.problem import Problem
from landscape.problems.teacher_student import TeacherStudent
from landscape.theory.intrinsic_dimension import Dimension, on_data

EPS = float(np.finfo(float).eps)
BY_SPAN = "span of all neurons"
CLEAR = 1e-7  # singular values of features above this, over the largest, belong to V; its basis has some nine digits
GONE = 1e-12  # singular values below this, over the largest, are rounding


@dataclass(frozen=True)
class Theorem:
    """What the theorem on spurious valleys says of a problem.

    Attributes:
        holds: Whether there are no spurious valleys.
        dimension: The intrinsic dimension; None where the theorem is not about such problems.
        sentence: What holds, or which hypothesis fails.
    """

    holds: bool
    dimension: Dimension | None
    sentence: str


class Span(NamedTuple):
    """The least squared loss of all widths: half the squared distance of the targets to the span of all outputs.

    Attributes:
        value: The loss.
        error: Bound on its error.
    """

    value: float
    error: float


@lru_cache(maxsize=64)
def _dimension(activation: Activation, x: bytes, n: int) -> Dimension:
    return on_data(activation, np.frombuffer(x).reshape(n, -1))


def dimension_of(problem: Empirical) -> Dimension:
    """The intrinsic dimension on the problem's data, its column of ones included; computed once."""
    x = np.ascontiguousarray(problem.x, np.float64)
    return _dimension(problem.activation, x.tobytes(), len(x))


def wide_enough(problem: Problem) -> Theorem:
    """Whether the problem has no spurious valley by the theorem, in one sentence either way."""
    if not isinstance(problem, Empirical):
        return Theorem(False, None, _not_about(problem))
    decay = float(problem.weight_decay)
    if decay > 0:
        said = f"spurious valleys are excluded without weight decay only, and weight_decay is {decay:g}."
        return Theorem(False, None, said)
    dimension, width = dimension_of(problem), problem.width
    number = f"the intrinsic dimension {dimension}" if dimension.exact else f"an intrinsic dimension {dimension}"
    where = f"{number} of {problem.activation} on these {len(problem.y)} rows"
    if width < dimension.high:
        return Theorem(False, dimension, f"width {width} is below {where}: spurious valleys are not excluded.")
    said = (
        f"width {width} is at least {where}: there is no spurious valley, a path of non-increasing loss leads from "
        "every network to the least loss."
    )
    return Theorem(True, dimension, said)


def _not_about(problem: Problem) -> str:
    if isinstance(problem, TeacherStudent | Porcupine):
        return "spurious valleys are excluded where outer weights are trained, and here they are fixed."
    if isinstance(problem, Homogeneous):
        return "spurious valleys are excluded without a penalty only, and parallel subnetworks have one."
    return "spurious valleys are excluded for two-layer networks on data only."


# -- the least loss of all widths --------------------------------------------------------------------------------------


def features(activation: Activation, z: np.ndarray) -> np.ndarray:
    """The activation of pre-activations, elementwise, in float64."""
    if activation.odd_and_even is not None:
        odd, even = activation.odd_and_even
        return odd * z + even * np.abs(z)
    with float64():
        return np.asarray(activation.s(jnp.asarray(z)), np.float64)


@lru_cache(maxsize=64)
def _span(activation: Activation, x: bytes, y: bytes, n: int, biased: bool) -> Span | None:
    rows, targets = np.frombuffer(x).reshape(n, -1), np.frombuffer(y)
    dimension = _dimension(activation, x, n)
    if dimension.low == n:
        return Span(0.0, 0.0)
    if not dimension.exact:
        return None
    rng = np.random.default_rng(0)
    lengths = np.geomspace(0.3, 3.0, 4)[rng.integers(0, 4, size=(2 * int(dimension.low) + 200, 1))]
    w = rng.normal(size=(len(lengths), rows.shape[1])) * lengths / max(float(np.linalg.norm(rows, 2)), 1e-300) * n**0.5
    values = features(activation, rows @ w.T)
    norms = np.linalg.norm(values, axis=0)
    values = values[:, norms > 0] / norms[norms > 0]
    left, sizes, _ = np.linalg.svd(values, full_matrices=False)
    rank = int(dimension.low)
    if rank > len(sizes) or (rank and not sizes[rank - 1] > CLEAR * sizes[0]):
        return None
    if rank < len(sizes) and sizes[rank] > GONE * sizes[0]:
        return None
    basis = left[:, :rank]
    blur = 16 * n * EPS * (sizes[0] / sizes[rank - 1] if rank else 1.0)
    if biased:
        ones = np.ones(n) / n**0.5
        rest = ones - basis @ (basis.T @ ones)
        size = float(np.linalg.norm(rest))
        if GONE**0.5 < size < CLEAR**0.5:
            return None
        if size >= CLEAR**0.5:
            basis, blur = np.column_stack([basis, rest / size]), blur / size
    left_over = targets - basis @ (basis.T @ targets)
    length, whole = float(np.linalg.norm(left_over)), float(np.linalg.norm(targets))
    return Span(0.5 * length**2, blur * whole * (length + blur * whole))


def least_of_span(problem: Empirical) -> Span | None:
    """The least squared loss of all widths without weight decay; None where V is not known, or for other losses.

    Attained by every width of at least the intrinsic dimension, by continuity of a linear least squares problem.
    """
    if problem.fit is not SQUARED or float(problem.weight_decay) > 0:
        return None
    x, y = (np.ascontiguousarray(part, np.float64) for part in (problem.x, problem.y))
    return _span(problem.activation, x.tobytes(), y.tobytes(), len(y), problem.outer_bias != "none")
