"""Descents on an own loss end alike in any units: the scale, the steepness and the step are read off its starts."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from slow import long, slow

from landscape import gallery
from landscape.descent import OPTIMISERS
from landscape.engine.settings import Settings
from landscape.host.explore import explore
from landscape.problems.from_loss import from_loss
from landscape.problems.units import Units, curvature_between, units
from landscape.studies.own_losses import Gallery

CASES = [(name, *both) for name in OPTIMISERS for both in ((1e-6, 1.0), (1e6, 1.0), (1.0, 1e-3), (1.0, 1e3))]
QUICK = [("gradient-descent", 1e6, 1.0), ("gradient-descent", 1.0, 1e-3), ("lbfgs", 1.0, 1e3)]


def tilted(p):
    """Two minima: the lower one near (-1, -1), the upper one near (1, 1)."""
    return (p[0] ** 2 - 1) ** 2 + 0.3 * p[0] + 0.1 * (p[1] - p[0]) ** 2


def scaled(loss_unit, unit):
    return from_loss(lambda p: loss_unit * tilted(p / unit), lambda key: unit * jax.random.normal(key, (2,)))


def cases():
    """A few are quick, every tenth of the others slow, the rest long."""
    rest = [case for case in CASES if case not in QUICK]
    return [slow(*case) if case in rest[::10] else long(*case) if case in rest else case for case in CASES]


@pytest.mark.parametrize(("optimiser", "loss_unit", "unit"), cases())
def test_descents_end_at_both_minima_whatever_the_units(optimiser, loss_unit, unit):
    census = explore(scaled(loss_unit, unit), 12, optimiser=optimiser, progress=False)
    labels = census.labels()
    assert labels["undecided"] + labels["spurious"] == 12  # the lower minimum is the best seen, no bound is known
    # Where both coordinates are equal and the derivative by the first, 4 x^3 - 4 x + 0.3, is zero.
    lower, _, upper = np.sort(np.roots([4.0, 0.0, -4.0, 0.3]).real)
    known = {float(tilted(np.array([x, x]))) for x in (lower, upper)}
    found = {level.loss / loss_unit for level in census.levels}
    assert len(found) == 2
    # RMSProp never settles: it jumps to and fro 2e-4 beside a minimum of curvature 0.2.
    assert sorted(found) == pytest.approx(sorted(known), rel=1e-6 if optimiser == "rmsprop" else 1e-9)


def test_ordinary_starts_leave_everything_as_it_was():
    draws = np.random.default_rng(0).normal(size=(8, 3))
    for curvature in (0.02, 1.0, 500.0):
        assert units(draws, curvature * draws, None) == Units()


def test_the_step_is_a_power_of_two_up_to_one_over_the_curvature():
    draws = np.random.default_rng(0).normal(size=(8, 3))
    for curvature in (1e-12, 3e-3, 3e3, 1e12):
        found = units(draws, curvature * draws, None)
        assert 0.5 < found.step_size * curvature <= 1.0
        assert np.log2(found.step_size) == round(np.log2(found.step_size))
        assert curvature_between(draws, curvature * draws) == pytest.approx(curvature)
        assert 0.3 < found.scale < 3.0  # the size of normal draws


def test_large_starts_are_a_scale_and_small_ones_are_not():
    draws = np.random.default_rng(0).normal(size=(8, 3))
    assert units(1e3 * draws, 1e3 * draws, None).scale == pytest.approx(1e3, rel=0.5)
    assert units(1e-4 * draws, 1e-4 * draws, None).scale == 1.0  # near a saddle at zero, say
    assert units(1e3 * draws, 1e3 * draws, 7.0).scale == 7.0  # the user's own goes first


@pytest.mark.parametrize("slopes", [0.0, np.nan, np.inf])
def test_equal_starts_and_gradients_that_say_nothing_are_ordinary(slopes):
    draws = np.random.default_rng(0).normal(size=(8, 3))
    assert units(draws, np.full((8, 3), slopes), None) == Units()
    assert units(np.ones((8, 3)), np.ones((8, 3)), None) == Units()


def test_a_given_step_goes_first_and_a_step_of_adam_is_a_length():
    steep = scaled(1e6, 1.0)
    assert Settings.of(steep).step_size == steep.step_size < 1e-5
    assert Settings.of(steep, step_size=0.25).step_size == 0.25
    assert Settings.of(steep, optimiser="adam").step_size == pytest.approx(0.1 * steep.scale)
    assert Settings.of(scaled(1.0, 1e3), optimiser="rmsprop").step_size == pytest.approx(100.0, rel=0.5)
    assert Settings.of(gallery.problem("himmelblau"), optimiser="adam").step_size == pytest.approx(0.1)


@pytest.mark.parametrize("optimiser", ["gradient-descent", "adam"])
def test_the_command_and_python_take_the_same_step(optimiser):
    for name in ("himmelblau", "rosenbrock"):
        by_command = Gallery(loss=name, optimiser=optimiser).plan().settings.step_size
        assert by_command == Settings.of(gallery.problem(name), optimiser=optimiser).step_size


def test_the_header_names_the_step_that_was_taken():
    census = explore(scaled(1e6, 1.0), 2, progress=False)
    assert f"gradient descent, step {scaled(1e6, 1.0).step_size:g}" in str(census)


def test_where_some_starts_stand_beside_a_pole_tolerances_are_none_the_coarser():
    draws, slopes = np.random.default_rng(0).normal(size=(2, 8, 3))
    slopes /= np.linalg.norm(slopes, axis=1, keepdims=True)
    steep = 10.0 ** np.array([1, 1, 2, 3, 4, 4, 5, 30])[:, None]
    assert units(draws, steep * slopes, None).steepness == 1.0
    least = 1e4 * np.ones((8, 1))  # all are steep: the loss is in another unit
    assert units(draws, least * slopes, None).steepness == pytest.approx(1e4 / units(draws, least * slopes, None).scale)
