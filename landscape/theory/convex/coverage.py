"""Which of all local minima the restarts of a run ended at, and which the run missed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.theory.convex.local_minima import Minima


class Coverage(NamedTuple):
    """Which of all local minima a run found.

    Attributes:
        runs: How many restarts ended at each minimum, [K].
        missed: Indices of minima that none ended at.
        elsewhere: Restarts that ended at none of them, bool [r]: one-sided traps, or not converged.
    """

    runs: np.ndarray
    missed: tuple[int, ...]
    elsewhere: np.ndarray


def coverage(minima: Minima, values: np.ndarray, outputs: np.ndarray | None = None, accuracy: float = 1e-8) -> Coverage:
    """Which local minima the restarts of a run ended at, and which the run missed.

    A saddle at a zero neuron has the loss and the outputs of a flat minimum with fewer neurons and is counted there;
    leave such restarts out to count minima only.

    Args:
        minima: Of the run's width.
        values: Losses of the restarts, [r].
        outputs: Their outputs f on the data, [r, n]; minima of equal value are told apart by it.
        accuracy: Of the losses, relative to the loss without a neuron; outputs, first order where losses are second, to
            its square root. Of several minima that near the nearest counts, and those that cannot be told from it.
    """
    values = np.asarray(values, np.float64)
    listed = np.array([minimum.value for minimum in minima.minima])
    far = np.abs(values[:, None] - listed) / (accuracy * max(minima.loss_size, 1e-300))
    if outputs is not None and len(listed):
        apart = np.asarray(outputs, np.float64)[:, None] - np.array([minimum.output for minimum in minima.minima])
        unit = np.sqrt(accuracy) * max(minima.output_size, 1e-300)
        far = np.maximum(far, np.linalg.norm(apart, axis=2) / unit)
    nearest = np.min(far, axis=1, initial=np.inf)
    at = (far <= 1) & (far <= nearest[:, None] + 0.1)
    runs = np.sum(at, axis=0)
    return Coverage(runs, tuple(int(i) for i in np.flatnonzero(runs == 0)), ~np.any(at, axis=1))
