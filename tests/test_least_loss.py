"""The least loss of a problem's own width: skipped where it would take too long, a witness where it stays open."""

import json

import numpy as np
import pytest
from finite_data import A
from finite_networks import problem_of

import landscape as ls
from landscape.cli import main
from landscape.host.label import label_one
from landscape.problems.datafit import objective
from landscape.problems.empirical import empirical
from landscape.records import InputError, Label
from landscape.theory.convex import least_loss
from landscape.theory.convex.branch_and_bound import best_by_width, exact
from landscape.theory.convex.least_loss import best_of_width, certified_optimum


def test_the_least_loss_of_a_width_is_skipped_where_it_would_take_too_long():
    rng = np.random.default_rng(0)
    large = empirical(rng.normal(size=(30, 3)), rng.normal(size=30), 3, weight_decay=0.1)
    assert best_of_width(large) is None  # 1744 signed cells
    two = best_of_width(problem_of(A, 2))
    assert two is not None
    assert two.value == pytest.approx(A["P_m"]["2"], abs=1e-9)


def test_the_network_of_an_unfinished_search_is_a_witness(monkeypatch):
    """Its loss is attained and its interval holds the least loss, however wide."""
    monkeypatch.setattr(least_loss, "PROGRAMS", (200, 1))
    least_loss.forget()
    rng = np.random.default_rng(14)
    problem = empirical(rng.normal(size=(8, 3)), rng.normal(size=8), 3, weight_decay=0.01)
    found = best_of_width(problem)
    assert found is not None
    assert not exact(found)
    assert found.by.startswith("an interval")
    assert objective(problem.data, found.hidden, found.outer, found.b0) == found.value
    assert certified_optimum(problem).lower_bound <= found.lower_bound * (1 + 1e-9)
    network = ls.Params(hidden=1e-3 * rng.normal(size=(3, 3)), outer=np.zeros(3))
    better = ls.improve(problem, network).best_of_width
    assert better.how == "better, of this width"
    assert better.loss == pytest.approx(found.value, rel=1e-12)
    assert ls.improve(problem, better.params).best_of_width is None  # no better one is known


def test_a_longer_search_decides_a_minimum_that_a_short_one_leaves_open(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(least_loss, "PROGRAMS", (4, 1))
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(6, 3)), rng.normal(size=6)
    problem = empirical(x, y, 2, weight_decay=0.1)
    assert not exact(best_of_width(problem))
    best = best_by_width(problem.data, 2)  # with all its programs
    assert exact(best)
    theta = problem.write(ls.Params(best.hidden, best.outer))
    assert label_one(problem, theta).label == Label.UNDECIDED
    network = {"x": x.tolist(), "y": y.tolist(), "weight_decay": 0.1}
    network |= {"hidden": best.hidden.tolist(), "outer": best.outer.tolist()}
    (tmp_path / "network.json").write_text(json.dumps(network))
    with pytest.raises(SystemExit):
        main(["label", str(tmp_path / "network.json"), "--json", "--seconds", "60"])
    (said,) = json.loads(capsys.readouterr().out)
    assert (said["label"], said["flavour"]) == ("global", "for this width")


def test_seconds_are_positive_and_change_nothing_where_nothing_is_searched():
    with pytest.raises(InputError, match="seconds must be a positive number, found -1"):
        ls.label(empirical(np.eye(2), [1.0, -1.0], 1, weight_decay=0.1), ls.Params(np.eye(2)[:1], [1.0]), seconds=-1)
    assert ls.label(ls.orthonormal_teacher(2), np.eye(2), seconds=1.0).label == Label.GLOBAL
