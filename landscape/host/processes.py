"""Worker processes of this machine: started, tended and ended."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

from landscape.host.safety import Terms

LOST = 10  # so many times a range, or the processes of this machine, may be lost before it is more than an accident


class Stopped(Exception):
    """The workers cannot go on; the message says why."""


class Processes:
    """Worker processes of this machine, started again when one dies.

    They are not children that multiprocessing made: those run the caller's script once more, which then has to be
    guarded. They are deaf to Ctrl-C, which a terminal sends to all, and end when this process does, however it ends.
    """

    def __init__(self, count: int, scratch: str):
        """Starts them; they import what they need meanwhile."""
        self.count, self.scratch = count, scratch
        self.terms: Terms | None = None
        self.lost = 0
        self.seen: set[int] = set()  # those that have reached the scheduler
        self.running = {number: self._start(number) for number in range(count)}

    def connect(self, terms: Terms) -> None:
        """Makes them workers of a scheduler."""
        self.terms = terms
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
        command = [sys.executable, "-P", "-m", "landscape.host.worker", str(number), str(self.count), self.scratch]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment)
        if self.terms is not None:
            self._tell(process)
        return process

    def _tell(self, process: subprocess.Popen) -> None:
        assert process.stdin is not None
        assert self.terms is not None
        with contextlib.suppress(OSError):  # it has died already: `tend` sees that
            process.stdin.write(self.terms.line())
            process.stdin.flush()

    def tend(self, known: set[int]) -> None:
        """Starts those again that have died, or that the scheduler knew and knows no more: they are frozen.

        Args:
            known: Numbers of the workers that the scheduler has now.

        Raises:
            Stopped: They die again and again.
        """
        for number, process in self.running.items():
            lost = number in self.seen and number not in known
            if process.poll() is not None or lost:
                self.lost += 1
                if self.lost > LOST:
                    raise Stopped(f"worker processes end again and again, the last with status {process.returncode}")
                self._close(process)
                self.seen.discard(number)
                self.running[number] = self._start(number)
        self.seen |= known & self.running.keys()

    def __enter__(self) -> Processes:
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
