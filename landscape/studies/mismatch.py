"""Degrees of homogeneity that differ make zero a local minimum (Haeffele and Vidal 2017)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.studies.reported import Report, Starts

if TYPE_CHECKING:
    from landscape.problems.parallel import Homogeneous


@dataclass(frozen=True)
class DegreeMismatch(Starts):
    """1/2 (w^3 - 1)^2 with a penalty of degree 2 beside one of degree 3: the first has a bad minimum at zero.

    Attributes:
        regularisation: lambda of lambda |w|^2 and lambda |w|^3.
    """

    name: ClassVar[str] = "degree-mismatch"
    about: ClassVar[str] = "Haeffele and Vidal 2017: where degrees differ, zero is a local minimum and not global"
    takes: ClassVar[str] = "4 s of processor time"
    draws: ClassVar[str] = "ends of descents with matched and with mismatched degrees"
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
        settings = {"init": self.init, "init_scale": self.init_scale, "progress": progress, "resume": True}
        problems = {"mismatched": self.plan().problem, "matched": cubic(self.regularisation, 3)}
        censuses = {
            name: explore(problem, self.restarts, self.seed, out=None if folder is None else folder / name, **settings)
            for name, problem in problems.items()
        }
        found = {
            name: [
                {"loss": level.loss, "label": str(level.label), "flavour": level.flavour, "count": level.count}
                for level in census.levels
            ]
            for name, census in censuses.items()
        }
        labels, shown = censuses["mismatched"].labels(), censuses["mismatched"].finished
        findings = {"stationary": exact, "ends": found, "regularisation": self.regularisation}
        done = min(census.finished for census in censuses.values())
        record = self.record(shown, time.perf_counter() - begun, findings, labels)
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
        from landscape.figures import growth
        from landscape.figures.style import save

        return [save(growth.mismatch(result.record), folder / "mismatch.png")]


def cubic(regularisation: float, degree: int) -> Homogeneous:
    """1/2 (w^3 - 1)^2 + lambda |w|^degree, one subnetwork of one weight."""
    import numpy as np

    from landscape.problems.parallel import parallel

    return parallel(np.ones(1), np.ones(1), 1, _cubic_net(degree), regularisation, allow_mismatch=True)


def _cubic_net(degree: int) -> Any:
    import jax
    import jax.numpy as jnp

    from landscape.problems.parallel import Subnetwork
    from landscape.problems.subnetwork import cube

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
