"""Which points of a loss are one point: orbits under its symmetry, and known points laid over new ones."""

from collections.abc import Callable
from typing import Any

import numpy as np

from landscape.problems.isomorphism import graph_of, isomorphic, sums_slack
from landscape.problems.overlay import Overlay
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
        self._overlay = Overlay(symmetry, tolerance) if isinstance(symmetry, Symmetry) else None
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
        if self._overlay is not None:
            self._overlay.add(np.asarray(theta, float))
        self.representatives.append(np.array(theta))
        self.losses.append(float(loss))
        return len(self.losses) - 1

    def laid_ahead(self, thetas: Any, losses: np.ndarray, slack: np.ndarray) -> tuple[np.ndarray, Any] | None:
        """The orbit that `images` tries first for each of some points [m], and its representative laid over the point.

        Both begin on the accelerator where the points are, and nothing waits for it.

        Args:
            thetas: Points on the device, [m or more, p].
            losses: Their losses, [m].
            slack: Only orbits whose loss is this close are tried, [m].

        Returns:
            The orbits, [m], -1 where none is tried; and the images on the device, [m or more, p], NaN where the guess
            is no group element. None where nothing can be laid, or so many points take too much memory at once.
        """
        if not self.losses or self._overlay is None or not self._overlay.fits(len(thetas)):
            return None
        order, first, last = self._tried(losses, slack)
        orbits = np.where(first < last, order[np.minimum(first, len(order) - 1)], -1)
        known = np.zeros(len(thetas), int)
        known[: len(orbits)] = np.maximum(orbits, 0)
        return orbits, self._overlay.begun(known, thetas)

    def _tried(self, losses: np.ndarray, slack: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Orbits in the order of their losses; those to be tried for each point are those places from first to last."""
        order = np.argsort(self.losses)
        ascending = np.asarray(self.losses)[order]
        first = np.searchsorted(ascending, losses - slack)
        return order, first, np.searchsorted(ascending, losses + slack, side="right")

    def images(
        self,
        thetas: np.ndarray,
        losses: np.ndarray,
        slack: np.ndarray,
        reach: float,
        guess: np.ndarray | None = None,
        ahead: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """For points [m, p] that need not be polished: a known orbit with a point near each, and that very point.

        The point is the representative moved by an element of the group, which is checked (see `overlay`). A known
        orbit may be missed (the bijection is a guess, made once and not searched for); none is named wrongly.

        Args:
            thetas: Points, [m, p].
            losses: Their losses, [m].
            slack: Only orbits whose loss is this close are tried, [m].
            reach: Largest Euclidean distance of a point from its image.
            guess: Orbits that are laid over the points already (see `laid_ahead`), [m], -1 for none.
            ahead: What came of it, [m, p].

        Returns:
            Indices of orbits, [m], -1 where none was found; images [m, p], arbitrary there; and how far these are, [m].
        """
        m = len(thetas)
        found, images, apart = np.full(m, -1), np.empty(thetas.shape), np.full(m, np.inf)
        if not self.losses or callable(self.symmetry):
            return found, images, apart
        # The orbits to be tried for each point are order[first : last]: those of one place in it at a time.
        order, first, last = self._tried(losses, slack)
        guess = np.full(m, -1) if guess is None else guess
        while len(open_ := np.flatnonzero((found < 0) & (first < last))):
            orbits = order[first[open_]]
            new = guess[open_] != orbits
            points = thetas if len(open_) == m else thetas[open_]
            if ahead is None or new.all():
                candidates = self._laid_over(orbits, points)
            else:
                candidates = ahead[open_]
                if new.any():
                    candidates[new] = self._laid_over(orbits[new], points[new])
            away = candidates - points
            distance = np.sqrt(np.einsum("ij,ij->i", away, away))
            near = distance <= reach  # False for NaN
            here = open_[near]
            if len(open_) == m:  # as a rule nearly all are found at once: nothing is moved
                images = candidates
            else:
                images[here] = candidates[near]
            found[here], apart[here] = orbits[near], distance[near]
            first[open_] += 1
        return found, images, apart

    def _laid_over(self, orbits: np.ndarray, thetas: np.ndarray) -> np.ndarray:
        """Representatives of orbits [m] laid over points [m, p]; NaN where the guess is no group element."""
        if self._overlay is None:
            return np.array(self.representatives)[orbits]
        return self._overlay.over(orbits, thetas)

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
