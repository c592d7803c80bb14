"""Ways down by name."""

from __future__ import annotations

import optax

from landscape.descent.first_order import GradientDescent, Minibatch, Optax, Sgd
from landscape.descent.flow import Flow
from landscape.descent.lane import Method
from landscape.descent.lbfgs import Lbfgs
from landscape.records import InputError

OPTIMISERS = ("gradient-descent", "flow", "lbfgs", "momentum", "nesterov", "adam", "rmsprop")
LENGTHS = ("adam", "rmsprop")  # a step of these is about step_size long, whatever the gradient's size


def method(
    name: str = "gradient-descent", step_size: float = 0.1, tolerance: float = 1e-2, scale: float = 1.0
) -> Method:
    """A way down by name.

    Args:
        name: One of `OPTIMISERS`. Plain gradient descent is the default because its basins are the paper's.
            "minibatch:8" is descent on 8 random rows of a data set at a time, "sgd:8" on 8 fresh Gaussian inputs at
            each step where the loss is an expectation over them; see `Minibatch` and `Sgd`.
        step_size: 0.1 by default (Safran and Shamir 2017); stable while curvature is below 2 / step_size = 20, and
            the curvature at an orthonormal teacher of k neurons is about k/4 + 0.85. "flow" and "lbfgs" choose their
            own.
        tolerance: Of "flow" only: largest estimated local error of a step, times the scale.
        scale: Typical size of a parameter; "lbfgs" takes no step longer than that.

    Raises:
        InputError: The name is unknown, or a number is not positive.
    """
    for what, value in (("step_size", step_size), ("tolerance", tolerance), ("scale", scale)):
        if not 0 < value < float("inf"):
            raise InputError(f"{what} must be a positive number, found {value}.")
    made = {
        "gradient-descent": lambda: GradientDescent(step_size),
        "flow": lambda: Flow(tolerance * scale),
        "lbfgs": lambda: Lbfgs(0.1 * scale, scale),
        "momentum": lambda: Optax(optax.sgd(step_size, momentum=0.9), f"momentum 0.9, step {step_size:g}"),
        "nesterov": lambda: Optax(
            optax.sgd(step_size, momentum=0.9, nesterov=True), f"Nesterov momentum 0.9, step {step_size:g}"
        ),
        "adam": lambda: Optax(optax.adam(step_size), f"Adam, step {step_size:g}"),
        "rmsprop": lambda: Optax(optax.rmsprop(step_size), f"RMSProp, step {step_size:g}"),
    }
    kind, _, size = name.partition(":")
    drawing = {"minibatch": Minibatch, "sgd": Sgd}
    if kind in drawing and size.isdigit() and int(size) > 0:
        return drawing[kind](step_size, int(size))
    if name not in made:
        raise InputError(
            f"optimiser {name!r} is unknown; known are {', '.join(OPTIMISERS)}, minibatch:8 (or another number of "
            "rows) for data sets, sgd:8 (of fresh inputs) for teachers over Gaussian inputs; from Python, any optax "
            "one."
        )
    return made[name]()
