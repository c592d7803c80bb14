"""Explore the loss landscapes of shallow networks: restarts in parallel, every end labelled, with the evidence.

The public names are imported on first use, so that `import landscape` and `landscape --help` need no JAX.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "teacher_student": "landscape.problems.teacher_student",
    "orthonormal_teacher": "landscape.problems.teacher_student",
    "tied_student": "landscape.problems.tied",
    "separated_teacher": "landscape.problems.tied",
    "porcupine": "landscape.problems.porcupine",
    "empirical": "landscape.problems.empirical",
    "improve": "landscape.host.label",
    "parallel": "landscape.problems.parallel",
    "matrix_factorisation": "landscape.problems.parallel",
    "Subnetwork": "landscape.problems.subnetwork",
    "grow": "landscape.host.growth",
    "split": "landscape.theory.local_convergence.splitting",
    "escape": "landscape.host.splitting",
    "birth_test": "landscape.theory.birth",
    "critical_manifolds": "landscape.theory.local_convergence.counts",
    "global_manifolds": "landscape.theory.local_convergence.counts",
    "family_member": "landscape.theory.local_convergence.families",
    "family_modes": "landscape.theory.local_convergence.families",
    "family_birth": "landscape.theory.local_convergence.families",
    "from_model": "landscape.host.models",
    "from_loss": "landscape.problems.from_loss",
    "Params": "landscape.problems.params",
    "explore": "landscape.host.explore",
    "label": "landscape.host.label",
    "load": "landscape.studies.folders",
    "resume": "landscape.studies.folders",
    "export": "landscape.studies.export",
    "plot": "landscape.studies.census_figures",
    "compare": "landscape.census.compare",
    "trace": "landscape.host.trace",
    "Trace": "landscape.trajectory",
    "loss_slice": "landscape.host.slices",
    "topology_of": "landscape.studies.topology",
    "paths_between": "landscape.host.paths_between",
    "transition_states": "landscape.host.transition_states",
    "start_points": "landscape.problems.restart",
    "Census": "landscape.census.census",
    "Level": "landscape.census.levels",
    "wilson": "landscape.census.statistics",
    "unseen_mass": "landscape.census.statistics",
    "Settings": "landscape.engine.settings",
    "Evidence": "landscape.records",
    "InputError": "landscape.records",
    "Label": "landscape.records",
    "Point": "landscape.records",
    "Spectrum": "landscape.records",
    "Status": "landscape.records",
    "Verdict": "landscape.records",
}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"landscape has no {name!r}; its public names are {', '.join(__all__)}.")
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return __all__
