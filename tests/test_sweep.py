"""A TOML study with lists is a grid: one folder, one table, cells like single runs; two runs beside each other."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from reference import call, check_refused

import landscape as ls
from landscape.cli.arguments import parse_run
from landscape.host import progress
from landscape.studies import STUDIES
from landscape.studies.sweep import Sweep

GRID = 'study = "teacher-student"\nteacher = 2\nrestarts = [6, 8]\nseed = [0, 1]\nbudget = 3000\n'


def toml(folder, text):
    path = folder / "grid.toml"
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """A grid that was run: only numbers of restarts and seeds, so that one program is compiled."""
    folder = tmp_path_factory.mktemp("sweep")
    assert call("run", toml(folder, GRID), "--out", folder / "run", "--quiet") == 0
    return folder / "run"


def test_every_cell_is_the_single_run_of_its_fields(grid, capsys):
    assert call("show", grid, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["study"], found["restarts"]) == ("sweep", 28)
    cells = found["findings"]["cells"]
    assert [cell["fields"] for cell in cells] == [{"restarts": r, "seed": s} for r in (6, 8) for s in (0, 1)]
    for cell in cells:
        single = STUDIES["teacher-student"](teacher="2", budget=3000, **cell["fields"]).run(None, False)
        assert cell["labels"] == single.labels()
        # Zeros of the loss to rounding, which differs with the points that are polished together.
        assert cell["best_seen"] == pytest.approx(single.best_seen, abs=1e-14)
        assert cell["finished"] == cell["restarts"] == cell["fields"]["restarts"]
    assert sum(found["labels"].values()) == 28
    table = str(ls.load(grid))
    assert table.startswith("teacher-student, 4 of 4 cells")
    assert len([line for line in table.splitlines() if line.split()[:2] in (["6", "0"], ["6", "1"], ["8", "0"])]) == 3


def test_a_grid_goes_on_where_it_stopped_and_shows_what_is_there(grid, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(grid, folder)
    whole = ls.load(folder).cell_dicts()
    for left in sorted(folder.glob("[23]-*")):
        shutil.rmtree(left)
    shard = next(folder.glob("1-*/shards/*.parquet"))
    shard.unlink()  # a cell that was begun
    assert "sweep: 6 of 28 restarts" in str(ls.load(folder))
    assert call("resume", folder, "--quiet") == 0
    assert "sweep: 28 of 28 restarts" in capsys.readouterr().out
    again = ls.load(folder).cell_dicts()
    for one, other in zip(whole, again, strict=True):
        for name in ("fields", "finished", "labels", "levels"):
            assert one[name] == other[name]
        # Zeros of the loss to rounding, which differs with the points that are polished together.
        assert other["best_seen"] == pytest.approx(one["best_seen"], abs=1e-14)
    assert call("plot", folder) == 0
    assert (folder / "figures" / "shares.png").stat().st_size > 5000
    assert call("report", folder, "--out", tmp_path / "report.html") == 0
    command = next(
        line for line in (tmp_path / "report.html").read_text().splitlines() if "landscape run sweep" in line
    )
    assert "--over" in command


def test_the_folder_of_another_cell_is_refused(grid, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(grid, folder)
    one, other = sorted(folder.glob("[01]-*"))
    one.rename(tmp_path / "held")
    other.rename(one)
    (tmp_path / "held").rename(other)
    check_refused(capsys, "holds another run than this cell's", "resume", folder)


@pytest.mark.parametrize(
    ("text", "options", "axes"),
    [
        (GRID, [], {"restarts": [6, 8], "seed": [0, 1]}),
        (GRID, ["--seed", "5"], {"restarts": [6, 8]}),
        (GRID, ["--seed=0"], {"restarts": [6, 8]}),  # also where it is the list's first value
        ('study = "safran-shamir"\ninit-scale = [0.5, 1.0]\n', [], {"init-scale": [0.5, 1.0]}),
        ('study = "teacher-student"\nactivation = ["relu", "abs"]\n', [], {"activation": ["relu", "abs"]}),
        ('study = "teacher-student"\nteacher = ["3", "4"]\n', [], {"teacher": ["3", "4"]}),
    ],
)
def test_lists_are_axes_and_options_override_them(text, options, axes, tmp_path):
    study, _ = parse_run([str(toml(tmp_path, text)), *options])
    assert isinstance(study, Sweep)
    assert study.axes == {name.replace("-", "_"): values for name, values in axes.items()}
    cells = study.cells().values()
    assert len(cells) == np.prod([len(values) for values in axes.values()])
    if "--seed" in options:
        assert {cell.seed for cell in cells} == {5}
    assert STUDIES["sweep"].of({"fields": study.fields()}) == study


@pytest.mark.parametrize(
    "text",
    [
        'study = "teacher-student"\nteacher = [[1.0, 0.0], [0.0, 1.0]]\nouter = [1, 2]\n',  # a matrix and a vector
        'study = "safran-shamir-table"\nteachers = [2, 3]\n',  # a field that has several values
    ],
)
def test_a_list_that_is_a_value_is_no_axis(text, tmp_path):
    study, _ = parse_run([str(toml(tmp_path, text))])
    assert not isinstance(study, Sweep)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('study = "teacher-student"\nwidht = [3, 4]\n', "did you mean 'width'"),
        pytest.param(
            'study = "teacher-student"\nwidth = [3, "4"]\n',
            "field 'width' of teacher-student must be of type int",
            marks=pytest.mark.wrong_types,
        ),
        ('study = "teacher-student"\nwidth = [3, 3]\n', "has width 3 twice"),
        ('study = "teacher-student"\nwidth = []\n', "must be of type int"),
        ('study = "teacher-student"\nwidth = [3, 0]\n', "width must be"),
        ('study = "safran-shamir-table"\nseed = [0, 1]\n', "is over a study that is one run"),
        ('study = "grow-until-global"\nseed = [0, 1]\n', "is over a study that is one run"),
        (f'study = "teacher-student"\nseed = {list(range(1001))}\n', "1001 cells"),
    ],
)
def test_a_bad_grid_is_one_sentence_and_makes_nothing(text, words, tmp_path, capsys):
    check_refused(capsys, words, "run", toml(tmp_path, text), "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_bad_sweep_from_options_is_one_sentence(capsys):
    check_refused(capsys, "over is not JSON", "run", "sweep", "--over", "{")
    check_refused(capsys, "JSON object", "run", "sweep", "--over", "[1]")
    check_refused(capsys, "at least one value", "run", "sweep", "--over", "{}")
    check_refused(capsys, "both fixed and swept", "run", "sweep", "--over", '{"restarts": [1]}')
    check_refused(capsys, "unknown", "run", "sweep", "--base", "no-such")


def test_runs_beside_each_other(grid, capsys):
    first, second, third = (str(path) for path in sorted(grid.glob("[012]-*")))
    assert call("show", first, second, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said == json.loads(json.dumps(ls.compare(ls.load(first), ls.load(second)).as_dict()))
    assert said["differences"]["seed"] == {"a": 0, "b": 1}
    assert call("show", first, second, third) == 0
    text = capsys.readouterr().out
    assert text.count("a - b [95%]") == 2
    assert f"a is {first}, b is {third}" in text
    check_refused(capsys, "holds no census to compare", "show", first, grid)
    check_refused(capsys, "usage: landscape show", "show")


def test_runs_of_a_table_share_one_view(capsys):
    with progress.bars(True, 2):
        for name in ("one", "two"):
            with progress.bar(None, name) as hear:
                assert hear is None  # nobody looks at a pipe, unless asked for
            with progress.bar(True, name) as hear:
                hear(progress.Progress(1, 2, {"global": 1}, 1.0))
        live, whole = progress._VIEW.get()
        assert live.tasks[whole].completed == 2
        assert len(live.tasks) == 1
    assert progress._VIEW.get() is None
