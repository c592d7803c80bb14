"""The polar test at a point: a lower bound for every width that meets the loss only at a global optimum.

Any Z gives a lower bound for every width: the dual value of tZ for t Omega(Z) <= lambda. At a stationary point
<Z, f> = lambda sum g, and the bound is the loss itself if and only if Omega(Z) <= lambda.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import entr, expit

from landscape.problems.empirical import Empirical
from landscape.problems.parallel import Homogeneous, parts_at
from landscape.problems.problem import EPS, losses_at
from landscape.theory.arrangement.phi import phi
from landscape.theory.convex.dual import lower_bound as convex_bound
from landscape.theory.convex.forward_pass import forward
from landscape.theory.growth.polar import checked, polar, strength
from landscape.theory.growth.polar_formulas import Polar

CLOSED = 1e-10  # a dual gap below this, relative to the loss (or 1), is closed: certified points print it as margin

REFUTED = 1e-9  # polar / lambda - 1 above this refutes


class Certificate(NamedTuple):
    """What the theorem says of one point.

    Attributes:
        loss: Loss at the point.
        loss_error: Bound on its rounding error.
        lower_bound: No network of any width has a smaller loss; 0 where the polar has no upper bound.
        gap: loss - lower_bound.
        polar: Of Z at the point.
        ratio: polar.value / lambda: above 1 a wider network is better.
        equality: (<Z, f> - lambda sum g) / loss: zero at stationary points.
        holds: Whether the point is certified global: the gap is closed.
    """

    loss: float
    loss_error: float
    lower_bound: float
    gap: float
    polar: Polar
    ratio: float
    equality: float
    holds: bool


def minus_gradient(problem: Homogeneous, f: np.ndarray) -> np.ndarray:
    """Z at outputs f."""
    return problem.y - f if problem.loss_name == "squared" else problem.y * expit(-problem.y * f)


def dual_bound(problem: Homogeneous, z: np.ndarray, upper: float) -> float:
    """A number below the loss of every network of every width, from any Z and a bound on its polar; at least 0.

    The dual value of tZ, t Omega(Z) <= lambda, t the best such for squared loss and at most 1 for the logistic one.
    Rounding is taken off. 0 where the bound on the polar is inf.
    """
    lam = strength(problem)
    most = lam / upper * (1 - 4 * EPS) if upper > 0 else math.inf
    if problem.loss_name == "squared":
        size = float(np.sum(z * z))
        t = min(max(float(np.sum(z * problem.y)) / size, 0.0), most) if size > 0 else 0.0
        point = t * z
        terms = np.concatenate([(point * problem.y).ravel(), (-0.5 * point * point).ravel()])
    else:
        share = min(1.0, most) * z * problem.y
        if np.min(share) < 0 or np.max(share) > 1:
            return 0.0
        terms = np.concatenate([entr(share).ravel(), entr(1 - share).ravel()])
    value, size = math.fsum(terms), math.fsum(np.abs(terms))
    # tZ is rounded entry by entry: the polar grows by at most 2 eps of itself, and the value by the same share.
    return max(0.0, value - 16 * EPS * (size + abs(value)))


def certificate(problem: Homogeneous | Empirical, theta: np.ndarray, seed: int = 0) -> Certificate:
    """The polar test at a point: certified global if its own dual bound closes the gap.

    No tolerance on stationarity enters: the bound holds for any point, and meets the loss only at a global one.

    Raises:
        InputError: The theorem does not apply to the problem.
    """
    checked(problem)
    theta = np.asarray(theta, np.float64)
    lam = strength(problem)
    if isinstance(problem, Empirical):
        here = forward(problem, theta)
        nu = here.nu - here.nu.mean() if problem.outer_bias == "free" and problem.loss_name == "squared" else here.nu
        found = phi(problem.x, nu)
        test = Polar(found.value, found.upper, np.append(found.u, found.sign), f"phi by {found.by}")
        loss, error, bound = here.loss, here.loss_error, convex_bound(problem.data, nu, found)
        decay = 0.5 * float(np.sum(here.w**2) + np.sum(here.a**2))
        met = float(here.nu @ (np.maximum(here.z, 0.0) @ here.a)) - lam * decay
    else:
        f, g = parts_at(problem, theta)
        z = minus_gradient(problem, f.sum(axis=0))
        test = polar(problem, z, seed)
        loss, error = float(losses(problem, theta[None])[0]), problem.loss_error(theta)
        bound = dual_bound(problem, z, test.upper)
        met = float(np.sum(z * f.sum(axis=0))) - lam * float(g.sum())
    gap = loss - bound
    holds = gap <= CLOSED * max(1.0, abs(loss)) + error
    return Certificate(loss, error, bound, gap, test, test.value / lam, met / max(loss, 1e-300), holds)


def losses(problem: Homogeneous, thetas: np.ndarray) -> np.ndarray:
    """Losses at points [r, p] in float64."""
    with jax.enable_x64(True):
        return np.asarray(losses_at(problem, jnp.asarray(thetas, jnp.float64)), np.float64)
