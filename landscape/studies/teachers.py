"""Teacher-student studies: any teacher, and Safran and Shamir's (2017) experiment, one cell or the whole table."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError

if TYPE_CHECKING:
    import numpy as np

    from landscape.census import Census
    from landscape.engine.settings import Settings
    from landscape.problems.teacher_student import TeacherStudent

BAD_LOSS = 1e-3  # Safran and Shamir call a run bad when its loss is at least this

# Percent of 1000 runs with loss >= 1e-3 and its 95% Wilson interval, from the data published with Safran and Shamir
# 2017 (Results/newExp-k-n.mat, sums of `magnitude`); (k, n): percent, low, high.
PUBLISHED = {
    (6, 6): (0.3, 0.1, 0.9), (7, 7): (5.5, 4.2, 7.1), (8, 8): (12.6, 10.7, 14.8), (10, 10): (34.6, 31.7, 37.6),
    (12, 12): (58.5, 55.4, 61.5), (15, 15): (80.3, 77.7, 82.6), (20, 20): (94.9, 93.4, 96.1), (8, 9): (0.1, 0.02, 0.56),
    (10, 11): (0.1, 0.02, 0.56), (12, 13): (0.3, 0.1, 0.9), (15, 16): (10.2, 8.5, 12.2),
}  # fmt: skip


@dataclass(frozen=True)
class Descents:
    """Fields that every study of restarts has.

    Attributes:
        restarts: Number of descents.
        seed: Of the starting points; restart i of a seed is always the same.
        init: Distribution of the starts: xavier (N(0, 1/d)), he, gaussian, sphere.
        init_scale: Multiplies the starts.
        optimiser: gradient-descent (the paper's), flow (the gradient flow, several times faster), lbfgs, momentum,
            nesterov, adam or rmsprop; the shares are those of its basins.
        step_size: Of the optimiser; flow and lbfgs choose their own.
        tolerance: Largest local error of a step of flow, times the largest teacher norm.
        budget: Gradients of one restart before it is given up as unconverged.
        retire: Gradient norm at which a restart is first offered to the polish, times the largest teacher norm.
        lanes: Restarts that run at once, 0 for the device's own number; labels do not depend on it.
        dtype: Precision of the descent: float64 or float32.
    """

    restarts: int = 1000
    seed: int = 0
    init: str = "xavier"
    init_scale: float = 1.0
    optimiser: str = "gradient-descent"
    step_size: float = 0.1
    tolerance: float = 0.003
    budget: int = 200_000
    retire: float = 1e-5
    lanes: int = 0
    dtype: str = "float64"

    def settings(self) -> Settings:
        """The driver's settings."""
        from landscape.engine.settings import Settings

        return Settings(**{name: getattr(self, name) for name in Settings._fields}).check()

    def run(self, folder: Path | None, progress: bool | None) -> Census:
        """The census of the study; an existing run folder is gone on with."""
        from landscape.host.explore import run

        problem = self.problem()
        return run(
            problem,
            self.settings(),
            self.restarts,
            self.seed,
            study=self.name,  # type: ignore[attr-defined]
            folder=folder,
            progress=progress,
            title=self.title(),
            findings=self.findings,
        )

    def title(self) -> str:
        """Beside the progress bar."""
        problem = self.problem()
        return f"k = {len(problem.teacher)}, n = {problem.width}"

    def findings(self, rows: dict[str, np.ndarray]) -> dict[str, Any]:
        """What the study measures beyond the census, from all rows."""
        return paper_share(rows)

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        from landscape.host.explore import check_counts, manifest

        check_counts(self.restarts, self.seed)
        return manifest(self.name, asdict(self), self.problem(), self.settings(), self.restarts, self.seed)  # type: ignore[attr-defined]

    def problem(self) -> Any:
        """The landscape."""
        raise AssertionError("every study has its own")


@dataclass(frozen=True)
class TeacherStudy(Descents):
    """Any teacher: a file, a matrix, or a number of orthonormal neurons.

    Attributes:
        teacher: A JSON or npz file with the rows (or {"teacher": rows}), the rows themselves as [[...], ...], or k for
            k orthonormal neurons.
        width: Number of student neurons; the teacher's by default.
        dimension: Input dimension for an orthonormal teacher; k by default.
        activation: relu, leaky_relu, abs, linear, quadratic, erf or gelu.
        slope: Negative-side slope of leaky_relu.
    """

    name: ClassVar[str] = "teacher-student"
    about: ClassVar[str] = "any teacher and width, all activations, exact loss over Gaussian inputs"

    teacher: str = "6"
    width: int | None = None
    dimension: int | None = None
    activation: str = "relu"
    slope: float = 0.01

    def problem(self) -> TeacherStudent:
        """The landscape.

        Raises:
            InputError: The teacher cannot be read or makes no sense.
        """
        from landscape.problems.teacher_student import orthonormal_teacher, teacher_student

        teacher = read_teacher(self.teacher)
        options: dict[str, Any] = {"activation": self.activation, "slope": self.slope}
        if isinstance(teacher, int):
            return orthonormal_teacher(teacher, self.width, self.dimension, **options)
        if self.dimension is not None:
            raise InputError("dimension belongs to an orthonormal teacher; a matrix has its own number of columns.")
        return teacher_student(teacher, self.width, **options)


@dataclass(frozen=True)
class SafranShamir(Descents):
    """One cell of Safran and Shamir's table: k orthonormal teachers, n students, their protocol.

    Attributes:
        teacher: Number k of orthonormal teacher neurons.
        width: Number n of student neurons; k by default.
    """

    name: ClassVar[str] = "safran-shamir"
    about: ClassVar[str] = "Safran and Shamir 2017, table 1: one cell (teacher size, width)"

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

    teachers: tuple[int, ...] = tuple(range(6, 21))
    extra: tuple[int, ...] = (0, 1)

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

    def manifest(self) -> dict[str, Any]:
        """What the folder of the table says; also checks every cell."""
        from landscape.studies.table import table_manifest

        return table_manifest(self, self.cells())

    def run(self, folder: Path | None, progress: bool | None) -> Any:
        """The table; cells that are done are not done again."""
        from landscape.studies.table import Table, run_cells

        cells = self.cells()
        done = run_cells(cells, folder, progress)
        return Table(self.name, done, len(cells), None if folder is None else str(folder))


def paper_share(rows: dict[str, np.ndarray]) -> dict[str, Any]:
    """The share of restarts that Safran and Shamir call bad, by their rule: a loss of at least 1e-3, saddles too."""
    from landscape.census.statistics import share

    bad = int((rows["loss"] >= BAD_LOSS).sum())
    return {
        "paper_share": {
            "rule": f"loss >= {BAD_LOSS:g}, saddles included",
            "count": bad,
            **share(bad, len(rows["loss"])),
        }
    }


def read_teacher(text: str, what: str = "teacher") -> Any:
    """A teacher (or other rows) as k, rows, or the rows in a file.

    Raises:
        InputError: The file is missing or is neither JSON nor npz with a teacher in it.
    """
    text = str(text).strip()
    if text.lstrip("+-").isdigit():
        return int(text)
    if text.startswith("["):
        return _rows(text, f"the {what}", what)
    path = Path(text)
    if not path.is_file():
        raise InputError(
            f"{what} {text!r} is no file; give a JSON or npz file, rows like [[1, 0], [0, 1]], or a number."
        )
    if path.suffix == ".npz":
        import zipfile

        import numpy as np

        try:
            with np.load(path) as data:
                if what not in data:
                    raise InputError(f"{path} holds {', '.join(data) or 'nothing'}, but no array named {what}.")
                return data[what]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise InputError(f"{path} is not a readable npz file: {error}.") from error
    try:
        content = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error
    return _rows(content, str(path), what)


def _rows(text: str, where: str, what: str) -> Any:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where} is not JSON: {error}.") from error
    if isinstance(content, dict):
        if what not in content:
            raise InputError(f'{where} is an object without "{what}".')
        content = content[what]
    return content
