"""A run folder: what was acknowledged is kept, what is damaged is named, and nothing in between is ever read.

Held here: the round trip is exact; any flipped bit is found; a kill at any moment costs only what was not yet
acknowledged; nothing is overwritten; every refusal is one sentence.
"""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import platform
import resource
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from landscape.host import disk, store
from landscape.records import InputError

MANIFEST = {"study": "safran-shamir", "seed": 7, "settings": {"step": 1e-05, "teacher": [[1.0, 0.0]], "polish": None}}


def rows_of(restarts) -> dict[str, np.ndarray]:
    """Columns that follow from the restart alone, so that any row read back can be checked."""
    restarts = np.asarray(restarts, np.int64)
    return {
        "restart": restarts,
        "loss": np.sin(restarts.astype(float)),
        "status": restarts % 5,
        "moved": restarts % 2 == 0,
        "reason": np.array([None if i % 3 else f"wide {i}" for i in restarts.tolist()], object),
    }


def weights_of(restarts, p: int = 4) -> dict[int, np.ndarray]:
    """Weights for every even restart."""
    return {int(i): np.cos(int(i) + np.arange(p)) for i in restarts if i % 2 == 0}


def assert_holds(shards: store.Shards, restarts, p: int = 4) -> None:
    """The shards hold exactly these restarts, with the rows and weights that follow from them."""
    expected = rows_of(sorted(restarts))
    assert shards.rows.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(shards.rows[name], values)
        assert shards.rows[name].dtype == values.dtype
    assert shards.weights.keys() == weights_of(restarts, p).keys()
    for i, theta in weights_of(restarts, p).items():
        np.testing.assert_array_equal(shards.weights[i], theta)


def put(folder: Path, restarts) -> str:
    return store.append(folder, rows_of(restarts), weights_of(restarts))


def shard_path(folder: Path, name: str) -> Path:
    return folder / store.SHARDS / name


def flip(path: Path, bit: int) -> None:
    """One bit of the file is the other way round."""
    with path.open("r+b") as file:
        file.seek(bit // 8)
        byte = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([byte ^ 1 << bit % 8]))


def temporaries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.fixture
def run(tmp_path) -> Path:
    folder = tmp_path / "runs" / "a"
    store.create(folder, MANIFEST)
    return folder


# Round trip


def test_what_is_appended_is_read_back_with_its_weights(run):
    put(run, [8, 3, 11])
    put(run, [2, 0, 5, 7])
    shards = store.read(run)
    assert_holds(shards, [0, 2, 3, 5, 7, 8, 11])
    assert shards.damaged == []


def test_arrays_read_back_are_the_callers_own(run):
    put(run, range(6))
    shards = store.read(run)
    for array in (*shards.rows.values(), *shards.weights.values()):
        array[:1] = array[1:2]  # raises where it is a read-only view of the file


def test_reading_does_not_depend_on_the_order_of_appending(tmp_path):
    batches = [[9, 1], [4, 30, 2], [7]]
    for name, order in (("a", (0, 1, 2)), ("b", (2, 0, 1))):
        store.create(tmp_path / name, MANIFEST)
        for i in order:
            put(tmp_path / name, batches[i])
    assert_holds(store.read(tmp_path / "a"), [1, 2, 4, 7, 9, 30])
    assert_holds(store.read(tmp_path / "b"), [1, 2, 4, 7, 9, 30])
    names = [sorted(path.name for path in (tmp_path / name / store.SHARDS).iterdir()) for name in "ab"]
    assert names[0] == names[1]


def test_columns_may_come_in_any_order(run):
    put(run, [1, 2])
    rows = rows_of([3, 4])
    store.append(run, dict(reversed(rows.items())), weights_of([3, 4]))
    assert_holds(store.read(run), [1, 2, 3, 4])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(bits=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8))
def test_floats_keep_every_bit(tmp_path_factory, bits):
    folder = tmp_path_factory.mktemp("bits") / "run"
    store.create(folder, MANIFEST)
    floats = np.array(bits, np.uint64).view(np.float64)
    store.append(folder, {"restart": np.arange(len(bits)), "loss": floats}, {0: floats})
    shards = store.read(folder)
    np.testing.assert_array_equal(shards.rows["loss"].view(np.uint64), floats.view(np.uint64))
    np.testing.assert_array_equal(shards.weights[0].view(np.uint64), floats.view(np.uint64))


def test_nan_infinity_and_negative_zero_are_numbers_like_others(run):
    special = np.array([np.nan, -np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324])
    store.append(run, {"restart": np.arange(7), "loss": special}, {3: special})
    shards = store.read(run)
    assert shards.rows["loss"].tobytes() == special.tobytes()
    assert shards.weights[3].tobytes() == special.tobytes()


def test_missing_text_is_null_and_empty_text_is_text(run):
    text = np.array(["", None, "naïve ∇", float("nan"), np.nan], object)
    store.append(run, {"restart": np.arange(5), "reason": text, "by": np.array(list("abcde"))}, {})
    rows = store.read(run).rows
    assert rows["reason"].tolist() == ["", None, "naïve ∇", None, None]
    assert rows["by"].tolist() == list("abcde")


def test_a_batch_without_text_or_weights_has_the_columns_of_the_others(run):
    nothing = np.array([None], object)
    store.append(run, {"restart": np.array([1]), "reason": nothing})
    store.append(run, {"restart": np.array([2]), "reason": np.array(["x"])}, {2: np.ones(3)})
    shards = store.read(run)
    assert shards.damaged == []
    assert shards.rows["reason"].tolist() == [None, "x"]
    assert list(shards.weights) == [2]


def test_smaller_numbers_widen(run):
    rows = {
        "restart": np.arange(2, dtype=np.uint8),
        "loss": np.array([0.1, 2], np.float32),
        "n": np.array([1, 2], ">i4"),
    }
    store.append(run, rows, {1: np.array([0.1], np.float32)})
    shards = store.read(run)
    assert [shards.rows[name].dtype for name in ("restart", "loss", "n")] == [np.int64, np.float64, np.int64]
    assert shards.rows["loss"].tolist() == [float(np.float32(0.1)), 2.0]
    assert shards.weights[1].tolist() == [float(np.float32(0.1))]


def test_a_run_without_shards_has_no_restarts(run):
    shards = store.read(run)
    assert list(shards.rows) == ["restart"]
    assert shards.rows["restart"].shape == (0,)
    assert shards.rows["restart"].dtype == np.int64
    assert (shards.weights, shards.damaged) == ({}, [])


def test_a_restart_done_twice_is_read_once_from_the_shard_first_by_name(run):
    names = []
    for loss in (1.0, 2.0, 3.0):
        rows = {"restart": np.array([4, int(loss) + 10]), "loss": np.array([loss, loss])}
        names.append(store.append(run, rows, {4: np.full(2, loss)} if loss > 1 else {}))
    first = float(np.argmin(names) + 1)
    shards = store.read(run)
    assert shards.rows["restart"].tolist() == [4, 11, 12, 13]
    assert shards.rows["loss"][0] == first
    # Row and weights are of one descent: no weights where the shard that counts kept none.
    assert {i: theta.tolist() for i, theta in shards.weights.items()} == ({4: [first, first]} if first > 1 else {})


def test_appending_the_same_batch_again_changes_nothing(run):
    assert put(run, [1, 2]) == put(run, [1, 2])
    assert len(list((run / store.SHARDS).iterdir())) == 1
    assert_holds(store.read(run), [1, 2])


def test_a_shard_is_plain_parquet(run):
    name = put(run, [8, 3, 11])
    assert name.startswith("restarts-3-11-3-")
    table = pq.read_table(shard_path(run, name))
    assert table.schema.names == ["restart", "loss", "status", "moved", "reason", "theta"]
    assert [str(kind) for kind in table.schema.types[:5]] == ["int64", "double", "int64", "bool", "string"]
    assert pa.types.is_list(table.schema.field("theta").type)
    assert table["restart"].to_pylist() == [8, 3, 11]
    assert [theta is None for theta in table["theta"].to_pylist()] == [False, True, True]


@pytest.mark.parametrize(
    ("rows", "weights", "message"),
    [
        ({"loss": np.ones(2)}, {}, "need a column 'restart'"),
        ({"restart": np.arange(2), "theta": np.ones(2)}, {}, "none called 'theta'"),
        ({"restart": np.array([1, 1])}, {}, "restart twice"),
        ({"restart": np.array([-1])}, {}, "non-negative"),
        ({"restart": np.array([1.0])}, {}, "non-negative integers"),
        ({"restart": np.empty(0, np.int64)}, {}, "at least one"),
        ({"restart": np.arange(2), "loss": np.ones(3)}, {}, "other lengths: {'loss': 3}"),
        ({"restart": np.arange(2), "loss": np.ones((2, 1))}, {}, "one-dimensional"),
        ({"restart": np.arange(2), "loss": np.ones(2, complex)}, {}, "neither numbers"),
        ({"restart": np.arange(2), "n": np.ones(2, np.uint64)}, {}, "neither numbers"),
        ({"restart": np.arange(2), "by": np.array(["a", 3], object)}, {}, "neither numbers"),
        ({"restart": np.arange(2)}, {5: np.ones(1)}, "restart 5, which is not in the rows"),
        ({"restart": np.arange(2)}, {1: np.ones((1, 1))}, "one flat theta"),
    ],
)
def test_rows_that_would_not_come_back_are_refused(run, rows, weights, message):
    with pytest.raises(ValueError, match=message):
        store.append(run, rows, weights)
    assert store.read(run).rows["restart"].size == 0


# Damage


def test_random_bit_flips_are_found_and_other_shards_kept(run):
    rng = np.random.default_rng(0)
    put(run, [1, 4, 5])
    name = put(run, range(10, 60))
    whole = shard_path(run, name).read_bytes()
    for bit in rng.choice(8 * len(whole), size=200, replace=False).tolist():
        flip(shard_path(run, name), bit)
        shards = store.read(run)
        assert shards.damaged == [name], f"bit {bit}"
        assert_holds(shards, [1, 4, 5])
        flip(shard_path(run, name), bit)
    assert_holds(store.read(run), [1, 4, 5, *range(10, 60)])


@pytest.mark.slow
def test_every_bit_flip_in_the_footer_is_found(run):
    name = store.append(run, {"restart": np.arange(2)}, {})
    path = shard_path(run, name)
    whole = path.read_bytes()
    footer = int.from_bytes(whole[-8:-4], "little") + 8
    for bit in range(8 * (len(whole) - footer), 8 * len(whole)):
        flip(path, bit)
        shards = store.read(run)
        assert shards.damaged == [name], f"bit {bit}"
        assert shards.rows["restart"].size == 0
        flip(path, bit)
    assert store.read(run).damaged == []


def test_page_checksums_are_on(run):
    # Noise does not compress, so its bytes are in the file as they are; no codec stands between a flip and its page.
    noise = np.random.default_rng(0).integers(0, 2**63, 500).view(np.float64)
    name = store.append(run, {"restart": np.arange(500), "loss": noise}, {})
    path = shard_path(run, name)
    chunk = pq.ParquetFile(path).metadata.row_group(0).column(1)
    assert chunk.path_in_schema == "loss"
    assert "DICTIONARY" not in str(chunk.encodings)
    flip(path, 8 * (chunk.data_page_offset + chunk.total_compressed_size - 9))
    assert pq.read_table(path, page_checksum_verification=False)["loss"].to_numpy().tobytes() != noise.tobytes()
    with pytest.raises(OSError, match="CRC"):
        pq.read_table(path, page_checksum_verification=True)
    assert store.read(run).damaged == [name]


def test_no_parser_sees_a_damaged_shard(run, monkeypatch):
    name = put(run, [2, 3])
    flip(shard_path(run, name), 8 * 20)
    monkeypatch.setattr(pq, "ParquetFile", None)
    assert store.read(run).damaged == [name]


@pytest.mark.parametrize("keep", [0, 1, 8, 0.5, -1])
def test_a_truncated_shard_is_found(run, keep):
    put(run, [1, 4])
    name = put(run, [2, 3])
    whole = shard_path(run, name).read_bytes()
    shard_path(run, name).write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    shards = store.read(run)
    assert shards.damaged == [name]
    assert_holds(shards, [1, 4])


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: "mine.parquet",
        lambda name: name + ".bak",
        lambda name: name.replace("restarts-2-", "restarts-1-"),
        lambda name: name.replace("-3-2-", "-3-3-"),
        lambda name: name.replace(".parquet", ""),
    ],
)
def test_a_renamed_shard_is_damaged(run, rename):
    put(run, [1, 4])
    path = shard_path(run, put(run, [2, 3]))
    path.rename(path.with_name(rename(path.name)))
    shards = store.read(run)
    assert shards.damaged == [rename(path.name)]
    assert_holds(shards, [1, 4])


def test_a_shard_with_columns_unlike_the_others_is_damaged(run):
    put(run, [50, 51])
    put(run, [60, 61])
    odd = [
        store.append(run, {"restart": np.arange(2)}, {}),  # first by name, and still the odd one
        store.append(run, {**rows_of([70]), "loss": np.array([1])}, {}),
    ]
    shards = store.read(run)
    assert shards.damaged == sorted(odd)
    assert_holds(shards, [50, 51, 60, 61])


@pytest.mark.parametrize("content", [b"", b"PAR1", b"not parquet at all"])
def test_a_file_that_is_no_shard_is_damaged_even_under_a_fitting_name(run, content):
    put(run, [1, 4])
    name = store._shard_name(np.array([2, 3]), content)
    shard_path(run, name).write_bytes(content)
    shard_path(run, "notes").mkdir()
    shards = store.read(run)
    assert shards.damaged == ["notes", name]
    assert_holds(shards, [1, 4])


def test_foreign_parquet_is_damaged_even_under_a_fitting_name(run):
    for table in (pa.table({"restart": [2, 3]}), pa.table({"restart": ["2"], "theta": pa.array([None], store.THETA)})):
        buffer = pa.BufferOutputStream()
        pq.write_table(table, buffer)
        content = buffer.getvalue().to_pybytes()
        shard_path(run, "").mkdir(exist_ok=True)
        shard_path(run, store._shard_name(table["restart"].to_numpy()[:1].astype(int), content)).write_bytes(content)
    shards = store.read(run)
    assert len(shards.damaged) == 2
    assert shards.rows["restart"].size == 0


def test_damaged_shards_set_aside_are_passed_over_and_done_again(run):
    put(run, [1, 4])
    name = put(run, [2, 3])
    for ending in (".damaged", ".2.damaged"):
        flip(shard_path(run, name), 100)
        assert store.set_damaged_aside(run, store.read(run).damaged) == [name + ending]
        assert shard_path(run, name + ending).exists()
        shards = store.read(run)
        assert shards.damaged == []
        assert_holds(shards, [1, 4])
        assert put(run, [2, 3]) == name
        assert_holds(store.read(run), [1, 2, 3, 4])
    assert store.set_damaged_aside(run, []) == []


def test_setting_aside_what_is_not_there_is_one_sentence(run):
    with pytest.raises(InputError, match=r"Cannot set damaged shards aside in .*: No such file"):
        store.set_damaged_aside(run, ["gone.parquet"])


# Manifest


def test_the_manifest_is_read_back_as_given(run):
    assert store.read_manifest(run) == MANIFEST
    written = json.loads((run / store.MANIFEST).read_text())
    assert written.pop("format") == 1
    assert len(written.pop("digest")) == 64
    assert written == MANIFEST


def test_numpy_values_in_the_manifest_become_plain_ones(tmp_path):
    store.create(
        tmp_path / "a",
        {"n": np.int64(3), "x": np.float32(0.5), "ok": np.bool_(True), "t": np.eye(2), "s": (1, None), "u": "∇"},
    )
    expected = {"n": 3, "x": 0.5, "ok": True, "t": [[1.0, 0.0], [0.0, 1.0]], "s": [1, None], "u": "∇"}
    assert store.read_manifest(tmp_path / "a") == expected


@pytest.mark.parametrize("value", [float("nan"), np.inf, {1, 2}, 1j, {(1, 2): 3}, np.longdouble(1)])
def test_what_json_cannot_hold_is_refused_and_nothing_written(tmp_path, value):
    with pytest.raises(InputError, match="manifest cannot be written as JSON"):
        store.create(tmp_path / "a", {"x": value})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["format", "digest"])
def test_the_stores_own_names_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=f"'{name}' is written by the store"):
        store.create(tmp_path / "a", {name: 1})


def test_every_bit_flip_in_the_manifest_is_noticed(run):
    path = run / store.MANIFEST
    for bit in range(8 * path.stat().st_size):
        flip(path, bit)
        with pytest.raises(InputError, match="is damaged: its content does not match its digest"):
            store.read_manifest(run)
        flip(path, bit)
    assert store.read_manifest(run) == MANIFEST


@pytest.mark.parametrize("content", [b"", b"[]", b"3", b"{}", b"{", b"\xff\xfe{}", b'{"digest": "0"}'])
def test_a_manifest_that_is_none_is_damaged(run, content):
    (run / store.MANIFEST).write_bytes(content)
    for reader in (store.read_manifest, store.read):
        with pytest.raises(InputError, match=r"manifest\.json is damaged"):
            reader(run)


def test_a_newer_format_is_refused_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(disk, "FORMAT", 2)
    store.create(tmp_path / "a", MANIFEST)
    monkeypatch.undo()
    with pytest.raises(InputError, match="has format 2 and this version reads format 1; upgrade"):
        store.read_manifest(tmp_path / "a")


def test_a_folder_without_a_manifest_is_no_run_folder(tmp_path):
    for use in (store.read_manifest, store.read, lambda folder: put(folder, [1])):
        for folder in (tmp_path, tmp_path / "nowhere"):
            with pytest.raises(InputError, match=r"is not a run folder: it has no manifest\.json"):
                use(folder)
    assert list(tmp_path.iterdir()) == []


# Refusals


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_folder_with_a_run_is_never_overwritten(run):
    put(run, [1, 2])
    before = snapshot(run)
    for manifest in (MANIFEST, {"study": "other"}):
        with pytest.raises(InputError, match=r"holds another run \(study safran-shamir, seed 7\)") as refusal:
            store.create(run, manifest)
        assert str(refusal.value).endswith(f"choose another --out or `landscape resume {run}`.")
    assert snapshot(run) == before


def test_a_folder_with_a_damaged_manifest_is_never_overwritten(run):
    flip(run / store.MANIFEST, 90)
    before = snapshot(run)
    with pytest.raises(InputError, match="is damaged"):
        store.create(run, MANIFEST)
    assert snapshot(run) == before


def test_a_folder_with_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(InputError, match=r"is not empty and holds no run \(found thesis.tex\); choose another --out"):
        store.create(tmp_path, MANIFEST)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_shards_without_a_manifest_are_never_taken_over(run):
    put(run, [1, 2])
    (run / store.MANIFEST).unlink()
    with pytest.raises(InputError, match=r"holds no run \(found shards\)"):
        store.create(run, MANIFEST)


def test_a_file_is_refused(tmp_path):
    (tmp_path / "a").write_text("x")
    with pytest.raises(InputError, match="is a file, and a run needs a folder"):
        store.create(tmp_path / "a", MANIFEST)
    assert (tmp_path / "a").read_text() == "x"


def test_an_empty_folder_is_taken(tmp_path):
    store.create(tmp_path, MANIFEST)
    assert store.read_manifest(tmp_path) == MANIFEST


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("x")
    places = {tmp_path / "file" / "run": "Not a directory", tmp_path / ("n" * 300): "File name too long"}
    if sys.platform == "linux":
        places[Path("/proc/nothing/run")] = "No such file or directory"  # for root as well
    for place, reason in places.items():
        with pytest.raises(InputError, match=rf"^Cannot make the run folder .*: {reason}; choose another --out\.$"):
            store.create(place, MANIFEST)


@pytest.mark.skipif(os.geteuid() == 0, reason="permission bits do not bind root")
def test_a_read_only_folder_is_one_sentence(run):
    run.chmod(0o555)
    with pytest.raises(InputError, match="Permission denied"):
        put(run, [1])


def test_a_file_that_grows_too_large_costs_only_its_own_batch(run):
    put(run, [1, 2])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, hard))  # the write fails part-way, as on a full disk
    try:
        with pytest.raises(InputError, match=r"Cannot write a shard in .*: File too large; what was written before is"):
            put(run, range(10, 500))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert temporaries(run) == []
    assert_holds(store.read(run), [1, 2])


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_costs_only_its_own_batch(run, monkeypatch, call):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    put(run, [1, 2])
    monkeypatch.setattr(os, call, full)
    with pytest.raises(InputError, match="No space left on device"):
        put(run, [3])
    monkeypatch.undo()
    assert temporaries(run) == []
    assert_holds(store.read(run), [1, 2])


def test_a_bad_sector_is_damage_and_a_closed_door_is_not(run, monkeypatch):
    name = put(run, [1, 2])
    real = Path.read_bytes
    code = errno.EIO

    def failing(path):
        if path.name == name:
            raise OSError(code, os.strerror(code))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", failing)
    assert store.read(run).damaged == [name]
    code = errno.EACCES
    with pytest.raises(InputError, match=r"Cannot read the shards in .*: Permission denied"):
        store.read(run)


# Other writers


def test_of_many_creators_at_once_one_wins(tmp_path):
    def attempt(seed):
        try:
            store.create(tmp_path / "a", {"study": "x", "seed": seed})
        except InputError:
            return None
        return seed

    with ThreadPoolExecutor(8) as pool:
        won = [seed for seed in pool.map(attempt, range(8)) if seed is not None]
    assert [store.read_manifest(tmp_path / "a")["seed"]] == won
    assert temporaries(tmp_path) == []


def test_a_file_system_without_hard_links_will_do(tmp_path, monkeypatch):
    def unsupported(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", unsupported)
    store.create(tmp_path / "a", MANIFEST)
    with pytest.raises(InputError, match="holds another run"):
        store.create(tmp_path / "a", MANIFEST)
    assert store.read_manifest(tmp_path / "a") == MANIFEST
    assert temporaries(tmp_path) == []


def _append_all(folder: Path, start: int) -> None:
    for i in range(start, 60, 3):
        put(folder, [i, 1000 - i])


def test_writers_in_several_processes_do_not_disturb_each_other(run):
    spawn = multiprocessing.get_context("spawn")  # a fork would copy pyarrow's threads' locks
    writers = [spawn.Process(target=_append_all, args=(run, start)) for start in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    shards = store.read(run)
    assert shards.damaged == []
    assert_holds(shards, [*range(60), *range(941, 1001)])
    assert temporaries(run) == []


def test_leftovers_of_dead_writers_are_removed_and_those_of_live_ones_kept(run):
    put(run, [1])
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here, old = platform.node(), time.time() - 2 * disk.STALE
    cases = {  # host, pid, hours old: stays?
        (here, gone.pid, False): False,
        (here, os.getpid(), False): True,
        (here, os.getpid(), True): False,  # its number was given to another process since
        ("elsewhere", gone.pid, False): True,
        ("else-where.org", os.getpid(), True): False,
    }
    left = {}
    for i, ((host, pid, stale), stays) in enumerate(cases.items()):
        for folder in (run, run / store.SHARDS):
            path = folder / f".writing-{host}-{pid}-{i:016x}.tmp"
            path.write_bytes(b"half")
            if stale:
                os.utime(path, (old, old))
            left[path] = stays
    assert_holds(store.read(run), [1])
    assert all(path.exists() for path in left)  # readers remove nothing
    put(run, [2])
    assert {path: path.exists() for path in left} == left
    assert_holds(store.read(run), [1, 2])


# Kills


@pytest.mark.parametrize(
    "write", [lambda folder: store.create(folder / "b", MANIFEST), lambda folder: put(folder, [1])]
)
def test_content_is_on_disk_before_its_name_is_and_the_name_before_anyone_is_told(run, monkeypatch, write):
    put(run, [2])  # the folder of shards is there
    steps = []

    def note(call, real):
        def noted(*arguments):
            folder = call == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode)
            steps.append(call + " folder" * folder)
            return real(*arguments)

        monkeypatch.setattr(os, call, noted)

    for call in ("fsync", "replace", "link"):
        note(call, getattr(os, call))
    write(run)
    assert steps[-3:] in (["fsync", "replace", "fsync folder"], ["fsync", "link", "fsync folder"])


PRELUDE = """
import os, signal, stat, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import numpy as np
import test_store as t
from landscape.host import store
folder = Path({folder!r})
"""

DIE_AT = """
calls = 0
real = os.{call}
def die(*arguments):
    global calls
    calls += 1
    if calls == {at}:
        if "{call}" == "fsync" and stat.S_ISREG(os.fstat(arguments[0]).st_mode):
            os.ftruncate(arguments[0], os.fstat(arguments[0]).st_size // 2)  # as if killed in the middle of writing
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
os.{call} = die
"""

WRITE_UNTIL_KILLED = """
done = set(store.read(folder).rows["restart"].tolist())
rng = np.random.default_rng({seed})
todo = rng.permutation([i for i in range(100_000) if i not in done])
print("ready", flush=True)
for batch in np.split(todo, range(7, len(todo), 7)):
    store.append(folder, t.rows_of(batch), t.weights_of(batch, p=3000))
    print(*batch, flush=True)
"""


def child(code: str, **values) -> list[str]:
    """The command that runs this code in another Python, with this file at hand as `t`."""
    return [sys.executable, "-c", (PRELUDE + code).format(tests=str(Path(__file__).parent), **values)]


@pytest.mark.slow
def test_kills_at_random_moments_lose_nothing_acknowledged(run):
    rng = np.random.default_rng(1)
    acknowledged: set[int] = set()
    for seed in range(8):
        with subprocess.Popen(child(WRITE_UNTIL_KILLED, folder=str(run), seed=seed), stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            first = writer.stdout.readline().decode()  # a busy machine may take long to come to it
            time.sleep(rng.uniform(0.0, 0.15))
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().decode().splitlines(keepends=True)
        lines = [first, *(line for line in rest if line.endswith("\n"))]  # one without its end was cut by the kill
        assert writer.returncode == -signal.SIGKILL
        acknowledged |= {int(i) for line in lines for i in line.split()}
        shards = store.read(run)
        assert shards.damaged == []
        found = set(shards.rows["restart"].tolist())
        assert found >= acknowledged
        assert len(found - acknowledged) <= 7 * (seed + 1)  # at most the batch in hand at each kill
        assert len(found) % 7 == 0  # whole shards only
        assert_holds(shards, found, p=3000)
    assert len(acknowledged) >= 7 * 8
    put(run, [200_000])
    assert temporaries(run) == []


@pytest.mark.parametrize(("call", "at"), [("fsync", 1), ("replace", 1), ("fsync", 2), ("fsync", 3)])
def test_a_shard_is_whole_or_absent_after_a_kill_at_any_step(run, call, at):
    # fsync 1 is the parent of shards/, 2 the file, 3 the folder once the name is there.
    code = DIE_AT + "t.put(folder, [1, 2])"
    assert subprocess.run(child(code, folder=str(run), call=call, at=at)).returncode == -signal.SIGKILL
    shards = store.read(run)
    assert shards.damaged == []
    assert shards.rows["restart"].tolist() == ([1, 2] if at == 3 else [])
    put(run, [1, 2])
    assert_holds(store.read(run), [1, 2])
    assert temporaries(run) == []


@pytest.mark.parametrize(("call", "at"), [("fsync", 1), ("fsync", 2), ("link", 1), ("fsync", 3)])
def test_a_manifest_is_whole_or_absent_after_a_kill_at_any_step(tmp_path, call, at):
    # fsync 1 is the parent of the run folder, 2 the file, 3 the folder once the name is there.
    folder = tmp_path / "a"
    code = DIE_AT + "store.create(folder, t.MANIFEST)"
    assert subprocess.run(child(code, folder=str(folder), call=call, at=at)).returncode == -signal.SIGKILL
    if (folder / store.MANIFEST).exists():
        assert at == 3
        put(folder, [1])
    else:
        store.create(folder, MANIFEST)
    assert store.read_manifest(folder) == MANIFEST
    assert temporaries(tmp_path) == []
