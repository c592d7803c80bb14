"""Barriers of random losses of two weights lie in their intervals: the truth is a flooded grid."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import long, slow

import landscape as ls
from landscape.topology.graph import components

STEP = 0.02  # of the grid


def flooded(loss, points):
    """Barriers between points on a grid of eight neighbours, [k, k], by a union of cells in ascending order."""
    side = loss.shape[1]
    where = [int(np.flatnonzero(np.isclose(loss.ravel(), loss[i, j]))[0]) for i, j in points]
    flat, parent = loss.ravel(), np.full(loss.size, -1)
    held = {cell: {k for k, one in enumerate(where) if one == cell} for cell in where}
    out = np.full((len(where),) * 2, np.inf)

    def root(cell):
        while parent[cell] != cell:
            parent[cell] = parent[parent[cell]]
            cell = parent[cell]
        return cell

    near = [a * side + b for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]
    for cell in np.argsort(flat):
        parent[cell] = cell
        if not 0 < cell % side < side - 1:
            continue  # the rim joins nothing
        for other in (cell + step for step in near):
            if not 0 <= other < flat.size or parent[other] < 0:
                continue
            one, two = root(cell), root(other)
            if one == two:
                continue
            for p in held.get(one, ()):
                for q in held.get(two, ()):
                    out[p, q] = out[q, p] = flat[cell]
            parent[two] = one
            held[one] = held.get(one, set()) | held.pop(two, set())
    return out


@pytest.mark.parametrize("seed", [slow(0), long(1)])
def test_barriers_of_random_losses_are_in_their_intervals(seed):
    """Nine wells and hills in a bowl."""
    rng = np.random.default_rng(seed)
    centre, height, width = rng.uniform(-1.6, 1.6, (9, 2)), 1.5 * rng.normal(size=9), rng.uniform(0.2, 0.6, 9)

    def loss(w):
        bumps = jnp.exp(-jnp.sum((w - centre) ** 2, axis=1) / (2 * width**2))
        return jnp.sum(height * bumps) + 0.05 * jnp.sum(w**4)

    problem = ls.from_loss(loss, lambda key: 1.3 * jax.random.normal(key, (2,)))
    found = ls.topology_of(ls.explore(problem, 60, 0, progress=False), problem, searches=60, steps=200)
    graph, axis = found.graph, np.arange(-3, 3, STEP)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    values = np.asarray(jax.jit(jax.vmap(loss))(grid.reshape(-1, 2))).reshape(grid.shape[:2])
    places = [tuple(int(np.abs(axis - x).argmin()) for x in point) for point in found.points]
    true = flooded(values, places)
    # Along an edge of the grid, and from a point to its nearest node, the loss is off by second differences at most.
    blur = max(np.abs(np.diff(values, 2, axis=0)).max(), np.abs(np.diff(values, 2, axis=1)).max())
    apart = ~np.eye(len(true), dtype=bool)
    assert np.all(graph.low[apart] <= true[apart] + blur)
    assert np.all(graph.high[apart] >= true[apart] - blur)
    assert np.all(graph.high[apart] <= true[apart] + 0.05)  # and no idle bound
    losses = np.array([one.loss for one in graph.minima])
    for level in np.linspace(losses[0], np.max(true[apart], initial=losses[0]), 12):
        least, most = components(graph, level)
        here = np.flatnonzero(losses <= level)
        count = [sum(not np.any(true[i, here[here < i]] <= level + off) for i in here) for off in (-2 * blur, 2 * blur)]
        assert least <= count[0]
        assert most >= count[1]
