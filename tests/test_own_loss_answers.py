"""Answers on a user's loss beyond labels: where far points lead, wrong bounds, steps taken, bounds of kept runs."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape import gallery
from landscape.cli import main
from landscape.host.load import load
from landscape.records import InputError, Label


def well(bound: float | None) -> object:
    """Double wells, the first tilted: its minima are at -1.012 and 0.987, with losses 0.3994 and 0.5994."""
    return ls.from_loss(
        lambda x: jnp.sum((x**2 - 1.0) ** 2) + 0.5 + 0.1 * x[0], lambda key: jax.random.normal(key, (2,)), bound
    )


def test_a_far_point_of_a_users_loss_leads_to_the_end_of_a_descent():
    verdict = ls.label(gallery.problem("rosenbrock"), jnp.array([-1.2, 3.0]))
    assert verdict.label == Label.UNCONVERGED
    assert verdict.polished.label == Label.GLOBAL
    assert verdict.moved == pytest.approx(np.hypot(2.2, 2.0), abs=1e-4)


def test_a_point_may_lead_to_where_the_loss_is_vertical():
    root = ls.from_loss(lambda x: jnp.sqrt(jnp.abs(x[0])) + x[1] ** 2, lambda key: jax.random.normal(key, (2,)), 0.0)
    verdict = ls.label(root, jnp.array([0.5, 0.1]))
    assert (verdict.label, verdict.polished.label) == (Label.UNCONVERGED, Label.GLOBAL)


def test_points_that_lead_nowhere_near_are_descended_from_together_by_the_method_asked_for():
    points = np.array([[0.2, 0.3], [-0.2, 0.3], [0.9, -0.3]])
    verdicts = ls.label(well(None), points, optimiser="flow")
    assert [round(one.polished.loss, 4) for one in verdicts] == [0.5994, 0.3994, 0.5994]
    assert all(one.moved > 0.3 for one in verdicts)


def test_a_setting_that_makes_no_sense_is_one_sentence():
    with pytest.raises(InputError, match="setting 'optimizer' is unknown"):
        ls.label(well(None), np.array([0.2, 0.3]), optimizer="flow")
    with pytest.raises(InputError, match="optimiser 'flo' is unknown"):
        ls.label(well(None), np.array([0.2, 0.3]), optimiser="flo")


def test_the_command_line_follows_a_far_point_by_the_method_asked_for(tmp_path, capsys):
    far = {"teacher": [[1.0, 0.0], [0.0, 1.0]], "hidden": [[0.3, -0.4], [1.2, 2.0]]}
    (tmp_path / "far.json").write_text(json.dumps(far))
    for options, leads in (([], False), (["--optimiser", "flow"], True)):
        with pytest.raises(SystemExit) as stop:
            main(["label", str(tmp_path / "far.json"), "--json", *options])
        assert stop.value.code == 0
        (said,) = json.loads(capsys.readouterr().out)
        assert said["label"] == "unconverged"
        assert (said["polished"] is not None) == leads
    assert said["polished"]["label"] in ("global", "saddle")
    assert said["polished"]["moved"] > 0.5
    with pytest.raises(SystemExit) as stop:
        main(["label", str(tmp_path / "far.json"), "--optimiser", "flo"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("landscape: optimiser 'flo' is unknown")


def test_a_bound_above_a_loss_that_is_seen_is_called_wrong_and_nothing_is_global_by_it():
    root = max(np.roots([4.0, 0.0, -4.0, 0.1]).real)  # where the slope of the higher well is zero
    bound = float((root**2 - 1.0) ** 2 + 0.5 + 0.1 * root)  # attained there
    census = ls.explore(well(bound), 16, progress=False)
    assert census.labels()["global"] == 0
    assert f"lower bound {bound:g} (given) is wrong: a loss 0.2 below it was seen" in str(census)
    assert "a loss 0.2 below it was seen" in ls.label(well(bound), jnp.array([root, 1.0])).reason


def test_a_bound_that_holds_is_not_called_wrong():
    assert "wrong" not in str(ls.explore(gallery.problem("himmelblau"), 8, progress=False))


def test_a_kept_run_shows_the_bound_of_the_run_and_the_steps_that_restarts_took(tmp_path):
    census = ls.explore(gallery.problem("rosenbrock"), 8, out=tmp_path / "run", progress=False)
    shown = load(tmp_path / "run")
    assert shown.lower_bound == census.lower_bound == {"value": 0.0, "by": "given"}
    scales = census.rows["step_scale"]
    assert np.all(scales < 0.1)  # curvature is 1000 there, and a step of 0.1 is stable below 20
    for one in (census, shown):
        (line,) = [line for line in str(one).splitlines() if line.startswith("basins of")]
        for scale in set(scales):
            assert f"{np.sum(scales == scale)} of 8 at 1/{1 / scale:g} of it" in line
