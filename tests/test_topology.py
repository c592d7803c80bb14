"""Barriers are intervals: bounds carry over chains, contradictions are refused, and questions have three answers."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from landscape.records import InputError
from landscape.topology.graph import HIGHER_END, NO_PATH, Minimum, Wall, Way, components, depth, graph, with_global
from landscape.topology.merge_tree import merge_tree


def minima(*losses, best="global"):
    return [Minimum(i, loss, best if i == 0 else "spurious", 1 / len(losses)) for i, loss in enumerate(losses)]


def test_a_chain_of_paths_is_as_high_as_its_highest_link():
    found = graph(minima(0.0, 1.0, 2.0), [Way(0, 1, 3.0, "a"), Way(1, 2, 5.0, "b"), Way(0, 2, 9.0, "c")])
    assert found.barrier(0, 2) == (2.0, 5.0, HIGHER_END, "b")
    assert found.barrier(2, 0) == found.barrier(0, 2)
    assert found.barrier(0, 1) == (1.0, 3.0, HIGHER_END, "a")


def test_a_wall_is_carried_to_what_is_joined_below_it():
    walls = [Wall(0, 2, 6.0, "wall")]
    found = graph(minima(0.0, 1.0, 2.0), [Way(0, 1, 3.0, "a")], walls)
    assert found.barrier(1, 2) == (6.0, np.inf, "wall", NO_PATH)
    # A path above the wall carries nothing.
    above = graph(minima(0.0, 1.0, 2.0), [Way(0, 1, 7.0, "a")], walls)
    assert above.barrier(1, 2).low == 2.0


def test_a_rim_stands_between_a_minimum_and_all_others():
    found = graph(minima(0.0, 1.0, 2.0), [], [Wall(1, None, 1.5, "ball")])
    assert found.barrier(1, 0).low == 1.5
    assert found.barrier(1, 2) == (2.0, np.inf, HIGHER_END, NO_PATH)
    assert found.barrier(0, 2).low == 2.0


def _true_barriers(rng, k):
    """A random landscape on a graph of k minima and passes: exact barriers by trying all chains."""
    losses = np.sort(rng.uniform(0, 1, k))
    passes = {pair: float(rng.uniform(max(losses[list(pair)]), 3)) for pair in itertools.combinations(range(k), 2)}
    exact = np.maximum(losses[:, None], losses) * np.eye(k)
    exact[:] = np.inf
    exact[np.diag_indices(k)] = losses
    for (i, j), level in passes.items():
        exact[i, j] = exact[j, i] = level
    for middle in range(k):
        exact = np.minimum(exact, np.maximum(exact[:, middle][:, None], exact[middle]))
    return losses, passes, exact


@pytest.mark.parametrize("seed", range(30))
def test_true_barriers_lie_within_their_intervals(seed):
    """Some paths with room above, some walls with room below, of a landscape whose barriers are known."""
    rng = np.random.default_rng(seed)
    losses, passes, exact = _true_barriers(rng, 8)
    pairs = list(passes)
    ways = [Way(*p, passes[p] + rng.choice([0.0, 0.2]), "way") for p in pairs if rng.random() < 0.5]
    walls = [Wall(*p, exact[p] - rng.choice([0.0, 0.1]), "wall") for p in pairs if rng.random() < 0.5]
    rims = [Wall(i, None, float(np.min(np.delete(exact[i], i))), "rim") for i in range(8) if rng.random() < 0.3]
    found = graph(minima(*losses), ways, walls + rims)
    assert np.all(found.low <= exact + 1e-12)
    assert np.all(found.high >= exact - 1e-12)
    for one in walls:
        assert found.low[one.first, one.second] >= one.low
    # The number of components at a level, against the exact one.
    for level in np.linspace(0, 3, 7):
        here = np.flatnonzero(losses <= level)
        heads = [i for i in here if not any(exact[i, j] <= level for j in here if j < i)]
        least, most = components(found, level)
        assert least <= len(heads) <= most
    for i in range(8):
        true = exact[i, 0] <= losses[i]
        assert with_global(found, i) in (true, None)
        high = with_global(found, i, 2.0)
        assert high in (exact[i, 0] <= 2.0, None)
        deep = depth(found, i)
        if i:
            assert deep is not None
            assert deep.low - 1e-12 <= min(exact[i, :i]) - losses[i] <= deep.high + 1e-12


def test_with_all_paths_and_walls_everything_is_decided():
    losses, passes, exact = _true_barriers(np.random.default_rng(3), 7)
    found = graph(minima(*losses), [Way(*p, v, "way") for p, v in passes.items()],
                  [Wall(*p, exact[p], "wall") for p in passes])  # fmt: skip
    np.testing.assert_array_equal(found.low, found.high)
    assert all(with_global(found, i, 1.5) is not None for i in range(7))


def test_three_answers():
    ways, walls = [Way(0, 1, 2.0, "a")], [Wall(0, 2, 3.0, "w")]
    found = graph(minima(0.0, 1.0, 1.5, 1.6), ways, walls)
    assert [with_global(found, i, 2.5) for i in range(4)] == [True, True, False, None]
    assert with_global(found, 0) is True
    assert with_global(found, 1) is None
    assert components(found, 2.5) == (2, 3)
    assert depth(found, 0) is None
    assert depth(found, 1) == (0.0, 1.0, HIGHER_END, "a")
    with pytest.raises(InputError, match=r"above the level 0\.5"):
        with_global(found, 1, 0.5)
    without = graph(minima(0.0, 1.0, best="undecided"), ways)
    assert with_global(without, 1, 2.5) is None


def test_a_strict_minimum_is_alone_at_its_own_loss_and_not_above():
    nodes = [Minimum(0, 0.0, "global", 0.5, True), Minimum(1, 1.0, "spurious", 0.5, True)]
    found = graph(nodes, [Way(0, 1, 2.0, "a")])
    assert with_global(found, 1) is False
    assert with_global(found, 1, 1.5) is None
    assert with_global(found, 1, 2.0) is True
    assert with_global(found, 0) is True
    rounded = [nodes[0], nodes[1]._replace(strict=False)]
    assert with_global(graph(rounded, [Way(0, 1, 1.0 + 1e-13, "a")]), 1) is True  # the path stays at the level
    assert with_global(graph(rounded, [Way(0, 1, 1.0 + 1e-11, "a")]), 1) is None
    assert with_global(graph(nodes, [Way(0, 1, 1.0 + 1e-13, "a")]), 1) is False
    alone = graph([nodes[1]])
    assert with_global(alone, 0) is None  # no global minimum is known


def test_minima_that_differ_by_rounding_are_neither_surely_lower_nor_surely_not():
    nodes = [Minimum(0, 1e-30, "global", 0.5), Minimum(1, 3e-30, "global", 0.2), Minimum(2, 1.0, "spurious", 0.2),
             Minimum(3, 1.0 + 1e-13, "spurious", 0.1)]  # fmt: skip
    found = graph(nodes, [Way(0, 1, 0.5, "a"), Way(2, 3, 1.1, "b"), Way(0, 3, 2.0, "c")])
    assert depth(found, 1) is None  # a global minimum
    deep = depth(found, 3)
    assert deep is not None
    assert deep.low == 0.0
    assert deep.high == pytest.approx(1.0, abs=1e-9)  # to minimum 0, not the 0.1 to minimum 2


def test_bounds_that_contradict_each_other_are_refused():
    with pytest.raises(InputError, match="no path between minima 0 and 1 stays below 3, and one rises to 2 only"):
        graph(minima(0.0, 1.0), [Way(0, 1, 2.0, "a")], [Wall(0, 1, 3.0, "w")])
    same = graph(minima(0.0, 1.0), [Way(0, 1, 2.0, "a")], [Wall(0, 1, 2.0 + 1e-12, "w")])
    assert same.barrier(0, 1)[:2] == (2.0, 2.0)  # rounding


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (lambda: graph(minima(1.0, 0.0)), "ascending order"),
        (lambda: graph(minima(0.0, np.nan)), "finite losses"),
        (lambda: graph(minima(0.0), [Way(0, 1, 1.0, "a")]), "names minimum 1, and there are 1"),
        (lambda: graph(minima(0.0), [], [Wall(-1, None, 1.0, "a")]), "names minimum -1"),
    ],
)
def test_bad_input_is_one_sentence(given, words):
    with pytest.raises(InputError, match=words):
        given()


def test_the_tree_merges_the_lowest_first_and_keeps_what_is_not_joined_apart():
    ways = [
        Way(0, 1, 4.0, "b"),
        Way(2, 3, 3.0, "a"),
        Way(1, 2, 6.0, "c"),
        Way(0, 2, 7.0, "-"),
        Way(4, 4, 1.0, "x"),
    ]
    found = merge_tree(graph(minima(0.0, 1.0, 1.2, 2.0, 2.5), ways, [Wall(0, 2, 5.0, "w")]))
    assert [one[:2] for one in found.merges] == [(2, 3), (0, 1), (6, 5)]
    assert [one.level[:2] for one in found.merges] == [(2.0, 3.0), (1.0, 4.0), (5.0, 6.0)]
    assert found.merges[2].level.low_by == "w"
    assert found.merges[-1].members == (0, 1, 2, 3)
    assert found.roots == (7, 4)


def test_nothing_and_one_minimum_are_graphs_too():
    empty, single = graph([]), graph(minima(0.5))
    assert merge_tree(empty) == ((), ())
    assert merge_tree(single) == ((), (0,))
    assert components(empty, 1.0) == (0, 0)
    assert components(single, 1.0) == (1, 1)


def test_five_hundred_minima_make_one_tree():
    rng = np.random.default_rng(0)
    losses = np.sort(rng.uniform(0, 1, 500))
    ways = [Way(int(i), int(rng.integers(0, i)), float(rng.uniform(1, 2)), "way") for i in range(1, 500)]
    walls = [Wall(i, None, losses[i] + 0.01 * rng.random(), "rim") for i in range(500)]
    assert len(merge_tree(graph(minima(*losses), ways, walls)).merges) == 499
