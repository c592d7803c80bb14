"""A network is caught, free or not decided: walls, ways and the theorem; and the studies that ask it of descents."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reference import call
from slow import slow

import landscape as ls
from landscape.figures import valleys as figures
from landscape.studies.valleys import SpuriousValley, ValleyByWidth, barrier
from landscape.theory.spurious_valleys.caught import Goal, caught, goal_of, stays_below
from landscape.theory.spurious_valleys.published import data, valley
from landscape.theory.spurious_valleys.segments import loss_at

FOUND = valley()
GOAL = goal_of(FOUND.problem)


def test_the_goal_is_a_network_of_the_least_loss():
    assert GOAL.theta is not None
    assert GOAL.loss == pytest.approx(2 / 3, abs=1e-12)
    assert loss_at(FOUND.problem, GOAL.theta) == GOAL.loss
    wider = goal_of(FOUND.problem.of_width(6))  # three neurons fit the data, so six do
    assert wider.theta is not None
    assert wider.loss <= 1e-12
    assert goal_of(ls.empirical(*data(3.0), 2, "tanh")).theta is None


def test_the_bottom_of_the_valley_and_what_lies_below_its_wall_is_caught():
    rng = np.random.default_rng(0)
    assert caught(FOUND.problem, FOUND.bottom, GOAL).caught is True
    levels = []
    for _ in range(40):
        theta = FOUND.bottom + 0.1 * rng.normal(size=8)
        theta[-2:] = np.abs(theta[-2:])
        answer = caught(FOUND.problem, theta, GOAL)
        levels.append(loss_at(FOUND.problem, theta))
        assert (answer.caught is True) == (levels[-1] < 31 / 6 - 1e-9)
    assert min(levels) < 31 / 6 < max(levels)


@pytest.mark.parametrize("width", [1, slow(2)])
def test_no_descent_leaves_a_valley_that_it_is_said_to_be_caught_in(width):
    """Gradient descent with small steps from caught starts never ends at the least loss."""
    problem = FOUND.problem.of_width(width)
    goal = goal_of(problem)
    starts = np.random.default_rng(1).normal(size=(300, problem.p))
    starts[:, -width:] = np.abs(starts[:, -width:])
    starts = np.array([one for one in starts if caught(problem, one, goal).caught])
    assert len(starts) >= 3
    census = ls.explore(problem, starts=starts, progress=False)
    assert census.labels()["global"] == 0
    assert census.best_seen is not None
    assert census.best_seen > goal.loss + 1e-6


def test_above_outputs_of_zero_and_at_a_global_minimum_nobody_is_caught():
    rng = np.random.default_rng(2)
    high = rng.normal(size=8) * 3
    assert loss_at(FOUND.problem, high) > 6.5
    answer = caught(FOUND.problem, high, GOAL)
    assert (answer.caught, answer.by) == (False, "outer weights shrink to zero")
    assert GOAL.theta is not None
    assert caught(FOUND.problem, GOAL.theta, GOAL).caught is not True
    assert caught(FOUND.problem, GOAL.theta, GOAL, np.array([GOAL.theta, GOAL.theta])).caught is False


def test_a_wide_network_is_free_by_the_theorem_and_a_way_that_rises_frees_nobody():
    assert (
        caught(FOUND.problem.of_width(7), np.ones(28), Goal(None, 0.0)).by == "width at least the intrinsic dimension"
    )
    assert not stays_below(FOUND.problem, FOUND.way, 5.0)
    assert stays_below(FOUND.problem, FOUND.way, 31 / 6)
    tanh = ls.empirical(*data(3.0), 2, "tanh")
    way = np.array([np.ones(8), np.zeros(8)])
    assert not stays_below(tanh, way, 1e9)  # nothing bounds it
    assert caught(tanh, np.ones(8), Goal(None, 0.0), way).caught is None


def test_the_barrier_of_the_study_is_known_from_both_sides():
    found = barrier(3.0)
    assert 31 / 6 - 1e-9 <= found["barrier"]["low"] <= found["barrier"]["high"] <= 31 / 6 + 1e-3
    assert found["straight_way"] == pytest.approx(6.049, abs=3e-3)
    assert max(found["path"]) == pytest.approx(31 / 6, abs=1e-12)
    deep = barrier(20.0)
    assert deep["barrier"]["low"] == pytest.approx(200 + 2 / 3, abs=1e-9)


@pytest.mark.slow
def test_the_studies_run_print_draw_and_come_back(tmp_path, capsys):
    assert call("run", "spurious-valley", "--restarts", "24", "--out", str(tmp_path / "one")) == 0
    said = capsys.readouterr().out
    assert "barrier, from below      5.16666666667" in said
    assert call("plot", str(tmp_path / "one")) == 0
    assert (tmp_path / "one" / "figures" / "barrier.png").stat().st_size > 5000
    capsys.readouterr()
    wide = ["--widths", "1", "2", "7", "--restarts", "12"]
    assert call("run", "valley-by-width", *wide, "--out", str(tmp_path / "two"), "--json") == 0
    table = json.loads(capsys.readouterr().out)["findings"]["widths"]
    assert [row["wide_enough"] for row in table] == [False, False, True]
    assert table[2]["starts"]["counts"] == {"caught": 0, "free": 12, "not decided": 0}
    assert all(sum(row[name]["counts"].values()) == 12 for row in table for name in ("starts", "ends"))
    assert call("show", str(tmp_path / "two")) == 0
    assert "valley-by-width: 12 descents a width" in capsys.readouterr().out
    assert call("plot", str(tmp_path / "two")) == 0


def test_a_figure_without_widths_says_so():
    figure = figures.by_width({"findings": {"widths": [], "finished": 0}})
    assert [text.get_text() for ax in figure.axes for text in ax.texts] == ["no finished restarts"] * 2


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (SpuriousValley(target=1.0), "a valley needs a target above"),
        (ValleyByWidth(widths=()), "at least one width"),
        (ValleyByWidth(widths=(0,)), "widths must be a whole number"),
    ],
)
def test_bad_fields_are_one_sentence(study, words):
    with pytest.raises(ls.InputError, match=words):
        study.manifest()
