"""What a run folder says about its run, before anything is run."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from typing import Any

import jax
import numpy as np

from landscape.descent.structure import structure
from landscape.engine.environment import environment
from landscape.engine.plan import Plan
from landscape.precision import float64


def manifest(plan: Plan, fields: dict[str, Any]) -> dict[str, Any]:
    """The manifest of a run.

    Args:
        plan: Of the run.
        fields: What its study was given.
    """
    settings = {
        name: value if isinstance(value, str | int | float) else optimiser_name(value)
        for name, value in plan.settings._asdict().items()
    }
    looks = {} if plan.looks is None else {"looks": plan.looks.as_dict()}
    bound = plan.problem.lower_bound
    return looks | {
        "study": plan.study,
        "fields": fields,
        "problem": plan.problem.facts(),
        "lower_bound": None if bound is None else {"value": bound.value, "by": bound.by},
        "fingerprint": plan.problem.fingerprint(),
        "restarts": plan.restarts,
        "seed": plan.seed,
        "settings": settings,
        "environment": whereabouts(plan),
    }


def whereabouts(plan: Plan) -> dict[str, Any]:
    """Versions, device and dtype of this process, and whose basins the shares are of."""
    dynamics = plan.settings.method(plan.problem.scale).dynamics
    return {**environment(plan.settings), "dynamics": dynamics}


def fields_of(plan: Plan) -> tuple[str, dict[str, Any]]:
    """Study and fields in the manifest of a run from Python.

    A problem that can be written down whole has a study of its own (`Problem.as_study`): its folder is one of that
    study, and `landscape resume` goes on with it. Other problems are known by their fingerprint.
    """
    written = plan.problem.as_study()
    if written is not None and isinstance(plan.settings.optimiser, str) and plan.starts is None:
        study, own = written
        return study, {"restarts": plan.restarts, "seed": plan.seed, **plan.settings._asdict(), **own}
    return "explore", {} if plan.starts is None else {"starts": hashlib.sha256(plan.starts.tobytes()).hexdigest()}


PROBED = 2048  # updates that tell one optimiser from another; a schedule that changes later is not seen


_NAMES: dict[Hashable, str] = {}  # of optimisers, by what they are made of: the digest compiles a program


def optimiser_name(optimiser: Any) -> str:
    """A name of an optax optimiser by what it does, worked out once for optimisers that are made of equal parts."""
    key = structure(optimiser)
    if key not in _NAMES:
        _NAMES[key] = _named(optimiser)
    return _NAMES[key]


def _named(optimiser: Any) -> str:
    """A name of an optax optimiser by what it does: a digest of its updates along fixed gradients.

    Its own representation holds addresses, which another process has not. Updates are compared to six digits, at the
    first eight steps and at powers of two up to PROBED.
    """
    with float64():
        steps = np.arange(1, PROBED + 1)
        wave = np.sin(np.outer(steps, [1.0, 2.0, 3.0, 5.0])) * [1.0, 1e-3, 1e3, 0.1]
        point = np.array([0.3, -1.0, 2.0, 0.0])

        def step(state: Any, gradient: Any) -> tuple[Any, Any]:
            updates, state = optimiser.update(gradient, state, point)
            return state, updates

        try:
            updates = np.asarray(jax.lax.scan(step, optimiser.init(jax.numpy.asarray(point)), wave)[1], np.float64)
        except Exception:  # one that asks for more than gradients goes on in this process only
            return repr(optimiser)
    looked = [n for n in steps if n <= 8 or n & (n - 1) == 0]
    said = " ".join(f"{update:.6g}" for update in updates[np.array(looked) - 1].reshape(-1))
    return f"optax {hashlib.sha256(said.encode()).hexdigest()[:16]}"
