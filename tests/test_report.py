"""The report of a run is one well-formed page that fetches nothing, holds every distinct end, and stays small."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from reference import call
from slow import slow
from test_cli import refused
from test_folders import own
from test_shown import Tags

import landscape as ls
from landscape.census.levels import levels_of
from landscape.host import store
from landscape.polish import evaluate
from landscape.problems.problem import Problem
from landscape.report import again
from landscape.report.cards import ends
from landscape.report.page import page
from landscape.studies import STUDIES
from landscape.studies.folders import report

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)


def read(html):
    """The tags of a page, after what every page must be."""
    tags = Tags(html.removeprefix("<!DOCTYPE html>\n"))
    for tag, given in tags.seen:
        for name in ("src", "href", "data", "action", "poster", "srcset"):
            address = given.get(name)
            assert address is None or address.startswith(("data:image/png;base64,", "#")), (tag, address)
        assert tag not in ("script", "link", "iframe", "object"), tag
        if tag == "img":
            assert given["alt"]
        if tag == "svg":
            assert given["aria-label"]
    assert not re.search(r"url\(|@import", html)
    ids = Counter(given["id"] for _, given in tags.seen if "id" in given)
    assert set(ids.values()) == {1}
    targets = {given["href"][1:] for tag, given in tags.seen if tag == "a"}
    assert targets <= set(ids)
    assert [tag for tag, _ in tags.seen].count("h1") == 1
    return tags


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A run with two kinds of ends, and its page."""
    folder = tmp_path_factory.mktemp("report") / "run"
    options = ["safran-shamir", "--teacher", 8, "--restarts", 60, "--seed", 3]
    assert call("run", *options, "--quiet", "--out", folder) == 0
    assert call("report", folder) == 0
    return folder, (folder / "report.html").read_text()


def many(count, width=10):
    """A census of so many made-up orbits of a real problem, spectra and all."""
    problem = ls.orthonormal_teacher(width)
    census = ls.explore(problem, 2, progress=False)
    rng = np.random.default_rng(0)
    rows = {name: np.repeat(column[:1], count) for name, column in census.rows.items()}
    rows["restart"] = rows["orbit"] = np.arange(count)
    rows["loss"] = np.sort(rng.uniform(0.01, 0.1, count))
    rows["label"] = np.array(["spurious", "saddle"], object)[rng.integers(0, 2, count)]
    weights = {i: (np.eye(width) + 0.3 * rng.normal(size=(width, width))).ravel() for i in range(count)}
    rows["min_curvature"] = np.array([np.linalg.eigvalsh(evaluate(problem, weights[i])[1])[0] for i in range(count)])
    return replace(census, rows=rows, weights=weights, levels=levels_of(rows), restarts=count)


def test_the_page_of_a_run_says_what_was_run_and_has_a_card_for_every_end(real):
    folder, html = real
    tags = read(html)
    census = ls.load(folder)
    assert "safran-shamir: teacher 8, width 8" in tags.text
    cards = [given["class"] for tag, given in tags.seen if tag == "article"]
    assert len(cards) == len(census.weights)
    assert Counter(one.split("is-")[1] for one in cards) == {"global": 1, "spurious": 1}
    for level in census.levels:
        assert f"{level.count} of 60 restarts" in tags.text
        assert level.by in tags.text
    assert "A local minimum that is not global." in tags.text
    assert "64 eigenvalues, from" in tags.text
    assert "landscape run safran-shamir --restarts 60 --seed 3 --teacher 8" in tags.text
    assert census.environment["jax"] in tags.text
    names = [given["alt"] for tag, given in tags.seen if tag == "img"]
    assert names[:3] == ["loss levels", "spectra", "descent"]
    assert len([name for name in names if "8 by 8 weights" in name]) == 2


def test_the_command_that_does_it_again_makes_the_same_run(real, tmp_path):
    folder, _ = real
    manifest = store.read_manifest(folder)
    study = STUDIES[manifest["study"]]
    command = again.commands(folder, manifest, {name: getattr(study, name) for name in manifest["fields"]})[0][1]
    assert call(*command.split()[1:], "--quiet", "--out", tmp_path / "again") == 0
    assert store.read_manifest(tmp_path / "again")["run"] == manifest["run"]


@pytest.mark.parametrize("count", [1, 500, 510])
def test_from_one_end_to_five_hundred_are_shown_and_more_are_counted(count):
    census = many(count, width=2)
    found, total = ends(census)
    assert total == count
    assert len(found) == min(count, 500)
    tags = read(page(census, [], [], []))
    assert [tag for tag, _ in tags.seen].count("article") == min(count, 500)
    assert f"Distinct ends ({count})" in tags.text
    assert ("The 500 most frequent of 510 are shown." in tags.text) == (count == 510)


@pytest.mark.long
def test_two_hundred_minima_are_less_than_three_megabytes():
    census = many(200)
    figures = census.plot()
    html = page(census, [(name, figure._repr_png_()) for name, figure in figures.items()], [], [])
    tags = read(html)
    assert [tag for tag, _ in tags.seen].count("svg") == 200  # every card has its spectrum
    assert len(html.encode()) < 3_000_000


def test_students_are_drawn_in_the_rows_of_the_teachers_that_they_are_nearest_to():
    problem = ls.orthonormal_teacher(5, width=6)
    rng = np.random.default_rng(0)
    student = np.concatenate([np.eye(5), 0.1 * np.ones((1, 5))]) + 0.01 * rng.normal(size=(6, 5))
    (drawn,) = problem.matrices(student[rng.permutation(6)].ravel()).values()
    np.testing.assert_array_equal(drawn, student)


@pytest.mark.parametrize("brought", [False, slow(True)])
def test_a_run_of_an_own_loss_has_a_report_with_and_without_the_loss(brought, tmp_path):
    problem = own()
    ls.explore(problem, 8, out=tmp_path / "run", progress=False)
    html = report(tmp_path / "run", problem if brought else None, tmp_path / "own.html").read_text()
    tags = read(html)
    assert "--problem FILE.py" in tags.text.rsplit("How to do it again", 1)[1]
    assert ("Weights are not drawn" in tags.text) is not brought
    assert bool(re.search(r"a: -?1", tags.text)) is brought  # a b = 1 and a = b, so that a is 1 or -1


def test_tables_and_reports_have_a_page_too(tmp_path):
    for name, options in {
        "table": ["safran-shamir-table", "--teachers", "2", "3", "--extra", "0", "--restarts", "4"],
        "zero": ["zero-subnetwork", "--rows", "4", "--widths", "1", "--restarts", "4"],
    }.items():
        assert call("run", *options, "--quiet", "--out", tmp_path / name) == 0
        assert call("report", tmp_path / name, "--out", tmp_path / f"{name}.html") == 0
        tags = read((tmp_path / f"{name}.html").read_text())
        assert options[0] in tags.text
        assert any(tag == "img" for tag, _ in tags.seen)


def test_bad_input_is_one_sentence(real, tmp_path, capsys):
    assert "is not a run folder" in refused(capsys, "report", tmp_path)
    assert "cannot write" in refused(capsys, "report", real[0], "--out", tmp_path / "no" / "such.html")
    assert "usage: landscape report" in refused(capsys, "report")


def test_words_from_a_problem_are_escaped():
    problem = ls.orthonormal_teacher(2)
    census = ls.explore(problem, 2, progress=False)
    census = replace(census, problem=census.problem | {"normalisation": "<script>alert(1)</script>"})
    assert "<script>alert" not in page(census, [], [], [])
    assert "<script>alert" in read(page(census, [], [], [])).text


def test_every_family_draws_its_weights():
    """A family without matrices of its own has theta in a row."""
    rng = np.random.default_rng(0)
    problems = [
        ls.orthonormal_teacher(3),
        ls.porcupine(np.eye(2), 2, np.eye(2)),
        ls.empirical(rng.normal(size=(4, 2)), rng.normal(size=4), 3, weight_decay=0.1, outer_bias="free"),
        ls.matrix_factorisation(rng.normal(size=(3, 2)), 2, 0.1),
        own(),
    ]
    for problem in problems:
        theta = rng.normal(size=problem.p)
        drawn = np.concatenate([matrix.ravel() for matrix in problem.matrices(theta).values()])
        np.testing.assert_array_equal(np.sort(drawn), np.sort(theta))
        assert all(matrix.ndim == 2 for matrix in problem.matrices(theta).values())
    assert Problem.matrices(problems[0], np.arange(9.0))["theta"].shape == (1, 9)


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium (Debian: apt-get install chromium)")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_the_page_without_a_complaint(scheme, real):
    folder, _ = real
    with tempfile.TemporaryDirectory() as profile:
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            f"--user-data-dir={profile}", "--enable-logging=stderr", "--dump-dom",
            f"--blink-settings=preferredColorScheme={int(scheme == 'light')}", f"file://{folder / 'report.html'}",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0
    assert done.stdout.count("<article") == 2
    assert "CONSOLE" not in done.stderr, done.stderr
