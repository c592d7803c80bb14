"""Where a loss takes another branch: functions of the parameters whose signs choose the branches, read off its program.

max(a, b) takes another branch where a - b changes sign, |a| where a does, a comparison where its two sides are equal,
the largest of an array where another one comes up to it. These functions are zero on the kinks of the loss.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from landscape.problems.walk import asleep, bind, branched, scanned, walk
from landscape.theory.own_loss.meetings import of_eigenvalues, of_singular_values

# Functions that branch against overflow only and are smooth.
SMOOTH = frozenset(
    [
        "logaddexp",
        "logaddexp2",
        "softplus",
        "logsumexp",
        "softmax",
        "log_softmax",
        "log_sigmoid",
        "logistic",
        "_logsumexp",
        "log_ndtr",
        "sinc",
    ]
)

# Operations on a matrix that have kinks where some of their results meet: a basis of it, and what is zero there.
MATRICES = {
    "eigh": (lambda matrix: jnp.linalg.eigh(jax.lax.stop_gradient(matrix))[::-1], of_eigenvalues),
    "svd": (lambda matrix: tuple(jnp.linalg.svd(jax.lax.stop_gradient(matrix))), of_singular_values),
}


def switches(function: Any, *args: Any, beside: Any = None) -> jax.Array:
    """The functions whose signs choose the branches of a JAX function, at its arguments, [m].

    Branches inside `while`, and those of functions in `SMOOTH`, are not among them; nor are the steps of floor and
    round.

    Args:
        function: A JAX function of arrays.
        args: Its arguments.
        beside: Arguments nearby, whose eigenvectors those of matrices are taken in, so that the functions are the same
            for many points; those at `args` without.
    """
    closed = jax.make_jaxpr(function)(*args)
    without, bases = asleep(closed.jaxpr), None
    if beside is not None:
        bases = _walked(closed.jaxpr, closed.consts, jax.tree.leaves(beside), without, None)[2]
    return _walked(closed.jaxpr, closed.consts, jax.tree.leaves(args), without, bases)[1]


def _walked(
    jaxpr: Any, consts: Any, args: Any, without: set[int], given: list[Any] | None
) -> tuple[list[Any], jax.Array, list[Any]]:
    """The results of a program, its switches but those of operations `without` a derivative, and bases of its matrices.

    Those bases may be `given`.
    """
    found: list[Any] = []  # the largest that logsumexp takes off, for example, has no derivative
    roots: dict[int, tuple[Any, list[Any]]] = {}
    bases: list[Any] = []

    def step(eqn: Any, ins: list[Any]) -> list[Any]:
        if eqn.primitive.name in ("scan", "cond"):
            outs, inside = (_scanned if eqn.primitive.name == "scan" else _branched)(eqn, ins, without)
            found.append(jnp.ravel(inside))
            return outs
        outs = bind(eqn, ins)
        floats = bool(ins) and jnp.issubdtype(jnp.result_type(ins[0]), jnp.floating)
        if eqn.primitive.name in MATRICES and floats and id(eqn) not in without:
            basis, functions = MATRICES[eqn.primitive.name]
            bases.append(basis(ins[0]) if given is None else given[len(bases)])
            found.extend(jnp.ravel(one) for one in functions(ins[0], bases[-1]))
            return outs
        if floats and outs and (zeros := _roots(eqn, ins, roots)):
            roots[id(outs[0])] = (outs[0], zeros)  # kept alive, so that its id stays its own
        if id(eqn) not in without and floats:
            here = roots[id(ins[0])][1] if eqn.primitive.name == "sqrt" and id(ins[0]) in roots else None
            found.extend(jnp.ravel(one) for one in here or _of(eqn.primitive.name, eqn.params, ins, outs))
        return outs

    outs = walk(jaxpr, consts, args, step, SMOOTH)
    return outs, jnp.concatenate([one.astype(jnp.float64) for one in found]) if found else jnp.zeros(0), bases


def _scanned(eqn: Any, ins: list[Any], without: set[int]) -> tuple[list[Any], jax.Array]:
    """The results of a loop of known length, and the switches of all its rounds."""
    return scanned(eqn, ins, lambda program, consts, args, _: _walked(program, consts, args, without, None)[:2])


def _branched(eqn: Any, ins: list[Any], without: set[int]) -> tuple[list[Any], jax.Array]:
    """The results of the branch of a `cond` that is taken, and its switches; ones where other branches have more."""

    def one(program: Any, consts: Any, *operands: Any) -> tuple[list[Any], jax.Array]:
        return _walked(program, consts, list(operands), without, None)[:2]

    sizes = [jax.eval_shape(partial(one, b.jaxpr, b.consts), *ins[1:])[1].size for b in eqn.params["branches"]]

    def padded(program: Any, consts: Any, operands: list[Any]) -> tuple[list[Any], jax.Array]:
        outs, found = one(program, consts, *operands)
        return outs, jnp.pad(found, (0, max(sizes) - found.size), constant_values=1.0)

    return branched(eqn, ins, padded)


def _roots(eqn: Any, ins: list[Any], roots: dict[int, tuple[Any, list[Any]]]) -> list[Any]:
    """What has to be zero for a result to be: x for x^2, and of sums of squares what each has; none where unknown.

    The square root of a sum of squares, a norm, has its kink there and not just where one number changes its sign.
    """
    name = eqn.primitive.name
    known = [roots[id(one)][1] if id(one) in roots else None for one in ins]
    if name == "square" or (name == "integer_pow" and eqn.params["y"] == 2):
        return [ins[0]]
    if name in ("mul", "dot_general") and ins[0] is ins[1]:
        return [ins[0]]
    if name in ("reduce_sum", "reshape", "broadcast_in_dim", "squeeze", "convert_element_type", "copy"):
        return known[0] or []
    if name == "add" and known[0] and known[1]:
        return [*known[0], *known[1]]
    return []


def _of(name: str, params: Any, ins: list[Any], outs: list[Any]) -> list[Any]:
    """The functions of one operation that are zero where it branches."""
    if name in ("max", "min", "lt", "le", "gt", "ge"):
        return [ins[0] - ins[1]]
    if name in ("abs", "sign", "sqrt", "cbrt") or (name == "pow" and not _whole(ins[1])):
        return [ins[0]]
    if name == "clamp":
        low, value, high = ins
        return [value - low, value - high]
    if name in ("reduce_max", "reduce_min"):
        return [ins[0] - jnp.expand_dims(outs[0], params["axes"])]
    if name in ("argmax", "argmin"):
        best = jnp.max if name == "argmax" else jnp.min
        return [ins[0] - best(ins[0], axis=params["axes"], keepdims=True)]
    if name in ("cummax", "cummin"):  # an entry comes up to the largest of those before it
        before, after = (ins[0], outs[0]) if params["reverse"] else (outs[0], ins[0])
        axis, length = params["axis"], ins[0].shape[params["axis"]]
        return [
            jax.lax.slice_in_dim(after, 1, length, axis=axis) - jax.lax.slice_in_dim(before, 0, length - 1, axis=axis)
        ]
    if name == "top_k":
        return [ins[0] - outs[0][..., -1:]]
    if name == "sort":
        return [jnp.diff(outs[0], axis=params["dimension"])]
    return []


def _whole(power: Any) -> bool:
    """Whether a power is known to be a whole number."""
    if isinstance(power, Tracer):
        return False
    known = np.asarray(power)  # by NumPy: where a program is traced, JAX would make a tracer of a known value
    return bool(np.all(known == np.round(known)))
