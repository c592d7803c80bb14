"""New subnetworks: the best one put into a zero slot, or appended to the network."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.problems.parallel import Homogeneous, with_width
from landscape.theory.convex.forward_pass import forward
from landscape.theory.growth.certificate import losses
from landscape.theory.growth.polar_formulas import Polar
from landscape.theory.growth.reduction import networked
from landscape.theory.growth.zero import zero_subnetworks


def born(problem: Homogeneous, theta: np.ndarray, slot: int, best: Polar) -> np.ndarray | None:
    """The step, [p], that puts the best new subnetwork into a zero slot at the size of the lowest loss found.

    None if no size lowers the loss by more than the rounding of both.
    """
    q = problem.q
    direction = np.zeros(problem.p)
    direction[slot * q : (slot + 1) * q] = best.weights
    sizes = problem.scale * np.geomspace(2.0, 1e-6, 48)
    values = losses(problem, np.concatenate([theta[None], theta + sizes[:, None] * direction]))
    i = int(np.nanargmin(values[1:]))
    step = sizes[i] * direction
    error = problem.loss_error(theta) + problem.loss_error(theta + step)
    return step if values[1 + i] < values[0] - error else None


def wider(problem: Any, theta: np.ndarray, best: Polar) -> tuple[Any, np.ndarray] | None:
    """The network with the best new subnetwork appended; None if no size lowers the loss.

    A ReLU neuron is appended in any case: beside one that is nearly parallel it alone lowers the loss by less than
    rounding, but the optimum of all cells together, which is where the network goes next, is lower.
    """
    if isinstance(problem, Homogeneous):
        if np.any(zero_subnetworks(problem, theta)):  # the zero network of width one has room
            slot, grown, there = int(np.flatnonzero(zero_subnetworks(problem, theta))[0]), problem, theta
        else:
            grown, there = with_width(problem, problem.width + 1), np.concatenate([theta, np.zeros(problem.q)])
            slot = problem.width
        step = born(grown, there, slot, best)
        return None if step is None else (grown, grown.canonical(there + step))
    here = forward(problem, theta)
    alive = (np.abs(here.a) > 0) & (np.linalg.norm(here.w, axis=1) > 0)
    u, sign = best.weights[:-1], best.weights[-1]
    tried = []
    for t in problem.scale * np.geomspace(1.0, 1e-4, 25):
        w, a = np.vstack([here.w[alive], t * u]), np.append(here.a[alive], t * sign)
        grown, there = networked(problem, w, a, here.b0)
        now = forward(grown, there)
        tried.append((now.loss, grown, there))
        if now.loss + now.loss_error < here.loss - here.loss_error:
            break
    return min(tried, key=lambda one: one[0])[1:]
