"""Where the time of a whole run goes, per restart: devices, the host by stage, bytes, and lanes that nobody has."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import jax
import numpy as np

from landscape.engine.driver import Driver
from landscape.engine.settings import Settings
from landscape.host import drive
from landscape.host.bench.machine import out_of_memory
from landscape.host.memory import Memory
from landscape.problems.teacher_student import TeacherStudent

RATED = 20  # k = n of the run whose rate is compared between machines


def pipeline(problem: TeacherStudent, restarts: int, dtype: str, optimiser: str, lanes: int) -> dict[str, Any]:
    """A run of so many restarts to their labels, and what it cost; what failed says so in `error`.

    The programs are compiled by the first chunks of another such run. Host seconds are by stage: waiting for a chunk,
    looking at its lanes, filling lanes and sending them on, polish, labels, and what is left; where the CPU is the
    device it computes lanes meanwhile. Bytes to the host are of lanes and of Newton steps, those to devices of lanes.
    """
    settings = Settings(optimiser=optimiser, lanes=lanes, dtype=dtype)
    cell: dict[str, Any] = {"k": problem.width, "restarts": restarts, "dtype": dtype, "optimiser": optimiser}
    memory = Memory()
    try:
        for _ in Driver(problem, settings, 0).run(np.arange(restarts)):
            break  # by now all is compiled that takes long
        driver, begun, processor = Driver(problem, settings, 0), time.perf_counter(), time.process_time()
        drive.drive(driver, np.arange(restarts), memory.append, None)
    except Exception as error:  # `out_of_memory` raises any other again
        return cell | {"error": out_of_memory(error)}
    wall, processor = time.perf_counter() - begun, time.process_time() - processor
    rows, clock = memory.shards().rows, driver.clock
    seconds = wall - clock.seconds["compile"]
    host = {**clock.host, "polish": clock.seconds["polish"], "classify": clock.seconds["classify"]}
    host["other"] = max(0.0, seconds - sum(host.values()))
    number = problem.p * np.dtype(dtype).itemsize  # bytes of one theta
    return cell | {
        "lanes": driver.lanes(restarts),
        "seconds": seconds,
        "compile_seconds": clock.seconds["compile"],
        "processor_seconds": processor,
        "restarts_per_second": restarts / seconds,
        "gradients_per_restart": float(np.mean(rows["steps"])),
        "device_us": 1e6 * clock.device_seconds / restarts,
        "busy": clock.busy_seconds / seconds,
        "host_us": {stage: 1e6 * spent / restarts for stage, spent in host.items()},
        "to_host_thetas": clock.down / number / restarts,
        "to_device_thetas": clock.up / number / restarts,
        "own_steps": clock.own_steps / clock.lane_steps,
        "labels": dict(Counter(rows["label"].tolist())),
    }


def usual_restarts() -> int:
    """How many restarts say what a machine does: enough for its lanes to be refilled several times."""
    return 2000 if jax.local_devices()[0].platform == "cpu" else 50_000


def lines(cell: dict[str, Any]) -> list[str]:
    """What a pipeline is, in lines."""
    head = f"k = n = {cell['k']}, {cell['optimiser']}, {cell['dtype']}, {cell['restarts']} restarts"
    if "error" in cell:
        return [f"{head}: {cell['error']}", ""]
    host = ", ".join(f"{stage} {spent:.3g}" for stage, spent in cell["host_us"].items())
    counts = ", ".join(f"{count} {label}" for label, count in sorted(cell["labels"].items()))
    each = 1e6 * cell["processor_seconds"] / cell["restarts"]
    return [
        f"{head} in {cell['lanes']} lanes: {counts}",
        f"  {cell['restarts_per_second']:.4g} restarts a second, in {cell['seconds']:.2f} s",
        f"  {cell['gradients_per_restart']:.0f} gradients a restart, {cell['device_us']:.3g} us of chunks",
        f"  us of processors a restart: {each:.3g}; of the host: {host}",
        f"  thetas a restart: {cell['to_host_thetas']:.3g} to the host, {cell['to_device_thetas']:.3g} to the device",
        f"  chunks run {cell['busy']:.0%} of the time, and {cell['own_steps']:.0%} of lane-steps belong to a restart",
        "",
    ]


def rated(cell: dict[str, Any], k: int, restarts: int) -> bool:
    """Whether this is the run that machines are compared by: the flow at k = n, float64, so many restarts."""
    said = {"k": k, "restarts": restarts, "dtype": "float64", "optimiser": "flow"}
    return said.items() <= cell.items()


def rate(cell: dict[str, Any], where: dict[str, Any]) -> str:
    """One line to compare machines by."""
    made = f"k = n = {cell['k']} by {cell['optimiser']}, {cell['dtype']}"
    machine = f"{where['device']}, {where['processor']}, {where['cores_used']} cores; landscape {where['landscape']}"
    if "error" in cell:
        return f"rate: {made}: {cell['error']} ({machine})"
    if (where["load_average"] or 0) > 1.5 * where["cores_used"]:
        machine += f"; which was busy: {where['load_average']:.0f} processes wanted a core"
    return f"rate: {cell['restarts_per_second']:.4g} restarts a second, labelled; {made} ({machine})"
