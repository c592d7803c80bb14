"""Benchmarks write new files: a committed result is replaced only where --out names it."""

from __future__ import annotations

import ast
import sys

import pytest
from readme_examples import ROOT

BENCHMARKS = ROOT / "benchmarks"


def test_a_result_that_is_there_is_not_named_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from new_file import new_file

    for name in ("a-cpu.json", "a-cpu-2.json", "a-cpu-3.json"):
        assert new_file("a-cpu.json", tmp_path) == tmp_path / name
        (tmp_path / name).touch()
    sys.modules.pop("new_file")


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_no_benchmark_names_a_file_of_results_itself(path):
    written = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
    assert path.stem == "new_file" or "results" not in written
    if any("default: a new file" in word for word in written if isinstance(word, str)):
        assert "new_file(" in path.read_text()
