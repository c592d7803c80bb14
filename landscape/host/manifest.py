"""What a run folder says about its run, before anything is run."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from landscape.census.assemble import facts
from landscape.host.lanes import environment
from landscape.host.plan import Plan
from landscape.problems.empirical import Empirical
from landscape.problems.population import TeacherStudent
from landscape.problems.porcupine import Porcupine
from landscape.records import InputError

ELSEWHERE = ("environment",)  # what may differ where a run goes on ...
HOW = "lanes"  # ... and the setting that may


def manifest(plan: Plan, fields: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a run.

    Args:
        plan: Of the run.
        fields: What its study was given.
    """
    settings = {
        name: value if isinstance(value, str | int | float) else repr(value)
        for name, value in plan.settings._asdict().items()
    }
    return {
        "study": plan.study,
        "fields": fields,
        "problem": facts(plan.problem),
        "restarts": plan.restarts,
        "seed": plan.seed,
        "settings": settings,
        "environment": whereabouts(plan),
    }


def whereabouts(plan: Plan) -> dict[str, Any]:
    """Versions, device and dtype of this process, and whose basins the shares are of."""
    return {
        **environment(plan.settings),
        "dynamics": plan.settings.method(plan.problem.scale).dynamics,
    }


def fields_of(plan: Plan) -> tuple[str, dict[str, Any]]:
    """Study and fields in the manifest of a run from Python.

    A teacher-student problem can be written down whole: its folder is one of the study of that name, with that study's
    fields, and `landscape resume` goes on with it. Of other problems the fields hold a digest.
    """
    problem, settings = plan.problem, plan.settings
    if isinstance(problem, TeacherStudent) and isinstance(settings.optimiser, str) and plan.starts is None:
        teacher = {
            "teacher": json.dumps(problem.teacher.tolist()),
            "width": problem.width,
            "dimension": None,
            "activation": problem.activation.name,
            "slope": problem.activation.slope,
        }
        return "teacher-student", {
            "restarts": plan.restarts,
            "seed": plan.seed,
            **settings._asdict(),
            **teacher,
        }
    fields = {} if plan.starts is None else {"starts": hashlib.sha256(plan.starts.tobytes()).hexdigest()}
    return "explore", fields | _digests(problem)


def _digests(problem: Any) -> dict[str, Any]:
    """What tells one problem of a kind and size from another."""
    if isinstance(problem, TeacherStudent):
        return {"teacher": json.dumps(problem.teacher.tolist())}
    if isinstance(problem, Porcupine):
        arrays = (problem.lines, np.array(problem.neurons), problem.teacher)
        return {"data": hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()}
    if isinstance(problem, Empirical):
        said = [np.ascontiguousarray(a).tobytes() for a in (problem.x, problem.y)]
        return {
            "data": hashlib.sha256(b"".join(said) + problem.normalisation.encode()).hexdigest(),
            "bias": problem.bias,
            "outer_bias": problem.outer_bias,
            "activation": str(problem.activation),
        }
    return {}


def check_same(held: dict[str, Any], said: dict[str, Any], folder: Any) -> None:
    """Raises InputError unless two manifests are of one run, wherever and in however many lanes it goes on."""
    for one in (held, said):
        one["settings"].pop(HOW)
        one["fields"].pop(HOW, None)
    differs = [name for name in held if name not in ELSEWHERE and held[name] != said.get(name)]
    if differs:
        raise InputError(f"{folder} holds another run: its {differs[0]} differs. Choose another folder.")
