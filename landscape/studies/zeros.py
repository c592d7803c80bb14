"""Ends of descents with a zero neuron: global minima or saddles (Haeffele and Vidal 2017)."""

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
from landscape.studies.sources import random_data, read_arrays

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from landscape.problems.empirical import Empirical


@dataclass(frozen=True)
class ZeroSubnetwork(Reported, Descents):
    """Ends of descents at growing width: how many have a zero neuron, and whether those are global or saddles.

    A zero neuron at a local minimum proves it global. Descents stop at saddles with zero neurons too: the polar value
    tells them apart.

    Attributes:
        data: A JSON or npz file with x and y; random Gaussian data by default.
        rows: Of random data.
        dimension: Of random inputs.
        draw: Seed of random data.
        weight_decay: beta.
        widths: Numbers of neurons.
    """

    name: ClassVar[str] = "zero-subnetwork"
    about: ClassVar[str] = "Haeffele and Vidal 2017: ends with a zero neuron by width, global or saddles by polar value"
    takes: ClassVar[str] = "10 s of processor time"
    draws: ClassVar[str] = "ends with and without a zero neuron, by width"

    restarts: int = 200
    step_size: float = 0.0
    retire: float = ON_DATA["retire"]
    data: str = ""
    rows: int = 8
    dimension: int = 2
    draw: int = 0
    weight_decay: float = 0.1
    widths: tuple[int, ...] = (1, 2, 4, 6, 9, 15, 30)

    def problem_of(self, width: int) -> Empirical:
        """The landscape at a width."""
        from landscape.problems.empirical import empirical

        x, y = read_arrays(self.data, True) if self.data else random_data(self.rows, self.dimension, self.draw)
        return empirical(x, y, width, weight_decay=self.weight_decay)

    def problem(self) -> Empirical:
        """The landscape at the largest width.

        Raises:
            InputError: There is no width, or the polar test does not apply.
        """
        from landscape.theory.growth.polar import checked

        if not self.widths:
            raise InputError("zero-subnetwork needs at least one width.")
        for width in self.widths:
            whole("widths", width, 1)
        problem = self.problem_of(max(self.widths))
        checked(problem)
        return problem

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        return super().manifest() | {"restarts": self.restarts * len(self.widths), REPORT: RESULT}

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Runs the descents of each width, and looks at every end; after Ctrl-C, of the widths that are done."""
        import time

        from landscape.classify import bounded

        begun = time.perf_counter()
        table, labels, done, total = rows_by_width(self, folder, progress)
        bound = bounded(self.plan().problem).lower_bound  # of all widths
        assert bound is not None
        record = self.record(
            done, time.perf_counter() - begun, {"widths": table}, labels,
            restarts=total, lower_bound={"value": bound.value, "by": bound.by},
        )  # fmt: skip
        return Report(record, _zero_text(table, self.restarts), done, total)

    def width_row(self, width: int, tell: Callable[[int], None] | None, before: int) -> dict[str, Any] | None:
        """What becomes of the descents of a width; None after Ctrl-C."""
        from collections import Counter

        import numpy as np

        from landscape.census.statistics import share
        from landscape.classify import bounded
        from landscape.engine.driver import Driver
        from landscape.precision import float64

        problem: Any = bounded(self.problem_of(width))
        polars: dict[str, list[float]] = {"global": [], "saddle": [], "other": []}
        without: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        try:
            with float64():
                driver = Driver(problem, self.plan().settings, self.seed)
                for rows, thetas in driver.run(np.arange(self.restarts), lambda _: interrupt.check()):
                    _sorted_ends(problem, rows, thetas, polars, without)
                    labels.update(rows["label"].tolist())
                    if tell is not None:
                        tell(before + sum(labels.values()))
        except KeyboardInterrupt:
            return None
        zero = sum(map(len, polars.values()))
        return {
            "width": width,
            "labels": dict(labels),
            "with_zero": {kind: len(values) for kind, values in polars.items()},
            "zero_share": share(zero, self.restarts),
            "polar": polars,
            "without_zero": dict(without),
        }

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws shares by width, and polar values."""
        from landscape.figures import growth
        from landscape.figures.style import save

        return [save(growth.zeros(result.record), folder / "zero.png")]


def _sorted_ends(
    problem: Empirical, rows: dict[str, np.ndarray], thetas: np.ndarray, polars: dict[str, list[float]], without: Any
) -> None:
    """Counts ends: polar / lambda of those with a zero neuron by label, the labels of the others."""
    import numpy as np

    from landscape.theory.convex.forward_pass import ZERO, forward
    from landscape.theory.growth.certificate import certificate

    for label, theta in zip(rows["label"].tolist(), thetas, strict=True):
        here = forward(problem, theta)
        size = np.maximum(np.linalg.norm(here.w, axis=1), np.abs(here.a))
        if label == "unconverged" or np.all(size > ZERO * problem.scale):
            without[label] += 1
            continue
        kind = label if label in ("global", "saddle") else "other"
        polars[kind].append(certificate(problem, theta).ratio)


def _zero_text(table: list[dict[str, Any]], restarts: int) -> str:
    from landscape.census.text import text_table

    rows = [("width", "with a zero neuron [95%]", "global", "saddle", "other", "least polar / lambda of saddles",
             "largest of global", "without: global", "spurious", "others")]  # fmt: skip
    for row in table:
        counts, share, without = row["with_zero"], row["zero_share"], dict(row["without_zero"])
        polar = row["polar"]
        good, bad = without.pop("global", 0), without.pop("spurious", 0)
        rows.append(
            (
                str(row["width"]),
                f"{100 * share['share']:.1f}% [{100 * share['low']:.1f}, {100 * share['high']:.1f}]",
                str(counts["global"]), str(counts["saddle"]), str(counts["other"]),
                f"{min(polar['saddle']):.6f}" if polar["saddle"] else "-",
                f"1 + {max(polar['global']) - 1:.0e}" if polar["global"] else "-",
                str(good), str(bad), str(sum(without.values())),
            )
        )  # fmt: skip
    return "\n".join([*text_table(rows), "", f"zero-subnetwork: {restarts} descents a width"])
