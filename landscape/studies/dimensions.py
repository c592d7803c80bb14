"""Intrinsic dimensions of all activations (Venturi, Bandeira and Bruna 2019)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError, whole
from landscape.studies.reported import Report, Starts
from landscape.studies.sources import random_data

if TYPE_CHECKING:
    from landscape.problems.empirical import Empirical


@dataclass(frozen=True)
class IntrinsicDimension(Starts):
    """The dimension of the span of all neurons, by activation: over Gaussian inputs, and the rank that samples show.

    A finite dimension is a plateau of the rank as rows are added. The rank of smooth activations falls short of the
    rows for many of them: singular values below 1e-9 of the largest count as zero.

    Attributes:
        restarts: Draws of the data; the largest rank of them is shown.
        dimension: Number of inputs, d.
        rows: Numbers of rows.
    """

    name: ClassVar[str] = "intrinsic-dimension"
    about: ClassVar[str] = (
        "Venturi, Bandeira, Bruna 2019: from which width on there is no spurious valley, by activation"
    )
    takes: ClassVar[str] = "3 s of processor time"
    draws: ClassVar[str] = "ranks of samples by the number of rows"
    dynamics: ClassVar[str] = "none"

    restarts: int = 1
    dimension: int = 3
    rows: tuple[int, ...] = (10, 30, 100, 300)

    def problem(self) -> Empirical:
        """A network on the largest data set.

        Raises:
            InputError: There are no rows, or a field makes no sense.
        """
        from landscape.problems.empirical import empirical

        if not self.rows:
            raise InputError("intrinsic-dimension needs at least one number of rows.")
        for n in self.rows:
            whole("rows", n, 1)
        return empirical(*random_data(max(self.rows), self.dimension, self.seed), 1)

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Dimensions by argument, and ranks of samples."""
        import time

        from landscape.problems.activation import ACTIVATIONS, activation
        from landscape.theory.intrinsic_dimension import numerical_rank, on_data, over_gaussian

        begun, table = time.perf_counter(), []
        self.problem()
        for name in ACTIVATIONS:
            act = activation(name)
            known = over_gaussian(act, self.dimension)
            ranks, exact = [], []
            for n in self.rows:
                draws = [random_data(n, self.dimension, self.seed + i)[0] for i in range(self.restarts)]
                ranks.append(max(numerical_rank(act.s, x) for x in draws))
                exact.append(str(on_data(act, draws[0])))
            table.append(
                {"activation": name, "dimension": str(known), "by": known.by, "on_rows": exact, "ranks": ranks}
            )
        findings = {"inputs": self.dimension, "rows": list(self.rows), "activations": table}
        record = self.record(self.restarts, time.perf_counter() - begun, findings, {})
        return Report(record, _text(findings), self.restarts, self.restarts)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws ranks by the number of rows."""
        from landscape.figures import valleys
        from landscape.figures.style import save

        return [save(valleys.ranks(result.record), folder / "ranks.png")]


def _text(found: dict[str, Any]) -> str:
    from landscape.census.text import text_table

    lines = [("activation", "dimension", "because of", *(f"on {n} rows" for n in found["rows"]), "ranks of samples")]
    for row in found["activations"]:
        ranks = ", ".join(map(str, row["ranks"]))
        lines.append((row["activation"], row["dimension"], row["by"], *row["on_rows"], ranks))
    said = f"dimension: over Gaussian inputs in {found['inputs']} dimensions; no valley is spurious from that width on"
    return "\n".join([*text_table(lines, left=("activation", "because of")), "", said])
