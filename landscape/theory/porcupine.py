"""What is known about porcupine losses: sign regions, the exact label of any point, the global optimum.

Source: Feizi, Javadi, Zhang and Tse 2017 (theorem 1 and the captions of figures 2 to 5); what goes beyond is derived
here. All losses are in the package's normalisation, half the paper's.

On line j the neurons have positive mass a_j and negative mass b_j, sums of |c_i|. The loss is a convex quadratic of the
masses x = (a, b) >= 0, so that everything about a point is decided by its one-sided slopes dF/da_j and dF/db_j and by
which signs are present where. A point is a local minimum if and only if the slope of every present sign is zero and,
on lines with a neuron at zero, no slope is negative: a coefficient can only change what it can reach, and convexity
does the rest. It is global if no slope is negative anywhere; on a line with two neurons or more a negative slope shows
the opposite, because mass can be passed to one neuron at no cost and the other one sent through zero. A line with a
single neuron has a_j b_j = 0, and there nothing short of branching over its sign decides.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import scipy.linalg
from scipy.optimize import linprog

from landscape.problems.porcupine import Porcupine, psi
from landscape.records import Evidence, InputError, Label, LowerBound, Verdict

EPS = float(np.finfo(float).eps)
STATIONARY = 1e-9  # slopes below this, times the scale, are judged: what is judged is the exact point beside
ZERO_SET_TOLERANCE = 1e-3  # of the lightest teacher mass, as for teacher-student losses: an independent second test
HOLDS_TEACHER = "the region holds the teacher"
RANDOM_LINES_SCHUR = 1 - 2 / np.pi  # limit of `schur_norm` for random lines, d -> inf at fixed r/d


class At(NamedTuple):
    """The loss and its slopes at masses x.

    Attributes:
        loss: F.
        loss_error: Bound on its rounding error.
        m: Sum of student minus sum of teacher neurons, [d].
        slopes: dF/da and dF/db, [2, r].
        error: Bound on the rounding error of every slope.
    """

    loss: float
    loss_error: float
    m: np.ndarray
    slopes: np.ndarray
    error: float


class Optimum(NamedTuple):
    """The global optimum, as far as it was shown.

    Attributes:
        theta: A network, [p].
        loss: Its loss.
        lower_bound: No network on these lines has a smaller loss: a dual bound, rounding taken off.
        gap: loss - lower_bound.
        nodes: Convex problems solved; more than one only where lines have a single neuron.
    """

    theta: np.ndarray
    loss: float
    lower_bound: float
    gap: float
    nodes: int


class Region(NamedTuple):
    """Sign regions of one kind: which lines have positive neurons only, negative only, or both.

    Attributes:
        kinds: +1, -1 or 0 (mixed) for each line, [r].
        count: How many of the 2^p regions are of this kind; they differ by permutations of neurons.
        rank: Dimension spanned by the mixed lines.
        theta: A stationary point inside one such region; None if there is none, or none is shown.
        loss: The one loss of its stationary points.
        bad: Whether they are bad local minima; None where the numbers do not decide.
        by: Why.
    """

    kinds: np.ndarray
    count: float
    rank: int
    theta: np.ndarray | None
    loss: float | None
    bad: bool | None
    by: str


# --- the loss and its slopes ---


def masses(problem: Porcupine, theta: np.ndarray) -> np.ndarray:
    """Positive and negative mass on each line, (a, b), [2, r]."""
    c, r = np.asarray(theta, np.float64), len(problem.neurons)
    return np.stack([np.bincount(problem.line_of, np.maximum(side * c, 0.0), r) for side in (1, -1)])


def evaluate(problem: Porcupine, x: np.ndarray) -> At:
    """Loss and one-sided slopes at masses x [2, r]."""
    total, mass = x[0] - x[1], x[0] + x[1]
    ds, dq = total - problem.on_sum, mass - problem.on_mass
    some = np.flatnonzero((ds != 0) | (dq != 0))
    m = ds[some] @ problem.lines[some] - problem.off_sum
    even = (dq[some] @ problem.psi[some] if 2 * len(some) < len(dq) else problem.psi @ dq) - problem.off_even
    odd = problem.lines @ m
    loss = 0.125 * (m @ m + dq @ (even - problem.off_even) + problem.off_energy)
    error, loss_error = problem.rounding(total, mass)
    return At(float(loss), loss_error, m, 0.25 * np.stack([even + odd, even - odd]), error)


def decomposition(problem: Porcupine, theta: np.ndarray) -> tuple[float, float]:
    """Theorem 1: the linear part |m|^2 / 8 and the even part z' psi z / 8 of the loss, which is their sum.

    m is the sum of student minus teacher neurons, z the difference of their masses on each line of either.
    """
    at = evaluate(problem, masses(problem, theta))
    linear = float(at.m @ at.m) / 8
    return linear, at.loss - linear


def flat_dimension(problem: Porcupine, theta: np.ndarray) -> int:
    """Dimension of the stationary set around a stationary theta.

    Mass passed between neurons of one sign on a line, those at zero included, and masses of mixed lines that leave the
    sum of all neurons unchanged: sum_j (neurons - signs present) + mixed lines - rank, j over the lines that have mass.
    On a line without any the neurons stay at zero.
    """
    present, neurons = masses(problem, theta) > 0, np.asarray(problem.neurons)
    face = _face(problem, present)
    return int(np.sum(neurons[face.lines])) - int(np.sum(present)) + len(face.mixed) - len(face.basis)


# --- faces: which signs are present; on each, a positive definite quadratic ---


class _Face(NamedTuple):
    """Masses with certain signs only. There F is a strictly convex quadratic of (q of the lines in use, y), y the part
    of m that mixed lines move, in an orthonormal basis of their span: dependent mixed lines do no harm.

    Attributes:
        lines: Indices of the lines in use, [l].
        sign: +1, -1 or 0 (mixed) of each, [l].
        mixed: Indices of the mixed lines.
        basis: Orthonormal rows that span them, [rank, d].
        spread: Change of S on the mixed lines, of least norm, for a change of y, [mixed, rank].
        stretch: Bound on its spectral norm.
        tilt: Bound on the angle between the basis and what the mixed lines span, which is known to their rounding over
            their least singular value; zero where they span everything.
        stray: How far mixed lines that are dependent up to rounding may lie outside what is taken for their span; 0
            where no direction was dropped.
        moves: Change of m with (q, y), [l + rank, d].
        hessian: Of F in (q, y), [l + rank, l + rank].
    """

    lines: np.ndarray
    sign: np.ndarray
    mixed: np.ndarray
    basis: np.ndarray
    spread: np.ndarray
    stretch: float
    tilt: float
    stray: float
    moves: np.ndarray
    hessian: np.ndarray

    def gradient(self, at: At) -> np.ndarray:
        """dF/d(q, y), [l + rank]."""
        even, odd = 0.5 * (at.slopes[0] + at.slopes[1]), 0.5 * (at.slopes[0] - at.slopes[1])
        return np.concatenate([even[self.lines] + self.sign * odd[self.lines], 0.25 * self.basis @ at.m])

    def change(self, step: np.ndarray, r: int) -> np.ndarray:
        """The change of the masses, [2, r], for a change of (q, y)."""
        dq, ds = np.zeros((2, r))
        dq[self.lines] = step[: len(self.lines)]
        ds[self.lines] = self.sign * dq[self.lines]
        ds[self.mixed] = self.spread @ step[len(self.lines) :]
        return 0.5 * np.stack([dq + ds, dq - ds])


def _face(problem: Porcupine, present: np.ndarray) -> _Face:
    lines, mixed = np.flatnonzero(present.any(axis=0)), np.flatnonzero(present.all(axis=0))
    sign = present[0, lines].astype(float) - present[1, lines]
    left, sizes, right = np.linalg.svd(problem.lines[mixed], full_matrices=False)
    # Singular values are off by rounding / 16 and less: unit rows by d eps, the decomposition by a few eps |U|.
    rounding = 16 * max(len(mixed), problem.d) * EPS * float(np.max(sizes, initial=0.0))
    rank = int(np.sum(sizes > rounding))
    basis, least = right[:rank], float(sizes[rank - 1]) - rounding / 16 if rank else 1.0
    # For a singular triple, v = U' left / sigma lies as far outside the basis as the rows of U do, over sigma.
    outside = 0.0 if rank == problem.d else float(np.linalg.norm(_outside(problem.lines[mixed], basis)))
    moves = np.concatenate([sign[:, None] * problem.lines[lines], basis])
    hessian = 0.25 * moves @ moves.T
    hessian[: len(lines), : len(lines)] += 0.25 * problem.psi[np.ix_(lines, lines)]
    return _Face(
        lines=lines,
        sign=sign,
        mixed=mixed,
        basis=basis,
        spread=left[:, :rank] / sizes[:rank],
        stretch=1 / least if rank else 0.0,
        tilt=outside / least,
        stray=float(sizes[rank]) + rounding / 16 if rank < len(sizes) else 0.0,
        moves=moves,
        hessian=hessian,
    )


def _outside(lines: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """Upper bounds on the distances of unit rows from the span of a basis, [lines].

    Products of length d and rank are off by sqrt(rank) (d + rank) eps / 2 in norm, a difference by eps / 2.
    """
    rank, d = basis.shape
    rounding = (np.sqrt(rank) * (d + rank) / 2 + 1) * EPS
    return np.linalg.norm(lines - (lines @ basis.T) @ basis, axis=1) + rounding


def _factor(matrix: np.ndarray) -> tuple[np.ndarray, bool]:
    """Cholesky factor; of the matrix with its rounding error on the diagonal where nearly parallel lines need that."""
    try:
        return scipy.linalg.cho_factor(matrix)
    except scipy.linalg.LinAlgError:
        return scipy.linalg.cho_factor(matrix + 16 * len(matrix) * EPS * np.trace(matrix) * np.eye(len(matrix)))


def _face_minimum(problem: Porcupine, x: np.ndarray, present: np.ndarray, careful: bool) -> np.ndarray:
    """The minimum of F on a face of this one: Newton steps, and signs whose mass would be negative are dropped.

    Steps are exact but for rounding and go on while they halve the gradient. Careful ones end where the first mass
    reaches zero, so that F falls all the way; the others drop all such signs at once.
    """
    present, r = present.copy(), x.shape[1]
    tiny = 64 * EPS * problem.teacher_mass  # a mass of rounding size is none
    while present.any():
        face = _face(problem, present)
        factor, before = _factor(face.hessian), np.inf
        while True:
            gradient = face.gradient(evaluate(problem, x))
            size = float(np.linalg.norm(gradient))
            if not size < 0.5 * before:
                return x
            step = np.where(present, -face.change(scipy.linalg.cho_solve(factor, gradient), r), 0.0)
            hits = present & (x + step <= tiny)
            if hits.any():
                # A sign just let in has no mass: it may leave at once, at a step of length zero.
                far = hits & (x > 2 * tiny)
                reach = np.where(far, np.minimum(x / np.where(far, -step, 1.0), 1.0), np.where(hits, 0.0, np.inf))
                length = float(np.min(reach)) if careful else 1.0
                gone = reach <= length * (1 + 1e-12)
                x = np.where(gone, 0.0, x + length * step)
                present &= ~gone
                break
            x, before = x + step, size
    return np.zeros_like(x)


def _minimise(problem: Porcupine, x: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The minimum of F over masses >= 0 that are zero where not allowed, [2, r], from x: nonnegative least squares.

    An active-set method (Lawson and Hanson 1974) that lets in several signs at a time while that lowers F; the first
    time it does not, it goes back to where F was least and lets in one at a time, which always lowers it.
    """
    best, violation, least, lowest, careful, stale = x, np.inf, x, np.inf, False, 0
    present = x > 0
    while True:
        x = _face_minimum(problem, x, present, careful)
        at = evaluate(problem, x)
        lower = at.loss < lowest
        if lower:
            least, lowest = x, at.loss
        elif not careful:
            x, at = least, evaluate(problem, least)
        # Below the rounding of F a few more signs still flatten the slopes.
        stale = stale + 1 if careful and not lower else 0
        careful = careful or not lower
        present = x > 0
        inward = np.where(allowed & ~present, at.slopes, 0.0)
        worst = float(np.max(-inward))
        if worst < violation:
            best, violation = x, worst
        wanted = np.flatnonzero(inward < -16 * EPS * (np.sum(x) + problem.teacher_mass))
        if not len(wanted) or stale > 20:
            return best
        count = 1 if careful else max(4, int(np.sum(present)) // 2)
        present.flat[wanted[np.argsort(inward.flat[wanted])[:count]]] = True


def _dual_bound(problem: Porcupine, x: np.ndarray, at: At, allowed: np.ndarray) -> float:
    """A lower bound on F over all masses y >= 0 that are zero where not allowed, from any x among them.

    F(y) >= F(x) + g.(y - x) >= F(x) - g.x + X min(0, min g), X a bound on |y|_1 at the optimum: the student is a sum of
    relus, so |y|_1 / sqrt(2 pi) is its mean, which is at most its root mean square, sqrt(2 F(0)) + sqrt(2 F(x)).
    Rounding of F and g is taken off.
    """
    inward = float(np.min(at.slopes[allowed], initial=0.0)) - at.error
    bound = at.loss - at.loss_error - abs(np.sum(at.slopes * x)) - at.error * np.sum(x)
    return float(bound + inward * _most(problem, at))


def _most(problem: Porcupine, at: At) -> float:
    """A bound on the sum of all masses of a network that is no worse than this one; see `_dual_bound`."""
    none = evaluate(problem, np.zeros((2, len(problem.neurons))))
    return float(np.sqrt(4 * np.pi) * sum(np.sqrt(max(a.loss, 0.0) + a.loss_error) for a in (none, at)))


# --- the global optimum ---


def global_optimum(problem: Porcupine, nodes: int = 2000) -> Optimum:
    """The best network on these lines, with a lower bound on every one.

    With two neurons or more on every line it is one nonnegative least-squares problem. Lines with a single neuron are
    branched over their sign, best bound first; the bound of a node, where lines not yet decided may have both signs,
    holds for everything below it.

    Args:
        problem: The landscape.
        nodes: Ceiling on the convex problems solved; where it is reached the gap stays open.
    """
    return _branch(problem, np.zeros(problem.p), nodes)


def _branch(
    problem: Porcupine,
    best: np.ndarray,
    nodes: int,
    enough: float = -np.inf,
    own: Callable[[np.ndarray], bool] = lambda allowed: False,
) -> Optimum:
    """Looks for a network better than `best`; ends when all is searched or one of loss below `enough` is found.

    Args:
        problem: The landscape.
        best: A network, [p].
        nodes: Ceiling on the convex problems solved.
        enough: See above.
        own: Whether `best` is known to be the best network with these signs allowed, [2, r]. They are not searched, and
            the lower bound is on networks of other signs.
    """
    single = np.asarray(problem.neurons) == 1
    loss, bound, solved = evaluate(problem, masses(problem, best)).loss, np.inf, 0
    queue: list[tuple[float, int, np.ndarray, np.ndarray]] = []

    def visit(allowed: np.ndarray, start: np.ndarray, leaf: bool = False) -> None:
        nonlocal best, loss, bound, solved
        if own(allowed):
            return
        x = _minimise(problem, np.where(allowed, start, 0.0), allowed)
        solved += 1
        torn = single & (x > 0).all(axis=0)
        if not torn.any():
            theta = _network(problem, x)
            value = evaluate(problem, masses(problem, theta)).loss
            best, loss = (theta, value) if value < loss else (best, loss)
        if leaf:
            return
        at = evaluate(problem, x)
        lower = _dual_bound(problem, x, at, allowed)
        if not torn.any():
            if lower < loss + at.loss_error:  # it may decide
                beside = _beside(problem, x, at)
                there = beside.inside or not beside.drift
                if np.isfinite(beside.slack) and there and not np.any(beside.low[allowed] < 0):
                    lower = max(lower, _floor(problem, x, at, beside))
            bound = min(bound, lower)
            return
        # A network to compare with: each torn line keeps its heavier side.
        visit(allowed & ~(torn & np.stack([x[0] < x[1], x[0] >= x[1]])), x, leaf=True)
        heapq.heappush(queue, (lower, solved, allowed, x))

    visit(np.ones((2, len(single)), bool), masses(problem, best))
    # Nodes are closed where they are shown to be no better, not where they may be as good.
    while queue and solved < nodes and loss >= enough and queue[0][0] < loss + 2 * problem.loss_error(best):
        _, _, allowed, x = heapq.heappop(queue)
        line = int(np.argmax(np.where(single, np.min(x, axis=0), -1.0)))
        for side in (0, 1):
            child = allowed.copy()
            child[side, line] = False
            visit(child, x)
    bound = max(min([bound, *(node[0] for node in queue)]), problem.lower_bound.value)
    return Optimum(best, loss, bound, loss - bound, solved)


def _network(problem: Porcupine, x: np.ndarray) -> np.ndarray:
    """A network with masses x, [p]; on mixed lines the first neuron is positive and the others are negative."""
    first = np.concatenate([[True], np.diff(problem.line_of) > 0])
    positive, negative = (x > 0)[:, problem.line_of]
    return _place(problem, x, np.where(negative & ~(positive & first), -1.0, 1.0))


def _place(problem: Porcupine, x: np.ndarray, signs: np.ndarray) -> np.ndarray:
    """The network with masses x and these signs of neurons, mass shared equally, [p]."""
    side, line = np.where(signs > 0, 0, 1), problem.line_of
    count = np.stack([np.bincount(line, side == s, len(problem.neurons)) for s in (0, 1)])
    return signs * x[side, line] / count[side, line]


def bounded(problem: Porcupine, nodes: int = 2000) -> Porcupine:
    """The same problem knowing its global optimum as lower bound; a realisable one knows it already: zero."""
    if problem.realisable:
        return problem
    bound = LowerBound(global_optimum(problem, nodes).lower_bound, "nonnegative least squares, dual bound")
    return replace(problem, lower_bound=bound) if bound.value > problem.lower_bound.value else problem


def finish(problem: Porcupine, theta: np.ndarray) -> np.ndarray:
    """A local minimum that a descent from theta leads to, [p]: a polish for any size, exact zeros included.

    First the optimum of the closed sign region, by steps of least norm in the masses; neurons of one sign on a line are
    scaled alike. Then, as a descent would, neurons that came to zero go on where the slope on the far side is negative,
    and so forth; the loss falls all the way. Neurons given at zero stay there.
    """
    c, line = np.array(theta, np.float64), problem.line_of
    given = c == 0
    for _ in range(20 + problem.p):  # far more than it takes; slopes at the level of rounding could go on for ever
        before, side = masses(problem, c), np.where(c < 0, 1, 0)
        x = _minimise(problem, before, before > 0)
        c = c * (x / np.where(before > 0, before, 1.0))[side, line]
        at = evaluate(problem, x)
        # One neuron a line, to the side that descends most.
        idle = np.flatnonzero((c == 0) & ~given)
        idle = idle[np.unique(line[idle], return_index=True)[1]]
        to = np.argmin(at.slopes[:, line[idle]], axis=0)
        slope = at.slopes[to, line[idle]]
        idle, to, slope = (v[slope < -2 * at.error] for v in (idle, to, slope))
        if not len(idle):
            break
        ahead = np.zeros_like(x)
        ahead[to, line[idle]] = -slope
        curvature = np.sum(ahead * (evaluate(problem, x + ahead).slopes - at.slopes))
        c[idle] = (1 - 2 * to) * -slope * (slope @ slope) / curvature  # the least loss in this direction
    return c


# --- labels ---


def label(problem: Porcupine, theta: np.ndarray, nodes: int = 2000) -> Verdict:
    """The label of a point: of the exact stationary point with the same signs that is shown to lie beside it.

    Global first. Then slopes: large ones of neurons that are not at zero are `UNCONVERGED`; a neuron at zero with a
    negative slope is a `TRAP`; no negative slope anywhere is `GLOBAL`; a missing sign with a negative slope on a line
    of two neurons or more is `SPURIOUS`, and so is a lower network found by branching over single neurons. `escape`
    leads to a lower loss in one step. There are no saddles: between kinks the loss is convex. Flat minima are minima.

    Args:
        problem: The landscape.
        theta: The point, [p].
        nodes: Ceiling on the convex problems that branching may solve.

    Raises:
        InputError: theta is not p finite numbers.
    """
    theta = problem.write(theta)
    x, line, neurons = masses(problem, theta), problem.line_of, np.asarray(problem.neurons)
    at, present, lower = evaluate(problem, x), x > 0, problem.lower_bound.value
    idle = np.bincount(line, theta == 0, len(neurons)) > 0  # lines with a neuron at zero
    steep = np.where(theta == 0, 0.0, at.slopes[np.where(theta < 0, 1, 0), line])
    # At a neuron at zero the subdifferential is the interval between both one-sided derivatives, odd -+ even.
    even, odd = np.abs(at.slopes[0] + at.slopes[1]) / 2, np.abs(at.slopes[0] - at.slopes[1]) / 2
    nearest = np.where(theta == 0, np.maximum(odd - even, 0.0)[line], steep)
    known: dict[str, Any] = {
        "loss": at.loss, "loss_error": at.loss_error, "lower_bound": lower, "excess": at.loss - lower,
        "grad_norm": float(np.linalg.norm(nearest)),
    }  # fmt: skip
    sure = partial(Verdict, evidence=Evidence.CERTIFIED)
    unsure = lambda reason, label=Label.UNDECIDED: Verdict(label, reason=reason, **known)  # noqa: E731

    in_zero_set = _zero_set_gap(problem, x, at) <= ZERO_SET_TOLERANCE
    if at.loss <= at.loss_error and in_zero_set:
        return sure(Label.GLOBAL, by="zero loss, zero set", margin=at.loss_error - at.loss, **known)
    if lower > 0 and at.loss - lower <= at.loss_error:
        return sure(Label.GLOBAL, by="lower bound", margin=at.loss_error - at.loss + lower, **known)
    if not np.linalg.norm(steep) <= STATIONARY * problem.scale:  # written so that a loss beyond floats is caught
        return unsure(f"not stationary: the slopes have norm {np.linalg.norm(steep):.2g}", Label.UNCONVERGED)

    beside = _beside(problem, x, at)
    slack, low, high = beside.slack, beside.low, beside.high
    # Of the face, and of everything where the point is global.
    least = max(lower, _floor(problem, x, at, beside)) if np.isfinite(slack) else lower
    found_global = {**known, "lower_bound": least, "excess": at.loss - least}
    if np.isfinite(slack):
        safe = _never_bad(problem, beside.face, present)
        if safe and (beside.inside or safe == HOLDS_TEACHER):
            return sure(Label.GLOBAL, by=safe, **found_global)
        if in_zero_set and at.loss <= at.loss_error + slack:
            return Verdict(Label.GLOBAL, None, Evidence.NUMERICAL, "zero loss, zero set", slack, **found_global)
    if not beside.inside:
        return unsure("no stationary point of these signs is shown to lie beside: a mass or the curvature is too small")
    for where, outcome in (
        (idle, partial(sure, Label.TRAP, "neuron at zero", by="one-sided slope")),
        (neurons >= 2, partial(sure, Label.SPURIOUS, "flat, escapable", by="missing sign")),
    ):
        # Past the first round this is a local minimum.
        side, j = np.unravel_index(np.argmin(np.where(where, high, np.inf)), high.shape)
        if where[j] and high[side, j] < 0:
            return outcome(margin=float(-high[side, j]), escape=_send(problem, theta, at, int(side), int(j)), **known)
        if np.any(low[:, where] < 0):
            return unsure(f"the slope of a missing sign is within its error, {beside.error:.1g}, of zero")
    if not np.any(low < 0):
        missing = (low != 0) | (high != 0)
        margin = float(np.min(low[missing])) if missing.any() else None
        return sure(Label.GLOBAL, by="no missing sign descends", margin=margin, **found_global)

    # Other signs of single neurons may be better by little: judged from the stationary point, as nearly as it is found.
    exact = theta * (_minimise(problem, x, present) / np.where(present, x, 1.0))[np.where(theta < 0, 1, 0), line]
    nearer = evaluate(problem, masses(problem, exact))
    if np.array_equal(masses(problem, exact) > 0, present):
        newer = _beside(problem, masses(problem, exact), nearer)
        slack = newer.slack if newer.inside else np.inf
    else:
        slack = np.inf
    if not slack <= beside.slack:
        exact, nearer, slack = theta, at, beside.slack
    # Where its own signs, and missing ones that do not descend, are all that is allowed, it is best.
    own = lambda allowed: bool(np.all(allowed | ~present) and not np.any(low[allowed] < 0))  # noqa: E731
    found = _branch(problem, exact, nodes, nearer.loss - 2 * nearer.loss_error - slack, own)
    margin = nearer.loss - nearer.loss_error - slack - found.loss - problem.loss_error(found.theta)
    if margin > 0:
        flavour = "flat" if flat_dimension(problem, theta) else "strict"
        escape = found.theta - theta
        return sure(Label.SPURIOUS, flavour, by="lower network", margin=margin, escape=escape, **known)
    margin = found.lower_bound - nearer.loss - nearer.loss_error
    if margin > 0:
        return sure(Label.GLOBAL, by="branching over signs", margin=margin, **found_global)
    known["lower_bound"] = max(lower, min(least, found.lower_bound))
    known["excess"] = at.loss - known["lower_bound"]
    # A tie with other signs: both losses are the same as far as they are known, and so is the lower bound.
    within = nearer.loss_error - (nearer.loss - found.loss)
    if within >= 0 and margin >= -4 * nearer.loss_error:
        return Verdict(Label.GLOBAL, None, Evidence.NUMERICAL, "branching over signs", within, **known)
    return unsure(
        f"branching over signs: the optimum lies between {known['lower_bound']:.6g} and {found.loss:.6g}, "
        f"{known['excess']:.2g} below this point at most"
    )


class End(NamedTuple):
    """Where a descent ends.

    Attributes:
        theta: The local minimum that `finish` finds, [p].
        verdict: Its label.
        kept: Whether gradient descent, with a step below 2 / `Porcupine.curvature`, is shown to end in this sign region
            at this loss. In a region F is a convex quadratic, and descent on it never moves away from any of its
            minima: within a ball around a minimum that lies in the region, it stays, and converges to a minimum.
        orbit: `signs` of an isolated minimum, which are nobody else's but its images' under permutations of the neurons
            of a line; None where it is, or may be, one of a continuum.
    """

    theta: np.ndarray
    verdict: Verdict
    kept: bool
    orbit: bytes | None


def signs(problem: Porcupine, theta: np.ndarray) -> bytes:
    """How many positive and negative neurons each line has, as a key."""
    count = [np.bincount(problem.line_of, side * theta > 0, len(problem.neurons)) for side in (1, -1)]
    return np.concatenate(count).astype(np.int32).tobytes()


def ends(problem: Porcupine, thetas: np.ndarray, known: dict[bytes, End] | None = None) -> list[End]:
    """Where descents that stand at these points [n, p] end, and the labels of the ends.

    Args:
        problem: The landscape.
        thetas: Where they stand.
        known: Ends by `signs`; those found are added. With independent mixed lines, masses at the minimum of a sign
            region are unique, so that later points of the same signs need two sums over neurons and no search.
    """
    known = {} if known is None else known
    line, out = problem.line_of, []
    for theta in np.asarray(thetas, np.float64):
        before = masses(problem, theta)
        pattern = signs(problem, theta)
        alike = known.get(pattern) if np.all(theta) else None
        if alike is not None:
            after = masses(problem, alike.theta)
            end = theta * (after / np.where(before > 0, before, 1.0))[np.where(theta < 0, 1, 0), line]
            verdict = replace(alike.verdict, escape=None)  # that of another order of the neurons
        else:
            end = finish(problem, theta)
            verdict = label(problem, end)
        moved = float(np.linalg.norm(end - theta))
        kept = bool(np.min(np.abs(end)) > moved) and verdict.label in (Label.GLOBAL, Label.SPURIOUS)
        same = np.all(theta) and np.array_equal(np.sign(end), np.sign(theta))
        unique = alike is not None
        if same and not unique and verdict.label in (Label.GLOBAL, Label.SPURIOUS):
            face = _face(problem, before > 0)
            unique = len(face.mixed) == len(face.basis)
        alone = alike.orbit is not None if alike is not None else unique and flat_dimension(problem, end) == 0
        out.append(End(end, verdict, kept, pattern if alone else None))
        if unique and alike is None:
            known[pattern] = out[-1]
    return out


class _Beside(NamedTuple):
    """What is shown of the exact stationary point of the face of a point x: where F has its minimum over (q, y).

    Attributes:
        face: The face.
        slack: How much lower than at x its loss may be; inf where nothing is shown.
        inside: Whether all its masses are shown to be above zero.
        reach: How far its masses may be from those of x, [r]; of dependent mixed lines, for the nearest such point.
        low: Lower bounds on its one-sided slopes, [2, r]; 0 for signs that are present or `tied`.
        high: Upper bounds on them.
        error: The largest error of these bounds, for messages.
        drift: Slopes that are taken to be zero are no larger: those of mixed lines that are dependent up to rounding,
            and of the missing sign of a line that lies in the span of mixed ones up to rounding.
    """

    face: _Face
    slack: float
    inside: bool
    reach: np.ndarray
    low: np.ndarray
    high: np.ndarray
    error: float
    drift: float


def _beside(problem: Porcupine, x: np.ndarray, at: At, present: np.ndarray | None = None) -> _Beside:
    """The exact stationary point with the signs of x, or those present, by one Newton step that is bounded, not made.

    It is off by H^-1 g in (q, y); g is known to its rounding, and a row w = H^-1 e of any vector e as it is computed
    and its residual: |e' H^-1 g| <= |w|' |g| + |e - H w| |g| / lambda. Taken row by row: lambda alone, which lines that
    are close together make small, would be millions of times too crude.
    """
    present = x > 0 if present is None else present
    face, shape = _face(problem, present), x.shape
    size, l = face.hessian.shape[0], len(face.lines)  # noqa: E741
    low, high = np.zeros(shape), np.zeros(shape)
    least, gradient = 1.0, np.abs(face.gradient(at)) + at.error
    if size:
        # Entries are off by (d + 16) eps / 2, the eigensolver by size eps |H|_F <= size^2 eps / 2; another basis of the
        # true span has rows within 3/2 tilt of this one, and an H within size tilt in norm and tilt / 2 in an entry.
        gradient[l:] += 0.5 * face.tilt * np.linalg.norm(at.m)
        rounding = size * ((problem.d + 16 + size) * EPS + face.tilt)
        least = float(scipy.linalg.eigh(face.hessian, eigvals_only=True, subset_by_index=[0, 0])[0]) - rounding
    if least <= 0:
        return _Beside(
            face=face,
            slack=np.inf,
            inside=False,
            reach=np.full(shape[1], np.inf),
            low=np.where(present, 0.0, -np.inf),
            high=np.where(present, 0.0, np.inf),
            error=np.inf,
            drift=0.0,
        )
    steep = float(np.linalg.norm(gradient))

    # At the stationary point m is orthogonal to mixed lines. On a line in their span both slopes are equal, so that
    # where one sign is present both are zero. A line that cannot be told from such a one counts as one while its slope,
    # at most |m| dist / 2, is within the rounding of slopes: data that are rounded say no more.
    m = float(np.linalg.norm(at.m)) + 4 * at.error + np.sqrt(size) * steep / least
    away = _outside(problem.lines[face.lines], face.basis)
    twice = 0.5 * (away + face.tilt) * m
    rounded = away <= 2 * (face.tilt + _outside(np.zeros((1, problem.d)), face.basis)[0])
    tied = (face.sign != 0) & (len(face.basis) > 0) & ((rounded & (twice <= at.error)) | (len(face.basis) == problem.d))
    drift = max(float(np.max(twice[tied], initial=0.0)) if len(face.basis) < problem.d else 0.0, 0.25 * face.stray * m)
    closed = present.copy()
    closed[:, face.lines[tied]] = True

    side, j = np.nonzero(~closed)
    change = 0.25 * (1 - 2 * side) * (face.moves @ problem.lines[j].T)
    change[:l] += 0.25 * problem.psi[np.ix_(face.lines, j)]
    rows = np.concatenate([np.eye(size), change], axis=1)
    far = np.zeros(rows.shape[1])
    if size:
        solved = scipy.linalg.cho_solve(_factor(face.hessian), rows)
        entry = 0.5 * ((problem.d + 16) * EPS + face.tilt) + size * EPS  # and of products of length size
        residual = np.linalg.norm(rows - face.hessian @ solved, axis=0)
        residual += np.sqrt(size) * entry * (1 + np.sum(np.abs(solved), axis=0))
        far = np.abs(solved).T @ gradient + residual * steep / least
    error = at.error + far[size:]
    low[side, j], high[side, j] = at.slopes[side, j] - error, at.slopes[side, j] + error
    reach = np.zeros(shape[1])  # of S on mixed lines and q on all
    reach[face.lines] = np.where(face.sign == 0, 0.5 * (far[:l] + face.stretch * np.linalg.norm(far[l:size])), far[:l])
    inside = bool(np.all(~present | (x > reach))) and 0.25 * face.stray * m <= at.error
    return _Beside(
        face=face,
        slack=float(0.5 * gradient @ far[:size]),
        inside=inside,
        reach=reach,
        low=low,
        high=high,
        error=float(np.max(error, initial=0.0)),
        drift=drift,
    )


def _floor(problem: Porcupine, x: np.ndarray, at: At, beside: _Beside) -> float:
    """A lower bound on F over all masses y >= 0 whose slopes at the stationary point beside x are not negative.

    F(y) >= F + g.(y - x) there, where g is zero on all signs present, but for `drift`.
    """
    loose = beside.drift * (_most(problem, at) + 2 * float(np.sum(x))) if beside.drift else 0.0
    return at.loss - at.loss_error - beside.slack - loose


def _never_bad(problem: Porcupine, face: _Face, present: np.ndarray) -> str | None:
    """Why no stationary point of this face is bad, whatever its masses; None where theory does not say.

    All stationary points of a face have the least loss of the closed face, zero where that holds the teacher. Mixed
    lines that span make m = 0, and then all slopes of lines in use vanish; a line that is not in use may still descend,
    unless the teacher is matched and has nothing there.
    """
    if problem.matched and np.all(present | (problem.taught == 0)):
        return HOLDS_TEACHER
    needed = np.any(problem.taught > 0, axis=0) if problem.matched else np.ones(present.shape[1], bool)
    spans = len(face.basis) == problem.d and np.all(np.any(present, axis=0) | ~needed)
    return "mixed lines span" if spans else None


def _zero_set_gap(problem: Porcupine, x: np.ndarray, at: At) -> float:
    """How far x may be from the zero set, the same sum of neurons and the same mass on every line, in units of the
    lightest mass of the teacher; a loss that is not matched has none."""
    gap = max(np.linalg.norm(at.m), np.max(np.abs(x[0] + x[1] - problem.on_mass))) + at.error
    return float(gap / np.min(problem.taught[problem.taught > 0])) if problem.matched else np.inf


def _send(problem: Porcupine, theta: np.ndarray, at: At, side: int, line: int) -> np.ndarray:
    """The step that sends a neuron of this line to a side with slope g < 0: to -2 g, where F is lower by g^2.

    The neuron is one at zero; else the lightest, its mass passed to the heaviest, which costs nothing.
    """
    on_line = np.flatnonzero(problem.line_of == line)
    by_mass = on_line[np.argsort(np.abs(theta[on_line]))]
    sent, step = by_mass[0], np.zeros_like(theta)
    step[by_mass[-1]] = theta[sent]
    step[sent] = (1 - 2 * side) * -2 * at.slopes[side, line] - theta[sent]
    return step


# --- sign regions ---


def region(problem: Porcupine, signs: np.ndarray) -> Region:
    """What the region of these signs holds, [p] of +1 and -1: its one stationary set, and whether that is bad.

    Linear equations for (q, y), then the feasibility of masses > 0 (a linear program where mixed lines are dependent),
    then a theorem or the label of a point of the set.

    Raises:
        InputError: signs are not p numbers +1 or -1.
    """
    signs = problem.write(signs)
    if not np.all(np.abs(signs) == 1):
        raise InputError("signs must be +1 or -1, one a neuron.")
    present, neurons = masses(problem, signs) > 0, np.asarray(problem.neurons)
    face = _face(problem, present)
    kinds = present[0].astype(int) - present[1]
    this = partial(Region, kinds, float(np.prod(np.where(kinds == 0, 2.0**neurons - 2, 1))), len(face.basis))
    x, loose, factor = np.zeros((2, len(neurons))), 0.0, _factor(face.hessian)
    for _ in range(2):  # the second step takes the rounding of the first away
        x = x - face.change(scipy.linalg.cho_solve(factor, face.gradient(evaluate(problem, x))), len(neurons))
    if np.any(x[present] <= 0) and len(face.mixed) > len(face.basis):
        x, loose = _spread_out(problem, face, x), 1e-7  # the program's tolerance
    reach = _beside(problem, x, evaluate(problem, x), present).reach
    at_zero = (reach + loose * (np.sum(np.abs(x)) + problem.teacher_mass) + np.zeros_like(x))[present]
    if np.any(x[present] < -at_zero):
        return this(None, None, False, "no stationary point inside")
    safe = _never_bad(problem, face, present)
    if problem.matched and len(neurons) == 1 and np.any(problem.taught == 0):
        safe = (
            safe or "theorem 2"
        )  # the sign that the teacher has not gets no mass, exactly, where rounding cannot tell
    if np.any(x[present] <= at_zero):
        return this(None, None, False if safe else None, safe or "a mass is within its error of zero")
    theta, loss = _place(problem, x, signs), evaluate(problem, x).loss
    if safe:
        return this(theta, loss, False, safe)
    verdict = label(problem, theta)
    bad = {Label.SPURIOUS: True, Label.GLOBAL: False}.get(verdict.label)
    return this(theta, loss, bad, str(verdict.by or verdict.reason))


def _spread_out(problem: Porcupine, face: _Face, x: np.ndarray) -> np.ndarray:
    """Masses with the same q and sum of neurons whose least one on (dependent) mixed lines is as large as can be."""
    q, s = (x[0] + x[1])[face.mixed], (x[0] - x[1])[face.mixed]
    unit = float(np.max(np.abs(x)))
    onto, count = face.basis @ problem.lines[face.mixed].T, len(face.mixed)
    # In S and t: |S_j| + t <= q_j, t as large as possible.
    table = np.block([[np.eye(count), np.ones((count, 1))], [-np.eye(count), np.ones((count, 1))]])
    same = {"A_eq": np.c_[onto, np.zeros(len(onto))], "b_eq": onto @ s / unit}
    found = linprog(np.r_[np.zeros(count), -1.0], table, np.r_[q, q] / unit, bounds=(None, None), **same)
    if found.x is None:
        return x
    ds = unit * found.x[:-1] - s
    ds -= face.spread @ (onto @ ds)  # the program keeps the sum to 1e-9; this, to rounding
    out = x.copy()
    out[:, face.mixed] += 0.5 * np.stack([ds, -ds])
    return out


def regions(problem: Porcupine, most: int = 20_000) -> Iterator[Region]:
    """All kinds of sign regions: each line all positive, all negative, or mixed if it has two neurons or more.

    Raises:
        InputError: There are more than `most`.
    """
    choices = [(1.0, -1.0, 0.0)[: min(k, 2) + 1] for k in problem.neurons]
    total = float(np.prod([float(len(c)) for c in choices]))
    if total > most:
        raise InputError(f"there are {total:.3g} kinds of sign regions; at most {most} are looked through.")
    first = np.concatenate([[True], np.diff(problem.line_of) > 0])
    for kinds in itertools.product(*choices):
        sign = np.array(kinds)[problem.line_of]
        yield region(problem, np.where(sign == 0, np.where(first, 1.0, -1.0), sign))


# --- closed forms ---


def orthogonal_candidate(problem: Porcupine, kinds: np.ndarray) -> tuple[np.ndarray, float, bool]:
    """Scalar and degree-one networks in closed form: mass on each line [r], loss, and whether such a minimum exists.

    For orthogonal lines (or one) and a matched teacher, U the unmixed lines of a region of these kinds (+1, -1, or 0
    for mixed) and n_j the teacher's mass on line j in U of the sign that is not there: dq solves
    (psi + diag(1_U)) dq = -2 n, and

        F = (dq' psi dq + sum_U (psi dq)_j^2) / 8,

    zero iff n = 0. The local minimum exists iff q = q* + dq > 0 on U and q > |S*| on mixed lines, where S = S*. For one
    line (theorem 2) q is the teacher's mass of the sign, and F a quarter of the square of the other one.

    Raises:
        InputError: The lines are not orthogonal or the teacher is not matched.
    """
    gram = problem.lines @ problem.lines.T
    if not problem.matched or np.max(np.abs(gram - np.eye(len(gram)))) > 1e-12:
        raise InputError("the closed form is for orthogonal lines with the teacher on them.")
    kinds = np.asarray(kinds)
    unmixed = kinds != 0
    n = np.where(kinds > 0, problem.taught[1], np.where(kinds < 0, problem.taught[0], 0.0))
    dq = np.linalg.solve(problem.psi + np.diag(unmixed.astype(float)), -2 * n)
    even, q = problem.psi @ dq, problem.on_mass + dq
    exists = bool(np.all(np.where(unmixed, q, q - np.abs(problem.on_sum)) > 0))
    return q, float(dq @ even + even[unmixed] @ even[unmixed]) / 8, exists


def orthogonal_global_probability(neurons: Any) -> float:
    """prod_j (1 - 2^(1-k_j)), the probability that all lines, of k_j >= 2 neurons, start mixed: with both signs.

    It is the probability of a global end where `follows_starts` says so.
    """
    return float(np.prod(1 - 2.0 ** (1 - np.asarray(neurons, float))))


def follows_starts(problem: Porcupine, init: str, init_scale: float) -> bool:
    """Whether plain descents in small steps end at a global minimum if and only if every line starts mixed.

    All neurons of one sign on a line move together. On one line with a teacher of both signs, two neurons or more stay
    mixed if they start so, and stay of one sign if they start with less than the teacher's mass of that sign (theory
    1.5); large starts do better. On more orthogonal lines that is measured, for masses that are the same on every line
    and a factor of at most 1 / 0.7 apart: no exception in 16,000 descents, up to 8 lines of 2 to 8 neurons. From a
    factor of 3 on there are some, and a line can lose a sign where masses differ from line to line.

    Args:
        problem: The landscape.
        init: Distribution of the starts; see `Porcupine.start`.
        init_scale: Multiplies them.
    """
    neurons, taught = np.asarray(problem.neurons), problem.taught
    orthogonal = np.max(np.abs(problem.lines @ problem.lines.T - np.eye(len(neurons)))) < 1e-12
    if not (problem.matched and orthogonal and np.all(taught > 0) and np.all(neurons >= 2)):
        return False
    alike = np.ptp(taught, axis=1).max() <= 1e-12 * np.max(taught) and np.max(taught) <= np.min(taught) / 0.7 * (
        1 + 1e-12
    )
    # Sums of |c| over a line, half-normal or all equal: 3.5 deviations, which one start in a thousand exceeds.
    size = init_scale * problem.spread(init)
    mean, deviation = (1.0, 0.0) if init == "sphere" else (np.sqrt(2 / np.pi), np.sqrt(1 - 2 / np.pi))
    most = size * (neurons * mean + 3.5 * np.sqrt(neurons) * deviation)
    return bool((len(neurons) == 1 or alike) and np.all(most <= np.min(taught)))


def schur_bound(problem: Porcupine) -> float:
    """The least loss if masses could have any sign: (|t_perp|^2 + q*' (psi[K]/psi[K_L]) q*) / 8, a LOWER bound.

    t_perp is the part of the teacher's sum outside the span of the lines, psi[K]/psi[K_L] the Schur complement of the
    lines' kernel in that of lines and teacher. Networks have q_j >= |S_j|, which usually puts this out of reach. A
    local minimum attains it where mixed lines span R^d and every line is in use; spanning is not enough, for an idle
    line may be idle only because its mass cannot be negative. Accurate to eps |teacher|^2 times the condition of psi.
    """
    t, factor = problem.off_sum, _factor(problem.psi)
    outside = t - problem.lines.T @ np.linalg.lstsq(problem.lines.T, t, rcond=None)[0]
    rest = problem.off_energy - problem.off_even @ scipy.linalg.cho_solve(factor, problem.off_even)
    return float(outside @ outside + rest) / 8


def schur_norm(problem: Porcupine) -> float:
    """Spectral norm of psi[K]/psi[K_L], the kernel of the teacher's rows given the lines.

    For rows on distinct lines an eighth of it times sum |v|^2 is at least the second part of `schur_bound`: no bound on
    the optimum, which may lie above it.
    """
    unit = problem.teacher / np.linalg.norm(problem.teacher, axis=1, keepdims=True)
    cross = psi(problem.lines @ unit.T)
    given = cross.T @ scipy.linalg.cho_solve(_factor(problem.psi), cross)
    return float(np.linalg.norm(psi(unit @ unit.T) - given, 2))
