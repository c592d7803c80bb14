"""The README is short; each page of the guide is listed, printed as it is to a pipe, and drawn on a terminal."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from readme_examples import ROOT, blocks, pages
from reference import call

from landscape.cli import guide

README_LINES = 200
LINK = re.compile(r"\]\((?!https?:)([^)#]+)\)")


def test_the_readme_has_at_most_200_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_topics_are_the_pages_that_there_are():
    assert {one.stem for one in guide.FOLDER.glob("*")} == set(guide.TOPICS)
    assert {one.suffix for one in guide.FOLDER.glob("*")} == {".md"}


def test_each_page_is_listed_with_its_sentence(capsys):
    assert call("guide") == 0
    lines = capsys.readouterr().out.splitlines()
    for topic in guide.TOPICS:
        (line,) = [one for one in lines if one.split()[:1] == [topic]]
        assert line.endswith("."), line
        assert len(line) <= 100, line


@pytest.mark.parametrize("topic", guide.TOPICS)
def test_each_page_is_printed(topic, capsys):
    assert call("guide", topic) == 0
    said = capsys.readouterr().out
    written = (guide.FOLDER / f"{topic}.md").read_text()
    assert said.startswith(written.split("\n", 1)[0] + "\n")
    assert said.count("\n") == written.count("\n") - written.count("<!--")
    assert not re.search(r"<!--|\]\([a-z./-]+\)", said)


def test_a_terminal_gets_a_drawn_page(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert call("guide", "labels") == 0
    said = capsys.readouterr().out
    assert "\x1b[" in said
    plain = re.sub(r"\x1b\[[\d;]*m", "", said)
    assert "| --- |" not in plain
    assert max(map(len, plain.splitlines())) <= 80


@pytest.mark.parametrize(
    ("topic", "words"),
    [
        ("finite", "did you mean 'finite-data'? The pages are labels, "),
        ("lables", "did you mean 'labels'?"),
        ("zzz", "no page 'zzz'; the pages are labels, "),
        ("../labels", "no page '../labels'"),
    ],
)
def test_an_unknown_topic_is_one_sentence(topic, words, capsys):
    assert call("guide", topic) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1


def test_the_guide_needs_no_jax():
    code = (
        "import sys; from landscape.cli import command\n"
        "assert command.command(['guide', 'labels']) == 0\n"
        "assert 'jax' not in sys.modules, 'jax was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=120)


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.stem)
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text()
    for link in LINK.findall(text):
        assert (page.parent / link).exists(), link
    for path in re.findall(r"\b(?:benchmarks|notebooks|tests|theory)/[\w/-]+\.\w+", text):
        assert (ROOT / path).exists() or (ROOT / "landscape" / path).exists(), path


def test_the_readme_links_every_page_and_has_examples_that_are_run():
    readme = ROOT / "README.md"
    assert {f"landscape/guide/{topic}.md" for topic in guide.TOPICS} <= set(LINK.findall(readme.read_text()))
    assert len([one for one in blocks(readme) if one["out"] is not None]) == 3  # the three doors
