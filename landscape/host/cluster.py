"""Many processes, many machines: ranges of restarts are tasks of dask workers, which write shards of their own.

Processes share the run folder and nothing else; there is no collective that one of them could leave. A worker has one
thread, keeps one driver a run (nothing is compiled again from range to range) and drives all devices of its machine.
The range of a worker that is lost goes to another, which leaves out what is on disk. Merging is reading the folder.

As a program, `python -m landscape.host.cluster NUMBER COUNT SCRATCH`, it is one of COUNT local workers; the address of
its scheduler comes on standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from landscape.records import InputError, whole

if TYPE_CHECKING:
    import numpy as np

    from landscape.engine.driver import Driver
    from landscape.host.explore import Job, Progress

REACH_SECONDS = 10.0  # a scheduler that has not answered by then is not there
START_SECONDS = 120.0  # local workers start in 2 s; a machine that is busy or reads from a slow disk takes its time
STOP_SECONDS = 15.0  # a worker looks between two chunks whether it shall stop, and then writes what it has
LOOK_SECONDS = 0.5  # between looks at the tasks and at what is on disk
LOST = 10  # so many times a range, or the processes of this machine, may be lost before it is more than an accident
RETRIES = 2  # of a range whose worker lives and raised: a file system may be away for a moment
LANES = {"cpu": 512, "gpu": 2**14}  # of a worker whose settings leave them to the driver, by platform
STARTS = "starts.npy"
NUMBER = "LANDSCAPE_WORKER"  # in the environment of a local worker: which one it is
CANCELLED = (CancelledError, asyncio.CancelledError)
LARGE = "distributed.admin.large-graph-warning-threshold"  # data that a user's loss closes over is sent with it


# -- who works ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def pool(workers: int | None = None, scheduler: str | None = None, kept: bool = True) -> Iterator[Pool | None]:
    """Inside, every run's restarts are done by dask workers; by this process if neither is given.

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
    if find_spec("distributed") is None:
        raise InputError("running on several processes needs dask; pip install 'landscape[cluster]'.")
    with _local(int(workers)) if workers is not None else _remote(str(scheduler)) as found:
        from landscape.host.explore import POOL

        token = POOL.set(found)
        try:
            yield found
        finally:
            POOL.reset(token)


@contextlib.contextmanager
def _local(count: int) -> Iterator[Pool]:
    """A scheduler in this process and worker processes beside it."""
    with contextlib.ExitStack() as stack:
        scratch = stack.enter_context(TemporaryDirectory(prefix="landscape-", ignore_cleanup_errors=True))
        processes = stack.enter_context(_Processes(count, scratch))
        # They start while this process imports, too.
        from dask import config
        from distributed import Client, LocalCluster

        # Without a dashboard there is an HTTP server still, and it warns where its usual port is taken.
        port = dict(dashboard=False, dashboard_address="127.0.0.1:0")
        options: dict[str, Any] = dict(silence_logs=logging.CRITICAL, dashboard_address=None, scheduler_kwargs=port)
        stack.enter_context(config.set({"distributed.scheduler.allowed-failures": LOST, LARGE: "1 GB"}))
        cluster: Any = stack.enter_context(LocalCluster(n_workers=0, processes=True, **options))
        client = stack.enter_context(Client(cluster, set_as_default=False))
        stack.enter_context(client.as_current())
        stack.callback(processes.end)  # before the scheduler: they would ask where it has gone
        processes.connect(cluster.scheduler_address)
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
        except (OSError, ValueError, KeyError, TypeError):
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
    except (OSError, ValueError, TimeoutError) as error:
        return str(error).rstrip(".") or "what listens there does not answer"
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


class _Processes:
    """Worker processes of this machine, started again when one dies.

    They are not children that multiprocessing made: those run the caller's script once more, which then has to be
    guarded. They are deaf to Ctrl-C, which a terminal sends to all, and end when this process does, however it ends.
    """

    def __init__(self, count: int, scratch: str):
        """Starts them; they import what they need meanwhile."""
        self.count, self.scratch = count, scratch
        self.address: str | None = None
        self.lost = 0
        self.running = {number: self._start(number) for number in range(count)}

    def connect(self, address: str) -> None:
        """Makes them workers of the scheduler at this address."""
        self.address = address
        for process in self.running.values():
            self._tell(process)

    def _start(self, number: int) -> subprocess.Popen:
        path = os.pathsep.join(os.path.abspath(place) for place in sys.path)
        # Each would take three quarters of an accelerator's memory otherwise.
        environment = {
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
            **os.environ,
            "PYTHONPATH": path,
        }
        if environment.get("TF_CPP_MIN_LOG_LEVEL", "1") == "1":  # nobody's choice: importing jax sets it to 1
            environment["TF_CPP_MIN_LOG_LEVEL"] = "3"  # or a line of every processor feature for each program loaded
        command = [sys.executable, "-P", "-m", "landscape.host.cluster", str(number), str(self.count), self.scratch]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
        if self.address is not None:
            self._tell(process)
        return process

    def _tell(self, process: subprocess.Popen) -> None:
        assert process.stdin is not None
        with contextlib.suppress(OSError):  # it has died already: `tend` sees that
            process.stdin.write(f"{self.address}\n".encode())
            process.stdin.flush()

    def tend(self) -> None:
        """Starts those again that have died.

        Raises:
            Stopped: They die again and again.
        """
        for number, process in self.running.items():
            if process.poll() is not None:
                self.lost += 1
                if self.lost > LOST:
                    raise Stopped(f"worker processes end again and again, the last with status {process.returncode}")
                self._close(process)
                self.running[number] = self._start(number)

    def __enter__(self) -> _Processes:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Ends all of them."""
        for process in self.running.values():
            self._close(process)

    def _close(self, process: subprocess.Popen) -> None:
        process.kill()  # what it has not written by now it was not asked to
        process.wait()
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()


# -- who deals ---------------------------------------------------------------------------------------------------------


class Stopped(Exception):
    """The workers cannot go on; the message says why."""


class Pool:
    """Dask workers, and how restarts are dealt to them."""

    def __init__(self, client: Any, processes: _Processes | None = None):
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
            self.processes.tend()

    def environment(self, dtype: str) -> dict[str, Any]:
        """Versions, device and dtype of a worker, and how many there are.

        Raises:
            InputError: The workers have another version of this package, or none; or they do not start.
        """
        from importlib.metadata import version

        try:
            self.ready()
            future = self.client.submit(_environment, dtype, pure=False, retries=RETRIES)
            while not self._some_done([future]):
                self._tend()
            found = future.result()
        except Stopped as error:
            raise InputError(f"{error}; what they said is above.") from None
        except ImportError as error:
            raise InputError(f"a worker cannot import landscape ({error}); install it where the workers run.") from None
        if found["landscape"] != version("landscape"):
            raise InputError(
                f"the workers have landscape {found['landscape']} and this is {version('landscape')}; "
                "install one version."
            )
        self.lanes = LANES.get(found["platform"], LANES["gpu"])
        return {**found, "workers": self.size()}

    def ready(self) -> None:
        """Waits for the workers that it takes to begin."""
        begun, said = time.monotonic(), False
        while self.size() < self.least:
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
        from landscape.host import explore, store

        folder = folder.resolve()
        pace = (explore.SHARD_SECONDS, explore.SHARD_ROWS)
        order = Order(payload=_sent(job), folder=str(folder), run=uuid.uuid4().hex, pace=pace)
        if job.starts is not None:
            np.save(folder / STARTS, job.starts)
        seconds = Counter(Clock().seconds)
        begun, total, labels, passed = time.perf_counter(), len(todo), Counter(), set(store.shard_names(folder))
        sizes: list[int] = []
        planned = 0
        flying: list[Any] = []
        try:
            self.ready()
            while len(todo) or flying:
                self._tend()
                workers = max(1, self.size())
                if workers != planned:
                    planned, sizes = workers, shares(len(todo), workers, job.settings.lanes or self.lanes)
                while sizes and len(flying) < workers:
                    part, todo = np.split(todo, [sizes.pop(0)])
                    flying.append(self.client.submit(_do, order, part, pure=False, retries=RETRIES))
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
            (folder / STARTS).unlink(missing_ok=True)
        return dict(seconds)

    def _some_done(self, futures: list[Any]) -> list[Any]:
        """Those that are done, after a moment at most."""
        from distributed import wait

        # A future that was cancelled is done, and `_result` says why.
        with contextlib.suppress(TimeoutError, *CANCELLED):
            wait(futures, timeout=LOOK_SECONDS, return_when="FIRST_COMPLETED")
        return [future for future in futures if future.done()]

    def _recall(self, flying: list[Any], order: Order) -> None:
        """Tells the workers to write what they have and to stop, and gives them the time."""
        from distributed import wait

        if not flying:
            return
        with contextlib.suppress(TimeoutError, OSError, *CANCELLED):
            self.client.run(_stop, order.run, wait=False, on_error="ignore")
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


# -- on a worker -------------------------------------------------------------------------------------------------------


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


def _environment(dtype: str) -> dict[str, Any]:
    """Versions, device and dtype of this process."""
    from landscape.engine.driver import environment
    from landscape.engine.settings import Settings

    return environment(Settings(dtype=dtype))


def _stop(run: str) -> None:
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


def _do(order: Order, restarts: np.ndarray) -> Done:
    """Does those of the restarts that are not on disk yet, and writes them."""
    import jax
    import numpy as np

    from landscape.host import store
    from landscape.host.explore import drive

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
                drive(driver, left, lambda rows, weights: store.append(folder, rows, weights), look, order.pace)
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
    gpus = _gpus()
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(share(gpus, number, count))
    os.environ[NUMBER] = str(number)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    from dask import config

    config.set({"logging": {"distributed": "critical"}})  # before distributed sets its log up
    from distributed import Worker

    import landscape.host.explore  # noqa: F401  # while the parent makes the scheduler

    _share_compiled(Path(scratch) / "compiled")
    address = sys.stdin.buffer.readline().decode().strip()
    threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True).start()
    options: dict[str, Any] = dict(memory_limit=0, dashboard=False, death_timeout=60, local_directory=scratch)

    async def work() -> None:
        async with Worker(address, nthreads=1, name=str(number), **options) as worker:
            await worker.finished()

    if address:  # else the parent has gone
        asyncio.run(work())


def _share_compiled(folder: Path) -> None:
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


def _gpus() -> list[str]:
    """Names of the NVIDIA GPUs that this process may use, as CUDA_VISIBLE_DEVICES has them."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
    found = Path("/proc/driver/nvidia/gpus")
    return [str(i) for i in range(len(list(found.iterdir())))] if found.is_dir() else []


def _end_with_parent(scratch: str) -> None:
    """Ends this process as soon as the other end of its standard input is closed: its parent is gone."""
    sys.stdin.buffer.read()
    shutil.rmtree(scratch, ignore_errors=True)  # which the parent cannot any more
    os._exit(1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
