"""Ways down by name."""

from __future__ import annotations

from functools import lru_cache

import optax

from landscape.descent.first_order import from_optax, gradient_descent, minibatch
from landscape.descent.flow import flow
from landscape.descent.lane import Method
from landscape.descent.lbfgs import lbfgs
from landscape.records import InputError

OPTIMISERS = ("gradient-descent", "flow", "lbfgs", "momentum", "nesterov", "adam", "rmsprop")


@lru_cache(maxsize=64)  # the same object for the same settings, so that compiled programs are found again
def method(name: str = "gradient-descent", step_size: float = 0.1, tolerance: float = 1e-2) -> Method:
    """A way down by name.

    Args:
        name: One of `OPTIMISERS`. Plain gradient descent is the default because its basins are the paper's.
            "minibatch:8" is descent on 8 random rows of a data set at a time; see `minibatch`.
        step_size: 0.1 by default (Safran and Shamir 2017); stable while curvature is below 2 / step_size = 20, and
            the curvature at an orthonormal teacher of k neurons is about k/4 + 0.85. "flow" and "lbfgs" choose their
            own.
        tolerance: Of "flow" only: largest estimated local error of a step, Euclidean.

    Raises:
        InputError: The name is unknown, or a number is not positive.
    """
    for what, value in (("step_size", step_size), ("tolerance", tolerance)):
        if not 0 < value < float("inf"):
            raise InputError(f"{what} must be a positive number, found {value}.")
    made = {
        "gradient-descent": lambda: gradient_descent(step_size),
        "flow": lambda: flow(tolerance),
        "lbfgs": lbfgs,
        "momentum": lambda: from_optax(optax.sgd(step_size, momentum=0.9), f"momentum 0.9, step {step_size:g}"),
        "nesterov": lambda: from_optax(
            optax.sgd(step_size, momentum=0.9, nesterov=True), f"Nesterov momentum 0.9, step {step_size:g}"
        ),
        "adam": lambda: from_optax(optax.adam(step_size), f"Adam, step {step_size:g}"),
        "rmsprop": lambda: from_optax(optax.rmsprop(step_size), f"RMSProp, step {step_size:g}"),
    }
    kind, _, size = name.partition(":")
    if kind == "minibatch" and size.isdigit() and int(size) > 0:
        return minibatch(step_size, int(size))
    if name not in made:
        raise InputError(
            f"optimiser {name!r} is unknown; known are {', '.join(OPTIMISERS)}, and minibatch:8 (or another number of "
            "rows) for data sets; from Python, any optax one."
        )
    return made[name]()
