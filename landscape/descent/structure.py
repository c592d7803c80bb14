"""What a Python function is made of, as a key: two functions with equal keys compute the same.

optax makes an optimiser of closures. Two calls of `optax.adam(0.1)` give different objects with one and the same
program, and a program compiled for one serves the other; but only if everything that their code can see is equal. Where
that cannot be decided there is no key.
"""

from __future__ import annotations

import builtins
import dis
import functools
import sys
import types
from collections.abc import Hashable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

# Packages whose module-level names mean the same throughout a process.
CONSTANT = {"builtins", "chex", "collections", "functools", "itertools", "jax", "jaxlib", "math", "numpy", "operator",
            "optax", "typing"}  # fmt: skip
# Built-in functions through which code sees more than its names.
BLIND = {"__import__", "breakpoint", "compile", "eval", "exec", "getattr", "globals", "input", "locals", "open", "vars"}


class _Undecided(Exception):
    """There is no telling what this is made of."""


class _Same:
    """A key that is equal only to that of the very same object, which it keeps alive."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def structure(value: Any) -> Hashable:
    """The key of a function, or of a tuple of functions as optax makes them.

    A function is its code with the values of its closure, its defaults and attributes, and the module-level names that
    its code reads, each by its own structure; numbers are told apart by type and bits, arrays by dtype, shape and
    bytes. Code of the packages in CONSTANT is trusted not to change.

    Returns:
        Equal keys for what is made of equal parts. Where a part cannot be compared (an instance of a user's class, a
        user's module, code that imports or evaluates), a key that is equal to that of the same object only.
    """
    try:
        return _of(value, {})
    except _Undecided:
        return _Same(value)


def _of(value: Any, path: dict[int, int]) -> Hashable:
    if id(value) in path:  # a function that sees itself
        return "cycle", path[id(value)]
    kind = type(value)
    if value is None or value is Ellipsis or kind in (bool, int, str, bytes):
        return kind, value
    if kind in (float, complex):
        return kind, np.asarray(value).tobytes()  # 0.0 is not -0.0, and nan is nan
    if isinstance(value, np.dtype):
        return "dtype", value
    if kind is np.ndarray or isinstance(value, jax.Array | np.generic):
        return _of_array(value)
    path = {**path, id(value): len(path)}
    if isinstance(value, tuple) or kind in (list, dict, set, frozenset, functools.partial):
        return _of_container(value, path)
    if isinstance(value, types.FunctionType):
        return _of_function(value, path)
    if isinstance(value, types.MethodType):
        return "method", _of(value.__func__, path), _of(value.__self__, path)
    if isinstance(value, types.ModuleType) and _constant(value.__name__):
        return "module", value.__name__
    if _is_named(value):
        return "named", _Same(value)
    raise _Undecided


def _of_array(value: Any) -> Hashable:
    if isinstance(value, Tracer) or (isinstance(value, jax.Array) and not value.is_fully_addressable):
        raise _Undecided
    if jnp.issubdtype(value.dtype, jax.dtypes.extended) or value.dtype.hasobject:
        raise _Undecided
    weak = bool(getattr(value, "weak_type", False))  # decides on dtypes of results
    return type(value), weak, str(value.dtype), value.shape, np.asarray(value).tobytes()


def _of_container(value: Any, path: dict[int, int]) -> Hashable:
    if isinstance(value, functools.partial):
        return "partial", _of(value.func, path), _of(value.args, path), _of(value.keywords, path)
    if isinstance(value, dict):  # in order: JAX and `for` see it
        return dict, tuple((_of(k, path), _of(v, path)) for k, v in value.items())
    if isinstance(value, set | frozenset):
        return type(value), frozenset(_of(one, path) for one in value)
    if isinstance(value, tuple) and type(value) is not tuple and not _constant(type(value).__module__):
        raise _Undecided  # a user's class may have methods and attributes of its own
    return type(value), tuple(_of(one, path) for one in value)


def _of_function(value: types.FunctionType, path: dict[int, int]) -> Hashable:
    defaults = _of(value.__defaults__, path), _of(value.__kwdefaults__, path)
    where = value.__globals__.get("__name__")  # `functools.wraps` changes __module__
    trusted = isinstance(where, str) and _constant(where)
    written = _written(value.__code__)
    if written and not trusted:
        raise _Undecided  # one that remembers its calls
    cells = tuple(
        _of_cell(cell, path, name in written)
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    )
    if trusted:
        # Its attributes are decorators' notes, such as the function that it wraps, which its closure holds too.
        return where, value.__qualname__, value.__code__, cells, defaults
    seen = tuple((name, _of(one, path)) for name, one in _read(value))
    return value.__qualname__, value.__code__, cells, defaults, seen, _of(value.__dict__, path)


def _of_cell(cell: types.CellType, path: dict[int, int], written: bool) -> Hashable:
    try:
        held = cell.cell_contents
    except ValueError:  # a name that was never assigned
        return "empty"
    # Schedules of optax turn an integer of their closure into a float at the first call: both are one schedule.
    return _of(float(held) if written and type(held) is int else held, path)


def _written(code: types.CodeType) -> set[str]:
    """Names of the closure that the function, or a function defined in it, assigns."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname in ("STORE_DEREF", "DELETE_DEREF")}
    inner = (_written(one) for one in code.co_consts if isinstance(one, types.CodeType))
    return own.union(*inner).intersection(code.co_freevars)


def _read(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Module-level names that the function's code reads, with their values, in order.

    Raises:
        _Undecided: The code imports, assigns such a name, or may see more than its names.
    """
    names: set[str] = set()
    waiting = [function.__code__]
    while waiting:
        code = waiting.pop()
        waiting += [one for one in code.co_consts if isinstance(one, types.CodeType)]
        for step in dis.get_instructions(code):
            if step.opname in ("IMPORT_NAME", "STORE_GLOBAL", "DELETE_GLOBAL"):
                raise _Undecided
            if step.opname.startswith("LOAD_") and ("GLOBAL" in step.opname or step.opname == "LOAD_NAME"):
                names.add(step.argval)
    for name in sorted(names):
        if name in function.__globals__:
            yield name, function.__globals__[name]
        elif name in BLIND or not hasattr(builtins, name):
            raise _Undecided


def _is_named(value: Any) -> bool:
    """Whether a package that does not change has this under its own name: a class, a built-in or compiled function."""
    where = "numpy" if isinstance(value, np.ufunc) else getattr(value, "__module__", None)
    name = getattr(value, "__qualname__", getattr(value, "__name__", None))
    if not (callable(value) and isinstance(where, str) and isinstance(name, str) and _constant(where)):
        return False
    found: Any = sys.modules.get(where)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found is value and not (where == "builtins" and name in BLIND)


def _constant(module: str) -> bool:
    return module.partition(".")[0] in CONSTANT
