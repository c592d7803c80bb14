"""The progress bar."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from landscape.engine.settings import Progress

_VIEW: ContextVar[tuple[Any, Any] | None] = ContextVar("view", default=None)  # of several runs, and its first line


@contextmanager
def bar(show: bool | None, title: str) -> Iterator[Callable[[Progress], None] | None]:
    """A live bar on standard error, fed from the host; None where nobody looks.

    Args:
        show: Whether to show it; by default if standard error is a terminal.
        title: Stands before it.
    """
    if not _seen(show):
        yield None
        return
    with _live() as live:
        task = live.add_task(title or "restarts", total=None, rate="", labels="compiling")

        def report(now: Progress) -> None:
            live.update(
                task,
                completed=now.done,
                total=now.total,
                rate=f"{now.done / max(now.seconds, 1e-9):.0f}/s",
                labels=", ".join(f"{label} {count}" for label, count in sorted(now.labels.items())),
            )

        yield report
        live.remove_task(task)


@contextmanager
def bars(show: bool | None, many: int) -> Iterator[None]:
    """One view of several runs: inside, each `bar` is a line below one that counts the runs.

    Args:
        show: As for `bar`.
        many: How many runs there are.
    """
    if not _seen(show):
        yield
        return
    with _live() as live:
        whole = live.add_task("runs", total=many, rate="", labels="")
        said = _VIEW.set((live, whole))
        try:
            yield
        finally:
            _VIEW.reset(said)


def _seen(show: bool | None) -> bool:
    return show is True or (show is None and sys.stderr.isatty())


@contextmanager
def _live() -> Iterator[Any]:
    """The view that is there, one run of which ends here, or a new one."""
    if (there := _VIEW.get()) is not None:
        yield there[0]
        there[0].advance(there[1])
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[labels]}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as live:
        yield live


@contextmanager
def counting_bar(show: bool | None, title: str) -> Iterator[Callable[[int, int], None] | None]:
    """The same bar, fed with how many are done and how many there are."""
    begun = time.perf_counter()
    with bar(show, title) as report:
        if report is None:
            yield None
        else:
            yield lambda done, total: report(Progress(done, total, {}, time.perf_counter() - begun))


@contextmanager
def spoken(show: bool | None = None) -> Iterator[Callable[[str], None] | None]:
    """A line on standard error that says what a search is at; None where nobody looks.

    Args:
        show: Whether to show it; by default if standard error is a terminal.
    """
    if not _seen(show):
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("reading") as line:
        yield lambda words: line.update(words)
