"""A search that is ended early gives an interval that holds, says so, and leaves nothing behind for the next one."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from reference import call
from test_cli import refused

import landscape as ls
from landscape import patience
from landscape.host import interrupt
from landscape.host.label import within
from landscape.theory.convex.least_loss import best_of_width, certified_optimum, forget

NOW = 1e-9  # seconds: over at the first look


def data(width=3):
    rng = np.random.default_rng(1)
    return ls.empirical(rng.normal(size=(12, 3)), rng.normal(size=12), width, weight_decay=0.05)


def network(problem):
    rng = np.random.default_rng(2)
    return problem.read(rng.normal(size=problem.p))


def test_without_a_budget_nothing_is_over():
    assert not patience.over()
    with patience.watched():
        assert not patience.over()
    with patience.watched(NOW) as watch:
        time.sleep(1e-3)
        assert patience.over()
        assert watch.ended


def test_a_search_that_ends_early_gives_an_interval_that_holds_and_is_forgotten():
    problem = data()
    forget()
    with within(NOW) as watch:
        early, width = certified_optimum(problem), best_of_width(problem)
    assert watch.ended
    whole, exact = certified_optimum(problem), best_of_width(problem)
    assert early.rounds < whole.rounds
    assert early.lower_bound <= whole.lower_bound <= whole.value <= early.value
    assert whole.gap < 1e-9 * whole.value
    assert early.gap > 1e-3 * whole.value  # it did end early
    assert width.lower_bound <= exact.value <= width.value
    assert width.programs < exact.programs


def test_a_label_within_a_budget_is_no_bolder_than_the_one_without():
    problem = data()
    forget()
    early = ls.label(problem, network(problem), seconds=NOW)
    whole = ls.label(problem, network(problem))
    assert early.label == whole.label == "unconverged"
    assert early.lower_bound < whole.lower_bound
    assert early.loss == whole.loss
    best = ls.improve(problem, network(problem))
    assert best.gap < 1e-9
    forget()
    quick = ls.improve(problem, network(problem), seconds=NOW)
    assert quick.gap > best.gap
    assert quick.optimum.loss >= best.optimum.loss
    # A network whose own residual is a certificate needs no search.
    wide = problem.of_width(len(best.optimum.params.hidden))
    forget()
    found = ls.label(wide, best.optimum.params, seconds=NOW)
    assert (found.label, found.by) == ("global", "dual bound of its own residual")


def test_searches_say_how_far_they_are():
    heard = []
    forget()
    with within(None, heard.append):
        certified_optimum(data())
        best_of_width(data())
    assert any(words.startswith("convex program on") for words in heard)
    assert any(words.startswith("least loss of width 3") for words in heard)


@pytest.fixture
def file(tmp_path):
    problem = data()
    params = network(problem)
    content = {
        "x": problem.x.tolist(), "y": problem.y.tolist(), "weight_decay": 0.05,
        "hidden": [params.hidden.tolist()] * 2, "outer": [params.outer.tolist()] * 2,
    }  # fmt: skip
    path = tmp_path / "network.json"
    path.write_text(json.dumps(content))
    return path


def test_the_command_takes_a_budget_and_says_what_it_left_open(file, capsys):
    forget()
    assert call("label", file, "--seconds", NOW, "--json") == 0
    out, err = capsys.readouterr()
    early = json.loads(out)
    assert "searches ended early, so that bounds are intervals" in err
    assert call("label", file, "--json") == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert early[0]["lower_bound"] < json.loads(out)[0]["lower_bound"]
    for wrong in ("0", "-1", "nan", "soon"):
        assert "seconds must be a positive number" in refused(capsys, "label", file, "--seconds", wrong)


def test_after_an_interrupt_what_is_known_so_far_is_printed(file, capsys, monkeypatch):
    forget()
    # As if Ctrl-C came while the first point was looked at.
    monkeypatch.setattr(interrupt, "requested", lambda: True)
    assert call("label", file) == 3
    out, err = capsys.readouterr()
    assert "point 0: unconverged" in out
    assert "point 1" not in out
    assert "1 points were not looked at" in err
    assert "stopped" in err
