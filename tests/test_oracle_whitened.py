"""The closed form for orthonormal rows is the convex optimum."""

import numpy as np
import pytest
from oracle_reference import fixture

from landscape.problems.datafit import Data, objective
from landscape.records import InputError
from landscape.theory.convex.branch_and_bound import best_by_width
from landscape.theory.convex.oracles.whitened import whitened


def test_whitened_closed_form_of_the_published_data():
    data, record = fixture("orthonormal_closed_form")
    best = whitened(data)
    assert best.value == pytest.approx(record["p_star"], abs=1e-13)
    assert 0 <= best.value - best.lower_bound < 1e-11
    assert len(best.outer) == record["m_star"]
    assert objective(data, best.hidden, best.outer) == best.value


@pytest.mark.parametrize(("seed", "weight_decay"), [(0, 0.3), (1, 0.05), (2, 1.5)])
def test_whitened_closed_form_is_the_convex_optimum(seed, weight_decay):
    rng = np.random.default_rng(seed)
    x = np.linalg.qr(rng.normal(size=(4, 3)))[0].T  # three orthonormal rows in four dimensions
    data = Data(x, rng.normal(size=3), weight_decay)
    closed = whitened(data)
    convex = best_by_width(data, 3)
    assert abs(closed.value - convex.value) < 1e-9 * (1 + closed.value)
    assert closed.value - closed.lower_bound < 1e-11
    assert len(closed.outer) <= 2


def test_whitened_refuses_what_it_is_not_for():
    data, _ = fixture("orthonormal_closed_form")
    with pytest.raises(InputError, match="orthonormal"):
        whitened(data._replace(x=2 * data.x))
    with pytest.raises(InputError, match="squared loss"):
        whitened(data._replace(outer_bias="free"))
