"""Tables in plain text."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def text_table(rows: Sequence[Sequence[str]], left: Collection[str] = ()) -> list[str]:
    """The lines of a table.

    Args:
        rows: Of equal length; the first is the head.
        left: Names in the head of the columns that are flush left; the others are flush right.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    flush = [str.ljust if name in left else str.rjust for name in rows[0]]
    return [
        "  ".join(put(value, width) for put, value, width in zip(flush, row, widths, strict=True)).rstrip()
        for row in rows
    ]
