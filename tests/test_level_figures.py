"""Levels are drawn at their share and loss, and their names never overlap."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import (
    CENSUSES,
    DECADES,
    FEW,
    MANY,
    PROBLEM,
    SINGLE,
    error_bars,
    named,
    overlaps,
    points_and_bars,
    synthetic,
    texts,
)
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from landscape.census.census import Census
from landscape.figures.levels import NAMED_LEVELS, loss_levels, moved_apart
from landscape.host.explore import explore
from landscape.palette import COLOURS


@pytest.fixture(scope="module")
def real() -> Census:
    """A real run: three teacher neurons, where every restart ends at the global minimum."""
    return explore(PROBLEM, 12, 0, progress=False)


@pytest.mark.parametrize("name", ["single", "few", "decades", "many"])
def test_every_level_is_drawn_at_its_share_and_loss_in_its_colour(name):
    census = CENSUSES[name]
    figure = loss_levels(census)
    seen = {}
    for bar in error_bars(figure):
        label = bar.get_label()
        assert to_hex(bar.lines[0].get_color()).upper() == COLOURS[label].upper()
        for (share, loss), ends in zip(*points_and_bars(bar), strict=True):
            seen[label, loss] = (share, *ends[:, 0])
    finite = [level for level in census.levels if np.isfinite(level.loss)]
    assert len(seen) == len(finite)
    for level in finite:
        expected = 100 * np.array([level.share, level.share_low, level.share_high])
        np.testing.assert_allclose(seen[level.label, level.loss], expected, atol=1e-12)
    low, high = figure.axes[0].get_ylim()
    assert all(low < level.loss < high for level in finite)


def test_a_real_run_is_drawn_with_the_numbers_of_its_census(real):
    (bar,) = error_bars(loss_levels(real))
    assert bar.get_label() == "global"
    points, _ = points_and_bars(bar)
    np.testing.assert_array_equal(points, [(100 * real.levels[0].share, real.levels[0].loss)])


def test_a_loss_within_rounding_of_zero_is_at_zero_and_called_so():
    for census in (SINGLE, FEW, DECADES):
        figure = loss_levels(census)
        ax = figure.axes[0]
        height = ax.transAxes.inverted().transform(ax.transData.transform([(0, census.levels[0].loss), (0, 0.0)]))[:, 1]
        assert abs(height[0] - height[1]) < 1e-6  # far below a pixel
        assert any("0 to rounding" in text.get_text() for text in named(figure))


def test_the_axis_is_logarithmic_only_where_losses_span_decades():
    assert loss_levels(FEW).axes[0].get_yscale() == "linear"
    assert loss_levels(DECADES).axes[0].get_yscale() == "symlog"
    positive = synthetic([("spurious", 1e-4, 3), ("spurious", 2.0, 3)], lower_bound=None)
    assert loss_levels(positive).axes[0].get_yscale() == "log"
    negative = synthetic([("undecided", -50.0, 3), ("undecided", 2.0, 3), ("undecided", 1e-3, 1)], lower_bound=None)
    loss_levels(negative).draw_without_rendering()


def test_all_of_a_few_levels_and_the_most_frequent_of_many_are_named_without_overlap():
    for census, count in ((FEW, 4), (DECADES, 5), (MANY, NAMED_LEVELS)):
        figure = loss_levels(census)
        assert len(named(figure)) == count
        assert not overlaps(named(figure), figure)
    assert any("12 most frequent of 101 levels" in text for text in texts(loss_levels(MANY)))
    assert any("spurious, 0.02, 2 orbits" in text for text in texts(loss_levels(FEW)))


def test_restarts_that_are_not_stationary_are_hollow_and_those_without_a_loss_are_counted():
    figure = loss_levels(DECADES)
    face = {bar.get_label(): bar.lines[0].get_markerfacecolor() for bar in error_bars(figure)}
    assert face["unconverged"] == "white"
    assert face["global"] == COLOURS["global"]
    assert any("1 restart without a finite loss not drawn" in text for text in texts(figure))
    assert any("unconverged, from 0.1" in text for text in texts(figure))


@given(st.lists(st.floats(-1.0, 2.0), max_size=30), st.floats(1e-3, 0.2))
def test_names_are_moved_apart_inside_the_axes_in_their_order(wanted, step):
    wanted = np.sort(np.array(wanted, float))
    placed = moved_apart(wanted, step)
    step = min(step, 1 / max(1, len(wanted) - 1))
    assert np.all(np.diff(placed) > step - 1e-9)
    assert np.all((placed > -1e-9) & (placed < 1 + 1e-9))
    inside = len(wanted) == 0 or (wanted[0] >= 0 and wanted[-1] <= 1 and np.all(np.diff(wanted) >= step))
    if inside:
        np.testing.assert_allclose(placed, wanted, atol=1e-9)
