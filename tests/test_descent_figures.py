"""Sampled descents are those of the run, and none is coloured with a label that is not its own."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from drawn import (
    NORMALISATION,
    PROBLEM,
    texts,
)
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from landscape.census.census import Census
from landscape.engine.settings import Settings
from landscape.figures.descents import draw_curves
from landscape.figures.style import UNKNOWN, save
from landscape.host.explore import explore
from landscape.palette import COLOURS
from landscape.problems.from_loss import from_loss
from landscape.problems.restart import start_points
from landscape.studies.census_figures import descent_curves
from landscape.trajectory import Curves, sample_curves


@pytest.fixture(scope="module")
def real() -> Census:
    """A real run: three teacher neurons, where every restart ends at the global minimum."""
    return explore(PROBLEM, 12, 0, progress=False)


@pytest.mark.slow
def test_sampled_curves_are_those_of_gradient_descent_step_by_step():
    theta = start = start_points(PROBLEM, 0, np.array([2]))[0]
    curves = sample_curves(PROBLEM, Settings(), 0, restarts=3, steps=100)
    assert curves.steps.tolist() == [0, 24, 48, 72, 96]
    assert curves.loss.shape == curves.grad_norm.shape == (5, 3)
    value_and_gradient = jax.jit(lambda problem, theta: (problem.loss(theta), problem.gradient(theta)))
    for step in range(101):
        loss, gradient = value_and_gradient(PROBLEM, theta)
        if step % 24 == 0:
            # Two compiled programs differ by rounding; the loss is of order one.
            np.testing.assert_allclose(curves.loss[step // 24, 2], loss, atol=1e-12)
            np.testing.assert_allclose(curves.grad_norm[step // 24, 2], np.linalg.norm(gradient), atol=1e-12)
        theta = theta - 0.1 * np.asarray(gradient)
    given_starts = sample_curves(PROBLEM, Settings(), 9, 1, 100, starts=start[None])
    np.testing.assert_allclose(given_starts.loss[:, 0], curves.loss[:, 2], atol=1e-12)


def test_curves_do_not_depend_on_which_others_are_sampled():
    few = sample_curves(PROBLEM, Settings(), 0, np.array([4]), 100)
    many = sample_curves(PROBLEM, Settings(), 0, np.array([1, 4, 7]), 100)
    np.testing.assert_allclose(few.loss[:, 0], many.loss[:, 1], rtol=1e-12)


def test_descents_are_drawn_as_sampled_down_to_the_rounding_floor(real):
    curves = sample_curves(PROBLEM, Settings(), 0, real.rows["restart"], 2000)
    figure = draw_curves(curves, PROBLEM, real)
    left, right = figure.axes
    assert NORMALISATION in left.get_ylabel().replace("\n", " ")
    assert "gradient" in right.get_ylabel()
    assert left.get_yscale() == right.get_yscale() == "log"
    for ax, data in ((left, np.maximum(curves.loss, curves.floor)), (right, curves.grad_norm)):
        (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
        assert to_hex(lines.get_color()[0]).upper() == COLOURS["global"].upper()
        drawn = np.array(lines.get_segments())
        np.testing.assert_array_equal(drawn[:, :, 0], np.tile(curves.steps, (12, 1)))
        np.testing.assert_array_equal(drawn[:, :, 1], data.T)
    assert np.min(curves.loss) < curves.floor  # so that the band is needed
    assert "rounding" in texts(figure)


def test_labels_are_withheld_from_descents_that_are_not_those_of_the_census(real):
    wrong = replace(
        real, rows={**real.rows, "loss": real.rows["loss"] + 0.02, "label": np.full(12, "spurious", object)}
    )
    figure = descent_curves(PROBLEM, Settings(), 0, 12, 1500, census=wrong)
    colours = {to_hex(c.get_color()[0]).upper() for c in figure.axes[1].collections if isinstance(c, LineCollection)}
    assert colours == {UNKNOWN.upper()}
    assert any("labels not shown" in text for text in texts(figure))


def test_a_diverging_descent_costs_only_its_own_curve():
    loss = np.array([[1.0, 1.0], [0.1, 1e200], [0.01, np.inf], [0.001, np.nan]])
    curves = Curves(np.arange(4), np.arange(2), loss, loss, 1e-12)
    figure = draw_curves(curves, PROBLEM)
    figure.draw_without_rendering()
    assert figure.axes[0].get_ylim()[1] < 1e5
    diverged = sample_curves(PROBLEM, Settings(step_size=1e4), 0, 2, 50)
    draw_curves(diverged, PROBLEM).draw_without_rendering()


def test_thousands_of_descents_are_drawn_as_median_and_quantiles(tmp_path):
    rng = np.random.default_rng(0)
    loss = np.exp(-np.arange(201)[:, None] * rng.uniform(0.01, 0.1, 5000))
    curves = Curves(25 * np.arange(201), np.arange(5000), loss, loss, 1e-12)
    figure = draw_curves(curves, PROBLEM)
    (median,) = figure.axes[0].lines
    np.testing.assert_allclose(median.get_ydata(), np.median(loss, axis=1))
    assert save(figure, tmp_path / "x.png").stat().st_size < 300_000


def test_losses_without_a_bound_are_drawn_above_the_least_of_them_where_some_are_negative():
    problem = from_loss(lambda t: jnp.sum(jnp.cos(t)), lambda key: jnp.ones(2))
    curves = sample_curves(problem, Settings(), 0, 2, 100)
    figure = draw_curves(curves, problem)
    assert "least loss of the sample" in figure.axes[0].get_ylabel().replace("\n", " ")
    figure.draw_without_rendering()
