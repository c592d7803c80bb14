"""Dynamic string sampling finds paths below the straight line, none below a known barrier, and says where it fails."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape import gallery
from landscape.paths.sampling import LEVELS, sampled
from landscape.paths.strings import height, lines
from landscape.theory.spurious_valleys.published import valley


def _line(problem, first, second):
    return np.array([height(problem, path).high for path in lines(first, second)])


def test_paths_over_mueller_and_brown_s_surface_come_down_to_its_saddles():
    problem = gallery.problem("mueller-brown")
    deep, middle, right = [-0.5582236, 1.4417258], [-0.0500108, 0.4666941], [0.6234994, 0.0280378]
    first, second = np.array([deep, deep]), np.array([middle, right])
    high = _line(problem, first, second)
    found = sampled(problem, first, second, high)
    for path, line, ends in zip(found, high, zip(first, second, strict=True), strict=True):
        assert path is not None
        np.testing.assert_array_equal(path[[0, -1]], ends)
        top = height(problem, path).high
        # The last level tried is 2^-8 of the line's height above the ends; looks are 1/16 of a side apart.
        assert -0.4066484351 - 1e-3 <= top <= -0.4066484351 + 1e-2
        assert top < line - 0.4


def test_the_certified_valley_is_left_no_lower_than_its_wall_and_nearly_so_low():
    found = valley()
    first, second = found.bottom[None], found.way[-1:]
    line = _line(found.problem, first, second)
    (path,) = sampled(found.problem, first, second, line)
    assert path is not None
    # Of what the straight line rises 2^-LEVELS is left open; the bound between looks adds no more than that again.
    left_open = (line[0] - 4.5) * 2.0**-LEVELS
    assert 31 / 6 - 1e-9 <= height(found.problem, path).high <= 31 / 6 + 2 * left_open
    assert left_open < 0.01


def test_where_the_straight_line_is_the_lowest_path_none_is_found():
    problem = ls.from_loss(lambda w: (w[0] ** 2 - 1) ** 2 + w[1] ** 2, lambda key: jax.random.normal(key, (2,)), 0.0)
    left, right = np.array([[-1.0, 0.0]]), np.array([[1.0, 0.0]])
    assert sampled(problem, left, right, np.array([1.0])) == [None]
    assert sampled(problem, left, right, np.array([0.0])) == [None]
    assert sampled(problem, left, right, np.array([np.inf])) == [None]
    (path,) = sampled(problem, left, right, np.array([1.5]))
    assert path is not None
    assert height(problem, path).high == pytest.approx(1.0, abs=1e-9)


def test_a_loss_that_is_nowhere_finite_between_its_ends_has_no_path():
    problem = ls.from_loss(lambda w: jnp.where(jnp.abs(w[0]) < 0.5, jnp.nan, w[1] ** 2), lambda key: jnp.ones(2), 0.0)
    assert sampled(problem, np.array([[-1.0, 0.0]]), np.array([[1.0, 0.0]]), np.array([3.0])) == [None]
