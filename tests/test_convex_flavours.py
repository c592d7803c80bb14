"""A minimum whose neurons' outputs may or may not be independent is called neither strict nor flat, by any way to its
label."""

import json

import numpy as np
import pytest
from finite_data import A
from finite_networks import finished, problem_of

import landscape as ls
from landscape.classify import settle
from landscape.problems.empirical import empirical
from landscape.records import Flavour, Label, Verdict
from landscape.theory.convex import labels
from landscape.theory.convex.cell_finish import finish
from landscape.theory.convex.forward_pass import forward, independent
from landscape.theory.convex.labels import label
from landscape.theory.convex.least_loss import best_of_width


def split(problem, w, a, angle):
    """The network with its first neuron split in two equal ones, turned apart by an angle, off its ties."""
    half = np.sqrt(0.5)
    turn = 0.5 * angle * np.array([-w[0, 1], w[0, 0]])
    hidden = np.vstack([half * (w[0] + turn), w[1:], half * (w[0] - turn)])
    return np.concatenate([hidden.reshape(-1), half * a[:1], a[1:], half * a[:1]])


def of_a(k, angle):
    """Published point k of data set A as a point of one more neuron, its first neuron split."""
    point = A["stationary_points"][k]
    narrow = problem_of(A, point["k"])
    theta = finished(narrow, point["W"], point["a"])
    w, a = theta[: 2 * point["k"]].reshape(-1, 2), theta[2 * point["k"] :]
    untied = np.argmax([np.min(np.abs(narrow.x @ u)) for u in w])  # an angle would move a tied one off its tie
    order = [untied, *np.delete(np.arange(len(a)), untied)]
    problem = problem_of(A, point["k"] + 1)
    return problem, split(problem, w[order], a[order], angle)


# Unit atoms that are apart by 4e-10 have a least singular value between 1e-11 and 1e-8.
OPEN = 4e-10


# Without those whose neuron off all ties is seen by one row: pieces of it have equal outputs at any angle.
OPEN_POINTS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 13, 14]


@pytest.mark.parametrize("k", OPEN_POINTS)
def test_a_minimum_with_nearly_equal_neurons_is_neither_strict_nor_flat(k):
    problem, theta = of_a(k, OPEN)
    assert independent(problem, forward(problem, theta)) is None
    verdict = label(problem, theta)
    assert (verdict.label, verdict.flavour) in (
        (Label.SPURIOUS, Flavour.NOT_CLEAR),
        (Label.GLOBAL, Flavour.FOR_THIS_WIDTH),
    )
    _, merged = of_a(k, 0.0)
    assert label(problem, merged).flavour in (Flavour.ESCAPABLE, Flavour.FOR_THIS_WIDTH)


def test_an_undecided_minimum_is_called_strict_or_flat(monkeypatch):
    """Below the width of an optimal network, where the search found nothing better, or was not tried."""
    problem, theta = of_a(11, OPEN)
    here = forward(problem, theta)
    assert independent(problem, here) is None
    found = best_of_width(problem)
    assert found is not None
    for own in (None, found._replace(value=here.loss, lower_bound=0.5 * here.loss)):
        monkeypatch.setattr(labels, "best_of_width", lambda problem, own=own: own)
        verdict = label(problem, theta)
        assert (verdict.label, verdict.flavour) == (Label.UNDECIDED, Flavour.MINIMUM_NOT_CLEAR)
        # A lower loss that is seen makes it spurious, and no clearer.
        settled = settle(Verdict.of(verdict), 0.5 * here.loss, 0.0)
        assert (settled.label, settled.flavour) == (Label.SPURIOUS, Flavour.NOT_CLEAR)


def test_without_a_certificate_it_is_not_clear_either():
    problem = empirical(A["X"], A["y"], 1, activation="leaky_relu", weight_decay=0.3, slope=0.3)
    wide = empirical(A["X"], A["y"], 2, activation="leaky_relu", weight_decay=0.3, slope=0.3)
    seen = set()
    for start in np.random.default_rng(0).normal(size=(20, problem.p)):
        end = finish(problem, start)
        if end is None or label(problem, end).label != Label.UNDECIDED:
            continue
        flavours = []
        for angle in (0.0, OPEN):
            theta = split(wide, end[:2][None], end[2:], angle)
            assert independent(wide, forward(wide, theta)) is (False if angle == 0 else None)
            flavours.append(label(wide, theta).flavour)
        seen.add(tuple(flavours))
    assert seen == {(Flavour.FLAT_MINIMUM, Flavour.MINIMUM_NOT_CLEAR)}


def test_a_flavour_that_is_not_clear_is_printed_as_such():
    problem, theta = of_a(1, OPEN)
    verdict = ls.label(problem, problem.read(theta))
    assert json.loads(json.dumps(verdict.as_dict()))["flavour"] == "strict or flat"


def test_two_parallel_neurons_off_by_what_their_slope_leaves_open_are_not_called_strict():
    point = A["stationary_points"][14]  # one neuron, off its ties
    narrow, wide = problem_of(A, 1), problem_of(A, 2)
    theta = finished(narrow, point["W"], point["a"])
    large, small = np.sqrt(1 - 1e-4) * theta, np.sqrt(1e-4) * theta
    # An angle above INDEPENDENT, which a slope of 1e-11 allows a neuron of 0.01.
    small[:2] += 1.3e-8 * np.array([-small[1], small[0]])
    verdict = label(wide, np.concatenate([large[:2], small[:2], large[2:], small[2:]]))
    assert verdict.label == Label.SPURIOUS
    assert verdict.flavour == Flavour.NOT_CLEAR
