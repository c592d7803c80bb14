"""Cross products without cancellation error, from products whose rounding errors are kept (Dekker 1971)."""

from __future__ import annotations

import numpy as np


def cross_product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a x b along the last axis, each component to a few rounding errors of itself (Kahan, with Dekker's products)."""
    a1, a2, a3 = np.moveaxis(a, -1, 0)
    b1, b2, b3 = np.moveaxis(b, -1, 0)
    return np.stack([_difference(a2, b3, a3, b2), _difference(a3, b1, a1, b3), _difference(a1, b2, a2, b1)], axis=-1)


def _difference(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """a b - c d without cancellation error."""
    p, p_error = _two_product(a, b)
    q, q_error = _two_product(c, d)
    return (p - q) + (p_error - q_error)


def _two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rounded product and its error, exactly (Dekker 1971); |a|, |b| <= 1 here, so nothing overflows."""
    product = a * b

    def split(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        high = v * 134217729.0  # 2^27 + 1
        high = high - (high - v)
        return high, v - high

    a_high, a_low = split(a)
    b_high, b_low = split(b)
    return product, a_low * b_low - (((product - a_high * b_high) - a_low * b_high) - a_high * b_low)
