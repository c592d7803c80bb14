"""Censuses made by hand, and what the artists of a figure hold: for the tests of figures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from landscape.census.census import Census
from landscape.census.levels import Level
from landscape.census.statistics import wilson
from landscape.problems.teacher_student import orthonormal_teacher
from landscape.records import Label

NORMALISATION = "1/2 E (student - teacher)^2, x ~ N(0, I)"
PROBLEM = orthonormal_teacher(3)


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
