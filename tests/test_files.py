"""Files that someone brings: what is too large is refused before it is read, what is odd is one sentence."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from reference import call, check_refused

import landscape as ls
from landscape.host import files


def archive(path, name, head, chunks=(), **how):
    """An npz file of one array: a header of one's own choice, then these bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as made, made.open(name, "w") as member:
        start = io.BytesIO()
        np.lib.format.write_array_header_1_0(start, {"descr": "<f8", "fortran_order": False, **head, **how})
        member.write(start.getvalue())
        for chunk in chunks:
            member.write(chunk)


def peak(path, words):
    """The most memory that was held while the file was refused with these words."""
    tracemalloc.start()
    with pytest.raises(ls.InputError, match=words):
        files.read(path)
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return held


def test_an_archive_of_400_megabytes_in_one_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.npz"
    archive(path, "x.npy", {"shape": (50_000_000,)}, (bytes(2**20) for _ in range(382)))
    assert path.stat().st_size < 4e6
    assert peak(path, r"holds 382 MiB, and 128 MiB are the most that is read") < 2**22


@pytest.mark.parametrize("shape", [(10**12,), (10**6, 10**6), (2**40, 2**40)])
def test_a_shape_that_is_only_declared_is_refused_unread(shape, tmp_path):
    path = tmp_path / "liar.npz"
    archive(path, "x.npy", {"shape": shape}, [bytes(80)])
    assert peak(path, "says that it has shape .* and holds less") < 2**22


def test_a_large_json_file_is_refused_unread(tmp_path):
    path = tmp_path / "large.json"
    with path.open("wb") as file:
        file.truncate(files.LIMIT + 1)  # a hole: it takes no room
    assert peak(path, "128 MiB are the most") < 2**20


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[" * 200_000, "nested too deeply"),
        ("1" * 5000, "neither JSON nor npz"),
        ("\xff", "neither JSON nor npz"),
        (json.dumps({"teacher": [[1, 0]], "hidden": [[10**400, 0]]}), "numbers"),
        (json.dumps({"teacher": [[10**400, 0]], "hidden": [[1, 0]]}), "numbers"),
        (json.dumps({"x": [[10**400]], "y": [1], "weight_decay": 1, "hidden": [[1]], "outer": [1]}), "numbers"),
        (json.dumps({"x": [[1]], "y": [1], "weight_decay": 10**400, "hidden": [[1]], "outer": [1]}), "number"),
        (json.dumps({"lines": [[1]], "teacher": [[1]], "line_of": [0], "coefficient": [10**400]}), "numbers"),
    ],
)
def test_an_odd_json_file_is_one_sentence(content, words, tmp_path, capsys):
    path = tmp_path / "points.json"
    path.write_text(content, "latin-1")
    check_refused(capsys, words, "label", path)


def test_odd_archives_are_one_sentence(tmp_path, capsys):
    path = tmp_path / "points.npz"
    good = {"teacher": np.eye(2), "hidden": np.eye(2)}
    np.savez(path, **good)
    assert call("label", path) == 0
    capsys.readouterr()
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:size])
        check_refused(capsys, "neither JSON nor npz", "label", path)
    np.savez(path, teacher=np.array([[1, {}]], object), hidden=np.eye(2))
    check_refused(capsys, "neither JSON nor npz", "label", path)
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("teacher.npy", b"not an array")
    check_refused(capsys, "neither JSON nor npz", "label", path)


def test_any_flipped_byte_of_an_archive_is_one_sentence_or_read_as_it_was(tmp_path):
    path = tmp_path / "points.npz"
    np.savez_compressed(path, teacher=np.eye(3), hidden=np.random.default_rng(0).normal(size=(4, 3)))
    whole, before = path.read_bytes(), files.read(path)
    rng = np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        content = bytearray(whole)
        content[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            found = files.read(path)
        except ls.InputError:
            refused += 1
            continue
        # A name or a date of the archive may differ; an array never: each has its checksum.
        for name in found.keys() & before.keys():
            np.testing.assert_array_equal(found[name], before[name])
    assert refused > 100
