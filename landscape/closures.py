"""NumPy arrays in the closure of a function that JAX traces: 64-bit in 64-bit mode, and not otherwise.

JAX 0.10 to 0.12 keeps what it made of such an array under the array alone, whatever the mode was. A loss that a user
has called in 32-bit mode could then not be traced in 64-bit mode, and the other way round ("Cannot lower jaxpr with
verifier errors", "expected parameter 1 of size 16 but got buffer with incompatible size 32"). Here each mode keeps its
own. Nothing changes for who stays in one mode.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np


def keep_apart() -> None:
    """Tells JAX to keep what it makes of NumPy arrays apart by mode; of no effect on a JAX that is built otherwise."""
    try:
        # There is no public way to it.
        from jax._src import dtypes
        from jax._src.lib import weakref_lru_cache  # pyright: ignore[reportPrivateImportUsage]
        from jax._src.literals import TypedNdArray

        handlers, kept = dtypes.canonicalize_value_handlers, weakref_lru_cache.weak_key_weak_value_cache
    except (ImportError, AttributeError):
        return

    def in_one_mode() -> Callable[[np.ndarray], np.ndarray]:
        return kept(lambda array: TypedNdArray(np.asarray(array, dtypes.canonicalize_dtype(array.dtype))))

    modes = {"float32": in_one_mode(), "float64": in_one_mode()}  # by what a Python float is there
    handlers[np.ndarray] = lambda array: modes[jax.dtypes.canonicalize_dtype(float).name](array)
