"""Spectra are those of the points of the census, level by level."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from drawn import (
    NORMALISATION,
    PROBLEM,
    synthetic,
    texts,
)
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from landscape.census.census import Census
from landscape.census.spectra import level_spectra
from landscape.figures.spectra import multiplicities, spectra
from landscape.figures.style import NEGATIVE
from landscape.host.explore import explore
from landscape.polish import evaluate
from landscape.problems.from_loss import from_loss


@pytest.fixture(scope="module")
def real() -> Census:
    """A real run: three teacher neurons, where every restart ends at the global minimum."""
    return explore(PROBLEM, 12, 0, progress=False)


def test_the_spectrum_at_the_teacher_is_drawn_with_its_multiplicities(real):
    figure = spectra(real, level_spectra(real, PROBLEM))
    ax = figure.axes[0]
    assert "eigenvalue of the Hessian of F" in ax.get_xlabel()
    assert NORMALISATION in ax.get_xlabel()
    (row,) = level_spectra(real, PROBLEM)
    teacher = np.linalg.eigvalsh(evaluate(PROBLEM, np.eye(3).reshape(-1))[1])
    np.testing.assert_allclose(row.eigenvalues, teacher, atol=1e-8)  # polished to 1e-12, curvature above 0.09
    sticks = multiplicities(row.eigenvalues)
    assert sum(m for _, m in sticks) == PROBLEM.p
    drawn = [s for c in ax.collections if isinstance(c, LineCollection) for s in c.get_segments()]
    np.testing.assert_allclose([segment[0, 0] for segment in drawn], [value for value, _ in sticks])
    height = np.array([segment[1, 1] - segment[0, 1] for segment in drawn])
    number = np.array([m for _, m in sticks])
    np.testing.assert_allclose(height / np.max(height), np.log1p(number) / np.log1p(np.max(number)))
    assert {int(text) for text in texts(figure) if text.isdigit()} <= set(number.tolist())


def two_wells() -> tuple[Any, Census]:
    """A user's loss with minima at a = 1 and -1, a saddle at 0, and a flat direction; its census by hand."""
    problem = from_loss(
        lambda t: 0.25 * (t["a"] ** 2 - 1) ** 2 + 0.5 * jnp.sum(t["b"] ** 2),
        lambda key: {"a": jnp.zeros(()), "b": jnp.zeros(3), "free": jnp.zeros(())},
        lower_bound=0.0,
    )
    census = synthetic([("global", 0.0, 2), ("saddle", 0.25, 1)])
    weights = {0: np.array([1.0, 0, 0, 0, 0]), 2: np.zeros(5)}
    return problem, replace(census, weights=weights)


def test_negative_eigenvalues_are_coloured_and_zero_is_marked():
    problem, census = two_wells()
    rows = level_spectra(census, problem)
    assert [(row.level.label, row.restart) for row in rows] == [("global", 0), ("saddle", 2)]
    np.testing.assert_allclose(rows[0].eigenvalues, [0, 1, 1, 1, 2], atol=1e-14)
    np.testing.assert_allclose(rows[1].eigenvalues, [-1, 0, 1, 1, 1], atol=1e-14)
    figure = spectra(census, level_spectra(census, problem))
    ax = figure.axes[0]
    coloured = [c for c in ax.collections if to_hex(c.get_color()[0]).upper() == NEGATIVE.upper()]
    assert [float(segment[0, 0]) for c in coloured for segment in c.get_segments()] == [-1.0]
    assert any(line.get_xdata()[0] == line.get_xdata()[1] == 0.0 for line in ax.lines if len(line.get_xdata()) == 2)
    assert [text.get_text().splitlines()[0] for text in ax.get_yticklabels()] == ["global", "saddle"]
    assert any("magenta" in text for text in texts(figure))


def test_each_row_of_spectra_is_a_point_of_its_own_level():
    problem, census = two_wells()
    census = replace(census, weights={2: np.zeros(5), 1: np.array([-1.0, 0, 0, 0, 0])})
    for row in level_spectra(census, problem):
        i = int(np.flatnonzero(census.rows["restart"] == row.restart)[0])
        assert census.rows["label"][i] == row.level.label
        assert census.rows["loss"][i] == row.level.loss
    assert len(level_spectra(census, problem, most=1)) == 1


def test_a_hessian_that_is_not_finite_leaves_an_empty_row():
    problem, census = two_wells()
    census = replace(census, weights={0: np.full(5, np.nan), 2: np.zeros(5)})
    figure = spectra(census, level_spectra(census, problem))
    figure.draw_without_rendering()
    assert "the Hessian is not finite here" in texts(figure)


def test_eigenvalues_group_by_gaps():
    values = np.array([-1.0, 0.1, 0.1 + 1e-9, 0.1 + 2e-9, 0.2, 5.0])
    assert [m for _, m in multiplicities(values)] == [1, 3, 1, 1]
    assert multiplicities(np.zeros(0)) == []
    assert multiplicities(np.zeros(4)) == [(0.0, 4)]
