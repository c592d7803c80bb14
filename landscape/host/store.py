"""A run folder: a manifest written once, and shards of finished restarts, each written whole or not at all.

    manifest.json                                            what was asked, by whom, with what
    shards/restarts-<first>-<last>-<count>-<digest>.parquet  finished restarts, in no order

A run may be killed at any moment. A file is written under a name that readers pass over, forced to disk, and only then
given its own name. The digest in a shard's name is of all its bytes: Parquet's page checksums cover no header and no
footer. A damaged shard is named, never read.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from landscape.host import disk
from landscape.host.identity import RUN, made_by
from landscape.records import InputError

MANIFEST = "manifest.json"
SHARDS = "shards"
THETA = pa.list_(pa.float64())
RUN_KEY = b"landscape.run"  # in a shard: the identity of its run
_VERSIONS, _DEVICE = b"landscape.made_by", b"landscape.device"  # in a shard: what it was made by, and on
_NUMBERS = {"b": np.bool_, "i": np.int64, "u": np.int64, "f": np.float64}  # kind of a dtype to the column it fills
_SHARD = re.compile(r"restarts-(?P<first>\d+)-(?P<last>\d+)-(?P<count>\d+)-[0-9a-f]{32}\.parquet")


class Shards(NamedTuple):
    """All finished restarts of a run.

    Attributes:
        rows: Columns by name, each [r], ascending in "restart", each restart once; text is of dtype object with None
            where there is none. Before the first shard the only column is "restart", [0].
        weights: Restart to theta, [p], for the restarts whose weights were kept.
        damaged: Names of the files whose check failed; nothing in rows or weights comes from them.
        versions: What the good shards were made by, each once.
        devices: What they were made on, each once.
    """

    rows: dict[str, np.ndarray]
    weights: dict[int, np.ndarray]
    damaged: list[str]
    versions: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


def create(folder: Path, manifest: Mapping[str, Any]) -> None:
    """The folder holds this manifest and no restarts yet.

    NumPy scalars and arrays become plain numbers and lists. What a killed `create` left behind is no obstacle.

    Raises:
        InputError: The folder holds anything already, cannot be written, or the manifest is not JSON (so not NaN).
    """
    content = disk.render(_plain(manifest))
    with in_one_sentence(f"Cannot make the run folder {folder}", "choose another --out"):
        check_free(folder)
        disk.make_folder(folder)
        disk.remove_leftovers(folder)
        try:
            disk.write(folder / MANIFEST, content, fresh=True)
        except FileExistsError:
            raise _taken(folder) from None


def check_free(folder: Path) -> None:
    """Nothing, if a run can be made there.

    Raises:
        InputError: The folder holds anything already, or is none.
    """
    with in_one_sentence(f"Cannot make the run folder {folder}", "choose another --out"):
        if (folder / MANIFEST).exists():
            raise _taken(folder)
        if folder.is_dir():
            if found := sorted(path.name for path in folder.iterdir() if not disk.TEMPORARY.fullmatch(path.name)):
                raise InputError(f"{folder} is not empty and holds no run (found {found[0]}); choose another --out.")
        elif folder.exists():
            raise InputError(f"{folder} is a file, and a run needs a folder; choose another --out.")


def check_new(folder: Path) -> None:
    """Raises InputError unless a run can be made in a folder that someone names: free, in a folder that is there."""
    check_free(folder)
    with in_one_sentence(f"Cannot make the run folder {folder}", "choose another --out"):
        if not folder.parent.is_dir():
            raise InputError(f"there is no folder {folder.parent} to make {folder.name} in; make it first.")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest that `create` was given, as JSON gives it back (tuples are lists).

    Raises:
        InputError: There is none, a bit of it is wrong, or a newer version of this package wrote it.
    """
    path = folder / MANIFEST
    with in_one_sentence(f"Cannot read {path}"):
        _require_run(folder)
        content = path.read_bytes()
    manifest = disk.parsed(content)
    if manifest is None or "format" not in manifest:
        raise InputError(f"{path} is damaged: its content does not match its digest; restore it from a copy.")
    found = manifest["format"]
    if found != disk.FORMAT:
        raise InputError(f"{path} has format {found} and this version reads format {disk.FORMAT}; upgrade landscape.")
    return {name: value for name, value in manifest.items() if name != "format"}


def append(
    folder: Path, rows: Mapping[str, np.ndarray], weights: Mapping[int, np.ndarray] | None = None, device: str = ""
) -> str:
    """The restarts are on disk, in one new shard whose file name this is.

    Safe beside other writers in other processes. A kill at any moment leaves the whole shard or none of it.

    Args:
        folder: A run folder.
        rows: Columns, each [r]: integers, floats, booleans, or text (None and NaN become null). "restart" is one of
            them, unique and non-negative, in any order; "theta" is none of them. Every shard has the same columns.
        weights: Restart to theta, [p], for those restarts in `rows` whose weights are kept.
        device: On which the restarts were done, in words.

    The shard carries the identity of its run, and the versions and the device that made it.

    Raises:
        InputError: The folder is no run folder or cannot be written (disk full); earlier shards are untouched.
        ValueError: The columns are not as described.
    """
    table = _table(rows, weights or {})
    run = read_manifest(folder).get(RUN)
    said = {_VERSIONS: made_by().encode(), _DEVICE: device.encode()} | ({} if run is None else {RUN_KEY: run.encode()})
    table = table.replace_schema_metadata(said)
    buffer = pa.BufferOutputStream()
    # Dictionaries for text only: they are a gain there, and leave floats (NaN payloads, signed zeros) bit for bit.
    text: Any = [field.name for field in table.schema if pa.types.is_string(field.type)]
    pq.write_table(table, buffer, compression="zstd", use_dictionary=text, write_page_checksum=True)
    content = buffer.getvalue().to_pybytes()
    name = _shard_name(table["restart"].to_numpy(), content)
    way_out = f"what was written before is kept, and `landscape resume {folder}` goes on from there"
    with in_one_sentence(f"Cannot write a shard in {folder}", way_out):
        _require_run(folder)
        disk.make_folder(folder / SHARDS)
        disk.remove_leftovers(folder)
        disk.remove_leftovers(folder / SHARDS)
        disk.write(folder / SHARDS / name, content)
    return name


def read(folder: Path, keep: Callable[[dict[str, np.ndarray]], np.ndarray] | None = None) -> Shards:
    """Every restart of the run that is on disk undamaged, once.

    A shard is damaged if its bytes do not match its name, its name is none of ours, it is another run's, it has
    restarts that the run has not, or its columns are not those of most shards. Where a restart was done twice, the
    shard first by name has it. Needs about 150 bytes a restart, however long the texts (equal ones are one object),
    beside the weights.

    Args:
        folder: A run folder.
        keep: Given the rows of the restarts that have weights on disk, [w], says which of these weights to read,
            boolean [w]; all by default.

    Raises:
        InputError: The folder is no run folder, its manifest is damaged, or a file cannot be opened.
    """
    belongs = _belongs(folder)
    made: dict[str, tuple[str, str]] = {}  # versions and device of a shard, by name
    words: dict[str | None, int] = {None: 0}  # every distinct text, and the number that stands for it
    parts: dict[tuple, _Columns] = {}  # of shards with these columns
    with in_one_sentence(f"Cannot read the shards in {folder}"):
        names = shard_names(folder)
        # What a name says is not to be believed before its digest is: no more room than the run has restarts.
        said_to_be = sum(int(found["count"]) for name in names if (found := _SHARD.fullmatch(name)))
        room = min(said_to_be, read_manifest(folder).get("restarts") or 0)
        for name in names:
            if (table := belongs(_load(folder / SHARDS / name))) is not None:
                said = table.schema.metadata or {}
                made[name] = (said.get(_VERSIONS, b"").decode(), said.get(_DEVICE, b"").decode())
                parts.setdefault(_columns(table), _Columns(room)).add(name, _numbers(table, words))
    usual = max(parts, key=lambda columns: len(parts[columns].names), default=None)
    good = _Columns() if usual is None else parts.pop(usual)
    parts.clear()
    damaged = sorted(set(names) - set(good.names))
    if not good.names or usual is None:
        return Shards(rows={"restart": np.empty(0, np.int64)}, weights={}, damaged=damaged)

    # np.unique gives the first of equals: the shard first by name.
    once = np.unique(good.columns["restart"][: good.count], return_index=True)[1]
    texts = np.array(list(words), object)
    textual = {name for name, kind in usual if pa.types.is_string(kind)}
    fields = [name for name in good.columns if name != "theta"]
    held = np.flatnonzero(good.columns.pop("theta")[once])
    shard = np.repeat(np.arange(len(good.names)), good.lengths)[once][held]
    rows = {name: good.columns.pop(name)[once] for name in fields}
    rows |= {name: texts[rows[name]] for name in fields if name in textual}
    if keep is not None:
        chosen = keep({name: values[held] for name, values in rows.items()})
        held, shard = held[chosen], shard[chosen]
    wanted = {good.names[number]: rows["restart"][held[shard == number]] for number in np.unique(shard)}
    weights = _weights_of(folder, wanted)
    by, on = zip(*(made[name] for name in good.names), strict=True)
    versions, devices = (tuple(sorted({*said} - {""})) for said in (by, on))
    weights = dict(sorted(weights.items()))
    return Shards(rows=rows, weights=weights, damaged=damaged, versions=versions, devices=devices)


class _Columns:
    """Columns of several shards, each in one array that grows: arrays of a shard's size leave the heap in pieces.

    Attributes:
        names: Of the shards, in the order they came in.
        lengths: How many restarts each has.
        count: How many all have.
        columns: By name, each [count] or longer.
    """

    def __init__(self, room: int = 0):
        """No shards yet, and room for so many restarts: memory that is not written to costs nothing."""
        self.names: list[str] = []
        self.lengths: list[int] = []
        self.count, self._room = 0, room
        self.columns: dict[str, np.ndarray] = {}

    def add(self, name: str, part: dict[str, np.ndarray]) -> None:
        """Takes in the columns of a shard."""
        begin, end = self.count, self.count + len(part["restart"])
        for field, values in part.items():
            column = self.columns.setdefault(field, np.empty(self._room, values.dtype))
            if end > len(column):
                column = self.columns[field] = np.resize(column[:begin], end + end // 4)
            column[begin:end] = values
        self.names.append(name)
        self.lengths.append(end - begin)
        self.count = end


def _weights_of(folder: Path, wanted: dict[str, np.ndarray]) -> dict[int, np.ndarray]:
    """The weights of these restarts, by the name of the shard that has them.

    Shards are read again rather than held from the first time: of a long run's weights few are kept.
    """
    weights: dict[int, np.ndarray] = {}
    with in_one_sentence(f"Cannot read the shards in {folder}"):
        for name, restarts in wanted.items():
            table = _load(folder / SHARDS / name)
            if table is not None:
                weights |= _weights(table, restarts)
    return weights


def _belongs(folder: Path) -> Callable[[pa.Table | None], pa.Table | None]:
    """Lets through the tables of this run: with its identity where its manifest has one, and with its restarts only."""
    manifest = read_manifest(folder)
    run, restarts = manifest.get(RUN), manifest.get("restarts")

    def check(table: pa.Table | None) -> pa.Table | None:
        if table is None or (table.schema.metadata or {}).get(RUN_KEY, b"").decode() != (run or ""):
            return None
        strange = restarts is not None and table["restart"].to_numpy().max() >= restarts
        return None if strange else table

    return check


def shard_names(folder: Path) -> list[str]:
    """Names of the shards, damaged ones too and those set aside not, ascending."""
    found = sorted(path.name for path in (folder / SHARDS).iterdir()) if (folder / SHARDS).exists() else []
    return [name for name in found if not name.startswith(".") and not name.endswith(".damaged")]


def finished(folder: Path, first: int, last: int) -> np.ndarray:
    """The restarts from `first` to `last` that are on disk, ascending; reads only the shards that can hold some."""
    found = [np.empty(0, np.int64)]
    belongs = _belongs(folder)
    with in_one_sentence(f"Cannot read the shards in {folder}"):
        for name in shard_names(folder):
            span = _SHARD.fullmatch(name)
            if span is not None and int(span["first"]) <= last and int(span["last"]) >= first:
                table = belongs(_load(folder / SHARDS / name))
                found.append(np.empty(0, np.int64) if table is None else table["restart"].to_numpy())
    restarts = np.unique(np.concatenate(found))
    return restarts[(restarts >= first) & (restarts <= last)]


def tally(folder: Path, column: str, passed: set[str]) -> Counter[str | None]:
    """How many restarts have each text of a column, in the shards whose names are not in `passed` yet; adds them."""
    counts: Counter[str | None] = Counter()
    belongs = _belongs(folder)
    with in_one_sentence(f"Cannot read the shards in {folder}"):
        for name in shard_names(folder):
            if name not in passed:
                passed.add(name)
                table = belongs(_load(folder / SHARDS / name))
                counts.update([] if table is None or column not in table.column_names else table[column].to_pylist())
    return counts


def set_damaged_aside(folder: Path, damaged: Sequence[str]) -> list[str]:
    """The damaged shards are out of the way, under these new names, so that their restarts are done again."""
    renamed = []
    with in_one_sentence(f"Cannot set damaged shards aside in {folder}"):
        for name in damaged:
            # Damaged again since it was first set aside: keep both.
            endings = (".damaged" if count == 1 else f".{count}.damaged" for count in itertools.count(1))
            aside = next(path for end in endings if not (path := folder / SHARDS / f"{name}{end}").exists())
            (folder / SHARDS / name).rename(aside)
            renamed.append(aside.name)
        if renamed:
            disk.sync_folder(folder / SHARDS)
    return renamed


def _require_run(folder: Path) -> None:
    """There is a manifest in the folder."""
    if not (folder / MANIFEST).exists():
        raise InputError(f"{folder} is not a run folder: it has no {MANIFEST}.")


def _plain(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest as JSON will give it back, with its format."""
    if reserved := {"format", "digest"} & manifest.keys():
        raise ValueError(f"{min(reserved)!r} is written by the store; the manifest has it already.")

    def to_list(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        raise TypeError(f"{type(value).__name__} is no JSON type")

    try:
        return json.loads(json.dumps({"format": disk.FORMAT, **manifest}, default=to_list, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"The manifest cannot be written as JSON: {error}.") from error


def _taken(folder: Path) -> InputError:
    """What to tell someone whose --out holds a run."""
    held = read_manifest(folder)
    what = f"study {held.get('study', 'unknown')}, seed {held.get('seed', 'unknown')}"
    return InputError(f"{folder} holds another run ({what}); choose another --out or `landscape resume {folder}`.")


def _table(rows: Mapping[str, np.ndarray], weights: Mapping[int, np.ndarray]) -> pa.Table:
    """The Arrow table of a shard: restart first, theta last and null where it was not kept."""
    if "restart" not in rows or "theta" in rows:
        raise ValueError(f"rows need a column 'restart' and none called 'theta'; they have {', '.join(rows)}.")
    columns = {name: _column(name, np.asarray(rows[name])) for name in ("restart", *rows)}
    restarts = np.asarray(rows["restart"])
    if columns["restart"].type != pa.int64() or not len(restarts) or restarts.min() < 0:
        raise ValueError("'restart' must hold non-negative integers, at least one.")
    if len(np.unique(restarts)) != len(restarts):
        raise ValueError("'restart' holds a restart twice.")
    if lengths := {name: len(column) for name, column in columns.items() if len(column) != len(restarts)}:
        raise ValueError(f"There are {len(restarts)} restarts, and columns of other lengths: {lengths}.")
    if strangers := weights.keys() - set(restarts.tolist()):
        raise ValueError(f"There are weights for restart {min(strangers)}, which is not in the rows.")
    if any(np.ndim(theta) != 1 for theta in weights.values()):
        raise ValueError("Weights must be one flat theta [p] a restart.")
    kept = [np.asarray(weights[i], np.float64) if i in weights else None for i in restarts.tolist()]
    return pa.table({**columns, "theta": pa.array(kept, THETA)})


def _column(name: str, values: np.ndarray) -> pa.Array:
    """One column, as int64, float64, boolean or text."""
    kind = values.dtype.kind
    if values.ndim != 1:
        raise ValueError(f"Column {name!r} has shape {values.shape}; columns are one-dimensional.")
    if kind in _NUMBERS and np.can_cast(values.dtype, _NUMBERS[kind]):
        return pa.array(np.ascontiguousarray(values, _NUMBERS[kind]))
    if kind in "OU":
        with contextlib.suppress(TypeError):  # of what has no hash
            if all(isinstance(word, str | None) or word != word for word in set(values.tolist())):  # NaN != NaN
                return pa.array(values, pa.string(), from_pandas=True)
    raise ValueError(f"Column {name!r} ({values.dtype}) holds neither numbers of up to 64 bits nor text.")


def _shard_name(restarts: np.ndarray, content: bytes) -> str:
    """The file name of a shard: which restarts it spans, how many, and the digest of its bytes."""
    return f"restarts-{restarts.min()}-{restarts.max()}-{len(restarts)}-{short_digest(content)}.parquet"


def short_digest(content: bytes) -> str:
    """The first 128 bits of the SHA-256, in hex."""
    return hashlib.sha256(content).hexdigest()[:32]


def _load(path: Path) -> pa.Table | None:
    """The table in a shard, None if it is damaged."""
    try:
        content = path.read_bytes()
    except OSError as error:
        if error.errno in (errno.EIO, errno.EISDIR):  # a bad sector is damage; a file we may not open is not
            return None
        raise
    if not path.name.endswith(f"-{short_digest(content)}.parquet"):  # before a parser sees it
        return None
    try:
        table = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
        types = dict(_columns(table))
        sound = types.get("restart") == pa.int64() and types.get("theta") == THETA
        return table if sound and path.name == _shard_name(table["restart"].to_numpy(), content) else None
    except (pa.ArrowException, OSError, ValueError, KeyError):  # the right digest on a file that is no shard of ours
        return None


def _columns(table: pa.Table) -> tuple[tuple[str, pa.DataType], ...]:
    """Names and types of the columns, by name."""
    return tuple(sorted(((field.name, field.type) for field in table.schema), key=lambda column: column[0]))


def _numbers(table: pa.Table, words: dict[str | None, int]) -> dict[str, np.ndarray]:
    """The columns of a shard, texts as numbers of the list `words`, which grows; of theta only whether it is there."""
    out: dict[str, np.ndarray] = {}
    for name in table.column_names:
        column = table[name].combine_chunks()
        if name == "theta":
            out[name] = column.is_valid().to_numpy(zero_copy_only=False)
        elif pa.types.is_string(column.type):
            coded = column.dictionary_encode()
            # A null has the index -1: the last of the list.
            number = [words.setdefault(word, len(words)) for word in (*coded.dictionary.to_pylist(), None)]
            out[name] = np.array(number, np.int32)[coded.indices.fill_null(-1).to_numpy()]
        else:
            out[name] = np.array(column.to_numpy(zero_copy_only=False))
    return out


def _weights(table: pa.Table, wanted: np.ndarray) -> dict[int, np.ndarray]:
    """Restart to theta, [p], for those of the wanted ones that have one."""
    restarts, column = table["restart"].to_numpy(), table["theta"].combine_chunks()
    ends, flat = column.offsets.to_numpy(), column.values.to_numpy()
    kept = np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False) & np.isin(restarts, wanted))
    return {int(restarts[i]): flat[ends[i] : ends[i + 1]].copy() for i in kept}


@contextlib.contextmanager
def in_one_sentence(what: str, way_out: str = "") -> Iterator[None]:
    """An OSError inside becomes an InputError: what failed, the system's reason, the way out; so does an odd name."""
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a zero character in a path
        reason = error.strerror or error if isinstance(error, OSError) else error
        raise InputError(f"{what}: {reason}{'; ' * bool(way_out)}{way_out}.") from error
