"""A run can be killed at any moment and resumes to the labels of an undisturbed one; censuses are true and repeat."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import tracemalloc
from collections import Counter
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import long, slow

import landscape as ls
from landscape import classify
from landscape.census import assemble
from landscape.cli.runs import stored
from landscape.host import store
from landscape.host.drive import Job
from landscape.host.memory import Memory
from landscape.problems.orbits import OrbitIndex

KILLED = """
import sys, time, landscape as ls
from landscape.host import drive, store
drive.SHARD_SECONDS, drive.SHARD_ROWS = 0.0, 8  # a shard at every opportunity, so that a kill finds some ...
append = store.append
store.append = lambda *shard, **how: (append(*shard, **how), time.sleep(0.02))  # ... and time to fall between two
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
        wanted = shards() + int(rng.integers(0, 8))
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


@pytest.mark.slow
def test_a_run_that_was_killed_four_times_resumes_to_the_census_of_an_undisturbed_one(tmp_path, undisturbed):
    # A kill at each step of the writing of a shard is tested in test_store.py.
    inside = _kill_and_resume(tmp_path / "run", undisturbed, kills=4, seed=0)
    assert inside >= 2, "too few kills fell into a run: the test saw nothing"


def test_an_interrupt_keeps_what_is_done_and_says_so(tmp_path):
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "landscape.cli",
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
    monkeypatch.setattr("landscape.host.drive.SHARD_SECONDS", 1e9)  # one shard, however slow the machine
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


def test_a_folder_of_another_run_is_refused_and_left_alone(tmp_path, capsys):
    folder = tmp_path / "run"
    whole = ls.explore(ls.orthonormal_teacher(3), 4, out=folder, progress=False)
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    capsys.readouterr()
    agree(ls.explore(ls.orthonormal_teacher(3), 4, out=folder, progress=False), whole)
    assert capsys.readouterr().err == f"landscape: {folder} holds this run, done already.\n"
    with pytest.raises(ls.InputError, match="holds another run"):
        ls.explore(ls.orthonormal_teacher(3), 4, seed=1, out=folder, progress=False)
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


@pytest.mark.parametrize(("k", "n"), [slow(6, 7), slow(6, 9), slow(10, 11)])
def test_wider_students_end_globally_and_never_at_a_saddle_of_loss_zero(k, n):
    census = ls.explore(ls.orthonormal_teacher(k, n), 60, progress=False)
    assert census.labels()["global"] == 60
    assert np.max(census.rows["grad_norm"]) <= 1e-12
    # Not even points with a dying neuron, whose Hessian is noise, count as isolated.
    assert np.all(census.rows["orbit"] == -1)


@pytest.mark.slow
def test_a_narrow_student_has_a_best_seen_and_no_global():
    census = ls.explore(ls.orthonormal_teacher(5, 4), 60, progress=False)
    labels = census.labels()
    assert labels["global"] == 0
    best = census.levels[0]
    assert (best.label, best.flavour) == ("undecided", "best seen")
    assert all(level.label == "spurious" and level.by == "witness" for level in census.levels[1:])


@pytest.mark.parametrize(
    "activation", [slow("leaky_relu"), long("abs"), long("linear"), slow("quadratic"), "erf", long("gelu")]
)
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
    x = np.linspace(-1, 1, 20)[:, None]
    y = np.tanh(2 * x[:, 0] - 0.5)  # targets rounded to float32 would not be fitted to zero: the least loss is 1e-15

    def loss(params):
        return jnp.mean((params["a"] @ jnp.tanh(params["w"] * x.T + params["b"][:, None]) - y) ** 2)

    def init(key):
        a, b, c = jax.random.split(key, 3)
        return {"a": jax.random.normal(a, (1,)), "w": jax.random.normal(b, (1, 1)), "b": jax.random.normal(c, (1,))}

    problem = ls.from_loss(loss, init, lower_bound=0.0)
    census = ls.explore(problem, 16, progress=False, step_size=0.5)
    # Either sign of (a, w, b) fits as well: what the losses differ by, 1e-29, is rounding of the gradient.
    assert census.labels()["global"] == 16
    assert {level.evidence for level in census.levels if level.label == "global"} == {"numerical"}
    best = problem.read(next(iter(census.weights.values())))
    assert set(best) == {"a", "w", "b"}
    assert ls.from_loss(loss, init).lower_bound.value == 0.0  # a mean of squares, by its program
    unseen = ls.from_loss(
        lambda params: loss(params) * jnp.cos(0.0 * params["a"][0]), init
    )  # the same, but not to be seen
    alone = ls.explore(unseen, 16, progress=False, step_size=0.5)
    assert alone.labels()["undecided"] == 16  # the best seen, all of them: none is above another


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
    with pytest.raises(ls.InputError, match="must be finite"):
        ls.label(problem, np.full((4, 4), np.nan))


# -- from rows to a census: many names of one orbit, many rows ---------------------------------------------------------

PROBLEM = ls.orthonormal_teacher(4)
TEXT = ("label", "flavour", "evidence", "by", "reason", "basin")


def made_up(r, orbits=12, names=2, seed=0):
    """Rows of r restarts that ended in orbits each known under several names, and weights: a member of each name.

    Members are images of one point under the symmetry: rows permuted, coordinates permuted alike with the teachers.
    """
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(orbits, 4, 4))
    levels = np.sort(rng.uniform(0.1, 1.0, orbits))
    # Every name once, then by chance.
    code = np.concatenate([rng.permutation(orbits * names), rng.integers(0, orbits * names, r - orbits * names)])
    member = code // names
    first = np.zeros(orbits * names, np.int64)
    codes, at = np.unique(code, return_index=True)
    first[codes] = at
    weights = {
        int(first[c]): points[c // names][rng.permutation(4)][:, rng.permutation(4)].reshape(-1) for c in codes.tolist()
    }
    words = lambda *choice: np.array(choice, object)[member % len(choice)]  # noqa: E731
    rows = {
        "restart": np.arange(r),
        "status": np.ones(r, np.int64),
        "steps": rng.integers(1, 90, r) * 100,
        "loss": levels[member] + 1e-15 * rng.normal(size=r),
        "loss_error": np.full(r, 1e-13),
        "grad_norm": 1e-13 * rng.random(r),
        "min_curvature": 0.01 * (1 + member),
        "label": words("spurious", "saddle", "undecided"),
        "flavour": words("strict", "index 1", "strict minimum"),
        "evidence": words("certified", "numerical", None),
        "by": words("a ball", "curvature", None),
        "margin": 0.1 * (1.0 + member),
        "reason": words(None, None, "no bound is known to be attained"),
        "basin": words("shown", "numerical"),
        "orbit": first[code],
    }
    return rows, weights, member


def test_names_of_one_orbit_are_united_under_its_least_restart():
    rows, weights, member = made_up(600, names=3)
    least = np.array([np.flatnonzero(member == orbit)[0] for orbit in range(12)])
    for shown in (weights, dict(reversed(weights.items()))):
        found = assemble.united(PROBLEM, rows, shown)
        np.testing.assert_array_equal(found["orbit"], least[member])
    census = assemble.census(PROBLEM, rows, weights, 600, 0, "", {"total": 0.0}, {})
    assert sorted(census.weights) == sorted(least.tolist())
    assert [level.orbits for level in census.levels] == [1] * 12
    # Nothing that was stored has changed.
    again, _, _ = made_up(600, names=3)
    for name, column in rows.items():
        np.testing.assert_array_equal(column, again[name])


def test_points_that_no_symmetry_relates_keep_their_names():
    rows, weights, _ = made_up(100, names=1)
    np.testing.assert_array_equal(assemble.united(PROBLEM, rows, weights)["orbit"], rows["orbit"])
    # Nor does an orbit whose weights are lost join any, nor any where the problem is not known.
    rows, weights, member = made_up(100, names=2)
    one, other = sorted({int(i) for i in rows["orbit"][member == 0]})
    lost = {i: theta for i, theta in weights.items() if i != other}
    assert {int(i) for i in assemble.united(PROBLEM, rows, lost)["orbit"][member == 0]} == {one, other}
    np.testing.assert_array_equal(assemble.united(None, rows, weights)["orbit"], rows["orbit"])
    assert assemble.several_names(rows)
    assert not assemble.several_names(assemble.united(PROBLEM, rows, weights))


def test_an_orbit_has_the_strongest_verdict_that_a_member_was_given():
    rows, weights, member = made_up(100, names=3)
    first, second, third = sorted({int(i) for i in rows["orbit"][member == 0]})
    weaker = rows["orbit"] == first
    rows["evidence"][weaker], rows["by"][weaker] = "numerical", "curvature, teacher as witness"
    open_ = rows["orbit"] == third
    rows["label"][open_], rows["evidence"][open_], rows["reason"][open_] = "undecided", None, "cannot tell"
    found = assemble.united(PROBLEM, rows, weights)
    for name, value in (("label", "spurious"), ("evidence", "certified"), ("by", "a ball"), ("reason", None)):
        assert set(found[name][member == 0]) == {value}
    assert set(found["orbit"][member == 0]) == {first}
    # Different labels, though: two points as close as that can be two.
    rows["label"][rows["orbit"] == second] = "saddle"
    found = assemble.united(PROBLEM, rows, weights)
    assert set(found["orbit"][member == 0]) == {first, second}
    assert set(found["label"][(member == 0) & (found["orbit"] == second)]) == {"saddle"}


def test_what_a_driver_restores_is_one_verdict_an_orbit():
    rows, weights, member = made_up(200, names=2)
    known = assemble.known_orbits(PROBLEM, rows, weights)
    assert [name for name, _, _ in known] == sorted(np.unique(member, return_index=True)[1].tolist())
    for name, theta, verdict in known:
        assert any(np.array_equal(theta, weights[i]) for i in weights if member[i] == member[name])
        assert verdict.label == rows["label"][name]
    driver = Job(PROBLEM, ls.Settings(), 0).driver(store.Shards(rows, weights, []))
    assert len(driver.acceptance.book.verdicts) == 12


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_resumed_run_holds_only_the_rows_that_name_orbits(lost):
    rows, weights, _ = made_up(600, names=3)
    weights = dict(sorted(weights.items())[lost:])  # the first member of an orbit may have none
    few = assemble.naming(rows, weights)
    assert len(few["restart"]) <= 12 * 3 + len(weights)
    found, wanted = (assemble.known_orbits(PROBLEM, some, weights) for some in (few, rows))
    assert [(name, verdict) for name, _, verdict in found] == [(name, verdict) for name, _, verdict in wanted]
    for (_, theta, _), (_, other, _) in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(theta, other)


def test_settling_all_rows_at_once_is_settling_each():
    rows, _, _ = made_up(400)
    rng = np.random.default_rng(1)
    rows["label"] = np.array(["undecided", "spurious", "unconverged"], object)[rng.integers(3, size=400)]
    flavours = np.array(["strict minimum", "flat minimum", None, "best seen", "strict"], object)
    rows["flavour"] = flavours[rng.integers(5, size=400)]
    rows["loss"][(rng.random(400) < 0.2) & (rows["label"] == "unconverged")] = np.nan
    rows["loss"][:40] = np.nanmin(rows["loss"])  # several at the least loss
    found = assemble.settled(rows)
    best = int(np.nanargmin(rows["loss"]))
    changed = Counter()
    for i in range(400):
        wanted = classify.settle(assemble.verdict_of(rows, i), rows["loss"][best], rows["loss_error"][best])
        assert assemble.verdict_of(found, i) == replace(wanted, lower_bound=None)
        changed[found["flavour"][i]] += found["flavour"][i] != rows["flavour"][i]
    assert min(changed[flavour] for flavour in ("best seen", "strict", "flat")) > 5


@pytest.mark.parametrize("cuts", [[], [300], [50, 51, 400]])
def test_weights_kept_do_not_depend_on_how_a_run_was_cut(tmp_path, cuts):
    rows, _, _ = made_up(600)
    theta = np.random.default_rng(0).normal(size=(600, 16))
    order = np.random.default_rng(2).permutation(600)  # restarts end in no order
    memory = Memory()
    store.create(tmp_path / "run", {"study": "x"})
    for part in np.split(order, cuts):
        shard = {name: column[part] for name, column in rows.items()}
        kept = {int(i): theta[i] for i in shard["restart"][assemble.keepers(shard)]}
        memory.append(shard, kept)
        store.append(tmp_path / "run", shard, kept)
    wanted = sorted(np.unique(rows["orbit"], return_index=True)[1].tolist())
    for done in (memory.shards(), store.read(tmp_path / "run", assemble.keepers)):
        assert sorted(done.weights) == wanted
        assert all(np.array_equal(done.weights[i], theta[i]) for i in wanted)
        for name, column in rows.items():
            np.testing.assert_array_equal(done.rows[name], column)


def test_finished_restarts_and_their_labels_are_known_from_the_shards(tmp_path):
    rows, _, _ = made_up(600)
    store.create(tmp_path, {"study": "x"})
    for part in (np.arange(100, 200), np.arange(0, 600, 7)):
        store.append(tmp_path, {name: column[part] for name, column in rows.items()})
    np.testing.assert_array_equal(store.finished(tmp_path, 150, 220), [*range(150, 200), 203, 210, 217])
    assert store.finished(tmp_path, 597, 10**9).tolist() == []
    passed: set[str] = set()
    counts = store.tally(tmp_path, "label", passed)
    assert counts == Counter(rows["label"][100:200]) + Counter(rows["label"][::7])
    assert store.tally(tmp_path, "label", passed) == {}


def _calls(action):
    """How many functions the interpreter calls meanwhile."""
    count = 0

    def note(*_):
        nonlocal count
        count += 1

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return count


def test_a_census_of_ten_times_the_restarts_takes_no_more_steps_of_python(monkeypatch):
    searches = Counter()
    find = OrbitIndex.find
    monkeypatch.setattr(OrbitIndex, "find", lambda self, *a: (searches.update([len(searches)]), find(self, *a))[1])
    spent = []
    for r in (20_000, 200_000):
        rows, weights, _ = made_up(r, orbits=40)
        before = searches.total()
        spent.append(_calls(lambda: assemble.census(PROBLEM, rows, weights, r, 0, "", {"total": 0.0}, {})))  # noqa: B023
        assert searches.total() - before == 80, "one search an orbit name"
    # The whole work on a row is inside NumPy, at a few sorts a column; the searches depend on the points alone.
    assert spent[1] == pytest.approx(spent[0], rel=0.05)


def test_a_census_needs_little_memory_beside_its_rows():
    r = 200_000
    rows, weights, _ = made_up(r)
    tracemalloc.start()
    try:
        assemble.census(PROBLEM, rows, weights, r, 0, "", {"total": 0.0}, {})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # 7 columns that settling may change, at 8 bytes, and the temporaries of a sort: 30 numbers a row would be 240.
    assert peak < 240 * r


def test_reading_a_run_folder_needs_little_memory_beside_its_rows(tmp_path):
    r, each = 100_000, 2_000
    rows, _, _ = made_up(r)
    store.create(tmp_path, {"study": "x", "restarts": r})
    for i in range(0, r, each):
        store.append(tmp_path, {name: column[i : i + each] for name, column in rows.items()})
    tracemalloc.start()
    try:
        read = store.read(tmp_path).rows
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    size = sum(column.nbytes for column in read.values())
    # Beside the rows: the order of the restarts, and a column that is put in order while it is still there out of it.
    assert size <= kept < 1.1 * size
    assert peak < 1.4 * size


def test_reading_a_run_folder_makes_equal_texts_one_object(tmp_path):
    rows, _, _ = made_up(3000)
    store.create(tmp_path, {"study": "x"})
    for part in np.split(np.arange(3000), 6):
        store.append(tmp_path, {name: column[part] for name, column in rows.items()})
    read = store.read(tmp_path).rows
    for name in TEXT:
        assert len({id(word) for word in read[name]}) == len(set(read[name]))
