"""Finished restarts as columns: what is stored of each."""

from __future__ import annotations

from typing import Any

import numpy as np

from landscape.engine.queue import Restart
from landscape.records import Point, Verdict

Row = tuple[dict[str, Any], np.ndarray]  # what is stored of a finished restart, and its theta [p]
Batch = tuple[dict[str, np.ndarray], np.ndarray]  # columns of finished restarts, and their theta [r, p]

TEXT = ("label", "flavour", "evidence", "by", "reason", "basin")
WHOLE = ("restart", "status", "steps", "orbit")


def row(restart: Restart, point: Point, verdict: Verdict, orbit: int) -> Row:
    """What is stored of a finished restart.

    Args:
        restart: Which.
        point: Its end.
        verdict: Of the end.
        orbit: Name of the end's orbit, -1 where the end is not isolated.
    """
    said = {
        "restart": restart.number,
        "status": int(point.status),
        "steps": restart.steps,
        "step_scale": restart.step_scale,
        "loss": float(point.loss),
        "loss_error": float(point.loss_error if verdict.loss_error is None else verdict.loss_error),
        "grad_norm": float(point.grad_norm),
        "moved": float(point.moved),
        "min_curvature": np.nan if verdict.min_curvature is None else verdict.min_curvature,
        "label": str(verdict.label),
        "flavour": _text(verdict.flavour),
        "evidence": _text(verdict.evidence),
        "by": verdict.by,
        "margin": np.nan if verdict.margin is None else float(verdict.margin),
        "reason": verdict.reason,
        "basin": _text(restart.basin),
        "orbit": orbit,
    }
    return said, point.theta


def _text(word: str | None) -> str | None:
    return None if word is None else str(word)


def columns(rows: list[Row]) -> Batch:
    """Rows as columns of one type each."""
    kind = {**dict.fromkeys(TEXT, object), **dict.fromkeys(WHOLE, np.int64)}
    names = rows[0][0]
    made = {name: np.array([said[name] for said, _ in rows], kind.get(name, np.float64)) for name in names}
    return made, np.stack([theta for _, theta in rows])
