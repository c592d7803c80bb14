"""The command line: one clear sentence and status 2 for bad input, JSON and nothing else on request, no overwriting."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys

import numpy as np
import pytest
from reference import call

from landscape.studies import STUDIES

SCHEMA = {
    "study", "problem", "restarts", "seed", "labels", "shares", "levels", "lower_bound", "best_seen", "unseen_mass",
    "seconds", "environment", "findings",
}  # fmt: skip
LEVEL = {
    "loss", "label", "flavour", "evidence", "by", "count", "share", "share_low", "share_high", "orbits",
    "min_curvature", "grad_norm",
}  # fmt: skip
LABELS = {"global", "spurious", "saddle", "trap", "at_infinity", "undecided", "unconverged"}


def refused(capsys, *arguments):
    """The one line on standard error of a refused command."""
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    assert "Traceback" not in said.err
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bench-mark"], "command 'bench-mark' is unknown"),
        (["run", "no-such-study"], "study 'no-such-study' is unknown; known are safran-shamir"),
        (["run", "--bogus", "3"], "--bogus"),
        (["run", "--restarts", "many"], "--restarts"),
        (["run", "--restarts", "0"], "restarts must be a whole number of at least 1, found 0"),
        (["run", "--restarts", "-5"], "restarts must be"),
        (["run", "--seed", "-1"], "seed must be"),
        (["run", "--width", "0"], "width must be a whole number of at least 1"),
        (["run", "--teacher", "0"], "size k must be"),
        (["run", "--budget", "0"], "budget must be"),
        (["run", "--init", "zeros"], "init 'zeros' is unknown"),
        (["run", "--init-scale", "nan"], "init_scale must be"),
        (["run", "--step-size", "0"], "step_size must be"),
        (["run", "--optimiser", "newton"], "optimiser 'newton' is unknown"),
        (["run", "--dtype", "float16"], "dtype must be"),
        (["run", "teacher-student", "--activation", "tan"], "activation 'tan' is unknown; known are relu"),
        (["run", "teacher-student", "--activation", "tanh"], "activation tanh has no closed form over Gaussian inputs"),
        (["run", "teacher-student", "--teacher", "[[1,0],[0,NaN]]"], "every entry must be finite"),
        (["run", "teacher-student", "--teacher", "[[1,0],[0,0]]"], "teacher row 1 is zero"),
        (["run", "teacher-student", "--teacher", "[]"], "teacher must be a matrix|at least one neuron"),
        (["run", "teacher-student", "--teacher", "[[1,0],[0]]"], "all rows of one length"),
        (["run", "teacher-student", "--teacher", '[["a"]]'], "array of numbers"),
        (["run", "teacher-student", "--teacher", "[[1,"], "not JSON"),
        (["run", "teacher-student", "--teacher", "nowhere.json"], "is no file"),
        (["run", "teacher-student", "--teacher", "4", "--dimension", "3"], "at least k = 4"),
        (["run", "nowhere.toml"], "cannot read nowhere.toml"),
        (["run", "safran-shamir-table", "--teachers", "0"], "size k must be"),
        (["run", "--out", "/proc/nowhere/run"], "there is no folder /proc/nowhere to make run in"),
        (["show"], "usage: landscape show"),
        (["show", "nowhere"], "nowhere"),
        (["resume", "nowhere"], "nowhere"),
        (["plot", "nowhere"], "nowhere"),
        (["label", "nowhere.json"], "is no file"),
        (["studies", "nothing"], "study 'nothing' is unknown"),
        (["run", "zero-subnetwork", "--workers", 2], "zero-subnetwork runs in one process"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(arguments, words, capsys):
    import re

    assert re.search(words, refused(capsys, *arguments))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("study = 'safran-shamir'\nteacher = ", "is not TOML"),
        ("teacher = 4", "names no study"),
        ("study = 'nothing'", "study 'nothing' is unknown"),
        ("study = 'safran-shamir'\nteachers = 4", "no field 'teachers'"),
        ("study = 'safran-shamir'\nteacher = 'four'", "must be of type int"),
        ("study = 'safran-shamir'\nrestarts = 2.5", "must be of type int"),
        ("study = 'safran-shamir'\nrestarts = true", "must be of type int"),
        ("study = 'safran-shamir-table'\nteachers = [3, 'x']", "must be of type tuple"),
    ],
)
def test_a_broken_toml_file_is_one_sentence(text, words, tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text(text)
    assert words in refused(capsys, "run", path)


def test_json_is_one_object_of_the_stated_shape(capsys):
    assert call("run", "safran-shamir", "--teacher", 3, "--restarts", 8, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == SCHEMA
    assert set(said["labels"]) == set(said["shares"]) == LABELS
    assert said["labels"]["global"] == 8
    assert set(said["levels"][0]) == LEVEL
    assert set(said["shares"]["global"]) == {"share", "low", "high"}
    assert set(said["seconds"]) == {"compile", "descent", "polish", "classify", "total"}
    assert {"landscape", "jax", "device", "dtype"} <= set(said["environment"])
    assert {"kind", "width", "parameters"} <= set(said["problem"])
    assert said["findings"]["paper_share"]["share"] == 0.0
    assert said["problem"]["parameters"] == 9


@pytest.mark.slow
def test_a_toml_file_and_the_same_options_give_the_same_census(tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text(
        'study = "teacher-student"\nteacher = [[1.0, 0.0], [0.0, 1.0]]\nwidth = 3\nrestarts = 6\nseed = 1\n'
    )
    assert call("run", path, "--json") == 0
    one = json.loads(capsys.readouterr().out)
    options = ["--teacher", "[[1, 0], [0, 1]]", "--width", 3, "--restarts", 6, "--seed", 1]
    assert call("run", "teacher-student", *options, "--json") == 0
    other = json.loads(capsys.readouterr().out)
    assert one["levels"] == other["levels"]
    assert (one["problem"], one["seed"]) == (other["problem"], 1)
    assert call("run", path, "--restarts", 2, "--json") == 0  # an option overrides the file
    assert json.loads(capsys.readouterr().out)["restarts"] == 2


@pytest.mark.parametrize("suffix", ["json", "npz"])
def test_a_teacher_from_a_file(suffix, tmp_path, capsys):
    path = tmp_path / f"teacher.{suffix}"
    teacher = [[1.0, 0.5], [0.0, -2.0]]
    if suffix == "json":
        path.write_text(json.dumps({"teacher": teacher}))
    else:
        np.savez(path, teacher=teacher)
    assert call("run", "teacher-student", "--teacher", path, "--restarts", 4, "--json") == 0
    assert json.loads(capsys.readouterr().out)["problem"]["dimension"] == 2


def test_run_show_resume_and_plot_of_one_folder(tmp_path, capsys):
    folder = tmp_path / "run"
    assert call("run", "safran-shamir", "--teacher", 3, "--restarts", 10, "--out", folder, "--json") == 0
    ran = json.loads(capsys.readouterr().out)
    for command in ("show", "resume"):
        assert call(command, folder, "--json") == 0
        again = json.loads(capsys.readouterr().out)
        assert {k: v for k, v in again.items() if k != "seconds"} == {k: v for k, v in ran.items() if k != "seconds"}
    assert "holds another run" in refused(capsys, "run", "--teacher", "3", "--out", folder)
    assert call("plot", folder) == 0
    figures = capsys.readouterr().out.split()
    assert figures
    assert all(figure.endswith(".png") for figure in figures)
    assert call("show", folder) == 0
    assert "10 of 10 restarts" in capsys.readouterr().out


@pytest.mark.slow
def test_the_table_runs_its_cells_and_resumes(tmp_path, capsys):
    folder = tmp_path / "table"
    options = ["--teachers", 2, 3, "--extra", 0, 1, "--restarts", 6]
    assert call("run", "safran-shamir-table", *options, "--out", folder, "--json") == 0
    ran = json.loads(capsys.readouterr().out)
    assert [(c["teacher"], c["width"]) for c in ran["findings"]["cells"]] == [(2, 2), (3, 3), (2, 3), (3, 4)]
    assert ran["restarts"] == ran["findings"]["finished"] == sum(ran["labels"].values()) == 24
    for shard in folder.glob("k03-n03/shards/*"):
        shard.unlink()  # as if the run had been killed before this cell was done
    assert call("resume", folder, "--json") == 0
    again = json.loads(capsys.readouterr().out)
    assert again["labels"] == ran["labels"]
    assert call("plot", folder) == 0
    capsys.readouterr()
    assert call("show", folder) == 0
    assert "published" in capsys.readouterr().out


def test_label_reads_points_and_answers_in_the_stated_fields(tmp_path, capsys):
    path = tmp_path / "points.json"
    angles = 2 * np.pi * np.arange(3) / 3
    teacher = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    path.write_text(
        json.dumps({"teacher": teacher.tolist(), "hidden": [(-teacher).tolist(), (teacher + 0.01).tolist()]})
    )
    assert call("label", path, "--json") == 0
    flipped, near = json.loads(capsys.readouterr().out)
    assert (flipped["label"], flipped["evidence"]) == ("global", "certified")
    assert set(flipped) == {
        "label", "flavour", "evidence", "by", "loss", "lower_bound", "excess", "wider", "grad_norm", "min_curvature",
        "escape", "reason", "polished",
    }  # fmt: skip
    assert near["label"] == "unconverged"
    assert near["polished"]["label"] == "global"
    assert near["polished"]["moved"] > 0


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "neither JSON nor npz"),
        ("[1]", "must hold an object"),
        ('{"teacher": [[1, 0]]}', "has no 'hidden'"),
        ('{"teacher": [[1, 0]], "hidden": [[1, 0, 0]]}', "rows of 3 numbers and the teacher of 2"),
        ('{"teacher": [[1, 0]], "hidden": [[1], [1, 2]]}', "array of numbers"),
        ('{"teacher": [[1, 0]], "hidden": [[1, 0]], "weights": 1}', "field 'weights' that is not understood"),
        ('{"teacher": [[1, 0]], "hidden": [[1, NaN]]}', "must be finite"),
    ],
)
def test_a_points_file_that_makes_no_sense_is_one_sentence(content, words, tmp_path, capsys):
    path = tmp_path / "points.json"
    path.write_text(content)
    assert words in refused(capsys, "label", path)


def test_studies_lists_and_explains(capsys):
    assert call("studies") == 0
    assert "safran-shamir-table" in capsys.readouterr().out
    assert call("studies", "teacher-student") == 0
    said = capsys.readouterr().out
    for name in ("--teacher", "--width", "--activation", "--budget"):
        assert name in said


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m landscape.cli studies | head -c 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=60)
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("name", STUDIES)
def test_every_study_says_what_it_does_how_long_it_takes_and_what_it_draws(name, capsys):
    assert call("studies", name) == 0
    said = capsys.readouterr().out
    assert STUDIES[name].about in said
    assert "\nTakes: " in said
    assert "\nDraws: " in said
    assert "Attributes" not in said
    purpose = said.split("\n\n")[1]
    assert len(purpose) > 30  # a sentence


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["reusme", "x"], "resume"),
        (["run", "safran-shamr"], "safran-shamir"),
        (["studies", "hiden-convex"], "hidden-convex"),
        (["--versoin"], "--version"),
        (["run", "--optimizer", "flow"], "--optimiser"),
        (["run", "--restart=5"], "--restarts"),
        (["run", "teacher-student", "--activation", "ReLU"], "relu"),
    ],
)
def test_a_slip_is_answered_with_the_word_that_was_meant(arguments, word, capsys):
    assert f"did you mean {word!r}?" in refused(capsys, *arguments)


def test_help_of_label_names_every_option(capsys):
    assert call("label", "--help") == 0
    said = capsys.readouterr().out
    for name in ("json", "improve", "optimiser", "seconds", "data", "activation", "weight-decay", "reduction", "bias"):
        assert f"  --{name} " in said


def test_a_slip_in_a_file_is_answered_too(tmp_path, capsys):
    (tmp_path / "study.toml").write_text('study = "safran-shamir"\nwidht = 3\n')
    assert "did you mean 'width'?" in refused(capsys, "run", tmp_path / "study.toml")


def test_it_runs_from_a_checkout_that_is_not_installed(tmp_path, monkeypatch, capsys):
    """With its dependencies, but without what an installation says of the package itself."""
    known = importlib.metadata.version

    def version(name):
        if name == "landscape":
            raise importlib.metadata.PackageNotFoundError(name)
        return known(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert call("--version") == 0
    assert call("run", "--teacher", 2, "--restarts", 2, "--budget", 3000, "--quiet", "--out", tmp_path / "run") == 0
    assert "landscape unknown" in capsys.readouterr().out
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["environment"]["landscape"] == "unknown"
    monkeypatch.undo()
    done = subprocess.run([sys.executable, "-m", "landscape", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"landscape {known('landscape')}\n"
