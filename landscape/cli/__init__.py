"""The command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits with its status. Signals are heeded before anything large is imported."""
    from landscape.host import interrupt

    with interrupt.commanded(to_the_end=arguments is None):
        from landscape.cli.command import command

        sys.exit(command(list(sys.argv[1:] if arguments is None else arguments)))
