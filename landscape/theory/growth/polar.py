"""The polar Omega(Z) = max <Z, phi(V)> over g(V) <= 1, exact where there is a formula.

Omega has a formula for matrix factorisation (the largest singular value), two-layer ReLU (phi of `arrangement`) and
quadratic activation (a spectral norm). Elsewhere it is estimated from below: `Polar.upper` is inf then.
"""

from __future__ import annotations

import math

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.problems.parallel import Homogeneous
from landscape.problems.problem import EPS
from landscape.records import InputError
from landscape.theory.arrangement.phi import phi
from landscape.theory.growth.polar_ascent import STARTS, ascended
from landscape.theory.growth.polar_formulas import (
    Polar,
    cellwise_bound,
    line_polar,
    plane_polar,
    quadratic_polar,
    quadratics_bound,
)


def strength(problem: Homogeneous | Empirical) -> float:
    """lambda, the factor of the regulariser."""
    return float(problem.weight_decay if isinstance(problem, Empirical) else problem.regularisation)


def checked(problem: Homogeneous | Empirical) -> None:
    """Raises InputError unless the theorem applies to the problem."""
    if isinstance(problem, Empirical):
        if not problem.certifiable:
            raise InputError(
                "the polar test of a two-layer network needs relu, squared or logistic loss, a positive weight decay "
                "and no free hidden bias."
            )
    elif not problem.matched:
        raise InputError(
            f"the degrees of output and regulariser of {problem.net.name!r} differ: there is no polar test, and "
            "growing would not end."
        )


def polar(problem: Homogeneous | Empirical, z: np.ndarray, seed: int = 0, starts: int = STARTS) -> Polar:
    """Omega(Z) of the problem's subnetwork, exact where there is a formula.

    Args:
        problem: The landscape; its width does not matter.
        z: Z, in the shape of the outputs.
        seed: Seed of the ascent's starts, where there is no formula.
        starts: Number of the ascent's starts.
    """
    z = np.asarray(z, np.float64)
    if isinstance(problem, Empirical):
        found = phi(problem.x, z)
        return Polar(found.value, found.upper, np.append(found.u, found.sign), f"phi by {found.by}")
    family = problem.net.family
    if problem.q == 1:
        return line_polar(problem, z)
    if family == "rank_one":
        u, s, vt = np.linalg.svd(z)
        upper = float(s[0]) * (1 + 16 * (len(u) + len(vt)) * EPS)
        return Polar(float(s[0]), upper, np.concatenate([u[:, 0], vt[0]]), "singular value")
    if family == "quadratic" and z.ndim == 1:
        return quadratic_polar(problem.x, z)
    if family == "relu" and problem.x.shape[1] == 2:
        return plane_polar(problem.x, z)
    found = ascended(problem, z, seed, starts)
    upper, by = math.inf, "ascent from many starts: refutes, never certifies"
    if family == "quadratic":
        upper, by = quadratics_bound(problem.x, z), "ascent; upper bound by spectral norms"
    if family == "relu":
        upper, by = cellwise_bound(problem.x, z), "ascent; upper bound by cells"
    return found._replace(upper=max(upper, found.value), by=by)
