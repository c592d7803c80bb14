"""No spurious valley from the intrinsic dimension on: what is said, what is refused, and what becomes of labels."""

from __future__ import annotations

import json

import numpy as np
import pytest
from finite_data import fixture
from reference import call

import landscape as ls
from landscape.records import Flavour, Label
from landscape.theory.wide_enough import dimension_of, least_of_span, wide_enough

VENTURI = fixture("venturi_valley_p2")
X = np.array([[1.0, 0.2], [0.3, 1.0], [0.8, 0.9]])
Y = np.array([1.0, -1.0, 0.5])


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (ls.empirical(X, Y, 2), "width 2 is below the intrinsic dimension 3 of relu on these 3 rows"),
        (ls.empirical(X, Y, 3, weight_decay=0.1), "without weight decay only, and weight_decay is 0.1."),
        (ls.orthonormal_teacher(3, 9), "outer weights are trained, and here they are fixed."),
        (ls.porcupine(np.eye(2), 2, [[1.0, 0.0]]), "outer weights are trained"),
        (ls.matrix_factorisation(np.eye(2), 2, 0.1), "without a penalty only"),
        (ls.from_loss(lambda v: v @ v, lambda key: np.ones(2)), "for two-layer networks on data only"),
    ],
    ids=["below", "decay", "teacher", "porcupine", "parallel", "own"],
)
def test_where_a_hypothesis_fails_one_sentence_says_which(problem, words):
    said = wide_enough(problem)
    assert not said.holds
    assert words in said.sentence
    assert said.sentence.count(".") - said.sentence.count("0.1") == 1


def test_it_holds_from_the_intrinsic_dimension_on():
    """Eight rows on four lines, each in both directions, in three dimensions: 4 + 3."""
    at = {width: wide_enough(ls.empirical(VENTURI["X"], VENTURI["y"], width)) for width in (6, 7, 8)}
    assert [at[width].holds for width in (6, 7, 8)] == [False, True, True]
    assert all(one.dimension is not None and one.dimension.low == 7 for one in at.values())
    assert at[7].sentence.startswith("width 7 is at least the intrinsic dimension 7 of relu on these 8 rows: ")


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs", "tanh", "gelu", "quadratic", "linear"])
@pytest.mark.parametrize("outer_bias", ["none", "free"])
def test_no_network_of_any_width_is_below_the_span_of_all_neurons(activation, outer_bias):
    """Least squares over many random neurons comes from above, to within what they miss of the span."""
    rng = np.random.default_rng(3)
    x, y = np.repeat(rng.normal(size=(4, 2)), 2, axis=0), rng.normal(size=8)
    x[5] = -x[4]
    problem = ls.empirical(x, y, 3, activation, outer_bias=outer_bias)
    span = least_of_span(problem)
    assert span is not None
    w = rng.normal(size=(400, 2))
    z = x @ w.T
    values = {"relu": np.maximum(z, 0), "leaky_relu": np.where(z > 0, z, 0.01 * z), "abs": np.abs(z), "linear": z,
              "tanh": np.tanh(z), "quadratic": z * z}.get(activation)  # fmt: skip
    if values is None:
        from scipy.special import ndtr

        values = z * ndtr(z)
    if outer_bias == "free":
        values = np.column_stack([values, np.ones(8)])
    least = 0.5 * np.sum((y - values @ np.linalg.lstsq(values, y, rcond=1e-11)[0]) ** 2)
    assert span.value == pytest.approx(least, abs=1e-9)  # both projections have some ten digits
    assert span.error < 1e-9


@pytest.mark.slow
def test_the_least_loss_of_a_quadratic_network_is_found_and_labelled_global():
    """Least squares on products of inputs; three neurons and both signs of outer weights reach every quadratic form."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(7, 2)), rng.normal(size=7)
    products = np.column_stack([x[:, 0] ** 2, x[:, 0] * x[:, 1], x[:, 1] ** 2])
    least = 0.5 * float(np.linalg.lstsq(products, y, rcond=None)[1][0])
    problem = ls.empirical(x, y, 3, "quadratic")
    census = ls.explore(problem, 24, 0, progress=False)
    assert census.lower_bound is not None
    assert census.lower_bound["value"] == pytest.approx(least, abs=1e-12)
    assert census.lower_bound["by"] == "span of all neurons"
    assert census.labels()["global"] > 0
    assert census.labels()["spurious"] == 0  # the width is the intrinsic dimension: no strict minimum


def test_a_strict_minimum_above_the_least_loss_is_not_believed_at_such_a_width():
    rng = np.random.default_rng(1)
    census = ls.explore(ls.empirical(rng.normal(size=(4, 2)), rng.normal(size=4), 4, "tanh"), 40, 0, progress=False)
    strict = [f for f in census.rows["flavour"] if f is not None and "strict" in f]
    assert not strict


def _plateau(width: int, decay: float = 0.0) -> ls.Verdict:
    """All neurons dead: a flat local minimum at half the squared norm of the targets."""
    hidden = -np.ones((width, 2))
    problem = ls.empirical(X, Y, width, weight_decay=decay)
    verdict = ls.label(problem, ls.Params(hidden, np.ones(width)))
    assert isinstance(verdict, ls.Verdict)
    return verdict


def test_a_flat_minimum_above_the_least_loss_is_escapable_at_such_a_width_and_not_excluded():
    wide, narrow = _plateau(3), _plateau(1)
    assert (wide.label, wide.flavour) == (Label.SPURIOUS, Flavour.ESCAPABLE)
    assert (narrow.label, narrow.flavour) == (Label.SPURIOUS, Flavour.FLAT)


def test_where_cells_are_too_many_to_be_gone_through_the_theorem_knows_the_least_loss():
    rng = np.random.default_rng(0)
    x, y = np.abs(rng.normal(size=(12, 4))), rng.normal(size=12)
    problem = ls.empirical(x, y, 12)
    verdict = ls.label(problem, ls.Params(-np.ones((12, 4)), np.ones(12)))
    assert isinstance(verdict, ls.Verdict)
    assert (verdict.label, verdict.flavour) == (Label.SPURIOUS, Flavour.ESCAPABLE)
    below = ls.label(ls.empirical(x, y, 3), ls.Params(-np.ones((3, 4)), np.ones(3)))
    assert isinstance(below, ls.Verdict)
    assert below.label == Label.UNDECIDED


def test_rows_of_one_input_and_two_targets_have_a_least_loss_that_is_global_for_all_widths():
    x, y = np.array([[1.0], [1.0], [-2.0]]), np.array([1.0, 3.0, 0.5])
    problem = ls.empirical(x, y, 2)
    assert dimension_of(problem).low == 2
    verdict = ls.label(problem, ls.Params(np.array([[1.0], [-1.0]]), np.array([2.0, 0.25])))
    assert isinstance(verdict, ls.Verdict)
    assert (verdict.label, verdict.flavour, verdict.by) == (Label.GLOBAL, None, "span of all neurons")
    assert verdict.loss == 1.0
    assert verdict.lower_bound == pytest.approx(1.0, abs=1e-12)


def test_the_command_says_it_of_a_network_without_weight_decay(tmp_path, capsys):
    file = tmp_path / "net.json"
    content = {
        "x": X.tolist(),
        "y": Y.tolist(),
        "weight_decay": 0,
        "hidden": [[1.0, 0.0]] * 3,
        "outer": [1.0, 0.5, -1.0],
    }
    file.write_text(json.dumps(content))
    assert call("label", str(file)) == 0
    assert "valleys: width 3 is at least the intrinsic dimension 3 of relu" in capsys.readouterr().out
    assert call("label", str(file), "--json") == 0
    assert "there is no spurious valley" in json.loads(capsys.readouterr().out)[0]["no_spurious_valley"]
    file.write_text(json.dumps(content | {"weight_decay": 0.1}))
    assert call("label", str(file)) == 0
    assert "valleys" not in capsys.readouterr().out
