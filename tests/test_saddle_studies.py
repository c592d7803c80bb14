"""The studies of saddles and paths find what is known, print it, keep it and draw it."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest
from reference import call

import landscape as ls
from landscape.paths.transition_states import signs
from landscape.polish import newton_to_stationary
from landscape.studies.connectivity import ModeConnectivity
from landscape.studies.saddles import SaddleCensus, SafranShamirTopology, barriers

TYPE_ONE = 0.0473957753  # loss of the type I point of six neurons, by the test below


def test_the_point_of_type_one_is_a_saddle_of_index_six_at_six_neurons():
    """Arjevani and Field: type I becomes a minimum at k = 6.745; below, six eigenvalues are negative, -0.005825."""
    problem = ls.orthonormal_teacher(6)
    start = np.full((6, 6), 0.333)
    start[np.diag_indices(6)], start[0], start[:, 0] = -0.667, 0.12, -0.061
    start[0, 0] = 1.29  # their expansion in 1 / k
    theta, norm = newton_to_stationary(problem, start.ravel(), 1e-13, 1.0)
    seen = signs(problem, theta, norm)
    assert seen is not None
    assert (seen.index, seen.zeros) == (6, 0)
    assert seen.least == pytest.approx(-0.005825, abs=1e-6)
    assert float(jax.jit(problem.loss)(theta)) == pytest.approx(TYPE_ONE, abs=1e-10)


@pytest.mark.parametrize("neuron", [0, 1])
def test_splits_of_type_two_have_index_d_less_one(neuron):
    """Safran, Yehudai and Shamir 2021: halving a neuron of the spurious minimum of k = 6 makes a saddle; the direction
    that passes length between the halves is flat.
    """
    a, b, e, c, g = -0.6015119236, 0.2245158076, 0.3080109915, 0.9867038189, -0.05041340322
    w = np.full((6, 6), g)
    w[np.diag_indices(6)], w[0], w[:, 0] = c, b, e
    w[0, 0] = a
    split = np.concatenate([np.delete(w, neuron, axis=0), [0.5 * w[neuron]], [0.5 * w[neuron]]])
    problem = ls.orthonormal_teacher(6, 7)
    theta, norm = newton_to_stationary(problem, split.ravel(), 1e-13, 0.01)
    seen = signs(problem, theta, norm)
    assert seen is not None
    assert (seen.index, seen.zeros, seen.explained) == (5, 1, 1)
    assert seen.least == pytest.approx([-0.180777, -0.236300][neuron], abs=1e-5)


@pytest.mark.slow
def test_index_rises_with_loss_and_the_point_of_type_one_is_found(tmp_path):
    study = SaddleCensus(restarts=150, seed=3)
    report = study.run(None, False)
    found = report.as_dict()["findings"]
    assert found["correlation"] > 0.5
    assert sum(one["count"] for one in found["points"]) + found["nowhere"] == 150
    assert all(one["grad_norm"] <= 1e-10 for one in found["points"])
    assert any(abs(one["loss"] - TYPE_ONE) < 1e-9 and one["index"] == 6 for one in found["points"])
    least = [one for one in found["points"] if one["index"] == 0]
    assert min(one["loss"] for one in least) == pytest.approx(0.0, abs=1e-12)
    (drawn,) = study.figures(report, tmp_path)
    assert drawn.stat().st_size > 5000
    json.dumps(report.as_dict(), allow_nan=False)


@pytest.mark.long
def test_the_topology_of_six_neurons_is_kept_and_drawn(tmp_path, capsys):
    where = str(tmp_path / "run")
    small = ("--teacher", "6", "--restarts", "60", "--searches", "60")
    assert call("run", "safran-shamir-topology", *small, "--out", where, "--json", "--quiet") == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    losses = [one["loss"] for one in found["states"]["minima"]]
    np.testing.assert_allclose(losses, [0.0, 0.025080581002463], atol=1e-12)  # the published spurious minimum
    assert [one["label"] for one in found["states"]["minima"]] == ["global", "spurious"]
    between = [s["loss"] for s in found["states"]["states"] if sorted(s["ends"]) == [0, 1]]
    (pair,) = found["pairs"]
    assert 0.025080581002463 < min(between) <= pair["high"] + 1e-12
    tree = barriers({"findings": found})
    assert tree.high[0, 1] == min([*between, pair["high"]])
    assert call("show", where) == 0
    assert "transition states between 2 minima" in capsys.readouterr().out
    assert call("plot", where) == 0
    for name in ("connections.png", "disconnectivity.png"):
        assert (tmp_path / "run" / "figures" / name).stat().st_size > 5000
    assert SafranShamirTopology().teacher == 8


def _file(path, hidden, outer, **more):
    rng = np.random.default_rng(0)
    content = {"x": rng.normal(size=(6, 2)).tolist(), "y": rng.normal(size=6).tolist(), "weight_decay": 0.1}
    path.write_text(json.dumps(content | {"hidden": np.asarray(hidden).tolist(), "outer": list(outer)} | more))
    return str(path)


def test_the_barrier_of_the_valley_is_the_default_of_mode_connectivity():
    found = ModeConnectivity().run(None, False).as_dict()["findings"]["barrier"]
    assert 31 / 6 - 1e-9 <= found["high"] <= 31 / 6 + 1e-3
    assert found["bounded"] is True


def test_two_files_of_a_user_are_joined_and_a_permuted_copy_is_at_no_distance(tmp_path, capsys):
    rng = np.random.default_rng(3)
    hidden, outer = rng.normal(size=(4, 2)), rng.normal(size=4)
    order = [2, 0, 3, 1]
    one = _file(tmp_path / "a.json", hidden, outer)
    two = _file(tmp_path / "b.json", hidden[order], outer[order])
    where = str(tmp_path / "run")
    assert call("run", "mode-connectivity", "--first", one, "--second", two, "--json", "--out", where) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert found["distance"]["matched"] == 0.0
    assert found["distance"]["unmatched"] > 1.0
    assert found["barrier"]["barrier"] == pytest.approx(0.0, abs=1e-9)
    assert call("plot", where) == 0
    assert (tmp_path / "run" / "figures" / "paths.png").stat().st_size > 5000


def test_files_that_do_not_go_together_are_one_sentence(tmp_path, capsys):
    one = _file(tmp_path / "a.json", np.ones((2, 2)), np.ones(2))
    other = _file(tmp_path / "b.json", np.ones((2, 2)), np.ones(2), weight_decay=0.2)
    for arguments, words in (
        (("--first", one), "holds 1 points; give two, or a second file"),
        (("--first", one, "--second", other), "are of different problems"),
        (("--second", one), "a second file needs a first one"),
        (("--restarts", "3"), "restarts must be 2"),
    ):
        assert call("run", "mode-connectivity", *arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert words in said.err
        assert said.err.count("\n") == 1
