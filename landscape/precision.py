"""The one door to 64-bit numbers: importing the package changes no global setting."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import jax


@contextmanager
def float64() -> Iterator[None]:
    """Float64 inside, whatever the caller's setting; on the host where the device has none (a TPU)."""
    with jax.enable_x64(True):
        if jax.default_backend() == "tpu":
            with jax.default_device(jax.devices("cpu")[0]):
                yield
        else:
            yield
