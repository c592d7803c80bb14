"""Memory that arrays have released, kept for the next ones of this process."""

from __future__ import annotations

import numpy as np

RELEASED = 31 * 2**20  # bytes of an array whose release raises the thresholds of glibc; beyond 32 MB none does


def keep_released() -> None:
    """Has glibc keep what arrays release, up to twice RELEASED; elsewhere it does nothing.

    glibc gives arrays of more than 128 KB back to the kernel until it has seen a larger one released, and each page
    that comes anew costs a fault: half of the time of work on Hessians at p = 400, which are 313 pages each.
    """
    np.empty(RELEASED, np.uint8)
