"""The studies of finite data from the command line: what they find agrees with the fixture, with the enumeration of all
minima and with losses written out here; run folders are shown, resumed and drawn."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from reference import call, check_drawn, check_refused
from slow import long, slow

import landscape
from landscape import classify
from landscape.engine.driver import Driver
from landscape.engine.settings import Settings
from landscape.studies import STUDIES, data_sets
from landscape.studies.data_findings import MINIMA, STATIONARY, own_cells
from landscape.theory.convex.coverage import coverage
from landscape.theory.convex.least_loss import best_of_width, certified_optimum
from landscape.theory.convex.local_minima import local_minima

FIXTURE = json.loads((Path(__file__).parent / "fixtures" / "relu_A_n8_d2.json").read_text())
P_STAR = FIXTURE["p_star"]

# Few widths, so that most share what was compiled.
SMALL = {
    "hidden-convex": ["--widths", 2, 3, "--restarts", 30],
    "critical-width": ["--widths", 4, 2, 9, "--restarts", 8],
    "descending-path": ["--restarts", 4, "--steps", 20, "--drawn", 2],
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Folders of the small runs, by study, run when first asked for."""
    folders = {}

    def folder(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(name) / "run"
            assert call("run", name, *SMALL[name], "--out", folders[name], "--quiet") == 0
        return folders[name]

    return folder


def shown(capsys, folder, command="show"):
    """What `landscape show --json` prints."""
    capsys.readouterr()
    assert call(command, folder, "--json") == 0
    return json.loads(capsys.readouterr().out)


def true_loss(problem, hidden, outer):
    """The loss of a network without biases, written out."""
    f = np.maximum(problem.x @ hidden.T, 0) @ outer
    return 0.5 * np.sum((f - problem.y) ** 2) + 0.5 * problem.weight_decay * (np.sum(hidden**2) + np.sum(outer**2))


@pytest.mark.parametrize(
    "name", [slow(name) if name in ("hidden-convex", "critical-width") else name for name in SMALL]
)
def test_a_study_runs_is_shown_resumed_and_drawn(name, ran, capsys):
    folder = ran(name)
    first = shown(capsys, folder)
    again = shown(capsys, folder, "resume")
    assert first["study"] == name
    assert first["findings"]["finished"] == first["restarts"] == sum(first["labels"].values())
    assert again["labels"] == first["labels"]
    assert again["findings"]["theory"] == first["findings"]["theory"]
    assert first["findings"]["theory"]["p_star"] == pytest.approx(P_STAR, abs=1e-12)
    assert (first["findings"]["theory"]["m_star"], first["findings"]["theory"]["M_star"]) == (4, 4)
    check_drawn(capsys, folder)
    assert call("show", folder) == 0
    text = capsys.readouterr().out
    assert "convex optimum 0.771374198933" in text
    assert "m* = 4" in text


@pytest.mark.slow
def test_ends_by_width_agree_with_the_enumeration_of_all_minima(ran, capsys):
    """Every minimum that a restart found is listed, and no label contradicts the least of them."""
    found = shown(capsys, ran("hidden-convex"))["findings"]
    two, three = found["cells"]
    assert [two["width"], three["width"]] == [2, 3]
    assert two["theory"]["P_m"] == pytest.approx(FIXTURE["P_m"]["2"], abs=1e-9)
    assert two["theory"]["P_m"] > three["theory"]["P_m"] > P_STAR + 1e-4  # m* is 4
    for cell in found["cells"]:
        minima = cell["minima"]
        assert minima["elsewhere"] == minima["contradicted"] == minima["undecided"] == 0
        assert minima["ended"] == cell["labels"]["global"] + cell["labels"]["spurious"]
        assert sum(one["restarts"] for one in minima["each"]) == minima["ended"]
        assert minima["missed"] == sum(one["restarts"] == 0 for one in minima["each"])
        assert cell["own_cells"]["restarts"] == cell["finished"]
        assert cell["own_cells"]["agree"]
        assert minima["best"] == pytest.approx(cell["theory"]["P_m"], abs=1e-10)
        values = np.array([one["loss"] for one in minima["each"]])
        for level in cell["levels"]:  # saddles at a zero neuron have the losses of flat minima
            assert np.min(np.abs(values - level["loss"])) < 1e-9


def test_one_width_is_a_census_with_every_field(tmp_path, capsys):
    """With a file that says its own reduction: mean squared error, for which 2 beta / n is the weight decay."""
    path = tmp_path / "data.json"
    data = {"x": FIXTURE["X"], "y": FIXTURE["y"], "weight_decay": 2 * 0.1 / 8, "reduction": "mean"}
    path.write_text(json.dumps(data))
    folder = tmp_path / "run"
    options = ["--data", path, "--width", 2, "--restarts", 30, "--out", folder, "--json"]
    assert call("run", "hidden-convex", *options) == 0
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {
        "study", "problem", "restarts", "seed", "labels", "shares", "levels", "lower_bound", "best_seen", "unseen_mass",
        "seconds", "environment", "findings",
    }  # fmt: skip
    assert (said["problem"]["kind"], said["problem"]["width"], said["problem"]["parameters"]) == ("empirical", 2, 6)
    assert said["lower_bound"]["value"] == pytest.approx(P_STAR, abs=1e-10)
    fields = {"loss", "label", "flavour", "evidence", "by", "count", "share", "share_low", "share_high", "orbits",
              "min_curvature", "grad_norm"}  # fmt: skip
    kinds = set()
    for level in said["levels"]:
        assert set(level) == fields
        kinds.add((level["label"], level["flavour"]))
    assert {("global", "for this width"), ("spurious", "strict"), ("saddle", "zero neuron")} <= kinds
    assert sum(level["count"] for level in said["levels"]) == 30
    assert shown(capsys, folder)["levels"] == said["levels"]
    assert call("plot", folder) == 0
    assert [Path(name).name for name in capsys.readouterr().out.split()] == ["ends.png", "minima.png"]
    # Its own study with the weight decay given: the same run.
    assert call("run", "hidden-convex", "--width", 2, "--restarts", 30, "--weight-decay", 0.1, "--json") == 0
    assert json.loads(capsys.readouterr().out)["levels"] == said["levels"]
    # The folder knows its data.
    path.write_text(json.dumps(data | {"weight_decay": 0.1}))
    check_refused(capsys, "is not what it was", "resume", folder)
    # And holds it: neither show nor resume needs the file.
    assert shown(capsys, folder)["levels"] == said["levels"]
    path.unlink()
    assert shown(capsys, folder)["levels"] == said["levels"]
    assert call("resume", folder, "--json") == 0
    assert json.loads(capsys.readouterr().out)["levels"] == said["levels"]


def test_critical_widths_and_the_staircase(ran, capsys):
    found = shown(capsys, ran("critical-width"))["findings"]
    assert [cell["width"] for cell in found["cells"]] == [2, 4, 9]
    assert [(step["least"], step["most"]) for step in found["staircase"]] == [(1, 3), (4, 4), (5, 7), (8, None)]
    assert all(cell["minima"] is None for cell in found["cells"])
    assert call("show", ran("critical-width")) == 0
    assert "width 8 on: one connected set" in capsys.readouterr().out
    chosen = [cell.width for cell in STUDIES["critical-width"]().cells().values()]
    assert chosen == list(range(1, 12))
    chosen = [cell.width for cell in STUDIES["critical-width"](data="iris").cells().values()]
    assert {1, 2, 3, 4, 31, 33} <= set(chosen)
    assert len(chosen) <= 14


def test_paths_start_at_the_restarts_never_rise_and_end_at_the_optimum(ran, capsys):
    folder = ran("descending-path")
    found = shown(capsys, folder)["findings"]["paths"]
    problem = STUDIES["descending-path"]().problem()
    assert problem.width == 9
    starts = landscape.start_points(problem, 0, np.arange(4))
    for one, start in zip(found["each"], starts, strict=True):
        assert one["rise"] <= 1e-12  # rounding of a loss of about one is some 1e-15
        assert abs(one["excess"]) <= 1e-12
        with np.load(folder / "paths" / f"path{one['restart']:05d}.npz") as way:
            hidden, outer = way["hidden"], way["outer"]
        np.testing.assert_array_equal(np.concatenate([hidden[0].ravel(), outer[0]]), start)
        losses = [true_loss(problem, h, a) for h, a in zip(hidden, outer, strict=True)]
        assert np.all(np.diff(losses) <= 1e-12)
        assert losses[0] == pytest.approx(one["start"], abs=1e-13)
        assert losses[-1] == pytest.approx(P_STAR, abs=1e-12)


def test_fishers_flowers_are_standardised_and_their_optimum_has_two_neurons():
    study = STUDIES["hidden-convex"](data="iris", width=2)
    problem = study.problem()
    np.testing.assert_allclose(problem.x[:, :2].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(problem.x[:, :2].std(axis=0), 1, atol=1e-12)
    np.testing.assert_array_equal(problem.x[:, 2], 1)
    assert (problem.fit.name, problem.bias, problem.outer_bias) == ("logistic", "regularised", "regularised")
    best = certified_optimum(problem)
    assert 0 <= best.value - best.lower_bound < 1e-10
    params = landscape.Params(best.hidden[:, :2], best.outer, best.hidden[:, 2], best.b0)
    assert landscape.label(problem, params).label == "global"
    assert all(
        "source" in json.loads((data_sets.BUILT_IN / f"{name}.json").read_text()) for name in data_sets.built_in()
    )


def test_other_activations_have_no_theory_and_draw_all_the_same(tmp_path, capsys):
    folder = tmp_path / "run"
    options = ["--activation", "leaky_relu", "--width", 2, "--restarts", 8, "--out", folder, "--json"]
    assert call("run", "hidden-convex", *options) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert found["theory"] is found["minima"] is found["own_cells"] is None
    assert call("plot", folder) == 0


@pytest.mark.parametrize("restarts", [slow(25), long(100)])
def test_restarts_of_ten_widths_are_optima_of_their_own_cells_and_no_label_is_wrong(restarts):
    """Each restart's own point, and P_m and all minima by enumeration to width 4.

    The staircase of the eight points has its steps at widths 4, 5 and 8 (the study critical-width): each width up to 6
    is here, and four of those on the last step, which are of one kind.
    """
    unknown = 0
    for width in (1, 2, 3, 4, 5, 6, 8, 11, 15, 20):
        problem = classify.bounded(landscape.empirical(FIXTURE["X"], FIXTURE["y"], width, weight_decay=0.1))
        settings = Settings(step_size=problem.step_size(), retire=1e-4)
        with jax.enable_x64(True):
            batches = list(Driver(problem, settings, 0).run(np.arange(restarts)))
        rows = {name: np.concatenate([batch[0][name] for batch in batches]) for name in ("label", "loss")}
        thetas = np.concatenate([batch[1] for batch in batches])
        for label, loss, theta in zip(rows["label"], rows["loss"], thetas, strict=True):
            if label in STATIONARY:
                assert own_cells(problem, theta) == pytest.approx(loss, abs=1e-9)
        few = np.sum(np.isin(rows["label"], ["undecided", "unconverged"]))
        unknown += few
        assert few < 0.05 * restarts
        best = best_of_width(problem).value
        above = rows["loss"] > best + 1e-9
        assert not np.any((rows["label"] == "global") & above)
        assert not np.any((rows["label"] == "spurious") & ~above)
        if width <= 4:
            every = local_minima(problem.data, width)
            assert every.best == pytest.approx(best, abs=1e-10)
            at = np.isin(rows["label"], MINIMA)
            outputs = np.maximum(thetas[at, : 2 * width].reshape(-1, width, 2) @ problem.x.T, 0)
            outputs = np.einsum("rmn,rm->rn", outputs, thetas[at, 2 * width :])
            assert not np.any(coverage(every, rows["loss"][at], outputs).elsewhere)
    assert unknown < 0.02 * 10 * restarts


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["hidden-convex", "--data", "nothing"], "is no file and not built in; those that are: eight-points, iris"),
        (["hidden-convex", "--data", "nothing.json"], "nothing.json is no file"),
        (["hidden-convex", "--widths"], "must name at least one"),
        (["hidden-convex", "--widths", 0], "width must be a whole number of at least 1"),
        (["hidden-convex", "--width", -1], "width must be a whole number of at least 1"),
        (["hidden-convex", "--weight-decay", -1], "weight_decay must be a number of at least 0"),
        (["hidden-convex", "--loss", "hinge"], "loss 'hinge' is unknown"),
        (["hidden-convex", "--loss", "logistic"], "labels -1 and 1"),
        (["hidden-convex", "--bias", "some"], "bias 'some' is unknown"),
        (["hidden-convex", "--listed", -1], "listed must be"),
        (["hidden-convex", "--restarts", 0], "restarts must be"),
        (["critical-width", "--init", "zeros"], "init 'zeros' is unknown"),
        (["descending-path", "--width", 8], "at least n + 1 = 9 neurons, found 8"),
        (["descending-path", "--weight-decay", 0], "needs one that is known"),
        (["descending-path", "--steps", 0], "steps must be"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(arguments, words, capsys):
    check_refused(capsys, words, "run", *arguments)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"y": [1]}, "has no 'x'"),
        ({"x": [[1]]}, "has no 'y'"),
        ({"x": [[1], [2]], "y": [1], "weight_decay": 1}, "y must be 2 numbers"),
        ({"x": [[1], [2]], "y": [1, 2]}, "has no 'weight_decay'"),
        ({"x": [[1], [2]], "y": [1, 2], "beta": 1}, "field 'beta'"),
    ],
)
def test_a_bad_data_file_is_one_sentence_and_status_two(content, words, tmp_path, capsys):
    path = tmp_path / "data.json"
    path.write_text(json.dumps(content))
    check_refused(capsys, words, "run", "hidden-convex", "--data", path)
