"""Whether someone has asked this process to stop: a flag that loops read between two chunks.

A handler that raises may do so in the middle of anything. In a callback of XLA the exception is printed and lost, and
the run goes on; in an import it may come out as another one. So the first signal sets a flag only. Where nobody has
read it after GRACE seconds, or where a second signal comes, KeyboardInterrupt is raised wherever the process is, and
again every second until it is heard.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

GRACE = 20.0  # seconds: a chunk takes one, a compilation some ten, workers have 15 to write what they have
AGAIN = 1.0  # seconds between two exceptions

_state = {"requested": False, "at_once": False}


def requested() -> bool:
    """Whether the process has been asked to stop."""
    return _state["requested"]


def check() -> None:
    """Raises KeyboardInterrupt if the process has been asked to stop."""
    if requested():
        raise KeyboardInterrupt


@contextlib.contextmanager
def heeded() -> Iterator[None]:
    """Inside, Ctrl-C sets the flag; for loops that read it. Python's own handler comes back afterwards.

    Does nothing where the caller has a handler of its own, as `commanded` is one, and outside of the main thread.
    """
    ours = threading.current_thread() is threading.main_thread()
    if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _state.update(requested=False, at_once=False)
    signal.signal(signal.SIGINT, _note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        _state.update(requested=False)


@contextlib.contextmanager
def commanded() -> Iterator[None]:
    """Inside, the whole process is a command: SIGTERM is like Ctrl-C, and both set the flag; see `at_once`."""
    _state.update(requested=False, at_once=False)
    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, _note) for number in (signal.SIGINT, signal.SIGTERM)}
        if hasattr(signal, "SIGALRM"):
            before[signal.SIGALRM] = signal.signal(signal.SIGALRM, _insist)
    try:
        yield
    finally:
        if len(before) > 2:
            signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in before.items():
            signal.signal(number, handler)


def at_once() -> None:
    """From here on the command has no loop that reads the flag: a signal raises KeyboardInterrupt at once."""
    _state.update(at_once=True)
    check()


def _note(number: int, frame: FrameType | None) -> None:
    now = _state["requested"] or _state["at_once"]
    _state.update(requested=True)
    alarm = hasattr(signal, "SIGALRM") and signal.getsignal(signal.SIGALRM) is _insist
    if alarm:
        signal.setitimer(signal.ITIMER_REAL, AGAIN if now else GRACE, AGAIN)
    if now:
        raise KeyboardInterrupt


def _insist(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
