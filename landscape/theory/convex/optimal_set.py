"""Every optimal network: the polytope of optimal weights, its vertices, pruning, and how connected the optima are.

With beta > 0 and a strictly convex loss all optimal networks have the same outputs f* and residual nu*, and each of
their neurons has a direction where |nu*' relu(X u)| = beta. There are finitely many such directions, T of them; with
their signed atoms Z = [s relu(X u)]_T the optimal networks are, up to permuting and splitting neurons, the polytope
{c >= 0: Z c = f*}, c_j the weight |w_j| |a_j| of direction j (Mishkin and Pilanci 2023; Kim, Mishkin and Pilanci 2025;
in this form derived here).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import qr
from scipy.optimize import nnls

from landscape.problems.datafit import Data, minus_gradient
from landscape.records import InputError
from landscape.theory.arrangement.maxima import local_maxima
from landscape.theory.arrangement.records import Cells
from landscape.theory.convex.column_generation import CertifiedOptimum


class OptimalSet(NamedTuple):
    """The polytope {c >= 0: Z c = f* - b0} of optimal networks.

    Attributes:
        directions: The tight directions, unit, [T, d].
        signs: Their signs, [T].
        atoms: Z, [n, T]: s_j relu(X u_j).
        output: f*, [n].
        rank: Rank of Z (of the centred Z for a free outer bias, which moves along the polytope).
        vertices: The vertices c, [V, T]: the optimal networks that cannot be pruned.
        outer_bias: b0 at each vertex, [V].
        m_star: Least number of neurons of an optimal network: from this width on the minimum over the width is p*.
        M_star: Largest number of neurons of an optimal network that cannot be pruned.
        dimension: Dimension of the polytope; 0 if the optimal network is unique up to permuting and splitting.
        tightness: Largest | |nu' relu(X u_j)| / beta - 1 | of the directions that count as tight.
        next: Largest |nu' relu(X u)| / beta of the other local maxima; the list is sure while this is well below 1.
    """

    directions: np.ndarray
    signs: np.ndarray
    atoms: np.ndarray
    output: np.ndarray
    rank: int
    vertices: np.ndarray
    outer_bias: np.ndarray
    m_star: int
    M_star: int
    dimension: int
    tightness: float
    next: float


class Step(NamedTuple):
    """What the set of global minima looks like from width `least` to width `most` (None: to any width)."""

    least: int
    most: int | None
    statement: str


class Pruned(NamedTuple):
    """A network: hidden [m, d], outer [m], outer bias."""

    hidden: np.ndarray
    outer: np.ndarray
    b0: float


def optimal_set(data: Data, best: CertifiedOptimum, listed: Cells | None = None, most: int = 20_000) -> OptimalSet:
    """All optimal networks of all widths, from one certified optimum.

    Args:
        data: The data set.
        best: Its optimum, with an exact phi and a gap at rounding.
        listed: All activation cells of data.x if they are at hand; listed otherwise.
        most: Extreme rays that may be kept in the search for vertices.

    Raises:
        InputError: The optimum is not certified closely enough to tell tight directions, or it has too many vertices.
    """
    beta = data.weight_decay
    if best.gap > 1e-9 * max(best.value, 1e-300):
        raise InputError(
            f"The set of optimal networks needs a certified optimum, found a gap of {best.gap:.1e} at the value "
            f"{best.value:.6g}; it takes an exact phi (at most three dimensions, or cells that can be listed)."
        )
    f = np.maximum(data.x @ best.hidden.T, 0.0) @ best.outer + best.b0
    # The network's own residual, close to nu* itself: best.nu may be right only up to a factor.
    nu = minus_gradient(data, f)
    us, signs, values = local_maxima(data.x, nu - nu.mean() if data.outer_bias == "free" else nu, listed=listed)
    sizes = np.linalg.norm(np.maximum(data.x @ us.T, 0.0), axis=0)
    # The dual is strongly concave: |nu - nu*|^2 <= 2 gap, so a tight direction is found within |nu - nu*| |z|.
    slack = math.sqrt(2 * max(best.gap, 0.0)) * sizes / beta + 1e-9
    on = values >= beta * (1 - slack)
    off = values[~on] / beta
    us, signs, values = us[on], signs[on].astype(float), values[on]
    atoms = signs * np.maximum(data.x @ us.T, 0.0)

    free = data.outer_bias == "free"
    z, target = (atoms - atoms.mean(0), f - f.mean()) if free else (atoms, f - best.b0)
    c0, missed = nnls(z, target) if len(us) else (np.zeros(0), float(np.linalg.norm(target)))
    if missed > 1e-6 * max(1.0, float(np.linalg.norm(f))):
        raise InputError(
            f"The tight directions miss the optimal output by {missed:.1e}; the optimum is not accurate enough for the "
            "set of all optima."
        )
    vertices, rank = _vertices(z, c0, most)
    supports = (vertices > 0).sum(1)
    shift = (f[None] - vertices @ atoms.T).mean(1) if free else np.full(len(vertices), best.b0)
    spread = np.linalg.svd(vertices - vertices.mean(0), compute_uv=False) if len(us) else np.zeros(0)
    return OptimalSet(
        directions=us,
        signs=signs,
        atoms=atoms,
        output=f,
        rank=rank,
        vertices=vertices,
        outer_bias=shift,
        m_star=int(supports.min()),
        M_star=int(supports.max()),
        dimension=int(np.sum(spread > 1e-8 * max(float(c0.sum()), 1e-300))),
        tightness=float(np.abs(values / beta - 1).max(initial=0.0)),
        next=float(off.max(initial=0.0)),
    )


def _vertices(z: np.ndarray, c0: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Vertices of {c >= 0: z c = z c0}, and the rank of z: double description in the null space of (z, -z c0).

    A basis of the null space that is the identity on some coordinates spans a cone that has those coordinates >= 0; the
    others are imposed one by one, each cutting off the rays below zero and adding one ray on each edge it cuts.
    """
    t = len(c0)
    f = z @ c0
    lengths = np.linalg.norm(z, axis=0)
    rank = int(np.linalg.matrix_rank(z / np.where(lengths > 0, lengths, 1.0), tol=_RANK)) if t else 0
    size = float(np.linalg.norm(f))
    if size == 0:
        return np.zeros((1, t)), rank
    # The last coordinate is one on the polytope, which is bounded: every ray of the cone is a vertex.
    _, _, v = np.linalg.svd(np.column_stack([z / np.where(lengths > 0, lengths, 1.0), -f / size]))
    null = v[rank:].T
    pivots = qr(null.T, pivoting=True, mode="r")[-1][: null.shape[1]]
    rays = np.linalg.solve(null[pivots].T, null.T)  # [rays, t + 1]
    rays[np.abs(rays) < 1e-11] = 0.0
    open_rows = [i for i in range(t + 1) if i not in pivots]
    done = [int(i) for i in pivots]
    while open_rows:
        counts = [int(np.sum(rays[:, i] > 0)) * int(np.sum(rays[:, i] < 0)) for i in open_rows]
        row = open_rows.pop(int(np.argmin(counts)))
        rays = _cut(rays, row, done, null.shape[1])
        done.append(row)
        if len(rays) > most:
            raise InputError(
                f"The polytope of optimal networks has {t} tight directions of rank {rank}, and more than {most} rays "
                "arose in the search for its vertices. Raise that limit, or use prune for one vertex."
            )
    found = []
    for ray in rays[rays[:, -1] > 0]:
        on = ray[:-1] > 0
        c = np.zeros(t)
        c[on] = np.linalg.lstsq(z[:, on], f, rcond=None)[0]
        found.append(np.maximum(c, 0.0))
    return np.array(found).reshape(-1, t), rank


_RANK = 1e-9  # of unit atoms; the directions are good to about 1e-13


def _cut(rays: np.ndarray, row: int, done: list[int], dimension: int) -> np.ndarray:
    """The extreme rays of the cone of `rays`, of that dimension, where coordinate `row` is not negative."""
    height = rays[:, row]
    up, down = np.flatnonzero(height > 0), np.flatnonzero(height < 0)
    zero = (rays[:, done] == 0).astype(np.float32)
    new = []
    for i in up:
        common = zero[i] * zero[down]
        likely = common.sum(1) >= dimension - 2  # an edge lies on that many walls
        # Rays on all walls common to i and j: a third one means that i and j share no edge.
        others = (common[likely] @ (1 - zero).T == 0).sum(1)
        mates = down[likely][others == 2]
        made = height[i] * rays[mates] - height[mates, None] * rays[i]
        made /= np.abs(made).max(axis=1, keepdims=True, initial=1e-300)
        made[np.abs(made) < 1e-11] = 0.0
        made[:, row] = 0.0
        new.append(made)
    return np.vstack([rays[height >= 0], *new])


def network(optima: OptimalSet, c: np.ndarray, b0: float = 0.0) -> Pruned:
    """The balanced network with weight c_j on tight direction j; directions without weight are left out."""
    on = c > 0
    roots = np.sqrt(c[on])
    return Pruned(hidden=optima.directions[on] * roots[:, None], outer=optima.signs[on] * roots, b0=b0)


def staircase(m_star: int, M_star: int, n: int) -> list[Step]:
    """How connected the global minima of each width are (Kim, Mishkin and Pilanci 2025).

    Args:
        m_star: Least number of neurons of an optimal network.
        M_star: Largest number of neurons of an optimal network that cannot be pruned.
        n: Number of samples.
    """
    if M_star == 0:
        return [Step(0, None, "one point: all weights zero")]
    connected = min(m_star + M_star, n + 1)
    steps = []
    if m_star > 1:
        steps.append(Step(1, m_star - 1, "no network of this width reaches p*"))
    steps.append(Step(m_star, m_star, "finitely many points"))
    if m_star + 1 <= min(M_star, connected - 1):
        steps.append(
            Step(m_star + 1, min(M_star, connected - 1), "continua; at width M* some isolated points are left")
        )
    if max(m_star, M_star) + 1 <= connected - 1:
        steps.append(Step(max(m_star, M_star) + 1, connected - 1, "continua only, no isolated point"))
    steps.append(Step(connected, None, "one connected set"))
    return steps


# --- pruning ---


def eliminations(atoms: np.ndarray, c: np.ndarray, tol: float = 1e-12) -> Iterator[np.ndarray]:
    """Weights c >= 0 with fewer and fewer of the atoms, until those left are independent.

    From one to the next is a straight move: atoms @ c stays, sum c does not grow, a weight reaches zero (Caratheodory).

    Args:
        atoms: One in each column, [n, m].
        c: Weights, [m].
        tol: Atoms count as dependent where unit multiples of them have a singular value below this.
    """
    c = c.astype(float).copy()
    lengths = np.linalg.norm(atoms, axis=0)
    for j in np.flatnonzero((c > 0) & (lengths <= 1e-300)):  # dead on all data: costs, and gives nothing
        c[j] = 0.0
        yield c.copy()
    while (on := np.flatnonzero(c > 0)).size:
        on = on[: len(atoms) + 1]
        _, size, v = np.linalg.svd(atoms[:, on] / lengths[on])
        if len(on) <= len(atoms) and size[-1] > tol * max(size[0], 1.0):
            return
        move = v[-1] / lengths[on]
        if move.sum() < 0:
            move = -move
        move[np.abs(move) * lengths[on] < 1e-14] = 0.0
        up = np.flatnonzero(move > 0)
        ratios = c[on[up]] / move[up]
        first = int(np.argmin(ratios))
        c[on] = np.maximum(c[on] - ratios[first] * move, 0.0)
        c[on[up[first]]] = 0.0
        yield c.copy()


def prune(data: Data, hidden: np.ndarray, outer: np.ndarray, b0: float = 0.0, tol: float = 1e-12) -> Pruned:
    """A network with the same outputs on the data, no larger objective, and independent atoms: minimal where optimal.

    Neurons are balanced, collinear ones merged, and dependent ones removed along output-preserving moves (Mishkin and
    Pilanci 2023, optimal pruning). With a free outer bias that bias may change. Outputs agree to about `tol` times
    the largest neuron output.

    Args:
        data: The data set.
        hidden: Hidden weights, [m, d].
        outer: Outer weights, [m].
        b0: Outer bias.
        tol: See `eliminations`.
    """
    hidden, outer = np.asarray(hidden, float), np.asarray(outer, float)
    lengths = np.linalg.norm(hidden, axis=1)
    c = lengths * np.abs(outer)
    on = c > 0
    units, signs, c = hidden[on] / lengths[on, None], np.sign(outer[on]), c[on]
    atoms = signs * np.maximum(data.x @ units.T, 0.0)
    free = data.outer_bias == "free"
    # Atoms that differ by a constant are dependent beside a free bias.
    z = atoms - atoms.mean(0) if free else atoms
    last = [c, *eliminations(z, c, tol)][-1].copy()
    keep = last > 0
    if keep.any():
        # The moves' rounding is taken back by fitting the survivors to the old output.
        fitted = last[keep] + np.linalg.lstsq(z[:, keep], z @ c - z[:, keep] @ last[keep], rcond=None)[0]
        if (fitted > 0).all():
            last[keep] = fitted
    if free:
        b0 = b0 + float((atoms @ (c - last)).mean())
    roots = np.sqrt(last[keep])
    return Pruned(hidden=units[keep] * roots[:, None], outer=signs[keep] * roots, b0=b0)
