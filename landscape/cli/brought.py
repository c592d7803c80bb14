"""A problem that someone brings to a command: a variable of a Python file."""

from __future__ import annotations

import contextlib
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from landscape.records import InputError

if TYPE_CHECKING:
    from landscape.problems.problem import Problem

BRINGING = "[--problem FILE.py[:NAME]]"  # in the usage of commands
NAME = "problem"


def problem_in(said: str | None) -> Problem | None:
    """The problem that a Python file makes; None where none is named.

    The file is run as a module of its own name, `landscape_problem`: what stands below `if __name__ == "__main__"` is
    not run. What it prints goes to standard error.

    Args:
        said: FILE.py for its variable `problem`, or FILE.py:NAME.

    Raises:
        InputError: There is no such file or variable, the variable is no problem, or the file raised.
    """
    if said is None:
        return None
    from landscape.problems.problem import Problem

    file, colon, name = said.rpartition(":")
    file, name = (file, name) if colon and file.endswith(".py") else (said, NAME)
    if not Path(file).is_file():
        raise InputError(f"{file} is no file; --problem is a Python file, FILE.py or FILE.py:NAME.")
    try:
        with contextlib.redirect_stdout(sys.stderr):
            made = runpy.run_path(file, run_name="landscape_problem")
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # anything can go wrong in a user's file: say what
        raise InputError(f"{file} raised {type(error).__name__}: {error}.") from error
    found = made.get(name)
    if not isinstance(found, Problem):
        what = "has no" if found is None else "is no problem:"
        raise InputError(f"{file} {what} {name!r}; it must be what landscape.from_loss or its like returns.")
    return found
