"""The command line."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits with its status. Signals are heeded before anything large is imported.

    Args:
        arguments: Of the command. By default those of the process, which then ends without Python's own clearing up: at
            that time a thread of a library may abort the process (seen in 3 of 25 runs of `show`), and a signal would
            be heard by nobody. All files are closed by then.
    """
    from landscape.host import interrupt

    with interrupt.commanded():
        from landscape.cli.command import command

        status = command(list(sys.argv[1:] if arguments is None else arguments))
        if arguments is None:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError):
                    stream.flush()
            os._exit(status)
    sys.exit(status)
