"""Finished restarts as columns: what is stored of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.engine.queue import Restarts
from landscape.records import Basin, Point, Verdict

Batch = tuple[dict[str, np.ndarray], np.ndarray]  # columns of finished restarts, and their theta [r, p]

TEXT = ("label", "flavour", "evidence", "by", "reason", "basin")
WHOLE = ("restart", "status", "steps", "orbit")
NAMES = ("restart", "status", "steps", "step_scale", "loss", "loss_error", "grad_norm", "moved", "min_curvature",
         "label", "flavour", "evidence", "by", "margin", "reason", "basin", "orbit")  # fmt: skip
KIND = {**dict.fromkeys(NAMES, np.float64), **dict.fromkeys(TEXT, object), **dict.fromkeys(WHOLE, np.int64)}


def said(verdict: Verdict) -> dict[str, Any]:
    """What a row says by its verdict alone."""
    return {
        "min_curvature": np.nan if verdict.min_curvature is None else verdict.min_curvature,
        "label": str(verdict.label),
        "flavour": text(verdict.flavour),
        "evidence": text(verdict.evidence),
        "by": verdict.by,
        "margin": np.nan if verdict.margin is None else float(verdict.margin),
        "reason": verdict.reason,
    }


def text(word: str | None) -> str | None:
    """The word as a plain string."""
    return None if word is None else str(word)


def row(restarts: Restarts, i: int, point: Point, verdict: Verdict, orbit: int, basin: Basin | None) -> Batch:
    """What is stored of one finished restart, as a batch of one.

    Args:
        restarts: Some restarts.
        i: Which of them.
        point: Its end.
        verdict: Of the end.
        orbit: Name of the end's orbit, -1 where the end is not isolated.
        basin: The ground on which the end is taken for the descent's own.
    """
    all_of_it = {
        "restart": restarts.number[i],
        "status": int(point.status),
        "steps": restarts.steps[i],
        "step_scale": restarts.step_scale[i],
        "loss": float(point.loss),
        "loss_error": float(point.loss_error if verdict.loss_error is None else verdict.loss_error),
        "grad_norm": float(point.grad_norm),
        "moved": float(point.moved),
        "basin": text(basin),
        "orbit": orbit,
        **said(verdict),
    }
    return {name: np.array([all_of_it[name]], KIND[name]) for name in NAMES}, np.asarray(point.theta)[None]


def together(batches: list[Batch]) -> Batch:
    """Several batches as one, in this order."""
    if len(batches) == 1:
        return {name: batches[0][0][name] for name in NAMES}, batches[0][1]
    columns = {name: np.concatenate([batch[0][name] for batch in batches]) for name in NAMES}
    return columns, np.concatenate([batch[1] for batch in batches])
