"""What tells a ReLU start's stationary loss apart from that of others: its cells and signs."""

from __future__ import annotations

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.theory.convex.forward_pass import forward


def signature(problem: Empirical, theta: np.ndarray) -> bytes:
    """Cells and signs of all neurons, in an order of their own: starts with one signature lead to one stationary loss.

    Exact where the neurons' outputs are independent; elsewhere they may share one loss in several ways.
    """
    here = forward(problem, theta)
    rows = {bytes([int(on)]) + np.packbits(side).tobytes() for on, side in zip(here.a > 0, (here.z > 0).T, strict=True)}
    return b"".join(sorted(rows))
