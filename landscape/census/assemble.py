"""From finished restarts to a census: orbits united, witnesses settled, the weights of one member of each kept.

Every process names an orbit by its own first restart, so one orbit has several names in the folder of a run that was
made by several processes. What is done here depends on the rows and weights alone, not on who made them or in which
order: one process, many, and a run killed and gone on with have the same census. Nothing here is done row by row.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from landscape import classify
from landscape.census.census import Census
from landscape.census.levels import class_counts, class_ids, levels_of
from landscape.census.statistics import unseen_mass
from landscape.engine.plan import Plan
from landscape.engine.settings import Tolerances
from landscape.precision import float64
from landscape.problems.orbits import OrbitIndex
from landscape.problems.problem import Problem
from landscape.records import Evidence, Label, Verdict
from landscape.theory.rooms import room_of

Rows = dict[str, np.ndarray]
Weights = dict[int, np.ndarray]

CLASS = ("label", "flavour", "loss", "orbit")  # what `class_ids` reads
JUDGED = ("label", "flavour", "evidence", "by", "margin", "min_curvature", "reason")  # what an orbit's members share


def census(
    problem: Problem | None,
    rows: Rows,
    weights: Weights,
    restarts: int,
    seed: int,
    study: str,
    seconds: dict[str, float],
    where: dict[str, Any],
    folder: Path | None = None,
    said: dict[str, Any] | None = None,
    plan: Plan | None = None,
    lower_bound: dict[str, Any] | None = None,
) -> Census:
    """The census of these rows: orbits united and named by their first restart, witnessed labels settled.

    Args:
        problem: The landscape; None where it is not known, and then names of orbits are taken as they are.
        rows: Columns, ascending in "restart".
        weights: theta of one member at least of every orbit, by restart.
        restarts: Asked for.
        seed: Of the run.
        study: Name in the record.
        seconds: Where the time went.
        where: Versions, device, dtype.
        folder: Where it is stored.
        said: Facts of the problem where the problem itself is not known.
        plan: Of the run, where it is known.
        lower_bound: Value and ground, as the run's record has them, where the problem itself is not known.
    """
    rows = settled(united(problem, rows, weights))
    finished, unit = len(rows["restart"]), loss_unit(problem)
    if problem is not None:
        bound = room_of(problem).bound(problem)
        lower_bound = None if bound is None else {"value": bound.value, "by": bound.by}
    if lower_bound is not None:
        rows = unbounded(rows, lower_bound["value"])
    return Census(
        study=study,
        problem=problem.facts() if problem is not None else said or {},
        restarts=restarts,
        seed=seed,
        rows=rows,
        weights=_one_each(rows, weights, unit),
        levels=levels_of(rows, unit),
        lower_bound=lower_bound,
        unseen=unseen_mass(class_counts(rows, unit)),
        seconds={name: round(value, 3) for name, value in seconds.items()},
        environment=where,
        findings=_basins(rows) if finished else {},
        folder=None if folder is None else str(folder),
        plan=plan,
    )


def loss_unit(problem: Problem | None) -> float:
    """What losses are told apart in; 1 where the problem is not known."""
    return 1.0 if problem is None else problem.loss_unit


def keepers(rows: Rows, unit: float = 1.0) -> np.ndarray:
    """Whose weights are worth keeping, boolean [r]: the least restart of every orbit and class.

    Of any part of a run: the least restart of a class is the least of its part too, so that its weights are on disk
    however the run was cut into parts. A damaged shard takes no other's orbits with it, as each part keeps its own.
    """
    kept = np.zeros(len(rows["restart"]), bool)
    if len(kept):
        order = np.argsort(rows["restart"], kind="stable")
        order = order[rows["label"][order] != Label.UNCONVERGED]
        first = np.unique(class_ids({name: rows[name][order] for name in CLASS}, unit), return_index=True)[1]
        kept[order[first]] = True
    return kept


def _one_each(rows: Rows, weights: Weights, unit: float) -> Weights:
    """Weights of the least restart that has any, of every orbit and class."""
    bearing = np.isin(rows["restart"], list(weights))
    if not np.any(bearing):
        return {}
    part = {name: rows[name][bearing] for name in ("restart", *CLASS)}
    return {int(i): weights[int(i)] for i in part["restart"][keepers(part, unit)]}


def united(problem: Problem | None, rows: Rows, weights: Weights) -> Rows:
    """The rows with every orbit under one name, the least restart of its members, and with one verdict.

    Two names are one orbit if an element of the problem's symmetry maps a member of one to within the driver's own
    tolerance of a member of the other; one search a name, none a row. Points that were given different labels are
    kept apart: two points so close can be two. Of several verdicts the strongest holds for all members, as the first
    one does in a single process.

    Args:
        problem: The landscape; None where it is not known, and then no two names are one orbit.
        rows: Columns, ascending in "restart".
        weights: theta by restart; a name without any stays alone.
    """
    if not len(rows["restart"]) or np.all(rows["orbit"] < 0):
        return rows
    isolated = np.flatnonzero(rows["orbit"] >= 0)
    _, first, name = np.unique(rows["orbit"][isolated], return_index=True, return_inverse=True)
    group = np.arange(len(first)) if problem is None else _groups(problem, rows, weights, isolated, name)
    least = np.full(len(first), np.iinfo(np.int64).max)
    np.minimum.at(least, group, rows["restart"][isolated[first]])  # rows ascend: the first of a name is its least
    rows = dict(rows)
    rows["orbit"] = rows["orbit"].copy()
    rows["orbit"][isolated] = least[group[name]]
    judge = np.zeros(len(first), np.int64)  # by group: the row whose verdict holds
    order = sorted(range(len(first)), key=lambda i: _strength(rows, int(isolated[first[i]])))
    judge[group[order]] = isolated[first[order]]  # of equal indices the last counts
    shared = np.isin(group[name], np.flatnonzero(np.bincount(group) > 1))
    if np.any(shared):
        for column in JUDGED:
            rows[column] = rows[column].copy()
            rows[column][isolated[shared]] = rows[column][judge[group[name[shared]]]]
    return rows


def _groups(problem: Problem, rows: Rows, weights: Weights, isolated: np.ndarray, name: np.ndarray) -> np.ndarray:
    """For each name of an orbit, [names], the group it is in: a number below `names`, equal for one orbit.

    Args:
        problem: The landscape.
        rows: Columns.
        weights: theta by restart.
        isolated: The rows that have an orbit, [i].
        name: Which name each of them has, [i], from zero.
    """
    group = np.arange(int(name.max()) + 1)
    bearing = np.flatnonzero(np.isin(rows["restart"][isolated], list(weights)))
    names, at = np.unique(name[bearing], return_index=True)
    index = OrbitIndex(problem.symmetry, Tolerances().same_point * problem.scale)
    known: list[tuple[int, set[str]]] = []  # group, and the labels given in it, in the order of the index
    rows_of_names = zip(isolated[bearing[at]].tolist(), names.tolist(), strict=True)
    with float64():  # a user's map to canonical points is made of jax functions
        for row, one in sorted(rows_of_names):
            theta, loss = weights[int(rows["restart"][row])], float(rows["loss"][row])
            found = index.find(theta, loss, float(rows["loss_error"][row]))
            given = {str(rows["label"][row])} - {str(Label.UNDECIDED)}
            if found is None or len(given | known[found][1]) > 1:
                index.add(theta, loss)
                known.append((one, given))
            else:
                group[one] = known[found][0]
                known[found][1].update(given)
    return group


def _strength(rows: Rows, row: int) -> tuple[bool, int, int]:
    """Greater for a decided label, for better evidence, and for the lesser restart."""
    evidence = rows["evidence"][row]
    rank = len(Evidence) if evidence is None else list(Evidence).index(Evidence(evidence))
    return rows["label"][row] != Label.UNDECIDED, -rank, -int(rows["restart"][row])


def known_orbits(problem: Problem, rows: Rows, weights: Weights) -> list[tuple[int, np.ndarray, Verdict]]:
    """Name, weights and verdict of every orbit in a run folder, in the order of their names: what a driver restores."""
    rows = united(problem, rows, weights)
    if not len(rows["restart"]):
        return []
    bearing = np.flatnonzero(np.isin(rows["restart"], list(weights)) & (rows["orbit"] >= 0))
    names, at = np.unique(rows["orbit"][bearing], return_index=True)
    return [
        (int(name), weights[int(rows["restart"][row])], verdict_of(rows, row))
        for name, row in zip(names, bearing[at].tolist(), strict=True)
    ]


def naming(rows: Rows, weights: Weights) -> Rows:
    """The rows that `known_orbits` needs: those with weights, and the first of every name of an orbit."""
    needed = np.isin(rows["restart"], list(weights))
    isolated = np.flatnonzero(rows["orbit"] >= 0) if "orbit" in rows else np.zeros(0, np.int64)
    if len(isolated):
        needed[isolated[np.unique(rows["orbit"][isolated], return_index=True)[1]]] = True
    return {name: column[needed] for name, column in rows.items()}


def several_names(rows: Rows) -> bool:
    """Whether orbits of different names have one label and loss: they may be one orbit under several names."""
    if not len(rows["restart"]):
        return False
    _, first = np.unique(np.where(rows["orbit"] < 0, -1, rows["orbit"]), return_index=True)
    first = first[rows["orbit"][first] >= 0]
    one_each = levels_of({name: column[first] for name, column in rows.items()})
    return any((level.orbits or 1) > 1 for level in one_each)


def settled(rows: Rows) -> Rows:
    """The rows with minima above a loss that another restart reached labelled spurious. Changes none of the stored."""
    if not len(rows["restart"]):
        return rows
    loss, error = rows["loss"], rows["loss_error"]
    known = np.isfinite(loss) & np.isfinite(error)
    finite, undecided = np.flatnonzero(known), np.flatnonzero(known & (rows["label"] == str(Label.UNDECIDED)))
    if not len(undecided):
        return rows
    rows = dict(rows) | {name: rows[name].copy() for name in JUDGED}
    best = finite[np.argmin(loss[finite])]
    margin = loss - error - loss[best] - error[best]
    flavour = rows["flavour"][undecided]
    for word in set(flavour.tolist()):
        for above in (False, True):
            # What `settle` says hangs on the flavour and on the sign of the margin alone.
            members = undecided[(flavour == word) & ((margin[undecided] > 0) == above)]
            if not len(members):
                continue
            before = verdict_of(rows, int(members[0]))
            after = classify.settle(before, float(loss[best]), float(error[best]))
            if after.label == before.label and after.flavour == before.flavour:
                continue
            rows["label"][members], rows["flavour"][members] = str(after.label), str(after.flavour)
            if after.label != before.label:
                rows["by"][members], rows["reason"][members], rows["margin"][members] = (
                    after.by,
                    after.reason,
                    margin[members],
                )
                rows["evidence"][members] = None if after.evidence is None else str(after.evidence)
    return rows


def unbounded(rows: Rows, bound: float) -> Rows:
    """The rows without labels that rest on a bound, where a loss was seen below it. Changes none of the stored.

    Args:
        rows: Of a census.
        bound: The lower bound, which a user may have given.
    """
    if "loss" not in rows:  # no restart is finished
        return rows
    below = float(np.max(bound - rows["loss"] - rows["loss_error"], initial=-np.inf, where=np.isfinite(rows["loss"])))
    resting = (rows["label"] == str(Label.GLOBAL)) & (rows["evidence"] == str(Evidence.NUMERICAL))
    if not below > 0 or not resting.any():
        return rows
    rows = dict(rows) | {name: rows[name].copy() for name in JUDGED}
    rows["label"][resting] = str(Label.UNDECIDED)
    rows["reason"][resting] = f"at a lower bound that is wrong: a loss {below:.3g} below it was seen"
    for name in ("flavour", "evidence", "by"):
        rows[name][resting] = None
    return rows


def verdict_of(rows: Rows, i: int) -> Verdict:
    """The verdict stored in row i."""
    number = lambda name: None if np.isnan(rows[name][i]) else float(rows[name][i])  # noqa: E731
    return Verdict(
        label=Label(rows["label"][i]),
        flavour=rows["flavour"][i],
        evidence=None if rows["evidence"][i] is None else Evidence(rows["evidence"][i]),
        by=rows["by"][i],
        margin=number("margin"),
        loss=number("loss"),
        loss_error=number("loss_error"),
        grad_norm=number("grad_norm"),
        min_curvature=number("min_curvature"),
        reason=rows["reason"][i],
    )


def _basins(rows: Rows) -> dict[str, Any]:
    """How many polished points are shown to be where their descent would have ended, and how many on what else."""
    counts = Counter(rows["basin"].tolist())
    return {"basins": {str(ground): count for ground, count in sorted(counts.items(), key=str) if ground}}
