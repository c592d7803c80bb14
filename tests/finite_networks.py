"""Networks on finite data that the tests of the convex room share, and what is known of a point by other routes."""

import numpy as np
import pytest

from landscape.problems.empirical import empirical
from landscape.records import Label
from landscape.theory.arrangement.phi import phi
from landscape.theory.convex.cell_finish import finish
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.labels import label
from landscape.theory.convex.least_loss import certified_optimum
from landscape.theory.convex.restricted_programs import restricted


def problem_of(record, width, **more):
    return empirical(record["X"], record["y"], width, weight_decay=record["beta"], **more)


def theta_of(problem, hidden, outer, b0=None):
    """theta of neurons, the rest of the width filled with zero neurons."""
    w, a = np.zeros((problem.width, problem.d)), np.zeros(problem.width)
    w[: len(outer)], a[: len(outer)] = hidden, outer
    return np.concatenate([w.reshape(-1), a, [] if b0 is None else [b0]])


def finished(problem, hidden, outer):
    """The exact stationary point at published weights of ten digits."""
    theta = theta_of(problem, hidden, outer)
    end = finish(problem, theta)
    assert end is not None
    assert np.linalg.norm(end - theta) < 1e-5
    return end


def around(problem, theta, tries=60, seed=0):
    """Least value of the convex programs on cells next to a point, less its loss: negative only off local minima."""
    here, rng = forward(problem, theta), np.random.default_rng(seed)
    norms = np.linalg.norm(here.w, axis=1)
    used = norms > 0
    tie = np.abs(here.z) <= 1e-9 * np.outer(np.linalg.norm(problem.x, axis=1), norms)
    lowest = np.inf
    for _ in range(tries):
        side = problem.x @ rng.normal(size=here.w.shape).T > 0
        pattern = np.where(tie, side, here.z > 0).T[used]
        found = restricted(problem.data, pattern, np.sign(here.a[used]))
        assert found.residual < 1e-10
        lowest = min(lowest, found.value - here.loss)
    return lowest


def perturbed(problem, theta, tries=2000, seed=1):
    """Largest decrease beyond rounding over random moves of all weights, or of one neuron, of 1e-4 to 1e-2 (of the
    typical weight) across no kink but those the point is on: basins can be narrow. Negative if none lowers it."""
    here, rng = forward(problem, theta), np.random.default_rng(seed)
    m, d = problem.width, problem.d
    rows, norms = np.linalg.norm(problem.x, axis=1), np.linalg.norm(here.w, axis=1)
    free = np.abs(here.z) > 1e-9 * np.outer(rows, norms)
    most_far = 0.5 * np.min((np.abs(here.z) / np.maximum(rows, 1e-300)[:, None])[free], initial=np.inf)
    most = -np.inf
    for k in range(tries):
        move = rng.normal(size=problem.p)
        if k % 2:
            one = np.zeros(problem.p)
            j = rng.integers(m)
            one[j * d : (j + 1) * d] = one[m * d + j] = 1.0
            move *= one
        size = np.sqrt(np.mean(theta**2)) * 10 ** rng.uniform(-4, -2)
        move *= min(size, most_far) / np.linalg.norm(move)
        there = forward(problem, theta + move)
        most = max(most, here.loss - there.loss - here.loss_error - there.loss_error)
    return most


def check(problem, theta, seed=0):
    """The verdict of a point, held against what is known of it by another route."""
    verdict = label(problem, theta)
    here = forward(problem, theta)
    best = certified_optimum(problem)
    at_optimum = here.loss - best.value <= 1e-9 * best.value
    if verdict.label == Label.GLOBAL and verdict.flavour is None:
        assert at_optimum
    elif verdict.label in (Label.SADDLE, Label.TRAP):
        assert not at_optimum
        assert verdict.escape is not None
        there = forward(problem, theta + verdict.escape)
        assert there.loss < here.loss - here.loss_error - there.loss_error
    elif verdict.label in (Label.GLOBAL, Label.SPURIOUS):
        assert not at_optimum
        assert around(problem, theta, 20, seed) > -1e-10 * here.loss  # programs are solved to 1e-13
        assert perturbed(problem, theta, 200, seed) < 0
    if verdict.label == Label.SADDLE:
        assert verdict.min_curvature == pytest.approx(problem.weight_decay - phi(problem.x, here.nu).value, rel=1e-9)
    return verdict


def degenerate(kind, rng):
    n, d = int(rng.integers(3, 9)), int(rng.integers(1, 4))
    base = rng.normal(size=((n + 1) // 2, d))
    x = {
        "random": rng.normal(size=(n, d)),
        "duplicate": base[rng.integers(0, len(base), n)],
        "antipodal": np.concatenate([base, -base])[:n],
        "one-hot": np.eye(d)[rng.integers(0, d, n)],
        "grid": rng.integers(-2, 3, (n, d)).astype(float),
    }[kind]
    y = rng.normal(size=n) if rng.random() < 0.6 else rng.integers(-2, 3, n).astype(float)
    return x, y
