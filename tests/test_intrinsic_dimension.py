"""The dimension of the span of all neurons: exact on data against numerical ranks, and the table of the theory."""

from __future__ import annotations

import json
import math

import jax.numpy as jnp
import numpy as np
import pytest
from finite_networks import degenerate
from reference import call

from landscape.precision import float64
from landscape.problems.activation import ACTIVATIONS, Activation, activation
from landscape.records import InputError
from landscape.studies.dimensions import IntrinsicDimension
from landscape.theory.exact_rank import primitive, rank, whole_numbers
from landscape.theory.intrinsic_dimension import numerical_rank, on_data, over_gaussian, polynomial_dimension

SMOOTH = {"tanh", "erf", "gelu", "softplus", "sigmoid"}


@pytest.mark.parametrize(
    ("powers", "s", "at_three"),
    [
        ((1,), lambda z: z, 3),
        ((2,), jnp.square, 6),
        ((3,), lambda z: z**3, 10),
        ((1, 2), lambda z: z + z**2, 9),
        ((0, 1, 2, 3), lambda z: 1 + z + z**2 + z**3, 20),
    ],
    ids=["z", "z^2", "z^3", "z + z^2", "1 + z + z^2 + z^3"],
)
def test_dimensions_of_polynomials_are_those_of_the_table(powers, s, at_three):
    assert polynomial_dimension(powers, 3) == at_three
    rng = np.random.default_rng(0)
    with float64():
        for d in (1, 2, 3, 4):
            x = rng.normal(size=(60, d))
            assert numerical_rank(s, x) == polynomial_dimension(powers, d)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_over_gaussian_inputs_all_but_polynomials_are_infinite_from_two_inputs_on(name):
    finite = {"linear": (1, 2, 3), "quadratic": (1, 3, 6)}.get(name, (math.inf,) * 3)
    if name in ("relu", "leaky_relu", "abs"):  # on one input a homogeneous neuron has the shape of a half line or two
        finite = (1 if name == "abs" else 2, math.inf, math.inf)
    assert tuple(over_gaussian(activation(name), d).low for d in (1, 2, 3)) == finite
    assert all(over_gaussian(activation(name), d).exact for d in (1, 2, 3))


@pytest.mark.parametrize("name", ["relu", "abs", "leaky_relu"])
def test_numerical_ranks_of_kinked_neurons_grow_with_the_data(name):
    rng = np.random.default_rng(1)
    with float64():
        ranks = [numerical_rank(activation(name).s, rng.normal(size=(n, 3))) for n in (10, 30, 100, 300)]
    assert ranks == [10, 30, 100, 300]


@pytest.mark.parametrize("kind", ["random", "duplicate", "antipodal", "one-hot", "grid"])
@pytest.mark.parametrize("name", [*ACTIVATIONS, "straight"])
def test_on_data_the_exact_dimension_is_the_numerical_rank(kind, name):
    """On at most eight rows singular values of all these activations are above 1e-9 of the largest."""
    act = activation("leaky_relu", 1.0) if name == "straight" else activation(name)
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x, _ = degenerate(kind, rng)
        if kind == "grid" and name in SMOOTH:
            x = x[:6]  # rows of many lengths on one line are told apart by high powers only
        found = on_data(act, x)
        assert found.exact
        with float64():
            # Longer directions see the high powers that tell rows on one line apart.
            ranks = [numerical_rank(act.s, scale * x, 1e-11) for scale in (1.0, 3.0)]
        assert found.low == max(ranks), (kind, name, seed)


def test_rows_that_differ_in_their_last_digit_are_different_rows():
    x = np.array([[1.0, 1.0], [1.0, np.nextafter(1.0, 2.0)], [2.0, 2.0]])
    assert on_data(activation("relu"), x).low == 2
    assert on_data(activation("tanh"), x).low == 3
    assert rank(x) == (2, 2)
    assert rank(x[[0, 2]]) == (1, 1)


def test_a_row_and_its_opposite_leave_the_polynomial_part():
    x = np.array([[1.0, 2.0], [-1.0, -2.0]])
    expected = {"relu": 2, "abs": 1, "leaky_relu": 2, "linear": 1, "quadratic": 1, "erf": 1, "tanh": 1, "gelu": 2,
                "softplus": 2, "sigmoid": 2}  # fmt: skip
    assert {name: on_data(activation(name), x).low for name in ACTIVATIONS} == expected
    with_zero = np.concatenate([x, np.zeros((1, 2))])
    more = {name: on_data(activation(name), with_zero).low for name in ACTIVATIONS}
    # softplus(0) = log 2 is a new function of the weights; sigmoid(0) = 1/2 is what the pair leaves already.
    assert more == expected | {"softplus": 3}


def test_an_activation_of_unknown_powers_has_bounds():
    act = Activation("mine", jnp.sin, jnp.cos, lambda z: -jnp.sin(z))
    with float64():
        found = on_data(act, np.array([[1.0], [2.0], [1.0]]))
    assert (found.low, found.high, found.exact) == (2, 2, True)
    assert over_gaussian(act, 2).high == math.inf
    assert not over_gaussian(act, 2).exact


@pytest.mark.parametrize("seed", range(20))
def test_ranks_of_whole_numbers_are_exact(seed):
    """Products of integer factors of known rank, which float64 holds exactly."""
    rng = np.random.default_rng(seed)
    n, d, r = rng.integers(2, 9, size=3)
    left, right = rng.integers(-4, 5, size=(n, r)), rng.integers(-4, 5, size=(r, d))
    x = (left @ right) * 2.0 ** rng.integers(-40, 40)
    expected = np.linalg.matrix_rank(left @ right)  # small integers: singular values are zero or above 1e-3
    assert rank(x) == (expected, expected)


def test_a_ray_is_its_shortest_whole_vector():
    (first, second) = whole_numbers(np.array([[0.5, -0.25], [-3.0, 1.5]]))
    assert primitive(first) == ((2, -1), 1)
    assert primitive(second) == ((2, -1), -1)
    with pytest.raises(ValueError, match="zero row"):
        primitive([0, 0])


def test_the_study_prints_the_table_and_draws_ranks(tmp_path, capsys):
    out = tmp_path / "run"
    assert call("run", "intrinsic-dimension", "--rows", "10", "30", "--out", str(out), "--json") == 0
    table = {row["activation"]: row for row in json.loads(capsys.readouterr().out)["findings"]["activations"]}
    assert {name: row["dimension"] for name, row in table.items()} == {
        name: {"linear": "3", "quadratic": "6"}.get(name, "infinite") for name in ACTIVATIONS
    }
    assert table["quadratic"]["on_rows"] == ["6", "6"]
    assert table["quadratic"]["ranks"] == [6, 6]
    assert table["relu"]["ranks"] == [10, 30]
    assert table["tanh"]["on_rows"] == ["10", "30"]
    assert call("show", str(out)) == 0
    assert "infinitely many hyperplanes" in capsys.readouterr().out
    assert call("plot", str(out)) == 0
    assert (out / "figures" / "ranks.png").stat().st_size > 5000


def test_a_study_without_rows_is_refused():
    with pytest.raises(InputError, match="at least one number of rows"):
        IntrinsicDimension(rows=()).manifest()
