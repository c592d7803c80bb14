"""The stationary point that a network leads to by the convex programs of its own activation cells.

A descent that stays in its cells ends at the optimum of its own cells' convex program; where that lies on a tie with a
lower loss beyond, the cell beyond is next.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from landscape.problems.empirical import Empirical
from landscape.theory.convex.cone_program import Restricted
from landscape.theory.convex.forward_pass import (
    INDEPENDENT,
    TIE,
    ZERO,
    Forward,
    forward,
    heights_of,
    in_programs,
    sides_of,
    theta_of,
)
from landscape.theory.convex.restricted_programs import restricted_near
from landscape.theory.convex.slopes import slopes
from landscape.theory.convex.ties import least_subgradient, merged_ties, one_sided_slope
from landscape.theory.convex.undecayed_finish import least_squares, shortest_solution

FINISH = 1e9  # a finish solves as many programs as cost this many cubes of unknowns, some half a minute


class _Program(NamedTuple):
    """The optimum of some cells: directions and the outputs that every optimum shares."""

    solved: Restricted
    units: np.ndarray  # [q, d], where each cell's neuron points; 0 where it has none
    tight: np.ndarray  # [q], cells that may be in use


def finish(problem: Empirical, theta: np.ndarray, programs: dict[bytes, Any] | None = None) -> np.ndarray | None:
    """The stationary point that the network at theta [p] leads to by its cells' convex programs; None if none is found.

    Its neurons stay in the closures of their cells; where the optimum lies on a tie with a lower loss beyond, the cell
    beyond is next. Of several optima it takes the nearest.
    """
    programs = {} if programs is None else programs
    here = forward(problem, theta)
    found = slopes(problem, here)
    if found.stationary and not problem.certifiable:
        return np.asarray(theta, np.float64)
    if not in_programs(problem):
        return least_squares(problem, here)
    patterns = (here.z > 0).T  # [m, n]
    signs = np.sign(here.a)
    c = np.linalg.norm(here.w, axis=1) * np.abs(here.a)
    alive = (c > 1e-14 * problem.scale**2) & (patterns.any(axis=1) | (sides_of(problem)[0] != 0))
    there = here
    for _ in range(int(np.clip(FINISH / (problem.width * problem.d) ** 3, 3, 30))):
        w, a, b0 = _in_cells(problem, there, patterns, signs, np.where(alive, c, 0.0), programs)
        end = theta_of(problem, w, a, b0)
        there = forward(problem, end)
        found = slopes(problem, there)
        if found.stationary:
            return end
        crossed = _across(problem, there, patterns, alive)
        if crossed is None:
            return None
        patterns = crossed
    return None


def _in_cells(
    problem: Empirical,
    near: Forward,
    patterns: np.ndarray,
    signs: np.ndarray,
    c: np.ndarray,
    programs: dict[bytes, Any],
) -> tuple[np.ndarray, np.ndarray, float]:
    """The optimum of these cells [m, n] nearest to neurons of sizes c [m], looked for from a network near: w, a, b0."""
    m, d = problem.width, problem.d
    used = np.flatnonzero(c > 0)
    w, a = np.zeros((m, d)), np.zeros(m)
    if not len(used):
        pairs, group = np.zeros((0, patterns.shape[1] + 1), bool), np.zeros(0, int)
    else:
        pairs, group = np.unique(np.column_stack([patterns[used], signs[used] > 0]), axis=0, return_inverse=True)
        group = group.reshape(-1)
    key = pairs.tobytes()
    if key not in programs:
        blocks = np.zeros((len(pairs), d))
        np.add.at(blocks, group, np.abs(near.a[used])[:, None] * near.w[used])
        programs[key] = _program(problem, pairs[:, :-1], np.where(pairs[:, -1], 1.0, -1.0), blocks)
    program: _Program = programs[key]
    size = np.bincount(group, c[used], len(pairs))
    amounts = _nearest(problem, program, np.where(pairs[:, -1], 1.0, -1.0), size)
    share = amounts[group] * c[used] / size[group]
    w[used] = np.sqrt(share)[:, None] * program.units[group]
    a[used] = np.sqrt(share) * np.where(pairs[:, -1], 1.0, -1.0)[group]
    return w, a, program.solved.b0


def _program(problem: Empirical, patterns: np.ndarray, signs: np.ndarray, near: np.ndarray) -> _Program:
    """The program of these cells; `near`, a network's own blocks [q, d], is where a large one starts."""
    data, (low, high) = problem.data, sides_of(problem)
    solved = restricted_near(data, patterns, signs, near, slopes=(low, high))
    units = np.zeros((len(signs), data.x.shape[1]))
    tight = np.zeros(len(signs), bool)
    for i, (pattern, sign, block) in enumerate(zip(patterns, signs, solved.blocks, strict=True)):
        length = float(np.linalg.norm(block))
        if length > 0:
            units[i], tight[i] = block / length, True
            continue
        # The best direction of a cell without a neuron: the projection of its gradient onto the cone. If it just
        # pays for itself, other optima have a neuron there.
        pull = sign * (data.x.T @ (np.where(pattern, high, low) * solved.nu))
        cone = np.where(pattern, 1.0, -1.0)[:, None] * data.x
        best = pull + nnls(cone.T, -pull)[0] @ cone
        value = float(np.linalg.norm(best))
        if value >= data.weight_decay * (1 - 1e-9):
            units[i], tight[i] = best / value, True
    return _Program(solved, units, tight)


def _nearest(problem: Empirical, program: _Program, signs: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of all amounts >= 0 with the optimum's outputs those nearest to `size`, [q]."""
    blocks = np.linalg.norm(program.solved.blocks, axis=1)
    use = np.flatnonzero(program.tight)
    if not len(use):
        return blocks
    atoms = signs[use] * heights_of(problem, problem.x @ program.units[use].T)
    lengths = np.linalg.norm(atoms, axis=0)
    use, atoms, lengths = use[lengths > 0], atoms[:, lengths > 0], lengths[lengths > 0]  # what no row sees is no neuron
    if not len(use) or np.linalg.matrix_rank(atoms / lengths, tol=INDEPENDENT) == len(use):
        return blocks
    target = program.solved.output - program.solved.b0
    weight = 1e6 * max(float(np.max(size)), 1e-300) / max(float(np.linalg.norm(target)), 1e-300)
    rows = np.concatenate([weight * atoms, np.eye(len(use))])
    guess = nnls(rows, np.concatenate([weight * target, size[use]]))[0]
    for _ in range(len(use)):  # the outputs to the last bit, on the support
        some = np.flatnonzero(guess > 1e-10 * np.max(guess))
        fixed = np.zeros_like(guess)
        fixed[some] = guess[some] + shortest_solution(atoms[:, some], target - atoms[:, some] @ guess[some])
        guess = np.maximum(fixed, 0.0)
        if np.all(fixed >= 0):
            break
    out = np.zeros(len(size))
    out[use] = guess
    return out


def _across(problem: Empirical, there: Forward, patterns: np.ndarray, alive: np.ndarray) -> np.ndarray | None:
    """The patterns with the neurons that want to cross a tie on its other side; None if none does."""
    x, (low, high) = problem.x, sides_of(problem)
    beta = float(problem.weight_decay)
    norms, rows = np.linalg.norm(there.w, axis=1), np.linalg.norm(x, axis=1)
    out = patterns.copy()
    for j in np.flatnonzero(alive & (norms > ZERO * problem.scale)):
        tied = np.flatnonzero((np.abs(there.z[:, j]) <= TIE * rows * norms[j]) & (rows > 0))
        if not len(tied):
            continue
        active = (there.z[:, j] > 0) & ~np.isin(np.arange(len(x)), tied)
        g = beta * there.w[j] - there.a[j] * (x.T @ (np.where(active, high, low) * there.nu))
        jumps = -(high - low) * there.a[j] * there.nu[tied]
        merged = merged_ties(x[tied], jumps)
        down = -least_subgradient(g, *merged)
        if one_sided_slope(g, *merged, down) < 0:
            out[j, tied] = np.where(np.abs(x[tied] @ down) > 1e-12 * rows[tied] * np.linalg.norm(down),
                                    x[tied] @ down > 0, out[j, tied])  # fmt: skip
    return None if np.array_equal(out, patterns) else out
