"""Where the time goes: seconds by stage, compilation apart; and what lanes and the way to the host are used for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from jax import monitoring

_compiling = [0.0]  # seconds that this process has spent in tracing, lowering and compiling


def _heard(event: str, duration_secs: float, **_: str | int) -> None:
    if event.startswith("/jax/core/compile/") and event.endswith("_duration"):
        _compiling[0] += duration_secs


monitoring.register_event_duration_secs_listener(_heard)


@dataclass
class Clock:
    """What a run used.

    Attributes:
        seconds: Spent in each stage, compilation apart; `descent` is the time in which the host had nothing to do.
        lane_steps: Gradients that were computed in lanes.
        own_steps: Those of them that belong to a restart; the others are of free places in blocks that run.
        down: Bytes that came from the devices of the descents to the host: of lanes that are looked at or stop, and of
            Newton steps.
    """

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("compile", "descent", "polish", "classify"), 0.0)
    )
    lane_steps: int = 0
    own_steps: int = 0
    down: int = 0

    @contextmanager
    def running(self, stage: str) -> Iterator[None]:
        """Adds the time inside to the stage, less what went into compilation."""
        begun, compiled = time.perf_counter(), _compiling[0]
        try:
            yield
        finally:
            spent, compiled = time.perf_counter() - begun, _compiling[0] - compiled
            # Two programs may compile at once: no more than the time there was.
            self.seconds["compile"] += min(compiled, spent)
            self.seconds[stage] += max(0.0, spent - compiled)
