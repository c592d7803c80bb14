"""Splits of the neurons of spurious minima, and where the escapes from them end (Safran, Yehudai and Shamir 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError, whole
from landscape.studies.descents import Descents
from landscape.studies.reported import Report, Reported

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.problems.teacher_student import TeacherStudent
    from landscape.theory.local_convergence.families import Member
    from landscape.theory.local_convergence.splitting import Split


@dataclass(frozen=True)
class SplitAndEscape(Reported, Descents):
    """One neuron of each kind of a family's minimum is split; spectra are foretold and computed, escapes are run.

    Attributes:
        restarts: Descents from each split point; the first two along its most negative direction.
        family: A, I, II, or p of p|k-p.
        teachers: Values of k.
        part: What the first of the two parts gets of the neuron, between 0 and 1.
        distance: Of the starts from the split point.
    """

    name: ClassVar[str] = "split-and-escape"
    about: ClassVar[str] = "Safran, Yehudai and Shamir 2021: split a neuron of a spurious minimum, and escape"
    takes: ClassVar[str] = "25 s of processor time"
    draws: ClassVar[str] = "the spectra of the splits, and where escapes end"

    restarts: int = 10
    family: str = "II"
    teachers: tuple[int, ...] = (6, 7, 8, 10)
    part: float = 0.5
    distance: float = 0.01

    def problem(self) -> TeacherStudent:
        """The largest of the wider landscapes.

        Raises:
            InputError: A field makes no sense.
        """
        from landscape.problems.teacher_student import orthonormal_teacher

        if not self.teachers:
            raise InputError("teachers must name at least one size.")
        if not 0 < self.part < 1:
            raise InputError(f"part must be between 0 and 1, found {self.part}.")
        if not 0 < self.distance <= 0.1:
            raise InputError(f"distance must be positive and at most 0.1, found {self.distance}.")
        for k in self.teachers:
            self.member(whole("teachers", k, 2))
        return orthonormal_teacher(max(self.teachers), max(self.teachers) + 1)

    def member(self, k: int) -> Member:
        """The point whose neurons are split."""
        from landscape.theory.local_convergence.families import family_member

        return family_member(self.family, k)

    def splits(self) -> list[tuple[int, int]]:
        """(k, neuron): one neuron of each block."""
        each = [(k, self.member(k)) for k in self.teachers]
        return [(k, neuron) for k, member in each for neuron in ((0, k - 1) if len(member.sizes) > 1 else (0,))]

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        said = super().manifest()
        return said | {"restarts": self.restarts * len(self.splits())}

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Splits and escapes; after Ctrl-C, those that are done."""
        import time
        from collections import Counter

        begun = time.perf_counter()
        rows: list[dict[str, Any]] = []
        labels: Counter[str] = Counter()
        done, total = 0, self.restarts * len(self.splits())
        for k, neuron in self.splits():
            census, row = self.escaped(k, neuron, folder, progress)
            done += census.finished
            labels.update(census.labels())
            rows.append(row)
            if census.finished < self.restarts:
                break
        record = self.record(done, time.perf_counter() - begun, {"splits": rows}, labels, restarts=total)
        return Report(record, _text(self, rows), done, total)

    def escaped(self, k: int, neuron: int, folder: Path | None, progress: bool | None) -> tuple[Census, dict[str, Any]]:
        """One split: the census of its escapes, and what is found of it."""
        from landscape.host.splitting import escape
        from landscape.problems.teacher_student import orthonormal_teacher
        from landscape.theory.local_convergence.splitting import split

        member = self.member(k)
        found = split(orthonormal_teacher(k), member.matrix(), neuron, self.part)
        where = None if folder is None else folder / f"k{k:02d}-neuron{neuron}"
        settings = self.settings(found.problem)._asdict()
        census = escape(
            found, self.restarts, self.seed, self.distance, out=where, resume=True, progress=progress, **settings
        )
        return census, _row(member, found, census)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws the spectra of the splits, and where escapes end."""
        from landscape.figures.families import splits
        from landscape.figures.style import save

        return [save(splits(result.record["findings"]["splits"]), folder / "splits.png")]


def _row(member: Member, found: Split, census: Census) -> dict[str, Any]:
    """What is found of one split."""
    own = member.own[0 if found.neuron == 0 else -1]
    return {
        "teacher": int(member.k),
        "family": member.family,
        "neuron": found.neuron,
        "near": "-e" if own < 0 else "e",
        "loss": member.loss,
        "block": found.block.tolist(),
        "predicted": found.predicted.tolist(),
        "measured": found.measured.eigenvalues.tolist(),
        "deviation": found.deviation,
        "index": found.measured.index,
        "zeros": found.measured.zeros,
        "ends": [
            {"loss": level.loss, "label": level.label, "flavour": level.flavour, "evidence": level.evidence,
             "count": level.count}
            for level in census.levels
        ],
    }  # fmt: skip


def _text(study: SplitAndEscape, rows: list[dict[str, Any]]) -> str:
    from landscape.census.text import text_table

    head = ("k", "neuron", "loss", "least of P", "least of split", "foretold within", "index", "escapes end at")
    lines = [
        (
            str(row["teacher"]),
            f"{row['neuron']} (near {row['near']})",
            f"{row['loss']:.12f}",
            f"{row['block'][0]:.7f}",
            f"{row['measured'][0]:.7f}",
            f"{row['deviation']:.0e}",
            str(row["index"]),
            ", ".join(f"{end['count']} {end['label']} {round(end['loss'], 10) + 0.0:.10f}" for end in row["ends"]),
        )
        for row in rows
    ]
    said = f"split-and-escape: family {study.family}, parts {study.part:g} and {1 - study.part:g}"
    return "\n".join(
        [*text_table([head, *lines], left=("escapes end at",)), "", f"{said}, {study.restarts} descents each"]
    )
