"""A JAX program run an operation at a time, with a function of one's own in the place of each operation."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params


class OfArguments:
    """A value that depends on the arguments of a program, and is not computed from its data alone."""

    def __init__(self, value: Any):
        self.value = value


def values_of(some: list[Any]) -> list[Any]:
    """The values themselves."""
    return [one.value if isinstance(one, OfArguments) else one for one in some]


def walk(
    jaxpr: Any, consts: Any, args: Any, step: Callable[[Any, list[Any]], list[Any]], whole: Collection[str] = ()
) -> list[Any]:
    """The results of a program whose operations are run by `step`.

    Programs that an operation calls once are walked too; bodies of loops and branches are one operation each.

    Args:
        jaxpr: The program.
        consts: Its constants.
        args: Its arguments.
        step: (equation, values of its arguments) -> values of its results.
        whole: Names of called programs that are one operation each, too.
    """
    values: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *args], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, jax.extend.core.Literal) else values[atom]

    # As the loss is computed. JAX's rule for svd leaves its own precision of products behind, for all that the thread
    # does later, where it is differentiated twice: the context puts back what was there.
    with jax.default_matmul_precision("highest"):
        for eqn in jaxpr.eqns:
            ins = [read(atom) for atom in eqn.invars]
            inner = None if called(eqn) in whole else _inner(eqn)
            outs = step(eqn, ins) if inner is None else walk(inner.jaxpr, inner.consts, ins, step, whole)
            values.update(zip(eqn.outvars, outs, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def scanned(eqn: Any, ins: list[Any], run: Callable[[Any, Any, list[Any], Any], tuple[list[Any], Any]]) -> Any:
    """The results of a loop of known length, and what else is found in its rounds, a row each.

    Args:
        eqn: The loop.
        ins: Its arguments.
        run: (program of a round, its constants, its arguments, number of the round) -> results, and what is found.
    """
    body = eqn.params["jaxpr"]
    inside = getattr(body, "jaxpr", body)
    consts, carry = parts_of(eqn)
    length = eqn.params["length"]

    def one(held: list[Any], row: tuple[Any, list[Any]]) -> tuple[list[Any], tuple[list[Any], Any]]:
        number, x = row
        outs, found = run(inside, getattr(body, "consts", ()), [*ins[:consts], *held, *x], number)
        return outs[:carry], (outs[carry:], found)

    start, rows = list(ins[consts : consts + carry]), list(ins[consts + carry :])
    held, (outs, found) = jax.lax.scan(one, start, (jnp.arange(length), rows), length, eqn.params["reverse"])
    return [*held, *outs], found


def parts_of(eqn: Any) -> tuple[int, int]:
    """How many arguments of a loop of known length stay the same, and how many after them go on from round to round.

    JAX 0.11 has these numbers under other names than 0.10: a row of what is scanned has one axis less.
    """
    inside = getattr(eqn.params["jaxpr"], "jaxpr", eqn.params["jaxpr"])
    carry = len(eqn.outvars) - _stepped(eqn.outvars, inside.outvars)
    return len(eqn.invars) - _stepped(eqn.invars, inside.invars) - carry, carry


def _stepped(outside: list[Any], inside: list[Any]) -> int:
    """How many values of a loop have a row a round."""
    return sum(whole.aval.ndim > row.aval.ndim for whole, row in zip(outside, inside, strict=True))


def branched(eqn: Any, ins: list[Any], run: Callable[[Any, Any, list[Any]], Any]) -> Any:
    """What `run` makes of the branch of a `cond` that is taken: (program, its constants, its arguments) -> arrays."""

    def of(branch: Any) -> Callable[..., Any]:
        return lambda *operands: run(branch.jaxpr, branch.consts, list(operands))

    return jax.lax.switch(ins[0], [of(branch) for branch in eqn.params["branches"]], *ins[1:])


LOOKED_INTO = frozenset(["scan", "cond"])


def within(eqn: Any, ins: list[Any], run: Callable[[Any, Any, list[Any], Any], tuple[list[Any], Any]]) -> Any:
    """The results of an operation of `LOOKED_INTO` on the program's arguments, as such, and what is found in its body.

    Args:
        eqn: The operation.
        ins: Its arguments, of which those that depend on the arguments of the whole program are `OfArguments`.
        run: (program of a round or branch, its constants, its arguments, so marked, number of the round) -> results,
            and what is found.
    """
    marks, loop = [isinstance(one, OfArguments) for one in ins], eqn.primitive.name == "scan"
    if loop:
        consts, carry = parts_of(eqn)
        marks = [*marks[:consts], *(carry * [any(marks)]), *marks[consts + carry :]]
    else:
        marks = marks[1:]

    def on_values(program: Any, consts: Any, args: list[Any], number: Any = 0) -> tuple[list[Any], Any]:
        given = [OfArguments(one) if mark else one for one, mark in zip(args, marks, strict=True)]
        outs, found = run(program, consts, given, number)
        return values_of(outs), found

    outs, found = (scanned if loop else branched)(eqn, values_of(ins), on_values)
    return [OfArguments(out) for out in outs], found


def asleep(jaxpr: Any) -> set[int]:
    """Which operations of a program have no derivative: the `id` of equations whose results only go where it stops."""
    live, found = set(map(id, jaxpr.outvars)), set()
    for eqn in reversed(jaxpr.eqns):
        if any(id(out) in live for out in eqn.outvars) and eqn.primitive.name != "stop_gradient":
            live |= set(map(id, eqn.invars))
            for inner in jaxprs_in_params(eqn.params):
                found |= asleep(inner)
        else:
            found.add(id(eqn))
            for inner in jaxprs_in_params(eqn.params):
                found |= set(map(id, inner.eqns))
    return found


def called(eqn: Any) -> str | None:
    """The name of the function whose program an equation calls; None where it has none."""
    if eqn.primitive.name == "custom_jvp_call":  # jnp.logaddexp is one
        return eqn.params["call_jaxpr"].jaxpr.debug_info.func_name
    return eqn.params.get("name")


def bind(eqn: Any, ins: list[Any]) -> list[Any]:
    """The results of one operation as JAX runs it."""
    outs = eqn.primitive.bind(*ins, **eqn.primitive.get_bind_params(eqn.params))
    return list(outs) if eqn.primitive.multiple_results else [outs]


def _inner(eqn: Any) -> Any:
    """The program that an equation calls once, closed; None for an operation."""
    if eqn.primitive.name not in ("jit", "pjit", "closed_call", "custom_jvp_call", "custom_vjp_call", "checkpoint"):
        return None
    for key in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        inner = eqn.params.get(key)
        if inner is not None:
            closed = isinstance(inner, jax.extend.core.ClosedJaxpr)
            return inner if closed else jax.extend.core.ClosedJaxpr(inner, ())
    return None
