"""A path of non-increasing loss from any network of width n + 1 or more to a global minimum.

The constructive proof that such widths have no spurious valleys (Haeffele and Vidal 2017; Kim, Mishkin and Pilanci
2025; this construction: derived here). In the weights c_j = |w_j| |a_j| of balanced neurons on fixed directions the
loss is l(Z c) + beta sum c, so what lowers sum c at constant outputs is a linear program, and so is moving the outputs
straight to the optimal ones at least sum c:

 1. balance each neuron at constant output; neurons without output shrink to zero;
 2. empty dependent neurons, outputs constant, sum c non-increasing, until at most n are left;
 3. primal simplex pivots on min sum c, Z c = z0, over the directions at hand and those of the optimum;
 4. dual simplex pivots along Z c = (1 - t) z0 + t z*: the loss is convex in t and least at t = 1.

A direction enters in a neuron whose weights are exactly zero, so n + 1 neurons are enough.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import qr

from landscape.problems.datafit import Data, objective
from landscape.records import InputError
from landscape.theory.convex.column_generation import CertifiedOptimum
from landscape.theory.convex.optimal_set import eliminations


class Path(NamedTuple):
    """Way-points; `between` says where the path runs from one to the next.

    Attributes:
        hidden: Hidden weights, [t, m, d].
        outer: Outer weights, [t, m].
        b0: Outer bias, [t].
        loss: True loss at the way-points, [t].
    """

    hidden: np.ndarray
    outer: np.ndarray
    b0: np.ndarray
    loss: np.ndarray


class Verified(NamedTuple):
    """The true loss along a path.

    Attributes:
        position: Way-point number plus the fraction of the way to the next, [s].
        loss: Loss there, [s].
        increase: Largest rise above any earlier value; 0 for a path that never rises.
        relative_increase: The same, over the loss at the start.
    """

    position: np.ndarray
    loss: np.ndarray
    increase: float
    relative_increase: float


def descending_path(
    data: Data, hidden: np.ndarray, outer: np.ndarray, target: CertifiedOptimum, b0: float = 0.0
) -> Path:
    """From the network (hidden [m, d], outer [m], b0) to a global minimum, the loss never rising.

    Args:
        data: The data set.
        hidden: Hidden weights of the start, [m, d]; any scale, zero and dead neurons included.
        outer: Outer weights of the start, [m].
        target: The optimum of `data`.
        b0: Outer bias of the start.

    Returns:
        The way-points. The loss along `between` is non-increasing up to rounding (check with `verify`), and the last
        way-point has the loss of the target.

    Raises:
        InputError: The width is below n + 1, or the shapes do not fit.
    """
    hidden, outer = np.asarray(hidden, float), np.asarray(outer, float)
    n, d = data.x.shape
    if hidden.ndim != 2 or hidden.shape[1] != d or outer.shape != hidden.shape[:1]:
        raise InputError(
            f"The start must have hidden weights [m, {d}] and outer weights [m], found {hidden.shape} and "
            f"{outer.shape}."
        )
    m = len(outer)
    if m < n + 1:
        raise InputError(
            f"A descending path is known to exist from every start for widths of at least n + 1 = {n + 1}, found {m}; "
            f"add {n + 1 - m} zero neurons."
        )
    if data.outer_bias == "none" and b0 != 0:
        raise InputError(f"The data set's networks have no outer bias, found {b0}.")
    # The dictionary: the start's directions, then the target's.
    units, signs, c = _polar(hidden, outer)
    goal_units, goal_signs, goal_c = _polar(target.hidden, target.outer)
    units, signs = np.vstack([units, goal_units]), np.concatenate([signs, goal_signs])
    atoms = signs * np.maximum(data.x @ units.T, 0.0)

    weights = [np.concatenate([c, np.zeros(len(goal_c))])]
    for now in eliminations(atoms[:, :m], c):
        weights.append(np.concatenate([now, np.zeros(len(goal_c))]))
    shares = [0.0] * len(weights)  # how far the outputs have come
    goal = np.concatenate([np.zeros(m), goal_c])
    now = weights.pop()
    shares.pop()
    used = (now > 0) | (goal > 0)
    for some, share in _pivots(atoms[:, used], now[used], goal[used]):
        full = np.zeros(len(now))
        full[used] = some
        weights.append(full)
        shares.append(share)

    points = [(hidden, outer)]
    slots = np.where(c > 0, np.arange(m), -1)  # the direction that each neuron holds, -1 for none
    before = weights[0]
    for now in weights:
        empty = list(np.flatnonzero(slots < 0))
        for k in np.flatnonzero((now > 0) & (before == 0)):
            slots[empty.pop()] = k
        size = np.where(slots >= 0, np.sqrt(now[slots]), 0.0)
        points.append((units[slots] * size[:, None], signs[slots] * size))
        slots[size == 0] = -1  # empty from here on, not on the way that led here
        before = now
    bias = np.concatenate([[b0], (1 - np.array(shares)) * b0 + np.array(shares) * target.b0])
    return Path(
        hidden=np.array([h for h, _ in points]),
        outer=np.array([a for _, a in points]),
        b0=bias,
        loss=np.array([objective(data, h, a, float(b)) for (h, a), b in zip(points, bias, strict=True)]),
    )


def between(path: Path, k: int, t: float) -> tuple[np.ndarray, np.ndarray, float]:
    """The network at the fraction t in [0, 1] of the way from way-point k to k + 1: (hidden [m, d], outer [m], b0).

    A neuron keeps its direction and its sign; its weight c = |w| |a| and its log |w| / |a| run linearly (a neuron of
    zero weights at one end is balanced on the way). Neurons without output at both ends run straight, and so does b0.
    """
    w0, w1, a0, a1 = path.hidden[k], path.hidden[k + 1], path.outer[k], path.outer[k + 1]
    r0, r1 = np.linalg.norm(w0, axis=1), np.linalg.norm(w1, axis=1)
    c0, c1 = r0 * np.abs(a0), r1 * np.abs(a1)
    with np.errstate(divide="ignore", invalid="ignore"):
        tilt0 = np.where(c0 > 0, np.log(r0 / np.abs(a0)), 0.0)
        tilt1 = np.where(c1 > 0, np.log(r1 / np.abs(a1)), 0.0)
        units = np.where((c0 > 0)[:, None], w0 / r0[:, None], w1 / r1[:, None])
    signs = np.sign(np.where(c0 > 0, a0, a1))
    root = np.sqrt((1 - t) * c0 + t * c1)
    tilt = 0.5 * ((1 - t) * tilt0 + t * tilt1)
    silent = (c0 == 0) & (c1 == 0)
    hidden = np.where(silent[:, None], (1 - t) * w0 + t * w1, units * (root * np.exp(tilt))[:, None])
    outer = np.where(silent, (1 - t) * a0 + t * a1, signs * root * np.exp(-tilt))
    return hidden, outer, float((1 - t) * path.b0[k] + t * path.b0[k + 1])


def verify(data: Data, path: Path, steps: int = 20) -> Verified:
    """The true loss at `steps` points from each way-point to the next, and the largest rise along the whole path."""
    position = [float(k) + i / steps for k in range(len(path.loss) - 1) for i in range(steps)] + [len(path.loss) - 1.0]
    loss = []
    for at in position[:-1]:
        k = int(at)
        loss.append(objective(data, *between(path, k, at - k)) if at > k else path.loss[k])
    loss = np.array([*loss, path.loss[-1]])
    increase = float(np.max(loss - np.minimum.accumulate(loss)))
    return Verified(
        position=np.array(position),
        loss=loss,
        increase=increase,
        relative_increase=increase / max(float(loss[0]), 1e-300),
    )


# --- the linear programs ---

_TOL = 1e-11  # of reduced costs and pivots; atoms are scaled to unit length


def _polar(hidden: np.ndarray, outer: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Directions [m, d], signs [m] and weights |w| |a| [m]; the first axis where w = 0."""
    lengths = np.linalg.norm(hidden, axis=1)
    first = np.eye(hidden.shape[1])[0]
    units = np.where((lengths > 0)[:, None], hidden / np.where(lengths > 0, lengths, 1.0)[:, None], first)
    return units, np.where(outer < 0, -1.0, 1.0), lengths * np.abs(outer)


def _pivots(atoms: np.ndarray, c: np.ndarray, goal: np.ndarray) -> list[tuple[np.ndarray, float]]:
    """Steps 3 and 4 from c (independent atoms) to outputs atoms @ goal: c, then c after each pivot, and the share t.

    Between two of them the weights run straight, on at most rank + 1 atoms.
    """
    lengths = np.linalg.norm(atoms, axis=0)
    heard = lengths > 0  # an atom of no output never enters
    unit = atoms / np.where(heard, lengths, 1.0)
    left, size, _ = np.linalg.svd(unit, full_matrices=False)
    rank = int(np.sum(size > 1e-12 * size[0])) if size.size and size[0] > 0 else 0
    if rank == 0:  # nothing is heard: what is there goes to zero, and the outer bias to its goal
        return [(c, 0.0), (np.zeros_like(c), 1.0)]
    rows = left[:, :rank].T @ unit  # [rank, K], unit columns
    cost = 1 / np.where(heard, lengths, 1.0)  # of unit atoms, so that cost' x = sum c
    x = c * lengths
    start, end = rows @ x, rows @ (goal * lengths)
    basis = _basis(rows, x > 0)
    out: list[tuple[np.ndarray, float]] = [(c.copy(), 0.0)]

    def record(values: np.ndarray, on: list[int], share: float) -> None:
        full = np.zeros(len(c))
        full[on] = np.where(values > 0, values * cost[on], 0.0)
        out.append((full, share))

    # 3. Primal simplex.
    for _ in range(200 * (rank + 2)):
        square = rows[:, basis]
        reduced = cost - rows.T @ np.linalg.solve(square.T, cost[basis])
        reduced[basis] = 0.0
        j = int(np.argmin(reduced))
        if reduced[j] >= -_TOL * cost[basis].max():
            break
        values = np.maximum(np.linalg.solve(square, start), 0.0)
        column = np.linalg.solve(square, rows[:, j])
        values[values <= 1e-15 * max(values.max(), 1e-300)] = 0.0
        able = np.flatnonzero(column > _TOL)
        ratios = values[able] / column[able]
        near = able[ratios <= ratios.min() * (1 + 1e-12)]
        leaving = int(near[np.argmax(column[near])])
        if ratios.min() == 0:  # zero up to rounding: exactly zero frees its neuron
            out[-1][0][basis[leaving]] = 0.0
        basis[leaving] = j
        if ratios.min() > 0:
            values = np.linalg.solve(rows[:, basis], start)
            record(values, basis, 0.0)

    # 4. Parametric dual simplex.
    share, stuck = 0.0, set()
    for _ in range(200 * (rank + 2)):
        square = rows[:, basis]
        values = np.linalg.solve(square, (1 - share) * start + share * end)
        rate = np.linalg.solve(square, end - start)
        scale = max(float(np.abs(values).max()), 1e-300)
        sinks = rate < -1e-14 * max(float(np.abs(rate).max()), 1e-300)
        sinks[[basis[i] in stuck for i in range(rank)]] = False
        falling = np.flatnonzero(sinks & (values + (1 - share) * rate < -1e-14 * scale))
        if len(falling) == 0:
            break
        reach = np.maximum(values[falling], 0.0) / -rate[falling]
        first = int(np.argmin(reach))
        leaving = int(falling[first])
        pivot_row = rows.T @ np.linalg.solve(square.T, np.eye(rank)[leaving])
        pivot_row[basis] = 0.0
        able = np.flatnonzero(pivot_row < -_TOL)
        if len(able) == 0:  # it falls below zero by rounding only: every share is feasible
            stuck.add(basis[leaving])
            continue
        if reach[first] > 0:
            share += float(reach[first])
            values = values + reach[first] * rate
            values[leaving] = 0.0
            record(values, basis, share)
        else:
            out[-1][0][basis[leaving]] = 0.0
        reduced = np.maximum(cost - rows.T @ np.linalg.solve(square.T, cost[basis]), 0.0)
        ratios = reduced[able] / -pivot_row[able]
        near = able[ratios <= ratios.min() * (1 + 1e-12) + 1e-15]
        basis[leaving] = int(near[np.argmin(pivot_row[near])])
    values = np.linalg.solve(rows[:, basis], end)
    record(values, basis, 1.0)
    return out


def _basis(rows: np.ndarray, on: np.ndarray) -> list[int]:
    """Columns that span, all those of `on` (independent) among them."""
    rank = len(rows)
    have = list(np.flatnonzero(on))
    if len(have) < rank:
        q = np.linalg.qr(rows[:, have])[0] if have else np.zeros((rank, 0))
        rest = rows - q @ (q.T @ rows)
        rest[:, have] = 0.0
        order = qr(rest, pivoting=True, mode="r")[-1]
        have += [int(j) for j in order[: rank - len(have)]]
    return [int(j) for j in have]
