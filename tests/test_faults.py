"""Faults are found or do no harm: damaged, foreign and copied parts, two writers, signals, and terminals that fail.

`python benchmarks/faults.py` does the same some hundred times, over more studies.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from reference import call, check_refused
from slow import slow

import landscape as ls
from landscape.cli.runs import stored
from landscape.host import files, identity, interrupt, kept, store
from landscape.host.manifest import optimiser_name

SMALL = {
    "shamir": ["safran-shamir", "--teacher", "2", "--restarts", "6"],
    "table": ["safran-shamir-table", "--teachers", "2", "3", "--extra", "0", "--restarts", "4"],
    "grow": ["grow-until-global", "--rows", "5", "--dimension", "2", "--restarts", "6"],
    "mismatch": ["degree-mismatch", "--restarts", "6"],
    "zero": ["zero-subnetwork", "--rows", "4", "--widths", "1", "3", "--restarts", "4"],
}
TEACHER = [[1.0, 0.5], [0.0, -2.0]]
ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A finished run of each kind of study."""
    base = tmp_path_factory.mktemp("runs")
    for name, options in SMALL.items():
        assert call("run", *options, "--quiet", "--out", base / name) == 0
    return base


def said(capsys, *arguments):
    """What a command prints as JSON, times and counts of shards apart."""
    capsys.readouterr()
    assert call(*arguments, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    return without_times(content)


def without_times(content):
    if isinstance(content, dict):
        return {name: without_times(value) for name, value in content.items() if name not in ("seconds", "environment")}
    return [without_times(value) for value in content] if isinstance(content, list) else content


def kept_files(folder):
    """What is read back of a run: manifests, shards, records."""
    return [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix in (".json", ".parquet")]


# -- what is kept ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [slow(name) if name in ("shamir", "table") else name for name in SMALL])
def test_a_flipped_bit_anywhere_is_found_and_what_it_held_is_done_again(name, runs, tmp_path, capsys):
    whole = said(capsys, "show", runs / name)
    rng = np.random.default_rng(sum(map(ord, name)))
    found = kept_files(runs / name)
    assert len(found) >= 2
    for path in found:
        folder = tmp_path / f"{path.parent.name}-{path.name}"
        shutil.copytree(runs / name, folder)
        flip(folder / path.relative_to(runs / name), rng)
        status = call("resume", folder, "--json", "--quiet")
        out, err = capsys.readouterr()
        assert "damaged" in err, path
        assert "Traceback" not in err
        if status == 0:
            assert without_times(json.loads(out)) == whole
        else:
            assert (status, path.name) == (2, store.MANIFEST)


def flip(path, rng):
    """One bit of the file is the other way round."""
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)


@pytest.mark.parametrize("other", ["--seed", "--restarts"])
def test_shards_of_another_run_are_not_counted(other, tmp_path, capsys):
    options = ["safran-shamir", "--teacher", "2", "--quiet"]
    for name, number in (("a", 4), ("b", 7)):
        more = ["--restarts", 4, other, number] if other == "--seed" else [other, number]
        assert call("run", *options, *more, "--out", tmp_path / name) == 0
    whole = said(capsys, "show", tmp_path / "a")
    for shard in (tmp_path / "b" / "shards").iterdir():
        shutil.copy(shard, tmp_path / "a" / "shards")
    capsys.readouterr()
    assert stored(tmp_path / "a").finished == 4
    assert "is damaged and left out" in capsys.readouterr().err
    assert said(capsys, "resume", tmp_path / "a") == whole


def test_a_copied_cell_is_left_out_and_a_copied_record_is_done_again(runs, tmp_path, capsys):
    shutil.copytree(runs / "table", tmp_path / "table")
    shutil.rmtree(tmp_path / "table" / "k03-n03")
    shutil.copytree(tmp_path / "table" / "k02-n02", tmp_path / "table" / "k03-n03")
    assert stored(tmp_path / "table").finished == 4
    assert "holds another run" in capsys.readouterr().err
    check_refused(capsys, "holds another run than this cell's", "resume", tmp_path / "table", "--quiet")
    assert call("run", *SMALL["grow"], "--seed", 5, "--quiet", "--out", tmp_path / "grow") == 0
    whole = said(capsys, "show", tmp_path / "grow")
    shutil.copy(runs / "grow" / "result.json", tmp_path / "grow")
    check_refused(capsys, "is of another run", "show", tmp_path / "grow")
    assert said(capsys, "resume", tmp_path / "grow") == whole


def test_a_folder_of_an_older_version_is_shown_and_gone_on_with(runs, tmp_path, capsys):
    """It has no identity in its manifest, none in its shards, and no digest in its records."""
    for name in ("shamir", "grow"):
        folder = tmp_path / name
        manifest = store.read_manifest(runs / name)
        manifest.pop(identity.RUN)
        whole = said(capsys, "show", runs / name)
        store.create(folder, manifest)
        if name == "grow":
            record = json.loads((runs / name / "result.json").read_text())
            (folder / "result.json").write_text(json.dumps({part: record[part] for part in ("record", "text")}))
        else:
            rows = store.read(runs / name)
            store.append(folder, rows.rows, rows.weights)
            assert len(list((folder / "shards").iterdir())) == 1
        for command in ("show", "resume"):
            assert said(capsys, command, folder) == whole


def test_a_teacher_is_held_by_the_run_and_a_changed_file_ends_a_resume(tmp_path, capsys):
    path, folder = tmp_path / "teacher.json", tmp_path / "run"
    path.write_text(json.dumps({"teacher": TEACHER}))
    options = ["teacher-student", "--teacher", path, "--restarts", 4, "--quiet", "--out", folder]
    assert call("run", *options) == 0
    whole = said(capsys, "show", folder)
    path.write_text(json.dumps({"teacher": [[3.0, 0.0], [0.0, 1.0]]}))
    check_refused(capsys, "teacher.json is not what it was", "resume", folder)
    assert said(capsys, "show", folder) == whole
    path.unlink()
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    next(moved.glob("shards/*")).unlink()
    assert said(capsys, "resume", moved) == whole


def test_a_large_teacher_is_known_by_its_digest(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(files, "KEPT", 10)  # characters in place of 64 kB
    path, folder = tmp_path / "teacher.npz", tmp_path / "run"
    np.savez(path, teacher=TEACHER)
    assert call("run", "teacher-student", "--teacher", path, "--restarts", 4, "--quiet", "--out", folder) == 0
    whole = said(capsys, "show", folder)
    assert store.read_manifest(folder)["fields"]["teacher"] == str(path)
    np.savez(path, teacher=np.array(TEACHER) + 1)
    for command in ("show", "resume"):
        check_refused(capsys, "is not what it was", command, folder)
    path.unlink()
    check_refused(capsys, "is gone", "show", folder)
    np.savez(path, teacher=TEACHER)
    assert said(capsys, "show", folder) == whole


def test_an_optax_optimiser_is_known_by_what_it_does(tmp_path):
    code = "import optax; from landscape.host.manifest import optimiser_name; print(optimiser_name(optax.adam(1e-3)))"
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert optimiser_name(optax.adam(1e-3)) == elsewhere
    later = optax.piecewise_constant_schedule(1e-3, {1000: 0.1})
    others = (optax.adam(2e-3), optax.adam(later), optax.sgd(1e-3), optax.chain(optax.clip(0.1), optax.adam(1e-3)))
    assert len({optimiser_name(one) for one in (optax.adam(1e-3), *others)}) == 5
    problem = ls.orthonormal_teacher(2)
    how = dict(restarts=4, out=tmp_path / "run", resume=True, progress=False, budget=50)
    ls.explore(problem, optimiser=optax.sgd(0.1), **how)
    ls.explore(problem, optimiser=optax.sgd(0.1), **how)
    with pytest.raises(ls.InputError, match=r"its settings \(optimiser\) differs"):
        ls.explore(problem, optimiser=optax.sgd(0.2), **how)


def test_a_run_that_other_versions_went_on_with_says_so(tmp_path, monkeypatch, capsys):
    problem, how = ls.orthonormal_teacher(2), dict(out=tmp_path / "run", resume=True, progress=False)
    assert "versions" not in ls.explore(problem, 4, **how).environment
    next((tmp_path / "run").glob("shards/*")).unlink()
    for module in ("store", "run"):
        monkeypatch.setattr(f"landscape.host.{module}.made_by", lambda: "landscape 9.9, jax 0.99")
    assert capsys.readouterr().err == ""
    assert len(ls.explore(problem, 4, **how).environment["versions"]) == 2
    assert "goes on with landscape 9.9, jax 0.99" in capsys.readouterr().err
    monkeypatch.undo()
    assert "landscape 9.9, jax 0.99" in stored(tmp_path / "run").environment["versions"]


# -- who writes --------------------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from landscape.host import kept
with kept.one_writer(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_writer_is_refused_while_the_first_lives_and_not_after_its_death(runs, tmp_path, capsys):
    for name in ("shamir", "grow", "table"):
        shutil.copytree(runs / name, tmp_path / name)
    holders = [
        subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path / name)], stdout=subprocess.PIPE, env=ENVIRONMENT)
        for name in ("shamir", "grow", "table")
    ]
    try:
        for holder, name in zip(holders, ("shamir", "grow", "table"), strict=True):
            assert holder.stdout.readline() == b"held\n"
            check_refused(capsys, "another process is at work on", "resume", tmp_path / name)
            assert call("show", tmp_path / name) == 0
            capsys.readouterr()
    finally:
        for holder in holders:
            holder.kill()
            holder.communicate()
    capsys.readouterr()
    for name in ("shamir", "grow", "table"):
        assert call("resume", tmp_path / name) == 0


def test_a_refused_run_leaves_no_folder(tmp_path, capsys):
    for options in (
        ["safran-shamir", "--teacher", "2", "--init", "xaver"],
        ["hidden-convex", "--init", "xaver"],
        ["safran-shamir-table", "--teachers", "2", "--init", "xaver"],
        ["grow-until-global", "--most", "-1"],
    ):
        check_refused(capsys, "", "run", *options, "--quiet", "--out", tmp_path / "run")
        assert not (tmp_path / "run").exists(), options
    with pytest.raises(ls.InputError, match="xaver"):
        ls.explore(ls.orthonormal_teacher(2), 3, init="xaver", out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_nothing_is_withdrawn_from_a_folder_that_holds_something(runs, tmp_path):
    for name in SMALL:
        shutil.copytree(runs / name, tmp_path / name)
        before = sorted((tmp_path / name).rglob("*"))
        kept.withdraw(tmp_path / name)
        assert sorted((tmp_path / name).rglob("*")) == before


# -- signals -----------------------------------------------------------------------------------------------------------

COMMAND = [sys.executable, "-m", "landscape.cli"]
LONG = ["run", "safran-shamir", "--teacher", "8", "--restarts", "100000", "--json", "--out"]


def heeds(pid):
    """Whether the process has a handler for SIGTERM: before that it is still Python's own start."""
    caught = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="handlers are looked up in /proc")
@pytest.mark.parametrize(("number", "wait"), [(signal.SIGTERM, 0.0), (signal.SIGINT, 0.3), slow(signal.SIGTERM, None)])
def test_a_signal_ends_a_run_with_status_three_from_its_first_moment_on(number, wait, tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen([*COMMAND, *LONG, str(folder)], stdout=-1, stderr=-1, env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while not heeds(process.pid) or (wait is None and not list(folder.glob("shards/*.parquet"))):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    time.sleep(wait or 0.0)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 3, err
    assert b"Traceback" not in err
    assert b"stopped" in err
    if wait is None:
        assert json.loads(out)["findings"]["finished"] == len(store.read(folder).rows["restart"]) > 0


def test_ctrl_c_during_explore_sets_a_flag_and_pythons_handler_comes_back():
    problem = ls.orthonormal_teacher(2)

    def own(number, frame):
        raise AssertionError

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupt.heeded():
            assert not interrupt.requested()
            signal.raise_signal(signal.SIGINT)
            assert interrupt.requested()
            with pytest.raises(KeyboardInterrupt):
                interrupt.check()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)  # the second one is not waited for
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert not interrupt.requested()
        assert ls.explore(problem, 4, progress=False).finished == 4
        signal.signal(signal.SIGINT, own)
        with interrupt.heeded():
            assert signal.getsignal(signal.SIGINT) is own, "a caller's own handler stays"
    finally:
        signal.signal(signal.SIGINT, before)


# -- sentences ---------------------------------------------------------------------------------------------------------


def one_sentence(command, status=2, **how):
    """What a command that fails says, as a process of its own."""
    done = subprocess.run(
        command, stderr=subprocess.PIPE, env={**ENVIRONMENT, **how.pop("env", {})}, timeout=120, **how
    )
    text = done.stderr.decode()
    assert done.returncode == status, text
    assert len(text.strip().splitlines()) == 1, text
    assert text.startswith("landscape: ")
    return text


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_full_device_is_one_sentence(runs, tmp_path, capsys):
    with open("/dev/full", "wb") as full:
        assert "No space left on device" in one_sentence([*COMMAND, "studies"], stdout=full)
        assert "No space left" in one_sentence([*COMMAND, "show", str(runs / "shamir"), "--json"], stdout=full)
    shutil.copytree(runs / "grow", tmp_path / "grow")
    (tmp_path / "grow" / "figures").mkdir()
    (tmp_path / "grow" / "figures" / "growth.png").symlink_to("/dev/full")
    check_refused(capsys, "No space left on device", "plot", tmp_path / "grow")


def test_a_platform_that_is_not_there_is_one_sentence():
    absent = "rocm" if jax.default_backend() == "gpu" else "cuda"
    said = one_sentence([*COMMAND, "run", "--teacher", "2", "--restarts", "2"], env={"JAX_PLATFORMS": absent})
    assert "JAX_PLATFORMS" in said


def test_an_ascii_terminal_and_markup_in_names_do_no_harm(tmp_path):
    folder = tmp_path / "café [red] \N{SNOWMAN} [/bold]"
    folder.parent.mkdir()
    ascii_only = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "1", "LC_ALL": "C"}
    command = [*COMMAND, "run", "safran-shamir", "--teacher", "2", "--restarts", "3", "--out", str(folder)]
    done = subprocess.run(command, capture_output=True, env={**ENVIRONMENT, **ascii_only}, timeout=120)
    assert done.returncode == 0, done.stderr
    assert rb"caf\xe9 [red] \u2603 [/bold]" in done.stdout.replace(b"\n", b"")


def test_a_manifest_with_a_field_of_a_newer_version_is_one_sentence(runs, tmp_path, capsys):
    manifest = store.read_manifest(runs / "shamir")
    manifest["fields"]["temperature"] = 3.0
    store.create(tmp_path / "newer", manifest)
    for command in ("show", "resume", "plot"):
        check_refused(capsys, "has a field 'temperature' that this version does not know", command, tmp_path / "newer")


@pytest.mark.parametrize("text", ["x" * 5000, "a\0b", "[[1, 0]" * 3000])
def test_odd_names_of_files_are_one_sentence(text, capsys):
    for option in ("--teacher",):
        check_refused(capsys, "", "run", "teacher-student", option, text, "--restarts", "1")
    check_refused(capsys, "", "run", "hidden-convex", "--data", text, "--restarts", "1")
    check_refused(capsys, "", "label", text)
