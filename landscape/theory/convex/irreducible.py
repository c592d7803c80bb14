"""A network with the same outputs and no larger loss whose neurons' outputs are independent (Caratheodory)."""

from __future__ import annotations

import numpy as np

from landscape.problems.datafit import Data
from landscape.theory.convex.cone_program import Restricted
from landscape.theory.convex.resolution import RESOLUTION, at_work


def irreducible(data: Data, point: Restricted, signs: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """The blocks at work, their signs and the outer bias, moved at constant output until the atoms are independent.

    At an optimum any such move keeps the objective, as nu' z is beta for every atom z (and 0 for a free outer bias,
    which takes part); it is made in the direction in which the weights do not grow.
    """
    weights = np.linalg.norm(point.blocks, axis=1)
    keep, b0 = at_work(weights), point.b0
    directions, weights, signs = point.blocks[keep] / weights[keep, None], weights[keep], signs[keep]
    while len(weights) > 1:
        atoms = signs * np.maximum(data.x @ directions.T, 0.0)
        if data.outer_bias == "free":
            atoms = np.column_stack([atoms, np.ones(len(atoms))])
        length = np.linalg.norm(atoms, axis=0)
        if not np.all(length[: len(weights)] > 0):  # a block outside its cell, of a program not solved, does nothing
            keep = length[: len(weights)] > 0
            directions, weights, signs = directions[keep], weights[keep], signs[keep]
            continue
        _, size, right = np.linalg.svd(atoms / length)
        if len(size) == atoms.shape[1] and size[-1] > RESOLUTION["rank"][0] * size[0]:
            break
        kernel = right[-1] / length
        along = kernel[: len(weights)]
        sign = 1.0 if along.sum() >= 0 else -1.0
        if not np.any(sign * along > 0):
            break
        step = sign * np.min(weights[sign * along > 0] / np.abs(along[sign * along > 0]))
        weights, b0 = weights - step * along, b0 - step * float(np.sum(kernel[len(weights) :]))
        keep = at_work(weights)
        directions, weights, signs = directions[keep], weights[keep], signs[keep]
    return directions * weights[:, None], signs, b0
