"""The growth studies find the fixtures' values, go on where they stopped, and name senseless fields."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import landscape as ls
from landscape.engine.driver import Driver
from landscape.studies.growing import GrowUntilGlobal
from landscape.studies.mismatch import DegreeMismatch, cubic_points
from landscape.studies.zeros import ZeroSubnetwork

FIXTURES = Path(__file__).parent / "fixtures"
CUBIC = json.loads((FIXTURES / "degree_mismatch_cubic.json").read_text())


def test_the_mismatch_values_are_the_fixtures():
    points = {kind: (w, loss) for kind, w, loss in cubic_points(0.1)["mismatched"]}
    assert points["local minimum"][1] == pytest.approx(CUBIC["local_min_at_0"], abs=1e-9)
    assert points["barrier"] == pytest.approx((CUBIC["barrier_w"], CUBIC["barrier"]), abs=1e-9)
    assert points["minimum"] == pytest.approx((CUBIC["global_w"], CUBIC["global_value"]), abs=1e-9)
    assert cubic_points(0.1)["matched"][0][1:] == pytest.approx((CUBIC["matched_w"], CUBIC["matched_global"]), abs=1e-9)


def test_a_mismatch_makes_zero_spurious_and_a_match_a_saddle():
    study = DegreeMismatch(restarts=60)
    report = study.run(None, False).as_dict()
    ends = report["findings"]["ends"]
    bad = {level["label"]: level["loss"] for level in ends["mismatched"]}
    assert bad["spurious"] == pytest.approx(CUBIC["local_min_at_0"], abs=1e-9)
    assert min(level["loss"] for level in ends["mismatched"]) == pytest.approx(CUBIC["global_value"], abs=1e-9)
    good = {level["label"]: level["loss"] for level in ends["matched"]}
    assert set(good) == {"global", "saddle"}
    assert good["global"] == pytest.approx(CUBIC["matched_global"], abs=1e-9)


def test_growing_is_a_study(tmp_path):
    study = GrowUntilGlobal(restarts=12, rows=6, dimension=2)
    study.manifest()
    result = study.run(tmp_path, False)
    said = result.as_dict()
    assert said["labels"]["global"] == 12
    assert sum(trace["count"] for trace in said["findings"]["traces"]) == 12
    assert "certified 12" in str(result)
    assert study.stored(tmp_path).as_dict() == json.loads(json.dumps(said))
    assert all(path.stat().st_size > 10_000 for path in study.figures(result, tmp_path))


@pytest.mark.long
def test_ends_with_a_zero_neuron_are_counted_by_width(tmp_path):
    study = ZeroSubnetwork(restarts=12, rows=5, widths=(2, 8))
    result = study.run(None, False)
    for row in result.as_dict()["findings"]["widths"]:
        assert sum(row["with_zero"].values()) + sum(row["without_zero"].values()) == 12
        assert all(value > 1 for value in row["polar"]["saddle"])
        # Within the margin that a certificate allows.
        assert all(value <= 1 + 1e-8 for value in row["polar"]["global"])
    assert all(path.stat().st_size > 10_000 for path in study.figures(result, tmp_path))


def _interrupt_at(monkeypatch, width, run=Driver.run):
    """Ctrl-C as soon as the descents of this width are to begin."""

    def stopped(driver, *more):
        if driver.problem.width == width:
            raise KeyboardInterrupt
        return run(driver, *more)

    monkeypatch.setattr(Driver, "run", stopped)


def test_widths_that_are_done_are_not_done_again_and_the_rest_is_after_an_interrupt(tmp_path, monkeypatch):
    whole = ZeroSubnetwork(restarts=4, rows=5, widths=(1, 3)).run(None, False).as_dict()["findings"]["widths"]
    study = ZeroSubnetwork(restarts=4, rows=5, widths=(1, 3))
    _interrupt_at(monkeypatch, 3)
    stopped = study.run(tmp_path, False)
    assert (stopped.finished, stopped.restarts) == (4, 8)
    with pytest.raises(ls.InputError, match="not finished"):
        study.stored(tmp_path)
    _interrupt_at(monkeypatch, 1)
    done = study.run(tmp_path, False)
    assert done.finished == 8
    assert done.as_dict()["findings"]["widths"] == whole


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (dict(widths=()), "at least one width"),
        (dict(widths=(0, 2)), "widths must be a whole number of at least 1"),
        (dict(weight_decay=0.0), "positive weight decay"),
    ],
)
def test_senseless_fields_of_the_zero_study_are_named(fields, words):
    with pytest.raises(ls.InputError, match=words):
        ZeroSubnetwork(**fields).manifest()
