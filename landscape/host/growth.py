"""Growing networks until they are provably global: descend, test, append the best new subnetwork, reduce, repeat.

The meta-algorithm of Haeffele and Vidal (2017), from many starts at once. Starts that come to the same stationary point
go on together, and every round is done once for each different point.

- Two-layer ReLU (`empirical`): a start goes down to the optimum of its activation cells, over ties into the next ones,
  by `theory.convex.cell_finish.finish`; programs solved before are used again.
- Other subnetworks: L-BFGS on all starts at once, in one compiled program for several widths (zero subnetworks stay
  zero), then subnetworks that only cost are dropped and Newton's method finishes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from threadpoolctl import threadpool_limits

from landscape import descent
from landscape.census.text import text_table
from landscape.descent.batch import advanced, begun
from landscape.host import interrupt
from landscape.polish import batch_size, evaluate, levels, polish
from landscape.precision import float64
from landscape.problems.empirical import Empirical
from landscape.problems.parallel import Homogeneous
from landscape.problems.problem import losses_at
from landscape.problems.restart import start_points
from landscape.records import InputError, whole
from landscape.theory.convex.cell_finish import finish
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.slopes import slopes
from landscape.theory.growth.birth import wider
from landscape.theory.growth.certificate import REFUTED, certificate
from landscape.theory.growth.polar import checked
from landscape.theory.growth.reduction import reduced
from landscape.theory.growth.signature import signature
from landscape.theory.growth.sizes import balanced
from landscape.theory.rooms import room_of

CHUNK = 120  # gradients between two looks
SMALL = 1e-8  # gradient norm, times the scale, at which Newton's method takes over
POLISHED = 1e-3  # ... and above which a descent that has stopped stands at a kink
TARGET = 1e-12  # gradient norm after it
FALL = 1e-9  # of the loss in a chunk: at less a descent has come to where it ends
BUDGET = 6000  # gradients of one descent
CREEP = 1e-7  # of the loss in a round: at kinks, where descents stop short of rest, growing ends at less
UNREFUTED = 1e-5  # polar estimates up to this above lambda do not refute: what descents at kinks leave
PADDED = 4  # widths are padded to multiples of this: few compilations


class Round(NamedTuple):
    """One stationary point on the way.

    Attributes:
        loss: Loss there.
        width: Subnetworks that are in use.
        polar: Polar over lambda: above 1 a new subnetwork lowers the loss.
        gap: loss - lower bound that the point itself gives; inf without an upper bound on the polar.
        grad_norm: Gradient norm (least over the subdifferential).
    """

    loss: float
    width: int
    polar: float
    gap: float
    grad_norm: float


class Path(NamedTuple):
    """What became of one start.

    Attributes:
        rounds: Its stationary points in order; losses fall.
        status: "certified": the last one is global over all widths; "not refuted": no better subnetwork was found, by
            an estimate that certifies nothing; "ceiling": the width may grow no further; "stalled": descents or births
            came to nothing.
        problem: The landscape at the last width.
        theta: The last point, [p].
    """

    rounds: tuple[Round, ...]
    status: str
    problem: Any
    theta: np.ndarray


class Node(NamedTuple):
    """A stationary point: what is recorded of it, how it ends, and where it goes on."""

    round: Round
    status: str | None
    problem: Any
    theta: np.ndarray
    onward: tuple[Any, np.ndarray] | None


@dataclass(frozen=True)
class Growths:
    """Paths of many starts.

    Attributes:
        paths: One a start that is done.
        starts: How many were asked for.
        points: Different stationary points on all paths.
        seconds: In all.
        normalisation: What a loss means.
    """

    paths: list[Path]
    starts: int
    points: int
    seconds: float
    normalisation: str

    def statuses(self) -> dict[str, int]:
        """How many paths have each status."""
        return dict(Counter(path.status for path in self.paths))

    def ends(self) -> list[dict[str, Any]]:
        """The different ends: loss, width, status, how many paths, polar and gap of the worst of them; lowest first."""
        found: dict[tuple, list[Path]] = {}
        for path in self.paths:
            last = path.rounds[-1]
            key = (float(f"{last.loss:.9g}"), last.width, path.status)
            found.setdefault(key, []).append(path)
        return [
            {
                "loss": min(path.rounds[-1].loss for path in paths),
                "width": width,
                "status": status,
                "count": len(paths),
                "rounds": [min(len(p.rounds) for p in paths), max(len(p.rounds) for p in paths)],
                "polar": max(path.rounds[-1].polar for path in paths),
                "gap": _finite(max(path.rounds[-1].gap for path in paths)),
            }
            for (_, width, status), paths in sorted(found.items())
        ]

    def __str__(self) -> str:
        rows = [("loss", "width", "status", "count", "rounds", "polar / lambda", "gap")]
        for end in self.ends():
            low, high = end["rounds"]
            rows.append(
                (
                    f"{end['loss']:.12f}", str(end["width"]), end["status"], str(end["count"]),
                    str(low) if low == high else f"{low}-{high}", f"{end['polar']:.9f}",
                    "-" if end["gap"] is None else f"{max(end['gap'], 0.0):.0e}",
                )
            )  # fmt: skip
        text = text_table(rows)
        said = ", ".join(f"{status} {count}" for status, count in sorted(self.statuses().items()))
        text += ["", f"{len(self.paths)} of {self.starts} starts: {said}", f"{self.points} different stationary points"]
        return "\n".join(["loss: " + self.normalisation, "", *text])


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def grow(
    problem: Homogeneous | Empirical,
    restarts: int = 100,
    seed: int = 0,
    *,
    starts: np.ndarray | None = None,
    init: str = "xavier",
    init_scale: float = 1.0,
    most: int | None = None,
    report: Callable[[int, int], None] | None = None,
    kept: Any = None,
) -> Growths:
    """Grows a network from each start until it is certified global over all widths, or the ceiling is reached.

    Args:
        problem: The landscape at the width that starts have; two-layer ReLU or matched homogeneous subnetworks.
        restarts: How many random starts.
        seed: Of the starts and of polar estimates.
        starts: Given starts, [restarts, p], instead of random ones.
        init: Distribution of the starts.
        init_scale: Multiplies the starts.
        most: Ceiling on the width; the number of outputs and one by default, which always suffices.
        report: Called between points with starts done and in all.
        kept: A `NodeFolder`, where settled points are kept and found again; None to keep nothing.

    Returns:
        The paths. After Ctrl-C, those that are done.

    Raises:
        InputError: The theorem does not apply to the problem, or a setting makes no sense.
    """
    checked(problem)
    begun = time.perf_counter()
    if starts is None:
        whole("restarts", restarts, 1)
        starts = np.asarray(start_points(problem, seed, np.arange(restarts), init, init_scale), np.float64)
    starts = np.asarray(starts, np.float64)
    if starts.ndim != 2 or starts.shape[1] != problem.p or not np.all(np.isfinite(starts)):
        raise InputError(f"starts must be finite and of shape [restarts, {problem.p}], found {starts.shape}.")
    ceiling = max(problem.width, int(np.size(problem.y)) + 1) if most is None else whole("most", most, 1)
    kind = _Smooth(seed, ceiling) if room_of(problem).finish is None else _Cells(seed, ceiling)
    nodes: dict[bytes, Node] = {} if kept is None else kept.read(problem)
    paths: dict[int, Path] = {}
    trails: list[list[Node]] = [[] for _ in starts]
    here: list[tuple[Any, np.ndarray]] = [(problem, theta) for theta in starts]
    going = list(range(len(starts)))
    with threadpool_limits(1), float64():  # the products are thin: more BLAS threads only wait
        try:
            while going:
                interrupt.check()
                keys = {i: kind.key(*here[i]) for i in going}
                new = {key: here[i] for i, key in keys.items() if key not in nodes}
                for key, node in kind.settled(new):
                    nodes[key] = node
                    if kept is not None:
                        kept.add(key, node)
                    interrupt.check()
                    if report is not None:
                        report(len(paths), len(starts))
                onward = []
                for i in going:
                    node = nodes[keys[i]]
                    # Widths fall by reduction, losses never rise: a point that is no better ends the path.
                    least = CREEP * abs(node.round.loss) if node.round.grad_norm > POLISHED * problem.scale else 0.0
                    stuck = bool(trails[i]) and not node.round.loss < trails[i][-1].round.loss - least
                    if not stuck:
                        trails[i].append(node)
                    last = trails[i][-1]
                    status = "stalled" if stuck else node.status
                    if status is not None:
                        rounds = tuple(one.round for one in trails[i])
                        paths[i] = Path(rounds, status, last.problem, last.theta)
                    else:
                        assert node.onward is not None
                        here[i] = node.onward
                        onward.append(i)
                going = onward
                if report is not None:
                    report(len(paths), len(starts))
        except KeyboardInterrupt:
            pass
        finally:
            if kept is not None:
                kept.flush()
    done = [paths[i] for i in sorted(paths)]
    seconds = time.perf_counter() - begun
    return Growths(done, len(starts), len(nodes), seconds, problem.normalisation)


def _tested(problem: Any, theta: np.ndarray, grad_norm: float, seed: int, ceiling: int) -> Node:
    """The certificate of a stationary point, reduced, and the network to go on with."""
    problem, theta = reduced(problem, theta)
    found = certificate(problem, theta, seed)
    width = problem.width if np.any(theta) else 0
    now = Round(found.loss, width, found.ratio, found.gap if np.isfinite(found.polar.upper) else np.inf, grad_norm)
    exact = np.isfinite(found.polar.upper)
    if found.holds and problem.error_bounded:
        return Node(now, "certified", problem, theta, None)
    if found.ratio <= 1 + (REFUTED if exact else UNREFUTED):
        return Node(now, "not refuted", problem, theta, None)
    if width >= ceiling:
        return Node(now, "ceiling", problem, theta, None)
    onward = wider(problem, theta, found.polar)
    return Node(now, None if onward is not None else "stalled", problem, theta, onward)


class _Cells:
    """Two-layer ReLU: the exact finish, one for each signature."""

    def __init__(self, seed: int, ceiling: int):
        self.seed, self.ceiling = seed, ceiling
        self.known: dict[int, dict[bytes, Any]] = {}

    def key(self, problem: Empirical, theta: np.ndarray) -> bytes:
        """Of a network."""
        return signature(problem, theta)

    def settled(self, new: dict[bytes, tuple[Empirical, np.ndarray]]) -> Iterator[tuple[bytes, Node]]:
        """The stationary points that these lead to."""
        known: dict[bytes, Any] = self.known.setdefault(0, {})  # programs depend on cells and signs, not on the width
        for key, (problem, theta) in new.items():
            end = finish(problem, theta, known)
            if end is None:
                here = forward(problem, theta)
                now = Round(here.loss, problem.width, np.inf, np.inf, slopes(problem, here).norm)
                yield key, Node(now, "stalled", problem, theta, None)
                continue
            norm = slopes(problem, forward(problem, end)).norm
            yield key, _tested(problem, end, norm, self.seed, self.ceiling)


class _Smooth:
    """Any other subnetwork: batched descent, then Newton's method."""

    def __init__(self, seed: int, ceiling: int):
        self.seed, self.ceiling = seed, ceiling

    def key(self, problem: Homogeneous, theta: np.ndarray) -> bytes:
        """Of a network in canonical form: its weights to 1e-7 of the scale."""
        return bytes([problem.width % 256]) + np.round(theta / (1e-7 * problem.scale)).astype(np.int64).tobytes()

    def settled(self, new: dict[bytes, tuple[Homogeneous, np.ndarray]]) -> Iterator[tuple[bytes, Node]]:
        """The stationary points that these lead to."""
        if not new:
            return
        keys = list(new)
        width = max(problem.width for problem, _ in new.values())
        padded = -(-width // PADDED) * PADDED
        problem = next(iter(new.values()))[0].of_width(padded)
        starts = np.zeros((len(keys), problem.p))
        for row, (_, theta) in zip(starts, new.values(), strict=True):
            row[: len(theta)] = theta
        ends, norms = self._down(problem, starts)
        groups: dict[int, list[tuple[bytes, np.ndarray]]] = {}
        for key, end, norm in zip(keys, ends, norms, strict=True):
            if norm > POLISHED * problem.scale:  # at kinks: Newton's method has nothing to go by
                yield key, self._at_kinks(*reduced(problem, balanced(problem, end)))
                continue
            small, theta = reduced(problem, end)
            groups.setdefault(small.width, []).append((key, theta))
        for some, members in groups.items():
            small = problem.of_width(some)
            for key, theta, norm in self._polished(small, members):
                yield key, _tested(small, theta, norm, self.seed, self.ceiling)

    def _at_kinks(self, problem: Homogeneous, theta: np.ndarray) -> Node:
        """The best sizes once more, now that some subnetworks are gone."""
        theta = balanced(problem, theta)
        norm = float(levels(problem, theta[None])[1][0])
        return _tested(problem, theta, norm, self.seed, self.ceiling)

    def _down(self, problem: Homogeneous, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Ends of L-BFGS from these starts, [r, p], and gradient norms; a start again where that is lower."""
        method = descent.method("lbfgs")
        size = 1 << max(0, len(starts) - 1).bit_length()  # few batch sizes, so few compilations
        theta = jnp.asarray(np.resize(starts, (size, starts.shape[1])))
        first = np.asarray(losses_at(problem, theta))
        lanes = begun(problem, method, theta)
        best = np.full(size, np.inf)
        for _ in range(BUDGET // CHUNK):
            lanes = advanced(problem, method, lanes, CHUNK)
            norm, loss = np.asarray(lanes.grad_norm), np.asarray(lanes.loss)
            # At kinks no gradient gets small: a loss that no longer falls is as far as this goes.
            if np.all((norm <= SMALL * problem.scale) | ~(loss < best * (1 - FALL))):
                break
            best = np.minimum(best, loss)
        n = len(starts)
        ends, loss = np.asarray(lanes.theta, np.float64)[:n], np.asarray(lanes.loss)[:n]
        worse = ~np.isfinite(loss) | (loss > first[:n])
        norm = np.where(worse, np.inf, np.asarray(lanes.grad_norm)[:n])
        return np.where(worse[:, None], starts, ends), norm

    def _polished(
        self, problem: Homogeneous, members: list[tuple[bytes, np.ndarray]]
    ) -> Iterator[tuple[bytes, np.ndarray, float]]:
        """Each member at the stationary point next to it, with the gradient norm there."""
        size = min(batch_size(problem.p), 1 << max(0, len(members) - 1).bit_length())
        scale = problem.scale
        for at in range(0, len(members), size):
            part = members[at : at + size]
            thetas = np.stack([part[min(i, len(part) - 1)][1] for i in range(size)])
            noise = np.array([problem.loss_error(theta) for theta in thetas[: len(part)]])
            done = polish(problem, thetas, TARGET * scale, 0.1 * scale, np.resize(noise, size), scale)
            for (key, theta), end, norm in zip(part, done.theta, done.grad_norm, strict=False):
                if np.isfinite(norm):
                    yield key, np.asarray(end), float(norm)
                else:
                    yield key, theta, float(np.linalg.norm(evaluate(problem, theta)[0]))
