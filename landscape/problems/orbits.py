"""Which points of a loss are one point: orbits under its symmetry, and known points laid over new ones."""

from collections.abc import Callable

import numpy as np

from landscape.problems.isomorphism import Graph, edge_sums, graph_of, isomorphic, sums_slack
from landscape.problems.symmetry import Symmetry


def same_orbit(
    theta_a: np.ndarray, theta_b: np.ndarray, symmetry: Symmetry, tolerance: float, budget: int = 2000
) -> bool:
    """Whether an element of the group was found that maps theta_a to within `tolerance` of theta_b.

    True has a witness: an orthogonal Q, a bijection of rows (with signs) and one of anchors within colours, under which
    every row and every anchor lands within `tolerance` of its partner. False means that none was found: there is none,
    or the search ended first; an unfinished search splits, it never merges. Q is the best in least squares, so a pair
    is sure to be found only if some element brings all N = n + q (with flips 2n + q) vectors to tolerance / sqrt(N), as
    it does for points of one orbit polished to 1e-9, at 1e-7. A point that is not finite is in no orbit.

    Args:
        theta_a: [n * d].
        theta_b: [n * d].
        symmetry: The group.
        tolerance: Largest distance of two equal rows, in units of theta. Below about 1e-8 times the largest row,
            rounding in Q alone can split points (where two or more directions have components of that size only).
        budget: Nodes of the search tree; one costs about 0.3 ms at n = d = 20.
    """
    return isomorphic(graph_of(theta_a, symmetry), graph_of(theta_b, symmetry), tolerance, budget)


class OrbitIndex:
    """The orbits seen so far, each with its first point and that point's loss.

    `symmetry` is the group; or None, and points are compared by Euclidean distance; or a function from theta to a
    canonical representative of its orbit, a vector of fixed length, and representatives are compared by distance.
    `tolerance` and `budget` are those of `same_orbit`.

    Attributes:
        representatives: One theta [p] for each orbit, in order of adding.
        losses: The loss of each representative.
    """

    def __init__(
        self,
        symmetry: Symmetry | Callable[[np.ndarray], np.ndarray] | None,
        tolerance: float,
        budget: int = 2000,
    ):
        self.symmetry = symmetry
        self.tolerance = tolerance
        self.budget = budget
        self.representatives: list[np.ndarray] = []
        self.losses: list[float] = []
        self._points: list = []
        self._scripts: dict[int, tuple[list, np.ndarray]] = {}
        self._inverse: np.ndarray | None = None  # of the anchors
        self._table: np.ndarray | None = None  # [orbits, 1 + length of a signature]: loss, signature

    def find(self, theta: np.ndarray, loss: float, loss_error: float = 0.0) -> int | None:
        """Index of the known orbit that theta [p] belongs to, None if there is none.

        Only orbits with the loss of this point are tried: to within `loss_error`, the error of the difference of two
        losses, and 1e-9 (1 + |loss|), far above the change of a loss over a polished point's error.
        """
        if self._table is None:
            return None
        point, signature, slack = self._prepare(theta)
        near = np.flatnonzero(np.abs(self._table[:, 0] - loss) <= loss_error + 1e-9 * (1 + abs(loss)))
        near = near[(np.abs(self._table[near, 1:] - signature) <= slack).all(axis=1)]
        return next((int(i) for i in near if self._equal(point, self._points[i])), None)

    def add(self, theta: np.ndarray, loss: float) -> int:
        """Index of the new orbit with representative theta [p]; whether it is new is the caller's word."""
        point, signature, _ = self._prepare(theta)
        row = np.concatenate([[loss], signature])[None]
        self._table = row if self._table is None else np.concatenate([self._table, row])
        self._points.append(point)
        self.representatives.append(np.array(theta))
        self.losses.append(float(loss))
        return len(self.losses) - 1

    def images(
        self, thetas: np.ndarray, losses: np.ndarray, slack: np.ndarray, reach: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """For points [m, p] that need not be polished: a known orbit with a point near each, and that very point.

        The point is the representative moved by an element of the group, which is checked: a permutation of rows, with
        signs where they are free, and the orthogonal map that permutes the anchors as the bijection says. A known orbit
        may be missed (the bijection is a guess, made once and not searched for); none is named wrongly.

        Args:
            thetas: Points, [m, p].
            losses: Their losses, [m].
            slack: Only orbits whose loss is this close are tried, [m].
            reach: Largest Euclidean distance of a point from its image.

        Returns:
            Indices of orbits, [m], -1 where none was found; images [m, p], arbitrary there.
        """
        found, images = np.full(len(thetas), -1), np.zeros_like(thetas, dtype=float)
        if not self.losses or callable(self.symmetry):
            return found, images
        for orbit in np.argsort(self.losses):
            open_ = np.flatnonzero((found < 0) & (np.abs(losses - self.losses[orbit]) <= slack))
            if not len(open_):
                continue
            if self.symmetry is None:
                candidates = np.broadcast_to(self.representatives[orbit], thetas[open_].shape)
            else:
                candidates = self._follow(int(orbit), thetas[open_])
            near = np.linalg.norm(candidates - thetas[open_], axis=1) <= reach  # False for NaN
            found[open_[near]], images[open_[near]] = orbit, candidates[near]
        return found, images

    def _follow(self, orbit: int, thetas: np.ndarray) -> np.ndarray:
        """An orbit's representative laid over each of the points [m, p]; NaN where the guess is no group element."""
        symmetry = self.symmetry
        assert isinstance(symmetry, Symmetry)
        n, d = symmetry.shape
        anchors = np.asarray(symmetry.anchors, float)
        out = np.full(thetas.shape, np.nan)
        if orbit not in self._scripts:
            self._scripts[orbit] = _script(self._points[orbit], self.tolerance)
        script, order = self._scripts[orbit]
        if self._inverse is None:
            self._inverse = np.linalg.pinv(anchors) if len(anchors) else np.zeros((d, 0))
        if len(anchors) < d or np.linalg.matrix_rank(anchors) < d:
            return out  # rotations that move no anchor: the map is not determined by the bijection
        students = thetas.reshape(-1, n, d)
        if symmetry.flips:
            students = np.stack([students, -students], axis=2).reshape(-1, 2 * n, d)
        nodes = np.concatenate([students, np.broadcast_to(anchors, (len(thetas), *anchors.shape))], axis=1)
        scale = np.linalg.norm(nodes, axis=2).max(axis=1)[:, None, None]
        hashes = np.exp((nodes / scale) @ (nodes / scale).swapaxes(1, 2))
        classes = _followed(script, hashes, self._points[orbit].labels)
        # partner[i]: the node of the representative that stands for node i.
        partner = np.take_along_axis(np.broadcast_to(order, classes.shape), classes, axis=1)
        many = students.shape[1]
        # anchor i of the point is the image of anchor `to[i]` of the representative: Q a_to[i] = a_i.
        to = partner[:, many:] - many
        turn = self._inverse @ anchors[np.argsort(to, axis=1)]
        kept = np.abs(turn @ turn.swapaxes(1, 2) - np.eye(d)).max(axis=(1, 2)) <= 1e-10
        kept &= (
            np.abs(anchors @ turn - anchors[np.argsort(to, axis=1)]).max(axis=(1, 2)) <= 1e-10 * np.abs(anchors).max()
        )
        rows = self.representatives[orbit].reshape(n, d)
        if symmetry.flips:
            chosen = partner[:, 0:many:2]
            source = rows[chosen // 2] * np.where(chosen % 2, -1.0, 1.0)[..., None]
            chosen = chosen // 2
        else:
            chosen, source = partner[:, :many], rows[partner[:, :many]]
        kept &= (np.sort(chosen, axis=1) == np.arange(n)).all(axis=1)
        out[kept] = (source @ turn).reshape(len(thetas), -1)[kept]
        return out

    def _prepare(self, theta):
        """The form in which a point is compared, a vector that agrees for equal points, and how far it may differ."""
        if isinstance(self.symmetry, Symmetry):
            point = graph_of(theta, self.symmetry)
            return point, point.signature, sums_slack(self.tolerance, point.scale)
        point = np.ravel(theta if self.symmetry is None else self.symmetry(theta))
        return point, point, self.tolerance

    def _equal(self, a, b) -> bool:
        if isinstance(self.symmetry, Symmetry):
            return isomorphic(a, b, self.tolerance, self.budget)
        return bool(np.linalg.norm(a - b) <= self.tolerance)


def _script(point: Graph, tolerance: float) -> tuple[list[np.ndarray | tuple[int, int]], np.ndarray]:
    """How the nodes of a point come to stand apart, to be followed by others, and the node of each final class.

    A step is the ranks of the sorted sums of one refinement, or (class, size): a tied class split in index order.
    """
    slack = sums_slack(tolerance, point.scale)
    classes, script = point.labels, []
    while True:
        values = (3 + 2 * slack) * classes + edge_sums(point.hashes, classes)
        order = np.argsort(values, kind="stable")
        ranks = np.concatenate([[0], np.cumsum(np.diff(values[order]) > slack)])
        script.append(ranks)
        count = classes.max()
        classes = np.empty_like(classes)
        classes[order] = ranks
        if ranks[-1] != count and ranks[-1] != len(ranks) - 1:
            continue
        sizes = np.bincount(classes)
        tied = np.flatnonzero(sizes > 1)
        if not len(tied):
            return script, np.argsort(classes)
        script.append((int(tied[0]), int(sizes[tied[0]])))
        classes = _split(classes[None], *script[-1])[0]


def _split(classes: np.ndarray, cell: int, size: int) -> np.ndarray:
    """Classes [m, N] with the members of one class of this size told apart in index order."""
    split = classes + (size - 1) * (classes > cell)
    rows, columns = np.nonzero(classes == cell)
    split[rows, columns] += np.tile(np.arange(size), len(classes))
    return split


def _followed(script: list, hashes: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Classes [m, N] of other points by the same steps: by rank, so that noise is no obstacle as it is to gaps."""
    classes = np.broadcast_to(labels, hashes.shape[:2])
    for step in script:
        if isinstance(step, tuple):
            classes = _split(classes, *step)
            continue
        order = np.argsort(4.0 * classes + edge_sums(hashes, classes), axis=1, kind="stable")
        classes = np.empty_like(order)
        np.put_along_axis(classes, order, np.broadcast_to(step, order.shape), axis=1)
    return classes
