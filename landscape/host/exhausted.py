"""Out of memory: how it is recognised, and a run that goes on in fewer lanes."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from landscape.engine.driver import Driver
    from landscape.engine.rows import Batch
    from landscape.engine.settings import Progress


def out_of_memory(error: BaseException) -> str | None:
    """What an error says of memory that ran out, of the host or of a device; None where it is another error."""
    if isinstance(error, MemoryError):
        return str(error)
    # JAX raises its own error for what XLA refuses, and ValueError for some programs that it refuses to compile.
    said = str(error)
    return said.splitlines()[0][:200] if "RESOURCE_EXHAUSTED" in said else None


def batches(driver: Driver, todo: np.ndarray, report: Callable[[Progress], None]) -> Iterator[Batch]:
    """What `Driver.run` yields; each time that memory runs out, the rest of it in half as many lanes.

    A restart that was in a lane begins again, and ends where it would have ended: how many lanes there are makes no
    difference to it. How many are left is said once, on standard error.

    Args:
        driver: Of the run; it keeps the smaller number of lanes.
        todo: Numbers of the restarts.
        report: Called between chunks.

    Raises:
        MemoryError: One lane is too many.
    """
    begun = time.perf_counter()
    done: list[np.ndarray] = []
    labels: Counter[str] = Counter()
    left, refused = todo, 0
    while True:
        before, lanes = Counter(labels), driver.lanes(len(left))

        def whole(now: Progress, before: Counter[str] = before) -> None:
            both = dict(before + Counter(now.labels))
            done, seconds = before.total() + now.done, time.perf_counter() - begun
            report(now._replace(done=done, total=len(todo), labels=both, seconds=seconds))

        try:
            for batch in driver.run(left, whole):
                if refused:
                    print(_fewer(driver, refused), file=sys.stderr)
                    refused = 0
                done.append(batch[0]["restart"])
                labels.update(batch[0]["label"])
                yield batch
            return
        except Exception as error:
            said = out_of_memory(error)
            if said is None:
                raise
        # Outside of the clause, which holds what the failed call held.
        left = np.setdiff1d(todo, np.concatenate([todo[:0], *done]))
        if lanes <= 1:
            raise MemoryError(said)
        refused = refused or lanes
        driver.settings = driver.settings._replace(lanes=lanes // 2)


def _fewer(driver: Driver, refused: int) -> str:
    return (
        f"landscape: {refused} lanes do not fit the memory of this device ({driver.devices[0].device_kind}); the run "
        f"goes on with {driver.settings.lanes}."
    )
