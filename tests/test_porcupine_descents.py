"""Descents end where the law of their starts says, and at kinks where longer descents end."""

import jax
import numpy as np
import pytest
from porcupine_reference import value
from scipy.stats import binomtest

from landscape.problems.porcupine import porcupine
from landscape.problems.restart import start_points
from landscape.records import Label
from landscape.theory.porcupine.ends import finish
from landscape.theory.porcupine.labels import label
from landscape.theory.porcupine.optimum import global_optimum
from landscape.theory.porcupine.orthogonal import orthogonal_global_probability


@jax.jit
def descend(problem, starts, step, steps):
    """Plain gradient descent of all starts at once, [r, p]."""
    return jax.lax.fori_loop(0, steps, lambda _, c: c - step * jax.vmap(problem.gradient)(c), starts)


@pytest.mark.parametrize("neurons", [2, 3, 5])
def test_descents_on_one_line_from_small_starts_are_bad_if_they_start_with_one_sign(neurons):
    problem = porcupine([[1.0]], neurons, [[6.0], [-4.0]])
    starts = start_points(problem, 1, np.arange(20_000), "gaussian", 0.05)
    one_sign = np.all(starts > 0, axis=1) | np.all(starts < 0, axis=1)
    law = 1 - orthogonal_global_probability([neurons])
    assert law == 2.0 ** (1 - neurons)
    interval = binomtest(int(one_sign.sum()), len(starts), law).proportion_ci(0.95)
    assert interval.low <= law <= interval.high
    # The curvatures are 1/2 a neuron and half that: at half the stable limit 60 steps a neuron are plenty.
    ends = np.asarray(descend(problem, starts[:300], 1 / neurons, 60 * neurons))
    labels = [label(problem, finish(problem, c)).label for c in ends]
    assert labels == [Label.SPURIOUS if bad else Label.GLOBAL for bad in one_sign[:300]]


@pytest.mark.parametrize(("d", "neurons"), [(2, 2), (3, 3)])
def test_descents_on_axes_are_global_if_every_line_starts_with_both_signs(d, neurons):
    problem = porcupine(np.eye(d), neurons, np.concatenate([np.eye(d), -0.7 * np.eye(d)]))
    starts = start_points(problem, 1, np.arange(20_000), "gaussian", 0.02)
    positive = np.sum(starts.reshape(-1, d, neurons) > 0, axis=2)
    mixed = np.all((positive > 0) & (positive < neurons), axis=1)
    law = orthogonal_global_probability([neurons] * d)
    interval = binomtest(int(mixed.sum()), len(starts), law).proportion_ci(0.95)
    assert interval.low <= law <= interval.high
    ends = np.asarray(descend(problem, starts[:300], 1 / problem.curvature(), 400))
    verdicts = [label(problem, finish(problem, c)) for c in ends]
    assert [v.label for v in verdicts] == [Label.GLOBAL if m else Label.SPURIOUS for m in mixed[:300]]
    best = global_optimum(problem).loss
    assert [v.loss < best + 1e-10 for v in verdicts] == mixed[:300].tolist()


def test_descents_that_end_at_kinks_are_finished_where_longer_descents_end():
    rng = np.random.default_rng(17)
    problem = porcupine(rng.normal(size=(12, 5)), 2, rng.normal(size=(4, 5)))
    starts = rng.normal(size=(40, problem.p)) * 0.3
    ends = [np.asarray(descend(problem, starts, 1 / problem.curvature(), n)) for n in (1000, 4000)]
    short, long = ([finish(problem, c) for c in batch] for batch in ends)
    assert np.median([np.sum(c == 0) for c in long]) >= 1  # kinks are the rule
    for one, two, end in zip(short, long, ends[1], strict=True):
        verdict = label(problem, two)
        assert verdict.label in (Label.GLOBAL, Label.SPURIOUS)
        np.testing.assert_allclose(value(problem, one), verdict.loss, rtol=1e-10)
        assert verdict.loss <= value(problem, end)
