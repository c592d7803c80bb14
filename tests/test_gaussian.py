"""The Gaussian moments and both their derivatives are exact: at generic vectors, and where angles are 0 or pi.

The reference is 60-digit arithmetic (tests/reference.py), which is itself checked here against quadrature.
"""

from functools import partial
from itertools import pairwise

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import pytest
import reference
from reference import ALL, HOMOGENEOUS
from slow import slow

from landscape.problems import gaussian
from landscape.problems.activation import activation

EPS = np.finfo(float).eps
KINDS = ("relu", "erf", "gelu")  # one homogeneous activation, and the smooth ones
SOME = [one if one.name in KINDS else slow(one) for one in ALL]
moment = jax.jit(gaussian.moment, static_argnums=0)
moment_gradient = jax.jit(gaussian.moment_gradient, static_argnums=0)
moment_hessian = jax.jit(gaussian.moment_hessian, static_argnums=0)

# theory/gaussian.md, section 6: |u| = 1.3, |v| = 0.7, cosine -0.45.
TABLE = {
    ("linear", 0): -0.4095,
    ("relu", 0): 0.057384157544,
    ("abs", 0): 0.639036630175,
    ("leaky_relu", 0.1): 0.005531167611,
    ("quadratic", 0): 1.1634805,
    ("erf", 0): -0.179414955915,
    ("gelu", 0): -0.021111905329643,
}


def table_vectors():
    return np.array([[1.3, 0.0]]), 0.7 * np.array([[-0.45, np.sqrt(1 - 0.45**2)]])


def at_angle(rng, t, d=3):
    """Two vectors of lengths 1.3 and 0.7 at angle t, in a random plane."""
    plane = np.linalg.qr(rng.normal(size=(d, 2)))[0]
    return 1.3 * plane[:, :1].T, 0.7 * (np.cos(t) * plane[:, :1].T + np.sin(t) * plane[:, 1:].T)


# 0 and pi exactly, then close to them: where naive formulas give NaN or lose the curvature.
ANGLES = (0.0, 1e-9, 1e-8, 1e-4, 1e-2, 1.0, np.pi / 2, 2.0, np.pi - 1e-2, np.pi - 1e-4, np.pi - 1e-9, np.pi)


# --- values ---


@pytest.mark.parametrize(("name", "slope"), TABLE)
def test_moment_has_the_tabulated_value(name, slope):
    u, v = table_vectors()
    # The table has 12 decimals.
    np.testing.assert_allclose(moment(activation(name, slope), u, v), [[TABLE[name, slope]]], rtol=0, atol=6e-13)


@pytest.mark.parametrize("act", ALL, ids=str)
def test_reference_moment_is_the_integral(act):
    rng = np.random.default_rng(0)
    for _ in range(3):
        (u,), (v,) = at_angle(rng, rng.uniform(0, np.pi))
        if act.homogeneous:
            # Polar coordinates: E r^2 = 2, then the mean over the direction; the integrand is smooth between the
            # four kinks, and trapezoids between consecutive kinks at Gauss-Legendre nodes converge geometrically.
            t = np.arccos(u @ v / 0.91)
            kinks = np.sort(
                np.r_[np.array([np.pi / 2, -np.pi / 2, t + np.pi / 2, t - np.pi / 2]) % (2 * np.pi), 0, 2 * np.pi]
            )
            nodes, weights = np.polynomial.legendre.leggauss(40)
            integral = 0.0
            for low, high in pairwise(kinks):
                phi = (low + high) / 2 + (high - low) / 2 * nodes
                values = reference.pointwise(act, 1.3 * np.cos(phi)) * reference.pointwise(act, 0.7 * np.cos(phi - t))
                integral += (high - low) / 2 * weights @ values
            integral /= np.pi
        else:
            nodes, weights = np.polynomial.hermite_e.hermegauss(120)
            c = u @ v
            y = c / 1.3 * nodes[:, None] + np.sqrt(0.49 - (c / 1.3) ** 2) * nodes[None]
            values = reference.pointwise(act, 1.3 * nodes)[:, None] * reference.pointwise(act, y)
            integral = weights @ values @ weights / (2 * np.pi)
        exact = float(reference.moment(act, reference.exact(u), reference.exact(v)))
        # erf(1.3 z) has poles of its transform near enough that 120 nodes leave some 1e-11.
        assert abs(integral - exact) < 1e-10


@pytest.mark.parametrize("act", ALL, ids=str)
@pytest.mark.parametrize("t", ANGLES)
def test_moment_is_exact_at_every_angle(act, t):
    u, v = at_angle(np.random.default_rng(1), t)
    exact = float(reference.moment(act, reference.exact(u[0]), reference.exact(v[0])))
    # |u||v| is 0.91 and the largest weight (leaky at -2.5) is 12: a dozen roundings of numbers of that size.
    np.testing.assert_allclose(moment(act, u, v), [[exact]], rtol=0, atol=12 * EPS * (12 if act.slope else 2))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_supplement_is_within_two_ulp_of_pi_and_exact_at_the_ends(dtype):
    eps = np.finfo(dtype).eps
    rng = np.random.default_rng(2)
    near_one = 1 - np.geomspace(eps, 0.5, 60)
    c = np.r_[rng.uniform(-1, 1, 300), near_one, -near_one, 0.5, -0.5, np.nextafter(0.5, 1), 1e-300, -1e-9].astype(
        dtype
    )
    exact = np.array([float(mp.pi - mp.acos(mp.mpf(float(x)))) for x in c])
    ulp = np.spacing(dtype(np.pi))
    supplement = jax.jit(gaussian.supplement)
    assert np.max(np.abs(np.asarray(supplement(c), float) - exact)) <= 2 * ulp
    ends = supplement(np.array([-1, 0, 1, -1.1, 1.1], dtype))
    np.testing.assert_array_equal(ends, np.array([0, np.pi / 2, np.pi, 0, np.pi], dtype))
    assert ends.dtype == dtype


def test_supplement_keeps_relative_accuracy_where_it_is_small():
    c = -1 + np.geomspace(1e-15, 0.4, 50)
    exact = np.array([float(mp.acos(-mp.mpf(float(x)))) for x in c])
    np.testing.assert_allclose(gaussian.supplement(c), exact, rtol=4 * EPS)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 4 * EPS), (np.float32, 4 * 1.2e-7)])
def test_arc_cosine_is_the_angle_function(dtype, tolerance):
    c = np.r_[np.random.default_rng(3).uniform(-1, 1, 200), -1, 0, 1, 1 - 1e-6, -1 + 1e-6].astype(dtype)
    exact = [float(mp.sin(mp.acos(x)) + (mp.pi - mp.acos(x)) * x) for x in map(mp.mpf, c.astype(float))]
    # Values reach pi: an ulp there is twice eps.
    found = jax.jit(gaussian.arc_cosine)(c)
    np.testing.assert_allclose(found, exact, rtol=0, atol=4 * tolerance)
    assert found.dtype == dtype


def test_derivatives_of_the_angle_functions_are_one_over_sine_and_supplement():
    c = np.random.default_rng(4).uniform(-0.999, 0.999, 100)
    # 1 / sin t is computed with two roundings, each magnified at most by the condition of 1 - c^2.
    slope = jax.jit(jax.vmap(jax.grad(gaussian.supplement)))
    np.testing.assert_allclose(slope(c), 1 / np.sqrt((1 - c) * (1 + c)), rtol=1e-14)
    ends = np.r_[c, -1.0, 1.0]
    found = jax.jit(jax.vmap(jax.grad(gaussian.arc_cosine)))(ends)
    np.testing.assert_array_equal(found, jax.jit(gaussian.supplement)(ends))
    assert np.all(np.isfinite(slope(np.array([-1.0, 1.0]))))


def test_moment_of_one_input_is_half_the_product_or_nothing():
    u, v = np.array([[1.5], [-0.4]]), np.array([[2.0], [-3.0]])
    relu = activation("relu")
    np.testing.assert_allclose(moment(relu, u, v), [[1.5, 0], [0, 0.6]], rtol=2 * EPS, atol=0)
    own, cross = moment_hessian(relu, u, v, np.ones(2))
    np.testing.assert_array_equal(own, np.zeros((2, 1, 1)))
    np.testing.assert_allclose(cross[:, :, 0, 0], [[0.5, 0], [0, 0.5]], rtol=2 * EPS, atol=0)
    np.testing.assert_allclose(moment_gradient(relu, u, v, np.ones(2)), [[1.0], [-1.5]], rtol=2 * EPS)


@pytest.mark.parametrize("act", SOME, ids=str)
def test_zero_vectors_have_zero_moments_and_finite_derivatives(act):
    u, v = np.array([[0.0, 0.0], [1.0, 2.0]]), np.array([[0.0, 0.0], [0.3, -1.0]])
    value = moment(act, u, v)
    np.testing.assert_array_equal(value[0], 0.0)
    np.testing.assert_array_equal(value[:, 0], 0.0)
    for part in jax.tree.leaves((moment_gradient(act, u, v, np.ones(2)), moment_hessian(act, u, v, np.ones(2)))):
        assert np.all(np.isfinite(part))


# --- derivatives ---


@pytest.mark.parametrize("act", SOME, ids=str)
def test_derivatives_are_the_finite_differences_of_the_level_below(act):
    rng = np.random.default_rng(5)
    u, v, weight = rng.normal(size=(3, 4)), 1.5 * rng.normal(size=(2, 4)), np.array([0.7, -1.3])
    flat = u.reshape(-1)
    value = lambda x: moment(act, x.reshape(3, 4), v) @ weight  # noqa: E731
    slope = np.asarray(moment_gradient(act, u, v, weight))
    # Central differences at h = 1e-5: truncation 1e-10 third derivatives, rounding 1e-15 / 1e-5 of values below 100.
    differences = reference.central_differences(value, flat, 1e-5).reshape(3, 3, 4)
    np.testing.assert_allclose(np.einsum("iia->ia", differences), slope, rtol=1e-8, atol=3e-8)
    assert np.max(np.abs(differences[~np.eye(3, dtype=bool)])) == 0  # moment i does not see vector j

    own, cross = moment_hessian(act, u, v, weight)
    differences = reference.central_differences(lambda x: moment_gradient(act, x.reshape(3, 4), v, weight), flat, 1e-5)
    np.testing.assert_allclose(np.einsum("iaib->iab", differences.reshape(3, 4, 3, 4)), own, rtol=1e-8, atol=3e-8)
    for j in range(2):
        one = np.eye(2)[j]
        differences = reference.central_differences(
            lambda x, one=one: moment_gradient(act, u, x.reshape(2, 4), one), v.reshape(-1), 1e-5
        ).reshape(3, 4, 2, 4)
        np.testing.assert_allclose(differences[:, :, j], cross[:, j], rtol=1e-8, atol=3e-8)


@pytest.mark.parametrize("act", ALL, ids=str)
@pytest.mark.parametrize("t", ANGLES)
def test_derivatives_are_exact_at_every_angle(act, t):
    u, v = at_angle(np.random.default_rng(6), t)
    both = reference.exact(np.r_[u[0], v[0]])
    f = lambda x: reference.moment(act, x[:3], x[3:])  # noqa: E731
    size = 12 if act.slope else 4  # the largest derivative is a few; that of leaky at -2.5 twelve times relu's
    slope = moment_gradient(act, u, v, np.ones(1))[0]
    np.testing.assert_allclose(slope, reference.gradient(f, both)[:3], rtol=0, atol=16 * EPS * size)
    exact = reference.hessian(f, both)
    own, cross = moment_hessian(act, u, v, np.ones(1))
    # d2/du du is |v| sin t / (pi |u|): its error is that of the angle, eps, and not sqrt(eps).
    np.testing.assert_allclose(own[0], exact[:3, :3], rtol=0, atol=32 * EPS * size)
    np.testing.assert_allclose(cross[0, 0], exact[:3, 3:], rtol=0, atol=32 * EPS * size)


def test_relu_curvature_is_zero_and_half_the_identity_at_equal_vectors_and_nothing_at_opposite_ones():
    relu = activation("relu")
    rng = np.random.default_rng(7)
    for d in (1, 2, 5):
        for factor in (1.0, 2.0, 1 / 3, 1e6):
            u = rng.normal(size=(1, d))
            own, cross = moment_hessian(relu, u, factor * u, np.ones(1))
            # |v| / |u| scales the own term; rounding of the direction, eps, survives in it.
            np.testing.assert_allclose(own[0], 0, atol=4 * EPS * factor)
            # I / 2, and not the I of the code published with Safran, Yehudai and Shamir 2021.
            np.testing.assert_allclose(cross[0, 0], np.eye(d) / 2, rtol=0, atol=4 * EPS)
            own, cross = moment_hessian(relu, u, -factor * u, np.ones(1))
            np.testing.assert_allclose(own[0], 0, atol=4 * EPS * factor)
            np.testing.assert_allclose(cross[0, 0], 0, atol=4 * EPS)


@pytest.mark.parametrize("act", [slow(one) if one.name == "abs" else one for one in HOMOGENEOUS], ids=str)
def test_curvature_of_a_homogeneous_moment_annihilates_the_vector_itself(act):
    rng = np.random.default_rng(8)
    u, v, weight = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)), rng.normal(size=4)
    own, _ = moment_hessian(act, u, v, weight)
    # Euler: the gradient is homogeneous of degree 0. Terms are below 50 for these vectors.
    np.testing.assert_allclose(np.einsum("iab,ib->ia", own, u), 0, atol=50 * 16 * EPS)
    value = np.sum(np.asarray(moment(act, u, v)) * weight, axis=1)
    slope = moment_gradient(act, u, v, weight)
    np.testing.assert_allclose(np.sum(slope * u, axis=1), value, rtol=0, atol=50 * 16 * EPS)


# --- precision and transformations ---


@pytest.mark.parametrize("act", SOME, ids=str)
def test_float32_is_finite_and_accurate_at_every_angle(act):
    rng = np.random.default_rng(9)
    scale = 12 if act.slope else 4
    for t in ANGLES:
        u, v = (x.astype(np.float32) for x in at_angle(rng, t))
        half = (moment(act, u, v), moment_gradient(act, u, v, np.ones(1, np.float32)))
        half += tuple(moment_hessian(act, u, v, np.ones(1, np.float32)))
        full = (
            moment(act, u.astype(float), v.astype(float)),
            moment_gradient(act, u.astype(float), v.astype(float), np.ones(1)),
        )
        full += tuple(moment_hessian(act, u.astype(float), v.astype(float), np.ones(1)))
        for low, high in zip(half, full, strict=True):
            assert low.dtype == np.float32
            # 16 roundings of 6e-8 on numbers below 4 (leaky at -2.5: 12). The clip that is often used loses 0.3.
            np.testing.assert_allclose(low, high, rtol=0, atol=16 * 1.2e-7 * scale)


@pytest.mark.parametrize("act", [activation("relu"), slow(activation("gelu"))], ids=str)
def test_jit_is_eager_and_vmap_is_a_loop(act):
    rng = np.random.default_rng(10)
    u, v, weight = rng.normal(size=(2, 3, 5)), rng.normal(size=(2, 5)), rng.normal(size=2)
    every = lambda x: (  # noqa: E731
        gaussian.moment(act, x, v),
        gaussian.moment_gradient(act, x, v, weight),
        *gaussian.moment_hessian(act, x, v, weight),
    )
    loop = [every(jnp.asarray(x)) for x in u]
    compiled, batched = jax.jit(every), jax.jit(jax.vmap(every))(u)
    for i, one in enumerate(loop):
        for alone, whole, part in zip(compiled(u[i]), batched, one, strict=True):
            # Fused multiply-adds and another order of sums: a few ulp of terms below 10.
            np.testing.assert_allclose(alone, part, rtol=0, atol=10 * 16 * EPS)
            np.testing.assert_allclose(whole[i], part, rtol=0, atol=10 * 16 * EPS)


@pytest.mark.parametrize("batch", [16384, 32768, 40000])
@pytest.mark.parametrize("shape", [(3, 3), (5, 3), (6, 6)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_compiled_matrix_vector_products_of_a_large_batch_are_right(batch, shape, dtype):
    """jax 0.10.2 returns numbers wrong by a factor of 15,000 here on CPU (jax issue 39103)."""
    rng = np.random.default_rng(11)
    matrix, x = rng.normal(size=shape).astype(dtype), rng.normal(size=(batch, shape[1])).astype(dtype)
    product = partial(jnp.matmul, precision="highest")  # a GPU multiplies float32 by one TF32 product else
    found = jax.jit(jax.vmap(lambda row: jnp.sum(product(matrix, row) ** 2)))(x)
    expected = np.sum((x.astype(float) @ matrix.T.astype(float)) ** 2, axis=1)
    # A sum of squares of sums of at most 6 products; the inner sums may cancel.
    size = np.sum((np.abs(x).astype(float) @ np.abs(matrix.T).astype(float)) ** 2, axis=1)
    assert np.max(np.abs(found - expected) / size) < 32 * np.finfo(dtype).eps
