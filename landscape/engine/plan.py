"""What a run does: which landscape, how, how often, from which starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from landscape.engine.looks import Looks
from landscape.engine.settings import Settings
from landscape.records import must_fit, whole


@dataclass(frozen=True, eq=False)
class Plan:
    """One run. Building it builds the problem, so that it is built once a run.

    Attributes:
        problem: The landscape, a `Problem`.
        settings: How restarts are made, run and stopped.
        restarts: Of the whole run.
        seed: Of the starting points.
        title: Stands beside the progress bar.
        study: Name in the record.
        starts: Given starting points, [restarts, p], or None for random ones.
        looks: When and at what descents are looked at on their way; None where they are not.
    """

    problem: Any
    settings: Settings
    restarts: int
    seed: int
    title: str = ""
    study: str = "explore"
    starts: np.ndarray | None = field(default=None, repr=False)
    looks: Looks | None = None

    def __post_init__(self) -> None:
        """Raises InputError unless restarts, seed and settings make sense."""
        whole("restarts", self.restarts, 1)
        whole("seed", self.seed, 0, most=2**63 - 1)
        self.settings.check()
        # A lane holds its point, its gradient and what the method keeps: some numbers a coordinate.
        must_fit(f"networks of {self.problem.p} weights", 64 * self.problem.p)
