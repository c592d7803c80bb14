"""Optimisers from optax are equal where they are made of equal parts, and never where any part differs."""

import functools
import itertools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import landscape as ls
from landscape.descent import Optax, method
from landscape.descent.structure import structure

RATE = 0.1  # a module-level name that a schedule reads


def _global_schedule(step):
    return RATE / (1 + step)


def _calls_global(step):
    return 2 * _global_schedule(step)


def _closure(a, b=0.5):
    def schedule(step, c=b):
        return a * c ** (step / 100)

    return schedule


def _keyword(rate):
    def schedule(step, *, start=rate):
        return start

    return schedule


def _nested(rate):
    return lambda step: (lambda: rate)() + 0.0 * step


def _power(rate, step):
    return rate * 0.5**step


def _through_builtin(step):
    return abs(math.cos(0.1)) * 0.1


def _mask(value):
    return lambda params: value


# How a user may make an optimiser; each twice gives equal ones, and no two of these are equal.
DIFFERENT = {
    "sgd": lambda: optax.sgd(0.1),
    "another rate": lambda: optax.sgd(0.2),
    "a rate one ulp away": lambda: optax.sgd(np.nextafter(0.1, 1.0).item()),
    "a whole rate": lambda: optax.sgd(1),
    "a rate of 1.0": lambda: optax.sgd(1.0),
    "a rate 0.0": lambda: optax.sgd(0.0),
    "a rate -0.0": lambda: optax.sgd(-0.0),
    "an array as rate": lambda: optax.sgd(np.array(0.1)),
    "closure, an array": lambda: optax.sgd(_closure(np.array(0.1))),
    "closure, a float64": lambda: optax.sgd(_closure(np.float64(0.1))),
    "a float32 array as rate": lambda: optax.sgd(np.array(0.1, np.float32)),
    "a JAX array as rate": lambda: optax.sgd(jnp.array(0.1, jnp.float64)),
    "a weak JAX array as rate": lambda: optax.sgd(jax.jit(lambda: 0.1)()),
    "momentum": lambda: optax.sgd(0.1, momentum=0.9),
    "other momentum": lambda: optax.sgd(0.1, momentum=0.8),
    "nesterov": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "accumulator": lambda: optax.sgd(0.1, momentum=0.9, accumulator_dtype=jnp.float32),
    "adam": lambda: optax.adam(0.1),
    "adam b1": lambda: optax.adam(0.1, b1=0.8),
    "adam b2": lambda: optax.adam(0.1, b2=0.99),
    "adam eps": lambda: optax.adam(0.1, eps=1e-7),
    "adam eps_root": lambda: optax.adam(0.1, eps_root=1e-8),
    "nadam": lambda: optax.nadam(0.1),
    "adamw": lambda: optax.adamw(0.1),
    "adamw decay": lambda: optax.adamw(0.1, weight_decay=0.1),
    "adamw mask": lambda: optax.adamw(0.1, mask=_mask(True)),
    "adamw other mask": lambda: optax.adamw(0.1, mask=_mask(False)),
    "rmsprop": lambda: optax.rmsprop(0.1),
    "lion": lambda: optax.lion(0.1),
    "lbfgs": lambda: optax.lbfgs(),
    "lbfgs memory": lambda: optax.lbfgs(memory_size=5),
    "clipped": lambda: optax.chain(optax.clip(1.0), optax.sgd(0.1)),
    "clipped later": lambda: optax.chain(optax.sgd(0.1), optax.clip(1.0)),
    "clipped by norm": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1)),
    "chained alone": lambda: optax.chain(optax.sgd(0.1)),
    "exponential": lambda: optax.sgd(optax.exponential_decay(0.1, 100, 0.5)),
    "exponential, other": lambda: optax.sgd(optax.exponential_decay(0.1, 100, 0.6)),
    "exponential, staircase": lambda: optax.sgd(optax.exponential_decay(0.1, 100, 0.5, staircase=True)),
    "cosine": lambda: optax.sgd(optax.cosine_decay_schedule(0.1, 100)),
    "cosine, longer": lambda: optax.sgd(optax.cosine_decay_schedule(0.1, 101)),
    "piecewise": lambda: optax.sgd(optax.piecewise_constant_schedule(0.1, {10: 0.5, 20: 0.1})),
    "piecewise, other place": lambda: optax.sgd(optax.piecewise_constant_schedule(0.1, {11: 0.5, 20: 0.1})),
    "joined": lambda: optax.sgd(optax.join_schedules([lambda s: 0.1, lambda s: 0.01], [50])),
    "joined, other": lambda: optax.sgd(optax.join_schedules([lambda s: 0.1, lambda s: 0.02], [50])),
    "closure": lambda: optax.sgd(_closure(0.1)),
    "closure, a whole number": lambda: optax.sgd(_closure(1)),
    "closure, True": lambda: optax.sgd(_closure(True)),
    "closure, other cell": lambda: optax.sgd(_closure(0.2)),
    "closure, other default": lambda: optax.sgd(_closure(0.1, 0.6)),
    "keyword": lambda: optax.sgd(_keyword(0.1)),
    "keyword, other": lambda: optax.sgd(_keyword(0.2)),
    "nested": lambda: optax.sgd(_nested(0.1)),
    "nested, other": lambda: optax.sgd(_nested(0.2)),
    "partial": lambda: optax.sgd(functools.partial(_power, 0.1)),
    "partial, other": lambda: optax.sgd(functools.partial(_power, 0.2)),
    "partial by name": lambda: optax.sgd(functools.partial(_power, rate=0.1)),
    "constant of the code": lambda: optax.sgd(lambda step: 0.1),
    "other constant of the code": lambda: optax.sgd(lambda step: 0.3),
    "module-level": lambda: optax.sgd(_global_schedule),
    "calls module-level": lambda: optax.sgd(_calls_global),
    "built-in": lambda: optax.sgd(_through_builtin),
    "hyperparameters": lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=0.1),
    "other hyperparameters": lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=0.2),
}


def test_an_optimiser_made_twice_is_equal_and_no_two_of_many_are():
    once, again = ({name: Optax(make()) for name, make in DIFFERENT.items()} for _ in range(2))
    for name in DIFFERENT:
        assert once[name].transformation is not again[name].transformation
        assert once[name] == again[name], name
        assert hash(once[name]) == hash(again[name]), name
    for (name, one), (other_name, other) in itertools.permutations(again.items(), 2):
        assert one != once[other_name], (name, other_name)
        assert one != other, (name, other_name)


def test_what_a_schedule_reads_outside_itself_counts(monkeypatch):
    before = Optax(optax.sgd(_global_schedule)), Optax(optax.sgd(_calls_global)), Optax(optax.sgd(_closure(0.1)))
    monkeypatch.setitem(globals(), "RATE", 0.2)
    after = Optax(optax.sgd(_global_schedule)), Optax(optax.sgd(_calls_global)), Optax(optax.sgd(_closure(0.1)))
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True]


def test_the_content_of_a_list_counts_and_not_the_list():
    rates = [0.1, 0.2]
    make = lambda held: Optax(optax.sgd(lambda step: jnp.asarray(held)[0]))  # noqa: E731
    before = make(rates)
    assert before == make(list(rates))
    rates[0] = 0.3
    assert before != make(rates)


def test_attributes_of_a_function_count():
    def schedule(step):
        return 0.1

    before = Optax(optax.sgd(schedule))
    schedule.rate = 0.2
    assert before != Optax(optax.sgd(schedule))


class _Schedule:
    def __init__(self, rate):
        self.rate = rate

    def __call__(self, step):
        return self.rate

    def at(self, step):
        return self.rate


class _Pair(tuple):
    pass


SETTINGS = types.SimpleNamespace(rate=0.1)
MODULE = types.ModuleType("settings")


def _reads_an_object(step):
    return SETTINGS.rate


def _reads_a_module(step):
    return MODULE.rate


def _reads_a_class(step):
    return _Schedule.rate


def _evaluates(step):
    return eval("RATE")


def _imports(step):
    from os import environ

    return float(environ.get("RATE", 0.1))


def _assigns(step):
    global COUNT
    COUNT = step
    return 0.1


@functools.wraps(optax.constant_schedule)
def _disguised(step):
    return SETTINGS.rate


# Made of parts that may change unseen: equal to itself only.
UNDECIDED = {
    "an instance": lambda: _Schedule(0.1),
    "a method": lambda: _Schedule(0.1).at,
    "a cell with an instance": lambda: (lambda held: lambda step: held(step))(_Schedule(0.1)),
    "a global instance": lambda: _reads_an_object,
    "a global module": lambda: _reads_a_module,
    "a class of the user's": lambda: _reads_a_class,
    "eval": lambda: _evaluates,
    "an import": lambda: _imports,
    "an assignment to a global": lambda: _assigns,
    "a name that is nowhere": lambda: lambda step: NOWHERE,  # noqa: F821
    "the name of another package's function": lambda: _disguised,
    "a jitted function of the user's": lambda: jax.jit(lambda step: 0.1),
    "a tuple of the user's class": lambda: functools.partial(_power, _Pair((0.1,))),
    "a masked array": lambda: functools.partial(_power, np.ma.masked_array([0.1], [False])),
    "an array of objects": lambda: functools.partial(_power, np.array([0.1], object)),
    "a random key": lambda: functools.partial(_power, jax.random.key(0)),
    "an iterator": lambda: functools.partial(_power, iter([0.1])),
}


@pytest.mark.parametrize("name", UNDECIDED)
def test_what_cannot_be_compared_is_equal_to_itself_only(name):
    one, other = (optax.sgd(UNDECIDED[name]()) for _ in range(2))
    assert Optax(one) == Optax(one)
    assert hash(Optax(one)) == hash(Optax(one))
    assert Optax(one) != Optax(other)


def test_a_schedule_of_optax_that_was_used_is_still_the_same_schedule():
    def make():
        return optax.sgd(optax.cosine_decay_schedule(0.1, 200), momentum=0.9)

    used = make()
    used.update(jnp.ones(2), used.init(jnp.ones(2)))
    assert structure(used) == structure(make())


def test_a_function_that_remembers_its_calls_is_equal_to_itself_only():
    def make():
        calls = 0

        def schedule(step):
            nonlocal calls
            calls += 1
            return 0.1 / calls

        return schedule

    one = make()
    assert structure(one) == structure(one)
    assert structure(one) != structure(make())


def test_a_function_that_sees_itself_has_a_key():
    def made(rate):
        def schedule(step, depth=1):
            return schedule(step, depth - 1) if depth else rate

        return schedule

    assert structure(made(0.1)) == structure(made(0.1))
    assert structure(made(0.1)) != structure(made(0.2))


def test_words_and_settings_of_named_optimisers_count():
    names = [
        "gradient-descent",
        "momentum",
        "nesterov",
        "adam",
        "rmsprop",
        "flow",
        "lbfgs",
        "minibatch:2",
        "minibatch:3",
        "sgd:2",
        "sgd:3",
    ]
    made = [method(name, step, tolerance) for name in names for step in (0.1, 0.2) for tolerance in (0.01, 0.02)]
    again = [method(name, step, tolerance) for name in names for step in (0.1, 0.2) for tolerance in (0.01, 0.02)]
    assert made == again
    assert [hash(one) for one in made] == [hash(one) for one in again]
    # The flow has its tolerance for a setting, L-BFGS none, the others their step.
    assert len(set(made)) == 9 * 2 + 2 + 1
    assert Optax(optax.sgd(0.1), "one") != Optax(optax.sgd(0.1), "two")


def test_equal_optimisers_share_a_program_and_different_ones_go_their_own_ways():
    problem = ls.orthonormal_teacher(2)
    settings = dict(restarts=4, lanes=4, budget=240, retire=1e-12, progress=False)
    ends = {}
    for rate in (0.1, 0.05, 0.1):
        census = ls.explore(problem, optimiser=optax.sgd(optax.exponential_decay(rate, 100, 0.5)), **settings)
        order = np.argsort(census.rows["restart"])
        ends.setdefault(rate, []).append(census.rows["loss"][order])
    np.testing.assert_array_equal(*ends[0.1])
    assert np.all(ends[0.1][0] < ends[0.05][0])
