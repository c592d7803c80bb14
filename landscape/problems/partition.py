"""The floating-point arrays of a model, and the rest of it: functions, whole numbers, keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from landscape.records import InputError, plain


@dataclass(frozen=True, eq=False)
class Partition:
    """How a pytree falls apart into parameters and the rest. Made by `partition`.

    Attributes:
        form: Of the whole pytree.
        rest: Its other leaves by place; empty for a pytree of floating-point numbers alone.
    """

    form: Any
    rest: dict[int, Any]

    def arrays(self, params: Any) -> Any:
        """The same pytree with None in place of every leaf that is no parameter.

        Raises:
            InputError: A plain whole number is another one than in the first draw, which is what the loss is given.
        """
        if not self.rest:
            return params
        leaves, form = jax.tree.flatten(params)
        if form == self.form:  # a plain number may stand for an array
            for i, one in self.rest.items():
                if isinstance(one, int) and isinstance(leaves[i], int) and leaves[i] != one:
                    raise InputError(f"params have {leaves[i]} where the first draw of init has {one}, which stays.")
            return jax.tree.unflatten(form, [None if i in self.rest else leaf for i, leaf in enumerate(leaves)])
        return jax.tree.map(lambda leaf: leaf if floating(leaf) else None, params)

    def whole(self, arrays: Any) -> Any:
        """The user's pytree with these arrays, the rest as in the first draw."""
        if not self.rest:
            return arrays
        found = iter(jax.tree.leaves(arrays))
        places = range(self.form.num_leaves)
        return jax.tree.unflatten(self.form, [self.rest[i] if i in self.rest else next(found) for i in places])


def partition(params: Any) -> Partition:
    """The partition of a draw of `init`: parameters are all leaves where all are floating-point numbers, and else the
    floating-point arrays.

    Raises:
        InputError: There is no parameter, or a plain number beside other things, which may be meant as one.
    """
    leaves, form = jax.tree_util.tree_flatten_with_path(params)
    if leaves and all(floating(leaf) or isinstance(leaf, float) for _, leaf in leaves):
        return Partition(form, {})
    rest = {i: leaf for i, (_, leaf) in enumerate(leaves) if not floating(leaf)}
    if len(rest) == len(leaves):
        raise InputError("init must return floating-point arrays: a pytree of them, or a model that holds some.")
    for path, leaf in leaves:
        attribute = any(isinstance(key, jax.tree_util.GetAttrKey) for key in path)
        if isinstance(leaf, float) and not attribute:  # a float of a module is a setting, like the rate of a dropout
            raise InputError(f"init returns a plain number at {named(path)!r}; make it an array if it is a parameter.")
    return Partition(form, rest)


def named(path: tuple[Any, ...]) -> str:
    """A leaf's place in words, like fc1.weight; "" where the pytree is one array."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


def names_of(params: Any) -> dict[str, Any]:
    """The leaves of a pytree by their names."""
    return {named(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}


def floating(leaf: Any) -> bool:
    """Whether a leaf is an array of floating-point numbers, of NumPy, JAX or PyTorch."""
    leaf = plain(leaf)
    return isinstance(leaf, np.ndarray | np.generic | jax.Array) and jnp.issubdtype(leaf.dtype, jnp.floating)
