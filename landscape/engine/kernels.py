"""By which program a chunk of descents is computed: chosen here, by problem, method, dtype and platform.

A kernel is written for one theta [p]. Second forms are held equal to the first by tests, and never chosen by the number
of lanes: what a restart finds does not depend on how many others there are.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import jax
import jax.numpy as jnp

from landscape.descent import Lane, Method, lane
from landscape.engine import on_chip
from landscape.precision import devices
from landscape.problems.problem import Loss

# Coordinates from which the kernel on chip is faster, in float32. On an H200, by the flow, ns a gradient of 16384
# lanes, rows and on chip: 6.8 and 5.3 at k = n = 8, 15 and 5.8 at 16, 21 and 14 at 17, 48 and 13 at 32; at k = 6 rows
# take 2.4 to 4.1 and the kernel 5 to 6. In float64 rows win: 47 and 54 at k = 20, 6 and 11 at k = 6.
ON_CHIP_FROM = 64


class Form(StrEnum):
    """How lanes are computed.

    Attributes:
        ROWS: A lane is a row, [lanes, p]: batched matrix products.
        LAST_AXIS: Lanes stand on the last axis, [p, lanes]: vector operations across lanes.
        ON_CHIP: Rows, each held on chip by a kernel of its own for the whole chunk.
    """

    ROWS = "rows"
    LAST_AXIS = "last axis"
    ON_CHIP = "on chip"


def form(problem: Loss, method: Method, dtype: Any, device: Any, looked: bool = False) -> Form:
    """The form for these on a device; where lanes are looked at within a chunk, none that keeps them on chip."""
    single = jnp.dtype(dtype) == jnp.float32
    chip = single and problem.p >= ON_CHIP_FROM and not looked and on_chip.runs_on(device)
    if chip and on_chip.applies(problem, method, dtype):
        return Form.ON_CHIP
    return Form.LAST_AXIS if problem.trailing and method.trailing else Form.ROWS


def advance(form: Form, problem: Loss, method: Method, lanes: Lane, steps: Any, first: Any = 0) -> Lane:
    """Lanes in this form, `steps` gradients later, of whose chunk `first` are taken already."""
    if form is Form.ON_CHIP:
        return on_chip.advance(problem, method, lanes, steps, interpret=devices()[0].platform == "cpu")
    return evaluated(form, problem, method, moved(form, problem, method, lanes, steps, first))


def moved(form: Form, problem: Loss, method: Method, lanes: Lane, steps: Any, first: Any = 0) -> Lane:
    """The same without loss and gradient norm there; not on chip."""
    if form is Form.LAST_AXIS:
        return lane.moved(problem, method, lanes, steps, first)
    return jax.vmap(lambda one: lane.moved(problem, method, one, steps, first))(lanes)


def evaluated(form: Form, problem: Loss, method: Method, lanes: Lane) -> Lane:
    """Lanes in this form with loss and gradient norm where they stand; not on chip."""
    if form is Form.LAST_AXIS:
        return lane.evaluated(problem, method, lanes)
    return jax.vmap(lambda one: lane.evaluated(problem, method, one))(lanes)
