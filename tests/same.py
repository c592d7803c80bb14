"""Equality of what two programs say that take the same sums."""

import jax
import numpy as np

EPS = np.finfo(float).eps


def same(found, wanted, ulps=8, **words):
    """To the last bit on a CPU; a GPU fuses products and sums as the rest of a program and its size allow."""
    if jax.default_backend() == "cpu":
        np.testing.assert_array_equal(found, wanted, **words)
    else:
        size = np.nanmax(np.abs(wanted), initial=0.0)
        np.testing.assert_allclose(found, wanted, rtol=ulps * EPS, atol=ulps * EPS * size, **words)
