"""Saddles of teacher-student networks: what joins their minima, and index against loss."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from landscape.records import whole
from landscape.studies.descents import Descents
from landscape.studies.reported import Report, Reported, Starts

if TYPE_CHECKING:
    import numpy as np

    from landscape.paths.saddle_census import Stationary
    from landscape.problems.teacher_student import TeacherStudent
    from landscape.topology.graph import Graph


@dataclass(frozen=True)
class SafranShamirTopology(Reported, Descents):
    """Minima of Safran and Shamir's networks, the transition states between them, and barriers from above.

    Attributes:
        teacher: Number k of orthonormal teacher neurons.
        width: Number n of student neurons; k by default.
        searches: Of transition states, from the minima of each round.
    """

    name: ClassVar[str] = "safran-shamir-topology"
    takes: ClassVar[str] = "a minute on two cores"
    draws: ClassVar[str] = "minima and transition states by loss, and the disconnectivity graph"
    about: ClassVar[str] = "orthonormal teacher: minima, the transition states that connect them, barriers from above"

    restarts: int = 300
    optimiser: str = "flow"
    teacher: int = 8
    width: int | None = None
    searches: int = 400

    def problem(self) -> TeacherStudent:
        """The landscape.

        Raises:
            InputError: A size makes no sense.
        """
        from landscape.problems.teacher_student import orthonormal_teacher

        whole("searches", self.searches, 1)
        return orthonormal_teacher(self.teacher, self.width)

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """A census, the states around its minima, and paths between all pairs of minima."""
        import time

        import numpy as np

        from landscape.host import topology
        from landscape.host.explore import explore
        from landscape.host.label import label_one
        from landscape.host.paths_between import paths_between
        from landscape.host.topology import Topology
        from landscape.host.transition_states import transition_states

        begun = time.perf_counter()
        problem, settings = self.plan().problem, self.plan().settings._asdict()
        out = None if folder is None else folder / "census"
        census = explore(problem, self.restarts, self.seed, out=out, resume=True, progress=progress, **settings)
        found = transition_states(problem, census, self.searches, seed=self.seed)
        labels = [str(label_one(problem, theta).label) for theta in found.minima]
        ways = paths_between(problem, [problem.read(theta) for theta in found.minima]) if len(labels) > 1 else None
        states = found.as_dict()
        for one, label in zip(states["minima"], labels, strict=True):
            one["label"] = label
            ended = np.abs(census.rows["loss"] - one["loss"]) <= 1e-9
            one["share"] = float(np.mean(ended & (census.rows["label"] == label)))
        findings = {"states": states, "pairs": [] if ways is None else ways.as_dict()}
        record = self.record(census.finished, time.perf_counter() - begun, findings, census.labels())
        if folder is not None:
            made = {"searches": states["searches"], "states": len(states["states"]),
                    "unseen_mass": states["unseen_mass"], "unseen_mass_upper": states["unseen_mass_upper"]}  # fmt: skip
            asked = {"finished": census.finished, "searches": self.searches, "steps": 400, "seed": self.seed}
            topology.keep(folder, Topology(barriers(record), found.minima[np.argsort(found.losses)], made, asked))
        each = zip(found.losses.tolist(), labels, strict=True)
        said = ", ".join(f"{i}: {round(loss, 10) + 0.0:.10f} ({label})" for i, (loss, label) in enumerate(each))
        text = [f"minima: {said}", "", str(found)]
        text += [] if ways is None else ["", "paths between minima, neurons matched:", str(ways)]
        return Report(record, "\n".join(text), census.finished, self.restarts)

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws minima at their losses with the states that connect them, and the disconnectivity graph."""
        from landscape.figures import saddles
        from landscape.figures.disconnectivity import disconnectivity
        from landscape.figures.style import save

        figures = {
            "connections.png": saddles.connections(result.record),
            "disconnectivity.png": disconnectivity(barriers(result.record)),
        }
        return [save(figure, folder / name) for name, figure in figures.items()]


def barriers(record: dict[str, Any]) -> Graph:
    """The graph of the minima of a topology: paths over transition states and others whose bound holds all along.

    Nothing bounds the barriers from below here but the higher of the two minima.
    """
    from landscape.host.paths_between import SAMPLED
    from landscape.topology.graph import Minimum, Way, graph

    found = record["findings"]
    minima = found["states"]["minima"]
    order = sorted(range(len(minima)), key=lambda i: minima[i]["loss"])
    place = {old: new for new, old in enumerate(order)}
    ends = [(*state["ends"], state["loss"], "transition state") for state in found["states"]["states"]]
    bounded = [pair for pair in found["pairs"] if SAMPLED not in pair["by"]]
    ends += [(pair["first"], pair["second"], pair["high"], pair["by"]) for pair in bounded]
    return graph(
        [Minimum(i, minima[i]["loss"], minima[i]["label"], minima[i]["share"]) for i in order],
        [Way(place[a], place[b], high, by) for a, b, high, by in ends if a is not None and b is not None and a != b],
    )


@dataclass(frozen=True)
class SaddleCensus(Starts):
    """Stationary points of every index, from searches that go up so many eigenvectors and down the others.

    The searches begin at random starts and at points on the way down from them, in equal parts, as those of Dauphin et
    al. (2014) did; each goes up a random number of eigenvectors.

    Attributes:
        teacher: Number k of orthonormal teacher neurons.
        width: Number n of student neurons; k by default.
        highest: Largest number of eigenvectors to go up.
    """

    name: ClassVar[str] = "saddle-census"
    draws: ClassVar[str] = "the index of stationary points against their loss"
    about: ClassVar[str] = "Dauphin et al. 2014: index against loss of stationary points, with shares and unseen mass"
    dynamics: ClassVar[str] = "searches for stationary points, not descents"

    restarts: int = 600
    teacher: int = 6
    width: int | None = None
    highest: int = 12

    def problem(self) -> TeacherStudent:
        """The landscape.

        Raises:
            InputError: A size makes no sense.
        """
        from landscape.problems.teacher_student import orthonormal_teacher

        whole("highest", self.highest, 0)
        return orthonormal_teacher(self.teacher, self.width)

    def report(self, folder: Path | None, progress: bool | None) -> Report:
        """The searches, and what they found."""
        import time

        import numpy as np

        from landscape.census.statistics import share, unseen_mass
        from landscape.paths.saddle_census import saddle_census

        begun = time.perf_counter()
        problem = self.plan().problem
        asked = np.random.default_rng((self.seed, 1)).integers(0, min(self.highest, problem.p) + 1, size=self.restarts)
        points, nowhere = saddle_census(problem, self._starts(), asked)
        counts = [point.count for point in points]
        estimate, upper = unseen_mass(counts)
        by_index = {
            index: {"orbits": sum(p.signs.index == index for p in points),
                    **share(sum(p.count for p in points if p.signs.index == index), self.restarts)}
            for index in sorted({p.signs.index for p in points})
        }  # fmt: skip
        findings = {
            "points": [
                {"loss": p.loss, "count": p.count, "grad_norm": p.grad_norm, **p.signs._asdict()} for p in points
            ],
            "by_index": {str(index): said for index, said in by_index.items()},
            "nowhere": nowhere,
            "correlation": correlation(points),
            "parameters": problem.p,
        }
        seconds = time.perf_counter() - begun
        record = self.record(self.restarts, seconds, findings, {}, unseen_mass=estimate)
        record["findings"]["unseen_mass_upper"] = upper
        return Report(record, _text(points, nowhere, by_index, (estimate, upper)), self.restarts, self.restarts)

    def _starts(self) -> np.ndarray:
        """Random starts, every second of them some way down: 0 to 1500 gradients of plain descent."""
        import jax.numpy as jnp
        import numpy as np

        from landscape.descent import method
        from landscape.descent.batch import advanced, begun
        from landscape.precision import float64
        from landscape.problems.restart import start_points

        problem = self.plan().problem
        starts = start_points(problem, self.seed, np.arange(self.restarts), self.init, self.init_scale)
        turn = np.random.default_rng((self.seed, 2)).integers(0, 8, size=self.restarts)
        with float64():
            lanes = begun(problem, method(), jnp.asarray(starts))
            for stage, steps in enumerate(np.diff([0, 12, 24, 48, 96, 192, 384, 768, 1536])):
                lanes = advanced(problem, method(), lanes, int(steps))
                here = (turn == stage) & (np.arange(self.restarts) % 2 == 1)
                starts[here] = np.asarray(lanes.theta)[here]
        return starts

    def figures(self, result: Report, folder: Path) -> list[Path]:
        """Draws index against loss."""
        from landscape.figures import saddles
        from landscape.figures.style import save

        return [save(saddles.index_against_loss(result.record), folder / "index.png")]


def correlation(points: list[Stationary]) -> float | None:
    """Spearman's rank correlation of index and loss over orbits; None where there are fewer than three."""
    import numpy as np
    from scipy.stats import rankdata

    index = [p.signs.index for p in points]
    if len(points) < 3 or len(set(index)) == 1:
        return None
    return float(np.corrcoef(rankdata(index), rankdata([p.loss for p in points]))[0, 1])


def _text(points: list[Stationary], nowhere: int, by_index: dict[int, Any], unseen: tuple[float, float]) -> str:
    from landscape.census.text import text_table

    rows = [("index", "orbits", "share of searches [95%]", "lowest loss", "highest loss")]
    for index, said in by_index.items():
        losses = [p.loss for p in points if p.signs.index == index]
        ends = f"{100 * said['share']:.1f}% [{100 * said['low']:.1f}, {100 * said['high']:.1f}]"
        rows.append((str(index), str(said["orbits"]), ends, f"{min(losses):.10f}", f"{max(losses):.10f}"))
    lines = [f"{len(points)} orbits of stationary points; {nowhere} searches ended nowhere", "", *text_table(rows), ""]
    r = correlation(points)
    lines += [] if r is None else [f"rank correlation of index and loss {r:.3f}"]
    lines.append(f"unseen mass {100 * unseen[0]:.2g}%, at most {100 * unseen[1]:.2g}% (95%)")
    return "\n".join(lines)
