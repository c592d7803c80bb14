"""`landscape label FILE` for networks on a data set: every label, what it leads to, better networks, and bad files."""

import json
from pathlib import Path

import numpy as np
import pytest
from reference import call, check_refused

import landscape

FIXTURES = Path(__file__).parent / "fixtures"
FIXTURE = json.loads((FIXTURES / "relu_A_n8_d2.json").read_text())
X, Y, P_STAR = np.array(FIXTURE["X"]), np.array(FIXTURE["y"]), FIXTURE["p_star"]
DATA = {"x": FIXTURE["X"], "y": FIXTURE["y"], "loss": "squared", "weight_decay": 0.1, "bias": "none"}
BEST = {"hidden": FIXTURE["W_star"], "outer": FIXTURE["a_star"]}
POINTS = {(point["k"], round(point["L"], 9)): point for point in FIXTURE["stationary_points"]}
THREE = POINTS[3, 0.783750596]


def labelled(capsys, path, content, *flags):
    """What `landscape label --json` prints for this content, written as JSON or npz by the suffix."""
    if path.suffix == ".npz":
        np.savez(path, **content)
    else:
        path.write_text(json.dumps(content))
    assert call("label", path, "--json", *flags) == 0
    return json.loads(capsys.readouterr().out)


def true_loss(content, network):
    """The loss of a network, written out."""
    hidden, outer = np.array(network["hidden"]).reshape(-1, np.shape(content["x"])[1]), np.array(network["outer"])
    z = np.array(content["x"]) @ hidden.T
    paid = np.sum(hidden**2) + np.sum(outer**2)
    if network.get("hidden_bias") is not None:
        z, paid = z + network["hidden_bias"], paid + np.sum(np.square(network["hidden_bias"]))
    f = np.maximum(z, 0) @ outer + (network.get("outer_bias") or 0.0)
    paid += (network.get("outer_bias") or 0.0) ** 2
    return 0.5 * np.sum((f - content["y"]) ** 2) + 0.5 * content["weight_decay"] * paid


def test_each_kind_of_point_gets_its_label_and_all_fields(tmp_path, capsys):
    strict = POINTS[4, 0.772741663]
    half = np.sqrt(0.5) * np.array(THREE["W"][:1]), np.sqrt(0.5) * THREE["a"][0]  # the first neuron in two equal parts
    points = {
        "global": BEST,
        "strict": {"hidden": strict["W"], "outer": strict["a"]},
        "zero": {"hidden": [*THREE["W"], [0.0, 0.0]], "outer": [*THREE["a"], 0.0]},
        "flat": {
            "hidden": np.concatenate([half[0], half[0], THREE["W"][1:]]).tolist(),
            "outer": [half[1], half[1], *THREE["a"][1:]],
        },
    }
    content = DATA | {name: [p[name] for p in points.values()] for name in ("hidden", "outer")}
    found = dict(zip(points, labelled(capsys, tmp_path / "points.json", content), strict=True))
    kinds = {name: (v["label"], v["flavour"]) for name, v in found.items()}
    assert kinds == {
        "global": ("global", None),
        "strict": ("spurious", "strict"),
        "zero": ("saddle", "zero neuron"),
        "flat": ("spurious", "flat, escapable"),
    }
    fields = {
        "label", "flavour", "evidence", "by", "loss", "lower_bound", "excess", "wider", "grad_norm", "min_curvature",
        "escape", "reason", "polished",
    }  # fmt: skip
    for name, verdict in found.items():
        assert set(verdict) == fields
        # The fixture's p* is exact to rounding; the bound has a gap of some 1e-12 p*.
        assert P_STAR - 1e-10 <= verdict["lower_bound"] <= P_STAR + 1e-14
        assert verdict["loss"] == pytest.approx(true_loss(DATA, points[name]), abs=1e-14)
        assert verdict["excess"] == pytest.approx(verdict["loss"] - verdict["lower_bound"], abs=1e-15)
    # The curvature at a zero neuron is beta - phi, phi / beta from the fixture.
    assert found["zero"]["min_curvature"] == pytest.approx(0.1 * (1 - THREE["phi_over_beta"]), rel=1e-6)
    theta = np.concatenate([np.ravel(points["zero"]["hidden"]), points["zero"]["outer"]]) + found["zero"]["escape"]
    moved = {"hidden": theta[:8], "outer": theta[8:]}
    assert true_loss(DATA, moved) < found["zero"]["loss"]
    (improved,) = labelled(capsys, tmp_path / "one.npz", DATA | points["flat"], "--improve")
    better = improved["improve"]
    assert better["optimum"]["loss"] == pytest.approx(P_STAR, abs=1e-12)
    assert better["optimum"]["neurons"] == FIXTURE["m_star"]
    assert better["next"]["loss"] < improved["loss"] - 1e-3
    for network in (better["optimum"], better["next"], better["best_of_width"]):
        assert network["loss"] == pytest.approx(true_loss(DATA, network), abs=1e-14)
    again = DATA | {name: better["optimum"][name] for name in ("hidden", "outer")}
    assert [v["label"] for v in labelled(capsys, tmp_path / "again.json", again)] == ["global"]


def test_a_point_that_is_not_stationary_says_so_and_where_it_leads(tmp_path, capsys):
    given = {"hidden": [[0.3, 0.4], [-0.5, 0.2], [0.1, -1.0], [-0.7, -0.7]], "outer": [0.5, 0.5, -1.0, 1.0]}
    (verdict,) = labelled(capsys, tmp_path / "points.json", DATA | given)
    assert (verdict["label"], verdict["by"]) == ("unconverged", None)
    assert "not stationary" in verdict["reason"]
    polished = verdict["polished"]
    assert polished["loss"] < verdict["loss"]
    assert polished["moved"] > 0
    assert any(abs(polished["loss"] - point["L"]) < 1e-9 for point in FIXTURE["stationary_points"])


@pytest.mark.parametrize(("reduction", "factor"), [("sum_half", 1.0), ("sum", 2.0), ("mean", 2.0 / 8)])
def test_weight_decay_of_other_reductions_is_converted(reduction, factor, tmp_path, capsys):
    """c (1/2 sum r^2 + beta/2 |theta|^2) has the weight decay c beta, c = 2 for the sum, 2 / n for the mean."""
    content = DATA | BEST | {"reduction": reduction, "weight_decay": factor * DATA["weight_decay"]}
    (verdict,) = labelled(capsys, tmp_path / "points.json", content)
    assert verdict["label"] == "global"
    assert verdict["loss"] == pytest.approx(P_STAR, abs=1e-12)


def test_biases_are_penalised_as_the_file_says(tmp_path, capsys):
    """Regularised ones are one more column of ones; a zero outer bias with bias none is no bias."""
    one = json.loads((FIXTURES / "relu_R_n6_bias.json").read_text())
    x, y = np.array(one["X"]), np.array(one["y"])
    content = {"x": x[:, :-1].tolist(), "y": y.tolist(), "weight_decay": one["beta"], "bias": "regularised"}
    assert np.all(x[:, -1] == 1)
    weights = {"hidden": [[0.0]], "outer": [0.0], "hidden_bias": [0.0]}
    (verdict,) = labelled(capsys, tmp_path / "points.json", content | weights, "--improve")
    optimum = verdict["improve"]["optimum"]
    assert optimum["loss"] == pytest.approx(one["p_star"], abs=1e-9)
    assert optimum["loss"] == pytest.approx(true_loss(content, optimum), abs=1e-14)
    assert optimum["outer_bias"] is None
    outer = content | weights | {"outer_bias": 0.0, "bias": {"hidden": "regularised", "outer": "none"}}
    assert labelled(capsys, tmp_path / "same.json", outer)[0]["lower_bound"] == verdict["lower_bound"]
    both = content | weights | {"outer_bias": [0.0]}
    (verdict,) = labelled(capsys, tmp_path / "both.json", both, "--improve")
    assert verdict["improve"]["optimum"]["outer_bias"] is not None
    assert verdict["improve"]["optimum"]["loss"] == pytest.approx(true_loss(content, verdict["improve"]["optimum"]))
    nought = DATA | BEST | {"outer_bias": 0.0}
    assert labelled(capsys, tmp_path / "nought.npz", nought)[0]["label"] == "global"


def test_the_text_says_what_a_reader_wants_to_know(tmp_path, capsys):
    path = tmp_path / "points.json"
    zero = {"hidden": [*THREE["W"], [0.0, 0.0]], "outer": [*THREE["a"], 0.0]}
    path.write_text(json.dumps(DATA | zero))
    assert call("label", path, "--improve") == 0
    text = capsys.readouterr().out
    for words in (
        "saddle (zero neuron)",
        "lower bound 0.7713741989",
        "excess 0.0124 (1.6%)",
        "way out: add to neuron 3",
        "global optimum: loss 0.771374198933",
        "down from the saddle",
    ):
        assert words in text


def test_a_width_below_critical_says_how_much_wider_networks_gain(tmp_path, capsys):
    two = POINTS[2, 0.788152439]
    problem = landscape.empirical(X, Y, 2, weight_decay=0.1)
    params = landscape.Params(hidden=np.array(two["W"]), outer=np.array(two["a"]))
    verdict = landscape.label(problem, params)
    assert (verdict.label, verdict.flavour) == ("global", "for this width")
    assert verdict.wider == pytest.approx(two["L"] - P_STAR, abs=1e-9)
    better = landscape.improve(problem, params)
    assert better.best_of_width.loss == pytest.approx(FIXTURE["P_m"]["2"], abs=1e-9)
    assert len(better.optimum.params.hidden) == 4
    assert better.next is None
    with pytest.raises(landscape.InputError, match="here it is not"):
        landscape.improve(landscape.empirical(X, Y, 2, "tanh", weight_decay=0.1), params)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"y": [1.0]}, "y must be 8 numbers"),
        ({"y": 1.0}, "y must be 8 numbers"),
        ({"x": [[1.0, float("nan")]] * 8}, "x[0][1] is nan"),
        ({"x": [[1.0], [2.0, 3.0]]}, "all rows of one length"),
        ({"weight_decay": -1}, "at least 0, found -1"),
        ({"weight_decay": [0.1, 0.2]}, "must be a finite number, found"),
        ({"weight_decay": None}, "has no 'weight_decay'"),
        ({"loss": "hinge"}, "loss 'hinge' is unknown"),
        ({"loss": "logistic"}, "labels -1 and 1"),
        ({"bias": "some"}, "bias 'some'"),
        ({"bias": {"inner": "none"}}, "found 'inner'"),
        ({"bias": {"hidden": "some"}}, "bias 'some'"),
        ({"hidden_bias": [1.0, 0, 0, 0]}, "say how it is penalised"),
        ({"hidden_bias": [1.0]}, "hidden_bias must be of shape [4]"),
        ({"outer_bias": 0.5}, "say how it is penalised"),
        ({"outer": [[1.0, 2.0, 3.0, 4.0]]}, "weight[0]"),
        ({"outer": None}, "has no 'outer'"),
        ({"hidden": None}, "has no 'hidden'"),
        ({"hidden": [[1.0] * 4] * 2, "outer": [1.0] * 2}, "transpose"),
        ({"hidden": [1.0]}, "hidden must be"),
        ({"hidden": "many"}, "array of numbers"),
        ({"reduction": "decoupled"}, "AdamW"),
        ({"reduction": "half"}, "reduction 'half'"),
        ({"activation": "swish"}, "activation 'swish'"),
        ({"colour": "red"}, "field 'colour' that is not understood"),
    ],
)
def test_a_bad_file_is_one_sentence_and_status_two(change, words, tmp_path, capsys):
    content = {name: value for name, value in (DATA | BEST | change).items() if value is not None}
    path = tmp_path / "points.json"
    path.write_text(json.dumps(content))
    check_refused(capsys, words, "label", path)


def test_improve_belongs_to_data_sets(tmp_path, capsys):
    path = tmp_path / "points.json"
    path.write_text('{"teacher": [[1, 0]], "hidden": [[1, 0]]}')
    check_refused(capsys, "--improve is for networks on a data set", "label", path, "--improve")
