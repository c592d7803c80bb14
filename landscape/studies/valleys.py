"""Spurious valleys (Venturi, Bandeira and Bruna 2019): one of known barrier, and who is caught in valleys by width."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.host import interrupt
from landscape.host.identity import REPORT
from landscape.problems.defaults import ON_DATA
from landscape.records import InputError, whole
from landscape.studies.descents import Descents
from landscape.studies.reported import RESULT, Report, Reported, rows_by_width
from landscape.studies.sources import read_arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from landscape.engine.settings import Settings
    from landscape.problems.empirical import Empirical
    from landscape.theory.spurious_valleys.caught import Answer, Goal

LOOKS = (1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)  # gradients between looks at a descent
ANSWERS = {True: "caught", False: "free", None: "not decided"}


@dataclass(frozen=True)
class Valleys(Reported, Descents):
    """What both studies have: eight rows with a valley, or a file; descents from random starts.

    Attributes:
        target: b, where -b is the target of the row that two positive neurons cannot use; above sqrt(4/3).
    """

    restarts: int = 200
    step_size: float = 0.0
    retire: float = ON_DATA["retire"]
    target: float = 3.0

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        return super().manifest() | {REPORT: RESULT}

    def problem_of(self, width: int) -> Empirical:
        """The landscape at a width."""
        from landscape.problems.empirical import empirical
        from landscape.theory.spurious_valleys.published import data

        return empirical(*data(self.target), width)

    def width_row(self, width: int, tell: Callable[[int], None] | None, before: int) -> dict[str, Any] | None:
        """Which starts and ends of the descents of a width are caught; None after Ctrl-C."""
        from collections import Counter

        import numpy as np

        from landscape.census.statistics import share
        from landscape.classify import bounded
        from landscape.engine.driver import Driver
        from landscape.precision import float64
        from landscape.problems.restart import start_points
        from landscape.theory.spurious_valleys.caught import caught, goal_of
        from landscape.theory.wide_enough import dimension_of, wide_enough

        problem: Any = bounded(self.problem_of(width))
        settings, numbers = self.plan().settings, np.arange(self.restarts)
        goal = goal_of(problem)
        starts = start_points(problem, self.seed, numbers, self.init, self.init_scale)
        ends, labels = np.zeros_like(starts), np.full(self.restarts, "", object)
        try:
            with float64():
                driver = Driver(problem, settings, self.seed)
                for rows, thetas in driver.run(numbers, lambda _: interrupt.check()):
                    ends[rows["restart"]], labels[rows["restart"]] = thetas, rows["label"]
                    if tell is not None:
                        tell(before + int(np.sum(labels != "")))
                begun = _answers(problem, starts, ends, labels, goal, settings)
        except KeyboardInterrupt:
            return None
        ended = [self._end(problem, end, label, goal, caught) for end, label in zip(ends, labels, strict=True)]
        found = {"width": width, "dimension": dimension_of(problem).high, "wide_enough": wide_enough(problem).holds,
                 "labels": dict(Counter(labels.tolist()))}  # fmt: skip
        for name, answers in (("starts", begun), ("ends", ended)):
            counts = Counter(ANSWERS[one.caught] for one in answers)
            found[name] = {
                "counts": {word: counts[word] for word in ANSWERS.values()},
                "caught_share": share(counts["caught"], self.restarts),
                "at_most": share(counts["caught"] + counts["not decided"], self.restarts),
                "by": dict(Counter(one.by for one in answers)),
            }
        return found

    @staticmethod
    def _end(problem: Empirical, end: np.ndarray, label: str, goal: Goal, caught: Callable[..., Answer]) -> Answer:
        from landscape.theory.spurious_valleys.caught import Answer

        return Answer(False, "a global minimum") if label == "global" else caught(problem, end, goal)


def _answers(
    problem: Empirical, starts: np.ndarray, ends: np.ndarray, labels: np.ndarray, goal: Goal, settings: Settings
) -> list[Answer]:
    """Whether each start is caught; its own descent is the way where it ends at a global minimum."""
    import jax.numpy as jnp
    import numpy as np

    from landscape.descent.batch import advanced, begun
    from landscape.theory.spurious_valleys.caught import caught

    answers = [caught(problem, start, goal) for start in starts]
    left = [i for i, one in enumerate(answers) if one.caught is None and labels[i] == "global"]
    if not left:
        return answers
    method = settings.method(problem.scale)
    lanes = begun(problem, method, jnp.asarray(starts[left]))
    looks = [starts[left]]
    for more in LOOKS:
        lanes = advanced(problem, method, lanes, more)
        looks.append(np.asarray(lanes.theta, np.float64))
    for place, i in enumerate(left):
        way = np.stack([*(look[place] for look in looks), ends[i]])
        if np.all(np.isfinite(way)):
            answers[i] = caught(problem, starts[i], goal, way)
    return answers


@dataclass(frozen=True)
class ValleyByWidth(Valleys):
    """How many starts, and ends of descents, lie in a valley without a global minimum, by width.

    Every answer is yes, no or not decided, at the network's own loss.

    Attributes:
        data: A JSON or npz file with x and y; the eight rows by default.
        widths: Numbers of neurons.
    """

    name: ClassVar[str] = "valley-by-width"
    about: ClassVar[str] = "Venturi, Bandeira, Bruna 2019: starts and ends caught in spurious valleys, by width"
    takes: ClassVar[str] = "80 s of processor time"
    draws: ClassVar[str] = "shares that are caught, by width"

    data: str = ""
    widths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)

    def problem_of(self, width: int) -> Empirical:
        """The landscape at a width."""
        from landscape.problems.empirical import empirical

        return empirical(*read_arrays(self.data, True), width) if self.data else super().problem_of(width)

    def problem(self) -> Empirical:
        """The landscape at the largest width.

        Raises:
            InputError: There is no width, or a field makes no sense.
        """
        if not self.widths:
            raise InputError("valley-by-width needs at least one width.")
        for width in self.widths:
            whole("widths", width, 1)
        return self.problem_of(max(self.widths))

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        return super().manifest() | {"restarts": self.restarts * len(self.widths)}

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Runs the descents of each width, and asks of every start and end; after Ctrl-C, the widths that are done."""
        import time

        begun = time.perf_counter()
        table, labels, done, total = rows_by_width(self, folder, progress)
        record = self.record(done, time.perf_counter() - begun, {"widths": table}, labels, restarts=total)
        return Report(record, _text(table, self.restarts), done, total)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws the shares that are caught by width."""
        from landscape.figures import valleys
        from landscape.figures.style import save

        return [save(valleys.by_width(result.record), folder / "valleys.png")]


def _text(table: list[dict[str, Any]], restarts: int) -> str:
    from landscape.census.text import text_table

    head = ("width", "starts caught [95%]", "free", "not decided", "ends caught [95%]", "free", "not decided", "global")
    lines = [head]
    for row in table:
        cells = [str(row["width"])]
        for name in ("starts", "ends"):
            s, counts = row[name]["caught_share"], row[name]["counts"]
            cells += [f"{100 * s['share']:.1f}% [{100 * s['low']:.1f}, {100 * s['high']:.1f}]"]
            cells += [str(counts["free"]), str(counts["not decided"])]
        lines.append((*cells, str(row["labels"].get("global", 0))))  # type: ignore[arg-type]
    said = "caught: at its own loss in a valley without a global minimum; free: joined to a global minimum below it"
    return "\n".join([*text_table(lines), "", said, f"valley-by-width: {restarts} descents a width"])


@dataclass(frozen=True)
class SpuriousValley(Valleys):
    """A valley of known depth: its barrier between a wall and a path, and how many descents end in it.

    Two neurons on eight rows: the bottom of the valley is at target^2 / 2, the barrier 2/3 above, the least loss 2/3.
    """

    name: ClassVar[str] = "spurious-valley"
    about: ClassVar[str] = "Venturi, Bandeira, Bruna 2019: a valley of any depth, its barrier known from both sides"
    takes: ClassVar[str] = "5 s of processor time"
    draws: ClassVar[str] = "the loss over the barrier, and the wall"

    def problem(self) -> Empirical:
        """The landscape of two neurons.

        Raises:
            InputError: There is no valley for this target.
        """
        return self.problem_of(2)

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Barrier from below and above, the straight way for comparison, and the descents that are caught."""
        import time

        from landscape.host.progress import counting_bar

        begun = time.perf_counter()
        found = barrier(self.target)
        with counting_bar(progress, self.name) as tell:
            told = None if tell is None else lambda done: tell(done, self.restarts)
            row = self.width_row(2, told, 0)
        done = 0 if row is None else self.restarts
        findings = found if row is None else {**found, "descents": row}
        labels = {} if row is None else row["labels"]
        record = self.record(done, time.perf_counter() - begun, findings, labels)
        return Report(record, _valley_text(findings), done, self.restarts)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws the loss along the path and along the straight way, with the wall."""
        from landscape.figures import valleys
        from landscape.figures.style import save

        return [save(valleys.barrier(result.record), folder / "barrier.png")]


def barrier(target: float) -> dict[str, Any]:
    """The barrier of the valley as an interval with its grounds, and losses along the path and the straight way."""
    from itertools import pairwise

    import numpy as np

    from landscape.theory.cell_least_squares import of_width
    from landscape.theory.spurious_valleys.published import valley
    from landscape.theory.spurious_valleys.segments import highest, loss_at, verify
    from landscape.theory.spurious_valleys.walls import sector, wall

    found = valley(target)
    problem, way = found.problem, found.way
    low, high = wall(problem, way[0], way[-1]), verify(problem, way)
    around, least = sector(problem, way[0]), of_width(problem.data, 2)
    assert around is not None
    t = np.linspace(0.0, 1.0, 101)
    path = [loss_at(problem, a + s * (b - a)) for a, b in pairwise(way) for s in t[:-1]]
    return {
        "bottom": {"loss": loss_at(problem, way[0]), "least_of_its_signs": around.floor},
        "barrier": {"low": low.value, "high": high.highest, "low_by": low.by, "high_by": "path, between way-points too",
                    "closed_form": found.barrier},
        "least": {"low": least.lower_bound, "high": least.value},
        "straight_way": highest(problem, way[0], way[-1]),
        "path": [*path, loss_at(problem, way[-1])],
        "straight": [loss_at(problem, way[0] + s * (way[-1] - way[0])) for s in np.linspace(0.0, 1.0, len(path) + 1)],
    }  # fmt: skip


def _valley_text(found: dict[str, Any]) -> str:
    b, bottom, least = found["barrier"], found["bottom"]["loss"], found["least"]
    lines = [
        "two relu neurons on eight rows",
        "",
        f"bottom of the valley     {bottom:.12g}, the least loss of two positive neurons",
        f"barrier, from below      {b['low']:.12g} ({b['low_by']})",
        f"barrier, from above      {b['high']:.12g} ({b['high_by']}); closed form {b['closed_form']:.12g}",
        f"straight way             {found['straight_way']:.6g} at most",
        f"least loss of two        {least['high']:.12g}, no less than {least['low']:.12g}",
    ]
    if "descents" in found:
        for name in ("starts", "ends"):
            one = found["descents"][name]
            s, counts = one["caught_share"], one["counts"]
            share = f"{100 * s['share']:.1f}% [{100 * s['low']:.1f}, {100 * s['high']:.1f}]"
            lines.append(f"{name + ' caught':<24} {share}; {counts['free']} free, {counts['not decided']} not decided")
    return "\n".join(lines)
