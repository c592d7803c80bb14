"""Copies of a network that lie as near to another one as their neurons allow."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment

from landscape.problems.problem import Problem


def matched(
    problem: Problem, first: Float[np.ndarray, " p"], second: Float[np.ndarray, " p"]
) -> Float[np.ndarray, " p"]:
    """The second network with its neurons in the order that brings it nearest to the first, [p].

    Neurons that can change places are assigned to one another with the least sum of squared distances; the loss does
    not change. Where the problem knows of none, the second point as it is.
    """
    neurons = problem.neurons()
    if neurons is None:
        return second
    apart = np.sum((first[neurons][:, None] - second[neurons][None]) ** 2, axis=2)
    order = linear_sum_assignment(apart)[1]
    out = second.copy()
    out[neurons] = second[neurons[order]]
    return out
