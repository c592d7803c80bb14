"""Expectations E[s(u.x) s(v.x)] under x ~ N(0, I) in closed form, with exact first and second derivatives.

Two families cover the activations. For `s(z) = odd z + even |z|` (linear, relu, leaky relu, absolute value) the
moment is a combination of u.v and the degree-one arc-cosine kernel of the angle t between u and v (Cho and Saul
2009). It is twice continuously differentiable wherever u and v are not zero, parallel and antiparallel vectors
included, and every formula here is written so that each term has its limit there: automatic differentiation of
`arccos` gives NaN, or with a clipped cosine a Hessian that is wrong by O(1), at exactly the interesting points.
The smooth family (quadratic, erf, gelu) is a function of a = |u|^2, b = |v|^2 and c = u.v with all its partial
derivatives by hand.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from landscape.arrays import AnyArray
from landscape.problems.activation import Activation, Partials
from landscape.problems.problem import HIGHEST, times

# asin(x) = x + x z R(z) with z = x^2 in [0, 1/4]: interpolation of R at Chebyshev nodes, 40 digits. The error of
# z R is 4e-18 (degree 12) and 1e-9 (degree 5), below half an ulp of asin in float64 and float32.
_ASIN_64 = (
    0.16666666666666669, 0.07499999999998433, 0.04464285714635543, 0.030381944138531247, 0.02237217294214989,
    0.017352392720869973, 0.013971212973552933, 0.011479177415184906, 0.01032281435018578, 0.005457506718640358,
    0.01740087944269402, -0.014851887071247204, 0.028757851367421566,
)  # fmt: skip
_ASIN_32 = (
    0.16666666337430908, 0.07500094543497424, 0.04459940152851218, 0.03110066273549457, 0.017149238357677253,
    0.03369084720283012,
)  # fmt: skip


def _asin_half(x: AnyArray, z: AnyArray) -> AnyArray:
    """asin(x) for |x| <= 1/2, given z = x^2."""
    coefficients = _ASIN_64 if x.dtype == jnp.float64 else _ASIN_32
    r = jnp.full_like(z, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        r = r * z + coefficient
    return x + x * z * r


@jax.custom_jvp
def supplement(c: AnyArray) -> Array:
    """pi - t for c = cos t, elementwise: arccos(-c), within 2 ulp of pi for |c| <= 1 and exact at -1, 0 and 1.

    XLA's own arccos is not vectorised on CPU (6 to 10 ns an element against 1). Values outside [-1, 1] are clipped.
    The derivative 1 / sin t is clamped at 1 / (2 sqrt(eps)) so that it is finite at c = +-1.
    """
    y = jnp.minimum(jnp.abs(c), 1.0)
    near = y > 0.5  # there 1 - y is exact, and t = 2 asin(sqrt((1 - y) / 2)) keeps its relative accuracy
    z = jnp.where(near, 0.5 * (1.0 - y), y * y)
    r = _asin_half(jnp.where(near, jnp.sqrt(z), y), z)
    pi = jnp.asarray(np.pi, c.dtype)
    return jnp.where(near, jnp.where(c > 0, pi - 2.0 * r, 2.0 * r), 0.5 * pi + jnp.sign(c) * r)


@supplement.defjvp
def _supplement_jvp(primals, tangents):
    (c,), (dc,) = primals, tangents
    eps = jnp.finfo(c.dtype).eps
    return supplement(c), dc / jnp.sqrt(jnp.maximum((1.0 - c) * (1.0 + c), 4.0 * eps))


@jax.custom_jvp
def arc_cosine(c: AnyArray) -> Array:
    """sin t + (pi - t) cos t for c = cos t, elementwise; its derivative in c is pi - t."""
    return _sine(c) + supplement(c) * jnp.clip(c, -1.0, 1.0)


@arc_cosine.defjvp
def _arc_cosine_jvp(primals, tangents):
    (c,), (dc,) = primals, tangents
    return arc_cosine(c), supplement(c) * dc


def _sine(c: AnyArray) -> Array:
    y = jnp.minimum(jnp.abs(c), 1.0)
    return jnp.sqrt((1.0 - y) * (1.0 + y))


def _norms(u: AnyArray) -> tuple[Array, AnyArray]:
    """Row norms [..., m] and unit rows [..., m, d]; a zero row has the zero vector for its direction."""
    square = jnp.sum(u * u, axis=-1)
    positive = square > 0
    norm = jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)
    return norm, u * jnp.where(positive, 1.0 / jnp.where(positive, norm, 1.0), 0.0)[..., None]


def _dot(a: AnyArray, b: AnyArray) -> Array:
    """a b^T in full precision (TF32 costs 0.03 rad in an angle)."""
    return times(a, jnp.swapaxes(b, -1, -2))


def moment(activation: Activation, u: Float[AnyArray, "m d"], v: Float[AnyArray, "q d"]) -> Float[Array, "m q"]:
    """E[s(u_i.x) s(v_j.x)] for x ~ N(0, I), all pairs.

    Accurate to a few ulp of |u_i||v_j| (homogeneous activations). Sources: Cho and Saul 2009 (arc-cosine kernel),
    Williams 1998 (erf); gelu by Price's theorem.
    """
    if activation.homogeneous:
        arc, linear = activation.arc_and_linear
        (nu, uu), (nv, vv) = _norms(u), _norms(v)
        c = _dot(uu, vv)
        return nu[:, None] * nv[None] * (arc / (2 * np.pi) * arc_cosine(c) + linear * c)
    return _smooth(activation, u, v).value


def moment_gradient(
    activation: Activation,
    u: Float[AnyArray, "*batch m d"],
    v: Float[AnyArray, "*shared q d"],
    weight: Float[AnyArray, " q"],
) -> Float[Array, "*batch m d"]:
    """sum_j weight_j d/du_i E[s(u_i.x) s(v_j.x)], v held fixed; v may be one set of rows for a whole batch of u.

    Right at parallel, antiparallel and equal rows. At a zero row of u, where the moment has a cone, it is the mean
    over directions of the one-sided gradients.
    """
    if activation.homogeneous:
        arc, linear = activation.arc_and_linear
        (_, uu), (nv, vv) = _norms(u), _norms(v)
        c = _dot(uu, vv)
        pairs = c.shape
        # One long row, not many short ones, and kept so by the barriers: XLA vectorises along the last axis only.
        c = jax.lax.optimization_barrier(c.reshape(-1))
        # sin t and pi - t are taken from one cosine: near t = 0 their errors, sqrt(eps) each, cancel in the
        # combination sin t u/|u| + (pi - t) v/|v|, which is what keeps the gradient exact at W = V.
        sine, rest = jax.lax.optimization_barrier((_sine(c), supplement(c)))
        radial = times(sine.reshape(pairs), (weight * nv)[..., None])
        flat = times(rest.reshape(pairs), weight[:, None] * v)
        return arc / (2 * np.pi) * (radial * uu + flat) + linear * times(weight, v)[..., None, :]
    if u.ndim > 2:
        each = jax.vmap(partial(moment_gradient, activation), in_axes=(0, None if v.ndim == 2 else 0, None))
        return each(u, v, weight)
    k = _smooth(activation, u, v)
    return 2.0 * times(k.a, weight)[:, None] * u + times(k.c, weight[:, None] * v)


def gradient_lanes(
    activation: Activation, u: Float[AnyArray, "m d lanes"], v: Float[AnyArray, "q d"]
) -> Float[Array, "m d lanes"]:
    """The gradient in u of 1/2 E (sum_i s(u_i.x) - sum_j s(v_j.x))^2 for many u at once, along the last axis.

    The same numbers as two calls of `moment_gradient`, for homogeneous activations: every operation is a vector over
    lanes, and each pair of rows of u is looked at once. Three times faster than batched matrix products up to seven
    rows, and slower above.
    """
    arc, linear = activation.arc_and_linear
    m, d, _ = u.shape
    square = jnp.sum(u * u, axis=1)
    norm = jnp.sqrt(square)
    uu = u * jnp.where(square > 0, 1.0 / jnp.where(square > 0, norm, 1.0), 0.0)[:, None]
    nv, vv = _norms(v)

    # Pairs (i, j) with i < j, row by row; slices and sums instead of products keep each step one vector operation.
    if m > 1:
        c = jnp.concatenate([sum(uu[i + 1 :, a] * uu[i, a] for a in range(d)) for i in range(m - 1)])  # type: ignore[misc]
        sine, rest = _sine(c), supplement(c)
    at = {pair: row for row, pair in enumerate((i, j) for i in range(m) for j in range(i + 1, m))}
    radial, flat = [], []
    for i in range(m):
        others = [(j, at[min(i, j), max(i, j)]) for j in range(m) if j != i]
        radial.append(sum((sine[row] * norm[j] for j, row in others), jnp.zeros_like(norm[i])))
        flat.append(sum((rest[row] * u[j] for j, row in others), np.pi * u[i]))

    cross = jnp.einsum("iar,ja->jir", uu, vv, precision=HIGHEST)
    pull = jnp.einsum("jir,ja->iar", supplement(cross), v, precision=HIGHEST)
    out = jnp.stack(radial) - jnp.sum(_sine(cross) * nv[:, None, None], axis=0)
    even = arc / (2 * np.pi) * (out[:, None] * uu + jnp.stack(flat) - pull)
    return even + linear * (jnp.sum(u, axis=0) - jnp.sum(v, axis=0)[:, None])


def gradient_on_tile(
    activation: Activation, rows: int, u: Any, arrays: tuple[Any, ...], product: Callable[[Any, Any], Any]
) -> Any:
    """The gradient in u of 1/2 E (sum_i s(u_i.x) - sum_j s(v_j.x))^2, [m, d], where u and v are padded with zeros.

    The same numbers as two calls of `moment_gradient`, for homogeneous activations, of operations that a kernel may
    use: zero rows of u and v pull at nothing, and those of u are kept at zero.

    Args:
        activation: Homogeneous.
        rows: Of u that are neurons.
        u: [m, d].
        arrays: v [q, d].
        product: Of two matrices, in full precision.
    """
    (v,) = arrays
    arc, linear = activation.arc_and_linear
    (nu, uu), (nv, vv) = _norms(u), _norms(v)
    own, cross = product(uu, uu.T), product(uu, vv.T)
    radial = jnp.sum(_sine(own) * nu[None, :], axis=1) - jnp.sum(_sine(cross) * nv[None, :], axis=1)
    flat = product(supplement(own), u) - product(supplement(cross), v)
    total = arc / (2 * np.pi) * (radial[:, None] * uu + flat)
    total = total + linear * (jnp.sum(u, axis=0) - jnp.sum(v, axis=0))[None, :]
    there = jax.lax.broadcasted_iota(jnp.int32, u.shape, 0) < rows
    return jnp.where(there, total, jnp.zeros_like(total))


def moment_hessian(
    activation: Activation, u: Float[AnyArray, "m d"], v: Float[AnyArray, "q d"], weight: Float[AnyArray, " q"]
) -> tuple[Float[Array, "m d d"], Float[Array, "m q d d"]]:
    """Second derivatives: sum_j weight_j d2/du_i du_i, and d2/du_i dv_j for every pair.

    Finite and equal to their limits at parallel and antiparallel rows: d2/du du -> 0 there, and d2/du dv -> I/2
    (parallel), 0 (antiparallel) for relu. For equal rows the terms that do not vanish are exact to a few ulp.
    """
    if activation.homogeneous:
        return _homogeneous_hessian(activation, u, v, weight)
    k = _smooth(activation, u, v)
    eye = jnp.eye(u.shape[-1], dtype=u.dtype)
    outer = lambda m, x, y: jnp.einsum("ij,ija,ijb->iab", m, x, y, precision=HIGHEST)  # noqa: E731
    ui, vj = (
        jnp.broadcast_to(u[:, None], k.value.shape + u.shape[-1:]),
        jnp.broadcast_to(v[None], k.value.shape + v.shape[-1:]),
    )
    mixed = outer(2.0 * k.ac * weight, ui, vj)
    own = (
        2.0 * times(k.a, weight)[:, None, None] * eye
        + outer(4.0 * k.aa * weight, ui, ui)
        + mixed
        + jnp.swapaxes(mixed, -1, -2)
        + outer(k.cc * weight, vj, vj)
    )
    at = lambda m: m[..., None, None]  # noqa: E731
    uu, uv = ui[..., :, None] * ui[..., None, :], ui[..., :, None] * vj[..., None, :]
    vv, vu = vj[..., :, None] * vj[..., None, :], vj[..., :, None] * ui[..., None, :]
    cross = at(k.c) * eye + at(4.0 * k.ab) * uv + at(2.0 * k.ac) * uu + at(2.0 * k.bc) * vv + at(k.cc) * vu
    return own, cross


def _homogeneous_hessian(activation: Activation, u: AnyArray, v: AnyArray, weight: AnyArray) -> tuple[Array, Array]:
    """With p = v/|v| - cos t u/|u|, so |p| = sin t (Safran and Shamir 2017, appendix):

    d2/du du = |v| / (2 pi |u|) [ sin t (I - uu uu^T) + p p^T / sin t ],
    d2/du dv = [ (pi - t) I + sin t cos t uu uu^T + sin t (uu p^T + p uu^T) - cos t p p^T / sin t ] / (2 pi).

    Written in p, p p^T / sin t vanishes like sin t when u and v are parallel. A cosine knows an angle near 0 only to
    sqrt(eps); |p| knows it to eps.
    """
    arc, linear = activation.arc_and_linear
    (nu, uu), (nv, vv) = _norms(u), _norms(v)
    c = jnp.clip(_dot(uu, vv), -1.0, 1.0)
    p = vv[None, :, :] - c[:, :, None] * uu[:, None, :]
    square = jnp.sum(p * p, axis=-1)
    # Below 4 eps the direction of p is rounding noise; its contribution, at most sin t, is nothing.
    apart = square > (4.0 * jnp.finfo(u.dtype).eps) ** 2
    s = jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)
    over_s = jnp.where(apart, 1.0 / jnp.where(apart, s, 1.0), 0.0)
    small = jnp.minimum(s, 0.5)
    t_small = _asin_half(small, small * small)
    pi = jnp.asarray(np.pi, u.dtype)
    rest = jnp.where(s < 0.5, jnp.where(c > 0, pi - t_small, t_small), supplement(c))  # pi - t

    eye = jnp.eye(u.shape[-1], dtype=u.dtype)
    scale = arc / (2 * np.pi)
    inverse = jnp.where(nu > 0, 1.0 / jnp.where(nu > 0, nu, 1.0), 0.0)
    m = weight * nv * inverse[:, None]  # [m, q]
    own = scale * (
        jnp.sum(m * s, axis=1)[:, None, None] * (eye - uu[:, :, None] * uu[:, None, :])
        + jnp.einsum("ij,ija,ijb->iab", m * over_s, p, p, precision=HIGHEST)
    )
    at = lambda x: x[..., None, None]  # noqa: E731
    up = uu[:, None, :, None] * p[:, :, None, :]
    cross = scale * (
        at(rest) * eye
        + at(s * c) * (uu[:, :, None] * uu[:, None, :])[:, None]
        + at(s) * (up + jnp.swapaxes(up, -1, -2))
        - at(c * over_s) * (p[..., :, None] * p[..., None, :])
    )
    return own, cross + linear * eye


def _smooth(activation: Activation, u: AnyArray, v: AnyArray) -> Partials:
    """The moments of activations that are functions of a, b and c, with their partial derivatives."""
    a = jnp.sum(u * u, axis=-1)[:, None]
    b = jnp.sum(v * v, axis=-1)[None, :]
    c = _dot(u, v)
    # a b - c^2 loses a b eps where long neurons are nearly parallel; as a |v - (c / a) u|^2 it does not.
    ratio = jnp.where(a > 0, c / jnp.where(a > 0, a, 1.0), 0.0)
    apart = v[None, :, :] - ratio[:, :, None] * u[:, None, :]
    partials = activation.over_gaussian.partials
    assert partials is not None  # all but the homogeneous ones have them
    return partials(a, b, c, a * jnp.sum(apart * apart, axis=-1))
