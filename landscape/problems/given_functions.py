"""Functions that a user gives for a landscape: asked once, and refused in one sentence where JAX cannot follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal, jaxprs_in_params
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from landscape.problems.problem import QUICK
from landscape.records import InputError, shortened


def are_functions(loss: Any, init: Any, symmetry: Any, invariances: Any) -> None:
    """Raises InputError unless all are functions; a symmetry may be None."""
    for name, function in (("loss", loss), ("init", init), ("symmetry", symmetry)):
        if not (callable(function) or (name == "symmetry" and function is None)):
            raise InputError(f"{name} must be a function, found {function}.")
    if not isinstance(invariances, Sequence) or not all(map(callable, invariances)):
        raise InputError(
            f"invariances must be a list of functions (params, small number) -> params, found {invariances}."
        )


def first_draw(init: Callable[[Array], Any]) -> Any:
    """The first draw of `init`; raises InputError where it raises anything."""
    try:
        return init(jax.random.key(0, impl="threefry2x32"))
    except Exception as error:  # anything can go wrong in a user's function: say what and where
        raise InputError(f"init raised at its first key: {type(error).__name__}: {error}") from error


def asked(loss: Callable[[Array], Any], theta: Array) -> Any:
    """The loss at theta [p]; raises InputError unless it is a finite real scalar.

    One program makes it, since operation by operation each would be one; where JAX cannot follow, the loss says why in
    its own words, or `followed` does.
    """
    kind: Any = None

    def kept(theta: Array) -> Any:
        nonlocal kind
        value = loss(theta)
        kind = type(value)
        return value

    try:
        try:
            value = jax.jit(kept, compiler_options=QUICK)(theta)
        except Exception:
            value = kept(theta)
    except Exception as error:  # anything can go wrong in a user's function: say what and where
        raise InputError(f"the loss raised at the first draw of init: {type(error).__name__}: {error}") from error
    if value is None or isinstance(value, str):
        raise InputError(f"the loss must return a scalar of jax.numpy, found {value!r}.")
    if jnp.shape(value) != ():
        raise InputError(f"the loss must return a scalar, found shape {jnp.shape(value)}; sum or average it.")
    if jnp.iscomplexobj(value):
        raise InputError("the loss must return a real number, found a complex one; take its real part.")
    if not np.isfinite(float(value)):
        raise InputError(f"the loss is {float(value)} at the first draw of init; it must be finite at the start.")
    return kind(value) if kind in (bool, int, float) else value


def program(loss: Callable[[Any], Any], chart: Callable[[Array], Any], theta: Array) -> Any:
    """The program of the loss over theta [p], traced.

    Raises InputError where the loss is another program when it is traced again: its numbers are other ones.
    """
    first, again = (jax.make_jaxpr(lambda flat: loss(chart(flat)))(theta) for _ in range(2))
    numbers = [[*closed.consts, *_literals(closed.jaxpr)] for closed in (first, again)]
    if len(numbers[0]) == len(numbers[1]) and not all(map(_equal, *numbers)):
        raise InputError("the loss is another number when it is asked again; it must depend on the parameters alone.")
    return first


def followed(loss: Callable[[Array], Any], theta: Array) -> None:
    """Raises InputError unless JAX can follow the loss and its first two derivatives."""
    error = _raised(jax.hessian(loss), theta)
    if error is None:
        return
    error = _raised(jax.grad(loss), theta) or error  # of a `while_loop` the gradient says more
    why = next((line.strip() for line in str(error).splitlines() if line.strip()), "").rstrip(".")
    raise InputError(
        f"JAX cannot differentiate the loss ({type(error).__name__}: {shortened(why, 60, 160)}); it must be written in "
        "jax.numpy, without NumPy, PyTorch, float(), `if` or `while_loop` on parameters: `landscape guide own-loss`."
    ) from error


def drawn(init: Callable[[Array], Any], theta: Array) -> None:
    """Raises InputError unless JAX can follow `init`, and its key alone decides what it gives: theta at the first."""
    key = jax.random.key(0, impl="threefry2x32")
    try:
        jax.eval_shape(lambda one: ravel_pytree(init(one))[0], key)
    except Exception as error:  # NumPy, float() and `if` each fail in their own way
        raise InputError(
            f"JAX cannot follow init ({type(error).__name__}); it must draw by jax.random from its key and be written "
            "in jax.numpy, without NumPy, float() or `if` on what it draws."
        ) from error
    if not np.array_equal(ravel_pytree(init(key))[0], theta, equal_nan=True):
        raise InputError("init gives other parameters at the same key; it must draw by jax.random from its key.")


def _raised(function: Callable[[Array], Any], theta: Array) -> Exception | None:
    """What JAX raises where it follows a function; None where it can."""
    try:
        jax.eval_shape(function, theta)
    except Exception as error:  # NumPy, PyTorch, float() and `if` each fail in their own way
        return error
    return None


def _literals(jaxpr: Any) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        yield from (atom.val for atom in eqn.invars if isinstance(atom, Literal))
        for inner in jaxprs_in_params(eqn.params):
            yield from _literals(inner)


def _equal(a: Any, b: Any) -> bool:
    """Whether two constants are the same numbers; those that are no numbers, as keys are, count as the same."""
    if a is b or not all(jnp.issubdtype(jnp.result_type(one), jnp.number) for one in (a, b)):
        return True
    return np.array_equal(np.asarray(a), np.asarray(b), equal_nan=True)
