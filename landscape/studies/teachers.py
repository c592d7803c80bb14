"""Teacher-student studies: any teacher, and Safran and Shamir's (2017) experiment, one cell or the whole table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError
from landscape.studies.descents import Descents
from landscape.studies.published import PUBLISHED
from landscape.studies.sources import read_rows
from landscape.studies.study import once

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.problems.outer_weights import OuterWeights
    from landscape.problems.teacher_student import TeacherStudent

BAD_LOSS = 1e-3  # Safran and Shamir call a run bad when its loss is at least this


@dataclass(frozen=True)
class Teachers(Descents):
    """Descents on one teacher-student problem; their share by the paper's rule is found too."""

    def title(self, problem: TeacherStudent | OuterWeights) -> str:
        """Beside the progress bar."""
        return f"k = {len(problem.teacher)}, n = {problem.width}"

    def findings(self, census: Census) -> dict[str, Any]:
        """The share by the paper's rule."""
        return paper_share(census) if census.finished else {}


@dataclass(frozen=True)
class TeacherStudy(Teachers):
    """Any teacher: a file, a matrix, or a number of orthonormal neurons.

    Attributes:
        teacher: A JSON or npz file with the rows (or {"teacher": rows}), the rows themselves as [[...], ...], or k for
            k orthonormal neurons.
        width: Number of student neurons; the teacher's by default.
        dimension: Input dimension for an orthonormal teacher; k by default.
        activation: relu, leaky_relu, abs, linear, quadratic, erf or gelu.
        slope: Negative-side slope of leaky_relu.
        outer: Outer weights of the student: one, trained, or numbers that stay fixed as [...].
        teacher_outer: Outer weights of the teacher: one, or numbers as [...].
    """

    name: ClassVar[str] = "teacher-student"
    about: ClassVar[str] = "any teacher and width, all activations, exact loss over Gaussian inputs"
    takes: ClassVar[str] = "4 s of processor time"
    draws: ClassVar[str] = "loss levels with their shares, Hessian spectra, and descents of 40 restarts"

    teacher: str = "6"
    width: int | None = None
    dimension: int | None = None
    activation: str = "relu"
    slope: float = 0.01
    outer: str = "one"
    teacher_outer: str = "one"

    def problem(self) -> TeacherStudent | OuterWeights:
        """The landscape.

        Raises:
            InputError: The teacher cannot be read or makes no sense.
        """
        from landscape.problems.teacher_student import orthonormal_teacher, teacher_student

        teacher = read_rows(self.teacher, "teacher")
        options: dict[str, Any] = {"activation": self.activation, "slope": self.slope}
        options["teacher_outer"] = (
            None if self.teacher_outer == "one" else read_rows(self.teacher_outer, "teacher_outer")
        )
        if self.outer != "one":
            options["outer"] = "trained" if self.outer == "trained" else read_rows(self.outer, "outer")
        if isinstance(teacher, int):
            return orthonormal_teacher(teacher, self.width, self.dimension, **options)
        if self.dimension is not None:
            raise InputError("dimension belongs to an orthonormal teacher; a matrix has its own number of columns.")
        return teacher_student(teacher, self.width, **options)


@dataclass(frozen=True)
class SafranShamir(Teachers):
    """One cell of Safran and Shamir's table: k orthonormal teachers, n students, their protocol.

    Attributes:
        teacher: Number k of orthonormal teacher neurons.
        width: Number n of student neurons; k by default.
    """

    name: ClassVar[str] = "safran-shamir"
    about: ClassVar[str] = "Safran and Shamir 2017, table 1: one cell (teacher size, width)"
    takes: ClassVar[str] = "10 s"
    draws: ClassVar[str] = "loss levels with their shares, Hessian spectra, and descents of 40 restarts"

    teacher: int = 10
    width: int | None = None

    def problem(self) -> TeacherStudent:
        """The landscape."""
        from landscape.problems.teacher_student import orthonormal_teacher

        return orthonormal_teacher(self.teacher, self.width)


@dataclass(frozen=True)
class SafranShamirTable(Descents):
    """Safran and Shamir's whole table: n = k and n = k + 1 for k = 6..20, one run folder a cell.

    Attributes:
        teachers: Values of k.
        extra: Values of n - k.
    """

    name: ClassVar[str] = "safran-shamir-table"
    about: ClassVar[str] = "Safran and Shamir 2017, table 1: every cell n = k and n = k + 1, k = 6..20"
    takes: ClassVar[str] = "n = k: 80 s with --optimiser flow, 9 minutes with gradient descent"
    draws: ClassVar[str] = "shares of spurious ends by teacher size, beside the published ones"

    teachers: tuple[int, ...] = tuple(range(6, 21))
    extra: tuple[int, ...] = (0, 1)

    @once
    def cells(self) -> dict[str, SafranShamir]:
        """The studies of the single cells by folder, small ones first.

        Raises:
            InputError: There are none, or a size makes no sense.
        """
        common = {name: getattr(self, name) for name in Descents.__dataclass_fields__}
        cells = {
            f"k{k:02d}-n{k + more:02d}": SafranShamir(teacher=k, width=k + more, **common)
            for more in self.extra
            for k in self.teachers
        }
        if not cells:
            raise InputError("teachers and extra must each name at least one size.")
        return cells

    def table(self, censuses: list[Census], folder: Path | None) -> Any:
        """The cells."""
        from landscape.studies.table import Table

        return Table(self.name, censuses, len(self.cells()), None if folder is None else str(folder))

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws shares of spurious ends by size of the teacher."""
        from landscape.figures.shares import shares_by_teacher
        from landscape.figures.style import save

        return [save(shares_by_teacher(result.cell_dicts(), published=PUBLISHED), folder / "shares.png")]


def paper_share(census: Census) -> dict[str, Any]:
    """The share of restarts that Safran and Shamir call bad, by their rule: a loss of at least 1e-3, saddles too."""
    from landscape.census.statistics import share

    bad = int((census.rows["loss"] >= BAD_LOSS).sum())
    return {
        "paper_share": {
            "rule": f"loss >= {BAD_LOSS:g}, saddles included",
            "count": bad,
            **share(bad, census.finished),
        }
    }
