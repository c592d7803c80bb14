"""Porcupine problems of all kinds, and their losses, Hessians and optima by other routes."""

import itertools

import jax
import numpy as np
from hypothesis import strategies as st
from scipy.optimize import nnls

from landscape.problems.porcupine import porcupine
from landscape.theory.porcupine.ends import finish
from landscape.theory.porcupine.masses import at_masses, masses
from landscape.theory.porcupine.regions import region

EPS = np.finfo(float).eps


SEEDS = st.integers(0, 2**32 - 1)


loss = jax.jit(lambda problem, theta: problem.loss(theta))


gradient = jax.jit(lambda problem, theta: problem.gradient(theta))


hessian = jax.jit(lambda problem, theta: problem.hessian(theta))


def value(problem, theta):
    return at_masses(problem, masses(problem, theta)).loss


def dense_hessian(problem, theta):
    """(u_j.u_l + sign sign psi_jl) / 4, in NumPy: no compilation for every shape."""
    u, even = problem.lines[problem.line_of], problem.psi[np.ix_(problem.line_of, problem.line_of)]
    return 0.25 * (u @ u.T + np.outer(np.sign(theta), np.sign(theta)) * even)  # where no coefficient is zero


def any_problem(rng, most=5):
    """Up to `most` lines in one to three dimensions, some of them axes or dependent, one to three neurons on each; the
    teacher lies on the lines, or anywhere."""
    d = int(rng.integers(1, 4))
    r = 1 if d == 1 else int(rng.integers(1, most + 1))
    lines = np.eye(d)[: min(r, d)] if rng.random() < 0.3 else rng.normal(size=(r, d))
    if d == 2 and r > 2 and rng.random() < 0.5:
        angles = np.pi * np.arange(r) / r
        lines = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    r, k = len(lines), int(rng.integers(1, 5))
    on_lines = rng.choice([-2.0, -1.0, -0.5, 0.5, 1.0, 2.0], size=(k, 1)) * lines[rng.integers(0, r, size=k)]
    teacher = rng.normal(size=(k, d)) if rng.random() < 0.4 else on_lines
    return porcupine(lines, rng.integers(1, 4, size=r), teacher)


def best_by_enumeration(problem):
    """The least loss over all signs of single neurons, by SciPy's nnls on a factor of the Gram matrix."""
    u, root = problem.lines, np.linalg.cholesky(problem.psi).T
    a = 0.5 * np.block([[u.T, -u.T], [root, root]])
    t = problem.off_sum + u.T @ problem.on_sum
    k = problem.off_even + problem.psi @ problem.on_mass
    y = 0.5 * np.r_[t, np.linalg.solve(root.T, k)]
    square = (
        problem.off_energy + 2 * problem.off_even @ problem.on_mass + problem.on_mass @ problem.psi @ problem.on_mass
    )
    rest = 0.5 * (0.25 * (t @ t + square) - y @ y)
    single = [j for j, count in enumerate(problem.neurons) if count == 1]
    best = np.inf
    for sides in itertools.product((0, 1), repeat=len(single)):
        allowed = np.ones((2, len(u)), bool)
        allowed[list(sides), single] = False
        best = min(best, 0.5 * nnls(a[:, allowed.ravel()], y)[1] ** 2 + rest)
    return best


def stationary_points(problem, rng):
    """Ends of descents, with and without neurons held at zero, and stationary points inside sign regions."""
    for _ in range(4):
        theta = rng.normal(size=problem.p) * rng.choice([0.1, 1.0, 3.0])
        yield finish(problem, np.where(rng.random(problem.p) < rng.choice([0.0, 0.3]), 0.0, theta))
    for _ in range(4):
        found = region(problem, rng.choice([-1.0, 1.0], size=problem.p)).theta
        if found is not None:
            yield found
