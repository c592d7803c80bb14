"""Restarts done and handed over as shards, by this process or by a worker."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from landscape.census import assemble
from landscape.engine.driver import Driver
from landscape.engine.looks import Looks
from landscape.engine.settings import Progress, Settings
from landscape.host import interrupt, store
from landscape.host.exhausted import batches
from landscape.problems.problem import Problem

SHARD_SECONDS = 5.0  # finished restarts are written at least this often ...
SHARD_ROWS = 2000  # ... and whenever so many wait
LOOKS_BYTES = 2**25  # looks are handed over whenever so much of them waits


class Job(NamedTuple):
    """Which descents a run is made of: all that a process needs to do some of them.

    Attributes:
        problem: The landscape.
        settings: How to run.
        seed: Of the starting points.
        starts: Given starting points, [restarts, p], or None for random ones.
        looks: When and at what the descents are looked at on their way.
    """

    problem: Problem
    settings: Settings
    seed: int
    starts: np.ndarray | None = None
    looks: Looks | None = None

    def driver(self, done: store.Shards) -> Driver:
        """A driver that knows the orbits of what is done."""
        driver = Driver(self.problem, self.settings, self.seed, self.starts, looks=self.looks)
        driver.restore(assemble.known_orbits(self.problem, done.rows, done.weights))
        return driver


def _shard(
    driver: Driver, waiting: list[tuple[dict[str, np.ndarray], np.ndarray]]
) -> tuple[dict[str, np.ndarray], dict[int, np.ndarray]]:
    """The rows of some batches, and the weights of one member of each orbit and class, by its restart."""
    rows = {name: np.concatenate([batch[0][name] for batch in waiting]) for name in waiting[0][0]}
    theta = np.concatenate([batch[1] for batch in waiting])
    chosen = np.flatnonzero(assemble.keepers(rows, assemble.loss_unit(driver.problem)))
    return rows, {int(rows["restart"][i]): theta[i] for i in chosen}


def drive(
    driver: Driver,
    todo: np.ndarray,
    keep: Callable[[dict[str, np.ndarray], dict[int, np.ndarray]], Any],
    report: Callable[[Progress], None] | None,
    pace: tuple[float, int] | None = None,
    keep_looks: Callable[[dict[str, np.ndarray]], Any] | None = None,
) -> bool:
    """Does the restarts and hands them over as shards: rows, and the weights of one member of each orbit and class.

    Args:
        driver: Of the run.
        todo: Numbers of the restarts.
        keep: Takes a shard.
        report: Called between chunks.
        pace: Seconds and rows after which a shard is due; SHARD_SECONDS and SHARD_ROWS by default.
        keep_looks: Takes columns of looks along the descents. Those of a restart come before its row.

    Returns:
        Whether it came to its end; a KeyboardInterrupt ends it early, with all that is done handed over.

    Raises:
        MemoryError: The memory does not suffice for one lane.
    """
    waiting: list[tuple[dict[str, np.ndarray], np.ndarray]] = []
    looked: list[dict[str, np.ndarray]] = []
    written = time.perf_counter()
    seconds, most = pace or (SHARD_SECONDS, SHARD_ROWS)

    def look(now: Progress) -> None:
        interrupt.check()
        if report is not None:
            report(now)
        looked.extend(driver.take_looks())
        if sum(x.nbytes for columns in looked for x in columns.values()) > LOOKS_BYTES:
            flush_looks()

    def flush_looks() -> None:
        looked.extend(driver.take_looks())
        if looked and keep_looks is not None:
            keep_looks({name: np.concatenate([one[name] for one in looked]) for name in looked[0]})
        looked.clear()

    def flush() -> None:
        flush_looks()
        if waiting:
            keep(*_shard(driver, waiting))
            waiting.clear()

    try:
        for batch in batches(driver, todo, look):
            waiting.append(batch)
            if time.perf_counter() - written > seconds or sum(len(b[1]) for b in waiting) >= most:
                flush()
                written = time.perf_counter()
    except KeyboardInterrupt:
        flush()
        return False
    flush()
    return True
