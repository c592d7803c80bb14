"""Refuses what float64 cannot hold: a loss of infinity proves nothing, and a bound of infinity would make it global."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np

from landscape.problems.problem import Problem
from landscape.records import InputError, Label, Verdict

OPEN = 1e-3  # of the unit of the loss: one that is known no better than this is not at its bound
TOO_LARGE = "the weights or the data are too large for float64; scale them down"


def quiet() -> AbstractContextManager[None]:
    """Inside, NumPy does not warn of overflow: it is looked for afterwards, and said in one sentence."""
    return np.errstate(over="ignore", invalid="ignore", divide="ignore")


def checked(problem: Problem, verdict: Verdict) -> Verdict:
    """The verdict of a point; undecided where it is global only because rounding leaves its loss wide open.

    Raises:
        InputError: Its loss, its gradient or the bound beside it is not finite.
    """
    values = {"loss": verdict.loss, "gradient norm": verdict.grad_norm, "lower bound": verdict.lower_bound}
    for name, value in values.items():
        if value is not None and not np.isfinite(value):
            raise InputError(f"the {name} at the point is {value}: {TOO_LARGE}.")
    open_by = 0.0 if verdict.loss_error is None else verdict.loss_error
    if verdict.label != Label.GLOBAL or open_by <= OPEN * problem.scale * problem.gradient_scale:
        return verdict
    reason = f"the weights are so large that rounding leaves the loss open by {open_by:.1e}"
    nothing: dict[str, Any] = dict(flavour=None, evidence=None, by=None, margin=None)
    return replace(verdict, label=Label.UNDECIDED, reason=reason, **nothing)


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
