"""Pages of the guide, which lie beside the code as Markdown: drawn on a terminal, as they are where they are piped."""

from __future__ import annotations

import difflib
import re
import sys
from pathlib import Path

from landscape.cli.arguments import OK, positional
from landscape.records import InputError

FOLDER = Path(__file__).parent.parent / "guide"
# In the order in which a newcomer reads them.
TOPICS = (
    "labels",
    "finite-data",
    "own-loss",
    "teacher-student",
    "splitting",
    "porcupines",
    "growth",
    "spurious-valleys",
    "local-convergence",
    "ways-down",
    "slices",
    "saddles-paths",
    "python",
    "files",
    "devices",
    "benchmarks",
)
WIDEST = 120  # columns of a terminal beyond which lines are hard to follow


def guide(arguments: list[str]) -> int:
    names = positional(arguments, "guide [TOPIC]", at_most=1)
    if not names:
        print(contents(), end="")
        return OK
    text = page(names[0])
    if sys.stdout.isatty():
        _draw(text)
    else:
        print(text, end="")
    return OK


def contents() -> str:
    """The topics, one a line, each with the sentence that its page opens with."""
    wide = max(map(len, TOPICS))
    lines = [f"  {topic:{wide}}  {_opening(topic)}" for topic in TOPICS]
    return "\n".join(["landscape guide TOPIC prints one of these pages:", "", *lines]) + "\n"


def page(topic: str) -> str:
    """The Markdown of a page for a terminal: figures are named by their place, pages by the command that prints them.

    Raises:
        InputError: There is no page of this name.
    """
    if topic not in TOPICS:
        near = difflib.get_close_matches(topic, TOPICS, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}? The pages are" if near else "the pages are"
        raise InputError(f"the guide has no page {topic!r}; {meant} {', '.join(TOPICS)}.")
    text = (FOLDER / f"{topic}.md").read_text(encoding="utf-8")
    text = re.sub(r"<!--.*?-->\n", "", text, flags=re.S)
    text = re.sub(r"(?<!!)\[[^\]]*\]\(([a-z-]+)\.md\)", r"`landscape guide \1`", text)
    return re.sub(r"!\[([^\]]*)\]\((?:\.\./)*([^)]*)\)", r"Figure: \1 (`\2` of the repository).", text)


def _opening(topic: str) -> str:
    """The sentence below a page's title."""
    return (FOLDER / f"{topic}.md").read_text(encoding="utf-8").split("\n")[2]


def _draw(text: str) -> None:
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console()
    console.print(Markdown(text, hyperlinks=False), width=min(console.width, WIDEST))
