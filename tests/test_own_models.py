"""Models as parameters of an own loss, points of another form, and losses that are not JAX."""

from __future__ import annotations

import re
from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls


class Unit:
    """A module as Equinox has them: a pytree with arrays, a function, a whole number and a setting."""

    def __init__(self, weight, bias, act, steps, rate):
        self.weight, self.bias, self.act, self.steps, self.rate = weight, bias, act, steps, rate

    def __call__(self, x):
        return self.rate * self.act(x @ self.weight + self.bias)


jax.tree_util.register_dataclass(Unit, ["weight", "bias", "act", "steps", "rate"], [])


def test_a_model_goes_in_as_it_is_and_comes_back():
    """The arrays are the parameters; functions, whole numbers and settings stay. A bare pytree has the same labels."""
    x, y = jnp.linspace(-1, 1, 5)[:, None], jnp.linspace(0, 1, 5)

    def unit(key):
        return Unit(jax.random.normal(key, (1,)), jnp.zeros(()), jnp.tanh, 3, 0.5)

    def loss(model):
        return jnp.mean((model(x) - y) ** 2)

    def bare(params):
        return loss(Unit(params["weight"], params["bias"], jnp.tanh, 3, 0.5))

    problem = ls.from_loss(loss, unit, lower_bound=0.0)
    plain = ls.from_loss(bare, lambda key: {"weight": jax.random.normal(key, (1,)), "bias": jnp.zeros(())}, 0.0)
    assert problem.p == 2
    best = problem.read(np.array([1.0, 0.5]))
    assert isinstance(best, Unit)
    assert (best.steps, best.rate, best.act) == (3, 0.5, jnp.tanh)
    assert best.weight.dtype == np.float64
    one = ls.label(problem, best)
    other = ls.label(plain, {"weight": best.weight, "bias": best.bias})
    found, plainly = ({**verdict.as_dict(), "polished": None, "min_curvature": None} for verdict in (one, other))
    assert found == plainly
    ends = [{**verdict.polished.as_dict(), "min_curvature": None} for verdict in (one, other)]
    assert ends[0] == ends[1]
    # An eigenvalue over coordinates of other scales is a product of matrices: the order of its sums is free.
    assert one.polished.min_curvature == pytest.approx(other.polished.min_curvature, rel=1e-14)
    assert one.label == "unconverged"
    assert one.polished.label == "undecided"  # a minimum that nothing is known to lie below
    assert set(problem.matrices(np.zeros(2))) == {"weight", "bias"}
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]) if isinstance(leaf, np.ndarray) else leaf, best)
    assert [verdict.loss for verdict in ls.label(problem, many)] == [one.loss] * 2


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"a": np.zeros((2, 3)), "c": np.zeros(2)}, "params have a, c where the problem has a, b"),
        ({"a": np.zeros((3, 2)), "b": np.zeros(2)}, "params have a of shape [3, 2]"),
        ({"a": np.zeros(2), "b": np.zeros((2, 3))}, "params have a of shape [2]"),
        ({"a": np.zeros(7)}, "params have 7 numbers and the problem has 8"),
        ({"a": np.zeros(8)}, "params have a where the problem has a, b"),
    ],
)
def test_params_of_another_form_are_no_point(params, words):
    problem = ls.from_loss(lambda p: jnp.sum(p["a"] ** 2) + jnp.sum(p["b"] ** 2), lambda key: ab(), 0.0)
    with pytest.raises(ls.InputError, match=re.escape(words)):
        ls.label(problem, params)
    ordered = OrderedDict(b=np.zeros(2), a=np.zeros((2, 3)))
    for good in (ab(), ordered, {"a": [[0.0] * 3] * 2, "b": [0.0, 0.0]}, np.zeros(8)):
        assert ls.label(problem, good).label == "global"


def ab():
    return {"a": jnp.zeros((2, 3)), "b": jnp.zeros(2)}


def test_a_mapping_in_another_order_is_read_by_its_names():
    problem = ls.from_loss(lambda p: jnp.sum(p["a"] ** 2) + jnp.sum(p["b"] ** 2), lambda key: ab(), 0.0)
    turned = OrderedDict(b=np.array([7.0, 8.0]), a=np.arange(6.0).reshape(2, 3))
    np.testing.assert_array_equal(problem.write(turned), [0, 1, 2, 3, 4, 5, 7, 8])


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: float(np.sum(np.asarray(p["a"]) ** 2)),
        lambda p: np.square(np.array(p["a"])).sum(),
        lambda p: jnp.sum(p["a"]) if p["b"][0] > 0 else jnp.sum(p["a"] ** 2),
        lambda p: float(jnp.sum(p["a"])),
        lambda p: jax.lax.while_loop(lambda v: v > 1, lambda v: v / 2, jnp.sum(p["a"])),
    ],
)
def test_a_loss_that_jax_cannot_differentiate_is_one_sentence(loss):
    with pytest.raises(ls.InputError, match=r"^JAX cannot differentiate the loss \(\w+: [^\n]*jax\.numpy, without"):
        ls.from_loss(loss, lambda key: ab())


@pytest.mark.parametrize(
    ("init", "words"),
    [
        (lambda key: np.arange(6.0)[jax.random.permutation(key, 6)[:2]], "JAX cannot follow init"),
        (lambda key: jnp.ones(2) if jax.random.uniform(key) > 0.5 else jnp.zeros(2), "JAX cannot follow init"),
        (lambda key: np.random.default_rng().normal(size=2), "other parameters at the same key"),
    ],
    ids=["NumPy", "if", "another generator"],
)
def test_starts_that_do_not_come_from_the_key_are_one_sentence(init, words):
    """Restarts are drawn by a traced init: what another generator draws would be the same for all of them."""
    with pytest.raises(ls.InputError, match=rf"^[^\n]*{words}[^\n]*$"):
        ls.from_loss(lambda x: jnp.sum(x**2), init)


def test_a_plain_number_beside_a_function_is_not_taken_for_a_setting():
    with pytest.raises(ls.InputError, match="a plain number at 'b'"):
        ls.from_loss(lambda p: p["act"](p["a"]) * p["b"], lambda key: {"a": jnp.ones(()), "b": 1.0, "act": jnp.sin})


def test_a_plain_number_stands_for_an_array_beside_a_whole_number():
    power = ls.from_loss(lambda p: (p["a"] ** 2 - p["n"]) ** 2, lambda key: {"a": jax.random.normal(key), "n": 4}, 0.0)
    assert [ls.label(power, {"a": a, "n": 4}).label for a in (2.0, 0.0)] == ["global", "saddle"]


@pytest.mark.parametrize("library", ["equinox", "flax.nnx"])
def test_models_of_libraries_come_back_as_they_went(library):
    module = pytest.importorskip(library)

    def init(key):
        if library == "equinox":
            return module.nn.MLP(2, 1, 3, 2, jnp.tanh, key=key)
        rngs = module.Rngs(0, dropout=1)  # it has keys and counts among its leaves
        return module.Sequential(module.Linear(2, 3, rngs=rngs), jnp.tanh, module.Linear(3, 1, rngs=rngs))

    rows = jnp.array([[1.0, 2.0], [0.5, -1.0]])
    problem = ls.from_loss(lambda model: jnp.sum(jax.vmap(model)(rows) ** 2), init)
    model = init(jax.random.key(1))
    theta = problem.write(model)
    assert problem.p == (25 if library == "equinox" else 13)
    back = problem.read(theta)
    assert type(back) is type(model)
    np.testing.assert_array_equal(jax.vmap(back)(rows), jax.vmap(model)(rows))
    assert float(problem.loss(jnp.asarray(theta))) == pytest.approx(
        float(jnp.sum(jax.vmap(model)(rows) ** 2)), rel=1e-6
    )
    assert float(jnp.linalg.norm(problem.gradient(jnp.asarray(theta)))) > 0


@pytest.mark.parametrize(("inside", "descent"), [("float32", "float64"), ("float64", "float32")])
def test_a_loss_may_have_another_type_than_its_descent(inside, descent):
    """float64 data make the loss of a descent in float32 float64; a cast makes that of one in float64 float32."""

    def loss(x):
        return jnp.sum((x.astype(inside) ** 2 - np.array([1.0, 2.0], inside)) ** 2)

    problem = ls.from_loss(loss, lambda key: jax.random.normal(key, (2,)), 0.0)
    census = ls.explore(problem, restarts=4, dtype=descent)
    assert census.labels()["global"] == 4


def square(x):
    return jnp.sum(x**2)


def pair(key):
    return jax.random.normal(key, (2,))


@pytest.mark.parametrize(
    ("loss", "init", "more", "words"),
    [
        (lambda x: 3.0, pair, {}, "depend on the parameters, and is the plain number 3.0"),
        (lambda x: None, pair, {}, "found None"),
        (lambda x: jnp.sum(x + 0j), pair, {}, "a complex one"),
        (lambda x: square(x) + np.random.default_rng().normal(), pair, {}, "another number when it is asked again"),
        (square, lambda key: jnp.zeros(0), {}, "at least one number"),
        (square, pair, {"symmetry": lambda x: x[:1]}, "symmetry must return params like those of init"),
        (square, pair, {"symmetry": lambda x: 1 / 0}, "symmetry raised at the first draw of init: ZeroDivisionError"),
        (square, pair, {"invariances": [lambda x: x]}, r"invariances\[0\] raised at the first draw of init: TypeError"),
        (square, pair, {"invariances": [lambda x, t: x[0]]}, r"invariances\[0\] must return params like those of init"),
        (square, pair, {"invariances": [lambda x, t: t * x]}, r"invariances\[0\] must leave params as they are at the"),
    ],
    ids=["number", "none", "complex", "random", "empty", "short", "raises", "one argument", "one of two", "moves at 0"],
)
def test_a_function_that_is_not_what_it_must_be_is_one_sentence_at_once(loss, init, more, words):
    with pytest.raises(ls.InputError, match=rf"^[^\n]*{words}[^\n]*$"):
        ls.from_loss(loss, init, **more)


def test_another_whole_number_than_that_of_init_is_refused():
    """The loss is given that of the first draw: the label would be that of another point."""
    power = ls.from_loss(lambda p: (p["a"] ** 2 - p["n"]) ** 2, lambda key: {"a": jax.random.normal(key), "n": 4}, 0.0)
    with pytest.raises(ls.InputError, match="params have 9 where the first draw of init has 4"):
        ls.label(power, {"a": 3.0, "n": 9})
