"""What this machine does with our kernels, each beside the machine's own limit measured in the same run.

Three limits are measured: the matrix product rate, the rate of fused multiply-adds on data in cache, and the
bandwidth of a copy that fits no cache. The work of a kernel is counted from its formulas (`*_work`): what any program
must do, so that a fraction of a limit says how much faster it could get at most. The larger of the fractions of the
matrix product and of the copy is the one to read. Where neither is near one, elementwise work (the angle functions)
binds, and its own fraction says how far that is from the limit of the vector units.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import jax

from landscape.engine.environment import environment
from landscape.engine.settings import Settings
from landscape.host.bench.asked import Bench
from landscape.host.bench.machine import machine
from landscape.host.bench.measure import cells
from landscape.host.bench.pipeline import RATED, lines, pipeline, rate, rated, usual_restarts
from landscape.host.bench.table import FOOTER, heading, table_rows
from landscape.host.bench.timing import limits
from landscape.precision import float64
from landscape.problems.teacher_student import orthonormal_teacher


def bench(asked: Bench, report: Callable[[str], None] | None = None) -> dict[str, Any]:
    """Everything asked for, as one record.

    Args:
        asked: What to measure.
        report: Called with each line of the table as soon as it is known.

    Raises:
        InputError: A field of `asked` makes no sense.
    """
    asked = asked.check()
    report = report or (lambda line: None)
    with float64():
        where = environment(Settings()) | machine() | {"devices": len(jax.local_devices())}
        where.pop("dtype")  # it is each cell's own
        found = limits(tuple(dict.fromkeys((*asked.dtype, "float64"))), asked.quick)
        above = heading(where, found)
        for line in above[:2] if asked.pipeline else above:
            report(line)
        done = []
        for cell in () if asked.pipeline else cells(asked, found):
            done.append(cell)
            for line in table_rows(cell):
                report(line)
        runs = _pipelines(asked, report)
    if not asked.pipeline:
        report(FOOTER)
    report(rate(runs[-1], where))
    said = {name: value for name, value in vars(asked).items() if name not in ("out", "json")}
    result = {"bench": said, "environment": where, "limits": found, "cells": done, "runs": runs}
    if asked.out is not None:
        Path(asked.out).write_text(json.dumps(result, indent=1, allow_nan=False) + "\n")
    return result


def _pipelines(asked: Bench, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """The runs that were asked for; and last, if it is not among them, the one that machines are compared by."""
    done = []
    for k, dtype, restarts in product(asked.sizes, asked.dtype, asked.restarts) if asked.pipeline else ():
        done.append(pipeline(orthonormal_teacher(k), restarts, dtype, str(asked.optimiser), asked.lanes))
        for line in lines(done[-1]):
            report(line)
    k, restarts = (2, 16) if asked.quick else (RATED, usual_restarts())
    if asked.lanes or not any(rated(cell, k, restarts) for cell in done):
        done.append(pipeline(orthonormal_teacher(k), restarts, "float64", "flow", 0))
    return sorted(done, key=lambda cell: rated(cell, k, restarts))
