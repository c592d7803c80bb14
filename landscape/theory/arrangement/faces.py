"""phi of many residuals in at most three dimensions, exact: the best of the candidates of all faces.

The maximum over the sphere lies in the relative interior of one face of the arrangement (a vertex, an arc or a cell),
where h(u) = nu' relu(x u) is linear: at the vertex, or at the gradient projected on the face and normalised. All those
candidates are tried with the true h, so a wrong candidate can do no harm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from landscape.records import InputError
from landscape.theory.arrangement.circles import Faces, faces_of
from landscape.theory.arrangement.records import Phis
from landscape.theory.arrangement.rows import BLOCK, EPS, as_matrix, normalised, reduce_rows, rounding_units
from landscape.theory.arrangement.threads import one_thread


@one_thread
def phis(x: np.ndarray, nus: np.ndarray, block: int = BLOCK) -> Phis:
    """phi of many residuals nus [R, n] at once, exact; data x [n, d] with d (or rank) <= 3.

    The result for a residual does not depend on the others beyond rounding. `upper` exceeds `value` by rounding only:
    by (18 n + 96) eps sum_k |nu_k| |x_k|.

    Why that is enough (eps the double spacing, L = sum |nu_k| |x_k|, a Lipschitz constant of h(u) = nu' relu(x u)).
    Vertices x_j x x_k / |.| are computed with compensated products, so they are within 10 eps of the true ones however
    close to parallel the rows are, and so are their angles on each circle x_k.u = 0. Hence an arc wider than 32 eps
    shows as one of at least 12 eps, and the pattern found at its middle, 6 eps or more from any vertex, is the true
    one. Gradients carry an error e, |e| <= 2 (n + 8) eps L.

    (1) u* at a vertex: the computed vertex gives h >= phi - 10 eps L.
    (2) u* inside an arc of width <= 32 eps: as (1), with 42 eps L. In a wider one, let G = g + e be the computed
        projected gradient and phi = |g|. If |g| <= |e| nothing is to be shown. If G/|G| is in the arc,
        h(G/|G|) = g.G/|G| >= |g| - 2|e|. If not, an end b of the arc lies between it and g/|g|, at an angle from g/|g|
        of at most (pi/2) |e|/|g|, and h(b) = g.b >= |g| - 1.3 |e|; then (1).
    (3) u* inside a cell. If the cell has an arc wider than 32 eps its pattern is among those tried, and (2) applies
        word for word, with b on the boundary of the cell and then (2) for the arc through b. If all of its at most n
        arcs are narrower, u* is within 16 n eps of a vertex.

    The worst is 17 n + 40 or 8 n + 90 units eps L, evaluating h (n + d + 8 units) and the preference for lower faces
    (8 units) included. Candidates are skipped only when a bound on their own value says that they cannot win.

    Args:
        x: Data, [n, d].
        nus: Residuals, [R, n].
        block: Largest number of floats in one temporary array; more memory is quicker, and the result is the same.

    Raises:
        InputError: The rank is above three, or the arguments are not finite matrices that fit.
    """
    x = as_matrix(x)
    nus = np.asarray(nus, float)
    if nus.ndim != 2 or nus.shape[1] != len(x) or not np.all(np.isfinite(nus)):
        raise InputError(f"nus must be a finite matrix [R, {len(x)}], one row a residual; found shape {nus.shape}.")
    reduced = reduce_rows(x, always=x.shape[1] > 3)
    n, d = reduced.rows.shape
    if n and d > 3:
        raise InputError(f"phis needs data of rank at most 3 and x has rank {d}: call phi, one residual at a time.")
    count = len(nus)
    weight = nus[:, reduced.kept] * reduced.scale
    length = np.abs(weight) @ np.linalg.norm(reduced.rows, axis=1)
    best = _Best(np.zeros(count), np.tile(np.eye(d)[0], (count, 1)), np.ones(count, int))
    if n:
        for faces in faces_of(reduced.rows, block):
            size = len(faces.relu) + 2 * len(faces.plane) + 3 * faces.gradients.shape[1]
            step = int(np.clip(500_000 // size, 1, 1024))
            for start in range(0, count, step):
                part = slice(start, start + step)
                _search(faces, reduced.rows, weight[part], length[part], best.part(part), block)
    slack = length * rounding_units(n) + np.abs(weight) @ reduced.residual
    u = best.u @ reduced.basis.T
    return Phis(value=best.value, upper=best.value + slack, u=u, sign=best.sign)


class _Best(NamedTuple):
    """The best value [R], its u [R, d] and sign [R] so far; updated in place."""

    value: np.ndarray
    u: np.ndarray
    sign: np.ndarray

    def part(self, rows: slice) -> _Best:
        return _Best(self.value[rows], self.u[rows], self.sign[rows])

    def offer(self, row: np.ndarray, u: np.ndarray, h: np.ndarray, least: np.ndarray) -> None:
        """Take for each residual row[q] the candidate u[q] of value h[q] that beats its record by `least` [R]."""
        better = np.abs(h) > self.value[row] + least[row]
        row, u, h = row[better], u[better], h[better]
        order = np.lexsort((np.abs(h), row))
        last = order[np.flatnonzero(np.diff(row[order], append=-1))]
        self.value[row[last]], self.u[row[last]], self.sign[row[last]] = np.abs(h[last]), u[last], np.sign(h[last])


def _search(faces: Faces, x: np.ndarray, weight: np.ndarray, length: np.ndarray, best: _Best, block: int) -> None:
    """Offer to `best` the candidates of all faces, for residuals weight [R, n]: vertices, then arcs, then cells.

    A higher face must win by more than rounding, so that a maximiser on hyperplanes is the vertex or arc itself.
    """
    least = 8 * EPS * length
    rows = np.arange(len(weight))
    if len(faces.points):
        h = weight @ faces.relu.T
        top = np.argmax(np.abs(h), axis=1)
        best.offer(rows, faces.points[top], h[rows, top], least)
    if len(faces.plane):
        # Almost every gradient points out of its arc, which two products tell.
        after, before = weight @ faces.after.T, weight @ faces.before.T
        blur = rounding_units(x.shape[0]) * length[:, None]
        for sign in (1, -1):
            if sign > 0:
                row, arc = np.nonzero((after >= -blur) & (before >= -blur))
            else:
                row, arc = np.nonzero((after <= blur) & (before <= blur))
            g1, g2 = (np.einsum("qn,qn->q", weight[row], part[arc]) for part in faces.along)
            size = np.hypot(g1, g2)
            high = size > best.value[row]
            row, g = row[high], (sign / size[high]) * np.stack([g1[high], g2[high]])
            u = np.einsum("cq,qcd->qd", g, faces.plane[arc[high]])
            _try(x, weight, row, u, best, least)
    if faces.gradients.shape[1]:
        square = np.zeros((len(weight), faces.gradients.shape[1]))
        for component in faces.gradients:
            square += (weight @ component.T) ** 2
        row, cell = np.nonzero(square > ((best.value + least) ** 2)[:, None])
        pairs = max(1, block // (4 * x.shape[0]))
        for start in range(0, len(row), pairs):
            r, c = row[start : start + pairs], cell[start : start + pairs]
            g = np.stack([np.einsum("qn,qn->q", weight[r], component[c]) for component in faces.gradients], axis=1)
            u = normalised(g)
            _try(x, weight, r, u, best, least)
            _try(x, weight, r, -u, best, least)


def _try(x: np.ndarray, weight: np.ndarray, row: np.ndarray, u: np.ndarray, best: _Best, least: np.ndarray) -> None:
    best.offer(row, u, np.einsum("qn,qn->q", np.maximum(u @ x.T, 0.0), weight[row]), least)
