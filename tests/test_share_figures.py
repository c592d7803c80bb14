"""Shares by size of the teacher are drawn as counted, with their intervals and the published ones."""

from __future__ import annotations

import numpy as np
from drawn import (
    cell,
    error_bars,
    points_and_bars,
)
from matplotlib.collections import LineCollection

from landscape.census.statistics import wilson
from landscape.figures.shares import shares_by_teacher


def test_shares_are_percent_spurious_with_wilson_intervals_one_line_for_each_extra_width():
    cells = [cell(8, 8, spurious=126), cell(6, 6, spurious=3), cell(15, 16, spurious=102, saddle=3), cell(9, 11)]
    figure = shares_by_teacher(cells)
    bars = error_bars(figure)
    assert [bar.get_label() for bar in bars] == ["n = k", "n = k + 1", "n = k + 2"]
    points, ends = points_and_bars(bars[0])
    np.testing.assert_allclose(points, [(6, 0.3), (8, 12.6)])
    for end, count in zip(ends, (3, 126), strict=True):
        # Bars are lengths: y - (y - low) is low to rounding.
        np.testing.assert_allclose(end[:, 1], 100 * np.array(wilson(count, 1000)), atol=1e-12)
    np.testing.assert_allclose(points_and_bars(bars[1])[0], [(15, 10.2)])
    np.testing.assert_allclose(points_and_bars(bars[2])[0], [(9, 0.0)])
    low, high = figure.axes[0].get_ylim()
    assert low <= 0
    assert high >= 100
    assert "%" in figure.axes[0].get_ylabel()
    assert "k" in figure.axes[0].get_xlabel()


def test_published_points_are_hollow_and_where_they_were_published():
    figure = shares_by_teacher([cell(6, 6, spurious=3)], published={(6, 6): (0.4, 0.1, 0.9), (8, 9): (2, 1, 5)})
    hollow = [bar for bar in error_bars(figure) if bar.lines[0].get_markerfacecolor() == "none"]
    found = [points_and_bars(bar) for bar in hollow]
    np.testing.assert_allclose([points[0] for points, _ in found], [(6, 0.4), (8, 2)])
    np.testing.assert_allclose([ends[0][:, 1] for _, ends in found], [(0.1, 0.9), (1, 5)])


def test_undecided_restarts_show_how_far_the_share_could_reach_and_another_rule_is_a_cross():
    doubtful = cell(10, 10, spurious=100, undecided=50, unconverged=250)
    doubtful["paper_share"] = {"rule": "loss >= 0.001", "share": 0.2, "low": 0.18, "high": 0.22}
    figure = shares_by_teacher([doubtful])
    dotted = [c for c in figure.axes[0].collections if isinstance(c, LineCollection) and c.get_zorder() == 5]
    (segment,) = dotted[0].get_segments()
    np.testing.assert_allclose(segment[:, 1], [100 * wilson(100, 1000)[1], 40.0])
    (cross,) = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    np.testing.assert_allclose(np.column_stack(cross.get_data()), [(10, 20.0)])
