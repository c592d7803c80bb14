"""Where the time goes: seconds by stage, compilation apart; and what lanes and the way to the host are used for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

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
        host: Seconds of the driver outside of polish and labels: waiting for a chunk, looking at its lanes, and filling
            lanes and sending them on.
        chunks: How many ran.
        device_seconds: Of all chunks together; those of two groups overlap.
        busy_seconds: In which at least one chunk ran.
        lane_steps: Gradients that were computed in lanes.
        own_steps: Those of them that belong to a restart; the others are of free places in blocks that run.
        down: Bytes that came from the devices of the descents to the host: of lanes that are looked at or stop, and of
            Newton steps.
        up: Bytes of lanes that went to these devices.
    """

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("compile", "descent", "polish", "classify"), 0.0)
    )
    host: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("wait", "look", "start"), 0.0))
    chunks: int = 0
    device_seconds: float = 0.0
    busy_seconds: float = 0.0
    lane_steps: int = 0
    own_steps: int = 0
    down: int = 0
    up: int = 0
    _lock: Any = field(default_factory=threading.Lock, repr=False)
    _running: int = 0  # chunks
    _since: float = 0.0  # when the first of them began

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

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the time inside to this part of the driver's own, less what went into compilation."""
        begun, compiled = time.perf_counter(), _compiling[0]
        try:
            yield
        finally:
            self.host[name] += max(0.0, time.perf_counter() - begun - (_compiling[0] - compiled))

    def chunk(self, run: Callable[[], Any]) -> Callable[[], Any]:
        """The same call, with its time counted as a chunk's; for any thread."""

        def timed() -> Any:
            begun = time.perf_counter()
            with self._lock:
                self._since = begun if self._running == 0 else self._since
                self._running += 1
            try:
                return run()
            finally:
                with self._lock:
                    ended = time.perf_counter()
                    self._running -= 1
                    self.chunks += 1
                    self.device_seconds += ended - begun
                    self.busy_seconds += ended - self._since if self._running == 0 else 0.0

        return timed
