"""The host's work on a restart: processor time besides the lanes' own chunks, idle lanes, bytes that cross.

    python benchmarks/host.py [--teacher 20] [--restarts 20000] [--optimiser flow] [--out FILE]

The process runs on one core, so that nothing else runs while the lanes do, and the processor time of a chunk is the
lanes' alone. The programs are compiled by a run of other restarts before. Stages are times of the host's own thread;
what they leave of the total is done in threads of XLA: moving lanes, drawing starts, Hessians. `--half` runs half as
many restarts too, and separates what a restart costs from what the run costs once.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

STAGES = {  # of the driver and its parts, by what they are for
    "recognise": ("landscape.engine.accept", "NewtonAcceptance", "_recognise"),
    "polish": ("landscape.engine.accept", "NewtonAcceptance", "_polish"),
    "judge": ("landscape.engine.orbit_book", "OrbitBook", "judge"),
    "look": ("landscape.engine.driver", "Driver", "_look"),
    "refill": ("landscape.engine.driver", "Driver", "_refill"),
    "compact": ("landscape.engine.lanes", "Group", "compact"),
}


class Meter:
    """Processor time of chunks and of stages, from outside: the functions are wrapped."""

    def __init__(self) -> None:
        """Wraps the chunk of lanes and every stage."""
        import importlib

        from landscape.engine.lanes import Group

        self.spent: Counter[str] = Counter()
        for stage, (module, owner, name) in STAGES.items():
            self._wrap(getattr(importlib.import_module(module), owner), name, stage)
        chunk = Group.chunk

        def measured(group: Any, problem: Any) -> Callable[[], Any]:
            run = chunk(group, problem)

            def timed() -> Any:
                begun = time.process_time()
                try:
                    return run()
                finally:
                    self.spent["lanes"] += time.process_time() - begun

            return timed

        Group.chunk = measured  # pyright: ignore[reportAttributeAccessIssue]

    def _wrap(self, owner: Any, name: str, stage: str) -> None:
        function = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            begun = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.spent[stage] += time.thread_time() - begun

        setattr(owner, name, timed)


def measured(meter: Meter, problem: Any, settings: Any, restarts: int) -> dict[str, Any]:
    """What a run of so many restarts costs: microseconds of processor a restart, by stage, and what lanes are used for.

    Args:
        meter: Of this process.
        problem: The landscape.
        settings: How to run.
        restarts: How many.
    """
    import numpy as np

    from landscape.engine.driver import Driver
    from landscape.precision import float64

    with float64():
        driver = Driver(problem, settings, 0)
        meter.spent.clear()
        begun = time.process_time()
        parts = list(driver.run(np.arange(restarts)))
        total = time.process_time() - begun
    unit = 1e6 / restarts
    said = {
        "restarts": restarts,
        "labels": dict(Counter(np.concatenate([part[0]["label"] for part in parts]).tolist())),
        "lanes_us": unit * meter.spent["lanes"],
        "host_us": unit * (total - meter.spent["lanes"]),
        "stages_us": {stage: unit * meter.spent[stage] for stage in STAGES},
    }
    clock = driver.clock
    return said | {
        "own_lane_steps": clock.own_steps / clock.lane_steps,
        "down_in_p": clock.down / (restarts * problem.p * driver.dtype.itemsize),
    }


def main() -> None:
    """Measures, prints and writes; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--teacher", type=int, default=20, help="k = n")
    parser.add_argument("--restarts", type=int, default=20_000)
    parser.add_argument("--optimiser", default="flow")
    parser.add_argument("--half", action="store_true", help="run half as many too")
    parser.add_argument("--out", type=Path, help="write the result here, as JSON")
    asked = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):  # before JAX counts the cores
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import numpy as np

    import landscape as ls
    from landscape.engine.driver import Driver
    from landscape.engine.environment import environment
    from landscape.engine.settings import Settings
    from landscape.precision import float64

    problem = ls.orthonormal_teacher(asked.teacher)
    settings = Settings.of(problem, optimiser=asked.optimiser)
    with float64():  # compiles, in as many lanes
        other = Driver(problem, settings, 3)
        list(other.run(np.arange(min(2 * other.lanes(asked.restarts), asked.restarts))))
    meter = Meter()
    sizes = [asked.restarts // 2, asked.restarts] if asked.half else [asked.restarts]
    runs = [measured(meter, problem, settings, restarts) for restarts in sizes]
    found: dict[str, Any] = {"teacher": asked.teacher, "optimiser": asked.optimiser, "runs": runs}
    if asked.half:
        few, many = runs
        each = 2 * many["host_us"] - few["host_us"]
        found |= {"each_restart_us": each, "once_us": (many["host_us"] - each) * many["restarts"]}
    found["environment"] = environment(settings)
    print(json.dumps(found, indent=1))
    if asked.out is not None:
        asked.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
