"""Which form of a loss the lanes are computed by: chosen here, by problem, method, device and dtype.

A kernel is written for one theta [p]. Second forms are held equal to the first by tests, and never chosen by the number
of lanes: what a restart finds does not depend on how many others there are.
"""

from __future__ import annotations

from landscape.descent import Method
from landscape.problems.problem import Loss


def on_last_axis(problem: Loss, method: Method) -> bool:
    """Whether lanes stand on the last axis, [p, lanes]: where the loss is fastest so, and the method can be read so."""
    return problem.trailing and method.trailing
