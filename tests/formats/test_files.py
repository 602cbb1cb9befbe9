from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from facegen.errors import DataError, StorageError
from facegen.formats.files import (
    atomic_write,
    put_in_place,
    read_json,
    sha256_of,
    storage_errors,
    whole_folder,
    write_json,
)


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


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "a") as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "file").write_text("content")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a" / "deep" / "file").read_text() == "content"

    def fail(folder: Path) -> None:
        (folder / "file").write_text("half")
        (folder / "no" / "file").touch()

    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "b") as folder:
        fail(folder)
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


def test_what_stands_in_a_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty") as folder:
        (folder / "file").write_text("new")
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "empty") as folder:
        (folder / "file").write_text("newer")
    (tmp_path / "other").mkdir()
    with pytest.raises(OSError, match="not empty"):
        put_in_place(tmp_path / "other", tmp_path / "empty")
    assert (tmp_path / "empty" / "file").read_text() == "new"
    assert not list(tmp_path.glob(".*"))


def test_leftovers_of_killed_processes_go_and_those_of_live_ones_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    host = socket.gethostname()
    left, live, foreign = (
        tmp_path / f".a.{name}.tmp" for name in (f"{host}.{dead.pid}", f"{host}.{os.getppid()}", "far.1")
    )
    for folder in (left, live, foreign):
        folder.mkdir()
        (folder / "file").write_text("half")
    with whole_folder(tmp_path / "a"):
        pass
    assert not left.exists()
    assert live.exists()
    assert foreign.exists()


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


def test_a_first_write_removes_what_killed_processes_left_in_the_folder(tmp_path: Path) -> None:
    host, dead = socket.gethostname(), subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    names = [f".other.json.{host}.{pid}.tmp" for pid in (dead.pid, os.getppid())] + [".other.json.far.1.tmp"]
    for name in names:
        (tmp_path / name).write_text("half")
    atomic_write(tmp_path / "a.json", "{}")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names[1:], "a.json"])
