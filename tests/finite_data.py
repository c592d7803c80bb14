"""Finite data sets that the tests of the convex room share: published ones, random ones, all their signed cells."""

import json
from functools import lru_cache
from pathlib import Path

import numpy as np

from landscape.problems.datafit import Data
from landscape.theory.arrangement.cells import cells
from landscape.theory.convex.local_minima import local_minima

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
    patterns = cells(data.x).patterns
    return np.vstack([patterns, patterns]), np.repeat([1.0, -1.0], len(patterns))


def fixture_and_data(name):
    """A published data set with what is published of it."""
    record = fixture(name)
    return data_of(record), record


@lru_cache
def minima_of_a(width):
    """All local minima of data set A at a width."""
    return local_minima(data_of(A), width)


def draw(seed, n, d, loss="squared", outer_bias="none", weight_decay=0.1):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    if loss == "logistic":
        y = np.where(np.arange(n) % 2, 1.0, -1.0)
    return Data(x, y, weight_decay, loss, outer_bias)


# Rows on one line, doubled, opposite, and dependent in threes: ties that come together.
DEGENERATE = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0], [1.0, 0.0]])
CASES = [
    draw(1, 4, 2),
    draw(2, 4, 3),
    draw(3, 5, 2, outer_bias="regularised"),
    draw(4, 5, 2, outer_bias="free"),
    draw(5, 4, 2, loss="logistic"),
    draw(6, 4, 2, loss="logistic", outer_bias="regularised"),
    # A program on two cells leaves a block of 1e-16.
    Data(np.array([[2.0, 0.0, -1.0], [2.0, 2.0, 0.0]]), np.array([0.0, 2.0]), 0.01),
    Data(DEGENERATE, np.array([1.0, -0.7, 0.4, 0.9, -0.2]), 0.1),
    Data(DEGENERATE, np.array([-0.3, 1.1, 0.8, -0.5, 1.4]), 0.05, outer_bias="free"),
]
