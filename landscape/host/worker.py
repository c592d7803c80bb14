"""One worker: takes ranges of restarts from a dask scheduler and writes shards of its own into the run folder.

A worker has one thread, keeps one driver a run (nothing is compiled again from range to range) and drives all devices
of its machine.

As a program, `python -m landscape.host.worker NUMBER COUNT SCRATCH`, it is one of COUNT local workers; the address of
its scheduler and the key to it come on standard input.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import sys
import threading
import time
import warnings
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from landscape.host import safety
from landscape.records import InputError

if TYPE_CHECKING:
    import numpy as np

    from landscape.engine.driver import Driver
    from landscape.engine.settings import Progress
    from landscape.host.drive import Job

STARTS = "starts.npy"
NUMBER = "LANDSCAPE_WORKER"  # in the environment of a local worker: which one it is
CLEAR_SECONDS = 10.0  # in which files that others write into a folder that is being removed come to an end


class Order(NamedTuple):
    """What every task of a run is given.

    Attributes:
        payload: The pickled job.
        folder: Of the run.
        run: Which call of `work` this is.
        pace: Seconds and rows after which a shard is due.
    """

    payload: bytes
    folder: str
    run: str
    pace: tuple[float, int]


class Done(NamedTuple):
    """What a task answers.

    Attributes:
        seconds: In each stage.
        refusal: Why it could not be done, in one sentence: no reason to try again.
    """

    seconds: dict[str, float]
    refusal: str | None = None


_one_at_a_time = threading.Lock()  # a worker with several threads still has one driver
_stopped: set[str] = set()  # the runs that this process shall not go on with


def environment(dtype: str) -> dict[str, Any]:
    """Versions, device and dtype of this process."""
    from landscape.engine import environment as here
    from landscape.engine.settings import Settings

    return here.environment(Settings(dtype=dtype))


def stop(run: str) -> None:
    """Makes this process end its range of the run at the next chunk. Sent to every worker, beside its task."""
    _stopped.add(run)


@lru_cache(maxsize=1)
def _driver(order: Order) -> Driver:
    """The driver of a run; it knows the orbits that others have found by now."""
    import cloudpickle
    import numpy as np

    from landscape.census import assemble
    from landscape.host import store

    job: Job = cloudpickle.loads(order.payload)
    starts = Path(order.folder) / STARTS
    if starts.exists():
        job = job._replace(starts=np.load(starts, mmap_mode="r"))
    keep_one = partial(assemble.keepers, unit=assemble.loss_unit(job.problem))
    driver = job.driver(store.read(Path(order.folder), keep_one))
    # Each of two neighbours with one core compiles one of the two large programs, and loads what the other has made.
    driver.polish_first = int(os.environ.get(NUMBER, 0)) % 2 == 1
    return driver


def do(order: Order, restarts: np.ndarray) -> Done:
    """Does those of the restarts that are not on disk yet, and writes them."""
    import jax
    import numpy as np

    from landscape.host import store
    from landscape.host.drive import drive

    folder = Path(order.folder)

    def look(_: Progress) -> None:
        if order.run in _stopped:
            raise KeyboardInterrupt

    try:
        if not (folder / store.MANIFEST).exists():
            raise InputError(
                f"a worker on {socket.gethostname()} does not see {folder}; it must be on a shared file system."
            )
        with _one_at_a_time, jax.enable_x64(True):
            try:
                driver = _driver(order)
            except (ImportError, AttributeError) as error:
                raise InputError(
                    f"a worker cannot load the problem ({error}); define it in the script itself or in a module "
                    "that is installed where the workers run."
                ) from None
            before = dict(driver.clock.seconds)
            left = np.setdiff1d(restarts, store.finished(folder, int(restarts[0]), int(restarts[-1])))
            if order.run not in _stopped:
                device = environment(driver.settings.dtype)["device"]
                drive(driver, left, partial(store.append, folder, device=device), look, order.pace)
            return Done({stage: spent - before[stage] for stage, spent in driver.clock.seconds.items()})
    except InputError as refusal:
        return Done({}, str(refusal))


def share(things: list, number: int, count: int) -> list:
    """The part of a list that is one's own among `count`: neighbours, or one thing shared with others if few."""
    if len(things) < count:
        return things[number % len(things) :][:1]
    return things[number * len(things) // count : (number + 1) * len(things) // count]


def _serve(number: int, count: int, scratch: str) -> None:
    """One of `count` workers of this machine, until its parent or its scheduler goes."""
    # First of all: every thread started from here on inherits it, and jax counts the cores that it may use.
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, share(sorted(os.sched_getaffinity(0)), number, count))
    if found := gpus():
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share(found, number, count))
    os.environ[NUMBER] = str(number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    from dask import config

    config.set({"logging": {"distributed": "critical"}})  # before distributed sets its log up
    import distributed  # noqa: F401  # while the parent makes the scheduler

    import landscape.host.drive  # noqa: F401

    share_compiled(Path(scratch) / "compiled")
    line = sys.stdin.buffer.readline()
    ender = threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True)
    ender.start()
    try:
        if line.endswith(b"\n"):  # else the parent has gone
            asyncio.run(_work(number, safety.Terms(*json.loads(line)), scratch))
    finally:
        # With its parent goes its scheduler, and without that the worker is at its end before the scratch is cleared.
        ender.join(2 * CLEAR_SECONDS)


async def _work(number: int, terms: safety.Terms, scratch: str) -> None:
    """A worker until its scheduler goes."""
    from distributed import Worker

    options: dict[str, Any] = dict(memory_limit=0, dashboard=False, death_timeout=60, local_directory=scratch)
    options |= dict(host="127.0.0.1", protocol="tls://", security=safety.security(terms.key, terms.certificate))
    async with safety.without_pages(Worker)(terms.address, nthreads=1, name=str(number), **options) as worker:
        await worker.finished()


def share_compiled(folder: Path) -> None:
    """Has JAX keep what this process compiles where the other workers find it; the folder goes with the scratch.

    For a process of our own only, since it is a setting of the whole process. A file that another worker is writing at
    the moment cannot be decompressed; JAX says so in a warning, which nobody needs, and compiles.
    """
    import jax

    if jax.config.values.get("jax_compilation_cache_dir") is not None:
        return  # the user keeps them already
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def gpus() -> list[str]:
    """Names of the NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    found = Path("/proc/driver/nvidia/gpus")
    return [str(i) for i in range(len(list(found.iterdir())))] if found.is_dir() else []


def _end_with_parent(scratch: str) -> None:
    """Ends this process as soon as the other end of its standard input is closed: its parent is gone."""
    sys.stdin.buffer.read()
    clear(Path(scratch))  # which the parent cannot any more
    os._exit(1)


def clear(scratch: Path, seconds: float = CLEAR_SECONDS) -> None:
    """Removes a folder that other threads and workers may be writing to: a folder with a new file is not removed."""
    deadline = time.monotonic() + seconds
    while scratch.exists() and time.monotonic() < deadline:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
