"""The studies of families and of splits: ends are sorted by orbit, results are kept, figures are drawn."""

import json

import numpy as np
import pytest

import landscape as ls
from landscape.host.run import begin
from landscape.studies import families
from landscape.studies.families import SpuriousFamilies, branches, sorted_ends
from landscape.studies.splits import SplitAndEscape


def moved(w, seed):
    """The same point with its neurons and inputs in another order, pushed a little."""
    rng = np.random.default_rng(seed)
    return w[rng.permutation(len(w))][:, rng.permutation(len(w))] + 1e-4 * rng.normal(size=w.shape)


@pytest.mark.slow
def test_ends_are_sorted_into_families_by_orbit():
    k = 8
    names = ["A", "I", "II", "II", 2]
    starts = [moved(ls.family_member(name, k).matrix(), i).reshape(-1) for i, name in enumerate(names)]
    starts.append(np.eye(k).reshape(-1) + 1e-3)
    census = ls.explore(ls.orthonormal_teacher(k), starts=np.array(starts), progress=False)
    found = sorted_ends(census)
    counts = {one["family"]: one["count"] for one in found["families"]}
    assert counts == {"A": 1, "I": 1, "II": 2, "2": 1, "3": 0, "4": 0}
    assert found["others"] == []
    for one in found["families"]:
        assert (one["least"] > 0) == (one["family"] in ("A", "I", "II", "2"))


@pytest.mark.slow
def test_an_end_in_no_family_is_listed_as_such(monkeypatch):
    k = 7
    start = moved(ls.family_member("I", k).matrix(), 0).reshape(1, -1)
    census = ls.explore(ls.orthonormal_teacher(k), starts=start, progress=False)
    all_but_i = [one for one in families.members(k) if one.family != "I"]
    monkeypatch.setattr(families, "members", lambda k: all_but_i)
    (other,) = sorted_ends(census)["others"]
    assert (other["count"], other["label"]) == (1, "spurious")
    assert other["loss"] == pytest.approx(ls.family_member("I", k).loss, abs=1e-12)


@pytest.mark.slow
def test_the_families_are_a_study(tmp_path):
    study = SpuriousFamilies(restarts=8, teachers=(6, 7))
    begin(tmp_path, study.manifest(), None)
    result = study.run(tmp_path, False)
    said = result.as_dict()
    assert sum(said["labels"].values()) == 16
    assert [cell["teacher"] for cell in said["findings"]["cells"]] == [6, 7]
    assert json.dumps(study.stored(tmp_path).cell_dicts()[0]["families"]) == json.dumps(
        said["findings"]["cells"][0]["families"]
    )
    assert "II" in str(result)
    assert all(path.stat().st_size > 10_000 for path in study.figures(result, tmp_path))
    drawn = {branch["family"]: branch for branch in branches(result.cell_dicts())}
    for name, branch in drawn.items():
        above = np.array(branch["k"]) > branch["born"]
        assert np.all((np.array(branch["least"]) > 0) == above), name


@pytest.mark.slow
def test_splits_and_their_escapes_are_a_study(tmp_path):
    study = SplitAndEscape(restarts=3, teachers=(7,))
    begin(tmp_path, study.manifest(), None)
    result = study.run(tmp_path, False)
    said = result.as_dict()
    flipped, regular = said["findings"]["splits"]
    assert (flipped["near"], regular["near"]) == ("-e", "e")
    for row in (flipped, regular):
        # Eigenvalue problems of norm k with entries exact to 1e-15.
        np.testing.assert_allclose(row["measured"], row["predicted"], rtol=0, atol=1e-12)
        assert (row["index"], row["zeros"]) == (6, 1)
    # gaussian.md 4.1: the flipped neuron's split leads to a new spurious minimum, the regular one's to a global one.
    assert [(end["label"], end["count"]) for end in flipped["ends"]] == [("spurious", 3)]
    assert [(end["label"], end["count"]) for end in regular["ends"]] == [("global", 3)]
    assert 0 < flipped["ends"][0]["loss"] < flipped["loss"]
    assert (said["labels"]["global"], said["labels"]["spurious"], said["restarts"]) == (3, 3, 6)
    assert study.stored(tmp_path).as_dict() == json.loads(json.dumps(said))
    assert all(path.stat().st_size > 10_000 for path in study.figures(result, tmp_path))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"teachers": ()}, "teachers must name"),
        ({"part": 1.0}, "part must be between"),
        ({"distance": 0.0}, "distance must be"),
        ({"family": "IV"}, "family must be"),
        ({"teachers": (2,)}, "k must be above 2"),
    ],
)
def test_senseless_splits_are_refused(fields, words):
    with pytest.raises(ls.InputError, match=words):
        SplitAndEscape(**fields).manifest()


@pytest.mark.parametrize("teachers", [(), (2,), pytest.param((6.5,), marks=pytest.mark.wrong_types)])
def test_senseless_sizes_are_refused(teachers):
    with pytest.raises(ls.InputError, match="teachers must"):
        SpuriousFamilies(teachers=teachers).cells()
