"""Pieces of HTML for notebooks and the report: text, labels in their colours, tables."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from typing import Any

from landscape.palette import COLOURS

LEFT, RIGHT = "left", "right"


class Html(str):
    """Text that is HTML already, and is not escaped again."""

    __slots__ = ()


def text(value: Any) -> Html:
    """The value as HTML shows it, its special characters escaped unless it is `Html`."""
    return value if isinstance(value, Html) else Html(escape(str(value)))


def dot(label: str) -> Html:
    """A disc in the colour of a label."""
    colour = COLOURS.get(label, COLOURS["undecided"])
    round_ = "display:inline-block;width:0.7em;height:0.7em;border-radius:50%"
    return Html(f'<span aria-hidden="true" style="{round_};background:{colour}"></span>')


def labelled(said: str, flavour: str | None = None, label: str | None = None) -> Html:
    """A label behind a disc in its colour, its flavour in brackets.

    Args:
        said: The label, or words for it.
        flavour: Its refinement.
        label: The label itself, where `said` are words for it.
    """
    whole = f"{said} ({flavour})" if flavour else said
    return Html(f"{dot(said if label is None else label)}&nbsp;{text(whole)}")


def table(rows: Sequence[Sequence[Any]], left: Collection[str] = ()) -> Html:
    """A table.

    Args:
        rows: Of equal length; the first is the head.
        left: Names in the head of the columns that are flush left; the others are flush right.
    """
    flush = [LEFT if name in left else RIGHT for name in rows[0]]
    head = _cells("th", rows[0], flush, ' scope="col"')
    body = "\n".join(f"<tr>{_cells('td', row, flush)}</tr>" for row in rows[1:])
    return Html(f"<table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table>")


def _cells(tag: str, values: Sequence[Any], flush: Sequence[str], more: str = "") -> str:
    pairs = zip(values, flush, strict=True)
    return "".join(f'<{tag}{more} style="text-align:{side}">{text(one)}</{tag}>' for one, side in pairs)


def lines(said: Sequence[Any]) -> Html:
    """Lines of text below each other."""
    return Html("<div>" + "<br>\n".join(text(line) for line in said) + "</div>")


def facts(pairs: Sequence[tuple[str, Any]]) -> Html:
    """Names with their values, a row each."""
    heads = [_cells("th", [name], [LEFT], ' scope="row"') for name, _ in pairs]
    cells = [_cells("td", [value], [LEFT]) for _, value in pairs]
    body = "\n".join(f"<tr>{head}{cell}</tr>" for head, cell in zip(heads, cells, strict=True))
    return Html(f"<table><tbody>\n{body}\n</tbody></table>")
