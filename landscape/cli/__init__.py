"""The command line."""

from landscape.cli.command import main

__all__ = ["main"]
