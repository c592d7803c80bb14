"""A census of stationary points of every index: how often each orbit is found, its index and its loss."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from landscape.paths.climb import climb
from landscape.paths.transition_states import SAME_POINT, Signs, signs
from landscape.problems.orbits import OrbitIndex
from landscape.problems.problem import Problem


class Stationary(NamedTuple):
    """An orbit of stationary points.

    Attributes:
        theta: One point of it, [p].
        loss: Its loss.
        grad_norm: Gradient norm there.
        signs: Of the eigenvalues of its Hessian.
        count: Number of searches that ended on it.
    """

    theta: Float[np.ndarray, " p"]
    loss: float
    grad_norm: float
    signs: Signs
    count: int


def saddle_census(
    problem: Problem, starts: Float[np.ndarray, "m p"], index: Int[np.ndarray, " m"]
) -> tuple[list[Stationary], int]:
    """The orbits that searches end on, lowest loss first, and how many searches ended nowhere.

    Points that are not isolated are counted one by one.

    Args:
        problem: The landscape.
        starts: Where the searches begin, [m, p].
        index: How many eigenvectors each goes up, [m]; the point that it ends at may have another index.
    """
    found = climb(problem, starts, index=index)
    known = OrbitIndex(problem.symmetry, SAME_POINT * problem.scale)
    points: list[Stationary | None] = []
    counts: list[int] = []
    nowhere = int(np.sum(~found.stationary))
    for i in np.flatnonzero(found.stationary):
        theta, loss = found.theta[i], float(found.loss[i])
        orbit = known.find(theta, loss)
        if orbit is None:
            known.add(theta, loss)
            seen = signs(problem, theta, float(found.grad_norm[i]))
            points.append(None if seen is None else Stationary(theta, loss, float(found.grad_norm[i]), seen, 0))
            counts.append(1)
        else:
            counts[orbit] += 1
    kept = [point._replace(count=count) for point, count in zip(points, counts, strict=True) if point is not None]
    nowhere += sum(count for point, count in zip(points, counts, strict=True) if point is None)
    return sorted(kept, key=lambda point: point.loss), nowhere
