"""The best sizes of subnetworks whose directions are kept: a convex problem."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from landscape.problems.parallel import Homogeneous, parts_at
from landscape.problems.problem import EPS
from landscape.theory.growth.polar import strength


def balanced(problem: Homogeneous, theta: np.ndarray, steps: int = 100) -> np.ndarray:
    """The subnetworks in the best sizes for their directions, [p].

    Minimises loss(sum t_j phi_j) + lambda sum t_j g_j over t >= 0: a convex problem, solved by Newton's method on the
    positive ones; the loss does not rise. It holds on to directions at kinks, where descents do not come to rest.
    """
    w = np.asarray(theta, np.float64).reshape(problem.width, -1)
    f, g = parts_at(problem, theta)
    atoms, y, lam = f.reshape(len(w), -1).T, problem.y.reshape(-1), strength(problem)

    def value(t: np.ndarray) -> float:
        out = atoms @ t
        paid = 0.5 * (out - y) ** 2 if problem.loss_name == "squared" else np.logaddexp(0.0, -y * out)
        return float(np.sum(paid) + lam * (g @ t))

    t = np.ones(len(w))
    now = value(t)
    for _ in range(steps):
        out = atoms @ t
        z = y - out if problem.loss_name == "squared" else y * expit(-y * out)
        curved = 1.0 if problem.loss_name == "squared" else (expit(out) * expit(-out))[:, None]
        slope = lam * g - atoms.T @ z
        free = (t > 0) | (slope < 0)
        if np.max(np.abs(slope[free]), initial=0.0) <= 64 * EPS * max(now, 1e-300):
            break
        part = atoms[:, free]
        move = np.zeros_like(t)
        move[free] = -np.linalg.lstsq(part.T @ (curved * part), slope[free], rcond=1e-13)[0]
        for size in 0.5 ** np.arange(40):
            there = np.maximum(t + size * move, 0.0)
            new = value(there)
            if new < now:
                t, now = there, new
                break
        else:
            break
    return (w * (t ** (1 / problem.net.degree))[:, None]).reshape(-1)
