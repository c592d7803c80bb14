"""Isomorphism of points of a two-layer loss, read as complete graphs with coloured nodes and weighted edges.

Two configurations of vectors are related by an orthogonal map iff their Gram matrices agree, so "same orbit" is
isomorphism of complete graphs with coloured nodes (students, anchors) and weighted edges (inner products). Rotations
of the complement of the anchors' span are in this for free, and the anchors' automorphisms are never listed: an
orthonormal teacher of width 20 has 20! of them.

The trap is a false merge, which hides a family of minima. Everything but the last step only proposes a bijection; what
decides is the distance between the points after the orthogonal map that the bijection implies (`_aligned`).
"""

from typing import NamedTuple

import numpy as np

from landscape.problems.symmetry import Symmetry


class Graph(NamedTuple):
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


def graph_of(theta, symmetry: Symmetry) -> Graph:
    """The graph of theta [n * d]."""
    n, d = symmetry.shape
    students = np.asarray(theta, float).reshape(n, d)
    if symmetry.flips:
        # w and -w side by side, so that index order inside a tied class (`index_order_guess`) keeps the pairs together.
        # A bijection of these 2n nodes may still tear the pairs of equal or zero rows apart. That is no loss: between
        # the rows of a and of b its edges form a two-regular bipartite graph, which holds a perfect matching, with
        # signs.
        students = np.stack([students, -students], axis=1).reshape(2 * n, d)
    nodes = np.concatenate([students, np.asarray(symmetry.anchors, float)])
    if len(nodes) < d:
        nodes = np.asarray(np.linalg.qr(nodes.T, mode="r")).T  # only the Gram matrix counts, and N coordinates carry it
    ranks = np.unique(symmetry.colours, return_inverse=True)[1]
    labels = np.concatenate([np.zeros(len(students), int), 1 + ranks])
    scale = float(np.linalg.norm(nodes, axis=1).max()) or 1.0
    hashes = np.exp((nodes / scale) @ (nodes / scale).T)
    signature = np.sort(3 * labels + edge_sums(hashes, labels))
    return Graph(nodes=nodes, labels=labels, hashes=hashes, signature=signature, scale=scale)


def sums_slack(tolerance: float, scale: float) -> float:
    """How far `edge_sums` of two points of an orbit may differ when each row differs by at most `tolerance`.

    A row of nodes / scale moves by at most 2 tolerance / scale (the scale moves too), a Gram entry by twice that, its
    exp by e times that, and a mean with weights up to one by no more: 4 e = 10.9, rounded up for the second order. The
    last term is rounding.
    """
    return 12 * tolerance / scale + 1e-12


def edge_sums(hashes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """For each node [..., N] a number in (0, 3) that tells its multiset of (edge weight, class of the other end).

    It is the mean over nodes of weight(class) exp(edge). Exponentials of distinct algebraic numbers are independent
    over the algebraic numbers (Lindemann and Weierstrass) and the weights have no rational relation, so integer-valued
    and other algebraic W have no accidental ties. A near tie makes the search longer and no answer wrong.
    """
    size = hashes.shape[-1]
    weights = (classes + 1 + np.cos(classes + 1) / 3) / (size + 1)
    return (hashes @ weights[..., None])[..., 0] / size


def isomorphic(a: Graph, b: Graph, tolerance: float, budget: int) -> bool:
    """Whether a bijection was found that brings a onto b; depth-first, one node individualised at each level."""
    hashes = np.stack([a.hashes, b.hashes])
    slack = sums_slack(tolerance, min(a.scale, b.scale))
    todo = [np.stack([a.labels, b.labels])]
    while todo and budget > 0:
        budget -= 1
        classes = colour_refinement(hashes, todo.pop(), slack)
        if classes is None:
            continue
        # Minima of interest have full symmetric groups on their classes, where any order inside a class is right: the
        # guess ends nearly every search at its root.
        guess = index_order_guess(hashes, classes, slack)
        if guess is not None and _aligned(a, b, guess, tolerance):
            return True
        sizes = np.bincount(classes[0])
        if sizes.max() == 1:
            continue
        cell = np.argmin(np.where(sizes > 1, sizes, len(classes[0]) + 1))
        first = int(np.flatnonzero(classes[0] == cell)[0])
        for partner in _partners(a, b, classes, first, tolerance)[::-1]:
            child = classes + (classes >= cell)
            child[0, first] = child[1, partner] = cell
            todo.append(child)
    return False


def _partners(a: Graph, b: Graph, classes: np.ndarray, first: int, tolerance: float) -> np.ndarray:
    """The nodes of b in the class of a's node `first` whose edges to each class agree with its own, one by one.

    A mean over N edges (`edge_sums`) hides a difference of few tolerances in one of them; here it shows, and ends most
    of the searches between points that are a near miss of one another.
    """
    scale = max(a.scale, b.scale)
    members = np.flatnonzero(classes[1] == classes[0, first])
    edges_a = np.sort(3 * scale**2 * classes[0] + a.nodes @ a.nodes[first])
    edges_b = np.sort(3 * scale**2 * classes[1] + b.nodes[members] @ b.nodes.T, axis=1)
    reach = np.linalg.norm(a.nodes[first]) + scale + tolerance  # the product of two vectors that each move by tolerance
    return members[np.abs(edges_b - edges_a).max(axis=1) <= reach * tolerance + 1e-12 * scale**2]


def colour_refinement(hashes: np.ndarray, classes: np.ndarray, slack: float) -> np.ndarray | None:
    """The classes [2, N] split until each node of a class sees each class through equal edges; None if a and b differ.

    Colour refinement, of both graphs at once. Values are split only where the union of both has a gap above `slack`,
    and two equal nodes differ by at most `slack`, so no rounding boundary separates them. Classes are integers common
    to both graphs, so errors do not grow from round to round.
    """
    while True:
        # Sums lie in (0, 3): this spacing keeps old classes apart, and their order.
        values = (3 + 2 * slack) * classes + edge_sums(hashes, classes)
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


def index_order_guess(hashes: np.ndarray, classes: np.ndarray, slack: float) -> np.ndarray | None:
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
        refined = colour_refinement(hashes, ranked, slack)
    return refined


def _aligned(a: Graph, b: Graph, classes: np.ndarray, tolerance: float) -> bool:
    """Whether the best orthogonal map of a's nodes to their partners brings every one within `tolerance`.

    This and not a Gram difference decides: an inner product is quadratic in a component off the common span, so a Gram
    tolerance t lets rows that differ by sqrt(t) pass, 3e-4 at 1e-7. The complete Gram agrees wherever this holds, entry
    (i, j) to (|x_i| + |x_j|) tolerance.
    """
    x = a.nodes[np.argsort(classes[0])]
    y = b.nodes[np.argsort(classes[1])]
    u, _, vt = np.linalg.svd(y.T @ x)
    return bool(np.linalg.norm(x @ (u @ vt).T - y, axis=1).max() <= tolerance)
