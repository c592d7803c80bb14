"""Porcupine studies: neurons on lines, and the figures and claims of Feizi, Javadi, Zhang and Tse (2017).

Losses are in the package's normalisation; what is named `paper_loss` is twice that, E (student - teacher)^2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.problems.defaults import ON_LINES
from landscape.records import InputError, whole
from landscape.studies.descents import Descents
from landscape.studies.lines import known, on_lines, reached, region_table
from landscape.studies.study import MOST_CELLS, check_cells, check_drawable, once

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from landscape.census.census import Census
    from landscape.problems.porcupine import Porcupine


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
    retire: float = ON_LINES["retire"]
    budget: int = int(ON_LINES["budget"])

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws the result into the folder.

        Raises:
            InputError: There is nothing to draw yet.
        """
        from landscape.figures.style import save

        check_drawable(result, folder)
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
    takes: ClassVar[str] = "2 s of processor time"
    draws: ClassVar[str] = "ends of the descents beside the optimum and its bounds"

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
        return on_lines(self.lines, self.neurons, self.teacher, self.dimension, self.draw)

    def built_in(self, field: str) -> list[str]:
        """Words for lines and teachers."""
        return ["axes", "signs"]

    def title(self, problem: Porcupine) -> str:
        """Beside the progress bar."""
        return f"{self.lines if len(self.lines) < 9 else 'given'} lines, {'/'.join(map(str, self.neurons))} neurons"

    def findings(self, census: Census) -> dict[str, Any]:
        """The optimum and its bounds, the ends of the descents beside them, and the formula for the share of global
        ones where there is one."""
        from landscape.census.assemble import loss_unit

        if not census.finished:
            return {}
        problem, law = self.plan().problem, self.law()
        theory = known(problem, self.teacher, self.draw)
        return {"porcupine": theory | {"law": law} | reached(law, census.rows, loss_unit(problem))}

    def law(self) -> float | None:
        """The probability of a global end by the formula for small starts; None where it is not known to hold."""
        from landscape.theory.porcupine.orthogonal import follows_starts, orthogonal_global_probability

        problem, settings = self.plan().problem, self.plan().settings
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
    takes: ClassVar[str] = "2 s of processor time"
    draws: ClassVar[str] = "the table of sign regions, and the ends of the descents"

    neurons: tuple[int, ...] = (3,)
    teacher: str = "[[6], [-4]]"

    def findings(self, census: Census) -> dict[str, Any]:
        """Every kind of region: how many there are, the loss of its stationary points, whether they are bad, why."""
        if not census.finished:
            return {}
        regions = region_table(self.plan().problem)
        total = {word: sum(r["count"] for r in regions if r["bad"] is bad) for word, bad in _BAD.items()}
        return {**super().findings(census), "regions": regions, "region_counts": total}

    def drawings(self, result: Census) -> dict[str, Figure]:
        """The table of regions, and where descents end."""
        from landscape.figures import regions

        return {"regions": regions.regions(result), **super().drawings(result)}


_BAD = {"with bad minima": True, "without": False, "undecided": None}


@dataclass(frozen=True)
class _LinesTable(_Starts):
    """Studies of several cells, one run folder a cell."""

    def each(self) -> dict[str, PorcupineStudy]:
        """The studies of the single cells by folder."""
        raise AssertionError("every table has its own")

    @once
    def cells(self) -> dict[str, PorcupineStudy]:
        """The studies of the single cells by folder.

        Raises:
            InputError: There are none, or too many.
        """
        cells = self.each()
        if not cells:
            raise InputError(f"{self.name} has no cell: each list of sizes must name at least one.")
        check_cells(self.name, len(cells))
        return cells

    def common(self, **others: Any) -> dict[str, Any]:
        """Fields that the cells take over."""
        return {name: getattr(self, name) for name in _Starts.__dataclass_fields__} | others

    def table(self, censuses: list[Census], folder: Path | None) -> Any:
        """The result."""
        from landscape.studies.table import LinesTable

        return LinesTable(self.name, censuses, len(self.cells()), None if folder is None else str(folder))


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
    takes: ClassVar[str] = "2 s of processor time"
    draws: ClassVar[str] = "the loss over both coefficients with every local minimum, a panel a teacher"

    restarts: int = 1000
    teachers: tuple[int, ...] = (6, 4, 6, -4)

    def each(self) -> dict[str, PorcupineStudy]:
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

        return {
            "surfaces": regions.surfaces([cell.plan().problem for cell in self.cells().values()], result.cell_dicts())
        }


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
    takes: ClassVar[str] = "2.5 minutes"
    draws: ClassVar[str] = "the error against the number of lines: ends of descents, optimum, a free network"

    restarts: int = 100
    optimiser: str = "nesterov"
    dtype: str = "float32"
    lines: tuple[int, ...] = (5, 15, 30, 60, 120, 250, 500, 1000)
    teachers: int = 5
    teacher: int = 20
    dimension: int = 15

    def each(self) -> dict[str, PorcupineStudy]:
        """A cell a number of lines and teacher."""
        whole("teachers", self.teachers, 1, most=MOST_CELLS)
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
    draws: ClassVar[str] = "the share of global ends against neurons on a line, beside the formula"

    restarts: int = 2000
    neurons: tuple[int, ...] = (2, 3, 4, 6, 8)
    dimensions: tuple[int, ...] = (1, 2, 3)
    lines: tuple[int, ...] = (5, 12)

    def each(self) -> dict[str, PorcupineStudy]:
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
    draws: ClassVar[str] = "the share of descents at the optimum, and losses of the ends beside it"

    restarts: int = 200
    neurons: tuple[int, ...] = (2, 3, 4, 6, 8)
    lines: tuple[int, ...] = (4, 10, 30)
    dimension: int = 3
    teacher: int = 4
    draw: int = 0

    def each(self) -> dict[str, PorcupineStudy]:
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
