"""The gallery's points are what they are said to be, and the room of users' losses says so."""

from __future__ import annotations

import collections

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from slow import long, slow

from landscape import gallery
from landscape.cli import main
from landscape.host.explore import explore
from landscape.problems.from_loss import UserLoss
from landscape.records import Claim, Flavour, InputError, Label, Point, Status
from landscape.theory.own_loss.judge import judge

EXAMPLES = gallery.examples()
MINIMA = {Flavour.STRICT_MINIMUM: "strict", Flavour.FLAT_MINIMUM: "flat", Flavour.MINIMUM_NOT_CLEAR: None}


def of(problem: UserLoss, params) -> Claim:
    theta = problem.write(jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params))
    return judge(problem, Point(theta, np.nan, 0.0, 0.0, 0.0, Status.CONVERGED))


def array(known: gallery.Known):
    return np.asarray(known.params, float) if isinstance(known.params, list) else known.params


def outcome(known: gallery.Known, verdict: Claim, bound: bool) -> str:
    """ "right", "undecided" or "wrong"."""
    label = verdict.label
    if label == known.label:
        return "right"
    if label == Label.UNCONVERGED:
        return "right" if known.label == Label.AT_INFINITY else "undecided"
    if label != Label.UNDECIDED:
        return "wrong"
    if verdict.flavour not in MINIMA:
        return "undecided"
    if known.label not in (Label.GLOBAL, Label.SPURIOUS):
        return "wrong"  # called a minimum
    said = MINIMA[verdict.flavour]
    if said is not None and said != known.minimum:
        return "wrong"
    # Without a bound a least point can be no more than a minimum, at a kink one of either kind.
    return "right" if known.label == Label.GLOBAL and not bound else "undecided"


@pytest.mark.parametrize(
    "name", [name if i % 12 == 0 else slow(name) if i % 3 == 1 else long(name) for i, name in enumerate(EXAMPLES)]
)
def test_known_points_of_the_gallery_have_their_labels(name):
    example, problem = EXAMPLES[name], gallery.problem(name)
    found = collections.Counter()
    for known in example.points:
        verdict = of(problem, array(known))
        said = outcome(known, verdict, example.lower_bound is not None)
        assert said != "wrong", f"{known.params} is {known.label}, said {verdict.label} {verdict.flavour}"
        found[said] += 1
    assert not found["undecided"], found


def test_there_are_forty_examples_and_an_unknown_name_is_one_sentence():
    assert len(EXAMPLES) >= 40
    assert sum(len(one.points) for one in EXAMPLES.values()) >= 120
    with pytest.raises(InputError, match="the gallery has no 'rosenbrok'"):
        gallery.problem("rosenbrok")


@pytest.mark.parametrize(
    ("name", "optimiser", "allowed"),
    [
        slow("xor-sigmoid", "lbfgs", {Label.AT_INFINITY, Label.UNCONVERGED}),
        long("separable-naive", "lbfgs", {Label.AT_INFINITY, Label.UNCONVERGED}),
        ("relu-pair", "gradient-descent", {Label.SADDLE, Label.UNDECIDED}),  # the minimum has no bound
        ("lasso", "gradient-descent", {Label.GLOBAL, Label.UNDECIDED}),  # at the bound to the digits of the finish
    ],
)
def test_restarts_on_the_gallery_end_at_what_there_is(name, optimiser, allowed):
    census = explore(gallery.problem(name), 24, progress=False, optimiser=optimiser)
    assert {label for label, count in census.labels().items() if count} <= allowed


def test_a_loss_of_the_gallery_runs_from_the_command_line_beside_what_is_known_of_it(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "gallery", "relu-pair", "--restarts", "6", "--quiet"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith("gallery: from_loss")
    assert "known: saddle at loss 1\nknown: global (strict) at loss 0.19\n" in printed


def test_an_unknown_loss_is_one_sentence_on_the_command_line(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["run", "gallery", "rosenbrok"])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith("landscape: the gallery has no 'rosenbrok'; it has rosenbrock, ")


def test_the_page_of_the_study_lists_the_gallery(capsys):
    with pytest.raises(SystemExit):
        main(["studies", "gallery"])
    printed = capsys.readouterr().out
    assert f"Built in: {', '.join(EXAMPLES)}." in printed
