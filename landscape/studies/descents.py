"""Studies of restarts: the fields that all of them have, and how a plan or cells become a census or a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape.studies.study import Study, once

if TYPE_CHECKING:
    from landscape.census.census import Census
    from landscape.engine.plan import Plan
    from landscape.engine.settings import Settings
    from landscape.host.cluster import Pool


@dataclass(frozen=True)
class Descents(Study):
    """Fields that every study of restarts has.

    Attributes:
        restarts: Number of descents.
        seed: Of the starting points; restart i of a seed is always the same.
        init: Distribution of the starts: xavier (N(0, 1/d)), he, gaussian, sphere.
        init_scale: Multiplies the starts.
        optimiser: gradient-descent (the paper's), flow (the gradient flow, several times faster), lbfgs, momentum,
            nesterov, adam or rmsprop; the shares are those of its basins. minibatch:8 takes 8 rows of a data set at a
            time, sgd:8 as many fresh Gaussian inputs where a teacher is fitted over them.
        step_size: Of the optimiser; flow and lbfgs choose their own.
        tolerance: Largest local error of a step of flow, times the largest teacher norm.
        budget: Gradients of one restart before it is given up as unconverged.
        retire: Gradient norm at which a restart is first offered to the polish, times the largest teacher norm.
        lanes: Restarts that run at once, 0 for the device's own number; labels do not depend on it.
        dtype: Precision of the descent: float64 or float32.
    """

    traced = True

    restarts: int = 1000
    seed: int = 0
    init: str = "xavier"
    init_scale: float = 1.0
    optimiser: str = "gradient-descent"
    step_size: float = 0.1
    tolerance: float = 0.003
    budget: int = 200_000
    retire: float = 1e-5
    lanes: int = 0
    dtype: str = "float64"

    def problem(self) -> Any:
        """Builds the landscape; `plan` holds it.

        Raises:
            InputError: A field makes no sense.
        """
        raise AssertionError("a study that is a table always has no problem of its own")

    def title(self, problem: Any) -> str:
        """Beside the progress bar."""
        return f"width {problem.width}"

    @once
    def plan(self) -> Plan:
        """The run."""
        from landscape.engine.plan import Plan

        problem = self.problem()
        return Plan(
            problem, self.settings(problem), self.restarts, self.seed, title=self.title(problem), study=self.name
        )

    def settings(self, problem: Any) -> Settings:
        """The driver's settings; a step of 0 is the problem's own."""
        from landscape.engine.settings import Settings

        given = {name: getattr(self, name) for name in Settings._fields}
        if self.step_size == 0 and "step_size" in problem.defaults():
            del given["step_size"]
        return Settings.of(problem, **given)

    def findings(self, census: Census) -> dict[str, Any]:
        """What the study measures beyond the census."""
        return {}

    def sentences(self, findings: dict[str, Any], finished: int) -> list[str]:
        """Findings in sentences, below the printed census."""
        return []

    def table(self, censuses: list[Any], folder: Path | None) -> Any:
        """The result of the cells that were begun."""
        raise AssertionError("a study with cells has its own")

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field and cell."""
        from landscape.host.manifest import manifest
        from landscape.studies.table import table_manifest

        if self.cells():
            return table_manifest(self, self.cells())
        return manifest(self.plan(), self.fields())

    def run(self, folder: Path | None = None, progress: bool | None = None, pool: Pool | None = None) -> Any:
        """The census with its findings, or the table; what is done is not done again."""
        from landscape.host.run import run
        from landscape.studies.table import run_cells

        if self.cells():
            return self.table(run_cells(self.cells(), folder, progress, pool), folder)
        return self.completed(run(self.plan(), folder, pool, progress))

    def stored(self, folder: Path) -> Any:
        """The census or the table in a run folder."""
        from landscape.host import store
        from landscape.host.load import load
        from landscape.studies.table import cells_in

        if not self.cells():
            return self.completed(load(folder, self.plan()))
        places = cells_in(self.cells(), folder)
        kind = type(next(iter(self.cells().values())))
        return self.table([kind.of(store.read_manifest(place)).stored(place) for place in places], folder)

    def completed(self, census: Census) -> Census:
        """The census with the study's findings and sentences."""
        found = census.findings | self.findings(census)
        return replace(census, findings=found, said=tuple(self.sentences(found, census.finished)))

    def figures(self, result: Any, folder: Path) -> list[Path]:
        """Draws loss levels, spectra and some descents."""
        from landscape.studies.census_figures import census_figures

        plan = self.plan()
        return census_figures(result, plan.problem, folder, settings=plan.settings)
