"""A run can be killed at any moment and resumes to the labels of an undisturbed one; censuses are true and repeat."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.host import store
from landscape.host.cli import stored

KILLED = """
import sys, landscape as ls
from landscape.host import explore
explore.SHARD_SECONDS, explore.SHARD_ROWS = 0.0, 8  # a shard at every opportunity, so that a kill finds some
ls.explore(ls.orthonormal_teacher(8), 400, seed=1, lanes=16, out=sys.argv[1], resume=True, progress=False)
"""
RESTARTS = 400
SAME = ("restart", "label", "flavour", "evidence", "by", "orbit", "steps")


def agree(one, other):
    """Two censuses are the same restart by restart: labels, orbits, evidence identical, losses within their error."""
    for name in SAME:
        np.testing.assert_array_equal(one.rows[name], other.rows[name], err_msg=name)
    error = one.rows["loss_error"] + other.rows["loss_error"]
    assert np.all(np.abs(one.rows["loss"] - other.rows["loss"]) <= error)


@pytest.fixture(scope="module")
def undisturbed():
    return ls.explore(ls.orthonormal_teacher(8), RESTARTS, seed=1, progress=False)


def _kill_and_resume(folder, undisturbed, kills, seed):
    """Kills a run after a random number of new shards and a moment more; how many kills fell into its middle."""
    rng = np.random.default_rng(seed)
    inside = 0
    for _ in range(kills):
        shards = lambda: len(list(folder.glob("shards/*.parquet")))  # noqa: E731
        wanted = shards() + int(rng.integers(0, 20))
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], stderr=subprocess.DEVNULL)
        while process.poll() is None and shards() < wanted:
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0.0, 0.1)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        if (folder / store.MANIFEST).exists():
            done = store.read(folder)
            assert not done.damaged
            inside += 0 < len(done.rows["restart"]) < RESTARTS
    subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=True, timeout=300)
    census = stored(folder)
    assert census.finished == RESTARTS
    agree(census, undisturbed)
    return inside


def test_a_killed_run_resumes_to_the_census_of_an_undisturbed_one(tmp_path, undisturbed):
    _kill_and_resume(tmp_path / "run", undisturbed, kills=2, seed=0)


@pytest.mark.slow
def test_twenty_kills_change_nothing(tmp_path, undisturbed):
    inside = [_kill_and_resume(tmp_path / f"run{i}", undisturbed, kills=4, seed=i) for i in range(5)]
    assert sum(inside) >= 10, "too few kills fell into a run: the test saw nothing"


def test_an_interrupt_keeps_what_is_done_and_says_so(tmp_path):
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "landscape.host.cli",
        "run",
        "safran-shamir",
        "--teacher",
        "12",
        "--restarts",
        "4000",
    ]
    process = subprocess.Popen([*command, "--lanes", "64", "--out", str(folder), "--json"], stdout=-1, stderr=-1)
    deadline = time.monotonic() + 120
    while not list(folder.glob("shards/*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 3, err
    assert b"landscape resume" in err
    done = store.read(folder)
    assert 0 < len(done.rows["restart"]) < 4000
    assert b'"study": "safran-shamir"' in out


def test_a_damaged_shard_is_named_and_only_its_restarts_are_done_again(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("landscape.host.explore.SHARD_SECONDS", 1e9)  # one shard, however slow the machine
    folder = tmp_path / "run"
    problem = ls.orthonormal_teacher(4)
    whole = ls.explore(problem, 40, out=folder, progress=False)
    assert len(list(folder.glob("shards/*.parquet"))) == 1
    ls_more = dict(out=folder, resume=True, progress=False)
    shard = next(folder.glob("shards/*.parquet"))
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(bytes(content))
    assert stored(folder).finished == 0
    assert shard.name in capsys.readouterr().err
    again = ls.explore(problem, 40, **ls_more)
    assert "damaged" in capsys.readouterr().err
    agree(again, whole)
    agree(stored(folder), whole)


def test_orbits_survive_a_damaged_shard(tmp_path):
    # Two shards with the same orbits; one is lost. The restarts of the other keep their orbit, the redone ones join it.
    folder = tmp_path / "run"
    problem = ls.orthonormal_teacher(8)
    whole = ls.explore(problem, 60, seed=1, out=folder, progress=False, lanes=16)
    done = store.read(folder)
    halves = [np.arange(0, 30), np.arange(30, 60)]
    for path in folder.glob("shards/*"):
        path.unlink()
    names = []
    for half in halves:
        rows = {name: column[half] for name, column in done.rows.items()}
        keep = {}
        for i in half:
            orbit = int(done.rows["orbit"][i])
            if orbit not in {int(done.rows["orbit"][j]) for j in keep}:
                theta = next(w for r, w in done.weights.items() if done.rows["orbit"][r] == orbit)
                keep[int(i)] = theta
        names.append(store.append(folder, rows, keep))
    (folder / "shards" / names[0]).write_bytes(b"lost")
    agree(ls.explore(problem, 60, seed=1, out=folder, resume=True, progress=False), whole)


def test_the_same_seed_gives_the_same_census_and_another_does_not():
    problem = ls.orthonormal_teacher(4)
    one, two, other = (ls.explore(problem, 20, seed=s, progress=False) for s in (5, 5, 6))
    agree(one, two)
    assert not np.array_equal(one.rows["steps"], other.rows["steps"])


def test_a_folder_of_another_run_is_refused_and_left_alone(tmp_path):
    folder = tmp_path / "run"
    ls.explore(ls.orthonormal_teacher(3), 4, out=folder, progress=False)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(ls.InputError, match="holds"):
        ls.explore(ls.orthonormal_teacher(3), 4, out=folder, progress=False)
    with pytest.raises(ls.InputError, match="holds another run"):
        ls.explore(ls.orthonormal_teacher(3), 4, seed=1, out=folder, resume=True, progress=False)
    assert before == {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_teachers_that_sum_to_zero_have_global_minima_that_match_no_teacher():
    angles = 2 * np.pi * np.arange(3) / 3
    problem = ls.teacher_student(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    census = ls.explore(problem, 100, progress=False)
    assert census.labels()["global"] == 100
    # W = V and W = -V are one orbit: -1 maps the lines to themselves and keeps the sum.
    assert [level.orbits for level in census.levels] == [1]
    ends = np.stack([w.reshape(3, 2) for w in census.weights.values()])
    assert len(ends) == 1


@pytest.mark.parametrize(("k", "n"), [(6, 7), (6, 9), (10, 11)])
def test_wider_students_end_globally_and_never_at_a_saddle_of_loss_zero(k, n):
    census = ls.explore(ls.orthonormal_teacher(k, n), 60, progress=False)
    assert census.labels()["global"] == 60
    assert np.max(census.rows["grad_norm"]) <= 1e-12
    # Not even points with a dying neuron, whose Hessian is noise, count as isolated.
    assert np.all(census.rows["orbit"] == -1)


def test_a_narrow_student_has_a_best_seen_and_no_global():
    census = ls.explore(ls.orthonormal_teacher(5, 4), 60, progress=False)
    labels = census.labels()
    assert labels["global"] == 0
    best = census.levels[0]
    assert (best.label, best.flavour) == ("undecided", "best seen")
    assert all(level.label == "spurious" and level.by == "witness" for level in census.levels[1:])


@pytest.mark.parametrize("activation", ["leaky_relu", "abs", "linear", "quadratic", "erf", "gelu"])
def test_every_activation_reaches_the_zero_set(activation):
    teacher = np.array([[1.0, 0.1, 0.0], [0.0, 0.9, 0.2], [-0.1, 0.0, 0.8]])
    census = ls.explore(ls.teacher_student(teacher, 3, activation=activation), 24, progress=False, step_size=0.05)
    labels = census.labels()
    assert labels["global"] > 0
    assert labels["global"] + labels["spurious"] + labels["undecided"] + labels["saddle"] == 24
    for level in census.levels:
        if level.label == "global":
            assert level.evidence == "certified"


def test_anyones_own_loss_over_a_pytree():
    x = jnp.linspace(-1, 1, 20)[:, None]
    y = jnp.tanh(2 * x[:, 0] - 0.5)

    def loss(params):
        return jnp.mean((params["a"] @ jnp.tanh(params["w"] * x.T + params["b"][:, None]) - y) ** 2)

    def init(key):
        a, b, c = jax.random.split(key, 3)
        return {"a": jax.random.normal(a, (1,)), "w": jax.random.normal(b, (1, 1)), "b": jax.random.normal(c, (1,))}

    problem = ls.from_loss(loss, init, lower_bound=0.0)
    census = ls.explore(problem, 16, progress=False, step_size=0.5)
    assert census.labels()["global"] > 0
    assert {level.evidence for level in census.levels if level.label == "global"} == {"numerical"}
    best = problem.read(next(iter(census.weights.values())))
    assert set(best) == {"a", "w", "b"}


def test_a_canonical_map_makes_permuted_units_one_orbit():
    def loss(params):
        return (params[0] * params[1] - 2.0) ** 2 + (params[0] + params[1] - 3.0) ** 2  # {1, 2} in either order

    def init(key):
        return jax.random.normal(key, (2,)) * 0.5 + 1.5

    counts = []
    for symmetry in (None, jnp.sort):
        problem = ls.from_loss(loss, init, lower_bound=0.0, symmetry=symmetry)
        census = ls.explore(problem, 24, progress=False, step_size=0.05)
        assert census.labels()["global"] == 24
        counts.append(census.levels[0].orbits)
    assert counts == [2, 1]


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        (lambda p: p * jnp.ones(2), "must return a scalar"),
        (lambda p: jnp.log(-(p**2)), "must be finite at the start"),
        (lambda p: p["no"], "the loss raised"),
    ],
)
def test_a_loss_that_is_none_is_refused_with_the_reason(loss, words):
    with pytest.raises(ls.InputError, match=words):
        ls.from_loss(loss, lambda key: jax.random.normal(key))


def test_a_census_prints_itself_and_its_json_is_json():
    import json

    census = ls.explore(ls.orthonormal_teacher(3), 12, progress=False)
    assert "global" in str(census)
    assert "1/2 E (student - teacher)^2" in str(census)
    said = json.loads(json.dumps(census.as_dict(), allow_nan=False))
    assert sum(said["labels"].values()) == 12
    assert set(said) == {
        "study", "problem", "restarts", "seed", "labels", "shares", "levels", "lower_bound", "best_seen", "unseen_mass",
        "seconds", "environment", "findings",
    }  # fmt: skip


def test_a_census_prints_itself_in_a_notebook_too(monkeypatch):
    census = ls.explore(ls.orthonormal_teacher(2), 4, progress=False)
    said = str(census)
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert str(census) == said


def test_label_judges_the_point_as_given_and_where_it_leads():
    problem = ls.orthonormal_teacher(4)
    exact = ls.label(problem, ls.Params(hidden=np.eye(4)))
    assert (exact.label, exact.polished) == ("global", None)
    near = ls.label(problem, np.eye(4) + 1e-3)
    assert near.label == "unconverged"
    assert near.polished.label == "global"
    assert near.moved == pytest.approx(4e-3, rel=1e-2)
    several = ls.label(problem, np.stack([np.eye(4), np.eye(4)[::-1]]))
    assert [v.label for v in several] == ["global", "global"]
    with pytest.raises(ls.InputError, match="must have shape"):
        ls.label(problem, np.eye(3))
    with pytest.raises(ls.InputError, match="not finite"):
        ls.label(problem, np.full((4, 4), np.nan))
