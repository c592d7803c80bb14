"""Models of Equinox, Flax and PyTorch as own losses, as the guide states them; each where its package is installed."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from readme_examples import ROOT

PAGE = (ROOT / "landscape" / "guide" / "own-loss.md").read_text()


@pytest.mark.parametrize("package", ["equinox", "flax", "torch"])
def test_the_guides_example_of_a_framework_runs(package):
    pytest.importorskip(package)
    (code,) = [
        one
        for one in re.findall(r"```python\n(.*?)```", PAGE, re.S)
        if re.search(rf"^import .*\b{package}\b", one, re.M)
    ]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^\d+ parameters, (unconverged|global|spurious|saddle|undecided)$", done.stdout, re.M)


def test_the_guide_has_an_example_of_each_framework():
    assert all(re.search(rf"^import .*\b{one}\b", PAGE, re.M) for one in ("equinox", "flax", "torch"))
