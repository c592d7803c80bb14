"""What the studies of finite data find beyond a census: the optimum, own-cell checks, missed minima, paths."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from landscape.census import Census
from landscape.census.census import render
from landscape.census.levels import class_ids
from landscape.problems.datafit import Data
from landscape.problems.empirical import Empirical
from landscape.records import InputError, Label
from landscape.studies.table import Table
from landscape.theory.arrangement.cells import cells
from landscape.theory.convex import path as paths_room
from landscape.theory.convex.branch_and_bound import exact
from landscape.theory.convex.column_generation import adjacent
from landscape.theory.convex.coverage import coverage
from landscape.theory.convex.forward_pass import ZERO, forward
from landscape.theory.convex.least_loss import best_of_width, certified_optimum
from landscape.theory.convex.local_minima import Minima, local_minima
from landscape.theory.convex.optimal_set import optimal_set, staircase
from landscape.theory.convex.restricted_programs import restricted

MOST_CELLS = 50_000  # cells that are counted
SAME = 1e-9  # two losses are one if they differ by no more than this, times 1 + loss: as levels of a census are
MINIMA = (Label.GLOBAL, Label.SPURIOUS)
STATIONARY = (*MINIMA, Label.SADDLE)


@dataclass(frozen=True)
class DataCensus(Census):
    """A census on a data set: prints what the convex program says below its table."""

    def __str__(self) -> str:
        return "\n".join([render(self, 190), *_said(self.findings, self.finished)])


def _said(findings: dict[str, Any], finished: int) -> list[str]:
    """Findings in sentences."""
    theory, own, found = findings.get("theory"), findings.get("own_cells"), findings.get("minima")
    out = []
    if theory is not None:
        out.append(_theory_said(theory))
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
            listed = f"local minima of this width, by enumeration: at least {_listed(found)}"
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


def _listed(found: dict[str, Any]) -> str:
    """How many minima there are, as far as floating point decides."""
    return f"{found['listed']} ({found['undecided']} undecided)" if found["undecided"] else str(found["listed"])


def _theory_said(theory: dict[str, Any]) -> str:
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


@lru_cache(maxsize=64)
def _minima(x: bytes, y: bytes, n: int, facts: tuple[float, str, str], width: int, most: int) -> Minima | None:
    try:
        return local_minima(Data(np.frombuffer(x).reshape(n, -1), np.frombuffer(y), *facts), width, most=most)
    except InputError:  # too many
        return None


def every_minimum(problem: Empirical, most: int) -> Minima | None:
    """All local minima of the problem's width; None if more than `most` sets of cells would have to be gone through."""
    if not problem.certifiable or most == 0:
        return None
    data = problem.data
    x, y = np.ascontiguousarray(data.x), np.ascontiguousarray(data.y)
    facts = (data.weight_decay, data.loss, data.outer_bias)
    return _minima(x.tobytes(), y.tobytes(), len(y), facts, problem.width, most)


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


def completed(census: Census, problem: Empirical, listed: int) -> DataCensus:
    """The census with the optimum, the check on points' own cells, and the list of all minima where it is not too long.

    Args:
        census: Of a run.
        problem: Its landscape.
        listed: Sets of cells that may be gone through.
    """
    known = theory(problem)
    own = minima = None
    if known is not None and census.finished:
        own = _checked(census, problem)
        found = every_minimum(problem, listed)
        minima = None if found is None else _covered(census, problem, found)
    return _with(census, {"theory": known, "own_cells": own, "minima": minima})


def _with(census: Census, findings: dict[str, Any]) -> DataCensus:
    given: dict[str, Any] = {f.name: getattr(census, f.name) for f in fields(Census)}
    return DataCensus(**{**given, "findings": census.findings | findings})


# -- tables ------------------------------------------------------------------------------------------------------------


class DataTable(Table):
    """Censuses of several widths on one data set."""

    def cell_dicts(self) -> list[dict[str, Any]]:
        """One record a width: what theory knows, labels, shares, levels, own-cell checks, minima found and missed."""
        return [
            {
                "width": census.problem["width"],
                **{name: census.findings.get(name) for name in ("theory", "own_cells", "minima")},
                "restarts": census.restarts,
                "finished": census.finished,
                "labels": census.labels(),
                "shares": census.shares(),
                "levels": [level.as_dict() for level in census.levels],
                "best_seen": census.best_seen,
                "basins": census.findings["basins"],
                "unseen_mass": census.unseen[0],
                "seconds": census.seconds["total"],
            }
            for census in self.censuses
            if census.finished
        ]

    def stairs(self) -> list[dict[str, Any]]:
        """How connected the global minima are, by width; empty where m* is not known."""
        known = self.censuses[0].findings.get("theory")
        if known is None or known["m_star"] is None:
            return []
        steps = staircase(known["m_star"], known["M_star"], known["rows"])
        return [{"least": step.least, "most": step.most, "statement": step.statement} for step in steps]

    def as_dict(self) -> dict[str, Any]:
        """Exactly what `landscape run --json` prints."""
        said = super().as_dict()
        facts = {name: self.censuses[0].problem[name] for name in ("rows", "dimension", "loss", "weight_decay")}
        said["problem"] |= facts
        said["findings"] |= {"theory": self.censuses[0].findings.get("theory"), "staircase": self.stairs()}
        return said

    def __str__(self) -> str:
        head = ("width", "restarts", "global [95%]", "spurious", "saddle", "trap", "others", "least loss", "P_m",
                "own cells", "minima", "missed", "seconds")  # fmt: skip
        rows, cells_ = [], self.cell_dicts()
        for cell in cells_:
            labels, good, known = cell["labels"], cell["shares"]["global"], cell["theory"]
            minima, own = cell["minima"], cell["own_cells"]
            named = sum(labels[name] for name in ("global", "spurious", "saddle", "trap"))
            rows.append(
                (
                    str(cell["width"]),
                    str(cell["finished"]),
                    f"{100 * good['share']:.1f}% [{100 * good['low']:.1f}, {100 * good['high']:.1f}]",
                    *(str(labels[name]) for name in ("spurious", "saddle", "trap")),
                    str(cell["finished"] - named),
                    "-" if cell["best_seen"] is None else f"{cell['best_seen']:.9f}",
                    "-" if known is None or known["P_m"] is None else f"{known['P_m']:.9f}",
                    "-" if own is None else f"{own['largest_difference']:.0e}",
                    "-" if minima is None else _listed(minima),
                    "-" if minima is None else str(minima["missed"]),
                    f"{cell['seconds']:.1f}",
                )
            )
        known = cells_[0]["theory"] if cells_ else None
        lines = [f"loss: {self.censuses[0].problem['normalisation']}", "", self.printed([head, *rows])]
        if known is not None:
            lines.append(_theory_said(known))
            lines.append(
                "P_m: least loss of the width; own cells: largest difference from the optimum of points' own cells"
            )
        if self.study == "critical-width" and self.stairs():
            lines.append("the global minima of a width are")
        for step in self.stairs() if self.study == "critical-width" else []:
            most = "" if step["most"] == step["least"] else f" to {step['most']}" if step["most"] else " on"
            lines.append(f"  width {step['least']}{most}: {step['statement']}")
        return "\n".join(lines)


# -- paths -------------------------------------------------------------------------------------------------------------


def path(problem: Empirical, start: np.ndarray) -> paths_room.Path:
    """The descending path from the network at theta [p] to the certified optimum."""
    here = forward(problem, start)
    return paths_room.descending_path(problem.data, here.w, here.a, certified_optimum(problem), here.b0)


def with_paths(census: Census, problem: Empirical, paths: dict[int, paths_room.Path], steps: int) -> DataCensus:
    """The census with each path: way-points, losses at both ends, largest rise, and where plain descent ends.

    Args:
        census: Of plain descents from the same networks.
        problem: The landscape.
        paths: By restart.
        steps: Looks from each way-point to the next.
    """
    known = theory(problem)
    assert known is not None
    each = []
    at = {int(r): i for i, r in enumerate(census.rows["restart"])}
    for restart, one in paths.items():
        looked = paths_room.verify(problem.data, one, steps)
        each.append(
            {
                "restart": restart,
                "way_points": len(one.loss),
                "start": float(one.loss[0]),
                "end": float(one.loss[-1]),
                "excess": float(one.loss[-1]) - known["p_star"],
                "rise": looked.increase,
                "descent_end": float(census.rows["loss"][at[restart]]),
                "descent_label": str(census.rows["label"][at[restart]]),
            }
        )
    found = {
        "each": each,
        "largest_rise": max((one["rise"] for one in each), default=0.0),
        "largest_excess": max((one["excess"] for one in each), default=0.0),
    }
    return _with(census, {"theory": known, "paths": found})


def save_paths(problem: Empirical, paths: dict[int, paths_room.Path], folder: Path) -> None:
    """Writes way-points, one npz file a path: hidden [t, width, d], outer [t, width], biases where there are any, loss.

    Raises:
        InputError: The folder cannot be written to.
    """
    try:
        folder.mkdir(exist_ok=True)
        for restart, one in paths.items():
            biased = problem.bias != "none"
            parts = {"hidden": one.hidden[:, :, :-1] if biased else one.hidden, "outer": one.outer, "loss": one.loss}
            if biased:
                parts["hidden_bias"] = one.hidden[:, :, -1]
            if problem.outer_bias != "none":
                parts["outer_bias"] = one.b0
            np.savez(folder / f"path{restart:05d}.npz", **parts)  # type: ignore[arg-type]
    except OSError as error:
        raise InputError(f"cannot write paths to {folder}: {error.strerror}.") from error
