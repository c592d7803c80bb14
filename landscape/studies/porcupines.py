"""Porcupine studies: neurons on lines, and the figures and claims of Feizi, Javadi, Zhang and Tse (2017).

Losses are in the package's normalisation; what is named `paper_loss` is twice that, E (student - teacher)^2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.figures.captions import BOTH_SIGNS
from landscape.records import InputError, whole
from landscape.studies.teachers import Descents, read_teacher

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from landscape.census import Census
    from landscape.engine.settings import Settings
    from landscape.problems.porcupine import Porcupine

NAMED_LEVELS = 40  # levels that findings list in the paper's normalisation


@dataclass(frozen=True)
class _Starts(Descents):
    """What differs from other restarts: small starts and a step of the problem's own.

    Attributes:
        init_scale: Multiplies the starts. The formulas for shares are those of small starts.
        step_size: 0 for the largest power of two up to 1 / largest curvature.
        retire: Gradient norm at which a restart is finished, times the largest teacher norm.
        budget: Gradients after which a restart is finished where it stands.
    """

    init_scale: float = 0.05
    step_size: float = 0.0
    retire: float = 1e-4  # the exact finish needs no more, and nearly parallel lines would take 200,000 steps to 1e-5
    # 200 lines in the plane come near the teacher like 1/t, for ever; from some 20,000 steps on the finish of a descent
    # leads to the minimum that it leads to from 200,000. Where losses fall like exp(-t) all is over by then.
    budget: int = 20_000

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws the result into the folder.

        Raises:
            InputError: There is nothing to draw yet.
        """
        from landscape.figures.style import save

        if not result.finished:
            raise InputError(f"no restart is finished yet; `landscape resume {folder.parent}` goes on.")
        return [save(figure, folder / f"{name}.png") for name, figure in self.drawings(result).items()]

    def drawings(self, result: Any) -> dict[str, Figure]:
        """The figures of a result by name."""
        raise AssertionError("every study has its own")


@dataclass(frozen=True)
class PorcupineStudy(_Starts):
    """Neurons on any lines, any teacher.

    Attributes:
        lines: axes (one line an input coordinate), a number of random lines, a JSON or npz file with a direction a row,
            or the rows themselves as [[...], ...].
        neurons: Neurons on each line: one number, or one a line.
        teacher: A JSON or npz file with the rows, the rows themselves as [[...], ...], a number of random unit rows, or
            signs for masses +1 and -0.7 on every line.
        dimension: Input dimension of axes, random lines and random teachers; that of the rows by default, else 1.
        draw: Seed of random lines and teachers; the first r of more lines of a draw are the same.
    """

    name: ClassVar[str] = "porcupine"
    about: ClassVar[str] = "neurons on any lines, any teacher (Feizi, Javadi, Zhang and Tse 2017)"

    lines: str = "axes"
    neurons: tuple[int, ...] = (2,)
    teacher: str = "signs"
    dimension: int | None = None
    draw: int = 0

    def problem(self) -> Porcupine:
        """The landscape.

        Raises:
            InputError: Lines or teacher cannot be read or make no sense.
        """
        return _problem(self.lines, self.neurons, self.teacher, self.dimension, self.draw)

    def settings(self) -> Settings:
        """The driver's settings, with the problem's own step where none is given."""
        from landscape.engine.settings import Settings

        given = {name: getattr(self, name) for name in Settings._fields}
        if self.step_size == 0:
            given["step_size"] = self.problem().step_size()
        return Settings(**given).check()

    def title(self) -> str:
        """Beside the progress bar."""
        return f"{self.lines if len(self.lines) < 9 else 'given'} lines, {'/'.join(map(str, self.neurons))} neurons"

    def findings(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """The optimum and its bounds, the ends of the descents beside them, and the formula for the share of global
        ones where there is one."""
        from landscape.census.assemble import loss_unit

        theory, law = known(self.lines, self.neurons, self.teacher, self.dimension, self.draw), self.law()
        return {"porcupine": theory | {"law": law} | reached(law, rows, loss_unit(self.problem()))}

    def law(self) -> float | None:
        """The probability of a global end by the formula for small starts; None where it is not known to hold."""
        from landscape.theory.porcupine.orthogonal import follows_starts, orthogonal_global_probability

        problem, settings = self.problem(), self.settings()
        # The gradient flow, or steps that do not overshoot it.
        small = self.optimiser == "gradient-descent" and settings.step_size <= 1 / problem.curvature()
        if not ((small or self.optimiser == "flow") and follows_starts(problem, self.init, self.init_scale)):
            return None
        return orthogonal_global_probability(problem.neurons)

    def drawings(self, result: Census) -> dict[str, Figure]:
        """Where descents end."""
        from landscape.figures import lines

        return {"ends": lines.ends(result)}


@dataclass(frozen=True)
class PorcupineRegions(PorcupineStudy):
    """Figure 4: sign regions, and which of them can hold bad local optima; three neurons on one line by default."""

    name: ClassVar[str] = "porcupine-regions"
    about: ClassVar[str] = "Feizi et al. 2017, figure 4: sign regions, and which can hold bad local optima"

    neurons: tuple[int, ...] = (3,)
    teacher: str = "[[6], [-4]]"

    def findings(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """Every kind of region: how many there are, the loss of its stationary points, whether they are bad, why."""
        regions = region_table(self.lines, self.neurons, self.teacher, self.dimension, self.draw)
        total = {word: sum(r["count"] for r in regions if r["bad"] is bad) for word, bad in _BAD.items()}
        return {**super().findings(rows), "regions": regions, "region_counts": total}

    def drawings(self, result: Census) -> dict[str, Figure]:
        """The table of regions, and where descents end."""
        from landscape.figures import regions

        return {"regions": regions.regions(result), **super().drawings(result)}


_BAD = {"with bad minima": True, "without": False, "undecided": None}


@dataclass(frozen=True)
class _LinesTable(_Starts):
    """Studies of several cells, one run folder a cell."""

    def cells(self) -> dict[str, PorcupineStudy]:
        """The studies of the single cells by folder."""
        raise AssertionError("every table has its own")

    def common(self, **others: Any) -> dict[str, Any]:
        """Fields that the cells take over."""
        return {name: getattr(self, name) for name in _Starts.__dataclass_fields__} | others

    def manifest(self) -> dict[str, Any]:
        """What the folder of the table says; also checks every cell."""
        from landscape.studies.table import table_manifest

        return table_manifest(self, self.checked())

    def checked(self) -> dict[str, PorcupineStudy]:
        """The cells.

        Raises:
            InputError: There are none.
        """
        cells = self.cells()
        if not cells:
            raise InputError(f"{self.name} has no cell: each list of sizes must name at least one.")  # type: ignore[attr-defined]
        return cells

    def run(self, folder: Path | None, progress: bool | None) -> Any:
        """The table; cells that are done are not done again."""
        from landscape.studies.table import run_cells

        return self.table(run_cells(self.checked(), folder, progress), folder)

    def table(self, censuses: list[Census], folder: Path | None) -> Any:
        """The result."""
        from landscape.studies.table import LinesTable

        return LinesTable(self.name, censuses, len(self.cells()), None if folder is None else str(folder))  # type: ignore[attr-defined]


@dataclass(frozen=True)
class PorcupineLandscape(_LinesTable):
    """Figure 5: the surfaces of two neurons on one line, for two teachers, with every optimum.

    Attributes:
        teachers: Pairs of teacher weights, one after the other.
    """

    name: ClassVar[str] = "porcupine-landscape"
    about: ClassVar[str] = (
        "Feizi et al. 2017, figure 5: two-neuron surfaces for teachers (6, 4) and (6, -4), all optima"
    )

    restarts: int = 1000
    teachers: tuple[int, ...] = (6, 4, 6, -4)

    def cells(self) -> dict[str, PorcupineStudy]:
        """A cell a teacher."""
        if len(self.teachers) % 2:
            raise InputError(f"teachers must be pairs of weights, found {len(self.teachers)} numbers.")
        pairs = zip(self.teachers[::2], self.teachers[1::2], strict=True)
        return {
            f"teacher{a:+d}{b:+d}": PorcupineRegions(**self.common(neurons=(2,), teacher=json.dumps([[a], [b]])))
            for a, b in pairs
        }

    def drawings(self, result: Any) -> dict[str, Figure]:
        """The surfaces."""
        from landscape.figures import regions

        return {"surfaces": regions.surfaces([c.problem() for c in self.cells().values()], result.cell_dicts())}


@dataclass(frozen=True)
class PorcupineApproximation(_LinesTable):
    """Figure 2: how well random lines, two neurons on each, approximate a free network.

    Descents are float32 with momentum here: at 1000 lines plain descent takes some 17,000 gradients, and what is
    compared is the loss at the end, finished in float64.

    The error differs much from draw to draw. Over 1000 draws (lines and teacher) at d = 15, k* = 20 the optimum's is
    0.154 with standard deviation 0.020 at 5 lines, 0.065 and 0.012 at 15; of 5 draws, as here by default, the mean is
    between 0.139 and 0.171, and between 0.057 and 0.076, in 95%. The first five, the default, are unlucky at few lines
    (0.176 and 0.076).

    Attributes:
        lines: Numbers of random lines.
        teachers: How many random teachers.
        teacher: Neurons of each.
        dimension: Input dimension.
    """

    name: ClassVar[str] = "porcupine-approximation"
    about: ClassVar[str] = "Feizi et al. 2017, figure 2: r random lines against a free network, d = 15, k* = 20"

    restarts: int = 100
    optimiser: str = "nesterov"
    dtype: str = "float32"
    lines: tuple[int, ...] = (5, 15, 30, 60, 120, 250, 500, 1000)
    teachers: int = 5
    teacher: int = 20
    dimension: int = 15

    def cells(self) -> dict[str, PorcupineStudy]:
        """A cell a number of lines and teacher."""
        whole("teachers", self.teachers, 1)
        sizes = {"neurons": (2,), "teacher": str(self.teacher), "dimension": self.dimension}
        return {
            f"r{r:05d}-teacher{draw}": PorcupineStudy(**self.common(lines=str(r), draw=draw, **sizes))
            for r in self.lines
            for draw in range(self.teachers)
        }

    def drawings(self, result: Any) -> dict[str, Figure]:
        """Error against the number of lines."""
        from landscape.figures import lines

        return {"approximation": lines.approximation(result.cell_dicts())}


@dataclass(frozen=True)
class PorcupineLikelihood(_LinesTable):
    """The share of global optima as neurons per line, lines and dimension grow, beside the formulas.

    Teachers have both signs on every line, the same masses on each. On axes the share from small starts is then
    (1 - 2^(1-k))^d; on more lines than dimensions there is no formula.

    Attributes:
        neurons: Numbers of neurons on each line.
        dimensions: Input dimensions, a line a coordinate.
        lines: Numbers of random lines in three dimensions.
    """

    name: ClassVar[str] = "porcupine-likelihood"
    about: ClassVar[str] = "Feizi et al. 2017: share of global optima as neurons a line, lines and dimension grow"

    restarts: int = 2000
    neurons: tuple[int, ...] = (2, 3, 4, 6, 8)
    dimensions: tuple[int, ...] = (1, 2, 3)
    lines: tuple[int, ...] = (5, 12)

    def cells(self) -> dict[str, PorcupineStudy]:
        """A cell a number of neurons and a set of lines."""
        axes = {f"axes{d}": {"dimension": d} for d in self.dimensions}
        random = {f"lines{r}": {"lines": str(r), "dimension": 3} for r in self.lines}
        return {
            f"{what}-neurons{k}": PorcupineStudy(**self.common(neurons=(k,), **fields))
            for what, fields in {**axes, **random}.items()
            for k in self.neurons
        }

    def drawings(self, result: Any) -> dict[str, Figure]:
        """Shares against neurons on a line."""
        from landscape.figures import lines

        return {"likelihood": lines.likelihood(result.cell_dicts())}


@dataclass(frozen=True)
class PorcupineMismatch(_LinesTable):
    """Teachers that lie on no line: how often descents reach the best network on these lines, and how near others come.

    Attributes:
        neurons: Numbers of neurons on each line.
        lines: Numbers of random lines.
        dimension: Input dimension.
        teacher: Number of random unit teacher rows.
        draw: Seed of lines and teacher.
    """

    name: ClassVar[str] = "porcupine-mismatch"
    about: ClassVar[str] = "Feizi et al. 2017: teachers on other lines; ends of descents, optimum and Schur bound"

    restarts: int = 200
    neurons: tuple[int, ...] = (2, 3, 4, 6, 8)
    lines: tuple[int, ...] = (4, 10, 30)
    dimension: int = 3
    teacher: int = 4
    draw: int = 0

    def cells(self) -> dict[str, PorcupineStudy]:
        """A cell a number of lines and of neurons on each."""
        sizes = {"teacher": str(self.teacher), "dimension": self.dimension, "draw": self.draw}
        return {
            f"lines{r}-neurons{k}": PorcupineStudy(**self.common(lines=str(r), neurons=(k,), **sizes))
            for r in self.lines
            for k in self.neurons
        }

    def drawings(self, result: Any) -> dict[str, Figure]:
        """Shares and losses against neurons on a line."""
        from landscape.figures import lines

        return {"mismatch": lines.mismatch(result.cell_dicts())}


# -- what a cell is, and what is known of it ---------------------------------------------------------------------------
# Kept by fields: a table asks for the same problem when it is described, run and shown.


@lru_cache(maxsize=4)
def _problem(lines: str, neurons: tuple[int, ...], teacher: str, dimension: int | None, draw: int) -> Porcupine:
    import numpy as np

    from landscape.problems.porcupine import porcupine, unit_lines
    from landscape.problems.teacher_student import teacher_student

    whole("draw", draw, 0)
    rows = None if teacher.strip() == "signs" else read_teacher(teacher)
    directions = None if lines.strip() == "axes" else read_teacher(lines, "lines")
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
    if isinstance(directions, int):
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


@lru_cache(maxsize=256)
def known(lines: str, neurons: tuple[int, ...], teacher: str, dimension: int | None, draw: int) -> dict[str, Any]:
    """What theory says of a problem, without running anything.

    Returns:
        Sizes; the teacher as it was asked for, and the draw; the loss of no neurons at all; the optimum, a lower bound
        on it, and how many signs of lines are active there; the Schur value.
    """
    import numpy as np

    from landscape.theory.porcupine.masses import at_masses, masses
    from landscape.theory.porcupine.optimum import global_optimum
    from landscape.theory.porcupine.schur import schur_bound

    problem = _problem(lines, neurons, teacher, dimension, draw)
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


@lru_cache(maxsize=16)
def _regions(lines: str, neurons: tuple[int, ...], teacher: str, dimension: int | None, draw: int) -> tuple:
    from landscape.theory.porcupine.regions import regions

    return tuple(regions(_problem(lines, neurons, teacher, dimension, draw)))


def region_table(
    lines: str, neurons: tuple[int, ...], teacher: str, dimension: int | None, draw: int
) -> list[dict[str, Any]]:
    """One record a kind of sign region: + , - or 0 (both) for each line, regions of the kind, loss, bad or not, why."""
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
        for region in _regions(lines, neurons, teacher, dimension, draw)
    ]
