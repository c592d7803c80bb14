"""A table of censuses, one a cell: prints itself, and answers `--json` like a census of all its restarts."""

from __future__ import annotations

import sys
from collections import Counter
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.census.census import Census
from landscape.census.statistics import share
from landscape.census.text import text_table
from landscape.figures.captions import teacher_name
from landscape.host import kept, store
from landscape.host.identity import difference, named
from landscape.records import InputError, Label
from landscape.studies.published import PUBLISHED

if TYPE_CHECKING:
    from landscape.host.cluster import Pool


def table_manifest(study: Any, cells: dict[str, Any]) -> dict[str, Any]:
    """What the folder of a table says; also checks every cell.

    Args:
        study: The study of the table.
        cells: The studies of its cells by folder.

    Raises:
        InputError: A field of a cell makes no sense.
    """
    each = [cell.manifest() for cell in cells.values()]
    return {
        **each[0],
        "study": study.name,
        "fields": study.fields(),
        "problem": {"kind": "table", "cells": len(each), "normalisation": each[0]["problem"]["normalisation"]},
        "restarts": sum(cell["restarts"] for cell in each),
    }


def run_cells(
    cells: dict[str, Any], folder: Path | None, progress: bool | None, pool: Pool | None = None
) -> list[Census]:
    """The censuses of the cells in order, each in its own folder; those that are done are not done again.

    Args:
        cells: Studies by folder.
        folder: Of the table, None to keep nothing.
        progress: As for `explore`.
        pool: Who does the restarts.

    Returns:
        One a cell; fewer, and the last one unfinished, where the run was interrupted.

    Raises:
        InputError: A folder holds another run than its cell's, or another process is at work on the table.
    """
    from landscape.host.progress import bars

    done = []
    with nullcontext() if folder is None else kept.one_writer(folder), bars(progress, len(cells)):
        for place, cell in cells.items():
            where = None if folder is None else folder / place
            if where is not None and not (where / store.MANIFEST).exists():
                store.create(where, named(cell.manifest() | _common(folder)))
            elif where is not None and (differs := other_run(where, cell)):
                raise InputError(f"{where} holds another run than this cell's: its {differs} differs; move it away.")
            done.append(cell.run(where, progress, pool))
            if done[-1].finished < done[-1].restarts:
                break
    return done


def _common(folder: Path | None) -> dict[str, Any]:
    """Where the table's input files came from, and when its descents are looked at, as its cells say too."""
    said = {} if folder is None else store.read_manifest(folder)
    return {name: said[name] for name in ("files", "looks") if name in said}


def other_run(folder: Path, cell: Any) -> str | None:
    """In what the run in a folder differs from that of a cell; None if it is that."""
    asked = {"study": cell.name, "fields": asdict(cell), "restarts": cell.restarts, "seed": cell.seed}
    return difference(store.read_manifest(folder), asked)


def cells_in(cells: dict[str, Any], folder: Path) -> list[Path]:
    """The folders of the cells that were begun; one that holds another run is named on standard error and left out.

    Raises:
        InputError: There is none.
    """
    found = []
    for place, cell in cells.items():
        where = folder / place
        if (where / store.MANIFEST).exists():
            if differs := other_run(where, cell):
                print(f"landscape: {where} holds another run (its {differs} differs) and is left out.", file=sys.stderr)
            else:
                found.append(where)
    if not found:
        raise InputError(f"{folder} has no finished cell yet; `landscape resume {folder}` runs it.")
    return found


@dataclass(frozen=True)
class Table:
    """Censuses of several cells.

    Attributes:
        study: Name of the study.
        censuses: Of the cells that were begun, in order.
        cells: Number of cells in all.
        folder: Where they are stored, None if nowhere.
    """

    study: str
    censuses: list[Census]
    cells: int
    folder: str | None = None

    @property
    def finished(self) -> int:
        """Number of restarts that are done, in all cells."""
        return sum(census.finished for census in self.censuses)

    @property
    def restarts(self) -> int:
        """Number of restarts in all cells."""
        return self.cells * self.censuses[0].restarts

    def cell_dicts(self) -> list[dict[str, Any]]:
        """One record a cell: sizes, labels, shares, and the share by the paper's rule beside the published one."""
        out = []
        for census in self.censuses:
            facts = census.problem
            published = PUBLISHED.get((facts["teacher"], facts["width"]))
            out.append(
                {
                    "teacher": facts["teacher"],
                    "width": facts["width"],
                    "restarts": census.restarts,
                    "finished": census.finished,
                    "labels": census.labels(),
                    "shares": census.shares(),
                    "paper_share": census.findings.get("paper_share"),
                    "published_percent": None
                    if published is None
                    else dict(zip(("share", "low", "high"), published, strict=True)),
                    "orbits": sum(level.orbits or 1 for level in census.levels),
                    "unseen_mass": census.unseen[0],
                    "max_grad_norm": max((level.grad_norm for level in census.levels), default=None),
                    "seconds": census.seconds["total"],
                }
            )
        return out

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape run safran-shamir-table --json` prints."""
        labels = Counter({str(label): 0 for label in Label})
        seconds: Counter[str] = Counter()
        for census in self.censuses:
            labels.update(census.labels())
            seconds.update(census.seconds)  # type: ignore[arg-type]
        first = self.censuses[0]
        return {
            "study": self.study,
            "problem": {
                "kind": "table",
                "cells": self.cells,
                "width": None,
                "parameters": None,
                "normalisation": first.problem["normalisation"],
            },
            "restarts": self.restarts,
            "seed": first.seed,
            "labels": dict(labels),
            "shares": {label: share(count, self.finished) for label, count in labels.items()},
            "levels": [],
            "lower_bound": first.lower_bound,
            "best_seen": min((c.best_seen for c in self.censuses if c.best_seen is not None), default=None),
            "unseen_mass": None,
            "seconds": {name: round(value, 3) for name, value in seconds.items()},
            "environment": first.environment,
            "findings": {"finished": self.finished, "cells": self.cell_dicts()},
        }

    def __str__(self) -> str:
        head = (
            "k",
            "n",
            "restarts",
            "global",
            "spurious",
            "saddle",
            "undecided",
            "unconv.",
            "loss >= 1e-3 [95%]",
            "published [95%]",
            "orbits",
            "seconds",
        )
        lines = []
        for cell in self.cell_dicts():
            bad, said = cell["paper_share"], cell["published_percent"]
            labels = cell["labels"]
            lines.append(
                (
                    str(cell["teacher"]),
                    str(cell["width"]),
                    str(cell["finished"]),
                    str(labels["global"]),
                    str(labels["spurious"]),
                    str(labels["saddle"]),
                    str(labels["undecided"]),
                    str(labels["unconverged"]),
                    f"{100 * bad['share']:.1f}% [{100 * bad['low']:.1f}, {100 * bad['high']:.1f}]" if bad else "-",
                    f"{said['share']}% [{said['low']}, {said['high']}]" if said else "-",
                    str(cell["orbits"]),
                    f"{cell['seconds']:.1f}",
                )
            )
        return self.printed([head, *lines])

    def printed(self, rows: list[tuple[str, ...]]) -> str:
        """These rows as a table, the first its head, with what was run."""
        text = [*text_table(rows), "", f"{self.study}: {self.finished} of {self.restarts} restarts"]
        return "\n".join(text + ([f"stored in {self.folder}"] if self.folder else []))


class LinesTable(Table):
    """Censuses of porcupine networks."""

    def cell_dicts(self) -> list[dict[str, Any]]:
        """One record a cell: its problem and what theory knows of it, labels, shares, and the ends of descents."""
        return [
            {
                **census.findings["porcupine"],
                "restarts": census.restarts,
                "finished": census.finished,
                "labels": census.labels(),
                "shares": census.shares(),
                "basins": census.findings["basins"],
                **{name: census.findings[name] for name in ("regions", "region_counts") if name in census.findings},
                "unseen_mass": census.unseen[0],
                "seconds": census.seconds["total"],
            }
            for census in self.censuses
            if census.finished
        ]

    def __str__(self) -> str:
        head = ("teacher", "draw", "d", "lines", "neurons", "restarts", "global [95%]", "formula", "spurious", "others",
                "least loss", "mean loss", "optimum", "Schur bound", "levels", "seconds")  # fmt: skip
        lines = []
        for cell in self.cell_dicts():
            labels, good = cell["labels"], cell["global_share"]
            number = lambda x: "-" if x is None else f"{round(x, 9) + 0.0:.7g}"  # noqa: E731
            lines.append(
                (
                    teacher_name(cell),
                    str(cell["draw"]),
                    str(cell["dimension"]),
                    str(cell["lines"]),
                    str(cell["neurons"]),
                    str(cell["finished"]),
                    f"{100 * good['share']:.1f}% [{100 * good['low']:.1f}, {100 * good['high']:.1f}]",
                    "-" if cell["law"] is None else f"{100 * cell['law']:.1f}%",
                    str(labels["spurious"]),
                    str(cell["finished"] - labels["global"] - labels["spurious"]),
                    number(cell["least_loss"]),
                    number(cell["mean_loss"]),
                    number(cell["optimum"]),
                    number(cell["schur_bound"]),
                    str(cell["levels"]),
                    f"{cell['seconds']:.1f}",
                )
            )
        shown, finished = (
            sum(c["basins"].get(ground, 0) for c in self.cell_dicts()) for ground in ("shown", "finished")
        )
        said = (
            f"{shown} ends are shown to be plain descent's own, {finished} were finished exactly where descents stood"
        )
        return f"{self.printed([head, *lines])}\n{said}"
