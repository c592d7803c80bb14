"""Newton's method on the active set of the convex program: from a guess to an optimum with a gap of about 1e-14."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import lstsq

from landscape.problems.datafit import Data, minus_gradient
from landscape.theory.convex.cone_program import SHARP, Guess, Judged, Pieces, judged, output_of, residual, value_of

EPS = float(np.finfo(float).eps)

_AT_ONCE = 8  # far from the optimum at most this many blocks are let in together
_JUDGING = 20.0  # judging a point costs this many cubes of unknowns for each entry of the walls


def polished(data: Data, cells: Pieces, guess: Guess) -> Judged:
    """The point of least residual on the way of Newton's method, which lets in blocks that could still pull."""
    beta = data.weight_decay
    tied = [t.copy() for t in guess.tied]
    u, b0, alive = guess.u.copy(), guess.b0, guess.alive.copy()
    best, stalled, lowest, tried, work = None, 0, math.inf, np.zeros(len(u), bool), 0.0
    for _ in range(6 * len(u) + 8):
        u, b0, steps = newton(data, cells, u, b0, alive, tied)
        work += steps + _JUDGING * cells.walls.size
        now = judged(data, cells, u, b0)
        u = u.copy()  # `now` keeps the other
        falls = now.result.residual > 0.01 and now.result.value < lowest  # far off the value says more
        better = best is None or now.result.residual < 0.5 * best.result.residual or falls
        stalled = 0 if better else stalled + 1
        lowest = min(lowest, now.result.value * (1 - 1e-6))
        if best is None or now.result.residual < best.result.residual:
            best = now
        pulls = np.sqrt(np.einsum("qd,qd->q", now.ascent, now.ascent))
        i = int(np.argmax(pulls)) if len(pulls) else 0
        patience = 3 if best.result.residual > 1e-11 else 0  # below, small weight decays leave rounding only
        if best.result.residual <= 4 * EPS or not len(pulls) or pulls[i] <= beta * (1 + 4 * EPS):
            break
        if stalled > patience:
            # Beside a larger block of nearly its own direction one of too small a slope cannot pass on its mass.
            weak = np.flatnonzero(alive & ~tried & (pulls < beta * (1 - 1e-10)))
            if not patience or not len(weak) or tried.sum() == 10:  # each costs a few rounds
                break
            i = int(weak[np.argmin(pulls[weak])])
            tried[i], alive[i], u[i], stalled = True, False, 0.0, 0
            continue
        # Far from the optimum many at once, near it one: F'(u; v) = beta - |v|^2 / |v| < 0 along the projection v of
        # the gradient, which lies in the cone.
        far = ~alive & (pulls > 1.01 * beta) & (pulls >= np.sort(pulls)[-min(_AT_ONCE, len(pulls))])
        enter = np.flatnonzero(far) if now.result.residual > 0.01 and far.any() else np.array([i])
        for i in enter:
            v = now.ascent[i] / pulls[i]
            step = cells.features[i] @ v
            length = float(np.linalg.norm(u[i]))
            stiff = data.fit.most_curved
            t = (pulls[i] - beta) / (stiff * float(step @ step) + (beta / length if length > 0 else 0.0))
            at_v = np.abs(cells.walls[i] @ v) <= 1e-10
            tied[i] = at_v & (tied[i] if alive[i] else True)
            u[i] = (u[i] if alive[i] else 0.0) + t / len(enter) * v
            alive[i] = True
    assert best is not None
    best = _sharpened(data, cells, _without_dust(data, cells, best))
    return best._replace(result=best.result._replace(work=work))


def _without_dust(data: Data, cells: Pieces, point: Judged) -> Judged:
    """The point without the small blocks that it does not need: what rounding leaves of a block that is zero."""
    u, b0, value = point.result.blocks.copy(), point.result.b0, point.result.value
    sizes = np.linalg.norm(u, axis=1)
    for i in np.flatnonzero(
        (sizes > 0) & (sizes <= 1e-6 * max(float(sizes.max(initial=0.0)), value / data.weight_decay))
    ):
        kept, u[i] = u[i].copy(), 0.0
        if (new := value_of(data, cells, u, b0)) <= value * (1 + EPS):
            value = new
        else:
            u[i] = kept
    if np.array_equal(u, point.result.blocks):
        return point
    without = judged(data, cells, u, b0)
    return without if without.result.residual <= max(point.result.residual, SHARP) else point


def _sharpened(data: Data, cells: Pieces, point: Judged) -> Judged:
    """The point with a residual nu that meets the conditions of its blocks to rounding.

    y - f carries the rounding of y, which is large beside nu at a small weight decay. The least change that gives each
    living block its slope, N' X' D nu = beta N' u / |u| on its walls' intersection N, carries only that of nu.
    """
    u, nu = point.result.blocks, point.result.nu
    rows, goal = [], []
    for i in np.flatnonzero(np.linalg.norm(u, axis=1) > 0):
        on = np.abs(cells.walls[i] @ u[i]) <= 1e-9 * np.linalg.norm(u[i])
        basis = _free(cells.walls[i][on])
        rows.append(basis.T @ cells.features[i].T)
        goal.append(data.weight_decay * (basis.T @ u[i]) / np.linalg.norm(u[i]))
    if data.outer_bias != "none":
        rows.append(np.ones((1, len(nu))))
        goal.append(np.array([data.weight_decay * point.result.b0 if data.outer_bias == "regularised" else 0.0]))
    if not rows:
        return point
    g, h = np.concatenate(rows), np.concatenate(goal)
    for _ in range(2):
        nu = nu + np.asarray(lstsq(g, h - g @ nu, cond=1e-10)[0])  # pyright: ignore[reportOptionalSubscript]
    return min(point, judged(data, cells, u, point.result.b0, nu), key=residual)


def _free(walls: np.ndarray) -> np.ndarray:
    """An orthonormal basis [d, k] of the vectors that lie on all the given walls."""
    d = walls.shape[1]
    if len(walls) == 0:
        return np.eye(d)
    _, size, v = np.linalg.svd(walls)
    return v[int(np.sum(size > 1e-9)) :].T


def newton(
    data: Data, cells: Pieces, u: np.ndarray, b0: float, alive: np.ndarray, tied: list[np.ndarray]
) -> tuple[np.ndarray, float, float]:
    """Minimise over the living blocks, each kept on its tied walls (u = N p). Ties and deaths met are recorded.

    Newton's method with steps cut at the walls; a block that wants to pass through zero dies.
    """
    beta, extra = data.weight_decay, data.outer_bias != "none"
    u = np.where(alive[:, None], u, 0.0)
    bases: dict[int, np.ndarray] = {}
    value, work = math.inf, 0.0
    for _ in range(60):
        for i in np.flatnonzero(alive).tolist():
            if i not in bases:
                bases[i] = _free(cells.walls[i][tied[i]])
                u[i] = bases[i] @ (bases[i].T @ u[i])
                value = math.inf
            if not u[i].any():
                alive[i] = False
        living = np.flatnonzero(alive).tolist()
        sizes = np.linalg.norm(u[living], axis=1)
        if value == math.inf:
            value = value_of(data, cells, u, b0)
        f = output_of(cells, u, b0)
        nu = minus_gradient(data, f)
        parts = [cells.features[i] @ bases[i] for i in living] + ([np.ones((len(f), 1))] if extra else [])
        if not parts:
            break
        m = np.hstack(parts)
        gradient = -(m.T @ nu)
        weights = data.fit.curved(f, data.y)[:, None]
        hessian = m.T @ (weights * m)
        at = 0
        for i, size in zip(living, sizes, strict=True):
            e = bases[i].T @ u[i] / size
            here = slice(at, at + len(e))
            gradient[here] += beta * e
            hessian[here, here] += (beta / size) * (np.eye(len(e)) - np.outer(e, e))
            at += len(e)
        if data.outer_bias == "regularised":
            gradient[-1] += beta * b0
            hessian[-1, -1] += beta
        w, q = np.linalg.eigh(hessian)
        work += float(len(w)) ** 3
        keep = w > 1e-13 * w[-1]  # along the rest mass only moves between equal atoms
        step = -(q[:, keep] * (1 / w[keep])) @ (q[:, keep].T @ gradient)
        decrease = -float(gradient @ step)
        move = np.zeros_like(u)
        at = 0
        for i in living:
            k = bases[i].shape[1]
            move[i] = bases[i] @ step[at : at + k]
            at += k
        db = float(step[-1]) if extra else 0.0

        dying = [i for i, size in zip(living, sizes, strict=True) if (u[i] + move[i]) @ u[i] <= 0.01 * size * size]
        if dying:
            trial = u.copy()
            trial[dying] = 0.0
            if (new := value_of(data, cells, trial, b0)) <= value:
                u, value = trial, new
                alive[dying] = False
                continue
        t, hit = (0.5 if dying else 1.0), None
        slack = np.einsum("qkd,qd->qk", cells.walls[living], u[living])
        change = np.einsum("qkd,qd->qk", cells.walls[living], move[living])
        for row, i in enumerate(living):
            for k in np.flatnonzero(~tied[i] & (slack[row] + t * change[row] < -1e-15 * sizes[row])):
                if change[row, k] < 0 and (reach := max(slack[row, k], 0.0) / -change[row, k]) < t:
                    t, hit = reach, (i, k)
        new = value_of(data, cells, u + t * move, b0 + t * db)
        halvings = 0
        while not new <= value * (1 + 1e-14) and halvings < 30:
            t, hit, halvings = t / 2, None, halvings + 1
            new = value_of(data, cells, u + t * move, b0 + t * db)
        if halvings == 30:
            break
        u, b0, value = u + t * move, b0 + t * db, new
        if hit is not None:
            i, k = hit
            tied[i] = tied[i] | (np.abs(cells.walls[i] @ u[i]) <= 1e-12 * np.linalg.norm(u[i]))
            tied[i][k] = True
            del bases[i]
        elif decrease <= 1e-26 * abs(value):  # the step just taken was below the rounding of the point
            break
    return u, b0, work
