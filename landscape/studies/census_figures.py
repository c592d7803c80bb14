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
from landscape.figures.style import Figures, save
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


def plot(census: Census) -> Figures:
    """Loss levels, Hessian spectra and some descents of a census.

    Spectra and descents need the problem: of a run that was loaded without it only the levels are drawn.
    """
    plan = census.plan
    if plan is None:
        return Figures({"loss_levels": loss_levels(census)})
    return drawings(census, plan.problem, plan.settings, plan.starts)


def drawings(census: Census, problem: Problem, settings: Settings, starts: np.ndarray | None = None) -> Figures:
    """The figures of `plot`, for a problem and settings that are given."""
    curves = descent_curves(problem, settings, census.seed, 40, _steps(census), census, starts)
    return Figures(
        {
            "loss_levels": loss_levels(census),
            "spectra": spectra(census, level_spectra(census, problem)),
            "descent": curves,
        }
    )


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
    return written(drawings(census, problem, settings or Settings()), folder)


def written(figures: Figures, folder: str | Path) -> list[Path]:
    """Writes figures into a folder, made if it is not there, each under its name; their paths."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return [save(figure, folder / f"{name}.png") for name, figure in figures.items()]


def _steps(census: Census) -> int:
    """Long enough that most descents have converged; the sample is small enough to take seconds."""
    taken = census.rows["steps"] if census.finished and "steps" in census.rows else np.array([1000])
    return int(np.clip(1.2 * np.median(taken), 500, 10_000))
