"""Where descents on finite data end, kinks included, and what the ends are: the label of any point.

At a stationary point with weight decay beta every neuron is balanced or zero, and (w, a) -> u = |a| w makes the loss a
convex function on every product of activation cells, with the penalty beta |u|. So (derived from Wang, Lacotte and
Pilanci 2022 and Yun, Sra and Jadbabaie 2019):

- a descent that stays in its cells ends at the optimum of its own cells' convex program, which `finish` solves;
- a point where no neuron is zero is a local minimum if and only if no one-sided slope is negative, at its ties
  x_k.w_j = 0 included; it is isolated, up to permutations, if and only if its neurons' outputs are independent;
- a zero neuron has curvature beta - phi(nu) along its best direction: global if phi <= beta, else a saddle.

The lower bound comes before all of this: tied rows can look like traps at a strict global minimum.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import clarabel as _clarabel
import numpy as np
from scipy.linalg import block_diag, lstsq, null_space
from scipy.optimize import linprog, lsq_linear, nnls
from scipy.sparse import csc_matrix

from landscape.problems.data import Data, loss_value, minus_gradient
from landscape.problems.empirical import Empirical, with_bound
from landscape.records import Evidence, InputError, Label, LowerBound, Verdict
from landscape.theory.arrangement import Phi, cells, cover_count, phi
from landscape.theory.convex import undecayed
from landscape.theory.convex.branch_and_bound import Best, best_by_width
from landscape.theory.convex.column_generation import Optimum, optimum
from landscape.theory.convex.cone_program import Restricted
from landscape.theory.convex.dual import lower_bound
from landscape.theory.convex.restricted_programs import restricted_near

clarabel: Any = _clarabel  # a compiled module without type information
TIE = 1e-9  # |x_k.w_j| below this, times |x_k||w_j|, is a tie: what is judged is the exact point beside
NEAR_TIE = 1e-6  # between TIE and this the two sides are not told apart
EPS = float(np.finfo(float).eps)
ROUNDING = 1e-13  # a slope below this, over the size of its terms, is zero as far as floating point goes
STATIONARY = 1e-9  # least subgradient, over the size of its terms
DYING = 0.03  # a neuron below this, times the scale, leaves the others where they are while it dwindles
NEAR = 0.01  # a descent ends no further than this, times the scale, and than its jumps over ties, from where it stands
JUMPS = 0.3  # ... and may be jumping about an end if it is no further from it than this
EXACT = 1e-9  # gap, over the value, up to which an optimum is one
FINISH = 1e9  # cubes of unknowns that a finish may cost
PROGRAMS = 3000  # on up to 32 signed cells that a label may cost, once for each data set and width
CELLS = (2000, 550)  # signed cells that are searched at most with weight decay, at width 1 and beyond
UNDECAYED = 20_000  # signed cells of which sets are gone through without weight decay
ZERO = 1e-9  # a neuron with both layers below this, times the scale, is zero
INDEPENDENT = 1e-8  # least singular value of unit atoms; below 1e-11 they are dependent, in between nobody knows


class At(NamedTuple):
    """A network and what its loss says there.

    Attributes:
        w: Hidden weights, the bias included, [m, d].
        a: Outer weights, [m].
        b0: Outer bias.
        z: Pre-activations, [n, m].
        nu: Minus the derivative of the loss in the outputs, [n].
        loss: L.
        loss_error: Bound on its rounding error.
    """

    w: np.ndarray
    a: np.ndarray
    b0: float
    z: np.ndarray
    nu: np.ndarray
    loss: float
    loss_error: float


class Slopes(NamedTuple):
    """What the subdifferential says at a point.

    Attributes:
        norm: Its least Euclidean norm.
        size: Of its terms: `norm` is rounding below a few hundred eps of this.
        stationary: Whether it holds zero as far as floating point goes: for each neuron, in units of its own size.
        ties: Which rows are tied to which neuron, [n, m].
        direction: A first-order descent direction at ties, [p]; None if there is none.
        slope: The slope along it.
        clear: False where a tie is so weak, or a row so nearly tied, that the sign of its slope is not known.
        sharp: False where a slope within rounding of zero was taken for zero.
    """

    norm: float
    size: float
    stationary: bool
    ties: np.ndarray
    direction: np.ndarray | None
    slope: float
    clear: bool
    sharp: bool


class End(NamedTuple):
    """Where a descent ends.

    Attributes:
        theta: The stationary point, [p].
        verdict: Its label.
        kept: Whether plain descent is shown to end there; never, here.
        orbit: A key of an isolated minimum, the same for its permutations; None for others.
    """

    theta: np.ndarray
    verdict: Verdict
    kept: bool
    orbit: bytes | None


# --- a point ---


def at(problem: Empirical, theta: np.ndarray) -> At:
    """The network at theta [p]."""
    theta = np.asarray(theta, np.float64)
    m, d = problem.width, problem.d
    w, a = theta[: m * d].reshape(m, d), theta[m * d : m * (d + 1)]
    b0 = float(theta[-1]) if problem.outer_bias != "none" else 0.0
    z = problem.x @ w.T
    data = problem.data
    f = _heights(problem, z) @ a + b0
    loss = loss_value(data, f) + 0.5 * data.weight_decay * float(problem.penalised @ (theta * theta))
    return At(w, a, b0, z, minus_gradient(data, f), loss, problem.loss_error(theta))


def _sides(problem: Empirical) -> tuple[float, float]:
    """Slopes of the activation below and above zero."""
    odd, even = problem.activation.odd_and_even
    return odd - even, odd + even


def _in_programs(problem: Empirical) -> bool:
    """Whether the cells' convex programs are of the kind that `restricted` solves."""
    return float(problem.weight_decay) > 0 and problem.bias != "free" and problem.loss_name in ("squared", "logistic")


def _phi(problem: Empirical, nu: np.ndarray) -> Phi:
    """phi of the problem's own activation: s(z) = high relu(z) - low relu(-z) is relu on rows and their opposites."""
    low, high = _sides(problem)
    if low == 0:
        found = phi(problem.x, nu)
        return found._replace(value=high * found.value, upper=high * found.upper)
    return phi(np.concatenate([problem.x, -problem.x]), np.concatenate([high * nu, -low * nu]))


def _own_bound(problem: Empirical, here: At) -> float:
    """The bound for every width that the residual of a point gives: phi of its activation takes the place of relu's."""
    steepest = max(1.0, *np.abs(_sides(problem)))  # the rounding of phi goes with |x_k| times that
    return lower_bound(problem.data._replace(x=steepest * problem.x), here.nu, _phi(problem, here.nu))


def _heights(problem: Empirical, z: np.ndarray) -> np.ndarray:
    """The activation, elementwise."""
    low, high = _sides(problem)
    return high * np.maximum(z, 0.0) + low * np.minimum(z, 0.0)


def _theta(problem: Empirical, w: np.ndarray, a: np.ndarray, b0: float) -> np.ndarray:
    tail = [] if problem.outer_bias == "none" else [np.array([b0])]
    return np.concatenate([w.reshape(-1), a, *tail])


def slopes(problem: Empirical, here: At) -> Slopes:
    """The least subgradient at a point, and a first-order descent at its ties if there is one.

    The slope along delta of neuron j is g.delta + sum_k c_k relu(x_k.delta) over its ties k, c_k = -a_j nu_k and g the
    derivative with all ties inactive. Ties on one line count together: on their own, two of opposite signs have more
    subgradients than the loss. Where the lines are independent it is least at zero if and only if all of them bend up;
    where they are dependent, a linear program decides in each cell of them.
    """
    x, beta = problem.x, float(problem.weight_decay)
    d = here.w.shape[1]
    norms, rows = np.linalg.norm(here.w, axis=1), np.linalg.norm(x, axis=1)
    both = np.maximum(norms, np.abs(here.a))
    zero = both <= ZERO * problem.scale
    room = np.abs(here.z) / np.maximum(np.outer(rows, norms), 1e-300)
    ties = (room <= TIE) & (rows > 0)[:, None] & ~zero
    near = (room <= NEAR_TIE) & ~ties & (rows > 0)[:, None] & ~zero
    decay = np.ones(d)
    if problem.bias == "free":
        decay[-1] = 0.0
    low, high = _sides(problem)
    active = np.where((here.z > 0) & ~ties, high, low)
    pull = x.T @ (active * here.nu[:, None])  # [d, m]
    g = beta * decay[:, None] * here.w.T - here.a * pull
    heights = _heights(problem, here.z)
    outer = beta * here.a - here.nu @ heights
    reach = rows @ np.abs(here.nu)
    size = (beta + reach) * float(np.max(both, initial=0.0))
    # Of a neuron's gradient over its size, both of degree one: a small one that dwindles is not stationary. A tenth of
    # a per mille of beta tells such a one where the residual is large beside beta.
    enough = STATIONARY * (min(beta + reach, 1e5 * beta) if beta > 0 else reach)
    noise = 8 * EPS * (np.abs(problem.y) + np.abs(here.nu) + np.abs(heights) @ np.abs(here.a) + abs(here.b0))
    blur = float(rows @ noise)  # of a gradient, over the neuron's size: nu is known to its rounding
    total, stationary = 0.0, True
    clear, sharp = beta == 0 or blur <= 1e-3 * beta or bool(np.all(zero)), True
    if problem.outer_bias != "none":
        decayed = beta * here.b0 if problem.outer_bias == "regularised" else 0.0
        left, paid = abs(decayed - float(np.sum(here.nu))), float(np.sum(np.abs(here.nu)))
        total += left * left
        size += paid
        stationary &= left <= STATIONARY * (paid + abs(decayed)) + float(np.sum(noise))
    best: tuple[float, np.ndarray | None] = (0.0, None)
    for j in np.flatnonzero(~zero):
        tied = np.flatnonzero(ties[:, j])
        weak = STATIONARY * abs(here.a[j]) * float(np.max(np.abs(here.nu), initial=0.0))
        jumps = -(high - low) * here.a[j] * here.nu[tied]
        void = np.abs(jumps) <= weak * ROUNDING / STATIONARY
        sharp &= not np.any(void)
        jumps = np.where(void, 0.0, jumps)
        lines, plus, minus = _merged(x[tied], jumps)
        rest = _least(g[:, j], lines, plus, minus)
        own = float(np.hypot(np.linalg.norm(rest), outer[j]))
        total += own * own
        stationary &= own <= (enough + blur) * both[j]
        if np.any(near[:, j] & (-(high - low) * here.a[j] * here.nu < weak)):
            clear = False
        if not len(tied):
            continue
        slope, delta, sure = _descent(g[:, j], lines, plus, minus, weak * float(np.max(rows[tied])))
        clear &= sure
        if delta is not None and slope < best[0]:
            direction = np.zeros(problem.p)
            direction[j * d : (j + 1) * d] = delta
            best = (slope, direction)
    return Slopes(float(np.sqrt(total)), size, stationary, ties, best[1], best[0], clear, sharp)


def _least(g: np.ndarray, lines: np.ndarray, plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """The shortest of g + sum t_l e_l over unit lines e_l [l, d], each t_l between plus_l and -minus_l."""
    if not len(lines):
        return g
    first = g + np.minimum(plus, -minus) @ lines
    columns = np.abs(plus + minus)[:, None] * lines
    if len(columns) == 1:
        c = columns[0]
        tau = float(np.clip(-(first @ c) / max(float(c @ c), 1e-300), 0.0, 1.0))
        return first + tau * c
    tau = lsq_linear(columns.T, -first, (0.0, 1.0), method="bvls", tol=1e-14).x
    return first + tau @ columns


def _descent(
    g: np.ndarray, lines: np.ndarray, plus: np.ndarray, minus: np.ndarray, weak: float
) -> tuple[float, np.ndarray | None, bool]:
    """The steepest slope found along unit directions, its direction, and whether the signs that decide are clear."""
    bends = plus + minus  # q(e) + q(-e) of each line: its kink is convex where this is not negative
    if np.all((bends > weak) | ((plus == 0) & (minus == 0))):
        return 0.0, None, True
    if np.linalg.matrix_rank(lines, tol=1e-9) == len(lines):
        if np.min(bends) > -weak:
            return 0.0, None, False
        k = int(np.argmin(bends))
        delta = np.linalg.pinv(lines)[:, k]  # moves off this line's plane and along all others
        delta /= np.linalg.norm(delta)
        sides = [(_slope(g, lines, plus, minus, s * delta), s * delta) for s in (1.0, -1.0)]
        slope, delta = min(sides, key=lambda one: one[0])
        return slope, delta, True
    # Dependent lines: in each of their cells the slope is linear.
    basis = np.linalg.svd(lines, full_matrices=False)[2][: np.linalg.matrix_rank(lines, tol=1e-9)]
    inside = lines @ basis.T
    best, where = 0.0, None
    for pattern in cells(inside).patterns:
        sign = np.where(pattern, 1.0, -1.0)
        cost = basis @ g + np.where(pattern, plus, -minus) @ inside
        cost = cost / max(float(np.max(np.abs(cost))), 1e-300)
        found = linprog(cost, A_ub=-sign[:, None] * inside, b_ub=np.zeros(len(lines)), bounds=(-1, 1), method="highs")
        if found.x is None:
            return 0.0, None, False
        delta = basis.T @ found.x
        slope = _slope(g, lines, plus, minus, delta)
        if slope < best:
            best, where = slope, delta
    if where is None or best > -weak:
        return 0.0, None, best == 0.0 or best > -1e-3 * weak
    length = float(np.linalg.norm(where))
    return best / length, where / length, True


def _slope(g: np.ndarray, lines: np.ndarray, plus: np.ndarray, minus: np.ndarray, delta: np.ndarray) -> float:
    """The one-sided slope along delta."""
    along = lines @ delta
    return float(g @ delta + plus @ np.maximum(along, 0.0) + minus @ np.maximum(-along, 0.0))


def _merged(tied: np.ndarray, jumps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ties by line: unit vectors [l, d], and what the slope jumps by on their positive and negative sides, [l] each."""
    lines: list[np.ndarray] = []
    plus: list[float] = []
    minus: list[float] = []
    for row, jump in zip(tied, jumps, strict=True):
        length = float(np.linalg.norm(row))
        unit = row / length
        for k, line in enumerate(lines):
            side = float(np.sign(line @ unit))
            if np.linalg.norm(unit - side * line) <= TIE:
                plus[k] += jump * length * (side > 0)
                minus[k] += jump * length * (side < 0)
                break
        else:
            lines.append(unit)
            plus.append(jump * length)
            minus.append(0.0)
    return np.array(lines).reshape(-1, tied.shape[1]), np.array(plus), np.array(minus)


# --- the optimum of the whole problem ---


@lru_cache(maxsize=32)
def _optimum(x: bytes, y: bytes, n: int, facts: tuple[float, str, str]) -> Optimum:
    rows = np.frombuffer(x).reshape(n, -1)
    return optimum(Data(rows, np.frombuffer(y), *facts))


def certified_optimum(problem: Empirical) -> Optimum:
    """The least loss of all widths with its certificate, computed once for each data set."""
    data = problem.data
    x, y = np.ascontiguousarray(data.x), np.ascontiguousarray(data.y)
    return _optimum(x.tobytes(), y.tobytes(), len(y), (data.weight_decay, data.loss, data.outer_bias))


@lru_cache(maxsize=64)
def _best(x: bytes, y: bytes, n: int, facts: tuple[float, str, str], width: int) -> Best | None:
    data = Data(np.frombuffer(x).reshape(n, -1), np.frombuffer(y), *facts)
    signed = 2 * cover_count(n, int(np.linalg.matrix_rank(data.x)))  # cells at most, before they are listed
    try:
        if data.weight_decay == 0:
            return undecayed.best(data, width) if signed <= UNDECAYED else None
        if signed > CELLS[width > 1]:
            return None
        # Width 1 has small programs only; else one takes the longer the more cells may pull on it.
        share = 1.0 if width == 1 else min(1.0, 32 / max(signed, 1))
        return best_by_width(data, width, most=int(PROGRAMS * share))
    except (InputError, RuntimeError, np.linalg.LinAlgError):  # too many sets, or a program that is not solved
        return None


def best_of_width(problem: Empirical) -> Best | None:
    """The least loss of the problem's own width, computed once: where `local_minima.exact` says so; else an interval.

    None where nothing is tried: beyond 550 signed cells, 2000 at width 1, or too many sets without weight decay. Up to
    some ten seconds: 3000 programs for up to 32 signed cells or width 1, and 175 for 550; twice as long at tiny weight
    decays, where programs converge slowly. The network is a witness in any case, as its loss is attained.
    """
    data = problem.data
    x, y = np.ascontiguousarray(data.x), np.ascontiguousarray(data.y)
    facts = (data.weight_decay, data.loss, data.outer_bias)
    known = problem.activation.name == "relu" and problem.loss_name in ("squared", "logistic")
    known &= problem.bias != "free" or data.weight_decay == 0
    return _best(x.tobytes(), y.tobytes(), len(y), facts, problem.width) if known else None


def bounded(problem: Empirical) -> Empirical:
    """The problem with the best lower bound that the room has for it."""
    if not problem.certifiable:
        return problem
    found = certified_optimum(problem)
    bound = max(found.lower_bound, problem.lower_bound.value)
    return with_bound(problem, LowerBound(bound, "convex program, dual bound"))


# --- labels ---


def label(problem: Empirical, theta: np.ndarray) -> Verdict:
    """The label of a point as given: of the exact stationary point within rounding, UNCONVERGED if there is none.

    Args:
        problem: The landscape; relu.
        theta: A point, [p].
    """
    here = at(problem, theta)
    best = certified_optimum(problem) if problem.certifiable else None
    bound = problem.lower_bound.value if best is None else max(best.lower_bound, problem.lower_bound.value)
    known: dict[str, Any] = {
        "loss": here.loss,
        "loss_error": here.loss_error,
        "lower_bound": bound,
        "excess": here.loss - bound,
        "wider": None if best is None else max(here.loss - best.value, 0.0),
    }
    found = slopes(problem, here)
    known["grad_norm"] = found.norm
    verdict = _global(problem, here, best, bound, known)
    if verdict is not None:
        return verdict
    if not found.stationary:
        reason = f"not stationary: the least subgradient has norm {found.norm:.2g}"
        return Verdict(label=Label.UNCONVERGED, reason=reason, **known)
    if not _known(problem, here):
        reason = f"the weights are so large that rounding leaves the loss open by {here.loss_error:.1e}"
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    if found.direction is not None:
        return _leaves(problem, theta, here, found.direction, Label.TRAP, "tie", "one-sided slope", -found.slope, known)
    if not found.clear:
        reason = "a slope at a tie is too small for its sign to be known"
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    verdict = _at_rest(problem, theta, here, best, _blur(problem, here, found), known)
    certified = found.sharp or verdict.evidence != Evidence.CERTIFIED
    return verdict if certified else replace(verdict, evidence=Evidence.NUMERICAL)


def _blur(problem: Empirical, here: At, found: Slopes) -> float:
    """By how much the loss can be above that of the exact stationary point: beside a tie it is of first order."""
    low, high = _sides(problem)
    jumps = abs(high - low) * np.abs(here.a) * np.abs(here.nu)[:, None]
    beside = float(np.sum(np.where(found.ties, jumps * np.abs(here.z), 0.0)))
    return beside + found.norm * NEAR_TIE * float(problem.scale)


def _at_rest(
    problem: Empirical, theta: np.ndarray, here: At, best: Optimum | None, blur: float, known: dict[str, Any]
) -> Verdict:
    """The label of a stationary point that no first-order direction leaves."""
    if best is None:
        return _without_certificate(problem, theta, here, blur, known)
    least = here.loss <= best.value * (1 + EXACT) + here.loss_error  # else a better network is known
    if least and best.gap > EXACT * best.value and (verdict := _by_own_bound(problem, here, known)) is not None:
        return verdict
    norms = np.linalg.norm(here.w, axis=1)
    zero = np.flatnonzero(np.maximum(norms, np.abs(here.a)) <= ZERO * problem.scale)
    if len(zero):
        return _beside_zero(problem, theta, here, int(zero[0]), known)
    return _minimum(problem, here, best, blur, known)


def _global(problem: Empirical, here: At, best: Optimum | None, bound: float, known: dict[str, Any]) -> Verdict | None:
    """GLOBAL if the loss is at the lower bound within rounding and the bound's own gap; None if it is above."""
    gap = 0.0 if best is None else max(best.gap, 0.0)
    if best is not None and gap > EXACT * best.value:
        gap = 0.0  # an interval, not an optimum: only a point at its very bottom is global
    if not here.loss - bound <= 2 * here.loss_error + gap or not _known(problem, here):
        return None
    if problem.loss_name == "logistic" and bound <= 0 and len(problem.y):
        return None  # log(1 + exp(-y f)) is positive: where its infimum is zero no point attains it
    by = "sum of squares" if best is None else "convex program, dual bound"
    return Verdict(
        label=Label.GLOBAL, evidence=Evidence.CERTIFIED, by=by, margin=2 * here.loss_error + gap - known["excess"],
        **{**known, "excess": max(known["excess"], 0.0)},
    )  # fmt: skip


def _known(problem: Empirical, here: At) -> bool:
    """Whether the loss is known to a ten-millionth of itself, or of no network's: not where huge weights cancel."""
    return here.loss_error <= 1e-7 * max(loss_value(problem.data, np.zeros(len(problem.y))), here.loss)


def _leaves(
    problem: Empirical, theta: np.ndarray, here: At, direction: np.ndarray, label_: Label, flavour: str, by: str,
    margin: float, known: dict[str, Any],
) -> Verdict:  # fmt: skip
    """TRAP or SADDLE, if a point along the direction has a lower loss by more than both rounding errors."""
    for t in problem.scale * np.geomspace(1e-1, 1e-7, 25):
        there = at(problem, theta + t * direction)
        if there.loss + there.loss_error < here.loss - here.loss_error:
            return Verdict(
                label=label_, flavour=flavour, evidence=Evidence.CERTIFIED, by=by, margin=margin,
                escape=t * direction, **known,
            )  # fmt: skip
    reason = f"a descent direction by {by}, {margin:.1e}, but no lower loss along it beyond rounding"
    return Verdict(label=Label.UNDECIDED, reason=reason, **known)


def _beside_zero(problem: Empirical, theta: np.ndarray, here: At, j: int, known: dict[str, Any]) -> Verdict:
    """SADDLE, with its curvature beta - phi along the best new neuron."""
    beta = float(problem.weight_decay)
    found = _phi(problem, here.nu)
    known["min_curvature"] = beta - found.value
    if found.value <= beta:
        reason = f"a neuron is zero and phi - beta lies in [{found.value - beta:.2g}, {found.upper - beta:.2g}]"
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    direction = np.zeros(problem.p)
    m, d = here.w.shape
    direction[j * d : (j + 1) * d] = found.u
    direction[m * d + j] = found.sign
    margin = found.value - beta
    return _leaves(
        problem, theta, here, direction / np.sqrt(2), Label.SADDLE, "zero neuron", "beta - phi", margin, known
    )


def _minimum(problem: Empirical, here: At, best: Optimum, blur: float, known: dict[str, Any]) -> Verdict:
    """A local minimum without a zero neuron, above the best of all widths: spurious unless this width has no better."""
    strict = independent(problem, here)
    flavour = None if strict is None else "strict" if strict else "flat, escapable"
    exact = best.gap <= EXACT * best.value
    error = here.loss_error + max(best.gap, 0.0)
    if problem.width >= len(best.outer):
        above = here.loss - best.value - error
        if above > blur:
            evidence = Evidence.CERTIFIED if exact else Evidence.NUMERICAL
            return Verdict(
                label=Label.SPURIOUS, flavour=flavour, evidence=evidence, by="slopes at ties, better network",
                margin=above - blur, **known,
            )  # fmt: skip
        if above > 0:
            return _beside(blur, known)
    own = best_of_width(problem)
    if own is not None:
        return _against(here, own, flavour, blur, known)
    kind = "flat" if strict is False else "strict"
    reason = "a local minimum; a wider network goes lower, and whether one of this width does is not known"
    return Verdict(label=Label.UNDECIDED, flavour=f"{kind} minimum", reason=reason, **known)


def _beside(blur: float, known: dict[str, Any]) -> Verdict:
    """For a point whose loss tells it from a global minimum only if it is not the exact stationary point beside."""
    reason = f"near a stationary point, whose loss may be {blur:.1e} lower: too near the least one to tell them apart"
    return Verdict(label=Label.UNCONVERGED, reason=reason, **known)


def _against(here: At, own: Best, flavour: str | None, blur: float, known: dict[str, Any]) -> Verdict:
    """A local minimum beside the best network known of its width: spurious above it, global for this width at it."""
    above, error = here.loss - own.value, 2 * here.loss_error + EPS * own.value
    if above > error + blur:
        return Verdict(
            label=Label.SPURIOUS, flavour=flavour, evidence=Evidence.CERTIFIED, by="slopes at ties, better network",
            margin=above - error - blur, **known,
        )  # fmt: skip
    if above > error:
        return _beside(blur, known)
    open_ = own.value - own.lower_bound
    if open_ > EXACT * own.value + error:
        reason = f"a local minimum; no network of this width is known to be better, but one may be by {open_:.2g}"
        kind = "flat minimum" if flavour and flavour != "strict" else "strict minimum"
        return Verdict(label=Label.UNDECIDED, flavour=kind, reason=reason, **known)
    return Verdict(
        label=Label.GLOBAL,
        flavour="for this width",
        evidence=Evidence.CERTIFIED,
        by=own.by,
        margin=error - above,
        **known,
    )


def _by_own_bound(problem: Empirical, here: At, known: dict[str, Any]) -> Verdict | None:
    """GLOBAL if the dual bound of a stationary point's own residual reaches its loss; a better bound is kept."""
    bound = _own_bound(problem, here)
    if bound > known["lower_bound"]:
        known |= {"lower_bound": bound, "excess": max(here.loss - bound, 0.0)}
    room = 2 * here.loss_error + EXACT * here.loss
    if here.loss - bound > room:
        return None
    margin, by = room - (here.loss - bound), "dual bound of its own residual"
    return Verdict(label=Label.GLOBAL, evidence=Evidence.CERTIFIED, by=by, margin=margin, **known)


def _without_certificate(
    problem: Empirical, theta: np.ndarray, here: At, blur: float, known: dict[str, Any]
) -> Verdict:
    """What can be said of a stationary point where no convex program bounds the loss of all widths."""
    decayed = float(problem.weight_decay) > 0
    norms, m, d = np.linalg.norm(here.w, axis=1), problem.width, problem.d
    zero = np.flatnonzero(np.maximum(norms, np.abs(here.a)) <= ZERO * problem.scale)
    if _in_programs(problem) and (verdict := _by_own_bound(problem, here, known)) is not None:
        return verdict
    if len(zero) and problem.bias != "free":  # without weight decay too: then the curvature is -phi
        return _beside_zero(problem, theta, here, int(zero[0]), known)
    small = np.flatnonzero(np.minimum(norms, np.abs(here.a)) <= ZERO * problem.scale)
    for j in small:
        # A neuron whose outer weight is zero takes any part in the loss only with its hidden weights: no first-order
        # descent of those together keeps the loss convex in a w, else both leave at once.
        tied = np.any(np.abs(here.z[:, j]) <= NEAR_TIE * np.linalg.norm(problem.x, axis=1) * norms[j])
        if decayed or tied or norms[j] <= ZERO * problem.scale:
            reason = "stationary, but a layer of a neuron is zero: no theorem makes this a minimum"
            return Verdict(label=Label.UNDECIDED, reason=reason, **known)
        height = np.maximum(here.z[:, j], 0.0)
        pull = problem.x.T @ ((here.z[:, j] > 0) * here.nu)
        slope, size = float(np.linalg.norm(pull)), float(np.abs(here.nu) @ np.linalg.norm(problem.x, axis=1))
        if slope > STATIONARY * size:
            stretch = max(1.0, float(np.linalg.norm(height)) / np.sqrt(slope))
            direction = np.zeros(problem.p)
            direction[j * d : (j + 1) * d] = stretch * pull / slope
            direction[m * d + j] = 1 / stretch
            return _leaves(
                problem, theta, here, direction / np.linalg.norm(direction), Label.SADDLE, "escape neuron",
                "second-order slope", slope, known,
            )  # fmt: skip
    if problem.bias == "free" and decayed:
        reason = "stationary, but with a free hidden bias: no theorem makes this a minimum"
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    own = best_of_width(problem)
    if own is not None:
        return _against(here, own, "flat", blur, known)
    flat = float(problem.weight_decay) == 0 or independent(problem, here) is False
    reason = "a local minimum, but no lower bound is known to be attained: the best loss is only the best seen"
    return Verdict(label=Label.UNDECIDED, flavour="flat minimum" if flat else "strict minimum", reason=reason, **known)


def independent(problem: Empirical, here: At) -> bool | None:
    """Whether the outputs of the neurons are independent, so that a minimum is isolated; None if that is not clear."""
    atoms = _heights(problem, here.z)
    if problem.outer_bias == "free":  # a bias at no cost takes up what the neurons' outputs share with a constant
        atoms = np.column_stack([atoms, np.ones(len(atoms))])
    norms = np.linalg.norm(atoms, axis=0)
    if np.any(norms == 0):
        return False
    if atoms.shape[1] > atoms.shape[0]:
        return False
    least = float(np.linalg.svd(atoms / norms, compute_uv=False)[-1])
    if least > INDEPENDENT:
        return True
    return False if least < 1e-11 else None


# --- where a descent ends ---


class _Program(NamedTuple):
    """The optimum of some cells: directions and the outputs that every optimum shares."""

    solved: Restricted
    units: np.ndarray  # [q, d], where each cell's neuron points; 0 where it has none
    tight: np.ndarray  # [q], cells that may be in use


def finish(problem: Empirical, theta: np.ndarray, known: dict[bytes, Any] | None = None) -> np.ndarray | None:
    """The stationary point that the network at theta [p] leads to by its cells' convex programs; None if none is found.

    Its neurons stay in the closures of their cells; where the optimum lies on a tie with a lower loss beyond, the cell
    beyond is next. Of several optima it takes the nearest.
    """
    known = {} if known is None else known
    here = at(problem, theta)
    found = slopes(problem, here)
    if found.stationary and not problem.certifiable:
        return np.asarray(theta, np.float64)
    if not _in_programs(problem):
        return _least_squares(problem, here)
    patterns = (here.z > 0).T  # [m, n]
    signs = np.sign(here.a)
    c = np.linalg.norm(here.w, axis=1) * np.abs(here.a)
    alive = (c > 1e-14 * problem.scale**2) & (patterns.any(axis=1) | (_sides(problem)[0] != 0))
    there = here
    for _ in range(int(np.clip(FINISH / (problem.width * problem.d) ** 3, 3, 30))):  # some half a minute at most
        w, a, b0 = _in_cells(problem, there, patterns, signs, np.where(alive, c, 0.0), known)
        end = _theta(problem, w, a, b0)
        there = at(problem, end)
        found = slopes(problem, there)
        if found.stationary:
            return end
        crossed = _across(problem, there, patterns, alive)
        if crossed is None:
            return None
        patterns = crossed
    return None


def _least_squares(problem: Empirical, here: At) -> np.ndarray | None:
    """Without weight decay: the nearest minimum of squared loss in the network's own closed cells, if there is one.

    In a cell the loss is a least squares problem in u = a w and b0. theta moves along the shortest way to its solution,
    and where that leaves the cell along the shortest way within it.
    """
    alive = np.flatnonzero(here.a != 0)
    if float(problem.weight_decay) > 0 or problem.loss_name != "squared" or not len(alive):
        return None
    low, high = _sides(problem)
    n, d, b = len(problem.y), problem.d, int(problem.outer_bias != "none")
    pattern, a = here.z[:, alive] > 0, here.a[alive]
    columns = (np.where(pattern, high, low)[:, :, None] * problem.x[:, None, :] * a[:, None]).reshape(n, -1)
    columns = np.concatenate([columns, np.ones((n, b))], axis=1)
    sides = np.where(pattern, 1.0, -1.0).T[:, :, None] * problem.x  # [alive, n, d]
    free = [np.eye(d)] * len(alive)
    for move in (_shortest(columns, here.nu, free, b), *_within(columns, here, alive, sides, b)):
        w = here.w.copy()
        w[alive] += move[: len(alive) * d].reshape(-1, d)
        end = _theta(problem, w, here.a, here.b0 + (move[-1] if b else 0.0))
        there = at(problem, end)
        found = slopes(problem, there)
        height = np.einsum("jkd,jd->jk", sides, there.w[alive])
        inside = np.all(
            height >= -TIE * np.linalg.norm(problem.x, axis=1) * np.linalg.norm(there.w[alive], axis=1)[:, None]
        )
        fits = there.loss <= 2 * there.loss_error  # what is left of nu is rounding, and so is the gradient
        lower = there.loss <= here.loss + here.loss_error + there.loss_error
        if inside and lower and _known(problem, there) and (fits or found.stationary):
            return end
    return None


def _solved(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The shortest least squares solution."""
    return np.asarray(lstsq(a, b, cond=1e-12)[0])  # pyright: ignore[reportOptionalSubscript]


def _shortest(columns: np.ndarray, nu: np.ndarray, bases: list[np.ndarray], b: int) -> np.ndarray:
    """The shortest move, each neuron's within its basis [d, k], that takes as much of nu as one can."""
    turn = np.asarray(block_diag(*bases, np.eye(b)))
    return turn @ _solved(columns @ turn, nu)


def _within(columns: np.ndarray, here: At, alive: np.ndarray, sides: np.ndarray, b: int) -> list[np.ndarray]:
    """The shortest move within the closed cells, found by an interior point and finished on the walls it comes to."""
    p, walls = columns.shape[1], sides.shape[0] * sides.shape[1]
    wall = np.zeros((walls, p))
    for j, rows in enumerate(sides):
        wall[j * len(rows) : (j + 1) * len(rows), j * rows.shape[1] : (j + 1) * rows.shape[1]] = rows
    room = wall[:, : p - b] @ here.w[alive].reshape(-1)
    gram = columns.T @ columns
    settings = clarabel.DefaultSettings()
    settings.verbose, settings.max_threads = False, 1
    solved = clarabel.DefaultSolver(
        csc_matrix(np.triu(gram + 1e-7 * np.trace(gram) / p * np.eye(p))), -columns.T @ here.nu,
        csc_matrix(-wall), room, [clarabel.NonnegativeConeT(walls)], settings,
    ).solve()  # fmt: skip
    tied = (np.asarray(solved.s) < np.asarray(solved.z)).reshape(sides.shape[:2])
    bases, back = [], []
    for rows, some, w in zip(sides, tied, here.w[alive], strict=True):
        off = rows[some]
        basis = np.eye(len(w)) if not len(off) else np.asarray(null_space(off, rcond=1e-9))
        bases.append(basis)
        back.append(basis @ (basis.T @ w) - w)
    onto = np.concatenate([*back, np.zeros(b)])
    return [onto + _shortest(columns, here.nu - columns @ onto, bases, b)]


def _in_cells(
    problem: Empirical, near: At, patterns: np.ndarray, signs: np.ndarray, c: np.ndarray, known: dict[bytes, Any]
) -> tuple[np.ndarray, np.ndarray, float]:
    """The optimum of these cells [m, n] nearest to neurons of sizes c [m], looked for from a network near: w, a, b0."""
    m, d = problem.width, problem.d
    used = np.flatnonzero(c > 0)
    w, a = np.zeros((m, d)), np.zeros(m)
    if not len(used):
        pairs, group = np.zeros((0, patterns.shape[1] + 1), bool), np.zeros(0, int)
    else:
        pairs, group = np.unique(np.column_stack([patterns[used], signs[used] > 0]), axis=0, return_inverse=True)
        group = group.reshape(-1)
    key = pairs.tobytes()
    if key not in known:
        blocks = np.zeros((len(pairs), d))
        np.add.at(blocks, group, np.abs(near.a[used])[:, None] * near.w[used])
        known[key] = _program(problem, pairs[:, :-1], np.where(pairs[:, -1], 1.0, -1.0), blocks)
    program: _Program = known[key]
    size = np.bincount(group, c[used], len(pairs))
    amounts = _nearest(problem, program, np.where(pairs[:, -1], 1.0, -1.0), size)
    share = amounts[group] * c[used] / size[group]
    w[used] = np.sqrt(share)[:, None] * program.units[group]
    a[used] = np.sqrt(share) * np.where(pairs[:, -1], 1.0, -1.0)[group]
    return w, a, program.solved.b0


def _program(problem: Empirical, patterns: np.ndarray, signs: np.ndarray, near: np.ndarray) -> _Program:
    """The program of these cells; `near`, a network's own blocks [q, d], is where a large one starts."""
    data, (low, high) = problem.data, _sides(problem)
    solved = restricted_near(data, patterns, signs, near, slopes=(low, high))
    units = np.zeros((len(signs), data.x.shape[1]))
    tight = np.zeros(len(signs), bool)
    for i, (pattern, sign, block) in enumerate(zip(patterns, signs, solved.blocks, strict=True)):
        length = float(np.linalg.norm(block))
        if length > 0:
            units[i], tight[i] = block / length, True
            continue
        # The best direction of a cell without a neuron: the projection of its gradient onto the cone. If it just
        # pays for itself, other optima have a neuron there.
        pull = sign * (data.x.T @ (np.where(pattern, high, low) * solved.nu))
        cone = np.where(pattern, 1.0, -1.0)[:, None] * data.x
        best = pull + nnls(cone.T, -pull)[0] @ cone
        value = float(np.linalg.norm(best))
        if value >= data.weight_decay * (1 - 1e-9):
            units[i], tight[i] = best / value, True
    return _Program(solved, units, tight)


def _nearest(problem: Empirical, program: _Program, signs: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Of all amounts >= 0 with the optimum's outputs those nearest to `size`, [q]."""
    blocks = np.linalg.norm(program.solved.blocks, axis=1)
    use = np.flatnonzero(program.tight)
    if not len(use):
        return blocks
    atoms = signs[use] * _heights(problem, problem.x @ program.units[use].T)
    lengths = np.linalg.norm(atoms, axis=0)
    use, atoms, lengths = use[lengths > 0], atoms[:, lengths > 0], lengths[lengths > 0]  # what no row sees is no neuron
    if not len(use) or np.linalg.matrix_rank(atoms / lengths, tol=INDEPENDENT) == len(use):
        return blocks
    target = program.solved.output - program.solved.b0
    weight = 1e6 * max(float(np.max(size)), 1e-300) / max(float(np.linalg.norm(target)), 1e-300)
    rows = np.concatenate([weight * atoms, np.eye(len(use))])
    guess = nnls(rows, np.concatenate([weight * target, size[use]]))[0]
    for _ in range(len(use)):  # the outputs to the last bit, on the support
        some = np.flatnonzero(guess > 1e-10 * np.max(guess))
        fixed = np.zeros_like(guess)
        fixed[some] = guess[some] + _solved(atoms[:, some], target - atoms[:, some] @ guess[some])
        guess = np.maximum(fixed, 0.0)
        if np.all(fixed >= 0):
            break
    out = np.zeros(len(size))
    out[use] = guess
    return out


def _across(problem: Empirical, there: At, patterns: np.ndarray, alive: np.ndarray) -> np.ndarray | None:
    """The patterns with the neurons that want to cross a tie on its other side; None if none does."""
    x, (low, high) = problem.x, _sides(problem)
    beta = float(problem.weight_decay)
    norms, rows = np.linalg.norm(there.w, axis=1), np.linalg.norm(x, axis=1)
    out = patterns.copy()
    for j in np.flatnonzero(alive & (norms > ZERO * problem.scale)):
        tied = np.flatnonzero((np.abs(there.z[:, j]) <= TIE * rows * norms[j]) & (rows > 0))
        if not len(tied):
            continue
        active = (there.z[:, j] > 0) & ~np.isin(np.arange(len(x)), tied)
        g = beta * there.w[j] - there.a[j] * (x.T @ (np.where(active, high, low) * there.nu))
        jumps = -(high - low) * there.a[j] * there.nu[tied]
        merged = _merged(x[tied], jumps)
        down = -_least(g, *merged)
        if _slope(g, *merged, down) < 0:
            out[j, tied] = np.where(np.abs(x[tied] @ down) > 1e-12 * rows[tied] * np.linalg.norm(down),
                                    x[tied] @ down > 0, out[j, tied])  # fmt: skip
    return None if np.array_equal(out, patterns) else out


class Onward(NamedTuple):
    """A descent that is at no end yet.

    Attributes:
        shorter: Whether it only jumps to and fro about one, and needs a shorter step.
    """

    shorter: bool


def _dies(problem: Empirical, here: At, then: At) -> np.ndarray | None:
    """The neurons that are zero at the end, [m]; None if one of them is large still, or will grow again.

    A small neuron turns up the slope of sign a nu'relu(X u) on the sphere, by the residual of the end, and dwindles as
    long as that is below beta.
    """
    zero = (np.linalg.norm(then.w, axis=1) == 0) & (then.a == 0)
    size = np.maximum(np.linalg.norm(here.w, axis=1), np.abs(here.a))
    for j in np.flatnonzero(zero & (size > ZERO * problem.scale)):
        if size[j] > DYING * problem.scale:
            return None
        if _climb(problem, np.sign(here.a[j]) * then.nu, here.w[j]) >= float(problem.weight_decay) * (1 - 1e-6):
            return None
    return zero


def _climb(problem: Empirical, nu: np.ndarray, u: np.ndarray) -> float:
    """The height nu's(X u) that a climb on the unit sphere from u comes to, in steps that shrink to a thousandth."""
    length = float(np.linalg.norm(u))
    if length == 0:
        return 0.0
    x, (low, high) = problem.x, _sides(problem)
    u = u / length
    size = float(np.abs(nu) @ np.linalg.norm(x, axis=1))
    best = -np.inf
    for step in np.geomspace(0.1, 1e-4, 400):
        z = x @ u
        best = max(best, float(nu @ _heights(problem, z))) if step < 1e-3 else best
        g = x.T @ (np.where(z > 0, high, low) * nu)
        g = g - (g @ u) * u
        u = u + step * g / max(size, 1e-300)
        u = u / np.linalg.norm(u)
    return best


def key(problem: Empirical, theta: np.ndarray) -> bytes:
    """Signs, sides and ties of all neurons, in an order of their own: what an isolated minimum is known by."""
    here = at(problem, theta)
    norms, rows = np.linalg.norm(here.w, axis=1), np.linalg.norm(problem.x, axis=1)
    tie = np.abs(here.z) <= TIE * np.outer(rows, norms)
    sides = np.where(tie, 0, np.where(here.z > 0, 1, -1)).astype(np.int8).T
    return b"".join(
        sorted(bytes([int(s) % 256]) + side.tobytes() for s, side in zip(np.sign(here.a), sides, strict=True))
    )


def ends(problem: Empirical, thetas: np.ndarray, known: dict[bytes, Any], steps: np.ndarray) -> list[End | Onward]:
    """Where descents that stand at these points end, with labels, as far as they are near an end.

    Args:
        problem: The landscape.
        thetas: Where they stand, [n, p].
        known: Programs solved before, by their cells; those solved now are added.
        steps: Step sizes of the descents, [n]: one that jumps to and fro over a tie stays within its jump of it.
    """
    return [_end(problem, theta, known, float(step)) for theta, step in zip(thetas, steps, strict=True)]


def _end(problem: Empirical, theta: np.ndarray, known: dict[bytes, Any], step: float) -> End | Onward:
    theta = np.asarray(theta, np.float64)
    end = finish(problem, theta, known)
    if end is None:
        return Onward(False)
    here, then = at(problem, theta), at(problem, end)
    zero = _dies(problem, here, then)
    if zero is None:
        return Onward(False)
    ties = slopes(problem, then).ties
    jump = np.abs(then.a * then.nu[:, None]) * np.linalg.norm(problem.x, axis=1)[:, None]
    moved = np.concatenate([(then.w - here.w)[~zero].reshape(-1), (then.a - here.a)[~zero], [then.b0 - here.b0]])
    distance = float(np.linalg.norm(moved))
    near, jumps = NEAR * problem.scale, 2 * step * float(np.linalg.norm(jump[ties]))
    if distance > min(near + jumps, JUMPS * problem.scale):
        return Onward(jumps > near and distance < JUMPS * problem.scale)
    verdict = label(problem, end)
    alone = verdict.label in (Label.GLOBAL, Label.SPURIOUS) and independent(problem, then) is True
    return End(end, verdict, False, key(problem, end) if alone else None)
