"""Studies that run in one process and whose result is a report, kept as one file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from landscape.records import InputError, Label

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


@dataclass(frozen=True)
class Reported:
    """Studies whose result is a report, kept as one file of the run folder; done again from the start if interrupted.

    Attributes:
        restarts: Number of starts.
        seed: Of the starts; start i of a seed is always the same.
        init: Distribution of the starts: xavier, he, gaussian, sphere.
        init_scale: Multiplies the starts.
    """

    restarts: int = 1000
    seed: int = 0
    init: str = "xavier"
    init_scale: float = 1.0

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        from landscape.engine.driver import environment
        from landscape.engine.settings import Settings
        from landscape.host.explore import check_counts

        check_counts(self.restarts, self.seed)
        settings = Settings(init=self.init, init_scale=self.init_scale).check()
        return {
            "study": self.name,  # type: ignore[attr-defined]
            "fields": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()},
            "problem": self.problem().facts(),
            "restarts": self.restarts,
            "seed": self.seed,
            "settings": {"init": self.init, "init_scale": self.init_scale},
            "environment": {**environment(settings), "dynamics": self.dynamics},  # type: ignore[attr-defined]
        }

    def problem(self) -> Any:
        """The landscape."""
        raise AssertionError("every study has its own")

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Does what is not in the folder yet."""
        raise AssertionError("every study has its own")

    def run(self, folder: Path | None, progress: bool | None) -> Report:
        """The report, from its file where it is done."""
        if folder is not None and (folder / RESULT).exists():
            return self.restored(folder)
        result = self.report(folder, progress)
        if folder is None:
            return result
        result = Report(result.record, result.text, result.finished, result.restarts, str(folder))
        if result.finished == result.restarts:
            keep(folder / RESULT, {"record": result.record, "text": result.text})
        return result

    def restored(self, folder: Path) -> Report:
        """The report in a run folder.

        Raises:
            InputError: It is not done.
        """
        try:
            kept = json.loads((folder / RESULT).read_text())
        except OSError:
            raise InputError(f"{folder} is not finished; `landscape resume {folder}` runs it.") from None
        return Report(kept["record"], kept["text"], self.restarts, self.restarts, str(folder))

    def said(
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


def keep(path: Path, content: dict[str, Any]) -> None:
    """The file is there, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    from landscape.host import store

    try:
        store.write(path, json.dumps(content, allow_nan=False).encode())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
