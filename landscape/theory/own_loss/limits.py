"""Operations of a loss that have come to their limit by rounding, read off its program: exp(-40), tanh(20).

No such operation is level: its slope is too small for float64. A unit that is off in this way, exp(-x^2) at x = 30, has
a way back that evaluations seldom meet, since the loss changes in a narrow place far away.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from landscape.problems.walk import LOOKED_INTO, OfArguments, bind, values_of, walk, within

LIMITS = {
    "exp": (0.0,),
    "exp2": (0.0,),
    "expm1": (-1.0,),
    "tanh": (-1.0, 1.0),
    "erf": (-1.0, 1.0),
    "erfc": (0.0, 2.0),
    "logistic": (0.0, 1.0),
    "igamma": (0.0, 1.0),
    "igammac": (0.0, 1.0),
    "regularized_incomplete_beta": (0.0, 1.0),
}


NEAR = 4.0  # eps: tanh of XLA stands 3.5 below one from 18 on, and is one from 20 on


def at_limits(function: Any, *args: Any) -> jax.Array:
    """Whether an operation on the arguments of a JAX function is within `NEAR` of its limit, at a finite argument.

    Bodies of `while` are not looked into.

    Args:
        function: A JAX function of arrays.
        args: Its arguments.
    """
    closed = jax.make_jaxpr(function)(*args)
    return _walked(closed.jaxpr, closed.consts, [OfArguments(one) for one in jax.tree.leaves(args)])[1]


def _walked(jaxpr: Any, consts: Any, args: list[Any]) -> tuple[list[Any], jax.Array]:
    """The results of a program, and whether an operation on its arguments has come to its limit."""
    found: list[Any] = []

    def step(eqn: Any, ins: list[Any]) -> list[Any]:
        known, name = values_of(ins), eqn.primitive.name
        if not any(isinstance(one, OfArguments) for one in ins):
            return bind(eqn, known)
        if name in LOOKED_INTO:
            outs, inside = within(eqn, ins, lambda program, consts, args, _: _walked(program, consts, args))
            found.append(jnp.any(inside))
            return outs
        outs = bind(eqn, known)
        for limit in LIMITS.get(name, ()):
            near = jnp.abs(outs[0] - limit) <= NEAR * jnp.finfo(outs[0].dtype).eps
            found.append(jnp.any(near & jnp.isfinite(known[0])))
        return [OfArguments(out) for out in outs]

    outs = walk(jaxpr, consts, args, step)
    return outs, jnp.any(jnp.array(found)) if found else jnp.array(False)
