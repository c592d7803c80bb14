"""Many processes, many machines: ranges of restarts are tasks of dask workers, which write shards of their own.

Processes share the run folder and nothing else; there is no collective that one of them could leave. The range of
a worker that is lost goes to another, which leaves out what is on disk. Merging is reading the folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from landscape.host import interrupt, safety, worker
from landscape.host.processes import LOST, Processes, Stopped
from landscape.records import InputError, version_of, whole

if TYPE_CHECKING:
    import numpy as np

    from landscape.engine.settings import Progress
    from landscape.host.drive import Job

REACH_SECONDS = 10.0  # a scheduler that has not answered by then is not there
FROZEN = "30 s"  # a local worker that says nothing for so long is given up at the next look: in a minute at most
START_SECONDS = 120.0  # local workers start in 2 s; a machine that is busy or reads from a slow disk takes its time
STOP_SECONDS = 15.0  # a worker looks between two chunks whether it shall stop, and then writes what it has
LOOK_SECONDS = 0.5  # between looks at the tasks and at what is on disk
RETRIES = 2  # of a range whose worker lives and raised: a file system may be away for a moment
LANES = {"cpu": 512, "gpu": 2**14}  # of a worker whose settings leave them to the driver, at least, by platform
CANCELLED = (CancelledError, asyncio.CancelledError)
LARGE = "distributed.admin.large-graph-warning-threshold"  # data that a user's loss closes over is sent with it


# -- who works ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def pool(workers: int | None = None, scheduler: str | None = None, kept: bool = True) -> Iterator[Pool | None]:
    """Dask workers, to be handed to `run`; None if neither is given: this process does the restarts then.

    Args:
        workers: Start so many processes here; the cores are split among them.
        scheduler: Use the workers of the dask scheduler at this address (or in this scheduler file), which must see
            the run folder under the same path.
        kept: Whether the run is kept in a folder.

    Raises:
        InputError: Both are given, the number makes no sense, dask is missing, or the scheduler does not answer.
    """
    if workers is None and scheduler is None:
        yield None
        return
    if workers is not None and scheduler is not None:
        raise InputError("workers starts processes here and scheduler uses those of a cluster; give one of the two.")
    if workers is not None:
        whole("workers", workers, 1)
    elif not kept:
        raise InputError("a run on a scheduler's workers needs a folder that all of them see; give one with --out.")
    for part in ("distributed", "cryptography"):
        if find_spec(part) is None:
            raise InputError(f"running on several processes needs {part}; pip install 'landscape[cluster]'.")
    with _local(int(workers)) if workers is not None else _remote(str(scheduler)) as found:
        yield found


@contextlib.contextmanager
def _local(count: int) -> Iterator[Pool]:
    """A scheduler in this process and worker processes beside it, on the loopback interface, with TLS.

    A dask worker runs whatever code it is sent. So nobody is let in who has not the key that this process has just made
    and has told its workers alone: not from other machines, and no other user of this one.
    """
    logging.getLogger("asyncio").addFilter(worth_logging)  # for good: such a future is told of when it is collected
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(prefix="landscape-", ignore_cleanup_errors=True))
        processes = stack.enter_context(Processes(count, scratch))
        # They start while this process imports, too.
        from dask import config
        from distributed import Client, Scheduler, SpecCluster

        key, certificate = safety.made()
        security = safety.security(key, certificate)
        rules = {"distributed.scheduler.allowed-failures": LOST, "distributed.scheduler.worker-ttl": FROZEN}
        stack.enter_context(config.set({**rules, LARGE: "1 GB"}))
        options = dict(host="127.0.0.1", port=0, protocol="tls://", security=security, dashboard=False)
        parts: dict[str, Any] = dict(
            scheduler={"cls": safety.without_pages(Scheduler), "options": options},
            workers={},
            security=security,
            silence_logs=logging.CRITICAL,
        )
        cluster: Any = stack.enter_context(SpecCluster(**parts))
        client = stack.enter_context(Client(cluster, set_as_default=False))
        stack.enter_context(client.as_current())
        stack.callback(processes.end)  # before the scheduler: they would ask where it has gone
        processes.connect(safety.Terms(cluster.scheduler_address, key, certificate))
        yield Pool(client, processes)


@contextlib.contextmanager
def _remote(address: str) -> Iterator[Pool]:
    """The workers of a scheduler that runs already."""
    from dask import config
    from distributed import Client

    if address.endswith(".json"):
        address = _written(address)
    with config.set({LARGE: "1 GB"}), _silence():
        # In a thread: a notebook has an event loop of its own in this one.
        with ThreadPoolExecutor(1) as thread:
            trouble = thread.submit(lambda: asyncio.run(_trouble(address))).result()
        if trouble is not None:
            raise InputError(f"no dask scheduler answers at {address} ({trouble}); start one with `dask scheduler`.")
        with Client(address, timeout=REACH_SECONDS, set_as_default=False) as client, client.as_current():
            yield Pool(client)


def _written(path: str) -> str:
    """The address in a scheduler file, which a scheduler that is starting may not have written yet."""
    begun = time.monotonic()
    while True:
        try:
            return json.loads(Path(path).read_text())["address"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            if time.monotonic() - begun > REACH_SECONDS:
                raise InputError(
                    f"{path} is no scheduler file; `dask scheduler --scheduler-file {path}` makes one."
                ) from None
        time.sleep(0.1)


async def _trouble(address: str) -> str | None:
    """Why no scheduler can be reached at the address, None if one answers. dask's own client may wait forever."""
    from distributed.comm.core import connect
    from distributed.security import Security

    async def ask() -> Any:
        comm = await connect(address, timeout=REACH_SECONDS, **Security().get_connection_args("client"))
        await comm.write({"op": "identity", "reply": True})
        found = await comm.read()
        comm.abort()
        return found

    try:
        found = await asyncio.wait_for(ask(), REACH_SECONDS + 1)
    except TimeoutError:
        return "what listens there does not answer"
    except Exception as error:  # each kind of address is refused in its own way: no such scheme, no port, no key
        return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    kind = found.get("type") if isinstance(found, dict) else None
    return None if kind == "Scheduler" else f"it is a {kind}"


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """dask's log, which repeats as paragraphs what is said in one sentence, is not shown."""
    log = logging.getLogger("distributed")
    before = log.level
    log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        log.setLevel(before)


def worth_logging(record: logging.LogRecord) -> bool:
    """Whether asyncio shall log this: not that the wait of a future of dask ran out when a run was stopped."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, TimeoutError) and str(error) == "Timeout")  # tornado's words


# -- who deals ---------------------------------------------------------------------------------------------------------


class Pool:
    """Dask workers, and how restarts are dealt to them."""

    def __init__(self, client: Any, processes: Processes | None = None):
        """Nothing is asked of them yet.

        Args:
            client: Of their scheduler.
            processes: The workers, if they are ours.
        """
        self.client, self.processes = client, processes
        self.least = 1 if processes is None else processes.count  # do not begin with fewer
        self.lanes = LANES["cpu"]

    def size(self) -> int:
        """The number of workers at the moment."""
        return len(self.client.nthreads())

    def _tend(self) -> None:
        if self.processes is not None:
            known = list(self.client.cluster.scheduler.workers.values())
            self.processes.tend({int(one.name) for one in known})

    def environment(self, dtype: str) -> dict[str, Any]:
        """Versions, device and dtype of a worker, and how many there are.

        Raises:
            InputError: The workers have another version of this package, or none; or they do not start.
        """
        try:
            self.ready()
            future = self.client.submit(worker.environment, dtype, pure=False, retries=RETRIES)
            while not self._some_done([future]):
                self._tend()
            found = future.result()
        except Stopped as error:
            raise InputError(f"{error}; what they said is above.") from None
        except ImportError as error:
            raise InputError(f"a worker cannot import landscape ({error}); install it where the workers run.") from None
        if found["landscape"] != version_of("landscape"):
            raise InputError(
                f"the workers have landscape {found['landscape']} and this is {version_of('landscape')}; "
                "install one version."
            )
        self.lanes = LANES.get(found["platform"], LANES["gpu"])
        return {**found, "workers": self.size()}

    def ready(self) -> None:
        """Waits for the workers that it takes to begin."""
        begun, said = time.monotonic(), False
        while self.size() < self.least:
            interrupt.check()
            self._tend()
            waited = time.monotonic() - begun
            if self.processes is not None and waited > START_SECONDS:
                raise InputError(f"of {self.least} worker processes {self.size()} have started in {waited:.0f} s.")
            if self.processes is None and not said and waited > LOOK_SECONDS:
                print("landscape: the scheduler has no workers yet; waiting.", file=sys.stderr)
                said = True
            time.sleep(0.05)

    def work(
        self, job: Job, todo: np.ndarray, folder: Path, report: Callable[[Progress], None] | None
    ) -> dict[str, float]:
        """Does the restarts; they are in the folder then. Ctrl-C and lost workers end it early.

        Args:
            job: What to do.
            todo: Numbers of the restarts, ascending.
            folder: A run folder.
            report: Called as shards come in.

        Returns:
            Seconds spent in each stage, added up over the workers.

        Raises:
            InputError: The job cannot be sent, or a worker cannot do it.
        """
        import numpy as np

        from landscape.engine.clock import Clock
        from landscape.engine.settings import Progress
        from landscape.host import drive, store

        folder = folder.resolve()
        pace = (drive.SHARD_SECONDS, drive.SHARD_ROWS)
        order = worker.Order(payload=_sent(job), folder=str(folder), run=uuid.uuid4().hex, pace=pace)
        if job.starts is not None:
            np.save(folder / worker.STARTS, job.starts)
        seconds = Counter(Clock().seconds)
        begun, total, labels, passed = time.perf_counter(), len(todo), Counter(), set(store.shard_names(folder))
        sizes: list[int] = []
        planned = 0
        flying: list[Any] = []
        try:
            self.ready()
            while len(todo) or flying:
                interrupt.check()
                self._tend()
                workers = max(1, self.size())
                if workers != planned:
                    planned, sizes = workers, shares(len(todo), workers, job.settings.lanes or self.lanes)
                while sizes and len(flying) < workers:
                    part, todo = np.split(todo, [sizes.pop(0)])
                    flying.append(self.client.submit(worker.do, order, part, pure=False, retries=RETRIES))
                for future in self._some_done(flying):
                    flying.remove(future)
                    seconds.update(_result(future))
                if report is not None:
                    labels.update(store.tally(folder, "label", passed))
                    done = {str(label): count for label, count in labels.items()}
                    report(Progress(min(labels.total(), total), total, done, time.perf_counter() - begun))
        except KeyboardInterrupt:
            print("landscape: interrupted; what is done is kept.", file=sys.stderr)
        except Stopped as error:
            print(f"landscape: {error}; what is done is kept.", file=sys.stderr)
        finally:
            self._recall(flying, order)
            (folder / worker.STARTS).unlink(missing_ok=True)
        return dict(seconds)

    def _some_done(self, futures: list[Any]) -> list[Any]:
        """Those that are done, after a moment at most."""
        from distributed import wait

        # A future that was cancelled is done, and `_result` says why.
        with contextlib.suppress(TimeoutError, *CANCELLED):
            wait(futures, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
        return [future for future in futures if future.done()]

    def _recall(self, flying: list[Any], order: worker.Order) -> None:
        """Tells the workers to write what they have and to stop, and gives them the time."""
        from distributed import wait

        if not flying:
            return
        with contextlib.suppress(TimeoutError, OSError, *CANCELLED):
            self.client.run(worker.stop, order.run, wait=False, on_error="ignore")
            wait(flying, timeout=STOP_SECONDS)
        if self.processes is not None and not all(future.done() for future in flying):
            self.processes.end()
        with contextlib.suppress(OSError, *CANCELLED):
            self.client.cancel(flying)


def shares(restarts: int, workers: int, lanes: int) -> list[int]:
    """How many restarts each range has, in the order of dealing.

    At the end of a range lanes run empty until its slowest restart is done, so ranges are long; at the end of the run
    workers wait for the last range, so ranges become shorter. A round is one range for each worker and deals half of
    what is left, down to two to four fillings of the lanes, which are the last round; a small run is one round. (On one
    core at k = n = 20 a range of the flow costs 7 ms a restart and 1 s, in which its last restarts have the lanes.)

    Args:
        restarts: To deal.
        workers: Who take them.
        lanes: Restarts that a worker runs at once.
    """
    sizes: list[int] = []
    while restarts:
        short = restarts <= 4 * lanes * workers
        size = -(-restarts // workers) if short else min(restarts // (2 * workers), 32 * lanes)
        for _ in range(workers):
            sizes.append(min(size, restarts))
            restarts -= sizes[-1]
    return [size for size in sizes if size]


def _sent(job: Job) -> bytes:
    """The job as bytes, without its starts.

    Raises:
        InputError: It cannot be sent.
    """
    import cloudpickle

    try:
        return cloudpickle.dumps(job._replace(starts=None))
    except Exception as error:  # whatever a user's loss closes over may refuse in its own way
        raise InputError(
            f"the problem cannot be sent to other processes ({type(error).__name__}: {error}): let the loss close over "
            "arrays and plain functions only, or leave workers and scheduler out."
        ) from error


def _result(future: Any) -> dict[str, float]:
    """Seconds of a range that is done.

    Raises:
        Stopped: Its workers are gone.
        InputError: Its worker could not do it.
    """
    from distributed.scheduler import KilledWorker

    try:
        done = future.result()
    except KilledWorker as error:
        raise Stopped(
            f"{error.allowed_failures + 1} workers in turn died over one range of restarts (out of memory?)"
        ) from None
    except CANCELLED:
        raise Stopped("the scheduler is gone") from None
    if done.refusal is not None:
        raise InputError(done.refusal)
    return done.seconds
