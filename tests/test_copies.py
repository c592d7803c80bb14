"""Copies of minima under a small symmetry: how many there are, which paths join them, and what keeps them apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

import landscape as ls
from landscape.theory.from_below import from_below
from landscape.theory.nearby import losses
from landscape.topology.copies import Joined, elements, graph_of_copies, images
from landscape.topology.graph import Minimum, Wall, components, with_global


@pytest.mark.parametrize("k", [2, 3])
def test_copies_have_the_same_loss_and_are_as_many_as_orders_of_the_neurons(k):
    """The teacher's neurons in any order: a permutation of inputs does what one of neurons does."""
    problem = ls.orthonormal_teacher(k)
    theta = np.eye(k).reshape(-1)
    found = images(problem.symmetry, theta)
    assert len(found) == math.factorial(k) ** 2
    assert len(np.unique(np.round(found, 9), axis=0)) == math.factorial(k)
    away = np.random.default_rng(0).normal(size=problem.p)
    values = losses(problem, images(problem.symmetry, away))
    np.testing.assert_allclose(values, values[0], rtol=1e-13)
    assert len(np.unique(np.round(images(problem.symmetry, away), 9), axis=0)) == math.factorial(k) ** 2


def test_copies_of_the_global_minimum_are_apart_until_a_path_joins_them():
    problem = ls.orthonormal_teacher(2)
    theta = np.eye(2).reshape(-1)
    minima = [Minimum(0, 0.0, "global", 1.0)]
    walls = [Wall(*one) for one in from_below(problem, np.zeros(1), theta[None])]
    assert walls[0].low > 0
    apart = graph_of_copies(problem.symmetry, minima, theta[None], walls=walls)
    assert apart.copies
    assert components(apart, 0.0) == (2, 2)
    assert components(apart, 1.0) == (1, 2)
    swapped = np.eye(2)[::-1].reshape(-1)
    joined = graph_of_copies(problem.symmetry, minima, theta[None], [Joined(theta, swapped, 0.3, "way")], walls)
    assert len(joined.ways) == 1
    assert joined.barrier(0, 1)[:2] == (walls[0].low, 0.3)
    assert components(joined, 0.3) == (1, 1)


def test_one_path_joins_every_pair_of_copies_that_the_group_moves_it_to():
    problem = ls.orthonormal_teacher(3)
    theta = np.eye(3).reshape(-1)
    swapped = np.eye(3)[[1, 0, 2]].reshape(-1)
    found = graph_of_copies(
        problem.symmetry, [Minimum(0, 0.0, "global", 1.0)], theta[None], [Joined(theta, swapped, 0.4, "way")]
    )
    assert len(found.minima) == 6
    assert len(found.ways) == 9  # transpositions of three: each of six copies has three neighbours
    assert components(found, 0.4) == (1, 1)
    assert all(with_global(found, i) for i in range(6))


def test_groups_that_are_not_finite_or_too_large_are_refused():
    with pytest.raises(ls.InputError, match="rotations leave the loss unchanged"):
        list(elements(ls.teacher_student(np.eye(3)[:1], 2).symmetry))
    with pytest.raises(ls.InputError, match="at most 20000 candidates"):
        list(elements(ls.orthonormal_teacher(6).symmetry))
    problem = ls.orthonormal_teacher(2)
    theta = np.eye(2).reshape(-1)
    with pytest.raises(ls.InputError, match="away from the nearest copy"):
        graph_of_copies(
            problem.symmetry, [Minimum(0, 0.0, "global", 1.0)], theta[None], [Joined(theta, 2 * theta, 1, "x")]
        )
