"""What a run cost is counted while it runs: time in chunks, lane-steps, bytes; and `bench --pipeline` says so."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

import landscape as ls
from landscape import cli
from landscape.engine.clock import Clock
from landscape.engine.driver import Driver
from landscape.engine.settings import Settings
from landscape.host.bench import bench, pipeline
from landscape.host.bench.asked import Bench


def test_chunks_that_overlap_are_busy_once():
    clock, begun = Clock(), time.perf_counter()
    chunks = [threading.Thread(target=clock.chunk(lambda: time.sleep(0.2))) for _ in range(3)]
    for one in chunks:
        one.start()
    for one in chunks:
        one.join()
    wall = time.perf_counter() - begun
    clock.chunk(lambda: time.sleep(0.1))()
    assert clock.chunks == 4
    assert clock.device_seconds >= 3 * 0.2 + 0.1
    assert 0.2 + 0.1 <= clock.busy_seconds <= wall + (time.perf_counter() - begun - wall)
    assert clock.busy_seconds < clock.device_seconds


def test_a_chunk_that_fails_is_over():
    clock = Clock()
    with pytest.raises(ZeroDivisionError):
        clock.chunk(lambda: 1 / 0)()
    time.sleep(0.05)
    clock.chunk(lambda: None)()
    assert clock.busy_seconds < 0.05


def test_the_steps_of_a_run_are_those_of_its_restarts_and_its_bytes_those_of_its_lanes():
    problem = ls.orthonormal_teacher(3)
    driver = Driver(problem, Settings(optimiser="flow", lanes=16), 0)
    rows = [batch[0] for batch in driver.run(np.arange(40))]
    clock, taken = driver.clock, sum(int(part["steps"].sum()) for part in rows)
    assert clock.own_steps == taken  # nobody diverged and began again
    assert taken <= clock.lane_steps < 10 * taken
    theta = problem.p * 8
    assert 40 * theta <= clock.up
    assert 40 * theta <= clock.down
    assert set(driver.clock.host) == {"wait", "look", "start"}
    assert min(driver.clock.host.values()) > 0


def test_the_command_prints_where_the_time_of_a_run_goes(capsys):
    with pytest.raises(SystemExit) as stop:
        cli.main(["bench", "--pipeline", "--quick", "--sizes", "3", "--restarts", "24", "--json"])
    assert stop.value.code == 0
    result = json.loads(capsys.readouterr().out)
    cell, rated = result["runs"]
    assert result["bench"]["optimiser"] == cell["optimiser"] == "flow"
    assert (cell["k"], cell["restarts"], cell["dtype"]) == (3, 24, "float64")
    assert sum(cell["labels"].values()) == 24
    assert 0 < cell["busy"] <= 1
    assert 0 < cell["own_steps"] <= 1
    assert set(cell["host_us"]) == {"wait", "look", "start", "polish", "classify", "other"}
    # The stages and what is left are all of the time.
    assert sum(cell["host_us"].values()) == pytest.approx(1e6 * cell["seconds"] / 24, rel=1e-6)
    said = "\n".join(pipeline.lines(cell))
    assert "24 restarts" in said
    assert f"{cell['own_steps']:.0%} of lane-steps" in said
    line = pipeline.rate(rated, result["environment"])
    assert line.startswith(f"rate: {rated['restarts_per_second']:.4g} restarts a second, labelled; k = n = 2 by flow")


def test_a_run_without_memory_says_so(monkeypatch):
    def run(self, restarts, report=None):
        raise MemoryError("80 GB are needed")
        yield

    monkeypatch.setattr(Driver, "run", run)
    cell = pipeline.pipeline(ls.orthonormal_teacher(2), 4, "float64", "flow", 0)
    assert cell["error"] == "out of memory: 80 GB are needed"
    assert "out of memory" in pipeline.lines(cell)[0]
    where = {"device": "cpu", "processor": "a", "cores_used": 2, "landscape": "0", "load_average": 2.5}
    assert "out of memory" in pipeline.rate(cell, where)
    fast = {"k": 20, "optimiser": "flow", "dtype": "float64", "restarts_per_second": 200.0}
    assert "busy" not in pipeline.rate(fast, where)
    assert "busy: 9 processes" in pipeline.rate(fast, where | {"load_average": 9.0})


def test_the_run_that_machines_are_compared_by_is_done_once(monkeypatch):
    done = []

    def run(problem, restarts, dtype, optimiser, lanes):
        done.append((problem.width, restarts))
        return {"k": problem.width, "restarts": restarts, "dtype": dtype, "optimiser": optimiser, "error": "none"}

    monkeypatch.setattr(bench, "pipeline", run)
    for sizes, wanted in (((2, 3), [(2, 16), (3, 16)]), ((3,), [(3, 16), (2, 16)])):
        done.clear()
        runs = bench.bench(Bench(sizes=sizes, restarts=(16,), quick=True, pipeline=True))["runs"]
        assert done == wanted
        assert runs[-1]["k"] == 2
