"""What an extra neuron does, and what the scale of the starts does, to the share of spurious ends: tables of runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError
from landscape.studies.descents import Descents
from landscape.studies.study import once
from landscape.studies.table import Table
from landscape.studies.teachers import SafranShamir, SafranShamirTable

if TYPE_CHECKING:
    from landscape.census.census import Census


@dataclass(frozen=True)
class Overparametrise(SafranShamirTable):
    """Share of spurious ends at n = k, k + 1, k + 2, ... students: mild over-parametrisation.

    Attributes:
        teachers: Values of k.
        extra: Values of n - k.
    """

    name: ClassVar[str] = "overparametrise"
    about: ClassVar[str] = "Safran, Yehudai and Shamir 2021: what one neuron more than the teacher does"
    takes: ClassVar[str] = "200 s of processor time"

    optimiser: str = "flow"
    teachers: tuple[int, ...] = tuple(range(6, 13))
    extra: tuple[int, ...] = (0, 1, 2)

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws shares of spurious ends by the number of extra neurons."""
        from landscape.figures.convergence import extra_neurons
        from landscape.figures.style import save

        return [save(extra_neurons(result.cell_dicts()), folder / "overparametrise.png")]


@dataclass(frozen=True)
class InitScale(Descents):
    """Share of global ends against the scale of the starts, at n = k and above.

    Attributes:
        teacher: Number k of orthonormal teachers.
        extra: Values of n - k.
        hundredths: Scales of the starts in hundredths: 100 is Safran and Shamir's N(0, 1/d).
    """

    name: ClassVar[str] = "init-scale"
    about: ClassVar[str] = "share of global ends by the scale of the starts, at the teacher's width and one above"
    takes: ClassVar[str] = "35 s of processor time"
    draws: ClassVar[str] = "shares of global ends by scale"

    restarts: int = 500
    optimiser: str = "flow"
    teacher: int = 10
    extra: tuple[int, ...] = (0, 1)
    hundredths: tuple[int, ...] = (1, 10, 30, 100, 200, 400)

    @once
    def cells(self) -> dict[str, SafranShamir]:
        """The studies of the single cells by folder.

        Raises:
            InputError: There are none, or a size makes no sense.
        """
        common: dict[str, Any] = {name: getattr(self, name) for name in Descents.__dataclass_fields__}
        if any(one < 1 for one in self.hundredths):
            raise InputError(f"hundredths must be positive, found {min(self.hundredths)}.")
        cells = {}
        for more in self.extra:
            for one in self.hundredths:
                own: dict[str, Any] = {**common, "init_scale": self.init_scale * one / 100}
                cell = SafranShamir(teacher=self.teacher, width=self.teacher + more, **own)
                cells[f"n{self.teacher + more:02d}-s{one:04d}"] = cell
        if not cells:
            raise InputError("extra and hundredths must each name at least one number.")
        return cells

    def table(self, censuses: list[Census], folder: Path | None) -> Any:
        """The cells."""
        return ScaleTable(self.name, censuses, len(self.cells()), None if folder is None else str(folder))

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws shares of global ends by scale."""
        from landscape.figures.convergence import scales
        from landscape.figures.style import save

        return [save(scales(result.cell_dicts()), folder / "scales.png")]


class ScaleTable(Table):
    """Censuses at several scales of the starts."""

    def cell_dicts(self) -> list[dict[str, Any]]:
        """One record a cell, with the scale of its starts."""
        plans = [census.plan for census in self.censuses]
        assert all(plan is not None for plan in plans)
        scaled = [plan.settings.init_scale for plan in plans if plan is not None]
        return [cell | {"init_scale": one} for cell, one in zip(super().cell_dicts(), scaled, strict=True)]

    def __str__(self) -> str:
        head = ("k", "n", "scale", "restarts", "global [95%]", "spurious", "saddle", "undecided", "unconv.", "seconds")
        lines = []
        for cell in self.cell_dicts():
            labels, good = cell["labels"], cell["shares"]["global"]
            lines.append(
                (
                    str(cell["teacher"]), str(cell["width"]), f"{cell['init_scale']:g}", str(cell["finished"]),
                    f"{100 * good['share']:.1f}% [{100 * good['low']:.1f}, {100 * good['high']:.1f}]",
                    str(labels["spurious"]), str(labels["saddle"]), str(labels["undecided"]),
                    str(labels["unconverged"]), f"{cell['seconds']:.1f}",
                )
            )  # fmt: skip
        return self.printed([head, *lines])
