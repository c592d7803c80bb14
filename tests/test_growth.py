"""Growing ends at a network that has a certificate, or says why not."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import slow

import landscape as ls
from landscape.host.growth import grow
from landscape.problems.parallel import parallel
from landscape.problems.subnetwork import Subnetwork
from landscape.studies.mismatch import cubic
from landscape.theory.convex.least_loss import certified_optimum

FIXTURES = Path(__file__).parent / "fixtures"
A = json.loads((FIXTURES / "relu_A_n8_d2.json").read_text())


def _relu(width):
    return ls.empirical(A["X"], A["y"], width, weight_decay=0.1)


RNG = np.random.default_rng(3)
X, Y, YS = RNG.normal(size=(6, 2)), RNG.normal(size=6), RNG.normal(size=(6, 2))


@pytest.mark.parametrize("seeds", [20, slow(100)])
def test_fixture_a_is_certified_with_exactly_four_neurons_from_every_seed(seeds):
    best = certified_optimum(_relu(1))
    counts = set()
    for seed in range(seeds):
        path = grow(_relu(1), 1, seed).paths[0]
        assert path.status == "certified"
        assert path.rounds[-1].width == 4
        assert abs(path.rounds[-1].loss - best.value) <= 1e-9
        counts.add(len(path.rounds))
    assert counts <= {4, 5}  # theory: 4 or 5 rounds, with the zero network as a further one for some starts


def test_losses_fall_and_every_round_but_the_last_is_refuted():
    for path in grow(_relu(5), 20).paths:
        losses = [one.loss for one in path.rounds]
        assert np.all(np.diff(losses) < 0)
        assert all(one.polar > 1 for one in path.rounds[:-1])


def test_a_ceiling_stops_growth_without_a_certificate():
    grown = grow(_relu(1), 10, most=2)
    assert set(grown.statuses()) == {"ceiling"}
    for path in grown.paths:
        assert path.rounds[-1].width <= 2
        assert path.rounds[-1].loss > certified_optimum(_relu(1)).value + 1e-3


def test_growth_is_refused_where_the_theorem_does_not_apply():
    with pytest.raises(ls.InputError, match="degrees of output and regulariser"):
        grow(cubic(0.1, 2), 1)
    with pytest.raises(ls.InputError, match="positive weight decay"):
        grow(ls.empirical(A["X"], A["y"], 1), 1)
    with pytest.raises(ls.InputError, match="starts must be finite"):
        grow(_relu(1), starts=np.zeros((3, 2)))


PATCHES = np.lib.stride_tricks.sliding_window_view(np.random.default_rng(4).normal(size=(5, 6)), 3, axis=1)


def _filters(height):
    """A filter of three weights on four patches of every input, and an outer weight."""
    return Subnetwork(
        name="filter",
        init=lambda key: (jax.random.normal(key, (3,)), jax.random.normal(jax.random.fold_in(key, 1), ())),
        output=lambda w, x: w[1] * height(jnp.maximum(x @ w[0], 0.0)),
        penalty=lambda w: 0.5 * (jnp.sum(w[0] ** 2) + w[1] ** 2),
        degree=2.0,
    )


@lru_cache
def _pooled(name):
    return _filters({"mean": lambda h: jnp.mean(h, axis=-1), "max": lambda h: jnp.max(h, axis=-1)}[name])


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_convolutions_and_max_pooling_grow_and_are_never_certified(pooling):
    y = np.random.default_rng(5).normal(size=5)
    problem = parallel(PATCHES, y, 1, _pooled(pooling), 0.3)
    grown = grow(problem, 3, most=4)
    assert "certified" not in grown.statuses()
    for path in grown.paths:
        losses = [one.loss for one in path.rounds]
        assert np.all(np.diff(losses) < 0)
        assert losses[-1] < 0.5 * float(y @ y)


def test_a_neuron_that_alone_lowers_the_loss_by_less_than_rounding_is_still_added():
    # Beside a nearly parallel neuron no size of the new one is seen to lower the loss: starts like this one stalled.
    rng = np.random.default_rng(1)
    _, _, x, y = (rng.normal(size=size) for size in ((20, 3), 20, (20, 3), 20))
    problem = ls.empirical(x, y, 5, weight_decay=0.05)
    starts = ls.start_points(problem, 1, np.arange(3), "xavier", 1.0)
    grown = grow(problem, starts=np.asarray(starts, np.float64))
    assert grown.statuses() == {"certified": 3}
    assert grown.paths[2].rounds[-1].loss == pytest.approx(certified_optimum(problem).value, abs=1e-9)
