"""A network at a point: its pre-activations, its residual and its loss, with what counts as a tie and as zero there."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.problems.datafit import loss_value, minus_gradient
from landscape.problems.empirical import Empirical

TIE = 1e-9  # |x_k.w_j| below this, times |x_k||w_j|, is a tie: what is judged is the exact point beside
NEAR_TIE = 1e-6  # |x_k.w_j| between TIE and this, times |x_k||w_j|, leaves the side of the row open
STATIONARY = 1e-9  # a point is stationary if its least subgradient is at most this times the size of its terms
ZERO = 1e-9  # a neuron with both layers below this, times the scale, is zero
INDEPENDENT = 1e-8  # unit atoms with a least singular value above this are independent
DEPENDENT = 1e-11  # unit atoms with a least singular value below this are dependent; in between that is not clear


class Forward(NamedTuple):
    """A network with the outputs of its layers and its loss.

    Attributes:
        w: Hidden weights, the bias included, [m, d].
        a: Outer weights, [m].
        b0: Outer bias.
        z: Pre-activations, [n, m].
        nu: Minus the derivative of the loss in the outputs, [n].
        loss: L.
        loss_error: Bound on its rounding error.
    """

    w: np.ndarray
    a: np.ndarray
    b0: float
    z: np.ndarray
    nu: np.ndarray
    loss: float
    loss_error: float


def forward(problem: Empirical, theta: np.ndarray) -> Forward:
    """The forward pass of the network at theta [p]."""
    theta = np.asarray(theta, np.float64)
    m, d = problem.width, problem.d
    w, a = theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)]
    b0 = float(theta[-1]) if problem.outer_bias != "none" else 0.0
    z = problem.x @ w.T
    data = problem.data
    f = heights_of(problem, z) @ a + b0
    loss = loss_value(data, f) + 0.5 * data.weight_decay * float(problem.penalised @ (theta * theta))
    return Forward(w, a, b0, z, minus_gradient(data, f), loss, problem.loss_error(theta))


def sides_of(problem: Empirical) -> tuple[float, float]:
    """Slopes of the activation below and above zero."""
    odd, even = problem.activation.parts
    return odd - even, odd + even


def heights_of(problem: Empirical, z: np.ndarray) -> np.ndarray:
    """The activation, elementwise."""
    low, high = sides_of(problem)
    return high * np.maximum(z, 0.0) + low * np.minimum(z, 0.0)


def theta_of(problem: Empirical, w: np.ndarray, a: np.ndarray, b0: float) -> np.ndarray:
    """theta [p] of hidden weights [m, d], outer weights [m] and the outer bias."""
    tail = [] if problem.outer_bias == "none" else [np.array([b0])]
    return np.concatenate([w.reshape(-1), a, *tail])


def in_programs(problem: Empirical) -> bool:
    """Whether the cells' convex programs are of the kind that `restricted` solves."""
    return float(problem.weight_decay) > 0 and problem.bias != "free" and problem.fit.dual is not None


def loss_is_known(problem: Empirical, here: Forward) -> bool:
    """Whether the loss is known to a ten-millionth of itself, or of no network's: not where huge weights cancel."""
    return here.loss_error <= 1e-7 * max(loss_value(problem.data, np.zeros(len(problem.y))), here.loss)


def independent(problem: Empirical, here: Forward, slope: float = 0.0) -> bool | None:
    """Whether the outputs of the neurons are independent, so that a minimum is isolated; None if that is not clear.

    Args:
        problem: The landscape.
        here: A point's forward pass.
        slope: Norm of its least subgradient. At a stationary point beta w is the pull on a neuron, and two neurons of
            one cell are parallel; at a slope their directions are off by slope / (beta |w|) each.
    """
    atoms = heights_of(problem, here.z)
    if problem.outer_bias == "free":  # a bias at no cost takes up what the neurons' outputs share with a constant
        atoms = np.column_stack([atoms, np.ones(len(atoms))])
    norms = np.linalg.norm(atoms, axis=0)
    if np.any(norms == 0):
        return False
    if atoms.shape[1] > atoms.shape[0]:
        return False
    least = float(np.linalg.svd(atoms / norms, compute_uv=False)[-1])
    off = 4.0 * slope / (float(problem.weight_decay) * float(np.min(np.linalg.norm(here.w, axis=1)))) if slope else 0.0
    if least > INDEPENDENT:
        return True if least > off else None
    return False if least < DEPENDENT else None
