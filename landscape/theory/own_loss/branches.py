"""Does a loss have operations that take one of several branches? Where it has none it has no kinks."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params

from landscape.problems.from_loss import UserLoss
from landscape.problems.walk import asleep, called
from landscape.theory.own_loss.switches import SMOOTH

# Operations that take one of several branches, or have a cusp: where their argument vanishes, or two eigenvalues meet.
BRANCHES = frozenset(
    [
        "max",
        "min",
        "abs",
        "sign",
        "clamp",
        "select_n",
        "cond",
        "lt",
        "le",
        "gt",
        "ge",
        "sort",
        "top_k",
        "cummax",
        "cummin",
        "reduce_window_max",
        "reduce_window_min",
        "reduce_max",
        "reduce_min",
        "argmax",
        "argmin",
        "floor",
        "ceil",
        "round",
        "rem",
        "sqrt",
        "cbrt",
        "pow",
        "eigh",
        "svd",
    ]
)


@lru_cache(maxsize=64)
def branches(problem: UserLoss) -> bool:
    """Whether the program of a loss has an operation of `BRANCHES`: it may have kinks."""
    with jax.enable_x64(True):
        jaxpr = jax.make_jaxpr(problem.loss)(np.zeros(problem.p)).jaxpr
        return _branches(jaxpr, asleep(jaxpr))


def _branches(jaxpr: Any, without: set[int]) -> bool:
    for eqn in jaxpr.eqns:
        if called(eqn) in SMOOTH or id(eqn) in without:
            continue
        if _chooses(eqn) or any(_branches(one, without) for one in jaxprs_in_params(eqn.params)):
            return True
    return False


def _chooses(eqn: Any) -> bool:
    """Whether an operation takes one of several branches: those of whole numbers are of places in an array."""
    values = [one.aval.dtype for one in (*eqn.invars, *eqn.outvars)]
    return eqn.primitive.name in BRANCHES and any(jnp.issubdtype(one, jnp.floating) for one in values)
