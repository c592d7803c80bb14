"""Networks that are grown until they are provably global (Haeffele and Vidal 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError
from landscape.studies.reported import Report, Starts
from landscape.studies.sources import random_data, read_arrays

if TYPE_CHECKING:
    from landscape.problems.empirical import Empirical
    from landscape.problems.parallel import Homogeneous


@dataclass(frozen=True)
class GrowUntilGlobal(Starts):
    """Networks grown from random starts until they are certified global over all widths.

    Attributes:
        family: relu, quadratic, deep_relu or matrix (factorisation: `rows` by `dimension` numbers).
        data: A JSON or npz file with x and y (for matrix: y only); random Gaussian data by default.
        rows: Of random data.
        dimension: Of random inputs.
        draw: Seed of random data.
        regularisation: lambda, the weight decay of relu.
        loss: squared or logistic (then random targets are signs).
        width: Of the starts.
        most: Ceiling on the width; the number of outputs and one where 0.
    """

    name: ClassVar[str] = "grow-until-global"
    about: ClassVar[str] = "Haeffele and Vidal 2017: add the best new subnetwork until the network is provably global"
    takes: ClassVar[str] = "4 s; 2.5 minutes from five neurons at a weight decay of 0.05"
    draws: ClassVar[str] = "loss, polar value and width by round, a line a start"
    dynamics: ClassVar[str] = "descent to a stationary point, then the best new subnetwork, in turn"

    family: str = "relu"
    data: str = ""
    rows: int = 20
    dimension: int = 3
    draw: int = 0
    regularisation: float = 0.3
    loss: str = "squared"
    width: int = 1
    most: int = 0

    def problem(self) -> Homogeneous | Empirical:
        """The landscape at the width of the starts.

        Raises:
            InputError: Data cannot be read, or a field makes no sense.
        """
        import numpy as np

        from landscape.problems.empirical import empirical
        from landscape.problems.parallel import matrix_factorisation, parallel
        from landscape.problems.subnetwork import FAMILIES

        if self.family not in (*FAMILIES, "matrix"):
            raise InputError(f"family {self.family!r} is unknown; known are {', '.join(FAMILIES)}, matrix.")
        if self.data:
            x, y = read_arrays(self.data, self.family != "matrix")
        elif self.family == "matrix":
            x, y = None, random_data(self.rows, self.dimension, self.draw)[0]
        else:
            x, y = random_data(self.rows, self.dimension, self.draw)
        if self.loss == "logistic" and not self.data:
            y = np.where(y < 0, -1.0, 1.0)
        if self.family == "matrix":
            return matrix_factorisation(y, self.width, self.regularisation, self.loss)
        if self.family == "relu" and np.ndim(y) == 1:
            return empirical(x, y, self.width, loss=self.loss, weight_decay=self.regularisation)
        return parallel(x, y, self.width, self.family, self.regularisation, self.loss)

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Grows them all."""
        from landscape.host.grown import NodeFolder
        from landscape.host.growth import grow
        from landscape.host.progress import counting_bar

        with counting_bar(progress, self.name) as tell:
            grown = grow(
                self.plan().problem, self.restarts, self.seed, init=self.init, init_scale=self.init_scale,
                most=self.most or None, report=tell,
                kept=None if folder is None else NodeFolder(folder),
            )  # fmt: skip
        statuses = grown.statuses()
        findings = {
            "statuses": statuses,
            "ends": grown.ends(),
            "points": grown.points,
            "traces": _traces(grown.paths),
        }
        certified = [path for path in grown.paths if path.status == "certified"]
        bound = max((path.rounds[-1].loss - path.rounds[-1].gap for path in certified), default=None)
        done = len(grown.paths)
        record = self.record(
            done, grown.seconds, findings,
            {"global": len(certified), "undecided": done - len(certified)},
            best_seen=min((path.rounds[-1].loss for path in grown.paths), default=None),
            lower_bound=None if bound is None else {"value": bound, "by": "polar test, dual bound"},
        )  # fmt: skip
        return Report(record, f"{grown}\n{grown.seconds:.1f} s", done, self.restarts)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws loss, polar value and width by round."""
        from landscape.figures import growth
        from landscape.figures.style import save

        return [save(growth.traces(result.record), folder / "growth.png")]


def _traces(paths: list[Any]) -> list[dict[str, Any]]:
    """The different traces with how many starts each, most first: loss, width, polar and gap by round."""
    found: dict[tuple, tuple[Any, int]] = {}
    for path in paths:
        key = tuple((f"{one.loss:.9g}", one.width) for one in path.rounds)
        found[key] = (path, found[key][1] + 1 if key in found else 1)
    out = []
    for path, count in sorted(found.values(), key=lambda item: -item[1]):
        rows = path.rounds
        out.append(
            {
                "count": count,
                "status": path.status,
                "loss": [one.loss for one in rows],
                "width": [one.width for one in rows],
                "polar": [one.polar if one.polar < float("inf") else None for one in rows],
                "gap": [one.gap if one.gap < float("inf") else None for one in rows],
            }
        )
    return out
