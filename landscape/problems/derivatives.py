"""Compiled derivatives of a user's loss."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxprs_in_params

from landscape.precision import float64
from landscape.problems.problem import QUICK, Loss

# The gradient of a maximum is that of the entries equal to it. Where XLA computes an entry a second time within a fused
# loop, and rounds a product and its sum there once, no entry is equal, and the gradient is zero.
APART = {"xla_backend_optimization_level": 1, "xla_disable_hlo_passes": "fusion"}


def derivative(function: Any) -> Any:
    """The compiled program of a function (problem, ...) -> derivatives."""
    quick, apart = (partial(jax.jit, compiler_options=options)(function) for options in (QUICK, APART))

    def run(problem: Loss, *args: Any) -> Any:
        return (apart if _compares(problem) else quick)(problem, *args)

    return run


@lru_cache(maxsize=64)
def _compares(problem: Loss) -> bool:
    """Whether the program of the gradient asks which numbers are equal."""
    with float64():
        return _equal(jax.make_jaxpr(problem.gradient)(np.zeros(problem.p)).jaxpr)


def _equal(jaxpr: Any) -> bool:
    return any(
        (eqn.primitive.name == "eq" and jnp.issubdtype(eqn.invars[0].aval.dtype, jnp.floating))
        or any(_equal(one) for one in jaxprs_in_params(eqn.params))
        for eqn in jaxpr.eqns
    )


@derivative
def gradients_and_losses(problem: Loss, unit: Any, u: Any) -> Any:
    """Gradients in u of the loss at theta = u unit, and the losses in a last column, [r, p] -> [r, p + 1]."""
    return jax.vmap(lambda row: jnp.append(problem.gradient(row * unit) * unit, problem.loss(row * unit)))(u)
