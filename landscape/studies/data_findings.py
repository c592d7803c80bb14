"""What the studies of finite data find beyond a census: the optimum, own-cell checks, missed minima, paths."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.census.census import Census
from landscape.census.levels import class_ids
from landscape.problems.empirical import Empirical
from landscape.records import InputError, Label
from landscape.theory.arrangement.cells import cells
from landscape.theory.convex.branch_and_bound import exact
from landscape.theory.convex.column_generation import adjacent
from landscape.theory.convex.coverage import coverage
from landscape.theory.convex.forward_pass import ZERO, forward
from landscape.theory.convex.least_loss import best_of_width, certified_optimum
from landscape.theory.convex.local_minima import Minima, local_minima
from landscape.theory.convex.optimal_set import optimal_set
from landscape.theory.convex.restricted_programs import restricted

MOST_CELLS = 50_000  # cells that are counted
SAME = 1e-9  # two losses are one if they differ by no more than this, times 1 + loss: as levels of a census are
MINIMA = (Label.GLOBAL, Label.SPURIOUS)
STATIONARY = (*MINIMA, Label.SADDLE)


def sentences(findings: dict[str, Any], finished: int) -> list[str]:
    """Findings in sentences."""
    theory, own, found = findings.get("theory"), findings.get("own_cells"), findings.get("minima")
    out = []
    if theory is not None:
        out.append(theory_said(theory))
        if theory["P_m"] is not None:
            out.append(f"least loss of this width {theory['P_m']:.12g} ({theory['P_m_by']})")
    if own is not None:
        out.append(
            f"{own['points']} points, one of each kind that {own['restarts']} of {finished} restarts ended at, beside "
            f"the convex programs of their own cells: losses differ by {own['largest_difference']:.1e} at most"
        )
    if found is not None:
        listed = f"all local minima of this width, by enumeration: {found['listed']}"
        if found["undecided"]:
            listed = f"local minima of this width, by enumeration: at least {minima_listed(found)}"
        out.append(
            f"{listed}, of which {found['missed']} were missed; {found['elsewhere']} restarts ended at a minimum that "
            "is not listed"
        )
    if "paths" in findings:
        paths = findings["paths"]
        out.append(
            f"{len(paths['each'])} descending paths: largest rise of the loss {paths['largest_rise']:.1e}, largest "
            f"excess at the end {paths['largest_excess']:.1e}"
        )
    return out


def minima_listed(found: dict[str, Any]) -> str:
    """How many minima there are, as far as floating point decides."""
    return f"{found['listed']} ({found['undecided']} undecided)" if found["undecided"] else str(found["listed"])


def theory_said(theory: dict[str, Any]) -> str:
    text = f"convex optimum {theory['p_star']:.12g}, gap {max(theory['gap'], 0.0):.1e}"
    if theory["m_star"] is not None:
        text += f"; optimal networks have at least m* = {theory['m_star']} neurons"
        text += f", those that cannot be pruned at most M* = {theory['M_star']}"
    return f"{text}; n + 1 = {theory['rows'] + 1}"


# -- theory ------------------------------------------------------------------------------------------------------------


def theory(problem: Empirical) -> dict[str, Any] | None:
    """The optimum, the widths that matter and the least loss of this width; None where no convex program knows them."""
    if not problem.certifiable:
        return None
    best, own = certified_optimum(problem), best_of_width(problem)
    if own is not None and not exact(own):
        own = None
    try:
        optima = optimal_set(problem.data, best)
    except InputError:  # no exact phi, or too many vertices
        optima = None
    try:
        count = len(cells(problem.x, MOST_CELLS).patterns)
    except InputError:
        count = None
    return {
        "p_star": best.value,
        "lower_bound": best.lower_bound,
        "gap": best.gap,
        "cells": count,
        "m_star": None if optima is None else optima.m_star,
        "M_star": None if optima is None else optima.M_star,
        "dimension_of_optima": None if optima is None else optima.dimension,
        "rows": len(problem.y),
        "P_m": None if own is None else float(own.value),
        "P_m_by": None if own is None else own.by,
    }


def own_cells(problem: Empirical, theta: np.ndarray) -> float:
    """The value of the convex program on the cells that a network's neurons lie in, all that meet at a tie included.

    A stationary point without a one-sided descent is the optimum of it (after Wang, Lacotte and Pilanci 2022).
    """
    here = forward(problem, theta)
    patterns: list[np.ndarray] = []
    signs: list[float] = []
    have = set()
    for w, a in zip(here.w, here.a, strict=True):
        length = float(np.linalg.norm(w))
        if length * abs(a) <= (ZERO * problem.scale) ** 2:
            continue
        for pattern in adjacent(problem.x, w / length):
            key = (pattern.tobytes(), a > 0)
            if key not in have:
                have.add(key)
                patterns.append(pattern)
                signs.append(float(np.sign(a)))
    return restricted(problem.data, np.array(patterns).reshape(-1, len(problem.y)), np.array(signs)).value


def _checked(census: Census, problem: Empirical) -> dict[str, Any]:
    """Every kind of end that is no trap, beside the optimum of its own cells."""
    classes = class_ids(census.rows)
    labels = census.rows["label"]
    at = {int(r): i for i, r in enumerate(census.rows["restart"])}
    points, restarts, largest = 0, 0, 0.0
    for restart, point in census.weights.items():
        if labels[at[restart]] not in STATIONARY:
            continue
        same = (classes == classes[at[restart]]) & np.isin(labels, STATIONARY)
        value = own_cells(problem, point)
        points, restarts = points + 1, restarts + int(np.sum(same))
        largest = max(largest, float(np.max(np.abs(census.rows["loss"][same] - value) / (1 + abs(value)))))
    return {"points": points, "restarts": restarts, "largest_difference": largest, "agree": largest <= SAME}


def every_minimum(problem: Empirical, most: int) -> Minima | None:
    """All local minima of the problem's width; None if more than `most` sets of cells would have to be gone through."""
    if not problem.certifiable or most == 0:
        return None
    try:
        return local_minima(problem.data, problem.width, most=most)
    except InputError:  # too many
        return None


def _covered(census: Census, problem: Empirical, found: Minima) -> dict[str, Any]:
    """Which minima restarts ended at, and whether a label contradicts the list."""
    rows = census.rows
    loss, labels = rows["loss"], rows["label"]
    classes = class_ids(rows)
    at = {int(r): i for i, r in enumerate(rows["restart"])}
    outputs = np.full((len(loss), len(problem.y)), np.nan)
    for restart, point in census.weights.items():
        here = forward(problem, point)
        outputs[classes == classes[at[restart]]] = np.maximum(here.z, 0.0) @ here.a + here.b0
    chosen = np.flatnonzero(np.isin(labels, MINIMA))
    met = coverage(found, loss[chosen], outputs[chosen])
    above = loss > found.best + SAME * (1 + abs(found.best))
    wrong = ((labels == Label.GLOBAL) & above) | ((labels == Label.SPURIOUS) & ~above)
    each = [
        {
            "loss": minimum.value,
            "kind": minimum.kind,
            "isolated": minimum.isolated,
            "neurons": len(minimum.outer),
            "phi_over_beta": minimum.phi_over_beta,
            "restarts": int(runs),
        }
        for minimum, runs in zip(found.minima, met.runs, strict=True)
    ]
    return {
        "listed": len(each),
        "ended": len(chosen),
        "missed": len(met.missed),
        "elsewhere": int(np.sum(met.elsewhere)),
        "contradicted": int(np.sum(wrong)),
        "best": found.best,
        "sets": found.sets,
        "programs": found.programs,
        "undecided": found.undecided,
        "each": each,
    }


def findings(census: Census, problem: Empirical, most: int) -> dict[str, Any]:
    """The optimum, the check on points' own cells, and the list of all minima where it is not too long.

    Args:
        census: Of a run.
        problem: Its landscape.
        most: Sets of cells that may be gone through.
    """
    known = theory(problem)
    own = minima = None
    if known is not None and census.finished:
        own = _checked(census, problem)
        found = every_minimum(problem, most)
        minima = None if found is None else _covered(census, problem, found)
    return {"theory": known, "own_cells": own, "minima": minima}
