"""Descents find nothing that the list of local minima has not, and coverage tells found minima from missed ones."""

import numpy as np
import pytest
from finite_data import draw, fixture_and_data, minima_of_a

from landscape.problems.datafit import objective
from landscape.theory.arrangement.cells import cells
from landscape.theory.convex import local_minima as room
from landscape.theory.convex.coverage import coverage
from landscape.theory.convex.local_minima import local_minima
from landscape.theory.convex.restricted_programs import restricted


def descend(data, width, starts, seed, steps):
    """Gradient descent on all starts at once, the step lowered by 1e4 at the end; no outer bias, squared loss."""
    rng = np.random.default_rng(seed)
    w, a = rng.normal(size=(starts, width, data.x.shape[1])), rng.normal(size=(starts, width))
    for step in range(steps):
        rate = 0.05 * min(1.0, 1e-4 ** ((step / steps - 0.6) / 0.4))
        pre = w @ data.x.T
        hidden = np.maximum(pre, 0.0)
        nu = data.y - np.einsum("rmn,rm->rn", hidden, a)
        gradient_w = data.weight_decay * w - a[:, :, None] * (((pre > 0) * nu[:, None]) @ data.x)
        gradient_a = data.weight_decay * a - np.einsum("rmn,rn->rm", hidden, nu)
        w, a = w - rate * gradient_w, a - rate * gradient_a
    return w, a


def ends_at_minima(data, w, a):
    """Losses and outputs of the ends that are local minima without a zero neuron: best over the cells within 0.003 rad.

    Ends at one-sided traps have something lower in the cells next to them, and ends that did not converge too.
    """
    patterns = cells(data.x).patterns
    values, outputs = [], []
    for hidden, outer in zip(w, a, strict=True):
        size = np.linalg.norm(hidden, axis=1)
        if np.any(size * np.abs(outer) < 1e-4):
            continue
        cosine = (hidden @ data.x.T) / (size[:, None] * np.linalg.norm(data.x, axis=1))
        chosen = [
            (p, np.sign(s))
            for c, s in zip(cosine, outer, strict=True)
            for p in patterns[np.all((patterns == (c > 0)) | (np.abs(c) < 3e-3), axis=1)]
        ]
        point = restricted(data, np.array([p for p, _ in chosen]), np.array([s for _, s in chosen]))
        if abs(point.value - objective(data, hidden, outer)) < 1e-6:
            values.append(point.value)
            outputs.append(point.output)
    return np.array(values), np.array(outputs)


@pytest.mark.parametrize(("seed", "n", "width"), [(10, 4, 2), (11, 5, 2), (12, 5, 3)])
def test_descents_find_nothing_that_is_not_listed(seed, n, width):
    data = draw(seed, n, 2)
    values, outputs = ends_at_minima(data, *descend(data, width, 60, seed, 6000))
    assert len(values) >= 20  # most restarts converge: there is something to compare
    minima = local_minima(data, width)
    seen = coverage(minima, values, outputs)
    assert not np.any(seen.elsewhere)
    assert seen.runs.sum() == len(values)
    assert set(seen.missed) == {i for i, runs in enumerate(seen.runs) if runs == 0}


def test_coverage_tells_found_from_missed():
    minima = minima_of_a(2)
    values = np.array([minima.minima[0].value, minima.minima[0].value, minima.minima[3].value + 1e-3])
    seen = coverage(minima, values)
    assert seen.runs.tolist() == [2] + [0] * (len(minima.minima) - 1)
    assert seen.missed == tuple(range(1, len(minima.minima)))
    assert seen.elsewhere.tolist() == [False, False, True]
    wrong = np.zeros((3, 8))  # the right value with other outputs is another point
    assert np.all(coverage(minima, values, wrong).elsewhere)


@pytest.mark.slow
def test_descents_on_a_find_only_what_is_listed():
    data, _ = fixture_and_data("relu_A_n8_d2")
    for width in (1, 2, 3, 4):
        values, outputs = ends_at_minima(data, *descend(data, width, 300, width, 20_000))
        seen = coverage(minima_of_a(width), values, outputs)
        assert len(values) >= 60
        assert not np.any(seen.elsewhere)
    # The published census ran at five neurons as well, where one more strict minimum appears.
    point = fixture_and_data("relu_A_n8_d2")[1]["stationary_points"][5]
    five = local_minima(data, 5)
    assert point["k"] == 5
    assert five.undecided == 0
    assert [abs(m.value - point["L"]) < 1e-9 for m in five.minima if m.kind == room.STRICT] == [True]


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-8])
def test_one_restart_is_at_one_minimum_in_any_units(size):
    data = draw(1, 6, 2, weight_decay=0.05)
    minima = local_minima(data._replace(y=size * data.y, weight_decay=size * data.weight_decay), 2)
    assert len(minima.minima) > 3
    best = minima.minima[0]
    for outputs in (None, best.output[None]):
        seen = coverage(minima, np.array([best.value]), outputs)
        assert seen.runs.tolist() == [1] + [0] * (len(minima.minima) - 1)
        assert not seen.elsewhere.any()
