"""Escapes from split points: where descents go that begin beside the saddle which splitting a neuron makes."""

from __future__ import annotations

from typing import Any

from landscape.census.census import Census
from landscape.host.explore import explore
from landscape.theory.local_convergence.splitting import Split, escapes


def escape(split: Split, restarts: int = 10, seed: int = 0, size: float = 1e-2, **options: Any) -> Census:
    """A census of descents from beside a split point: its levels say where the escape ends, with their labels.

    Descents 0 and 1 begin along the most negative direction, one each way; the others along random combinations of
    all negative directions. An end can be global, and it can be a new spurious minimum of the wider network.

    Args:
        split: A split point with a negative direction.
        restarts: How many descents.
        seed: Of the random combinations.
        size: Distance of the starts from the split point, in units of the problem's scale.
        **options: Of `explore`: out, progress, optimiser, budget, ...

    Raises:
        InputError: No eigenvalue of the split point is negative, or an option makes no sense.
    """
    return explore(split.problem, starts=escapes(split, restarts, seed, size), seed=seed, **options)
