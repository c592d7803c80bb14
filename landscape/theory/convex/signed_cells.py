"""The signed cells of a data set: programs on some of them, their pulls, and which optimum is a local minimum.

With nu the residual at the optimum of a set of signed cells, a cell adds nothing to it unless its pull, the largest
s nu' relu(x u) over unit vectors u of the cell, exceeds beta. An optimum is a local minimum if and only if no cell that
touches one of its neurons has a first-order descent.
"""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls

from landscape.problems.datafit import Data, objective
from landscape.records import InputError
from landscape.theory.arrangement.cells import cells
from landscape.theory.arrangement.records import Cells
from landscape.theory.convex.cone_program import Restricted
from landscape.theory.convex.resolution import RESOLUTION, clearly_positive
from landscape.theory.convex.restricted_programs import restricted

# A cell is idle at an optimum if its pull is at most beta (1 + IDLE): pulls are exact to some 1e-13 beta, and what is
# skipped by mistake would have a block of weight of the order IDLE and lower the loss by the order of its square.
IDLE = 1e-9
# Largest relative residual of a solved program; Newton's method on the active set leaves 1e-14.
SOLVED = 1e-11


class Minimum(NamedTuple):
    """A local minimum, merged and with linearly independent atoms relu(x w_j).

    Attributes:
        value: Its loss.
        kind: "global": of every width (phi <= beta); "global at this width": the value is P_m but wider networks do
            better; "strict spurious": not global at this width, isolated up to permutation; "flat spurious": the
            same with neurons to spare: a path of constant loss leads to a zero neuron, and from there down.
        isolated: At the width that was asked for: it has exactly that many neurons.
        hidden: [k, d], k at most the width; balanced, |w_j| = |a_j|.
        outer: [k].
        b0: Outer bias, 0.0 without one.
        output: f, [n]; minima with the same output belong to one polytope of networks of equal loss.
        cells: One cell that each neuron lies in, [k], rows of the patterns of `Minima`.
        phi_over_beta: Largest pull of any signed cell, over beta: above 1, a new neuron lowers the loss.
    """

    value: float
    kind: str
    isolated: bool
    hidden: np.ndarray
    outer: np.ndarray
    b0: float
    output: np.ndarray
    cells: tuple[int, ...]
    phi_over_beta: float


class SignedCells(NamedTuple):
    """The signed cells in which a neuron does something."""

    data: Data
    patterns: np.ndarray  # bool [P, n], all cells
    cell: np.ndarray  # [N], row of patterns
    signs: np.ndarray  # [N], +-1.0
    features: np.ndarray  # [N, d, n], s x' D
    walls: np.ndarray  # [P, d, n], the columns +-x_k; u is in the closed cell iff walls' u >= 0

    @classmethod
    def of(cls, data: Data, listed: Cells | None) -> SignedCells:
        if not (np.isfinite(data.weight_decay) and data.weight_decay > 0):
            raise InputError(
                f"local minima are enumerated at positive weight decay only, found {data.weight_decay}: without it "
                "they come in continua. Give a small positive one."
            )
        listed = cells(data.x) if listed is None else listed
        if not listed.complete:
            raise InputError(
                f"all activation cells are needed; these were found by {listed.by}. Use arrangement.cells."
            )
        patterns = np.asarray(listed.patterns, bool)
        live = np.flatnonzero((patterns[:, :, None] * data.x).any(axis=(1, 2)))
        cell, signs = np.concatenate([live, live]), np.repeat([1.0, -1.0], len(live))
        features = (signs[:, None] * patterns[cell])[:, None, :] * data.x.T
        walls = np.where(patterns, 1.0, -1.0)[:, None, :] * data.x.T
        return cls(data, patterns, cell, signs, features, walls)

    def solve(self, members: tuple[int, ...]) -> Restricted:
        at = list(members)
        return restricted(self.data, self.patterns[self.cell[at]], self.signs[at])

    def pulls(self, nu: np.ndarray, some: np.ndarray | None = None) -> np.ndarray:
        """The largest s nu' relu(x u) over unit vectors u of the cell, for some signed cells or all, [N].

        The length of the projection of s x' D nu on the cell's cone, a nonnegative least squares problem. Where it is
        below beta, or that problem is not solved, it may be an upper bound only.
        """
        some = np.arange(len(self.signs)) if some is None else some
        gradients = self.features[some] @ nu
        pull = np.linalg.norm(gradients, axis=1)
        for i in np.flatnonzero(pull > self.data.weight_decay):  # a projection is no longer than the vector
            walls = self.walls[self.cell[some[i]]]
            if np.any(walls.T @ gradients[i] < 0):
                with contextlib.suppress(RuntimeError):  # too many iterations
                    pull[i] = nnls(walls, -gradients[i])[1]
        return pull

    def judge(self, members: tuple[int, ...], point: Restricted) -> tuple[Minimum | None, bool]:
        """The local minimum that the optimum of a program is, or None, and whether that could be decided.

        phi_over_beta and what depends on the width are left to be filled in.
        """
        x, beta = self.data.x, self.data.weight_decay
        at = list(members)
        weights = np.linalg.norm(point.blocks, axis=1)
        if point.residual > SOLVED:
            return None, False
        verdicts = [clearly_positive("share", weights / max(float(weights.sum()), 1e-300))]
        if verdicts[0] is False:
            return None, True  # an optimum of fewer cells, judged there
        directions = point.blocks / weights[:, None]
        lengths = np.linalg.norm(x, axis=1)
        cosines = directions @ (x / np.where(lengths > 0, lengths, 1.0)[:, None]).T
        tied = np.abs(cosines) <= RESOLUTION["angle"][0]
        if np.any(~tied & (np.abs(cosines) < RESOLUTION["angle"][1])):
            verdicts.append(None)
        for j, t in enumerate(at):
            touching = np.flatnonzero(np.all((self.patterns == (cosines[j] > 0)) | tied[j], axis=1))
            if self.cell[t] not in touching:
                return None, False
            for cell in touching:
                slope = self.signs[t] * (x.T @ (self.patterns[cell] * point.nu)) - beta * directions[j]
                walls = self.walls[cell][:, tied[j] & (lengths > 0)]
                steepest = nnls(walls, -slope)[1] if walls.size else float(np.linalg.norm(slope))
                descends = clearly_positive("slope", np.array([steepest / beta]))
                if descends:
                    return None, True  # first-order descent into a cell next to the neuron
                verdicts.append(None if descends is None else True)
        atoms = np.maximum(x @ directions.T, 0.0)
        if self.data.outer_bias == "free":
            atoms = np.column_stack([atoms, np.ones(len(x))])
        length = np.linalg.norm(atoms, axis=0)
        if not np.all(length > 0):
            return None, False
        size = np.linalg.svd(atoms / length, compute_uv=False)
        independent = len(size) == atoms.shape[1] and clearly_positive("rank", size / size[0])
        if independent is False:
            return None, True  # inside a polytope of minima, whose vertices have fewer neurons
        if None in (*verdicts, independent):
            return None, False
        hidden, outer = directions * np.sqrt(weights)[:, None], self.signs[at] * np.sqrt(weights)
        minimum = Minimum(
            value=objective(self.data, hidden, outer, point.b0),
            kind="",
            isolated=False,
            hidden=hidden,
            outer=outer,
            b0=point.b0,
            output=point.output,
            cells=tuple(int(c) for c in self.cell[at]),
            phi_over_beta=math.nan,
        )
        return minimum, True


def slack(value: float) -> float:
    """To what two values of programs are the same."""
    return 1e-10 * (abs(value) + 1e-300)
