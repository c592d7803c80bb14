"""Labels that the polar test gives: global points, and points with a zero subnetwork.

A zero subnetwork at t^(1/p) V changes the loss by -t (<Z, phi(V)> - lambda g(V)) + o(t). So a stationary point with a
zero subnetwork is global, over all widths, if Omega(Z) <= lambda, and else no local minimum: a saddle. (For p = 2 and
g = |V|^2 / 2 its curvature is lambda - Omega(Z).) Descents do stop there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.polish import levels
from landscape.problems.parallel import Homogeneous, matrix_value
from landscape.problems.problem import EPS
from landscape.records import Claim, Evidence, Flavour, Label, Point
from landscape.theory.growth.birth import born
from landscape.theory.growth.certificate import REFUTED, Certificate, certificate, losses
from landscape.theory.growth.polar import strength
from landscape.theory.growth.zero import CRAWLING, ZERO


def global_claim(problem: Homogeneous, point: Point) -> Claim | None:
    """GLOBAL where the dual bound closes the gap, or at the closed form of the width; None elsewhere.

    A loss at a closed form is compared to within the rounding of both.
    """
    if not problem.matched or not np.isfinite(point.loss):
        return None
    found = certificate(problem, point.theta)
    facts = _facts(problem, point, found)
    if found.holds:
        facts["lower_bound"] = found.lower_bound
        rigorous = problem.error_bounded
        return Claim(
            label=Label.GLOBAL, evidence=Evidence.CERTIFIED if rigorous else Evidence.NUMERICAL,
            by=f"polar test, {found.polar.by}", margin=found.gap, **facts,
        )  # fmt: skip
    if problem.by_singular_values:
        least = matrix_value(problem, problem.width)
        slack = 2 * point.loss_error + 16 * problem.y.size * EPS * max(1.0, least)
        if abs(point.loss - least) <= slack:
            return Claim(
                label=Label.GLOBAL, flavour=Flavour.FOR_THIS_WIDTH, evidence=Evidence.CERTIFIED, by="singular values",
                margin=slack - abs(point.loss - least), **facts,
            )  # fmt: skip
    return None


def zero_claim(problem: Homogeneous, point: Point) -> Claim | None:
    """The label of a stationary point that is not global and has a zero subnetwork; None where no subnetwork is zero.

    SADDLE where the polar is above lambda, shown by a point of lower loss, so an estimate of the polar from below will
    do; else UNDECIDED, as neither a Hessian nor a slope tells what happens at zero. Beyond degree two descents crawl
    towards zero and never arrive: small subnetworks whose removal leaves a stationary point of no higher loss count.
    """
    if not problem.matched:
        return None
    w = np.asarray(point.theta, np.float64).reshape(problem.width, -1)
    size = np.linalg.norm(w, axis=1)
    small = size <= (ZERO if problem.net.degree <= 2 else CRAWLING) * problem.scale
    if not np.any(small):
        return None
    theta = np.where(small[:, None], 0.0, w).reshape(-1)
    norm = float(levels(problem, theta[None])[1][0])
    loss = float(losses(problem, theta[None])[0])
    facts = _facts(problem, point, certificate(problem, point.theta))
    if norm > REFUTED * problem.scale or loss > point.loss + point.loss_error + problem.loss_error(theta):
        if np.any(size <= ZERO * problem.scale):
            return Claim(label=Label.UNDECIDED, reason="stationary only beside a zero subnetwork", **facts)
        return None
    found = certificate(problem, theta)
    if found.ratio <= 1 + REFUTED:
        reason = (
            f"a subnetwork is zero, and the polar over lambda lies in [{found.ratio:.9g}, "
            f"{found.polar.upper / strength(problem):.9g}]: global or a saddle"
        )
        return Claim(label=Label.UNDECIDED, reason=reason, **facts)
    step = born(problem, theta, int(np.argmin(size)), found.polar)
    if step is None:
        reason = f"a zero subnetwork, polar / lambda = 1 + {found.ratio - 1:.2g}, but no lower loss beyond rounding"
        return Claim(label=Label.UNDECIDED, reason=reason, **facts)
    lam = strength(problem)
    if problem.net.family in ("rank_one", "relu"):
        facts["min_curvature"] = lam - found.polar.value
    return Claim(
        label=Label.SADDLE,
        flavour=Flavour.ZERO_SUBNETWORK,
        evidence=Evidence.CERTIFIED if problem.error_bounded else Evidence.NUMERICAL,
        by=f"lambda - polar, {found.polar.by}",
        margin=found.polar.value - lam,
        escape=theta + step - point.theta,
        **facts,
    )


def _facts(problem: Homogeneous, point: Point, found: Certificate) -> dict[str, Any]:
    bound = max(found.lower_bound, problem.lower_bound.value)
    facts: dict[str, Any] = {
        "loss": float(point.loss),
        "loss_error": float(point.loss_error),
        "lower_bound": bound,
        "grad_norm": float(point.grad_norm),
    }
    if problem.by_singular_values:
        facts["wider"] = max(float(point.loss) - matrix_value(problem), 0.0)
    return facts
