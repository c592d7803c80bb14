"""Studies of finite data: where descents end beside the convex program's optimum, as the network grows wider.

The theory is that of Wang, Lacotte and Pilanci (2022) and its relatives; see `theory.convex`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.host import files
from landscape.problems.defaults import ON_DATA
from landscape.records import InputError, whole
from landscape.studies.descents import Descents
from landscape.studies.study import once

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.host.cluster import Pool
    from landscape.problems.empirical import Empirical

BUILT_IN = Path(__file__).parent / "data"


@dataclass(frozen=True)
class _OnData(Descents):
    """Networks on a data set. What is None is as the data set's own file says.

    Attributes:
        data: eight-points (random), iris (30 of Fisher's flowers), or a JSON or npz file with x and y, and what else it
            says: loss, weight_decay, bias, reduction, activation.
        width: Number of neurons.
        weight_decay: beta of (beta / 2) sum (|w|^2 + a^2) beside 1/2 |f - y|^2.
        loss: squared, logistic (y is -1 or 1) or huber.
        bias: Of the hidden neurons: none, regularised or free.
        outer_bias: Of the output, alike.
        activation: relu; others run too, without certificates.
        step_size: 0 for the largest power of two that is well within what is stable.
        retire: Gradient norm at which a restart is first finished exactly, times the problem's scale.
    """

    step_size: float = 0.0
    retire: float = ON_DATA["retire"]
    data: str = "eight-points"
    width: int | None = None
    weight_decay: float | None = None
    loss: str | None = None
    bias: str | None = None
    outer_bias: str | None = None
    activation: str | None = None

    def of_width(self, width: int) -> Empirical:
        """The landscape of networks of this width, with its lower bound.

        Raises:
            InputError: The data cannot be read or make no sense.
        """
        from landscape.classify import bounded

        return bounded(self.unbounded(width))  # type: ignore[return-value]

    def unbounded(self, width: int) -> Empirical:
        """The landscape of networks of this width without the convex program's bound, which takes its time.

        Raises:
            InputError: The data cannot be read or make no sense.
        """
        from landscape.host import files
        from landscape.host.points import data_problem, read_data

        where = self.data
        if self.data in built_in():
            content = read_data(BUILT_IN / f"{self.data}.json")
        elif self.data.startswith("{"):
            content, where = read_data(self.data), "the data set"
        elif Path(self.data).suffix in (".json", ".npz") or files.is_file(self.data):
            content = read_data(Path(self.data))
        else:
            raise InputError(
                f"data {self.data!r} is no file and not built in; those that are: {', '.join(built_in())}."
            )
        names = ("weight_decay", "loss", "bias", "outer_bias", "activation")
        return data_problem(content, where, width, **{name: getattr(self, name) for name in names})

    def problem(self) -> Empirical:
        """The landscape."""
        return self.of_width(1 if self.width is None else self.width)

    def title(self, problem: Empirical) -> str:
        """Beside the progress bar."""
        return f"{data_name(self.data)}, width {problem.width}"

    def sentences(self, findings: dict[str, Any], finished: int) -> list[str]:
        """What the convex program says."""
        from landscape.studies.data_findings import sentences

        return sentences(findings, finished)

    def fields(self) -> dict[str, Any]:
        """The fields, the data set's file by its whole path."""
        given = self.data in built_in() or self.data.startswith("{")
        return super().fields() | {
            "data": self.data if given else str(Path(self.data).resolve()),
        }

    def manifest(self) -> dict[str, Any]:
        """What the run folder says, the data set's digest included; also checks every field and cell."""
        said = super().manifest()
        return {**said, "problem": {**said["problem"], "data": data_name(self.data), "digest": self.digest()}}

    def digest(self) -> str:
        """Of the data and what is paid on them, whatever the width."""
        one = next(iter(self.cells().values()), self)
        return digest(one.plan().problem)

    def run(self, folder: Path | None = None, progress: bool | None = None, pool: Pool | None = None) -> Any:
        """The census with its findings, or the table.

        Raises:
            InputError: The folder's run was on other data.
        """
        self.check_digest(folder)
        return super().run(folder, progress, pool)

    def check_digest(self, folder: Path | None) -> None:
        """Raises InputError unless the folder's run, if there is one, was on these data."""
        from landscape.host import store

        if folder is None or not (folder / store.MANIFEST).exists():
            return
        # A folder from Python has the problem's fingerprint instead, which every run is compared by.
        if store.read_manifest(folder)["problem"].get("digest", self.digest()) != self.digest():
            raise InputError(
                f"{data_name(self.data)} is not what it was when {folder} was begun; choose another folder."
            )

    def built_in(self, field: str) -> list[str]:
        """Names of the data sets that come with the package."""
        return built_in()


@dataclass(frozen=True)
class HiddenConvex(_OnData):
    """Where descents end as networks grow wider, over the convex optimum; one width with --width.

    Attributes:
        widths: Numbers of neurons, one census each.
        width: One width only, and its census in full.
        listed: Sets of activation cells up to which all local minima of a width are enumerated, and those that the
            restarts missed are named; 0 for none. 50000 are some ten seconds.
    """

    name: ClassVar[str] = "hidden-convex"
    about: ClassVar[str] = (
        "Wang, Lacotte and Pilanci 2022: ends of descents by width on a data set, over the convex optimum"
    )
    draws: ClassVar[str] = "ends of descents by width over the convex optimum, and which local minima they found"

    restarts: int = 100
    widths: tuple[int, ...] = (1, 2, 3, 4, 6, 9, 12, 16, 20)
    listed: int = 50_000

    @once
    def cells(self) -> dict[str, HiddenConvex]:
        """The studies of the single widths by folder; none where one width is asked for.

        Raises:
            InputError: There is no width.
        """
        if self.width is not None:
            return {}
        chosen = self.chosen()
        if not chosen:
            raise InputError(f"{self.name} has no width: --widths must name at least one.")
        return {f"width{w:04d}": replace(self, width=w, widths=()) for w in sorted(set(chosen))}

    def chosen(self) -> tuple[int, ...]:
        """The widths."""
        return self.widths

    def manifest(self) -> dict[str, Any]:
        """What the folder says; also checks every field."""
        whole("listed", self.listed, 0)
        return super().manifest()

    def table(self, censuses: list[Census], folder: Path | None) -> Any:
        """The result of all widths."""
        from landscape.studies.data_table import DataTable

        return DataTable(self.name, censuses, len(self.cells()), None if folder is None else str(folder))

    def findings(self, census: Census) -> dict[str, Any]:
        """The optimum, the check on each point's own cells, and the list of all local minima."""
        from landscape.studies import data_findings

        return data_findings.findings(census, self.plan().problem, self.listed)

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws ends by width, and for each width whose local minima are all known which of them were found."""
        from landscape.figures.minima import ends, minima
        from landscape.figures.style import save
        from landscape.figures.widths import by_width

        if self.width is not None:
            paths = [save(ends(result), folder / "ends.png")]
            if result.findings["minima"] is not None:
                found = [(self.width, result.findings["minima"])]
                paths.append(save(minima(found), folder / "minima.png"))
            return paths
        cells = result.cell_dicts()
        paths = [save(by_width(cells), folder / "widths.png")]
        found = [(cell["width"], cell["minima"]) for cell in cells if cell["minima"] is not None]
        if found:
            paths.append(save(minima(found), folder / "minima.png"))
        return paths


@dataclass(frozen=True)
class CriticalWidth(HiddenConvex):
    """The share of descents that end at a global minimum by width, beside m*, M* and how connected the minima are.

    Attributes:
        widths: Numbers of neurons, one census each; from 1 to two beyond n + 1, and no more than 12, if none is given.
    """

    name: ClassVar[str] = "critical-width"
    about: ClassVar[str] = (
        "Wang et al. 2022; Kim, Mishkin and Pilanci 2025: share of global ends by width, m*, M*, staircase"
    )
    draws: ClassVar[str] = "the share of descents at the optimum by width, over what the set of global minima is"

    widths: tuple[int, ...] = ()
    listed: int = 0

    def chosen(self) -> tuple[int, ...]:
        """The widths: as many as there are, else evenly spread by ratio."""
        if self.widths:
            return self.widths
        n = len(self.unbounded(1).y)
        even = [round((n + 3) ** (i / 11)) for i in range(12)]
        return tuple(range(1, n + 4) if n <= 9 else {*range(1, 5), *even, n + 1})

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws the share of global ends over the staircase."""
        from landscape.figures.style import save
        from landscape.figures.widths import critical_width

        if self.width is not None:
            return super().figures(result, folder)
        return [save(critical_width(result.cell_dicts(), result.stairs()), folder / "critical-width.png")]


@dataclass(frozen=True)
class DescendingPath(_OnData):
    """From random networks of n + 1 neurons or more down to a global minimum, the loss never rising.

    Each restart is a random network. The path is made of way-points; with --out they are kept, one file a network, in
    DIR/paths. Plain descent from the same networks stands beside.

    Attributes:
        width: Number of neurons; n + 1 by default.
        steps: Looks at the loss from each way-point to the next.
        drawn: Paths in the figure.
    """

    name: ClassVar[str] = "descending-path"
    about: ClassVar[str] = (
        "Wang et al. 2022; Haeffele and Vidal 2017: a path of non-increasing loss from any network to p*"
    )
    draws: ClassVar[str] = "the loss along descending paths, beside plain descent from the same networks"

    restarts: int = 20
    steps: int = 50
    drawn: int = 3

    def problem(self) -> Empirical:
        """The landscape."""
        return self.of_width(len(self.unbounded(1).y) + 1 if self.width is None else self.width)

    def manifest(self) -> dict[str, Any]:
        """What the folder says; also checks every field."""
        whole("steps", self.steps, 1)
        whole("drawn", self.drawn, 1)
        problem = self.plan().problem
        if not problem.certifiable:
            raise InputError(
                "a path to the optimum needs one that is known: relu, squared or logistic loss, positive weight decay "
                "and no unregularised hidden bias."
            )
        if problem.width < len(problem.y) + 1:
            raise InputError(
                f"a descending path is known to exist from every network of at least n + 1 = {len(problem.y) + 1} "
                f"neurons, found {problem.width}."
            )
        return super().manifest()

    def run(self, folder: Path | None = None, progress: bool | None = None, pool: Pool | None = None) -> Any:
        """The census of plain descents from these networks, and the paths."""
        from landscape.studies import paths

        result = super().run(folder, progress, pool)
        if folder is not None:
            paths.save(self.plan().problem, self.paths(result.rows["restart"]), folder / "paths")
        return result

    def findings(self, census: Census) -> dict[str, Any]:
        """Every path's length, end and largest rise."""
        from landscape.studies import paths

        return paths.findings(census, self.plan().problem, self.paths(census.rows["restart"]), self.steps)

    def paths(self, restarts: Any) -> dict[int, Any]:
        """The paths of these restarts' starting networks."""
        from landscape.problems.restart import start_points
        from landscape.studies.paths import path

        problem = self.plan().problem
        starts = start_points(problem, self.seed, restarts, self.init, self.init_scale)
        return {int(i): path(problem, start) for i, start in zip(restarts, starts, strict=True)}

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws the loss along paths, and plain descent from the same networks."""
        from landscape.figures.paths import paths
        from landscape.figures.style import save
        from landscape.trajectory import sample_curves

        chosen = result.rows["restart"][: self.drawn]
        taken = 1.2 * float(max(result.rows["steps"][: self.drawn], default=0))
        looked = min(max(int(taken), 500), 20_000)
        curves = sample_curves(self.plan().problem, self.plan().settings, self.seed, chosen, looked)
        figure = paths(result, self.plan().problem, self.paths(chosen), curves, self.steps)
        return [save(figure, folder / "paths.png")]


# -- data --------------------------------------------------------------------------------------------------------------


def built_in() -> list[str]:
    """Names of the data sets that come with the package."""
    return sorted(path.stem for path in BUILT_IN.glob("*.json"))


def data_name(data: str) -> str:
    """What a data set is called: by its file, or by itself."""
    return str(files.json_of(data, "the data").get("name", "given")) if data.startswith("{") else Path(data).stem


def digest(problem: Empirical) -> str:
    """Of the data and what is paid on them, whatever the width."""
    import numpy as np

    arrays = [np.ascontiguousarray(a).tobytes() for a in (problem.x, problem.y)]
    said = f"{problem.normalisation}; {problem.bias}, {problem.outer_bias}, {problem.activation}"
    return hashlib.sha256(b"".join(arrays) + said.encode()).hexdigest()[:16]
