"""Where descents end: near, labelled, and known by a key that permutations share."""

import numpy as np
from finite_data import A
from finite_networks import finished, problem_of

from landscape.records import Label
from landscape.theory.convex import descent_ends
from landscape.theory.room import NotYet


def test_ends_are_near_and_are_labelled():
    problem = problem_of(A, 4)
    rng = np.random.default_rng(3)
    point = A["stationary_points"][1]
    theta = finished(problem, point["W"], point["a"])
    step = np.array([problem.step_size()])
    near = theta + 1e-4 * rng.normal(size=problem.p)
    (end,) = descent_ends.ends(problem, near[None], {}, step)
    assert isinstance(end, descent_ends.End)
    assert np.linalg.norm(end.theta - theta) < 1e-6
    assert (end.claim.label, end.claim.flavour) == (Label.SPURIOUS, "strict")
    assert end.orbit == descent_ends.key(problem, theta)
    order = [2, 0, 3, 1]
    mixed = np.concatenate([theta[:8].reshape(4, 2)[order].reshape(-1), theta[8:][order]])
    assert descent_ends.key(problem, mixed) == end.orbit


def test_ends_never_take_a_descent_that_is_far_from_its_end():
    problem = problem_of(A, 6)
    rng = np.random.default_rng(4)
    starts = problem.scale * rng.normal(size=(20, problem.p))
    for step in (problem.step_size(), 1.0, 1e6):  # a long step jumps far over ties, and is no leave to be far away
        found = descent_ends.ends(problem, starts, {}, np.full(20, step))
        for start, end in zip(starts, found, strict=True):
            if isinstance(end, descent_ends.End):
                assert np.linalg.norm(end.theta - start) <= descent_ends.JUMPS * problem.scale
    assert all(isinstance(end, NotYet) for end in descent_ends.ends(problem, starts, {}, np.zeros(20)))
