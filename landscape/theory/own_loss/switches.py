"""Where a loss takes another branch: functions of the parameters whose signs choose the branches, read off its program.

max(a, b) takes another branch where a - b changes sign, |a| where a does, a comparison where its two sides are equal,
the largest of an array where another one comes up to it. These functions are zero on the kinks of the loss.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from landscape.theory.own_loss.walk import asleep, bind, walk

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
    ]
)


def switches(function: Any, *args: Any) -> jax.Array:
    """The functions whose signs choose the branches of a JAX function, at its arguments, [m].

    Branches inside loops, and those of functions in `SMOOTH`, are not among them; nor are the steps of floor and round.

    Args:
        function: A JAX function of arrays.
        args: Its arguments.
    """
    closed = jax.make_jaxpr(function)(*args)
    without = asleep(closed.jaxpr)  # the largest that logsumexp takes off, for example
    found: list[Any] = []

    def step(eqn: Any, ins: list[Any]) -> list[Any]:
        outs = bind(eqn, ins)
        if id(eqn) not in without and ins and jnp.issubdtype(jnp.result_type(ins[0]), jnp.floating):
            found.extend(jnp.ravel(one) for one in _of(eqn.primitive.name, eqn.params, ins, outs))
        return outs

    walk(closed.jaxpr, closed.consts, jax.tree.leaves(args), step, SMOOTH)
    return jnp.concatenate([one.astype(jnp.float64) for one in found]) if found else jnp.zeros(0)


def _of(name: str, params: Any, ins: list[Any], outs: list[Any]) -> list[Any]:
    """The functions of one operation that are zero where it branches."""
    if name in ("max", "min", "lt", "le", "gt", "ge"):
        return [ins[0] - ins[1]]
    if name in ("abs", "sign"):
        return [ins[0]]
    if name == "clamp":
        low, value, high = ins
        return [value - low, value - high]
    if name in ("reduce_max", "reduce_min"):
        return [ins[0] - jnp.expand_dims(outs[0], params["axes"])]
    if name == "sort":
        return [jnp.diff(outs[0], axis=params["dimension"])]
    return []
