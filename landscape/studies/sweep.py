"""A sweep: the runs of one study at every combination of some fields' values, in one folder, with one table."""

from __future__ import annotations

import itertools
import json
import math
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.census.printed import number
from landscape.records import InputError, shortened
from landscape.studies.descents import Descents
from landscape.studies.given import build, keyed, study_named
from landscape.studies.study import Study, check_cells, check_drawable, once
from landscape.studies.table import Table, cells_in, run_cells, table_manifest

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.host.cluster import Pool


@dataclass(frozen=True)
class Sweep(Study):
    """A grid over fields of another study, one run folder a cell. A TOML file of a study with lists in it is one.

    Attributes:
        base: Name of the study.
        fixed: Its fields that are the same in every cell, as a JSON object.
        over: Lists of values by field, as a JSON object; the last field varies fastest.
    """

    name: ClassVar[str] = "sweep"
    about: ClassVar[str] = "a grid over fields of another study, in one folder with one table; lists in a TOML file"
    takes: ClassVar[str] = "as long as its runs; the default 4 s of processor time"
    draws: ClassVar[str] = "shares of the labels, a bar a cell"
    traced = True

    base: str = "teacher-student"
    fixed: str = '{"teacher": "4", "restarts": 100}'
    over: str = '{"width": [4, 5], "activation": ["relu", "abs"]}'

    @property
    def budget(self) -> int:
        """Of the longest descent."""
        return max(cell.budget for cell in self.cells().values())

    @property
    def axes(self) -> dict[str, list[Any]]:
        """Values by field, in order."""
        return _object(self.over, "over")

    @once
    def cells(self) -> dict[str, Descents]:
        """The studies of the single cells by folder.

        Raises:
            InputError: The study is unknown or no single run, or a field makes no sense.
        """
        from landscape.studies import STUDIES

        study = study_named(self.base, STUDIES)
        fields = list(study.__dataclass_fields__)
        axes, fixed = keyed(study, self.axes, fields), keyed(study, _object(self.fixed, "fixed"), fields)
        if not axes or not all(isinstance(values, list) and values for values in axes.values()):
            raise InputError("over must have a list of at least one value for each field that it names.")
        if twice := sorted(set(axes) & set(fixed)):
            raise InputError(f"field {twice[0]!r} is both fixed and swept over.")
        count = math.prod(len(values) for values in axes.values())
        check_cells("the sweep", count)
        found: dict[str, Descents] = {}
        for i, values in enumerate(itertools.product(*axes.values())):
            cell = build(study, fixed | dict(zip(axes, values, strict=True)))
            if not isinstance(cell, Descents) or cell.cells():
                raise InputError(f"a sweep is over a study that is one run, and {self.base} with these fields is none.")
            if cell in found.values():
                raise InputError(f"the sweep has {_words(axes, values)} twice.")
            found[f"{i:0{len(str(count - 1))}d}-{_plain(_words(axes, values))}"] = cell
        return found

    def plan(self) -> Any:
        """None of its own: its cells have them."""
        raise AssertionError("a sweep has cells")

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every cell."""
        return table_manifest(self, self.cells())

    def run(self, folder: Path | None = None, progress: bool | None = None, pool: Pool | None = None) -> SweepTable:
        """The table; cells that are done are not done again."""
        censuses = run_cells(self.cells(), folder, progress, pool)
        return self._table(dict(zip(self.cells(), censuses, strict=False)), folder)

    def stored(self, folder: Path) -> SweepTable:
        """The table of the cells in a run folder that were begun."""
        cells = self.cells()
        return self._table({place.name: cells[place.name].stored(place) for place in cells_in(cells, folder)}, folder)

    def _table(self, censuses: dict[str, Census], folder: Path | None) -> SweepTable:
        values = dict(zip(self.cells(), itertools.product(*self.axes.values()), strict=True))
        return SweepTable(
            self.name, list(censuses.values()), len(values), None if folder is None else str(folder),
            base=self.base, at=[dict(zip(self.axes, values[name], strict=True)) for name in censuses],
            total=sum(cell.restarts for cell in self.cells().values()),
        )  # fmt: skip

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws the shares of the labels in every cell."""
        from landscape.figures.style import save
        from landscape.figures.sweep import label_shares

        check_drawable(result, folder)
        return [save(label_shares(result.cell_dicts()), folder / "shares.png")]


@dataclass(frozen=True)
class SweepTable(Table):
    """Censuses of a grid.

    Attributes:
        base: Name of the study of the cells.
        at: The values of the swept fields, one record a census.
        total: Restarts in all cells.
    """

    base: str = ""
    at: list[dict[str, Any]] | None = None
    total: int = 0

    @property
    def restarts(self) -> int:
        """Number of restarts in all cells."""
        return self.total

    def cell_dicts(self) -> list[dict[str, Any]]:
        """One record a cell: the values of its fields, labels, shares, losses, levels."""
        return [
            {
                "fields": values,
                "restarts": census.restarts,
                "finished": census.finished,
                "labels": census.labels(),
                "shares": census.shares(),
                "lower_bound": census.lower_bound,
                "best_seen": census.best_seen,
                "levels": len(census.levels),
                "unseen_mass": census.unseen[0],
                "seconds": census.seconds["total"],
            }
            for values, census in zip(self.at or [], self.censuses, strict=True)
        ]

    def __str__(self) -> str:
        named: tuple[str, ...] = ("global", "spurious", "saddle", "undecided", "unconverged")
        cells = self.cell_dicts()
        fields = tuple(cells[0]["fields"])
        rows: list[tuple[str, ...]] = [
            (*fields, "restarts", "global [95%]", *named[1:], "others", "levels", "best loss", "seconds")
        ]
        for cell in cells:
            labels, good = cell["labels"], cell["shares"]["global"]
            interval = f"{100 * good['share']:.1f}% [{100 * good['low']:.1f}, {100 * good['high']:.1f}]"
            rows.append(
                (
                    *(_shown(cell["fields"][name]) for name in fields),
                    str(cell["finished"]),
                    interval if cell["finished"] else "-",
                    *(str(labels[name]) for name in named[1:]),
                    str(cell["finished"] - sum(labels[name] for name in named)),
                    str(cell["levels"]),
                    "-" if cell["best_seen"] is None else number(cell["best_seen"]),
                    f"{cell['seconds']:.1f}",
                )
            )
        return f"{self.base}, {len(cells)} of {self.cells} cells\n\n{self.printed(rows)}"


def sweep_of(study: Any, axes: dict[str, list[Any]]) -> Sweep:
    """The sweep of a study over the values of some fields; other fields are those of the study.

    Input files that a field names are taken in, as a single run does.

    Args:
        study: A study, whatever its swept fields are.
        axes: Lists of values by field.
    """
    from landscape.host import files

    whole, _ = files.taken_in(study)
    default = type(study)()
    given = {name: value for name, value in asdict(whole).items() if name not in axes}
    fixed = {name: value for name, value in given.items() if value != getattr(default, name)}
    over = {
        name: [getattr(files.taken_in(replace(study, **{name: one}))[0], name) for one in values]
        for name, values in axes.items()
    }
    return Sweep(study.name, json.dumps(fixed), json.dumps(over))


def _object(text: str, name: str) -> dict[str, Any]:
    from landscape.host.files import json_of

    found = json_of(text, name)
    if not isinstance(found, dict):
        raise InputError(f'{name} must be a JSON object like {{"width": 4}}.')
    return found


def _words(axes: dict[str, list[Any]], values: tuple[Any, ...]) -> str:
    return ", ".join(f"{name} {_shown(one)}" for name, one in zip(axes, values, strict=True))


def _shown(value: Any) -> str:
    return shortened(value if isinstance(value, str) else json.dumps(value), 24, 24)


def _plain(text: str) -> str:
    """Words as part of a folder's name."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60]
