"""Figures show the census and nothing else.

Held here: what the artists hold is what the census holds; every loss axis names its normalisation; runs with no, one
or thousands of restarts draw; names never overlap; a descent is never coloured with a label that is not its own.
"""

from __future__ import annotations

import ast
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from landscape.census.census import Census
from landscape.census.levels import Level
from landscape.census.statistics import wilson
from landscape.host import plots
from landscape.host.explore import explore
from landscape.host.lanes import Settings
from landscape.polish import evaluate
from landscape.problems.population import orthonormal_teacher
from landscape.problems.problem import from_loss
from landscape.records import Label
from landscape.restart import start_points

NORMALISATION = "1/2 E (student - teacher)^2, x ~ N(0, I)"
PROBLEM = orthonormal_teacher(3)


@pytest.fixture(scope="module")
def real() -> Census:
    """A real run: three teacher neurons, where every restart ends at the global minimum."""
    return explore(PROBLEM, 12, 0, progress=False)


def synthetic(groups: list[tuple[str, float, int]], restarts: int | None = None, **changes: Any) -> Census:
    """A census of these (label, loss, number of restarts), a level each."""
    total = sum(count for _, _, count in groups)
    spread = [(label, loss) for label, loss, count in groups for _ in range(count)]
    rows = {
        "restart": np.arange(total),
        "loss": np.array([loss for _, loss in spread], float),
        "loss_error": np.full(total, 1e-12),
        "label": np.array([label for label, _ in spread], object),
        "flavour": np.full(total, None, object),
        "steps": np.full(total, 500),
    }
    levels = []
    for label, loss, count in sorted(groups, key=lambda g: (not np.isfinite(g[1]), g[1])):
        low, high = wilson(count, total)
        levels.append(
            Level(
                loss=loss,
                label=label,
                flavour=None,
                evidence=None,
                by=None,
                count=count,
                share=count / total,
                share_low=low,
                share_high=high,
                orbits=2 if label == "spurious" else None,
                min_curvature=np.nan,
                grad_norm=0.0,
            )
        )
    made = Census(
        study="synthetic",
        problem={"kind": "teacher_student", "teacher": 3, "width": 3, "normalisation": NORMALISATION},
        restarts=total if restarts is None else restarts,
        seed=5,
        rows=rows if total else {"restart": np.zeros(0, np.int64)},
        weights={},
        levels=levels,
        lower_bound={"value": 0.0, "by": "a mean of squares"},
        unseen=(0.0, 0.0),
        seconds={},
        environment={},
    )
    return replace(made, **changes)


EMPTY = synthetic([], restarts=10)
SINGLE = synthetic([("global", -2e-16, 1)])
FEW = synthetic([("global", -2e-16, 7), ("spurious", 0.02, 2), ("spurious", 0.03, 1), ("saddle", 0.041, 1)])
DECADES = synthetic(
    [
        ("global", 3e-16, 90),
        ("spurious", 2e-5, 20),
        ("trap", 0.3, 4),
        ("undecided", 4.0, 3),
        ("unconverged", 0.1, 2),
        ("at_infinity", float("inf"), 1),
    ]
)
MANY = synthetic([("global", 0.0, 900), *(("spurious", 0.01 + 0.001 * i, 1 + 60 // (i + 1)) for i in range(100))])
CENSUSES = {"empty": EMPTY, "single": SINGLE, "few": FEW, "decades": DECADES, "many": MANY}


def cell(teacher: int, width: int, finished: int = 1000, **labels: int) -> dict[str, Any]:
    """A cell of a table, as `Table.cell_dicts` has it: restarts that are not named are global."""
    counts = {str(label): labels.get(str(label), 0) for label in Label}
    counts["global"] = finished - sum(counts.values())
    return {"teacher": teacher, "width": width, "restarts": finished, "labels": counts, "paper_share": None}


def error_bars(figure: Figure) -> list[ErrorbarContainer]:
    return [c for c in figure.axes[0].containers if isinstance(c, ErrorbarContainer)]


def points_and_bars(bar: ErrorbarContainer) -> tuple[np.ndarray, np.ndarray]:
    """Points [l, 2] and the ends of their bars [l, 2, 2] of an errorbar artist."""
    line, _, bars = bar.lines
    return np.column_stack(line.get_data()), np.array(bars[0].get_segments())


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for ax in figure.axes for text in ax.texts]


def named(figure: Figure) -> list[Any]:
    """The names of the levels: the texts at the right edge of a figure of loss levels."""
    return [text for text in figure.axes[0].texts if text.get_position()[0] > 1.0]


def overlaps(artists: list[Any], figure: Figure) -> list[tuple[str, str]]:
    figure.draw_without_rendering()
    boxes = [(artist.get_text(), artist.get_window_extent()) for artist in artists]
    return [(a, b) for i, (a, p) in enumerate(boxes) for b, q in boxes[:i] if p.overlaps(q)]


# -- every figure ------------------------------------------------------------------------------------------------------


def test_there_is_a_colour_and_a_marker_for_every_label_and_no_two_are_alike():
    assert set(plots.COLOURS) == set(plots.MARKERS) == {str(label) for label in Label}
    assert len(set(plots.COLOURS.values())) == len(set(plots.MARKERS.values())) == len(Label)


def test_colours_of_labels_differ_for_colour_blind_eyes():
    # Vienot, Brettel and Mollon (1999): linear RGB seen without red or green cones.
    views = {
        "all cones": np.eye(3),
        "no red": np.array([[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.0040, -0.0040, 1.0]]),
        "no green": np.array([[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]]),
    }
    srgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in plots.COLOURS.values()])
    for view in views.values():
        seen = np.clip(srgb**2.2 @ view.T, 0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 9 * np.eye(len(seen))
        assert np.min(apart) > 0.2  # 51 of 255 levels of one channel; markers differ besides


@pytest.mark.parametrize("name", CENSUSES)
def test_loss_levels_draw_and_name_the_run_and_the_normalisation(name, tmp_path):
    census = CENSUSES[name]
    figure = plots.loss_levels(census)
    assert NORMALISATION in figure.axes[0].get_ylabel().replace("\n", " ")
    title = figure.axes[0].get_title(loc="left")
    for part in ("synthetic", "teacher 3", "width 3", f"{census.restarts} restart", "seed 5"):
        assert part in title
    assert plots.save(figure, tmp_path / "x.png").stat().st_size < 300_000


def test_a_run_without_finished_restarts_says_so():
    for figure in (
        plots.loss_levels(EMPTY),
        plots.spectra(EMPTY, PROBLEM),
        plots.descent_curves(PROBLEM, Settings(), 0, 40, 50, census=EMPTY),
        plots.shares_by_teacher([]),
        plots.shares_by_teacher([cell(6, 6, finished=0)]),
    ):
        assert "no finished restarts" in texts(figure)


def test_all_figures_of_a_run_are_small_png_files(real, tmp_path):
    single = replace(
        real, rows={k: v[:1] for k, v in real.rows.items()}, levels=[replace(real.levels[0], count=1, share=1.0)]
    )
    for name, census in (("real", real), ("single", single), ("empty", replace(EMPTY, study="none"))):
        paths = plots.census_figures(census, PROBLEM, tmp_path / name)
        assert [path.name for path in paths] == ["loss_levels.png", "spectra.png", "descent.png"]
        for path in paths:
            assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
            assert 1_000 < path.stat().st_size < 300_000


def test_figures_are_drawn_without_pyplot_and_in_threads(tmp_path):
    imported = [
        node for node in ast.walk(ast.parse(Path(plots.__file__).read_text())) if isinstance(node, ast.ImportFrom)
    ]
    assert not any("pyplot" in f"{node.module} {[name.name for name in node.names]}" for node in imported)
    failed: list[BaseException] = []

    def draw(i: int) -> None:
        try:
            plots.save(plots.loss_levels(DECADES), tmp_path / f"{i}.png")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=draw, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert len({(tmp_path / f"{i}.png").read_bytes() for i in range(4)}) == 1


def test_figures_draw_into_given_axes():
    figure = Figure(layout="constrained")
    grid = figure.subplots(2, 2)
    assert plots.shares_by_teacher([cell(6, 6, spurious=3)], ax=grid[0, 0]) is figure
    assert plots.loss_levels(FEW, ax=grid[0, 1]) is figure
    curves = plots.Curves(np.arange(3), np.arange(2), np.ones((3, 2)), np.ones((3, 2)), 1e-12)
    assert plots.draw_curves(curves, PROBLEM, axes=(grid[1, 0], grid[1, 1])) is figure
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in grid.flat)
    figure.draw_without_rendering()


# -- shares ------------------------------------------------------------------------------------------------------------


def test_shares_are_percent_spurious_with_wilson_intervals_one_line_for_each_extra_width():
    cells = [cell(8, 8, spurious=126), cell(6, 6, spurious=3), cell(15, 16, spurious=102, saddle=3), cell(9, 11)]
    figure = plots.shares_by_teacher(cells)
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
    figure = plots.shares_by_teacher([cell(6, 6, spurious=3)], published={(6, 6): (0.4, 0.1, 0.9), (8, 9): (2, 1, 5)})
    hollow = [bar for bar in error_bars(figure) if bar.lines[0].get_markerfacecolor() == "none"]
    found = [points_and_bars(bar) for bar in hollow]
    np.testing.assert_allclose([points[0] for points, _ in found], [(6, 0.4), (8, 2)])
    np.testing.assert_allclose([ends[0][:, 1] for _, ends in found], [(0.1, 0.9), (1, 5)])


def test_undecided_restarts_show_how_far_the_share_could_reach_and_another_rule_is_a_cross():
    doubtful = cell(10, 10, spurious=100, undecided=50, unconverged=250)
    doubtful["paper_share"] = {"rule": "loss >= 0.001", "share": 0.2, "low": 0.18, "high": 0.22}
    figure = plots.shares_by_teacher([doubtful])
    dotted = [c for c in figure.axes[0].collections if isinstance(c, LineCollection) and c.get_zorder() == 5]
    (segment,) = dotted[0].get_segments()
    np.testing.assert_allclose(segment[:, 1], [100 * wilson(100, 1000)[1], 40.0])
    (cross,) = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    np.testing.assert_allclose(np.column_stack(cross.get_data()), [(10, 20.0)])


# -- loss levels -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["single", "few", "decades", "many"])
def test_every_level_is_drawn_at_its_share_and_loss_in_its_colour(name):
    census = CENSUSES[name]
    figure = plots.loss_levels(census)
    seen = {}
    for bar in error_bars(figure):
        label = bar.get_label()
        assert to_hex(bar.lines[0].get_color()).upper() == plots.COLOURS[label].upper()
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
    (bar,) = error_bars(plots.loss_levels(real))
    assert bar.get_label() == "global"
    points, _ = points_and_bars(bar)
    np.testing.assert_array_equal(points, [(100 * real.levels[0].share, real.levels[0].loss)])


def test_a_loss_within_rounding_of_zero_is_at_zero_and_called_so():
    for census in (SINGLE, FEW, DECADES):
        figure = plots.loss_levels(census)
        ax = figure.axes[0]
        height = ax.transAxes.inverted().transform(ax.transData.transform([(0, census.levels[0].loss), (0, 0.0)]))[:, 1]
        assert abs(height[0] - height[1]) < 1e-6  # far below a pixel
        assert any("0 to rounding" in text.get_text() for text in named(figure))


def test_the_axis_is_logarithmic_only_where_losses_span_decades():
    assert plots.loss_levels(FEW).axes[0].get_yscale() == "linear"
    assert plots.loss_levels(DECADES).axes[0].get_yscale() == "symlog"
    positive = synthetic([("spurious", 1e-4, 3), ("spurious", 2.0, 3)], lower_bound=None)
    assert plots.loss_levels(positive).axes[0].get_yscale() == "log"
    negative = synthetic([("undecided", -50.0, 3), ("undecided", 2.0, 3), ("undecided", 1e-3, 1)], lower_bound=None)
    plots.loss_levels(negative).draw_without_rendering()


def test_all_of_a_few_levels_and_the_most_frequent_of_many_are_named_without_overlap():
    for census, count in ((FEW, 4), (DECADES, 5), (MANY, plots.NAMED_LEVELS)):
        figure = plots.loss_levels(census)
        assert len(named(figure)) == count
        assert not overlaps(named(figure), figure)
    assert any("12 most frequent of 101 levels" in text for text in texts(plots.loss_levels(MANY)))
    assert any("spurious, 0.02, 2 orbits" in text for text in texts(plots.loss_levels(FEW)))


def test_restarts_that_are_not_stationary_are_hollow_and_those_without_a_loss_are_counted():
    figure = plots.loss_levels(DECADES)
    face = {bar.get_label(): bar.lines[0].get_markerfacecolor() for bar in error_bars(figure)}
    assert face["unconverged"] == "white"
    assert face["global"] == plots.COLOURS["global"]
    assert any("1 restart without a finite loss not drawn" in text for text in texts(figure))
    assert any("unconverged, from 0.1" in text for text in texts(figure))


@given(st.lists(st.floats(-1.0, 2.0), max_size=30), st.floats(1e-3, 0.2))
def test_names_are_moved_apart_inside_the_axes_in_their_order(wanted, step):
    wanted = np.sort(np.array(wanted, float))
    placed = plots._apart(wanted, step)
    step = min(step, 1 / max(1, len(wanted) - 1))
    assert np.all(np.diff(placed) > step - 1e-9)
    assert np.all((placed > -1e-9) & (placed < 1 + 1e-9))
    inside = len(wanted) == 0 or (wanted[0] >= 0 and wanted[-1] <= 1 and np.all(np.diff(wanted) >= step))
    if inside:
        np.testing.assert_allclose(placed, wanted, atol=1e-9)


# -- spectra -----------------------------------------------------------------------------------------------------------


def test_the_spectrum_at_the_teacher_is_drawn_with_its_multiplicities(real):
    figure = plots.spectra(real, PROBLEM)
    ax = figure.axes[0]
    assert "eigenvalue of the Hessian of F" in ax.get_xlabel()
    assert NORMALISATION in ax.get_xlabel()
    (row,) = plots.level_spectra(real, PROBLEM)
    teacher = np.linalg.eigvalsh(evaluate(PROBLEM, np.eye(3).reshape(-1))[1])
    np.testing.assert_allclose(row.eigenvalues, teacher, atol=1e-8)  # polished to 1e-12, curvature above 0.09
    sticks = plots.multiplicities(row.eigenvalues)
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
    rows = plots.level_spectra(census, problem)
    assert [(row.level.label, row.restart) for row in rows] == [("global", 0), ("saddle", 2)]
    np.testing.assert_allclose(rows[0].eigenvalues, [0, 1, 1, 1, 2], atol=1e-14)
    np.testing.assert_allclose(rows[1].eigenvalues, [-1, 0, 1, 1, 1], atol=1e-14)
    figure = plots.spectra(census, problem)
    ax = figure.axes[0]
    coloured = [c for c in ax.collections if to_hex(c.get_color()[0]).upper() == plots.NEGATIVE.upper()]
    assert [float(segment[0, 0]) for c in coloured for segment in c.get_segments()] == [-1.0]
    assert any(line.get_xdata()[0] == line.get_xdata()[1] == 0.0 for line in ax.lines if len(line.get_xdata()) == 2)
    assert [text.get_text().splitlines()[0] for text in ax.get_yticklabels()] == ["global", "saddle"]
    assert any("magenta" in text for text in texts(figure))


def test_each_row_of_spectra_is_a_point_of_its_own_level():
    problem, census = two_wells()
    census = replace(census, weights={2: np.zeros(5), 1: np.array([-1.0, 0, 0, 0, 0])})
    for row in plots.level_spectra(census, problem):
        i = int(np.flatnonzero(census.rows["restart"] == row.restart)[0])
        assert census.rows["label"][i] == row.level.label
        assert census.rows["loss"][i] == row.level.loss
    assert len(plots.level_spectra(census, problem, most=1)) == 1


def test_a_hessian_that_is_not_finite_leaves_an_empty_row():
    problem, census = two_wells()
    census = replace(census, weights={0: np.full(5, np.nan), 2: np.zeros(5)})
    figure = plots.spectra(census, problem)
    figure.draw_without_rendering()
    assert "the Hessian is not finite here" in texts(figure)


def test_eigenvalues_group_by_gaps():
    values = np.array([-1.0, 0.1, 0.1 + 1e-9, 0.1 + 2e-9, 0.2, 5.0])
    assert [m for _, m in plots.multiplicities(values)] == [1, 3, 1, 1]
    assert plots.multiplicities(np.zeros(0)) == []
    assert plots.multiplicities(np.zeros(4)) == [(0.0, 4)]


# -- descents ----------------------------------------------------------------------------------------------------------


def test_sampled_curves_are_those_of_gradient_descent_step_by_step():
    theta = start = start_points(PROBLEM, 0, np.array([2]))[0]
    curves = plots.sample_curves(PROBLEM, Settings(), 0, restarts=3, steps=100)
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
    given_starts = plots.sample_curves(PROBLEM, Settings(), 9, 1, 100, starts=start[None])
    np.testing.assert_allclose(given_starts.loss[:, 0], curves.loss[:, 2], atol=1e-12)


def test_curves_do_not_depend_on_which_others_are_sampled():
    few = plots.sample_curves(PROBLEM, Settings(), 0, np.array([4]), 100)
    many = plots.sample_curves(PROBLEM, Settings(), 0, np.array([1, 4, 7]), 100)
    np.testing.assert_allclose(few.loss[:, 0], many.loss[:, 1], rtol=1e-12)


def test_descents_are_drawn_as_sampled_down_to_the_rounding_floor(real):
    curves = plots.sample_curves(PROBLEM, Settings(), 0, real.rows["restart"], 2000)
    figure = plots.draw_curves(curves, PROBLEM, real)
    left, right = figure.axes
    assert NORMALISATION in left.get_ylabel().replace("\n", " ")
    assert "gradient" in right.get_ylabel()
    assert left.get_yscale() == right.get_yscale() == "log"
    for ax, data in ((left, np.maximum(curves.loss, curves.floor)), (right, curves.grad_norm)):
        (lines,) = [c for c in ax.collections if isinstance(c, LineCollection)]
        assert to_hex(lines.get_color()[0]).upper() == plots.COLOURS["global"].upper()
        drawn = np.array(lines.get_segments())
        np.testing.assert_array_equal(drawn[:, :, 0], np.tile(curves.steps, (12, 1)))
        np.testing.assert_array_equal(drawn[:, :, 1], data.T)
    assert np.min(curves.loss) < curves.floor  # so that the band is needed
    assert "rounding" in texts(figure)


def test_labels_are_withheld_from_descents_that_are_not_those_of_the_census(real):
    wrong = replace(
        real, rows={**real.rows, "loss": real.rows["loss"] + 0.02, "label": np.full(12, "spurious", object)}
    )
    figure = plots.descent_curves(PROBLEM, Settings(), 0, 12, 1500, census=wrong)
    colours = {to_hex(c.get_color()[0]).upper() for c in figure.axes[1].collections if isinstance(c, LineCollection)}
    assert colours == {plots.UNKNOWN.upper()}
    assert any("labels not shown" in text for text in texts(figure))


def test_a_diverging_descent_costs_only_its_own_curve():
    loss = np.array([[1.0, 1.0], [0.1, 1e200], [0.01, np.inf], [0.001, np.nan]])
    curves = plots.Curves(np.arange(4), np.arange(2), loss, loss, 1e-12)
    figure = plots.draw_curves(curves, PROBLEM)
    figure.draw_without_rendering()
    assert figure.axes[0].get_ylim()[1] < 1e5
    diverged = plots.sample_curves(PROBLEM, Settings(step_size=1e4), 0, 2, 50)
    plots.draw_curves(diverged, PROBLEM).draw_without_rendering()


def test_thousands_of_descents_are_drawn_as_median_and_quantiles(tmp_path):
    rng = np.random.default_rng(0)
    loss = np.exp(-np.arange(201)[:, None] * rng.uniform(0.01, 0.1, 5000))
    curves = plots.Curves(25 * np.arange(201), np.arange(5000), loss, loss, 1e-12)
    figure = plots.draw_curves(curves, PROBLEM)
    (median,) = figure.axes[0].lines
    np.testing.assert_allclose(median.get_ydata(), np.median(loss, axis=1))
    assert plots.save(figure, tmp_path / "x.png").stat().st_size < 300_000


def test_losses_without_a_bound_are_drawn_above_the_least_of_them_where_some_are_negative():
    problem = from_loss(lambda t: jnp.sum(jnp.cos(t)), lambda key: jnp.ones(2))
    curves = plots.sample_curves(problem, Settings(), 0, 2, 100)
    figure = plots.draw_curves(curves, problem)
    assert "least loss of the sample" in figure.axes[0].get_ylabel().replace("\n", " ")
    figure.draw_without_rendering()
