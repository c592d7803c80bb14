"""Refuses what float64 cannot hold: a loss of infinity proves nothing, and a bound of infinity would make it global."""

from __future__ import annotations

from contextlib import AbstractContextManager

import numpy as np

from landscape.problems.problem import Problem
from landscape.records import InputError, Verdict

TOO_LARGE = "the weights or the data are too large for float64; scale them down"


def quiet() -> AbstractContextManager[None]:
    """Inside, NumPy does not warn of overflow: it is looked for afterwards, and said in one sentence."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def checked(problem: Problem, verdict: Verdict) -> Verdict:
    """The verdict of a point.

    Raises:
        InputError: Its loss, its gradient or the bound beside it is not finite.
    """
    values = {"loss": verdict.loss, "gradient norm": verdict.grad_norm, "lower bound": verdict.lower_bound}
    for name, value in values.items():
        if value is not None and not np.isfinite(value):
            if name == "gradient norm" and np.isnan(value):  # the loss is finite, as it comes first
                raise InputError(
                    "the gradient at the point is nan: at the tip of a norm, write sqrt(sum + tiny); in jnp.where, "
                    "keep nan out of the branch that is not taken."
                )
            cause = f"it is not defined there, or {TOO_LARGE}" if np.isnan(value) else TOO_LARGE
            if name == "gradient norm":
                cause = f"the loss is vertical there, as a root is at zero, or {TOO_LARGE}"
            raise InputError(f"the {name} at the point is {value}: {cause}.")
    return verdict


def bounded(problem: Problem) -> Problem:
    """The problem itself.

    Raises:
        InputError: Its lower bound is not finite.
    """
    if problem.lower_bound is not None and not np.isfinite(problem.lower_bound.value):
        raise InputError(f"the lower bound of the loss is {problem.lower_bound.value}: {TOO_LARGE}.")
    return problem


def data(**arrays: np.ndarray) -> None:
    """Raises InputError unless the sum of squares of each array is finite: the loss of a network at zero is one."""
    for name, values in arrays.items():
        with quiet():
            square = float(np.sum(np.square(values)))
        if not np.isfinite(square):
            raise InputError(f"the squares of {name} add up to {square}: {TOO_LARGE}.")
