"""What float64 cannot hold is refused in one sentence, and no point is global because its rounding error is large."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reference import check_refused

import landscape as ls

X = [[0.346, 0.822], [0.33, -1.303], [0.905, 0.446]]
DATA = {"x": X, "y": [0.04, -0.292, -0.782], "weight_decay": 0.1, "hidden": [[1, 0], [0, 1]], "outer": [1, 1]}
LARGE = [[1e154, 1e154], [1e154, -1e154]]
FREE = {"teacher": [[1, 0], [0, 1]], "hidden": [[1, 0], [0, 1]]}
LINES = {"lines": [[1, 0], [0, 1]], "teacher": [[1, 0]], "line_of": [0, 1], "coefficient": [1, 1]}


@pytest.mark.parametrize(
    "content",
    [
        DATA | {"hidden": LARGE},
        DATA | {"hidden": LARGE, "y": [1, -1, 1], "loss": "logistic"},
        DATA | {"hidden": LARGE, "weight_decay": 0},
        DATA | {"hidden": LARGE, "outer": [1e200, 1], "loss": "huber"},
        DATA | {"hidden": LARGE, "outer": [1e200, 1], "activation": "tanh"},
        DATA | {"hidden": [[1e100, 0], [0, 1]], "outer": [1e100, 1]},
        DATA | {"hidden": [[10, 0], [0, 10]], "weight_decay": 1e308},
        DATA | {"y": [1e200, 0, 0]},
        DATA | {"x": [[1e200, 0], [0, 1e200], [1, 1]]},
        DATA | {"x": [[1e100, 0], [0, 1e100], [1, 1]]},
        FREE | {"hidden": LARGE},
        FREE | {"teacher": [[1e200, 0], [0, 1]]},
        FREE | {"hidden": [[1e200, 0], [0, 1]], "activation": "erf"},
        FREE | {"hidden": [[1e100, 0], [0, 1]], "activation": "quadratic"},
        FREE | {"activation": "leaky_relu", "slope": 1e300},
        LINES | {"coefficient": [1e200, 1]},
        LINES | {"teacher": [[1e200, 0]]},
    ],
)
def test_what_overflows_is_refused_in_every_room(content, tmp_path, capsys, recwarn):
    path = tmp_path / "points.json"
    path.write_text(json.dumps(content))
    check_refused(capsys, "too large for float64", "label", path)
    assert not list(recwarn)


@pytest.mark.parametrize("name", ["y", "x"])
def test_a_run_on_data_that_overflow_is_refused_and_leaves_no_folder(name, tmp_path, capsys):
    path = tmp_path / "data.json"
    path.write_text(
        json.dumps({"x": X, "y": DATA["y"], "weight_decay": 0.1, name: np.full_like(DATA[name], 1e200).tolist()})
    )
    check_refused(capsys, "too large for float64", "run", "hidden-convex", "--data", path, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


PROBLEMS = {
    "squared": lambda: ls.empirical(X, DATA["y"], 2, weight_decay=0.1),
    "logistic": lambda: ls.empirical(X, [1, -1, -1], 2, loss="logistic", weight_decay=0.1),
    "huber": lambda: ls.empirical(X, DATA["y"], 2, loss="huber", weight_decay=0.1),
    "tanh": lambda: ls.empirical(X, DATA["y"], 2, "tanh", weight_decay=0.1),
    "relu": lambda: ls.teacher_student(np.eye(2)),
    "erf": lambda: ls.teacher_student(np.eye(2), activation="erf"),
    "lines": lambda: ls.porcupine(np.eye(2), 2, [[1.0, 0], [0, -1]]),
}


def judged_or_none(problem, theta):
    """The verdict of a point, None where it is refused as too large."""
    try:
        return ls.label(problem, problem.read(theta))
    except ls.InputError as refusal:
        if "too large for float64" not in str(refusal):
            raise
        return None


@pytest.mark.parametrize("name", PROBLEMS)
def test_no_random_point_of_huge_weights_is_global(name):
    problem = PROBLEMS[name]()
    rng = np.random.default_rng(0)
    judged = 0
    for power in range(8, 150, 20):
        theta = 10.0**power * rng.normal(size=problem.p)
        verdict = judged_or_none(problem, theta)
        if verdict is None:
            continue
        judged += 1
        # The loss is above 1e14, the optimum of none of these above 10. Only erf is bounded: but random points of large
        # weights are far from its zero set, where rows are those of the teacher.
        assert verdict.label != "global"
        assert np.isfinite(verdict.loss)
    assert judged >= 3
