"""All local maxima of u -> |nu' relu(x u)| on the unit sphere, from a complete list of cells."""

from __future__ import annotations

import numpy as np

from landscape.records import InputError
from landscape.theory.arrangement.cells import remembered_cells
from landscape.theory.arrangement.projection import projected, screened
from landscape.theory.arrangement.records import Cells, Maxima
from landscape.theory.arrangement.rows import EPS, as_matrix, as_residual, rounding_units, weighted_rows
from landscape.theory.arrangement.threads import one_thread

# A direction lies on a hyperplane if the unit normal's product with it is below this. Computed maximisers are on theirs
# to rounding; a wider window would take true maxima just beside a hyperplane for points on it, and drop them.
TIE = 64 * EPS


@one_thread
def local_maxima(x: np.ndarray, nu: np.ndarray, above: float = 0.0, listed: Cells | None = None) -> Maxima:
    """All local maxima of u -> |nu' relu(x u)| on the unit sphere that are higher than `above`.

    h(u) = nu' relu(x u) is linear in each cell, so it has one maximum in each closed cell with h > 0, and u is a local
    maximum of h if and only if it is that maximum in every closed cell that holds it. It is then strict: near u,
    h(u + v) = h(u) + (something <= 0), and normalising lowers it. Directions on hyperplanes are computed on them.
    Where the data are degenerate to rounding only, the list may hold a direction that is a maximum to rounding only;
    it never lacks the highest.

    Args:
        x: Data, [n, d].
        nu: Residual, [n].
        above: Only maxima of value greater than this; cells that a bound excludes are not solved.
        listed: `cells(x)`; they are listed here when not given.

    Raises:
        InputError: The cells cannot be listed.
    """
    x, nu = as_matrix(x), as_residual(x, nu)
    listed = listed if listed is not None else remembered_cells(x.tobytes(), x.shape)
    if not listed.complete:
        raise InputError("local_maxima needs the complete list of cells and was given a part: pass cells(x).")
    reduced, weight, length, _ = weighted_rows(x, nu)
    rows = x[reduced.kept] / reduced.scale[:, None]
    tolerance = rounding_units(len(rows)) * length
    above = max(float(above), tolerance)
    patterns = listed.patterns[:, reduced.kept]
    norms = np.linalg.norm(rows, axis=1)
    u_found, sign_found, value_found = [], [], []
    for sign in (1, -1):
        w = sign * weight
        bound = screened(rows, w, patterns)[0] if above > tolerance else np.full(len(patterns), np.inf)
        upper, u = projected(rows, w, patterns, bound, above)
        h = np.maximum(u @ rows.T, 0.0) @ w
        high = np.flatnonzero(h > above)
        high = high[_cannot_leave(rows / norms[:, None], w * norms, u[high], tolerance)]
        taken = np.zeros((0, x.shape[1]))
        for i in high[np.argsort(-h[high])]:
            if np.min(np.linalg.norm(taken - u[i], axis=1), initial=1.0) < 1e-9:
                continue
            product = rows @ u[i]
            tied = np.abs(product) <= TIE * norms
            around = np.all((patterns == (product > 0)) | tied, axis=1)
            if np.all(upper[around] <= h[i] + 4 * tolerance):
                taken = np.concatenate([taken, u[i : i + 1]])
                u_found.append(u[i])
                sign_found.append(sign)
                value_found.append(h[i])
    order = np.argsort(-np.array(value_found), kind="stable")
    return Maxima(
        u=np.array(u_found).reshape(-1, x.shape[1])[order],
        sign=np.array(sign_found, int)[order],
        value=np.array(value_found)[order],
    )


def _cannot_leave(unit: np.ndarray, w: np.ndarray, u: np.ndarray, tolerance: float) -> np.ndarray:
    """Whether w' relu(unit u) does not grow from u [C, d] along the normals of the hyperplanes that u lies on.

    Necessary for a local maximum, and quick: it leaves few directions for the full test.
    """
    product = u @ unit.T
    tied = np.abs(product) <= TIE
    off, on = (np.where(tied, 0.0, product > 0) * w) @ unit @ unit.T, np.where(tied, w, 0.0)
    gram = unit @ unit.T
    growth = np.maximum(off + on @ np.maximum(gram, 0.0), -off + on @ np.maximum(-gram, 0.0))
    return np.all(~tied | (growth <= 8 * tolerance), axis=1)
