"""Figures show the census and nothing else.

Held here: every loss axis names its normalisation; runs with no, one or thousands of restarts draw; files are small.
"""

from __future__ import annotations

import ast
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drawn import (
    CENSUSES,
    DECADES,
    EMPTY,
    FEW,
    NORMALISATION,
    PROBLEM,
    cell,
    texts,
)
from matplotlib.figure import Figure

from landscape import figures
from landscape.census.census import Census
from landscape.engine.settings import Settings
from landscape.figures.descents import draw_curves
from landscape.figures.levels import loss_levels
from landscape.figures.shares import shares_by_teacher
from landscape.figures.spectra import spectra
from landscape.figures.style import save
from landscape.host.explore import explore
from landscape.palette import COLOURS, MARKERS
from landscape.records import Label
from landscape.studies.census_figures import census_figures, descent_curves
from landscape.trajectory import Curves


@pytest.fixture(scope="module")
def real() -> Census:
    """A real run: three teacher neurons, where every restart ends at the global minimum."""
    return explore(PROBLEM, 12, 0, progress=False)


def test_there_is_a_colour_and_a_marker_for_every_label_and_no_two_are_alike():
    assert set(COLOURS) == set(MARKERS) == {str(label) for label in Label}
    assert len(set(COLOURS.values())) == len(set(MARKERS.values())) == len(Label)


def test_colours_of_labels_differ_for_colour_blind_eyes():
    # Vienot, Brettel and Mollon (1999): linear RGB seen without red or green cones.
    views = {
        "all cones": np.eye(3),
        "no red": np.array([[0.1124, 0.8876, 0.0], [0.1124, 0.8876, 0.0], [0.0040, -0.0040, 1.0]]),
        "no green": np.array([[0.2928, 0.7072, 0.0], [0.2928, 0.7072, 0.0], [-0.0223, 0.0223, 1.0]]),
    }
    srgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in COLOURS.values()])
    for view in views.values():
        seen = np.clip(srgb**2.2 @ view.T, 0, 1) ** (1 / 2.2)
        apart = np.linalg.norm(seen[:, None] - seen[None], axis=2) + 9 * np.eye(len(seen))
        assert np.min(apart) > 0.2  # 51 of 255 levels of one channel; markers differ besides


@pytest.mark.parametrize("name", CENSUSES)
def test_loss_levels_draw_and_name_the_run_and_the_normalisation(name, tmp_path):
    census = CENSUSES[name]
    figure = loss_levels(census)
    assert NORMALISATION in figure.axes[0].get_ylabel().replace("\n", " ")
    title = figure.axes[0].get_title(loc="left")
    for part in ("synthetic", "teacher 3", "width 3", f"{census.restarts} restart", "seed 5"):
        assert part in title
    assert save(figure, tmp_path / "x.png").stat().st_size < 300_000


def test_a_run_without_finished_restarts_says_so():
    for figure in (
        loss_levels(EMPTY),
        spectra(EMPTY, []),
        descent_curves(PROBLEM, Settings(), 0, 40, 50, census=EMPTY),
        shares_by_teacher([]),
        shares_by_teacher([cell(6, 6, finished=0)]),
    ):
        assert "no finished restarts" in texts(figure)


def test_all_figures_of_a_run_are_small_png_files(real, tmp_path):
    single = replace(
        real, rows={k: v[:1] for k, v in real.rows.items()}, levels=[replace(real.levels[0], count=1, share=1.0)]
    )
    for name, census in (("real", real), ("single", single), ("empty", replace(EMPTY, study="none"))):
        paths = census_figures(census, PROBLEM, tmp_path / name)
        assert [path.name for path in paths] == ["loss_levels.png", "spectra.png", "descent.png"]
        for path in paths:
            assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
            assert 1_000 < path.stat().st_size < 300_000


def test_figures_are_drawn_without_pyplot_and_in_threads(tmp_path):
    files = [*Path(figures.__file__).parent.glob("*.py")]
    assert len(files) > 5
    imported = [node for file in files for node in ast.walk(ast.parse(file.read_text()))]
    imported = [node for node in imported if isinstance(node, ast.ImportFrom)]
    assert not any("pyplot" in f"{node.module} {[name.name for name in node.names]}" for node in imported)
    failed: list[BaseException] = []

    def draw(i: int) -> None:
        try:
            save(loss_levels(DECADES), tmp_path / f"{i}.png")
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
    assert shares_by_teacher([cell(6, 6, spurious=3)], ax=grid[0, 0]) is figure
    assert loss_levels(FEW, ax=grid[0, 1]) is figure
    curves = Curves(np.arange(3), np.arange(2), np.ones((3, 2)), np.ones((3, 2)), 1e-12)
    assert draw_curves(curves, PROBLEM, axes=(grid[1, 0], grid[1, 1])) is figure
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in grid.flat)
    figure.draw_without_rendering()
