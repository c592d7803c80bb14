"""Where numbers are computed: the one door to 64-bit numbers and to the host's own device.

Importing the package changes no global setting; what it mends in JAX is said in `closures`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax

from landscape.closures import keep_apart
from landscape.records import InputError

keep_apart()

DOUBLE = ("cpu", "gpu")  # platforms with float64; a TPU emulates it, without factorisations and with float32's range


def devices() -> list[Any]:
    """The devices of this machine that descents run on."""
    return jax.local_devices()


def host() -> Any | None:
    """The host's CPU as a device; None where JAX_PLATFORMS leaves it out."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def has_float64(device: Any) -> bool:
    """Whether a device computes in 64-bit numbers."""
    return device.platform in DOUBLE


def double_devices() -> list[Any]:
    """The devices that compute in float64: those of the descents, or the host's CPU where these have no float64.

    Raises:
        InputError: Neither has float64.
    """
    found = devices()
    if has_float64(found[0]):
        return found
    cpu = host()
    if cpu is None:
        platform = found[0].platform
        raise InputError(
            f"a {platform.upper()} has no float64, and JAX_PLATFORMS leaves out the CPU: set it to {platform},cpu."
        )
    return [cpu]


def double_on_cpu() -> bool:
    """Whether float64 is computed on a CPU."""
    return double_devices()[0].platform == "cpu"


@contextmanager
def float64() -> Iterator[None]:
    """Float64 inside, whatever the caller's setting; on the host where the device has none (a TPU).

    Raises:
        InputError: Neither the device nor the host has float64.
    """
    with jax.enable_x64(True):
        if has_float64(devices()[0]):
            yield
        else:
            with jax.default_device(double_devices()[0]):
                yield
