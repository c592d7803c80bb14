"""What to measure: the options of `landscape bench`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

from landscape.engine.settings import Settings
from landscape.host.bench.pipeline import usual_restarts
from landscape.host.bench.work import ANGLE
from landscape.records import InputError, whole


@dataclass(frozen=True)
class Bench:
    """What to measure. Fields are the options of `landscape bench`.

    Attributes:
        sizes: k = n of the networks, one after the other; default 6 20 50 (6 with --quick).
        restarts: Restarts in one batch, and of the census; default 1000 (64 with --quick); of a pipeline 2000 on a CPU
            and 50000 elsewhere.
        dtype: float64, float32 or both: of gradient, loss and descent. Hessian and Newton step are always float64.
        optimiser: Of descent and census; default gradient-descent, and flow with --pipeline.
        lanes: Restarts that run at once; 0 for the package's choice.
        limit: A census that would take longer than so many seconds is left out.
        out: A JSON file for the result.
        json: Print one JSON object on standard output and nothing else there.
        quick: Fewer repeats and smaller numbers: whether it works, not how fast.
        pipeline: Where the time of whole runs goes instead: devices, host by stage, bytes, lanes without a restart.
    """

    sizes: tuple[int, ...] = ()
    restarts: tuple[int, ...] = ()
    dtype: tuple[str, ...] = ("float64",)
    optimiser: str | None = None
    lanes: int = Settings().lanes
    limit: float = 20.0
    out: str | None = None
    json: bool = False
    quick: bool = False
    pipeline: bool = False

    def check(self) -> Bench:
        """The same with every default filled in.

        Raises:
            InputError: A field makes no sense, or `out` cannot be written.
        """
        sizes = self.sizes or ((6,) if self.quick else (6, 20, 50))
        usual = usual_restarts() if self.pipeline else 1000
        restarts = self.restarts or ((64,) if self.quick else (usual,))
        for k in sizes:
            whole("sizes", k, 1)
        for count in restarts:
            whole("restarts", count, 1)
        for name in self.dtype:
            if name not in ANGLE:
                raise InputError(f"dtype must be float32 or float64, found {name!r}.")
        if not self.dtype:
            raise InputError("dtype must be float32, float64 or both, found nothing.")
        if not 0 < self.limit < math.inf:
            raise InputError(f"limit must be a positive number of seconds, found {self.limit}.")
        if self.out is not None:
            _check_out(Path(self.out))
        whole("lanes", self.lanes, 0)
        optimiser = self.optimiser or ("flow" if self.pipeline else str(Settings().optimiser))
        Settings(optimiser=optimiser).method()
        return replace(self, sizes=sizes, restarts=tuple(sorted(restarts)), optimiser=optimiser)


def _check_out(path: Path) -> None:
    """Raises InputError unless a result may be written there: to a new file, or over an older result of ours."""
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}.")
    if path.exists():
        try:
            ours = path.is_file() and "cells" in json.loads(path.read_text())
        except (OSError, ValueError, TypeError):
            ours = False
        if not ours:
            raise InputError(f"{path} exists and is not the result of a bench; choose another file.")
