"""A run as columns and as a labelled dataset, for other tools."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from landscape.records import InputError


def columns(censuses: Sequence[Any], cells: Sequence[dict[str, Any]] | None = None) -> dict[str, np.ndarray]:
    """A row a finished restart, of one census or of several.

    Args:
        censuses: In order.
        cells: What tells each from the others, by name: a column each in front; None for a single census.
    """
    if cells is None:
        (census,) = censuses
        return dict(census.rows)
    parts = []
    for i, (census, fields) in enumerate(zip(censuses, cells, strict=True)):
        front = {name: np.full(census.finished, _value(one)) for name, one in {"cell": i, **fields}.items()}
        parts.append(front | dict(census.rows))
    held = [part for part in parts if len(part["restart"])]  # a cell without restarts has no columns
    return {name: np.concatenate([part[name] for part in held]) for name in held[0]} if held else {}


def dataset(census: Any) -> Any:
    """A census as an xarray Dataset.

    Dimensions: `restart`, the finished ones, with a variable a column of `rows`; `level`, with losses, labels, counts
    and shares; `kept`, the restarts whose end is kept, with `theta` over `parameter`. Attributes say what was run.

    Raises:
        InputError: xarray is not installed.
    """
    try:
        xarray = importlib.import_module("xarray")
    except ImportError:
        raise InputError("to_xarray needs xarray, which is not installed; pip install xarray.") from None
    restarts = census.rows["restart"]
    variables: dict[str, Any] = {
        name: ("restart", _plain(column)) for name, column in census.rows.items() if name != "restart"
    }
    levels = [level.as_dict() for level in census.levels]
    for name in levels[0] if levels else ():
        if not isinstance(levels[0][name], dict):
            variables[f"level_{name}"] = ("level", _plain(np.array([level[name] for level in levels], object)))
    coordinates: dict[str, Any] = {"restart": restarts, "level": np.arange(len(levels))}
    if census.weights:
        variables["theta"] = (("kept", "parameter"), np.stack(list(census.weights.values())))
        coordinates["kept"] = np.array(list(census.weights))
    said = {"study": census.study, "seed": census.seed, "asked": census.restarts}
    said |= {name: json.dumps(getattr(census, name)) for name in ("problem", "lower_bound", "environment")}
    return xarray.Dataset(variables, coordinates, said)


def _value(one: Any) -> Any:
    """A number as it is, and words for anything else."""
    return one if isinstance(one, bool | int | float) else str(one)


def _plain(column: np.ndarray) -> np.ndarray:
    """Words with "" for none, numbers with NaN for none: what datasets hold."""
    if column.dtype != object:
        return column
    some = [one for one in column if one is not None]
    if all(isinstance(one, str) for one in some):
        return np.array(["" if one is None else one for one in column], np.str_)
    return np.array([np.nan if one is None else one for one in column], np.float64)
