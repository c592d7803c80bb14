"""Every study keeps one contract: a plan or cells, each made once; the defaults of its problem; facts, no guesses."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

import landscape as ls
from landscape.engine.plan import Plan
from landscape.engine.settings import Settings
from landscape.studies import STUDIES
from landscape.studies.data_sets import HiddenConvex
from landscape.studies.descents import Descents
from landscape.studies.porcupines import PorcupineStudy
from landscape.studies.study import Study

ONE_PROCESS = {
    "grow-until-global",
    "degree-mismatch",
    "zero-subnetwork",
    "intrinsic-dimension",
    "spurious-valley",
    "valley-by-width",
    "safran-shamir-topology",
    "saddle-census",
    "mode-connectivity",
    "lojasiewicz",
    "student-matching",
    "split-and-escape",
}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_has_a_plan_or_cells_that_have_one_and_its_manifest_makes_it_again(name):
    study = STUDIES[name]()
    assert isinstance(study, Study)
    assert study.one_process == (name in ONE_PROCESS)
    cells = study.cells()
    assert all(not cell.cells() for cell in cells.values())
    first = next(iter(cells.values()), study)
    assert isinstance(first.plan(), Plan)
    assert first.plan().study == first.name
    listed = {f.name: getattr(study, f.name) for f in fields(study)}
    assert STUDIES[name].of({"fields": {k: list(v) if isinstance(v, tuple) else v for k, v in listed.items()}}) == study


def test_a_problem_is_built_once_a_run(monkeypatch):
    built = []
    problem = PorcupineStudy.problem
    monkeypatch.setattr(PorcupineStudy, "problem", lambda self: built.append(self) or problem(self))
    study = PorcupineStudy(restarts=4)
    study.manifest()
    result = study.run(None, False)
    assert result.plan is study.plan()
    assert built == [study]


@pytest.mark.parametrize(
    "study", [PorcupineStudy(restarts=2), HiddenConvex(restarts=2, width=2)], ids=["lines", "data"]
)
def test_python_and_the_command_line_give_a_problem_the_same_settings(study):
    own = study.plan()
    # Small starts are what the formulas of the porcupine studies are about, and no setting of the problem.
    census = ls.explore(own.problem, 2, progress=False, init_scale=own.settings.init_scale)
    assert census.plan is not None
    assert census.plan.settings == own.settings
    assert PorcupineStudy().budget == 20_000


def test_a_setting_that_is_given_takes_the_place_of_the_problems_own():
    problem = ls.porcupine(np.eye(2), 2, [[1.0, 0.0]])
    census = ls.explore(problem, 2, progress=False, budget=777)
    assert (census.plan.settings.budget, census.plan.settings.retire) == (777, 1e-4)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "words"), [({"restarts": 0}, "restarts must be"), ({"seed": 2**63}, "at most 9223372036854775807")]
)
def test_a_plan_refuses_numbers_that_make_no_sense(fields, words):
    given = {"restarts": 1, "seed": 0} | fields
    with pytest.raises(ls.InputError, match=words):
        Plan(ls.orthonormal_teacher(2), ls.Settings(), **given)


def test_a_study_of_restarts_has_the_defaults_of_a_run_from_python():
    # They stand in two places: the command line shows those of the study without loading JAX.
    shown = {field.name: field.default for field in fields(Descents)}
    assert {name: shown[name] for name in Settings._fields} == Settings()._asdict()
