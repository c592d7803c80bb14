"""Known points laid over many new ones near them, by a guess of the group element that is checked and never searched.

What told the nodes of a known point apart, as a graph with edges between students and anchors, is kept as a script; the
nodes of a point near one of its images are told apart by the same steps, by rank. That is one guess of a bijection for
each new point, and the work on all of them is a few array operations. A right guess is a permutation of rows, with
signs where they are free, and the orthogonal map that permutes the anchors as the bijection says; whether the map does
is checked, once for all where every permutation of some of the anchors belongs to one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from landscape.precision import double_on_cpu, float64
from landscape.problems import overlay_compiled
from landscape.problems.isomorphism import colour_refinement, sums_slack
from landscape.problems.symmetry import Symmetry

MANY = 256  # points laid over at once: their inner products stay in a core's cache


class _Script(NamedTuple):
    """How the nodes of a known point come to stand apart.

    Attributes:
        ranks: [steps, N]: sorted by the step's key, the nodes fall into these classes.
        plain: [steps]: whether the key is the class alone, and a tied class is split in index order; else the sums of
            edges count too.
        node: [N], the node of each final class.
        unit: Length in which edges are measured.
    """

    ranks: np.ndarray
    plain: np.ndarray
    node: np.ndarray
    unit: float


class Overlay:
    """Known points of one problem, in order of adding.

    Attributes:
        determined: Whether the bijection of anchors determines the orthogonal map: they span the space.
    """

    def __init__(self, symmetry: Symmetry, tolerance: float):
        """No points yet.

        Args:
            symmetry: The group.
            tolerance: Largest distance of two equal rows, in units of theta.
        """
        self._symmetry, self._tolerance = symmetry, tolerance
        self._anchors, classes, free = _read(symmetry, tolerance)
        self._free = free and not symmetry.flips  # every guess is a group element
        d, many = symmetry.shape[1], (2 if symmetry.flips else 1) * symmetry.shape[0]
        self.determined = len(self._anchors) >= d and np.linalg.matrix_rank(self._anchors) == d
        self._inverse = np.linalg.pinv(self._anchors) if self.determined else np.zeros((d, 0))
        self._labels = np.concatenate([np.zeros(many, int), 1 + classes])
        self._scripts: list[_Script] = []
        self._rows: list[np.ndarray] = []  # students of each known point
        self._tables: tuple[np.ndarray, ...] | None = None
        self._held: overlay_compiled.Tables | None = None  # the same on an accelerator

    def add(self, theta: np.ndarray) -> None:
        """Takes in a known point theta [p]."""
        if not self.determined:
            return
        self._scripts.append(_script(self._nodes(theta[None])[0], self._labels, self._anchors, self._tolerance))
        self._rows.append(np.reshape(theta, self._symmetry.shape))
        self._tables = self._held = None

    def over(self, known: np.ndarray, thetas: np.ndarray) -> np.ndarray:
        """The known points with these places [m] laid over the points [m, p]; NaN where the guess is no group element.

        Args:
            known: Places of known points, in order of adding.
            thetas: Points, [m, p].
        """
        if not self.determined:
            return np.full(thetas.shape, np.nan)
        if not double_on_cpu():
            return self.over_there(known, thetas)
        images = np.empty(thetas.shape)
        for i in range(0, len(known), MANY):
            images[i : i + MANY] = self._laid(known[i : i + MANY], thetas[i : i + MANY])
        return images

    def over_there(self, known: np.ndarray, thetas: np.ndarray) -> np.ndarray:
        """The same as `over` up to rounding, in one program on the device."""
        with float64():
            return overlay_compiled.over(self._tables_there(), known, thetas, self._symmetry.flips)

    def fits(self, points: int) -> bool:
        """Whether `begun` has something to lay over so many points, and the memory for it."""
        return self.determined and points <= overlay_compiled.most(len(self._labels))

    def begun(self, known: np.ndarray, thetas: Any) -> Any:
        """The same for points on the device, [m, p] each; what is returned may not be there yet."""
        with float64():
            return overlay_compiled.laid(self._tables_there(), known, thetas, self._symmetry.flips)

    def _tables_there(self) -> overlay_compiled.Tables:
        if self._held is None:
            group = self._anchors, self._inverse, self._labels
            self._held = overlay_compiled.tables(group, np.stack(self._rows), _padded(self._scripts, self._labels))
        return self._held

    def _nodes(self, thetas: np.ndarray) -> np.ndarray:
        """Students [m, n, d] of points [m, p]; with free signs +w and -w side by side, [m, 2 n, d]."""
        n, d = self._symmetry.shape
        students = thetas.reshape(-1, n, d)
        if self._symmetry.flips:
            students = np.stack([students, -students], axis=2).reshape(-1, 2 * n, d)
        return students

    def _laid(self, known: np.ndarray, thetas: np.ndarray) -> np.ndarray:
        """As `over`, for few points."""
        if self._tables is None:
            rows = np.stack(self._rows)
            self._tables = rows @ self._inverse if self._free else rows, *_padded(self._scripts, self._labels)
        rows, ranks, plain, node, _, units = self._tables
        students, anchors = self._nodes(thetas), self._anchors
        with np.errstate(over="ignore", invalid="ignore"):  # far longer rows than the known point's are near none
            classes = _followed(ranks[known], plain[known], units[known], self._labels, students, anchors)
        # partner[i]: the node of the known point that stands for node i.
        partner = np.take_along_axis(node[known], classes, axis=1)
        many = students.shape[1]
        chosen, to = partner[:, :many], partner[:, many:] - many
        if self._free:
            # A known row is c A, so its image is c, permuted, times A.
            n, q = rows.shape[1:]
            source = np.take(rows, (known[:, None, None] * n + chosen[:, :, None]) * q + to[:, None, :])
            return (source.reshape(-1, len(anchors)) @ anchors).reshape(len(thetas), -1)
        # Anchor i of the point is the image of anchor to[i] of the known one: Q a_to[i] = a_i.
        back = anchors[np.argsort(to, axis=1)]
        turn = self._inverse @ back
        kept = _largest(turn @ turn.swapaxes(1, 2), np.eye(anchors.shape[1])) <= 1e-10
        kept &= _largest(anchors @ turn, back) <= 1e-10 * np.abs(anchors).max()
        sign = np.ones(1)
        if self._symmetry.flips:
            chosen = chosen[:, ::2]
            sign = np.where(chosen % 2, -1.0, 1.0)[..., None]
            chosen = chosen // 2
        kept &= (np.sort(chosen, axis=1) == np.arange(rows.shape[1])).all(axis=1)
        source = sign * rows[known[:, None], np.where(kept[:, None], chosen, 0)]
        return np.where(kept[:, None], (source @ turn).reshape(len(thetas), -1), np.nan)


def _read(symmetry: Symmetry, tolerance: float) -> tuple[np.ndarray, np.ndarray, bool]:
    """The anchors that are read, their classes among themselves, and whether any permutation of them is a map.

    Where a class of anchors that nothing tells apart is a basis of the space, and each of its permutations is that of
    an orthogonal map which keeps all anchors, these are enough: both ends of an orthonormal teacher's lines and their
    sum are 41 anchors in 20 dimensions, of which 20 say it all. Two permutations generate the others.
    """
    anchors = np.asarray(symmetry.anchors, float)
    colours = np.unique(symmetry.colours, return_inverse=True)[1]
    if not len(anchors):
        return anchors, colours, False
    largest = float(np.linalg.norm(anchors, axis=1).max()) or 1.0
    hashes = np.exp((anchors / largest) @ (anchors / largest).T)
    found = colour_refinement(np.stack([hashes] * 2), np.stack([colours] * 2), sums_slack(tolerance, largest))
    classes = colours if found is None else found[0]
    for one in range(classes.max() + 1):
        some = anchors[classes == one]
        if len(some) != anchors.shape[1] or np.linalg.matrix_rank(some) < len(some):
            continue
        swapped, rolled = some.copy(), np.roll(some, 1, axis=0)
        swapped[:2] = some[:2][::-1]
        if all(_keeps(np.linalg.solve(some, to), anchors, colours) for to in (swapped, rolled)):
            return some, np.zeros(len(some), int), True
    return anchors, classes, False


def _keeps(turn: np.ndarray, anchors: np.ndarray, colours: np.ndarray) -> bool:
    """Whether x -> x turn is orthogonal, and maps the anchors of each colour onto themselves."""
    if np.abs(turn @ turn.T - np.eye(len(turn))).max() > 1e-10:
        return False
    apart = np.linalg.norm((anchors @ turn)[:, None] - anchors[None], axis=2)
    near, same = 1e-10 * np.abs(anchors).max(), colours[:, None] == colours[None]
    # Equal anchors are counted: each falls on one that is there as often.
    often = np.sum(same & (np.linalg.norm(anchors[:, None] - anchors[None], axis=2) <= near), axis=1)
    return bool(np.array_equal(np.sum(same & (apart <= near), axis=1), often))


def _largest(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The largest entry of |a - b|, [m], for matrices [m, ...]; overwrites a."""
    a -= b
    return np.abs(a, out=a).reshape(len(a), -1).max(axis=1)


def _script(students: np.ndarray, labels: np.ndarray, anchors: np.ndarray, tolerance: float) -> _Script:
    """The script of a known point, from its students [n, d] (both signs where they are free)."""
    largest = 2 * float(np.linalg.norm(anchors, axis=1).max()) or 1.0
    # One of few units, so that most points share theirs.
    scale = max(float(np.linalg.norm(students, axis=1).max()), largest / 2)
    unit = largest * 4.0 ** max(0, int(np.ceil(np.log2(scale / largest) / 2)))
    outer, slack = np.exp(students @ anchors.T / unit**2), sums_slack(tolerance, scale)
    weight, many = _weights(len(labels)), len(students)
    classes, ranks, plain = labels, [], []
    while True:
        sums = np.concatenate([outer @ weight[classes[many:]], weight[classes[:many]] @ outer])
        values = (3 + 2 * slack) * classes + sums
        order = np.argsort(values, kind="stable")
        rank = np.concatenate([[0], np.cumsum(np.diff(values[order]) > slack)])
        if rank[-1] != classes.max():  # else no class was split: not a step
            ranks.append(rank)
            plain.append(False)
            classes = np.empty_like(classes)
            classes[order] = rank
            if rank[-1] != len(order) - 1:
                continue
        sizes = np.bincount(classes)
        tied = np.flatnonzero(sizes > 1)
        if not len(tied):
            steps = np.array(ranks).reshape(-1, len(classes)), np.array(plain, bool)
            return _Script(*steps, np.argsort(classes), unit)
        # Every order inside a class of a full symmetric group is right: the first tied class is split in index order.
        order = np.argsort(classes, kind="stable")
        first = int(np.sum(sizes[: tied[0]]))
        ranks.append(np.repeat(np.arange(len(sizes)), sizes))
        ranks[-1][first:] += np.minimum(np.arange(len(order) - first), sizes[tied[0]] - 1)
        plain.append(True)
        classes = np.empty_like(classes)
        classes[order] = ranks[-1]


def _weights(size: int) -> np.ndarray:
    """The weight of each class of `size` nodes in sums of edges, so that these are below 3 (see `edge_sums`)."""
    number = np.arange(1, size + 1)
    return (number + np.cos(number) / 3) / (size * (size + 1))


def _padded(scripts: list[_Script], labels: np.ndarray) -> tuple[np.ndarray, ...]:
    """Scripts as arrays: ranks [k, steps, N], plain [k, steps], node [k, N], lengths [k], units [k].

    Steps before a script's first leave all nodes in the classes of their labels [N]. Scripts end alike as a rule, with
    a plain step before the last: these then fall together.
    """
    most = max(len(script.plain) for script in scripts)
    ranks = np.tile(np.sort(labels), (len(scripts), most, 1))
    plain = np.ones(ranks.shape[:2], bool)
    for i, script in enumerate(scripts):
        own = slice(most - len(script.plain), most)
        ranks[i, own], plain[i, own] = script.ranks, script.plain
    node, units = np.stack([script.node for script in scripts]), np.array([script.unit for script in scripts])
    return ranks, plain, node, np.full(len(scripts), most), units


def _followed(
    ranks: np.ndarray, plain: np.ndarray, units: np.ndarray, labels: np.ndarray, students: np.ndarray,
    anchors: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Classes [m, N] of points by the steps of scripts: by rank, so that noise is no obstacle as it is to gaps.

    Args:
        ranks: Of each point's script, [m, steps, N].
        plain: Of each point's script, [m, steps].
        units: Of each point's script, [m].
        labels: [N], where every script begins.
        students: [m, many, d].
        anchors: [q, d].
    """
    m, many, size = len(students), students.shape[1], len(labels)
    # In float32: points are further from their images than its rounding, and this is a guess.
    students, anchors = students.astype(np.float32), anchors.astype(np.float32)
    outer = (students.reshape(-1, students.shape[2]) @ anchors.T).reshape(m, many, len(anchors))
    outer *= (units**-2.0).astype(np.float32)[:, None, None]
    np.exp(outer, out=outer)
    weight = _weights(size).astype(np.float32)
    # Students and anchors are never in one class: each are sorted among themselves. Ties go by index.
    parts = slice(0, many), slice(many, size)
    classes = [np.tile(labels[part], (m, 1)) for part in parts]
    index = [np.arange(part.stop - part.start) / size for part in parts]
    first = [np.arange(m)[:, None] * (part.stop - part.start) for part in parts]
    for step in range(ranks.shape[1]):
        split, sums = plain[:, step], index
        if not split.all():
            own, other = (weight[some][..., None] for some in classes)
            sums = (outer @ other)[..., 0], (outer.swapaxes(1, 2) @ own)[..., 0]
        for part, some, edges, by, at in zip(parts, classes, sums, index, first, strict=True):
            keys = 4 * some + (edges + 1e-9 * by)  # below the rounding of a sum
            keys[split] = 4 * some[split] + by
            order = np.argsort(keys, axis=1)
            some.reshape(-1)[order + at] = ranks[:, step, part]
    return np.concatenate(classes, axis=1)
