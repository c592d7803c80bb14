"""Published data sets, and smooth descent on a network: what the oracles are held against."""

import json
from pathlib import Path

import jax
import numpy as np
from scipy.optimize import minimize

from landscape.problems.datafit import Data

FIXTURES = Path(__file__).parent / "fixtures"


def fixture(name):
    record = json.loads((FIXTURES / f"{name}.json").read_text())
    return Data(np.array(record["X"]), np.array(record["y"]), record["beta"]), record


def descents(loss, size, starts, seed=0):
    """Values that BFGS reaches from normal starts; smooth losses only."""
    slope = jax.jit(jax.value_and_grad(loss))

    def both(theta):
        value, gradient = slope(theta)
        return float(value), np.asarray(gradient)

    rng = np.random.default_rng(seed)
    options = {"maxiter": 500, "ftol": 1e-12, "gtol": 1e-7}
    return np.array([
        minimize(both, rng.normal(size=size), jac=True, method="L-BFGS-B", options=options).fun for _ in range(starts)
    ])  # fmt: skip
