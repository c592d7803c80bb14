"""Looks along descents are what one would see by standing beside them, and change nothing that a run finds."""

from __future__ import annotations

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from reference import call
from same import same
from slow import long

import landscape as ls
from landscape import descent
from landscape.engine import lanes
from landscape.engine.looks import Looks, Watch, log_spaced
from landscape.host import look_store, store
from landscape.host.load import load
from landscape.host.trace import stored_trace
from landscape.precision import float64
from landscape.trajectory import sample_curves

SETTINGS = dict(progress=False, retire=1e-7, lanes=8)


def _mass(theta):
    return jnp.sum(theta * theta)


def _followed(problem, method, theta, at):
    """Loss, gradient norm and coordinates after so many gradients of one descent, one gradient at a time."""
    with float64():
        lane = descent.init(problem, method, jnp.asarray(theta), jnp.ones(()))
        one = jax.jit(lambda lane, number: descent.advance(problem, method, lane, 1, number))
        seen = []
        for step in range(1, max(at) + 1):
            lane = one(lane, (step - 1) % method.chunk)
            if step in at:
                seen.append((float(lane.time), float(lane.loss), float(lane.grad_norm), np.array(lane.theta)))
    return seen


# 2 neurons stand on the last axis of a block, 8 on rows.
@pytest.mark.parametrize(
    ("optimiser", "k"),
    [("flow", 8), long("lbfgs", 8), long("flow", 2), long("lbfgs", 2), long("gradient-descent", 8), long("adam", 2)],
)
def test_a_look_is_what_one_descent_shows_after_so_many_gradients(optimiser, k):
    problem = ls.orthonormal_teacher(k)
    at = (0, 1, 2, 7, 30, 119, 120, 121, 200)
    looked = ls.trace(
        problem, 6, 3, looks=at, optimiser=optimiser, observables={"mass": _mass}, theta=True,
        progress=False, lanes=4, retire=1e-9,
    )  # fmt: skip
    settings = looked.census.plan.settings
    for i in (0, 5):
        start = ls.start_points(problem, 3, np.array([i]))[0]
        np.testing.assert_array_equal(looked.theta[i, 0], start)
        assert looked.loss[i, 0] == pytest.approx(float(jax.jit(problem.loss)(start)), rel=1e-13)
        slope = float(np.linalg.norm(jax.jit(problem.gradient)(start)))
        assert looked.grad_norm[i, 0] == pytest.approx(slope, rel=1e-12)
        assert np.isfinite(looked.loss[i, :5]).all()
        for j, (time, loss, grad_norm, theta) in enumerate(_followed(problem, settings.method(1.0), start, at), 1):
            if np.isnan(looked.loss[i, j]):  # L-BFGS has come to its end
                continue
            # Programs that stop at other places round differently; 200 steps let 1e-16 grow to some 1e-10.
            np.testing.assert_allclose(looked.theta[i, j], theta, rtol=0, atol=1e-8)
            np.testing.assert_allclose(looked.loss[i, j], loss, rtol=1e-6, atol=1e-12)
            np.testing.assert_allclose(looked.grad_norm[i, j], grad_norm, rtol=1e-5, atol=1e-9)
            np.testing.assert_allclose(looked.time[i, j], time, rtol=1e-6)
    np.testing.assert_allclose(looked.observed["mass"], np.sum(looked.theta**2, axis=2), rtol=1e-13)


def test_looks_change_nothing_that_a_run_finds():
    problem = ls.orthonormal_teacher(6)
    plain = ls.explore(problem, 40, 1, progress=False)
    looked = ls.trace(problem, 40, 1, looks=50, progress=False)
    assert looked.census.labels() == plain.labels()
    np.testing.assert_allclose(looked.census.rows["loss"], plain.rows["loss"], atol=1e-13)
    assert np.abs(looked.census.rows["steps"] - plain.rows["steps"]).max() <= 120


@pytest.mark.long
def test_lanes_that_come_later_are_looked_at_by_their_own_clocks():
    problem = ls.orthonormal_teacher(3)
    many = ls.trace(problem, 30, 0, looks=40, **SETTINGS)
    few = ls.trace(problem, 30, 0, looks=40, **(SETTINGS | {"lanes": 30}))
    np.testing.assert_allclose(many.loss, few.loss, rtol=1e-9, atol=1e-14)
    # A descent is looked at from its start until it ends, without a gap.
    seen = np.isfinite(many.loss)
    assert seen[:, 0].all()
    assert np.all(seen[:, :-1] >= seen[:, 1:])
    ends = many.census.rows["steps"][np.argsort(many.census.rows["restart"])]
    assert [many.steps[row].max() for row in seen] == [many.steps[many.steps <= end].max() for end in ends]


def test_the_time_of_plain_descent_is_that_of_its_steps_and_a_descent_begun_again_is_seen_from_its_start():
    steep = ls.from_loss(lambda x: 30.0 * jnp.sum(x * x), lambda key: jnp.ones(2), 0.0)
    looked = ls.trace(steep, 2, 0, looks=(0, 1, 10, 100), progress=False, step_size=0.1)
    scale = looked.census.rows["step_scale"][0]
    assert scale < 1  # a step of 0.1 diverges at a curvature of 60
    np.testing.assert_allclose(looked.time[0], 0.1 * scale * np.array([0, 1, 10, 100]), rtol=1e-12)
    factor = 1 - 0.1 * scale * 60.0
    np.testing.assert_allclose(looked.loss[0], 60.0 * factor ** (2.0 * np.array([0, 1, 10, 100])), rtol=1e-9)


@pytest.mark.slow
def test_descents_of_one_length_show_the_same():
    problem = ls.orthonormal_teacher(4)
    curves = sample_curves(problem, ls.Settings(), 0, 5, steps=240)
    looked = ls.trace(problem, 5, 0, looks=tuple(int(s) for s in curves.steps), progress=False)
    np.testing.assert_allclose(looked.loss.T, curves.loss, rtol=1e-9, atol=1e-14)


# -- run folders -------------------------------------------------------------------------------------------------------


def test_looks_are_kept_and_a_run_that_was_cut_short_has_the_same_when_it_goes_on(tmp_path):
    problem = ls.orthonormal_teacher(3)
    given = dict(looks=30, observables={"mass": _mass}, theta=True, **SETTINGS)
    whole = ls.trace(problem, 20, 0, **given)
    kept = ls.trace(problem, 20, 0, out=tmp_path / "run", **given)
    for name in ("loss", "grad_norm", "theta", "restarts", "steps"):
        same(getattr(kept, name), getattr(whole, name), ulps=2**10)  # of hundreds of gradients
    np.testing.assert_allclose(kept.time, whole.time, rtol=1e-13)  # a sum that neighbours cut at other places
    # As after a kill: rows are lost, looks are there, and more of them come.
    for shard in (tmp_path / "run" / store.SHARDS).iterdir():
        shard.unlink()
    again = ls.trace(problem, 20, 0, out=tmp_path / "run", resume=True, **given)
    np.testing.assert_array_equal(again.loss, whole.loss)
    np.testing.assert_array_equal(again.observed["mass"], whole.observed["mass"])


def test_a_damaged_shard_of_looks_is_named_and_left_out(tmp_path, capsys):
    problem = ls.orthonormal_teacher(2)
    ls.trace(problem, 4, 0, looks=10, out=tmp_path / "run", **SETTINGS)
    (shard,) = (tmp_path / "run" / look_store.LOOKS).iterdir()
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    shard.write_bytes(content)
    assert look_store.read(tmp_path / "run") == {}
    assert shard.name in capsys.readouterr().err
    empty = stored_trace(tmp_path / "run", load(tmp_path / "run"))
    assert np.isnan(empty.loss).all()


def test_the_command_keeps_looks_and_resume_goes_on_with_them(tmp_path, capsys):
    out = tmp_path / "run"
    small = ["--teacher", "3", "--restarts", "6", "--quiet", "--json"]
    assert call("run", "safran-shamir", *small, "--out", str(out), "--trace") == 0
    told = json.loads(capsys.readouterr().out)
    first = stored_trace(out, load(out))
    assert first.loss.shape == (6, len(log_spaced(200, 200_000)))
    assert np.isfinite(first.loss[:, 0]).all()
    shutil.rmtree(out / store.SHARDS)
    shutil.rmtree(out / look_store.LOOKS)
    assert call("resume", str(out), "--json", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["labels"] == told["labels"]
    np.testing.assert_array_equal(stored_trace(out, load(out)).loss, first.loss)


@pytest.mark.long
def test_every_cell_of_a_table_is_looked_at(tmp_path):
    small = ["--teachers", "2", "3", "--extra", "0", "--restarts", "2", "--quiet"]
    assert call("run", "safran-shamir-table", *small, "--out", str(tmp_path / "t"), "--trace") == 0
    for cell in ("k02-n02", "k03-n03"):
        assert np.isfinite(stored_trace(tmp_path / "t" / cell, load(tmp_path / "t" / cell)).loss[:, 0]).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["safran-shamir", "--trace"], "--trace needs --out DIR"),
        (["degree-mismatch", "--trace", "--out", "X"], "no descents that --trace"),
        (["safran-shamir", "--trace", "--out", "X", "--workers", "2"], "by one process"),
        (["safran-shamir", "--trace", "--out", "X", "--dtype", "float32"], "need dtype float64"),
    ],
)
def test_looks_that_cannot_be_made_are_refused_in_a_sentence(arguments, words, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert call("run", *arguments) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not (tmp_path / "X").exists()


def test_looks_at_observables_go_on_from_python_only(tmp_path, capsys):
    ls.trace(ls.orthonormal_teacher(2), 3, 0, looks=5, observables={"mass": _mass}, out=tmp_path / "run", **SETTINGS)
    shutil.rmtree(tmp_path / "run" / store.SHARDS)
    assert call("resume", str(tmp_path / "run")) == 2
    assert "looks at mass: go on from Python" in capsys.readouterr().err


def test_a_run_without_looks_has_none(tmp_path):
    ls.explore(ls.orthonormal_teacher(2), 3, 0, out=tmp_path / "plain", progress=False)
    census = load(tmp_path / "plain")
    with pytest.raises(ls.InputError, match="made without looks"):
        stored_trace(tmp_path / "plain", census)


@pytest.mark.parametrize(
    ("looks", "words"),
    [((), "ascending"), ((3, 1), "ascending"), ((1, 1), "ascending"), ((-1, 2), "at least 0"), (1, "at least 2")],
)
def test_looks_that_make_no_sense_are_refused(looks, words):
    with pytest.raises(ls.InputError, match=words):
        ls.trace(ls.orthonormal_teacher(2), 2, looks=looks, progress=False)


def test_an_observable_has_a_name_of_its_own():
    with pytest.raises(ls.InputError, match="'loss' is taken"):
        Looks((0, 1), Watch((("loss", _mass),)))


@pytest.mark.slow
def test_equal_looks_share_a_program():
    problem = ls.orthonormal_teacher(3)
    run = lambda: ls.trace(problem, 8, 0, looks=20, observables={"mass": _mass}, **SETTINGS)  # noqa: E731
    run()
    before = len(lanes._PROGRAMS)
    run()
    assert len(lanes._PROGRAMS) == before


def test_the_looks_that_are_due_in_a_chunk_are_those_of_each_clock():
    looks = Looks((0, 1, 5, 120, 121, 240, 700))
    clocks = np.array([0, 119, 120, 1000, 240])
    lane, offset = looks.due(clocks, 120)
    found = sorted(zip(lane.tolist(), offset.tolist(), strict=True))
    assert found == [(i, at - c) for i, c in enumerate(clocks) for at in looks.at if c < at <= c + 120]
