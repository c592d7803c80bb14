"""Where the time goes: seconds by stage, compilation apart, and what devices and host exchange meanwhile."""

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
class Lanes:
    """What the lanes of a run cost, apart from polish and labels; a microsecond a chunk to keep.

    Attributes:
        chunks: How many ran.
        device_seconds: Of all chunks together; those of two groups overlap.
        busy_seconds: In which at least one chunk ran.
        steps: Gradients of all lanes of the blocks that ran, taken or not.
        own_steps: Gradients of lanes that had a restart.
        to_host: Bytes of lanes copied from the devices to the host.
        to_device: Bytes of lanes copied to the devices.
    """

    chunks: int = 0
    device_seconds: float = 0.0
    busy_seconds: float = 0.0
    steps: int = 0
    own_steps: int = 0
    to_host: int = 0
    to_device: int = 0


@dataclass
class Clock:
    """Seconds spent in each stage, compilation apart; `descent` is the time in which the host had nothing to do.

    Attributes:
        seconds: By stage.
        host: The seconds of the driver outside of polish and labels: waiting for a chunk, looking at its lanes, and
            filling lanes and sending them on.
        lanes: What the lanes cost.
    """

    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("compile", "descent", "polish", "classify"), 0.0)
    )
    host: dict[str, float] = field(default_factory=lambda: dict.fromkeys(("wait", "look", "start"), 0.0))
    lanes: Lanes = field(default_factory=Lanes)
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
                    self.lanes.chunks += 1
                    self.lanes.device_seconds += ended - begun
                    self.lanes.busy_seconds += ended - self._since if self._running == 0 else 0.0

        return timed
