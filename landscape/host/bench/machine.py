"""What the machine is, and how much memory it has left."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import jax

from landscape.host import exhausted


def bytes_needed(compiled: Any) -> float:
    """Bytes that a call of a compiled program takes beyond its arguments."""
    sizes = compiled.memory_analysis()
    return 0.0 if sizes is None else sizes.temp_size_in_bytes + sizes.output_size_in_bytes


def ensure_memory(needed: float) -> None:
    """Raises MemoryError unless so many bytes can be had: an overcommitted host kills a program, it does not refuse."""
    left = host_memory_left() if jax.local_devices()[0].platform == "cpu" else None
    if left is not None and needed > 0.9 * left:
        raise MemoryError(f"{needed / 1e9:.1f} GB are needed and {left / 1e9:.1f} GB are free")


def host_memory_left() -> float | None:
    """Bytes that the host can still give, None where it does not say."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024.0 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def machine() -> dict[str, Any]:
    """Processor, cores, those we may use, how many processes wanted one in the last minute, and the system."""
    model = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    except OSError:
        pass
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    cores = {"cores": os.cpu_count(), "cores_used": usable_cores(), "load_average": load}
    return {"processor": model, **cores, "system": platform.system()}


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def out_of_memory(error: Exception) -> str:
    """Says that memory ran out. Any other error is raised again: it is not a matter of size."""
    said = exhausted.out_of_memory(error)
    if said is None:
        raise error
    return f"out of memory: {said}"
