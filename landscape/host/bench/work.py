"""The work of one evaluation of each kernel, counted from its formula: what any program must do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# Floating-point operations of one angle: the asin polynomial (12 or 5 multiply-adds), its reduction with one square
# root, the sine with another, and what multiplies them. A square root is counted as one, so this is a lower bound.
ANGLE = {"float64": 40.0, "float32": 26.0}


class Work(NamedTuple):
    """What one evaluation at one theta needs at least.

    Attributes:
        matmul: Floating-point operations in products and factorisations of matrices.
        elementwise: All other floating-point operations.
        bytes: Read and written once, if nothing in between leaves the cache.
    """

    matmul: float
    elementwise: float
    bytes: float


def gradient_work(n: int, k: int, d: int, dtype: str) -> Work:
    """n (n + k) angles; two matrix products of 2 n (n + k) d each (cosines, and angles times neurons)."""
    pairs = n * (n + k)
    return Work(4.0 * pairs * d, ANGLE[dtype] * pairs, 2.0 * n * d * size_of(dtype))


def loss_work(n: int, k: int, d: int, dtype: str) -> Work:
    """n (n + k) angles and the product for their cosines; the teacher's own part is a constant."""
    pairs = n * (n + k)
    return Work(2.0 * pairs * d, ANGLE[dtype] * pairs, (n * d + 1.0) * size_of(dtype))


def hessian_work(n: int, k: int, d: int, dtype: str) -> Work:
    """Angles as in the gradient; d^2 multiply-adds a pair for the diagonal blocks, about 6 d^2 elementwise for each of
    n^2 mixed blocks; p^2 numbers written."""
    pairs, p = n * (n + k), n * d
    return Work(2.0 * pairs * d * (1 + d), (ANGLE[dtype] + 4.0 * d) * pairs + 6.0 * p * p, (p + p * p) * size_of(dtype))


def newton_work(n: int, k: int, d: int, dtype: str) -> Work:
    """Gradient and Hessian, a Cholesky factorisation (p^3 / 3) and two triangular solves (2 p^2); the Hessian is
    written, replaced by its factor, and read by each solve."""
    p = n * d
    gradient, hessian = gradient_work(n, k, d, dtype), hessian_work(n, k, d, dtype)
    return Work(
        gradient.matmul + hessian.matmul + p**3 / 3 + 2.0 * p * p,
        gradient.elementwise + hessian.elementwise,
        (2 * p + 4.0 * p * p) * size_of(dtype),
    )


def size_of(dtype: str) -> int:
    return np.dtype(dtype).itemsize
