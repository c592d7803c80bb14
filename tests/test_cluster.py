"""Several processes, one of which may be killed, find what one process finds: same labels, orbits, levels, weights."""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest
import tornado.util

import landscape as ls
from landscape import cli
from landscape.cli import runs
from landscape.host import cluster, processes, store, worker

# Forty minima of different losses, and coordinates that may change places: an orbit has one or two of them. A loss of
# two numbers compiles in a tenth of the time of a network's.
LOSS = """
import jax, jax.numpy as jnp, landscape as ls

def waves():
    tilt = jnp.array(0.0625)  # the same number in any precision
    def loss(x):
        return jnp.sum(jnp.cos(3 * x) + 0.1 * x**2 + tilt * x)
    return ls.from_loss(loss, lambda key: 3 * jax.random.normal(key, (2,)), symmetry=jnp.sort)
"""
RESTARTS = 400
HOW = dict(seed=3, lanes=16, step_size=0.001, progress=False)  # a thousand steps each: time for a kill
SCRIPT = f"""
import json, sys
from landscape.host import drive
drive.SHARD_SECONDS, drive.SHARD_ROWS = 0.0, 8  # a shard at every opportunity
{LOSS}
census = ls.explore(waves(), {RESTARTS}, out=sys.argv[1], workers=2, **{HOW})
print(json.dumps(census.as_dict()))
"""
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


def waves():
    space: dict = {}
    exec(LOSS, space)
    return space["waves"]()


@pytest.fixture(scope="module")
def alone():
    return ls.explore(waves(), RESTARTS, **HOW)


def agree(one, other):
    """The same census: row by row but for what timing and rounding decide, and level by level."""
    for name in ("restart", "label", "flavour", "evidence", "by", "orbit", "status", "reason"):
        np.testing.assert_array_equal(one.rows[name], other.rows[name], err_msg=name)
    error = one.rows["loss_error"] + other.rows["loss_error"]
    assert np.all(np.abs(one.rows["loss"] - other.rows["loss"]) <= error)
    assert one.weights.keys() == other.weights.keys()
    assert one.unseen == other.unseen
    same_levels([level.as_dict() for level in one.levels], [level.as_dict() for level in other.levels])


def same_levels(one, other):
    exact = ("label", "flavour", "evidence", "by", "count", "orbits", "share_low", "share_high")
    assert [[level[name] for name in exact] for level in one] == [[level[name] for name in exact] for level in other]
    for a, b in zip(one, other, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-13)  # rounding errors of losses up to 10
        # Of the first member that each process met; members agree to 1e-13 here.
        assert a["min_curvature"] == pytest.approx(b["min_curvature"], rel=1e-9)


# -- two processes -----------------------------------------------------------------------------------------------------


def test_two_workers_find_what_one_process_finds_and_leave_nothing_behind(alone, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert len(alone.levels) > 20, "a census with few levels would show little"
    assert max(np.unique(alone.rows["orbit"], return_counts=True)[1]) > 10
    agree(ls.explore(waves(), RESTARTS, workers=2, **HOW), alone)
    assert list(tmp_path.glob("landscape-*")) == []
    assert not [child for child in psutil.Process().children() if "landscape.host.worker" in child.cmdline()]


@pytest.mark.slow
def test_the_work_of_a_killed_worker_is_done_by_others(alone, tmp_path, capsys):
    folder = tmp_path / "run"
    # The script has no `if __name__ == "__main__"`, and need not.
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(folder)], stdout=subprocess.PIPE, env=ENVIRONMENT)
    done = lambda: np.bincount(store.finished(folder, 0, RESTARTS) // (RESTARTS // 2), minlength=2)  # noqa: E731
    try:
        # Two workers have a half each. As soon as something is on disk both are halted, so that it can be seen that
        # neither is at its end.
        deadline = time.monotonic() + 120
        while not (folder / store.MANIFEST).exists() or not np.any(done() > 0):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        workers = psutil.Process(process.pid).children()
        assert [worker.cmdline()[3] for worker in workers] == ["landscape.host.worker"] * 2
        for worker in workers:
            worker.suspend()
        assert np.all(done() < RESTARTS // 2), "the run was over before the kill: nothing was tested"
        workers[0].kill()
        workers[1].resume()
        out, _ = process.communicate(timeout=240)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    said = json.loads(out)
    same_levels(said["levels"], [level.as_dict() for level in alone.levels])
    counts = [int(path.name.split("-")[3]) for path in folder.glob("shards/*.parquet")]
    assert sum(counts) == RESTARTS, "what was on disk was not done again"
    agree(ls.explore(waves(), RESTARTS, out=folder, resume=True, **HOW), alone)
    # The command line does not know this loss, so not its symmetry either, and says so if an orbit has two names: when
    # the killed worker had found one that the other found too.
    orbits = sum(level.orbits or 0 for level in runs.stored(folder).levels)
    assert orbits >= len(alone.levels)
    assert ("landscape.explore with resume=True unites them" in capsys.readouterr().err) == (orbits > len(alone.levels))


def test_the_command_with_workers_says_what_it_says_without(capfd):
    said = []
    for more in ([], ["--workers", "1"]):
        with contextlib.ExitStack() as stack:
            with contextlib.suppress(OSError):  # somebody has it already: as good
                stack.enter_context(socket.create_server(("127.0.0.1", 8787)))  # where dask would show a dashboard
            with pytest.raises(SystemExit) as stop:
                cli.main(["run", "--teacher", "2", "--restarts", "12", "--json", *more])
        assert stop.value.code == 0
        out, err = capfd.readouterr()
        assert err == ""
        said.append(json.loads(out))
    same_levels(said[0]["levels"], said[1]["levels"])
    assert said[0]["best_seen"] == pytest.approx(said[1]["best_seen"], abs=1e-13)  # a loss of zero, to rounding
    differ = {name for name in said[0] if said[0][name] != said[1][name]}
    assert differ <= {"levels", "best_seen", "seconds", "environment"}
    assert said[1]["environment"] == {**said[0]["environment"], "workers": 1}


@pytest.mark.slow
def test_workers_go_on_with_what_one_process_began(alone, tmp_path, monkeypatch):
    monkeypatch.setattr("landscape.host.drive.SHARD_SECONDS", 0.0)
    folder = tmp_path / "run"
    ls.explore(waves(), RESTARTS, out=folder, **HOW)
    # As if it had been killed: every other shard is gone, with the weights of the orbits that it named.
    shards = sorted(folder.glob("shards/*.parquet"))
    assert len(shards) > 3
    for shard in shards[1::2]:
        shard.unlink()
    assert 0 < len(store.read(folder).rows["restart"]) < RESTARTS
    agree(ls.explore(waves(), RESTARTS, out=folder, resume=True, workers=2, **HOW), alone)


@pytest.mark.slow
def test_a_frozen_worker_is_given_up_and_replaced(alone, tmp_path):
    folder = tmp_path / "run"
    # Two seconds in place of thirty; dask itself waits for ten heartbeats, which are five.
    script = SCRIPT.replace(
        "import json, sys", "import json, sys\nfrom landscape.host import cluster; cluster.FROZEN = '2 s'"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(folder)], stdout=subprocess.PIPE, env=ENVIRONMENT)
    try:
        deadline = time.monotonic() + 120
        while not list(folder.glob("shards/*.parquet")):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        frozen = psutil.Process(process.pid).children()[0]
        frozen.suspend()
        assert len(store.finished(folder, 0, RESTARTS)) < RESTARTS, "the run was over before: nothing was tested"
        begun = time.monotonic()
        out, _ = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    assert time.monotonic() - begun < 60
    assert process.returncode == 0
    assert not frozen.is_running()
    same_levels(json.loads(out)["levels"], [level.as_dict() for level in alone.levels])


def test_a_process_that_its_scheduler_knows_no_more_is_replaced(tmp_path):
    with processes.Processes(2, str(tmp_path)) as started:
        before = dict(started.running)
        started.tend(set())  # they are on their way: nobody has seen them yet
        assert started.running == before
        started.tend({0, 1})
        started.tend({1})
        assert started.running[1] is before[1]
        assert started.running[0] is not before[0]
        assert before[0].poll() is not None
        started.tend({1})  # the new one is on its way
        assert started.running[0].poll() is None


@pytest.mark.slow
def test_given_starts_reach_the_workers(tmp_path):
    problem = waves()
    starts = np.random.default_rng(0).normal(size=(40, 2))
    how = {**HOW, "starts": starts}
    one = ls.explore(problem, **how)
    two = ls.explore(problem, **how, workers=2, out=tmp_path / "run")
    agree(one, two)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["manifest.json", "shards"]


@pytest.mark.slow
def test_networks_have_the_same_census_by_two_workers_and_show_says_the_same(tmp_path, capfd):
    problem = ls.orthonormal_teacher(8)
    folder = tmp_path / "run"
    one = ls.explore(problem, 400, seed=1, lanes=64, progress=False)
    two = ls.explore(problem, 400, seed=1, lanes=64, progress=False, workers=2, out=folder)
    assert len(one.levels) > 1
    agree(one, two)
    agree(runs.stored(folder), two)
    assert two.environment["workers"] == store.read_manifest(folder)["environment"]["workers"] == 2
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_ctrl_c_ends_workers_keeps_what_is_done_and_says_so(tmp_path):
    folder = tmp_path / "run"
    script = (
        "import sys; from landscape import cli; from landscape.host import drive;"
        "drive.SHARD_SECONDS, drive.SHARD_ROWS = 0.0, 8;"
        f"cli.main(['run', '--teacher', '8', '--restarts', '4000', '--lanes', '16', '--workers', '2', '--json',"
        f" '--out', {str(folder)!r}])"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=-1, stderr=-1, env=ENVIRONMENT, start_new_session=True
    )
    deadline = time.monotonic() + 240
    while not list(folder.glob("shards/*.parquet")) and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.1)
    workers = psutil.Process(process.pid).children()
    begun = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    out, err = process.communicate(timeout=120)
    assert time.monotonic() - begun < 30
    assert process.returncode == 3, err
    assert b"Traceback" not in err
    lines = err.decode().strip().splitlines()
    assert [line.split(";")[0] for line in lines] == ["landscape: interrupted", "landscape: stopped"]
    assert not any(worker.is_running() and worker.status() != "zombie" for worker in workers)
    done = store.read(folder)
    assert 0 < len(done.rows["restart"]) < 4000
    assert json.loads(out)["findings"]["finished"] == len(done.rows["restart"])


def test_a_wait_of_dask_that_ran_out_is_not_logged_and_other_errors_are(caplog):
    """On a busy machine a stopped run left "Future exception was never retrieved" behind its own last line."""
    log = logging.getLogger("asyncio")
    log.addFilter(cluster.worth_logging)
    for error in (tornado.util.TimeoutError("Timeout"), TimeoutError("told")):
        log.error("Future exception was never retrieved", exc_info=error)
    assert [record.exc_info[1].args for record in caplog.records] == [("told",)]


def test_workers_end_with_their_parent_however_it_ends(tmp_path):
    (tmp_path / "temporary").mkdir()
    there = {**ENVIRONMENT, "TMPDIR": str(tmp_path / "temporary")}
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "run")], stdout=-1, stderr=-1, env=there)
    deadline = time.monotonic() + 60
    workers: list = []
    while len(workers) < 2 or not (tmp_path / "run" / store.MANIFEST).exists():  # they have told of themselves by then
        assert process.poll() is None
        assert time.monotonic() < deadline
        workers = psutil.Process(process.pid).children()
        time.sleep(0.05)
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=20)
    assert alive == []
    assert list((tmp_path / "temporary").glob("landscape-*")) == []


def test_a_worker_that_comes_to_its_end_before_the_scratch_is_cleared_waits_for_that(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for number in range(5000):  # more than the end of an interpreter takes
        (scratch / str(number)).touch()
    command = [sys.executable, "-m", "landscape.host.worker", "0", "1", str(scratch)]
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, env=ENVIRONMENT)  # a parent that has gone already
    assert ended.returncode == 1
    assert not scratch.exists()


def test_a_folder_that_is_written_to_while_it_is_removed_is_removed(tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir()

    def write():
        # As a thread does that keeps a compiled program; it ends when the folder is gone.
        with contextlib.suppress(FileNotFoundError):
            for number in range(1000):
                (scratch / str(number)).write_bytes(b"")

    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    worker.clear(scratch)
    for writer in writers:
        writer.join()
    assert not scratch.exists()


# -- a scheduler's workers ---------------------------------------------------------------------------------------------


@contextlib.contextmanager
def dask(folder, workers):
    """The dask commands that the guide names, and the address of their scheduler."""
    place = folder / "scheduler.json"
    command = [sys.executable, "-m", "dask"]
    quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    scheduler = [*command, "scheduler", "--no-dashboard", "--host", "127.0.0.1", "--port", "0", "--scheduler-file"]
    started = [subprocess.Popen([*scheduler, str(place)], **quiet)]
    try:
        for _ in range(workers):
            worker = [*command, "worker", "--no-dashboard", "--nthreads", "1", "--scheduler-file", str(place)]
            started.append(subprocess.Popen([*worker, "--local-directory", str(folder)], **quiet))
        deadline = time.monotonic() + 60
        while not place.exists() or not place.read_text().strip().endswith("}"):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield json.loads(place.read_text())["address"], place
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)


@pytest.mark.slow
def test_the_workers_of_a_scheduler_find_what_one_process_finds(alone, tmp_path, capsys):
    with dask(tmp_path, workers=2) as (address, place):
        agree(ls.explore(waves(), RESTARTS, scheduler=address, out=tmp_path / "a", **HOW), alone)
        options = ["--teacher", "3", "--restarts", "24", "--json"]
        with pytest.raises(SystemExit) as stop:
            cli.main(["run", *options, "--scheduler", str(place), "--out", str(tmp_path / "b")])
        assert stop.value.code == 0
        by_dask = json.loads(capsys.readouterr().out)
        for shard in (tmp_path / "b").glob("shards/*"):
            shard.unlink()
        with pytest.raises(SystemExit) as stop:
            cli.main(["resume", str(tmp_path / "b"), "--json", "--scheduler", address])
        assert stop.value.code == 0
        again = json.loads(capsys.readouterr().out)
    with pytest.raises(SystemExit):
        cli.main(["run", *options])
    here = json.loads(capsys.readouterr().out)
    for name in ("labels", "restarts", "unseen_mass", "problem"):
        assert by_dask[name] == again[name] == here[name]
    # Zero, to the rounding of whichever member of its orbit was met first.
    assert by_dask["best_seen"] == pytest.approx(here["best_seen"], abs=1e-14)
    same_levels(by_dask["levels"], here["levels"])


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_run_with_what_is_done(tmp_path, capsys):
    with contextlib.ExitStack() as stack:
        address, _ = stack.enter_context(dask(tmp_path, workers=1))
        threading.Timer(12.0, stack.close).start()
        census = ls.explore(waves(), 200_000, scheduler=address, out=tmp_path / "run", **HOW)
    assert census.finished < 200_000
    assert "the scheduler is gone; what is done is kept" in capsys.readouterr().err


# -- bad input ---------------------------------------------------------------------------------------------------------


def refused(capsys, *arguments):
    """The one line on standard error of a refused command."""
    with pytest.raises(SystemExit) as stop:
        cli.main([str(a) for a in arguments])
    said = capsys.readouterr()
    assert (stop.value.code, said.out) == (2, "")
    lines = said.err.strip().splitlines()
    assert len(lines) == 1, said.err
    return lines[0]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--workers", "0"], "workers must be a whole number of at least 1, found 0"),
        (["--workers", "-2"], "workers must be"),
        (["--workers", "two"], "--workers"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:8786", "--out", "OUT"], "give one of the two"),
        (["--scheduler", "tcp://127.0.0.1:8786"], "needs a folder that all of them see; give one with --out"),
        (["--scheduler", "OUT.json", "--out", "OUT"], "is no scheduler file"),
        (["--scheduler", "tcp://127.0.0.1:1", "--out", "OUT"], "no dask scheduler answers at tcp://127.0.0.1:1 "),
        (["--scheduler", "tcp://no-such-host.invalid:8786", "--out", "OUT"], "no dask scheduler answers at"),
        (["--scheduler", "carrier-pigeon://loft", "--out", "OUT"], "no dask scheduler answers at carrier-pigeon"),
        (["--scheduler", "tls://127.0.0.1:1", "--out", "OUT"], "no dask scheduler answers at tls://"),
        (["--scheduler", "tcp://127.0.0.1", "--out", "OUT"], "no dask scheduler answers at"),
        (["--scheduler", "tcp://127.0.0.1:99999", "--out", "OUT"], "no dask scheduler answers at"),
        (["--scheduler", "tcp://[::1", "--out", "OUT"], "no dask scheduler answers at"),
        (["--scheduler", "ucx://127.0.0.1:8786", "--out", "OUT"], "no dask scheduler answers at"),
        (["--scheduler", "inproc://nobody", "--out", "OUT"], "no dask scheduler answers at"),
        (["--scheduler", "tcp://\udcff:1", "--out", "OUT"], "no dask scheduler answers at"),
        (["--scheduler", "", "--out", "OUT"], "no dask scheduler answers at"),
    ],
)
def test_workers_that_make_no_sense_are_one_sentence_and_leave_no_folder(options, words, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "REACH_SECONDS", 2.0)
    out = tmp_path / "run"
    begun = time.monotonic()
    assert re.search(words, refused(capsys, "run", *[option.replace("OUT", str(out)) for option in options]))
    assert time.monotonic() - begun < 10
    assert not out.exists()


@pytest.mark.parametrize(
    "options", [["--workers", "0"], ["--workers", "x"], ["--workers"], ["--scheduler=nowhere.json"]]
)
def test_resume_answers_alike(options, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "REACH_SECONDS", 0.5)
    ls.explore(ls.orthonormal_teacher(2), 1, budget=100, out=tmp_path / "run", progress=False)
    assert "workers" in (said := refused(capsys, "resume", tmp_path / "run", *options)) or "scheduler" in said


def test_a_port_where_something_else_listens_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "REACH_SECONDS", 2.0)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        begun = time.monotonic()
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        assert "no dask scheduler answers" in refused(capsys, "run", "--scheduler", address, "--out", tmp_path / "run")
    assert time.monotonic() - begun < 10


def test_without_dask_the_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install 'landscape[cluster]'" in refused(capsys, "run", "--workers", "2")


def test_a_folder_that_is_taken_is_refused_before_any_worker_starts(tmp_path, capsys, monkeypatch):
    ls.explore(ls.orthonormal_teacher(2), 1, budget=100, out=tmp_path / "run", progress=False)
    monkeypatch.setattr(cluster, "_local", None)
    assert "holds another run" in refused(capsys, "run", "--workers", "2", "--out", tmp_path / "run")


def test_a_problem_that_cannot_be_sent_is_one_sentence():
    lock = threading.Lock()

    def loss(x):
        with lock:
            return jnp.sum(x**2)

    problem = ls.from_loss(loss, lambda key: jax.random.normal(key, (1,)))
    with pytest.raises(ls.InputError, match=r"cannot be sent to other processes .*leave workers and scheduler out"):
        ls.explore(problem, 2, workers=1, progress=False)


def test_a_worker_loads_what_another_has_compiled_and_compiles_what_it_cannot_read(tmp_path):
    code = f"""
import jax, pathlib, sys
from landscape.host import worker
worker.share_compiled(pathlib.Path({str(tmp_path)!r}))
heard = []
jax.monitoring.register_event_listener(lambda event, **_: heard.append(event))
print(jax.jit(lambda x: x * 3.0 + 1.0)(2.0), sum("cache_hits" in event for event in heard))
"""

    def said():
        command = [sys.executable, "-W", "error", "-c", code]
        there = {name: value for name, value in ENVIRONMENT.items() if name != "JAX_COMPILATION_CACHE_DIR"}
        return subprocess.run(command, check=True, capture_output=True, text=True, env=there).stdout.split()

    assert said() == ["7.0", "0"]
    made = list(tmp_path.glob("*-cache"))
    assert made
    value, hits = said()
    assert value == "7.0"
    assert int(hits) == len(made)
    for path in made:  # as if another worker were in the middle of writing it
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert said()[0] == "7.0"


# -- dealing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 3, 64])
@pytest.mark.parametrize("restarts", [1, 2, 63, 1000, 12_345, 10**6])
def test_shares_are_long_at_first_and_even_in_every_round(restarts, workers):
    sizes = cluster.shares(restarts, workers, lanes=512)
    assert sum(sizes) == restarts
    assert min(sizes) > 0
    assert all(one + workers >= two for one, two in itertools.pairwise(sizes)), "shorter and shorter, but for rounding"
    assert max(sizes) <= 32 * 512
    if restarts > 4 * 512 * workers:
        last = sizes[-workers:]
        assert 256 <= last[0] <= 4 * 512, "the last round fills the lanes, and does not take long"
        assert last[0] - last[-1] < workers
    else:
        assert len(sizes) == min(workers, len(sizes)), "a small run is dealt once"
        assert sizes[0] == -(-restarts // workers)


def test_cores_are_shared_out_and_none_is_left_idle():
    for count in (1, 2, 3, 5, 8):
        parts = [worker.share(list(range(8)), number, count) for number in range(count)]
        assert [core for part in parts for core in part] == list(range(8))
    assert [worker.share([4, 7], number, 3) for number in range(3)] == [[4], [7], [4]]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the platform does not bind processes to cores")
def test_each_worker_runs_on_its_own_cores(tmp_path):
    mine = sorted(os.sched_getaffinity(0))
    with processes.Processes(2, str(tmp_path)) as started:
        expected = [worker.share(mine, number, 2) for number in range(2)]
        deadline = time.monotonic() + 30
        while [sorted(os.sched_getaffinity(p.pid)) for p in started.running.values()] != expected:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_gpus_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert worker.gpus() == ["3", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert worker.gpus() == []


def test_a_worker_that_does_not_see_the_folder_says_so(tmp_path):
    order = worker.Order(payload=b"", folder=str(tmp_path / "elsewhere"), run="", pace=(1.0, 1))
    assert "must be on a shared file system" in str(worker.do(order, np.arange(3)).refusal)


def test_a_stopped_run_does_nothing_more(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    ls.explore(waves(), 2, out=folder, **HOW)
    job = cluster._sent(__import__("landscape.host.drive", fromlist=["Job"]).Job(waves(), ls.Settings(), 0))
    monkeypatch.setattr(worker, "_stopped", {"this"})
    order = worker.Order(payload=job, folder=str(folder), run="this", pace=(1.0, 1))
    assert worker.do(order, np.arange(2, 9)).refusal is None
    assert len(store.read(folder).rows["restart"]) == 2
    assert Path(folder).exists()
