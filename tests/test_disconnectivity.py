"""The disconnectivity graph is drawn for none, one, some and hundreds of minima, at their losses and merge levels."""

from __future__ import annotations

import numpy as np
import pytest
from drawn import texts
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

from landscape.figures.disconnectivity import NAMED, disconnectivity
from landscape.figures.style import COLOURS, save
from landscape.topology.graph import Minimum, Wall, Way, graph


def random_graph(k, joined=1.0, seed=0):
    rng = np.random.default_rng(seed)
    losses = np.sort(rng.uniform(0, 1, k))
    minima = [Minimum(i, v, "spurious" if i else "global", 1 / k) for i, v in enumerate(losses.tolist())]
    ways = [Way(i, int(rng.integers(0, i)), float(losses[i] + rng.exponential(0.2)), "way") for i in range(1, k)]
    return graph(
        minima, [way for way in ways if rng.random() < joined], [Wall(0, None, float(losses[0]) + 1e-3, "rim")]
    )


def markers(figure):
    """Points drawn, by colour."""
    return {to_hex(line.get_color()).upper(): np.column_stack(line.get_data()) for line in figure.axes[0].lines}


def lines(figure):
    """Segments of branches; bars; dotted ends."""
    return [c.get_segments() for c in figure.axes[0].collections if isinstance(c, LineCollection)]


@pytest.mark.parametrize("k", [1, 2, 8, 60, 500])
def test_every_minimum_is_at_its_loss_and_at_a_place_of_its_own(k, tmp_path):
    made = random_graph(k)
    figure = disconnectivity(made)
    drawn = markers(figure)
    assert set(drawn) == {COLOURS["global"], COLOURS["spurious"]} if k > 1 else {COLOURS["global"]}
    np.testing.assert_allclose(drawn[COLOURS["global"]][:, 1], made.minima[0].loss)
    every = np.concatenate(list(drawn.values()))
    assert sorted(every[:, 0].tolist()) == list(range(k))
    np.testing.assert_allclose(np.sort(every[:, 1]), [one.loss for one in made.minima])
    low, high = figure.axes[0].get_ylim()
    assert low < every[:, 1].min()
    assert high > max([every[:, 1].max(), *(way.high for way in made.ways)])
    assert save(figure, tmp_path / "tree.png").stat().st_size > 3000
    named = [text for text in texts(figure) if "%" in text]
    assert len(named) == (k if k <= NAMED else 0)


def test_merges_are_steps_at_their_levels_and_no_two_branches_cross_a_minimum():
    made = random_graph(12)
    branches, _, loose = lines(disconnectivity(made))
    levels = sorted(segment[0][1] for segment in branches if segment[0][1] == segment[1][1])
    assert levels == pytest.approx(sorted(way.high for way in made.ways))
    assert len(loose) == 0


def test_what_no_path_joins_is_dotted_to_the_top_and_counted():
    made = random_graph(12, joined=0.6)
    figure = disconnectivity(made)
    _, _, loose = lines(figure)
    roots = 12 - len(made.ways)
    assert roots > 1
    assert len(loose) == roots
    assert f"{roots} branches that no known path joins" in figure.axes[0].get_title(loc="left")


def test_a_level_that_is_known_has_no_bar_and_one_that_is_not_has():
    two = [Minimum(0, 0.0, "global", 0.5), Minimum(1, 0.5, "spurious", 0.5)]
    known = graph(two, [Way(0, 1, 1.0, "way")], [Wall(0, 1, 1.0, "wall")])
    half = graph(two, [Way(0, 1, 1.0, "way")], [Wall(0, 1, 0.7, "wall")])
    assert len(lines(disconnectivity(known))[1]) == 0
    (bar,) = lines(disconnectivity(half))[1]
    assert [bar[0][1], bar[1][1]] == [0.7, 1.0]


def test_no_minima_and_equal_losses_are_drawn():
    assert texts(disconnectivity(graph([]))) == ["no minima"]
    equal = graph([Minimum(i, 0.0, "global", 0.3) for i in range(3)], copies=True)
    figure = disconnectivity(equal)
    assert len(markers(figure)[COLOURS["global"]]) == 3
    assert "copies under the symmetry are apart" in figure.axes[0].get_title(loc="left")
