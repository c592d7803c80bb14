"""Counts of global minima and of critical manifolds that the permutation symmetry of neurons induces (exact integers).

Source: Simsek, Ged, Jacot, Spadaro, Hongler, Gerstner, Brea 2021, "Geometry of the loss landscape in overparameterized
neural networks" (arXiv 2105.12221).
"""

from __future__ import annotations

from math import comb

from landscape.records import InputError, whole


def critical_manifolds(width: int, wider: int) -> int:
    """G(width, wider): how many affine critical manifolds of a wider network one critical point generates.

    Each is a way to hand out the `wider` neurons to the `width` distinct ones, none of which is left out: a surjection,
    so G(r, m) = r! S(m, r) = sum_i (-1)^(r - i) C(r, i) i^m. The `wider = width` permutations of the point are counted.
    With output weights fixed at one and a homogeneous activation, G(k, n) is also the number of cells (products of
    simplices, each of dimension n - k) of the global minima of n students of an orthonormal teacher of k neurons.

    Args:
        width: Number r of distinct neurons, at least 1.
        wider: Number m of neurons.

    Raises:
        InputError: A number is not whole, width is below 1, or wider is below width.
    """
    r, m = _checked(width, wider)
    return sum((-1) ** (r - i) * comb(r, i) * i**m for i in range(1, r + 1))


def global_manifolds(teacher: int, width: int) -> int:
    """T(teacher, width): how many affine subspaces make up the global minima of a student with trained output weights.

    Every neuron is a copy of a teacher neuron, or belongs to a group of neurons with equal hidden weights whose output
    weights sum to zero: T(r, m) = sum_u C(m, u) G(r, m - u) Bell(u), u the neurons in such groups. For a teacher of
    distinct neurons that no smaller network equals, and a smooth activation. Output weights fixed at one leave no such
    groups; then the count is `critical_manifolds`.

    Args:
        teacher: Number r of teacher neurons, at least 1.
        width: Number m of student neurons.

    Raises:
        InputError: A number is not whole, teacher is below 1, or width is below teacher.
    """
    r, m = _checked(teacher, width)
    return sum(comb(m, u) * critical_manifolds(r, m - u) * _partitions(u) for u in range(m - r + 1))


def _partitions(u: int) -> int:
    """Bell(u): in how many ways a set of u elements is a union of disjoint non-empty sets."""
    bell = [1]
    for n in range(u):
        bell.append(sum(comb(n, i) * bell[i] for i in range(n + 1)))
    return bell[u]


def _checked(few: int, many: int) -> tuple[int, int]:
    r = whole("the smaller number of neurons", few, 1)
    m = whole("the larger number of neurons", many, 1)
    if m < r:
        raise InputError(f"the larger number of neurons must be at least {r}, found {m}.")
    return r, m
