"""The kernel that holds a restart on chip is the plain form of the same descent, and lowers to Triton for a GPU."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import long, mostly_slow, slow

import landscape as ls
from landscape import descent
from landscape.engine import kernels, on_chip

METHODS = {name: descent.method(name) for name in ("gradient-descent", "flow")}


def lanes(problem, method, count, dtype):
    """Descents 40 gradients from their starts: the flow is in the middle of steps of different lengths."""
    thetas = ls.start_points(problem, 0, np.arange(count)).astype(dtype)
    begun = jax.vmap(partial(descent.init, problem, method))(jnp.asarray(thetas), jnp.ones(count, dtype))
    return plainly(problem, method, begun, 40)


@partial(jax.jit, static_argnames=("method", "steps"))
def plainly(problem, method, begun, steps):
    return jax.vmap(lambda lane: descent.advance(problem, method, lane, steps))(begun)


@partial(jax.jit, static_argnames=("method", "steps"))
def chip(problem, method, begun, steps):
    return on_chip.advance(problem, method, begun, steps, interpret=True)


SIZES = {"k = n = 6": (6, 6, 6), "k = n = 20": (20, 20, 20), "width 7, teacher 5, dimension 17": (5, 7, 17)}


@pytest.mark.parametrize("name", mostly_slow(METHODS, "flow"))
@pytest.mark.parametrize("size", ["k = n = 6", long("k = n = 20"), slow("width 7, teacher 5, dimension 17")])
def test_a_chunk_on_chip_is_a_chunk_of_the_plain_form(name, size):
    (k, n, d), method = SIZES[size], METHODS[name]
    problem = ls.orthonormal_teacher(k, n, d)
    begun = lanes(problem, method, 5, np.float64)
    found, wanted = chip(problem, method, begun, 60), plainly(problem, method, begun, 60)
    # 60 gradients, each with sums of some 40 terms in another order: a few eps of theta each, which descent does not
    # blow up by more than its own curvature over so short a time.
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)
    assert float(np.abs(found.theta - begun.theta).max()) > 0.01


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs", "linear"])
def test_every_homogeneous_activation_has_its_gradient_on_a_tile(activation):
    problem = ls.teacher_student(np.random.default_rng(0).normal(size=(4, 3)), 6, activation, slope=0.2)
    tile = problem.tile(np.float64)
    theta = np.random.default_rng(1).normal(size=(1, problem.p))
    product = partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    on_tile = tile.gradient(on_chip._padded(tile, theta).reshape(tile.shape), tile.arrays, product)
    found = on_chip._unpadded(tile, on_tile.reshape(1, -1), problem.p)
    np.testing.assert_allclose(found[0], jax.jit(problem.gradient)(theta[0]), rtol=0, atol=1e-14)  # sums of ten terms
    assert not np.any(on_tile[6:])
    assert not np.any(on_tile[:, 3:])


def test_in_single_precision_it_is_as_near_as_single_precision_is():
    problem, method = ls.orthonormal_teacher(8), METHODS["gradient-descent"]
    begun = lanes(problem, method, 4, np.float32)
    found, wanted = chip(problem, method, begun, 30), plainly(problem, method, begun, 30)
    assert found.theta.dtype == np.float32
    # 30 steps of 0.1 times a gradient of eight terms of 6e-8.
    np.testing.assert_allclose(found.theta, wanted.theta, rtol=0, atol=1e-5)


def test_there_is_a_kernel_for_what_fits_on_chip_only():
    flow, fits = METHODS["flow"], partial(on_chip.applies, dtype=np.float64)
    assert fits(ls.orthonormal_teacher(32), flow)
    assert not fits(ls.orthonormal_teacher(33), flow)
    assert not fits(ls.orthonormal_teacher(6), descent.method("lbfgs"))
    assert not fits(ls.teacher_student(np.eye(4), activation="erf"), flow)
    assert not fits(ls.empirical(np.eye(3), np.ones(3), 2), flow)


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")  # by JAX 0.12, which has it still
@pytest.mark.parametrize("dtype", [np.float32, slow(np.float64)])
@pytest.mark.parametrize("name", METHODS)
def test_it_lowers_to_triton(name, dtype):
    """Every operation of gradient and step has a form there, in powers of two."""
    if jax.__version_info__ >= (0, 11) and jax.default_backend() != "gpu":
        pytest.skip("from JAX 0.11 on kernels are lowered where a GPU is only")
    problem, method = ls.orthonormal_teacher(20), METHODS[name]
    begun = lanes(problem, method, 3, dtype)
    program = jax.jit(lambda begun: on_chip.advance(problem, method, begun, 60))
    text = program.trace(begun).lower(lowering_platforms=("cuda",)).as_text()
    assert "__gpu$xla.gpu.triton" in text or "triton_kernel_call" in text


def test_it_is_chosen_where_it_was_measured_to_be_faster():
    hopper, older, amd, cpu = (SimpleNamespace(compute_capability=name) for name in ("9.0", "7.5", "gfx942", ""))
    flow, at_20 = METHODS["flow"], ls.orthonormal_teacher(20)
    assert kernels.form(at_20, flow, np.float32, hopper) is kernels.Form.ON_CHIP
    assert kernels.form(at_20, flow, np.float32, hopper, looked=True) is kernels.Form.ROWS
    assert kernels.form(at_20, flow, np.float64, hopper) is kernels.Form.ROWS
    assert kernels.form(ls.orthonormal_teacher(6), flow, np.float32, hopper) is kernels.Form.LAST_AXIS
    assert kernels.form(ls.orthonormal_teacher(40), flow, np.float32, hopper) is kernels.Form.ROWS
    for device in (older, amd, cpu, SimpleNamespace()):
        assert kernels.form(at_20, flow, np.float32, device) is kernels.Form.ROWS


@pytest.mark.filterwarnings("ignore:The Pallas Triton backend is deprecated")
def test_a_census_on_chip_is_that_of_the_plain_form(monkeypatch):
    problem, how = ls.orthonormal_teacher(8), dict(restarts=24, seed=1, optimiser="flow", lanes=8, progress=False)
    plain = ls.explore(problem, **how)
    monkeypatch.setattr(kernels, "form", lambda *_: kernels.Form.ON_CHIP)
    census = ls.explore(problem, **how)
    assert set(census.rows["label"]) == {"global", "spurious"}
    for name in ("label", "by", "orbit"):
        np.testing.assert_array_equal(census.rows[name], plain.rows[name])
    np.testing.assert_allclose(census.rows["loss"], plain.rows["loss"], rtol=0, atol=1e-12)
