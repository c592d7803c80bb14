"""Words on figures: runs, sizes, labels, teachers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from landscape.census.census import Census

BOTH_SIGNS = (1.0, -0.7)  # masses of the teacher "signs" on every line: unequal, so that no two bad minima coincide


def run_named(census: Census) -> str:
    """Study, sizes, restarts and seed of a run."""
    done = f"{census.restarts}" if census.finished == census.restarts else f"{census.finished} of {census.restarts}"
    return ", ".join(
        [census.study, *sizes(census.problem), f"{done} restart{'' if done == '1' else 's'}, seed {census.seed}"]
    )


def sizes(facts: dict[str, Any]) -> list[str]:
    said = [f"{name} {facts[name]}" for name in ("teacher", "width", "activation") if facts.get(name) is not None]
    return said if "teacher" in facts else [str(facts.get("kind", "")).replace("_", " "), *said]


def normalisation(census: Census) -> str:
    return str(census.problem.get("normalisation", "not recorded"))


def noise_of(census: Census) -> float:
    """Typical rounding error of a loss of this run."""
    errors = census.rows.get("loss_error", np.zeros(0))
    errors = errors[np.isfinite(errors)]
    return float(np.median(errors)) if len(errors) else 0.0


def in_words(label: str) -> str:
    return label.replace("_", " ")


def counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def teacher_name(cell: dict[str, Any]) -> str:
    """A porcupine's teacher in a few words: as it was asked for, if that is short."""
    asked = cell["teacher"].strip()
    if asked.isdigit():
        return f"{asked} random"
    if asked == "signs":
        return " and ".join(f"{mass:+g}" for mass in BOTH_SIGNS)
    return asked if len(asked) <= 16 else f"{cell['teacher_neurons']} rows"


def lines_asked(census: Census) -> str:
    """Lines, neurons, teacher and number of descents of a run."""
    cell = census.findings["porcupine"]
    where = "one line" if cell["lines"] == 1 else f"{cell['lines']} lines in {cell['dimension']} dimensions"
    each = ", ".join(map(str, np.atleast_1d(cell["neurons"])[:8]))
    each += ", ..." if np.size(cell["neurons"]) > 8 else ""
    return f"{where}, neurons on each: {each}; teacher: {teacher_name(cell)}; {census.finished} descents"
