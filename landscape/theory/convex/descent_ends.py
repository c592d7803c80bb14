"""Ends of descents on finite data that are near one, and the key of an isolated end."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.problems.empirical import Empirical
from landscape.records import Label
from landscape.theory.convex.cell_finish import finish
from landscape.theory.convex.forward_pass import TIE, ZERO, Forward, forward, heights_of, independent, sides_of
from landscape.theory.convex.labels import label
from landscape.theory.convex.slopes import slopes
from landscape.theory.room import End, NotYet

DYING = 0.03  # a neuron that dwindles moves the others no more once it is below this, times the scale
NEAR = 0.01  # an end is at most this, times the scale, and the descent's jumps over ties away from where it stands
JUMPS = 0.3  # a descent that jumps to and fro about an end is at most this, times the scale, away from it


def key(problem: Empirical, theta: np.ndarray) -> bytes:
    """The key of an isolated minimum, the same for its permutations: signs, sides and ties of its neurons, sorted."""
    here = forward(problem, theta)
    norms, rows = np.linalg.norm(here.w, axis=1), np.linalg.norm(problem.x, axis=1)
    tie = np.abs(here.z) <= TIE * np.outer(rows, norms)
    sides = np.where(tie, 0, np.where(here.z > 0, 1, -1)).astype(np.int8).T
    return b"".join(
        sorted(bytes([int(s) % 256]) + side.tobytes() for s, side in zip(np.sign(here.a), sides, strict=True))
    )


def ends(problem: Empirical, thetas: np.ndarray, programs: dict[bytes, Any], steps: np.ndarray) -> list[End | NotYet]:
    """The ends, with labels, of descents that stand at these points, as far as they are near an end.

    Args:
        problem: The landscape.
        thetas: Where they stand, [n, p].
        programs: Programs solved before, by their cells; those solved now are added.
        steps: Step sizes of the descents, [n]: one that jumps to and fro over a tie stays within its jump of it.
    """
    return [_end(problem, theta, programs, float(step)) for theta, step in zip(thetas, steps, strict=True)]


def _end(problem: Empirical, theta: np.ndarray, programs: dict[bytes, Any], step: float) -> End | NotYet:
    theta = np.asarray(theta, np.float64)
    end = finish(problem, theta, programs)
    if end is None:
        return NotYet(False)
    here, then = forward(problem, theta), forward(problem, end)
    zero = _dies(problem, here, then)
    if zero is None:
        return NotYet(False)
    ties = slopes(problem, then).ties
    jump = np.abs(then.a * then.nu[:, None]) * np.linalg.norm(problem.x, axis=1)[:, None]
    moved = np.concatenate([(then.w - here.w)[~zero].reshape(-1), (then.a - here.a)[~zero], [then.b0 - here.b0]])
    distance = float(np.linalg.norm(moved))
    near, jumps = NEAR * problem.scale, 2 * step * float(np.linalg.norm(jump[ties]))
    if distance > min(near + jumps, JUMPS * problem.scale):
        return NotYet(jumps > near and distance < JUMPS * problem.scale)
    claim = label(problem, end)
    alone = claim.label in (Label.GLOBAL, Label.SPURIOUS) and independent(problem, then) is True
    return End(end, claim, False, key(problem, end) if alone else None)


def _dies(problem: Empirical, here: Forward, then: Forward) -> np.ndarray | None:
    """The neurons that are zero at the end, [m]; None if one of them is large still, or will grow again.

    A small neuron turns up the slope of sign a nu'relu(X u) on the sphere, by the residual of the end, and dwindles as
    long as that is below beta.
    """
    zero = (np.linalg.norm(then.w, axis=1) == 0) & (then.a == 0)
    size = np.maximum(np.linalg.norm(here.w, axis=1), np.abs(here.a))
    for j in np.flatnonzero(zero & (size > ZERO * problem.scale)):
        if size[j] > DYING * problem.scale:
            return None
        if _climb(problem, np.sign(here.a[j]) * then.nu, here.w[j]) >= float(problem.weight_decay) * (1 - 1e-6):
            return None
    return zero


def _climb(problem: Empirical, nu: np.ndarray, u: np.ndarray) -> float:
    """The height nu's(X u) that a climb on the unit sphere from u comes to, in steps that shrink to a thousandth."""
    length = float(np.linalg.norm(u))
    if length == 0:
        return 0.0
    x, (low, high) = problem.x, sides_of(problem)
    u = u / length
    size = float(np.abs(nu) @ np.linalg.norm(x, axis=1))
    best = -np.inf
    for step in np.geomspace(0.1, 1e-4, 400):
        z = x @ u
        best = max(best, float(nu @ heights_of(problem, z))) if step < 1e-3 else best
        g = x.T @ (np.where(z > 0, high, low) * nu)
        g = g - (g @ u) * u
        u = u + step * g / max(size, 1e-300)
        u = u / np.linalg.norm(u)
    return best
