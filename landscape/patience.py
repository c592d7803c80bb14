"""How long a search may take, and who hears how far it is.

A search that gives an interval at any time asks `over` between two steps, and ends with the interval that it has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass
class Watch:
    """A budget for searches.

    Attributes:
        until: Time of `time.monotonic` at which they end; None for no end.
        stopped: Asked, too, whether they shall end: someone pressed Ctrl-C.
        hear: Takes a sentence on how far a search is.
        ended: Whether a search has been told to end: what it found is an interval that more time would narrow.
    """

    until: float | None
    stopped: Callable[[], bool] | None
    hear: Callable[[str], None] | None
    ended: bool = False


_WATCH: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watched(
    seconds: float | None = None,
    hear: Callable[[str], None] | None = None,
    stopped: Callable[[], bool] | None = None,
) -> Iterator[Watch]:
    """Inside, searches end after so many seconds in all, and say how far they are."""
    watch = Watch(None if seconds is None else time.monotonic() + seconds, stopped, hear)
    token = _WATCH.set(watch)
    try:
        yield watch
    finally:
        _WATCH.reset(token)


def over() -> bool:
    """Whether a search shall end now with what it has."""
    watch = _WATCH.get()
    if watch is None:
        return False
    late = watch.until is not None and time.monotonic() > watch.until
    watch.ended |= late or (watch.stopped is not None and watch.stopped())
    return watch.ended


def say(words: str) -> None:
    """How far a search is."""
    watch = _WATCH.get()
    if watch is not None and watch.hear is not None:
        watch.hear(words)
