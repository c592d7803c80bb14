"""A path of non-increasing loss to the least loss, from any network that is wide enough.

The constructive proof of Venturi, Bandeira and Bruna 2019: while the neurons' outputs do not span all outputs they are
dependent, so that outer weights can be moved at constant outputs until one is zero; that neuron is turned, at no cost,
to outputs that are new; and once all outputs are spanned, the outer weights run straight to the best ones, where the
loss is convex. Every way between two way-points is of a kind that `segments` bounds without sampling.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize

from landscape.problems.datafit import SQUARED
from landscape.problems.empirical import Empirical
from landscape.records import InputError
from landscape.theory.wide_enough import CLEAR, dimension_of, features, wide_enough

CANDIDATES = 400  # directions of which a freed neuron takes the one that is furthest from what is spanned


def path_to_the_least_loss(problem: Empirical, theta: np.ndarray, seed: int = 0) -> np.ndarray:
    """Way-points [t, p] from the network theta [p] to one of the least loss; check them with `segments.verify`.

    Args:
        problem: The landscape, without weight decay and of a width of at least the intrinsic dimension.
        theta: The start.
        seed: Of the directions that freed neurons are turned to.

    Raises:
        InputError: A hypothesis of the theorem fails, or the outputs of all networks are not spanned in float64.
    """
    said = wide_enough(problem)
    if not said.holds:
        raise InputError(said.sentence)
    m, d, rng = problem.width, problem.d, np.random.default_rng(seed)
    points = [np.array(theta, np.float64)]
    goal = int(dimension_of(problem).low)
    for _ in range(m + 1):
        heights = _features(problem, points[-1][: m * d].reshape(m, d))
        _, sizes, turned = np.linalg.svd(_unit(heights))
        if _rank(sizes) >= goal:
            break
        here = points[-1].copy()
        outer, hidden = here[m * d : m * (d + 1)], here[: m * d].reshape(m, d)
        null = turned[-1] / _lengths(heights)  # moves outputs by nothing
        freed = _freed(outer, null)
        outer += null * (-outer[freed] / null[freed])
        outer[freed] = 0.0
        points.append(here.copy())
        hidden[freed] = _new_direction(problem, np.delete(heights, freed, axis=1), rng)
        points.append(here)
    else:
        raise InputError(f"the outputs of {m} neurons do not span all {goal} dimensions to the digits of float64.")
    points.append(_best_outer(problem, points[-1]))
    return np.array(points)


def _features(problem: Empirical, hidden: np.ndarray) -> np.ndarray:
    """Outputs of the neurons, [n, m]."""
    return features(problem.activation, problem.x @ hidden.T)


def _lengths(heights: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(heights, axis=0)
    return np.where(lengths > 0, lengths, 1.0)


def _unit(heights: np.ndarray) -> np.ndarray:
    """Outputs of length one, [n, m], with rows of zeros below if there are more neurons than rows."""
    heights = heights / _lengths(heights)
    return np.concatenate([heights, np.zeros((max(0, heights.shape[1] - len(heights)), heights.shape[1]))])


def _rank(sizes: np.ndarray) -> int:
    return int(np.sum(sizes > CLEAR * max(sizes[0], 1e-300)))


def _freed(outer: np.ndarray, null: np.ndarray) -> int:
    """The neuron whose outer weight is first at zero along the null direction, either way."""
    able = np.abs(null) > 1e-3 * np.max(np.abs(null))
    ratios = np.where(able, np.abs(outer) / np.where(able, np.abs(null), 1.0), np.inf)
    return int(np.argmin(ratios))


def _new_direction(problem: Empirical, others: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hidden weights [d] whose outputs are furthest from those of the others, of the candidates that are looked at."""
    size = np.geomspace(0.3, 3.0, 4)[rng.integers(0, 4, size=(CANDIDATES, 1))]
    unit = float(np.linalg.norm(problem.x, 2)) / len(problem.y) ** 0.5
    candidates = rng.normal(size=(CANDIDATES, problem.d)) * size / max(unit, 1e-300)
    left, sizes, _ = np.linalg.svd(others / _lengths(others), full_matrices=False)
    basis = left[:, sizes > CLEAR * max(float(np.max(sizes, initial=0.0)), 1e-300)]
    new = _features(problem, candidates)
    new = new / _lengths(new)
    away = np.linalg.norm(new - basis @ (basis.T @ new), axis=0)
    return candidates[int(np.argmax(away))]


def _best_outer(problem: Empirical, theta: np.ndarray) -> np.ndarray:
    """The same network with the best outer weights and outer bias; of a loss that is not attained, nearly the best."""
    m, d = problem.width, problem.d
    heights = _features(problem, theta[: m * d].reshape(m, d))
    if problem.outer_bias != "none":
        heights = np.column_stack([heights, np.ones(len(heights))])
    now = theta[m * d :]
    left, sizes, right = np.linalg.svd(heights, full_matrices=False)
    kept = sizes > 1e-12 * sizes[0]
    left, back = left[:, kept], right[kept].T / sizes[kept]
    start = heights @ now
    if problem.fit is SQUARED:
        outputs = left.T @ problem.y
    else:
        outputs = minimize(
            lambda z: float(np.sum(problem.fit.paid(left @ z, problem.y))),
            left.T @ start,
            jac=lambda z: -left.T @ problem.fit.minus_slope(left @ z, problem.y),
            method="BFGS",
            options={"gtol": 1e-10, "maxiter": 500},
        ).x
    # The shortest move to these outputs.
    best = theta.copy()
    best[m * d :] = now + back @ (outputs - left.T @ start)
    return best
