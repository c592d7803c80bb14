"""Descents on lines end where the missing-sign test and nonnegative least squares say, as often as the formulas say;
the studies run from the command line to their figures."""

import json

import jax
import numpy as np
import pytest
from reference import call, check_drawn, check_refused
from scipy.optimize import nnls
from slow import long, mostly_slow, slow

import landscape
from landscape.engine.driver import Driver
from landscape.engine.settings import Schedule, Settings
from landscape.problems.porcupine import porcupine
from landscape.records import InputError
from landscape.studies import STUDIES
from landscape.studies.porcupines import PorcupineStudy
from landscape.theory.porcupine.ends import finish
from landscape.theory.porcupine.labels import label
from landscape.theory.porcupine.optimum import global_optimum
from landscape.theory.porcupine.orthogonal import orthogonal_global_probability

SIGNED = {d: np.concatenate([np.eye(d), -0.7 * np.eye(d)]) for d in (1, 2, 3)}


def ends(problem, restarts, seed=0, schedule=Schedule(), **settings):  # noqa: B008
    """Columns and coefficients of all restarts, in their order."""
    settings = {"init_scale": 0.05, "step_size": problem.step_size(), "retire": 1e-4} | settings
    with jax.enable_x64(True):
        batches = list(Driver(problem, Settings(**settings), seed, schedule=schedule).run(np.arange(restarts)))
    rows = {name: np.concatenate([batch[0][name] for batch in batches]) for name in batches[0][0]}
    order = np.argsort(rows["restart"])
    return {name: column[order] for name, column in rows.items()}, np.concatenate([b[1] for b in batches])[order]


def least_loss(problem):
    """The least loss by SciPy's nonnegative least squares, for a matched teacher."""
    u, root = problem.lines, np.linalg.cholesky(problem.psi).T
    a = 0.5 * np.block([[u.T, -u.T], [root, root]])
    b = a @ np.concatenate([problem.taught[0], problem.taught[1]])
    return 0.5 * nnls(a, b)[1] ** 2


def check_labels(problem, restarts, seed=0):
    """Every label against slopes written out here, and against the least loss."""
    rows, thetas = ends(problem, restarts, seed)
    best = least_loss(problem)
    assert set(rows["label"]) <= {"global", "spurious"}
    u, psi, line = problem.lines, problem.psi, problem.line_of
    for kind, loss, c in zip(rows["label"], rows["loss"], thetas, strict=True):
        positive, negative = (np.bincount(line, np.maximum(s * c, 0), len(u)) for s in (1, -1))
        m = u.T @ (positive - negative - problem.taught[0] + problem.taught[1])
        even = psi @ (positive + negative - problem.taught.sum(axis=0))
        slopes = 0.25 * np.stack([even + u @ m, even - u @ m])
        present = np.stack([positive, negative]) > 0
        # Finished in float64: slopes are some 1e-15, and those of a missing sign are 0.01 and more at these teachers.
        assert np.max(np.abs(slopes[present])) < 1e-12
        missing = np.min(np.where(present, 0.0, slopes))
        assert (kind == "spurious") == (missing < -1e-9) == (loss > best + 1e-9)
    return rows


@pytest.mark.parametrize(("d", "neurons"), [(1, 2), (1, 5), (2, 3), (3, 2)])
def test_labels_of_descents_agree_with_the_missing_sign_and_with_least_squares(d, neurons):
    rows = check_labels(porcupine(np.eye(d), neurons, SIGNED[d]), 100)
    assert len(set(rows["label"])) == 2  # the test saw both
    assert set(rows["basin"]) == {"shown"}  # small starts on orthogonal lines never meet a kink again


@pytest.mark.long
def test_labels_of_twenty_thousand_descents_agree_with_the_missing_sign_and_with_least_squares():
    sizes = [(1, 2), (1, 3), (1, 5), (1, 8), (2, 2), (2, 4), (3, 2), (3, 4)]
    for seed, (d, neurons) in enumerate(sizes):
        check_labels(porcupine(np.eye(d), neurons, SIGNED[d]), 20_000 // len(sizes), seed)


@pytest.mark.parametrize(("d", "neurons"), [long(1, 3), long(1, 5), slow(2, 3), long(3, 4)])
def test_shares_of_twenty_thousand_small_starts_are_those_of_the_formula(d, neurons):
    """The label is that of the start's signs, every time; then the share is binomial, and this seed is inside 95%."""
    problem = porcupine(np.eye(d), neurons, SIGNED[d])
    census = landscape.explore(problem, 20_000, seed=1, init_scale=0.02, progress=False)
    share = census.shares()["global"]
    assert share["low"] <= orthogonal_global_probability(problem.neurons) <= share["high"]


@pytest.mark.parametrize(("d", "neurons"), [(1, 3), (2, 2), (3, 3)])
def test_a_small_start_is_good_exactly_if_every_axis_has_both_signs(d, neurons):
    problem = porcupine(np.eye(d), neurons, SIGNED[d])
    rows, _ = ends(problem, 200, init_scale=0.02)
    starts = landscape.start_points(problem, 0, np.arange(200), init_scale=0.02).reshape(200, d, neurons)
    both = ((starts > 0).any(axis=2) & (starts < 0).any(axis=2)).all(axis=1)
    np.testing.assert_array_equal(rows["label"] == "global", both)


def test_descents_stopped_between_kinks_end_where_longer_ones_do():
    rng = np.random.default_rng(0)
    problem = porcupine(rng.normal(size=(10, 3)), 2, rng.normal(size=(4, 3)))
    short, _ = ends(problem, 40, init_scale=1.0)
    long, _ = ends(problem, 40, init_scale=1.0, schedule=Schedule(fall=1e-9))
    assert np.sum(long["steps"]) > np.sum(short["steps"])
    np.testing.assert_array_equal(short["label"], long["label"])
    # Both are exact minima of one region: rounding of the finish, some 1e-16 on a loss of 0.1.
    np.testing.assert_allclose(short["loss"], long["loss"], rtol=0, atol=1e-12)


def test_descents_on_many_lines_are_finished_when_their_budget_is_spent():
    """Their loss falls like 1/t: never so little in a while that they stand still, and the slope is never small."""
    problem = PorcupineStudy(lines="60", dimension=2, teacher="5").problem()
    short, long = (ends(problem, 12, budget=budget)[0] for budget in (4000, 12_000))
    assert set(short["steps"]) == {4080}  # whole chunks of 120
    assert set(short["basin"]) == {"finished"}
    assert set(short["label"]) <= {"global", "spurious"}
    np.testing.assert_array_equal(short["label"], long["label"])
    np.testing.assert_allclose(short["loss"], long["loss"], rtol=0, atol=1e-11)
    best = global_optimum(problem).loss
    np.testing.assert_array_equal(short["label"] == "global", short["loss"] < best + 1e-10)


def test_what_a_restart_finds_does_not_depend_on_lanes_or_on_a_resume(tmp_path):
    problem = porcupine(np.eye(2), 2, SIGNED[2])
    one, a = ends(problem, 30, lanes=30)
    other, b = ends(problem, 30, lanes=8)
    for name in ("label", "steps", "basin"):
        np.testing.assert_array_equal(one[name], other[name])
    np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)  # products over blocks of another size round otherwise
    whole = landscape.explore(problem, 30, init_scale=0.05, progress=False, out=tmp_path / "run")
    for shard in (tmp_path / "run").glob("shards/*"):
        shard.unlink()
    again = landscape.explore(problem, 30, init_scale=0.05, progress=False, out=tmp_path / "run", resume=True)
    for level, before in zip(again.levels, whole.levels, strict=True):
        # Gradients at polished points are rounding alone: the norm of 1e-16 depends on the batch that a point is in.
        assert level.grad_norm < 1e-14
        assert before.grad_norm < 1e-14
        assert level.as_dict() | {"grad_norm": 0} == before.as_dict() | {"grad_norm": 0}
    other = porcupine(np.eye(2), 2, 1.1 * SIGNED[2])
    with pytest.raises(InputError, match="holds another run"):
        landscape.explore(other, 30, init_scale=0.05, progress=False, out=tmp_path / "run", resume=True)


@pytest.mark.parametrize(
    ("fields", "law"),
    [
        (dict(neurons=(3,)), 0.75),
        (dict(neurons=(8,), dimension=3), (1 - 2**-7) ** 3),
        (dict(neurons=(2, 4), dimension=2), 0.5 * 0.875),
        (dict(neurons=(2,), optimiser="flow"), 0.5),
        (dict(neurons=(2,), teacher="[[6], [-0.4]]"), 0.5),  # one line: any masses
        (dict(neurons=(2,), teacher="[[6], [-0.4]]", init="sphere", init_scale=0.15), 0.5),
        (dict(neurons=(1, 2), dimension=2), None),  # a single neuron is never mixed, and need not be
        (dict(neurons=(3,), dimension=2, teacher="[[1, 0], [-0.1, 0], [0, 3], [0, -0.1]]"), None),  # a sign is lost
        (dict(neurons=(3,), dimension=2, teacher="[[1, 0], [-0.03, 0], [0, 1], [0, -0.03]]"), None),
        (dict(neurons=(6,), teacher="[[6], [-4]]", init_scale=5.0), None),  # starts of one sign cross over
        (dict(neurons=(4,), teacher="[[6e-6], [-4e-6]]"), None),  # that are large for this teacher
        (dict(neurons=(4,), teacher="[[6e-6], [-4e-6]]", init_scale=5e-8), 0.875),
        (dict(neurons=(2,), teacher="[[6], [4]]"), None),
        (dict(neurons=(3,), optimiser="adam"), None),
        (dict(neurons=(3,), step_size=1.2), None),  # beyond 1 / curvature
        (dict(neurons=(3,), lines="[[1, 0], [1, 1]]"), None),
    ],
)
def test_the_formula_is_given_where_it_holds(fields, law):
    assert PorcupineStudy(**fields).law() == law


def test_where_no_formula_is_given_shares_are_not_those_of_mixed_starts():
    """Teacher masses that differ: mixed lines of small starts lose a sign, and 30% are global where 56% start mixed."""
    problem = porcupine(np.eye(2), 3, [[1, 0], [-0.1, 0], [0, 3], [0, -0.1]])
    rows, _ = ends(problem, 200)
    assert 0.2 < np.mean(rows["label"] == "global") < 0.42 < orthogonal_global_probability([3, 3])


def test_a_small_teacher_has_the_levels_of_a_large_one():
    """Theorem 2: losses 0, 4 and 9 times the square of the teacher's scale, however small; it goes with the starts."""
    for scale in (1.0, 1e-6):
        study = PorcupineStudy(teacher=f"[[{6 * scale}], [{-4 * scale}]]", init_scale=0.05 * scale, restarts=60)
        census = study.run(None, False)
        found = [(level.label, level.loss / scale**2) for level in census.levels]
        assert [label for label, _ in found] == ["global", "spurious", "spurious"]
        np.testing.assert_allclose([loss for _, loss in found], [0, 4, 9], rtol=0, atol=1e-12)
        assert census.findings["porcupine"]["levels"] == 3
        kept = {round(float(census.rows["loss"][census.rows["restart"] == i][0]) / scale**2) for i in census.weights}
        assert kept == {0, 4, 9}


def test_isolated_minima_are_counted_and_flat_ones_are_not():
    census = landscape.explore(porcupine([[1.0]], 2, [[6.0], [-4.0]]), 60, init_scale=0.05, progress=False)
    assert {(level.label, level.orbits) for level in census.levels} == {("global", 1), ("spurious", None)}


# --- the studies ---

SMALL = {
    "porcupine": ["--dimension", 2, "--neurons", 2, 3, "--restarts", 20],
    "porcupine-regions": ["--restarts", 20],
    "porcupine-landscape": ["--restarts", 60],
    "porcupine-approximation": ["--restarts", 3, "--lines", 3, 8, "--teachers", 2, "--dimension", 4, "--teacher", 5],
    "porcupine-likelihood": ["--restarts", 30, "--neurons", 2, 3, "--dimensions", 1, 2, "--lines", 4],
    "porcupine-mismatch": ["--restarts", 10, "--neurons", 2, 3, "--lines", 4],
}


@pytest.mark.parametrize("name", mostly_slow(SMALL, "regions", "landscape"))
def test_a_study_runs_is_shown_resumed_and_drawn(name, tmp_path, capsys):
    folder = tmp_path / "run"
    assert call("run", name, *SMALL[name], "--out", folder, "--json") == 0
    ran = json.loads(capsys.readouterr().out)
    assert ran["study"] == name
    assert ran["findings"]["finished"] == ran["restarts"] == sum(ran["labels"].values())
    for command in ("show", "resume"):
        assert call(command, folder, "--json") == 0
        again = json.loads(capsys.readouterr().out)
        assert again["labels"] == ran["labels"]
        assert again["levels"] == ran["levels"]
    check_drawn(capsys, folder)
    assert call("show", folder) == 0
    assert "restarts" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["porcupine-regions", "porcupine-mismatch"])
def test_a_run_without_a_finished_restart_is_shown_and_not_drawn(name, tmp_path, capsys):
    folder = tmp_path / "run"
    assert call("run", name, *SMALL[name], "--out", folder, "--quiet") == 0
    for shard in folder.glob("**/shards/*"):
        shard.unlink()
    capsys.readouterr()
    assert call("show", folder) == 0
    assert "0 of" in capsys.readouterr().out
    check_refused(capsys, "no restart is finished yet", "plot", folder)


def test_figure_5_has_optima_at_8_and_18_and_descents_find_them(capsys):
    assert call("run", "porcupine-landscape", "--restarts", 60, "--json") == 0
    one_sign, both = json.loads(capsys.readouterr().out)["findings"]["cells"]
    assert one_sign["labels"]["global"] == 60
    bad = sorted(r["paper_loss"] for r in both["regions"] if r["bad"])
    np.testing.assert_allclose(bad, [8.0, 18.0], rtol=0, atol=1e-12)
    found = sorted(level["paper_loss"] for level in both["paper_levels"])
    np.testing.assert_allclose(found, [0.0, 8.0, 18.0], rtol=0, atol=1e-12)


def test_a_region_that_is_undecided_is_drawn_as_undecided():
    """Teacher (1e17, -1): the loss of the region (+, +) is 1/4, and 1e17 is known to 16."""
    from landscape.figures import regions

    study = STUDIES["porcupine-landscape"](restarts=4, teachers=(10**17, -1))
    cells = study.run(None, False).cell_dicts()
    drawn = [region for region in cells[0]["regions"] if region["loss"] is not None]
    assert [(region["kinds"], region["bad"]) for region in drawn] == [([1], None)]
    figure = regions.surfaces([cell.problem() for cell in study.cells().values()], cells)
    said = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text.split(",")[0] for text in said] == ["undecided"]


def test_figure_4_has_two_bad_regions_of_eight(capsys):
    assert call("run", "porcupine-regions", "--restarts", 8, "--json") == 0
    assert json.loads(capsys.readouterr().out)["findings"]["region_counts"] == {
        "with bad minima": 2, "without": 6, "undecided": 0,
    }  # fmt: skip


@pytest.mark.slow
def test_ends_optimum_and_bound_are_in_order_and_more_lines_come_closer():
    study = STUDIES["porcupine-approximation"](restarts=4, lines=(5, 15, 30), teachers=1)
    cells = study.run(None, False).cell_dicts()
    for cell in cells:
        assert cell["schur_bound"] <= cell["optimum"] <= cell["least_loss"] + 1e-12 <= cell["mean_loss"] + 2e-12
        assert cell["optimum"] - cell["optimum_lower"] < 1e-10
    # Lines of one draw are nested, so the optimum falls.
    assert cells[0]["optimum"] > cells[1]["optimum"] > cells[2]["optimum"]


def test_the_optimum_is_reached_where_several_signs_at_a_time_raise_the_loss():
    """A draw on which the search once stopped 1.7e-2 above its own bound; rounding alone leaves some 1e-10."""
    problem = PorcupineStudy(lines="120", dimension=15, teacher="20", draw=17).problem()
    found = global_optimum(problem)
    assert found.gap < 1e-9
    assert label(problem, found.theta).label == "global"


def test_random_lines_of_a_draw_are_nested_and_the_paper_says_half_the_loss():
    few, more = (PorcupineStudy(lines=str(r), dimension=3, teacher="4").problem() for r in (4, 9))
    np.testing.assert_array_equal(more.lines[:4], few.lines)
    np.testing.assert_array_equal(more.teacher, few.teacher)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["porcupine", "--lines", "[[1, 0], [2, 0]]"], "are parallel"),
        (["porcupine", "--lines", "[[1, 0], [0, 0]]"], "direction zero"),
        (["porcupine", "--lines", "[]"], "found an array of shape (0,)"),
        (["porcupine", "--lines", "[1, 2]"], "found an array of shape (2,)"),
        (["porcupine", "--lines", "[[1, 0], [0, 1], [1]]"], "all rows of one length"),
        (["porcupine", "--lines", '[[1, 0], ["a", 1]]'], "must be an array of numbers"),
        (["porcupine", "--lines", __file__], "is not JSON"),
        (["porcupine", "--teacher", '[[1, 0], ["a", 1]]'], "teacher"),
        (["porcupine", "--teacher", "[[1, 0], [1]]"], "teacher"),
        (["porcupine", "--teacher", "[[1, 0]]", "--dimension", "3"], "the rows of the given teacher have 2 numbers"),
        (["porcupine", "--lines", "3"], "3 lines need a dimension of at least 2"),
        (["porcupine", "--colour", "red"], "--colour"),
        (["porcupine", "--neurons", "900000000000"], "GiB"),
        (["porcupine", "--neurons", "0"], "at least 1, found 0"),
        (["porcupine", "--lines", "3", "--dimension", "2", "--neurons", "2", "0", "1"], "line 1 has no neuron"),
        (["porcupine", "--neurons", "2", "2"], "neurons_per_line must be one number or 1"),
        (["porcupine", "--lines", "200000", "--dimension", "2"], "GiB"),
        (["porcupine", "--lines", "nowhere.json"], "lines 'nowhere.json' is no file"),
        (["porcupine", "--lines", "[[1, 0], [0, 1]]", "--teacher", "[[1, 2, 3]]"], "rows of 3 numbers"),
        (["porcupine", "--teacher", "0"], "teacher must be"),
        (["porcupine", "--draw", "-1"], "draw must be"),
        (["porcupine-landscape", "--teachers", "6"], "must be pairs"),
        (["porcupine-landscape", "--teachers"], "has no cell"),
        (["porcupine-approximation", "--teachers", "0"], "teachers must be"),
        (["porcupine-approximation", "--teachers", "1000000"], "teachers must be at most 1000"),
        (["porcupine-approximation", "--teachers", "1000"], "8000 cells, and 1000 are the most"),
        (["porcupine-mismatch", "--restarts", "0"], "restarts must be"),
        (["porcupine-likelihood", "--step-size", "-1"], "step_size must be"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(arguments, words, capsys):
    check_refused(capsys, words, "run", *arguments)


def test_a_points_file_with_lines_is_labelled_in_its_own_order(tmp_path, capsys):
    path = tmp_path / "points.json"
    lines, teacher = [[1.0, 0.0], [0.0, 2.0]], [[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0]]
    # Neurons out of order: the second line's stand first and last. On line 0 both neurons are positive: the missing
    # negative one would help.
    good = {"line_of": [1, 0, 0, 1], "coefficient": [2.0, 1.0, -1.0, 1.0]}
    path.write_text(json.dumps({"lines": lines, "teacher": teacher, **good}))
    assert call("label", path, "--json") == 0
    assert [v["label"] for v in json.loads(capsys.readouterr().out)] == ["global"]
    problem = porcupine(lines, 2, teacher)
    stuck = finish(problem, np.array([0.2, 0.4, 0.3, 0.5]))
    both = [np.array(good["coefficient"]), stuck[[2, 0, 1, 3]]]
    path.write_text(json.dumps({"lines": lines, "teacher": teacher, **good, "coefficient": np.array(both).tolist()}))
    assert call("label", path, "--json") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["label"], second["label"], second["by"]) == ("global", "spurious", "missing sign")
    further = (both[1] + np.array(second["escape"]))[[1, 2, 0, 3]]
    verdict = landscape.label(problem, further)
    assert verdict.loss < second["loss"]
    assert landscape.label(problem, [further, further])[1].loss == verdict.loss


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"line_of": [0, 2]}, "whole numbers from 0 to 1"),
        ({"line_of": [0, 0.5]}, "whole numbers from 0 to 1"),
        ({"line_of": [0, 0]}, "line 1 has no neuron"),
        ({"coefficient": [1.0]}, "line_of must be [p]"),
        ({"coefficient": ["a", 1]}, "array of numbers"),
        ({"coefficient": [1.0, float("nan")]}, "must be finite"),
        ({"hidden": [[1.0]]}, "field 'hidden' that is not understood"),
        ({"lines": [[1.0, 0.0], [1.0, 0.0]]}, "are parallel"),
        ({"lines": 3}, "lines must be a matrix"),
        ({"lines": [[1, 0], [0]]}, "lines must be an array of numbers, all rows of one length"),
    ],
)
def test_a_points_file_that_makes_no_sense_is_one_sentence(change, words, tmp_path, capsys):
    content = {"lines": [[1, 0], [0, 1]], "teacher": [[1, 0]], "line_of": [0, 1], "coefficient": [1.0, 1.0]} | change
    path = tmp_path / "points.json"
    path.write_text(json.dumps(content))
    check_refused(capsys, words, "label", path)
