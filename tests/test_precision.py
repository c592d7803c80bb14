"""No matrix product is left to the device's default precision, which is one TF32 product on a GPU: three digits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import FAMILIES, SOME
from slow import mostly_slow

import landscape as ls
from landscape import descent

FULL = (jax.lax.Precision.HIGHEST, jax.lax.Precision.HIGHEST)


def products(jaxpr: Any) -> Iterator[Any]:
    """Every matrix product in a program, in the programs that it calls too."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "dot_general":
            yield eqn
        for inner in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            if hasattr(inner, "eqns"):
                yield from products(inner)
            elif hasattr(inner, "jaxpr"):
                yield from products(inner.jaxpr)


def careless(function: Any, *arguments: Any) -> list[str]:
    return [str(eqn) for eqn in products(jax.make_jaxpr(function)(*arguments).jaxpr) if eqn.params["precision"] != FULL]


def test_a_careless_product_is_seen_through_loops_and_maps():
    def loop(x):
        return jax.lax.fori_loop(0, 3, lambda _, x: jax.jit(lambda x: x @ x)(x), x)

    assert len(careless(jax.vmap(loop), jnp.ones((5, 2, 2), jnp.float32))) == 1


@pytest.mark.parametrize("name", mostly_slow(FAMILIES, *SOME))
def test_no_family_has_a_product_of_default_precision(name):
    problem = FAMILIES[name].make(0)
    one, many = jnp.ones(problem.p, jnp.float32), jnp.ones((3, problem.p), jnp.float32)
    own = problem.loss, problem.gradient, problem.hessian
    for function in (*own, jax.grad(problem.loss), jax.hessian(problem.loss)):
        assert not careless(function, one)
    assert not careless(problem.gradients, many)
    if problem.trailing:
        assert not careless(problem.gradient_lanes, many.T)
    if problem.rows is not None:
        assert not careless(problem.weighted_gradient, one, jnp.ones(problem.rows, jnp.float32))


@pytest.mark.parametrize("name", [name for name in descent.OPTIMISERS if name != "minibatch"])
def test_no_way_down_has_a_product_of_default_precision(name):
    problem, method = ls.orthonormal_teacher(9), descent.method(name)
    lane = descent.init(problem, method, jnp.ones(problem.p, jnp.float32), jnp.ones((), jnp.float32))
    assert not careless(partial(descent.advance, problem, method, steps=2), lane)


def test_products_of_a_users_own_loss_are_in_full_precision():
    rows = np.random.default_rng(0).normal(size=(4, 3))
    problem = ls.from_loss(lambda x: jnp.sum((rows @ x) ** 2), lambda key: jax.random.normal(key, (3,)))
    theta = jnp.ones(3, jnp.float32)
    assert list(products(jax.make_jaxpr(problem.loss)(theta).jaxpr))
    for function in (problem.loss, problem.gradient, problem.hessian):
        assert not careless(function, theta)
