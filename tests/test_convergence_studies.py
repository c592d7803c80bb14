"""The studies of local convergence find the published exponents, and their records can be drawn and gone on with."""

from __future__ import annotations

import json

import pytest
from reference import call

from landscape.studies.convergence import Lojasiewicz, StudentMatching
from landscape.studies.widths_and_scales import InitScale, Overparametrise


@pytest.mark.slow
def test_the_exponent_is_a_half_at_the_teachers_width_and_two_thirds_above(tmp_path, capsys):
    out = tmp_path / "run"
    asked = ["--model", "abs", "--widths", "2", "4", "--restarts", "16", "--quiet", "--json", "--out", str(out)]
    assert call("run", "lojasiewicz", *asked) == 0
    told = json.loads(capsys.readouterr().out)
    narrow, wide = told["findings"]["cases"]
    assert narrow["regime"] == "nondegenerate"
    assert wide["regime"] == "over-parametrised"
    # Sixteen descents scatter by some 0.005 in the exponent and 0.03 in the rate.
    assert narrow["exponent"]["slope"] == pytest.approx(0.5, abs=0.02)
    assert wide["exponent"]["slope"] == pytest.approx(2 / 3, abs=0.02)
    assert wide["rate"]["slope"] == pytest.approx(3.0, abs=0.1)
    for row in (narrow, wide):
        assert row["labels"]["global"] == 16
        assert row["halved"]["exponent"] < 0.002  # the step of the flow is not what makes the exponent
        assert row["kappa"] > 1
        assert row["basin"] == "numerical"
    assert call("plot", str(out)) == 0
    assert (out / "figures" / "lojasiewicz.png").stat().st_size > 5000
    capsys.readouterr()
    (out / "result.json").unlink()
    assert call("resume", str(out), "--json", "--quiet") == 0
    assert json.loads(capsys.readouterr().out)["findings"] == told["findings"]


@pytest.mark.long
def test_students_match_teachers_except_where_relu_teachers_cancel(tmp_path):
    study = StudentMatching(model="tied", widths=(5,), restarts=12, dimension=3)
    result = study.run(None, False)
    tied, cancelling = result.record["findings"]["cases"]
    assert tied["matched"] == tied["labels"]["global"] > 6
    # Students at the negatives of three teachers that sum to zero: about half of the global ends.
    assert 0 < cancelling["unmatched_global"] < cancelling["labels"]["global"] == 12
    assert tied["laws"]["angle"]["slope"] == pytest.approx(1 / 3, abs=0.03)
    assert tied["end"]["mass_off"] < 1e-6
    assert study.figures(result, tmp_path)[0].stat().st_size > 5000
    assert "prove nothing" in str(result)


@pytest.mark.slow
def test_one_neuron_more_takes_spurious_ends_away(tmp_path):
    study = Overparametrise(teachers=(8,), extra=(0, 1), restarts=60)
    result = study.run(None, False)
    narrow, wide = result.cell_dicts()
    assert narrow["labels"]["spurious"] >= 2  # 12.6% of published descents
    assert wide["labels"]["spurious"] <= 1  # 0.1%
    assert study.figures(result, tmp_path)[0].stat().st_size > 5000


def test_the_scale_of_the_starts_is_that_of_the_cell(tmp_path):
    study = InitScale(teacher=3, restarts=10, hundredths=(10, 100), extra=(0,))
    result = study.run(None, False)
    cells = result.cell_dicts()
    assert [cell["init_scale"] for cell in cells] == [0.1, 1.0]
    assert all(cell["labels"]["global"] == 10 for cell in cells)  # three teachers have no spurious minima
    assert study.figures(result, tmp_path)[0].stat().st_size > 5000
    assert "scale" in str(result)


@pytest.mark.parametrize(
    ("study", "words"),
    [
        (Lojasiewicz(model="gelu"), "model must be tied, abs, relu or all"),
        (Lojasiewicz(widths=(1,)), "widths must be at least the teacher's 2"),
        (Lojasiewicz(low=1.0, high=0.1), "0 < low < high"),
        (Lojasiewicz(optimiser="lbfgs"), "must be flow or gradient-descent"),
        (InitScale(hundredths=(0,)), "hundredths must be positive"),
    ],
)
def test_fields_that_make_no_sense_are_refused_in_a_sentence(study, words):
    from landscape.records import InputError

    with pytest.raises(InputError, match=words):
        study.manifest()
