"""Which points of a two-layer loss are one point: orbits under permutations, the teacher's symmetries and sign flips.

The loss F(W), W [n, d] with the student neurons as rows, depends on W only through inner products among students and
between students and the teacher. It is therefore unchanged by a permutation of the rows, by W -> W Q^T for any
orthogonal Q that maps the teacher's coloured anchors onto themselves, and for even activations by the sign of a row.
Two configurations of vectors are related by an orthogonal map iff their Gram matrices agree, so "same orbit" is
isomorphism of complete graphs with coloured nodes (students, anchors) and weighted edges (inner products). Rotations
of the complement of the anchors' span are in this for free, and the anchors' automorphisms are never listed: an
orthonormal teacher of width 20 has 20! of them.

The trap is a false merge, which hides a family of minima. Everything but the last step only proposes a bijection; what
decides is the distance between the points after the orthogonal map that the bijection implies (`_aligned`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


@dataclass(frozen=True, eq=False)
class Symmetry:
    """The group under which a two-layer loss is invariant, as the vectors that it must keep.

    Attributes:
        anchors: [q, d], the teacher as a finite set of vectors, for instance both ends of each teacher line and the sum
            of the teacher's rows; q may be 0, and then every orthogonal map is a symmetry. Rows may repeat.
        colours: [q] integers; an anchor is mapped only to an anchor of its colour.
        shape: (n, d), how the flat theta [n * d] reads as the student matrix, row by row.
        flips: Whether the sign of a single student row is a symmetry too (even activations).
        passes_mass: Whether rows on one ray can pass length to each other at no cost (homogeneous activations).

    Raises:
        ValueError: the three shapes do not fit together.
    """

    anchors: np.ndarray
    colours: np.ndarray
    shape: tuple[int, int]
    flips: bool = False
    passes_mass: bool = False

    def __post_init__(self):
        anchors, colours = np.shape(self.anchors), np.shape(self.colours)
        if len(anchors) != 2 or anchors[1] != self.shape[1] or colours != anchors[:1]:
            raise ValueError(
                f"Anchors of shape {anchors} with colours of shape {colours} do not fit students {self.shape}; "
                f"expected anchors [q, {self.shape[1]}] and colours [q]."
            )


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
    return _isomorphic(_read(theta_a, symmetry), _read(theta_b, symmetry), tolerance, budget)


class OrbitIndex:
    """The orbits seen so far, each with its first point and that point's loss.

    `symmetry` is the group; or None, and points are compared by Euclidean distance; or a function from theta to a
    canonical representative of its orbit, a vector of fixed length, and representatives are compared by distance.
    `tolerance` and `budget` are those of `same_orbit`.

    Attributes:
        representatives: One theta [p] for each orbit, in order of adding.
        losses: Its loss.
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
                candidates = self._follow(orbit, thetas[open_])
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
        """What is compared, a vector that agrees for equal points, and by how much it may differ."""
        if isinstance(self.symmetry, Symmetry):
            point = _read(theta, self.symmetry)
            return point, point.signature, _slack(self.tolerance, point.scale)
        point = np.ravel(theta if self.symmetry is None else self.symmetry(theta))
        return point, point, self.tolerance

    def _equal(self, a, b) -> bool:
        if isinstance(self.symmetry, Symmetry):
            return _isomorphic(a, b, self.tolerance, self.budget)
        return bool(np.linalg.norm(a - b) <= self.tolerance)


def continuous_modes(theta: np.ndarray, symmetry: Symmetry) -> np.ndarray:
    """Orthonormal basis [g, p] of the tangent at theta of its orbit's continuous part.

    That part is W -> W exp(A)^T with A antisymmetric on the complement of the anchors' span. If the complement has
    dimension m and W's component in it has rank r, then g = r (m - r) + r (r - 1) / 2.
    """
    n, d = symmetry.shape
    students = np.asarray(theta, float).reshape(n, d)
    # The row of zeros gives the factorisation something to do when there are no anchors. Anchors are data, exact to
    # rounding (1e-16 of the largest): 1e-10 is far above that and far below any direction that is meant.
    _, sizes, directions = np.linalg.svd(np.vstack([symmetry.anchors, np.zeros((1, d))]))
    complement = directions[int(np.sum(sizes > 1e-10 * sizes[0])) :]
    m = len(complement)
    if m < 2:
        return np.zeros((0, n * d))

    # Write W's component as sum_a s_a u_a v_a^T. The turn in the plane (v_a, v_b) moves W along
    # s_a u_a v_b^T - s_b u_b v_a^T, of length hypot(s_a, s_b). Distinct planes use distinct products u v^T, so these
    # directions are orthogonal already.
    u, s, v = np.linalg.svd(students @ complement.T)
    v = v @ complement
    left = np.zeros((m, n))  # s_a u_a; zero for the directions that W has no component in
    left[: len(s)] = (u[:, : len(s)] * s).T
    sizes = np.linalg.norm(left, axis=1)
    a, b = np.triu_indices(m, 1)
    lengths = np.hypot(sizes[a], sizes[b])
    # Polished points of one orbit agree to about 1e-9 of their size: a smaller component is noise and not a direction.
    kept = lengths > 1e-8 * np.linalg.norm(students, 2)
    a, b, lengths = a[kept], b[kept], lengths[kept]
    modes = left[a, :, None] * v[b, None, :] - left[b, :, None] * v[a, None, :]
    return modes.reshape(-1, n * d) / lengths[:, None]


class _Point(NamedTuple):
    """A point as a coloured weighted graph.

    Attributes:
        nodes: [N, d] vectors: students (with flips +w_i, -w_i), then anchors; in other coordinates where N < d.
        labels: [N] integers: 0 for students, 1 + rank of the colour for anchors.
        hashes: [N, N], exp of the Gram matrix of nodes / scale, between 1/e and e.
        signature: [N], ascending, equal for the points of an orbit.
        scale: Largest norm of a node.
    """

    nodes: np.ndarray
    labels: np.ndarray
    hashes: np.ndarray
    signature: np.ndarray
    scale: float


def _read(theta, symmetry: Symmetry) -> _Point:
    """The graph of theta [n * d]."""
    n, d = symmetry.shape
    students = np.asarray(theta, float).reshape(n, d)
    if symmetry.flips:
        # w and -w side by side, so that index order inside a tied class (`_ranked`) keeps the pairs together. A
        # bijection of these 2n nodes may still tear the pairs of equal or zero rows apart. That is no loss: between the
        # rows of a and of b its edges form a two-regular bipartite graph, which holds a perfect matching, with signs.
        students = np.stack([students, -students], axis=1).reshape(2 * n, d)
    nodes = np.concatenate([students, np.asarray(symmetry.anchors, float)])
    if len(nodes) < d:
        nodes = np.asarray(np.linalg.qr(nodes.T, mode="r")).T  # only the Gram matrix counts, and N coordinates carry it
    ranks = np.unique(symmetry.colours, return_inverse=True)[1]
    labels = np.concatenate([np.zeros(len(students), int), 1 + ranks])
    scale = float(np.linalg.norm(nodes, axis=1).max()) or 1.0
    hashes = np.exp((nodes / scale) @ (nodes / scale).T)
    signature = np.sort(3 * labels + _sums(hashes, labels))
    return _Point(nodes=nodes, labels=labels, hashes=hashes, signature=signature, scale=scale)


def _slack(tolerance: float, scale: float) -> float:
    """How far `_sums` of two points of an orbit may differ when each row differs by at most `tolerance`.

    A row of nodes / scale moves by at most 2 tolerance / scale (the scale moves too), a Gram entry by twice that, its
    exp by e times that, and a mean with weights up to one by no more: 4 e = 10.9, rounded up for the second order. The
    last term is rounding.
    """
    return 12 * tolerance / scale + 1e-12


def _sums(hashes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """For each node [..., N] a number in (0, 3) that tells its multiset of (edge weight, class of the other end).

    It is the mean over nodes of weight(class) exp(edge). Exponentials of distinct algebraic numbers are independent
    over the algebraic numbers (Lindemann and Weierstrass) and the weights have no rational relation, so integer-valued
    and other algebraic W have no accidental ties. A near tie makes the search longer and no answer wrong.
    """
    size = hashes.shape[-1]
    weights = (classes + 1 + np.cos(classes + 1) / 3) / (size + 1)
    return (hashes @ weights[..., None])[..., 0] / size


def _isomorphic(a: _Point, b: _Point, tolerance: float, budget: int) -> bool:
    """Whether a bijection was found that brings a onto b; depth-first, one node individualised at each level."""
    hashes = np.stack([a.hashes, b.hashes])
    slack = _slack(tolerance, min(a.scale, b.scale))
    todo = [np.stack([a.labels, b.labels])]
    while todo and budget > 0:
        budget -= 1
        classes = _refined(hashes, todo.pop(), slack)
        if classes is None:
            continue
        # Minima of interest have full symmetric groups on their classes, where any order inside a class is right: the
        # guess ends nearly every search at its root.
        guess = _ranked(hashes, classes, slack)
        if guess is not None and _aligned(a, b, guess, tolerance):
            return True
        sizes = np.bincount(classes[0])
        if sizes.max() == 1:
            continue
        cell = np.argmin(np.where(sizes > 1, sizes, len(classes[0]) + 1))
        first = np.flatnonzero(classes[0] == cell)[0]
        for partner in _partners(a, b, classes, first, tolerance)[::-1]:
            child = classes + (classes >= cell)
            child[0, first] = child[1, partner] = cell
            todo.append(child)
    return False


def _script(point: _Point, tolerance: float) -> tuple[list[np.ndarray | tuple[int, int]], np.ndarray]:
    """How the nodes of a point come to stand apart, to be followed by others, and the node of each final class.

    A step is the ranks of the sorted sums of one refinement, or (class, size): a tied class split in index order.
    """
    slack = _slack(tolerance, point.scale)
    classes, script = point.labels, []
    while True:
        values = (3 + 2 * slack) * classes + _sums(point.hashes, classes)
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
    """Classes [m, N] of other points by the same steps, by rank where `_refined` goes by gaps: noise is no obstacle."""
    classes = np.broadcast_to(labels, hashes.shape[:2])
    for step in script:
        if isinstance(step, tuple):
            classes = _split(classes, *step)
            continue
        order = np.argsort(4.0 * classes + _sums(hashes, classes), axis=1, kind="stable")
        classes = np.empty_like(order)
        np.put_along_axis(classes, order, np.broadcast_to(step, order.shape), axis=1)
    return classes


def _partners(a: _Point, b: _Point, classes: np.ndarray, first: int, tolerance: float) -> np.ndarray:
    """The nodes of b in the class of a's node `first` whose edges to each class agree with its own, one by one.

    A mean over N edges (`_sums`) hides a difference of few tolerances in one of them; here it shows, and ends most of
    the searches between points that are a near miss of one another.
    """
    scale = max(a.scale, b.scale)
    members = np.flatnonzero(classes[1] == classes[0, first])
    edges_a = np.sort(3 * scale**2 * classes[0] + a.nodes @ a.nodes[first])
    edges_b = np.sort(3 * scale**2 * classes[1] + b.nodes[members] @ b.nodes.T, axis=1)
    reach = np.linalg.norm(a.nodes[first]) + scale + tolerance  # the product of two vectors that each move by tolerance
    return members[np.abs(edges_b - edges_a).max(axis=1) <= reach * tolerance + 1e-12 * scale**2]


def _refined(hashes: np.ndarray, classes: np.ndarray, slack: float) -> np.ndarray | None:
    """The classes [2, N] split until each node of a class sees each class through equal edges; None if a and b differ.

    Colour refinement, of both graphs at once. Values are split only where the union of both has a gap above `slack`,
    and two equal nodes differ by at most `slack`, so no rounding boundary separates them. Classes are integers common
    to both graphs, so errors do not grow from round to round.
    """
    while True:
        # Sums lie in (0, 3): this spacing keeps old classes apart, and their order.
        values = (3 + 2 * slack) * classes + _sums(hashes, classes)
        order = np.argsort(values, axis=1)
        values = np.take_along_axis(values, order, axis=1)
        if not np.abs(values[0] - values[1]).max() <= slack:  # written so that NaN differs
            return None
        gaps = values.min(axis=0)[1:] - values.max(axis=0)[:-1] > slack
        ranks = np.concatenate([[0], np.cumsum(gaps)])
        count = classes.max()
        classes = np.empty_like(classes)
        np.put_along_axis(classes, order, ranks[None], axis=1)
        if ranks[-1] in (count, len(ranks) - 1):
            return classes


def _ranked(hashes: np.ndarray, classes: np.ndarray, slack: float) -> np.ndarray | None:
    """The classes [2, N] made single by matching tied nodes in index order, one class at a time; None if refuted.

    Refining after each class lets the others follow: linked families of rows, and the anchors, need no luck.
    """
    refined: np.ndarray | None = classes
    while refined is not None:
        sizes = np.bincount(refined[0])
        tied = np.flatnonzero(sizes > 1)
        if not len(tied):
            break
        members = refined == tied[0]
        size = int(sizes[tied[0]])
        ranked = refined + (size - 1) * (refined > tied[0])
        ranked[members] += np.tile(np.arange(size), 2)
        refined = _refined(hashes, ranked, slack)
    return refined


def _aligned(a: _Point, b: _Point, classes: np.ndarray, tolerance: float) -> bool:
    """Whether the best orthogonal map of a's nodes to their partners brings every one within `tolerance`.

    This and not a Gram difference decides: an inner product is quadratic in a component off the common span, so a Gram
    tolerance t lets rows that differ by sqrt(t) pass, 3e-4 at 1e-7. The complete Gram agrees wherever this holds, entry
    (i, j) to (|x_i| + |x_j|) tolerance.
    """
    x = a.nodes[np.argsort(classes[0])]
    y = b.nodes[np.argsort(classes[1])]
    u, _, vt = np.linalg.svd(y.T @ x)
    return bool(np.linalg.norm(x @ (u @ vt).T - y, axis=1).max() <= tolerance)
