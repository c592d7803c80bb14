"""What a run found: counts, levels and shares of its restarts, as a record that prints itself."""

from __future__ import annotations

import importlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from landscape.census.levels import WITHOUT_END, Level, members
from landscape.census.printed import html, text
from landscape.census.statistics import share
from landscape.records import InputError, Label

if TYPE_CHECKING:
    from landscape.engine.plan import Plan


@dataclass(frozen=True, repr=False)
class Census:
    """What a run found. Prints itself as a table, and shows itself in a notebook.

    Attributes:
        study: Name of the study.
        problem: Facts of the problem: kind, width, parameters and more.
        restarts: Number asked for.
        seed: Of the run.
        rows: One entry a finished restart in every column, ascending in "restart".
        weights: theta of one restart of every orbit and class, by restart number.
        levels: By loss.
        lower_bound: Value and source, None if there is none.
        unseen: Estimated unseen mass and its 95% upper limit.
        seconds: Where the time went.
        environment: Versions, device, dtype.
        findings: What the study measures beyond the census.
        folder: Where it is stored, None if nowhere.
        plan: Of the run, where it is known: the problem that it is of, and its settings.
        said: Sentences that the study adds below the table.
    """

    study: str
    problem: dict[str, Any]
    restarts: int
    seed: int
    rows: dict[str, np.ndarray]
    weights: dict[int, np.ndarray]
    levels: list[Level]
    lower_bound: dict[str, Any] | None
    unseen: tuple[float, float]
    seconds: dict[str, float]
    environment: dict[str, Any]
    findings: dict[str, Any] = field(default_factory=dict)
    folder: str | None = None
    plan: Plan | None = field(default=None, repr=False, compare=False)
    said: tuple[str, ...] = ()

    @property
    def finished(self) -> int:
        """Number of restarts that are done."""
        return len(self.rows["restart"])

    @property
    def best_seen(self) -> float | None:
        """The lowest loss of any restart, None if there are none."""
        finite = self.rows["loss"][np.isfinite(self.rows["loss"])] if self.finished else np.zeros(0)
        return float(finite.min()) if len(finite) else None

    def labels(self) -> dict[str, int]:
        """Number of restarts with each label, every label named."""
        counts = Counter(self.rows["label"]) if self.finished else Counter()
        return {str(label): int(counts[str(label)]) for label in Label}

    def shares(self) -> dict[str, dict[str, float]]:
        """Share of all finished restarts with each label, with its 95% Wilson interval."""
        return {label: share(count, self.finished) for label, count in self.labels().items()}

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape run --json` prints."""
        return {
            "study": self.study,
            "problem": self.problem,
            "restarts": self.restarts,
            "seed": self.seed,
            "labels": self.labels(),
            "shares": self.shares(),
            "levels": [level.as_dict() for level in self.levels],
            "lower_bound": self.lower_bound,
            "best_seen": self.best_seen,
            "unseen_mass": self.unseen[0],
            "seconds": self.seconds,
            "environment": self.environment,
            "findings": {"finished": self.finished, "unseen_mass_upper": self.unseen[1], **self.findings},
        }

    # -- weights, figures, tables --------------------------------------------------------------------------------------

    def best(self) -> Any:
        """The network of the lowest stationary point that was found, in the user's own structure.

        Raises:
            InputError: None was found; or the problem is not known, see `network`.
        """
        for level in self.levels:
            if level.label not in WITHOUT_END and np.any(self._kept() & members(self.rows, self.levels, level)):
                return self.network(level)
        raise InputError("no restart of this run ended at a stationary point whose weights are kept.")

    def network(self, level: int | Level = 0) -> Any:
        """The network of one restart of a level, in the user's own structure: what the problem reads theta as.

        Args:
            level: One of `levels`, or its number there, from the lowest loss.

        Raises:
            InputError: There is no such level, no weights of it are kept, or the problem is not known: a run folder
                does not hold a loss from Python, `landscape.load(DIR, problem)` is given it.
        """
        theta = self.weights[self.restart_of(level)]
        if self.plan is None:
            raise InputError("the run folder does not hold the loss; give it: landscape.load(DIR, problem).")
        return self.plan.problem.read(theta)

    def restart_of(self, level: int | Level = 0) -> int:
        """The first restart of a level whose weights are kept; they are in `weights`.

        Raises:
            InputError: There is no such level, or no weights of it are kept.
        """
        if isinstance(level, int | np.integer):
            if not 0 <= level < len(self.levels):
                raise InputError(f"level must be from 0 to {len(self.levels) - 1}, found {level}.")
            level = self.levels[level]
        found = self.rows["restart"][self._kept() & members(self.rows, self.levels, level)]
        if not len(found):
            raise InputError(f"no weights are kept of the level {level.label} at loss {level.loss:.12g}.")
        return int(found[0])

    def _kept(self) -> np.ndarray:
        """Whose weights are kept, boolean [r]."""
        return np.isin(self.rows["restart"], list(self.weights))

    def plot(self) -> Any:
        """Loss levels, Hessian spectra and some descents, as figures by name; they show themselves in a notebook.

        It is `landscape.plot(census)`: figures are drawn by a later stage than the one that counts.
        """
        import landscape

        return landscape.plot(self)

    def to_pandas(self) -> Any:
        """The finished restarts as a pandas DataFrame: a row a restart, the columns of `rows`.

        Raises:
            InputError: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError:
            raise InputError("to_pandas needs pandas, which is not installed; pip install pandas.") from None
        return pandas.DataFrame(self.rows)

    def to_xarray(self) -> Any:
        """The finished restarts, the levels and the ends that are kept, as an xarray Dataset; see `dataset`.

        Raises:
            InputError: xarray is not installed.
        """
        from landscape.census.dataset import dataset

        return dataset(self)

    def __str__(self) -> str:
        return text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html(self)
