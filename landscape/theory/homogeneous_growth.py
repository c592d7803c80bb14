"""Parallel homogeneous networks: the polar test, and growing by the subnetwork that it finds (Haeffele and Vidal 2017).

With Z = -gradient of the data loss in the outputs, the polar is Omega(Z) = max <Z, phi(V)> over g(V) <= 1.

- Any Z gives a lower bound for every width: the dual value of tZ for t Omega(Z) <= lambda (`dual_bound`). At a
  stationary point <Z, f> = lambda sum g, and the bound is the loss itself if and only if Omega(Z) <= lambda.
- A zero subnetwork at t^(1/p) V changes the loss by -t (<Z, phi(V)> - lambda g(V)) + o(t). So a stationary point with
  a zero subnetwork is global, over all widths, if Omega(Z) <= lambda, and else no local minimum: a saddle. (For p = 2
  and g = |V|^2 / 2 its curvature is lambda - Omega(Z).) Descents do stop there.
- Without a zero subnetwork Omega(Z) > lambda says that a wider network is better, and nothing of this width.

Omega has a formula for matrix factorisation (the largest singular value), two-layer ReLU (phi of `arrangement`) and
quadratic activation (a spectral norm). Elsewhere it is estimated from below by ascent from many starts, which can
refute a point and never certify one: `Polar.upper` is inf then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.special import entr, expit

from landscape import descent
from landscape.problems.empirical import Empirical
from landscape.problems.parallel import Homogeneous, matrix_value, parts_at, with_width
from landscape.problems.problem import EPS, losses_at
from landscape.problems.subnetwork import Subnetwork, chart
from landscape.records import Evidence, InputError, Label, Point, Verdict
from landscape.theory.arrangement.cells import cells
from landscape.theory.arrangement.phi import phi
from landscape.theory.convex.dual import lower_bound as convex_bound
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.optimal_set import eliminations, prune

CLOSED = 1e-10  # a dual gap below this, relative to the loss (or 1), is closed: certified points print it as margin
REFUTED = 1e-9  # polar / lambda - 1 above this refutes
ZERO = 1e-9  # weights below this, times the scale, are zero
CRAWLING = 0.02  # ... and below which descents of degree above two have stopped on their way to zero
STARTS = 64  # of the ascent that estimates a polar from below
ASCENT = 240  # gradients of each
SUPPORTED = 3000  # cells up to which the upper bound of a vector-valued ReLU polar is computed
IDLE = 1e-3  # subnetworks below this share of the largest regulariser may be dropped
_DEPENDENT = 1e-9  # least singular value of unit outputs


class Polar(NamedTuple):
    """Omega(Z), between what is attained and what is proved.

    Attributes:
        value: <Z, phi(V)> at a V with g(V) = 1: a lower bound, the polar itself where `upper` says so.
        upper: The polar is no larger, rounding included; inf where only an estimate from below is known.
        weights: V, [q].
        by: How it was computed.
    """

    value: float
    upper: float
    weights: np.ndarray
    by: str


class Certificate(NamedTuple):
    """What the theorem says of one point.

    Attributes:
        loss: Loss at the point.
        loss_error: Bound on its rounding error.
        lower_bound: No network of any width has a smaller loss; 0 where the polar has no upper bound.
        gap: loss - lower_bound.
        polar: Of Z at the point.
        ratio: polar.value / lambda: above 1 a wider network is better.
        equality: (<Z, f> - lambda sum g) / loss: zero at stationary points.
        holds: Whether the point is certified global: the gap is closed.
    """

    loss: float
    loss_error: float
    lower_bound: float
    gap: float
    polar: Polar
    ratio: float
    equality: float
    holds: bool


def strength(problem: Homogeneous | Empirical) -> float:
    """lambda."""
    return float(problem.weight_decay if isinstance(problem, Empirical) else problem.regularisation)


def checked(problem: Homogeneous | Empirical) -> None:
    """Nothing, if the theorem applies to the problem.

    Raises:
        InputError: It does not.
    """
    if isinstance(problem, Empirical):
        if not problem.certifiable:
            raise InputError(
                "the polar test of a two-layer network needs relu, squared or logistic loss, a positive weight decay "
                "and no free hidden bias."
            )
    elif not problem.matched:
        raise InputError(
            f"the degrees of output and regulariser of {problem.net.name!r} differ: there is no polar test, and "
            "growing would not end."
        )


# --- the polar ---


def polar(problem: Homogeneous | Empirical, z: np.ndarray, seed: int = 0, starts: int = STARTS) -> Polar:
    """Omega(Z) of the problem's subnetwork, exact where there is a formula.

    Args:
        problem: The landscape; its width does not matter.
        z: Z, in the shape of the outputs.
        seed: Of the ascent's starts, where there is no formula.
        starts: How many.
    """
    z = np.asarray(z, np.float64)
    if isinstance(problem, Empirical):
        found = phi(problem.x, z)
        return Polar(found.value, found.upper, np.append(found.u, found.sign), f"phi by {found.by}")
    name = problem.net.name
    if problem.q == 1:
        return _line(problem, z)
    if name == "rank_one":
        u, s, vt = np.linalg.svd(z)
        upper = float(s[0]) * (1 + 16 * (len(u) + len(vt)) * EPS)
        return Polar(float(s[0]), upper, np.concatenate([u[:, 0], vt[0]]), "singular value")
    if name == "quadratic" and z.ndim == 1:
        return _quadratic(problem.x, z)
    if name == "relu" and problem.x.shape[1] == 2:
        return _plane(problem.x, z)
    found = _ascended(problem, z, seed, starts)
    upper, by = math.inf, "ascent from many starts: refutes, never certifies"
    if name == "quadratic":
        upper, by = _quadratics(problem.x, z), "ascent; upper bound by spectral norms"
    if name == "relu":
        upper, by = _cellwise(problem.x, z), "ascent; upper bound by cells"
    return found._replace(upper=max(upper, found.value), by=by)


def _line(problem: Homogeneous, z: np.ndarray) -> Polar:
    """Of a subnetwork of one weight: the better of its two signs."""
    pair = with_width(problem, 2)
    f, g = parts_at(pair, np.array([1.0, -1.0]))
    heights = np.tensordot(f, z, z.ndim) / g
    i = int(np.argmax(heights))
    size = float(np.sum(np.abs(f[i] * z)) / g[i])
    value = max(float(heights[i]), 0.0)
    weights = np.array([1.0, -1.0])[[i]] / g[i] ** (1 / problem.net.degree)
    # A user's function may round as it likes; what it computes at +-1 is taken to be right to 64 eps.
    return Polar(value, value + (z.size + 64) * EPS * size, weights, "both signs of one weight")


def _quadratic(x: np.ndarray, z: np.ndarray) -> Polar:
    """The spectral norm of sum z_k x_k x_k': |w|^2 |a| <= 2/3 |w|^3 + 1/3 |a|^3, equal at |w| = |a|."""
    values, vectors = np.linalg.eigh(x.T @ (z[:, None] * x))
    i = int(np.argmax(np.abs(values)))
    # An entry is a sum of n products; its rounding, and the solver's, over the size of the terms.
    size = float(np.abs(z) @ np.sum(x * x, axis=1))
    upper = abs(float(values[i])) + (len(z) + 16 * x.shape[1]) * EPS * size
    return Polar(abs(float(values[i])), upper, np.append(vectors[:, i], np.sign(values[i]) or 1.0), "spectral norm")


def _quadratics(x: np.ndarray, z: np.ndarray) -> float:
    """An upper bound for several outputs: max_w |(w'S_c w)_c| <= (sum |S_c|^2)^(1/2)."""
    return float(np.linalg.norm([_quadratic(x, column).upper for column in z.T]))


def _plane(x: np.ndarray, z: np.ndarray) -> Polar:
    """max over |u| <= 1 of |Z' relu(x u)|, x [n, 2], Z [n, c]: the walls, and the best direction of each arc.

    On an arc the height is |G u|, largest at an end or at the leading right singular vector of G. A candidate outside
    its arc does no harm, as the true height is compared.
    """
    angle = np.arctan2(x[:, 1], x[:, 0])
    walls = np.sort(np.concatenate([angle + np.pi / 2, angle - np.pi / 2]) % (2 * np.pi))
    middle = 0.5 * (walls + np.roll(walls, -1))
    middle[-1] += np.pi
    unit = lambda t: np.stack([np.cos(t), np.sin(t)], axis=1)  # noqa: E731
    active = unit(middle) @ x.T > 0
    top = np.array([np.linalg.svd(z.T @ (on[:, None] * x))[2][0] for on in active])
    candidates = np.concatenate([unit(walls), top, -top])
    heights = np.maximum(candidates @ x.T, 0.0) @ z
    sizes = np.linalg.norm(heights, axis=1)
    i = int(np.argmax(sizes))
    a = heights[i] / sizes[i] if sizes[i] > 0 else np.eye(z.shape[1])[0]
    # Candidates are right to a few eps, and the height is Lipschitz with this constant.
    slope = float(np.linalg.norm(z, axis=1) @ np.linalg.norm(x, axis=1))
    upper = float(sizes[i]) + (len(x) + 64) * EPS * slope
    return Polar(float(sizes[i]), upper, np.concatenate([candidates[i], a]), "arcs")


def _cellwise(x: np.ndarray, z: np.ndarray) -> float:
    """An upper bound beyond the plane: the largest singular value of Z'D x over all cells; inf if they are too many."""
    try:
        listed = cells(x, most=SUPPORTED)
    except InputError:
        return math.inf
    if not listed.complete:
        return math.inf
    slope = float(np.linalg.norm(z, axis=1) @ np.linalg.norm(x, axis=1))
    gated = np.einsum("nc,pn,nd->pcd", z, listed.patterns.astype(float), x)
    return float(np.max(np.linalg.svd(gated, compute_uv=False))) + (len(x) + 64) * EPS * slope


@partial(jax.tree_util.register_dataclass, data_fields=["x", "z"], meta_fields=["net"])
@dataclass(frozen=True, eq=False)
class _Ratio:
    """-<Z, phi(V)> / g(V), of degree zero: a landscape on its own."""

    x: Any
    z: Any
    net: Subnetwork

    def loss(self, theta: Float[Array, " q"]) -> Float[Array, ""]:
        """Minus the ratio."""
        weights = chart(self.net)[1](theta)
        return -jnp.sum(self.z * self.net.output(weights, self.x)) / self.net.penalty(weights)

    def gradients(self, theta: Float[Array, "lanes q"]) -> Float[Array, "lanes q"]:
        """Automatic gradients of rows."""
        return jax.vmap(jax.grad(self.loss))(theta)

    def gradient(self, theta: Float[Array, " q"]) -> Float[Array, " q"]:
        """Automatic gradient."""
        return jax.grad(self.loss)(theta)


@partial(jax.jit, static_argnums=(2,))
def _climb(ratio: _Ratio, theta: Array, steps: int) -> tuple[Array, Array]:
    method = descent.method("lbfgs")

    def one(t: Array) -> tuple[Array, Array]:
        lane = descent.advance(ratio, method, descent.init(ratio, method, t, jnp.ones(())), steps)  # pyright: ignore[reportArgumentType]
        return lane.theta, lane.loss

    return jax.vmap(one)(theta)


def _ascended(problem: Homogeneous, z: np.ndarray, seed: int, starts: int) -> Polar:
    """The best of many ascents of <Z, phi(V)> / g(V), scaled to g = 1."""
    draws = np.random.default_rng(seed).normal(size=(starts, problem.q))
    draws /= np.linalg.norm(draws, axis=1, keepdims=True)
    with jax.enable_x64(True):
        ratio = _Ratio(None if problem.x is None else jnp.asarray(problem.x), jnp.asarray(z), problem.net)
        tops, values = (np.asarray(a) for a in _climb(ratio, jnp.asarray(draws), ASCENT))
    values = np.where(np.isfinite(values), -values, -np.inf)
    i = int(np.argmax(values))
    if not values[i] > 0:  # the best of all weights is then zero, as far as anybody knows
        i = 0
        tops = draws
    f, g = parts_at(with_width(problem, 1), tops[i])
    degree = problem.net.degree
    return Polar(max(0.0, float(np.sum(z * f[0]) / g[0])), math.inf, tops[i] / g[0] ** (1 / degree), "ascent")


# --- the certificate ---


def minus_gradient(problem: Homogeneous, f: np.ndarray) -> np.ndarray:
    """Z at outputs f."""
    return problem.y - f if problem.loss_name == "squared" else problem.y * expit(-problem.y * f)


def dual_bound(problem: Homogeneous, z: np.ndarray, upper: float) -> float:
    """A number below the loss of every network of every width, from any Z and a bound on its polar; at least 0.

    The dual value of tZ, t Omega(Z) <= lambda, t the best such for squared loss and at most 1 for the logistic one.
    Rounding is taken off. 0 where the bound on the polar is inf.
    """
    lam = strength(problem)
    most = lam / upper * (1 - 4 * EPS) if upper > 0 else math.inf
    if problem.loss_name == "squared":
        size = float(np.sum(z * z))
        t = min(max(float(np.sum(z * problem.y)) / size, 0.0), most) if size > 0 else 0.0
        point = t * z
        terms = np.concatenate([(point * problem.y).ravel(), (-0.5 * point * point).ravel()])
    else:
        share = min(1.0, most) * z * problem.y
        if np.min(share) < 0 or np.max(share) > 1:
            return 0.0
        terms = np.concatenate([entr(share).ravel(), entr(1 - share).ravel()])
    value, size = math.fsum(terms), math.fsum(np.abs(terms))
    # tZ is rounded entry by entry: the polar grows by at most 2 eps of itself, and the value by the same share.
    return max(0.0, value - 16 * EPS * (size + abs(value)))


def certificate(problem: Homogeneous | Empirical, theta: np.ndarray, seed: int = 0) -> Certificate:
    """The polar test at a point: certified global if its own dual bound closes the gap.

    No tolerance on stationarity enters: the bound holds for any point, and meets the loss only at a global one.

    Raises:
        InputError: The theorem does not apply to the problem.
    """
    checked(problem)
    theta = np.asarray(theta, np.float64)
    lam = strength(problem)
    if isinstance(problem, Empirical):
        here = forward(problem, theta)
        nu = here.nu - here.nu.mean() if problem.outer_bias == "free" and problem.loss_name == "squared" else here.nu
        found = phi(problem.x, nu)
        test = Polar(found.value, found.upper, np.append(found.u, found.sign), f"phi by {found.by}")
        loss, error, bound = here.loss, here.loss_error, convex_bound(problem.data, nu, found)
        decay = 0.5 * float(np.sum(here.w**2) + np.sum(here.a**2))
        met = float(here.nu @ (np.maximum(here.z, 0.0) @ here.a)) - lam * decay
    else:
        f, g = parts_at(problem, theta)
        z = minus_gradient(problem, f.sum(axis=0))
        test = polar(problem, z, seed)
        loss, error = float(_losses(problem, theta[None])[0]), problem.loss_error(theta)
        bound = dual_bound(problem, z, test.upper)
        met = float(np.sum(z * f.sum(axis=0))) - lam * float(g.sum())
    gap = loss - bound
    holds = gap <= CLOSED * max(1.0, abs(loss)) + error
    return Certificate(loss, error, bound, gap, test, test.value / lam, met / max(loss, 1e-300), holds)


def _losses(problem: Homogeneous, thetas: np.ndarray) -> np.ndarray:
    """Losses at points [r, p] in float64."""
    with jax.enable_x64(True):
        return np.asarray(losses_at(problem, jnp.asarray(thetas, jnp.float64)), np.float64)


# --- labels ---


def global_verdict(problem: Homogeneous, point: Point) -> Verdict | None:
    """GLOBAL where the dual bound closes the gap, or at the closed form of the width; None elsewhere.

    A loss at a closed form is compared to within the rounding of both.
    """
    if not problem.matched or not np.isfinite(point.loss):
        return None
    found = certificate(problem, point.theta)
    known = _known(problem, point, found)
    if found.holds:
        known["lower_bound"] = found.lower_bound
        rigorous = problem.net.roundings is not None  # a user's own loss has no error bound
        return Verdict(
            label=Label.GLOBAL, evidence=Evidence.CERTIFIED if rigorous else Evidence.NUMERICAL,
            by=f"polar test, {found.polar.by}", margin=found.gap, **known,
        )  # fmt: skip
    if problem.by_singular_values:
        least = matrix_value(problem, problem.width)
        slack = 2 * point.loss_error + 16 * problem.y.size * EPS * max(1.0, least)
        if abs(point.loss - least) <= slack:
            return Verdict(
                label=Label.GLOBAL, flavour="for this width", evidence=Evidence.CERTIFIED, by="singular values",
                margin=slack - abs(point.loss - least), **known,
            )  # fmt: skip
    return None


def zero_verdict(problem: Homogeneous, point: Point) -> Verdict | None:
    """The label of a stationary point that is not global and has a zero subnetwork; None where no subnetwork is zero.

    SADDLE where the polar is above lambda, shown by a point of lower loss, so an estimate of the polar from below will
    do; else UNDECIDED, as neither a Hessian nor a slope tells what happens at zero. Beyond degree two descents crawl
    towards zero and never arrive: small subnetworks whose removal leaves a stationary point of no higher loss count.
    """
    if not problem.matched:
        return None
    w = np.asarray(point.theta, np.float64).reshape(problem.width, -1)
    size = np.linalg.norm(w, axis=1)
    small = size <= (ZERO if problem.net.degree <= 2 else CRAWLING) * problem.scale
    if not np.any(small):
        return None
    theta = np.where(small[:, None], 0.0, w).reshape(-1)
    with jax.enable_x64(True):
        norm = float(np.linalg.norm(np.asarray(_gradient(problem, jnp.asarray(theta)))))
    loss = float(_losses(problem, theta[None])[0])
    known = _known(problem, point, certificate(problem, point.theta))
    if norm > REFUTED * problem.scale or loss > point.loss + point.loss_error + problem.loss_error(theta):
        if np.any(size <= ZERO * problem.scale):
            return Verdict(label=Label.UNDECIDED, reason="stationary only beside a zero subnetwork", **known)
        return None
    found = certificate(problem, theta)
    if found.ratio <= 1 + REFUTED:
        reason = (
            f"a subnetwork is zero, and the polar over lambda lies in [{found.ratio:.9g}, "
            f"{found.polar.upper / strength(problem):.9g}]: global or a saddle"
        )
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    step = born(problem, theta, int(np.argmin(size)), found.polar)
    if step is None:
        reason = f"a zero subnetwork, polar / lambda = 1 + {found.ratio - 1:.2g}, but no lower loss beyond rounding"
        return Verdict(label=Label.UNDECIDED, reason=reason, **known)
    lam = strength(problem)
    if problem.net.name in ("rank_one", "relu"):
        known["min_curvature"] = lam - found.polar.value
    return Verdict(
        label=Label.SADDLE,
        flavour="zero subnetwork",
        evidence=Evidence.CERTIFIED if problem.net.roundings is not None else Evidence.NUMERICAL,
        by=f"lambda - polar, {found.polar.by}",
        margin=found.polar.value - lam,
        escape=theta + step - point.theta,
        **known,
    )


@jax.jit
def _gradient(problem: Homogeneous, theta: Array) -> Array:
    return problem.gradient(theta)


def _known(problem: Homogeneous, point: Point, found: Certificate) -> dict[str, Any]:
    bound = max(found.lower_bound, problem.lower_bound.value)
    known: dict[str, Any] = {
        "loss": float(point.loss),
        "loss_error": float(point.loss_error),
        "lower_bound": bound,
        "grad_norm": float(point.grad_norm),
    }
    if problem.by_singular_values:
        known["wider"] = max(float(point.loss) - matrix_value(problem), 0.0)
    return known


def zero_subnetworks(problem: Homogeneous, theta: np.ndarray) -> np.ndarray:
    """Which subnetworks are zero, [width]."""
    w = np.asarray(theta).reshape(problem.width, -1)
    return np.linalg.norm(w, axis=1) <= ZERO * problem.scale


def born(problem: Homogeneous, theta: np.ndarray, slot: int, best: Polar) -> np.ndarray | None:
    """The step, [p], that puts the best new subnetwork into a zero slot at the size of the lowest loss found.

    None if no size lowers the loss by more than the rounding of both.
    """
    q = problem.q
    direction = np.zeros(problem.p)
    direction[slot * q : (slot + 1) * q] = best.weights
    sizes = problem.scale * np.geomspace(2.0, 1e-6, 48)
    values = _losses(problem, np.concatenate([theta[None], theta + sizes[:, None] * direction]))
    i = int(np.nanargmin(values[1:]))
    step = sizes[i] * direction
    error = problem.loss_error(theta) + problem.loss_error(theta + step)
    return step if values[1 + i] < values[0] - error else None


# --- stationary values in closed form ---


def matrix_values(problem: Homogeneous) -> list[tuple[float, tuple[int, ...]]]:
    """The loss at every kind of stationary point of squared matrix factorisation, ascending, with its singular values.

    Stationary points keep any set K of the singular values sigma_i > lambda, shrunk by lambda: the loss is
    sum_K (lambda sigma - lambda^2 / 2) + 1/2 sum_rest sigma^2. Those of width r have at most r in K.
    """
    sigma, lam = np.linalg.svd(problem.y, compute_uv=False), float(problem.regularisation)
    above = np.flatnonzero(sigma > lam)
    if len(above) > 16:
        raise InputError(f"{len(above)} singular values lie above lambda: more than 2^16 stationary values.")
    gains = 0.5 * (sigma[above] - lam) ** 2
    found = []
    for chosen in range(2 ** len(above)):
        kept = [i for i in range(len(above)) if chosen >> i & 1]
        found.append((float(0.5 * np.sum(sigma**2) - np.sum(gains[kept])), tuple(int(above[i]) for i in kept)))
    return sorted(found)


def matrix_point(problem: Homogeneous, kept: tuple[int, ...]) -> np.ndarray:
    """The stationary point, [p], that keeps these singular values; the other subnetworks are zero."""
    if problem.width < len(kept):
        raise InputError(f"width {problem.width} holds no point with {len(kept)} singular values.")
    u, s, vt = np.linalg.svd(problem.y)
    theta = np.zeros((problem.width, problem.q))
    for j, i in enumerate(kept):
        theta[j] = np.sqrt(s[i] - float(problem.regularisation)) * np.concatenate([u[:, i], vt[i]])
    return theta.reshape(-1)


# --- fewer subnetworks ---


def reduced(problem: Homogeneous | Empirical, theta: np.ndarray) -> tuple[Any, np.ndarray]:
    """A network with the same outputs, no larger loss, and no more subnetworks than it needs: its problem, and theta.

    Matrix factorisations become singular value decompositions, networks with quadratic activation eigendecompositions
    of sum a w w'; of others those whose outputs depend on the rest are removed by moves that keep outputs and
    regulariser (Caratheodory). Subnetworks whose removal does not raise the loss, beyond its rounding, are dropped.
    """
    theta = np.asarray(theta, np.float64)
    if isinstance(problem, Empirical):
        here = forward(problem, theta)
        kept = prune(problem.data, here.w, here.a, here.b0)
        return _networked(problem, kept.hidden, kept.outer, kept.b0)
    w = theta.reshape(problem.width, -1)
    name = problem.net.name
    if name == "rank_one":
        rows = problem.y.shape[0]
        u, s, vt = np.linalg.svd(w[:, :rows].T @ w[:, rows:])
        kept = [i for i in range(len(s)) if s[i] > (ZERO * problem.scale) ** 2]
        w = np.array([np.sqrt(s[i]) * np.concatenate([u[:, i], vt[i]]) for i in kept])
    elif name == "quadratic" and problem.y.ndim == 1:
        values, vectors = np.linalg.eigh((w[:, :-1].T * w[:, -1]) @ w[:, :-1])
        order = [i for i in np.argsort(-np.abs(values)) if abs(values[i]) > (ZERO * problem.scale) ** 3]
        roots = np.cbrt(np.abs(values))
        w = np.array([roots[i] * np.append(vectors[:, i], np.sign(values[i])) for i in order])
    else:
        w = _independent(problem, theta)
    w = w.reshape(-1, problem.q)
    if len(w):
        w = _without_idle(with_width(problem, len(w)), w)
    if not len(w):
        w = np.zeros((1, problem.q))
    small = with_width(problem, len(w))
    return small, small.canonical(w.reshape(-1))


def _independent(problem: Homogeneous, theta: np.ndarray) -> np.ndarray:
    """Subnetworks with independent outputs: proportions g of phi / g are moved until one after the other is zero."""
    w = theta.reshape(problem.width, -1)
    f, g = parts_at(problem, theta)
    alive = np.flatnonzero(~zero_subnetworks(problem, theta) & (g > 0))
    if not len(alive):
        return w[:0]
    atoms = (f[alive].reshape(len(alive), -1) / g[alive, None]).T
    lengths = np.linalg.norm(atoms, axis=0)
    c = np.where(lengths > 0, g[alive], 0.0)
    c = [c, *eliminations(atoms, c, _DEPENDENT)][-1]
    kept = c > 0
    return w[alive[kept]] * ((c[kept] / g[alive[kept]]) ** (1 / problem.net.degree))[:, None]


def _networked(problem: Empirical, w: np.ndarray, a: np.ndarray, b0: float) -> tuple[Empirical, np.ndarray]:
    """A network as a point of the problem of its own width; of width one, and zero, if it has no neuron."""
    if not len(a):
        w, a = np.zeros((1, problem.d)), np.zeros(1)
    order = np.lexsort([*np.round(w / (1e-7 * problem.scale)).T[::-1], a])
    tail = [] if problem.outer_bias == "none" else [np.array([b0])]
    return replace(problem, width=len(a)), np.concatenate([w[order].reshape(-1), a[order], *tail])


def wider(problem: Any, theta: np.ndarray, best: Polar) -> tuple[Any, np.ndarray] | None:
    """The network with the best new subnetwork appended; None if no size lowers the loss.

    A ReLU neuron is appended in any case: beside one that is nearly parallel it alone lowers the loss by less than
    rounding, but the optimum of all cells together, which is where the network goes next, is lower.
    """
    if isinstance(problem, Homogeneous):
        if np.any(zero_subnetworks(problem, theta)):  # the zero network of width one has room
            slot, grown, there = int(np.flatnonzero(zero_subnetworks(problem, theta))[0]), problem, theta
        else:
            grown, there = with_width(problem, problem.width + 1), np.concatenate([theta, np.zeros(problem.q)])
            slot = problem.width
        step = born(grown, there, slot, best)
        return None if step is None else (grown, grown.canonical(there + step))
    here = forward(problem, theta)
    alive = (np.abs(here.a) > 0) & (np.linalg.norm(here.w, axis=1) > 0)
    u, sign = best.weights[:-1], best.weights[-1]
    tried = []
    for t in problem.scale * np.geomspace(1.0, 1e-4, 25):
        w, a = np.vstack([here.w[alive], t * u]), np.append(here.a[alive], t * sign)
        grown, there = _networked(problem, w, a, here.b0)
        now = forward(grown, there)
        tried.append((now.loss, grown, there))
        if now.loss + now.loss_error < here.loss - here.loss_error:
            break
    return min(tried, key=lambda one: one[0])[1:]


def signature(problem: Empirical, theta: np.ndarray) -> bytes:
    """Cells and signs of all neurons, in an order of their own: starts with one signature lead to one stationary loss.

    Exact where the neurons' outputs are independent; elsewhere they may share one loss in several ways.
    """
    here = forward(problem, theta)
    rows = {bytes([int(on)]) + np.packbits(side).tobytes() for on, side in zip(here.a > 0, (here.z > 0).T, strict=True)}
    return b"".join(sorted(rows))


def balanced(problem: Homogeneous, theta: np.ndarray, steps: int = 100) -> np.ndarray:
    """The subnetworks in the best sizes for their directions, [p].

    Minimises loss(sum t_j phi_j) + lambda sum t_j g_j over t >= 0: a convex problem, solved by Newton's method on the
    positive ones; the loss does not rise. It holds on to directions at kinks, where descents do not come to rest.
    """
    w = np.asarray(theta, np.float64).reshape(problem.width, -1)
    f, g = parts_at(problem, theta)
    atoms, y, lam = f.reshape(len(w), -1).T, problem.y.reshape(-1), strength(problem)

    def value(t: np.ndarray) -> float:
        out = atoms @ t
        paid = 0.5 * (out - y) ** 2 if problem.loss_name == "squared" else np.logaddexp(0.0, -y * out)
        return float(np.sum(paid) + lam * (g @ t))

    t = np.ones(len(w))
    now = value(t)
    for _ in range(steps):
        out = atoms @ t
        z = y - out if problem.loss_name == "squared" else y * expit(-y * out)
        curved = 1.0 if problem.loss_name == "squared" else (expit(out) * expit(-out))[:, None]
        slope = lam * g - atoms.T @ z
        free = (t > 0) | (slope < 0)
        if np.max(np.abs(slope[free]), initial=0.0) <= 64 * EPS * max(now, 1e-300):
            break
        part = atoms[:, free]
        move = np.zeros_like(t)
        move[free] = -np.linalg.lstsq(part.T @ (curved * part), slope[free], rcond=1e-13)[0]
        for size in 0.5 ** np.arange(40):
            there = np.maximum(t + size * move, 0.0)
            new = value(there)
            if new < now:
                t, now = there, new
                break
        else:
            break
    return (w * (t ** (1 / problem.net.degree))[:, None]).reshape(-1)


def _without_idle(problem: Homogeneous, w: np.ndarray) -> np.ndarray:
    """The subnetworks, [kept, q], without small ones that only cost: the loss without them is no higher."""
    g = parts_at(problem, w.reshape(-1))[1]
    now, error = float(_losses(problem, w.reshape(1, -1))[0]), problem.loss_error(w.reshape(-1))
    kept = np.ones(len(w), bool)
    for j in np.argsort(g):
        if g[j] > IDLE * float(np.max(g)):
            break
        kept[j] = False
        loss = float(_losses(problem, np.where(kept[:, None], w, 0.0).reshape(1, -1))[0])
        if loss <= now + error:
            now = loss
        else:
            kept[j] = True
    return w[kept]
