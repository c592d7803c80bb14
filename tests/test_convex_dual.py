"""The dual bound of any residual is below the loss of every network of every width."""

import numpy as np
import pytest
from finite_data import BIASES, random_data
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape.problems.datafit import Data, minus_gradient, objective
from landscape.theory.arrangement.phi import phi
from landscape.theory.convex.column_generation import optimum
from landscape.theory.convex.dual import lower_bound


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 7),
    d=st.integers(1, 3),
    m=st.integers(0, 6),
    beta=st.sampled_from([1e-3, 0.1, 3.0]),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    loss=st.sampled_from(["squared", "logistic"]),
    outer_bias=st.sampled_from(BIASES),
    grid=st.booleans(),
)
def test_lower_bound_is_below_every_network(seed, n, d, m, beta, scale, loss, outer_bias, grid):
    """From the residual of one network, below the loss of that network and of another one."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=(n, d))) if grid else rng.normal(size=(n, d))
    y = np.where(rng.normal(size=n) > 0, 1.0, -1.0) if loss == "logistic" else rng.normal(size=n)
    data = Data(x, y, beta, loss, outer_bias)
    nets = []
    for _ in range(2):
        b0 = float(rng.normal()) if outer_bias != "none" else 0.0
        nets.append((scale * rng.normal(size=(m, d)), rng.normal(size=m), b0))
    hidden, outer, b0 = nets[0]
    nu = minus_gradient(data, np.maximum(x @ hidden.T, 0.0) @ outer + b0)
    bound = lower_bound(data, nu, phi(x, nu))
    assert bound >= 0
    for net in nets:
        value = objective(data, *net)
        assert bound <= value * (1 + 1e-13)  # the loss itself is rounded
    if beta >= 0.1:
        empty = float(np.sum(y**2) / 2) if loss == "squared" else n * np.log(2)
        assert bound <= empty * (1 + 1e-13)


def test_lower_bound_of_a_residual_off_centre_holds_with_a_free_bias():
    """A free outer bias can absorb the mean of nu: an uncentred dual point would bound too high."""
    data = Data(np.array([[0.1, 0.0], [0.0, 0.1]]), np.array([5.0, 5.0]), 1.0, "squared", "free")
    nu = np.array([5.0, 5.0])
    assert lower_bound(data, nu, phi(data.x, nu)) == 0.0
    assert optimum(data).value == pytest.approx(0.0, abs=1e-28)


def test_four_dimensions_close_by_cells_and_more_give_an_honest_interval():
    data = random_data(5, 8, 4)
    best = optimum(data)
    assert best.gap <= 1e-10 * best.value
    loose = best.phi._replace(upper=2 * best.phi.upper)
    assert lower_bound(data, best.nu, loose) < best.lower_bound
