"""Descending paths from starting networks to the certified optimum: what is found of them, and their files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from landscape.census.census import Census
from landscape.problems.empirical import Empirical
from landscape.records import InputError
from landscape.studies.data_findings import theory
from landscape.theory.convex import path as paths_room
from landscape.theory.convex.forward_pass import forward
from landscape.theory.convex.least_loss import certified_optimum


def path(problem: Empirical, start: np.ndarray) -> paths_room.Path:
    """The descending path from the network at theta [p] to the certified optimum."""
    here = forward(problem, start)
    return paths_room.descending_path(problem.data, here.w, here.a, certified_optimum(problem), here.b0)


def findings(census: Census, problem: Empirical, paths: dict[int, paths_room.Path], steps: int) -> dict[str, Any]:
    """What is found of each path: way-points, losses at both ends, largest rise, and where plain descent ends.

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
    return {"theory": known, "paths": found}


def save(problem: Empirical, paths: dict[int, paths_room.Path], folder: Path) -> None:
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
