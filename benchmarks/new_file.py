"""Where a benchmark writes: a new file, so that a result that is committed is replaced only by who says so."""

from __future__ import annotations

import itertools
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


def new_file(name: str, folder: Path = RESULTS) -> Path:
    """The file of this name in a folder, or where it is there the first of name-2, name-3, ... that is not."""
    first = folder / name
    names = itertools.chain([first], (first.with_stem(f"{first.stem}-{i}") for i in itertools.count(2)))
    return next(path for path in names if not path.exists())
