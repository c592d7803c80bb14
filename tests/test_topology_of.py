"""One call, or one command, goes from a run to its topology: nodes, intervals, questions at a level, kept and drawn."""

from __future__ import annotations

import json

import numpy as np
import pytest
from reference import call

import landscape as ls
from landscape.host.barriers import ALL_PAIRS, FOUND_LATER, pairs_of
from landscape.theory.spurious_valleys.published import valley

# Four minima, joined over three saddles; its barriers are found by flooding a grid in the test.
OWN = """
import jax
import landscape as ls
problem = ls.from_loss(
    lambda w: (w[0] ** 2 - 1) ** 2 + 0.1 * w[0] + 0.5 * (w[1] ** 2 - 1) ** 2 + 0.2 * w[0] * w[1],
    lambda key: jax.random.normal(key, (2,)),
)
"""


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """The folder of a run of a loss from Python, and the file with that loss."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    known: dict = {}
    exec(OWN, known)
    ls.explore(known["problem"], 40, 0, out=folder / "run", progress=False)
    return folder / "run", folder / "own.py", known["problem"]


def _flooded(minima):
    """Barriers of OWN between the points [k, 2] on a grid of neighbours: the true ones to the grid's square."""
    axis = np.linspace(-1.6, 1.6, 321)
    a, b = np.meshgrid(axis, axis, indexing="ij")
    loss = (a**2 - 1) ** 2 + 0.1 * a + 0.5 * (b**2 - 1) ** 2 + 0.2 * a * b
    where = [tuple(np.abs(axis - x).argmin() for x in point) for point in minima]
    group, out = {}, np.full((len(where), len(where)), np.inf)
    members: dict[int, set[int]] = {}
    for flat in np.argsort(loss, axis=None):
        i, j = divmod(int(flat), 321)
        own = (i, j)
        group[own] = flat
        members[flat] = {k for k, one in enumerate(where) if one == own}
        for other in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
            if other in group:
                one, two = _root(group, own), _root(group, other)
                if one != two:
                    for p in members[one]:
                        for q in members[two]:
                            out[p, q] = out[q, p] = loss[own]
                    members[two] |= members.pop(one)
                    group[divmod(int(one), 321)] = two
    return out


def _root(group, place):
    while group[place] != place[0] * 321 + place[1]:
        place = divmod(int(group[place]), 321)
    return group[place]


@pytest.mark.slow
def test_barriers_of_a_loss_from_python_are_those_of_a_flooded_grid(own, capsys):
    folder, file, problem = own
    found = ls.topology_of(folder, problem)
    graph = found.graph
    assert len(graph.minima) == 4
    true = _flooded(found.points)
    for i in range(4):
        for j in range(i):
            # The grid is 0.01 wide and curvatures are below 8: its barriers are above the true ones by 1e-3 at most.
            assert graph.low[i, j] <= true[i, j]
            assert true[i, j] - 1e-3 <= graph.high[i, j] <= true[i, j] + 1e-2
    # The command reads what is kept, and answers at a level.
    before = (folder / "topology.json").read_bytes()
    assert call("topology", str(folder), "--problem", str(file), "--level", "0.5", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["loss"] for one in said["minima"]] == [one.loss for one in graph.minima]
    assert said["at"]["components"][0] <= sum(_heads(true, 0.5, [one.loss for one in graph.minima]))
    assert sum(_heads(true, 0.5, [one.loss for one in graph.minima])) <= said["at"]["components"][1]
    assert (folder / "topology.json").read_bytes() == before
    assert (folder / "figures" / "disconnectivity.png").stat().st_size > 5000
    assert (
        call("topology", str(folder), "--problem", str(file), "--searches", "0", "--out", str(folder / "own.png")) == 0
    )
    assert "4 minima, an orbit under the symmetry is one" in capsys.readouterr().out
    assert (folder / "topology.json").read_bytes() != before


def _heads(true, level, losses):
    here = [i for i, loss in enumerate(losses) if loss <= level]
    return [not any(true[i, j] <= level for j in here if j < i) for i in here]


@pytest.mark.slow
def test_the_barrier_of_the_certified_valley_comes_out_of_a_census():
    census = ls.explore(valley().problem, 40, 0, progress=False)
    found = ls.topology_of(census)
    assert found.folder is None
    losses = [one.loss for one in found.graph.minima]
    bottom = int(np.argmin(np.abs(np.array(losses) - 4.5)))
    assert losses[bottom] == pytest.approx(4.5, abs=1e-9)
    level = found.graph.barrier(0, bottom)
    assert 31 / 6 - 1e-9 <= level.low <= level.high <= 31 / 6 + 1e-3
    assert "wall of 1 positive and 0 negative neurons" in str(found)
    assert found.searches == {}  # kinks


@pytest.mark.slow
def test_a_minimum_that_no_restart_found_is_a_node_without_a_share():
    problem = ls.orthonormal_teacher(6)
    census = ls.explore(problem, starts=np.eye(6).ravel()[None], optimiser="flow", progress=False)
    found = ls.topology_of(census, searches=40, steps=100)
    assert [(one.name, one.share, one.label) for one in found.graph.minima] == [
        (0, 1.0, "global"),
        (FOUND_LATER, 0.0, "spurious"),
    ]
    assert found.graph.minima[1].loss == pytest.approx(0.025080581002463, abs=1e-12)
    barrier = found.graph.barrier(0, 1)
    # Above the published minimum by its ball, below the lowest transition state at 0.0250923306.
    assert 0.025080581002463 < barrier.low < barrier.high <= 0.0250923307


def test_many_minima_are_joined_by_few_pairs():
    points = np.random.default_rng(0).normal(size=(40, 3))
    assert len(pairs_of(points[:ALL_PAIRS])) == ALL_PAIRS * (ALL_PAIRS - 1) // 2
    pairs = pairs_of(points)
    assert len(pairs) <= 78
    assert {j for _, j in pairs} == set(range(1, 40))
    assert all(i < j for i, j in pairs)


def test_what_has_no_topology_is_one_sentence(own, tmp_path, capsys):
    folder, _, _ = own
    assert call("run", "intrinsic-dimension", "--dimension", "2", "--rows", "5", "--out", str(tmp_path / "other")) == 0
    capsys.readouterr()
    for arguments, words in (
        ((), "topology needs the folder of a run"),
        ((str(folder),), "does not hold its loss"),
        ((str(tmp_path / "other"),), "holds no census; give the folder of one run"),
        ((str(folder), "--level", "nan"), "level must be a finite number"),
        ((str(folder), "--steps", "many"), "`landscape topology --help` lists the options"),
        ((str(tmp_path / "nowhere"),), "nowhere"),
    ):
        assert call("topology", *arguments) == 2, arguments
        said = capsys.readouterr()
        assert said.out == ""
        assert words in said.err
        assert said.err.count("\n") == 1
    with pytest.raises(ls.InputError, match="steps must be a whole number"):
        ls.topology_of(ls.explore(ls.orthonormal_teacher(2), 4, progress=False), steps=-1)
