"""How descents come to global minima (Zhou, Ge and Jin 2021): exponents, rates, students and their teachers."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError, must_fit, whole
from landscape.studies.descents import Descents
from landscape.studies.reported import Report, Reported

if TYPE_CHECKING:
    import numpy as np

    from landscape.trajectory import Trace

MODELS = ("tied", "abs", "relu")
GRID = 25  # losses at which the median descent is drawn
HALVED = 64  # descents that are run again with half the tolerance or step


@dataclass(frozen=True)
class Convergence(Reported, Descents):
    """Descents to a teacher, by default of the gradient flow, looked at along the way, at several widths.

    "sgd:32" goes down by 32 fresh inputs a step instead: the paper's algorithm. Its noise never ends, so that
    descents have an end only where the loss has none left.

    Sums of absolute values and of ReLU start at teacher / width times the scale: where a sum begins with more mass than
    its teacher has, neurons shrink to zero, and the flow has no way on across the kink there.

    Attributes:
        model: tied (the paper's: top weights tied to the norms, absolute values), abs, relu (sums), or all of them.
        teacher: Number of teacher neurons.
        dimension: Of the inputs.
        angle: Least angle between random teacher lines, in radians; 0 for orthonormal teachers.
        draw: Seed of random teachers.
        widths: Numbers of students.
        low: Least loss that is fitted: above the rounding error of the loss.
        high: Largest loss that is fitted.
    """

    restarts: int = 256
    optimiser: str = "flow"
    tolerance: float = 1e-6
    budget: int = 20_000
    retire: float = 1e-8
    model: str = "all"
    teacher: int = 2
    dimension: int = 4
    angle: float = 0.0
    draw: int = 0
    widths: tuple[int, ...] = (2, 4, 16, 64)
    low: float = 3e-12
    high: float = 1e-4

    def rows(self) -> np.ndarray:
        """The teacher, [k, d]."""
        from landscape.problems.teacher_student import orthonormal_teacher
        from landscape.problems.tied import separated_teacher

        wide = whole("dimension", self.dimension, 1) * max(whole("widths", width, 1) for width in self.widths)
        must_fit(f"networks of {wide} weights", 64 * wide)
        if self.angle:
            return separated_teacher(self.teacher, self.dimension, self.angle, self.draw)
        return orthonormal_teacher(self.teacher, d=self.dimension).teacher

    def problem_of(self, model: str, width: int) -> Any:
        """The landscape of a model at a width."""
        from landscape.problems.teacher_student import teacher_student
        from landscape.problems.tied import tied_student

        return tied_student(self.rows(), width) if model == "tied" else teacher_student(self.rows(), width, model)

    def problem(self) -> Any:
        """The landscape of the first model at the largest width.

        Raises:
            InputError: A field makes no sense.
        """
        if not self.widths or min(self.widths) < self.teacher:
            raise InputError(f"widths must be at least the teacher's {self.teacher} neurons, found {self.widths}.")
        if not 0 < self.low < self.high:
            raise InputError(f"low and high must be losses, 0 < low < high; found {self.low} and {self.high}.")
        if self.optimiser not in ("flow", "gradient-descent") and not self.optimiser.startswith("sgd:"):
            raise InputError(
                "rates are in time of the flow: the optimiser must be flow or gradient-descent, or sgd:8 with any "
                "number of fresh inputs a step."
            )
        return self.problem_of(self.models()[0], whole("widths", max(self.widths), 1))

    def models(self) -> tuple[str, ...]:
        """The models asked for.

        Raises:
            InputError: There is none of that name.
        """
        if self.model not in (*MODELS, "all"):
            raise InputError(f"model must be {', '.join(MODELS)} or all, found {self.model!r}.")
        return MODELS if self.model == "all" else (self.model,)

    def cases(self) -> list[tuple[str, str, int]]:
        """Name, model and width of each case."""
        return [(f"{model}-m{width:03d}", model, width) for model in self.models() for width in self.widths]

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        return super().manifest() | {"restarts": self.restarts * len(self.cases())}

    def followed(self, problem: Any, folder: Path | None, restarts: int, fraction: float = 1.0) -> Trace:
        """Descents looked at along the way, kept in the folder where there is one.

        Args:
            problem: The landscape.
            folder: Of the run.
            restarts: How many descents.
            fraction: Of the tolerance of flow, and of the step of the other methods.
        """
        from landscape.host.trace import trace
        from landscape.theory.local_convergence.matching import matching

        settings = self.plan().settings._asdict()
        for name in ("tolerance", "step_size"):
            settings[name] *= fraction
        if problem.kind == "teacher_student":
            settings["init_scale"] *= len(problem.teacher) / problem.width
        return trace(
            problem, restarts, self.seed, looks=looks(self.budget), observables=matching(problem),
            out=folder, resume=True, progress=False, **settings,
        )  # fmt: skip

    @abstractmethod
    def case(self, name: str, model: str, width: int, folder: Path | None) -> dict[str, Any] | None:
        """What is found in one case; None after Ctrl-C."""

    @abstractmethod
    def said(self, table: list[dict[str, Any]]) -> list[str]:
        """The lines that are printed."""

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Follows the descents of each case; after Ctrl-C, those that are done."""
        import time
        from collections import Counter

        from landscape.host import interrupt
        from landscape.host.progress import counting_bar

        begun, table = time.perf_counter(), []
        cases = self.cases()
        with counting_bar(progress, self.name) as tell:
            for name, model, width in cases:
                found = self.case(name, model, width, None if folder is None else folder / name)
                if found is None:
                    break
                table.append(found)
                if tell is not None:
                    tell(len(table) * self.restarts, len(cases) * self.restarts)
                interrupt.check()
        labels: Counter[str] = Counter()
        for row in table:
            labels.update(row["labels"])
        total, done = self.restarts * len(cases), self.restarts * len(table)
        findings = {"cases": table, "window": [self.low, self.high]}
        bound = {"value": 0.0, "by": "a mean of squares"}
        record = self.record(
            done, time.perf_counter() - begun, findings, labels, restarts=total, lower_bound=bound
        )  # fmt: skip
        return Report(record, "\n".join(self.said(table)), done, total)


def looks(budget: int) -> list[int]:
    """Gradients at which to look: every eighth at first, where an exponential descent is soon over, then log-spaced."""
    import numpy as np

    late = np.geomspace(3000, max(budget, 3001), 60).astype(int)
    return [int(one) for one in np.unique(np.concatenate([np.arange(0, 3000, 8), late])) if one <= budget]


def median_curve(loss: np.ndarray, values: np.ndarray, low: float, high: float) -> dict[str, list[float | None]]:
    """The median of a quantity over descents, at losses evenly spaced in the logarithm, and its 10% and 90% quantiles.

    Args:
        loss: Loss, [r, t].
        values: A positive quantity, [r, t].
        low: Least loss.
        high: Largest loss.
    """
    import numpy as np

    grid = np.geomspace(high, low, GRID)
    found = np.full((len(loss), GRID), np.nan)
    for i in range(len(loss)):
        ok = np.isfinite(loss[i]) & (loss[i] > 0) & (values[i] > 0)
        x, y = -np.log(loss[i, ok]), np.log(values[i, ok])
        if len(x) > 1:
            rising = np.maximum.accumulate(x)
            inside = (-np.log(grid) >= rising[0]) & (-np.log(grid) <= rising[-1])
            found[i, inside] = np.interp(-np.log(grid[inside]), rising, y)
    seen = np.isfinite(found).sum(axis=0) > len(loss) / 2
    out: dict[str, list[float | None]] = {"loss": [float(one) for one in grid]}
    for name, q in (("low", 0.1), ("median", 0.5), ("high", 0.9)):
        out[name] = [
            float(np.exp(np.nanquantile(found[:, j], q))) if seen[j] else None for j in range(GRID)
        ]  # fmt: skip
    return out


@dataclass(frozen=True)
class Lojasiewicz(Convergence):
    """Exponent of the gradient and rate of the loss near global minima, by model and width."""

    name: ClassVar[str] = "lojasiewicz"
    about: ClassVar[str] = "Zhou, Ge and Jin 2021: the gradient as a power of the loss, the loss as one of time"
    takes: ClassVar[str] = "7 minutes of processor time, 5 of them at width 64"
    draws: ClassVar[str] = "the median descent of each case: gradient norm against loss, and loss against time"

    def case(self, name: str, model: str, width: int, folder: Path | None) -> dict[str, Any] | None:
        """The two laws with their intervals, the regime, and what half the tolerance or step changes."""
        import numpy as np

        from landscape import fits
        from landscape.theory.local_convergence.regimes import verdict

        window = fits.Window(self.low, self.high)
        problem = self.problem_of(model, width)
        seen = self.followed(problem, folder, self.restarts)
        if seen.census.finished < self.restarts:
            return None
        power = fits.exponent(seen.loss, seen.grad_norm, seen.floor, window)
        rate = fits.rate(seen.time, seen.loss, seen.floor, window)
        some = min(self.restarts, HALVED)
        finer = None if folder is None else folder.with_name(f"{name}-halved")
        again = self.followed(problem, finer, some, 0.5)
        if again.census.finished < some:
            return None
        change = [
            np.nanmedian(np.abs(law.slopes[:some] - other.slopes)) if np.isfinite(law.slopes[:some]).any() else np.nan
            for law, other in (
                (power, fits.exponent(again.loss, again.grad_norm, again.floor, window)),
                (rate, fits.rate(again.time, again.loss, again.floor, window)),
            )
        ]
        said = verdict(power, rate, seen.loss, seen.grad_norm)
        # Students that are still far from their teacher when the rest has converged: most of them are nearly dead.
        inside = (seen.loss >= self.low) & (seen.loss <= np.sqrt(self.low * self.high))
        stray = np.nanmax(np.where(inside, seen.observed["stray"], np.nan), axis=1, initial=0.0)
        clean = stray == 0
        direct = fits.exponent(seen.loss[clean], seen.grad_norm[clean], seen.floor[clean], window)
        steady = fits.rate(seen.time[clean], seen.loss[clean], seen.floor[clean], window)
        return {
            "name": name, "model": model, "width": width, "labels": seen.census.labels(),
            "exponent": power.as_dict(), "rate": rate.as_dict(),
            "regime": str(said.regime), "words": said.words, "kappa": _or_none(said.kappa), "basin": str(said.basin),
            "halved": {"exponent": _or_none(change[0]), "rate": _or_none(change[1]), "descents": some},
            "astray": int(np.sum(~clean)),
            "without_stray": {"exponent": direct.as_dict(), "rate": steady.as_dict()},
            "curves": {
                "grad_norm": median_curve(seen.loss, seen.grad_norm, self.low, self.high),
                "time": median_curve(seen.loss, seen.time, self.low, self.high),
            },
        }  # fmt: skip

    def said(self, table: list[dict[str, Any]]) -> list[str]:
        """A line a case."""
        from landscape.census.text import text_table

        step = "tolerance" if self.optimiser == "flow" else "step"
        head = ("model", "width", "descents", "global", "gradient ~ L^a: a [95%]", "L ~ t^-b: b [95%]", "regime",
                "least |g|/L", f"half the {step}: a, b", "astray", "without: a", "b")  # fmt: skip
        rows: list[tuple[str, ...]] = [head]
        for row in table:
            change = row["halved"]
            rows.append(
                (
                    row["model"], str(row["width"]), str(self.restarts), str(row["labels"]["global"]),
                    _law(row["exponent"]), _law(row["rate"]), row["regime"],
                    "-" if row["kappa"] is None else f"{row['kappa']:.1f}",
                    f"{_small(change['exponent'])}, {_small(change['rate'])}", str(row["astray"]),
                    _law(row["without_stray"]["exponent"], short=True), _law(row["without_stray"]["rate"], short=True),
                )
            )  # fmt: skip
        window = f"fitted where {self.low:g} <= L <= {self.high:g}; an interval covers drift along the window too"
        note = "astray: descents with a student more than 0.1 rad from its teacher in the lower half of the window"
        return [*text_table(rows), "", f"{self.name}: {window}", note]

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws the median descent of each case: gradient norm against loss, and loss against time."""
        from landscape.figures.convergence import laws
        from landscape.figures.style import save

        return [save(laws(result.record), folder / "lojasiewicz.png")]


def _or_none(value: float) -> float | None:
    return float(value) if value == value else None


def _small(value: float | None) -> str:
    return "-" if value is None else f"{value:.1g}"


def _law(law: dict[str, Any], short: bool = False) -> str:
    if law["name"] == "exponential":
        return "exponential"
    if law["name"] != "power law":
        return "no power law" if law["fitted"] else "-"
    return f"{law['slope']:.3f}" + ("" if short else f" [{law['low']:.3f}, {law['high']:.3f}]")


@dataclass(frozen=True)
class StudentMatching(Convergence):
    """Which teacher each student goes to, how closely, and below which loss all descents converge.

    The last case is a warning: three ReLU teachers at 120 degrees sum to zero, and students at their negatives are an
    exact global minimum that matches none of them.
    """

    name: ClassVar[str] = "student-matching"
    about: ClassVar[str] = "Zhou, Ge and Jin 2021: students gather at teachers, except ReLU ones whose teachers cancel"
    takes: ClassVar[str] = "60 s of processor time"
    draws: ClassVar[str] = "angles and residuals against the loss"

    teacher: int = 3
    dimension: int = 4
    angle: float = 0.9
    widths: tuple[int, ...] = (3, 8)
    budget: int = 40_000

    def cases(self) -> list[tuple[str, str, int]]:
        """Name, model and width of each case."""
        return [*super().cases(), ("relu-cancelling", "relu", 3)]

    def case(self, name: str, model: str, width: int, folder: Path | None) -> dict[str, Any] | None:
        """Angles, residuals and masses along the descents, and the threshold."""
        import numpy as np

        from landscape import fits
        from landscape.problems.teacher_student import teacher_student
        from landscape.theory.local_convergence.regimes import threshold

        cancels = name == "relu-cancelling"
        turn = 2 * np.pi * np.arange(3) / 3
        problem = (
            teacher_student(np.stack([np.cos(turn), np.sin(turn)], axis=1), width)
            if cancels
            else self.problem_of(model, width)
        )
        seen = self.followed(problem, folder, self.restarts)
        if seen.census.finished < self.restarts:
            return None
        window = fits.Window(self.low, self.high)
        good = seen.labels == "global"
        residual = np.sqrt(np.sum(seen.observed["residual"] ** 2, axis=2))
        angle = seen.observed["angle"]
        mass_off = np.max(np.abs(seen.observed["mass"] - 1.0), axis=2)
        last = np.array([np.flatnonzero(np.isfinite(row))[-1] for row in seen.loss])
        at_end = np.arange(len(last)), last
        limit = threshold(seen.loss, seen.labels)
        matched = good & (angle[at_end] < 0.1)
        quantities = {"angle": angle, "residual": residual}
        laws = {
            name: fits.exponent(seen.loss[matched], one[matched], seen.floor[matched], window).as_dict()
            for name, one in quantities.items()
        }
        return {
            "name": name, "model": model, "width": width, "labels": seen.census.labels(),
            "matched": int(matched.sum()), "unmatched_global": int((good & ~matched).sum()),
            "threshold": {
                "loss": _finite(limit.loss), "failing": limit.failing, "below": limit.below,
                "open": limit.open,
                "failing_at_most": limit.failing_at_most, "basin": str(limit.basin),
            },
            "laws": laws,
            "end": {
                name: float(np.median(one[at_end][matched])) if matched.any() else None
                for name, one in (quantities | {"mass_off": mass_off, "loss": seen.loss}).items()
            },
            "curves": {
                kind: {name: median_curve(seen.loss[some], q[some], self.low, 0.1) for name, q in quantities.items()}
                for kind, some in (("matched", matched), ("unmatched", good & ~matched))
                if some.any()
            },
        }  # fmt: skip

    def said(self, table: list[dict[str, Any]]) -> list[str]:
        """A line a case."""
        from landscape.census.text import text_table

        head = ("case", "descents", "global", "matched", "angle at the end", "angle ~ L^a: a", "residual ~ L^a: a",
                "masses off by", "all that end converge below", "of", "no end yet", "failing at most")  # fmt: skip
        rows: list[tuple[str, ...]] = [head]
        for row in table:
            end, limit = row["end"], row["threshold"]
            number = lambda x: "-" if x is None else f"{x:.1e}"  # noqa: E731
            rows.append(
                (
                    row["name"], str(self.restarts), str(row["labels"]["global"]), str(row["matched"]),
                    number(end["angle"]), _law(row["laws"]["angle"], short=True),
                    _law(row["laws"]["residual"], short=True), number(end["mass_off"]),
                    "any start" if limit["loss"] is None else f"{limit['loss']:.4g}", str(limit["below"]),
                    str(limit["open"]), f"{100 * limit['failing_at_most']:.1f}%",
                )
            )  # fmt: skip
        window = f"angles and residuals as powers of the loss, {self.low:g} to {self.high:g}"
        note = "thresholds are of the descents seen, and prove nothing"
        return [*text_table(rows), "", f"{self.name}: {window}; {note}"]

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws angles and residuals against the loss."""
        from landscape.figures.convergence import matching
        from landscape.figures.style import save

        return [save(matching(result.record), folder / "matching.png")]


def _finite(value: float) -> float | None:
    return float(value) if abs(value) < float("inf") else None
