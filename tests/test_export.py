"""A run as one file: the same restarts in every format, nothing overwritten, rows that say of which cell they are."""

from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from reference import call, check_refused

import landscape as ls
from landscape.studies.sweep import Sweep


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export") / "run"
    return folder, ls.explore(ls.orthonormal_teacher(2), 8, seed=0, out=folder, progress=False, budget=3000)


def same(column, given):
    """One column, whatever a format has for a number that is none and for no word."""
    for one, other in zip(column.tolist(), given, strict=True):
        none = one is None or (isinstance(one, float) and np.isnan(one))
        assert (other in (None, "") or other != other) if none else other == one


def test_every_format_holds_the_same_restarts(run, capsys):
    folder, census = run
    for kind in ("csv", "json", "parquet"):
        assert call("export", folder, "--format", kind) == 0
        assert capsys.readouterr().out == f"{folder / f'restarts.{kind}'}\n"
    with (folder / "restarts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    whole = json.loads((folder / "restarts.json").read_text())
    table = pq.read_table(folder / "restarts.parquet")
    assert set(rows[0]) == set(whole["rows"][0]) == set(table.column_names) == set(census.rows)
    for name, column in census.rows.items():
        kind = float if column.dtype.kind == "f" else int if column.dtype.kind == "i" else str
        same(column, [kind(row[name]) for row in rows])
        same(column, [row[name] for row in whole["rows"]])
        same(column, table[name].to_pylist())
    said = json.loads(json.dumps(ls.load(folder).as_dict()))
    assert whole["labels"] == said["labels"]
    assert json.loads(table.schema.metadata[b"landscape"])["levels"] == said["levels"]


def test_nothing_is_overwritten_and_bad_input_is_one_sentence(run, tmp_path, capsys):
    folder, census = run
    path = ls.export(census, tmp_path / "run.csv")
    before = path.read_bytes()
    check_refused(capsys, "is there already", "export", folder, "--out", path)
    assert path.read_bytes() == before
    check_refused(capsys, "format 'xlsx' is unknown", "export", folder, "--format", "xlsx")
    check_refused(capsys, "format 'txt' is unknown", "export", folder, "--out", tmp_path / "a.txt")
    check_refused(capsys, "cannot write", "export", folder, "--out", tmp_path / "no" / "a.csv")
    check_refused(capsys, "usage: landscape export", "export")
    with pytest.raises(ls.InputError, match="no restarts to export"):
        ls.export(3, tmp_path / "three.csv")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["run.csv"]


def test_a_table_says_of_which_cell_a_row_is(tmp_path):
    fixed = json.dumps({"teacher": "2", "budget": 3000, "restarts": 4})
    table = Sweep("teacher-student", fixed, json.dumps({"seed": [0, 1], "init": ["xavier"]})).run(None, False)
    found = json.loads(ls.export(table, tmp_path / "table.json").read_text())["rows"]
    assert [(row["cell"], row["seed"], row["init"], row["restart"]) for row in found] == [
        (cell, cell, "xavier", restart) for cell in range(2) for restart in range(4)
    ]
    losses = np.concatenate([census.rows["loss"] for census in table.censuses])
    np.testing.assert_array_equal([row["loss"] for row in found], losses)
    with pytest.raises(ls.InputError, match="folder of a cell"):
        ls.export(table, tmp_path / "table.nc")


def test_a_dataset_of_xarray_holds_restarts_levels_and_ends(run, tmp_path):
    folder, census = run
    xarray = pytest.importorskip("xarray")
    ends = ls.load(folder)
    path = ls.export(ends, tmp_path / "run.nc")
    for found in (ends.to_xarray(), xarray.open_dataset(path, engine="scipy")):
        np.testing.assert_array_equal(found["loss"], census.rows["loss"])
        assert [str(one) for one in found["label"].values] == census.rows["label"].tolist()
        np.testing.assert_array_equal(found["level_count"], [level.count for level in census.levels])
        first = int(found["kept"][0])
        np.testing.assert_array_equal(found["theta"].sel(kept=first), ends.weights[first])
        assert json.loads(found.attrs["problem"]) == json.loads(json.dumps(census.problem))


def test_without_xarray_it_says_so(run, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(ls.InputError, match=r"^to_xarray needs xarray, which is not installed; pip install xarray\.$"):
        run[1].to_xarray()
