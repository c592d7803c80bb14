"""A family of problems and a room of theory are added from outside the package, each in a few lines.

The family: a quadratic form on the sphere, x'Ax / |x|^2, with (|x|^2 - 1)^2 that holds the length. Its stationary
points are the unit eigenvectors: the least eigenvalue is the global minimum, the others are saddles of index 1, 2, ...
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import landscape as ls
from landscape.host.load import load
from landscape.problems.problem import Problem
from landscape.records import Claim, Evidence, Label, LowerBound
from landscape.studies.census_figures import census_figures
from landscape.theory.room import Room


def _at_least_eigenvalue(problem, point):
    above = point.loss - problem.least()
    if above > point.loss_error:
        return None
    return Claim(Label.GLOBAL, evidence=Evidence.CERTIFIED, by="least eigenvalue", margin=point.loss_error - above)


SPHERE = Room(
    "quadratic forms",
    applies=lambda problem: isinstance(problem, Form),
    bound=lambda problem: LowerBound(problem.least(), "least eigenvalue"),
    at_bound=_at_least_eigenvalue,
)


@partial(jax.tree_util.register_dataclass, data_fields=["matrix"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class Form(Problem):
    """x'Ax / |x|^2 + (|x|^2 - 1)^2 for a symmetric matrix."""

    matrix: Any

    kind = "quadratic_form"
    normalisation = "x'Ax / |x|^2 + (|x|^2 - 1)^2"
    width = None
    scale = 1.0
    coercive = True
    room = SPHERE

    @property
    def p(self):
        return self.matrix.shape[0]

    def least(self):
        return float(np.linalg.eigvalsh(self.matrix)[0])

    def loss(self, theta):
        square = theta @ theta
        return theta @ (jnp.asarray(self.matrix, theta.dtype) @ theta) / square + (square - 1.0) ** 2

    @property
    def symmetry(self):
        return lambda theta: theta * np.sign(theta[np.argmax(np.abs(theta))])

    def start(self, key, init, init_scale):
        return init_scale * jax.random.normal(key, (self.p,), jnp.float64)

    def read(self, theta):
        return np.array(theta, np.float64)

    def write(self, params):
        return np.asarray(params, np.float64)


def form(seed: int = 0) -> Form:
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(4, 4)))[0]
    return Form(basis * [-1.0, 0.5, 1.0, 3.0] @ basis.T)


def test_it_is_explored_and_every_end_is_the_least_eigenvector():
    census = ls.explore(form(), restarts=20, seed=0, progress=False)
    assert census.labels()["global"] == 20
    (level,) = census.levels
    assert (level.by, level.evidence, level.orbits) == ("least eigenvalue", "certified", 1)
    # An eigenvalue of a 4 x 4 matrix of norm 3 has a rounding error of some 1e-15.
    assert level.loss == pytest.approx(-1.0, abs=1e-14)
    assert census.lower_bound["by"] == "least eigenvalue"
    assert json.loads(json.dumps(census.as_dict()))["problem"]["kind"] == "quadratic_form"
    assert "quadratic_form" in str(census)


def test_other_eigenvectors_are_labelled_saddles_of_their_index():
    problem = form()
    vectors = np.linalg.eigh(problem.matrix)[1]
    for index in (1, 2, 3):
        verdict = ls.label(problem, vectors[:, index])
        verdict = verdict.polished or verdict
        assert (verdict.label, verdict.flavour) == (Label.SADDLE, f"index {index}")


def test_it_is_stored_resumed_and_not_taken_for_another(tmp_path):
    whole = ls.explore(form(), restarts=12, seed=0, progress=False)
    ls.explore(form(), restarts=12, seed=0, progress=False, out=tmp_path / "run")
    for shard in sorted((tmp_path / "run" / "shards").glob("*.parquet"))[:1]:
        shard.unlink()
    again = ls.explore(form(), restarts=12, seed=0, progress=False, out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(again.rows["loss"], whole.rows["loss"])
    assert again.labels() == whole.labels() == load(tmp_path / "run").labels()
    with pytest.raises(ls.InputError, match="holds another run"):
        ls.explore(form(1), restarts=12, seed=0, progress=False, out=tmp_path / "run", resume=True)


def test_it_is_plotted(tmp_path):
    problem = form()
    census = ls.explore(problem, restarts=12, seed=0, progress=False)
    paths = census_figures(census, problem, tmp_path, settings=ls.Settings())
    assert paths
    assert all(path.stat().st_size > 5000 for path in paths)
