"""The HTML page of a run: what was run, the table, figures, distinct ends, how to do it again. It fetches nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from landscape import markup
from landscape.census.census import Census
from landscape.census.levels import WITHOUT_END
from landscape.census.printed import HEAD, LEFT, SHOWN_LEVELS, above, below, level_row
from landscape.markup import Html, text
from landscape.palette import COLOURS
from landscape.report.cards import End, cards, ends

STYLE = Path(__file__).parent / "page.css"
# Nothing may be fetched, and nothing is run: images and styles are in the page itself.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Section(NamedTuple):
    """A part of the page.

    Attributes:
        name: In the address of its heading.
        title: Its heading.
        content: Below it.
    """

    name: str
    title: str
    content: Html


Pairs = Sequence[tuple[str, str]]
Drawn = Sequence[tuple[str, bytes]]


def page(result: Any, figures: Drawn, again: Pairs, notes: Sequence[str]) -> str:
    """The page.

    Args:
        result: A census, or another result, which prints itself.
        figures: Names with PNG files.
        again: How to do it again: what each command is for, and the command.
        notes: Versions, devices and the like, in sentences.
    """
    title, sections = _of_census(result) if isinstance(result, Census) else _of_text(result)
    drawn = _figures(figures)
    sections = [sections[0], *([Section("figures", "Figures", drawn)] if drawn else []), *sections[1:]]
    sections.append(Section("again", "How to do it again", _again(again, notes)))
    links = "".join(f'<a href="#{one.name}">{text(one.title)}</a>' for one in sections)
    body = "\n".join(
        f'<section aria-labelledby="{one.name}"><h2 id="{one.name}">{text(one.title)}</h2>\n{one.content}</section>'
        for one in sections
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>\n{STYLE.read_text()}{_filters()}</style></head>\n"
        f'<body><a class="skip" href="#main">To the content</a>\n<header><h1>{text(title)}</h1>\n'
        f'<nav aria-label="Sections">{links}</nav></header>\n<main id="main">{body}</main></body></html>\n'
    )


def _of_census(census: Census) -> tuple[str, list[Section]]:
    title, *run = above(census)
    rows = []
    for level in census.levels:
        loss, _, *others = level_row(level)
        rows.append((loss, markup.labelled(level.label, level.flavour), *others))
    table = _scrolled(rows[:SHOWN_LEVELS])
    if len(rows) > SHOWN_LEVELS:
        rest = _scrolled(rows[SHOWN_LEVELS:])
        table = f"{table}<details><summary>The other {len(rows) - SHOWN_LEVELS} levels</summary>{rest}</details>"
    said = markup.lines([*below(census), *census.said])
    sections = [Section("census", "Census", Html(f"{markup.lines(run)}\n{table}\n{said}"))]
    found, many = ends(census)
    if found:
        sections.append(Section("ends", f"Distinct ends ({many})", _ends(census, found, many)))
    return title, sections


def _scrolled(rows: list[tuple[Any, ...]]) -> str:
    return f'<div class="scroll">{markup.table([HEAD, *rows], LEFT)}</div>'


def _of_text(result: Any) -> tuple[str, list[Section]]:
    study = result.as_dict()["study"]
    return study, [Section("result", "Result", Html(f"<pre>{text(result)}</pre>"))]


def _ends(census: Census, found: list[End], many: int) -> Html:
    said = ["One point of every orbit, or class of points that are not isolated, from the lowest loss."]
    if many > len(found):
        said.append(f"The {len(found)} most frequent of {many} are shown.")
    missing = sum(level.count for level in census.levels if level.label in WITHOUT_END)
    if missing:
        said.append(f"{missing} restarts came to no end and have no card, unless they left for infinity.")
    if census.plan is None:
        said.append("Weights are not drawn: the folder does not hold the problem of this run (--problem FILE.py).")
    else:
        said.append(
            "Heat maps: green is positive, purple negative, white zero, one scale for all. "
            "Spectra: eigenvalues of the Hessian on one axis, linear near zero and logarithmic beyond, the taller the "
            "more of them are equal; magenta is negative."
        )
    labels = [label for label in COLOURS if any(end.row["label"] == label for end in found)]
    boxes = "".join(_box(label, sum(end.row["label"] == label for end in found)) for label in labels)
    return Html(
        f"<p>{text(' '.join(said))}</p>\n"
        f'<fieldset class="filter"><legend class="small">Show</legend>{boxes}</fieldset>\n'
        f'<div class="cards">{cards(found, census.finished)}</div>'
    )


def _box(label: str, count: int) -> str:
    named = markup.labelled(label.replace("_", " "), None, label)
    return f'<label><input type="checkbox" id="show-{label}" checked> {named} ({count})</label>'


def _filters() -> str:
    """A label that is not ticked has no cards: rules of the style sheet, so that no script is needed."""
    return "".join(f"body:has(#show-{label}:not(:checked)) .is-{label} {{ display: none; }}\n" for label in COLOURS)


def _figures(figures: Drawn) -> Html:
    each = []
    for name, png in figures:
        said = text(name.replace("_", " ").replace("-", " "))
        data = base64.b64encode(png).decode()
        each.append(
            f'<figure><img alt="{said}" src="data:image/png;base64,{data}"><figcaption>{said}</figcaption></figure>'
        )
    return Html(f'<div class="figures">{"".join(each)}</div>' if each else "")


def _again(again: Pairs, notes: Sequence[str]) -> Html:
    commands = "\n".join(f"<p>{text(what)}</p>\n<pre>{text(command)}</pre>" for what, command in again)
    return Html(f"{commands}\n{markup.lines(notes)}")
