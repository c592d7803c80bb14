"""One small landscape of every family and variant, with its loss in 60-digit arithmetic; `tests/test_families.py` holds
all of them to what every problem promises.

A new family or variant gets a line in FAMILIES.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mpmath as mp
import numpy as np
import reference

import landscape as ls
from landscape.problems.activation import GAUSSIAN


class Family(NamedTuple):
    """One line of the table.

    Attributes:
        make: Number of a draw of its data -> problem; another draw is another problem of the same shapes.
        exact: (problem, theta) -> loss, from the exact values of the floats, in 60 digits.
        like: Name of the line that stands for its whole family where a test is slow.
    """

    make: Callable[[int], Any]
    exact: Callable[[Any, np.ndarray], mp.mpf]
    like: str


def _draws(draw):
    return np.random.default_rng((17, draw))


def _rows(theta, width):
    return [reference.exact(row) for row in np.reshape(theta, (width, -1))]


# -- networks over Gaussian inputs -------------------------------------------------------------------------------------


def _student(activation, k, width, draw):
    return ls.teacher_student(_draws(draw).normal(size=(k, 2)), width, activation, slope=0.1)


def _student_exact(problem, theta):
    return reference.loss(problem.activation, _rows(theta, problem.width), reference.exact(problem.teacher))


def _outer(activation, trained, draw):
    """Outer weights of both signs, of the teacher too; three students, two teachers."""
    rng = _draws(draw)
    outer = "trained" if trained else [1.0, -0.5, 2.0]
    return ls.teacher_student(
        rng.normal(size=(2, 2)), 3, activation, slope=0.1, outer=outer, teacher_outer=rng.normal(size=2)
    )


def _outer_exact(problem, theta):
    outer = problem.outer
    if problem.trained:
        theta, outer = theta[: -problem.width], theta[-problem.width :]
    teacher, weights = reference.exact(problem.teacher), reference.exact(problem.teacher_outer)
    return reference.loss(problem.activation, _rows(theta, problem.width), teacher, reference.exact(outer), weights)


def _tied(k, width, draw):
    return ls.tied_student(_draws(draw).normal(size=(k, 2)), width)


def _tied_exact(problem, theta):
    student = [[_length(w) * x for x in w] for w in _rows(theta, problem.width)]
    return reference.loss(ls.teacher_student([[1.0]], 1, "abs").activation, student, reference.exact(problem.teacher))


AXES, BENT = np.eye(2), np.array([[1.0, 0.0], [0.6, 0.8]])


def _lines(lines, neurons, matched, draw):
    masses = _draws(draw).normal(size=len(lines))
    teacher = masses[:, None] * lines if matched else _draws(draw).normal(size=(2, 2))
    return ls.porcupine(lines, neurons, teacher)


def _lines_exact(problem, theta):
    lines = reference.exact(problem.lines)
    sizes = [mp.sqrt(mp.fsum(x * x for x in line)) for line in lines]  # of rounded unit vectors
    student = [
        [t * x / sizes[line] for x in lines[line]]
        for t, line in zip(reference.exact(theta), problem.line_of.tolist(), strict=True)
    ]
    return reference.loss(ls.orthonormal_teacher(1).activation, student, reference.exact(problem.teacher))


# -- networks on data --------------------------------------------------------------------------------------------------

ROWS = 5


def _network(draw, activation="relu", loss="squared", bias="none", outer_bias="none", width=2):
    rng = _draws(draw)
    x, y = rng.normal(size=(ROWS, 2)), rng.normal(size=ROWS) * (2.0 if loss == "huber" else 1.0)
    if loss == "logistic":
        y = np.array([1.0, -1.0, 1.0, 1.0, -1.0])
    return ls.empirical(
        x, y, width, activation=activation, loss=loss, weight_decay=0.1, bias=bias, outer_bias=outer_bias, slope=0.2
    )


POINTWISE = {
    "relu": lambda act, z: max(z, mp.mpf(0)),
    "leaky_relu": lambda act, z: z if z > 0 else mp.mpf(act.slope) * z,
    "tanh": lambda act, z: mp.tanh(z),
    "quadratic": lambda act, z: z * z,
}
PAID = {
    "squared": lambda f, y: (f - y) ** 2 / 2,
    "logistic": lambda f, y: mp.log1p(mp.exp(-y * f)),
    "huber": lambda f, y: (f - y) ** 2 / 2 if abs(f - y) <= 1 else abs(f - y) - mp.mpf(1) / 2,
}


def _dot(a, b):
    return mp.fsum(x * y for x, y in zip(a, b, strict=True))


def _network_exact(problem, theta):
    m, d = problem.width, problem.d
    numbers = reference.exact(theta)
    hidden, outer, tail = (
        [numbers[j * d : (j + 1) * d] for j in range(m)],
        numbers[m * d : m * (d + 1)],
        numbers[m * (d + 1) :],
    )
    act = problem.activation
    paid = mp.mpf(0)
    for row, y in zip(reference.exact(problem.x), reference.exact(problem.y), strict=True):
        f = _dot(outer, [POINTWISE[act.name](act, _dot(w, row)) for w in hidden]) + mp.fsum(tail)
        paid += PAID[problem.fit.name](f, y)
    hidden_paid = d - (problem.bias == "free")  # the last column of the design is the bias
    decayed = [
        *outer,
        *(w for row in hidden for w in row[:hidden_paid]),
        *(tail if problem.outer_bias == "regularised" else []),
    ]
    return paid + mp.mpf(float(problem.weight_decay)) / 2 * mp.fsum(w * w for w in decayed)


# -- parallel subnetworks ----------------------------------------------------------------------------------------------


def _matrix(draw, loss="squared"):
    y = _draws(draw).normal(size=(3, 2))
    return ls.matrix_factorisation(np.sign(y) if loss == "logistic" else y, 2, 0.2, loss)


def _parallel(draw, subnetwork, outputs=None):
    rng = _draws(draw)
    y = rng.normal(size=4) if outputs is None else rng.normal(size=(4, outputs))
    return ls.parallel(rng.normal(size=(4, 2)), y, 2, subnetwork, 0.1)


def _length(w):
    return mp.sqrt(_dot(w, w))


def _own_output(w, x):
    return jnp.sum(jnp.maximum(x @ w["in"], 0.0), axis=1) * w["out"]


def _own_penalty(w):
    return 0.5 * (jnp.sum(w["in"] ** 2) + w["out"] ** 2)


def _own_init(key):
    return {"in": jax.random.normal(key, (2, 2), jnp.float64), "out": jnp.ones((), jnp.float64)}


OWN = ls.Subnetwork("two by two", _own_init, _own_output, _own_penalty, 2.0, coercive=True)


def _rank_one_exact(w, x, shape):
    u, v = w[: shape[0]], w[shape[0] :]
    return [a * b for a in u for b in v], (_dot(u, u) + _dot(v, v)) / 2


def _quadratic_exact(w, x, shape):
    v, a = w[:2], w[2:]
    return [_dot(row, v) ** 2 * b for row in x for b in a], 2 * _length(v) ** 3 / 3 + _length(a) ** 3 / 3


def _relu_exact(w, x, shape):
    v, a = w[:2], w[2:]
    return [max(_dot(row, v), mp.mpf(0)) * b for row in x for b in a], (_dot(v, v) + _dot(a, a)) / 2


def _deep_exact(w, x, shape):
    first, second, a = w[:4], w[4:6], w[6:]
    out = []
    for row in x:  # V is [inputs, hidden]
        hidden = [max(row[0] * first[j] + row[1] * first[2 + j], mp.mpf(0)) for j in range(2)]
        out += [max(_dot(hidden, second), mp.mpf(0)) * b for b in a]
    return out, (_length(first) ** 3 + _length(second) ** 3 + _length(a) ** 3) / 3


def _own_exact(w, x, shape):
    units = [(w[0], w[2]), (w[1], w[3])]
    return [mp.fsum(max(_dot(row, u), mp.mpf(0)) for u in units) * w[4] for row in x], _dot(w, w) / 2


def _parallel_exact(one, problem, theta):
    y = reference.exact(np.ravel(problem.y))
    x = None if problem.x is None else reference.exact(problem.x)
    parts = [one(w, x, problem.y.shape) for w in _rows(theta, problem.width)]
    f = [mp.fsum(column) for column in zip(*(outputs for outputs, _ in parts), strict=True)]
    paid = mp.fsum(PAID[problem.fit.name](a, b) for a, b in zip(f, y, strict=True))
    return paid + mp.mpf(float(problem.regularisation)) * mp.fsum(penalty for _, penalty in parts)


# -- a user's own loss -------------------------------------------------------------------------------------------------

TARGETS = (1.0, 0.5)  # of draw 0 and draw 1


def _well(c, w):
    return jnp.sum((w["a"] ** 2 - c) ** 2) + 0.25 * jnp.sum(w["b"]) ** 2 + 0.5 * jnp.sum((w["b"] - 1.0) ** 2)


def _well_init(key):
    return {"a": jax.random.normal(key, (2,)), "b": jnp.zeros((1, 2))}


def _sorted(w):
    return {"a": jnp.sort(w["a"]), "b": jnp.sort(w["b"])}


def _own_loss(draw, symmetry=None):
    return ls.from_loss(partial(_well, TARGETS[draw]), _well_init, 0.0, symmetry)


def _own_loss_exact(problem, theta):
    a, b, c, d = reference.exact(theta)
    target = mp.mpf(problem.function.args[0])
    return (a * a - target) ** 2 + (b * b - target) ** 2 + (c + d) ** 2 / 4 + ((c - 1) ** 2 + (d - 1) ** 2) / 2


# -- the table ---------------------------------------------------------------------------------------------------------


def _families():
    for activation in GAUSSIAN:
        for how, k, width in (("=", 2, 2), (">", 1, 2), ("<", 2, 1)):
            make = partial(_student, activation, k, width)
            yield f"{activation}, width {how} k", Family(make, _student_exact, "relu, width = k")
        for how, trained in (("trained", True), ("fixed", False)):
            make = partial(_outer, activation, trained)
            yield f"{activation}, outer weights {how}", Family(make, _outer_exact, "erf, outer weights trained")
    for how, k, width in (("=", 2, 2), (">", 1, 2), ("<", 2, 1)):
        yield f"tied, width {how} k", Family(partial(_tied, k, width), _tied_exact, "tied, width = k")
    for how, matched in (("matched", True), ("unmatched", False)):
        yield (
            f"porcupine, {how}, equal",
            Family(partial(_lines, BENT, 2, matched), _lines_exact, "porcupine, matched, equal"),
        )
        counts = partial(_lines, BENT, (1, 3), matched)
        yield f"porcupine, {how}, unequal", Family(counts, _lines_exact, "porcupine, matched, equal")
    yield "porcupine, orthogonal", Family(partial(_lines, AXES, 2, True), _lines_exact, "porcupine, matched, equal")
    for loss in PAID:
        for activation in POINTWISE:
            make = partial(_network, activation=activation, loss=loss)
            yield f"data, {loss}, {activation}", Family(make, _network_exact, "data, squared, relu")
    for bias, outer_bias in (
        ("regularised", "none"),
        ("free", "none"),
        ("none", "free"),
        ("regularised", "regularised"),
    ):
        make = partial(_network, bias=bias, outer_bias=outer_bias)
        yield f"data, biases {bias} and {outer_bias}", Family(make, _network_exact, "data, squared, relu")
    for loss in ("squared", "logistic"):
        exact = partial(_parallel_exact, _rank_one_exact)
        yield f"matrix, {loss}", Family(partial(_matrix, loss=loss), exact, "matrix, squared")
    for name, subnetwork, outputs, one in (
        ("quadratic", "quadratic", None, _quadratic_exact),
        ("quadratic, two outputs", "quadratic", 2, _quadratic_exact),
        ("relu, two outputs", "relu", 2, _relu_exact),
        ("deep_relu", "deep_relu", None, _deep_exact),
        ("own subnetwork", OWN, None, _own_exact),
    ):
        make = partial(_parallel, subnetwork=subnetwork, outputs=outputs)
        like = "parallel, own subnetwork" if name == "own subnetwork" else "parallel, quadratic"
        yield f"parallel, {name}", Family(make, partial(_parallel_exact, one), like)
    yield "from_loss", Family(_own_loss, _own_loss_exact, "from_loss")
    yield "from_loss, symmetry", Family(partial(_own_loss, symmetry=_sorted), _own_loss_exact, "from_loss")


FAMILIES: dict[str, Family] = dict(_families())
# Parts of names: one line of every activation, loss and form; the others are their mixtures.
SOME = (
    "width = k",
    "erf, outer weights trained",
    "data, squared",
    "parallel, quadratic",
    "own subnetwork",
    "matrix",
    "porcupine, matched, equal",
    "from_loss",
)
ONE_EACH = [name for name in FAMILIES if name in {family.like for family in FAMILIES.values()}]
