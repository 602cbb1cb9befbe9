from __future__ import annotations

import errno
from pathlib import Path

import pytest

from facegen.errors import DataError, StorageError
from facegen.formats.files import atomic_write, read_json, sha256_of, storage_errors, write_json


def test_a_failed_write_leaves_what_stood_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    atomic_write(path, "old")

    def fail(file) -> None:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"a.txt.*No space left"):
        atomic_write(path, fail)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_storage_faults_become_storage_errors(tmp_path: Path) -> None:
    with pytest.raises(StorageError), storage_errors(tmp_path):
        raise OSError(errno.EROFS, "Read-only file system")
    with pytest.raises(StorageError), storage_errors(tmp_path):
        raise OSError("Error writing bytes: [errno 28] No space left on device")
    with pytest.raises(FileNotFoundError), storage_errors(tmp_path):
        raise FileNotFoundError("missing")


def test_json_round_trips_and_its_version_is_checked(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"format_version": 1, "name": "笑顔"})
    assert read_json(tmp_path / "a.json", 1)["name"] == "笑顔"
    with pytest.raises(DataError, match="format version 1; this facegen reads version 2"):
        read_json(tmp_path / "a.json", 2)


@pytest.mark.parametrize("text", ["{", "[1]", "3", ""])
def test_what_is_no_json_object_of_ours_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=r"a.json"):
        read_json(tmp_path / "a.json", 1)
    with pytest.raises(DataError, match="does not exist"):
        read_json(tmp_path / "b.json", 1)


def test_sha256_is_the_same_for_a_file_and_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256_of(tmp_path / "a") == sha256_of(b"abc")
    assert sha256_of(b"abc").startswith("ba7816bf")
