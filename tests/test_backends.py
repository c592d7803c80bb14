"""A census is the same on any backend: with no CPU beside the accelerator, without float64 there, in less memory."""

from __future__ import annotations

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from same import same

import landscape as ls
from landscape import precision
from landscape.cli import command
from landscape.engine.driver import Driver
from landscape.engine.settings import Settings
from landscape.host import drive, exhausted
from landscape.host.bench import bench, measure
from landscape.host.bench.asked import Bench

EXHAUSTED = "RESOURCE_EXHAUSTED: Out of memory allocating 3680000000000 bytes.\nand a page about where it went"


def said_by(code, *words, flags=""):
    """What a fresh Python process prints as JSON."""
    made = f"import os, sys\nos.environ |= {{'XLA_FLAGS': {flags!r}, 'JAX_PLATFORMS': 'cpu'}}\n{code}"
    asked = [sys.executable, "-c", made, *words]
    done = subprocess.run(asked, check=False, capture_output=True, timeout=300, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# -- no CPU backend ----------------------------------------------------------------------------------------------------


def test_a_run_needs_no_cpu_backend(monkeypatch):
    problem = ls.orthonormal_teacher(3)
    starts = ls.start_points(problem, 5, np.arange(6))
    census = ls.explore(problem, 6, seed=5, progress=False)
    found, asked = jax.local_devices, []

    def without(*arguments, backend=None, **options):
        asked.append(backend)
        if backend == "cpu":
            raise RuntimeError("Unknown backend: 'cpu' requested")
        return found(*arguments, backend=backend, **options)

    monkeypatch.setattr(jax, "local_devices", without)
    monkeypatch.setattr(jax, "devices", lambda *words: pytest.fail(f"jax.devices{words} asked beside the door"))
    assert precision.host() is None
    same(ls.start_points(problem, 5, np.arange(6)), starts)  # a GPU draws them itself
    again = ls.explore(problem, 6, seed=5, progress=False)
    np.testing.assert_array_equal(again.rows["label"], census.rows["label"])
    assert "cpu" in asked


PLATFORMS = """
import json, jax
from landscape.cli import arguments
jax.local_devices = list  # no backend is begun here: there is no GPU
found = []
for asked in ("cuda", "cuda,cpu", "cpu", None):
    jax.config.update("jax_platforms", asked)
    arguments.use_64_bits()
    found.append(jax.config.values["jax_platforms"])
print(json.dumps(found))
"""


def test_the_command_asks_for_the_cpu_beside_the_platform_that_is_asked_for():
    assert said_by(PLATFORMS) == ["cuda,cpu", "cuda,cpu", "cpu", None]


# -- no float64 on the device ------------------------------------------------------------------------------------------

SINGLE = """
import json
import numpy as np, jax, landscape as ls
from landscape import precision
from landscape.engine import lanes
from landscape.engine.driver import Driver
from landscape.engine.settings import Settings

device, cpu = jax.local_devices()
single, programs, wide = sys.argv[1] == "single", [], []
if single:
    precision.devices = lambda: [device]
    precision.host = lambda: cpu
    precision.has_float64 = lambda one: one is cpu
    from landscape.engine import driver
    from landscape.problems import restart
    driver.devices, driver.has_float64, restart.host = precision.devices, precision.has_float64, precision.host

made = lanes._program
def program(problem, method, form, watch, given, sharding, blocks):
    if device in sharding.device_set:
        sent = [given, jax.tree.map(np.asarray, problem)]
        wide.extend(str(leaf.shape) for leaf in jax.tree.leaves(sent) if leaf.dtype == np.float64 and leaf.ndim)
    programs.append((str(given[0].theta.dtype), [one.id for one in sorted(sharding.device_set, key=lambda d: d.id)]))
    return made(problem, method, form, watch, given, sharding, blocks)
lanes._program = program

def look(now):
    for one in jax.live_arrays():
        if one.dtype == np.float64 and one.ndim and device in one.devices():
            wide.append(str(one.shape))

with precision.float64():
    # Minima of a wider student lie in flat sets: no basin is shown in float32, and some descents end in float64.
    driver = Driver(ls.orthonormal_teacher(8, 9), Settings(optimiser="flow", dtype="float32"), 0)
    parts = list(driver.run(np.arange(24), look))
rows = {name: np.concatenate([part[0][name] for part in parts]) for name in ("restart", "label", "loss")}
order = np.argsort(rows["restart"])
print(json.dumps({
    "labels": rows["label"][order].tolist(), "losses": np.abs(np.round(rows["loss"][order], 12)).tolist(),
    "programs": sorted({(dtype, tuple(ids)) for dtype, ids in programs}), "wide": wide,
}))
"""


@pytest.mark.slow
def test_where_the_device_has_no_float64_the_host_finishes_what_it_descends():
    flags = "--xla_force_host_platform_device_count=2"
    both, single = (said_by(SINGLE, which, flags=flags) for which in ("both", "single"))
    assert single["labels"] == both["labels"]
    assert single["losses"] == both["losses"]
    # Device 0 stands for the accelerator: descents in float32 there, what is in float64 beside it.
    assert single["programs"] == [["float32", [0]], ["float64", [1]]]
    assert single["wide"] == []
    assert ["float64", [0, 1]] in both["programs"]


def test_a_device_without_float64_refuses_to_descend_in_it(monkeypatch):
    monkeypatch.setattr("landscape.engine.driver.has_float64", lambda device: False)
    with pytest.raises(ls.InputError, match="has no float64: set dtype to float32"):
        Driver(ls.orthonormal_teacher(2), Settings(), 0)


def test_with_float64_neither_on_device_nor_host_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr(precision, "has_float64", lambda device: False)
    monkeypatch.setattr(precision, "host", lambda: None)
    with pytest.raises(ls.InputError, match=f"set it to {jax.default_backend()},cpu"), precision.float64():
        pass


# -- too little memory -------------------------------------------------------------------------------------------------


@pytest.fixture
def room_for_eight_lanes(monkeypatch):
    """A device on which 32 lanes run out of memory once a first batch is finished, and 16 at once."""
    run = Driver.run

    def short(self, restarts, report=None):
        if self.lanes(len(restarts)) == 16:
            raise jax.errors.JaxRuntimeError(EXHAUSTED)
        for columns, theta in run(self, restarts, report):
            if self.lanes(len(restarts)) <= 8:
                yield columns, theta
            else:
                few = min(4, len(theta))
                yield {name: column[:few] for name, column in columns.items()}, theta[:few]
                raise jax.errors.JaxRuntimeError(EXHAUSTED)

    monkeypatch.setattr(Driver, "run", short)


def test_out_of_memory_a_run_goes_on_in_fewer_lanes_and_says_so_once(room_for_eight_lanes, monkeypatch, capsys):
    problem, shown = ls.orthonormal_teacher(8), []
    census = ls.explore(problem, 48, seed=1, lanes=32, progress=False)
    said = capsys.readouterr().err.splitlines()
    device = jax.local_devices()[0].device_kind
    assert said == [f"landscape: 32 lanes do not fit the memory of this device ({device}); the run goes on with 8."]
    driver, rows = Driver(problem, Settings(lanes=32), 1), []
    assert drive.drive(driver, np.arange(48), lambda columns, _: rows.append(columns), shown.append)
    assert driver.settings.lanes == 8
    assert shown[-1].total == 48
    assert [now.done for now in shown] == sorted(now.done for now in shown)
    assert shown[-1].done == sum(shown[-1].labels.values()) == 48
    np.testing.assert_array_equal(np.sort(np.concatenate([part["restart"] for part in rows])), np.arange(48))

    monkeypatch.undo()
    whole = ls.explore(problem, 48, seed=1, lanes=32, progress=False)
    for name in ("restart", "label", "steps", "basin"):
        np.testing.assert_array_equal(census.rows[name], whole.rows[name])
    assert [level.orbits for level in census.levels] == [level.orbits for level in whole.levels]


def test_where_one_lane_does_not_fit_that_is_one_sentence(monkeypatch, capsys):
    def run(self, restarts, report=None):
        raise jax.errors.JaxRuntimeError(EXHAUSTED)
        yield

    monkeypatch.setattr(Driver, "run", run)
    assert command.command(["run", "--teacher", "2", "--restarts", "64", "--quiet"]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said == f"landscape: the memory of this machine does not suffice ({EXHAUSTED.splitlines()[0]})."
    with pytest.raises(MemoryError, match="RESOURCE_EXHAUSTED"):
        ls.explore(ls.orthonormal_teacher(2), 4, progress=False)


def test_another_failure_is_not_taken_for_a_lack_of_memory(monkeypatch):
    def run(self, restarts, report=None):
        raise jax.errors.JaxRuntimeError("INTERNAL: broken")
        yield

    monkeypatch.setattr(Driver, "run", run)
    with pytest.raises(jax.errors.JaxRuntimeError, match="broken"):
        ls.explore(ls.orthonormal_teacher(2), 4, progress=False)
    assert exhausted.out_of_memory(ValueError("broken")) is None


def test_a_bench_out_of_memory_says_so_in_its_cells(monkeypatch):
    def refused(*arguments, **options):
        raise ValueError(EXHAUSTED)  # as JAX puts it for some programs that it cannot compile

    monkeypatch.setattr(measure, "timed", refused)
    monkeypatch.setattr(measure, "BatchedGradient", refused)
    monkeypatch.setattr(measure, "explore", refused)
    (cell,) = bench.bench(Bench(sizes=(2,), restarts=(4,), quick=True))["cells"]
    for what in ("gradient", "loss", "hessian", "newton", "descent", "census"):
        assert cell[what]["error"].startswith("out of memory: RESOURCE_EXHAUSTED")


# -- from one device to another ----------------------------------------------------------------------------------------

HALF = """
import json, pathlib, jax, landscape as ls
from landscape.host import drive, store
from landscape.host.load import load
jax.config.update("jax_enable_x64", True)
drive.SHARD_ROWS = 8
folder, how = pathlib.Path(sys.argv[1]), dict(restarts=40, seed=1, lanes=16, progress=False)
census = ls.explore(ls.orthonormal_teacher(8), out=folder, resume=True, **how)
if sys.argv[2] == "first":
    for name in store.shard_names(folder)[::2]:  # as a kill leaves a folder: part of the shards
        (folder / "shards" / name).unlink()
print(json.dumps({
    "labels": census.rows["label"].tolist(), "steps": census.rows["steps"].tolist(),
    "environment": census.environment, "shown": load(folder).environment,
}))
"""


@pytest.mark.slow
def test_a_run_goes_on_on_another_device_and_names_both(tmp_path):
    first = said_by(HALF, str(tmp_path / "run"), "first", flags="--xla_force_host_platform_device_count=1")
    assert first["environment"]["device"] == "cpu"
    assert "devices" not in first["environment"]
    then = said_by(HALF, str(tmp_path / "run"), "then", flags="--xla_force_host_platform_device_count=4")
    assert then["labels"] == first["labels"]
    assert then["steps"] == first["steps"]
    assert then["environment"]["devices"] == then["shown"]["devices"] == ["4 x cpu", "cpu"]
