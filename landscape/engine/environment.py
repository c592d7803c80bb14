"""What a run is computed by, for its record."""

from __future__ import annotations

import platform
from typing import Any

import jax
import numpy as np

from landscape.engine.settings import Settings
from landscape.precision import devices
from landscape.records import version_of


def environment(settings: Settings) -> dict[str, Any]:
    """Versions, device and dtype, for the record of a run."""
    local = devices()
    return {
        "landscape": version_of("landscape"),
        "jax": jax.__version__,
        "jaxlib": version_of("jaxlib"),
        "numpy": np.__version__,
        "python": platform.python_version(),
        "device": f"{len(local)} x {local[0].device_kind}" if len(local) > 1 else local[0].device_kind,
        "platform": local[0].platform,
        "dtype": settings.dtype,
    }
