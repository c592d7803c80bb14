"""The figures of a census and of descents of its run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from landscape.census.census import Census
from landscape.census.spectra import level_spectra
from landscape.engine.settings import Settings
from landscape.figures.descents import draw_curves
from landscape.figures.levels import loss_levels
from landscape.figures.spectra import spectra
from landscape.figures.style import save
from landscape.problems.problem import Problem
from landscape.trajectory import sample_curves


def descent_curves(
    problem: Problem,
    settings: Settings,
    seed: int,
    restarts: int = 40,
    steps: int = 5000,
    census: Census | None = None,
    starts: np.ndarray | None = None,
    axes: tuple[Axes, Axes] | None = None,
) -> Figure:
    """Loss and gradient norm against the step, for restarts spread over a run; coloured by label, given its census.

    See `sample_curves` for the arguments and `draw_curves` for what is drawn. With a census, the restarts are taken
    evenly from those that it holds.
    """
    sample: int | np.ndarray = restarts
    scale = None
    if census is not None:
        rows = census.rows
        index = np.unique(np.linspace(0, census.finished - 1, min(restarts, census.finished)).astype(int))
        sample = rows["restart"][index]
        scale = rows["step_scale"][index] if "step_scale" in rows else None
    curves = sample_curves(problem, settings, seed, sample, steps, starts, scale)
    return draw_curves(curves, problem, census, axes)


def census_figures(
    census: Census, problem: Problem, folder: str | Path, settings: Settings | None = None
) -> list[Path]:
    """Writes loss_levels.png, spectra.png and descent.png into the folder; returns their paths.

    Args:
        census: Of a run.
        problem: Its landscape.
        folder: Made if it is not there.
        settings: Of the run; the defaults if not given.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # Long enough that most descents have converged; the sample is small enough to take seconds.
    taken = census.rows["steps"] if census.finished and "steps" in census.rows else np.array([1000])
    steps = int(np.clip(1.2 * np.median(taken), 500, 10_000))
    figures = {
        "loss_levels.png": loss_levels(census),
        "spectra.png": spectra(census, level_spectra(census, problem)),
        "descent.png": descent_curves(problem, settings or Settings(), census.seed, 40, steps, census),
    }
    return [save(figure, folder / name) for name, figure in figures.items()]
