"""Keeps a long session from its end by too many compiled programs: Linux allows a process so many mappings of memory.

A compiled program takes some four, a loss of one's own some fifty programs. Beyond 65,530 mappings (vm.max_map_count)
the compiler crashes the process, in a notebook after some hundred losses.
"""

from __future__ import annotations

import gc
from pathlib import Path

import jax

MAPPINGS = Path("/proc/self/maps")
MOST = Path("/proc/sys/vm/max_map_count")
SHARE = 0.5  # of them: what one problem takes besides is a few thousand at most


def spare() -> None:
    """Lets go of all compiled programs where the process is half way to what Linux allows; those in use come again."""
    if not (MAPPINGS.exists() and MOST.exists()):  # another system
        return
    if MAPPINGS.read_bytes().count(b"\n") > SHARE * int(MOST.read_text()):
        jax.clear_caches()
        gc.collect()  # those that hold one another
