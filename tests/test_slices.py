"""Slices: the loss where they say it is, directions as Li et al. (2018) normalise them, planes through given points."""

from __future__ import annotations

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import FAMILIES, ONE_EACH
from reference import call
from slow import mostly_slow

import landscape as ls
from landscape import gallery
from landscape.figures.slices import loss_slice as drawn
from landscape.paths import slices
from landscape.trajectory import looks


def _student(seed=0):
    return np.random.default_rng(seed).normal(size=(3, 3))


@pytest.mark.parametrize("name", mostly_slow(FAMILIES, *ONE_EACH))
def test_every_family_is_sliced_and_the_loss_is_that_of_the_point_named(name):
    problem = FAMILIES[name].make(0)
    theta = np.asarray(problem.start(jax.random.key(3), "gaussian", 1.0))
    found = slices.around(problem, theta, steps=5)
    assert found.loss.shape == (5, 5)
    loss = jax.jit(problem.loss)
    for i, j in ((0, 4), (2, 2), (3, 1)):
        there = theta + found.axes[0][i] * found.directions[0] + found.axes[1][j] * found.directions[1]
        # The same float64 function at a point that differs by rounding.
        assert found.loss[i, j] == pytest.approx(float(loss(there)), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("name", mostly_slow(FAMILIES, *ONE_EACH))
def test_every_filter_of_a_random_direction_is_as_long_as_that_of_the_point(name):
    problem = FAMILIES[name].make(0)
    theta = np.asarray(problem.start(jax.random.key(3), "gaussian", 1.0))
    filters = problem.filters()
    assert filters.shape == (problem.p,)
    for direction in slices.random_directions(problem, theta, 2, 0):
        for number in np.unique(filters):
            own, drawn_ = theta[filters == number], direction[filters == number]
            np.testing.assert_allclose(np.linalg.norm(drawn_), np.linalg.norm(own), rtol=1e-12)


def test_filters_are_neurons():
    np.testing.assert_array_equal(ls.orthonormal_teacher(2, 3).filters(), [0, 0, 1, 1, 2, 2])
    network = ls.empirical(np.eye(2), np.ones(2), 2, weight_decay=0.1, bias="free", outer_bias="free")
    # (w, b) of either neuron, then outer weights with the outer bias.
    np.testing.assert_array_equal(network.filters(), [0, 0, 0, 1, 1, 1, 2, 2, 2])
    own = ls.from_loss(
        lambda params: jnp.sum(params["kernel"] ** 2) + jnp.sum(params["bias"] ** 2),
        lambda key: {"bias": jnp.ones(3), "kernel": jax.random.normal(key, (2, 3))},
    )
    # A bias is one, and a kernel [inputs, outputs] has one an output.
    np.testing.assert_array_equal(own.filters(), [0, 0, 0, 1, 2, 3, 1, 2, 3])


def test_a_slice_between_two_points_is_the_line_through_them():
    problem, a, b = ls.orthonormal_teacher(3), _student(0), _student(1)
    found = ls.loss_slice(problem, a, b, steps=7)
    np.testing.assert_allclose(found.axes[0], np.linspace(-0.25, 1.25, 7))
    compiled = jax.jit(problem.loss)
    for share, loss in zip(found.axes[0], found.loss, strict=True):
        assert loss == pytest.approx(float(compiled((a + share * (b - a)).ravel())), rel=1e-12)
    np.testing.assert_allclose(found.points[:, 0], [0, 1], atol=1e-12)
    np.testing.assert_allclose(found.off, 0, atol=1e-12)


def test_a_slice_through_three_points_holds_them():
    problem, three = ls.orthonormal_teacher(3), [_student(i) for i in range(3)]
    found = ls.loss_slice(problem, *three, steps=5)
    np.testing.assert_allclose(found.off, 0, atol=1e-12)
    np.testing.assert_allclose(found.directions @ found.directions.T, np.eye(2), atol=1e-12)
    for where, point in zip(found.points, three, strict=True):
        np.testing.assert_allclose(found.origin + where @ found.directions, point.ravel(), atol=1e-12)
        for i in range(2):
            assert found.axes[i][0] <= where[i] <= found.axes[i][-1]


def test_the_plane_along_a_descent_is_that_of_its_principal_components():
    problem = ls.orthonormal_teacher(3)
    found = ls.loss_slice(problem, _student(), along="descent", descent=600, steps=5)
    assert len(found.points) > 20
    np.testing.assert_allclose(found.points[-1], 0, atol=1e-12)
    np.testing.assert_allclose(found.point_loss[0], float(jax.jit(problem.loss)(_student().ravel())))
    assert np.all(np.diff(found.point_loss) <= 1e-12)  # plain descent with a small step: the loss never rises
    points = looks(problem, ls.Settings.of(problem), _student().ravel(), 600)
    spans = points - points[-1]
    np.testing.assert_allclose(np.linalg.norm(spans, axis=1) ** 2, np.sum(found.points**2, axis=1) + found.off**2)
    # Eckart and Young: no plane is nearer, and the best one's share is that of the two largest eigenvalues.
    values = np.linalg.eigvalsh(spans.T @ spans)
    held = np.sum(found.points**2) / np.sum(spans**2)
    assert held == pytest.approx(values[-2:].sum() / values.sum(), rel=1e-10)
    assert f"{100 * held:.3g}%" in found.title


def test_eigenvectors_are_those_of_the_hessian():
    problem = ls.orthonormal_teacher(3)
    theta = np.eye(3).ravel()
    found = ls.loss_slice(problem, np.eye(3), along="hessian", modes=(1, -1), steps=3)
    hessian = np.asarray(jax.jit(problem.hessian)(theta))
    values = np.linalg.eigvalsh(hessian)
    for direction, value in zip(found.directions, values[[1, -1]], strict=True):
        np.testing.assert_allclose(hessian @ direction, value * direction, atol=1e-12)
        np.testing.assert_allclose(np.linalg.norm(direction), np.linalg.norm(theta))
    one = ls.loss_slice(problem, np.eye(3), along="hessian", dimensions=1, steps=3)
    assert one.loss.shape == (3,)
    assert f"{values[0]:.3g}" in one.names[0]


def test_the_same_seed_is_the_same_slice_and_another_is_another():
    problem = ls.orthonormal_teacher(3)
    first, again = (ls.loss_slice(problem, _student(), seed=4, steps=3) for _ in range(2))
    np.testing.assert_array_equal(first.loss, again.loss)
    assert not np.array_equal(first.loss, ls.loss_slice(problem, _student(), seed=5, steps=3).loss)


def test_the_number_of_steps_does_not_change_the_loss_of_a_point():
    """Blocks of one size hold any number of points: 37 x 37 fills no block."""
    problem = ls.orthonormal_teacher(3)
    coarse, fine = (ls.loss_slice(problem, _student(), steps=steps) for steps in (37, 73))
    np.testing.assert_allclose(coarse.loss, fine.loss[::2, ::2], rtol=1e-12)


def test_losses_that_are_not_finite_are_counted_null_and_blank(tmp_path):
    problem = ls.from_loss(lambda x: jnp.sum(jnp.log(x)), lambda key: jnp.ones(2))
    found = ls.loss_slice(problem, np.ones(2), along=np.eye(2), reach=2.0, steps=9, out=tmp_path / "log.png")
    lost = int(np.sum(~np.isfinite(found.loss)))
    assert 0 < lost < 81
    assert f"not finite at {lost} points" in str(found)
    written = json.loads(json.dumps(found.as_dict(), allow_nan=False))
    assert sum(x is None for row in written["loss"] for x in row) == lost
    assert np.shape(written["loss"]) == (9, 9)
    assert (tmp_path / "log.png").stat().st_size > 5000


def test_a_slice_of_one_loss_and_one_of_none_are_drawn(tmp_path):
    flat = ls.from_loss(lambda x: 0.0 * jnp.sum(x), lambda key: jnp.ones(2))
    axes = drawn(ls.loss_slice(flat, np.ones(2), along=np.eye(2), steps=3)).axes
    assert any("everywhere" in text.get_text() for text in axes[0].texts)
    nowhere = ls.from_loss(lambda x: jnp.where(x[0] > 5.0, jnp.nan, 0.0), lambda key: jnp.ones(2))
    axes = drawn(ls.loss_slice(nowhere, np.full(2, 9.0), along=np.eye(2), steps=3)).axes
    assert any("not finite anywhere" in text.get_text() for text in axes[0].texts)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"along": "hesian"}, "along 'hesian' is unknown"),
        ({"along": np.zeros(9)}, "neither zero nor parallel"),
        ({"along": np.ones((2, 9))}, "neither zero nor parallel"),
        ({"along": np.ones(4)}, r"directions must be of shape \[1 or 2, 9\]"),
        ({"along": "hessian", "modes": (0, 9)}, "mode 9 is none of the 9"),
        ({"along": "hessian", "modes": (0, -9)}, "different eigenvectors"),
        ({"steps": 1}, "steps must be a whole number of at least 2"),
        ({"dimensions": 3}, "dimensions must be 1 or 2"),
        ({"reach": 0.0}, "reach must be a positive number"),
    ],
)
def test_bad_options_are_one_sentence(options, words):
    with pytest.raises(ls.InputError, match=words):
        ls.loss_slice(ls.orthonormal_teacher(3), np.eye(3), **options)


def test_points_that_make_no_slice_are_one_sentence():
    problem = ls.orthonormal_teacher(3)
    with pytest.raises(ls.InputError, match="needs a point"):
        ls.loss_slice(problem)
    with pytest.raises(ls.InputError, match="the two points are equal"):
        ls.loss_slice(problem, np.eye(3), np.eye(3))
    with pytest.raises(ls.InputError, match="lie on a line"):
        ls.loss_slice(problem, np.eye(3), 2 * np.eye(3), 3 * np.eye(3))
    with pytest.raises(ls.InputError, match="at theta = 0"):
        ls.loss_slice(problem, np.zeros((3, 3)))
    with pytest.raises(ls.InputError, match="along is for slices around one point"):
        ls.loss_slice(problem, np.eye(3), 2 * np.eye(3), along="hessian")
    with pytest.raises(ls.InputError, match="must be finite"):
        ls.loss_slice(problem, np.full((3, 3), np.nan))


def test_the_picture_has_the_points_where_they_are():
    problem = gallery.problem("mueller-brown")
    minima = np.array([[-0.5582236, 1.4417258], [0.6234994, 0.0280378], [-0.0500108, 0.4666941]])
    found = ls.loss_slice(problem, *minima, steps=11)
    figure = drawn(found)
    marked = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    np.testing.assert_allclose(np.stack([marked[0].get_xdata(), marked[0].get_ydata()], axis=1), found.points)
    assert {text.get_text() for text in figure.axes[0].texts} >= {"0", "1", "2"}


def _write(path, points):
    path.write_text(json.dumps({"teacher": np.eye(3).tolist(), "hidden": np.asarray(points).tolist()}))
    return str(path)


def test_the_command_slices_points_of_a_file(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    where = _write(tmp_path / "points.json", [_student(0), _student(1)])
    assert call("slice", where, "--steps", "5") == 0
    said = capsys.readouterr().out
    assert said.startswith("Between two points")
    assert said.endswith("slice.png\n")
    assert (tmp_path / "slice.png").stat().st_size > 5000
    assert call("slice", where, "--points", "1", "--along", "hessian", "--json", "--steps", "4") == 0
    found = json.loads(capsys.readouterr().out)
    assert np.shape(found["loss"]) == (4, 4)
    problem = ls.orthonormal_teacher(3)
    assert found["point_loss"] == [pytest.approx(float(problem.loss(_student(1).ravel())), rel=1e-12)]


def test_the_command_slices_the_ends_of_a_run(tmp_path, capsys):
    run = str(tmp_path / "run")
    assert call("run", "safran-shamir", "--teacher", "3", "--restarts", "8", "--out", run, "--quiet") == 0
    capsys.readouterr()
    assert call("slice", run, "--steps", "4", "--out", str(tmp_path / "end.png")) == 0
    assert "point 0: loss" in capsys.readouterr().out
    assert (tmp_path / "end.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "needs a file of points or the folder of a run"),
        (["nothing.json"], "nothing.json"),
        (["{file}", "--points", "2"], "point '2' is none of those of"),
        (["{file}", "--points", "a"], "point 'a' is none of those of"),
        (["{file}", "--steps", "many"], "`landscape slice --help` lists the options"),
        (["{file}", "--points", "0", "--along", "down"], "along 'down' is unknown"),
    ],
)
def test_bad_input_to_the_command_is_one_sentence(arguments, words, tmp_path, capsys):
    where = _write(tmp_path / "points.json", [_student(0), _student(1)])
    assert call("slice", *[one.replace("{file}", where) for one in arguments]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert words in said.err
    assert said.err.count("\n") == 1
