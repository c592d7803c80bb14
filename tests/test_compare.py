"""Two censuses beside each other: the interval of a difference of shares, levels matched by loss, restarts by start."""

from __future__ import annotations

import json

import numpy as np
import pytest

import landscape as ls
from landscape.census.compare import newcombe


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe (1998), table II, method 10, rows (a) 56/70 - 48/80 and (e) 9/10 - 3/10.
    assert newcombe(56, 70, 48, 80) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)  # printed to four places
    assert newcombe(9, 10, 3, 10) == pytest.approx((0.6, 0.1705, 0.8090), abs=5e-5)


def test_the_interval_holds_the_difference_in_19_of_20_draws():
    rng = np.random.default_rng(0)
    x, y = rng.binomial(200, 0.3, 2000), rng.binomial(150, 0.4, 2000)
    held = [
        low <= -0.1 <= high for _, low, high in (newcombe(int(a), 200, int(b), 150) for a, b in zip(x, y, strict=True))
    ]
    # Of 2000 draws 95% is 1900 with standard deviation 10; the interval itself is good to about half a percent.
    assert 0.93 < np.mean(held) < 0.97


@pytest.fixture(scope="module")
def runs():
    problem = ls.orthonormal_teacher(8)
    return {
        name: ls.explore(problem, 60, seed=3, optimiser=name, progress=False) for name in ("gradient-descent", "flow")
    }


def test_a_census_does_not_differ_from_itself(runs):
    one = runs["flow"]
    found = ls.compare(one, one)
    assert (found.changed, found.paired) == (0, 60)
    assert not found.facts
    assert not any(row.differs for row in found.rows)
    assert all(row.a == row.b for row in found.rows)
    assert "one problem, with the same settings" in str(found)


def test_two_ways_down_are_compared_level_by_level_and_start_by_start(runs):
    descent, flow = runs.values()
    found = ls.compare(descent, flow)
    assert [name for name, _, _ in found.facts] == ["basins of"]
    levels = [row for row in found.rows if row.loss is not None]
    assert [row.label for row in levels] == ["global", "spurious (strict)"]  # each once: one level of both
    assert found.changed == np.sum(descent.rows["label"] != flow.rows["label"])
    said = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert len(said["rows"]) == len(found.rows)
    assert "restarts from the same starts" in str(found)
    assert "<table>" in found._repr_html_()


@pytest.mark.slow
def test_levels_of_another_problem_stand_in_rows_of_their_own_and_a_plain_difference_is_seen(runs):
    wider = ls.explore(ls.orthonormal_teacher(8, width=9), 60, seed=3, progress=False)
    found = ls.compare(runs["gradient-descent"], wider)
    assert ("width", 8, 9) in found.facts
    assert found.changed is None
    spurious = next(row for row in found.rows if row.label == "spurious (strict)")
    assert spurious.b[0] == 0.0
    assert spurious.differs  # 12 of 60 against none


@pytest.mark.wrong_types
def test_only_censuses_are_compared(runs):
    with pytest.raises(ls.InputError, match="compare takes two censuses; b is a dict"):
        ls.compare(runs["flow"], {})
