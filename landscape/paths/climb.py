"""Many searches for stationary points of a given index at once: up along some eigenvectors of the Hessian, else down.

Eigenvector following (Cerjan and Miller 1981; Wales 2003, section 6.2): where the Hessian has eigenvalues b_i and the
gradient components g_i along its eigenvectors, a step is g_i / |b_i| along the followed ones and -g_i / |b_i| along the
others, no longer than a trust radius. Near a stationary point with just the followed eigenvalues negative that is
Newton's step, and convergence is quadratic. Directions in which a known symmetry moves the point are left out.

The loop is on the host and its Hessians are those that `polish` compiles.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from landscape.polish import derivatives
from landscape.problems.problem import Problem

HEARD = 1e-8  # a mode that holds less of the gradient than this lies along a symmetry, or would not move the point
FLAT = 1e-9  # of the largest |eigenvalue|: a Newton step along a mode of less curvature is noise
NUMBERS = 2**24  # of the Hessians of one batch of searches: 128 MB


class Climbing(NamedTuple):
    """How far and how long a search goes.

    Attributes:
        target: Gradient norm at which a search stops, times the problem's gradient scale.
        enough: Gradient norm of a point that counts as stationary, times the gradient scale.
        radius: First and largest trust radius, times the problem's scale.
        max_steps: Hessians of one search.
    """

    target: float = 1e-12
    enough: float = 1e-10
    radius: float = 0.2
    max_steps: int = 150


class Climbed(NamedTuple):
    """Where m searches ended.

    Attributes:
        theta: The points, [m, p].
        loss: Loss there, [m].
        grad_norm: Gradient norm there, [m].
        stationary: Whether the gradient norm is small enough, [m].
        steps: Hessians of each, [m].
    """

    theta: Float[np.ndarray, "m p"]
    loss: Float[np.ndarray, " m"]
    grad_norm: Float[np.ndarray, " m"]
    stationary: Bool[np.ndarray, " m"]
    steps: Int[np.ndarray, " m"]


def climb(
    problem: Problem,
    thetas: Float[np.ndarray, "m p"],
    modes: Float[np.ndarray, "m p"] | None = None,
    index: int | Int[np.ndarray, " m"] = 1,
    climbing: Climbing = Climbing(),  # noqa: B008 immutable
) -> Climbed:
    """Searches for stationary points of the given index, from each of the points.

    A search that ends at a stationary point need not have found one of its index: ask the spectrum there.

    Args:
        problem: The landscape, twice differentiable around the points.
        thetas: Where the searches begin, [m, p].
        modes: The first direction to go up, [m, p], followed by overlap until some eigenvalue is negative; without it,
            and for other indices than 1, the eigenvectors of the least eigenvalues are followed from the start.
        index: How many eigenvectors to go up, one number or one each.
        climbing: How far and how long.
    """
    m, p = thetas.shape
    index = np.broadcast_to(np.asarray(index), (m,))
    size = max(1, NUMBERS // p**2)
    parts = [
        _climb(
            problem, thetas[i : i + size], None if modes is None else modes[i : i + size], index[i : i + size], climbing
        )
        for i in range(0, m, size)
    ]
    if not parts:
        nothing = np.zeros(0)
        return Climbed(np.zeros((0, p)), nothing, nothing, np.zeros(0, bool), np.zeros(0, int))
    return Climbed(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _climb(
    problem: Problem, thetas: np.ndarray, modes: np.ndarray | None, index: np.ndarray, climbing: Climbing
) -> Climbed:
    """One batch of searches; those that have ended are not computed any more."""
    m = len(thetas)
    unit, target = problem.gradient_scale, climbing.target * problem.gradient_scale
    here = np.array(thetas, np.float64)
    followed = np.zeros_like(here) if modes is None else np.array(modes, np.float64)
    radius = np.full(m, climbing.radius * problem.scale)
    loss, norm = np.full(m, np.nan), np.full(m, np.inf)
    steps, running = np.zeros(m, int), np.arange(m)
    value, grad, hessian = derivatives(problem, here)
    for step_number in range(climbing.max_steps + 1):
        loss[running], before = value, norm[running]
        norm[running] = np.linalg.norm(grad, axis=1)
        steps[running] = step_number
        # Rounding may hold the gradient above its target: then no step helps.
        stuck = (norm[running] <= climbing.enough * unit) & (norm[running] >= 0.5 * before)
        alive = (norm[running] > target) & ~stuck & np.isfinite(norm[running])
        running, value, grad, hessian = running[alive], value[alive], grad[alive], hessian[alive]
        if not len(running) or step_number == climbing.max_steps:
            break
        step, followed[running] = _steps(problem, here[running], grad, hessian, followed[running], index[running])
        length = np.linalg.norm(step, axis=1)
        step *= np.minimum(1.0, radius[running] / np.maximum(length, 1e-300))[:, None]
        expected = np.einsum("ij,ij->i", grad, step) + 0.5 * np.einsum("ij,ijk,ik->i", step, hessian, step)
        here[running] += step
        new, new_grad, new_hessian = derivatives(problem, here[running])
        finite = (
            np.isfinite(new) & np.all(np.isfinite(new_hessian), axis=(1, 2)) & np.all(np.isfinite(new_grad), axis=1)
        )
        here[running[~finite]] -= step[~finite]
        with np.errstate(divide="ignore", invalid="ignore"):
            agreed = np.abs((new - value) / expected - 1.0)
        far = ~finite | (agreed > 0.75)
        # Near the end both differences are rounding, and steps are shorter than any radius.
        scaled = np.where(far, 0.5, np.where(agreed < 0.25, 1.5, 1.0)) * np.where(finite, 1.0, 0.25)
        radius[running] = np.clip(radius[running] * scaled, 1e-6 * problem.scale, climbing.radius * problem.scale)
        value, grad = np.where(finite, new, value), np.where(finite[:, None], new_grad, grad)
        hessian = np.where(finite[:, None, None], new_hessian, hessian)
    return Climbed(here, loss, norm, norm <= climbing.enough * unit, steps)


def _steps(
    problem: Problem, here: np.ndarray, grad: np.ndarray, hessian: np.ndarray, followed: np.ndarray, index: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The steps [m, p] before they are cut to the trust radius, and the eigenvector that each search follows now."""
    values, vectors = np.linalg.eigh(_without_symmetry(problem, here, hessian))
    along = np.einsum("ijk,ij->ik", vectors, grad)
    largest = np.max(np.abs(values), axis=1, keepdims=True)
    heard = np.abs(along) > HEARD * np.linalg.norm(grad, axis=1, keepdims=True)
    curved = np.abs(values) > FLAT * largest
    # The least eigenvalues that the gradient hears are followed; silent ones come last.
    rank = np.argsort(np.argsort(np.where(heard & curved, values, np.inf), axis=1, kind="stable"), axis=1)
    up = rank < index[:, None]
    overlap = np.abs(np.einsum("ijk,ij->ik", vectors, followed))
    tracked = np.argmax(overlap, axis=1)
    own = (index == 1) & np.any(followed != 0, axis=1) & ~np.any(heard & (values < -FLAT * largest), axis=1)
    up[own] = False
    up[np.flatnonzero(own), tracked[own]] = True
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.where(curved, along / np.abs(values), 0.0)
    step = np.einsum("ijk,ik->ij", vectors, np.where(up, sizes, -sizes))
    first = np.argmax(up, axis=1)
    return step, vectors[np.arange(len(here)), :, first]


def _without_symmetry(problem: Problem, here: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """Hessians in which directions of a continuous symmetry are stiff: where the gradient is not zero they are curved,
    and nothing is to be found along them.
    """
    tangents = problem.tangents(here)
    if not tangents.shape[1]:
        return hessian
    _, sizes, basis = np.linalg.svd(tangents, full_matrices=False)
    basis = np.where((sizes > 1e-6 * np.maximum(sizes[:, :1], 1e-300))[..., None], basis, 0.0)
    stiff = 2.0 * np.linalg.norm(hessian, axis=(1, 2))
    return hessian + stiff[:, None, None] * (basis.swapaxes(1, 2) @ basis)
