"""A census, a level, a verdict and a problem show themselves: at a prompt in a few lines, in a notebook as well-formed
HTML that needs nothing from the network. Figures are drawn into the cell."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

import landscape as ls
from landscape.figures.style import Figure, Figures
from landscape.palette import COLOURS
from landscape.problems.empirical import empirical
from landscape.records import Label

VOID = {"img", "br", "meta", "input"}


class Tags(HTMLParser):
    """Opens and closes of tags, which must match, and the text between them."""

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.open, f"{self.open} are not closed"

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def census():
    # Seed 3 of k = n = 8 has both labels in 60 restarts.
    return ls.explore(ls.orthonormal_teacher(8), 60, seed=3, progress=False)


def test_a_census_shows_every_level_in_its_colour(census):
    shown = Tags(census._repr_html_())
    assert len([tag for tag, _ in shown.seen if tag == "tr"]) == 1 + len(census.levels)
    for level in census.levels:
        assert f"{level.share * 100:.1f}%" in shown.text
        assert COLOURS[level.label] in census._repr_html_()


def test_at_a_prompt_everything_is_a_few_lines(census):
    problem = census.plan.problem
    spurious = next(level for level in census.levels if level.label == "spurious")
    verdict = ls.label(problem, census.network(spurious))
    assert repr(census) == str(census)
    assert len(repr(census).splitlines()) < 12 + len(census.levels)
    assert repr(spurious).count("\n") == 0
    assert "spurious (strict)" in repr(spurious)
    assert len(repr(verdict).splitlines()) <= 3
    assert len(repr(problem).splitlines()) == 4
    assert "width 8" in repr(problem)


@pytest.mark.parametrize("name", ["level", "verdict", "problem", "near"])
def test_html_of_the_smaller_records_is_well_formed(census, name):
    problem = census.plan.problem
    thing = {
        "level": census.levels[0],
        "verdict": ls.label(problem, np.eye(8)),
        "problem": problem,
        "near": ls.label(problem, np.eye(8) + 1e-3),  # unconverged, with the point that it leads to
    }[name]
    shown = Tags(thing._repr_html_())
    assert {"level": "global", "verdict": "global", "problem": "teacher 8", "near": "leads"}[name] in shown.text


def test_words_from_outside_are_escaped():
    problem = empirical([[1.0]], [1.0], 1, weight_decay=0.1)
    verdict = ls.Verdict(label=Label.UNDECIDED, reason="a < b & <script>")
    assert "<script>" not in verdict._repr_html_()
    assert "a < b & <script>" in Tags(verdict._repr_html_()).text
    assert Tags(problem._repr_html_()).text


def test_the_best_network_and_one_of_each_level_are_there_in_the_users_structure(census):
    problem = census.plan.problem
    best = census.best()
    assert best.hidden.shape == (8, 8)
    assert ls.label(problem, best).label == "global"
    for number, level in enumerate(census.levels):
        for asked in (number, level):
            verdict = ls.label(problem, census.network(asked))
            assert verdict.label == level.label
            assert verdict.loss == pytest.approx(level.loss, abs=1e-12)  # one point of the level: equal to rounding
    with pytest.raises(ls.InputError, match="level must be from 0 to"):
        census.network(len(census.levels))


def test_a_level_without_weights_has_no_network():
    census = ls.explore(ls.orthonormal_teacher(3), 4, budget=1, progress=False)
    assert census.labels()["unconverged"] == 4
    with pytest.raises(ls.InputError, match="no weights are kept"):
        census.network(0)
    with pytest.raises(ls.InputError, match="no restart of this run ended"):
        census.best()


def test_figures_of_a_census_are_shown_in_the_cell(census):
    figures = census.plot()
    assert isinstance(figures, Figures)
    assert set(figures) == {"loss_levels", "spectra", "descent"}
    shown = Tags(figures._repr_html_())
    images = [attributes for tag, attributes in shown.seen if tag == "img"]
    assert len(images) == 3
    assert all(image["src"].startswith("data:image/png;base64,") and image["alt"] for image in images)
    for figure in figures.values():
        assert isinstance(figure, Figure)
        assert figure._repr_png_().startswith(b"\x89PNG")


def test_without_pandas_one_sentence_says_so_and_with_it_a_row_is_a_restart(census, monkeypatch):
    import sys
    import types

    monkeypatch.setitem(sys.modules, "pandas", None)  # what an import then finds is that there is none
    with pytest.raises(ls.InputError, match=r"^to_pandas needs pandas, which is not installed; pip install pandas\.$"):
        census.to_pandas()
    frame = types.SimpleNamespace(DataFrame=dict)
    monkeypatch.setitem(sys.modules, "pandas", frame)
    assert set(census.to_pandas()) == set(census.rows)
