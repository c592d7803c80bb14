"""Known points laid over new ones as in `overlay`, in one compiled program: for accelerators, where the host is scarce.

The steps and the checks are those of `overlay`, which is faster on a CPU. Images differ from its images by rounding.
Threads that ran `overlay` beside an H200 waited for each other: 58 us a point, where one thread takes 50.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from landscape.problems.problem import HIGHEST, QUICK, times

WORDS = 2**25  # numbers of one array of a batch: 128 MB of float32
FEWEST = 256  # points of a batch


class Tables(NamedTuple):
    """What the program knows of the known points and their group, on the device.

    Attributes:
        anchors: [q, d].
        inverse: Pseudoinverse of the anchors, [d, q].
        labels: Of the nodes, where every script begins, [N].
        rows: Students of each, [k, n, d].
        ranks: Of each script, [k, steps, N].
        plain: Of each script, [k, steps].
        node: Of each script, [k, N].
        lengths: Of each script, [k].
        units: Of each script, [k].
    """

    anchors: Any
    inverse: Any
    labels: Any
    rows: Any
    ranks: Any
    plain: Any
    node: Any
    lengths: Any
    units: Any


def tables(
    group: tuple[np.ndarray, np.ndarray, np.ndarray], rows: np.ndarray, scripts: tuple[np.ndarray, ...]
) -> Tables:
    """Tables of k known points, padded, so that few programs are compiled while points are added.

    Args:
        group: Anchors, their pseudoinverse and labels, as in `Tables`.
        rows: As in `Tables`.
        scripts: Ranks, plain, node, lengths and units, as in `Tables`.
    """
    ranks, plain, node, lengths, units = scripts
    k, steps = _one_of_few(len(ranks), 32), _one_of_few(ranks.shape[1], 8)

    def padded(table: np.ndarray, *sizes: int) -> Any:
        wide = [(0, size - now) for size, now in zip(sizes, table.shape, strict=False)]
        return jnp.asarray(np.pad(table, [*wide, *[(0, 0)] * (table.ndim - len(wide))]))

    return Tables(
        *map(jnp.asarray, group),
        rows=padded(rows, k),
        ranks=padded(ranks, k, steps),
        plain=padded(plain, k, steps),
        node=padded(node, k),
        lengths=padded(lengths, k),
        units=padded(units, k),
    )


def _one_of_few(size: int, least: int) -> int:
    """The first of `least`, 4 `least`, 16 `least`, ... that is no smaller than a size."""
    while least < size:
        least *= 4
    return least


def most(nodes: int) -> int:
    """How many points of a graph of so many nodes are one batch at most."""
    return max(FEWEST, WORDS // nodes**2)


def over(held: Tables, known: np.ndarray, thetas: np.ndarray, flips: bool) -> np.ndarray:
    """Known points [m] laid over points [m, p]; NaN where the guess is no group element.

    Args:
        held: Of the known points.
        known: Places of known points.
        thetas: Points.
        flips: Whether signs of students are free.
    """
    found, many = [], most(len(held.labels))
    for i in range(0, len(known), many):
        some = known[i : i + many]
        size = min(many, _one_of_few(len(some), FEWEST))
        of = np.resize(thetas[i : i + many], (size, thetas.shape[1]))
        found.append(np.asarray(laid(held, np.resize(some, size), of, flips))[: len(some)])
    return np.concatenate(found)


@partial(jax.jit, static_argnames="flips", compiler_options=QUICK)
def laid(held: Tables, known: Any, thetas: Any, flips: bool) -> Any:
    """As `over`, of one batch [m], on the device."""
    m, (n, d) = len(thetas), held.rows.shape[1:]
    anchors = held.anchors
    students = thetas.astype(jnp.float64).reshape(m, n, d)
    if flips:
        students = jnp.stack([students, -students], axis=2).reshape(m, 2 * n, d)
    many = students.shape[1]
    unit = held.units[known][:, None, None]
    classes = _followed(held, known, students / unit, anchors / unit)
    partner = jnp.take_along_axis(held.node[known], classes, axis=1)
    # Anchor i of the point is the image of anchor to[i] of the known one: Q a_to[i] = a_i.
    to = partner[:, many:] - many
    back = anchors[jnp.argsort(to, axis=1)]
    turn = times(held.inverse, back)
    kept = _largest(times(turn, turn.swapaxes(1, 2)) - jnp.eye(d)) <= 1e-10
    kept &= _largest(times(anchors, turn) - back) <= 1e-10 * jnp.abs(anchors).max()
    chosen, sign = partner[:, :many], jnp.ones(1)
    if flips:
        chosen = chosen[:, ::2]
        sign = jnp.where(chosen % 2, -1.0, 1.0)[..., None]
        chosen = chosen // 2
    kept &= (jnp.sort(chosen, axis=1) == jnp.arange(n)).all(axis=1)
    source = sign * held.rows[known[:, None], jnp.where(kept[:, None], chosen, 0)]
    return jnp.where(kept[:, None], times(source, turn).reshape(m, n * d), jnp.nan)


def _largest(some: Any) -> Any:
    """The largest entry of each of some matrices [m, ...], without sign, [m]."""
    return jnp.abs(some).max(axis=(1, 2))


def _followed(held: Tables, known: Any, students: Any, anchors: Any) -> Any:
    """Classes [m, N] of points by the steps of scripts, in float32: points are further from their images than that."""
    m, many, size = len(students), students.shape[1], len(held.labels)
    students, anchors = students.astype(jnp.float32), anchors.astype(jnp.float32)
    outer = jnp.exp(jnp.einsum("mid,mjd->mij", students, anchors, precision=HIGHEST))
    number = jnp.arange(1, size + 1)
    weight = ((number + jnp.cos(number) / 3) / (size * (size + 1))).astype(jnp.float32)  # see `overlay`
    ranks, plain, lengths = held.ranks[known], held.plain[known], held.lengths[known]
    every = jnp.arange(m)[:, None]

    def step(i: Any, classes: Any) -> Any:
        weights = weight[classes]
        own = jnp.einsum("mij,mj->mi", outer, weights[:, many:], precision=HIGHEST)
        other = jnp.einsum("mij,mi->mj", outer, weights[:, :many], precision=HIGHEST)
        sums = jnp.concatenate([own, other], axis=1)
        keys = 4.0 * classes + jnp.where(plain[:, i, None], 0.0, sums).astype(jnp.float64)
        new = classes.at[every, jnp.argsort(keys, axis=1, stable=True)].set(ranks[:, i])
        return jnp.where(i < lengths[:, None], new, classes)

    return jax.lax.fori_loop(0, ranks.shape[1], step, jnp.broadcast_to(held.labels, (m, size)))
