"""Runs the README and the guide: their shell and Python blocks in order, and compares what they print with the text.

A block is run if it is fenced as sh or python and no `<!-- not run -->` stands above it; a text block right after one
is its expected output. Each page has a folder of its own. Numbers of seconds differ from run to run, and gradient norms
from machine to machine: both are left out of the comparison.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(
    r"(?P<skip><!-- not run[^>]*-->\n)?```(?P<kind>sh|python)\n(?P<code>.*?)```\n(?:\n```text\n(?P<out>.*?)```\n)?",
    re.S,
)


def pages() -> list[Path]:
    """The README, then every page of the guide."""
    return [ROOT / "README.md", *sorted((ROOT / "landscape" / "guide").glob("*.md"))]


def blocks(page: Path) -> list[dict[str, str | None]]:
    """The runnable blocks of a page."""
    return [m.groupdict() for m in BLOCK.finditer(page.read_text()) if not m["skip"]]


def _comparable(text: str) -> list[str]:
    lines = (line.rstrip() for line in text.strip().splitlines())
    lines = (re.sub(r"[\d.]+e-\d+", "tiny", line) for line in lines if " s, " not in line and "stored in" not in line)
    return [re.sub(r" +", " ", line) for line in lines]


def run(page: Path, folder: Path) -> None:
    """Runs every block of a page in the folder; exits with 1 at the first difference."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, block in enumerate(blocks(page)):
        name = f"{page.name} block {i}"
        command = (
            ["bash", "-e", "-c", block["code"]] if block["kind"] == "sh" else [sys.executable, "-c", block["code"]]
        )
        begun = time.monotonic()
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            sys.exit(f"{name} failed with status {done.returncode}:\n{block['code']}\n{done.stderr}")
        if block["out"] is not None and _comparable(done.stdout) != _comparable(block["out"]):
            sys.exit(f"{name} printed something else:\n{done.stdout}\nand the page says:\n{block['out']}")
        told = "runs" if block["out"] is None else "runs, prints what it says"
        print(f"{name} ({block['kind']}): {told}, {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    # Two pages at a time: a block is mostly a process that starts and compiles, on one core.
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda page: run(page, Path(sys.argv[1]) / page.stem), pages()))
