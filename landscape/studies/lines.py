"""Porcupine problems of studies, and what theory and descents say of them.

Losses are in the package's normalisation; what is named `paper_loss` is twice that, E (student - teacher)^2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from landscape.figures.captions import BOTH_SIGNS
from landscape.records import InputError, must_fit, whole
from landscape.studies.sources import read_rows

if TYPE_CHECKING:
    import numpy as np

    from landscape.problems.porcupine import Porcupine

NAMED_LEVELS = 40  # levels that findings list in the paper's normalisation


def on_lines(lines: str, neurons: tuple[int, ...], teacher: str, dimension: int | None, draw: int) -> Porcupine:
    """The landscape of the fields of `PorcupineStudy`.

    Raises:
        InputError: Lines or teacher cannot be read or make no sense.
    """
    import numpy as np

    from landscape.problems.porcupine import porcupine, unit_lines
    from landscape.problems.teacher_student import teacher_student

    whole("draw", draw, 0)
    rows = None if teacher.strip() == "signs" else read_rows(teacher, "teacher")
    directions = None if lines.strip() == "axes" else read_rows(lines, "lines")
    columns = {}  # of what was given as rows
    if not (directions is None or isinstance(directions, int)):
        columns["lines"] = unit_lines(directions).shape[1]
    if not (rows is None or isinstance(rows, int)):
        columns["teacher"] = teacher_student(rows, 1).teacher.shape[1]
    d = dimension if dimension is not None else min(columns.values(), default=1)
    whole("dimension", d, 1)
    for what, count in columns.items():
        if dimension not in (None, count):
            raise InputError(f"dimension is {dimension}, and the rows of the given {what} have {count} numbers.")
    must_fit("so many lines", 32 * d * (directions if isinstance(directions, int) else d))
    must_fit("so many teacher neurons", 32 * d * (rows if isinstance(rows, int) else 1))
    if isinstance(directions, int):
        must_fit(f"{directions} lines", 16 * directions * directions)  # as `porcupine` says of their kernel
        if whole("lines", directions, 1) > 1 and d == 1:
            raise InputError(f"{directions} lines need a dimension of at least 2, found 1; give one with --dimension.")
        directions = np.random.default_rng((draw, 1)).normal(size=(directions, d))
    elif directions is None:
        directions = np.eye(d)
    if isinstance(rows, int):
        rows = np.random.default_rng((draw, 0)).normal(size=(whole("teacher", rows, 1), d))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    elif rows is None:
        rows = np.concatenate([mass * unit_lines(directions) for mass in BOTH_SIGNS])
    return porcupine(directions, neurons[0] if len(neurons) == 1 else neurons, rows)


def known(problem: Porcupine, teacher: str, draw: int) -> dict[str, Any]:
    """What theory says of a problem, without running anything.

    Args:
        problem: The landscape.
        teacher: As it was asked for.
        draw: Seed of what is random.

    Returns:
        Sizes; the teacher as it was asked for, and the draw; the loss of no neurons at all; the optimum, a lower bound
        on it, and how many signs of lines are active there; the Schur value.
    """
    import numpy as np

    from landscape.theory.porcupine.masses import at_masses, masses
    from landscape.theory.porcupine.optimum import global_optimum
    from landscape.theory.porcupine.schur import schur_bound

    best = global_optimum(problem)
    nothing = at_masses(problem, np.zeros((2, len(problem.neurons)))).loss
    return {
        "lines": len(problem.neurons),
        "dimension": problem.d,
        "neurons": problem.neurons[0] if len(set(problem.neurons)) == 1 else list(problem.neurons),
        "teacher": teacher,
        "teacher_neurons": len(problem.teacher),
        "draw": draw,
        "matched": problem.matched,
        "teacher_loss": nothing,
        "optimum": best.loss,
        "optimum_lower": best.lower_bound,
        "active": int(np.count_nonzero(masses(problem, best.theta))),
        "schur_bound": schur_bound(problem),
    }


def reached(law: float | None, rows: dict[str, np.ndarray], unit: float = 1.0) -> dict[str, Any]:
    """The ends of descents, some in the paper's normalisation; whether the formula is in their share's interval."""
    import numpy as np

    from landscape.census.levels import levels_of
    from landscape.census.statistics import share

    converged = np.isfinite(rows["loss"]) & (rows["label"] != "unconverged")
    loss = rows["loss"][converged]
    good = int(np.sum(rows["label"] == "global"))
    found = share(good, len(rows["loss"]))
    levels = levels_of(rows, unit)
    return {
        "global_share": {"count": good, **found},
        "law_inside": None if law is None else bool(found["low"] <= law <= found["high"]),
        "least_loss": float(np.min(loss)) if len(loss) else None,
        "mean_loss": float(np.mean(loss)) if len(loss) else None,
        "largest_loss": float(np.max(loss)) if len(loss) else None,
        "paper_levels": [
            {"paper_loss": 2 * level.loss, "label": level.label, "flavour": level.flavour, "count": level.count}
            for level in levels[:NAMED_LEVELS]
        ],
        "levels": len(levels),
    }


def region_table(problem: Porcupine) -> list[dict[str, Any]]:
    """One record a kind of sign region: + , - or 0 (both) for each line, regions of the kind, loss, bad or not, why."""
    from landscape.theory.porcupine.regions import regions

    return [
        {
            "kinds": [int(kind) for kind in region.kinds],
            "count": region.count,
            "rank": region.rank,
            "loss": region.loss,
            "paper_loss": None if region.loss is None else 2 * region.loss,
            "theta": None if region.theta is None else region.theta.tolist(),
            "bad": region.bad,
            "by": region.by,
        }
        for region in regions(problem)
    ]
