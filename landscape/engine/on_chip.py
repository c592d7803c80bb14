"""A chunk of descents in one kernel that holds each restart on chip: gradient and step alike.

One Pallas program a restart reads theta and the memory of its method once, takes all gradients of the chunk, and writes
them once: between two gradients nothing goes through memory. The method's own `step` is traced into the kernel. What is
not a power of two is padded with zeros, which stay zero. Loss and gradient norm are taken outside, once a chunk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

try:
    from jax.experimental.pallas import triton
except ImportError:  # deprecated in JAX 0.11, which has it still
    triton = None

from landscape.descent import Lane, Method
from landscape.descent.lane import euclidean_norm
from landscape.problems.problem import HIGHEST, Loss, Tile

X3 = jax.lax.DotAlgorithmPreset.TF32_TF32_F32_X3  # float32 by three products of tensor cores: no digit is lost
WARPS = 2  # of a program: best of a sketch of this kernel on an H200, in float32 at k = 6 and 20


def runs_on(device: Any) -> bool:
    """Whether the kernel is compiled for this device: NVIDIA's from Ampere on, which have TF32."""
    capability = str(getattr(device, "compute_capability", ""))  # "9.0"; of AMD's "gfx942"
    return triton is not None and capability.replace(".", "", 1).isdigit() and float(capability) >= 8.0


def applies(problem: Loss, method: Method, dtype: Any) -> bool:
    """Whether there is a kernel for these."""
    return method.on_chip and problem.tile(dtype) is not None


def advance(problem: Loss, method: Method, lanes: Lane, steps: int, interpret: bool = False) -> Lane:
    """The lanes `steps` gradients later, with loss and gradient norm there; lanes are rows, theta is [lanes, p].

    The same as `vmap` of `descent.advance` up to the order of sums.

    Args:
        problem: One that has a tile.
        method: One whose memory fits on chip.
        lanes: Rows.
        steps: Gradients.
        interpret: Run it as an ordinary program, on any device, instead of compiling it for a GPU.
    """
    tile = problem.tile(lanes.theta.dtype)
    assert tile is not None
    count, p = lanes.theta.shape
    state = (lanes.theta, lanes.memory, lanes.step_scale)
    leaves, structure = jax.tree.flatten(state)
    wide = [_padded(tile, leaf) if leaf.ndim == 2 else leaf for leaf in leaves]
    tables = [_power_of_two(jnp.asarray(table, lanes.theta.dtype)) for table in method.tables]
    constants = [*tile.arrays, *tables]
    single = lanes.theta.dtype == jnp.float32 and not interpret
    kernel = _kernel(tile, method, structure, len(constants), steps, X3 if single else HIGHEST)
    found = pl.pallas_call(
        kernel,
        grid=(count,),
        in_specs=[*map(_of_a_lane, wide), *map(_of_all, constants)],
        out_specs=[_of_a_lane(leaf) for leaf in wide],
        out_shape=[jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in wide],
        interpret=interpret,
        compiler_params=None if interpret or triton is None else triton.CompilerParams(num_warps=WARPS),
    )(*wide, *constants)
    narrow = [_unpadded(tile, leaf, p) if leaf.ndim == 2 else leaf for leaf in found]
    theta, memory, step_scale = jax.tree.unflatten(structure, narrow)
    last = method.gradient_in(memory)
    last = problem.gradients(theta) if last is None else last
    time = lanes.time + method.elapsed(lanes.memory, memory, steps, step_scale)
    return Lane(theta, memory, step_scale, jax.vmap(problem.loss)(theta), euclidean_norm(last.T), time)


class _Gradient:
    """What a step asks for, inside a kernel: the gradient on the tile, and entries of tables in memory."""

    def __init__(self, tile: Tile, arrays: tuple[Any, ...], tables: list[Any], product: Callable[[Any, Any], Any]):
        self.tile, self.arrays, self.tables, self.product = tile, arrays, tables, product

    def __call__(self, theta: Any) -> Any:
        return self.tile.gradient(theta.reshape(self.tile.shape), self.arrays, self.product).reshape(-1)

    def entry(self, table: int, *at: Any) -> Any:
        return self.tables[table][at]


def _kernel(tile: Tile, method: Method, structure: Any, constants: int, steps: int, precision: Any) -> Any:
    """The kernel: references to the leaves of a lane and to the constants, then to the leaves that it writes."""

    def product(a: Any, b: Any) -> Any:
        return jax.lax.dot(a, b, precision=precision, preferred_element_type=a.dtype)

    def kernel(*references: Any) -> None:
        count = structure.num_leaves
        taken, given, written = references[:count], references[count : count + constants], references[-count:]
        theta, memory, step_scale = jax.tree.unflatten(structure, [leaf[...] for leaf in taken])
        arrays = tuple(array[...] for array in given[: len(tile.arrays)])
        gradient: Any = _Gradient(tile, arrays, list(given[len(tile.arrays) :]), product)

        def step(number: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            return method.step(gradient, *carry, step_scale, number)

        theta, memory = jax.lax.fori_loop(0, steps, step, (theta, memory))
        for leaf, value in zip(written, jax.tree.leaves((theta, memory, step_scale)), strict=True):
            leaf[...] = value

    return kernel


def _of_a_lane(leaf: Any) -> pl.BlockSpec:
    """Of a leaf [lanes, ...] the part of one lane."""
    rest = leaf.shape[1:]
    return pl.BlockSpec((None, *rest), lambda i: (i, *(0 for _ in rest)))


def _of_all(constant: Any) -> pl.BlockSpec:
    """The whole of what all lanes share."""
    return pl.BlockSpec(constant.shape, lambda i: tuple(0 for _ in constant.shape))


def _padded(tile: Tile, rows: Any) -> Any:
    """Vectors [lanes, p] as matrices on the tile, each flat."""
    count, p = rows.shape
    each = rows.reshape(count, tile.rows, p // tile.rows)
    height, width = tile.shape
    pads = [(0, 0), (0, height - tile.rows), (0, width - p // tile.rows)]
    return jnp.pad(each, pads).reshape(count, height * width)


def _unpadded(tile: Tile, flat: Any, p: int) -> Any:
    return flat.reshape(len(flat), *tile.shape)[:, : tile.rows, : p // tile.rows].reshape(len(flat), p)


def _power_of_two(table: Any) -> Any:
    return jnp.pad(table, [(0, (1 << (size - 1).bit_length()) - size) for size in table.shape])
