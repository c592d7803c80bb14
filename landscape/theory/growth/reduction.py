"""Networks with the same outputs and fewer subnetworks."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.problems.parallel import Homogeneous, parts_at
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.optimal_set import eliminations, prune
from landscape.theory.growth.certificate import losses
from landscape.theory.growth.zero import ZERO, zero_subnetworks

IDLE = 1e-3  # subnetworks below this share of the largest regulariser may be dropped
_DEPENDENT = 1e-9  # unit outputs with a least singular value below this are dependent


def reduced(problem: Homogeneous | Empirical, theta: np.ndarray) -> tuple[Any, np.ndarray]:
    """A network with the same outputs, no larger loss, and no more subnetworks than it needs: its problem, and theta.

    Matrix factorisations become singular value decompositions, networks with quadratic activation eigendecompositions
    of sum a w w'; of others those whose outputs depend on the rest are removed by moves that keep outputs and
    regulariser (Caratheodory). Subnetworks whose removal does not raise the loss, beyond its rounding, are dropped.
    """
    theta = np.asarray(theta, np.float64)
    if isinstance(problem, Empirical):
        here = forward(problem, theta)
        kept = prune(problem.data, here.w, here.a, here.b0)
        return networked(problem, kept.hidden, kept.outer, kept.b0)
    w = theta.reshape(problem.width, -1)
    family = problem.net.family
    if family == "rank_one":
        rows = problem.y.shape[0]
        u, s, vt = np.linalg.svd(w[:, :rows].T @ w[:, rows:])
        kept = [i for i in range(len(s)) if s[i] > (ZERO * problem.scale) ** 2]
        w = np.array([np.sqrt(s[i]) * np.concatenate([u[:, i], vt[i]]) for i in kept])
    elif family == "quadratic" and problem.y.ndim == 1:
        values, vectors = np.linalg.eigh((w[:, :-1].T * w[:, -1]) @ w[:, :-1])
        order = [i for i in np.argsort(-np.abs(values)) if abs(values[i]) > (ZERO * problem.scale) ** 3]
        roots = np.cbrt(np.abs(values))
        w = np.array([roots[i] * np.append(vectors[:, i], np.sign(values[i])) for i in order])
    else:
        w = _independent(problem, theta)
    w = w.reshape(-1, problem.q)
    if len(w):
        w = _without_idle(problem.of_width(len(w)), w)
    if not len(w):
        w = np.zeros((1, problem.q))
    small = problem.of_width(len(w))
    return small, small.canonical(w.reshape(-1))


def _independent(problem: Homogeneous, theta: np.ndarray) -> np.ndarray:
    """Subnetworks with independent outputs: proportions g of phi / g are moved until one after the other is zero."""
    w = theta.reshape(problem.width, -1)
    f, g = parts_at(problem, theta)
    alive = np.flatnonzero(~zero_subnetworks(problem, theta) & (g > 0))
    if not len(alive):
        return w[:0]
    atoms = (f[alive].reshape(len(alive), -1) / g[alive, None]).T
    lengths = np.linalg.norm(atoms, axis=0)
    c = np.where(lengths > 0, g[alive], 0.0)
    c = [c, *eliminations(atoms, c, _DEPENDENT)][-1]
    kept = c > 0
    return w[alive[kept]] * ((c[kept] / g[alive[kept]]) ** (1 / problem.net.degree))[:, None]


def networked(problem: Empirical, w: np.ndarray, a: np.ndarray, b0: float) -> tuple[Empirical, np.ndarray]:
    """A network as a point of the problem of its own width; of width one, and zero, if it has no neuron."""
    if not len(a):
        w, a = np.zeros((1, problem.d)), np.zeros(1)
    order = np.lexsort([*np.round(w / (1e-7 * problem.scale)).T[::-1], a])
    tail = [] if problem.outer_bias == "none" else [np.array([b0])]
    return replace(problem, width=len(a)), np.concatenate([w[order].reshape(-1), a[order], *tail])


def _without_idle(problem: Homogeneous, w: np.ndarray) -> np.ndarray:
    """The subnetworks, [kept, q], without small ones that only cost: the loss without them is no higher."""
    g = parts_at(problem, w.reshape(-1))[1]
    now, error = float(losses(problem, w.reshape(1, -1))[0]), problem.loss_error(w.reshape(-1))
    kept = np.ones(len(w), bool)
    for j in np.argsort(g):
        if g[j] > IDLE * float(np.max(g)):
            break
        kept[j] = False
        loss = float(losses(problem, np.where(kept[:, None], w, 0.0).reshape(1, -1))[0])
        if loss <= now + error:
            now = loss
        else:
            kept[j] = True
    return w[kept]
