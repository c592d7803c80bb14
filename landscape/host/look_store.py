"""Looks along descents in a run folder: Parquet shards in `looks`, each written whole or not at all.

    looks/looks-<count>-<digest>.parquet      columns restart, begun, step, time, loss, grad_norm, observables, theta

A killed run that goes on repeats the descents that had not finished, and their looks with them: readers take each once.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from landscape.host import disk
from landscape.host.identity import RUN
from landscape.host.store import RUN_KEY, in_one_sentence, read_manifest, short_digest

LOOKS = "looks"
_SHARD = re.compile(r"looks-\d+-(?P<digest>[0-9a-f]{32})\.parquet")


def append(folder: Path, columns: Mapping[str, np.ndarray]) -> str:
    """The looks are on disk, in one new shard whose file name this is.

    Args:
        folder: A run folder.
        columns: Numbers, [looks] each, or [looks, q] for vectors such as theta.

    Raises:
        InputError: The folder is no run folder or cannot be written.
    """
    run = read_manifest(folder).get(RUN)
    table = pa.table({name: _column(np.asarray(values)) for name, values in columns.items()})
    table = table.replace_schema_metadata({} if run is None else {RUN_KEY: run.encode()})
    buffer = pa.BufferOutputStream()
    pq.write_table(table, buffer, compression="zstd", use_dictionary=False, write_page_checksum=True)
    content = buffer.getvalue().to_pybytes()
    name = f"looks-{len(table)}-{short_digest(content)}.parquet"
    way_out = f"what was written before is kept, and `landscape resume {folder}` goes on from there"
    with in_one_sentence(f"Cannot write looks in {folder}", way_out):
        disk.make_folder(folder / LOOKS)
        disk.remove_leftovers(folder / LOOKS)
        disk.write(folder / LOOKS / name, content)
    return name


def read(folder: Path, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """All looks of a run on disk, as columns, ascending in restart and step; empty where there are none.

    Looks at descents that diverged and were begun again with a shorter step are left out.

    Args:
        folder: A run folder.
        names: Columns to read beside restart, begun and step; all by default. theta may be large.

    Raises:
        InputError: The folder is no run folder, or a file cannot be opened.
    """
    parts = list(_tables(folder, names))
    return once({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}) if parts else {}


def once(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Looks ascending in restart and step, each once, of the last descent that each restart has begun."""
    if not len(columns["restart"]):
        return columns
    numbers, place = np.unique(columns["restart"], return_inverse=True)
    last = np.full(len(numbers), -1)
    np.maximum.at(last, place, columns["begun"])
    order = np.lexsort((columns["step"], columns["restart"]))
    order = order[columns["begun"][order] == last[place[order]]]
    restart, step = columns["restart"][order], columns["step"][order]
    first = np.append(True, (restart[1:] != restart[:-1]) | (step[1:] != step[:-1]))
    return {name: values[order[first]] for name, values in columns.items()}


def _tables(folder: Path, names: Sequence[str] | None) -> Iterator[dict[str, np.ndarray]]:
    """The columns of each undamaged shard of this run; others are named on standard error."""
    run = read_manifest(folder).get(RUN, "")
    place = folder / LOOKS
    with in_one_sentence(f"Cannot read the looks in {folder}"):
        for path in sorted(place.glob("looks-*.parquet")) if place.exists() else []:
            content, named = path.read_bytes(), _SHARD.fullmatch(path.name)
            table = None
            if named is not None and named["digest"] == short_digest(content):
                table = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
            if table is None or (table.schema.metadata or {}).get(RUN_KEY, b"").decode() != run:
                print(f"landscape: {path} is damaged or of another run, and is left out.", file=sys.stderr)
                continue
            wanted = table.column_names if names is None else ["restart", "begun", "step", *names]
            yield {name: _array(table[name].combine_chunks()) for name in wanted}


def _column(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), int(np.prod(values.shape[1:])))


def _array(column: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(column.type):
        return column.flatten().to_numpy().reshape(len(column), -1)
    return column.to_numpy(zero_copy_only=False)
