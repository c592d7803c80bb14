"""The statistics of a census: intervals cover, unseen mass is what Good and Turing say, levels are split by label."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from landscape.census.census import Census
from landscape.census.levels import LOSS_GAP, LOSS_GRID, class_counts, class_ids, codes, levels_of
from landscape.census.printed import SHOWN_LEVELS
from landscape.census.statistics import share, unseen_mass, wilson
from landscape.records import Evidence


def rows(losses, labels, **columns):
    r = len(losses)
    base = {
        "restart": np.arange(r),
        "loss": np.array(losses, float),
        "loss_error": np.full(r, 1e-14),
        "grad_norm": np.full(r, 1e-13),
        "min_curvature": np.full(r, np.nan),
        "label": np.array(labels, object),
        "flavour": np.full(r, None, object),
        "evidence": np.array(["certified"] * r, object),
        "by": np.array(["test"] * r, object),
    }
    return base | columns


@pytest.mark.parametrize(("count", "total"), [(3, 1000), (346, 1000), (126, 1000), (949, 1000), (1, 20)])
def test_wilson_solves_the_score_equation(count, total):
    # The end points are the p at which the observed share is 1.96 standard deviations of p away.
    for p in wilson(count, total):
        z = abs(count / total - p) / math.sqrt(p * (1 - p) / total)
        assert z == pytest.approx(stats.norm.ppf(0.975), rel=1e-9)


def test_wilson_at_the_ends_and_of_nothing():
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 10)[1] == pytest.approx(0.2775, abs=5e-5)  # Agresti and Coull 1998, table of examples
    assert wilson(0, 0) == (0.0, 1.0)
    assert share(0, 0) == {"share": 0.0, "low": 0.0, "high": 1.0}


def test_the_published_intervals_of_safran_and_shamir_are_wilsons():
    # theory: 34.6% of 1000 is [31.7, 37.6], 0.3% is [.1, .9]
    assert [round(100 * x, 1) for x in wilson(346, 1000)] == [31.7, 37.6]
    assert [round(100 * x, 1) for x in wilson(3, 1000)] == [0.1, 0.9]


def test_unseen_mass_is_the_share_of_singletons_and_its_limit_is_never_below_three_over_n():
    assert unseen_mass([997, 3]) == (0.0, 3 / 1000)
    estimate, upper = unseen_mass([996, 3, 1])
    assert estimate == 1 / 1000
    assert upper >= 3 / 1000
    assert unseen_mass([1] * 10)[0] == 1.0
    assert unseen_mass([]) == (1.0, 1.0)


def test_the_upper_limit_of_the_unseen_mass_covers():
    # 200 classes with geometric shares, 400 draws: the limit must lie above the true missing mass in 95% of repeats,
    # and in at least 90% here (400 repeats: a standard error of 1.1%).
    rng = np.random.default_rng(3)
    shares = 0.97 ** np.arange(200)
    shares /= shares.sum()
    covered = 0
    for _ in range(400):
        counts = rng.multinomial(400, shares)
        covered += shares[counts == 0].sum() <= unseen_mass([int(c) for c in counts if c])[1]
    assert covered / 400 > 0.9


def test_levels_are_keyed_by_loss_label_and_flavour():
    r = rows([0.0, 1e-15, 0.02, 0.02 + 1e-13, 0.02], ["global", "global", "spurious", "spurious", "saddle"])
    levels = levels_of(r | {"orbit": np.array([0, 0, 2, 3, 4])})
    assert [(level.label, level.count, level.orbits) for level in levels] == [
        ("global", 2, 1),
        ("saddle", 1, 1),
        ("spurious", 2, 2),
    ]
    assert sum(level.share for level in levels) == pytest.approx(1.0)


def test_a_level_carries_its_weakest_evidence():
    r = rows([0.02, 0.02], ["spurious"] * 2, evidence=np.array(["certified", "numerical"], object))
    assert levels_of(r | {"orbit": np.array([0, 0])})[0].evidence == "numerical"


def test_a_set_that_is_not_isolated_has_no_orbits_and_is_one_class():
    r = rows([0.0, 1e-16, 0.0], ["global"] * 3)
    assert levels_of(r | {"orbit": np.array([-1, -1, -1])})[0].orbits is None
    assert class_counts(r | {"orbit": np.array([-1, -1, -1])}) == [3]


def test_restarts_without_an_end_are_one_level_and_no_class():
    r = rows(
        [0.3, 0.1, 0.0], ["unconverged", "unconverged", "global"], evidence=np.array([None, None, "certified"], object)
    )
    levels = levels_of(r | {"orbit": np.array([-1, -1, 2])})
    assert [(level.label, level.count) for level in levels] == [("global", 1), ("unconverged", 2)]
    assert class_counts(r | {"orbit": np.array([-1, -1, 2])}) == [1]


# Against the same in slow and plain words


def anything(r, seed):
    """Rows in which everything occurs that levels and classes look at."""
    rng = np.random.default_rng(seed)
    pick = lambda *words: np.array(words, object)[rng.integers(len(words), size=r)]  # noqa: E731
    losses = np.array([0.0, 1e-16, 0.02, 0.02 + 3e-9, 0.5, 0.5 + 1e-12, -3.0, np.inf, np.nan])
    return rows(
        losses[rng.integers(len(losses), size=r)],
        pick("global", "spurious", "saddle", "undecided", "unconverged", "at_infinity"),
        flavour=pick(None, "strict", "index 1", "index 12", ""),
        evidence=pick(None, "certified", "numerical", "proved"),
        by=pick(None, "ball", "curvature"),
        orbit=np.where(rng.random(r) < 0.4, -1, rng.integers(0, max(1, r // 3), r)),
        min_curvature=np.where(rng.random(r) < 0.5, np.nan, rng.normal(size=r)),
        grad_norm=rng.random(r),
        restart=rng.permutation(r),
    )


def slow_levels(r):
    out = []
    order = [str(e) for e in Evidence]
    for label, flavour in sorted({(a, b or "") for a, b in zip(r["label"], r["flavour"], strict=True)}):
        chosen = [i for i in range(len(r["label"])) if r["label"][i] == label and (r["flavour"][i] or "") == flavour]
        chosen.sort(key=lambda i: (np.isnan(r["loss"][i]), r["loss"][i]))
        groups = []
        for i in chosen:
            if groups and label not in ("unconverged", "at_infinity"):
                before = groups[-1][-1]
                gap = LOSS_GAP * max(1.0, abs(r["loss"][i])) + r["loss_error"][i] + r["loss_error"][before]
                if r["loss"][i] - r["loss"][before] > gap:
                    groups.append([])
            groups = groups or [[]]
            groups[-1].append(i)
        for members in groups:
            rank = [-1 if r["evidence"][i] is None else order.index(r["evidence"][i]) for i in members]
            weakest = members[int(np.argmax(rank))]
            curvature = [r["min_curvature"][i] for i in members if np.isfinite(r["min_curvature"][i])]
            isolated = all(r["orbit"][i] >= 0 for i in members)
            out.append(
                (
                    r["loss"][members[0]],
                    label,
                    flavour or None,
                    r["evidence"][weakest],
                    r["by"][weakest],
                    len(members),
                    len({r["orbit"][i] for i in members}) if isolated else None,
                    min(curvature, default=math.nan),
                    max(r["grad_norm"][i] for i in members),
                )
            )
    return out


@pytest.mark.parametrize(("r", "seed"), [(1, 0), (2, 1), (7, 2), (60, 3), (400, 4), (400, 5)])
def test_levels_are_those_of_the_slow_way(r, seed):
    found = levels_of(anything(r, seed))
    with np.errstate(invalid="ignore"):  # differences of infinite losses
        wanted = slow_levels(anything(r, seed))
    names = ("loss", "label", "flavour", "evidence", "by", "count", "orbits", "min_curvature", "grad_norm")
    key = lambda level: [str(value) for value in level]  # noqa: E731
    assert sorted(map(key, wanted)) == sorted(key([getattr(level, name) for name in names]) for level in found)
    assert sum(level.share for level in found) == pytest.approx(1.0)


@pytest.mark.parametrize(("r", "seed"), [(1, 0), (2, 1), (60, 3), (400, 4)])
def test_classes_are_those_of_the_slow_way(r, seed):
    table = anything(r, seed)

    def slow(i):
        if table["orbit"][i] >= 0:
            return int(table["orbit"][i])
        loss = table["loss"][i]
        ends = table["label"][i] not in ("unconverged", "at_infinity") and math.isfinite(loss)
        return table["label"][i], table["flavour"][i], round(loss / LOSS_GRID) if ends else None

    wanted = [slow(i) for i in range(r)]
    found = class_ids(table)
    assert len(set(wanted)) == len(set(found.tolist())) == len(set(zip(wanted, found.tolist(), strict=True)))
    ended = [c for i, c in enumerate(wanted) if table["label"][i] not in ("unconverged", "at_infinity")]
    assert sorted(class_counts(table)) == sorted(ended.count(c) for c in set(ended))


def test_codes_are_ranks_of_words():
    column = np.array(["b", None, "a", "b", ""], object)
    assert codes(column)[1] == [None, "", "a", "b"]
    assert codes(column)[0].tolist() == [3, 0, 2, 3, 1]
    numbers, words = codes(column, none="")
    assert ([words[i] for i in numbers], words) == (["b", "", "a", "b", ""], ["", "a", "b"])
    assert codes(np.array([], object)) == (pytest.approx(np.zeros(0)), [])


def test_a_census_of_many_levels_prints_the_first_and_counts_the_rest():
    total = SHOWN_LEVELS + 5
    levels = levels_of(rows(np.arange(total + 1.0), ["global"] + ["spurious"] * total, orbit=np.arange(total + 1)))
    census = Census(
        study="test",
        problem={"kind": "test"},
        restarts=total + 1,
        seed=0,
        rows={
            "restart": np.arange(total + 1),
            "loss": np.arange(total + 1.0),
            "label": np.array(["global"], object),
            "by": np.array([None] * (total + 1), object),
            "margin": np.full(total + 1, np.nan),
        },
        weights={},
        levels=levels,
        lower_bound=None,
        unseen=(0.0, 1.0),
        seconds={"total": 0.0},
        environment={},
    )
    printed = str(census).splitlines()
    assert sum("certified" in line for line in printed) == SHOWN_LEVELS
    assert "... and 6 more levels (restarts: 6 spurious); --json has all" in printed
    assert "more level" not in str(replace(census, levels=levels[:SHOWN_LEVELS]))
