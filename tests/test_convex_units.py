"""Without weight decay labels do not depend on the units of columns, or of a neuron's layers, and no falling path
contradicts one."""

from itertools import pairwise

import numpy as np
import pytest
from slow import long, slow

from landscape.problems.empirical import empirical
from landscape.records import Evidence, Flavour, Label
from landscape.theory.convex.cell_finish import finish
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.labels import label

X = np.array([[1.0, 1.0], [2.0, -1.0], [3.0, 1.0], [1.5, 2.0]])
Y = np.array([1.3, 1.6, 3.3, 1.8])
MINIMA = (Label.GLOBAL, Label.SPURIOUS)


def losses_between(problem, one, two, steps):
    """The loss on the straight way, point by point: it is computed as far as it is asked for."""
    return (forward(problem, one + t * (two - one)).loss for t in np.linspace(0, 1, steps))


def falls_strictly(problem, one, two):
    """Whether the loss falls all along the straight way, beyond its rounding."""
    error = forward(problem, one).loss_error + forward(problem, two).loss_error
    start, end = losses_between(problem, one, two, 2)
    # Most ways rise from the first step on: a walk of some thousand ways ends there.
    return bool(start - end > error) and all(b < a for a, b in pairwise(losses_between(problem, one, two, 51)))


@pytest.mark.parametrize("units", [(1e5, 1e-4), (1e9, 1.0), (1.0, 1e-9), (1.0, 1.0)])
def test_a_column_that_is_small_beside_another_has_slopes_of_its_own(units):
    x = X * units
    problem = empirical(x, Y, 1)
    alone = float(x[:, 0] @ Y / (x[:, 0] @ x[:, 0]))
    point = np.array([alone, 0.0, 1.0])
    both = np.append(np.linalg.lstsq(X, Y, rcond=None)[0] / units, 1.0)
    assert falls_strictly(problem, point, both)
    assert forward(problem, point).loss == pytest.approx(0.1928, abs=1e-4)
    assert forward(problem, both).loss == pytest.approx(0.0288, abs=1e-4)
    assert label(problem, point).label == Label.UNCONVERGED
    assert label(problem, both).label in MINIMA


def test_time_stamps_beside_a_bias_have_slopes_of_their_own():
    """The two columns are parallel to nine digits: neither alone has a slope that is seen, their difference has one."""
    seconds = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    y = np.array([1.0, 1.5, 1.9, 2.6, 3.0])
    for bias, outer_bias in (("free", "none"), ("none", "free")):
        problem = empirical(1.7e9 + seconds, y, 1, bias=bias, outer_bias=outer_bias)
        # A constant: all that a slope of either column's own size sees is gone.
        point = [0.0, np.mean(y), 1.0] if bias == "free" else [1e-12, 1.0, np.mean(y) - 1.7e-3]
        slope = np.polyfit(seconds, y, 1)[0]
        better = np.array(point, float)
        better += [slope, -slope * (1.7e9 + 2), 0.0] if bias == "free" else [slope, 0.0, -slope * (1.7e9 + 2)]
        assert falls_strictly(problem, np.array(point, float), better)
        assert label(problem, np.array(point, float)).label not in MINIMA


@pytest.mark.parametrize("r", [1.0, 1e2, 1e4])
@pytest.mark.parametrize("outer", [2e-9, 1e-8, 1e-7, 1e-6])
def test_a_neuron_of_unlike_layers_has_slopes_of_its_own(r, outer):
    problem = empirical(np.eye(2), [1.0, -1.0], 1)
    hidden = np.array([r + outer * 2 * r * r, r]) if outer * r < 1e-3 else np.array([r * (1 + 2 * outer * r), r])
    best = float(hidden @ [1.0, -1.0] / (hidden @ hidden))  # of the outer weight
    point = np.array([*hidden, best])
    # Turn, then grow: from 1 to 1/2.
    assert forward(problem, point).loss > 0.99
    turned = np.array([hidden[0], 0.0, best])
    assert falls_strictly(problem, point, turned)
    assert falls_strictly(problem, turned, np.array([hidden[0], 0.0, 1 / hidden[0]]))
    verdict = label(problem, point)
    assert verdict.label not in MINIMA
    assert verdict.evidence != Evidence.CERTIFIED


def ended(problem, rng):
    """A stationary point that one of five random networks leads to, or the last network."""
    for start in rng.normal(size=(5, problem.p)):
        end = finish(problem, start)
        if end is not None:
            return end
    return start


def drawn(rng):
    """A random problem without weight decay with a point of some kind, and the same in other units."""
    n, d, width = int(rng.integers(2, 8)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    if rng.random() < 0.3:
        x = np.round(x)
    if not np.any(x):
        x[0, 0] = 1.0
    loss = str(rng.choice(["squared", "squared", "squared", "squared", "huber", "logistic"]))
    y = np.where(y > 0, 1.0, -1.0) if loss == "logistic" else y
    model = dict(
        loss=loss, bias=str(rng.choice(["none", "none", "free"])), outer_bias=str(rng.choice(["none", "free"]))
    )
    plain = empirical(x, y, width, **model)
    units = 10.0 ** rng.uniform(-9, 9, d)
    scaled = empirical(x * units, y, width, **model)
    cut = width * plain.d
    kind = rng.choice([0, 1, 1, 1, 2, 3, 3])
    if kind == 0:
        point = rng.normal(size=plain.p)
    elif kind == 1 and width > 1:  # a zero neuron, or one whose outer weight is zero
        end = ended(empirical(x, y, width - 1, **model), rng)
        new = rng.choice([0.0, 1.0]) * rng.normal(size=plain.d)
        point = np.concatenate([new, end[: cut - plain.d], [0.0], end[cut - plain.d :]])
    elif kind == 2 and d > 1 and np.any(x[:, 1:]):  # the least squares of all columns but one
        end = ended(empirical(x[:, 1:], y, width, **model), rng)
        less = width * (plain.d - 1)
        hidden = np.column_stack([np.zeros(width), end[:less].reshape(width, -1)])
        point = np.concatenate([hidden.reshape(-1), end[less:]])
    else:
        point = ended(plain, rng)
    moved = point.copy()
    sizes = 10.0 ** rng.uniform(-3, 3, width)  # of the layers of a neuron against each other
    hidden = point[:cut].reshape(width, -1) * sizes[:, None]
    hidden[:, :d] /= units
    moved[:cut] = hidden.reshape(-1)
    moved[cut : cut + width] /= sizes
    return plain, point, scaled, moved


def ways(problem, point, rng):
    """Ends of straight ways: random ones of several sizes, and those to the least squares solution of its cells."""
    size = np.where(point != 0, np.abs(point), 1.0)
    for radius in (1e-5, 1e-3, 1e-1):
        for _ in range(60):
            yield point + radius * size * rng.normal(size=len(point))
    here, m, d = forward(problem, point), problem.width, problem.d
    features = [(here.z[:, j] > 0)[:, None] * here.a[j] * problem.x for j in range(m)]
    if problem.outer_bias != "none":
        features.append(np.ones((len(problem.y), 1)))
    move = np.linalg.lstsq(np.concatenate(features, axis=1), here.nu, rcond=1e-12)[0]
    for t in (1.0, 0.1, 1e-3, 1e-6):
        there = point.copy()
        there[: m * d] += t * move[: m * d]
        there[m * (d + 1) :] += t * move[m * d :]
        yield there


def check(seeds):
    """Labels seen, with their numbers: the same in both units, and contradicted by no way that falls."""
    seen = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        plain, point, scaled, moved = drawn(rng)
        one, two = label(plain, point), label(scaled, moved)
        assert (one.label, one.flavour) == (two.label, two.flavour), seed
        seen[one.label] = seen.get(one.label, 0) + 1
        if one.label in MINIMA or one.flavour in (Flavour.FLAT_MINIMUM, Flavour.STRICT_MINIMUM):
            assert not any(falls_strictly(plain, point, there) for there in ways(plain, point, rng)), seed
        for problem, theta, verdict in ((plain, point, one), (scaled, moved, two)):
            if verdict.escape is not None:
                here, there = forward(problem, theta), forward(problem, theta + verdict.escape)
                assert there.loss + there.loss_error < here.loss - here.loss_error, seed
    return seen


KINDS = (Label.GLOBAL, Label.SPURIOUS, Label.SADDLE, Label.UNCONVERGED)


def test_labels_do_not_depend_on_units_of_columns():
    seen = check(range(60))
    assert min(seen.get(one, 0) for one in KINDS) > 2


@pytest.mark.parametrize(("points", "least"), [slow(125, 4), long(500, 20)])
def test_labels_of_many_points_do_not_depend_on_units_of_columns(points, least):
    seen = check(range(1000, 1000 + points))
    assert min(seen.get(one, 0) for one in KINDS) > least


def drawn_with_decay(rng):
    """A random problem with weight decay, a point of some kind, and both with data in another unit.

    relu(c x w) a is relu(x w') a' at w = w' / sqrt(c), a = a' / sqrt(c), and weight decay of c beta costs the same.
    """
    n, d, width = int(rng.integers(2, 8)), int(rng.integers(1, 4)), int(rng.integers(1, 4))
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    loss = str(rng.choice(["squared", "squared", "huber", "logistic"]))
    if loss == "logistic":
        y = np.where(y > 0, 1.0, -1.0)
        y[:2] = 1.0, -1.0  # both classes
    beta, unit = float(10.0 ** rng.uniform(-3, 0)), float(10.0 ** rng.uniform(-9, 9))
    model = dict(loss=loss, outer_bias=str(rng.choice(["none", "free"])))
    plain = empirical(x, y, width, weight_decay=beta, **model)
    scaled = empirical(unit * x, y, width, weight_decay=unit * beta, **model)
    kind = rng.choice([0, 1, 1, 2, 2])
    point = rng.normal(size=plain.p) if kind == 0 else ended(plain, rng)
    if kind == 1 and width > 1:  # a zero neuron
        end = ended(empirical(x, y, width - 1, weight_decay=beta, **model), rng)
        cut = (width - 1) * d
        point = np.concatenate([np.zeros(d), end[:cut], [0.0], end[cut:]])
    moved = point.copy()
    moved[: width * (d + 1)] /= np.sqrt(unit)
    return plain, point, scaled, moved


def check_with_decay(seeds):
    """Labels seen, with their numbers: the same in both units, and contradicted by no way that falls."""
    seen = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        plain, point, scaled, moved = drawn_with_decay(rng)
        one, two = label(plain, point), label(scaled, moved)
        assert (one.label, one.flavour) == (two.label, two.flavour), seed
        seen[one.label] = seen.get(one.label, 0) + 1
        if one.label in MINIMA or one.flavour in (Flavour.FLAT_MINIMUM, Flavour.STRICT_MINIMUM):
            assert not any(falls_strictly(plain, point, there) for there in ways(plain, point, rng)), seed
    return seen


def test_labels_with_weight_decay_do_not_depend_on_the_unit_of_the_data():
    seen = check_with_decay(range(40))
    assert min(seen.get(one, 0) for one in (Label.GLOBAL, Label.SADDLE, Label.UNCONVERGED)) > 2


@pytest.mark.parametrize(("points", "least"), [slow(125, 1), long(500, 7)])
def test_labels_of_many_points_with_weight_decay_do_not_depend_on_the_unit_of_the_data(points, least):
    seen = check_with_decay(range(1000, 1000 + points))
    assert min(seen.get(one, 0) for one in (Label.GLOBAL, Label.SADDLE, Label.UNCONVERGED)) > least
