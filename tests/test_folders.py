"""A run folder is one thing, whoever made it: the command line and Python read it, draw it and go on with it alike."""

from __future__ import annotations

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from reference import call
from test_cli import refused
from test_explore import agree

import landscape as ls
from landscape.studies import STUDIES

SNIPPET = """
import jax
import landscape as ls

def loss(params):
    return (params["a"] * params["b"] - 1.0) ** 2 + {weight} * (params["a"] - params["b"]) ** 2

def init(key):
    a, b = jax.random.normal(key, (2,))
    return {{"a": a, "b": b}}

problem = ls.from_loss(loss, init, lower_bound=0.0)
number = 3
"""


def loss(params):
    return (params["a"] * params["b"] - 1.0) ** 2 + 0.1 * (params["a"] - params["b"]) ** 2


def init(key):
    a, b = jax.random.normal(key, (2,))
    return {"a": a, "b": b}


def own():
    return ls.from_loss(loss, init, lower_bound=0.0)


def lose_shards(folder):
    """As if the run had been killed before its first shard."""
    found = list(folder.rglob("*.parquet"))
    assert found
    for shard in found:
        shard.unlink()


@pytest.fixture(scope="module")
def own_run(tmp_path_factory):
    """A folder of an own loss, the snippet that makes this loss, and one of another loss."""
    base = tmp_path_factory.mktemp("own")
    census = ls.explore(own(), restarts=16, out=base / "run", progress=False)
    for name, weight in (("same", 0.1), ("other", 0.2)):
        (base / f"{name}.py").write_text(SNIPPET.format(weight=weight))
    return base, census


# -- any folder, from either side --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["safran-shamir", "--teacher", "2", "--restarts", "6"], "6 of 6 restarts"),
        (["safran-shamir-table", "--teachers", "2", "3", "--extra", "0", "--restarts", "4"], "8 of 8 restarts"),
        (["zero-subnetwork", "--rows", "4", "--widths", "1", "--restarts", "4"], "zero"),
    ],
)
def test_python_reads_every_folder_of_the_command_line(options, words, tmp_path, capsys):
    assert call("run", *options, "--quiet", "--out", tmp_path / "run") == 0
    capsys.readouterr()
    assert call("show", tmp_path / "run") == 0
    shown = capsys.readouterr().out
    assert words in shown
    assert f"{ls.load(tmp_path / 'run')}\n" == shown


def test_what_python_began_the_command_line_ends_and_the_other_way_round(tmp_path, capsys):
    problem = ls.orthonormal_teacher(4)
    whole = ls.explore(problem, 12, out=tmp_path / "python", progress=False)
    lose_shards(tmp_path / "python")
    assert call("resume", tmp_path / "python", "--quiet") == 0
    agree(ls.load(tmp_path / "python"), whole)

    assert call("run", "safran-shamir", "--teacher", 4, "--restarts", 12, "--quiet", "--out", tmp_path / "command") == 0
    lose_shards(tmp_path / "command")
    again = ls.explore(problem, 12, out=tmp_path / "command", progress=False)
    assert "0 of 12 restarts done; it goes on" in capsys.readouterr().err
    agree(again, whole)
    lose_shards(tmp_path / "command")
    agree(ls.resume(tmp_path / "command", progress=False), whole)
    with pytest.raises(ls.InputError, match=r"holds another run: its settings \(step_size\) differs"):
        ls.explore(problem, 12, step_size=0.05, out=tmp_path / "command", progress=False)
    with pytest.raises(ls.InputError, match="holds another run"):
        ls.explore(problem, starts=np.ones((12, 16)), out=tmp_path / "command", progress=False)


def test_a_study_that_is_no_census_is_not_gone_on_with_as_one(tmp_path):
    options = ["zero-subnetwork", "--rows", "4", "--widths", "1", "--restarts", "4"]
    assert call("run", *options, "--quiet", "--out", tmp_path / "run") == 0
    problem = STUDIES["zero-subnetwork"](rows=4, widths=(1,), restarts=4).plan().problem
    with pytest.raises(ls.InputError, match="holds another run: its study differs"):
        ls.explore(problem, 4, out=tmp_path / "run", progress=False)


def test_running_a_command_twice_shows_the_run_that_is_there(tmp_path, capsys):
    command = ["run", "safran-shamir", "--teacher", 2, "--restarts", 6, "--quiet", "--out", tmp_path / "run", "--json"]
    assert call(*command) == 0
    first = json.loads(capsys.readouterr().out)
    assert call(*command) == 0
    out, err = capsys.readouterr()
    assert err == f"landscape: {tmp_path / 'run'} holds this run already; what is done is not done again.\n"
    assert json.loads(out)["levels"] == first["levels"]
    assert "holds another run" in refused(capsys, *command[:-1], "--seed", 1)


# -- own data ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more",
    [{}, {"bias": "regularised", "outer_bias": "free"}, {"activation": "leaky_relu", "slope": 0.2}],
    ids=["plain", "biases", "leaky"],
)
def test_a_run_on_own_data_is_one_of_the_study_on_data(more, tmp_path, capsys):
    rng = np.random.default_rng(0)
    problem = ls.empirical(rng.normal(size=(6, 2)), rng.normal(size=6), 2, weight_decay=0.1, **more)
    whole = ls.explore(problem, 6, budget=2000, out=tmp_path / "run", progress=False)
    lose_shards(tmp_path / "run")
    assert call("resume", tmp_path / "run", "--json", "--quiet") == 0
    resumed = json.loads(capsys.readouterr().out)
    assert resumed["labels"] == whole.labels()
    assert [one["loss"] for one in resumed["levels"]] == pytest.approx([one.loss for one in whole.levels], rel=1e-12)
    assert call("plot", tmp_path / "run") == 0
    assert (tmp_path / "run" / "figures" / "ends.png").exists()
    loaded = ls.load(tmp_path / "run", problem)
    assert loaded.plan.problem.fingerprint() == problem.fingerprint()
    with pytest.raises(ls.InputError, match="holds another run"):
        ls.load(tmp_path / "run", problem.of_width(3))


# -- own losses --------------------------------------------------------------------------------------------------------


def test_a_snippet_that_is_run_twice_says_that_all_is_done(own_run, capsys):
    base, census = own_run
    again = ls.explore(own(), restarts=16, out=base / "run", progress=False)
    assert capsys.readouterr().err == f"landscape: {base / 'run'} holds this run, done already.\n"
    agree(again, census)


def test_a_folder_of_an_own_loss_is_shown_and_drawn_as_far_as_it_goes_without_the_loss(own_run, capsys):
    base, census = own_run
    loaded = ls.load(base / "run")
    assert loaded.labels() == census.labels()
    with pytest.raises(ls.InputError, match=r"does not hold the loss; give it: landscape\.load"):
        loaded.network(0)
    assert set(loaded.plot()) == {"loss_levels"}
    assert call("plot", base / "run") == 0
    out, err = capsys.readouterr()
    assert out.split() == [str(base / "run" / "figures" / "loss_levels.png")]
    assert "--problem FILE.py" in err
    sentence = refused(capsys, "resume", base / "run")
    assert "made from Python" in sentence
    assert "--problem FILE.py" in sentence


def test_with_the_loss_brought_again_everything_works(own_run, tmp_path, capsys):
    base, census = own_run
    folder = tmp_path / "run"
    shutil.copytree(base / "run", folder)
    loaded = ls.load(folder, own())
    for name, value in census.best().items():
        assert loaded.best()[name] == value
    assert set(loaded.plot()) == {"loss_levels", "spectra", "descent"}
    assert call("show", folder, "--problem", base / "same.py", "--json") == 0
    assert json.loads(capsys.readouterr().out)["labels"] == census.labels()
    assert call("plot", folder, "--problem", f"{base / 'same.py'}:problem") == 0
    assert len(capsys.readouterr().out.split()) == 3
    lose_shards(folder)
    assert call("resume", folder, "--problem", base / "same.py", "--json", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["labels"] == census.labels()
    lose_shards(folder)
    again = ls.resume(folder, own(), progress=False)
    assert again.rows["label"].tolist() == census.rows["label"].tolist()
    # Gradient norms are 1e-12 at most and curvatures of order one: losses of polished points are 1e-24 at most.
    assert np.max(np.abs(again.rows["loss"] - census.rows["loss"])) < 1e-23


def test_another_loss_is_refused(own_run, capsys):
    base, _ = own_run
    for command in ("show", "resume", "plot"):
        assert "holds another run" in refused(capsys, command, base / "run", "--problem", base / "other.py")
    with pytest.raises(ls.InputError, match="holds another run: its fingerprint differs"):
        ls.load(base / "run", ls.from_loss(lambda p: 2.0 * loss(p), init, lower_bound=0.0))
    with pytest.raises(ls.InputError, match="give it: landscape"):
        ls.resume(base / "run")


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("missing.py", "is no file"),
        ("same.py:nothing", "has no 'nothing'"),
        ("same.py:number", "is no problem: 'number'"),
        ("raises.py", "raised ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_brings_no_problem_is_one_sentence(file, words, own_run, capsys):
    base, _ = own_run
    (base / "raises.py").write_text("1 / 0")
    assert call("show", base / "run", "--problem", base / file) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err.splitlines()[-1]


def test_a_run_with_an_optax_optimiser_or_given_starts_asks_for_them_again(tmp_path):
    problem, how = own(), dict(progress=False, budget=4000)
    optimised = ls.explore(problem, 4, optimiser=optax.sgd(0.05), out=tmp_path / "optax", **how)
    with pytest.raises(ls.InputError, match="give it as optimiser="):
        ls.load(tmp_path / "optax", problem)
    agree(ls.load(tmp_path / "optax", problem, optimiser=optax.sgd(0.05)), optimised)
    with pytest.raises(ls.InputError, match=r"its settings \(optimiser\) differs"):
        ls.load(tmp_path / "optax", problem, optimiser=optax.sgd(0.1))
    starts = np.array([[1.0, 0.5], [0.3, 2.0]])
    given = ls.explore(problem, starts=starts, out=tmp_path / "starts", **how)
    with pytest.raises(ls.InputError, match="give them as starts="):
        ls.load(tmp_path / "starts", problem)
    agree(ls.load(tmp_path / "starts", problem, starts=starts), given)


# -- digits ------------------------------------------------------------------------------------------------------------


def test_weights_keep_float64_on_their_way_to_the_user_and_back(own_run):
    _, census = own_run
    problem = own()
    point = np.array([1.0 + 1e-12, 1.0 - 3e-13])  # float32 would hold neither
    params = problem.read(point)
    np.testing.assert_array_equal(problem.write(params), point)
    # An operation of the user's own, with JAX's 64 bits off, must not round them.
    with jax.enable_x64(False):
        np.testing.assert_array_equal(problem.write(jax.tree.map(lambda leaf: leaf * 1.0, params)), point)
    assert ls.label(problem, census.best()).label == "global"


def test_a_point_of_a_smooth_loss_comes_back_as_stationary_as_it_went():
    def valley(params):
        x, y = params["x"], params["y"]
        return jnp.sum((jnp.sin(3.0 * x) - 0.3) ** 2) + (y - jnp.sum(x)) ** 2

    problem = ls.from_loss(valley, lambda key: {"x": jax.random.normal(key, (3,)), "y": jnp.zeros(())}, lower_bound=0.0)
    census = ls.explore(problem, 6, progress=False)
    assert census.labels()["unconverged"] == 0
    for level in census.levels:
        if level.label not in ("at_infinity",):
            assert ls.label(problem, census.network(level)).label == level.label
