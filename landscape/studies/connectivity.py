"""Mode connectivity: the path between two networks that someone brings, and how high it leads."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import InputError, whole
from landscape.studies.reported import Report, Reported
from landscape.studies.study import once

if TYPE_CHECKING:
    import numpy as np

    from landscape.engine.plan import Plan

# Venturi, Bandeira and Bruna 2019, on eight points: from the first network every path rises to 31/6 at least.
_X = [[1, 0, 0], [0, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, 0, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]]
_Y = [1, 1, 1, 1, 0, 0, -3, 0]
_FIRST = ([[1, 0, 0], [0, 1, 0]], [1, 1])
_SECOND = ([[4 / 3, 2 / 3, 0], [0, 0, 1]], [1, -3])


@dataclass(frozen=True)
class ModeConnectivity(Reported):
    """The barrier from above between two networks: straight line with neurons matched, string, dynamic string sampling.

    Attributes:
        first: A file of points as `landscape label` reads it; without it, a network in a certified spurious valley.
        second: Another such file of the same problem; without it, the second point of the first file.
        steps: Of the string method.
        restarts: Number of networks: two.
        seed: Of nothing; there as for every run.
    """

    name: ClassVar[str] = "mode-connectivity"
    draws: ClassVar[str] = "the loss along the straight line, the string and the path of dynamic string sampling"
    about: ClassVar[str] = "two networks of yours: matched neurons, three kinds of paths, barrier from above, picture"

    first: str = ""
    second: str = ""
    steps: int = 2000
    restarts: int = 2
    seed: int = 0

    @once
    def networks(self) -> tuple[Any, list[np.ndarray]]:
        """The landscape and theta of the two networks.

        Raises:
            InputError: A file cannot be read, there are not two networks, or they are of different problems.
        """
        import numpy as np

        from landscape.host.slices import points_of

        if self.restarts != 2:
            raise InputError(f"mode-connectivity is about two networks; restarts must be 2, found {self.restarts}.")
        whole("steps", self.steps, 0)
        if not self.first:
            from landscape.problems.empirical import empirical
            from landscape.problems.params import Params

            if self.second:
                raise InputError("a second file needs a first one.")
            problem = empirical(np.array(_X, float), np.array(_Y, float), 2, weight_decay=0.0)
            pair = (Params(hidden=np.array(w, float), outer=np.array(a, float)) for w, a in (_FIRST, _SECOND))
            return problem, [problem.write(one) for one in pair]
        problem, points = points_of(Path(self.first))
        if not self.second:
            if len(points) != 2:
                raise InputError(f"{self.first} holds {len(points)} points; give two, or a second file.")
            return problem, list(points)
        other, more = points_of(Path(self.second))
        if len(points) != 1 or len(more) != 1:
            raise InputError(f"each file must hold one point, found {len(points)} and {len(more)}.")
        if problem.fingerprint() != other.fingerprint():
            raise InputError(
                f"{self.first} and {self.second} are of different problems: data, width or settings differ."
            )
        return problem, [points[0], more[0]]

    @once
    def plan(self) -> Plan:
        """The problem."""
        from landscape.engine.plan import Plan
        from landscape.engine.settings import Settings

        problem = self.networks()[0]
        return Plan(problem, Settings.of(problem), self.restarts, self.seed, title=self.name, study=self.name)

    def manifest(self) -> dict[str, Any]:
        """What the run folder says; also checks every field."""
        from landscape.host.manifest import manifest

        said = manifest(self.plan(), self.fields())
        said["settings"] = {}
        said["environment"]["dynamics"] = "no descents: a path between two networks"
        return said

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """The path, and its heights."""
        import time

        import numpy as np

        from landscape.host.paths_between import paths_between
        from landscape.paths.matching import matched
        from landscape.paths.slices import losses
        from landscape.paths.strings import lines

        begun = time.perf_counter()
        problem, (first, second) = self.networks()
        found = paths_between(
            problem, [problem.read(one) for one in (first, second)], steps=self.steps, stationary=False
        )
        (way,) = found.ways
        unmatched = lines(first[None], second[None])[0]
        straight = lines(first[None], matched(problem, first, second)[None])[0]
        (said,) = found.as_dict()
        paths = {"unmatched": unmatched, "line": straight, "string": way.points, "sampled": way.sampled_points}
        curves = {name: losses(problem, _even(path)).tolist() for name, path in paths.items() if path is not None}
        apart = {
            "unmatched": float(np.linalg.norm(first - second)),
            "matched": float(np.linalg.norm(straight[0] - straight[-1])),
        }
        findings = {"barrier": said, "losses": found.losses.tolist(), "curves": curves, "distance": apart,
                    "way_points": way.points.tolist()}  # fmt: skip
        record = self.record(2, time.perf_counter() - begun, findings, {})
        text = [
            f"two networks of losses {found.losses[0]:.10g} and {found.losses[1]:.10g}",
            f"distance {apart['unmatched']:.4g}, {apart['matched']:.4g} with neurons matched",
            f"largest loss on the straight line, neurons as given: {max(curves['unmatched']):.10g} (looked at)",
            f"straight line, neurons matched: {_height(way.line)}",
            f"string: {_height(way.string)}",
            f"dynamic string sampling: {_sampled(way)}",
            f"barrier at most {found.barrier(way):.10g} above the higher of the two ({way.edge.by})",
            "a path bounds the barrier from above; it never shows that there is no lower one",
        ]
        return Report(record, "\n".join(text), 2, 2)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws the loss along the three paths."""
        from landscape.figures import saddles
        from landscape.figures.style import save

        return [save(saddles.along_paths(result.record), folder / "paths.png")]


def _sampled(way: Any) -> str:
    if way.sampled is None:
        return "no path below the straight line found"
    return f"{_height(way.sampled)}, {len(way.sampled_points)} way-points"


def _height(height: Any) -> str:
    return f"{height.high:.10g} ({'bounded between looks' if height.bounded else 'largest loss looked at'})"


def _even(path: np.ndarray, count: int = 257) -> np.ndarray:
    """Points at even distances along the polygon of some way-points, for its picture."""
    import numpy as np

    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    return np.stack([np.interp(np.linspace(0.0, length[-1], count), length, column) for column in path.T], axis=1)
