"""phi(nu) = max over |u| <= 1 of |nu' relu(x u)| for one residual, by the first of three ways that applies."""

from __future__ import annotations

import numpy as np

from landscape.theory.arrangement.cells import cover_count, remembered_cells
from landscape.theory.arrangement.faces import phis
from landscape.theory.arrangement.interval import phi_interval
from landscape.theory.arrangement.projection import projected, screened
from landscape.theory.arrangement.records import Cells, Phi
from landscape.theory.arrangement.rows import BLOCK, RESOLUTION, as_matrix, as_residual, rounding_units, weighted_rows
from landscape.theory.arrangement.threads import one_thread

# phi lists the cells by itself up to this bound on their number: about a second of listing, two of projections.
LISTABLE = 20_000


@one_thread
def phi(x: np.ndarray, nu: np.ndarray, listed: Cells | None = None, boxes: int = 50_000, block: int = BLOCK) -> Phi:
    """max over |u| <= 1 of |nu' relu(x u)| for data x [n, d] and one residual nu [n], with its maximiser.

    Exact for d (or rank) <= 3, and for any d when the cells are given in `listed` (all of them: `complete`) or are
    few enough to be listed; otherwise value is a local maximum and upper the best of branch and bound over `boxes`
    boxes, the spectral bound and the norm bound. A maximiser on hyperplanes is computed on them: x_k.u vanishes there
    to rounding.

    Args:
        x: Data, [n, d].
        nu: Residual, [n].
        listed: `cells(x)` if it is at hand.
        boxes: Ceiling on the boxes that branch and bound may bound.
        block: See `phis`; in three dimensions data of more than block^(1/3) rows are searched first.

    Raises:
        InputError: The arguments are not finite or do not fit.
    """
    x, nu = as_matrix(x), as_residual(x, nu)
    reduced, weight, length, slack = weighted_rows(x, nu)
    rank = reduced.rows.shape[1]
    if len(reduced.rows) == 0 or not np.any(weight) or length == 0:
        return Phi(value=0.0, upper=slack, u=np.eye(x.shape[1])[0], sign=1, by="faces")
    if rank == 3 and len(reduced.rows) ** 3 > block:
        # Many rows: the faces, n^2 of them at a cost of n each, take minutes where this search most often closes.
        found = phi_interval(x, nu, boxes)
        if found.upper - found.value <= 2 * (rounding_units(len(nu)) * length + slack) + 2e-12 * found.value:
            return found
    if rank <= 3:
        found = phis(x, nu[None], block)
        return Phi(
            value=float(found.value[0]), upper=float(found.upper[0]), u=found.u[0], sign=int(found.sign[0]), by="faces"
        )
    listed = listed if listed is not None and listed.complete else None
    if listed is None and cover_count(len(reduced.rows), rank) <= LISTABLE:
        listed = remembered_cells(x.tobytes(), x.shape)
        listed = listed if listed.complete else None
    if listed is not None:
        return phi_by_cells(x, nu, listed)
    return phi_interval(x, nu, boxes)


def phi_by_cells(x: np.ndarray, nu: np.ndarray, listed: Cells) -> Phi:
    """phi from a complete list of cells."""
    reduced, weight, length, slack = weighted_rows(x, nu)
    rows = x[reduced.kept] / reduced.scale[:, None]
    patterns = listed.patterns[:, reduced.kept]
    bounds, best = {}, 0.0
    for sign in (1, -1):
        bounds[sign], tried = screened(rows, sign * weight, patterns)
        best = max(best, float(np.max(np.maximum(tried @ rows.T, 0.0) @ (sign * weight), initial=0.0)))
    value, u, which, upper = 0.0, np.eye(x.shape[1])[0], 1, 0.0
    for sign in (1, -1):
        # The approximate directions behind `best` are replaced by exact ones, from the cells that can reach it.
        top, exact = projected(rows, sign * weight, patterns, bounds[sign], best * (1 - 1e-12))
        h = np.maximum(exact @ rows.T, 0.0) @ (sign * weight)
        i = int(np.argmax(h))
        if h[i] > value:
            value, u, which = float(h[i]), exact[i], sign
        upper = max(upper, float(np.max(top)))
    if len(patterns) < cover_count(len(rows), reduced.rows.shape[1]):
        # Rows dependent to RESOLUTION were taken as dependent, once in each dimension that restriction went down.
        slack += reduced.rows.shape[1] * RESOLUTION * length
    return Phi(value=value, upper=max(upper, value) + slack, u=u, sign=which, by="cells")
