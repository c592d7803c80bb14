"""A run as one file for other tools: CSV, JSON, Parquet or netCDF, a row a restart."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from landscape.census.census import Census
from landscape.census.dataset import columns
from landscape.records import InputError, one_of
from landscape.studies.table import Table


def export(result: Any, path: str | Path, kind: str | None = None) -> Path:
    """Writes a census, or a table of censuses, to a file; its path.

    The rows are the finished restarts. In a table the columns `cell`, and those of a sweep's fields, say of which cell
    a row is. JSON and Parquet hold what `--json` prints too: as the fields beside `rows`, and as the metadata
    `landscape`. netCDF is of a single census, with levels and the ends that are kept: see `Census.to_xarray`.

    Args:
        result: What `landscape.load` or `landscape.explore` gave.
        path: Of the new file.
        kind: csv, json, parquet or netcdf; by default what the file's name ends with (.nc is netcdf).

    Raises:
        InputError: There are no restarts, the format is unknown or needs a library that is not installed, there is such
            a file, or it cannot be written.
    """
    path = Path(path)
    kind = one_of("format", kind or {"nc": "netcdf"}.get(path.suffix[1:], path.suffix[1:]), WRITERS)
    if not isinstance(result, Census | Table):
        raise InputError("there are no restarts to export: this study keeps a report, which `show --json` prints.")
    if kind == "netcdf" and not isinstance(result, Census):
        raise InputError("netcdf holds one census; export the folder of a cell.")
    try:
        with path.open("xb"):  # nothing is overwritten
            pass
        try:
            WRITERS[kind](result, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except FileExistsError:
        raise InputError(f"{path} is there already; choose another file.") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}.") from error
    return path


def _rows(result: Any) -> dict[str, np.ndarray]:
    if isinstance(result, Census):
        return columns([result])
    return columns(result.censuses, [cell.get("fields", {}) for cell in result.cell_dicts()])


def _csv(result: Any, path: Path) -> None:
    found = _rows(result)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(found)
        writer.writerows(zip(*(column.tolist() for column in found.values()), strict=True))  # floats with all digits


def _json(result: Any, path: Path) -> None:
    found = {name: _finite(column) for name, column in _rows(result).items()}
    rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
    path.write_text(json.dumps({**result.as_dict(), "rows": rows}, allow_nan=False), encoding="utf-8")


def _finite(column: np.ndarray) -> list[Any]:
    """The values, None for what JSON has no number for."""
    return [None if isinstance(one, float) and not np.isfinite(one) else one for one in column.tolist()]


def _parquet(result: Any, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: pa.array(column.tolist()) for name, column in _rows(result).items()})
    pq.write_table(table.replace_schema_metadata({"landscape": json.dumps(result.as_dict(), allow_nan=False)}), path)


def _netcdf(result: Any, path: Path) -> None:
    result.to_xarray().to_netcdf(path, engine="scipy")


WRITERS: dict[str, Callable[[Any, Path], None]] = {"csv": _csv, "json": _json, "parquet": _parquet, "netcdf": _netcdf}
