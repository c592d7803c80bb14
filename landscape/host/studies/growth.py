"""Growth studies: networks that are grown until they are provably global, and what happens where degrees differ.

After Haeffele and Vidal, "Global optimality in neural network training" (2017).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.host.studies.teachers import Descents
from landscape.records import InputError, Label, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from landscape.problems.empirical import Empirical
    from landscape.problems.homogeneous import Homogeneous

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
class _Reported:
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
        from landscape.host.explore import check_counts
        from landscape.host.lanes import Settings, environment
        from landscape.host.merge import facts

        check_counts(self.restarts, self.seed)
        settings = Settings(init=self.init, init_scale=self.init_scale).check()
        return {
            "study": self.name,  # type: ignore[attr-defined]
            "fields": {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()},
            "problem": facts(self.problem()),
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
            _keep(folder / RESULT, {"record": result.record, "text": result.text})
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
        from landscape.census import share

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


def _keep(path: Path, content: dict[str, Any]) -> None:
    """The file is there, whole or not at all.

    Raises:
        InputError: It cannot be written.
    """
    from landscape.host import disk

    try:
        disk.write(path, json.dumps(content, allow_nan=False).encode())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error


def random_data(rows: int, dimension: int, draw: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian inputs [rows, dimension] and targets [rows]."""
    import numpy as np

    rng = np.random.default_rng(draw)
    x = rng.normal(size=(whole("rows", rows, 1), whole("dimension", dimension, 1)))
    return x, rng.normal(size=rows)


@dataclass(frozen=True)
class GrowUntilGlobal(_Reported):
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

        from landscape.problems.homogeneous import FAMILIES, matrix_factorisation, parallel

        if self.family not in (*FAMILIES, "matrix"):
            raise InputError(f"family {self.family!r} is unknown; known are {', '.join(FAMILIES)}, matrix.")
        if self.data:
            x, y = _read_data(self.data, self.family != "matrix")
        elif self.family == "matrix":
            x, y = None, random_data(self.rows, self.dimension, self.draw)[0]
        else:
            x, y = random_data(self.rows, self.dimension, self.draw)
        if self.loss == "logistic" and not self.data:
            y = np.where(y < 0, -1.0, 1.0)
        if self.family == "matrix":
            return matrix_factorisation(y, self.width, self.regularisation, self.loss)
        return parallel(x, y, self.width, self.family, self.regularisation, self.loss)

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Grows them all."""
        from landscape.host.growth import bar, grow

        with bar(self.name, progress) as tell:
            grown = grow(
                self.problem(), self.restarts, self.seed, init=self.init, init_scale=self.init_scale,
                most=self.most or None, report=tell,
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
        record = self.said(
            done, grown.seconds, findings,
            {"global": len(certified), "undecided": done - len(certified)},
            best_seen=min((path.rounds[-1].loss for path in grown.paths), default=None),
            lower_bound=None if bound is None else {"value": bound, "by": "polar test, dual bound"},
        )  # fmt: skip
        return Report(record, f"{grown}\n{grown.seconds:.1f} s", done, self.restarts)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws loss, polar value and width by round."""
        from landscape.host import growth_plots, plots

        return [plots.save(growth_plots.traces(result.record), folder / "growth.png")]


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


def _read_data(file: str, inputs: bool) -> tuple[Any, Any]:
    """x and y of a JSON or npz file.

    Raises:
        InputError: The file cannot be read, or lacks them.
    """
    from landscape.host import files

    content = files.read(Path(file))
    try:
        return (content["x"] if inputs else None), content["y"]
    except (KeyError, TypeError):
        raise InputError(f"{file} must hold {'x and y' if inputs else 'y'} by name.") from None


# --- degrees that differ ---


@dataclass(frozen=True)
class DegreeMismatch(_Reported):
    """1/2 (w^3 - 1)^2 with a penalty of degree 2 beside one of degree 3: the first has a bad minimum at zero.

    Attributes:
        regularisation: lambda of lambda |w|^2 and lambda |w|^3.
    """

    name: ClassVar[str] = "degree-mismatch"
    about: ClassVar[str] = "Haeffele and Vidal 2017: where degrees differ, zero is a local minimum and not global"
    dynamics: ClassVar[str] = "gradient descent"

    restarts: int = 400
    init: str = "gaussian"
    regularisation: float = 0.1

    def problem(self) -> Homogeneous:
        """The mismatched landscape."""
        return cubic(self.regularisation, 2)

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Stationary points of both in closed form, and where descents end."""
        import time

        from landscape.host.explore import explore

        begun = time.perf_counter()
        exact = cubic_points(self.regularisation)
        settings = {"init": self.init, "init_scale": self.init_scale, "progress": progress}
        censuses = {
            "mismatched": explore(self.problem(), self.restarts, self.seed, **settings),
            "matched": explore(cubic(self.regularisation, 3), self.restarts, self.seed, **settings),
        }
        found = {
            name: [
                {"loss": level.loss, "label": str(level.label), "flavour": level.flavour, "count": level.count}
                for level in census.levels
            ]
            for name, census in censuses.items()
        }
        labels = censuses["mismatched"].labels()
        findings = {"stationary": exact, "ends": found, "regularisation": self.regularisation}
        done = min(census.finished for census in censuses.values())
        record = self.said(done, time.perf_counter() - begun, findings, labels)
        lines = [f"1/2 (w^3 - 1)^2 + {self.regularisation:g} |w|^q, one weight", ""]
        lines += [
            f"{name:>10}  {kind:<13}  w = {w:.10f}  loss = {loss:.10f}"
            for name, points in exact.items()
            for kind, w, loss in points
        ]
        for name, levels in found.items():
            ends = ", ".join(f"{level['count']} at {level['loss']:.10f} ({level['label']})" for level in levels)
            lines.append(f"descents, {name}: {ends}")
        return Report(record, "\n".join(lines), done, self.restarts)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws both losses with their stationary points."""
        from landscape.host import growth_plots, plots

        return [plots.save(growth_plots.mismatch(result.record), folder / "mismatch.png")]


def cubic(regularisation: float, degree: int) -> Homogeneous:
    """1/2 (w^3 - 1)^2 + lambda |w|^degree, one subnetwork of one weight."""
    import numpy as np

    from landscape.problems.homogeneous import parallel

    made = parallel(
        np.ones(1), np.ones(1), 1, _cubic_net(degree), regularisation, allow_mismatch=True
    )  # fmt: skip
    assert not hasattr(made, "activation")
    return made  # pyright: ignore[reportReturnType]


def _cubic_net(degree: int) -> Any:
    import jax
    import jax.numpy as jnp

    from landscape.problems.homogeneous import Subnetwork, cube

    if degree not in _CUBIC:
        penalty = (lambda w: jnp.sum(w * w)) if degree == 2 else cube
        _CUBIC[degree] = Subnetwork(
            "cubic", lambda key: jax.random.normal(key, (1,), jnp.float64), lambda w, x: x * w[0] ** 3, penalty, 3.0,
            float(degree), coercive=True, roundings=8,
        )  # fmt: skip
    return _CUBIC[degree]


_CUBIC: dict[int, Any] = {}  # one object each, so that compiled programs are found again


def cubic_points(regularisation: float) -> dict[str, list[tuple[str, float, float]]]:
    """Stationary points of both landscapes: kind, w, loss; roots of the derivative, finished by Newton's method.

    Mismatched: f' = w (3 w^4 - 3 w + 2 lambda). Matched, w > 0: f' = 3 w^2 (w^3 - 1 + lambda).
    """
    import numpy as np

    lam = regularisation
    roots = np.roots([3.0, 0.0, 0.0, -3.0, 2 * lam])
    inside = sorted(float(r.real) for r in roots if abs(r.imag) < 1e-9 and r.real > 0)
    for _ in range(3):
        inside = [w - (3 * w**4 - 3 * w + 2 * lam) / (12 * w**3 - 3) for w in inside]
    bent = lambda w: 0.5 * (w**3 - 1) ** 2 + lam * w * w  # noqa: E731
    points = [("local minimum", 0.0, bent(0.0))]
    if len(inside) == 2:
        points += [("barrier", inside[0], bent(inside[0])), ("minimum", inside[1], bent(inside[1]))]
    w = max(0.0, 1 - lam) ** (1 / 3)
    matched = [("minimum", w, 0.5 * (w**3 - 1) ** 2 + lam * w**3)]
    return {"mismatched": points, "matched": matched}


# --- zero subnetworks ---


@dataclass(frozen=True)
class ZeroSubnetwork(Descents):
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

    restarts: int = 200
    step_size: float = 0.0
    retire: float = 1e-4
    data: str = ""
    rows: int = 8
    dimension: int = 2
    draw: int = 0
    weight_decay: float = 0.1
    widths: tuple[int, ...] = (1, 2, 4, 6, 9, 15, 30)

    def problem_of(self, width: int) -> Empirical:
        """The landscape at a width."""
        from landscape.problems.empirical import empirical

        x, y = _read_data(self.data, True) if self.data else random_data(self.rows, self.dimension, self.draw)
        return empirical(x, y, width, weight_decay=self.weight_decay)

    def problem(self) -> Empirical:
        """The landscape at the largest width.

        Raises:
            InputError: There is no width, or the polar test does not apply.
        """
        from landscape.theory.homogeneous_growth import checked

        if not self.widths:
            raise InputError("zero-subnetwork needs at least one width.")
        for width in self.widths:
            whole("widths", width, 1)
        problem = self.problem_of(max(self.widths))
        checked(problem)
        return problem

    def settings(self) -> Any:
        """The driver's settings, with the problem's own step where none is given."""
        from landscape.host.lanes import Settings

        given = {name: getattr(self, name) for name in Settings._fields}
        given["step_size"] = self.step_size or self.problem().step_size()
        return Settings(**given).check()

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        said = super().manifest()
        said["restarts"] = self.restarts * len(self.widths)
        said["fields"] = {key: list(v) if isinstance(v, tuple) else v for key, v in said["fields"].items()}
        return said

    run = _Reported.run  # pyright: ignore[reportAssignmentType]  # a report, not a census
    restored = _Reported.restored

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """Runs the descents of each width, and looks at every end; after Ctrl-C, of the widths that are done."""
        import time
        from collections import Counter

        from landscape.census import share
        from landscape.classify import bounded
        from landscape.host.growth import bar

        begun = time.perf_counter()
        table: list[dict[str, Any]] = []
        with bar(self.name, progress) as tell:
            for width in self.widths:
                kept = None if folder is None else folder / f"width{width:04d}.json"
                if kept is not None and kept.exists():
                    table.append(json.loads(kept.read_text()))
                    continue
                row = self._row(width, tell, len(table) * self.restarts)
                if row is None:
                    break
                table.append(row)
                if kept is not None:
                    _keep(kept, row)
        total, done = self.restarts * len(self.widths), self.restarts * len(table)
        labels: Counter[str] = Counter({str(label): 0 for label in Label})
        for row in table:
            labels.update(row["labels"])
        bound = bounded(self.problem()).lower_bound  # of all widths
        assert bound is not None
        manifest = self.manifest()
        record = {
            "study": self.name, "problem": manifest["problem"], "restarts": total, "seed": self.seed,
            "labels": dict(labels), "shares": {label: share(count, max(done, 1)) for label, count in labels.items()},
            "levels": [], "lower_bound": {"value": bound.value, "by": bound.by}, "best_seen": None,
            "unseen_mass": None, "seconds": {"total": round(time.perf_counter() - begun, 3)},
            "environment": manifest["environment"], "findings": {"finished": done, "widths": table},
        }  # fmt: skip
        return Report(record, _zero_text(table, self.restarts), done, total)

    def _row(self, width: int, tell: Callable[[int, int], None] | None, before: int) -> dict[str, Any] | None:
        """What becomes of the descents of a width; None after Ctrl-C."""
        from collections import Counter

        import jax
        import numpy as np

        from landscape.census import share
        from landscape.classify import bounded
        from landscape.host.lanes import Driver

        problem: Any = bounded(self.problem_of(width))
        polars: dict[str, list[float]] = {"global": [], "saddle": [], "other": []}
        without: Counter[str] = Counter()
        labels: Counter[str] = Counter()
        total = self.restarts * len(self.widths)
        try:
            with jax.enable_x64(True):
                for rows, thetas in Driver(problem, self.settings(), self.seed).run(np.arange(self.restarts)):
                    _sorted_ends(problem, rows, thetas, polars, without)
                    labels.update(rows["label"].tolist())
                    if tell is not None:
                        tell(before + sum(labels.values()), total)
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
        from landscape.host import growth_plots, plots

        return [plots.save(growth_plots.zeros(result.record), folder / "zero.png")]


def _sorted_ends(
    problem: Empirical, rows: dict[str, np.ndarray], thetas: np.ndarray, polars: dict[str, list[float]], without: Any
) -> None:
    """Counts ends: polar / lambda of those with a zero neuron by label, the labels of the others."""
    import numpy as np

    from landscape.theory.convex import stationary
    from landscape.theory.homogeneous_growth import certificate

    for label, theta in zip(rows["label"].tolist(), thetas, strict=True):
        here = stationary.at(problem, theta)
        size = np.maximum(np.linalg.norm(here.w, axis=1), np.abs(here.a))
        if label == "unconverged" or np.all(size > stationary.ZERO * problem.scale):
            without[label] += 1
            continue
        kind = label if label in ("global", "saddle") else "other"
        polars[kind].append(certificate(problem, theta).ratio)


def _zero_text(table: list[dict[str, Any]], restarts: int) -> str:
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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    text = ["  ".join(value.rjust(w) for value, w in zip(row, widths, strict=True)) for row in rows]
    return "\n".join([*text, "", f"zero-subnetwork: {restarts} descents a width"])
