"""The two kinds of array that meet in the package: JAX arrays, tracers among them, and NumPy arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Array

# What a function of jax.numpy operations takes.
AnyArray = Array | np.ndarray
