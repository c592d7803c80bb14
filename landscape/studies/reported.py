"""Studies that run in one process and whose result is a report, kept as one file."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.host import kept
from landscape.host.identity import REPORT
from landscape.records import InputError, Label
from landscape.studies.study import Study, once

if TYPE_CHECKING:
    from landscape.engine.plan import Plan
    from landscape.host.cluster import Pool

RESULT = "result.json"


@dataclass(frozen=True)
class Report:
    """What a growth study found: prints itself, and answers `--json` with the keys of a census.

    Attributes:
        record: Exactly what `--json` prints.
        text: What is printed otherwise.
        finished: Starts that are done.
        restarts: Starts in all.
        folder: Where it is stored, None if nowhere.
    """

    record: dict[str, Any]
    text: str
    finished: int
    restarts: int
    folder: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `--json` prints."""
        return self.record

    def __str__(self) -> str:
        return self.text + (f"\nstored in {self.folder}" if self.folder else "")


def rows_by_width(
    study: Any, folder: Path | None, progress: bool | None
) -> tuple[list[dict[str, Any]], dict[str, int], int, int]:
    """A row a width, from the folder where it is done; after Ctrl-C, those that are done.

    Args:
        study: Has restarts and widths, and `width_row` for what becomes of a width's descents, None after Ctrl-C.
        folder: Where rows are kept, if anywhere.
        progress: Show a progress bar.

    Returns:
        The rows, how many descents have each label, how many are done, and how many there are in all.
    """
    from landscape.host.progress import counting_bar

    table: list[dict[str, Any]] = []
    total = study.restarts * len(study.widths)
    with counting_bar(progress, study.name) as tell:
        told = None if tell is None else lambda done: tell(done, total)
        for width in study.widths:
            name = f"width{width:04d}.json"
            row = None if folder is None else kept.read_or_set_aside(folder, name)
            if row is None:
                row = study.width_row(width, told, len(table) * study.restarts)
                if row is None:
                    break
                if folder is not None:
                    kept.keep(folder, name, row)
            table.append(row)
    labels: Counter[str] = Counter()
    for row in table:
        labels.update(row["labels"])
    return table, labels, study.restarts * len(table), total


class Reported(Study):
    """Studies whose result is a report, kept as one file of the run folder."""

    one_process: ClassVar[bool] = True
    traced = False
    restarts: int
    seed: int

    @abstractmethod
    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Does what is not in the folder yet."""

    def run(self, folder: Path | None = None, progress: bool | None = None, pool: Pool | None = None) -> Report:
        """The report, from its file where it is done."""
        assert pool is None, "a study that runs in one process is given no workers"
        if folder is None:
            return self.report(None, progress)
        with kept.one_writer(folder):
            record = kept.read_or_set_aside(folder, RESULT)
            if record is not None:
                kept.sweep(folder)
                return self._report(record, folder)
            result = self.report(folder, progress)
            if result.finished == result.restarts:
                kept.keep(folder, RESULT, {"record": result.record, "text": result.text})
        return Report(result.record, result.text, result.finished, result.restarts, str(folder))

    def stored(self, folder: Path) -> Report:
        """The report in a run folder.

        Raises:
            InputError: It is not done, or damaged.
        """
        record = kept.read(folder, RESULT)
        if record is None:
            raise InputError(f"{folder} is not finished; `landscape resume {folder}` runs it.")
        return self._report(record, folder)

    def _report(self, record: dict[str, Any], folder: Path) -> Report:
        done = record["record"]
        return Report(done, record["text"], done["findings"]["finished"], done["restarts"], str(folder))

    def record(
        self, finished: int, seconds: float, findings: dict[str, Any], labels: dict[str, int], **more: Any
    ) -> dict[str, Any]:
        """The record: the keys of a census, and what the study found."""
        from landscape.census.statistics import share

        counts = {str(label): labels.get(str(label), 0) for label in Label}
        manifest = self.manifest()
        return {
            "study": manifest["study"],
            "problem": manifest["problem"],
            "restarts": self.restarts,
            "seed": self.seed,
            "labels": counts,
            "shares": {label: share(count, max(finished, 1)) for label, count in counts.items()},
            "levels": [],
            "lower_bound": None,
            "best_seen": None,
            "unseen_mass": None,
            "seconds": {"total": round(seconds, 3)},
            "environment": manifest["environment"],
            "findings": {"finished": finished, **findings},
            **more,
        }


@dataclass(frozen=True)
class Starts(Reported):
    """Fields of reported studies that have starts and no descents of their own.

    Attributes:
        restarts: Number of starts.
        seed: Of the starts; start i of a seed is always the same.
        init: Distribution of the starts: xavier, he, gaussian, sphere.
        init_scale: Multiplies the starts.
    """

    dynamics: ClassVar[str]

    restarts: int = 1000
    seed: int = 0
    init: str = "xavier"
    init_scale: float = 1.0

    @abstractmethod
    def problem(self) -> Any:
        """Builds the landscape; `plan` holds it."""

    @once
    def plan(self) -> Plan:
        """Problem and starts."""
        from landscape.engine.plan import Plan
        from landscape.engine.settings import Settings

        settings = Settings(init=self.init, init_scale=self.init_scale)
        return Plan(self.problem(), settings, self.restarts, self.seed, title=self.name, study=self.name)

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        from landscape.host.manifest import manifest

        said: dict[str, Any] = manifest(self.plan(), self.fields()) | {REPORT: RESULT}
        said["settings"] = {"init": self.init, "init_scale": self.init_scale}
        said["environment"]["dynamics"] = self.dynamics
        return said
