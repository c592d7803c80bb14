"""Finite data sets that the tests of the convex room share: published ones, random ones, all their signed cells."""

import json
from pathlib import Path

import numpy as np

from landscape.problems.data import Data
from landscape.theory import arrangement

FIXTURES = Path(__file__).parent / "fixtures"
BIASES = ("none", "regularised", "free")


def fixture(name):
    return json.loads((FIXTURES / f"{name}.json").read_text())


A, R = fixture("relu_A_n8_d2"), fixture("relu_R_n6_bias")


def data_of(record, loss="squared", outer_bias="none"):
    y = np.array(record["y"])
    return Data(np.array(record["X"]), y if loss == "squared" else np.sign(y), record["beta"], loss, outer_bias)


def random_data(seed, n, d, beta=0.1, loss="squared", outer_bias="none", grid=False):
    """Gaussian data; on a grid: duplicate, antipodal and zero rows, repeated labels."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    if grid:
        x, y = np.round(x), np.round(y)
    if loss == "logistic":
        y = np.where(y > 0, 1.0, -1.0)
        y[:2] = 1.0, -1.0  # both classes
    return Data(x, y, beta, loss, outer_bias)


def signed_cells(data):
    patterns = arrangement.cells(data.x).patterns
    return np.vstack([patterns, patterns]), np.repeat([1.0, -1.0], len(patterns))
